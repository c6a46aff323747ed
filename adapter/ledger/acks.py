"""Turns what senders are owed into deliveries of acknowledgements: once each, in one transaction with the marks it clears.

What is owed is decided by `tracking.business_ack` through the function passed in. Ids are UUIDv5 of what they tell, so a run
after a crash names the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row as SomeRow
from sqlalchemy import delete, exists, insert, or_, select

from adapter.errors import LedgerError, VaultError
from adapter.ledger import bundles, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind, Phase
from adapter.ledger.rows import delivery_row, json_form, read_asked, read_chunk, read_plan, read_submission
from adapter.ledger.work_items import add_work_items
from adapter.model.ack import DECIDED, AckKind, Asker, BusinessAck, Proof, Told, told_about
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.parties import RecipientKind
from adapter.model.plan import RoutePlan
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout, WorkItem

Row = Mapping[Any, Any]
_BATCH = 100
# What has no route of its own: it goes back to who asked.
NO_PLAN = RoutePlan("", "")
_CANCELLED = DeliveryState.CANCELLED.value
_TAKEN = frozenset({DeliveryState.INTEGRATED.value, DeliveryState.CANCELLED.value, DeliveryState.SUPERSEDED.value})
_DAMAGED_ADVICE = "Accusé dû à l'émetteur, mais contenu illisible dans le registre : prévenir l'émetteur et le support."
_IMPOSSIBLE_ADVICE = "Accusé dû à l'émetteur, mais impossible à préparer : prévenir l'émetteur et le support."


@dataclass(frozen=True, repr=False)
class AckCase(Confidential):
    """One sender who waits: what happened since, oldest first, and what was told before.

    `plan` names nobody for a mail of which nothing could be taken. `mail_is_done`: every document of the mail that brought it
    was taken, and nothing of that mail waits for a person. `count`: how many answers left before, about the whole mail if it
    came by mail.
    """

    asker: Asker
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
    return json_form(BusinessAck).dump_json(ack, exclude_defaults=True)


def read_ack(content: bytes) -> BusinessAck:
    """An acknowledgement from JSON."""
    ack: BusinessAck = json_form(BusinessAck).validate_json(content)
    return ack


def settle_acks(database: Database, owe: OweAcks) -> int:
    """See `Ledger.settle_acks`."""
    return database.write(lambda tx: _settle(tx, owe))


def _settle(tx: Transaction, owe: OweAcks) -> int:
    """The oldest marks. What they are about is held *before* the marks are read: read first, two settlers could tell one
    sender's news in the wrong order, and the older one would be the last word.
    """
    p, s = tables.ack_pending, tables.submission
    oldest = tx.execute(select(p.c.number, p.c.submission_id).order_by(p.c.number).limit(_BATCH)).all()
    if not oldest:
        return 0
    ids = sorted({row.submission_id for row in oldest})
    receipts = {row.id: row.receipt_id for row in tx.execute(select(s.c.id, s.c.receipt_id).where(s.c.id.in_(ids)))}
    tx.lock(*(f"acks/{receipts.get(asker_id, asker_id)}" for asker_id in ids))
    mine = (p.c.number <= max(row.number for row in oldest), p.c.submission_id.in_(ids))
    marks = tx.execute(select(p).where(*mine).order_by(p.c.number).with_for_update()).mappings().all()
    news: dict[str, list[Row]] = {}
    for row in marks:
        news.setdefault(row["submission_id"], []).append(row)
    for asker_id, rows in news.items():  # the first news first: of two documents of one mail, only one is told
        _settle_one(tx, asker_id, rows, owe)
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
    r = tables.receipt
    proofs = tuple(_proof(row) for row in marks)
    if not _is_submission(tx, submission_id):
        receipt = tx.execute(select(r).where(r.c.id == submission_id)).mappings().one()
        asked = read_asked(read_chunk(tx.connection, tx.vault, submission_id, PayloadKind.ASKED))
        asker = Asker(submission_id, submission_id, receipt["legal_entity"], asked, receipt["control_id"])
        last, count = _told_before(tx, asker, by_mail=True)
        # Being read again is no news: the next reading has the word.
        still_so = proofs if receipt["state"] == ReceiptState.PARKED.value else ()
        return AckCase(asker, NO_PLAN, receipt["principal"], still_so, last, count, mail_is_done=False)
    submission = read_submission(read_chunk(tx.connection, tx.vault, submission_id, PayloadKind.SUBMISSION))
    plan = read_plan(read_chunk(tx.connection, tx.vault, submission_id, PayloadKind.PLAN))
    peer = tx.execute(select(r.c.principal).where(r.c.id == submission.receipt_id)).scalar() or ""
    asker, by_mail = _asker(submission), submission.mail is not None
    last, count = _told_before(tx, asker, by_mail=by_mail)
    is_done = not by_mail or _is_taken_whole(tx, submission.receipt_id)
    # The same document may have gone to others too, whom this sender did not name.
    named = {one.role_id for one in plan.recipients}
    mine = tuple(one for one in proofs if one.role_id in named)
    return AckCase(asker, plan, peer, mine, last, count, is_done)


def _is_submission(tx: Transaction, asker_id: str) -> bool:
    """False for a mail that waits as a whole: then it is its receipt."""
    s = tables.submission
    return tx.execute(select(s.c.id).where(s.c.id == asker_id)).first() is not None


def _asker(submission: Submission) -> Asker:
    return Asker(
        submission.id,
        submission.receipt_id,
        submission.legal_entity,
        submission.acks,
        submission.control_id,
        submission.document.version,
        submission.intent.value,
        next((one.address for one in submission.recipients if one.kind is RecipientKind.PATIENT), ""),
    )


def _is_taken_whole(tx: Transaction, receipt_id: str) -> bool:
    """One receipt answers for a whole mail: it says yes once all of it was taken, some of it maybe under an earlier mail."""
    r, s, d = tables.receipt, tables.submission, tables.delivery
    state = tx.execute(select(r.c.state).where(r.c.id == receipt_id)).scalar()
    waits = tx.execute(select(s.c.id).where(s.c.receipt_id == receipt_id, s.c.phase == Phase.PARKED.value).limit(1)).first()
    mine = select(d.c.state, d.c.cause).join(s, s.c.id == d.c.submission_id).where(s.c.receipt_id == receipt_id)
    documents = [*tx.execute(mine.where(d.c.purpose == Purpose.DOCUMENT.value)), *_served_before(tx, receipt_id)]
    # What a person stopped was told as a no: a yes for the others must not take it back.
    taken = all(one.state in _TAKEN and not (one.state == _CANCELLED and one.cause in DECIDED) for one in documents)
    return state == ReceiptState.PREPARED.value and waits is None and taken


def _served_before(tx: Transaction, receipt_id: str) -> list[SomeRow[Any]]:
    """Deliveries that an earlier message made of this one's documents, to the recipients that this one names too."""
    s, d = tables.submission, tables.delivery
    without = ~exists().where(d.c.submission_id == s.c.id, d.c.purpose == Purpose.DOCUMENT.value)
    found: list[SomeRow[Any]] = []
    for mine in tx.execute(select(s).where(s.c.receipt_id == receipt_id, without)).mappings().all():
        plan = read_plan(read_chunk(tx.connection, tx.vault, mine["id"], PayloadKind.PLAN))
        same = [d.c[name] == mine[name] for name in ("legal_entity", "document_id", "version", "intent")]
        roles = d.c.role_id.in_([one.role_id for one in plan.recipients])
        query = select(d.c.state, d.c.cause).where(*same, roles, d.c.purpose == Purpose.DOCUMENT.value)
        found += tx.execute(query).all()
    return found


def _proof(row: Row) -> Proof:
    return Proof(row["role_id"], row["channel"], row["state"], row["at"], row["cause"], row["source"], row["detail"])


def _told_before(tx: Transaction, asker: Asker, *, by_mail: bool) -> tuple[tuple[Told, ...], int]:
    """The last word on each recipient, and how many were said. A mail has one sender, whatever documents it brought."""
    d, s = tables.delivery, tables.submission
    same_mail = select(s.c.id).where(s.c.receipt_id == asker.receipt_id)
    mine = or_(d.c.submission_id == asker.receipt_id, d.c.submission_id.in_(same_mail))
    # Two documents of one message that left in one mail have one DSN and one MDN: each is told once.
    beside = {} if by_mail else bundles.told_with(tx, asker.id)
    told_for = mine if by_mail else d.c.submission_id.in_([asker.id, *beside])
    query = select(d.c.submission_id, d.c.role_id).where(told_for, d.c.purpose == Purpose.ACK.value)
    last: dict[tuple[AckKind, str], Told] = {}
    count = 0
    for row in tx.execute(query.order_by(d.c.created_at, d.c.leg, d.c.id)):
        asker_id, name = row.submission_id, row.role_id
        kind, sign, _, role_id = name.split(" ", 3)
        if asker_id in beside and (role_id not in beside[asker_id] or AckKind(kind) is AckKind.RECORD):
            continue
        about = told_about(AckKind(kind), role_id)
        last[about] = Told(*about, sign == "Y", last[about].times + 1 if about in last else 1)
        count += asker_id not in beside
    return tuple(last.values()), count


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
    asker_id, entity = mark["submission_id"], mark["legal_entity"]
    about = WorkAbout.SUBMISSION if _is_submission(tx, asker_id) else WorkAbout.RECEIPT
    add_work_items(tx, [WorkItem(tx.new_id(), entity, about, asker_id, code, advice, tx.now)])
