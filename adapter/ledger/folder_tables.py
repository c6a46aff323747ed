"""The table of what lies in practices' folders. It shares `tables.metadata`. Stems are neutral: no patient is in here."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text

from adapter.ledger.tables import UtcDateTime, metadata

# One row a publication, written before its files can be seen. `stem` is shared by roles of one practice that get one document.
folder_set = Table(
    "folder_set",
    metadata,
    Column("publication_id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("practice", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("submission_id", String(64), nullable=False),
    Column("stem", Text, nullable=False),
    Column("main_size", BigInteger, nullable=False),
    Column("main_sha256", String(64), nullable=False),
    Column("has_content", Boolean, nullable=False),
    Column("standing", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
Index("ix_folder_set_standing", folder_set.c.legal_entity, folder_set.c.practice, folder_set.c.standing)
Index("ix_folder_set_position", folder_set.c.legal_entity, folder_set.c.practice, folder_set.c.position)
