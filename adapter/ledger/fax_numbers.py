"""Fax numbers of the directory: may a document be dialled there, who vouched for it, what went to a wrong one.

Law: CNIL on faxing health data; blueprint seams 13 and 20. The question is asked once a number, however many documents and
workers meet it, and again when somebody else has the number. A wrong number is wrong for every legal entity: a fact about a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, exists, insert, or_, select, update

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.fax_number_answers import (
    ABOUT,
    EVERY_ENTITY,
    HELD_CAUSES,
    IS_DOCUMENT,
    close_items,
    confirm,
    hold_number,
    number_row,
    open_item,
    read_holders,
    write_holders,
    write_number,
)
from adapter.ledger.fax_number_tables import fax_number, fax_number_delivery
from adapter.ledger.fax_redirects import redirect
from adapter.ledger.fax_test_pages import end_pages, page_state, queue_page
from adapter.ledger.records import Decision
from adapter.ledger.withdrawal_asks import ask_back
from adapter.ledger.withdrawal_tables import withdrawal
from adapter.ledger.work_items import add_work_items
from adapter.model.delivery import DeliveryState
from adapter.model.fax_number import FaxNumber, FirstFax, NumberState, NumberUse
from adapter.model.plan import RoutePlan
from adapter.model.submission import Submission
from adapter.model.withdrawal import Withdrawn
from adapter.model.work_item import (
    FIRST_FAX,
    FIRST_FAX_ADVICE,
    TEST_PAGE_ADVICE,
    WRONG_FAX_ADVICE,
    WRONG_FAX_NUMBER,
    WorkAbout,
    WorkItem,
)

S = DeliveryState
Row = Mapping[Any, Any]
_LISTED = 20


class FaxNumbers:
    """What the ledger knows of fax numbers, each legal entity its own; see `Ledger.fax_numbers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, delivery_id: str, fence: int, use: NumberUse, policy: FirstFax) -> bool:
        """Whether a claimed delivery may be dialled now; else it is parked, in the transaction that asks about its number.

        StaleClaimError when somebody else holds it by now.
        """
        return _admit(self._database, delivery_id, fence, use, policy)

    def confirm(self, number: str, by: str, *, legal_entity: str, holders: frozenset[str] = frozenset(), code: str = "") -> int:
        """Vouch for a number, for those who have it in the directory today; returns how many documents it lets go.

        With `code`, that of its test page, as the reader of the page told it. LedgerError: unknown number, another code.
        """
        return _confirm(self._database, number, holders, by, legal_entity, code)

    def report_wrong(self, number: str, by: str, *, legal_entity: str, holders: frozenset[str] = frozenset()) -> FaxNumber:
        """Nothing goes to this number any more, from nobody; what went and what waits is told to a person of each entity."""
        return _report_wrong(self._database, number, holders, by, legal_entity)

    def test_page_code(self, number: str, *, legal_entity: str) -> str:
        """The code that the test page of a number bears; empty once its question is answered."""
        n = fax_number
        mine = (n.c.legal_entity == legal_entity, n.c.number == number, n.c.state == NumberState.ASKED.value)
        with self._database.read() as connection:
            return connection.execute(select(n.c.code).where(*mine)).scalar() or ""

    def redirect(self, delivery_id: str, fence: int, submission: Submission, number: str) -> RoutePlan:
        """Have a claimed fax dialled at another number of its recipient; returns the plan as it is now.

        StaleClaimError when somebody else holds it by now.
        """
        return redirect(self._database, delivery_id, fence, submission, number)

    def all(self, *, legal_entity: str) -> tuple[FaxNumber, ...]:
        """Every number that an entity ever used, by number."""
        return _list_numbers(self._database, legal_entity)


def _admit(database: Database, delivery_id: str, fence: int, use: NumberUse, policy: FirstFax) -> bool:
    def work(tx: Transaction) -> bool:
        hold_number(tx, use.number)
        row = tx.execute(moves.locked(tables.delivery.c.id == delivery_id)).mappings().first()
        if row is None or row["fence"] != fence or row["state"] != S.CLAIMED.value:
            raise StaleClaimError("delivery.claim-lost", "this delivery is no longer held under this claim", where=delivery_id)
        stopped = _stopped_by(tx, row, use, policy)
        _link(tx, row, use.number, let_through=not stopped)
        if stopped:
            moves.move_delivery(tx, row, S.PARKED, actor=row["claimed_by"], detail=stopped, cause=stopped)
            moves.refresh_status(tx, [row["submission_id"]])
        return not stopped

    return database.write(work)


def _stopped_by(tx: Transaction, row: Row, use: NumberUse, policy: FirstFax) -> str:
    """Why a document must wait; its question is open when this returns. Empty: it may be dialled."""
    known, everyone = number_row(tx, use.legal_entity, use.number), number_row(tx, EVERY_ENTITY, use.number)
    if any(row is not None and row["state"] == NumberState.SUSPENDED.value for row in (known, everyone)):
        _ask(tx, use, WRONG_FAX_NUMBER, WRONG_FAX_ADVICE)
        return WRONG_FAX_NUMBER
    if known is not None and known["state"] == NumberState.CONFIRMED.value and use.holders <= read_holders(known["holders"]):
        return ""
    holders = write_holders(use.holders)
    if policy is FirstFax.SEND:
        if known is None:
            write_number(tx, use.legal_entity, use.number, state=NumberState.SEEN.value, holders=holders)
        return ""
    is_asked = known is not None and known["state"] == NumberState.ASKED.value and read_holders(known["holders"]) == use.holders
    code = str(known["code"]) if known is not None and is_asked else ""
    if policy is FirstFax.TEST_PAGE and not code:
        end_pages(tx, use.legal_entity, use.number, "ledger")  # of an older question
        code, is_asked = queue_page(tx, row, use.number), False
    if not is_asked:
        asked = {"state": NumberState.ASKED.value, "holders": holders, "code": code}
        write_number(tx, use.legal_entity, use.number, **asked, decided_by="", by_code=False)
    advice = TEST_PAGE_ADVICE if code else FIRST_FAX_ADVICE
    _ask(tx, use, FIRST_FAX, advice.format(display=use.display))
    return FIRST_FAX


def _ask(tx: Transaction, use: NumberUse, reason: str, advice: str) -> None:
    """One question a number; an urgent document makes it urgent, with its line to call."""
    known = open_item(tx, use.legal_entity, use.number)
    if known is None:
        about, line = WorkAbout.FAX_NUMBER, use.phone_line if use.urgent else ""
        add_work_items(tx, [WorkItem(tx.new_id(), use.legal_entity, about, use.number, reason, advice, tx.now, use.urgent, line)])
    elif use.urgent and not (known["urgent"] and known["phone_line"]):
        w = tables.work_item
        tx.execute(update(w).where(w.c.id == known["id"]).values(urgent=True, phone_line=known["phone_line"] or use.phone_line))


def _link(tx: Transaction, row: Row, number: str, *, let_through: bool) -> None:
    link = fax_number_delivery
    mine = (link.c.delivery_id == row["id"], link.c.number == number)
    known = tx.execute(select(link.c.number).where(*mine)).first() is not None
    if not known:
        values = {"delivery_id": row["id"], "legal_entity": row["legal_entity"], "number": number}
        tx.execute(insert(link).values(**values, let_through_at=tx.now if let_through else None))
    elif let_through:
        tx.execute(update(link).where(*mine, link.c.let_through_at.is_(None)).values(let_through_at=tx.now))


# ── a person's word ───────────────────────────────────────────────────────────────────────────────────────────


def _confirm(database: Database, number: str, holders: frozenset[str], by: str, legal_entity: str, code: str) -> int:
    def work(tx: Transaction) -> int:
        hold_number(tx, number)
        known = number_row(tx, legal_entity, number)
        _refuse_stranger(known, holders)
        if code and (known is None or not known["code"] or known["code"] != code):
            text, remedy = "this is not the code of this number's test page", "Read it again with whoever holds the page."
            raise LedgerError("fax-number.wrong-code", text, where=number, remedy=remedy)
        if known is None or holders:
            write_number(tx, legal_entity, number, state=NumberState.ASKED.value, holders=write_holders(holders))
        close_items(tx, legal_entity, number, Decision.RETRY, by)
        return confirm(tx, legal_entity, number, by, how="code" if code else "word")

    return database.write(work)


def _report_wrong(database: Database, number: str, holders: frozenset[str], by: str, legal_entity: str) -> FaxNumber:
    def work(tx: Transaction) -> FaxNumber:
        hold_number(tx, number)
        n = fax_number
        _refuse_stranger(number_row(tx, legal_entity, number), holders)
        known = {row["legal_entity"] for row in tx.execute(select(n).where(n.c.number == number)).mappings()}
        for entity in sorted({EVERY_ENTITY, legal_entity, *known}):
            mine = by if entity == legal_entity else ""
            write_number(tx, entity, number, state=NumberState.SUSPENDED.value, decided_by=mine, by_code=False, code="")
            if entity != EVERY_ENTITY:
                _stop_all(tx, entity, number, by if entity == legal_entity else "another-entity")
        return _value(tx.connection, dict(number_row(tx, legal_entity, number) or {}))

    return database.write(work)


def _refuse_stranger(known: Row | None, holders: frozenset[str]) -> None:
    """A number that is neither kept nor in the directory may be a person's: it is not written down."""
    if known is None and not holders:
        text, remedy = "neither the directory nor this ledger has this number", "Write it as it stands in the partners files."
        raise LedgerError("fax-number.unknown", text, remedy=remedy)


def _stop_all(tx: Transaction, entity: str, number: str, by: str) -> None:
    """Nothing more goes to a number: what is queued waits, and the incident is a person's, with what already went.

    A worker about to dial finds that it may not be put on the wire.
    """
    d, link = tables.delivery, fax_number_delivery
    mine = select(link.c.delivery_id).where(link.c.legal_entity == entity, link.c.number == number)
    queued = IS_DOCUMENT & or_(
        d.c.state.in_((S.QUEUED.value, S.CLAIMED.value)), (d.c.state == S.PARKED.value) & d.c.cause.in_(HELD_CAUSES)
    )
    rows = tx.execute(moves.locked(d.c.id.in_(mine), queued)).mappings().all()
    for row in rows:
        if row["state"] != S.PARKED.value:
            moves.move_delivery(tx, row, S.PARKED, actor=by, detail=WRONG_FAX_NUMBER, cause=WRONG_FAX_NUMBER)
        else:
            moves.change_values(tx, row, cause=WRONG_FAX_NUMBER)
    handed_over = moves.locked(d.c.id.in_(mine), IS_DOCUMENT, d.c.on_wire_at.is_not(None))
    ask_back(tx, tx.execute(handed_over).mappings().all(), WRONG_FAX_NUMBER)
    end_pages(tx, entity, number, by)
    close_items(tx, entity, number, Decision.CLOSE, by)
    sent = _sent(tx.connection, entity, number)
    about = WorkAbout.FAX_NUMBER
    advice = f"{WRONG_FAX_ADVICE} {_told(sent)}"
    add_work_items(tx, [WorkItem(tx.new_id(), entity, about, number, WRONG_FAX_NUMBER, advice, tx.now, urgent=True)])
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    tx.event(entity, about, number, "wrong-number", f"{len(sent)} sent")
    tx.audit(entity, by, "fax-number.wrong", ABOUT, number, f"{len(sent)} sent")


def _told(sent: Sequence[str]) -> str:
    if not sent:
        return "Rien n'y était parti."
    more = f" et {len(sent) - _LISTED} autres (tdu fax numbers --json)" if len(sent) > _LISTED else ""
    return f"Y sont partis ou ont pu partir ({len(sent)}) : {', '.join(sent[:_LISTED])}{more}."


# ── read ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _list_numbers(database: Database, legal_entity: str) -> tuple[FaxNumber, ...]:
    n = fax_number
    with database.read() as connection:
        rows = connection.execute(select(n).where(n.c.legal_entity == legal_entity).order_by(n.c.number)).mappings().all()
        return tuple(_value(connection, row) for row in rows)


def _value(connection: Connection, row: Row) -> FaxNumber:
    d, link = tables.delivery, fax_number_delivery
    mine = select(link.c.delivery_id).where(link.c.legal_entity == row["legal_entity"], link.c.number == row["number"])
    held = select(d.c.id).where(d.c.id.in_(mine), d.c.state == S.PARKED.value, d.c.cause.in_(HELD_CAUSES))
    return FaxNumber(
        number=row["number"],
        state=NumberState(row["state"]),
        holders=read_holders(row["holders"]),
        changed_at=row["changed_at"],
        decided_by=row["decided_by"],
        by_code=row["by_code"],
        waiting=tuple(connection.execute(held.order_by(d.c.created_at, d.c.id)).scalars()),
        sent=_sent(connection, row["legal_entity"], row["number"]),
        test_page=page_state(connection, row["legal_entity"], row["number"]),
    )


def _sent(connection: Connection, entity: str, number: str) -> tuple[str, ...]:
    """What went to a number, or may have: on the wire since it was let through, or about to be; not what came back."""
    d, link = tables.delivery, fax_number_delivery
    went = or_(d.c.state == S.CLAIMED.value, d.c.on_wire_at >= link.c.let_through_at)
    came_back = exists().where(withdrawal.c.delivery_id == d.c.id, withdrawal.c.found == Withdrawn.GONE.value)
    query = (
        select(d.c.id)
        .join(link, link.c.delivery_id == d.c.id)
        .where(
            link.c.legal_entity == entity,
            link.c.number == number,
            link.c.let_through_at.is_not(None),
            IS_DOCUMENT,
            went,
            ~came_back,
        )
    )
    return tuple(connection.execute(query.order_by(link.c.let_through_at, d.c.id)).scalars())
