"""Marks what a sender who asked for acknowledgements is owed, in the very transaction that changes a delivery's state.

A mark is a proof waiting to be told; `acks.settle_acks` turns marks into deliveries. A refusal that is tried again is no news:
its mark is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from adapter.ledger import tables
from adapter.ledger.database import Transaction
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import write_asked
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.effects import Refusal
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
    """Note a delivery's new state for its sender, if they asked; called with the row as it was before."""
    if row["purpose"] != Purpose.DOCUMENT.value:
        return
    if state is S.QUEUED:
        _take_back(tx, row)
    if state not in _NEWS or not _wants_acks(tx, row["submission_id"]):
        return
    tx.execute(
        insert(tables.ack_pending),
        [
            {
                "legal_entity": row["legal_entity"],
                "submission_id": row["submission_id"],
                "delivery_id": row["id"],
                "role_id": row["role_id"],
                "channel": row["channel"],
                "state": state.value,
                "cause": cause,
                "source": source,
                "detail": detail,
                "at": at,
            }
        ],
    )


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


def mark_served(tx: Transaction, submission: Submission, serving: Row) -> None:
    """The same document came by another mail: its sender gets the answer that is known already."""
    state = S(serving["state"])
    if submission.mail is not None and submission.acks.any and state in _NEWS:
        _insert(tx, submission, serving["id"], serving["role_id"], serving["channel"], state, serving["cause"])


def mark_again(tx: Transaction, submission: Submission) -> None:
    """Prepared again: what software took while the rest of its mail waited could not be told, and may be now."""
    if submission.mail is None or not submission.acks.any:
        return
    d = tables.delivery
    mine = (d.c.submission_id == submission.id, d.c.purpose == Purpose.DOCUMENT.value, d.c.state == S.INTEGRATED.value)
    for row in tx.execute(select(d).where(*mine)).mappings().all():
        mark_served(tx, submission, row)


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


def _wants_acks(tx: Transaction, submission_id: str) -> bool:
    s = tables.submission
    return bool(tx.execute(select(s.c.wants_acks).where(s.c.id == submission_id)).scalar())
