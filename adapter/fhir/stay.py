"""The order of a stay and what stands beside it: isolation, the letter enclosed, the hospital's answer.

Source: fhir-profiles §5. No published code list names the French kinds of stay: ours (HDJ, HDS, HC), with the v3-ActCode class as
a translation. Isolation is a Flag; the wish of a single room a coded preference on the order, never an order of its own.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.document import binary_resource, coding_of
from adapter.fhir.narrative import generated
from adapter.fhir.service_request import active_request
from adapter.model.confidential import Confidential
from adapter.model.document import Code

Resource = dict[str, Any]

_ADMISSION = {"system": p.SNOMED, "code": "32485007", "display": "Hospital admission"}
_FLAG_CATEGORY = {"system": "http://terminology.hl7.org/CodeSystem/flag-category", "code": "safety", "display": "Safety"}
EXT_SINGLE_ROOM = p.OURS + "single-room-wished"
STAY_SYSTEM = p.OUR_CODES + "type-hospitalisation"
PATHWAYS = p.OUR_CODES + "pathway"


@dataclass(frozen=True, repr=False)
class StayOrder(Confidential):
    """One stay asked for. References are FHIR References; `occurrence` is the ready element (period or dateTime)."""

    identifier: Resource
    requisition: Resource
    kind: Code
    translation: Code
    caption: str
    priority: str
    authored: str
    occurrence: Resource
    reason: str
    subject: Resource
    encounter: Resource
    requester: Resource
    performer: Resource
    supporting: tuple[Resource, ...] = ()
    notes: tuple[str, ...] = ()
    single_room: bool | None = None
    pathway: Code | None = None


def stay_request(order: StayOrder, *, resource_id: str) -> Resource:
    """The ServiceRequest of a stay."""
    extensions: list[Resource] = []
    if order.single_room is not None:
        extensions.append({"url": EXT_SINGLE_ROOM, "valueBoolean": order.single_room})
    if order.pathway is not None:
        extensions.append({"url": p.EXT_PATHWAY, "valueCodeableConcept": {"coding": [coding_of(order.pathway)]}})
    return active_request(
        resource_id, order.caption, profile=p.SERVICE_REQUEST_DOCUMENT, reason=order.reason, identifier=order.identifier,
        requisition=order.requisition, intent="order", category=[_ADMISSION], priority=order.priority,
        code={"coding": [coding_of(order.kind), coding_of(order.translation)], "text": order.caption},
        subject=order.subject, encounter=order.encounter, occurrence=order.occurrence, authored=order.authored,
        requester=order.requester, performer=order.performer, supporting=order.supporting, notes=order.notes,
        extension=extensions,
    )  # fmt: skip


def isolation_flag(*, resource_id: str, subject: Resource, author: Resource, text: str) -> Resource:
    """The isolation that the patient needs, in the requester's words."""
    caption = f"Isolement : {text}"
    return {
        "resourceType": "Flag",
        "id": resource_id,
        "text": generated(caption),
        "status": "active",
        "category": [{"coding": [_FLAG_CATEGORY]}],
        "code": {"text": caption},
        "subject": subject,
        "author": author,
    }


def enclosed_letter(
    content: str, media_type: str, title: str, *, ids: tuple[str, str], subject: Resource, author: Resource, on: str
) -> tuple[Resource, Resource]:
    """A letter enclosed with a form, byte for byte: its DocumentReference and its Binary."""
    data = base64.b64decode("".join(content.split()))
    attachment = {
        "contentType": media_type,
        "url": f"urn:uuid:{ids[1]}",
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode("ascii"),
        "title": title,
    }
    reference: Resource = {
        "resourceType": "DocumentReference",
        "id": ids[0],
        "text": generated(title),
        "status": "current",
        "subject": subject,
        "author": [author],
        "description": title,
        "content": [{"attachment": attachment}],
    }
    if "T" in on:  # FHIR wants an instant: a day alone is not made one
        reference["date"] = on
    return reference, binary_resource(data, media_type, ids[1])
