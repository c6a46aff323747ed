"""The tables of the built-in shared record: what is held, by what it is found, what belongs to what.

They share `tables.metadata`. Law: blueprint seams 9, 10, 13. Each row belongs to a legal entity. A value that may identify
somebody is only ever a keyed HMAC (`record_token`, `unique_mac`); instants of documents and codes of visibility are plain.
Content is in `payload_chunk` under the resource's id.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text, UniqueConstraint

from adapter.ledger.tables import UtcDateTime, metadata

# One resource, its newest version. `unique_mac`: what may exist once only (a document's unique id, a patient's matricule).
record_resource = Table(
    "record_resource",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("patient_id", String(64), nullable=False),
    Column("unique_mac", String(64), nullable=True),
    # Who fed it: the client, and the organisation (FINESS) that it speaks for.
    Column("feeder", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    # What a reader's rights are judged by; R4's confidentiality codes.
    Column("confidentiality", Text, nullable=False),
    Column("masked", Boolean, nullable=False),
    Column("hidden_from_patient", Boolean, nullable=False),
    Column("hidden_from_family", Boolean, nullable=False),
    Column("dated_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    UniqueConstraint("legal_entity", "kind", "unique_mac"),
)
Index("ix_record_resource_patient", record_resource.c.legal_entity, record_resource.c.patient_id, record_resource.c.kind)
Index("ix_record_resource_changed", record_resource.c.legal_entity, record_resource.c.kind, record_resource.c.changed_at)

record_token = Table(
    "record_token",
    metadata,
    Column("legal_entity", Text, nullable=False),
    Column("mac", String(64), nullable=False),
    Column("resource_id", String(64), nullable=False),
    PrimaryKeyConstraint("legal_entity", "mac", "resource_id"),
)
Index("ix_record_token_resource", record_token.c.resource_id)

record_span = Table(
    "record_span",
    metadata,
    Column("resource_id", String(64), nullable=False),
    Column("parameter", Text, nullable=False),
    Column("start_at", UtcDateTime, nullable=False),
    Column("end_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("resource_id", "parameter", "start_at", "end_at"),
)

# A submission set or folder leads to its documents, a document to its bytes.
record_link = Table(
    "record_link",
    metadata,
    Column("from_id", String(64), nullable=False),
    Column("to_id", String(64), nullable=False),
    PrimaryKeyConstraint("from_id", "to_id"),
)
Index("ix_record_link_to", record_link.c.to_id)
