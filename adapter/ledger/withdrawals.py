"""What was handed over and must not leave any more is asked back from the partner's queue until the partner has answered.

Law: blueprint seams 5, 6 and 15. A job may wait for hours in a fax server's queue: meanwhile the document may be cancelled,
replaced, masked, taken over by a person or served by a better channel. The question is written in the transaction that makes it
so, and asked in every round: a crash leaves it open. What follows (a replacement, a cancellation) waits for the answer, which
tells whether there is anything to replace or to cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, or_, select, update

from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.versions import may_have_left
from adapter.ledger.visibility import MASKED
from adapter.ledger.withdrawal_asks import MAY_GO_AGAIN
from adapter.ledger.withdrawal_tables import IS_ASKED, withdrawal
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.plan import ChannelName
from adapter.model.submission import Intent
from adapter.model.withdrawal import Withdrawal, Withdrawn
from adapter.model.work_item import FAX_NUMBER_CHANGED, WRONG_FAX_NUMBER

S = DeliveryState
Row = Mapping[Any, Any]

_ACTOR = "withdrawal"
_LIMIT = 50
_AWAY = "connect-failed"
_AWAY_ADVICE = (
    "Document en attente : l'envoi précédent n'a pas pu être retiré de la file du serveur de télécopie. Vérifier ce serveur ; "
    "si c'est pressé, appeler le destinataire."
)
# How long an ordinary document waits for the answer about what came before it; for an urgent one somebody is told at once.
PATIENCE = timedelta(hours=2)
# Asked back for these, what was to be tried again is: when it is visible again, when its number is vouched for or is another.
_MAY_LEAVE_AGAIN = frozenset({MASKED, WRONG_FAX_NUMBER, FAX_NUMBER_CHANGED, MAY_GO_AGAIN})
_MASKED_GONE = "Document masqué depuis : sa télécopie a été retirée de la file avant de partir."
_WRONG_GONE = "Numéro de fax faux : la télécopie a été retirée de la file avant de partir. Joindre autrement le destinataire."
_MASKED_SENT = "Document masqué depuis, et sa télécopie était déjà partie : joindre le destinataire."


def pending(database: Database, channel: ChannelName) -> tuple[Withdrawal, ...]:
    """See `Ledger.withdrawals`. What is being sent at this moment is asked back once it was."""
    w, d = withdrawal, tables.delivery
    settled = d.c.state.not_in((S.CLAIMED.value, S.ON_WIRE.value))
    query = select(w.c.delivery_id, w.c.reference, w.c.reason).join(d, d.c.id == w.c.delivery_id)
    query = query.where(IS_ASKED, w.c.channel == channel.value, settled).order_by(w.c.asked_at, w.c.delivery_id).limit(_LIMIT)
    with database.read() as connection:
        return tuple(Withdrawal(*row) for row in connection.execute(query))


def waits_for_answer() -> ColumnElement[bool]:
    """True while it, or an older version to the same role, is asked back: what follows depends on the answer, and what were
    handed over again under its reference meanwhile would be taken back in its place.
    """
    w, d = withdrawal, tables.delivery
    same = (w.c.line_id == d.c.line_id, w.c.role_id == d.c.role_id, w.c.legal_entity == d.c.legal_entity)
    return exists().where(IS_ASKED, w.c.channel == d.c.channel, *same)


def tell_held(database: Database) -> int:
    """See `Ledger.tell_held_by_withdrawals`."""
    d, w, i = tables.delivery, withdrawal, tables.work_item
    same = (w.c.line_id == d.c.line_id, w.c.role_id == d.c.role_id, w.c.legal_entity == d.c.legal_entity)
    since = exists().where(IS_ASKED, w.c.channel == d.c.channel, *same, w.c.asked_at <= database.now() - PATIENCE)
    told = exists().where(i.c.about_id == d.c.id, i.c.reason == _AWAY, tables.IS_UNDECIDED)
    held = (d.c.state == S.QUEUED.value, waits_for_answer(), or_(since, d.c.priority < URGENT_BELOW), ~told)
    with database.read() as connection:
        ids = list(connection.execute(select(d.c.id).where(*held).limit(_LIMIT)).scalars())
    return database.write(lambda tx: _tell_held(tx, ids)) if ids else 0


def _tell_held(tx: Transaction, ids: list[str]) -> int:
    rows = tx.execute(moves.locked(tables.delivery.c.id.in_(ids), waits_for_answer())).mappings().all()
    for row in rows:
        add_delivery_item(tx, row, _AWAY, _AWAY_ADVICE)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    return len(rows)


def settle(database: Database, delivery_id: str, found: Withdrawn) -> bool:
    """See `Ledger.settle_withdrawal`."""
    return database.write(lambda tx: _settle(tx, delivery_id, found))


def _settle(tx: Transaction, delivery_id: str, found: Withdrawn) -> bool:
    row = tx.execute(moves.locked(tables.delivery.c.id == delivery_id)).mappings().first()
    w = withdrawal
    asked = tx.execute(select(w).where(w.c.delivery_id == delivery_id, IS_ASKED).with_for_update()).mappings().first()
    if row is None or asked is None:
        return False
    if found is Withdrawn.NOT_YET:
        return False
    found = _meant(row, found)
    tx.execute(update(w).where(w.c.delivery_id == delivery_id).values(found=found.value))
    moves.note(tx, row, f"withdrawn-{found.value}", asked["reason"], actor=_ACTOR)
    if found is not Withdrawn.TOO_LATE:
        _close(tx, row, asked["reason"], found)
    if found is Withdrawn.GONE:
        _nothing_left(tx, row)
    if asked["reason"] == MASKED:
        add_delivery_item(tx, row, MASKED, _MASKED_GONE if found is Withdrawn.GONE else _MASKED_SENT)
    if asked["reason"] == WRONG_FAX_NUMBER and found is Withdrawn.GONE and row["state"] != S.PARKED.value:
        add_delivery_item(tx, row, WRONG_FAX_NUMBER, _WRONG_GONE)
    moves.refresh_status(tx, [row["submission_id"]])
    return True


def _meant(row: Row, found: Withdrawn) -> Withdrawn:
    """The answer beside what is known: a queue that has nothing any more does not undo a proof, nor say that nothing left."""
    if found in (Withdrawn.GONE, Withdrawn.FORGOTTEN) and S(row["state"]) in (S.DELIVERED, S.READ, S.INTEGRATED):
        return Withdrawn.TOO_LATE
    if found is Withdrawn.FORGOTTEN:
        return Withdrawn.PARTLY if row["state"] == S.ACCEPTED.value else Withdrawn.GONE
    return found


def _close(tx: Transaction, row: Row, reason: str, found: Withdrawn) -> None:
    """What was accepted, unclear or about to be tried again ends here, unless it may leave again; what ended before keeps its
    end. `unclear_count`: whether pages may have left.
    """
    left = 0 if found is Withdrawn.GONE else max(1, row["unclear_count"])
    ends = S(row["state"]) in (S.ACCEPTED, S.UNCLEAR) or (row["state"] == S.QUEUED.value and reason not in _MAY_LEAVE_AGAIN)
    if not ends:
        moves.change_values(tx, row, unclear_count=left)
        return
    after = S.SUPERSEDED if row["superseded_by"] else S.CANCELLED
    moves.move_delivery(tx, row, after, actor=_ACTOR, detail=reason, cause=reason, unclear_count=left, not_before=None)


def _nothing_left(tx: Transaction, row: Row) -> None:
    """Newer versions that wait for this role replace nothing of it; a cancellation of what nobody has is not sent."""
    d = tables.delivery
    line = (d.c.legal_entity == row["legal_entity"], d.c.line_id == row["line_id"], d.c.role_id == row["role_id"])
    rows = tx.execute(moves.locked(*line, d.c.purpose == Purpose.DOCUMENT.value, d.c.id != row["id"])).mappings().all()
    waiting = [one for one in rows if one["replaces_sent_on"] and S(one["state"]) in (S.WAITING, S.QUEUED, S.PARKED)]
    for one in waiting:
        older = [two for two in rows if two["submission_id"] != one["submission_id"] and may_have_left(two)]
        if older:
            continue
        moves.change_values(tx, one, replaces_sent_on="")
        if one["intent"] == Intent.CANCEL.value:
            cause = "nothing-to-cancel"
            moves.move_delivery(tx, one, S.CANCELLED, actor=_ACTOR, detail=cause, cause=cause)
        moves.refresh_status(tx, [one["submission_id"]])
