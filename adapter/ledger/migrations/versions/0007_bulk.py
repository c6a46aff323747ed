"""Documents in the order of keeping; what practices asked to have exported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_submission_kept", "submission", ["legal_entity", "created_at", "id"], unique=False)
    op.create_table(
        "bulk_job",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_job")),
    )
    asked = sa.text("state = 'asked'")
    op.create_index("ix_bulk_job_asked", "bulk_job", ["asked_at"], unique=False, sqlite_where=asked, postgresql_where=asked)
    op.create_index("ix_bulk_job_client", "bulk_job", ["legal_entity", "client"], unique=False)
    op.create_index("ix_bulk_job_ends", "bulk_job", ["ends_at"], unique=False)
    op.create_table(
        "bulk_part",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("publications", sa.Text(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_bulk_part")),
    )
