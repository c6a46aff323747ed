"""What a person's word on a fax number does: what waited for it goes, or never goes there.

Law: blueprint seams 4, 13 and 20: each word is audited, and what it lets go is moved in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, exists, insert, select, update

from adapter.errors import LedgerError
from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.ledger.fax_number_tables import fax_number, fax_number_delivery
from adapter.ledger.fax_test_pages import end_pages
from adapter.ledger.records import Decision
from adapter.ledger.rows import work_item_value
from adapter.ledger.withdrawal_asks import allow_again
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.fax_number import NumberState
from adapter.model.work_item import FIRST_FAX, WRONG_FAX_NUMBER, WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]
EVERY_ENTITY = ""
ABOUT = WorkAbout.FAX_NUMBER.value
# Causes of what waits for a word on its number.
HELD_CAUSES = (FIRST_FAX, WRONG_FAX_NUMBER)
IS_DOCUMENT = tables.delivery.c.purpose == Purpose.DOCUMENT.value
_CAUSES = {Decision.CANCEL: "cancelled", Decision.HAND_OVER: "handed-over", Decision.CLOSE: "closed"}


def hold_number(tx: Transaction, number: str) -> None:
    """One transaction at a time decides on a number: two workers who meet a new one ask one question."""
    tx.lock(f"fax-number/{number}")


def number_row(tx: Transaction, entity: str, number: str) -> Row | None:
    """What is known of a number, under `hold_number`."""
    n = fax_number
    return tx.execute(select(n).where(n.c.legal_entity == entity, n.c.number == number)).mappings().first()


def write_number(tx: Transaction, entity: str, number: str, **values: Any) -> None:
    """Make or change a number's row."""
    n = fax_number
    told = {**values, "changed_at": tx.now}
    if tx.execute(update(n).where(n.c.legal_entity == entity, n.c.number == number).values(told)).rowcount:
        return
    blank = {"holders": "[]", "code": "", "by_code": False, "decided_by": ""}
    tx.execute(insert(n).values({**blank, **told, "legal_entity": entity, "number": number}))


def write_holders(holders: frozenset[str]) -> str:
    """Keys as they are kept."""
    return json.dumps(sorted(holders))


def read_holders(kept: str) -> frozenset[str]:
    """The same, read."""
    return frozenset(json.loads(kept))


def confirm(tx: Transaction, entity: str, number: str, by: str, *, how: str) -> int:
    """A person vouches for a number: it is no longer suspended for this entity, and what waited goes. Returns how many went."""
    write_number(tx, entity, number, state=NumberState.CONFIRMED.value, decided_by=by, by_code=how == "code", code="")
    everyone = number_row(tx, EVERY_ENTITY, number)
    if everyone is not None and everyone["state"] == NumberState.SUSPENDED.value:
        write_number(tx, EVERY_ENTITY, number, state=NumberState.SEEN.value, decided_by=by)
    tx.audit(entity, by, "fax-number.confirmed", ABOUT, number, how)
    tx.event(entity, WorkAbout.FAX_NUMBER, number, "confirmed", how)
    end_pages(tx, entity, number, by)
    held = _held_for(tx, entity, number)
    allow_again(tx, [row["id"] for row in held], WRONG_FAX_NUMBER)
    went = sum(_let_go(tx, row, by) for row in held)
    moves.refresh_status(tx, {row["submission_id"] for row in held})
    return went


def _let_go(tx: Transaction, row: Row, by: str) -> bool:
    """Queue what waited for a word; what another channel serves by now is its fallback again, and is sent by nobody's word."""
    again = {"cause": "", "attempts": 0, "not_before": None}
    queued = moves.requeue(tx, row, actor=by, detail="number-confirmed", **again)
    if queued["state"] == S.QUEUED.value and moves.is_served_otherwise(tx, row):
        moves.move_delivery(tx, queued, S.WAITING, actor=by, detail="served-otherwise")
        return False
    return True


def decide_number(tx: Transaction, item: WorkItem, decision: Decision, by: str) -> None:
    """`tdu resolve` on a number's item: retry vouches for the number; any other word ends what waited for it."""
    number, entity = item.about_id, item.legal_entity
    hold_number(tx, number)
    if decision is Decision.CORRECT:
        text, remedy = "a number is confirmed or not", "Choose retry, hand-over, cancel or close."
        raise LedgerError("work-item.no-correction", text, where=item.id, remedy=remedy)
    if decision is Decision.RETRY and item.reason == WRONG_FAX_NUMBER:
        text, remedy = "this number was said to be wrong", "Once it is proved right: tdu fax confirm-number."
        raise LedgerError("fax-number.suspended", text, where=number, remedy=remedy)
    if decision is Decision.RETRY:
        confirm(tx, entity, number, by, how="word")
        return
    end_pages(tx, entity, number, by)
    write_number(tx, entity, number, code="")
    held = _held_for(tx, entity, number)
    for row in held:
        cause = _CAUSES[decision]
        moves.move_delivery(tx, row, S.CANCELLED, actor=by, detail=cause, cause=cause)
        moves.close_later_legs(tx, row, (S.WAITING,), cause, actor=by)
    moves.refresh_status(tx, {row["submission_id"] for row in held})


def open_item(tx: Transaction, entity: str, number: str, reason: str = "") -> Row | None:
    """The question that is open on a number of an entity."""
    w = tables.work_item
    mine = (w.c.legal_entity == entity, w.c.about == ABOUT, w.c.about_id == number, tables.IS_UNDECIDED)
    query = select(w).where(*mine, *([w.c.reason == reason] if reason else [])).order_by(w.c.opened_at)
    return tx.execute(query.limit(1)).mappings().first()


def close_items(tx: Transaction, entity: str, number: str, decision: Decision, by: str) -> None:
    """Answer every question open on a number."""
    w = tables.work_item
    mine = (w.c.legal_entity == entity, w.c.about == ABOUT, w.c.about_id == number, tables.IS_UNDECIDED)
    tx.execute(update(w).where(*mine).values(decision=decision.value, decided_by=by, decided_at=tx.now))


def items_of_numbers(connection: Connection, entity: str, delivery_ids: Sequence[str]) -> list[WorkItem]:
    """Questions on the numbers that these deliveries wait for."""
    w, link = tables.work_item, fax_number_delivery
    numbers = set(connection.execute(select(link.c.number).where(link.c.delivery_id.in_(delivery_ids))).scalars())
    if not numbers:
        return []
    mine = (w.c.about_id.in_(sorted(numbers)), w.c.legal_entity == entity, w.c.about == ABOUT)
    query = select(w).where(*mine).order_by(w.c.opened_at, w.c.id)
    return [work_item_value(row) for row in connection.execute(query).mappings()]


def is_asked_by_number() -> Any:
    """True for a delivery whose number's question is open; for a query over `delivery`."""
    d, w, link = tables.delivery, tables.work_item, fax_number_delivery
    asked = and_(w.c.legal_entity == link.c.legal_entity, w.c.about == ABOUT, w.c.about_id == link.c.number)
    return exists().where(link.c.delivery_id == d.c.id, asked, tables.IS_UNDECIDED)


def _held_for(tx: Transaction, entity: str, number: str) -> list[Row]:
    d, link = tables.delivery, fax_number_delivery
    mine = select(link.c.delivery_id).where(link.c.legal_entity == entity, link.c.number == number)
    held = moves.locked(d.c.id.in_(mine), IS_DOCUMENT, d.c.state == S.PARKED.value, d.c.cause.in_(HELD_CAUSES))
    return list(tx.execute(held).mappings())
