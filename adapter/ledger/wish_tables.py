"""The tables of what was said of patients and of visibility otherwise than by a message. They share `tables.metadata`.

Law: blueprint seams 9, 13, 15. Append-only. A patient is found by the keyed HMACs of `lookup` (about `wish`), never in clear.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, UniqueConstraint

from adapter.ledger.tables import UtcDateTime, metadata

patient_wish = Table(
    "patient_wish",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("said_by", Text, nullable=False),
    Column("delivery_id", Text, nullable=False),
    Column("said_at", UtcDateTime, nullable=False),
)

# Who may see a document from now on, whatever was said when it was sent. `number` counts the changes of one document;
# `hidden` lists from whom it is hidden.
visibility_change = Table(
    "visibility_change",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("document_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("hidden", Text, nullable=False),
    Column("receipt_id", String(64), nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    UniqueConstraint("legal_entity", "document_id", "number"),
)
Index("ix_visibility_change_receipt", visibility_change.c.receipt_id)
