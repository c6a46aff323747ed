"""Who may see a document from now on: each change kept, the newest rules; the order that tells its holders is a receipt of ours.

Law: blueprint seams 6, 9, 15. The order is prepared as any receipt: it survives a crash and shows in the document's timeline.
Nothing that was read before it leaves after it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.desk_orders import keep_order
from adapter.ledger.wish_tables import visibility_change
from adapter.ledger.withdrawal_asks import ask_back
from adapter.model.delivery import DeliveryState
from adapter.model.submission import Intent, Visibility
from adapter.model.work_item import WorkAbout

_NAMESPACE = uuid.UUID("a4f7d1c0-2d60-5b7e-9a15-6f4c0b7be611")
# Why a fax that was handed over is asked back.
MASKED = "masked"
_BRINGING = (Intent.NEW.value, Intent.REPLACE.value)
# The words of `hidden`, in the order in which they are stored.
PROFESSIONALS, PATIENT, REPRESENTATIVES = "professionals", "patient", "representatives"


@dataclass(frozen=True)
class KeptChange:
    """The newest change of a document's visibility: its number, and from whom the document is hidden since."""

    number: int
    hidden: frozenset[str]


def hidden_by(visibility: Visibility) -> frozenset[str]:
    """From whom a visibility hides."""
    told = {
        PROFESSIONALS: visibility.hidden_from_professionals,
        PATIENT: visibility.hidden_from_patient,
        REPRESENTATIVES: visibility.hidden_from_representatives,
    }
    return frozenset(name for name, is_hidden in told.items() if is_hidden)


def newest_change(database: Database, document_id: str, legal_entity: str) -> KeptChange | None:
    """See `Ledger.visibility_change`."""
    with database.read() as connection:
        return _newest(connection, document_id, legal_entity)


def _newest(connection: Connection, document_id: str, legal_entity: str) -> KeptChange | None:
    v = visibility_change
    mine = select(v.c.number, v.c.hidden).where(v.c.legal_entity == legal_entity, v.c.document_id == document_id)
    row = connection.execute(mine.order_by(v.c.number.desc()).limit(1)).first()
    return KeptChange(row.number, frozenset(row.hidden.split())) if row is not None else None


def submissions_of(database: Database, document_id: str, legal_entity: str) -> tuple[str, ...]:
    """See `Ledger.submissions_of`."""
    s = tables.submission
    brings = s.c.intent.in_(_BRINGING)
    query = select(s.c.id).where(s.c.legal_entity == legal_entity, s.c.document_id == document_id, brings)
    with database.read() as connection:
        return tuple(connection.execute(query.order_by(s.c.created_at, s.c.id)).scalars())


def order_change(database: Database, document_id: str, hidden: frozenset[str], by: str, legal_entity: str) -> str:
    """See `Ledger.order_visibility`."""
    return database.write(lambda tx: _order(tx, document_id, hidden, by, legal_entity))


def _order(tx: Transaction, document_id: str, hidden: frozenset[str], by: str, entity: str) -> str:
    tx.lock(f"visibility/{entity}/{document_id}")
    v = visibility_change
    mine = (v.c.legal_entity == entity, v.c.document_id == document_id)
    before = _newest(tx.connection, document_id, entity)
    if before is not None and before.hidden == hidden:
        return ""  # somebody said the same in the meantime
    number = int(tx.execute(select(func.max(v.c.number)).where(*mine)).scalar() or 0) + 1
    change_id = str(uuid.uuid5(_NAMESPACE, f"{entity}/{document_id}/{number}"))
    words = " ".join(sorted(hidden))
    values = {"id": change_id, "legal_entity": entity, "document_id": document_id, "number": number, "hidden": words}
    tx.execute(insert(v).values(**values, receipt_id=change_id, changed_by=by, changed_at=tx.now))
    keep_order(tx, change_id, {"visibility": sorted(hidden), "document": document_id, "number": number}, by, entity)
    tx.audit(entity, by, "document.visibility", WorkAbout.RECEIPT.value, change_id, words or "visible to all")
    _give_back_claimed(tx, document_id, by, entity)
    if PROFESSIONALS in hidden:
        _ask_back(tx, document_id, entity)
    return change_id


def _ask_back(tx: Transaction, document_id: str, entity: str) -> None:
    """A masked document leaves no partner's queue by a channel that masked documents never take (seam 15)."""
    d, s = tables.delivery, tables.submission
    mine = select(s.c.id).where(s.c.legal_entity == entity, s.c.document_id == document_id, s.c.intent.in_(_BRINGING))
    ask_back(tx, tx.execute(moves.locked(d.c.submission_id.in_(mine))).mappings().all(), MASKED)


def _give_back_claimed(tx: Transaction, document_id: str, by: str, entity: str) -> None:
    """What a worker holds was read as it might be seen before: it is claimed and read anew. What is on the wire has holders."""
    d, s = tables.delivery, tables.submission
    mine = select(s.c.id).where(s.c.legal_entity == entity, s.c.document_id == document_id)
    rows = tx.execute(moves.locked(d.c.submission_id.in_(mine), d.c.state == DeliveryState.CLAIMED.value)).mappings().all()
    for row in rows:
        moves.requeue(tx, row, actor=by, detail="visibility", attempts=row["attempts"] - 1)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
