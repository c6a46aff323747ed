"""What was handed over and is asked back from a partner's queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_ASKED = sa.text("found = ''")


def upgrade() -> None:
    op.create_table(
        "withdrawal",
        sa.Column("delivery_id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_withdrawal")),
    )
    op.create_index(
        "ix_withdrawal_asked",
        "withdrawal",
        ["channel", "line_id"],
        unique=False,
        sqlite_where=_ASKED,
        postgresql_where=_ASKED,
    )
