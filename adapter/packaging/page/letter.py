"""What a reader must know of a document Bundle before its sections: who, to whom, when, which version. In French words.

Law: print what is there. Nothing is concluded from an absence; a code without words is printed as the code.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapter.errors import RenditionError
from adapter.fhir import profiles as p
from adapter.model.confidential import Confidential
from adapter.packaging.page.enclosed import Enclosed, is_enclosed, read_enclosed
from adapter.packaging.page.narrative import Block, Ink, Paragraph, Picture, Run, blocks_text, plain_paragraphs, read_narrative
from adapter.packaging.page.people import contact_facts, patient_facts, running_head_of, sender_facts
from adapter.packaging.page.words import (
    Document,
    Fact,
    Resource,
    extension_value,
    extensions,
    french_date,
    french_period,
    joined,
    party_words,
    plain,
    value_of,
    words_of,
)

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
    enclosed: tuple[Enclosed, ...] = ()


def read_letter(bundle: Resource) -> Letter:
    """The letter of a document Bundle."""
    document = _index(bundle)
    composition = document.composition
    if not composition:
        raise RenditionError("pdf.no-composition", "the Bundle holds no Composition, hence no document")
    enclosed = read_enclosed(document)
    kind = _kind(composition)
    title = str(composition.get("title") or kind or "Document")
    identifier = str(bundle.get("identifier", {}).get("value", "") or bundle.get("id", ""))
    return Letter(
        title=title,
        kind="" if plain(kind) == plain(title) else kind,
        date=french_date(str(composition.get("date", ""))),
        created=_instant(str(bundle.get("timestamp") or composition.get("date") or "")),
        identifier=identifier,
        version=extension_value(composition, p.EXT_COMPOSITION_VERSION),
        notices=_notices(composition),
        sender=tuple(sender_facts(document)),
        patient=tuple(patient_facts(document.at(composition.get("subject")))),
        context=tuple(_context(document)),
        parts=tuple(_part(document, section, enclosed) for section in composition.get("section", ())) or _whole_text(composition),
        closing=tuple(_closing(document)),
        running_head=running_head_of(document.at(composition.get("subject"))),
        enclosed=enclosed,
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
    return str(concept.get("text") or "") or ours or words_of(concept)


def _notices(composition: Resource) -> tuple[str, ...]:
    notices = [_STATUSES.get(str(composition.get("status")), "")]
    notices += [
        "Annule et remplace une version antérieure" for r in composition.get("relatesTo", ()) if r.get("code") == "replaces"
    ]
    notices.append(_CONFIDENTIALITY.get(str(composition.get("confidentiality")), ""))
    return tuple(notice for notice in notices if notice)


# -- recipients and circumstances ---------------------------------------------------------------------------------------


def _context(document: Document) -> Iterator[Fact]:
    composition = document.composition
    recipients = [_party_of(document, e) for e in extensions(composition, p.EXT_INFORMATION_RECIPIENT)]
    if any(recipients):
        yield Fact("Destinataire(s)", joined(*recipients, by=" ; "))
    for url in (p.EXT_INFORMANT, p.EXT_PARTICIPANT, p.EXT_DATA_ENTERER):
        for extension in extensions(composition, url):
            words = _party_of(document, extension)
            if words:
                yield Fact("Saisi par" if url == p.EXT_DATA_ENTERER else _participant_label(extension), words)
    for contact in document.at(composition.get("subject")).get("contact", ()):
        yield from contact_facts(contact)
    yield from _encounter(document, document.at(composition.get("encounter")))
    yield from (fact for event in composition.get("event", ()) if (fact := _act(document, event)).words)
    orders = [document.at(value_of(e)) for e in extensions(composition, p.EXT_BASED_ON)]
    numbers = [str(i.get("value", "")) for order in orders for i in order.get("identifier", ())]
    if any(numbers):
        yield Fact("Demande d'origine", joined(*numbers))


def _act(document: Document, event: Resource) -> Fact:
    """One act: what, when, by whom. A request's act is the request itself: its title says it already."""
    shown = {plain(_kind(document.composition)), plain(str(document.composition.get("title", "")))}
    words = joined(*(w for code in event.get("code", ()) if plain(w := words_of(code)) not in shown))
    if not words:
        return Fact("Acte", "")
    by = [party_words(document, value_of(e), reached=False) for e in extensions(event, p.EXT_EVENT_PERFORMER)]
    return Fact("Acte", joined(words, french_period(event.get("period", {})), f"par {by[0]}" if any(by) else ""))


def _party_of(document: Document, extension: Resource) -> str:
    value = value_of(extension)
    if isinstance(value, Mapping):
        return party_words(document, value)
    inner = (_party_of(document, e) for e in extension.get("extension", ()) if "valueReference" in e)
    return joined(*inner)


def _participant_label(extension: Resource) -> str:
    codes: list[str] = []
    words = ""
    for inner in extension.get("extension", ()):
        value = value_of(inner)
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
    yield Fact("Prise en charge", joined(kind, french_period(encounter.get("period", {}), lasting=lasting), *places))
    stay = encounter.get("hospitalization", {})
    for key, label in (("admitSource", "Mode d'entrée"), ("dischargeDisposition", "Mode de sortie")):
        if words_of(stay.get(key)):
            yield Fact(label, words_of(stay.get(key)))


def _closing(document: Document) -> Iterator[str]:
    for attester in document.composition.get("attester", ()):
        who = party_words(document, attester.get("party"), reached=False)
        when = french_date(str(attester.get("time", "")))
        if who and attester.get("mode") == "legal":
            yield f"Document validé par {who}{f', le {when}' if when else ''}"
        elif who:
            yield f"Attesté par {who}{f', le {when}' if when else ''}"


# -- sections ---------------------------------------------------------------------------------------------------------


def _part(document: Document, section: Resource, enclosed: tuple[Enclosed, ...]) -> Part:
    blocks = list(_own_narrative(section))
    inner = tuple(_part(document, below, enclosed) for below in section.get("section", ()) if not _is_twin(section, below))
    twins = [below for below in section.get("section", ()) if _is_twin(section, below)]
    section = {**section, "entry": [entry for each in (section, *twins) for entry in each.get("entry", ())]}
    entries = [document.at(reference) for reference in section.get("entry", ())]
    if not blocks and not inner:
        blocks += [block for entry in entries for block in _narrative_of(entry)]
    for entry in entries:
        if entry.get("resourceType") == "Binary":
            apart = is_enclosed(entry, enclosed)
            blocks += _where_printed(apart, enclosed.index(apart) + 1) if apart else _binary_blocks(entry)
    if not blocks and not inner and section.get("emptyReason"):
        reason = section["emptyReason"]
        code = next((str(c.get("code", "")) for c in reason.get("coding", ())), "")
        blocks += _said(str(reason.get("text") or _EMPTY_REASONS.get(code) or words_of(reason)))
    if not blocks and not inner:
        blocks += _said("Section sans texte.")
    return Part(str(section.get("title") or words_of(section.get("code")) or "Section"), tuple(blocks), inner)


def _own_narrative(section: Resource) -> tuple[Block, ...]:
    """The narrative, unless it only says the title again: FHIR wants one even where the source has none."""
    blocks = _narrative_of(section)
    return () if plain(blocks_text(blocks)) == plain(str(section.get("title", ""))) else blocks


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


def _where_printed(one: Enclosed, number: int) -> tuple[Paragraph, ...]:
    """Where the reader of a paper finds it, or whom to ask for it."""
    if one.pictures:
        pages = "1 page" if len(one.pictures) == 1 else f"{len(one.pictures)} pages"
        return _said(f"Pièce jointe n° {number}, imprimée à la suite ({pages}).")
    return _said(f"Pièce jointe n° {number} non imprimée : {one.problem}. La demander à l’émetteur si elle manque.")


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
