"""What was handed over and must not leave any more is asked back from the partner's queue until the partner has answered.

Law: blueprint seams 5, 6 and 15. A job may wait for hours in a fax server's queue: meanwhile the document may be cancelled,
replaced, masked, taken over by a person or served by a better channel. The question is written in the transaction that makes it
so, and asked in every round: a crash leaves it open. What follows (a replacement, a cancellation) waits for the answer, which
tells whether there is anything to replace or to cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, exists, select, update

from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.versions import may_have_left
from adapter.ledger.visibility import MASKED
from adapter.ledger.withdrawal_tables import IS_ASKED, withdrawal
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.plan import ChannelName
from adapter.model.submission import Intent
from adapter.model.withdrawal import Withdrawal, Withdrawn
from adapter.model.work_item import WRONG_FAX_NUMBER

S = DeliveryState
Row = Mapping[Any, Any]

_ACTOR = "withdrawal"
_LIMIT = 50
_AWAY = "connect-failed"
_AWAY_ADVICE = "Version urgente en attente : l'ancienne n'a pas pu être retirée de la file d'envoi. Appeler le destinataire."
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


def is_held_by_older() -> ColumnElement[bool]:
    """True while an older version to the same role is asked back: what follows depends on the answer."""
    w, d = withdrawal, tables.delivery
    same = (w.c.line_id == d.c.line_id, w.c.role_id == d.c.role_id, w.c.legal_entity == d.c.legal_entity)
    return exists().where(IS_ASKED, w.c.channel == d.c.channel, *same, w.c.delivery_id != d.c.id)


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
        _tell_what_waits(tx, row)
        return False
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


def _close(tx: Transaction, row: Row, reason: str, found: Withdrawn) -> None:
    """What was accepted or unclear ends here; what ended before keeps its end. `unclear_count`: whether pages may have left."""
    left = 0 if found is Withdrawn.GONE else max(1, row["unclear_count"])
    if S(row["state"]) not in (S.ACCEPTED, S.UNCLEAR):
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


def _tell_what_waits(tx: Transaction, row: Row) -> None:
    """A partner that cannot be asked holds up what follows: for an urgent document somebody is told at once, and once."""
    d = tables.delivery
    line = (d.c.legal_entity == row["legal_entity"], d.c.line_id == row["line_id"], d.c.role_id == row["role_id"])
    urgent = (d.c.state == S.QUEUED.value, d.c.priority < URGENT_BELOW, d.c.channel == row["channel"], d.c.id != row["id"])
    for one in tx.execute(moves.locked(*line, *urgent)).mappings().all():
        add_delivery_item(tx, one, _AWAY, _AWAY_ADVICE)
