"""The table of what is asked back from a partner's queue, one row a delivery. It shares `tables.metadata`."""

from __future__ import annotations

from sqlalchemy import Column, Index, String, Table, Text, text

from adapter.ledger.tables import UtcDateTime, metadata

IS_ASKED = text("found = ''")

# `found` is what the channel answered at last; empty while it is asked.
withdrawal = Table(
    "withdrawal",
    metadata,
    Column("delivery_id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("line_id", Text, nullable=False),
    Column("role_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("found", Text, nullable=False),
)
Index(
    "ix_withdrawal_asked",
    withdrawal.c.channel,
    withdrawal.c.line_id,
    sqlite_where=IS_ASKED,
    postgresql_where=IS_ASKED,
)
