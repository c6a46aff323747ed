"""From an answer that a sender is owed to the delivery that carries it: to whom, under which MSH-10, after which other. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from adapter.ledger.acks import AckCase, OwedAck
from adapter.model.ack import AckKind, Asker, BusinessAck, told_about
from adapter.model.delivery import Delivery, DeliveryState, Purpose, SendOutcome
from adapter.model.plan import ChannelName, RecipientPlan
from adapter.model.work_item import (
    OPERATOR_DOWN_ADVICE,
    PARTNER_DOWN,
    PARTNER_DOWN_ADVICE,
    RECORD_DOWN_ADVICE,
    WorkAbout,
    WorkItem,
)
from adapter.packaging.build import UNKNOWN_PEER
from adapter.packaging.parcel import MailContent, Parcel, SenderProfile
from adapter.pipeline.plan import control_id_of, stable_id
from adapter.routing.choose import RouteSettings
from adapter.tracking.ack_retries import is_absent, is_door_closed
from adapter.tracking.business_ack import Answer, owed_answers
from adapter.tracking.causes import Decision

# Small, and waited for: before routine documents, after urgent ones. Below 50 would read as an urgent document.
ACK_PRIORITY = 60
NO_PARTNER = "no-ack-partner"
_ADVICE = "Cet émetteur demande des accusés, mais aucun partenaire ne les reçoit : renseigner acks_to, puis relancer."
# Ways out through one door for everybody: named by the channel, as an HL7 partner is by its name.
_DOORS = {ChannelName.SECURE_MAIL: OPERATOR_DOWN_ADVICE, ChannelName.SHARED_RECORD: RECORD_DOWN_ADVICE}
_UNANSWERED_ADVICE = "L'émetteur de ce courriel n'a pas reçu notre réponse : lire la cause, le prévenir autrement, ou relancer."
_REFUSED_ADVICE = "Ce partenaire refuse des accusés qui lui sont dus : lire sa réponse, corriger, puis relancer."


def owed_acks(case: AckCase, senders: Mapping[str, SenderProfile], now: datetime) -> tuple[OwedAck, ...]:
    """The acknowledgements to send to one sender, in the order in which they must arrive."""
    answers = [one for one in owed_answers(case.asker.acks, case.proofs, case.told) if not _is_untimely(one, case)]
    return tuple(_owed(case, answer, case.count + rank, senders, now) for rank, answer in enumerate(answers, 1))


def _is_untimely(answer: Answer, case: AckCase) -> bool:
    """A mail is said to be taken once, when all of it is; that one of its documents was refused is said at once. A mail that
    waits after all of it was taken (read again under other settings) was taken all the same.
    """
    if answer.kind is not AckKind.MAIL:
        return False
    waits_as_a_whole = case.asker.id == case.asker.receipt_id
    return not case.mail_is_done if answer.positive else waits_as_a_whole and any(one.positive for one in case.told)


def _owed(case: AckCase, answer: Answer, rank: int, senders: Mapping[str, SenderProfile], now: datetime) -> OwedAck:
    asker = case.asker
    sender = senders[asker.legal_entity]
    ack = _ack(case, answer)
    partner = dict(sender.hl7.acks_to).get(case.peer, "")
    by_mail = answer.kind is AckKind.MAIL
    about = told_about(answer.kind, answer.role_id)
    times = next((one.times for one in case.told if (one.kind, one.role_id) == about), 0) + 1
    is_whole_mail = by_mail and answer.positive
    told_of = (asker.receipt_id, "whole") if is_whole_mail else (asker.id, answer.role_id)
    delivery_id = stable_id("ack", told_of[0], answer.kind.value, told_of[1], str(times))
    is_stuck = not (by_mail or partner)
    delivery = Delivery(
        id=delivery_id,
        submission_id=asker.id,
        legal_entity=asker.legal_entity,
        # An acknowledgement is about one request: its document may be known to another.
        document_id=asker.id,
        version=asker.version,
        intent=asker.intent,
        role_id=f"{answer.kind.value} {'Y' if answer.positive else 'N'} {times} {answer.role_id}",
        channel=ChannelName.SECURE_MAIL if by_mail else ChannelName.HL7_PUSH,
        leg=rank,
        state=DeliveryState.PARKED if is_stuck else DeliveryState.QUEUED,
        reference=f"<{delivery_id}@{sender.mailbox.rpartition('@')[2]}>" if by_mail else control_id_of(delivery_id),
        purpose=Purpose.ACK,
        priority=ACK_PRIORITY,
        cause=NO_PARTNER if is_stuck else "",
        partner="" if by_mail else (partner or f"{UNKNOWN_PEER}{case.peer}")[:64],  # as its work item names it
        sequence=stable_id("acks", asker.receipt_id if by_mail else asker.id),
    )
    return OwedAck(delivery, ack, _question(delivery, now) if is_stuck else None)


def _ack(case: AckCase, answer: Answer) -> BusinessAck:
    recipient = next((one for one in case.plan.recipients if one.role_id == answer.role_id), None)
    return BusinessAck(
        kind=answer.kind,
        role_id=answer.role_id,
        positive=answer.positive,
        happened_at=answer.happened_at,
        reason=answer.reason,
        control_id=case.asker.control_id,
        address=_address(case.asker, answer.role_id, recipient),
        person_id=f"8{recipient.rpps}" if recipient is not None and recipient.rpps else "",
        peer=case.peer,
    )


def _address(asker: Asker, role_id: str, recipient: RecipientPlan | None) -> str:
    """The mailbox as the sender knows it: not the sandbox that a test instance put in its place."""
    legs = recipient.legs if recipient is not None else ()
    for leg in legs:
        if leg.channel is ChannelName.SECURE_MAIL:
            return leg.intended or leg.address
    if role_id == "patient":
        return asker.patient_address
    named = role_id.partition(":")[2]
    return named if "@" in named else ""


def answers_partner(delivery: Delivery) -> bool:
    """True for what goes back to a partner of our own configuration: a test instance has test partners, no sandbox is needed."""
    return delivery.purpose is Purpose.ACK and delivery.channel is ChannelName.HL7_PUSH


def in_sandbox(parcel: Parcel, routes: RouteSettings) -> Parcel:
    """An answer by mail goes, from a test instance, to its sandbox: whoever it names in its headers (seam 12)."""
    if routes.production or not isinstance(parcel.content, MailContent):
        return parcel
    address = routes.sandbox.get(ChannelName.SECURE_MAIL, "")
    return replace(parcel, address=address, content=replace(parcel.content, envelope_to=address))


def question_on_partner(
    delivery: Delivery, outcome: SendOutcome, decision: Decision, new_id: Callable[[], str], now: datetime
) -> WorkItem | None:
    """What a person is asked about a partner after a send: it does not answer, or it refuses what it is owed. Once each."""
    if not delivery.partner:
        return _question_at_door(delivery, outcome, decision, new_id, now)
    if delivery.purpose is Purpose.ACK and decision.needs_person:
        advice = _ADVICE if decision.cause == NO_PARTNER else _REFUSED_ADVICE
        return _about_partner(new_id(), delivery, decision.cause, advice, now)
    if is_absent(outcome, delivery.attempts):
        return _about_partner(new_id(), delivery, PARTNER_DOWN, PARTNER_DOWN_ADVICE, now)
    return None


def _question_at_door(
    delivery: Delivery, outcome: SendOutcome, decision: Decision, new_id: Callable[[], str], now: datetime
) -> WorkItem | None:
    """The same where everybody goes by one door; there, an answer by mail that is refused is asked about by itself."""
    advice = _DOORS.get(delivery.channel, "")
    if advice and is_door_closed(outcome, delivery.attempts):
        return _about_partner(new_id(), delivery, PARTNER_DOWN, advice, now)
    if delivery.purpose is Purpose.ACK and decision.needs_person:
        entity, reason = delivery.legal_entity, decision.cause
        return WorkItem(new_id(), entity, WorkAbout.DELIVERY, delivery.id, reason, _UNANSWERED_ADVICE, now)
    return None


def _about_partner(item_id: str, delivery: Delivery, reason: str, advice: str, now: datetime) -> WorkItem:
    name = delivery.partner[:64] or delivery.channel.value
    return WorkItem(item_id, delivery.legal_entity, WorkAbout.PARTNER, name, reason, advice, now)


def _question(delivery: Delivery, now: datetime) -> WorkItem:
    """One for all that this peer is owed, not one each."""
    return _about_partner(stable_id("question", delivery.id), delivery, NO_PARTNER, _ADVICE, now)
