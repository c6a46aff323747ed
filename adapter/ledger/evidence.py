"""Proofs from partners: matched by our reference, applied without ever going back, committed with the cursor they came by.

Law: blueprint seams 5, 7, 8; complaint 27. Proofs come in any order and more than once. A proof lower than the state is noted and
changes nothing. A proof about what a person parked, or what waits to be sent again after an unclear send, counts all the same:
it was sent. A late refusal is legal: it is tried again or opens the next leg, as its cause says; a later proof of delivery then
stops what has not left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, insert, or_, select, update

from adapter.errors import LedgerError, VaultError
from adapter.ledger import ack_marks, bundles, fax_abilities, fax_calls, moves, suspensions, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_chunk, read_plan
from adapter.ledger.withdrawal_asks import is_asked_back
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item, add_work_items, close_work_items
from adapter.model.delivery import LADDER, TRANSITIONS, DeliveryState, Purpose
from adapter.model.evidence import READERS, READERS_NO, Evidence
from adapter.model.work_item import NO_BOX_ADVICE, NO_BOX_REASON, WorkAbout, WorkItem

S = DeliveryState
Row = Mapping[Any, Any]
OpensNextLeg = Callable[[str], bool]
RetryAfter = Callable[[str, int], timedelta | None]
_LAST_LEG_ADVICE = "Refus tardif et aucun autre canal : joindre le destinataire par téléphone."
_HELD_ADVICE = "Refus du destinataire : à traiter par une personne avant tout nouvel envoi."
_UNMATCHED_ADVICE = "Preuve reçue pour un envoi inconnu : vérifier la boîte d'envoi."
_URGENT_ADVICE = "Document urgent non remis : un autre essai part, mais appeler le destinataire."


@dataclass(frozen=True)
class Reactions:
    """What the table of causes says of a proved refusal: try again after so long (the number of sends counts), or go on, and
    whether nobody is to write there any more.
    """

    opens_next_leg: OpensNextLeg
    retry_after: RetryAfter
    suspends: Callable[[str], bool] = lambda _cause: False


def record_evidence(
    database: Database,
    evidences: Sequence[Evidence],
    cursor_name: str,
    cursor: str,
    legal_entity: str,
    reactions: Reactions,
) -> int:
    """See `Ledger.record_evidence`."""

    def work(tx: Transaction) -> int:
        moved = apply_evidence(tx, evidences, legal_entity, reactions)
        _keep_cursor(tx, cursor_name, cursor, legal_entity)
        return moved

    return database.write(work)


def apply_evidence(tx: Transaction, evidences: Sequence[Evidence], legal_entity: str, reactions: Reactions) -> int:
    """Apply proofs, whether a queue was asked for them or a receipt brought them; returns how many deliveries moved."""
    rows, found = _matched(tx, evidences, legal_entity)
    moved = 0
    for evidence in sorted(evidences, key=lambda one: one.at):
        ids = next((found[name] for name in _names(evidence) if name in found), ())
        meant = [row_id for row_id in ids if not _speaks_for_another(tx, rows[row_id], evidence)]
        if not meant:
            _unmatched(tx, evidence, legal_entity)
        # Of several documents in one mail, each is tried again at the same instant: they go again together.
        same = replace(reactions, retry_after=cache(reactions.retry_after))
        for row_id in meant:
            before = rows[row_id]["state"]
            fax_abilities.learn(tx, rows[row_id], evidence)
            fax_calls.keep_calls(tx, rows[row_id]["legal_entity"], row_id, rows[row_id]["role_id"], evidence.calls)
            rows[row_id] = _apply(tx, rows[row_id], evidence, same)
            moved += rows[row_id]["state"] != before
    moves.refresh_status(tx, {row["submission_id"] for row in rows.values()})
    return moved


def _names(evidence: Evidence) -> tuple[str, ...]:
    return tuple(name for name in (evidence.reference, *evidence.also) if name)


def _speaks_for_another(tx: Transaction, row: Row, evidence: Evidence) -> bool:
    """A receipt that names a recipient whom this delivery was not for: mistaken or forged."""
    if not evidence.recipient or row["purpose"] != Purpose.DOCUMENT.value:
        return False
    try:
        plan = read_plan(read_chunk(tx.connection, tx.vault, row["submission_id"], PayloadKind.PLAN))
    except (VaultError, LedgerError):
        return False  # a damaged row is told of elsewhere, and must not stop other proofs
    legs = [leg for one in plan.recipients if one.role_id == row["role_id"] for leg in one.legs]
    ours = {address.lower() for leg in legs if leg.channel.value == row["channel"] for address in (leg.address, leg.intended)}
    return bool(ours - {""}) and evidence.recipient.lower() not in ours


def read_cursor(database: Database, cursor_name: str, legal_entity: str) -> str:
    """See `Ledger.read_cursor`."""
    c = tables.cursor
    with database.read() as connection:
        value = connection.execute(select(c.c.value).where(c.c.legal_entity == legal_entity, c.c.name == cursor_name)).scalar()
        return value or ""


def keep_cursor(database: Database, cursor_name: str, cursor: str, legal_entity: str) -> None:
    """See `Ledger.keep_cursor`."""
    database.write(lambda tx: _keep_cursor(tx, cursor_name, cursor, legal_entity))


def _keep_cursor(tx: Transaction, name: str, value: str, legal_entity: str) -> None:
    c = tables.cursor
    if not name:
        return
    change = update(c).where(c.c.legal_entity == legal_entity, c.c.name == name).values(value=value, changed_at=tx.now)
    if tx.execute(change).rowcount == 0:
        tx.execute(insert(c).values(legal_entity=legal_entity, name=name, value=value, changed_at=tx.now))


def _matched(
    tx: Transaction, evidences: Sequence[Evidence], legal_entity: str
) -> tuple[dict[str, Row], dict[str, tuple[str, ...]]]:
    """Deliveries by id, held in one order so that two collectors do not deadlock; and the ids that each name leads to: several,
    for the Message-ID of a mail that carried several documents.
    """
    d = tables.delivery
    names = sorted({name for evidence in evidences for name in _names(evidence)})
    conditions: list[ColumnElement[bool]] = [or_(d.c.reference.in_(names), d.c.id.in_(names))]
    if legal_entity:
        conditions.append(d.c.legal_entity == legal_entity)
    rows: list[Row] = list(tx.execute(moves.locked(*conditions)).mappings())
    # A DSN may name the one document whose id was the envelope's: what it says is said of the whole mail.
    rows += [other for row in rows for other in bundles.travelled_with(tx, row)]
    by_id: dict[str, Row] = {row["id"]: row for row in rows}
    mails: dict[str, tuple[str, ...]] = {}
    for row in by_id.values():
        mails[row["reference"]] = (*mails.get(row["reference"], ()), row["id"])
    for row in by_id.values():
        mails.setdefault(row["id"], mails[row["reference"]] if row["bundle"] else (row["id"],))
    return by_id, mails


def _apply(tx: Transaction, row: Row, evidence: Evidence, reactions: Reactions) -> Row:
    before, actor = S(row["state"]), evidence.source
    detail = " ".join(filter(None, (evidence.source, evidence.cause, evidence.detail)))
    if row["on_wire_at"] is None:
        moves.note(tx, row, "proof-before-send", detail, actor=actor)
        return row
    if _adds_nothing(before, evidence) or _was_refused_by_reader(row, evidence):
        if evidence.source in READERS and evidence.proves is S.REFUSED and before is S.REFUSED:
            # A relay's refusal, then the reader's: the state is the same, what the sender must know is not.
            ack_marks.mark(tx, row, S.REFUSED, cause=evidence.cause, source=actor, detail=detail, at=evidence.at)
        moves.note(tx, row, "proof-repeated", f"{evidence.proves.value} {detail}", actor=actor)
        return row
    if evidence.proves is S.REFUSED and is_asked_back(tx, row["id"]):
        # It is not to leave any more: what the partner still has of it is asked, and nothing is tried again.
        moves.note(tx, row, "proof-of-withdrawn", detail, actor=actor)
        return row
    if evidence.proves not in TRANSITIONS[before]:
        moves.note(tx, row, "proof-too-late", f"{evidence.proves.value} {detail}", actor=actor)
        return row
    after = moves.move_delivery(
        tx, row, evidence.proves, actor=actor, detail=detail, at=evidence.at, cause=evidence.cause, not_before=None
    )
    if evidence.proves is S.REFUSED:
        return _after_refusal(tx, after, evidence, before, reactions)
    _after_proof(tx, after, evidence)
    return after


def _adds_nothing(before: DeliveryState, evidence: Evidence) -> bool:
    """True for a rung at or below the one reached; a proof of acceptance does not undo a refusal."""
    proves = evidence.proves
    if _deletes_what_was_read(before, evidence) or before is proves or (before is S.REFUSED and proves is S.ACCEPTED):
        return True
    reached = (S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED)
    return before in reached and proves in LADDER and LADDER.index(proves) <= LADDER.index(before)


def _deletes_what_was_read(before: DeliveryState, evidence: Evidence) -> bool:
    """Whoever deletes what they had opened has still opened it."""
    return before in (S.READ, S.INTEGRATED) and evidence.source in READERS and "deleted" in evidence.detail.split()


def _was_refused_by_reader(row: Row, evidence: Evidence) -> bool:
    """A delivery notice that comes after the reader's own no only says that it had arrived (MDN before DSN)."""
    only_arrived = evidence.proves in (S.ACCEPTED, S.DELIVERED)
    return row["state"] == S.REFUSED.value and row["cause"].startswith(READERS_NO) and only_arrived


def _after_refusal(tx: Transaction, row: Row, evidence: Evidence, before: DeliveryState, reactions: Reactions) -> Row:
    """Another try, else another channel, else a person, as the cause asks (seam 4). What a person holds is not tried again."""
    reason = evidence.cause or "late-refusal"
    if reactions.suspends(evidence.cause):
        suspensions.suspend(tx, row, evidence.cause)
    delay = reactions.retry_after(evidence.cause, row["attempts"])
    if delay is not None and before is not S.PARKED and not row["superseded_by"] and not moves.is_served_otherwise(tx, row):
        _tell_if_urgent(tx, row, reason)
        return moves.requeue(tx, row, actor=evidence.source, detail=f"retry {reason}", not_before=tx.now + delay)
    may_go_on = reactions.opens_next_leg(evidence.cause)
    if may_go_on and moves.open_next_leg(tx, row, actor=evidence.source):
        close_work_items(tx, row["id"], f"proof:{evidence.source}")
        _tell_if_urgent(tx, row, reason)
        return row
    if may_go_on and row["role_id"] == "patient":
        add_delivery_item(tx, row, NO_BOX_REASON, NO_BOX_ADVICE)
    else:
        add_delivery_item(tx, row, reason, _LAST_LEG_ADVICE if may_go_on else _HELD_ADVICE)
    return row


def _tell_if_urgent(tx: Transaction, row: Row, reason: str) -> None:
    """Another try or channel takes over; for an urgent document somebody is told at once all the same."""
    if row["priority"] < URGENT_BELOW:
        add_delivery_item(tx, row, reason, _URGENT_ADVICE)


def _after_proof(tx: Transaction, row: Row, evidence: Evidence) -> None:
    """It arrived: the question put to a person is answered, a fallback that has not left is not needed."""
    close_work_items(tx, row["id"], f"proof:{evidence.source}")
    if evidence.proves is not S.ACCEPTED:
        moves.close_later_legs(tx, row, (S.QUEUED, S.CLAIMED), "served-by-earlier-leg", actor=evidence.source)


def _unmatched(tx: Transaction, evidence: Evidence, legal_entity: str) -> None:
    """Nothing of ours has this reference. It is named by its hash: a partner's text may hold anything."""
    name = hashlib.sha256(evidence.reference.encode()).hexdigest()[:32]
    tx.event(legal_entity, WorkAbout.DELIVERY, name, "unmatched-evidence", evidence.source)
    tx.audit(legal_entity, evidence.source, "evidence.unmatched", WorkAbout.DELIVERY.value, name, evidence.proves.value)
    if legal_entity:
        about = WorkAbout.DELIVERY
        add_work_items(tx, [WorkItem(tx.new_id(), legal_entity, about, name, "unmatched-evidence", _UNMATCHED_ADVICE, tx.now)])
