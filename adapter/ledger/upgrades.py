"""A better channel opened: faxes that have not left give way to it, and what was faxed lately leaves again as a copy.

Law: blueprint seams 2, 6, 14 and 17. A fax that is on the wire, or may have left, is never touched. What gives way stays behind
the better channel as its fallback, in the same transaction that queues the new leg: nothing is lost if that one is refused.
A delivery is unique on (document, version, intent, role, channel): run again, nothing is planned twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select, update

from adapter.errors import StalePlanError
from adapter.ledger import moves, tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.patient_index import lock_name
from adapter.ledger.patient_reading import read_view
from adapter.ledger.records import PayloadKind, SeenPatient
from adapter.ledger.rows import Sealed, delivery_row, delivery_value, read_chunk, read_plan, read_submission, write_plan
from adapter.ledger.status import MOVING
from adapter.ledger.versions import Version, is_newer, lock_names
from adapter.ledger.work_items import close_work_items
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.plan import ChannelName, Leg, RecipientPlan
from adapter.model.submission import Intent, Submission
from adapter.model.work_item import IDENTITY_REASONS, WorkAbout

S = DeliveryState
Row = Mapping[Any, Any]
MakeDeliveries = Callable[[RecipientPlan], tuple[Delivery, ...]]

ACTOR = "night"
_IS_FAX = (tables.delivery.c.channel == ChannelName.FAX.value, tables.delivery.c.purpose == Purpose.DOCUMENT.value)
_LEFT = (S.DELIVERED.value, S.READ.value, S.INTEGRATED.value)


@dataclass(frozen=True, repr=False)
class FaxedDocument(Confidential):
    """A fax delivery with the document that it carries."""

    delivery: Delivery
    submission: Submission


@dataclass(frozen=True, repr=False)
class BetterLegs(Confidential):
    """What today's plan says of the fax's role: the legs that come before fax, whether fax stays, and the patient then seen."""

    legs: tuple[Leg, ...]
    keeps_fax: bool
    seen: SeenPatient


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────


def unsent_faxes(database: Database, legal_entity: str, after_id: str, limit: int) -> list[FaxedDocument]:
    """Faxes that wait in their queue or for a person and never were in doubt, by id; `after_id` pages.

    A cancellation follows the document to where it went: its page stays a page (domain §6.6).
    """
    d = tables.delivery
    waiting = d.c.state.in_((S.QUEUED.value, S.PARKED.value))
    mine = (d.c.legal_entity == legal_entity, *_IS_FAX, waiting, d.c.superseded_by == "", d.c.unclear_count == 0)
    return _documents(
        database, select(d).where(*mine, d.c.intent != Intent.CANCEL.value, d.c.id > after_id).order_by(d.c.id).limit(limit)
    )


def faxed_documents(database: Database, legal_entity: str, since: datetime, after_id: str, limit: int) -> list[FaxedDocument]:
    """Documents whose pages were confirmed since an instant, the newest version only, cancelled ones left out."""
    d = tables.delivery
    mine = (d.c.legal_entity == legal_entity, *_IS_FAX, d.c.state.in_(_LEFT), d.c.superseded_by == "")
    alive = (d.c.intent != Intent.CANCEL.value, d.c.sent_at >= since, d.c.id > after_id)
    return _documents(database, select(d).where(*mine, *alive).order_by(d.c.id).limit(limit))


def _documents(database: Database, query: Any) -> list[FaxedDocument]:
    """A row whose content was purged has nothing to send."""
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
        sealed = Sealed(connection, [row["submission_id"] for row in rows], (PayloadKind.SUBMISSION,))
        held = [row for row in rows if sealed.has(row["submission_id"], PayloadKind.SUBMISSION)]
    return [
        FaxedDocument(
            delivery_value(row), read_submission(sealed.open(database.vault, row["submission_id"], PayloadKind.SUBMISSION))
        )
        for row in held
    ]


# ── faxes that have not left ──────────────────────────────────────────────────────────────────────────────────


def give_way(database: Database, fax: FaxedDocument, better: BetterLegs, make: MakeDeliveries) -> int:
    """Queue the better legs before an unsent fax; returns how many were new. 0: it left meanwhile, or they are there already.

    StalePlanError: the patient index changed since the plan was made; make it again.
    """
    return database.write(lambda tx: _give_way(tx, fax, better, make))


def would_give_way(database: Database, fax: FaxedDocument, better: BetterLegs, make: MakeDeliveries) -> int:
    """What `give_way` would do now; nothing is written."""
    return database.rehearse(lambda tx: _give_way(tx, fax, better, make))


def _give_way(tx: Transaction, fax: FaxedDocument, better: BetterLegs, make: MakeDeliveries) -> int:
    rows = _held_legs(tx, fax, better.seen)
    row = next((one for one in rows if one["id"] == fax.delivery.id), None)
    if row is None or not _has_not_left(row) or _is_asked_about(tx, fax.submission.id):
        return 0
    others = [one for one in rows if one is not row]
    if any(S(one["state"]) in MOVING or moves.has_served(one["state"]) or one["state"] == S.PARKED.value for one in others):
        return 0
    new = [leg for leg in better.legs if leg.channel.value not in {one["channel"] for one in rows}]
    if not new:
        return 0
    placed = tuple(replace(leg, order=row["leg"] + place) for place, leg in enumerate(new))
    _make_room(tx, rows, row, len(placed))
    stored = _rewrite_plan(tx, fax.submission, row, placed, shifted=len(placed))
    made = _insert_legs(tx, row, make(replace(stored, legs=placed)))
    _set_back(tx, row, made[0].id, better.keeps_fax)
    _tell(tx, row, "replanned", f"fax → {', '.join(leg.channel.value for leg in placed)}{_since(placed[0])}")
    moves.refresh_status(tx, [fax.submission.id])
    return len(made)


def _has_not_left(row: Row) -> bool:
    return row["state"] in (S.QUEUED.value, S.PARKED.value) and not row["unclear_count"] and not row["superseded_by"]


def _make_room(tx: Transaction, rows: Sequence[Row], fax: Row, by: int) -> None:
    """The fax and what comes after it move back: a leg's number is its order."""
    d = tables.delivery
    later = [row["id"] for row in rows if row["leg"] >= fax["leg"]]
    tx.execute(update(d).where(d.c.id.in_(later)).values(leg=d.c.leg + by))


def _set_back(tx: Transaction, row: Row, by: str, keeps_fax: bool) -> None:
    """Queued, the fax becomes the fallback; parked, or when no plan wants it any more, it gives way for good."""
    if row["state"] == S.QUEUED.value and keeps_fax:
        moves.move_delivery(tx, row, S.WAITING, actor=ACTOR, detail="better-channel", cause="", not_before=None)
        return
    moves.supersede(tx, row, by, actor=ACTOR)
    close_work_items(tx, row["id"], ACTOR)


# ── what left by fax lately ───────────────────────────────────────────────────────────────────────────────────


def add_copy(database: Database, fax: FaxedDocument, leg: Leg, seen: SeenPatient, make: MakeDeliveries) -> bool:
    """Queue a copy of what was faxed, by a channel that opened since; False when it went there already or a newer version exists.

    `leg.copy_of` tells when the fax left. StalePlanError as for `give_way`.
    """
    return database.write(lambda tx: _add_copy(tx, fax, leg, seen, make))


def would_copy(database: Database, fax: FaxedDocument, leg: Leg, seen: SeenPatient, make: MakeDeliveries) -> bool:
    """What `add_copy` would do now; nothing is written."""
    return database.rehearse(lambda tx: _add_copy(tx, fax, leg, seen, make))


def _add_copy(tx: Transaction, fax: FaxedDocument, leg: Leg, seen: SeenPatient, make: MakeDeliveries) -> bool:
    rows = _held_legs(tx, fax, seen)
    row = next((one for one in rows if one["id"] == fax.delivery.id), None)
    if row is None or row["state"] not in _LEFT or row["superseded_by"]:
        return False
    if any(one["channel"] == leg.channel.value for one in _same_document(tx, row)) or _is_asked_about(tx, fax.submission.id):
        return False
    if not _is_newest(tx.connection, fax.submission):
        return False
    # After the legs that were tried: the fax keeps its number, whatever its partner still says of it.
    placed = replace(leg, order=max(one["leg"] for one in rows) + 1)
    stored = _rewrite_plan(tx, fax.submission, row, (placed,), shifted=0)
    _insert_legs(tx, row, make(replace(stored, legs=(placed,))))
    _tell(tx, row, "copied", f"fax → {leg.channel.value}{_since(leg)}")
    moves.refresh_status(tx, [fax.submission.id])
    return True


def _same_document(tx: Transaction, row: Row) -> list[Row]:
    """Every delivery of this document, version and intent to this role, whichever submission made it."""
    d = tables.delivery
    names = ("legal_entity", "document_id", "version", "intent", "role_id", "purpose")
    return list(tx.execute(moves.locked(*(d.c[name] == row[name] for name in names))).mappings())


def _is_newest(connection: Connection, submission: Submission) -> bool:
    """False when a newer version or a cancellation stands after it in its line, for whomever it was."""
    s = tables.submission
    own = select(s.c.line_id).where(s.c.id == submission.id).scalar_subquery()
    columns = select(s.c.document_id, s.c.version, s.c.intent, s.c.replaces, s.c.id)
    rows = connection.execute(columns.where(s.c.legal_entity == submission.legal_entity, s.c.line_id == own))
    line = [Version(row.document_id, row.version, row.intent, row.replaces, row.id) for row in rows]
    mine = next(one for one in line if one.submission_id == submission.id)
    return not any(is_newer(other, mine, line) for other in line if other is not mine)


# ── both ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _held_legs(tx: Transaction, fax: FaxedDocument, seen: SeenPatient) -> list[Row]:
    """The role's legs, held; the patient index is proved to be as when the plan was made. Locks in the order of `effects`."""
    submission, d = fax.submission, tables.delivery
    tx.lock_shared(lock_name(submission.legal_entity))
    if read_view(tx.connection, tx.vault, submission.document.patient, submission.legal_entity) != seen.view:
        raise StalePlanError("upgrade.plan-stale", "the patient index changed since the route was chosen", where=submission.id)
    tx.lock(*lock_names(submission))
    mine = (d.c.submission_id == submission.id, d.c.role_id == fax.delivery.role_id)
    return list(tx.execute(moves.locked(*mine, d.c.purpose == Purpose.DOCUMENT.value)).mappings())


def _is_asked_about(tx: Transaction, submission_id: str) -> bool:
    """A document whose patient is in question is nobody's to send."""
    w = tables.work_item
    open_on_it = (w.c.about_id == submission_id, tables.IS_UNDECIDED, w.c.reason.in_(sorted(IDENTITY_REASONS)))
    return bool(tx.execute(select(exists().where(*open_on_it))).scalar())


def _rewrite_plan(tx: Transaction, submission: Submission, fax: Row, legs: Sequence[Leg], *, shifted: int) -> RecipientPlan:
    """Put the new legs into the stored plan of the role; those at or after the fax move back by `shifted`."""
    chunk = tables.payload_chunk
    plan = read_plan(read_chunk(tx.connection, tx.vault, submission.id, PayloadKind.PLAN))
    role = next(one for one in plan.recipients if one.role_id == fax["role_id"])
    kept = [replace(leg, order=leg.order + shifted) if leg.order >= fax["leg"] else leg for leg in role.legs]
    added = {leg.channel for leg in legs}
    told = tuple(one for one in role.rejected if one.channel not in added)
    changed = replace(role, legs=tuple(sorted([*kept, *legs], key=lambda leg: leg.order)), rejected=told)
    recipients = tuple(changed if one.role_id == role.role_id else one for one in plan.recipients)
    tx.execute(delete(chunk).where(chunk.c.row_id == submission.id, chunk.c.kind == PayloadKind.PLAN.value))
    tx.keep(submission.legal_entity, submission.id, PayloadKind.PLAN, write_plan(replace(plan, recipients=recipients)))
    return changed


def _insert_legs(tx: Transaction, fax: Row, made: tuple[Delivery, ...]) -> tuple[Delivery, ...]:
    """New rows of the fax's line: they replace what it replaces, and are as urgent."""
    taken = {name: fax[name] for name in ("line_id", "replaces_sent_on", "priority", "deadline")}
    rows = [delivery_row(one) | taken | {"created_at": tx.now, "changed_at": tx.now} for one in made]
    tx.execute(insert(tables.delivery), rows)
    for one in made:
        tx.event(one.legal_entity, WorkAbout.DELIVERY, one.id, one.state.value, one.channel.value)
    return made


def _tell(tx: Transaction, row: Row, kind: str, detail: str) -> None:
    about = WorkAbout.SUBMISSION
    tx.event(row["legal_entity"], about, row["submission_id"], kind, detail)
    tx.audit(row["legal_entity"], ACTOR, f"submission.{kind}", about.value, row["submission_id"], detail)


def _since(leg: Leg) -> str:
    return f", equipped since {leg.opened_since}" if leg.opened_since else ""
