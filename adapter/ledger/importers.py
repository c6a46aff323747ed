"""How practices import: what waits for each, by age and urgency, what each said lately, when each last came. Reads only.

Law: issue 5 §5: silent importers are listed each morning; published is not fetched, fetched is not integrated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, func, select

from adapter.ledger import tables
from adapter.ledger.database import Database
from adapter.ledger.folder_tables import folder_set
from adapter.ledger.import_tables import call_window, import_outcome, publication
from adapter.model.delivery import DeliveryState
from adapter.model.folder import Standing

Row = Mapping[Any, Any]
_DAY, _THREE_DAYS = timedelta(days=1), timedelta(days=3)


@dataclass(frozen=True)
class Waiting:
    """Documents published and never fetched, urgent or not: how many by age, how many beyond their delay, the oldest."""

    urgent: bool
    under_one_day: int
    under_three_days: int
    older: int
    overdue: int
    oldest: datetime

    @property
    def count(self) -> int:
        """All of them."""
        return self.under_one_day + self.under_three_days + self.older


@dataclass(frozen=True)
class ImporterFigures:
    """One practice: what waits, what was fetched and never answered for, outcomes by code since the asked instant, when it last
    fetched and last said something. `gone` and `withheld` are sets of its folder.
    """

    practice: str
    waiting: tuple[Waiting, ...] = ()
    unanswered: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    last_fetched: datetime | None = None
    last_said: datetime | None = None
    gone: int = 0
    withheld: int = 0

    @property
    def overdue(self) -> int:
        """Documents that nobody came for within their delay."""
        return sum(one.overdue for one in self.waiting)


def importer_figures(database: Database, practices: Iterable[str], since: datetime, legal_entity: str) -> list[ImporterFigures]:
    """See `Ledger.importer_figures`."""
    names = sorted(set(practices))
    with database.read() as connection:
        waiting = _waiting(connection, legal_entity, database.now())
        outcomes = _outcomes(connection, legal_entity, since)
        told = _told(connection, legal_entity)
        folders = _folders(connection, legal_entity)
    return [
        ImporterFigures(
            practice=name,
            waiting=tuple(waiting.get(name, ())),
            unanswered=told[name]["unanswered"] if name in told else 0,
            outcomes=outcomes.get(name, {}),
            last_fetched=told[name]["last_fetched"] if name in told else None,
            last_said=told[name]["last_said"] if name in told else None,
            gone=folders.get((name, Standing.GONE.value), 0),
            withheld=folders.get((name, Standing.WITHHELD.value), 0),
        )
        for name in names
    ]


def last_calls(database: Database, clients: Iterable[str]) -> dict[str, datetime]:
    """See `Ledger.last_calls`."""
    c = call_window
    with database.read() as connection:
        rows = connection.execute(select(c.c.client, c.c.began_at).where(c.c.client.in_(sorted(set(clients)))))
        return {row.client: row.began_at for row in rows}


def _waiting(connection: Connection, legal_entity: str, now: datetime) -> dict[str, list[Waiting]]:
    p, d = publication, tables.delivery

    def counted(condition: Any) -> Any:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    query = (
        select(
            p.c.practice,
            p.c.urgent,
            counted(p.c.published_at > now - _DAY).label("young"),
            counted((p.c.published_at <= now - _DAY) & (p.c.published_at > now - _THREE_DAYS)).label("middle"),
            counted(p.c.published_at <= now - _THREE_DAYS).label("old"),
            counted(p.c.fetch_due <= now).label("overdue"),
            func.min(p.c.published_at).label("oldest"),
        )
        .join(d, d.c.id == p.c.id)
        .where(p.c.legal_entity == legal_entity, p.c.fetched_at.is_(None), p.c.outcome == "", d.c.superseded_by == "")
        .where(d.c.state.in_((DeliveryState.ACCEPTED.value, DeliveryState.REFUSED.value)))
        .group_by(p.c.practice, p.c.urgent)
        .order_by(p.c.practice, p.c.urgent.desc())
    )
    found: dict[str, list[Waiting]] = {}
    for row in connection.execute(query):
        one = Waiting(bool(row.urgent), int(row.young), int(row.middle), int(row.old), int(row.overdue), row.oldest)
        found.setdefault(row.practice, []).append(one)
    return found


def _outcomes(connection: Connection, legal_entity: str, since: datetime) -> dict[str, dict[str, int]]:
    p, o = publication, import_outcome
    query = select(p.c.practice, o.c.outcome, func.count().label("times")).join(p, p.c.id == o.c.publication_id)
    query = query.where(o.c.legal_entity == legal_entity, o.c.at >= since).group_by(p.c.practice, o.c.outcome)
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query.order_by(p.c.practice, o.c.outcome)):
        found.setdefault(row.practice, {})[row.outcome] = row.times
    return found


def _told(connection: Connection, legal_entity: str) -> dict[str, Row]:
    p = publication
    unanswered = func.sum(case(((p.c.fetched_at.is_not(None)) & (p.c.outcome == ""), 1), else_=0))
    query = select(
        p.c.practice,
        unanswered.label("unanswered"),
        func.max(p.c.fetched_at).label("last_fetched"),
        func.max(p.c.outcome_at).label("last_said"),
    )
    rows = connection.execute(query.where(p.c.legal_entity == legal_entity).group_by(p.c.practice)).mappings()
    return {row["practice"]: row for row in rows}


def _folders(connection: Connection, legal_entity: str) -> dict[tuple[str, str], int]:
    f = folder_set
    query = select(f.c.practice, f.c.standing, func.count().label("sets")).where(f.c.legal_entity == legal_entity)
    rows = connection.execute(query.group_by(f.c.practice, f.c.standing))
    return {(row.practice, row.standing): row.sets for row in rows}
