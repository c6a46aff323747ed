"""A request that is no exam and no stay: an advice, the help of a support platform, a proposal to be someone's GP.

Source: FR Document Core `fr-service-request-document` (draft), fhir-profiles §5. No published value set names these acts: their
codes are those of our own forms, beside the French words. The form's own urgency word stands in a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.document import coding_of
from adapter.fhir.service_request import active_request
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
    """The ServiceRequest."""
    act = referral.act
    return active_request(
        resource_id, act.label, profile=p.SERVICE_REQUEST_DOCUMENT, reason=referral.reason, identifier=referral.identifier,
        requisition=referral.requisition, intent=referral.intent, category=[coding_of(referral.kind)], priority=referral.priority,
        code={"coding": [coding_of(act)], "text": act.label}, subject=referral.subject, encounter=referral.encounter,
        occurrence=referral.occurrence, authored=referral.authored, requester=referral.requester,
        performer=referral.performer, supporting=referral.supporting, notes=referral.notes,
    )  # fmt: skip
