"""The tables of fax numbers and of what went to each. They share `tables.metadata`.

Law: blueprint seams 9 and 13. A number of the directory is a practice's own, and lies in clear; no other number ever comes here.
Each legal entity asks for itself; a row of no entity says that a number is wrong for everybody.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, PrimaryKeyConstraint, String, Table, Text

from adapter.ledger.tables import UtcDateTime, metadata

# `holders`: JSON list of the directory's keys for which the number was asked about or confirmed. `code`: that of its test page.
fax_number = Table(
    "fax_number",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("holders", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("by_code", Boolean, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("legal_entity", "number"),
)

# Which delivery was held for, or let through to, which number. `let_through_at`: the last time it was; NULL while it never was.
fax_number_delivery = Table(
    "fax_number_delivery",
    metadata,
    Column("delivery_id", String(64), nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("let_through_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("delivery_id", "number"),
)
Index("ix_fax_number_delivery_number", fax_number_delivery.c.legal_entity, fax_number_delivery.c.number)
