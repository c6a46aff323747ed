"""A person changes who may see a document: what has not left leaves so, who holds it is told, who cannot be told is named.

Part of *prepare* (the order is a receipt of our own, `ledger.visibility`) and of *dispatch* (the newest visibility rules whatever
leaves later). Law: blueprint seams 6, 7, 15; PDSm 3.1.1 flow 3. The record and practices that import take a change of metadata
(intent `metadata`); a mail, a fax or a message of HL7 that left cannot be changed: the command says so, by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Claimed, ClaimedDelivery, ClaimedReceipt, StoredEffects, StoredSubmission
from adapter.ledger.status import SERVED
from adapter.ledger.visibility import PATIENT, PROFESSIONALS, REPRESENTATIVES, hidden_by
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.effects import Ignored
from adapter.model.plan import ChannelName, RecipientPlan
from adapter.model.submission import AcksWanted, Intent, Submission, Visibility
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.plan import deliveries_of, stable_id
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory
from adapter.routing.policy import facts_of

S = DeliveryState
# Who takes a change of metadata of what they hold.
CHANGEABLE = frozenset({ChannelName.SHARED_RECORD, ChannelName.INBOX})
_HELD = frozenset({*SERVED, S.ON_WIRE, S.UNCLEAR})
AUDIENCES = (PATIENT, PROFESSIONALS, REPRESENTATIVES)


@dataclass(frozen=True, repr=False)
class Holder(Confidential):
    """A recipient who has, or may have, a document: by which channel, and how they are called."""

    recipient: RecipientPlan
    delivery: Delivery

    @property
    def has_newer(self) -> bool:
        """True when a newer version is for them too: that one is to be changed."""
        return bool(self.delivery.superseded_by)

    @property
    def can_be_changed(self) -> bool:
        """True when a change of metadata reaches them."""
        return self.delivery.channel in CHANGEABLE and not self.has_newer


@dataclass(frozen=True, repr=False)
class VisibilityState(Confidential):
    """A document before a change: from whom it is hidden now, who holds it, how many deliveries have not left yet."""

    document_id: str
    hidden: frozenset[str]
    holders: tuple[Holder, ...]
    unsent: int


def state_of(ledger: Ledger, document_id: str, legal_entity: str) -> VisibilityState | None:
    """What is known of a document's visibility; None when this entity never sent it, or it was cancelled."""
    kept = _kept(ledger, document_id, legal_entity)
    if not kept or ledger.is_cancelled(kept[-1].translation.submission.id, legal_entity=legal_entity):
        return None
    change = ledger.visibility_change(document_id, legal_entity=legal_entity)
    hidden = change.hidden if change is not None else hidden_by(kept[-1].translation.submission.visibility)
    holders = tuple(_holders(kept).values())
    deliveries = [d for one in kept for d in one.deliveries if d.purpose is Purpose.DOCUMENT]
    unsent = sum(d.state in (S.QUEUED, S.CLAIMED, S.WAITING, S.PARKED) for d in deliveries)
    return VisibilityState(document_id, hidden, holders, unsent)


def _kept(ledger: Ledger, document_id: str, legal_entity: str) -> list[StoredSubmission]:
    ids = ledger.submissions_of(document_id, legal_entity=legal_entity)
    return [ledger.kept_submission(one, legal_entity=legal_entity) for one in ids]


def _holders(kept: list[StoredSubmission]) -> dict[str, Holder]:
    """One holder a role; of several ways, the one that surely arrived."""
    found: dict[str, Holder] = {}
    for one in kept:
        recipients = {recipient.role_id: recipient for recipient in one.plan.recipients}
        for delivery in sorted(one.deliveries, key=lambda d: d.state in SERVED):
            if _has_it(delivery) and delivery.role_id in recipients:
                found[delivery.role_id] = Holder(recipients[delivery.role_id], delivery)
    return found


def _has_it(delivery: Delivery) -> bool:
    if delivery.purpose is not Purpose.DOCUMENT:
        return False
    return delivery.state in _HELD or delivery.unclear_count > 0


# ── prepare ────────────────────────────────────────────────────────────────────────────────────────────────────────


def is_visibility_order(content: bytes) -> bool:
    """True for an order of ours about visibility, among those that the desk gives."""
    told = json.loads(content)
    return isinstance(told, Mapping) and "visibility" in told


def effects_of_change(ledger: Ledger, claim: ClaimedReceipt, directory: Directory, sender: SenderProfile) -> StoredEffects:
    """The change of metadata for all who hold the document and can take it; run again, the same rows."""
    order, receipt = json.loads(claim.content), claim.receipt
    kept = _kept(ledger, order["document"], receipt.legal_entity)
    if not kept or ledger.is_cancelled(kept[-1].translation.submission.id, legal_entity=receipt.legal_entity):
        return StoredEffects(outcome=Ignored("cancelled-by-sender"))
    newest = kept[-1]
    holders = [holder for holder in _holders(kept).values() if holder.can_be_changed]
    if not holders:
        return StoredEffects(outcome=Ignored("visibility-kept"))
    before = newest.translation.submission
    number = int(order["number"])
    submission = replace(
        before,
        id=stable_id("visibility", receipt.id),
        receipt_id=receipt.id,
        intent=Intent.METADATA,
        # Each change is a version of its own of the same document: none is taken for a repeat of another.
        document=replace(before.document, version=before.document.version + number),
        visibility=seen_by(before.visibility, frozenset(order["visibility"])),
        acks=AcksWanted(),
        revision=before.revision + number,
    )
    plan = replace(newest.plan, recipients=tuple(_changed_recipient(holder, directory) for holder in holders))
    translation = replace(newest.translation, submission=submission, steps=())
    return StoredEffects((StoredSubmission(translation, plan, deliveries_of(submission, plan, sender)),))


def _changed_recipient(holder: Holder, directory: Directory) -> RecipientPlan:
    """The same way as the document, with what the partner says today of how it takes changes."""
    legs = [leg for leg in holder.recipient.legs if leg.channel is holder.delivery.channel]
    today = {f"record:{record.key}": record.changes for record in directory.entries.records}
    made = tuple(
        replace(leg, order=1, after_record=False, changes=today.get(holder.recipient.role_id, leg.changes)) for leg in legs[:1]
    )
    return replace(holder.recipient, legs=made, rejected=())


def seen_by(before: Visibility, hidden: frozenset[str]) -> Visibility:
    """A visibility with exactly these audiences shut out."""
    return replace(
        before,
        hidden_from_professionals=PROFESSIONALS in hidden,
        hidden_from_patient=PATIENT in hidden,
        hidden_from_representatives=REPRESENTATIVES in hidden,
        changes_confidentiality=True,
    )


def seen_now(ledger: Ledger, submission: Submission) -> Submission:
    """The submission with the newest visibility of its document; itself when nobody changed it."""
    change = ledger.visibility_change(submission.document.unique_id, legal_entity=submission.legal_entity)
    if change is None or change.hidden == hidden_by(submission.visibility):
        return submission
    return replace(submission, visibility=seen_by(submission.visibility, change.hidden))


# ── dispatch ───────────────────────────────────────────────────────────────────────────────────────────────────────


def as_visible_now(ledger: Ledger, claim: Claimed) -> Claimed:
    """The claim with the newest visibility of its document: what leaves late leaves as it may be seen today."""
    if not isinstance(claim, ClaimedDelivery) or claim.submission.intent is Intent.CANCEL:
        return claim
    now = seen_now(ledger, claim.submission)
    return claim if now is claim.submission else replace(claim, submission=now)


def masked_since(before: Claimed, now: Claimed, directory: Callable[[], Directory], settings: RouteSettings, on: date) -> str:
    """Why a channel that was allowed carries the document no more, as a cause; empty when it still may."""
    if before is now or not isinstance(now, ClaimedDelivery) or now.submission.intent is Intent.METADATA:
        return ""
    kind = next((one.kind for one in now.plan.recipients if one.role_id == now.delivery.role_id), None)
    if kind is None:
        return ""
    objection = settings.policy.objection(facts_of(now.submission, directory(), on), kind, now.delivery.channel)
    return objection.code if objection is not None else ""
