"""A request's steps: kept with it, appended by its answers, read for its Task; and requests found by the number they bear.

Law: blueprint §1 (a Task is projected from append-only rows). A step's id derives from the document that told of it, so that the
same answer by another door, or prepared again, is one step. What a person wrote and the day planned are sealed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from adapter.errors import LedgerError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.lookup import normalise
from adapter.ledger.receipts import lookup_rows
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import Sealed, read_chunk, read_submission, write_submission
from adapter.ledger.work_items import add_work_items
from adapter.model.request import AnsweredRequest, KnownRequest, RequestStep, StepKind
from adapter.model.submission import Submission, Urgency
from adapter.model.work_item import WorkAbout, WorkItem

_STEP_NAMESPACE = uuid.UUID("5d2a6d1c-6a0e-5a4e-8d53-1f8c1a0b7e55")
_NUMBER = "request-number"
_FOUND_LIMIT = 20
_TELL_ADVICE = "Réponse donnée par le logiciel du destinataire : prévenir le demandeur, qui n'en reçoit pas de document."


def insert_steps(tx: Transaction, submission: Submission, steps: Sequence[RequestStep]) -> None:
    """The steps that a new submission comes with, and the numbers under which an answer will name it."""
    entity, about = submission.legal_entity, WorkAbout.SUBMISSION
    for index, step in enumerate(steps):
        _insert(tx, f"{submission.id}/{index}", entity, submission.id, step)
    if any(step.kind is StepKind.REQUESTED for step in steps):
        numbers = [(_NUMBER, number) for number in (submission.control_id, submission.document.unique_id) if number]
        tx.execute(insert(tables.lookup), lookup_rows(tx, entity, about, submission.id, numbers))


def append_answer(tx: Transaction, submission: Submission, answered: AnsweredRequest, actor: str) -> None:
    """One step more on the request that this submission answers; the submission learns which one it was."""
    step, about = answered.step, WorkAbout.SUBMISSION
    if _insert(tx, f"{submission.document.unique_id}/answer", answered.legal_entity, answered.submission_id, step):
        tx.event(answered.legal_entity, about, answered.submission_id, "answered", step.kind.value)
        tx.audit(answered.legal_entity, actor, "request.answered", about.value, answered.submission_id, step.kind.value)
    _remember_request(tx, submission)


def append_step(database: Database, submission_id: str, step: RequestStep, known_steps: int, legal_entity: str) -> bool:
    """See `Ledger.append_request_step`."""
    return database.write(lambda tx: _append_step(tx, submission_id, step, known_steps, legal_entity))


def _append_step(tx: Transaction, submission_id: str, step: RequestStep, known_steps: int, entity: str) -> bool:
    s, table, about = tables.submission, tables.request_step, WorkAbout.SUBMISSION
    held = select(s.c.urgency).where(s.c.id == submission_id, s.c.legal_entity == entity).with_for_update()
    urgency = tx.execute(held).scalar()
    if urgency is None:
        raise LedgerError("submission.unknown", "no such submission for this legal entity", where=submission_id)
    mine = (table.c.legal_entity == entity, table.c.request_id == step.request_id)
    counted = tx.execute(select(func.count().label("steps"), func.max(table.c.at).label("last")).where(*mine)).one()
    last = counted.last
    if counted.steps != known_steps:
        return False
    if last is not None and step.at <= last:  # a clock that stood still or was put back must not turn the story round
        step = replace(step, at=last + timedelta(milliseconds=1))
    _insert(tx, f"{submission_id}/told/{known_steps}", entity, submission_id, step)
    tx.event(entity, about, submission_id, "answered", step.kind.value)
    tx.audit(entity, step.by, "request.answered", about.value, submission_id, step.kind.value)
    reason, urgent = f"answered-{step.kind.value}", urgency == Urgency.URGENT.value
    add_work_items(tx, [WorkItem(tx.new_id(), entity, about, submission_id, reason, _TELL_ADVICE, tx.now, urgent)])
    moves.refresh_status(tx, [submission_id])
    return True


def _remember_request(tx: Transaction, submission: Submission) -> None:
    """Prepared again, an answer may know its request at last: what was kept of it must say so."""
    s, chunk = tables.submission, tables.payload_chunk
    known = tx.execute(select(s.c.in_reply_to).where(s.c.id == submission.id)).scalar()
    if known == submission.in_reply_to:
        return
    tx.execute(update(s).where(s.c.id == submission.id).values(in_reply_to=submission.in_reply_to))
    kind = PayloadKind.SUBMISSION
    tx.execute(delete(chunk).where(chunk.c.row_id == submission.id, chunk.c.kind == kind.value))
    tx.keep(submission.legal_entity, submission.id, kind, write_submission(submission))


def _insert(tx: Transaction, name: str, entity: str, submission_id: str, step: RequestStep) -> bool:
    """False when the step is there already."""
    table, step_id = tables.request_step, str(uuid.uuid5(_STEP_NAMESPACE, name))
    if tx.execute(select(table.c.id).where(table.c.id == step_id)).first() is not None:
        return False
    row = {
        "id": step_id,
        "legal_entity": entity,
        "submission_id": submission_id,
        "request_id": step.request_id,
        "kind": step.kind.value,
        "at": step.at,
        "by": step.by,
        "answer_due": step.answer_due,
    }
    tx.execute(insert(table), [row])
    if step.note:
        tx.keep(entity, step_id, PayloadKind.NOTE, step.note.encode())
    told = {"start": step.planned_start, "end": step.planned_end, "document": step.answer_document}
    if any(told.values()):
        tx.keep(entity, step_id, PayloadKind.PLANNED, json.dumps(told).encode())
    return True


def request_steps(database: Database, request_id: str, legal_entity: str) -> list[RequestStep]:
    """See `Ledger.request_steps`."""
    table = tables.request_step
    mine = (table.c.legal_entity == legal_entity, table.c.request_id == request_id)
    query = select(table).where(*mine).order_by(table.c.at, table.c.kind != StepKind.REQUESTED.value, table.c.id)
    with database.read() as connection:
        rows = list(connection.execute(query).mappings())
        sealed = Sealed(connection, [row["id"] for row in rows], (PayloadKind.NOTE, PayloadKind.PLANNED))
        return [_step(row, sealed, database) for row in rows]


def _step(row: Mapping[Any, Any], sealed: Sealed, database: Database) -> RequestStep:
    vault, step_id = database.vault, row["id"]
    told = json.loads(sealed.open(vault, step_id, PayloadKind.PLANNED)) if sealed.has(step_id, PayloadKind.PLANNED) else {}
    note = sealed.open(vault, step_id, PayloadKind.NOTE).decode() if sealed.has(step_id, PayloadKind.NOTE) else ""
    return RequestStep(
        request_id=row["request_id"],
        kind=StepKind(row["kind"]),
        at=row["at"],
        by=row["by"],
        answer_due=row["answer_due"],
        note=note,
        planned_start=told.get("start", ""),
        planned_end=told.get("end", ""),
        answer_document=told.get("document", ""),
    )


def requests_numbered(database: Database, number: str, legal_entity: str) -> list[KnownRequest]:
    """See `Ledger.requests_numbered`."""
    normal = normalise(_NUMBER, number)
    if not normal:
        return []
    look, step = tables.lookup, tables.request_step
    macs = database.vault.lookup_macs(_NUMBER, legal_entity, normal)
    query = (
        select(step.c.submission_id, step.c.request_id, step.c.at)
        .join(look, look.c.about_id == step.c.submission_id)
        .where(look.c.legal_entity == legal_entity, look.c.kind == _NUMBER, look.c.mac.in_(macs))
        .where(step.c.legal_entity == legal_entity, step.c.kind == StepKind.REQUESTED.value)
        .order_by(step.c.at.desc(), step.c.id)
        .limit(_FOUND_LIMIT)
    )
    d = tables.delivery
    with database.read() as connection:
        found = []
        for row in connection.execute(query).mappings().all():
            submission = read_submission(read_chunk(connection, database.vault, row["submission_id"], PayloadKind.SUBMISSION))
            roles = select(d.c.role_id).where(d.c.submission_id == row["submission_id"]).distinct().order_by(d.c.role_id)
            found.append(_known(row, submission, tuple(connection.execute(roles).scalars())))
        return found


def _known(row: Mapping[Any, Any], submission: Submission, role_ids: tuple[str, ...]) -> KnownRequest:
    sender = submission.sender
    return KnownRequest(
        submission_id=submission.id,
        legal_entity=submission.legal_entity,
        request_id=row["request_id"],
        patient=submission.document.patient,
        requester_finess=sender.organisation.finess if sender and sender.organisation else "",
        role_ids=role_ids,
        asked_at=row["at"],
    )
