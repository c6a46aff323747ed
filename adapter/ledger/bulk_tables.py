"""What bulk work needs of the schema: the order of keeping, and the exports that practices asked for. Shares `tables.metadata`.

An export's files lie in `payload_chunk`, sealed, under `JOB.NUMBER`; they go with their job.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text, text

from adapter.ledger.tables import UtcDateTime, metadata, submission

IS_ASKED = text("state = 'asked'")

Index("ix_submission_kept", submission.c.legal_entity, submission.c.created_at, submission.c.id)

# What a client asked for: `asked` holds practices, roles and the like as JSON; `state` is asked, ready, failed or cancelled.
bulk_job = Table(
    "bulk_job",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", UtcDateTime, nullable=True),
)
Index("ix_bulk_job_asked", bulk_job.c.asked_at, sqlite_where=IS_ASKED, postgresql_where=IS_ASKED)
Index("ix_bulk_job_client", bulk_job.c.legal_entity, bulk_job.c.client)
Index("ix_bulk_job_ends", bulk_job.c.ends_at)

# One file: the documents in it (their keys in the practice's feed), and what its bytes come to.
bulk_part = Table(
    "bulk_part",
    metadata,
    Column("job_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("publications", Text, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    PrimaryKeyConstraint("job_id", "number"),
)
