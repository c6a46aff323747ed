"""A request's Task out of its transaction: orders by reference, all else contained, what the software made of it too. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapter.fhir.bundle import resources_of
from adapter.fhir.standing_alone import standing_alone
from adapter.requests.transitions import OUTCOME_CODES

Resource = dict[str, Any]


@dataclass(frozen=True)
class Received:
    """What a practice's software said of the request's document: the outcome's code and French label, whether it is a no."""

    code: str
    label: str
    is_failure: bool
    at: datetime


def task_alone(task: Resource, bundle: Resource, version: int, received: Received | None, zone: ZoneInfo) -> Resource:
    """The Task as it is read by itself; `version` counts its changes. An outcome shows while no answer was given."""
    orders = {f"urn:uuid:{one['id']}": f"ServiceRequest/{one['id']}" for one in resources_of(bundle, "ServiceRequest")}
    alone = standing_alone(_pointed(task, orders), bundle)
    changed = datetime.fromisoformat(task["lastModified"])
    if received is not None:
        changed = max(changed, received.at)
        if task["status"] == "requested":
            alone |= _said(received)
    moment = changed.astimezone(zone).isoformat(timespec="milliseconds")
    return alone | {"meta": alone["meta"] | {"versionId": str(version), "lastUpdated": moment}}


def _said(received: Received) -> Resource:
    """*Received* once it is in their records; *failed* with its outcome when it is not; else as it was."""
    if received.is_failure:
        coding = {"system": OUTCOME_CODES, "code": received.code, "display": received.label}
        return {"status": "failed", "statusReason": {"coding": [coding], "text": received.label}}
    return {"status": "received"} if received.code != "waiting-for-matching" else {}


def _pointed(value: Any, references: dict[str, str]) -> Any:
    """The same data with some references led elsewhere."""
    match value:
        case {"reference": str() as url} if url in references:
            return value | {"reference": references[url]}
        case dict():
            return {key: _pointed(one, references) for key, one in value.items()}
        case list():
            return [_pointed(one, references) for one in value]
        case _:
            return value
