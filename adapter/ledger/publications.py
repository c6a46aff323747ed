"""A practice's feed: documents put at its disposal, in commit order, and what became of each there.

Law: blueprint seams 6, 7, 13; issue 5 §5. Positions are given when somebody reads, under the lock of the practice's counter, to
rows that are committed: what commits late gets a later position, so a reader that goes on from its last one misses nothing (a
sequence or a time, given when a row is written, would). Fetching and outcomes settle the delivery as any partner's proof does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, insert, or_, select, update

from adapter.errors import LedgerError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.evidence import Reactions, apply_evidence
from adapter.ledger.import_records import Carried, Kept, Said, SilentPractice, Sought
from adapter.ledger.import_tables import IS_UNFETCHED, IS_UNPLACED, feed_counter, import_outcome, publication
from adapter.ledger.lookup import normalise
from adapter.ledger.receipts import lookup_rows
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.publication import WITHOUT_CONTENT, Practice, Publication, PublicationKind, Readers, Rendition
from adapter.model.work_item import WorkAbout

S = DeliveryState
Row = Mapping[Any, Any]
# Who speaks for a practice in logs of proofs, and the cause of what nobody came for.
SOURCE = "import"
NOT_FETCHED = "not-fetched"
_NOT_FETCHED_ADVICE = (
    "Publié pour ce cabinet et jamais récupéré dans le délai : vérifier son logiciel, appeler. L'envoi suivant part s'il existe."
)
_NAMESPACE = uuid.UUID("0d6c6e0a-58f5-5f7c-9d5b-4b0b4f2f7d11")
_ROUTINE = 100
_NAME = "fhir-name"
_ALARMS = 100
_PLACED_AT_ONCE = 1000


def document_key(legal_entity: str, practice: str, document_id: str) -> str:
    """The id under which a practice sees one document, whatever happens to it."""
    return str(uuid.uuid5(_NAMESPACE, f"{legal_entity}\x1f{practice}\x1f{document_id}"))


# ── publish ───────────────────────────────────────────────────────────────────────────────────────────────────


def publish(
    database: Database, delivery_id: str, practice: Practice, carried: Sequence[Carried], names: Sequence[str]
) -> Publication | None:
    """See `Ledger.publish`."""
    return database.write(lambda tx: _publish(tx, delivery_id, practice, carried, names))


def _publish(
    tx: Transaction, delivery_id: str, practice: Practice, carried: Sequence[Carried], names: Sequence[str]
) -> Publication | None:
    row = tx.execute(moves.locked(tables.delivery.c.id == delivery_id)).mappings().first()
    if row is None:
        raise LedgerError("delivery.unknown", "no such delivery", where=delivery_id)
    if row["legal_entity"] != practice.legal_entity:
        return None
    known = _of_id(tx.connection, delivery_id)
    if known is not None:
        return known
    s = tables.submission
    type_code = tx.execute(select(s.c.type_code).where(s.c.id == row["submission_id"])).scalar() or ""
    values = {
        "id": delivery_id,
        "legal_entity": practice.legal_entity,
        "practice": practice.name,
        "role_id": row["role_id"],
        "submission_id": row["submission_id"],
        "document_id": row["document_id"],
        "document_key": document_key(practice.legal_entity, practice.name, row["document_id"]),
        "kind": row["intent"],
        "type_code": type_code,
        "urgent": row["priority"] < URGENT_BELOW,
        "renditions": json.dumps([asdict(one.rendition) for one in carried]),
        "position": None,
        "published_at": tx.now,
        "fetch_due": tx.now + _patience(practice, row["priority"]),
        "outcome": "",
    }
    tx.execute(insert(publication).values(**values))
    for one in carried:
        if one.stored:
            tx.keep(practice.legal_entity, delivery_id, _PAYLOADS[one.rendition.form], one.content)
    pairs = lookup_rows(tx, practice.legal_entity, WorkAbout.DELIVERY, delivery_id, [(_NAME, name) for name in names])
    if pairs:
        tx.execute(insert(tables.lookup), pairs)
    tx.event(practice.legal_entity, WorkAbout.DELIVERY, delivery_id, "published", practice.name)
    return _of_id(tx.connection, delivery_id)


_PAYLOADS = {"cda": PayloadKind.PUBLISHED_CDA, "pdf": PayloadKind.PUBLISHED_PDF}


def _patience(practice: Practice, priority: int) -> timedelta:
    if priority < URGENT_BELOW:
        return practice.urgent_within
    return practice.semi_urgent_within if priority < _ROUTINE else practice.routine_within


def published_content(database: Database, one: Publication, form: str) -> bytes:
    """See `Ledger.published_content`."""
    with database.read() as connection:
        chunk, kind = tables.payload_chunk, _PAYLOADS.get(form)
        if kind is not None:
            kept = select(chunk.c.number).where(chunk.c.row_id == one.id, chunk.c.kind == kind.value).limit(1)
            if connection.execute(kept).first() is not None:
                return read_chunk(connection, database.vault, one.id, kind)
        source = PayloadKind.BUNDLE if form == "fhir" else PayloadKind.SOURCE
        return read_chunk(connection, database.vault, one.submission_id, source)


# ── the feed ──────────────────────────────────────────────────────────────────────────────────────────────────


def feed(database: Database, readers: Readers, practice: str, after: int, limit: int) -> tuple[Publication, ...]:
    """See `Ledger.feed`."""
    _place(database, readers.legal_entity, practice)
    p = publication
    query = _seen_by(readers).where(p.c.practice == practice, p.c.position > after).order_by(p.c.position).limit(limit)
    with database.read() as connection:
        return tuple(_value(row) for row in connection.execute(query).mappings())


def feed_head(database: Database, legal_entity: str, practice: str) -> int:
    """See `Ledger.feed_head`."""
    _place(database, legal_entity, practice)
    c = feed_counter
    query = select(c.c.position).where(c.c.legal_entity == legal_entity, c.c.practice == practice)
    with database.read() as connection:
        return connection.execute(query).scalar() or 0


def _place(database: Database, legal_entity: str, practice: str) -> None:
    """Give positions to all that is committed and has none; most reads find nothing to do, and write nothing."""
    p = publication
    mine = (p.c.legal_entity == legal_entity, p.c.practice == practice, IS_UNPLACED)
    unplaced = select(p.c.id).where(*mine).order_by(p.c.published_at, p.c.id).limit(_PLACED_AT_ONCE)

    def work(tx: Transaction) -> None:
        last = _held_counter(tx, legal_entity, practice)
        # A statement of its own after the lock: it sees what was committed until now, and nobody else gives positions.
        ids = tx.execute(unplaced).scalars().all()
        if not ids:
            return
        tx.execute(
            update(p).where(p.c.id == bindparam("row")).values(position=bindparam("place")),
            [{"row": one, "place": place} for place, one in enumerate(ids, start=last + 1)],
        )
        c = feed_counter
        tx.execute(update(c).where(c.c.legal_entity == legal_entity, c.c.practice == practice).values(position=last + len(ids)))

    while True:
        with database.read() as connection:
            if connection.execute(unplaced.limit(1)).first() is None:
                return
        database.write(work)


def _held_counter(tx: Transaction, legal_entity: str, practice: str) -> int:
    c = feed_counter
    mine = select(c.c.position).where(c.c.legal_entity == legal_entity, c.c.practice == practice).with_for_update()
    found = tx.execute(mine).scalar()
    if found is None:
        # Two first readers: one insert wins, the other transaction is run again and finds it.
        tx.execute(insert(c).values(legal_entity=legal_entity, practice=practice, position=0))
        return 0
    return int(found)


# ── look ──────────────────────────────────────────────────────────────────────────────────────────────────────


def publications_of(database: Database, readers: Readers, document_keys: Sequence[str]) -> tuple[Publication, ...]:
    """See `Ledger.publications_of`."""
    query = _seen_by(readers).where(publication.c.document_key.in_(sorted(set(document_keys))))
    with database.read() as connection:
        return tuple(_value(row) for row in connection.execute(query.order_by(publication.c.published_at)).mappings())


def document_key_of(database: Database, publication_id: str, legal_entity: str) -> str:
    """See `Ledger.document_key_of`."""
    p = publication
    mine = select(p.c.document_key).where(p.c.id == publication_id, p.c.legal_entity == legal_entity)
    with database.read() as connection:
        return connection.execute(mine).scalar() or ""


def named_publications(database: Database, readers: Readers, name: str) -> tuple[Publication, ...]:
    """See `Ledger.named_publications`."""
    look = tables.lookup
    macs = database.vault.lookup_macs(_NAME, readers.legal_entity, normalise(_NAME, name))
    about = select(look.c.about_id).where(look.c.legal_entity == readers.legal_entity, look.c.kind == _NAME, look.c.mac.in_(macs))
    query = _seen_by(readers).where(publication.c.id.in_(about)).order_by(publication.c.published_at, publication.c.id)
    with database.read() as connection:
        return tuple(_value(row) for row in connection.execute(query).mappings())


def find_keys(database: Database, readers: Readers, sought: Sought, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    """See `Ledger.find_published`."""
    p = publication
    changed = func.max(p.c.published_at)
    query = select(p.c.document_key, changed.label("changed")).join(tables.delivery, tables.delivery.c.id == p.c.id)
    query = query.where(*_seen(readers), *_conditions(database, readers.legal_entity, sought)).group_by(p.c.document_key)
    if sought.since is not None:
        query = query.having(changed >= sought.since)
    if sought.until is not None:
        query = query.having(changed < sought.until)
    if after[0]:
        instant = datetime.fromisoformat(after[0])
        query = query.having(or_(changed > instant, and_(changed == instant, p.c.document_key > after[1])))
    with database.read() as connection:
        rows = connection.execute(query.order_by(changed, p.c.document_key).limit(limit)).all()
    return [(row.changed.isoformat(), row.document_key) for row in rows]


def _conditions(database: Database, legal_entity: str, sought: Sought) -> list[ColumnElement[bool]]:
    p, look = publication, tables.lookup
    found: list[ColumnElement[bool]] = []
    if sought.document_keys:
        found.append(p.c.document_key.in_(sought.document_keys))
    if sought.names:
        normals = [normalise(_NAME, name) for name in sought.names]
        macs = [mac for name in normals for mac in database.vault.lookup_macs(_NAME, legal_entity, name)]
        found.append(p.c.id.in_(select(look.c.about_id).where(look.c.legal_entity == legal_entity, look.c.mac.in_(macs))))
    if sought.type_codes:
        found.append(p.c.type_code.in_(sought.type_codes))
    if sought.requests_only:
        found.append(p.c.submission_id.in_(select(tables.request_step.c.submission_id)))
    if sought.patients:
        known = [(kind, normalise(kind, value)) for kind, value in sought.patients]
        macs = [mac for kind, value in known if value for mac in database.vault.lookup_macs(kind, legal_entity, value)]
        about = select(look.c.about_id).where(look.c.legal_entity == legal_entity, look.c.mac.in_(macs))
        found.append(p.c.submission_id.in_(about))
    return found


def _seen_by(readers: Readers) -> Select[Any]:
    d = tables.delivery
    columns = (d.c.state, d.c.superseded_by, d.c.version, d.c.line_id)
    return select(publication, *columns).join(d, d.c.id == publication.c.id).where(*_seen(readers))


def _seen(readers: Readers) -> list[ColumnElement[bool]]:
    p = publication
    conditions = [p.c.legal_entity == readers.legal_entity, p.c.practice.in_(readers.practices)]
    if readers.roles is not None:
        conditions.append(p.c.role_id.in_(sorted(readers.roles)))
    return conditions


def _of_id(connection: Connection, publication_id: str) -> Publication | None:
    d = tables.delivery
    columns = (d.c.state, d.c.superseded_by, d.c.version, d.c.line_id)
    query = select(publication, *columns).join(d, d.c.id == publication.c.id).where(publication.c.id == publication_id)
    row = connection.execute(query).mappings().first()
    return _value(row) if row is not None else None


def _value(row: Row) -> Publication:
    return Publication(
        id=row["id"],
        legal_entity=row["legal_entity"],
        practice=row["practice"],
        role_id=row["role_id"],
        submission_id=row["submission_id"],
        document_id=row["document_id"],
        document_key=row["document_key"],
        line_id=row["line_id"],
        version=row["version"],
        kind=PublicationKind(row["kind"]),
        type_code=row["type_code"],
        urgent=row["urgent"],
        position=row["position"] or 0,
        published_at=row["published_at"],
        fetch_due=row["fetch_due"],
        state=S(row["state"]),
        renditions=tuple(Rendition(**one) for one in json.loads(row["renditions"])),
        superseded_by=row["superseded_by"],
        fetched_at=row["fetched_at"],
        outcome=row["outcome"],
        outcome_at=row["outcome_at"],
    )


# ── what becomes of it ────────────────────────────────────────────────────────────────────────────────────────


def mark_fetched(database: Database, ids: Sequence[str], by: str, legal_entity: str, reactions: Reactions) -> int:
    """See `Ledger.mark_fetched`."""
    p = publication
    fresh = select(p.c.id).where(p.c.id.in_(sorted(set(ids))), p.c.legal_entity == legal_entity, p.c.fetched_at.is_(None))
    with database.read() as connection:
        if not ids or connection.execute(fresh.limit(1)).first() is None:
            return 0

    def work(tx: Transaction) -> int:
        rows = _held(tx, ids, legal_entity)
        first = [row for row in rows if row["fetched_at"] is None]
        for row in first:
            tx.execute(update(p).where(p.c.id == row["id"]).values(fetched_at=tx.now))
            tx.audit(legal_entity, by, "import.fetched", WorkAbout.DELIVERY.value, row["id"], row["practice"])
        proofs = [Evidence(row["id"], S.DELIVERED, tx.now, SOURCE, also=(row["id"],)) for row in first if not row["outcome"]]
        apply_evidence(tx, proofs, legal_entity, reactions)
        return len(first)

    return database.write(work)


def mark_passed(database: Database, readers: Readers, practice: str, position: int, by: str, reactions: Reactions) -> int:
    """See `Ledger.mark_passed`."""
    p = publication
    kinds = sorted(kind.value for kind in WITHOUT_CONTENT)
    passed = (p.c.practice == practice, p.c.position <= position, p.c.fetched_at.is_(None), p.c.kind.in_(kinds))
    with database.read() as connection:
        ids = [row.id for row in connection.execute(_seen_by(readers).where(*passed))]
    return mark_fetched(database, ids, by, readers.legal_entity, reactions)


def keep_import_outcome(database: Database, ids: Sequence[str], said: Said, legal_entity: str, reactions: Reactions) -> Kept:
    """See `Ledger.keep_import_outcome`."""
    return database.write(lambda tx: _keep_outcome(tx, ids, said, legal_entity, reactions))


def _keep_outcome(tx: Transaction, ids: Sequence[str], said: Said, legal_entity: str, reactions: Reactions) -> Kept:
    p = publication
    rows = _held(tx, ids, legal_entity)
    if any(row["outcome"] in said.final and row["outcome"] != said.outcome for row in rows):
        return Kept.CONFLICT
    fresh = [row for row in rows if row["outcome"] != said.outcome]
    for row in fresh:
        changed = {"outcome": said.outcome, "outcome_at": tx.now, "fetched_at": row["fetched_at"] or tx.now}
        tx.execute(update(p).where(p.c.id == row["id"]).values(changed))
        one = tx.new_id()
        values = {"id": one, "legal_entity": legal_entity, "publication_id": row["id"], "outcome": said.outcome}
        tx.execute(insert(import_outcome).values(**values, by=said.by, at=tx.now))
        if said.note:
            tx.keep(legal_entity, one, PayloadKind.NOTE, said.note.encode())
        tx.audit(legal_entity, said.by, "import.outcome", WorkAbout.DELIVERY.value, row["id"], said.outcome)
    proofs = [
        Evidence(row["id"], said.proves, tx.now, SOURCE, said.cause, detail=said.outcome, also=(row["id"],)) for row in fresh
    ]
    apply_evidence(tx, proofs, legal_entity, reactions)
    return Kept.KEPT if fresh else Kept.REPEATED


def _held(tx: Transaction, ids: Sequence[str], legal_entity: str) -> list[Row]:
    """Publications, held in one order; the deliveries first, as everywhere."""
    p = publication
    tx.execute(moves.locked(tables.delivery.c.id.in_(sorted(set(ids))))).mappings().all()
    mine = select(p).where(p.c.id.in_(sorted(set(ids))), p.c.legal_entity == legal_entity).order_by(p.c.id).with_for_update()
    return list(tx.execute(mine).mappings())


def alarm_unfetched(database: Database, reactions: Reactions) -> int:
    """See `Ledger.alarm_unfetched`."""
    p, d = publication, tables.delivery
    late = (IS_UNFETCHED, p.c.outcome == "", p.c.fetch_due <= database.now())
    open_still = (d.c.state == S.ACCEPTED.value, d.c.superseded_by == "")
    query = select(p.c.id).join(d, d.c.id == p.c.id).where(*late, *open_still).order_by(p.c.fetch_due).limit(_ALARMS)
    with database.read() as connection:
        ids = list(connection.execute(query).scalars())
    return database.write(lambda tx: _alarm(tx, ids, reactions)) if ids else 0


def _alarm(tx: Transaction, ids: Sequence[str], reactions: Reactions) -> int:
    p, d = publication, tables.delivery
    alarmed = 0
    for row in tx.execute(moves.locked(d.c.id.in_(ids), d.c.state == S.ACCEPTED.value, d.c.superseded_by == "")).mappings().all():
        fresh = update(p).where(p.c.id == row["id"], IS_UNFETCHED, p.c.outcome == "").values(alarmed_at=tx.now)
        if tx.execute(fresh).rowcount == 0:
            continue
        proof = Evidence(row["reference"], S.REFUSED, tx.now, SOURCE, NOT_FETCHED, also=(row["id"],))
        apply_evidence(tx, [proof], row["legal_entity"], reactions)
        add_delivery_item(tx, row, NOT_FETCHED, _NOT_FETCHED_ADVICE)
        moves.refresh_status(tx, [row["submission_id"]])
        alarmed += 1
    return alarmed


def silent_practices(database: Database, legal_entity: str) -> tuple[SilentPractice, ...]:
    """See `Ledger.silent_practices`."""
    p, d = publication, tables.delivery
    lying = (p.c.legal_entity == legal_entity, p.c.fetched_at.is_(None), p.c.outcome == "", p.c.fetch_due <= database.now())
    query = select(p.c.practice, func.count().label("waiting"), func.min(p.c.fetch_due).label("due"))
    query = query.join(d, d.c.id == p.c.id).where(*lying, d.c.superseded_by == "").group_by(p.c.practice).order_by(p.c.practice)
    with database.read() as connection:
        return tuple(SilentPractice(row.practice, row.waiting, row.due) for row in connection.execute(query))
