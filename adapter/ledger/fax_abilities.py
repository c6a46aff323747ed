"""Which fax numbers take standard resolution only, as their machines said: the next pages go there as they can be received.

Law: ITU-T T.30 (a machine tells what it takes in each call). A fine page that a fax server draws anew for such a machine loses
its codes, so it must be known beforehand. A machine may be replaced: after half a year fine pages are tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, update

from adapter.errors import LedgerError, VaultError
from adapter.ledger.database import Database, Transaction
from adapter.ledger.fax_ability_tables import fax_ability
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk, read_plan
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName

Row = Mapping[Any, Any]

FINE_NOT_TAKEN = "fine-not-taken"
HOLDS = timedelta(days=180)
_KIND = "fax"
# Rows an inch below which a page is no fine one.
_FINE_FROM = 150


def is_standard_only(database: Database, number: str) -> bool:
    """See `Ledger.is_standard_only`."""
    a, since = fax_ability, database.now() - HOLDS
    macs = database.vault.lookup_macs(_KIND, "", number)
    with database.read() as connection:
        return connection.execute(select(a.c.mac).where(a.c.mac.in_(macs), a.c.learned_at > since)).first() is not None


def learn(tx: Transaction, row: Row, evidence: Evidence) -> None:
    """Keep that the number of a delivery takes no fine pages, when this proof says so: in words, or by what its calls carried."""
    said = evidence.cause == FINE_NOT_TAKEN or any(0 < call.resolution < _FINE_FROM for call in evidence.calls)
    if row["channel"] != ChannelName.FAX.value or not said:
        return
    number = _number_of(tx, row)
    if not number:
        return
    a, macs = fax_ability, tx.vault.lookup_macs(_KIND, "", number)
    tx.lock(f"fax-ability/{macs[0]}")
    known = tx.execute(select(a.c.mac, a.c.learned_at).where(a.c.mac.in_(macs))).first()
    if known is None:
        tx.execute(insert(a).values(mac=macs[0], delivery_id=row["id"], learned_at=tx.now))
    elif known.learned_at <= tx.now - HOLDS:
        tx.execute(update(a).where(a.c.mac == known.mac).values(delivery_id=row["id"], learned_at=tx.now))


def _number_of(tx: Transaction, row: Row) -> str:
    """Where it was dialled, by its stored plan; empty when that is damaged, which is told elsewhere and stops no other proof."""
    try:
        plan = read_plan(read_chunk(tx.connection, tx.vault, row["submission_id"], PayloadKind.PLAN))
    except (VaultError, LedgerError):
        return ""
    legs = (leg for one in plan.recipients if one.role_id == row["role_id"] for leg in one.legs)
    return next((leg.address for leg in legs if leg.channel is ChannelName.FAX and leg.order == row["leg"]), "")
