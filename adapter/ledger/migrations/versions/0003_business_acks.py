"""Business acknowledgements: what is owed to senders, and deliveries by partner that leave in their order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("delivery", sa.Column("partner", sa.Text(), nullable=False, server_default=""))
    op.add_column("delivery", sa.Column("sequence", sa.Text(), nullable=False, server_default=""))
    op.add_column("submission", sa.Column("wants_acks", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_delivery_sequence",
        "delivery",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("sequence <> ''"),
        postgresql_where=sa.text("sequence <> ''"),
    )
    op.create_index(
        "ix_delivery_partner",
        "delivery",
        ["partner"],
        unique=False,
        sqlite_where=sa.text("partner <> ''"),
        postgresql_where=sa.text("partner <> ''"),
    )
    op.create_table(
        "ack_pending",
        sa.Column("number", _ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("submission_id", sa.String(length=64), nullable=False),
        sa.Column("delivery_id", sa.String(length=64), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ack_pending")),
    )
    op.create_index("ix_ack_pending_delivery", "ack_pending", ["delivery_id"], unique=False)
