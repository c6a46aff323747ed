"""Receipts: kept in groups with their answers, claimed to be prepared. Repeats and conflicts are told here.

Law: blueprint seams 1 and 2. Only an accepted receipt has a live key; a refused one presented again is inspected anew.
The unique index on (legal entity, live key) decides between two workers who keep the same key at once: the loser's
transaction runs again and finds a repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, or_, select, update

from adapter.errors import StaleClaimError, VaultError
from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.lookup import normalise
from adapter.ledger.records import ClaimedReceipt, CommittedReceipt, NewReceipt, PayloadKind
from adapter.ledger.rows import Sealed, read_chunk, receipt_particulars, receipt_value, write_findings
from adapter.ledger.vault import Vault
from adapter.ledger.work_items import add_work_items
from adapter.model.receipt import ContentKind, Kept, Receipt, ReceiptState, Verdict
from adapter.model.work_item import WorkAbout, WorkItem

CONFLICT_REASON = "repeat-conflict"
_ABOUT = WorkAbout.RECEIPT


@dataclass(frozen=True)
class _Known:
    """A live key's receipt. `answer` is at hand when it came in the same batch."""

    receipt_id: str
    fingerprint: str
    received_at: datetime
    answer: bytes | None = None


class _Batch:
    """One group on its way into one transaction."""

    def __init__(self, tx: Transaction, batch: Sequence[NewReceipt]) -> None:
        self._tx = tx
        self._macs = [self._key_macs(new.receipt) for new in batch]
        self._known = self._find_known()
        self._rows: list[dict[str, Any]] = []
        self._lookups: list[dict[str, Any]] = []
        self._items: list[WorkItem] = []
        self._conflicts: set[tuple[str, str]] = set()
        self.results = [self._commit(new, macs) for new, macs in zip(batch, self._macs, strict=True)]
        self._insert()

    def _key_macs(self, receipt: Receipt) -> tuple[tuple[str, str], ...]:
        """The key under each vault key (the first is the one to store); none for a source without a key."""
        if not receipt.key:
            return ()
        macs = self._tx.vault.lookup_macs("repeat-key", receipt.legal_entity, receipt.key)
        return tuple((receipt.legal_entity, mac) for mac in macs)

    def _find_known(self) -> dict[tuple[str, str], _Known]:
        pairs = {pair for macs in self._macs for pair in macs}
        if not pairs:
            return {}
        r = tables.receipt
        query = select(r.c.legal_entity, r.c.live_key, r.c.id, r.c.fingerprint, r.c.received_at)
        query = query.where(r.c.legal_entity.in_(sorted({e for e, _ in pairs})), r.c.live_key.in_(sorted({m for _, m in pairs})))
        return {
            (row["legal_entity"], row["live_key"]): _Known(row["id"], row["fingerprint"], row["received_at"])
            for row in self._tx.execute(query).mappings()
        }

    def _commit(self, new: NewReceipt, macs: tuple[tuple[str, str], ...]) -> CommittedReceipt:
        known = next((self._known[pair] for pair in macs if pair in self._known), None)
        if known is not None and new.receipt.received_at - known.received_at >= new.repeat_window:
            self._tx.execute(update(tables.receipt).where(tables.receipt.c.id == known.receipt_id).values(live_key=None))
            known = None
        if known is None:
            return self._store(new, macs)
        if known.fingerprint == new.receipt.fingerprint:
            return self._repeat(new, known)
        if new.receipt.verdict is not Verdict.ACCEPTED:
            return self._store(new, macs)  # its own refusal says more than the conflict
        return self._conflict(new, known)

    def _store(self, new: NewReceipt, macs: tuple[tuple[str, str], ...]) -> CommittedReceipt:
        receipt = new.receipt
        accepted = receipt.state is ReceiptState.RECEIVED and receipt.verdict is Verdict.ACCEPTED
        live = macs[0] if macs and accepted else None
        if live is not None:
            self._known[live] = _Known(receipt.id, receipt.fingerprint, receipt.received_at, new.answer)
        self._keep(new, receipt, new.answer, live[1] if live else None)
        if new.work_item is not None:
            self._items.append(new.work_item)
        return CommittedReceipt(receipt.id, new.answer, Kept.STORED)

    def _repeat(self, new: NewReceipt, known: _Known) -> CommittedReceipt:
        """The first answer's very bytes; the log of the first receipt says that it was asked again."""
        tx, entity = self._tx, new.receipt.legal_entity
        answer = known.answer
        if answer is None:
            answer = read_chunk(tx.connection, tx.vault, known.receipt_id, PayloadKind.ANSWER)
        tx.event(entity, _ABOUT, known.receipt_id, "repeat", new.receipt.door)
        tx.audit(entity, new.receipt.principal, "receipt.repeat", _ABOUT.value, known.receipt_id)
        return CommittedReceipt(known.receipt_id, answer, Kept.REPEAT)

    def _conflict(self, new: NewReceipt, known: _Known) -> CommittedReceipt:
        receipt = replace(new.receipt, state=ReceiptState.REFUSED, verdict=Verdict.REFUSED, reason=CONFLICT_REASON)
        self._keep(new, receipt, new.conflict_answer, None)
        self._tx.event(receipt.legal_entity, _ABOUT, known.receipt_id, CONFLICT_REASON, receipt.id)
        if not self._conflict_is_listed(receipt):
            self._items.append(new.conflict_item or self._default_item(receipt))
        return CommittedReceipt(receipt.id, new.conflict_answer, Kept.CONFLICT)

    def _conflict_is_listed(self, receipt: Receipt) -> bool:
        """A sender that insists must not flood the queue: the same content is listed once while its item is open."""
        pair = (receipt.legal_entity, receipt.fingerprint)
        if pair in self._conflicts:
            return True
        self._conflicts.add(pair)
        r, w = tables.receipt, tables.work_item
        query = select(w.c.id).join(r, r.c.id == w.c.about_id).where(w.c.legal_entity == pair[0], w.c.decision == "")
        query = query.where(r.c.legal_entity == pair[0], r.c.fingerprint == pair[1], r.c.reason == CONFLICT_REASON)
        return self._tx.execute(query.limit(1)).first() is not None

    def _default_item(self, receipt: Receipt) -> WorkItem:
        advice = "Même référence, autre contenu : demander à l'émetteur de renvoyer sous un nouveau numéro de message."
        return WorkItem(
            self._tx.new_id(), receipt.legal_entity, _ABOUT, receipt.id, CONFLICT_REASON, advice, opened_at=self._tx.now
        )

    def _keep(self, new: NewReceipt, receipt: Receipt, answer: bytes, live_key: str | None) -> None:
        tx, entity = self._tx, receipt.legal_entity
        self._rows.append(_row(receipt, live_key, write_findings(new.findings)))
        tx.keep(entity, receipt.id, PayloadKind.CONTENT, new.content)
        tx.keep(entity, receipt.id, PayloadKind.ANSWER, answer)
        tx.keep(entity, receipt.id, PayloadKind.PARTICULARS, receipt_particulars(receipt))
        if new.side_car:
            tx.keep(entity, receipt.id, PayloadKind.SIDE_CAR, new.side_car)
        self._lookups += lookup_rows(tx, entity, _ABOUT, receipt.id, new.lookups)
        tx.event(entity, _ABOUT, receipt.id, receipt.state.value, receipt.reason)
        tx.audit(entity, receipt.principal, f"receipt.{receipt.state.value}", _ABOUT.value, receipt.id, receipt.reason)

    def _insert(self) -> None:
        if self._rows:
            # In key order: two groups that hold the same keys then wait for each other, and never deadlock.
            rows = sorted(self._rows, key=lambda row: (row["legal_entity"], row["live_key"] or ""))
            self._tx.execute(insert(tables.receipt), rows)
        if self._lookups:
            self._tx.execute(insert(tables.lookup), self._lookups)
        add_work_items(self._tx, self._items)


def _row(receipt: Receipt, live_key: str | None, findings: str) -> dict[str, Any]:
    return {
        "id": receipt.id,
        "legal_entity": receipt.legal_entity,
        "door": receipt.door,
        "principal": receipt.principal,
        "live_key": live_key,
        "fingerprint": receipt.fingerprint,
        "kind": receipt.kind.value,
        "state": receipt.state.value,
        "verdict": receipt.verdict.value,
        "reason": receipt.reason,
        "control_id": receipt.control_id,
        "zone": receipt.zone,
        "form": receipt.form,
        "findings": findings,
        "received_at": receipt.received_at,
    }


def lookup_rows(
    tx: Transaction, entity: str, about: WorkAbout, about_id: str, pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Rows of keyed HMACs, each value once. The legal entity is in the HMAC: two entities' rows cannot be matched."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, value in pairs:
        normal = normalise(kind, value)
        if normal:
            mac = tx.vault.lookup_macs(kind, entity, normal)[0]
            found[kind, mac] = {"legal_entity": entity, "kind": kind, "mac": mac, "about": about.value, "about_id": about_id}
    return list(found.values())


def commit_receipts(database: Database, batch: Sequence[NewReceipt]) -> list[CommittedReceipt]:
    """See `Ledger.commit_receipts`."""
    if not batch:
        return []
    return database.write(lambda tx: _Batch(tx, batch).results)


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────────────


def claim_receipts(database: Database, worker: str, limit: int, lease: timedelta) -> list[ClaimedReceipt]:
    """See `Ledger.claim_receipts`. Payloads are read after the claim is committed: nobody waits for them."""
    rows = database.write(lambda tx: _claim(tx, worker, limit, lease))
    if not rows:
        return []
    with database.read() as connection:
        sealed = Sealed(connection, [row["id"] for row in rows], CLAIM_KINDS)
    claimed = []
    for row in rows:
        try:
            claimed.append(with_content(database.vault, row, sealed))
        except VaultError as error:
            _park_damaged(database, row, error.code)
    return claimed


def _claim(tx: Transaction, worker: str, limit: int, lease: timedelta) -> list[Mapping[Any, Any]]:
    r = tables.receipt
    rows = _without_bad_company(_oldest(tx, limit))
    if rows:
        change = update(r).where(r.c.id.in_([row["id"] for row in rows]))
        values = {"fence": r.c.fence + 1, "attempts": r.c.attempts + 1, "claimed_by": worker, "lease_until": tx.now + lease}
        tx.execute(change.values(values))
    return [dict(row) | {"fence": row["fence"] + 1, "attempts": row["attempts"] + 1} for row in rows]


def _oldest(tx: Transaction, limit: int) -> list[Mapping[Any, Any]]:
    """In the order they came, one fax among them at most: its pages take as long to read as hundreds of letters."""
    r = tables.receipt
    query = select(r).where(tables.IS_RECEIVED, or_(r.c.lease_until.is_(None), r.c.lease_until <= tx.now))
    query = query.order_by(r.c.received_at, r.c.id).with_for_update(skip_locked=True)
    is_fax = r.c.kind == ContentKind.FAX.value
    rows = [*tx.execute(query.where(is_fax).limit(1)).mappings(), *tx.execute(query.where(~is_fax).limit(limit)).mappings()]
    rows.sort(key=lambda row: (row["received_at"], row["id"]))
    fax = next((row for row in rows if row["kind"] == ContentKind.FAX.value), None)
    letters = [row for row in rows if row is not fax]
    if fax is None or (limit == 1 and rows[0] is not fax):
        return letters
    return [row for row in rows if row is fax or row in letters[: limit - 1]]


def _without_bad_company(rows: Sequence[Mapping[Any, Any]]) -> list[Mapping[Any, Any]]:
    """A receipt whose lease ran out before is claimed alone: were it the one that kills its worker, it would take innocent
    neighbours with it, and they would count as poison too."""
    if rows and rows[0]["attempts"]:
        return [rows[0]]
    return [row for row in rows if not row["attempts"]]


CLAIM_KINDS = (PayloadKind.CONTENT, PayloadKind.SIDE_CAR, PayloadKind.PARTICULARS)


def with_content(vault: Vault, row: Mapping[Any, Any], sealed: Sealed) -> ClaimedReceipt:
    """A receipt row with its opened payloads."""
    row_id = row["id"]
    receipt = receipt_value(row, sealed.open(vault, row_id, PayloadKind.PARTICULARS))
    content = sealed.open(vault, row_id, PayloadKind.CONTENT)
    has_side_car = sealed.has(row_id, PayloadKind.SIDE_CAR)
    side_car = sealed.open(vault, row_id, PayloadKind.SIDE_CAR) if has_side_car else b""
    return ClaimedReceipt(receipt, content, side_car, row["fence"], row["attempts"])


def _park_damaged(database: Database, row: Mapping[Any, Any], code: str) -> None:
    """One damaged row must not stop the lane (a poison message is a person's)."""
    entity, receipt_id = row["legal_entity"], row["id"]
    advice = "Contenu illisible dans le registre : prévenir le support, restaurer depuis la sauvegarde."

    def work(tx: Transaction) -> None:
        r = tables.receipt
        tx.execute(update(r).where(r.c.id == receipt_id).values(state=ReceiptState.PARKED.value, reason=code, lease_until=None))
        tx.event(entity, _ABOUT, receipt_id, ReceiptState.PARKED.value, code)
        add_work_items(tx, [WorkItem(tx.new_id(), entity, _ABOUT, receipt_id, code, advice, opened_at=tx.now, urgent=True)])

    database.write(work)


def release_receipt(database: Database, receipt_id: str, fence: int) -> None:
    """See `Ledger.release_receipt`."""
    r = tables.receipt

    def work(tx: Transaction) -> None:
        change = update(r).where(r.c.id == receipt_id, r.c.fence == fence, tables.IS_RECEIVED)
        done = tx.execute(change.values(lease_until=None, claimed_by="", attempts=r.c.attempts - 1)).rowcount
        if done != 1:
            raise StaleClaimError("receipt.claim-lost", "another worker holds this receipt now", where=receipt_id)

    database.write(work)


def extend_claim(database: Database, receipt_id: str, fence: int, lease: timedelta) -> None:
    """See `Ledger.extend_claim`."""
    r = tables.receipt

    def work(tx: Transaction) -> None:
        change = update(r).where(r.c.id == receipt_id, r.c.fence == fence, tables.IS_RECEIVED)
        if tx.execute(change.values(lease_until=tx.now + lease)).rowcount != 1:
            raise StaleClaimError("receipt.claim-lost", "another worker holds this receipt now", where=receipt_id)

    database.write(work)
