"""From a route plan to rows: the deliveries to make, and the questions that only a person can answer. Pure."""

from __future__ import annotations

import uuid
from datetime import date, datetime

from adapter.ledger.records import StoredSubmission
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.effects import Translation
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan, RoutePlan
from adapter.model.submission import Submission, Urgency
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.parcel import SenderProfile

_NAMESPACE = uuid.UUID("6f0d3a4e-5c39-5c0e-9a3e-2f4f4f1d7c11")
_PRIORITY = {Urgency.URGENT: 10, Urgency.SEMI_URGENT: 50}
_ROUTINE_PRIORITY = 100


def stable_id(*parts: str) -> str:
    """A UUIDv5 of what a row is about: the same plan gives the same rows again."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def only_kept(translation: Translation, on: date, directory_revision: str) -> StoredSubmission:
    """A document of an archive: all that is kept of any other, and an empty plan."""
    return StoredSubmission(translation, RoutePlan(on.isoformat(), directory_revision), is_archived=True)


def deliveries_of(submission: Submission, plan: RoutePlan, sender: SenderProfile) -> tuple[Delivery, ...]:
    """One delivery per leg: the first leg of each recipient is queued, its fallbacks wait."""
    waits = any(leg.after_record for recipient in plan.recipients for leg in recipient.legs)
    return tuple(
        _delivery(submission, recipient, leg, sender, waits=waits) for recipient in plan.recipients for leg in recipient.legs
    )


def _delivery(submission: Submission, recipient: RecipientPlan, leg: Leg, sender: SenderProfile, *, waits: bool) -> Delivery:
    delivery_id = stable_id(submission.id, recipient.role_id, leg.channel.value, str(leg.order))
    first = min(other.order for other in recipient.legs)
    return Delivery(
        id=delivery_id,
        submission_id=submission.id,
        legal_entity=submission.legal_entity,
        document_id=submission.document.unique_id,
        version=submission.document.version,
        intent=submission.intent.value,
        role_id=recipient.role_id,
        channel=leg.channel,
        leg=leg.order,
        state=DeliveryState.QUEUED if leg.order == first else DeliveryState.WAITING,
        reference=_reference(delivery_id, leg.channel, sender),
        priority=_PRIORITY.get(submission.urgency, _ROUTINE_PRIORITY),
        partner=leg.address if leg.channel is ChannelName.HL7_PUSH else "",
        sequence=_sequence(submission, leg, waits_for_record=waits),
    )


def _sequence(submission: Submission, leg: Leg, *, waits_for_record: bool) -> str:
    """Versions of one document enter local software in their order; other documents do not wait for them. A mail that waits for
    the record shares its sequence: whatever the record answers ends the wait.
    """
    if leg.after_record or (waits_for_record and leg.channel is ChannelName.SHARED_RECORD):
        return stable_id("record-first", submission.id)
    if leg.channel is not ChannelName.HL7_PUSH:
        return ""
    document = submission.document
    return stable_id("versions", submission.legal_entity, leg.address, document.set_id or document.replaces or document.unique_id)


def _reference(delivery_id: str, channel: ChannelName, sender: SenderProfile) -> str:
    """What travels and comes back with the proofs: a Message-ID for mail, an MSH-10 for HL7, else the delivery's own id."""
    if channel is ChannelName.SECURE_MAIL:
        return f"<{delivery_id}@{sender.mailbox.rpartition('@')[2]}>"
    if channel is ChannelName.HL7_PUSH:
        return control_id_of(delivery_id)
    return delivery_id


def control_id_of(delivery_id: str) -> str:
    """An MSH-10 of 20 characters, from an id that is a UUID: the longest that every version of HL7 takes."""
    return "T" + delivery_id.replace("-", "")[:19]


def open_questions(submission: Submission, plan: RoutePlan, now: datetime) -> tuple[WorkItem, ...]:
    """One work item per recipient that cannot be served, and one when there is no recipient at all."""
    items = [
        _question(submission, r.role_id, r.parked_because, _naming(r), r.phone_line, now)
        for r in plan.recipients
        if r.parked_because
    ]
    if not plan.recipients:
        items.append(
            _question(submission, "", "no-recipient", "Aucun destinataire : indiquer à qui adresser ce document.", "", now)
        )
    return tuple(items)


def _naming(recipient: RecipientPlan) -> str:
    """Which recipient the question is about; a patient, or what may be a patient's address, is never named."""
    if recipient.kind is RecipientKind.PATIENT or "@patient." in recipient.display.lower() or not recipient.display:
        return recipient.explanation
    return f"{recipient.display} : {recipient.explanation}"


def _question(submission: Submission, role: str, reason: str, advice: str, phone: str, now: datetime) -> WorkItem:
    return WorkItem(
        id=stable_id(submission.id, role, reason),
        legal_entity=submission.legal_entity,
        about=WorkAbout.SUBMISSION,
        about_id=submission.id,
        reason=reason,
        advice=advice,
        opened_at=now,
        urgent=submission.urgency is Urgency.URGENT,
        phone_line=phone,
    )
