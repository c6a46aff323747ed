"""Which fax brought codes of which annex."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "fax_code",
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("annex_id", sa.String(length=32), nullable=False),
        sa.Column("receipt_id", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("legal_entity", "annex_id", "receipt_id", name=op.f("pk_fax_code")),
    )
    op.create_index("ix_fax_code_receipt", "fax_code", ["receipt_id"], unique=False)
