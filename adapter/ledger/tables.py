"""The tables: one schema for SQLite and PostgreSQL. Content is never here but in `payload_chunk`, sealed.

Law: blueprint seam 9. Every row belongs to a legal entity. Times are UTC. States are the words of `adapter.model`.
A change here needs a migration (see `migrations/env.py`); a test compares the two on both engines.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, kept in UTC on both engines (SQLite keeps no zone: it is put back when read)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time: it would be somebody's guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time reached the ledger")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware, in UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")

# Conditions of partial indexes. Queries must use these very words: with a bound parameter SQLite cannot use the index.
IS_RECEIVED = text("state = 'received'")
IS_QUEUED = text("state = 'queued'")
IS_HELD = text("state IN ('claimed', 'on_wire', 'unclear')")
IS_UNDECIDED = text("decision = ''")
HAS_SEQUENCE = text("sequence <> ''")
HAS_PARTNER = text("partner <> ''")
HAS_BUNDLE = text("bundle <> ''")
IS_FAX = text("channel = 'fax'")
IS_UNSEALED = text("position IS NULL")

# The event of a document that is kept and goes nowhere.
ARCHIVED = "archived"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(64), primary_key=True)


def _word(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, default=default)


def _count(name: str, default: int = 0) -> Column[int]:
    return Column(name, Integer, nullable=False, default=default)


def _instant(name: str) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=False)


def _maybe(name: str) -> Column[datetime]:
    return Column(name, UtcDateTime, nullable=True)


# What the ledger knows of itself: the key checks, one a key id.
ledger_meta = Table("ledger_meta", metadata, Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False))

receipt = Table(
    "receipt",
    metadata,
    _id(),
    _word("legal_entity"),
    _word("door"),
    _word("principal"),
    # HMAC of the repeat key while it may be repeated; NULL for a refused receipt, and once the window is over.
    Column("live_key", Text, nullable=True),
    _word("fingerprint"),
    _word("kind"),
    _word("state"),
    _word("verdict"),
    _word("reason"),
    _word("control_id"),
    _word("zone"),
    _word("form"),
    _word("findings", "[]"),
    _instant("received_at"),
    _count("attempts"),
    _count("fence"),
    _word("claimed_by"),
    _maybe("lease_until"),
    UniqueConstraint("legal_entity", "live_key"),
)
Index("ix_receipt_received", receipt.c.received_at, sqlite_where=IS_RECEIVED, postgresql_where=IS_RECEIVED)
Index("ix_receipt_control", receipt.c.legal_entity, receipt.c.control_id)
Index("ix_receipt_conflict", receipt.c.legal_entity, receipt.c.fingerprint)

submission = Table(
    "submission",
    metadata,
    _id(),
    _word("legal_entity"),
    Column("receipt_id", String(64), nullable=False),
    _word("document_id"),
    _word("set_id"),
    _count("version", 1),
    _word("intent"),
    _word("replaces"),
    _word("line_id"),
    _count("revision", 1),
    _word("in_reply_to"),
    _word("content_kind"),
    _word("type_code"),
    _word("urgency"),
    _word("source_media_type"),
    _word("mapping_revision"),
    _word("findings", "[]"),
    Column("wants_acks", Boolean, nullable=False, default=False, server_default=false()),
    # Cache of `status.status_of`, written by the transaction that changes it.
    _word("phase"),
    _word("summary"),
    _instant("created_at"),
)
Index("ix_submission_receipt", submission.c.receipt_id)
Index("ix_submission_line", submission.c.legal_entity, submission.c.line_id)
Index("ix_submission_document", submission.c.legal_entity, submission.c.document_id)
Index("ix_submission_set", submission.c.legal_entity, submission.c.set_id)
Index("ix_submission_replaces", submission.c.legal_entity, submission.c.replaces)

delivery = Table(
    "delivery",
    metadata,
    _id(),
    _word("legal_entity"),
    Column("submission_id", String(64), nullable=False),
    _word("document_id"),
    _count("version", 1),
    _word("intent"),
    _word("role_id"),
    _word("channel"),
    _word("purpose", "document"),
    _count("leg", 1),
    _word("state"),
    _word("reference"),
    _word("partner_reference"),
    _count("attempts"),
    _count("fence"),
    _count("priority", 100),
    _maybe("not_before"),
    _maybe("deadline"),
    _word("cause"),
    _count("unclear_count"),
    _maybe("sent_at"),
    # Last time it was put on the wire: unlike `sent_at`, which travels, it proves that it may have left.
    _maybe("on_wire_at"),
    _word("replaces_sent_on"),
    _word("line_id"),
    # The delivery of a newer version to the same role: this one never goes (again).
    _word("superseded_by"),
    # The HL7 partner it goes to, and what it may not overtake: deliveries of one sequence leave one after the other.
    Column("partner", Text, nullable=False, default="", server_default=""),
    Column("sequence", Text, nullable=False, default="", server_default=""),
    # Documents of one message for one mailbox: what travels in one mail while it can.
    Column("bundle", Text, nullable=False, default="", server_default=""),
    _word("claimed_by"),
    _maybe("lease_until"),
    _count("lease_seconds"),
    _instant("created_at"),
    _instant("changed_at"),
    UniqueConstraint(
        "legal_entity", "document_id", "version", "intent", "role_id", "channel", "purpose", name="uq_delivery_once"
    ),
)
Index(
    "ix_delivery_queued",
    delivery.c.channel,
    delivery.c.priority,
    delivery.c.created_at,
    sqlite_where=IS_QUEUED,
    postgresql_where=IS_QUEUED,
)
Index("ix_delivery_held", delivery.c.state, sqlite_where=IS_HELD, postgresql_where=IS_HELD)
Index("ix_delivery_submission", delivery.c.submission_id)
Index("ix_delivery_reference", delivery.c.reference)
Index("ix_delivery_sequence", delivery.c.sequence, sqlite_where=HAS_SEQUENCE, postgresql_where=HAS_SEQUENCE)
Index("ix_delivery_bundle", delivery.c.bundle, sqlite_where=HAS_BUNDLE, postgresql_where=HAS_BUNDLE)
Index("ix_delivery_partner", delivery.c.partner, sqlite_where=HAS_PARTNER, postgresql_where=HAS_PARTNER)
Index("ix_delivery_fax", delivery.c.state, delivery.c.on_wire_at, sqlite_where=IS_FAX, postgresql_where=IS_FAX)
Index("ix_delivery_line", delivery.c.legal_entity, delivery.c.line_id)

# What a sender who asked for acknowledgements is owed, in the order it happened; cleared when it is made a delivery.
ack_pending = Table(
    "ack_pending",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    _word("legal_entity"),
    Column("submission_id", String(64), nullable=False),
    Column("delivery_id", String(64), nullable=False),
    _word("role_id"),
    _word("channel"),
    _word("state"),
    _word("cause"),
    _word("source"),
    _word("detail"),
    _instant("at"),
)
Index("ix_ack_pending_delivery", ack_pending.c.delivery_id)

# Append-only: what happened to a receipt, a submission or a delivery.
event = Table(
    "event",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    _word("legal_entity"),
    _word("about"),
    Column("about_id", String(64), nullable=False),
    _word("kind"),
    _word("detail"),
    _instant("at"),
)
Index("ix_event_about", event.c.about_id)

work_item = Table(
    "work_item",
    metadata,
    _id(),
    _word("legal_entity"),
    _word("about"),
    Column("about_id", String(64), nullable=False),
    _word("reason"),
    _word("advice"),
    Column("urgent", Boolean, nullable=False, default=False),
    _word("phone_line"),
    _instant("opened_at"),
    _word("decision"),
    _word("decided_by"),
    _maybe("decided_at"),
)
Index("ix_work_item_about", work_item.c.about_id)
Index(
    "ix_work_item_open",
    work_item.c.legal_entity,
    work_item.c.opened_at,
    sqlite_where=IS_UNDECIDED,
    postgresql_where=IS_UNDECIDED,
)

request_step = Table(
    "request_step",
    metadata,
    _id(),
    _word("legal_entity"),
    Column("submission_id", String(64), nullable=False),
    _word("request_id"),
    _word("kind"),
    _instant("at"),
    _word("by"),
    _maybe("answer_due"),
)
Index("ix_request_step_request", request_step.c.legal_entity, request_step.c.request_id)

cursor = Table(
    "cursor",
    metadata,
    _word("legal_entity"),
    _word("name"),
    _word("value"),
    _instant("changed_at"),
    PrimaryKeyConstraint("legal_entity", "name"),
)

# Append-only, then sealed into one hash chain per legal entity (`position`, `previous`, `seal`).
audit = Table(
    "audit",
    metadata,
    Column("number", RowNumber, primary_key=True, autoincrement=True),
    _word("legal_entity"),
    _instant("at"),
    _word("actor"),
    _word("action"),
    _word("about"),
    Column("about_id", String(64), nullable=False),
    _word("detail"),
    Column("position", BigInteger, nullable=True),
    _word("previous"),
    _word("seal"),
    UniqueConstraint("legal_entity", "position"),
)
Index("ix_audit_unsealed", audit.c.number, sqlite_where=IS_UNSEALED, postgresql_where=IS_UNSEALED)
Index("ix_audit_about", audit.c.about_id)

payload_chunk = Table(
    "payload_chunk",
    metadata,
    Column("row_id", String(64), nullable=False),
    _word("kind"),
    _count("number"),
    _word("legal_entity"),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("row_id", "kind", "number"),
)

lookup = Table(
    "lookup",
    metadata,
    _word("legal_entity"),
    _word("kind"),
    Column("mac", String(64), nullable=False),
    _word("about"),
    Column("about_id", String(64), nullable=False),
    PrimaryKeyConstraint("legal_entity", "kind", "mac", "about_id"),
)

# One local identity each: an IPP of one authority, or a matricule when there is no IPP. Who it is lies sealed in
# `payload_chunk`; it is found by the keyed HMACs of `lookup`. `flags`: codes of what is doubtful; `state`: current or merged.
patient_index = Table(
    "patient_index",
    metadata,
    _id(),
    _word("legal_entity"),
    _word("state"),
    _word("flags"),
    _count("updates"),
    _instant("created_at"),
    _instant("changed_at"),
)

# Append-only: every message that said something of an entry. `told_at` is the message's own instant, which orders them.
patient_update = Table(
    "patient_update",
    metadata,
    _id(),
    _word("legal_entity"),
    Column("patient_id", String(64), nullable=False),
    Column("receipt_id", String(64), nullable=False),
    _word("event"),
    _instant("told_at"),
    _instant("created_at"),
)
Index("ix_patient_update_patient", patient_update.c.patient_id, patient_update.c.told_at)
Index("ix_patient_update_receipt", patient_update.c.receipt_id)

# Addresses that nobody is written to any more. `legal_entity` is empty for a partner's mailbox: it counts for all.
suspended_address = Table(
    "suspended_address",
    metadata,
    _id(),
    _word("legal_entity"),
    Column("mac", String(64), nullable=False),
    _word("cause"),
    Column("delivery_id", String(64), nullable=False),
    _instant("since"),
    _maybe("lifted_at"),
    _word("lifted_by"),
)
Index("ix_suspended_address_mac", suspended_address.c.legal_entity, suspended_address.c.mac)

# The newest migration; a test proves that it is the head.
REVISION = "0017"
