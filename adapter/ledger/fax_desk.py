"""What a person does with a fax that waits: its kept pages, what was confirmed of it before, the question closed at the end.

Law: blueprint seams 13, 20; issue 6: a draft is never guessed into a request. Which page was confirmed as what is found through
the keyed lookups of the receipt that came of it, committed with it: a crash before the question is closed loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from adapter.errors import LedgerError
from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.lookup import normalise
from adapter.ledger.purged import particulars_left
from adapter.ledger.receipts import CLAIM_KINDS, with_content
from adapter.ledger.records import Decision, PayloadKind
from adapter.ledger.rows import Sealed, receipt_value
from adapter.model.confidential import Confidential
from adapter.model.fax_in import FAX_DESK_DOOR
from adapter.model.receipt import ContentKind, Receipt, ReceiptState, Verdict
from adapter.model.work_item import WorkAbout

# The kind of lookup under which a confirmed page names the receipt that came of it.
_NAMED = "reference"
CONFIRMED = "fax-confirmed"
FROM_FAX = "from-fax"


@dataclass(frozen=True, repr=False)
class KeptFax(Confidential):
    """A received fax as it was kept."""

    receipt: Receipt
    content: bytes
    side_car: bytes


@dataclass(frozen=True)
class Confirmation:
    """What a person confirmed: the receipt that was made of it, what it is in a word without patient content, and of which faxes.

    `settled`: those of the faxes of which nothing is left to confirm; their open questions with one of `reasons` are closed.
    """

    made: str
    what: str
    faxes: tuple[str, ...]
    settled: tuple[str, ...]
    reasons: tuple[str, ...]


def kept_faxes(database: Database, receipt_ids: Sequence[str], legal_entity: str) -> list[KeptFax]:
    """See `Ledger.kept_faxes`."""
    r = tables.receipt
    wanted = tuple(dict.fromkeys(receipt_ids))
    mine = select(r).where(r.c.id.in_(wanted), r.c.legal_entity == legal_entity, r.c.kind == ContentKind.FAX.value)
    mine = mine.where(~r.c.door.startswith(FAX_DESK_DOOR))  # a document that a person confirmed is no pages
    with database.read() as connection:
        rows = connection.execute(mine.order_by(r.c.received_at, r.c.id)).mappings().all()
        sealed = Sealed(connection, [row["id"] for row in rows], CLAIM_KINDS)
    found = {row["id"]: row for row in rows}
    for receipt_id in wanted:
        if receipt_id not in found:
            remedy = "`tdu queue` names those that wait."
            raise LedgerError("fax.unknown", "no such fax for this legal entity", where=receipt_id, remedy=remedy)
        if found[receipt_id]["state"] == ReceiptState.RECEIVED.value:
            remedy = "Try again in a moment."
            raise LedgerError("fax.not-read-yet", "the service has not read it yet", where=receipt_id, remedy=remedy)
        if not sealed.has(receipt_id, PayloadKind.CONTENT):
            raise LedgerError("fax.pages-gone", "its pages are no longer kept", where=receipt_id)
    claimed = (with_content(database.vault, row, sealed) for row in rows)
    return [KeptFax(one.receipt, one.content, one.side_car) for one in claimed]


def confirmed_as(database: Database, names: Iterable[str], legal_entity: str) -> dict[str, Receipt]:
    """See `Ledger.confirmed_as`."""
    macs = {mac: name for name in names for mac in database.vault.lookup_macs(_NAMED, legal_entity, normalise(_NAMED, name))}
    k, r = tables.lookup, tables.receipt
    query = select(k.c.mac, r).join(r, r.c.id == k.c.about_id)
    query = query.where(k.c.legal_entity == legal_entity, k.c.kind == _NAMED, k.c.mac.in_(macs))
    query = query.where(r.c.legal_entity == legal_entity, r.c.verdict == Verdict.ACCEPTED.value)
    with database.read() as connection:
        rows = connection.execute(query.order_by(r.c.received_at.desc(), r.c.id)).mappings().all()
        return {macs[row["mac"]]: receipt_value(row, particulars_left(connection, database.vault, row["id"])) for row in rows}


def keep_confirmation(database: Database, confirmed: Confirmation, by: str, legal_entity: str) -> None:
    """See `Ledger.keep_confirmation`."""
    database.write(lambda tx: _keep(tx, confirmed, by, legal_entity))


def _keep(tx: Transaction, confirmed: Confirmation, by: str, entity: str) -> None:
    tx.lock(*(f"fax/{entity}/{fax_id}" for fax_id in confirmed.faxes))
    about = WorkAbout.RECEIPT
    for fax_id in confirmed.faxes:
        if _is_told(tx, fax_id, confirmed.made):
            continue  # a run before this one got so far
        tx.event(entity, about, fax_id, CONFIRMED, f"{confirmed.what} {confirmed.made}")
        tx.event(entity, about, confirmed.made, FROM_FAX, fax_id)
        tx.audit(entity, by, CONFIRMED, about.value, fax_id, confirmed.made)
    for fax_id in confirmed.settled:
        _close(tx, fax_id, confirmed.reasons, by, entity)


def _is_told(tx: Transaction, fax_id: str, made: str) -> bool:
    e = tables.event
    mine = select(e.c.number).where(e.c.about_id == made, e.c.kind == FROM_FAX, e.c.detail == fax_id)
    return tx.execute(mine.limit(1)).first() is not None


def _close(tx: Transaction, fax_id: str, reasons: Sequence[str], by: str, entity: str) -> None:
    w = tables.work_item
    mine: tuple[Any, ...] = (w.c.about_id == fax_id, w.c.legal_entity == entity, w.c.reason.in_(reasons), tables.IS_UNDECIDED)
    decided = {"decision": Decision.CLOSE.value, "decided_by": by, "decided_at": tx.now}
    for row in tx.execute(select(w.c.id, w.c.reason).where(*mine)).all():
        tx.execute(update(w).where(w.c.id == row.id).values(decided))
        tx.event(entity, WorkAbout.RECEIPT, fax_id, f"decided-{Decision.CLOSE.value}", row.reason)
        tx.audit(entity, by, f"work-item.{Decision.CLOSE.value}", WorkAbout.RECEIPT.value, fax_id, row.reason)
