"""Urgent faxes that an engine took and that no page of was confirmed soon: somebody is told to ring, once.

Law: domain §6.5 (no window, rate limit or closed office silently holds an urgent item). An engine dials again by itself, waits
for a free line, or stands still: nothing of it is an answer that a send could be judged by.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import exists, select

from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState, Purpose

PATIENCE = timedelta(minutes=10)
WAITS = "fax-waits"
_ADVICE = "Télécopie urgente remise au serveur de télécopie, toujours pas confirmée : appeler le destinataire."
_LIMIT = 100


def alarm_urgent_faxes(database: Database) -> int:
    """See `Ledger.alarm_urgent_faxes`."""
    d, w = tables.delivery, tables.work_item
    told = exists().where(w.c.about_id == d.c.id, w.c.reason == WAITS)
    waits = (tables.IS_FAX, d.c.state == DeliveryState.ACCEPTED.value, d.c.on_wire_at <= database.now() - PATIENCE)
    urgent = (d.c.priority < URGENT_BELOW, d.c.purpose == Purpose.DOCUMENT.value, d.c.superseded_by == "")
    with database.read() as connection:
        ids = list(connection.execute(select(d.c.id).where(*waits, *urgent, ~told).limit(_LIMIT)).scalars())
    return database.write(lambda tx: _alarm(tx, ids)) if ids else 0


def _alarm(tx: Transaction, ids: list[str]) -> int:
    d = tables.delivery
    rows = tx.execute(moves.locked(d.c.id.in_(ids), d.c.state == DeliveryState.ACCEPTED.value)).mappings().all()
    for row in rows:
        add_delivery_item(tx, row, WAITS, _ADVICE)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    return len(rows)
