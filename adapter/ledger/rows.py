"""Rows to values and values to rows: the only place that knows both the tables and the model. Also the sealed JSON forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from adapter.errors import LedgerError
from adapter.ledger import tables
from adapter.ledger.records import LoggedEvent, PayloadKind
from adapter.ledger.vault import Vault
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.effects import UnreadNode
from adapter.model.finding import Finding
from adapter.model.plan import ChannelName, RoutePlan
from adapter.model.receipt import ContentKind, Receipt, ReceiptState, Verdict
from adapter.model.submission import AcksWanted, Submission
from adapter.model.work_item import WorkAbout, WorkItem

Row = Mapping[Any, Any]


# ── sealed JSON ───────────────────────────────────────────────────────────────────────────────────────────────


@cache
def json_form(kind: Any) -> TypeAdapter[Any]:
    """How a value of this type is sealed as JSON, and read again. Made once a type: building it costs milliseconds."""
    return TypeAdapter(kind)


def write_submission(value: Submission) -> bytes:
    """A submission as JSON."""
    return json_form(Submission).dump_json(value, exclude_defaults=True)


def read_submission(content: bytes) -> Submission:
    """A submission from JSON."""
    value: Submission = json_form(Submission).validate_json(content)
    return value


def write_asked(value: AcksWanted) -> bytes:
    """Whom a mail's answer goes to, as JSON."""
    return json_form(AcksWanted).dump_json(value, exclude_defaults=True)


def read_asked(content: bytes) -> AcksWanted:
    """Whom a mail's answer goes to, from JSON."""
    value: AcksWanted = json_form(AcksWanted).validate_json(content)
    return value


def write_plan(value: RoutePlan) -> bytes:
    """A plan as JSON."""
    return json_form(RoutePlan).dump_json(value, exclude_defaults=True)


def read_plan(content: bytes) -> RoutePlan:
    """A plan from JSON."""
    value: RoutePlan = json_form(RoutePlan).validate_json(content)
    return value


def write_unread(value: tuple[UnreadNode, ...]) -> bytes:
    """The unread report as JSON."""
    return json_form(tuple[UnreadNode, ...]).dump_json(value)


def write_findings(findings: Sequence[Finding]) -> str:
    """Findings as JSON: they hold places and codes, never content, so they stay in clear."""
    return json_form(tuple[Finding, ...]).dump_json(tuple(findings), exclude_defaults=True).decode()


def read_findings(text: str) -> tuple[Finding, ...]:
    """Findings from JSON."""
    value: tuple[Finding, ...] = json_form(tuple[Finding, ...]).validate_json(text)
    return value


def write_bundle(bundle: Mapping[str, object]) -> bytes:
    """A bundle as compact JSON, key order as built."""
    return json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()


def read_bundle(content: bytes) -> dict[str, object]:
    """A bundle from JSON."""
    value: dict[str, object] = json.loads(content)
    return value


# ── payloads ──────────────────────────────────────────────────────────────────────────────────────────────────


class Sealed:
    """Payloads of several rows, read at once and opened one by one: a damaged one spoils its own row only."""

    def __init__(self, connection: Connection, row_ids: Sequence[str], kinds: Sequence[PayloadKind]) -> None:
        chunk = tables.payload_chunk
        query = select(chunk.c.row_id, chunk.c.kind, chunk.c.sealed)
        query = query.where(chunk.c.row_id.in_(sorted(set(row_ids))), chunk.c.kind.in_([kind.value for kind in kinds]))
        self._chunks: dict[tuple[str, str], list[bytes]] = {}
        rows = connection.execute(query.order_by(chunk.c.row_id, chunk.c.kind, chunk.c.number)) if row_ids else ()
        for row_id, kind, sealed in rows:
            self._chunks.setdefault((row_id, kind), []).append(bytes(sealed))

    def has(self, row_id: str, kind: PayloadKind) -> bool:
        """True when something is kept under this kind."""
        return (row_id, kind.value) in self._chunks

    def open(self, vault: Vault, row_id: str, kind: PayloadKind) -> bytes:
        """One payload; VaultError when it was altered or is gone."""
        return vault.open_payload(row_id, kind.value, self._chunks.get((row_id, kind.value), []))


def read_chunk(connection: Connection, vault: Vault, row_id: str, kind: PayloadKind) -> bytes:
    """One payload that must be there."""
    sealed = Sealed(connection, [row_id], [kind])
    if not sealed.has(row_id, kind):
        raise LedgerError("ledger.no-payload", f"no {kind.value} is kept for this row", where=row_id)
    return sealed.open(vault, row_id, kind)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────


def receipt_value(row: Row, particulars: bytes) -> Receipt:
    """A receipt; its key and its door's reference (a file name may name a patient) come from the sealed particulars."""
    sealed = json.loads(particulars)
    return Receipt(
        id=row["id"],
        legal_entity=row["legal_entity"],
        door=row["door"],
        principal=row["principal"],
        key=sealed["key"],
        fingerprint=row["fingerprint"],
        kind=ContentKind(row["kind"]),
        state=ReceiptState(row["state"]),
        verdict=Verdict(row["verdict"]),
        received_at=row["received_at"],
        control_id=row["control_id"],
        reason=row["reason"],
        zone=row["zone"],
        form=row["form"],
        reference=sealed["reference"],
    )


def receipt_particulars(receipt: Receipt) -> bytes:
    """What of a receipt is sealed beside its content."""
    return json.dumps({"key": receipt.key, "reference": receipt.reference}, ensure_ascii=False).encode()


_DELIVERY_FIELDS = tuple(f.name for f in fields(Delivery))


def delivery_value(row: Row) -> Delivery:
    """A delivery."""
    values = {name: row[name] for name in _DELIVERY_FIELDS}
    values |= {
        "channel": ChannelName(row["channel"]),
        "state": DeliveryState(row["state"]),
        "purpose": Purpose(row["purpose"]),
    }
    return Delivery(**values)


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """The columns that a delivery fills by itself."""
    row = {name: getattr(delivery, name) for name in _DELIVERY_FIELDS}
    return row | {"channel": delivery.channel.value, "state": delivery.state.value, "purpose": delivery.purpose.value}


def work_item_value(row: Row) -> WorkItem:
    """A work item."""
    values = {f.name: row[f.name] for f in fields(WorkItem)}
    return WorkItem(**(values | {"about": WorkAbout(row["about"])}))


def work_item_row(item: WorkItem) -> dict[str, Any]:
    """Its columns."""
    return {f.name: getattr(item, f.name) for f in fields(WorkItem)} | {"about": item.about.value}


def event_value(row: Row) -> LoggedEvent:
    """One line of the log."""
    return LoggedEvent(row["at"], WorkAbout(row["about"]), row["about_id"], row["kind"], row["detail"])
