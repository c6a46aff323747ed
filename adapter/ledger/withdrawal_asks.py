"""Writes down that what was handed over must not leave any more, in the transaction that makes it so; once a delivery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import insert, select

from adapter.ledger.database import Transaction
from adapter.ledger.withdrawal_tables import IS_ASKED, withdrawal
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.plan import ChannelName

Row = Mapping[Any, Any]
S = DeliveryState

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


def _is_known(tx: Transaction, delivery_id: str) -> bool:
    return tx.execute(select(withdrawal.c.delivery_id).where(withdrawal.c.delivery_id == delivery_id)).first() is not None
