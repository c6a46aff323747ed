"""What lies in practices' folders, and what became of it there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "folder_set",
        sa.Column("publication_id", sa.String(length=64), nullable=False),
        sa.Column("legal_entity", sa.Text(), nullable=False),
        sa.Column("practice", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("submission_id", sa.String(length=64), nullable=False),
        sa.Column("stem", sa.Text(), nullable=False),
        sa.Column("main_size", sa.BigInteger(), nullable=False),
        sa.Column("main_sha256", sa.String(length=64), nullable=False),
        sa.Column("has_content", sa.Boolean(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("publication_id"),
    )
    op.create_index("ix_folder_set_standing", "folder_set", ["legal_entity", "practice", "standing"])
    op.create_index("ix_folder_set_position", "folder_set", ["legal_entity", "practice", "position"])
