"""The table of fax calls, one row each. It shares `tables.metadata`. The other end's number and each page's proof lie sealed."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text

from adapter.ledger.tables import UtcDateTime, metadata

# `about_id`: the delivery (out) or the receipt (in). `partner`: the role written to, or the structure that called; a report names
# its structure. `seconds` and `with_ecm` are empty when the engine does not say; `resolution` is rows an inch.
fax_call = Table(
    "fax_call",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("about_id", String(64), nullable=False),
    Column("partner", Text, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("seconds", Float, nullable=True),
    Column("pages", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("resolution", Integer, nullable=False),
    Column("with_ecm", Boolean, nullable=True),
    Column("kept_at", UtcDateTime, nullable=False),
)
Index("ix_fax_call_about", fax_call.c.about_id)
Index("ix_fax_call_began", fax_call.c.legal_entity, fax_call.c.began_at)
