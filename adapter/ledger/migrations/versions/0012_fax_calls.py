"""Fax calls: how long, how many pages, why they failed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "fax_call",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("about_id", sa.String(length=64), nullable=False),
        sa.Column("partner", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("resolution", sa.Integer(), nullable=False),
        sa.Column("with_ecm", sa.Boolean(), nullable=True),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fax_call")),
    )
    op.create_index("ix_fax_call_about", "fax_call", ["about_id"], unique=False)
    op.create_index("ix_fax_call_began", "fax_call", ["legal_entity", "began_at"], unique=False)
