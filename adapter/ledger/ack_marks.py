"""Marks what a sender who asked for acknowledgements is owed, in the very transaction that changes a delivery's state.

A mark is a proof waiting to be told; `acks.settle_acks` turns marks into deliveries. A refusal that is tried again is no news:
its mark is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from adapter.ledger import tables
from adapter.ledger.database import Transaction
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import write_asked
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.effects import Refusal
from adapter.model.evidence import READERS_NO
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, RoutePlan
from adapter.model.submission import Submission

S = DeliveryState
Row = Mapping[Any, Any]

# States that may be news to a sender. On the way there is none; `accepted` proves nothing to them.
_NEWS = frozenset({S.DELIVERED, S.READ, S.INTEGRATED, S.REFUSED, S.PARKED, S.CANCELLED})
_TAKEN_BACK = (S.REFUSED.value, S.PARKED.value, S.CANCELLED.value)
# Who says that a recipient cannot be served at all: our own plan.
PLAN = "plan"
# Of whom a mail is, that waits as a whole.
WHOLE_MAIL = "mail"


def mark(tx: Transaction, row: Row, state: DeliveryState, *, cause: str, source: str, detail: str, at: datetime) -> None:
    """Note a delivery's new state for its sender, if they asked, and for whoever else sent this document and asked; called with
    the row as it was before.
    """
    if row["purpose"] != Purpose.DOCUMENT.value:
        return
    if state is S.QUEUED:
        _take_back(tx, row)
    if state not in _NEWS:
        return
    told = {
        "legal_entity": row["legal_entity"],
        "delivery_id": row["id"],
        "role_id": row["role_id"],
        "channel": row["channel"],
        "state": state.value,
        "cause": cause,
        "source": source,
        "detail": detail,
        "at": at,
    }
    rows = [{**told, "submission_id": asker_id} for asker_id in _askers(tx, row)]
    if rows:
        tx.execute(insert(tables.ack_pending), rows)


def mark_unserved(tx: Transaction, submission: Submission, plan: RoutePlan) -> None:
    """Note the recipients of a new plan for whom nothing can leave: a record that nobody opened, a mailbox unknown."""
    if not submission.acks.any:
        return
    rows = [
        _row(
            submission.legal_entity,
            submission.id,
            role_id=one.role_id,
            channel=_missed_channel(submission, one.kind).value,
            state=S.PARKED.value,
            cause=one.parked_because,
            at=tx.now,
        )
        for one in plan.recipients
        if one.parked_because
    ]
    if rows:
        tx.execute(insert(tables.ack_pending), rows)


def _missed_channel(submission: Submission, kind: RecipientKind) -> ChannelName:
    """The channel whose answer is owed: what came by mail was for local software."""
    if submission.mail is not None:
        return ChannelName.HL7_PUSH
    return ChannelName.SHARED_RECORD if kind is RecipientKind.RECORD else ChannelName.SECURE_MAIL


def mark_too_old(tx: Transaction, submission: Submission, delivery: Delivery) -> None:
    """What came by mail after a newer version of it is refused to its sender: 900. Other doors told what they keep at once."""
    if submission.mail is not None and submission.acks.any:
        _insert(tx, submission, delivery.id, delivery.role_id, delivery.channel.value, S.REFUSED, "identity-900")


def mark_reached(tx: Transaction, submission: Submission, known: Sequence[Row]) -> None:
    """The same document came before, by another message or mail: its sender gets the answers that are known already. What is
    still on its way is told when it moves.
    """
    if not submission.acks.any:
        return
    rows = [
        _row(
            submission.legal_entity,
            submission.id,
            delivery_id=row["id"],
            role_id=row["role_id"],
            channel=row["channel"],
            state=row["state"],
            cause=row["cause"],
            # A no that only a reader gives: it had arrived.
            source="mdn" if row["cause"].startswith(READERS_NO) else PLAN,
            at=row["changed_at"],
        )
        for row in known
        if S(row["state"]) in _NEWS
    ]
    if rows:
        tx.execute(insert(tables.ack_pending), rows)


def mark_again(tx: Transaction, submission: Submission) -> None:
    """Prepared again: what software took while the rest of its mail waited could not be told, and may be now."""
    if submission.mail is None or not submission.acks.any:
        return
    d = tables.delivery
    mine = (d.c.submission_id == submission.id, d.c.purpose == Purpose.DOCUMENT.value, d.c.state == S.INTEGRATED.value)
    mark_reached(tx, submission, tx.execute(select(d).where(*mine)).mappings().all())


def mark_refused(tx: Transaction, receipt: Row, refusal: Refusal) -> None:
    """A mail waits for a person: its sender is told why, from what is kept here of whom to tell."""
    entity, receipt_id, chunk = receipt["legal_entity"], receipt["id"], tables.payload_chunk
    tx.execute(delete(chunk).where(chunk.c.row_id == receipt_id, chunk.c.kind == PayloadKind.ASKED.value))
    tx.keep(entity, receipt_id, PayloadKind.ASKED, write_asked(refusal.asked))
    row = _row(entity, receipt_id, role_id=WHOLE_MAIL, state=S.REFUSED.value, cause=refusal.cause, at=tx.now)
    tx.execute(insert(tables.ack_pending), [row])


def _insert(
    tx: Transaction, submission: Submission, delivery_id: str, role_id: str, channel: str, state: DeliveryState, cause: str
) -> None:
    row = _row(
        submission.legal_entity,
        submission.id,
        delivery_id=delivery_id,
        role_id=role_id,
        channel=channel,
        state=state.value,
        cause=cause,
        at=tx.now,
    )
    tx.execute(insert(tables.ack_pending), [row])


def _row(entity: str, asker_id: str, **values: Any) -> dict[str, Any]:
    plain = {"delivery_id": "", "channel": "", "cause": "", "source": PLAN, "detail": ""}
    return {"legal_entity": entity, "submission_id": asker_id, **plain, **values}


def _take_back(tx: Transaction, row: Row) -> None:
    p = tables.ack_pending
    tx.execute(delete(p).where(p.c.delivery_id == row["id"], p.c.state.in_(_TAKEN_BACK)))


def _askers(tx: Transaction, row: Row) -> Sequence[str]:
    """The submissions of this document whose senders wait for answers: that of the delivery, and those that it served too."""
    s = tables.submission
    same = (s.c.legal_entity == row["legal_entity"], s.c.document_id == row["document_id"])
    version = (s.c.version == row["version"], s.c.intent == row["intent"])
    return tx.execute(select(s.c.id).where(*same, *version, s.c.wants_acks).order_by(s.c.id)).scalars().all()
