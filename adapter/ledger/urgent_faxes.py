"""Faxes that an engine took and never told the end of: of an urgent one somebody is told soon, to ring; of another a day later.

Law: domain §6.5 (no window, rate limit or closed office silently holds an urgent item). An engine dials again by itself, waits
for a free line, stands still, or forgets what is over before we ask (HylaFAX's faxqclean): nothing of it is an answer that a
send could be judged by.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import and_, exists, or_, select

from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState, Purpose

PATIENCE = timedelta(minutes=10)
# Longer than any engine tries by itself. What is older than the last is not asked about: an engine that never reports, and
# was never expected to, would fill the queue at once with what it took in years.
ORDINARY_PATIENCE, MEMORY = timedelta(days=1), timedelta(days=7)
WAITS = "fax-waits"
_ADVICE = "Télécopie urgente remise au serveur de télécopie, toujours pas confirmée : appeler le destinataire."
_LOST_ADVICE = (
    "Télécopie prise par le serveur de télécopie depuis un jour, sans confirmation ni échec : lire la file et le journal du "
    "serveur, ou vérifier auprès du destinataire."
)
_LIMIT = 100


def alarm_urgent_faxes(database: Database) -> int:
    """See `Ledger.alarm_urgent_faxes`."""
    d, w = tables.delivery, tables.work_item
    told = exists().where(w.c.about_id == d.c.id, w.c.reason == WAITS)
    now = database.now()
    taken = (tables.IS_FAX, d.c.state == DeliveryState.ACCEPTED.value, d.c.on_wire_at <= now - PATIENCE)
    forgotten = and_(d.c.on_wire_at <= now - ORDINARY_PATIENCE, d.c.on_wire_at > now - MEMORY)
    waits = (*taken, or_(d.c.priority < URGENT_BELOW, forgotten))
    ours = (d.c.purpose == Purpose.DOCUMENT.value, d.c.superseded_by == "")
    with database.read() as connection:
        ids = list(connection.execute(select(d.c.id).where(*waits, *ours, ~told).limit(_LIMIT)).scalars())
    return database.write(lambda tx: _alarm(tx, ids)) if ids else 0


def _alarm(tx: Transaction, ids: list[str]) -> int:
    d = tables.delivery
    rows = tx.execute(moves.locked(d.c.id.in_(ids), d.c.state == DeliveryState.ACCEPTED.value)).mappings().all()
    for row in rows:
        add_delivery_item(tx, row, WAITS, _ADVICE if row["priority"] < URGENT_BELOW else _LOST_ADVICE)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    return len(rows)
