"""The people of a page: who wrote, and who the patient is.

The INS is printed only when the identity is qualified, with its nature beside it (Référentiel INS).
"""

from __future__ import annotations

from collections.abc import Iterator

from adapter.fhir import profiles as p
from adapter.model.identity import INS_DEMO, INS_NIA, INS_NIR, INS_TEST
from adapter.packaging.page.words import (
    Document,
    Fact,
    Resource,
    extension_value,
    extensions,
    french_date,
    joined,
    number_in,
    party_words,
    person_name,
    reach_facts,
    roles_of,
    value_of,
    words_of,
)

INS_NATURES = {INS_NIR: "NIR", INS_NIA: "NIA", INS_TEST: "test", INS_DEMO: "démonstration"}
_QUALIFIED = {"VALI", "QUAL"}
_SEXES = {"female": "Féminin", "male": "Masculin", "unknown": "Inconnu", "other": "Autre"}
_BORN = {"female": "Née le", "male": "Né le"}


def sender_facts(document: Document) -> Iterator[Fact]:
    """Who wrote it, from where, and who keeps it."""
    composition = document.composition
    custodian = document.at(composition.get("custodian"))
    places: list[Resource] = []
    for reference in composition.get("author", ()):
        author = document.at(reference)
        place = document.at(author.get("organization") or author.get("owner"))
        yield from _author_facts(document, author, reference)
        if place and place not in places:
            places.append(place)
            yield from _organisation_facts(place)
    if custodian and custodian not in places:
        same = str(custodian.get("name", "")).casefold() in [str(place.get("name", "")).casefold() for place in places]
        if not same:
            yield Fact("Conservé par", str(custodian.get("name", "")))


def _author_facts(document: Document, author: Resource, reference: Resource) -> Iterator[Fact]:
    if author.get("resourceType") != "PractitionerRole":
        yield Fact("", party_words(document, reference), strong=True)
        return
    person = document.at(author.get("practitioner"))
    yield Fact("", person_name(person), strong=True)
    if roles_of(author):
        yield Fact("", roles_of(author))
    rpps = number_in(person, p.RPPS_SYSTEM)
    if rpps:
        yield Fact("RPPS", rpps)
    yield from reach_facts(author)


def _organisation_facts(place: Resource) -> Iterator[Fact]:
    yield Fact("", str(place.get("name", "")), strong=True)
    yield from reach_facts(place)
    finess = number_in(place, p.FINESS_SYSTEM)
    if finess:
        yield Fact("FINESS", finess)


def patient_facts(patient: Resource) -> Iterator[Fact]:
    """The patient: names, birth, sex, numbers, address."""
    official = _name_of(patient, "official")
    usual = _name_of(patient, "usual")
    yield Fact("", _patient_name(patient), strong=True)
    birth_names = extension_value(official, p.EXT_BIRTH_GIVEN_NAMES)
    facts = [
        ("Nom de naissance", str(official.get("family", ""))),
        ("Prénom(s) de naissance", birth_names or " ".join(str(g) for g in official.get("given", ()))),
        ("Premier prénom", " ".join(str(g) for g in official.get("given", ())) if birth_names else ""),
        ("Nom utilisé", str(usual.get("family", ""))),
        ("Prénom utilisé", " ".join(str(g) for g in usual.get("given", ()))),
        (_BORN.get(str(patient.get("gender")), "Né(e) le"), _birth(patient)),
        ("Sexe", _SEXES.get(str(patient.get("gender")), "")),
        ("Décès", french_date(str(patient.get("deceasedDateTime", "")))),
    ]
    yield from (Fact(label, words) for label, words in facts if words)
    yield from _patient_numbers(patient)
    yield from reach_facts(patient)


def _name_of(patient: Resource, use: str) -> Resource:
    names = [name for name in patient.get("name", ()) if name.get("use", "official") == use]
    return names[0] if names else {}


def _patient_name(patient: Resource) -> str:
    official, usual = _name_of(patient, "official"), _name_of(patient, "usual")
    family = str(usual.get("family") or official.get("family") or "").upper()
    given = " ".join(str(g) for g in (usual.get("given") or official.get("given") or ()))
    other = next((str(name.get("text", "")) for name in patient.get("name", ())), "")
    return joined(family, given, by=" ") or other or "Identité non précisée"


def _birth(patient: Resource) -> str:
    date = french_date(str(patient.get("birthDate", "")))
    place = next((value_of(e) or {} for e in extensions(patient, p.EXT_BIRTH_PLACE)), {})
    code = next((words_of(value_of(e)) for e in extensions(place, p.EXT_INSEE_CODE)), "")
    town = joined(str(place.get("city", "")), f"({code})" if code else "", by=" ")
    return joined(date, f"à {town}" if town else "", by=" ")


def _is_qualified(patient: Resource) -> bool:
    for reliability in extensions(patient, p.EXT_IDENTITY_RELIABILITY):
        for status in extensions(reliability, "identityStatus"):
            return str((value_of(status) or {}).get("code")) in _QUALIFIED
    return False


def _patient_numbers(patient: Resource) -> Iterator[Fact]:
    qualified = _is_qualified(patient)
    for identifier in patient.get("identifier", ()):
        oid = str(identifier.get("system", "")).removeprefix("urn:oid:")
        value = str(identifier.get("value", ""))
        kinds = [str(c.get("code", "")) for c in identifier.get("type", {}).get("coding", ())]
        if oid in INS_NATURES:
            if qualified and identifier.get("use") != "old":
                yield Fact(f"INS ({INS_NATURES[oid]})", value, strong=True)
        elif value:
            yield Fact("IPP" if "PI" in kinds else joined(*kinds, by="/") or "Identifiant", value)
    if not qualified:
        yield Fact("Identité", "non qualifiée, à vérifier", strong=True)


def contact_facts(contact: Resource) -> Iterator[Fact]:
    """A relative or trusted person, and how to reach them."""
    name = contact.get("name", {})
    who = person_name({"name": [name]}) if name else ""
    relation = joined(*(words_of(r) for r in contact.get("relationship", ())))
    words = joined(who, *(fact.words for fact in reach_facts(contact)))
    if words:
        yield Fact("Proche", joined(words, f"({relation})" if relation else "", by=" "))


def running_head_of(patient: Resource) -> str:
    """What heads each further page, so that no page is anybody else's."""
    official = _name_of(patient, "official")
    birth_name = str(official.get("family", ""))
    shown = _patient_name(patient)
    born = f"{_BORN.get(str(patient.get('gender')), 'né(e) le').lower()} {french_date(str(patient.get('birthDate', '')))}"
    differs = bool(birth_name) and not shown.upper().startswith(birth_name.upper())
    return joined(shown, f"nom de naissance {birth_name.upper()}" if differs else "", born if patient.get("birthDate") else "")
