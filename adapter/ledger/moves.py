"""The one way a delivery changes state: checked against the transition table, logged, audited, its submission's status kept.

A move takes the row as it was read under lock. What depends on a move (the next leg, the cached status) is here too, so that no
verb can forget it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select, update

from adapter.ledger import ack_marks, tables
from adapter.ledger.database import Transaction
from adapter.ledger.records import Phase
from adapter.ledger.rows import delivery_value
from adapter.ledger.status import MOVING, SERVED, status_of
from adapter.ledger.withdrawal_asks import ask_back
from adapter.model.delivery import DeliveryState, Purpose, check_transition
from adapter.model.work_item import IDENTITY_REASONS, WorkAbout

Row = Mapping[Any, Any]
S = DeliveryState

# Once it left the lane's hands, nobody holds it.
_FREE = {"claimed_by": "", "lease_until": None}


def locked(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Deliveries read to be changed. On PostgreSQL their rows are held; SQLite has one writer."""
    d = tables.delivery
    return select(d).where(*conditions).order_by(d.c.id).with_for_update()


def move_delivery(
    tx: Transaction, row: Row, after: DeliveryState, *, actor: str, detail: str = "", at: datetime | None = None, **values: Any
) -> Row:
    """Change a delivery's state and whatever `values` says; returns the row as it is now. `at`: when a partner says it was so."""
    check_transition(S(row["state"]), after)
    released = {} if after in (S.CLAIMED, S.ON_WIRE) else _FREE
    changed = {"state": after.value, "changed_at": tx.now} | released | values
    tx.execute(update(tables.delivery).where(tables.delivery.c.id == row["id"]).values(changed))
    note(tx, row, after.value, detail or str(values.get("cause", "")), actor=actor)
    if after in (S.CANCELLED, S.SUPERSEDED):
        ask_back(tx, [row], str(values.get("cause", "")) or after.value)
    cause = str(values.get("cause", row["cause"]))
    ack_marks.mark(tx, row, after, cause=cause, source=actor, detail=detail, at=at or tx.now)
    return dict(row) | changed


def note(tx: Transaction, row: Row, kind: str, detail: str = "", *, actor: str = "") -> None:
    """Log something about a delivery; audited when somebody did it."""
    tx.event(row["legal_entity"], WorkAbout.DELIVERY, row["id"], kind, detail)
    if actor:
        tx.audit(row["legal_entity"], actor, f"delivery.{kind}", WorkAbout.DELIVERY.value, row["id"], detail)


def change_values(tx: Transaction, row: Row, **values: Any) -> Row:
    """Change columns without changing state."""
    tx.execute(update(tables.delivery).where(tables.delivery.c.id == row["id"]).values(values | {"changed_at": tx.now}))
    return dict(row) | values


def supersede(tx: Transaction, row: Row, by: str, *, actor: str) -> None:
    """Stop an older version that did not leave; a worker that holds it finds that it may not be put on the wire."""
    move_delivery(tx, row, S.SUPERSEDED, actor=actor, detail=by, superseded_by=by)


def requeue(tx: Transaction, row: Row, *, actor: str, **values: Any) -> Row:
    """Put a delivery back in its queue; if a newer version to the same role came in the meantime, it never goes again."""
    queued = move_delivery(tx, row, S.QUEUED, actor=actor, **values)
    if row["superseded_by"]:
        supersede(tx, queued, row["superseded_by"], actor=actor)
    elif question := _question_on(tx, row):
        return move_delivery(tx, queued, S.PARKED, actor=actor, detail=question, cause=question)
    return queued


def open_identity_question(tx: Transaction, submission_id: str) -> str:
    """Why a document is held: its patient's identity changed, and nobody has said yet whose it is; empty when it is not."""
    w = tables.work_item
    open_on_it = (w.c.about_id == submission_id, tables.IS_UNDECIDED, w.c.reason.in_(sorted(IDENTITY_REASONS)))
    return tx.execute(select(w.c.reason).where(*open_on_it).order_by(w.c.opened_at).limit(1)).scalar() or ""


def _question_on(tx: Transaction, row: Row) -> str:
    """The same for a delivery: it was on the wire when the identity changed. An acknowledgement is held by no identity."""
    return open_identity_question(tx, row["submission_id"]) if row["purpose"] == Purpose.DOCUMENT.value else ""


def open_next_leg(tx: Transaction, row: Row, *, actor: str) -> bool:
    """Queue the waiting leg that follows for the same role (held, if its patient is in question); False when there is none."""
    if row["superseded_by"]:
        return True  # the newer version serves this role
    legs = _legs_of_role(tx, row)
    if any(S(leg["state"]) in MOVING for leg in legs):
        return True
    following = [leg for leg in legs if leg["state"] == S.WAITING.value]
    if not following:
        return False
    opened = min(following, key=lambda leg: leg["leg"])
    if question := _question_on(tx, row):
        move_delivery(tx, opened, S.PARKED, actor=actor, detail=question, cause=question)
    else:
        move_delivery(tx, opened, S.QUEUED, actor=actor, detail="leg-opened")
    return True


def close_later_legs(tx: Transaction, row: Row, states: Iterable[DeliveryState], detail: str, *, actor: str) -> None:
    """Cancel the role's other legs that are in one of `states`: it was served, or a person took it over. What waits in a
    partner's queue is asked back.
    """
    wanted = {state.value for state in states}
    for leg in _legs_of_role(tx, row):
        if leg["state"] in wanted:
            move_delivery(tx, leg, S.CANCELLED, actor=actor, detail=detail, cause=detail)
        elif S(leg["state"]) in (S.ACCEPTED, S.UNCLEAR, S.ON_WIRE):
            ask_back(tx, [leg], detail)


def is_served_otherwise(tx: Transaction, row: Row) -> bool:
    """True when another leg of the role served it, or is on its way: sending this one too would double the document."""
    return any(S(leg["state"]) in MOVING or has_served(leg["state"]) for leg in _legs_of_role(tx, row))


def _legs_of_role(tx: Transaction, row: Row) -> list[Row]:
    d = tables.delivery
    conditions = (d.c.submission_id == row["submission_id"], d.c.role_id == row["role_id"], d.c.purpose == row["purpose"])
    return list(tx.execute(locked(*conditions, d.c.id != row["id"])).mappings())


def has_served(state: str) -> bool:
    """True when a proof stands: nothing that a sender says afterwards undoes it, only a proof may."""
    return S(state) in SERVED


def refresh_status(tx: Transaction, submission_ids: Iterable[str]) -> None:
    """Compute and cache the status of submissions. The submission's row is held, so that two legs' ends do not cross."""
    s, d = tables.submission, tables.delivery
    for submission_id in sorted(set(submission_ids)):
        held = select(s.c.id, s.c.phase, s.c.summary).where(s.c.id == submission_id).with_for_update()
        before = tx.execute(held).first()
        if before is None:
            continue
        deliveries = [delivery_value(row) for row in tx.execute(select(d).where(d.c.submission_id == submission_id)).mappings()]
        documents = [one.id for one in deliveries if one.purpose is Purpose.DOCUMENT]
        status = status_of(deliveries, is_waited_for(tx, [submission_id, *documents]))
        # While it moves, claims would make a finer summary stale at once.
        summary = status.phase.value if status.phase is Phase.OPEN else status.summary
        if (before.phase, before.summary) != (status.phase.value, summary):
            tx.execute(update(s).where(s.c.id == submission_id).values(phase=status.phase.value, summary=summary))


def is_waited_for(tx: Transaction, about_ids: Sequence[str]) -> bool:
    """True when a work item is open on one of these rows."""
    w = tables.work_item
    return tx.execute(select(w.c.id).where(w.c.about_id.in_(about_ids), tables.IS_UNDECIDED).limit(1)).first() is not None
