"""Who calls the Import API, for all processes at once: assertions spent, calls counted.

Law: RFC 7523 §3 (a `jti` is taken once), SMART Backend Services 2; issue 5 §5 (one limit a client, whichever worker answers).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from adapter.ledger.database import Database, Transaction
from adapter.ledger.import_tables import call_window, spent_assertion

_WINDOW = timedelta(minutes=1)


def spend_assertion(database: Database, client: str, assertion_id: str, ends_at: datetime) -> bool:
    """See `Ledger.spend_assertion`."""

    def work(tx: Transaction) -> bool:
        spent = spent_assertion
        macs = tx.vault.lookup_macs("assertion", client, assertion_id)
        tx.lock(f"assertion/{macs[0]}")
        tx.execute(delete(spent).where(spent.c.ends_at < tx.now))
        if tx.execute(select(spent.c.mac).where(spent.c.mac.in_(macs))).first() is not None:
            return False
        tx.execute(insert(spent).values(mac=macs[0], ends_at=ends_at))
        return True

    return database.write(work)


def take_calls(database: Database, client: str, wanted: int, per_minute: int) -> tuple[int, datetime]:
    """See `Ledger.take_calls`."""

    def work(tx: Transaction) -> tuple[int, datetime]:
        c = call_window
        tx.lock(f"calls/{client}")
        row = tx.execute(select(c.c.began_at, c.c.calls).where(c.c.client == client)).first()
        if row is None:
            tx.execute(insert(c).values(client=client, began_at=tx.now, calls=0))
        # A clock that was put back must not close the door for as long.
        fresh = row is None or not row.began_at <= tx.now < row.began_at + _WINDOW
        began, made = (tx.now, 0) if row is None or fresh else (row.began_at, row.calls)
        granted = max(0, min(wanted, per_minute - made))
        tx.execute(update(c).where(c.c.client == client).values(began_at=began, calls=made + granted))
        return granted, began + _WINDOW

    return database.write(work)
