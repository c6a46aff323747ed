"""The table of fax numbers that take no fine pages. It shares `tables.metadata`. A number may be a person's: a keyed HMAC."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, Text

from adapter.ledger.tables import UtcDateTime, metadata

fax_ability = Table(
    "fax_ability",
    metadata,
    Column("mac", Text, primary_key=True),
    Column("delivery_id", String(64), nullable=False),
    Column("learned_at", UtcDateTime, nullable=False),
)
