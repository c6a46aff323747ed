"""Documents of one message for one mailbox leave together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("delivery", sa.Column("bundle", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        "ix_delivery_bundle",
        "delivery",
        ["bundle"],
        unique=False,
        sqlite_where=sa.text("bundle <> ''"),
        postgresql_where=sa.text("bundle <> ''"),
    )
