"""Reading: find by any reference, one document's timeline, the count that proves nothing was lost. One legal entity at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select

from adapter.errors import LedgerError
from adapter.ledger import tables
from adapter.ledger.database import Database
from adapter.ledger.fax_calls import calls_about
from adapter.ledger.fax_number_answers import is_asked_by_number, items_of_numbers
from adapter.ledger.lookup import NORMALISERS, normalise
from adapter.ledger.patient_wishes import PATIENT_WORD
from adapter.ledger.purged import particulars_left, submission_left
from adapter.ledger.records import Conservation, PayloadKind, Phase, SubmissionStatus, SubmissionTrace, Timeline
from adapter.ledger.rows import (
    delivery_value,
    event_value,
    read_chunk,
    read_findings,
    receipt_value,
    work_item_value,
)
from adapter.ledger.status import status_of
from adapter.model.delivery import Delivery, Purpose
from adapter.model.receipt import ReceiptState
from adapter.model.work_item import WorkItem

_FIND_LIMIT = 50
_LOST_LIMIT = 20


# ── find ──────────────────────────────────────────────────────────────────────────────────────────────────────


def find(database: Database, reference: str, legal_entity: str) -> list[str]:
    """See `Ledger.find`."""
    with database.read() as connection:
        return _find(connection, database, reference.strip(), legal_entity)


def _find(connection: Connection, database: Database, reference: str, entity: str) -> list[str]:
    if not reference:
        return []
    r, s, d = tables.receipt, tables.submission, tables.delivery
    about = _looked_up(connection, database, reference, entity)
    of_deliveries = (
        select(d.c.submission_id)
        .where(d.c.legal_entity == entity)
        .where(or_(d.c.id == reference, d.c.reference.in_(_spellings(reference)), d.c.partner_reference == reference))
    )
    of_submissions = (
        select(s.c.receipt_id)
        .where(s.c.legal_entity == entity)
        .where(or_(s.c.id == reference, s.c.id.in_(about), s.c.document_id == reference, s.c.id.in_(of_deliveries)))
    )
    of_items = select(tables.work_item.c.about_id).where(
        tables.work_item.c.id == reference, tables.work_item.c.legal_entity == entity
    )
    mine = or_(
        r.c.id == reference,
        r.c.id.in_(about),
        r.c.control_id == reference,
        r.c.id.in_(of_submissions),
        r.c.id.in_(of_deliveries),
        r.c.id.in_(of_items),
        r.c.id.in_(select(s.c.receipt_id).where(s.c.legal_entity == entity, s.c.id.in_(of_items))),
        r.c.id.in_(
            select(s.c.receipt_id).join(d, d.c.submission_id == s.c.id).where(d.c.legal_entity == entity, d.c.id.in_(of_items))
        ),
    )
    query = select(r.c.id).where(r.c.legal_entity == entity, mine).order_by(r.c.received_at.desc(), r.c.id).limit(_FIND_LIMIT)
    return list(connection.execute(query).scalars())


def _spellings(reference: str) -> tuple[str, str]:
    """A Message-ID with and without its brackets."""
    bare = normalise("message-id", reference)
    return bare, f"<{bare}>"


def _looked_up(connection: Connection, database: Database, reference: str, entity: str) -> list[str]:
    """Rows whose keyed HMAC matches, whatever kind the reference is."""
    table = tables.lookup
    conditions: list[ColumnElement[bool]] = []
    for kind in NORMALISERS:
        normal = normalise(kind, reference)
        if normal:
            macs = database.vault.lookup_macs(kind, entity, normal)
            # The entity stands in each branch: else SQLite goes through all that the entity ever looked up.
            conditions.append(and_(table.c.legal_entity == entity, table.c.kind == kind, table.c.mac.in_(macs)))
    query = select(table.c.about_id).where(or_(*conditions)).limit(_FIND_LIMIT)
    return list(connection.execute(query).scalars())


# ── timeline ──────────────────────────────────────────────────────────────────────────────────────────────────


def timeline(database: Database, reference: str, legal_entity: str) -> Timeline | None:
    """See `Ledger.timeline`."""
    with database.read() as connection:
        found = _find(connection, database, reference.strip(), legal_entity)
        return _timeline(connection, database, found[0]) if found else None


def _timeline(connection: Connection, database: Database, receipt_id: str) -> Timeline:
    r, s, e = tables.receipt, tables.submission, tables.event
    receipt = connection.execute(select(r).where(r.c.id == receipt_id)).mappings().one()
    particulars = particulars_left(connection, database.vault, receipt_id)
    query = select(s.c.id).where(s.c.receipt_id == receipt_id).order_by(s.c.created_at, s.c.id)
    traces = tuple(_trace(connection, database, submission_id) for submission_id in connection.execute(query).scalars())
    answers = _deliveries(connection, receipt_id)
    ids = [receipt_id, *_ids_of(traces), *(answer.id for answer in answers)]
    events = connection.execute(select(e).where(e.c.about_id.in_(ids)).order_by(e.c.at, e.c.number)).mappings()
    return Timeline(
        receipt=receipt_value(receipt, particulars),
        findings=read_findings(receipt["findings"]),
        submissions=traces,
        events=tuple(event_value(row) for row in events),
        work_items=(*_work_items(connection, ids), *items_of_numbers(connection, receipt["legal_entity"], ids)),
        answers=tuple(answers),
        calls=calls_about(connection, database.vault, ids),
    )


def _ids_of(traces: Sequence[SubmissionTrace]) -> list[str]:
    return [one for trace in traces for one in (trace.submission.id, *(delivery.id for delivery in trace.deliveries))]


def _trace(connection: Connection, database: Database, submission_id: str) -> SubmissionTrace:
    status, deliveries = _status(connection, submission_id)
    return SubmissionTrace(submission_left(connection, database.vault, submission_id), status, tuple(deliveries))


def _status(connection: Connection, submission_id: str) -> tuple[SubmissionStatus, list[Delivery]]:
    deliveries = _deliveries(connection, submission_id)
    items = _work_items(connection, [submission_id, *(one.id for one in deliveries if one.purpose is Purpose.DOCUMENT)])
    return status_of(deliveries, any(not item.decision for item in items)), deliveries


def _deliveries(connection: Connection, asker_id: str) -> list[Delivery]:
    """Of a submission; or the answers about a receipt itself."""
    d = tables.delivery
    query = select(d).where(d.c.submission_id == asker_id).order_by(d.c.role_id, d.c.leg)
    return [delivery_value(row) for row in connection.execute(query).mappings()]


def _work_items(connection: Connection, about_ids: Sequence[str]) -> list[WorkItem]:
    w = tables.work_item
    query = select(w).where(w.c.about_id.in_(about_ids)).order_by(w.c.opened_at, w.c.id)
    return [work_item_value(row) for row in connection.execute(query).mappings()]


def submission_status(database: Database, submission_id: str, legal_entity: str) -> SubmissionStatus:
    """See `Ledger.status_of`."""
    s = tables.submission
    with database.read() as connection:
        mine = select(s.c.id).where(s.c.id == submission_id, s.c.legal_entity == legal_entity)
        if connection.execute(mine).first() is None:
            raise LedgerError("submission.unknown", "no such submission for this legal entity", where=submission_id)
        return _status(connection, submission_id)[0]


def read_payload(database: Database, kind: PayloadKind, row_id: str, legal_entity: str) -> bytes:
    """See `Ledger.read_payload`."""
    chunk = tables.payload_chunk
    with database.read() as connection:
        mine = select(chunk.c.row_id).where(
            chunk.c.row_id == row_id, chunk.c.kind == kind.value, chunk.c.legal_entity == legal_entity
        )
        if connection.execute(mine.limit(1)).first() is None:
            raise LedgerError("ledger.no-payload", f"no {kind.value} is kept for this row", where=row_id)
        return read_chunk(connection, database.vault, row_id, kind)


# ── conservation ──────────────────────────────────────────────────────────────────────────────────────────────


def conservation(database: Database, legal_entity: str) -> Conservation:
    """See `Ledger.conservation`. One statement counts, so that the count is of one moment."""
    with database.read() as connection:
        counts = _count_receipts(connection, legal_entity)
        lost = tuple(_lost(connection, legal_entity))
    return Conservation(
        received=sum(count for phase, count in counts.items() if phase != "refused"),
        final=counts.get(Phase.FINAL.value, 0),
        open=counts.get(Phase.OPEN.value, 0),
        parked=counts.get(Phase.PARKED.value, 0),
        refused=counts.get("refused", 0),
        lost=lost,
    )


def _count_receipts(connection: Connection, entity: str) -> dict[str, int]:
    """Receipts by phase: the least advanced phase of what they left."""
    r = tables.receipt
    phase = case(
        (r.c.state == ReceiptState.REFUSED.value, "refused"),
        (r.c.state == ReceiptState.RECEIVED.value, Phase.OPEN.value),
        (r.c.state == ReceiptState.PARKED.value, case((_waited_for(r.c.id), Phase.PARKED.value), else_=Phase.FINAL.value)),
        (_has_submission(Phase.OPEN), Phase.OPEN.value),
        (_has_submission(Phase.PARKED), Phase.PARKED.value),
        (_all_submissions_final(), Phase.FINAL.value),
        else_="unknown",
    ).label("phase")
    query = select(phase, func.count()).where(r.c.legal_entity == entity).group_by(phase)
    return {row[0]: row[1] for row in connection.execute(query)}


def _waited_for(about_id: ColumnElement[Any]) -> ColumnElement[bool]:
    w = tables.work_item
    return exists().where(w.c.about_id == about_id, tables.IS_UNDECIDED)


def _has_submission(phase: Phase) -> ColumnElement[bool]:
    s = tables.submission
    return exists().where(s.c.receipt_id == tables.receipt.c.id, s.c.phase == phase.value)


def _all_submissions_final() -> ColumnElement[bool]:
    """Prepared, and each submission (there may be none: ignored, with its reason) is final."""
    s, r = tables.submission, tables.receipt
    other = exists().where(s.c.receipt_id == r.c.id, s.c.phase != Phase.FINAL.value)
    some = exists().where(s.c.receipt_id == r.c.id)
    return and_(~other, or_(some, r.c.reason != ""))


def _lost(connection: Connection, entity: str) -> list[str]:
    """Ids that no rule accounts for: each is a defect of ours, to be looked at."""
    r, s, d, w, e = tables.receipt, tables.submission, tables.delivery, tables.work_item, tables.event
    sibling = d.alias("sibling")
    never_listed = ~exists().where(w.c.about_id == r.c.id)
    silent_receipts = select(r.c.id).where(
        r.c.legal_entity == entity,
        or_(
            and_(r.c.state == ReceiptState.PARKED.value, never_listed),
            and_(r.c.state == ReceiptState.PREPARED.value, r.c.reason == "", ~exists().where(s.c.receipt_id == r.c.id)),
        ),
    )
    silent_submissions = select(s.c.id).where(
        s.c.legal_entity == entity,
        ~exists().where(d.c.submission_id == s.c.id, d.c.purpose == "document"),
        ~exists().where(w.c.about_id == s.c.id),
        ~exists().where(e.c.about_id == s.c.id, e.c.kind.in_(("already-served", tables.ARCHIVED))),
    )
    same_role = and_(
        sibling.c.submission_id == d.c.submission_id, sibling.c.role_id == d.c.role_id, sibling.c.purpose == d.c.purpose
    )
    # Refused, and neither another leg, nor a newer version, nor a person took over; nor did the record close it.
    dropped = select(d.c.id).where(
        d.c.legal_entity == entity,
        d.c.state == "refused",
        d.c.purpose == "document",
        d.c.superseded_by == "",
        ~exists().where(same_role, sibling.c.id != d.c.id, sibling.c.state.not_in(("refused", "waiting"))),
        ~exists().where(same_role, w.c.about_id == sibling.c.id),
        ~exists().where(e.c.about_id == d.c.id, e.c.kind == PATIENT_WORD),
    )
    # A fallback that waits behind nothing.
    stuck = select(d.c.id).where(
        d.c.legal_entity == entity,
        d.c.state == "waiting",
        ~exists().where(same_role, sibling.c.id != d.c.id, sibling.c.state != "waiting"),
    )
    # Parked, and nobody is asked.
    unasked = select(d.c.id).where(
        d.c.legal_entity == entity,
        d.c.state == "parked",
        d.c.purpose == "document",
        ~exists().where(w.c.about_id.in_([d.c.id, d.c.submission_id]), tables.IS_UNDECIDED),
        ~is_asked_by_number(),
    )
    found: list[str] = []
    for kind, query in (
        ("receipt", silent_receipts),
        ("submission", silent_submissions),
        ("delivery", dropped),
        ("delivery", stuck),
        ("delivery", unasked),
    ):
        found += [f"{kind}:{row_id}" for row_id in connection.execute(query.limit(_LOST_LIMIT)).scalars()]
    return found
