"""Deliveries on their way: claimed, put on the wire, settled; lost leases given back.

Law: blueprint §1 and seam 5. A claim has a lease and a fence. What dies while claimed goes back to its queue; what dies on the
wire is unclear: it may have arrived. A second unclear is a person's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, and_, exists, or_, select, update

from adapter.errors import IllegalTransitionError, LedgerError, StaleClaimError, VaultError
from adapter.ledger import bundles, fax_calls, moves, patient_wishes, suspensions, tables
from adapter.ledger.acks import read_ack
from adapter.ledger.database import Database, Transaction
from adapter.ledger.records import Claimed, ClaimedAck, ClaimedDelivery, PartnerChoice, PayloadKind, Settlement
from adapter.ledger.rows import Sealed, delivery_value, read_asked, read_bundle, read_chunk, read_plan, read_submission
from adapter.ledger.status import MOVING
from adapter.ledger.vault import Vault
from adapter.ledger.versions import waits_for_older
from adapter.ledger.withdrawal_asks import ask_back, forget_answered
from adapter.ledger.withdrawals import waits_for_answer
from adapter.ledger.work_items import URGENT_BELOW, add_delivery_item, add_work_items, close_work_items, greet_partner
from adapter.model.ack import AckKind
from adapter.model.delivery import DeliveryState, Purpose, check_transition
from adapter.model.plan import ChannelName
from adapter.model.submission import AcksWanted, Intent
from adapter.model.work_item import FAX_NUMBER_CHANGED, WorkAbout

S = DeliveryState
Row = Mapping[Any, Any]
# A delivery's id and the fence under which it is held.
Hold = tuple[str, int]
UNCLEAR_LIMIT = 2
LEASE_LOST = "lease-lost"
_REAPER = "reaper"
# Channels that carry answers, which may not overtake each other: an old no after a yes would be the last word.
_ANSWERING = (ChannelName.HL7_PUSH, ChannelName.SECURE_MAIL)
_REAP_LIMIT = 200
_DEFAULT_UNCLEAR_WAIT = timedelta(minutes=15)
_UNCLEAR_ADVICE = "Envoi incertain deux fois : le document est peut-être arrivé. Vérifier auprès du destinataire."
_MAYBE_ADVICE = "Document urgent, envoi interrompu : il est peut-être arrivé. Appeler le destinataire."
_LAST_LEG_ADVICE = "Aucun autre canal : joindre le destinataire par téléphone."
_DAMAGED_ADVICE = "Contenu illisible dans le registre : prévenir le support, restaurer depuis la sauvegarde."


# ── claim ─────────────────────────────────────────────────────────────────────────────────────────────────────


def claim_deliveries(
    database: Database, worker: str, channel: ChannelName, limit: int, lease: timedelta, partners: PartnerChoice
) -> list[Claimed]:
    """See `Ledger.claim_deliveries`. Contents are read after the claim is committed."""
    rows = database.write(lambda tx: _claim(tx, worker, channel, limit, lease, partners))
    if not rows:
        return []
    acks, rows = _acks_among(database, rows)
    ids, s = [row["submission_id"] for row in rows], tables.submission
    with database.read() as connection:
        types = select(s.c.id, s.c.source_media_type).where(s.c.id.in_(sorted(set(ids))))
        media_types = {row.id: row.source_media_type for row in connection.execute(types)}
        sealed = Sealed(connection, ids, _CONTENT_KINDS)
        earlier = {row["id"]: _earlier(connection, row) for row in rows if _may_follow(row)}
    claimed: list[ClaimedDelivery] = []
    for row in rows:
        try:
            held = _with_content(database.vault, row, sealed, media_types[row["submission_id"]])
            references, pages = earlier.get(row["id"], ((), 0))
            claimed.append(replace(held, earlier_references=references, earlier_pages=pages))
        except VaultError as error:
            _park_damaged(database, row, error.code)
    return [*acks, *_together(claimed)]


def _together(claimed: Sequence[ClaimedDelivery]) -> list[ClaimedDelivery]:
    """What leaves in one mail as one claim; every other by itself."""
    mails: dict[str, list[ClaimedDelivery]] = {}
    for one in claimed:
        mails.setdefault(one.delivery.reference if one.delivery.bundle else one.delivery.id, []).append(one)
    return [replace(first, companions=tuple(others)) if others else first for first, *others in mails.values()]


def _claim(
    tx: Transaction, worker: str, channel: ChannelName, limit: int, lease: timedelta, partners: PartnerChoice
) -> list[Row]:
    d = tables.delivery
    due = or_(d.c.not_before.is_(None), d.c.not_before <= tx.now)
    query = select(d).where(d.c.channel == channel.value, tables.IS_QUEUED, due)
    if partners.only:
        query = query.where(d.c.partner == partners.only)
    if partners.others_than:
        query = query.where(d.c.partner.not_in(partners.others_than))
    if channel in _ANSWERING:
        query = query.where(~_follows_another(d))
    if channel is ChannelName.SECURE_MAIL:
        query = query.where(~bundles.is_brought_by_another(tx), ~bundles.waits_for_its_mail(tx))
        query = query.where(~bundles.has_company_that(tx, _follows_another))
    if channel is ChannelName.SHARED_RECORD:
        query = query.where(~waits_for_older())
    if channel is ChannelName.FAX:
        query = query.where(~waits_for_answer())
    query = query.order_by(d.c.priority, d.c.created_at, d.c.id).limit(limit).with_for_update(skip_locked=True)
    rows = _without_bad_company(tx.execute(query).mappings().all())
    if not rows:
        return []
    check_transition(S.QUEUED, S.CLAIMED)
    rows = [one for row in rows for one in _with_companions(tx, row)]
    held = {
        "state": S.CLAIMED.value,
        "claimed_by": worker,
        "lease_until": tx.now + lease,
        "lease_seconds": int(lease.total_seconds()),
        "changed_at": tx.now,
    }
    counted = {"fence": d.c.fence + 1, "attempts": d.c.attempts + 1}
    tx.execute(update(d).where(d.c.id.in_([row["id"] for row in rows])).values(held | counted))
    for row in rows:
        tx.event(row["legal_entity"], WorkAbout.DELIVERY, row["id"], S.CLAIMED.value, worker)
    return [dict(row) | held | {"fence": row["fence"] + 1, "attempts": row["attempts"] + 1} for row in rows]


def _with_companions(tx: Transaction, row: Row) -> list[Row]:
    """A delivery with those that leave in the same mail, under the Message-ID of that mail."""
    others = bundles.brought_along(tx, row)
    if not row["bundle"]:
        return [row]
    rows = [row, *others]
    reference = bundles.message_id_of(tx, rows)
    renamed = [one["id"] for one in rows if one["reference"] != reference]
    if renamed:
        d = tables.delivery
        tx.execute(update(d).where(d.c.id.in_(renamed)).values(reference=reference))
    return [dict(one) | {"reference": reference} for one in rows]


def _follows_another(one: FromClause) -> ColumnElement[bool]:
    """True while something of the same sequence, made before, is on its way. What is parked holds nobody up."""
    before = tables.delivery.alias("before")
    at_once = and_(before.c.created_at == one.c.created_at, before.c.leg < one.c.leg)
    earlier = or_(before.c.created_at < one.c.created_at, at_once)
    moving = before.c.state.in_([state.value for state in MOVING])
    # The unqualified word is `before`'s: without it, neither engine may use the partial index, and each row reads the table.
    return exists().where(tables.HAS_SEQUENCE, before.c.sequence == one.c.sequence, before.c.id != one.c.id, moving, earlier)


def _without_bad_company(rows: Sequence[Row]) -> Sequence[Row]:
    """A delivery whose worker died before the wire is claimed alone: were it the one that kills, it would take others along."""
    if rows and rows[0]["cause"] == LEASE_LOST:
        return rows[:1]
    return [row for row in rows if row["cause"] != LEASE_LOST]


_CONTENT_KINDS = (PayloadKind.SUBMISSION, PayloadKind.PLAN, PayloadKind.BUNDLE, PayloadKind.SOURCE)


def _with_content(vault: Vault, row: Row, sealed: Sealed, media_type: str) -> ClaimedDelivery:
    submission, plan, bundle, source = (sealed.open(vault, row["submission_id"], kind) for kind in _CONTENT_KINDS)
    return ClaimedDelivery(
        delivery_value(row), read_submission(submission), read_plan(plan), read_bundle(bundle), source, media_type
    )


def _acks_among(database: Database, rows: Sequence[Row]) -> tuple[list[ClaimedAck], list[Row]]:
    """Acknowledgements, which need no document to be read; and the other rows."""
    mine = [row for row in rows if row["purpose"] == Purpose.ACK.value]
    rest = [row for row in rows if row["purpose"] != Purpose.ACK.value]
    if not mine:
        return [], rest
    ids = [*(row["id"] for row in mine), *(row["submission_id"] for row in mine)]
    with database.read() as connection:
        sealed = Sealed(connection, ids, (PayloadKind.ACK, PayloadKind.SUBMISSION, PayloadKind.ASKED))
    claimed = []
    for row in mine:
        try:
            receipt_id, asked = _asked(database.vault, row["submission_id"], sealed)
            ack = read_ack(sealed.open(database.vault, row["id"], PayloadKind.ACK))
            original = _answered_mail(database, receipt_id) if ack.kind is AckKind.MAIL else b""
        except (VaultError, LedgerError) as error:
            _park_damaged(database, row, error.code)
            continue
        claimed.append(ClaimedAck(delivery_value(row), ack, asked, original))
    return claimed, rest


def _asked(vault: Vault, asker_id: str, sealed: Sealed) -> tuple[str, AcksWanted]:
    """The receipt that is answered, and whom to tell: a submission's sender, or that of a mail of which nothing was taken."""
    if sealed.has(asker_id, PayloadKind.ASKED):
        return asker_id, read_asked(sealed.open(vault, asker_id, PayloadKind.ASKED))
    submission = read_submission(sealed.open(vault, asker_id, PayloadKind.SUBMISSION))
    return submission.receipt_id, submission.acks


def _answered_mail(database: Database, receipt_id: str) -> bytes:
    """The mail that an answer by mail returns whole."""
    with database.read() as connection:
        return read_chunk(connection, database.vault, receipt_id, PayloadKind.CONTENT)


def _park_damaged(database: Database, row: Row, code: str) -> None:
    """One damaged row must not stop the lane."""

    def work(tx: Transaction) -> None:
        held = _held(tx, row["id"], row["fence"])
        moves.move_delivery(tx, held, S.PARKED, actor=row["claimed_by"], cause=code)
        add_delivery_item(tx, held, code, _DAMAGED_ADVICE)
        moves.refresh_status(tx, [row["submission_id"]])

    database.write(work)


def _may_follow(row: Row) -> bool:
    """True for what may come after a version already sent: only then is it worth looking for."""
    return bool(row["replaces_sent_on"]) or row["intent"] != Intent.NEW.value


def _earlier(connection: Connection, row: Row) -> tuple[tuple[str, ...], int]:
    """References that older versions put on the wire towards the same role and channel, oldest first; and how many pages of the
    last of them a fax machine confirmed.

    What was on the wire once stays so, and an older version never leaves after a newer one: a resend finds the same list.
    """
    d = tables.delivery
    query = select(d.c.id, d.c.reference, d.c.sent_at, d.c.version, d.c.intent).where(
        d.c.legal_entity == row["legal_entity"],
        d.c.line_id == row["line_id"],
        d.c.role_id == row["role_id"],
        d.c.channel == row["channel"],
        d.c.purpose == row["purpose"],
        d.c.id != row["id"],
        d.c.on_wire_at.is_not(None),
    )
    if row["sent_at"] is not None:
        query = query.where(d.c.sent_at <= row["sent_at"])
    # A clock may give two versions one instant: then the version tells, and a cancellation comes after what it cancels.
    found = sorted(connection.execute(query), key=lambda one: (one.sent_at, one.version, one.intent == Intent.CANCEL.value))
    return tuple(one.reference for one in found), fax_calls.pages_confirmed(connection, found[-1].id) if found else 0


def release_delivery(database: Database, delivery_id: str, fence: int) -> None:
    """See `Ledger.release_delivery`."""

    def work(tx: Transaction) -> None:
        row = _held(tx, delivery_id, fence)
        if row["state"] != S.CLAIMED.value:
            raise _stale(delivery_id)
        moves.move_delivery(tx, row, S.QUEUED, actor=row["claimed_by"], detail="released", attempts=row["attempts"] - 1)

    database.write(work)


# ── on the wire ───────────────────────────────────────────────────────────────────────────────────────────────


def mark_on_wire(database: Database, holds: Sequence[Hold], sent_at: datetime) -> None:
    """See `Ledger.mark_on_wire`."""

    def work(tx: Transaction) -> None:
        bundles.leave_behind(tx, [_put_on_wire(tx, hold, sent_at) for hold in sorted(holds)])

    database.write(work)


def _put_on_wire(tx: Transaction, hold: Hold, sent_at: datetime) -> Row:
    row = _held(tx, *hold)
    if row["state"] != S.CLAIMED.value:
        raise _stale(hold[0])
    forget_answered(tx, row["id"])
    return moves.move_delivery(
        tx,
        row,
        S.ON_WIRE,
        actor=row["claimed_by"],
        sent_at=row["sent_at"] or sent_at,
        on_wire_at=tx.now,
        lease_until=tx.now + timedelta(seconds=row["lease_seconds"]),
    )


def extend_lease(database: Database, holds: Sequence[Hold], lease: timedelta) -> None:
    """See `Ledger.extend_lease`."""

    def work(tx: Transaction) -> None:
        for hold in sorted(holds):
            row = _held(tx, *hold)
            if S(row["state"]) not in (S.CLAIMED, S.ON_WIRE):
                raise _stale(hold[0])
            moves.change_values(tx, row, lease_until=tx.now + lease)

    database.write(work)


def separate(database: Database, holds: Sequence[Hold], cause: str) -> None:
    """See `Ledger.separate`."""

    def work(tx: Transaction) -> None:
        rows = [_held(tx, *hold) for hold in sorted(holds)]
        for row in rows:
            alone = {"bundle": "", "reference": bundles.own_reference(row), "cause": cause, "not_before": None}
            moves.requeue(tx, row, actor=row["claimed_by"], detail=f"alone {cause}", **alone)
        moves.refresh_status(tx, {row["submission_id"] for row in rows})

    database.write(work)


def _held(tx: Transaction, delivery_id: str, fence: int) -> Row:
    """The row, held, if the fence is still ours."""
    row = tx.execute(moves.locked(tables.delivery.c.id == delivery_id)).mappings().first()
    if row is None:
        raise LedgerError("delivery.unknown", "no such delivery", where=delivery_id)
    if row["fence"] != fence:
        raise _stale(delivery_id)
    return row


def _stale(delivery_id: str) -> StaleClaimError:
    return StaleClaimError("delivery.claim-lost", "this delivery is no longer held under this claim", where=delivery_id)


# ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────


def settle_send(database: Database, delivery_id: str, fence: int, settlement: Settlement) -> None:
    """See `Ledger.settle_send`."""
    database.write(lambda tx: _settle(tx, _held(tx, delivery_id, fence), settlement))


def settle_together(database: Database, settlements: Sequence[tuple[Hold, Settlement]]) -> None:
    """See `Ledger.settle_together`."""

    def work(tx: Transaction) -> None:
        for hold, settlement in sorted(settlements, key=lambda one: one[0]):
            # What one of them became meanwhile (a person's word, a proof) is no reason to lose what the others came to.
            with suppress(StaleClaimError):
                _settle(tx, _held(tx, *hold), settlement)

    database.write(work)


def _settle(tx: Transaction, row: Row, settlement: Settlement) -> None:
    actor = row["claimed_by"] or "late-worker"
    if moves.has_served(row["state"]):
        # The proof came before the answer: it stands, and the answer is only noted.
        reference = settlement.partner_reference or row["partner_reference"]
        moves.change_values(tx, row, partner_reference=reference, claimed_by="", lease_until=None)
        moves.note(tx, row, "outcome-after-proof", settlement.cause or settlement.state.value, actor=actor)
        return
    if S(row["state"]) not in (S.CLAIMED, S.ON_WIRE, S.UNCLEAR) and not _is_late_success(row, settlement):
        raise _stale(row["id"])
    if row["state"] == S.CLAIMED.value and moves.has_served(settlement.state.value):
        raise IllegalTransitionError("delivery.not-on-wire", "accepted before it was put on the wire", where=row["id"])
    after = _apply(tx, row, settlement, actor)
    _follow_up(tx, after, settlement, actor)
    moves.refresh_status(tx, [row["submission_id"]])


def _is_late_success(row: Row, settlement: Settlement) -> bool:
    """The lease ran out and the wait too, nobody has sent it again (the fence is still ours), and the slow send succeeded."""
    return S(row["state"]) in (S.QUEUED, S.PARKED) and row["on_wire_at"] is not None and moves.has_served(settlement.state.value)


def _apply(tx: Transaction, row: Row, settlement: Settlement, actor: str) -> Row:
    values: dict[str, Any] = {
        "cause": settlement.cause,
        "partner_reference": settlement.partner_reference or row["partner_reference"],
        "not_before": settlement.not_before,
    }
    if row["bundle"] and row["on_wire_at"] is None:
        values["reference"] = bundles.own_reference(row)  # the mail that it was to travel in may leave without it
    if settlement.unclear or settlement.state is S.UNCLEAR:
        return _make_unclear(tx, row, settlement.not_before, actor, settlement.cause)
    detail = " ".join(filter(None, (settlement.cause, settlement.detail)))
    if settlement.state is S.QUEUED:
        return moves.requeue(tx, row, actor=actor, detail=detail, **values)
    return moves.move_delivery(tx, row, settlement.state, actor=actor, detail=detail, **values)


def _follow_up(tx: Transaction, row: Row, settlement: Settlement, actor: str) -> None:
    patient_wishes.remember(tx, row, settlement.cause)
    if settlement.suspends_address:
        suspensions.suspend(tx, row, settlement.cause)
    if settlement.cause == FAX_NUMBER_CHANGED:  # handed over before, in doubt, it may still wait to be dialled where it was meant
        ask_back(tx, [row], FAX_NUMBER_CHANGED)
    opened = settlement.open_next_leg and moves.open_next_leg(tx, row, actor=actor)
    item = settlement.work_item
    is_told = settlement.state in (S.QUEUED, S.UNCLEAR) and moves.is_waited_for(tx, [row["id"]])
    if item is not None and not is_told and not (opened and settlement.work_item_only_if_last):
        add_work_items(tx, [item])
    if item is None and settlement.open_next_leg and not opened and not settlement.ends_quietly:
        add_delivery_item(tx, row, settlement.cause or "all-legs-refused", _LAST_LEG_ADVICE)
    if moves.has_served(row["state"]):
        greet_partner(tx, row, actor)
        close_work_items(tx, row["id"], actor)  # the tries that failed before asked for somebody: it left all the same


def _make_unclear(tx: Transaction, row: Row, not_before: datetime | None, actor: str, cause: str) -> Row:
    """Unclear once: wait, then ask and send again. Twice: a person's. An acknowledgement goes again: who has it knows it."""
    if row["state"] == S.UNCLEAR.value:
        return row  # the reaper said so before the worker did
    if row["purpose"] == Purpose.ACK.value:
        return moves.requeue(tx, row, actor=actor, detail=cause, cause=cause, not_before=not_before)
    count = row["unclear_count"] + 1
    if count < UNCLEAR_LIMIT:
        return moves.move_delivery(tx, row, S.UNCLEAR, actor=actor, cause=cause, unclear_count=count, not_before=not_before)
    parked = moves.move_delivery(tx, row, S.PARKED, actor=actor, detail="unclear-twice", cause=cause, unclear_count=count)
    add_delivery_item(tx, parked, "unclear-twice", _UNCLEAR_ADVICE)
    return parked


# ── reap ──────────────────────────────────────────────────────────────────────────────────────────────────────


def reap(database: Database, unclear_wait: Mapping[ChannelName, timedelta]) -> int:
    """See `Ledger.reap`. Rows held by another transaction are left for the next round."""
    return database.write(lambda tx: _reap(tx, unclear_wait))


def _reap(tx: Transaction, unclear_wait: Mapping[ChannelName, timedelta]) -> int:
    d = tables.delivery
    lost = (d.c.state.in_((S.CLAIMED.value, S.ON_WIRE.value))) & (d.c.lease_until <= tx.now)
    due = (d.c.state == S.UNCLEAR.value) & or_(d.c.not_before.is_(None), d.c.not_before <= tx.now)
    query = select(d).where(tables.IS_HELD, or_(lost, due)).order_by(d.c.id).limit(_REAP_LIMIT)
    rows = tx.execute(query.with_for_update(skip_locked=True)).mappings().all()
    for row in rows:
        match S(row["state"]):
            case S.CLAIMED:
                moves.requeue(tx, row, actor=_REAPER, detail=LEASE_LOST, cause=LEASE_LOST)
            case S.ON_WIRE:
                wait = unclear_wait.get(ChannelName(row["channel"]), _DEFAULT_UNCLEAR_WAIT)
                after = _make_unclear(tx, row, tx.now + wait, _REAPER, LEASE_LOST)
                if after["state"] == S.UNCLEAR.value and row["priority"] < URGENT_BELOW:
                    add_delivery_item(tx, after, LEASE_LOST, _MAYBE_ADVICE)
            case _:
                moves.requeue(tx, row, actor=_REAPER, detail="unclear-wait-over", not_before=None)
    moves.refresh_status(tx, {row["submission_id"] for row in rows})
    return len(rows)
