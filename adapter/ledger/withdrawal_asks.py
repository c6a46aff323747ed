"""Writes down that what was handed over must not leave any more, in the transaction that makes it so; once a delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from adapter.ledger.database import Transaction
from adapter.ledger.withdrawal_tables import IS_ASKED, withdrawal
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.plan import ChannelName

Row = Mapping[Any, Any]
S = DeliveryState

# Why something is asked back that leaves again afterwards.
MAY_GO_AGAIN = "number-confirmed"
# What waits in a queue after it was accepted; a mail or a record's answer has left for good.
_QUEUED_ELSEWHERE = frozenset({ChannelName.FAX.value})
_MAY_WAIT_THERE = frozenset({S.ON_WIRE, S.ACCEPTED, S.UNCLEAR, S.QUEUED, S.CLAIMED, S.PARKED, S.REFUSED})


def ask_back(tx: Transaction, rows: Iterable[Row], reason: str) -> None:
    """Ask back those of the deliveries, as they were read, that may wait in a partner's queue."""
    for row in rows:
        if may_wait_elsewhere(row) and not _is_known(tx, row["id"]):
            names = ("legal_entity", "channel", "reference", "line_id", "role_id")
            values = {name: row[name] for name in names} | {"delivery_id": row["id"], "reason": reason, "asked_at": tx.now}
            tx.execute(insert(withdrawal).values(**values, found=""))


def may_wait_elsewhere(row: Row) -> bool:
    """True for a document that a partner's queue was given and that no proof says to have left."""
    is_document = row["purpose"] == Purpose.DOCUMENT.value
    return (
        is_document
        and row["channel"] in _QUEUED_ELSEWHERE
        and row["on_wire_at"] is not None
        and S(row["state"]) in _MAY_WAIT_THERE
    )


def is_asked_back(tx: Transaction, delivery_id: str) -> bool:
    """True while the partner has not said what became of it."""
    w = withdrawal
    return tx.execute(select(w.c.delivery_id).where(w.c.delivery_id == delivery_id, IS_ASKED)).first() is not None


def forget_answered(tx: Transaction, delivery_id: str) -> None:
    """It leaves anew: the answer about an earlier hand-over is neither said of this one nor keeps it from being asked back."""
    w = withdrawal
    tx.execute(delete(w).where(w.c.delivery_id == delivery_id, w.c.found != ""))


def allow_again(tx: Transaction, delivery_ids: Sequence[str], reason: str) -> None:
    """What was asked back for `reason` may leave again, once the partner has said what became of the hand-over before: asked
    later, it could be the new one that is taken back.
    """
    w = withdrawal
    tx.execute(update(w).where(w.c.delivery_id.in_(delivery_ids), IS_ASKED, w.c.reason == reason).values(reason=MAY_GO_AGAIN))


def _is_known(tx: Transaction, delivery_id: str) -> bool:
    return tx.execute(select(withdrawal.c.delivery_id).where(withdrawal.c.delivery_id == delivery_id)).first() is not None
