"""The built-in shared record: its resources, by what they are found, what leads to what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "record_resource",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.String(length=64), nullable=False),
        sa.Column("unique_mac", sa.String(length=64), nullable=True),
        sa.Column("feeder", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("confidentiality", sa.Text(), nullable=False),
        sa.Column("masked", sa.Boolean(), nullable=False),
        sa.Column("hidden_from_patient", sa.Boolean(), nullable=False),
        sa.Column("hidden_from_family", sa.Boolean(), nullable=False),
        sa.Column("dated_at", instant, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("changed_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_resource")),
        sa.UniqueConstraint("legal_entity", "kind", "unique_mac", name=op.f("uq_record_resource_legal_entity_kind_unique_mac")),
    )
    op.create_index("ix_record_resource_patient", "record_resource", ["legal_entity", "patient_id", "kind"], unique=False)
    op.create_index("ix_record_resource_changed", "record_resource", ["legal_entity", "kind", "changed_at"], unique=False)
    op.create_table(
        "record_token",
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("legal_entity", "mac", "resource_id", name=op.f("pk_record_token")),
    )
    op.create_index("ix_record_token_resource", "record_token", ["resource_id"], unique=False)
    op.create_table(
        "record_span",
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.Column("parameter", sa.Text(), nullable=False),
        sa.Column("start_at", instant, nullable=False),
        sa.Column("end_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "parameter", "start_at", "end_at", name=op.f("pk_record_span")),
    )
    op.create_table(
        "record_link",
        sa.Column("from_id", sa.String(length=64), nullable=False),
        sa.Column("to_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("from_id", "to_id", name=op.f("pk_record_link")),
    )
    op.create_index("ix_record_link_to", "record_link", ["to_id"], unique=False)
