"""What a document Bundle says of its own making: a Provenance, and the section that lists what was not taken over.

Deterministic: the Provenance bears the document's own instant, never the clock's; the maker is named by its version and by the
revision of its mapping files. FHIR R4 §Documents allows a Provenance beside what the Composition names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import entry_of, reference_to
from adapter.fhir.narrative import XHTML, generated
from adapter.model.effects import UnreadNode

Resource = dict[str, Any]

SOFTWARE = "Trait d'union"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_MOST_PLACES = 40
_SECTION_STEP = re.compile(r"component(?:\[(\d+)\])?/section")
_TITLE = "Éléments non repris"
_MESSAGE_TITLE = "Éléments du message non repris"
_METADATA = "metadata."


@dataclass(frozen=True)
class Maker:
    """Who made a Bundle: our version, and the revision of the mapping files."""

    version: str
    mapping_revision: str


def with_account(bundle: Resource, source_id: str, provenance_id: str, maker: Maker, unread: Iterable[UnreadNode]) -> Resource:
    """The Bundle with its Provenance and, when something was left, the section that says so. `source_id`: the source's Binary."""
    entries = list(bundle["entry"])
    composition = entries[0]["resource"]
    source = next((e["resource"] for e in entries if e["resource"].get("id") == source_id), None)
    left = list(unread)
    if left:
        section = _section(composition, left, source)
        composition = composition | {"section": [*composition.get("section", ()), section]}
        entries[0] = entries[0] | {"resource": composition}
    entries.append(entry_of(_provenance(bundle, source, provenance_id, maker)))
    return bundle | {"entry": entries}


def _provenance(bundle: Resource, source: Resource | None, made: str, maker: Maker) -> Resource:
    """The software is contained: it is nobody's device but this document's maker."""
    versions = [
        {"type": {"text": "logiciel"}, "value": maker.version},
        {"type": {"text": "correspondances"}, "value": maker.mapping_revision or "aucune"},
    ]
    software = {
        "resourceType": "Device",
        "id": "logiciel",
        "deviceName": [{"name": SOFTWARE, "type": "user-friendly-name"}],
        "version": versions,
    }
    what: Resource = reference_to(source) if source is not None else {}
    return {
        "resourceType": "Provenance",
        "id": made,
        "text": generated(f"Traduit par {SOFTWARE} {maker.version}, correspondances {maker.mapping_revision or 'aucune'}"),
        "contained": [software],
        "target": [{"reference": bundle["entry"][0]["fullUrl"]}],
        "recorded": bundle["timestamp"],
        "activity": {"coding": [{"system": _LIFECYCLE, "code": "transform"}]},
        "agent": [
            {"type": {"coding": [{"system": _PARTICIPANT, "code": "assembler"}]}, "who": {"reference": "#logiciel"}},
        ],
        "entity": [{"role": "source", "what": what | {"identifier": bundle["identifier"]}}],
    }


# -- what was left ---------------------------------------------------------------------------------------------------------


def _section(composition: Resource, left: list[UnreadNode], source: Resource | None) -> Resource:
    kept = "Le document source, joint tel que reçu, les contient."
    told = f"{_values(len(left)).capitalize()} du document source ne figurent pas parmi les données codées de ce document. {kept}"
    section = _list_of("unread", _TITLE, told, _counted(_place_of(composition, node.path) for node in left))
    if source is not None:
        section["entry"] = [reference_to(source)]
    return section


def with_message_left(bundle: Resource, left: Iterable[UnreadNode]) -> Resource:
    """The Bundle with one more section, when something of the message that carried the document was left."""
    places = _counted(node.path.partition("-")[0].partition("[")[0] for node in left)
    if not places:
        return bundle
    count = _values(sum(places.values())).capitalize()
    kept = "Le message d’origine, gardé par qui a émis ce document, les contient."
    told = f"{count} du message HL7 qui portait ce document ne figurent pas ici. {kept}"
    first, *others = bundle["entry"]
    composition = first["resource"]
    section = _list_of("unread-message", _MESSAGE_TITLE, told, places)
    composition = composition | {"section": [*composition.get("section", ()), section]}
    return bundle | {"entry": [first | {"resource": composition}, *others]}


def _list_of(code: str, title: str, told: str, places: dict[str, int]) -> Resource:
    """A section that counts what was left at each place."""
    shown = list(places.items())[:_MOST_PLACES]
    items = "".join(f"<li>{escape(name, quote=False)} : {_values(count)}</li>" for name, count in shown)
    if len(places) > len(shown):
        items += f"<li>et {len(places) - len(shown)} autres endroits</li>"
    div = f'<div xmlns="{XHTML}"><p>{escape(told, quote=False)}</p><ul>{items}</ul></div>'
    concept = {"coding": [{"system": p.OUR_CODES + "section", "code": code}], "text": title}
    return {"title": title, "code": concept, "text": {"status": "generated", "div": div}}


def _values(count: int) -> str:
    return f"{count} valeur" if count == 1 else f"{count} valeurs"


def _counted(names: Iterable[str]) -> dict[str, int]:
    """How many values were left in each section, or in each part of the header; in the order of the source."""
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def _place_of(composition: Resource, path: str) -> str:
    if path.startswith(_METADATA):
        return f"Propriétés du fichier ({path.removeprefix(_METADATA)})"
    if not path.startswith("component"):
        return f"En-tête ({path.split('/')[0].partition('[')[0]})" if "/" in path else path
    sections, title = composition.get("section", ()), ""
    for step in _SECTION_STEP.finditer(path.removeprefix("component/structuredBody/")):
        rank = int(step[1] or 1) - 1
        if rank >= len(sections):
            break
        title, sections = str(sections[rank].get("title", "")), sections[rank].get("section", ())
    return f"Section « {title} »" if title else "Corps du document"
