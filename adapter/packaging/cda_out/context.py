"""What every entry that we write has in common: templates, ids, words by reference, actors, comments."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import Entries, extension, extensions, party_of
from adapter.model.parties import Party, Professional
from adapter.packaging.cda_out.header import write_assigned, write_author
from adapter.packaging.cda_out.narrative import Narrative
from adapter.packaging.cda_out.values import add_concept, add_ids, add_ts, add_when
from adapter.packaging.cda_out.xml import V3, Element, add

Fhir = Mapping[str, Any]

_TAG = re.compile(r"<[^>]*>")
_DONE = "completed"


@dataclass(frozen=True)
class EntryWriter:
    """Where an entry is written. `kind` is what the section does with its entries (`history` of an imaging request…)."""

    entries: Entries
    narrative: Narrative
    kind: str = ""
    accepts: tuple[str, ...] = ()

    def reference(self, resource: Fhir, words: str) -> str:
        """`#…` of the words of a resource: where the narrative says them already, else where they are added."""
        link = str(extension(resource, p.EXT_NARRATIVE_LINK).get("valueUrl", ""))
        return self.narrative.anchor_at(link.rpartition("#")[2]) or self.narrative.anchor(words)

    def party(self, reference: object) -> Party | None:
        """Who a reference names; None for the patient, or nobody."""
        return party_of(reference, self.entries)


Write = Callable[[Element, Fhir, EntryWriter], None]


def start(parent: Element, name: str, class_code: str, mood: str, templates: tuple[str, ...]) -> Element:
    """An act with its templates."""
    made = add(parent, name, classCode=class_code, moodCode=mood)
    for template in templates:
        add(made, "templateId", root=template)
    return made


def add_text_reference(parent: Element, reference: str) -> None:
    """`text` by reference."""
    add(add(parent, "text"), "reference", value=reference)


def kept_templates(resource: Fhir) -> tuple[str, ...]:
    """The templates that a CDA source gave this entry."""
    return tuple(str(found.get("valueString", "")).partition("|")[0] for found in extensions(resource, p.EXT_TEMPLATE_ID))


def caption_of(resource: Fhir) -> str:
    """The resource's own narrative, as plain words."""
    text = resource.get("text")
    div = text.get("div", "") if isinstance(text, dict) else ""
    return " ".join(unescape(_TAG.sub(" ", str(div))).split())


def related(parent: Element, kind: str, *, inverted: bool | None = None) -> Element:
    """An entryRelationship."""
    return add(parent, "entryRelationship", typeCode=kind, inversionInd="" if inverted is None else str(inverted).lower())


def add_performers(parent: Element, references: object, at: EntryWriter, *, most: int = 0) -> None:
    """Those who do what the entry tells."""
    found = [party for reference in references or () if (party := at.party(reference))] if isinstance(references, list) else []
    for party in found[:most] if most else found:
        made = add(parent, "performer", typeCode="PRF")
        _add_party_time(made, party)
        write_assigned(add(made, "assignedEntity"), party)


def _add_party_time(parent: Element, party: Party) -> None:
    began, _, ended = party.time.partition("/")
    if began and not ended:
        add_ts(parent, "time", {"time": began}, "time")


def add_author(parent: Element, reference: object, at: EntryWriter, moment: Fhir | None = None) -> None:
    """Who wrote the entry, when the resource names somebody who acts. `moment`: `{"time": …}` when the reference has none."""
    party = at.party(reference)
    if party is None or (party.professional is None and party.device is None):
        return
    made = add(parent, "author")
    began = party.time.partition("/")[0]
    add_ts(made, "time", {"time": began} if began else moment or {}, "time", absent="UNK")
    write_author(made, party)


def add_comments(parent: Element, notes: object, at: EntryWriter) -> None:
    """FR-Commentaire-ER, one a note."""
    for note in notes if isinstance(notes, list) else ():
        if isinstance(note, dict) and str(note.get("text", "")).strip():
            _add_comment(parent, note, at)


def _add_comment(parent: Element, note: Fhir, at: EntryWriter) -> None:
    templates = ("2.16.840.1.113883.10.20.1.40", "1.3.6.1.4.1.19376.1.5.3.1.4.2", "1.2.250.1.213.1.1.3.32")
    act = start(related(parent, "SUBJ", inverted=True), "act", "ACT", "EVN", templates)
    add_concept(act, "code", _loinc("48767-8", "Commentaire"))
    add_text_reference(act, at.narrative.anchor(str(note["text"])))
    add(act, "statusCode", code=_DONE)
    named = note.get("authorString")
    party = at.party(note.get("authorReference")) or (Party(Professional(family=str(named))) if named else None)
    if party is not None:
        author = add(act, "author")
        add_ts(author, "time", note, "time", absent="UNK")
        write_author(author, party)


def _loinc(code: str, label: str) -> Fhir:
    return {"coding": [{"system": p.LOINC, "code": code, "display": label}]}


def loinc(code: str, label: str) -> Fhir:
    """A LOINC concept."""
    return _loinc(code, label)


def cisis(code: str, label: str) -> Fhir:
    """A concept of the CI-SIS's own list (TA_ASIP)."""
    return {"coding": [{"system": p.CISIS, "code": code, "display": label}]}


def snomed(code: str, label: str) -> Fhir:
    """A SNOMED CT concept."""
    return {"coding": [{"system": p.SNOMED, "code": code, "display": label}]}


SIMPLE_OBSERVATION = ("1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.2.250.1.213.1.1.3.48")


def seed_of(resource: Fhir) -> str:
    """What the ids of a resource's parts derive from: its identifier, which a way there and back does not change."""
    first = next((found for found in resource.get("identifier") or () if isinstance(found, dict) and found.get("value")), {})
    return str(first.get("value") or resource.get("id", "")).removeprefix("urn:uuid:")


def add_simple_observation(parent: Element, code: Fhir, words: str, at: EntryWriter, *more: str, holder: Fhir) -> Element:
    """FR-Simple-Observation that qualifies another entry; its id derives from its words' place."""
    made = start(parent, "observation", "OBS", "EVN", (*SIMPLE_OBSERVATION, *more))
    reference = at.narrative.anchor(words)
    add_ids(made, {"id": f"{seed_of(holder)}{reference}"})
    add_concept(made, "code", code)
    add_text_reference(made, reference)
    add(made, "statusCode", code=_DONE)
    add_when(made, {}, "effective", absent="UNK")
    return made


def find(parent: Element, path: str) -> Element | None:
    """A descendant by CDA names (`consumable/manufacturedProduct`)."""
    return parent.find("/".join(f"{{{V3}}}{step}" for step in path.split("/")))
