"""What the ledger remembers of practices' folders: which set was given for which publication, and where it stands.

Law: blueprint §1 (our reference is stored before the wire is touched), seams 7, 13. A row is committed while its files still lie
aside: whatever dies then, they are exposed once. Positions of rows say how far the feed was followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.folder_tables import folder_set
from adapter.ledger.import_tables import publication
from adapter.model.folder import FolderSet, KnownSet, Standing
from adapter.model.publication import PublicationKind
from adapter.model.work_item import WorkAbout

Row = Mapping[Any, Any]


def keep_folder_sets(database: Database, sets: Sequence[FolderSet]) -> None:
    """See `Ledger.keep_folder_sets`."""

    def work(tx: Transaction) -> None:
        for one in sets:
            values = {
                "publication_id": one.publication_id,
                "legal_entity": one.legal_entity,
                "practice": one.practice,
                "position": one.position,
                "submission_id": one.submission_id,
                "stem": one.known.stem,
                "main_size": one.known.size,
                "main_sha256": one.known.sha256,
                "has_content": one.has_content,
                "standing": one.standing.value,
                "changed_at": tx.now,
            }
            # A document that is given anew under a later publication's name: its own publication is spoken for by that set.
            tx.execute(delete(folder_set).where(folder_set.c.publication_id == one.publication_id))
            tx.execute(insert(folder_set).values(**values))
            _tell(tx, one.legal_entity, one.publication_id, one.standing, one.known.stem)

    if sets:
        database.write(work)


def stand_folder_sets(database: Database, publication_ids: Iterable[str], standing: Standing, legal_entity: str) -> int:
    """See `Ledger.stand_folder_sets`."""
    f = folder_set
    mine = (f.c.publication_id.in_(sorted(set(publication_ids))), f.c.legal_entity == legal_entity)

    def work(tx: Transaction) -> int:
        rows = tx.execute(select(f).where(*mine, f.c.standing != standing.value).with_for_update()).mappings().all()
        ids = [row["publication_id"] for row in rows]
        tx.execute(update(f).where(f.c.publication_id.in_(ids)).values(standing=standing.value, changed_at=tx.now))
        for row in rows:
            _tell(tx, legal_entity, row["publication_id"], standing, row["stem"])
        return len(rows)

    return database.write(work)


def folder_sets(database: Database, practice: str, standings: Iterable[Standing], legal_entity: str) -> tuple[FolderSet, ...]:
    """See `Ledger.folder_sets`."""
    f = folder_set
    return _read(database, practice, legal_entity, f.c.standing.in_(sorted(one.value for one in standings)))


def folder_sets_of_line(database: Database, practice: str, line_id: str, legal_entity: str) -> tuple[FolderSet, ...]:
    """See `Ledger.folder_sets_of_line`."""
    return _read(database, practice, legal_entity, tables.delivery.c.line_id == line_id)


def _read(database: Database, practice: str, legal_entity: str, condition: Any) -> tuple[FolderSet, ...]:
    f, p, d = folder_set, publication, tables.delivery
    columns = (p.c.kind, p.c.outcome, p.c.urgent, d.c.line_id, d.c.superseded_by)
    joined = select(f, *columns).join(p, p.c.id == f.c.publication_id).join(d, d.c.id == f.c.publication_id)
    query = joined.where(f.c.legal_entity == legal_entity, f.c.practice == practice, condition).order_by(f.c.position)
    with database.read() as connection:
        return tuple(_value(row) for row in connection.execute(query).mappings())


def folder_position(database: Database, practice: str, legal_entity: str) -> int:
    """See `Ledger.folder_position`."""
    f = folder_set
    query = select(func.max(f.c.position)).where(f.c.legal_entity == legal_entity, f.c.practice == practice)
    with database.read() as connection:
        return connection.execute(query).scalar() or 0


def _tell(tx: Transaction, legal_entity: str, publication_id: str, standing: Standing, stem: str) -> None:
    tx.event(legal_entity, WorkAbout.DELIVERY, publication_id, f"folder-{standing.value}", stem)


def _value(row: Row) -> FolderSet:
    return FolderSet(
        publication_id=row["publication_id"],
        legal_entity=row["legal_entity"],
        practice=row["practice"],
        position=row["position"],
        submission_id=row["submission_id"],
        known=KnownSet(row["stem"], row["main_size"], row["main_sha256"]),
        standing=Standing(row["standing"]),
        kind=PublicationKind(row["kind"]),
        changed_at=row["changed_at"],
        has_content=row["has_content"],
        line_id=row["line_id"],
        is_stale=bool(row["superseded_by"]),
        outcome=row["outcome"],
        urgent=row["urgent"],
    )
