"""Pages without a patient that go before the first document to a number: a delivery of their own, that only a number can stop.

Law: blueprint §1 (`Purpose.NOTICE`: no document, counts in no status). One page a question; it ends with its question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.ledger.fax_number_tables import fax_number_delivery
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.submission import Intent

S = DeliveryState
Row = Mapping[Any, Any]
_STOPPABLE = (S.QUEUED, S.CLAIMED, S.UNCLEAR, S.PARKED)
# What a page takes over from the document that waits for it: whom it is for, by which plan, how urgent.
_SAME = ("legal_entity", "submission_id", "role_id", "channel", "leg", "priority")


def queue_page(tx: Transaction, held: Row, number: str) -> str:
    """Queue a page to the number that a document waits for; returns its code, four digits."""
    page_id = tx.new_id()
    row = {name: held[name] for name in _SAME} | {
        "id": page_id,
        "document_id": f"test-page:{page_id}",
        "version": 1,
        "intent": Intent.NEW.value,
        "purpose": Purpose.NOTICE.value,
        "state": S.QUEUED.value,
        "reference": f"test-page-{page_id}",
        "created_at": tx.now,
        "changed_at": tx.now,
    }
    tx.execute(insert(tables.delivery).values(row))
    link = {"delivery_id": page_id, "legal_entity": held["legal_entity"], "number": number, "let_through_at": None}
    tx.execute(insert(fax_number_delivery).values(link))
    moves.note(tx, row, S.QUEUED.value, "test-page", actor="ledger")
    return f"{int.from_bytes(hashlib.sha256(tx.new_id().encode()).digest()[:8], 'big') % 10_000:04d}"


def end_pages(tx: Transaction, entity: str, number: str, by: str) -> None:
    """The question is answered: a page that has not left is not needed."""
    d = tables.delivery
    waiting = moves.locked(*_pages_of(entity, number), d.c.state.in_([state.value for state in _STOPPABLE]))
    for row in tx.execute(waiting).mappings().all():
        moves.move_delivery(tx, row, S.CANCELLED, actor=by, detail="number-answered", cause="closed")


def page_state(connection: Connection, entity: str, number: str) -> DeliveryState | None:
    """How far the newest page came; None when none was made."""
    d = tables.delivery
    newest = select(d.c.state).where(*_pages_of(entity, number)).order_by(d.c.created_at.desc(), d.c.id).limit(1)
    found = connection.execute(newest).scalar()
    return S(found) if found else None


def _pages_of(entity: str, number: str) -> tuple[Any, ...]:
    d, link = tables.delivery, fax_number_delivery
    mine = select(link.c.delivery_id).where(link.c.legal_entity == entity, link.c.number == number)
    return d.c.id.in_(mine), d.c.purpose == Purpose.NOTICE.value
