"""Exports that clients of practices ask for: what was asked, how far the making is, each file sealed until its job ends.

Law: blueprint seams 10, 13. A job is made by whoever claims it, under a lease and a fence; a part and the place where making goes
on are committed together, so that a kill costs one part. What a client did not ask for itself is not there for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from adapter.errors import StaleClaimError
from adapter.ledger import tables
from adapter.ledger.bulk_tables import IS_ASKED, bulk_job, bulk_part
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind
from adapter.model.confidential import Confidential


class JobState(StrEnum):
    """Life of a job. Values are stored: never rename."""

    ASKED = "asked"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Asked:
    """What a client asked for. `heads`: the last position of each practice's feed then; `at`: how far the making is."""

    request: str
    types: tuple[str, ...]
    practices: tuple[str, ...]
    roles: tuple[str, ...] | None
    heads: Mapping[str, int]
    since: datetime | None = None
    at: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BulkJob:
    """One export; its id is empty until the ledger gave it one. `done` of `total` places of the feeds are behind.

    `ends_at`: when the job and its files are thrown away.
    """

    id: str
    legal_entity: str
    client: str
    asked: Asked
    state: JobState
    asked_at: datetime
    ends_at: datetime
    problem: str = ""
    done: int = 0
    total: int = 0
    fence: int = 0


@dataclass(frozen=True)
class BulkPart:
    """One file: `documents` are the keys of those in it, each with the publication that it stood by then; size in bytes."""

    number: int
    kind: str
    documents: Mapping[str, str]
    lines: int
    size: int
    sha256: str


@dataclass(frozen=True, repr=False)
class NewPart(Confidential):
    """A file to keep."""

    kind: str
    documents: Mapping[str, str]
    content: bytes
    lines: int
    sha256: str


# ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_job(database: Database, job: BulkJob, most: int) -> str:
    """See `Ledger.ask_bulk_job`."""

    def work(tx: Transaction) -> str:
        tx.lock(f"bulk/{job.legal_entity}/{job.client}")
        mine = select(func.count()).select_from(bulk_job).where(*_of(job.legal_entity, job.client), IS_ASKED)
        if tx.execute(mine).scalar_one() >= most:
            return ""
        job_id = tx.new_id()
        tx.execute(insert(bulk_job).values(**_row(replace(job, id=job_id))))
        tx.audit(job.legal_entity, f"client:{job.client}", "import.export", "export", job_id, "asked")
        return job_id

    return database.write(work)


def find_job(database: Database, job_id: str, legal_entity: str, client: str) -> BulkJob | None:
    """See `Ledger.bulk_job`."""
    query = select(bulk_job).where(bulk_job.c.id == job_id, *_of(legal_entity, client), bulk_job.c.ends_at > database.now())
    with database.read() as connection:
        row = connection.execute(query).mappings().first()
    return _job(row) if row is not None else None


def parts_of(database: Database, job_id: str) -> list[BulkPart]:
    """See `Ledger.bulk_parts`."""
    query = select(bulk_part).where(bulk_part.c.job_id == job_id).order_by(bulk_part.c.number)
    with database.read() as connection:
        return [_part(row) for row in connection.execute(query).mappings()]


def drop_job(database: Database, job: BulkJob) -> None:
    """See `Ledger.drop_bulk_job`."""

    def work(tx: Transaction) -> None:
        _drop(tx, [job.id])
        tx.audit(job.legal_entity, f"client:{job.client}", "import.export", "export", job.id, "dropped")

    database.write(work)


def drop_ended(database: Database, limit: int) -> int:
    """See `Ledger.drop_ended_bulk_jobs`."""
    ended = select(bulk_job.c.id).where(bulk_job.c.ends_at <= database.now()).limit(limit)
    with database.read() as connection:
        ids = list(connection.execute(ended).scalars())
    if ids:
        database.write(lambda tx: _drop(tx, ids))
    return len(ids)


def _drop(tx: Transaction, ids: Sequence[str]) -> None:
    chunk = tables.payload_chunk
    parts = tx.execute(select(bulk_part.c.job_id, bulk_part.c.number).where(bulk_part.c.job_id.in_(ids))).all()
    for start in range(0, len(parts), 500):
        rows = [part_id(part.job_id, part.number) for part in parts[start : start + 500]]
        tx.execute(delete(chunk).where(chunk.c.row_id.in_(rows), chunk.c.kind == PayloadKind.EXPORT_PART.value))
    tx.execute(delete(bulk_part).where(bulk_part.c.job_id.in_(ids)))
    tx.execute(delete(bulk_job).where(bulk_job.c.id.in_(ids)))


# ── making ────────────────────────────────────────────────────────────────────────────────────────────────────


def claim_job(database: Database, lease: timedelta) -> BulkJob | None:
    """See `Ledger.claim_bulk_job`."""
    now = database.now()
    free = or_(bulk_job.c.lease_until.is_(None), bulk_job.c.lease_until <= now)
    waiting = select(bulk_job).where(IS_ASKED, free, bulk_job.c.ends_at > now).order_by(bulk_job.c.asked_at, bulk_job.c.id)
    with database.read() as connection:
        if connection.execute(waiting.limit(1)).first() is None:
            return None

    def work(tx: Transaction) -> BulkJob | None:
        row = tx.execute(waiting.limit(1).with_for_update(skip_locked=True)).mappings().first()
        if row is None:
            return None
        held = {"fence": row["fence"] + 1, "lease_until": tx.now + lease}
        tx.execute(update(bulk_job).where(bulk_job.c.id == row["id"]).values(held))
        return _job({**row, **held})

    return database.write(work)


def keep_parts(database: Database, job: BulkJob, at: Mapping[str, int], parts: Sequence[NewPart], lease: timedelta) -> None:
    """See `Ledger.keep_bulk_parts`."""

    def work(tx: Transaction) -> None:
        asked = Asked(**{**_fields(job.asked), "at": dict(at)})
        done = sum(at.values())
        _change(tx, job, {"asked": _asked_text(asked), "done": done, "lease_until": tx.now + lease})
        last = tx.execute(select(func.max(bulk_part.c.number)).where(bulk_part.c.job_id == job.id)).scalar() or 0
        for number, part in enumerate(parts, start=last + 1):
            values = {"job_id": job.id, "number": number, "kind": part.kind, "publications": json.dumps(dict(part.documents))}
            values |= {"lines": part.lines, "size": len(part.content), "sha256": part.sha256}
            tx.execute(insert(bulk_part).values(**values))
            tx.keep(job.legal_entity, part_id(job.id, number), PayloadKind.EXPORT_PART, part.content)

    database.write(work)


def end_job(database: Database, job: BulkJob, problem: str = "") -> None:
    """See `Ledger.end_bulk_job`."""

    def work(tx: Transaction) -> None:
        state = JobState.FAILED if problem else JobState.READY
        _change(tx, job, {"state": state.value, "problem": problem, "lease_until": None})
        tx.audit(job.legal_entity, f"client:{job.client}", "import.export", "export", job.id, state.value)

    database.write(work)


def _change(tx: Transaction, job: BulkJob, values: Mapping[str, Any]) -> None:
    """Nothing, when the job was cancelled or somebody else holds it now."""
    mine = update(bulk_job).where(bulk_job.c.id == job.id, bulk_job.c.fence == job.fence, IS_ASKED)
    if tx.execute(mine.values(values)).rowcount != 1:
        raise StaleClaimError("bulk.claim-lost", "this export was cancelled, or another worker holds it", where=job.id)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────


def part_id(job_id: str, number: int) -> str:
    """The row under which a file's bytes lie."""
    return f"{job_id}.{number}"


def _of(legal_entity: str, client: str) -> tuple[Any, Any]:
    return bulk_job.c.legal_entity == legal_entity, bulk_job.c.client == client


def _fields(asked: Asked) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in asked.__dataclass_fields__}


def _asked_text(asked: Asked) -> str:
    told = asdict(asked)
    return json.dumps(told | {"since": asked.since.isoformat() if asked.since else None})


def _row(job: BulkJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "legal_entity": job.legal_entity,
        "client": job.client,
        "asked": _asked_text(job.asked),
        "state": job.state.value,
        "problem": job.problem,
        "done": job.done,
        "total": job.total,
        "asked_at": job.asked_at,
        "ends_at": job.ends_at,
        "fence": job.fence,
        "lease_until": None,
    }


def _job(row: Mapping[Any, Any]) -> BulkJob:
    told = json.loads(row["asked"])
    since, roles = told["since"], told["roles"]
    asked = Asked(
        told["request"],
        tuple(told["types"]),
        tuple(told["practices"]),
        tuple(roles) if roles is not None else None,
        told["heads"],
        datetime.fromisoformat(since) if since else None,
        told["at"],
    )
    return BulkJob(
        id=row["id"],
        legal_entity=row["legal_entity"],
        client=row["client"],
        asked=asked,
        state=JobState(row["state"]),
        asked_at=row["asked_at"],
        ends_at=row["ends_at"],
        problem=row["problem"],
        done=row["done"],
        total=row["total"],
        fence=row["fence"],
    )


def _part(row: Mapping[Any, Any]) -> BulkPart:
    documents = dict(json.loads(row["publications"]))
    return BulkPart(row["number"], row["kind"], documents, row["lines"], row["size"], row["sha256"])
