"""A request that is no exam and no stay: an advice, the help of a support platform, a proposal to be someone's GP.

Source: FR Document Core `fr-service-request-document` (draft), fhir-profiles §5. No published value set names these acts: their
codes are those of our own forms, beside the French words. The form's own urgency word stands in a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.document import coding_of
from adapter.fhir.narrative import generated
from adapter.model.confidential import Confidential
from adapter.model.document import Code

Resource = dict[str, Any]

REQUEST_KINDS = p.OUR_CODES + "nature-demande"


@dataclass(frozen=True, repr=False)
class Referral(Confidential):
    """One request. `kind` says what is asked of the recipient, `act` which of the form's choices; `intent` order or proposal."""

    identifier: Resource
    requisition: Resource
    intent: str
    kind: Code
    act: Code
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


def referral_request(referral: Referral, *, resource_id: str) -> Resource:
    """The ServiceRequest. A sent request never changes its meaning: a correction is another one."""
    concept = {"url": "concept", "valueCodeableConcept": {"text": referral.reason}}
    resource: Resource = {
        "resourceType": "ServiceRequest",
        "id": resource_id,
        "meta": {"profile": [p.SERVICE_REQUEST_DOCUMENT]},
        "text": generated(referral.act.label),
        "extension": [{"url": p.EXT_REQUEST_REASON, "extension": [concept]}],
        "identifier": [referral.identifier],
        "requisition": referral.requisition,
        "status": "active",
        "intent": referral.intent,
        "category": [{"coding": [coding_of(referral.kind)]}],
        "priority": referral.priority,
        "code": {"coding": [coding_of(referral.act)], "text": referral.act.label},
        "subject": referral.subject,
        "encounter": referral.encounter,
        **referral.occurrence,
        "authoredOn": referral.authored,
        "requester": referral.requester,
        "performer": [referral.performer],
        "reasonCode": [{"text": referral.reason}],
        "supportingInfo": list(referral.supporting),
    }
    if referral.notes:
        resource["note"] = [{"text": text} for text in referral.notes]
    return resource
