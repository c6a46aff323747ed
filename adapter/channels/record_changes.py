"""A change of metadata on the wire: what differs from what the record holds, as JSON Patch or as a transaction of PATCH entries.

Sources: PDSm 3.1.1 flow 3 (conditional PATCH by identifier, JSON Patch preferred), RFC 6902, FHIR R4 §3.1.0.11.1, MHD 4.2.3
(`IHE.MHD.Patch.Parameters`). Pure. Only status, securityLabel and isArchived are ever touched; nothing different, nothing sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from adapter.packaging.parcel import RecordChange

Resource = dict[str, Any]
IS_ARCHIVED = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-ext-is-archived"
_MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
_MHD_BUNDLE = f"{_MHD}IHE.MHD.Comprehensive.ProvideBundle"
_MHD_PATCH = f"{_MHD}IHE.MHD.Patch.Parameters"


def without_replacements(transaction: bytes) -> bytes:
    """A deposit whose documents replace nothing; what they say of each other stays."""
    bundle = json.loads(transaction)
    for entry in bundle["entry"]:
        resource = entry.get("resource", {})
        others = [one for one in resource.pop("relatesTo", []) if one.get("code") != "replaces"]
        if others:
            resource["relatesTo"] = others
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()


def wanted_of(change: RecordChange) -> dict[str, Any]:
    """The elements that the change sets, by name."""
    wanted: dict[str, Any] = {"status": change.status} if change.status else {}
    if change.labels:
        wanted |= json.loads(change.labels)
    if change.archived is not None:
        wanted["isArchived"] = change.archived
    return wanted


def differing(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is wanted, what the record's DocumentReference does not say yet."""
    return {name: value for name, value in wanted.items() if not _holds(held, name, value)}


def _holds(held: Mapping[str, Any], name: str, value: Any) -> bool:
    if name == "isArchived":
        return any(one.get("url") == IS_ARCHIVED and one.get("valueBoolean") is value for one in _extensions(held))
    if name == "securityLabel":
        return _codes(held.get("securityLabel")) == _codes(value)
    return bool(held.get(name) == value)


def _codes(labels: Any) -> set[tuple[str, str]]:
    """A record may add displays, or put the labels in another order."""
    concepts = labels if isinstance(labels, list) else []
    codings = [coding for concept in concepts if isinstance(concept, dict) for coding in concept.get("coding", ())]
    return {(str(one.get("system", "")), str(one.get("code", ""))) for one in codings if isinstance(one, dict)}


def _extensions(held: Mapping[str, Any]) -> list[Resource]:
    found = held.get("extension")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def json_patch(held: Mapping[str, Any], changes: Mapping[str, Any]) -> list[Resource]:
    """RFC 6902 operations. `add` on a member sets it whether or not it is there; other extensions stay."""
    operations: list[Resource] = []
    for name, value in changes.items():
        if name == "isArchived":
            kept = [one for one in _extensions(held) if one.get("url") != IS_ARCHIVED]
            operations.append({"op": "add", "path": "/extension", "value": [*kept, {"url": IS_ARCHIVED, "valueBoolean": value}]})
        else:
            operations.append({"op": "add", "path": f"/{name}", "value": value})
    return operations


def patch_transaction(
    change: RecordChange, targets: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], patient: Mapping[str, Any]
) -> bytes:
    """The submission set and one PATCH entry a document, by the record's own ids. `targets`: what is held, what changes.

    A status alone is what MHD's Parameters profile writes; a wider change goes as JSON Patch in a Binary (FHIR R4 §3.1.0.11.1),
    because FHIRPath Patch has no word for "these labels and no others".
    """
    references = [{"reference": f"DocumentReference/{held['id']}"} for held, _ in targets]
    listed = json.loads(change.submission_set)
    listed |= {"subject": dict(patient), "entry": [{"item": item} for item in references]}
    tag = listed["meta"]["tag"][0]
    conditional = f"_tag={tag['system']}|{tag['code']}"
    first = {"resource": listed, "request": {"method": "POST", "url": "List", "ifNoneExist": conditional}}
    first["fullUrl"] = listed["identifier"][1]["value"]
    entries = [first, *(_patch_entry(held, changes) for held, changes in targets)]
    profile = [_MHD_BUNDLE] if all(set(changes) == {"status"} for _, changes in targets) else []
    bundle: Resource = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    if profile:
        bundle["meta"] = {"profile": profile}
    return json.dumps(bundle, ensure_ascii=False).encode()


def _patch_entry(held: Mapping[str, Any], changes: Mapping[str, Any]) -> Resource:
    request = {"method": "PATCH", "url": f"DocumentReference/{held['id']}"}
    version = held.get("meta", {}).get("versionId") if isinstance(held.get("meta"), dict) else None
    if version:
        request["ifMatch"] = f'W/"{version}"'
    if set(changes) == {"status"}:
        return {"resource": _status_parameters(str(changes["status"])), "request": request}
    operations = json.dumps(json_patch(held, changes)).encode()
    data = base64.b64encode(operations).decode("ascii")
    return {
        "resource": {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data},
        "request": request,
    }


def _status_parameters(status: str) -> Resource:
    parts = [
        {"name": "path", "valueString": "DocumentReference.status"},
        {"name": "type", "valueCode": "replace"},
        {"name": "value", "valueCode": status},
    ]
    return {"resourceType": "Parameters", "meta": {"profile": [_MHD_PATCH]}, "parameter": [{"name": "operation", "part": parts}]}
