"""What every ServiceRequest of ours is made of, in FHIR's order: the requests of exams, stays and advice fill it in.

A sent request never changes its meaning: a correction is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated

Resource = dict[str, Any]


def active_request(
    resource_id: str,
    caption: str,
    *,
    profile: str,
    reason: str,
    identifier: Resource,
    requisition: Resource,
    intent: str,
    category: Sequence[Resource],
    priority: str,
    code: Resource,
    subject: Resource,
    encounter: Resource,
    occurrence: Resource,
    authored: str,
    requester: Resource,
    performer: Resource,
    supporting: Sequence[Resource],
    notes: Sequence[str],
    extension: Sequence[Resource] = (),
    body_sites: Sequence[Resource] = (),
) -> Resource:
    """The resource. `reason` is told twice: as R4 has it, and as R5's `reason` in R4, which the French profiles want."""
    concept = {"url": "concept", "valueCodeableConcept": {"text": reason}}
    resource: Resource = {
        "resourceType": "ServiceRequest",
        "id": resource_id,
        "meta": {"profile": [profile]},
        "text": generated(caption),
        "extension": [{"url": p.EXT_REQUEST_REASON, "extension": [concept]}, *extension],
        "identifier": [identifier],
        "requisition": requisition,
        "status": "active",
        "intent": intent,
        "category": [{"coding": [coding]} for coding in category],
        "priority": priority,
        "code": code,
        "subject": subject,
        "encounter": encounter,
        **occurrence,
        "authoredOn": authored,
        "requester": requester,
        "performer": [performer],
        "reasonCode": [{"text": reason}],
    }
    told = {"supportingInfo": list(supporting), "bodySite": list(body_sites), "note": [{"text": text} for text in notes]}
    return resource | {name: values for name, values in told.items() if values}
