"""What a person decides of documents that left under another identity: let go, stop, correct or cancel each.

A correction and a cancellation are orders: a receipt of our own (`correction`), prepared by the pipeline as any other, so that
they survive a crash, keep their version line and are told in the same timeline.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from adapter.errors import LedgerError
from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.ledger.desk_orders import keep_order
from adapter.ledger.records import Decision
from adapter.ledger.status import SERVED
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.work_item import WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]
_NAMESPACE = uuid.UUID("7d6dbe4e-65b7-5c0b-8b0c-5d1b0a3f9e10")

_UNSENT = (S.WAITING, S.QUEUED, S.CLAIMED, S.UNCLEAR, S.PARKED)


def child_id(parent_id: str, submission_id: str) -> str:
    """The id of a document's item under a patient's: how one finds the other."""
    return str(uuid.uuid5(_NAMESPACE, f"{parent_id}/{submission_id}"))


def decide_document(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """Apply a decision to one document."""
    rows = _deliveries(tx, item.about_id)
    match decision:
        case Decision.RETRY:
            _let_go(tx, rows, item.reason, by)
        case Decision.CORRECT:
            _order(tx, item, decision, by)
        case Decision.CANCEL:
            _stop_unsent(tx, rows, by, "cancelled")
            if any(reached(row) for row in rows):
                _order(tx, item, decision, by)
        case Decision.HAND_OVER:
            _stop_unsent(tx, rows, by, "handed-over")
        case Decision.CLOSE:
            _stop_unsent(tx, [row for row in rows if row["cause"] == item.reason], by, "closed")


def documents_under(tx: Transaction, parent: WorkItem) -> list[WorkItem]:
    """The open items of each document that a patient's item lists."""
    w = tables.work_item
    mine = (w.c.legal_entity == parent.legal_entity, w.c.reason == parent.reason, w.c.about == WorkAbout.SUBMISSION.value)
    rows = tx.execute(select(w).where(*mine, tables.IS_UNDECIDED).order_by(w.c.opened_at, w.c.id).with_for_update()).mappings()
    return [_value(row) for row in rows if row["id"] == child_id(parent.id, row["about_id"])]


def _value(row: Row) -> WorkItem:
    names = ("id", "legal_entity", "about_id", "reason", "advice", "opened_at", "urgent", "phone_line")
    return WorkItem(about=WorkAbout(row["about"]), **{name: row[name] for name in names})


def reached(row: Row) -> bool:
    """True when the recipient has it, or may have it."""
    state = S(row["state"])
    may_have = row["on_wire_at"] is not None and (state in (S.ON_WIRE, S.UNCLEAR) or row["unclear_count"] > 0)
    return state in SERVED or may_have


def _deliveries(tx: Transaction, submission_id: str) -> list[Row]:
    d = tables.delivery
    mine = moves.locked(d.c.submission_id == submission_id, d.c.purpose == Purpose.DOCUMENT.value)
    return list(tx.execute(mine).mappings())


def _let_go(tx: Transaction, rows: list[Row], reason: str, by: str) -> None:
    """What this very reason held goes on; what was parked for another stays."""
    for row in rows:
        if row["state"] == S.PARKED.value and row["cause"] == reason and not row["superseded_by"]:
            moves.move_delivery(tx, row, S.QUEUED, actor=by, detail="retry", cause="", not_before=None)


def _stop_unsent(tx: Transaction, rows: list[Row], by: str, cause: str) -> None:
    for row in rows:
        if S(row["state"]) in _UNSENT:
            moves.move_delivery(tx, row, S.CANCELLED, actor=by, detail=cause, cause=cause)


def _patient_of(tx: Transaction, item: WorkItem) -> str:
    """The entry whose item lists this document: whose it really is."""
    w = tables.work_item
    mine = (w.c.legal_entity == item.legal_entity, w.c.reason == item.reason, w.c.about == WorkAbout.PATIENT.value)
    rows = tx.execute(select(w.c.id, w.c.about_id).where(*mine)).all()
    return next((str(row.about_id) for row in rows if child_id(row.id, item.about_id) == item.id), "")


def _order(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """A receipt of our own: prepared once, whatever dies in between."""
    r = tables.receipt
    made = str(uuid.uuid5(_NAMESPACE, f"{item.id}/{decision.value}"))
    if tx.execute(select(r.c.id).where(r.c.id == made)).first() is not None:
        raise LedgerError("work-item.decided", "this was ordered already", where=item.id)
    told = {"submission": item.about_id, "act": decision.value, "reason": item.reason, "patient": _patient_of(tx, item)}
    tx.event(item.legal_entity, WorkAbout.SUBMISSION, item.about_id, f"{decision.value}-ordered", made)
    keep_order(tx, made, told, by, item.legal_entity)
    tx.audit(item.legal_entity, by, f"submission.{decision.value}-ordered", WorkAbout.SUBMISSION.value, item.about_id, made)
