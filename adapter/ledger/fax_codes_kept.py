"""Codes of faxed documents, kept until all of them came: joined over calls, never twice, never across legal entities.

Law: issue 6; blueprint seams 10, 13. Two halves prepared at once by two workers: each annex has a lock, and whoever commits
second finds that the codes it joined are no longer all there are, and prepares again (`StalePlanError`): then it is complete.
Locks of annexes are taken before any other of a commit: faxes wait for each other there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from adapter.errors import StalePlanError
from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.fax_code_tables import fax_code
from adapter.ledger.records import Decision, PayloadKind
from adapter.ledger.rows import Sealed
from adapter.model.confidential import Confidential
from adapter.model.fax_news import FaxNews
from adapter.model.receipt import ContentKind, ReceiptState
from adapter.model.work_item import WorkAbout

INCOMPLETE, UNREAD = "fax-incomplete", "fax-unread"
JOINED, JOINED_FROM = "fax-joined", "fax-joined-from"
Row = Mapping[Any, Any]


@dataclass(frozen=True, repr=False)
class KeptCodes(Confidential):
    """What other faxes brought of one annex: their receipts, oldest first, and the codes as they were read.

    `incomplete`: those of the receipts that wait for what is missing.
    """

    receipts: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    codes: tuple[bytes, ...] = field(default=(), repr=False)


def kept_codes(database: Database, annex_id: str, but: str, legal_entity: str) -> KeptCodes:
    """See `Ledger.kept_fax_codes`."""
    with database.read() as connection:
        mine = _of_annex(legal_entity, annex_id).where(fax_code.c.receipt_id != but)
        receipts = tuple(connection.execute(mine.order_by(fax_code.c.kept_at, fax_code.c.receipt_id)).scalars())
        r = tables.receipt
        waits = select(r.c.id).where(r.c.id.in_(receipts), r.c.state == ReceiptState.PARKED.value, r.c.reason == INCOMPLETE)
        waiting = set(connection.execute(waits).scalars()) if receipts else set()
        sealed = Sealed(connection, receipts, [PayloadKind.FAX_CODES]) if receipts else None
        held = [one for one in receipts if sealed is not None and sealed.has(one, PayloadKind.FAX_CODES)]
        brought = [sealed.open(database.vault, one, PayloadKind.FAX_CODES) for one in held] if sealed is not None else []
    wanted = bytes.fromhex(annex_id)
    incomplete = tuple(one for one in receipts if one in waiting)
    return KeptCodes(receipts, incomplete, tuple(code for one in brought for code in unpacked(one) if code[5:21] == wanted))


def waiting_pages(database: Database, door: str, since: datetime, limit: int, legal_entity: str) -> list[str]:
    """See `Ledger.faxes_without_code`."""
    r = tables.receipt
    mine = (r.c.legal_entity == legal_entity, r.c.door == door, r.c.kind == ContentKind.FAX.value, r.c.reason == UNREAD)
    query = select(r.c.id).where(*mine, r.c.state == ReceiptState.PARKED.value, r.c.received_at >= since)
    with database.read() as connection:
        return list(connection.execute(query.order_by(r.c.received_at.desc(), r.c.id).limit(limit)).scalars())


def _of_annex(legal_entity: str, annex_id: str) -> Any:
    return select(fax_code.c.receipt_id).where(fax_code.c.legal_entity == legal_entity, fax_code.c.annex_id == annex_id)


# -- committed with what a fax leaves ------------------------------------------------------------------------------------


def hold_annexes(tx: Transaction, news: FaxNews) -> None:
    """First of all locks. StalePlanError when another fax brought codes of the same annex since they were joined."""
    tx.lock(*(f"fax-annex/{news.legal_entity}/{annex_id}" for annex_id in sorted(news.brought)))


def keep_codes(tx: Transaction, receipt: Row, news: FaxNews) -> None:
    """The codes of this fax, found by those that come later. `hold_annexes` must have been called."""
    entity, receipt_id = receipt["legal_entity"], receipt["id"]
    for annex_id in news.brought:
        others = set(tx.execute(_of_annex(entity, annex_id).where(fax_code.c.receipt_id != receipt_id)).scalars())
        if others != set(news.seen.get(annex_id, ())):
            raise StalePlanError("fax.codes-stale", "another fax brought codes of this document meanwhile", where=receipt_id)
    tx.execute(delete(fax_code).where(fax_code.c.legal_entity == entity, fax_code.c.receipt_id == receipt_id))
    chunk = tables.payload_chunk
    tx.execute(delete(chunk).where(chunk.c.row_id == receipt_id, chunk.c.kind == PayloadKind.FAX_CODES.value))
    if not news.brought:
        return
    named = {"legal_entity": entity, "receipt_id": receipt_id, "kept_at": tx.now}
    tx.execute(insert(fax_code), [named | {"annex_id": one, "count": len(codes)} for one, codes in news.brought.items()])
    tx.keep(entity, receipt_id, PayloadKind.FAX_CODES, packed(code for codes in news.brought.values() for code in codes))


def tell_joined(tx: Transaction, receipt: Row, news: FaxNews) -> None:
    """Faxes whose missing part came with this one: their questions close, and both timelines name the other."""
    entity, about = receipt["legal_entity"], WorkAbout.RECEIPT
    for kind, detail in news.events:
        tx.event(entity, about, receipt["id"], kind, detail)
    for other in news.joined:
        tx.event(entity, about, receipt["id"], JOINED_FROM, other)
        tx.event(entity, about, other, JOINED, receipt["id"])
        if _has_other_codes(tx, other, entity, news):
            continue  # another document of that fax is still incomplete
        _close(tx, other, entity, receipt["claimed_by"])


def _has_other_codes(tx: Transaction, receipt_id: str, entity: str, news: FaxNews) -> bool:
    mine = select(fax_code.c.annex_id).where(fax_code.c.legal_entity == entity, fax_code.c.receipt_id == receipt_id)
    return not set(tx.execute(mine).scalars()) <= set(news.complete)


def _close(tx: Transaction, receipt_id: str, entity: str, actor: str) -> None:
    r, w, about = tables.receipt, tables.work_item, WorkAbout.RECEIPT
    waits = (r.c.id == receipt_id, r.c.legal_entity == entity, r.c.state == ReceiptState.PARKED.value)
    change = update(r).where(*waits, r.c.reason.in_((INCOMPLETE, UNREAD)))
    if not tx.execute(change.values(state=ReceiptState.PREPARED.value, reason=JOINED)).rowcount:
        return
    asked = (w.c.about_id == receipt_id, w.c.legal_entity == entity, w.c.reason.in_((INCOMPLETE, UNREAD)), tables.IS_UNDECIDED)
    closed = update(w).where(*asked).values(decision=Decision.CLOSE.value, decided_by=actor, decided_at=tx.now)
    if tx.execute(closed).rowcount:  # else a person had answered it
        tx.audit(entity, actor, "work-item.close", about.value, receipt_id, JOINED)


# -- how codes lie sealed --------------------------------------------------------------------------------------------------


def packed(codes: Iterable[bytes]) -> bytes:
    """Codes one behind the other, each after its length (2 bytes)."""
    return b"".join(len(code).to_bytes(2, "big") + code for code in codes)


def unpacked(content: bytes) -> list[bytes]:
    """The same, taken apart."""
    codes, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 2], "big")
        codes.append(content[at + 2 : at + 2 + size])
        at += 2 + size
    return codes
