"""What a reader must know of a document Bundle before its sections: who, to whom, when, which version. In French words.

Law: print what is there. Nothing is concluded from an absence; a code without words is printed as the code.
The INS is printed only when the identity is qualified, with its nature beside it (Référentiel INS).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapter.errors import RenditionError
from adapter.fhir import profiles as p
from adapter.model.confidential import Confidential
from adapter.model.identity import INS_DEMO, INS_NIA, INS_NIR, INS_TEST
from adapter.packaging.pdf_narrative import Block, Ink, Paragraph, Picture, Run, blocks_text, plain_paragraphs, read_narrative

Resource = Mapping[str, Any]

# The labels of JDV_J07 for the documents of our exchanges: sources often carry the English LOINC name.
TYPE_LABELS = {
    "55115-0": "Demande d'examen d'imagerie",
    "11490-0": "Lettre de liaison à la sortie",
    "18761-7": "Lettre de liaison à l'entrée",
    "34112-3": "Compte rendu d'hospitalisation",
    "18748-4": "Compte rendu d'imagerie",
    "96349-6": "Lettre d'adressage",
    "11488-4": "Compte rendu de consultation",
    "75496-0": "Demande d'acte de télémédecine",
    "85208-7": "Compte rendu de télémédecine",
    "15507-7": "Compte rendu de passage aux urgences",
    "11502-2": "Compte rendu d'examens biologiques",
    "34874-8": "Compte rendu opératoire",
}
INS_NATURES = {INS_NIR: "NIR", INS_NIA: "NIA", INS_TEST: "test", INS_DEMO: "démonstration"}
_QUALIFIED = {"VALI", "QUAL"}
_SEXES = {"female": "Féminin", "male": "Masculin", "unknown": "Inconnu", "other": "Autre"}
_BORN = {"female": "Née le", "male": "Né le"}
_TITLES = {"DR": "Dr", "PR": "Pr", "M": "M.", "MME": "Mme", "MLLE": "Mlle", "MC": "Médecin chef", "MG": "Médecin général"}
_CONFIDENTIALITY = {"R": "Document à diffusion restreinte", "V": "Document à diffusion très restreinte"}
_STATUSES = {
    "preliminary": "DOCUMENT PROVISOIRE",
    "amended": "DOCUMENT MODIFIÉ",
    "entered-in-error": "DOCUMENT ANNULÉ",
}
_PARTICIPANTS = {
    "PCP": "Médecin traitant",
    "REF": "Demandeur",
    "REFB": "Adressé par",
    "RESP": "Responsable",
    "PRF": "Exécutant",
    "CON": "Consultant",
    "VRF": "Vérificateur",
    "INF": "Informateur",
    "CORRE": "Correspondant",
    "ADMPHYS": "Médecin d'admission",
    "ATTPHYS": "Médecin du séjour",
    "DISPHYS": "Médecin de sortie",
}
_ENCOUNTERS = {
    "IMP": "Hospitalisation",
    "EMER": "Passage aux urgences",
    "AMB": "Ambulatoire",
    "FLD": "Intervention sur le terrain",
    "HH": "Soins à domicile",
    "VR": "À distance",
    "EXTERNE": "Acte ou consultation externe",
    "SEANCE": "Séance",
    "SS": "Hospitalisation de courte durée",
    "UNK": "",
    "ACUTE": "Hospitalisation",
}
_LASTING = frozenset({"IMP", "ACUTE", "SS"})
# What v3 ActCode and NullFlavor display: told in French instead.
_ENGLISH = frozenset(
    {
        "",
        "ambulatory",
        "inpatient encounter",
        "inpatient acute",
        "emergency",
        "field",
        "home health",
        "virtual",
        "short stay",
        "unknown",
    }
)
_EMPTY_REASONS = {
    "nilknown": "Néant, déclaré par l'auteur.",
    "notasked": "Non recherché.",
    "withheld": "Non communiqué.",
    "unavailable": "Non disponible.",
    "notstarted": "Non commencé.",
    "closed": "Liste close.",
}
_TELECOMS = {"phone": "Tél.", "fax": "Fax", "email": "", "url": "", "pager": "Bip", "sms": "SMS", "other": ""}


@dataclass(frozen=True, repr=False)
class Fact(Confidential):
    """One line of a block: a label (may be empty) and its words; `strong` for what the eye looks for first."""

    label: str
    words: str
    strong: bool = False


@dataclass(frozen=True, repr=False)
class Part(Confidential):
    """A section: title, blocks, sub-sections."""

    title: str
    blocks: tuple[Block, ...]
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, repr=False)
class Letter(Confidential):
    """Everything that the page shows, in reading order."""

    title: str
    kind: str
    date: str
    created: datetime
    identifier: str
    version: str
    notices: tuple[str, ...]
    sender: tuple[Fact, ...]
    patient: tuple[Fact, ...]
    context: tuple[Fact, ...]
    parts: tuple[Part, ...]
    closing: tuple[str, ...]
    running_head: str


@dataclass(frozen=True, repr=False)
class Document(Confidential):
    """A Bundle with its references resolved."""

    bundle: Resource
    composition: Resource
    known: dict[str, Resource] = field(default_factory=dict)

    def at(self, reference: Any) -> Resource:
        """The resource behind a Reference; empty when it is elsewhere."""
        if not isinstance(reference, Mapping):
            return {}
        return self.known.get(str(reference.get("reference", "")), {})


def read_letter(bundle: Resource) -> Letter:
    """The letter of a document Bundle."""
    document = _index(bundle)
    composition = document.composition
    if not composition:
        raise RenditionError("pdf.no-composition", "the Bundle holds no Composition, hence no document")
    kind = _kind(composition)
    title = str(composition.get("title") or kind or "Document")
    identifier = str(bundle.get("identifier", {}).get("value", "") or bundle.get("id", ""))
    return Letter(
        title=title,
        kind="" if _plain(kind) == _plain(title) else kind,
        date=french_date(str(composition.get("date", ""))),
        created=_instant(str(bundle.get("timestamp") or composition.get("date") or "")),
        identifier=identifier,
        version=_extension_value(composition, p.EXT_COMPOSITION_VERSION),
        notices=_notices(composition),
        sender=tuple(_sender(document)),
        patient=tuple(_patient_facts(document.at(composition.get("subject")))),
        context=tuple(_context(document)),
        parts=tuple(_part(document, section) for section in composition.get("section", ())) or _whole_text(composition),
        closing=tuple(_closing(document)),
        running_head=_running_head(document.at(composition.get("subject"))),
    )


def _index(bundle: Resource) -> Document:
    known: dict[str, Resource] = {}
    composition: Resource = {}
    for entry in bundle.get("entry", ()):
        resource = entry.get("resource", {})
        known[str(entry.get("fullUrl", ""))] = resource
        known[f"{resource.get('resourceType')}/{resource.get('id')}"] = resource
        if resource.get("resourceType") == "Composition" and not composition:
            composition = resource
    for resource in list(known.values()):
        known.update({f"#{inner.get('id')}": inner for inner in resource.get("contained", ())})
    return Document(bundle, composition, known)


# -- dates ------------------------------------------------------------------------------------------------------------

_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d))?")


def french_date(value: str) -> str:
    """`2026-11-21T09:30:00+01:00` → `21/11/2026 à 09:30`, with the precision of the source; other forms as they are."""
    match = _DATE.match(value)
    if match is None:
        return value
    year, month, day, hour, minute = match.groups()
    date = "/".join(part for part in (day, month, year) if part)
    return f"{date} à {hour}:{minute}" if hour else date


def french_period(period: Resource, *, lasting: bool = False) -> str:
    """`du … au …`, `le …` (`depuis le …` for what lasts), `jusqu'au …`."""
    start, end = french_date(str(period.get("start", ""))), french_date(str(period.get("end", "")))
    if start and end:
        day, _, hour = start.partition(" à ")
        last_day, _, last_hour = end.partition(" à ")
        if day == last_day and hour != last_hour and hour and last_hour:
            return f"le {day} de {hour} à {last_hour}"
        return f"le {start}" if start == end else f"du {start} au {end}"
    if start:
        return f"{'depuis ' if lasting else ''}le {start}"
    return f"jusqu'au {end}" if end else ""


def _instant(value: str) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


# -- small words ------------------------------------------------------------------------------------------------------


def _kind(composition: Resource) -> str:
    concept = composition.get("type", {})
    codes = [str(coding.get("code", "")) for coding in concept.get("coding", ())]
    ours = next((TYPE_LABELS[code] for code in codes if code in TYPE_LABELS), "")
    return str(concept.get("text") or "") or ours or _words_of(concept)


def _plain(words: str) -> str:
    return " ".join(words.replace("’", "'").casefold().split())


def _words_of(concept: Any) -> str:
    """A CodeableConcept or Coding in words, else its code."""
    if not isinstance(concept, Mapping):
        return ""
    codings = [c for c in concept.get("coding", ()) if isinstance(c, Mapping)] or [concept]
    words = concept.get("text") or next((c["display"] for c in codings if c.get("display")), "")
    return str(words or next((c["code"] for c in codings if c.get("code")), ""))


def _extensions(resource: Resource, url: str) -> Iterator[Resource]:
    for extension in resource.get("extension", ()):
        if extension.get("url") == url:
            yield extension


def _value_of(extension: Resource) -> Any:
    return next((value for key, value in extension.items() if key.startswith("value")), None)


def _extension_value(resource: Resource, url: str) -> str:
    return next((str(_value_of(extension)) for extension in _extensions(resource, url)), "")


def _joined(*parts: str, by: str = ", ") -> str:
    return by.join(part for part in parts if part)


def _notices(composition: Resource) -> tuple[str, ...]:
    notices = [_STATUSES.get(str(composition.get("status")), "")]
    notices += [
        "Annule et remplace une version antérieure" for r in composition.get("relatesTo", ()) if r.get("code") == "replaces"
    ]
    notices.append(_CONFIDENTIALITY.get(str(composition.get("confidentiality")), ""))
    return tuple(notice for notice in notices if notice)


# -- people -----------------------------------------------------------------------------------------------------------


def _person_name(person: Resource) -> str:
    name: Any = next(iter(person.get("name", ())), {})
    if not isinstance(name, Mapping):
        return str(person.get("name", ""))
    titles = [str(t) for t in (*name.get("suffix", ()), *name.get("prefix", ()))]
    title = _TITLES.get(titles[0].upper(), titles[0]) if titles else ""
    given = " ".join(str(g) for g in name.get("given", ()))
    return _joined(title, given, str(name.get("family", "")).upper(), by=" ") or str(name.get("text", ""))


def _device_name(device: Resource) -> str:
    names = [str(n.get("name", "")) for n in device.get("deviceName", ())]
    return _joined(*names) or str(device.get("type", {}).get("text", "Logiciel"))


def _reach(resource: Resource) -> Iterator[Fact]:
    found = resource.get("address", ())
    for address in [found] if isinstance(found, Mapping) else found:
        words = _address(address)
        if words:
            yield Fact("", words)
    ways = [
        _joined(_TELECOMS.get(str(t.get("system")), ""), phone_words(str(t.get("value", ""))), by="\u00a0")
        for t in resource.get("telecom", ())
    ]
    if ways:
        yield Fact("", _joined(*ways, by=" · "))


def phone_words(value: str) -> str:
    """French numbers in pairs that no line end parts, anything else as it is."""
    digits = re.sub(r"[ .\-]", "", value)
    match = re.fullmatch(r"(0|\+33)(\d)(\d{2})(\d{2})(\d{2})(\d{2})", digits)
    if match is None:
        return value
    lead = f"+33 {match[2]}" if match[1] == "+33" else f"0{match[2]}"
    return "\u00a0".join((lead, *match.groups()[2:])).replace(" ", "\u00a0")


def _address(address: Resource) -> str:
    town = _joined(str(address.get("postalCode", "")), str(address.get("city", "")), by=" ")
    lines = [str(line) for line in address.get("line", ())]
    return _joined(*lines, town, str(address.get("country", ""))) or str(address.get("text", ""))


def _number(resource: Resource, system: str) -> str:
    return next((str(i.get("value", "")) for i in resource.get("identifier", ()) if i.get("system") == system), "")


def _party_words(document: Document, reference: Any, *, reached: bool = True) -> str:
    """Who, in what capacity, where, and how to reach them there: on one line."""
    resource = document.at(reference)
    ways = [fact.words for fact in _reach(resource)] if reached else []
    match resource.get("resourceType"):
        case "PractitionerRole":
            person = _person_name(document.at(resource.get("practitioner")))
            place = str(document.at(resource.get("organization")).get("name", ""))
            return _joined(person, _roles(resource), place, *ways)
        case "Practitioner" | "RelatedPerson" | "Patient":
            return _joined(_person_name(resource), *ways)
        case "Organization" | "Location" | "HealthcareService":
            return str(resource.get("name", ""))
        case "Device":
            return _device_name(resource)
        case _:
            return str(reference.get("display", "")) if isinstance(reference, Mapping) else ""


def _roles(role: Resource) -> str:
    words = [_words_of(concept) for concept in (*role.get("code", ()), *role.get("specialty", ()))]
    spoken = [word for word in dict.fromkeys(words) if not re.fullmatch(r"[A-Z]*\d[\w/.-]*", word)]
    return _joined(*spoken)


def _sender(document: Document) -> Iterator[Fact]:
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
        yield Fact("", _party_words(document, reference), strong=True)
        return
    person = document.at(author.get("practitioner"))
    yield Fact("", _person_name(person), strong=True)
    if _roles(author):
        yield Fact("", _roles(author))
    rpps = _number(person, p.RPPS_SYSTEM)
    if rpps:
        yield Fact("RPPS", rpps)
    yield from _reach(author)


def _organisation_facts(place: Resource) -> Iterator[Fact]:
    yield Fact("", str(place.get("name", "")), strong=True)
    yield from _reach(place)
    finess = _number(place, p.FINESS_SYSTEM)
    if finess:
        yield Fact("FINESS", finess)


# -- patient ----------------------------------------------------------------------------------------------------------


def _patient_facts(patient: Resource) -> Iterator[Fact]:
    official = _name_of(patient, "official")
    usual = _name_of(patient, "usual")
    yield Fact("", _patient_name(patient), strong=True)
    birth_names = _extension_value(official, p.EXT_BIRTH_GIVEN_NAMES)
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
    yield from _reach(patient)


def _name_of(patient: Resource, use: str) -> Resource:
    names = [name for name in patient.get("name", ()) if name.get("use", "official") == use]
    return names[0] if names else {}


def _patient_name(patient: Resource) -> str:
    official, usual = _name_of(patient, "official"), _name_of(patient, "usual")
    family = str(usual.get("family") or official.get("family") or "").upper()
    given = " ".join(str(g) for g in (usual.get("given") or official.get("given") or ()))
    other = next((str(name.get("text", "")) for name in patient.get("name", ())), "")
    return _joined(family, given, by=" ") or other or "Identité non précisée"


def _birth(patient: Resource) -> str:
    date = french_date(str(patient.get("birthDate", "")))
    place = next((_value_of(e) or {} for e in _extensions(patient, p.EXT_BIRTH_PLACE)), {})
    code = next((_words_of(_value_of(e)) for e in _extensions(place, p.EXT_INSEE_CODE)), "")
    town = _joined(str(place.get("city", "")), f"({code})" if code else "", by=" ")
    return _joined(date, f"à {town}" if town else "", by=" ")


def _is_qualified(patient: Resource) -> bool:
    for reliability in _extensions(patient, p.EXT_IDENTITY_RELIABILITY):
        for status in _extensions(reliability, "identityStatus"):
            return str((_value_of(status) or {}).get("code")) in _QUALIFIED
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
            yield Fact("IPP" if "PI" in kinds else _joined(*kinds, by="/") or "Identifiant", value)
    if not qualified:
        yield Fact("Identité", "non qualifiée, à vérifier", strong=True)


def _contact(contact: Resource) -> Iterator[Fact]:
    name = contact.get("name", {})
    who = _person_name({"name": [name]}) if name else ""
    relation = _joined(*(_words_of(r) for r in contact.get("relationship", ())))
    words = _joined(who, *(fact.words for fact in _reach(contact)))
    if words:
        yield Fact("Proche", _joined(words, f"({relation})" if relation else "", by=" "))


def _running_head(patient: Resource) -> str:
    official = _name_of(patient, "official")
    birth_name = str(official.get("family", ""))
    shown = _patient_name(patient)
    born = f"{_BORN.get(str(patient.get('gender')), 'né(e) le').lower()} {french_date(str(patient.get('birthDate', '')))}"
    differs = bool(birth_name) and not shown.upper().startswith(birth_name.upper())
    return _joined(shown, f"nom de naissance {birth_name.upper()}" if differs else "", born if patient.get("birthDate") else "")


# -- recipients and circumstances ---------------------------------------------------------------------------------------


def _context(document: Document) -> Iterator[Fact]:
    composition = document.composition
    recipients = [_party_of(document, e) for e in _extensions(composition, p.EXT_INFORMATION_RECIPIENT)]
    if any(recipients):
        yield Fact("Destinataire(s)", _joined(*recipients, by=" ; "))
    for url in (p.EXT_INFORMANT, p.EXT_PARTICIPANT, p.EXT_DATA_ENTERER):
        for extension in _extensions(composition, url):
            words = _party_of(document, extension)
            if words:
                yield Fact("Saisi par" if url == p.EXT_DATA_ENTERER else _participant_label(extension), words)
    for contact in document.at(composition.get("subject")).get("contact", ()):
        yield from _contact(contact)
    yield from _encounter(document, document.at(composition.get("encounter")))
    yield from (fact for event in composition.get("event", ()) if (fact := _act(document, event)).words)
    orders = [document.at(_value_of(e)) for e in _extensions(composition, p.EXT_BASED_ON)]
    numbers = [str(i.get("value", "")) for order in orders for i in order.get("identifier", ())]
    if any(numbers):
        yield Fact("Demande d'origine", _joined(*numbers))


def _act(document: Document, event: Resource) -> Fact:
    """One act: what, when, by whom. A request's act is the request itself: its title says it already."""
    shown = {_plain(_kind(document.composition)), _plain(str(document.composition.get("title", "")))}
    words = _joined(*(w for code in event.get("code", ()) if _plain(w := _words_of(code)) not in shown))
    if not words:
        return Fact("Acte", "")
    by = [_party_words(document, _value_of(e), reached=False) for e in _extensions(event, p.EXT_EVENT_PERFORMER)]
    return Fact("Acte", _joined(words, french_period(event.get("period", {})), f"par {by[0]}" if any(by) else ""))


def _party_of(document: Document, extension: Resource) -> str:
    value = _value_of(extension)
    if isinstance(value, Mapping):
        return _party_words(document, value)
    inner = (_party_of(document, e) for e in extension.get("extension", ()) if "valueReference" in e)
    return _joined(*inner)


def _participant_label(extension: Resource) -> str:
    codes: list[str] = []
    words = ""
    for inner in extension.get("extension", ()):
        value = _value_of(inner)
        if isinstance(value, Mapping) and "reference" not in value:
            codings = value.get("coding", [value])
            codes += [str(coding.get("code", "")) for coding in codings]
            words = words or str(next((coding.get("display", "") for coding in codings), ""))
    for code in sorted(codes, key=lambda c: c != "PCP"):
        if code in _PARTICIPANTS:
            return _PARTICIPANTS[code]
    return words or "Participant"


def _encounter(document: Document, encounter: Resource) -> Iterator[Fact]:
    if not encounter:
        return
    code = encounter.get("class", {})
    said = str(code.get("display", ""))
    kind = said if said.casefold() not in _ENGLISH else _ENCOUNTERS.get(str(code.get("code", "")), said)
    lasting = str(code.get("code", "")) in _LASTING
    place = str(document.at(encounter.get("serviceProvider")).get("name", ""))
    rooms = [str(document.at(entry.get("location")).get("name", "")) for entry in encounter.get("location", ())]
    places = list(dict.fromkeys(x for x in (place, *rooms) if x))
    yield Fact("Prise en charge", _joined(kind, french_period(encounter.get("period", {}), lasting=lasting), *places))
    stay = encounter.get("hospitalization", {})
    for key, label in (("admitSource", "Mode d'entrée"), ("dischargeDisposition", "Mode de sortie")):
        if _words_of(stay.get(key)):
            yield Fact(label, _words_of(stay.get(key)))


def _closing(document: Document) -> Iterator[str]:
    for attester in document.composition.get("attester", ()):
        who = _party_words(document, attester.get("party"), reached=False)
        when = french_date(str(attester.get("time", "")))
        if who and attester.get("mode") == "legal":
            yield f"Document validé par {who}{f', le {when}' if when else ''}"
        elif who:
            yield f"Attesté par {who}{f', le {when}' if when else ''}"


# -- sections ---------------------------------------------------------------------------------------------------------


def _part(document: Document, section: Resource) -> Part:
    blocks = list(_own_narrative(section))
    inner = tuple(_part(document, below) for below in section.get("section", ()) if not _is_twin(section, below))
    twins = [below for below in section.get("section", ()) if _is_twin(section, below)]
    section = {**section, "entry": [entry for each in (section, *twins) for entry in each.get("entry", ())]}
    entries = [document.at(reference) for reference in section.get("entry", ())]
    if not blocks and not inner:
        blocks += [block for entry in entries for block in _narrative_of(entry)]
    blocks += [block for entry in entries if entry.get("resourceType") == "Binary" for block in _binary_blocks(entry)]
    if not blocks and not inner and section.get("emptyReason"):
        reason = section["emptyReason"]
        code = next((str(c.get("code", "")) for c in reason.get("coding", ())), "")
        blocks += _said(str(reason.get("text") or _EMPTY_REASONS.get(code) or _words_of(reason)))
    if not blocks and not inner:
        blocks += _said("Section sans texte.")
    return Part(str(section.get("title") or _words_of(section.get("code")) or "Section"), tuple(blocks), inner)


def _own_narrative(section: Resource) -> tuple[Block, ...]:
    """The narrative, unless it only says the title again: FHIR wants one even where the source has none."""
    blocks = _narrative_of(section)
    return () if _plain(blocks_text(blocks)) == _plain(str(section.get("title", ""))) else blocks


def _is_twin(section: Resource, below: Resource) -> bool:
    """A sub-section made only to hold the entries of its section: same title, same words."""
    same = all(section.get(key, {}) == below.get(key, {}) for key in ("title", "text"))
    return same and not below.get("section")


def _said(words: str) -> tuple[Paragraph, ...]:
    return (Paragraph((Run(words, Ink(italic=True)),)),)


def _narrative_of(resource: Resource) -> tuple[Block, ...]:
    return read_narrative(str(resource.get("text", {}).get("div") or ""))


def _whole_text(composition: Resource) -> tuple[Part, ...]:
    blocks = _narrative_of(composition)
    return (Part("", blocks),) if blocks else ()


def _binary_blocks(binary: Resource) -> tuple[Block, ...]:
    media_type = str(binary.get("contentType", ""))
    try:
        data = base64.b64decode("".join(str(binary.get("data", "")).split()), validate=True)
    except (binascii.Error, ValueError):
        return _said(f"Contenu joint illisible ({media_type}).")
    if media_type.startswith("image/"):
        return (Picture(data),)
    if media_type.startswith("text/plain"):
        return plain_paragraphs(data.decode("utf-8", errors="replace"))
    return _said(f"Pièce jointe ({media_type}, {len(data)} octets), contenue dans le document électronique.")


def all_facts(letter: Letter) -> Sequence[str]:
    """Every word outside the sections, for the check of glyphs."""
    facts = [f"{fact.label} {fact.words}" for fact in (*letter.sender, *letter.patient, *letter.context)]
    return [letter.title, letter.kind, letter.date, letter.identifier, *letter.notices, *letter.closing, *facts]
