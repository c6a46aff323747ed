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
from adapter.model.delivery import Delivery, DeliveryState, Purpose
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
        {
            "legal_entity": submission.legal_entity,
            "submission_id": submission.id,
            "delivery_id": "",
            "role_id": one.role_id,
            "channel": (ChannelName.SHARED_RECORD if one.kind is RecipientKind.RECORD else ChannelName.SECURE_MAIL).value,
            "state": S.PARKED.value,
            "cause": one.parked_because,
            "source": PLAN,
            "detail": "",
            "at": tx.now,
        }
        for one in plan.recipients
        if one.parked_because
    ]
    if rows:
        tx.execute(insert(tables.ack_pending), rows)


def mark_too_old(tx: Transaction, submission: Submission, delivery: Delivery) -> None:
    """What came by mail after a newer version of it is refused to its sender: 900. Other doors told what they keep at once."""
    if submission.mail is not None and submission.acks.any:
        _insert(tx, submission, delivery.id, delivery.role_id, delivery.channel.value, S.REFUSED, "identity-900")


def mark_served(tx: Transaction, submission: Submission, serving: Row) -> None:
    """The same document came by another mail: its sender gets the answer that is known already."""
    state = S(serving["state"])
    if submission.mail is not None and submission.acks.any and state in _NEWS:
        _insert(tx, submission, serving["id"], serving["role_id"], serving["channel"], state, serving["cause"])


def _insert(
    tx: Transaction, submission: Submission, delivery_id: str, role_id: str, channel: str, state: DeliveryState, cause: str
) -> None:
    row = {
        "legal_entity": submission.legal_entity,
        "submission_id": submission.id,
        "delivery_id": delivery_id,
        "role_id": role_id,
        "channel": channel,
        "state": state.value,
        "cause": cause,
        "source": PLAN,
        "detail": "",
        "at": tx.now,
    }
    tx.execute(insert(tables.ack_pending), [row])


def _take_back(tx: Transaction, row: Row) -> None:
    p = tables.ack_pending
    tx.execute(delete(p).where(p.c.delivery_id == row["id"], p.c.state.in_(_TAKEN_BACK)))


def _wants_acks(tx: Transaction, submission_id: str) -> bool:
    s = tables.submission
    return bool(tx.execute(select(s.c.wants_acks).where(s.c.id == submission_id)).scalar())
