"""The patient index: its entries and the history of what told them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "patient_index",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("updates", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_index")),
    )
    op.create_table(
        "patient_update",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("receipt_id", sa.String(length=64), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_update")),
    )
    op.create_index("ix_patient_update_patient", "patient_update", ["patient_id", "told_at"], unique=False)
    op.create_index("ix_patient_update_receipt", "patient_update", ["receipt_id"], unique=False)
