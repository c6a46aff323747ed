"""The way back from a resource to the CDA node that it was made of: the path of its id, or where its party was first named."""

from __future__ import annotations

from collections.abc import Mapping

from adapter.fhir.bundle import Ids
from adapter.fhir.parties import Parties

_HEADER = {
    "Composition": "ClinicalDocument",
    "Bundle": "ClinicalDocument",
    "Patient": "recordTarget/patientRole",
    "Encounter": "componentOf/encompassingEncounter",
    "Location": "componentOf/encompassingEncounter/location",
}


def source_map(ids: Ids, actors: Parties, sections: int) -> dict[str, str]:
    """For each resource id, the node that it comes from; `Composition.title` and `section[0]` for parts of the Composition."""
    found = {made: place for made, path in ids.minted.items() if (place := _place(path))} | actors.places
    found |= {f"Composition.{element}": place for element, place in COMPOSITION_PLACES.items()}
    return found | {f"section[{n}]": f"component/structuredBody/component[{n + 1}]/section" for n in range(sections)}


def _place(path: tuple[str, ...]) -> str:
    kind, *steps = path
    if not steps:
        return _HEADER.get(kind, "")
    if kind == "Binary" and steps == ["body"]:
        return "component/nonXMLBody/text"
    if kind == "ServiceRequest" and steps[0] == "answered":
        return f"inFulfillmentOf[{int(steps[1]) + 1}]/order"
    if kind == "Consent":
        return f"authorization[{int(steps[0]) + 1}]/consent"
    return _body_place(steps)


def _body_place(steps: list[str]) -> str:
    """`section 0 section 1 entry 2 …` as a path; what follows the entry is the builder's own."""
    found, rest = "component/structuredBody", iter(steps)
    for name in rest:
        rank = next(rest, "")
        if name not in ("section", "entry") or not rank.isdigit():
            break
        found += f"/component[{int(rank) + 1}]/section" if name == "section" else f"/entry[{int(rank) + 1}]"
    return found if found != "component/structuredBody" else ""


# Elements of the Composition, and the header's parts that they come from.
COMPOSITION_PLACES: Mapping[str, str] = {
    "author": "author", "attester": "legalAuthenticator", "custodian": "custodian", "relatesTo": "relatedDocument",
    "event": "documentationOf", "confidentiality": "confidentialityCode", "type": "code", "title": "title",
    "date": "effectiveTime", "language": "languageCode", "identifier": "setId", "section": "component/structuredBody",
}  # fmt: skip
