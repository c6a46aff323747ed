"""What is written of a send: the delivery's new state, the next leg, and whom it asks. Pure but for the ids of questions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from adapter.ledger.records import Claimed, ClaimedAck, ClaimedDelivery, Settlement
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.parties import RecipientKind
from adapter.model.submission import Urgency
from adapter.model.work_item import NO_BOX_ADVICE, NO_BOX_REASON, WorkAbout, WorkItem
from adapter.pipeline.acks import question_on_partner
from adapter.pipeline.bundles import recipient_of
from adapter.tracking.causes import Decision, suspends_address

NewId = Callable[[], str]


def settlement_of(claim: Claimed, outcome: SendOutcome, decision: Decision, new_id: NewId, now: datetime) -> Settlement:
    """What becomes of one delivery after a send. An urgent document that did not leave is told of at once."""
    question = question_on_partner(claim.delivery, outcome, decision, new_id, now)
    if isinstance(claim, ClaimedAck) or (question is not None and decision.state is DeliveryState.QUEUED):
        delay = now + decision.delay if decision.delay is not None else None
        reference, detail = outcome.partner_reference, outcome.detail
        return Settlement(decision.state, decision.cause, detail, reference, not_before=delay, work_item=question)
    urgent = claim.submission.urgency is Urgency.URGENT and outcome.kind is not OutcomeKind.ACCEPTED
    is_asked = decision.needs_person or decision.person_if_last or urgent
    return Settlement(
        state=decision.state,
        cause=decision.cause,
        detail=outcome.detail,
        partner_reference=outcome.partner_reference,
        not_before=now + decision.delay if decision.delay is not None else None,
        open_next_leg=decision.opens_next_leg,
        work_item=_work_item(claim, decision, new_id(), now) if is_asked else None,
        work_item_only_if_last=decision.person_if_last and not decision.needs_person and not urgent,
        ends_quietly=decision.ends_quietly,
        suspends_address=outcome.kind is OutcomeKind.REFUSED and suspends_address(outcome.cause),
    )


def _work_item(claim: ClaimedDelivery, decision: Decision, item_id: str, now: datetime) -> WorkItem:
    recipient = recipient_of(claim.delivery, claim.plan)
    has_no_box = recipient.kind is RecipientKind.PATIENT and decision.opens_next_leg
    return WorkItem(
        id=item_id,
        legal_entity=claim.delivery.legal_entity,
        about=WorkAbout.DELIVERY,
        about_id=claim.delivery.id,
        reason=NO_BOX_REASON if has_no_box else decision.cause,
        advice=NO_BOX_ADVICE if has_no_box else decision.advice,
        opened_at=now,
        urgent=claim.submission.urgency is Urgency.URGENT,
        phone_line=recipient.phone_line,
    )
