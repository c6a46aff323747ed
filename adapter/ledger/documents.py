"""Kept documents in bulk: which there are, in the order of keeping, and their bytes. Reads, one legal entity at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select, text

from adapter.errors import LedgerError
from adapter.ledger import tables
from adapter.ledger.database import Database
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import Sealed

# Documents that are opened at once: large ones come one by one, so that a hundred of them need no more memory than one.
_GROUP_BYTES = 4 * 1024 * 1024
_OLDEST_WRITER = text(
    "SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    # One that only reads (a dump of the database) has no number, and holds nobody up once it is older than a minute.
    " AND (backend_xid IS NOT NULL OR xact_start > clock_timestamp() - interval '1 minute')"
)


@dataclass(frozen=True)
class DocumentKey:
    """A place in the order of keeping."""

    kept_at: datetime
    submission_id: str


def settled_until(database: Database) -> datetime:
    """See `Ledger.settled_until`."""
    if database.is_sqlite:
        return database.write(lambda tx: tx.now)  # the only writer now: whoever wrote before us has committed
    now = database.now()
    with database.read() as connection:
        # Their rows bear an instant after they began: our clock less their age, whatever the database's clock says.
        age: timedelta | None = connection.execute(_OLDEST_WRITER).scalar()
    return now - max(age or timedelta(0), timedelta(0))


def document_keys(
    database: Database, legal_entity: str, since: datetime | None, until: datetime, after: DocumentKey | None, limit: int
) -> list[DocumentKey]:
    """See `Ledger.document_keys`."""
    s, chunk = tables.submission, tables.payload_chunk
    # What was thrown away at the end of its time has its row still, and no content.
    has_content = exists().where(chunk.c.row_id == s.c.id, chunk.c.kind == PayloadKind.BUNDLE.value, chunk.c.number == 0)
    query = select(s.c.created_at, s.c.id).where(s.c.legal_entity == legal_entity, s.c.created_at < until, has_content)
    if since is not None:
        query = query.where(s.c.created_at >= since)
    if after is not None:
        same = and_(s.c.created_at == after.kept_at, s.c.id > after.submission_id)
        query = query.where(s.c.created_at >= after.kept_at, or_(s.c.created_at > after.kept_at, same))
    with database.read() as connection:
        rows = connection.execute(query.order_by(s.c.created_at, s.c.id).limit(limit)).all()
    return [DocumentKey(row.created_at, row.id) for row in rows]


def document_bundles(database: Database, legal_entity: str, submission_ids: Sequence[str]) -> Iterator[bytes]:
    """See `Ledger.document_bundles`."""
    sizes = _sizes(database, legal_entity, submission_ids)
    group: list[str] = []
    for one in submission_ids:
        if group and sum(sizes[other] for other in group) + sizes[one] > _GROUP_BYTES:
            yield from _opened(database, group)
            group = []
        group.append(one)
    if group:
        yield from _opened(database, group)


def _sizes(database: Database, legal_entity: str, submission_ids: Sequence[str]) -> dict[str, int]:
    """How large each document is, without reading it; LedgerError when one is not there."""
    chunk, size = tables.payload_chunk, func.sum(func.length(tables.payload_chunk.c.sealed)).label("size")
    query = select(chunk.c.row_id, size).where(chunk.c.row_id.in_(list(submission_ids)), chunk.c.legal_entity == legal_entity)
    query = query.where(chunk.c.kind == PayloadKind.BUNDLE.value).group_by(chunk.c.row_id)
    with database.read() as connection:
        sizes = {row.row_id: int(row.size) for row in connection.execute(query)}
    for one in submission_ids:
        if one not in sizes:
            told, remedy = "this document is not kept (any more)", "Begin anew what was planned before it went."
            raise LedgerError("ledger.document-gone", told, where=one, remedy=remedy)
    return sizes


def _opened(database: Database, submission_ids: Sequence[str]) -> list[bytes]:
    with database.read() as connection:
        sealed = Sealed(connection, submission_ids, (PayloadKind.BUNDLE,))
    return [sealed.open(database.vault, one, PayloadKind.BUNDLE) for one in submission_ids]
