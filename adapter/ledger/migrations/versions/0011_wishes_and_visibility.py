"""What was said of patients at the desk or by a record, and changes of who may see a document."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "patient_wish",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("said_by", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("said_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_wish")),
    )
    op.create_table(
        "visibility_change",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("hidden", sa.Text(), nullable=False),
        sa.Column("receipt_id", sa.String(length=64), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visibility_change")),
        sa.UniqueConstraint(
            "legal_entity", "document_id", "number", name=op.f("uq_visibility_change_legal_entity_document_id_number")
        ),
    )
    op.create_index("ix_visibility_change_receipt", "visibility_change", ["receipt_id"], unique=False)
