"""Prepared receipts read again in bulk, with what they gave: what a replay compares with. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select

from adapter.errors import LedgerError
from adapter.ledger import tables
from adapter.ledger.database import Database
from adapter.ledger.receipts import CLAIM_KINDS, with_content
from adapter.ledger.records import PayloadKind, StoredSubmission
from adapter.ledger.rows import Sealed, delivery_value, read_bundle, read_plan, read_submission
from adapter.ledger.versions import was_cancelled
from adapter.model.confidential import Confidential
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, ContentKind, ReceiptState

_BATCH = 100
_SUBMISSION_KINDS = (PayloadKind.SUBMISSION, PayloadKind.BUNDLE, PayloadKind.PLAN, PayloadKind.SOURCE)


@dataclass(frozen=True, repr=False)
class KeptDocument(Confidential):
    """One document as it was translated: its submission, the mapping revision used then, the FHIR bundle's bytes."""

    submission_id: str
    document_id: str
    mapping_revision: str
    bundle: bytes


@dataclass(frozen=True, repr=False)
class KeptReceipt(Confidential):
    """One prepared receipt: the arrival as its door gave it, and what it gave."""

    receipt_id: str
    kind: ContentKind
    arrival: Arrival
    documents: tuple[KeptDocument, ...]


def kept_submission(database: Database, submission_id: str, legal_entity: str) -> StoredSubmission:
    """See `Ledger.kept_submission`."""
    s, d = tables.submission, tables.delivery
    with database.read() as connection:
        mine = select(s).where(s.c.id == submission_id, s.c.legal_entity == legal_entity)
        row = connection.execute(mine).mappings().first()
        if row is None:
            raise LedgerError("submission.unknown", "no such submission for this legal entity", where=submission_id)
        sealed = Sealed(connection, [submission_id], _SUBMISSION_KINDS)
        rows = connection.execute(select(d).where(d.c.submission_id == submission_id).order_by(d.c.id)).mappings()
        deliveries = tuple(delivery_value(one) for one in rows)
    submission, bundle, plan, source = (sealed.open(database.vault, submission_id, kind) for kind in _SUBMISSION_KINDS)
    media_type, revision = row["source_media_type"], row["mapping_revision"]
    translation = Translation(read_submission(submission), read_bundle(bundle), source, media_type, mapping_revision=revision)
    return StoredSubmission(translation, read_plan(plan), deliveries)


def is_cancelled(database: Database, submission_id: str, legal_entity: str) -> bool:
    """See `Ledger.is_cancelled`."""
    with database.read() as connection:
        return was_cancelled(connection, legal_entity, submission_id)


def kept_receipts(database: Database, legal_entity: str, receipt_ids: Sequence[str], limit: int) -> Iterator[KeptReceipt]:
    """Prepared receipts of one legal entity, newest first: those named, or all up to `limit`."""
    r = tables.receipt
    chunk = tables.payload_chunk
    held = exists().where(chunk.c.row_id == r.c.id, chunk.c.kind == PayloadKind.CONTENT.value)  # not purged
    query = select(r).where(r.c.legal_entity == legal_entity, r.c.state == ReceiptState.PREPARED.value, held)
    if receipt_ids:
        query = query.where(r.c.id.in_(list(receipt_ids)))
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query.order_by(r.c.received_at.desc()).limit(limit)).mappings()]
    for start in range(0, len(rows), _BATCH):
        yield from _batch(database, rows[start : start + _BATCH])


def _batch(database: Database, rows: Sequence[dict[str, Any]]) -> Iterator[KeptReceipt]:
    s = tables.submission
    ids = [str(row["id"]) for row in rows]
    with database.read() as connection:
        submissions = [dict(row) for row in connection.execute(select(s).where(s.c.receipt_id.in_(ids))).mappings()]
        sealed = Sealed(connection, ids, CLAIM_KINDS)
        bundles = Sealed(connection, [row["id"] for row in submissions], (PayloadKind.BUNDLE,))
    vault = database.vault
    for row in rows:
        row_id = str(row["id"])
        held = with_content(vault, row, sealed)
        documents = tuple(
            KeptDocument(
                submission["id"],
                submission["document_id"],
                submission["mapping_revision"],
                bundles.open(vault, submission["id"], PayloadKind.BUNDLE),
            )
            for submission in submissions
            if submission["receipt_id"] == row_id
        )
        yield KeptReceipt(row_id, held.receipt.kind, held.arrival(), documents)
