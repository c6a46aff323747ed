"""Deliveries that leave together: the documents of one message for one mailbox travel in one mail, as one submission set.

Law: CI-SIS volet 2.1 (one mail a recipient), Référentiel socle MSSanté #2 (one archive, one patient); ADR 0015. Each document
keeps a delivery of its own. Of those that are due together the first is claimed and brings the others; they share one Message-ID,
so that a proof settles all of them.

A Message-ID says which documents may be in the mail. What left under it goes again under it, also with fewer of them: who has the
first drops the second, and has all of it. What stays behind loses it, and nothing ever joins: a receiver that drops what it knows
by its Message-ID could else drop the one document that it never had, and a proof tell of one that was not in the mail.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, exists, or_, select, text

from adapter.ledger import moves, tables
from adapter.ledger.database import Transaction
from adapter.model.delivery import DeliveryState, Purpose

S = DeliveryState
Row = Mapping[Any, Any]

_NAMESPACE = uuid.UUID("0c7f5a0e-6b1d-5f7e-8a43-3f1d9f0b6f52")
_ON_ITS_WAY = (S.CLAIMED.value, S.ON_WIRE.value, S.UNCLEAR.value)
# What never leaves again, and what waits for a person: the mail that leaves without them keeps its Message-ID.
_NEVER_AGAIN = (S.SUPERSEDED.value, S.CANCELLED.value)
_STAYING = (S.PARKED.value, S.REFUSED.value)


def is_brought_by_another(tx: Transaction) -> ColumnElement[bool]:
    """True for a due delivery that one before it in its bundle brings along: it is never claimed by itself."""
    d = tables.delivery
    before = d.alias("ahead")
    due = and_(before.c.state == S.QUEUED.value, or_(before.c.not_before.is_(None), before.c.not_before <= tx.now))
    # The unqualified word is the alias's, for the partial index (see `tables`).
    return exists().where(tables.HAS_BUNDLE, _may_travel_with(before, d), due, before.c.id < d.c.id)


def waits_for_its_mail(tx: Transaction) -> ColumnElement[bool]:
    """True while something that was in the same mail is still on its way, or not due yet: they go again together."""
    d = tables.delivery
    other = d.alias("beside")
    same_mail = and_(other.c.bundle == d.c.bundle, other.c.reference == d.c.reference, other.c.on_wire_at.is_not(None))
    later = and_(other.c.state == S.QUEUED.value, other.c.not_before > tx.now)
    return exists().where(tables.HAS_BUNDLE, same_mail, other.c.id != d.c.id, or_(other.c.state.in_(_ON_ITS_WAY), later))


def has_company_that(tx: Transaction, waits: Callable[[FromClause], ColumnElement[bool]]) -> ColumnElement[bool]:
    """True for a delivery that would bring along one that `waits` keeps back: the mail waits with it, whole."""
    d = tables.delivery
    company = d.alias("company")
    due = and_(company.c.state == S.QUEUED.value, or_(company.c.not_before.is_(None), company.c.not_before <= tx.now))
    return exists().where(tables.HAS_BUNDLE, _may_travel_with(company, d), company.c.id != d.c.id, due, waits(company))


def brought_along(tx: Transaction, row: Row) -> list[Row]:
    """The due deliveries that leave with this one, held; none for what has no bundle."""
    if not row["bundle"]:
        return []
    d = tables.delivery
    same = d.c.reference == row["reference"]
    if row["on_wire_at"] is None:
        same = or_(same, d.c.on_wire_at.is_(None))
    due = or_(d.c.not_before.is_(None), d.c.not_before <= tx.now)
    mine = and_(tables.HAS_BUNDLE, d.c.bundle == row["bundle"], d.c.state == S.QUEUED.value, d.c.id != row["id"])
    return list(tx.execute(moves.locked(mine, same, due)).mappings())


def travelled_with(tx: Transaction, row: Row) -> list[Row]:
    """The other deliveries that were on the wire in the same mail, held."""
    if not row["bundle"] or row["on_wire_at"] is None:
        return []
    d = tables.delivery
    same_mail = and_(d.c.bundle == row["bundle"], d.c.reference == row["reference"], d.c.on_wire_at.is_not(None))
    return list(tx.execute(moves.locked(and_(tables.HAS_BUNDLE, same_mail), d.c.id != row["id"])).mappings())


def told_with(tx: Transaction, submission_id: str) -> dict[str, set[str]]:
    """Other submissions whose sender was told of this one's mails too, with the roles: one mail, one answer."""
    d = tables.delivery
    other = d.alias("other")
    mine = (d.c.submission_id == submission_id, d.c.purpose == Purpose.DOCUMENT.value, d.c.bundle != "")
    # The index of bundles is found by its very words, said of the one that is looked up.
    shared = (_may_travel_with(other, d), text("other.bundle <> ''"), other.c.submission_id != submission_id)
    found: dict[str, set[str]] = {}
    for row in tx.execute(select(other.c.submission_id, other.c.role_id).select_from(d.join(other, and_(*shared))).where(*mine)):
        found.setdefault(row.submission_id, set()).add(row.role_id)
    return found


def _may_travel_with(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Both of a bundle, and neither left yet, or both in the same mail: what left alone never joins another mail later."""
    neither_left = and_(one.c.on_wire_at.is_(None), other.c.on_wire_at.is_(None))
    return and_(one.c.bundle == other.c.bundle, or_(neither_left, one.c.reference == other.c.reference))


def message_id_of(tx: Transaction, rows: Sequence[Row]) -> str:
    """The Message-ID of the mail that carries exactly these: the one that it had before, if it left before."""
    first = rows[0]
    if not first["bundle"]:
        return str(first["reference"])
    if len({row["reference"] for row in rows}) == 1 and not _is_borne_elsewhere(tx, rows):
        return str(first["reference"])
    return own_reference(first) if len(rows) == 1 else _reference(_name_of(rows), first)


def own_reference(row: Row) -> str:
    """The Message-ID under which one document leaves alone."""
    return _reference(row["id"], row)


def _name_of(rows: Sequence[Row]) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(sorted(row["id"] for row in rows))))


def _reference(name: str, row: Row) -> str:
    return f"<{name}@{row['reference'].rpartition('@')[2].removesuffix('>')}>"


def _is_borne_elsewhere(tx: Transaction, rows: Sequence[Row]) -> bool:
    """True while a document that left, or is about to, bears this Message-ID too: then this mail takes another."""
    found = select(tables.delivery.c.id).where(*_others_named_alike(rows, not_in=(*_NEVER_AGAIN, *_STAYING)))
    return tx.execute(found.limit(1)).first() is not None


def _others_named_alike(rows: Sequence[Row], *, not_in: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    d = tables.delivery
    alike = and_(tables.HAS_BUNDLE, d.c.bundle == rows[0]["bundle"], d.c.reference == rows[0]["reference"])
    return alike, d.c.state.not_in(not_in), d.c.id.not_in([row["id"] for row in rows])


def leave_behind(tx: Transaction, rows: Sequence[Row]) -> None:
    """What bears the Message-ID of a mail that goes on the wire without it takes its own: it leaves alone, if a person lets it.

    A proof of this mail could else tell that it arrived too. Where the mail had left with it before, it may be there all the
    same: that is what the person is asked about.
    """
    if not rows[0]["bundle"]:
        return
    moving = [state.value for state in S if state.value not in _STAYING]
    for row in tx.execute(moves.locked(*_others_named_alike(rows, not_in=moving))).mappings().all():
        moves.change_values(tx, row, reference=own_reference(row))
