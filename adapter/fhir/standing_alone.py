"""A resource taken out of its document, made whole: what it refers to is contained in it, its patient named by identifier.

Law: FHIR R4 §2.3.0.2 (contained resources: no nested ones, no version, each one referenced). What a search hands out one by one
must be read without the Bundle that it came from.
"""

from __future__ import annotations

import copy
from typing import Any

from adapter.fhir import profiles as p

Resource = dict[str, Any]

# Too large, or the document itself: named by the document's identifier instead.
_STAYS_IN_DOCUMENT = frozenset({"Composition", "Binary", "DocumentReference", "Provenance"})


def standing_alone(resource: Resource, bundle: Resource) -> Resource:
    """A copy of a resource of a document Bundle that refers to nothing outside itself. `meta.source` names the document."""
    return _Extract(resource, bundle).made


class _Extract:
    """One extraction: what was reached is contained once, whoever refers to it."""

    def __init__(self, resource: Resource, bundle: Resource) -> None:
        self._by_url = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
        self._document = bundle["identifier"]
        self._own_url = f"urn:uuid:{resource['id']}"
        self._names: dict[str, str] = {}
        self._contained: list[Resource] = []
        made = self._rewritten(copy.deepcopy(resource))
        made["meta"] = {"source": _uri_of(self._document)} | resource.get("meta", {})
        if self._contained:
            made["contained"] = self._contained
        self.made: Resource = made

    def _rewritten(self, value: Any) -> Any:
        match value:
            case {"reference": str() as url} if url in self._by_url:
                return self._reference(url, value)
            case dict():
                return {key: self._rewritten(one) for key, one in value.items() if not _is_empty_after_cut(key, one)}
            case list():
                return [self._rewritten(one) for one in value if not _leads_to_narrative(one)]
            case _:
                return value

    def _reference(self, url: str, reference: Resource) -> Resource:
        if url == self._own_url:
            return reference | {"reference": "#"}
        target = self._by_url[url]
        kind = target["resourceType"]
        said = {key: value for key, value in reference.items() if key != "reference"}
        if kind == "Patient":
            return said | patient_reference(target)
        if kind in _STAYS_IN_DOCUMENT:
            return said | {"type": kind, "identifier": self._document}
        return reference | {"reference": f"#{self._contain(url, target)}"}

    def _contain(self, url: str, target: Resource) -> str:
        if url not in self._names:
            self._names[url] = f"{target['resourceType'].lower()}{len(self._names) + 1}"
            place = len(self._contained)
            self._contained.append({})  # named before what it refers to, which may refer back
            bare = {key: value for key, value in copy.deepcopy(target).items() if key not in ("text", "id", "contained")}
            self._contained[place] = {"resourceType": target["resourceType"], "id": self._names[url]} | self._rewritten(bare)
        return self._names[url]


def patient_reference(patient: Resource) -> Resource:
    """Whom a resource is about, by what a reader may match: the official identifier first, and never by a link of ours."""
    identifiers = sorted(patient.get("identifier", ()), key=lambda one: one.get("use") != "official")
    reference: Resource = {"type": "Patient"}
    if identifiers:
        reference["identifier"] = {
            key: identifiers[0][key] for key in ("use", "type", "system", "value") if key in identifiers[0]
        }
    names = patient.get("name", ())
    display = " ".join([*names[0].get("given", ()), names[0].get("family", "")]).strip() if names else ""
    return reference | ({"display": display} if display else {})


def _leads_to_narrative(value: Any) -> bool:
    return isinstance(value, dict) and value.get("url") == p.EXT_NARRATIVE_LINK  # a place that is not handed out


def _is_empty_after_cut(key: str, value: Any) -> bool:
    return key == "extension" and isinstance(value, list) and all(map(_leads_to_narrative, value))


def _uri_of(identifier: Resource) -> str:
    """The document's unique id as one URI."""
    value, system = str(identifier["value"]), str(identifier["system"])
    return value if system == p.URI_SYSTEM else f"{system}#{value}"
