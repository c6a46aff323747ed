"""The table of which fax brought codes of which annex. It shares `tables.metadata`; the codes themselves lie sealed."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text

from adapter.ledger.tables import UtcDateTime, metadata

# One row a fax and annex. `annex_id` is a hash, in hexadecimal; the codes are the receipt's payload `fax-codes`, purged with it.
fax_code = Table(
    "fax_code",
    metadata,
    Column("legal_entity", Text, primary_key=True),
    Column("annex_id", String(32), primary_key=True),
    Column("receipt_id", String(64), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("kept_at", UtcDateTime, nullable=False),
)
Index("ix_fax_code_receipt", fax_code.c.receipt_id)
