"""Content goes when its time is over; state and audit stay.

Law: CSP R.1112-7 (medical content: 20 years), RGPD art. 5 (no longer than needed); style card (no tombstones: a row says what
became of the document, and holds nothing of it). Never touched: what is open, parked, asked about, of a line of versions still
moving, or of a request that nobody ended. Small transactions: nobody waits for the purge, and it goes on where it was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update

from adapter.ledger import fax_calls, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind, Phase
from adapter.ledger.status import MOVING
from adapter.model.fax_in import FAX_DESK_DOOR
from adapter.model.receipt import ContentKind, ReceiptState
from adapter.model.request import StepKind
from adapter.model.work_item import WorkAbout

ACTOR = "night"
PURGED = "content-purged"
IMAGE_PURGED = "fax-image-purged"
# Events that are themselves the proof of something, not the log of it.
_KEPT_EVENTS = ("already-served", PURGED, IMAGE_PURGED)
_MOVING = tuple(state.value for state in MOVING)
_BATCH = 50
_EVENTS_BATCH = 1000
# After these a request asks for nothing any more.
_ENDED = (StepKind.REJECTED.value, StepKind.SCHEDULED.value)


@dataclass(frozen=True)
class Limits:
    """Instants before which things may go: content of what was taken, of what was refused, the log, pages received by fax whose
    document came with them as data.
    """

    content: datetime
    refused: datetime
    events: datetime
    fax_images: datetime


def due_receipts(database: Database, legal_entity: str, limits: Limits) -> int:
    """How many receipts would lose their content."""
    due = _due(legal_entity, limits).subquery()
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(due)).scalar() or 0


def purge_receipts(database: Database, legal_entity: str, limits: Limits) -> int:
    """Purge the oldest few; returns how many, 0 when nothing is left."""
    return database.write(lambda tx: _purge(tx, legal_entity, limits))


def purge_events(database: Database, legal_entity: str, limits: Limits) -> int:
    """Let the oldest log lines of what is over go; returns how many, 0 when nothing is left."""
    return database.write(lambda tx: _purge_events(tx, legal_entity, limits))


def due_images(database: Database, legal_entity: str, limits: Limits) -> int:
    """How many received faxes would lose their pages' image and keep their document."""
    due = _due_images(legal_entity, limits).subquery()
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(due)).scalar() or 0


def purge_images(database: Database, legal_entity: str, limits: Limits) -> int:
    """Let the oldest few images go; returns how many, 0 when nothing is left."""
    return database.write(lambda tx: _purge_images(tx, legal_entity, limits))


def _due_images(entity: str, limits: Limits) -> Select[tuple[str]]:
    """Prepared: its pages' document came as data. What a person typed or confirmed rests on the image, which stays as long; what
    they confirmed is itself no image.
    """
    r, s, chunk = tables.receipt, tables.submission, tables.payload_chunk
    came = and_(r.c.kind == ContentKind.FAX.value, r.c.state == ReceiptState.PREPARED.value, r.c.received_at < limits.fax_images)
    as_data = and_(exists().where(s.c.receipt_id == r.c.id), ~r.c.door.startswith(FAX_DESK_DOOR))
    still_held = exists().where(chunk.c.row_id == r.c.id, chunk.c.kind == PayloadKind.CONTENT.value)
    return select(r.c.id).where(r.c.legal_entity == entity, came, as_data, still_held, ~_is_needed())


def _purge_images(tx: Transaction, entity: str, limits: Limits) -> int:
    r, chunk = tables.receipt, tables.payload_chunk
    oldest = _due_images(entity, limits).order_by(r.c.received_at, r.c.id).limit(_BATCH).with_for_update(skip_locked=True)
    ids = list(tx.execute(oldest).scalars())
    if ids:
        tx.execute(delete(chunk).where(chunk.c.row_id.in_(ids), chunk.c.kind == PayloadKind.CONTENT.value))
    for receipt_id in ids:
        tx.event(entity, WorkAbout.RECEIPT, receipt_id, IMAGE_PURGED)
        tx.audit(entity, ACTOR, f"receipt.{IMAGE_PURGED}", WorkAbout.RECEIPT.value, receipt_id, "its document is kept")
    return len(ids)


def _due(entity: str, limits: Limits) -> Select[tuple[str]]:
    r, chunk = tables.receipt, tables.payload_chunk
    is_over = or_(
        and_(r.c.state == ReceiptState.REFUSED.value, r.c.received_at < limits.refused),
        and_(r.c.state.in_((ReceiptState.PREPARED.value, ReceiptState.PARKED.value)), r.c.received_at < limits.content),
    )
    still_held = exists().where(chunk.c.row_id == r.c.id)
    return select(r.c.id).where(r.c.legal_entity == entity, is_over, still_held, ~_is_needed())


def _is_needed() -> ColumnElement[bool]:
    """True for a receipt of which something is open: a document, a proof owed, a question, a request."""
    r, s, d, w, owed = tables.receipt, tables.submission, tables.delivery, tables.work_item, tables.ack_pending
    line = s.alias("line")
    # Said aloud: by itself it would be tied to the nearest query around it, and be of any receipt.
    own = select(s.c.id).where(s.c.receipt_id == r.c.id).correlate(r)
    sent = select(d.c.id).where(d.c.submission_id.in_(own))
    return or_(
        exists().where(s.c.receipt_id == r.c.id, s.c.phase != Phase.FINAL.value),
        # Another version of the line is on its way: it may still speak of this one.
        exists().where(
            s.c.receipt_id == r.c.id,
            line.c.legal_entity == s.c.legal_entity,
            line.c.line_id == s.c.line_id,
            line.c.phase != Phase.FINAL.value,
        ),
        exists().where(or_(d.c.submission_id == r.c.id, d.c.submission_id.in_(own)), d.c.state.in_(_MOVING)),
        exists().where(
            or_(w.c.about_id == r.c.id, w.c.about_id.in_(own), w.c.about_id.in_(sent)),
            tables.IS_UNDECIDED,
        ),
        exists().where(or_(owed.c.submission_id == r.c.id, owed.c.submission_id.in_(own))),
        _is_of_an_open_request(),
    )


def _is_of_an_open_request() -> ColumnElement[bool]:
    """True for a request that nobody ended, and for what answers it."""
    r, s, step = tables.receipt, tables.submission, tables.request_step
    ended = step.alias("ended")
    is_ended = exists().where(
        ended.c.legal_entity == step.c.legal_entity, ended.c.request_id == step.c.request_id, ended.c.kind.in_(_ENDED)
    )
    tied = or_(step.c.submission_id == s.c.id, and_(s.c.in_reply_to != "", step.c.request_id == s.c.in_reply_to))
    return exists().where(s.c.receipt_id == r.c.id, step.c.legal_entity == s.c.legal_entity, tied, ~is_ended)


def _purge(tx: Transaction, entity: str, limits: Limits) -> int:
    r = tables.receipt
    oldest = _due(entity, limits).order_by(r.c.received_at, r.c.id).limit(_BATCH).with_for_update(skip_locked=True)
    ids = list(tx.execute(oldest).scalars())
    if not ids:
        return 0
    s, d, step = tables.submission, tables.delivery, tables.request_step
    submissions = list(tx.execute(select(s.c.id).where(s.c.receipt_id.in_(ids))).scalars())
    deliveries = list(tx.execute(select(d.c.id).where(d.c.submission_id.in_([*ids, *submissions]))).scalars())
    steps = list(tx.execute(select(step.c.id).where(step.c.submission_id.in_(submissions))).scalars())
    calls = fax_calls.ids_about(tx, [*ids, *deliveries])
    chunk, lookup = tables.payload_chunk, tables.lookup
    for some in _slices([*ids, *submissions, *deliveries, *steps, *calls]):
        tx.execute(delete(chunk).where(chunk.c.row_id.in_(some)))
        tx.execute(delete(lookup).where(lookup.c.legal_entity == entity, lookup.c.about_id.in_(some)))
    # What comes again under this key is new: there is no answer left to repeat.
    tx.execute(update(r).where(r.c.id.in_(ids)).values(live_key=None))
    for receipt_id in ids:
        tx.event(entity, WorkAbout.RECEIPT, receipt_id, PURGED)
        tx.audit(entity, ACTOR, f"receipt.{PURGED}", WorkAbout.RECEIPT.value, receipt_id)
    return len(ids)


def _slices(ids: list[str]) -> list[list[str]]:
    """Few enough for one statement's parameters."""
    return [ids[start : start + _EVENTS_BATCH] for start in range(0, len(ids), _EVENTS_BATCH)]


def _purge_events(tx: Transaction, entity: str, limits: Limits) -> int:
    """A thing's log goes with its content, never before: what is open keeps its whole story."""
    e, chunk, w, d = tables.event, tables.payload_chunk, tables.work_item, tables.delivery
    over = (e.c.legal_entity == entity, e.c.at < limits.events, e.c.kind.not_in(_KEPT_EVENTS))
    held = exists().where(chunk.c.row_id == e.c.about_id)
    asked = exists().where(w.c.about_id == e.c.about_id, tables.IS_UNDECIDED)
    parent = exists().where(d.c.id == e.c.about_id, exists().where(chunk.c.row_id == d.c.submission_id))
    query = select(e.c.number).where(*over, ~held, ~asked, ~parent).order_by(e.c.number).limit(_EVENTS_BATCH)
    numbers = list(tx.execute(query).scalars())
    if numbers:
        tx.execute(delete(e).where(e.c.number.in_(numbers)))
    return len(numbers)
