"""Seals audit rows into one hash chain per legal entity, and proves a chain: a row changed, moved or removed shows.

Law: blueprint seam 20. Rows are written by the ledger in the transaction that they tell of; one job seals them afterwards, so
that writers never wait for each other. Each seal is a keyed MAC (the key comes from the vault's file, not from the database)
over the row, its place in the chain and the seal before it. What a chain cannot show is the loss of its last rows: keep the
head that `seal_audit` leaves (its log line) somewhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Protocol

from adapter.model.audit import AuditRow, ChainHead, Mac, SealRows


class AuditStore(Protocol):
    """Where audit rows are; the ledger is one."""

    def seal_audit_rows(self, seal: SealRows, limit: int) -> int:
        """Read unsealed rows, have them sealed, keep the seals; 0 when another process is at it."""
        ...


def seal_audit(store: AuditStore, limit: int = 1000) -> int:
    """Seal what is unsealed, in order; returns how many rows. Run by one job; safe if two run."""
    sealed = 0
    while True:
        done = store.seal_audit_rows(seal_rows, limit)
        sealed += done
        if done < limit:
            return sealed


def seal_rows(rows: Sequence[AuditRow], heads: Mapping[str, ChainHead], mac: Mac) -> tuple[AuditRow, ...]:
    """The same rows with their places and seals. Pure but for the key inside `mac`."""
    last = dict(heads)
    sealed = []
    for row in rows:
        head = last.get(row.entry.legal_entity, ChainHead())
        placed = replace(row, position=head.position + 1, previous=head.seal)
        placed = replace(placed, seal=mac(canonical(placed)))
        last[row.entry.legal_entity] = ChainHead(placed.position, placed.seal)
        sealed.append(placed)
    return tuple(sealed)


@dataclass(frozen=True)
class Break:
    """Where a chain does not hold, and why: `missing`, `moved` or `altered`."""

    position: int
    why: str


def verify_chain(rows: Sequence[AuditRow], head: ChainHead, matches: Callable[[bytes, str], bool]) -> Break | None:
    """The first break of a chain's rows, which follow `head`; None when all hold."""
    position, seal = head.position, head.seal
    for row in rows:
        if row.position != position + 1:
            return Break(position + 1, "missing")
        if row.previous != seal:
            return Break(row.position, "moved")
        if not matches(canonical(row), row.seal):
            return Break(row.position, "altered")
        position, seal = row.position, row.seal
    return None


def canonical(row: AuditRow) -> bytes:
    """What is sealed of a row: one JSON list, in one order."""
    entry = row.entry
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    parts = (row.previous, row.position, row.number, entry.legal_entity, at)
    return json.dumps(
        [*parts, entry.actor, entry.action, entry.about, entry.about_id, entry.detail], ensure_ascii=False, separators=(",", ":")
    ).encode()
