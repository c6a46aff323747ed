"""Faxes by state and instant: those that a provider never confirmed are looked for often."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_IS_FAX = sa.text("channel = 'fax'")


def upgrade() -> None:
    op.create_index(
        "ix_delivery_fax", "delivery", ["state", "on_wire_at"], sqlite_where=_IS_FAX, postgresql_where=_IS_FAX, unique=False
    )
