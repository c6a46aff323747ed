"""What waits for a person: opened once a reason, listed per entity, decided once, and the decision applied.

Law: blueprint §1 (parked), seams 4, 5, 16; complaint 26: one alert, not one a retry. Two questions on one row with the same
reason and other words (two recipients whom nobody knows) are two questions. What a person decided and did not settle is asked
again: a decided item never silences its successor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from sqlalchemy import and_, insert, or_, select, update

from adapter.errors import LedgerError, VaultError
from adapter.ledger import bundles, moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.fax_number_answers import decide_number
from adapter.ledger.identity_decisions import decide_document, documents_under
from adapter.ledger.records import Decision, PayloadKind, WorkFilter
from adapter.ledger.rows import read_chunk, read_plan, work_item_row, work_item_value
from adapter.ledger.withdrawal_asks import ask_back
from adapter.model.ack import AckKind, told_about
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.receipt import ReceiptState
from adapter.model.work_item import FAX_NUMBER_CHANGED, IDENTITY_REASONS, PARTNER_DOWN, WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]

# What a decision other than retry writes as the cause of what it stops.
_CAUSES = {Decision.CANCEL: "cancelled", Decision.HAND_OVER: "handed-over", Decision.CLOSE: "closed"}
# Causes of what a person stopped without having it handed over.
STOPPED_BY_PERSON = frozenset({_CAUSES[Decision.CANCEL], _CAUSES[Decision.CLOSE]})
# Priorities below this one are urgent documents'.
URGENT_BELOW = 50
# A submission's question is always a recipient for whom there is no plan; a number's holds what is for it.
_IS_PARKED = or_(
    tables.work_item.c.about.in_((WorkAbout.SUBMISSION.value, WorkAbout.FAX_NUMBER.value)),
    tables.work_item.c.about_id.in_(select(tables.delivery.c.id).where(tables.delivery.c.state == S.PARKED.value)),
    tables.work_item.c.about_id.in_(select(tables.receipt.c.id).where(tables.receipt.c.state == ReceiptState.PARKED.value)),
)
_NOT_ON_WIRE = (S.WAITING, S.QUEUED, S.CLAIMED, S.UNCLEAR, S.PARKED)


def add_work_items(tx: Transaction, items: Sequence[WorkItem]) -> int:
    """Insert the items that are not open yet for the same row, reason and advice; returns how many were new."""
    if not items:
        return 0
    w = tables.work_item
    same = or_(w.c.id.in_([i.id for i in items]), and_(w.c.about_id.in_([i.about_id for i in items]), tables.IS_UNDECIDED))
    question_of = (w.c.legal_entity, w.c.about_id, w.c.reason, w.c.advice)
    found = tx.execute(select(w.c.id, w.c.decision, *question_of).where(same)).all()
    ids = {row.id for row in found}
    open_already = {(row.legal_entity, row.about_id, row.reason, row.advice) for row in found if not row.decision}
    new: list[WorkItem] = []
    for item in items:
        question = (item.legal_entity, item.about_id, item.reason, item.advice)
        if question in open_already:
            continue
        open_already.add(question)
        fresh = item if item.id not in ids else replace(item, id=tx.new_id())
        ids.add(fresh.id)
        new.append(fresh)
        tx.event(item.legal_entity, item.about, item.about_id, "work-item", item.reason)
    if new:
        tx.execute(insert(w), [work_item_row(item) for item in new])
    return len(new)


def add_delivery_item(tx: Transaction, row: Row, reason: str, advice: str) -> None:
    """An item on a delivery, urgent when the document is, with the line to call that the plan names."""
    urgent = row["priority"] < URGENT_BELOW
    about = WorkAbout.DELIVERY
    line = _phone_line(tx, row)
    add_work_items(tx, [WorkItem(tx.new_id(), row["legal_entity"], about, row["id"], reason, advice, tx.now, urgent, line)])


def _phone_line(tx: Transaction, row: Row) -> str:
    """Whom to call about a delivery; a damaged plan must not keep the question from being asked."""
    try:
        plan = read_plan(read_chunk(tx.connection, tx.vault, row["submission_id"], PayloadKind.PLAN))
    except (VaultError, LedgerError, ValueError):
        return ""
    return next((one.phone_line for one in plan.recipients if one.role_id == row["role_id"]), "")


def open_work_item(database: Database, item: WorkItem) -> bool:
    """See `Ledger.open_work_item`."""

    def work(tx: Transaction) -> bool:
        added = add_work_items(tx, [item])
        _refresh(tx, item)
        return added == 1

    return database.write(work)


def greet_partner(tx: Transaction, row: Row, actor: str) -> None:
    """It took something: if somebody was told that it did not answer, that is over, and said once (complaint 26)."""
    w = tables.work_item
    name = row["partner"] or row["channel"]
    told = (w.c.about_id == name, w.c.legal_entity == row["legal_entity"], w.c.reason == PARTNER_DOWN)
    change = update(w).where(*told, tables.IS_UNDECIDED)
    closed = tx.execute(change.values(decision=Decision.CLOSE.value, decided_by=actor, decided_at=tx.now)).rowcount
    if closed:
        tx.event(row["legal_entity"], WorkAbout.PARTNER, name, "partner-back")
        tx.audit(row["legal_entity"], actor, "partner.back", WorkAbout.PARTNER.value, name)


def close_questions(database: Database, about: WorkAbout, about_id: str, legal_entity: str, by: str) -> int:
    """See `Ledger.close_work_items`."""

    def work(tx: Transaction) -> int:
        w = tables.work_item
        mine = (w.c.about == about.value, w.c.about_id == about_id, w.c.legal_entity == legal_entity)
        change = update(w).where(*mine, tables.IS_UNDECIDED)
        closed = tx.execute(change.values(decision=Decision.CLOSE.value, decided_by=by, decided_at=tx.now)).rowcount
        if closed:
            tx.event(legal_entity, about, about_id, "answered")
            tx.audit(legal_entity, by, "work-item.close", about.value, about_id)
        return closed

    return database.write(work)


def close_work_items(tx: Transaction, about_id: str, by: str) -> None:
    """A proof answered the question: items still open on this row are closed."""
    w = tables.work_item
    change = update(w).where(w.c.about_id == about_id, tables.IS_UNDECIDED)
    tx.execute(change.values(decision=Decision.CLOSE.value, decided_by=by, decided_at=tx.now))


def list_work_items(database: Database, which: WorkFilter, legal_entity: str) -> list[WorkItem]:
    """See `Ledger.list_work_items`."""
    w = tables.work_item
    query = select(w).where(w.c.legal_entity == legal_entity)
    if which.open_only:
        query = query.where(tables.IS_UNDECIDED)
    if which.urgent_only:
        query = query.where(w.c.urgent.is_(True))
    if which.parked_only:
        query = query.where(_IS_PARKED)
    if which.unclear_only:
        query = query.where(w.c.about_id.in_(select(tables.delivery.c.id).where(tables.delivery.c.unclear_count > 0)))
    if which.reason:
        query = query.where(w.c.reason == which.reason)
    if which.about is not None:
        query = query.where(w.c.about == which.about.value)
    if which.about_id:
        query = query.where(w.c.about_id == which.about_id)
    query = query.order_by(w.c.urgent.desc(), w.c.opened_at, w.c.id).limit(which.limit)
    with database.read() as connection:
        items = [work_item_value(row) for row in connection.execute(query).mappings()]
    # A patient's item says what to do with those of the documents, opened at the same instant: it is read before them.
    return sorted(items, key=lambda item: (not item.urgent, item.opened_at, item.about is not WorkAbout.PATIENT))


# ── deciding ──────────────────────────────────────────────────────────────────────────────────────────────────


def resolve(database: Database, item_id: str, decision: Decision, by: str, legal_entity: str) -> WorkItem:
    """See `Ledger.resolve`."""

    def work(tx: Transaction) -> WorkItem:
        item = _undecided(tx, item_id, legal_entity)
        match item.about:
            case WorkAbout.RECEIPT:
                _decide_receipt(tx, item, decision)
            case WorkAbout.SUBMISSION:
                _decide_submission(tx, item, decision, by)
            case WorkAbout.DELIVERY:
                _decide_delivery(tx, item, decision, by)
            case WorkAbout.PARTNER:
                _decide_partner(tx, item, decision, by)
            case WorkAbout.PATIENT:
                _decide_patient(tx, item, decision, by)
            case WorkAbout.CERTIFICATE:
                _refuse_correction(item, decision)  # a file is replaced on disk: any other word only answers the question
            case WorkAbout.FAX_NUMBER:
                decide_number(tx, item, decision, by)
            case _:
                assert_never(item.about)
        return _record_decision(tx, item, decision, by)

    return database.write(work)


def _record_decision(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> WorkItem:
    decided = replace(item, decision=decision.value, decided_by=by, decided_at=tx.now)
    w = tables.work_item
    tx.execute(update(w).where(w.c.id == item.id).values(decision=decision.value, decided_by=by, decided_at=tx.now))
    tx.event(item.legal_entity, item.about, item.about_id, f"decided-{decision.value}", item.reason)
    tx.audit(item.legal_entity, by, f"work-item.{decision.value}", item.about.value, item.about_id, item.reason)
    _refresh(tx, item)
    return decided


def _undecided(tx: Transaction, item_id: str, legal_entity: str) -> WorkItem:
    w = tables.work_item
    row = tx.execute(select(w).where(w.c.id == item_id, w.c.legal_entity == legal_entity).with_for_update()).mappings().first()
    if row is None:
        remedy = "`tdu queue` lists them."
        raise LedgerError("work-item.unknown", "no such work item for this legal entity", where=item_id, remedy=remedy)
    if row["decision"]:
        raise LedgerError("work-item.decided", f"already decided: {row['decision']}", where=item_id)
    return work_item_value(row)


def _decide_receipt(tx: Transaction, item: WorkItem, decision: Decision) -> None:
    """Retry prepares a parked receipt again; any other decision leaves it as it is, answered for."""
    _refuse_correction(item, decision)
    if decision is not Decision.RETRY:
        return
    _prepare_again(tx, item.about_id, (ReceiptState.PARKED,))


def _decide_submission(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """Retry prepares the receipt again, with today's directory; cancel stops what has not left."""
    if item.reason in IDENTITY_REASONS:
        decide_document(tx, item, decision, by)
        return
    _refuse_correction(item, decision)
    s, d = tables.submission, tables.delivery
    if decision is Decision.RETRY:
        receipt_id = tx.execute(select(s.c.receipt_id).where(s.c.id == item.about_id)).scalar()
        _prepare_again(tx, receipt_id or "", (ReceiptState.PARKED, ReceiptState.PREPARED))
    elif decision is Decision.CANCEL:
        unsent = d.c.state.in_([state.value for state in _NOT_ON_WIRE])
        documents = d.c.purpose == Purpose.DOCUMENT.value  # its sender is still owed an answer
        for row in tx.execute(moves.locked(d.c.submission_id == item.about_id, documents, unsent)).mappings().all():
            _stop(tx, row, _CAUSES[decision], by)


def _prepare_again(tx: Transaction, receipt_id: str, from_states: tuple[ReceiptState, ...]) -> None:
    r = tables.receipt
    change = update(r).where(r.c.id == receipt_id, r.c.state.in_([state.value for state in from_states]))
    values = {"state": ReceiptState.RECEIVED.value, "reason": "", "attempts": 0, "claimed_by": "", "lease_until": None}
    if tx.execute(change.values(values)).rowcount != 1:
        raise LedgerError("work-item.no-retry", "this receipt cannot be prepared again", where=receipt_id)


def _decide_patient(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """What is decided of the patient's item is decided of each document that it lists and that nobody answered yet."""
    if item.reason not in IDENTITY_REASONS:
        _refuse_correction(item, decision)
        return
    if decision is Decision.CORRECT and item.reason == "identity-unmerged":
        text = "after an un-merge some documents are each patient's: decide each"
        raise LedgerError("work-item.one-by-one", text, where=item.id, remedy="Answer the items of the documents.")
    for document in documents_under(tx, item):
        decide_document(tx, document, decision, by)
        _record_decision(tx, document, decision, by)


def _refuse_correction(item: WorkItem, decision: Decision) -> None:
    if decision is Decision.CORRECT:
        text, remedy = "only a document sent under another identity is corrected", "Choose retry, hand-over, cancel or close."
        raise LedgerError("work-item.no-correction", text, where=item.id, remedy=remedy)


def _decide_delivery(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    _refuse_correction(item, decision)
    row = tx.execute(moves.locked(tables.delivery.c.id == item.about_id)).mappings().first()
    if row is None:
        raise LedgerError("work-item.no-delivery", "the delivery is gone", where=item.about_id)
    state = S(row["state"])
    if decision is Decision.RETRY:
        _retry(tx, row, state, by)
        _retry_companions(tx, row, by)
    elif decision is Decision.CLOSE:
        if state is S.PARKED:
            _stop(tx, row, _CAUSES[decision], by)
        if state in (S.PARKED, S.REFUSED, S.CANCELLED, S.SUPERSEDED):
            moves.close_later_legs(tx, row, (S.WAITING,), _CAUSES[decision], actor=by)
    else:
        _take_over(tx, row, state, _CAUSES[decision], by)


def _decide_partner(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """Retry sends again what waits for this partner or was parked on its account; cancel stops what was parked."""
    _refuse_correction(item, decision)
    d = tables.delivery
    by_name = or_(d.c.partner == item.about_id, and_(d.c.partner == "", d.c.channel == item.about_id))
    mine = moves.locked(d.c.legal_entity == item.legal_entity, by_name)
    for row in tx.execute(mine.where(d.c.state.in_((S.PARKED.value, S.QUEUED.value)))).mappings().all():
        if decision is Decision.RETRY and row["state"] == S.QUEUED.value:
            moves.change_values(tx, row, not_before=None)
        elif decision is Decision.RETRY and row["purpose"] == Purpose.ACK.value:
            _tell_again(tx, row, by)
        elif decision is Decision.CANCEL and row["purpose"] == Purpose.ACK.value and row["state"] == S.PARKED.value:
            _stop(tx, row, _CAUSES[decision], by)


def _tell_again(tx: Transaction, row: Row, by: str) -> None:
    """Send a parked acknowledgement again, unless the sender was told something newer of the same recipient: an old yes that
    comes after a no would be the last word.
    """
    newer = _told_since(tx, row)
    if newer:
        moves.supersede(tx, row, newer, actor=by)
    else:
        moves.move_delivery(tx, row, S.QUEUED, actor=by, detail="retry", cause="", attempts=0, not_before=None)


def _told_since(tx: Transaction, row: Row) -> str:
    """The newer acknowledgement of the same kind and recipient that left or is leaving. What still waits keeps its turn."""
    d, about = tables.delivery, _told_about(row)
    mine = (and_(tables.HAS_SEQUENCE, d.c.sequence == row["sequence"]), d.c.purpose == Purpose.ACK.value, d.c.leg > row["leg"])
    for other in tx.execute(moves.locked(*mine)).mappings():
        left = S(other["state"]) in (S.CLAIMED, S.ON_WIRE, S.UNCLEAR) or moves.has_served(other["state"])
        if left and _told_about(other) == about:
            return str(other["id"])
    return ""


def _told_about(row: Row) -> tuple[AckKind, str]:
    kind, *_, role_id = row["role_id"].split(" ", 3)
    return told_about(AckKind(kind), role_id)


def _retry(tx: Transaction, row: Row, state: DeliveryState, by: str) -> None:
    """Send again: `unclear_count` stays, so that the partner is asked first what it has."""
    if row["purpose"] == Purpose.ACK.value and state is S.PARKED:
        _tell_again(tx, row, by)
        return
    if row["superseded_by"]:
        raise LedgerError("delivery.newer-version", "a newer version went to this recipient", where=row["id"])
    if moves.is_served_otherwise(tx, row):
        raise LedgerError("delivery.served-otherwise", "another channel serves this recipient", where=row["id"])
    if state in (S.PARKED, S.REFUSED):
        cause = FAX_NUMBER_CHANGED if row["cause"] == FAX_NUMBER_CHANGED else ""
        moves.move_delivery(tx, row, S.QUEUED, actor=by, detail="retry", cause=cause, attempts=0, not_before=None)
    elif state is S.QUEUED:
        moves.change_values(tx, row, not_before=None)
    else:
        raise LedgerError("work-item.no-retry", f"a delivery that is {state.value} is not sent again", where=row["id"])


def _retry_companions(tx: Transaction, row: Row, by: str) -> None:
    """What left in the same mail goes again in the same mail: alone, it would bear a Message-ID under which both may be known."""
    w = tables.work_item
    for other in bundles.travelled_with(tx, row):
        may_go = S(other["state"]) in (S.PARKED, S.REFUSED, S.QUEUED) and not other["superseded_by"]
        if not may_go or moves.is_served_otherwise(tx, other):
            continue
        _retry(tx, other, S(other["state"]), by)
        asked = select(w).where(w.c.about_id == other["id"], tables.IS_UNDECIDED).with_for_update()
        for item in tx.execute(asked).mappings().all():
            _record_decision(tx, work_item_value(item), Decision.RETRY, by)
        moves.refresh_status(tx, [other["submission_id"]])


def _take_over(tx: Transaction, row: Row, state: DeliveryState, cause: str, by: str) -> None:
    if state is S.ON_WIRE:
        raise LedgerError("delivery.on-wire", "it is being sent: wait for its outcome", where=row["id"])
    if state in _NOT_ON_WIRE:
        _stop(tx, row, cause, by)
    elif state is S.ACCEPTED:
        ask_back(tx, [row], cause)
    moves.close_later_legs(tx, row, (S.WAITING, S.QUEUED, S.CLAIMED, S.PARKED), cause, actor=by)


def _stop(tx: Transaction, row: Row, cause: str, by: str) -> None:
    moves.move_delivery(tx, row, S.CANCELLED, actor=by, detail=cause, cause=cause)


def _refresh(tx: Transaction, item: WorkItem) -> None:
    if item.about is WorkAbout.SUBMISSION:
        moves.refresh_status(tx, [item.about_id])
    elif item.about is WorkAbout.DELIVERY:
        d = tables.delivery
        submission_id = tx.execute(select(d.c.submission_id).where(d.c.id == item.about_id)).scalar()
        moves.refresh_status(tx, [submission_id] if submission_id else [])
