"""Changes of metadata: status, visibility and archiving of a document, and nothing else. Pure.

Law: PDSm 3.1.1 (flux de mise à jour: PATCH limited to status, securityLabel, isArchived); FHIRPath Patch (R4 `fhirpatch.html`) as
a Parameters resource, and JSON Patch (RFC 6902). Both are read into the same few changes; anything else is refused, not ignored.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapter.record.profile_rules import IS_ARCHIVED, shape_faults
from adapter.record.refusals import RecordRefusal, refused

Resource = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
_STATUSES = ("current", "superseded")
_PATH = re.compile(
    r"DocumentReference(?:\.(?P<element>status|securityLabel|extension)"
    r"(?:\[(?P<rank>\d{1,2})\]|\.where\((?:coding\.)?(?P<key>code|url|coding\.code)\s*=\s*'(?P<value>[^']{1,200})'\))?"
    r"(?P<tail>\.value(?:\[x\]|Boolean|\.ofType\(boolean\))?)?)?"
)


def amended_by_parameters(document: Mapping[str, Any], parameters: Mapping[str, Any]) -> Resource:
    """The document after a FHIRPath Patch."""
    faults = list(shape_faults(dict(parameters), "Parameters"))
    if faults:
        raise RecordRefusal(faults)
    made = copy.deepcopy(dict(document))
    operations = [one for one in parameters.get("parameter") or () if one.get("name") == "operation"]
    if not operations or len(operations) != len(parameters.get("parameter") or ()):
        raise refused("record.amendment", "Parameters.parameter")
    for rank, operation in enumerate(operations):
        _apply_operation(made, {part.get("name"): part for part in operation.get("part") or ()}, f"Parameters.parameter[{rank}]")
    return _checked(made, document)


def _apply_operation(made: Resource, parts: Mapping[Any, Resource], place: str) -> None:
    kind = _plain(parts.get("type"))
    found = _PATH.fullmatch(_plain(parts.get("path")))
    if found is None:
        raise refused("record.not-amendable", place)
    value = _value(parts.get("value", {}))
    if kind == "add" and found["element"] is None:
        _add(made, _plain(parts.get("name")), value, place)
    elif kind == "replace" and found["element"] == "status" and isinstance(value, str):
        made["status"] = value
    elif kind in ("replace", "delete", "insert") and found["element"] == "securityLabel":
        _change_label(made, kind, found, parts, value, place)
    elif kind in ("replace", "delete") and found["element"] == "extension":
        _change_archived(made, kind, found, value, place)
    else:
        raise refused("record.amendment", place)


def _add(made: Resource, name: str, value: Any, place: str) -> None:
    if name == "securityLabel" and isinstance(value, dict):
        made.setdefault("securityLabel", []).append(value)
    elif name == "extension" and isinstance(value, dict) and value.get("url") == IS_ARCHIVED:
        _set_archived(made, value.get("valueBoolean"), place)
    else:
        raise refused("record.not-amendable", place)


def _change_label(made: Resource, kind: str, found: re.Match[str], parts: Mapping[Any, Resource], value: Any, place: str) -> None:
    labels: list[Resource] = made.setdefault("securityLabel", [])
    if kind == "insert":
        index = parts.get("index", {}).get("valueInteger")
        if found["rank"] or found["value"] or not isinstance(index, int) or not 0 <= index <= len(labels) or not value:
            raise refused("record.amendment", place)
        labels.insert(index, value)
        return
    ranks = _label_ranks(labels, found)
    if len(ranks) != 1:  # FHIRPath Patch: the path of a change leads to one element
        raise refused("record.amendment", place)
    labels[ranks[0] : ranks[0] + 1] = [value] if kind == "replace" else []


def _label_ranks(labels: Sequence[Resource], found: re.Match[str]) -> list[int]:
    if found["rank"]:
        return [int(found["rank"])] if int(found["rank"]) < len(labels) else []
    if found["value"]:
        codes = [{coding.get("code") for coding in label.get("coding") or ()} for label in labels]
        return [rank for rank, held in enumerate(codes) if found["value"] in held]
    return list(range(len(labels)))


def _change_archived(made: Resource, kind: str, found: re.Match[str], value: Any, place: str) -> None:
    if found["key"] != "url" or found["value"] != IS_ARCHIVED:
        raise refused("record.not-amendable", place)
    if kind == "delete":
        _set_archived(made, None, place)
    else:
        _set_archived(made, value.get("valueBoolean") if isinstance(value, dict) else value, place)


def _set_archived(made: Resource, archived: Any, place: str) -> None:
    if archived is not None and not isinstance(archived, bool):
        raise refused("record.amendment", place)
    others = [one for one in made.get("extension") or () if one.get("url") != IS_ARCHIVED]
    if archived is not None:
        others.append({"url": IS_ARCHIVED, "valueBoolean": archived})
    made["extension"] = others


def _plain(part: Mapping[str, Any] | None) -> str:
    return str(next((value for key, value in (part or {}).items() if key.startswith("value")), ""))


def _value(part: Mapping[str, Any]) -> Any:
    """The value of an operation; an extension may be written in parts."""
    for key, value in part.items():
        if key.startswith("value"):
            return value
    written = {one.get("name"): _value(one) for one in part.get("part") or ()}
    if "url" in written:
        return {"url": written["url"], "valueBoolean": written.get("value", written.get("valueBoolean"))}
    return written or None


# ── JSON Patch ─────────────────────────────────────────────────────────────────────────────────────────────────────


def amended_by_json_patch(document: Mapping[str, Any], patch: Any) -> Resource:
    """The document after a JSON Patch (RFC 6902: add, remove, replace, test)."""
    made = copy.deepcopy(dict(document))
    if not isinstance(patch, list) or not patch:
        raise refused("record.amendment", "patch")
    for rank, operation in enumerate(patch):
        place = f"patch[{rank}]"
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise refused("record.amendment", place)
        steps = operation["path"].split("/")[1:]
        if not steps or steps[0] not in ("status", "securityLabel", "extension"):
            raise refused("record.not-amendable", place)
        _apply_json(made, str(operation.get("op")), steps, operation.get("value"), place)
    return _checked(made, document)


def _apply_json(made: Resource, op: str, steps: list[str], value: Any, place: str) -> None:
    if op not in ("add", "remove", "replace", "test"):
        raise refused("record.amendment", place)
    if steps[0] == "extension" and op == "add":
        made.setdefault("extension", [])
    parent: Any = made
    try:
        for step in steps[:-1]:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        _step_json(parent, op, steps[-1], value)
    except (KeyError, IndexError, ValueError, TypeError):
        raise refused("record.amendment", place) from None


def _step_json(parent: Any, op: str, last: str, value: Any) -> None:
    if not isinstance(parent, list | dict):
        raise TypeError("a patch leads into a plain value")
    key: Any = last
    if isinstance(parent, list):
        key = len(parent) if last == "-" else int(last)
    if op == "add" and isinstance(parent, list):
        if not 0 <= key <= len(parent):
            raise IndexError(key)
        parent.insert(key, value)
    elif op == "add":
        parent[key] = value
    elif op == "remove":
        del parent[key]
    elif op == "replace":
        parent[key]  # must be there
        parent[key] = value
    elif parent[key] != value:
        raise ValueError("the test does not hold")


# ── what may have changed ──────────────────────────────────────────────────────────────────────────────────────────


def _checked(made: Resource, before: Mapping[str, Any]) -> Resource:
    """RecordRefusal when more changed than may, or what is left is no DocumentReference."""
    if made.get("status") not in _STATUSES:
        raise refused("record.amendment", "DocumentReference.status")
    if not made.get("securityLabel"):
        raise refused("record.amendment", "DocumentReference.securityLabel")
    if not made.get("extension", True):
        del made["extension"]
    if list(_other_extensions(made)) != list(_other_extensions(before)):
        raise refused("record.not-amendable", "DocumentReference.extension")
    faults = list(shape_faults(made, "DocumentReference"))
    if faults:
        raise RecordRefusal(faults)
    return made


def _other_extensions(document: Mapping[str, Any]) -> Iterator[Any]:
    for one in document.get("extension") or ():
        if not isinstance(one, dict) or one.get("url") != IS_ARCHIVED:
            yield one
