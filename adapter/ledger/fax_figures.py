"""Figures of fax calls over a period, by partner: how many, how long, why they failed, how many documents went at once.

Counted from the calls' own rows, which stay when content goes. A call counts in the period in which it began. No patient content,
no number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, distinct, exists, func, or_, select

from adapter.ledger.database import Database
from adapter.ledger.fax_call_tables import fax_call
from adapter.model.fax_call import CallDirection

# From what a call names (a role, a structure) to the partner that a report names.
PartnerOf = Callable[[str], str]


@dataclass
class CallFigures:
    """The calls of one partner in one direction. `seconds` are of the line; `unknown_length` calls have none and are not in it.

    `first_calls` are documents whose first call lies in the period; `at_once` of them went whole in it.
    """

    documents: int = 0
    calls: int = 0
    seconds: float = 0.0
    unknown_length: int = 0
    pages: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    first_calls: int = 0
    at_once: int = 0


CallKey = tuple[CallDirection, str]


def call_figures(
    database: Database, legal_entity: str, start: datetime, end: datetime, partner_of: PartnerOf
) -> dict[CallKey, CallFigures]:
    """Figures by direction and partner, of the calls that began in [start, end)."""
    f = fax_call
    mine = and_(f.c.legal_entity == legal_entity, f.c.began_at >= start, f.c.began_at < end)
    found: dict[CallKey, CallFigures] = {}
    with database.read() as connection:
        _add_sums(connection, mine, partner_of, found)
        _add_documents(connection, mine, partner_of, found)
        _add_first_calls(connection, mine, partner_of, found)
    return found


def _of(found: dict[CallKey, CallFigures], row: Any, partner_of: PartnerOf) -> CallFigures:
    name = partner_of(row.partner) if row.partner else ""
    return found.setdefault((CallDirection(row.direction), name), CallFigures())


def _add_sums(
    connection: Connection, mine: ColumnElement[bool], partner_of: PartnerOf, found: dict[CallKey, CallFigures]
) -> None:
    f = fax_call
    sums = (func.count().label("parts"), func.sum(f.c.pages).label("pages"), func.sum(f.c.seconds).label("seconds"))
    query = select(f.c.direction, f.c.partner, f.c.cause, *sums, func.count(f.c.seconds).label("timed")).where(mine)
    for row in connection.execute(query.group_by(f.c.direction, f.c.partner, f.c.cause)):
        figures = _of(found, row, partner_of)
        figures.pages += row.pages or 0
        figures.seconds += row.seconds or 0.0
        figures.unknown_length += row.parts - row.timed
        if row.cause:
            figures.failures[row.cause] = figures.failures.get(row.cause, 0) + row.parts


def _add_documents(
    connection: Connection, mine: ColumnElement[bool], partner_of: PartnerOf, found: dict[CallKey, CallFigures]
) -> None:
    """One call may carry several documents to one number: it is one call, and costs once."""
    f = fax_call
    calls = func.count(distinct(f.c.call + "@" + f.c.device)).label("calls")
    query = select(f.c.direction, f.c.partner, func.count(distinct(f.c.about_id)).label("documents"), calls).where(mine)
    for row in connection.execute(query.group_by(f.c.direction, f.c.partner)):
        figures = _of(found, row, partner_of)
        figures.documents += row.documents
        figures.calls += row.calls


def _add_first_calls(
    connection: Connection, mine: ColumnElement[bool], partner_of: PartnerOf, found: dict[CallKey, CallFigures]
) -> None:
    f, earlier = fax_call, fax_call.alias("earlier")
    is_before = or_(
        earlier.c.began_at < f.c.began_at,
        and_(earlier.c.began_at == f.c.began_at, earlier.c.id < f.c.id),
    )
    is_first = ~exists().where(earlier.c.about_id == f.c.about_id, is_before)
    query = select(f.c.direction, f.c.partner, f.c.cause, func.count().label("firsts")).where(mine, is_first)
    for row in connection.execute(query.group_by(f.c.direction, f.c.partner, f.c.cause)):
        figures = _of(found, row, partner_of)
        figures.first_calls += row.firsts
        figures.at_once += 0 if row.cause else row.firsts
