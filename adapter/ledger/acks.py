"""Turns what senders are owed into deliveries of acknowledgements: once each, in one transaction with the marks it clears.

What is owed is decided by `tracking.business_ack` through the function passed in. Ids are UUIDv5 of what they tell, so a run
after a crash names the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, insert, select

from adapter.errors import LedgerError, VaultError
from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import delivery_row, read_chunk, read_plan, read_submission
from adapter.ledger.work_items import add_work_items
from adapter.model.ack import DECIDED, AckKind, BusinessAck, Proof, Told
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.plan import RoutePlan
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout, WorkItem

Row = Mapping[Any, Any]
_ACK = TypeAdapter(BusinessAck)
_BATCH = 100
_CANCELLED = DeliveryState.CANCELLED.value
_TAKEN = frozenset({DeliveryState.INTEGRATED.value, DeliveryState.CANCELLED.value, DeliveryState.SUPERSEDED.value})
_DAMAGED_ADVICE = "Accusé dû à l'émetteur, mais contenu illisible dans le registre : prévenir l'émetteur et le support."
_IMPOSSIBLE_ADVICE = "Accusé dû à l'émetteur, mais impossible à préparer : prévenir l'émetteur et le support."


@dataclass(frozen=True, repr=False)
class AckCase(Confidential):
    """One submission whose sender waits: what happened since, oldest first, and what was told before.

    `mail_is_done`: every document of the mail that brought it was taken, and nothing of that mail waits for a person.
    """

    submission: Submission
    plan: RoutePlan
    peer: str
    proofs: tuple[Proof, ...]
    told: tuple[Told, ...]
    count: int
    mail_is_done: bool = True


@dataclass(frozen=True, repr=False)
class OwedAck(Confidential):
    """One acknowledgement to send; `item` asks a person when nothing can carry it."""

    delivery: Delivery
    ack: BusinessAck
    item: WorkItem | None = None


OweAcks = Callable[[AckCase], tuple[OwedAck, ...]]


def write_ack(ack: BusinessAck) -> bytes:
    """An acknowledgement as JSON, to be sealed."""
    return _ACK.dump_json(ack, exclude_defaults=True)


def read_ack(content: bytes) -> BusinessAck:
    """An acknowledgement from JSON."""
    return _ACK.validate_json(content)


def settle_acks(database: Database, owe: OweAcks) -> int:
    """See `Ledger.settle_acks`."""
    return database.write(lambda tx: _settle(tx, owe))


def _settle(tx: Transaction, owe: OweAcks) -> int:
    """The oldest marks. Their submissions are held *before* the marks are read: read first, two settlers could tell a
    submission's news in the wrong order, and the older one would be the last word.
    """
    p = tables.ack_pending
    oldest = tx.execute(select(p.c.number, p.c.submission_id).order_by(p.c.number).limit(_BATCH)).all()
    if not oldest:
        return 0
    ids = sorted({row.submission_id for row in oldest})
    tx.lock(*(f"acks/{submission_id}" for submission_id in ids))
    mine = (p.c.number <= max(row.number for row in oldest), p.c.submission_id.in_(ids))
    marks = tx.execute(select(p).where(*mine).order_by(p.c.submission_id, p.c.number).with_for_update()).mappings().all()
    for submission_id, rows in groupby(marks, key=lambda row: row["submission_id"]):
        _settle_one(tx, submission_id, list(rows), owe)
    tx.execute(delete(p).where(p.c.number.in_([row["number"] for row in marks])))
    return len(marks)


def _settle_one(tx: Transaction, submission_id: str, marks: Sequence[Row], owe: OweAcks) -> None:
    try:
        case = _case(tx, submission_id, marks)
    except (VaultError, LedgerError, ValueError) as error:
        # One damaged row must not keep the others' acknowledgements.
        _ask_about_damage(tx, marks[0], error.code if isinstance(error, (VaultError, LedgerError)) else "ledger.damaged")
        return
    try:
        owed = owe(case)
    except Exception:  # nor must one that we cannot answer: an entity that left the configuration, a defect of ours
        _ask_about_damage(tx, marks[0], "ack-impossible", _IMPOSSIBLE_ADVICE)
        return
    for one in owed:
        _insert(tx, one)
    add_work_items(tx, [one.item for one in owed if one.item is not None])


def _case(tx: Transaction, submission_id: str, marks: Sequence[Row]) -> AckCase:
    submission = read_submission(read_chunk(tx.connection, tx.vault, submission_id, PayloadKind.SUBMISSION))
    plan = read_plan(read_chunk(tx.connection, tx.vault, submission_id, PayloadKind.PLAN))
    r = tables.receipt
    peer = tx.execute(select(r.c.principal).where(r.c.id == submission.receipt_id)).scalar() or ""
    told = _told_before(tx, submission_id)
    proofs = tuple(_proof(row) for row in marks)
    is_done = submission.mail is None or _is_taken_whole(tx, submission.receipt_id)
    return AckCase(submission, plan, peer, proofs, _last_told(told), len(told), is_done)


def _is_taken_whole(tx: Transaction, receipt_id: str) -> bool:
    """One receipt answers for a whole mail: it says yes once all of it was taken."""
    r, s, d = tables.receipt, tables.submission, tables.delivery
    state = tx.execute(select(r.c.state).where(r.c.id == receipt_id)).scalar()
    mine = select(d.c.state, d.c.cause).join(s, s.c.id == d.c.submission_id).where(s.c.receipt_id == receipt_id)
    documents = tx.execute(mine.where(d.c.purpose == Purpose.DOCUMENT.value)).all()
    # What a person stopped was told as a no: a yes for the others must not take it back.
    taken = all(one.state in _TAKEN and not (one.state == _CANCELLED and one.cause in DECIDED) for one in documents)
    return state == ReceiptState.PREPARED.value and taken


def _proof(row: Row) -> Proof:
    return Proof(row["role_id"], row["channel"], row["state"], row["at"], row["cause"], row["source"], row["detail"])


def _told_before(tx: Transaction, submission_id: str) -> list[BusinessAck]:
    d = tables.delivery
    query = select(d.c.id).where(d.c.submission_id == submission_id, d.c.purpose == Purpose.ACK.value)
    ids = tx.execute(query.order_by(d.c.leg, d.c.id)).scalars().all()
    return [read_ack(read_chunk(tx.connection, tx.vault, row_id, PayloadKind.ACK)) for row_id in ids]


def _last_told(acks: Sequence[BusinessAck]) -> tuple[Told, ...]:
    last: dict[tuple[AckKind, str], Told] = {}
    for ack in acks:
        times = last[ack.kind, ack.role_id].times if (ack.kind, ack.role_id) in last else 0
        last[ack.kind, ack.role_id] = Told(ack.kind, ack.role_id, ack.positive, times + 1)
    return tuple(last.values())


def _insert(tx: Transaction, owed: OwedAck) -> None:
    d, delivery = tables.delivery, owed.delivery
    if tx.execute(select(d.c.id).where(d.c.id == delivery.id)).first() is not None:
        return
    row = delivery_row(delivery) | {"created_at": tx.now, "changed_at": tx.now}
    tx.execute(insert(d), [row])
    tx.keep(delivery.legal_entity, delivery.id, PayloadKind.ACK, write_ack(owed.ack))
    tx.event(
        delivery.legal_entity, WorkAbout.DELIVERY, delivery.id, delivery.state.value, delivery.cause or delivery.channel.value
    )


def _ask_about_damage(tx: Transaction, mark: Row, code: str, advice: str = _DAMAGED_ADVICE) -> None:
    about, entity = WorkAbout.SUBMISSION, mark["legal_entity"]
    add_work_items(tx, [WorkItem(tx.new_id(), entity, about, mark["submission_id"], code, advice, tx.now)])
