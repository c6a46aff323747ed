"""The form in which metadata are held: references to places here, profiles that say what they became. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapter.record import profile_rules as rules

Resource = dict[str, Any]


def related_ids(document: Mapping[str, Any]) -> list[str]:
    """What a document says that it relates to, as names to lock."""
    targets = [relation.get("target") or {} for relation in document.get("relatesTo") or ()]
    return [str((one.get("identifier") or {}).get("value") or one.get("reference") or "").lower() for one in targets]


def named(reference: Mapping[str, Any], target: str) -> Resource:
    """A reference to a place here; a logical identifier beside it stays."""
    kept = {key: value for key, value in reference.items() if key in ("identifier", "display", "type")}
    return {"reference": target} | kept


def declare_as_held(metadata: Resource) -> None:
    """What was published simply is held as comprehensive metadata: its bytes are elsewhere now, which its profile forbids."""
    declared = rules.profiles_of(metadata)
    if not declared & rules.SIMPLIFIED_PROFILES:
        return
    kept = [one for one in metadata["meta"]["profile"] if one.partition("|")[0] not in rules.SIMPLIFIED_PROFILES]
    metadata["meta"]["profile"] = [*kept, *([rules.PDSM_DOCUMENT] if rules.PDSM_SIMPLIFIED in declared else [])]
    if not metadata["meta"]["profile"]:
        del metadata["meta"]["profile"]


def drop_unnamed(resource: Resource) -> None:
    """R4 wants each contained resource to be referred to: a patient that only `subject` named is held on its own now."""
    text = json.dumps(resource)
    kept = [one for one in resource.get("contained") or () if f'"reference": "#{one.get("id")}"' in text]
    if resource.get("contained"):
        resource["contained"] = kept
    if not kept:
        resource.pop("contained", None)


def written(resource: Mapping[str, Any]) -> bytes:
    """A resource as it is sealed."""
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
