"""The tables of what practices import: publications and their order, what practices said of them, who called and how often.

They share `tables.metadata`. Law: blueprint seams 7, 9, 13. Content lies sealed in `payload_chunk` under a publication's id.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from adapter.ledger.tables import UtcDateTime, metadata

# Conditions of partial indexes, in the very words that queries must use.
IS_UNPLACED = text("position IS NULL")
IS_UNFETCHED = text("fetched_at IS NULL AND alarmed_at IS NULL")

# One line of a practice's feed; its id is the delivery's. `position` is given by the first reader after the commit.
publication = Table(
    "publication",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("practice", Text, nullable=False),
    Column("role_id", Text, nullable=False),
    Column("submission_id", String(64), nullable=False),
    Column("document_id", Text, nullable=False),
    Column("document_key", String(64), nullable=False),
    Column("kind", Text, nullable=False),
    Column("type_code", Text, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("renditions", Text, nullable=False),
    Column("position", BigInteger, nullable=True),
    Column("published_at", UtcDateTime, nullable=False),
    Column("fetch_due", UtcDateTime, nullable=False),
    Column("fetched_at", UtcDateTime, nullable=True),
    Column("alarmed_at", UtcDateTime, nullable=True),
    Column("outcome", Text, nullable=False),
    Column("outcome_at", UtcDateTime, nullable=True),
    UniqueConstraint("legal_entity", "practice", "position"),
)
Index("ix_publication_key", publication.c.legal_entity, publication.c.document_key)
Index("ix_publication_submission", publication.c.submission_id)
Index(
    "ix_publication_unplaced",
    publication.c.legal_entity,
    publication.c.practice,
    sqlite_where=IS_UNPLACED,
    postgresql_where=IS_UNPLACED,
)
Index("ix_publication_unfetched", publication.c.fetch_due, sqlite_where=IS_UNFETCHED, postgresql_where=IS_UNFETCHED)

# The last position given in each practice's feed: its row is held while positions are given.
feed_counter = Table(
    "feed_counter",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("practice", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("legal_entity", "practice"),
)

# Append-only: each thing that a practice said of a publication. What it wrote besides lies sealed under the row's id.
import_outcome = Table(
    "import_outcome",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("publication_id", String(64), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
Index("ix_import_outcome_publication", import_outcome.c.publication_id)

# Assertions already presented, until they end of themselves: none is taken twice, whichever process is asked.
spent_assertion = Table(
    "spent_assertion",
    metadata,
    Column("mac", String(64), primary_key=True),
    Column("ends_at", UtcDateTime, nullable=False),
)
Index("ix_spent_assertion_ends", spent_assertion.c.ends_at)

# How often a client called in the current window, for all processes.
call_window = Table(
    "call_window",
    metadata,
    Column("client", Text, primary_key=True),
    Column("began_at", UtcDateTime, nullable=False),
    Column("calls", Integer, nullable=False),
)
