"""What practices import: publications, the order of their feeds, outcomes; assertions spent and calls counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "publication",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("practice", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.String(length=64), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("document_key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("type_code", sa.Text(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("renditions", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetch_due", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("alarmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("outcome_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publication")),
        sa.UniqueConstraint("legal_entity", "practice", "position", name=op.f("uq_publication_legal_entity_practice_position")),
    )
    op.create_index("ix_publication_key", "publication", ["legal_entity", "document_key"], unique=False)
    op.create_index("ix_publication_submission", "publication", ["submission_id"], unique=False)
    op.create_index(
        "ix_publication_unplaced",
        "publication",
        ["legal_entity", "practice"],
        unique=False,
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_index(
        "ix_publication_unfetched",
        "publication",
        ["fetch_due"],
        unique=False,
        sqlite_where=sa.text("fetched_at IS NULL AND alarmed_at IS NULL"),
        postgresql_where=sa.text("fetched_at IS NULL AND alarmed_at IS NULL"),
    )
    op.create_table(
        "feed_counter",
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("practice", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("legal_entity", "practice", name=op.f("pk_feed_counter")),
    )
    op.create_table(
        "import_outcome",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("publication_id", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_outcome")),
    )
    op.create_index("ix_import_outcome_publication", "import_outcome", ["publication_id"], unique=False)
    op.create_table(
        "spent_assertion",
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("mac", name=op.f("pk_spent_assertion")),
    )
    op.create_index("ix_spent_assertion_ends", "spent_assertion", ["ends_at"], unique=False)
    op.create_table(
        "call_window",
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("client", name=op.f("pk_call_window")),
    )
