"""Figures by civil day: what came in, by which channel it left, how far that was proved and how soon. No patient content.

The committees of domain §3 read them: volumes by partner, document and channel, answers in time, delays, share still faxed.
A delivery counts on the day that its document came. A day is counted from the ledger's rows, and counted again while proofs may
still come; one transaction replaces its rows, so that counting twice changes nothing. Delays are kept as steps, which add up
over days; percentiles are read from the sum.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, delete, func, insert, select

from adapter.ledger import tables
from adapter.ledger.database import Database, Transaction
from adapter.ledger.evidence import keep_cursor, read_cursor
from adapter.ledger.statistics_tables import COUNTS, daily_figure
from adapter.ledger.status import SERVED
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.request import StepKind

S = DeliveryState
Row = Mapping[Any, Any]
# From a role to the partner that a report names: a structure's key, never a person.
PartnerOf = Callable[[str], str]

# Upper bounds of the delay steps, in seconds; the last step has none.
DELAY_STEPS = (60, 300, 900, 3600, 14_400, 43_200, 86_400, 172_800, 345_600, 691_200, 1_296_000)
_ROLLED = "night:figures-until"
_PROOFS = tuple(state.value for state in SERVED)
_COUNTED_AS = {S.WAITING: "open", S.QUEUED: "open", S.CLAIMED: "open", S.ON_WIRE: "open", S.UNCLEAR: "open"}


@dataclass(frozen=True)
class FigureKey:
    """What a row is about. `channel` is empty for what came in."""

    partner: str
    channel: str
    type_code: str


@dataclass
class Figures:
    """The counts of one key, and its delays by step."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    delays: list[int] = field(default_factory=lambda: [0] * (len(DELAY_STEPS) + 1))

    def add(self, name: str, count: int = 1) -> None:
        """Count."""
        self.counts[name] += count

    def add_delay(self, seconds: float) -> None:
        """Count a proof in its step."""
        self.delays[next((n for n, bound in enumerate(DELAY_STEPS) if seconds <= bound), len(DELAY_STEPS))] += 1

    def join(self, other: Figures) -> None:
        """Add another day's."""
        for name in COUNTS:
            self.counts[name] += other.counts[name]
        self.delays = [one + two for one, two in zip(self.delays, other.delays, strict=True)]


DayFigures = dict[FigureKey, Figures]


def delay_percentile(delays: Sequence[int], share: float) -> int | None:
    """Upper bound, in seconds, of the step that holds this share of the proofs; None without proof, or beyond the last."""
    wanted, seen = share * sum(delays), 0
    for count, bound in zip(delays, DELAY_STEPS, strict=False):
        seen += count
        if seen and seen >= wanted:
            return bound
    return None


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants between which a civil day lies: 23 or 25 hours apart when clocks change."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone)
    after = day + timedelta(days=1)
    return start, datetime(after.year, after.month, after.day, tzinfo=zone)


# ── counting ──────────────────────────────────────────────────────────────────────────────────────────────────


def count_day(database: Database, legal_entity: str, day: date, zone: ZoneInfo, partner_of: PartnerOf) -> DayFigures:
    """One civil day's figures, from the ledger's rows as they are now."""
    with database.read() as connection:
        return _count(connection, legal_entity, day_bounds(day, zone), partner_of)


def _count(connection: Connection, entity: str, bounds: tuple[datetime, datetime], partner_of: PartnerOf) -> DayFigures:
    found: DayFigures = {}
    _count_documents(connection, entity, bounds, found)
    _count_deliveries(connection, entity, bounds, partner_of, found)
    _count_answers(connection, entity, bounds, partner_of, found)
    return found


def _of(found: DayFigures, partner: str, channel: str, type_code: str) -> Figures:
    return found.setdefault(FigureKey(partner[:200], channel, type_code[:100]), Figures())


def _count_documents(connection: Connection, entity: str, bounds: tuple[datetime, datetime], found: DayFigures) -> None:
    s = tables.submission
    mine = (s.c.legal_entity == entity, s.c.created_at >= bounds[0], s.c.created_at < bounds[1])
    for row in connection.execute(select(s.c.type_code, func.count()).where(*mine).group_by(s.c.type_code)):
        _of(found, "", "", row[0]).add("documents", row[1])


def _count_deliveries(
    connection: Connection, entity: str, bounds: tuple[datetime, datetime], partner_of: PartnerOf, found: DayFigures
) -> None:
    d, s, r, e = tables.delivery, tables.submission, tables.receipt, tables.event
    proved = select(func.min(e.c.at)).where(e.c.about_id == d.c.id, e.c.kind.in_(_PROOFS)).scalar_subquery()
    columns = (d.c.role_id, d.c.channel, d.c.state, d.c.on_wire_at, s.c.type_code, r.c.received_at, proved.label("proved_at"))
    mine = (s.c.legal_entity == entity, s.c.created_at >= bounds[0], s.c.created_at < bounds[1])
    query = select(*columns).join(s, s.c.id == d.c.submission_id).join(r, r.c.id == s.c.receipt_id)
    for row in connection.execute(query.where(*mine, d.c.purpose == Purpose.DOCUMENT.value)):
        figures = _of(found, partner_of(row.role_id), row.channel, row.type_code)
        state = S(row.state)
        figures.add("deliveries")
        figures.add(_COUNTED_AS.get(state, state.value))
        figures.add("sent", int(row.on_wire_at is not None))
        if row.proved_at is not None and state in SERVED:
            figures.add_delay((_aware(row.proved_at, row.received_at) - row.received_at).total_seconds())


def _aware(moment: datetime, like: datetime) -> datetime:
    """A computed column comes without the zone that SQLite does not keep: it is UTC, as every other."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=like.tzinfo)


def _count_answers(
    connection: Connection, entity: str, bounds: tuple[datetime, datetime], partner_of: PartnerOf, found: DayFigures
) -> None:
    """Requests made that day, by the partner asked: answered, and before their delay ran out."""
    t, s, d = tables.request_step, tables.submission, tables.delivery
    answer = t.alias("answer")
    first = select(func.min(answer.c.at)).where(
        answer.c.legal_entity == entity, answer.c.request_id == t.c.request_id, answer.c.kind != StepKind.REQUESTED.value
    )
    asked_of = select(func.min(d.c.role_id)).where(d.c.submission_id == s.c.id, d.c.purpose == Purpose.DOCUMENT.value)
    columns = (t.c.answer_due, s.c.type_code, asked_of.scalar_subquery().label("role_id"), first.scalar_subquery().label("at"))
    mine = (t.c.legal_entity == entity, t.c.kind == StepKind.REQUESTED.value, t.c.at >= bounds[0], t.c.at < bounds[1])
    for row in connection.execute(select(*columns).join(s, s.c.id == t.c.submission_id).where(*mine)):
        figures = _of(found, partner_of(row.role_id or ""), "", row.type_code)
        figures.add("asked")
        if row.at is not None:
            figures.add("answered")
            in_time = row.answer_due is None or _aware(row.at, row.answer_due) <= row.answer_due
            figures.add("answered_in_time", int(in_time))


# ── keeping ───────────────────────────────────────────────────────────────────────────────────────────────────


def first_day(database: Database, legal_entity: str, zone: ZoneInfo) -> date | None:
    """The civil day of the oldest document; None for an empty ledger."""
    s = tables.submission
    oldest = select(s.c.created_at).where(s.c.legal_entity == legal_entity).order_by(s.c.created_at).limit(1)
    with database.read() as connection:
        moment: datetime | None = connection.execute(oldest).scalar()
    return moment.astimezone(zone).date() if moment is not None else None


def rolled_until(database: Database, legal_entity: str) -> date | None:
    """The last day that was kept; every day before it since the first receipt was too."""
    value = read_cursor(database, _ROLLED, legal_entity)
    return date.fromisoformat(value) if value else None


def keep_day(database: Database, legal_entity: str, day: date, zone: ZoneInfo, partner_of: PartnerOf) -> int:
    """Count a day and put the result in the place of what was kept of it; returns how many rows it has."""

    def work(tx: Transaction) -> int:
        tx.lock(f"figures/{legal_entity}")
        found = _count(tx.connection, legal_entity, day_bounds(day, zone), partner_of)
        table = daily_figure
        tx.execute(delete(table).where(table.c.legal_entity == legal_entity, table.c.day == day.isoformat()))
        rows = [_row(legal_entity, day, key, figures) for key, figures in found.items()]
        if rows:
            tx.execute(insert(table), rows)
        return len(rows)

    kept = database.write(work)
    before = rolled_until(database, legal_entity)
    if before is None or before < day:
        keep_cursor(database, _ROLLED, day.isoformat(), legal_entity)
    return kept


def _row(entity: str, day: date, key: FigureKey, figures: Figures) -> dict[str, Any]:
    about = {"legal_entity": entity, "day": day.isoformat(), "partner": key.partner, "channel": key.channel}
    return {**about, "type_code": key.type_code, **figures.counts, "delays": json.dumps(figures.delays)}


def kept_figures(database: Database, legal_entity: str, first: date, last: date) -> Iterable[tuple[str, DayFigures]]:
    """What was kept of the days of a period, day by day."""
    table = daily_figure
    mine = (table.c.legal_entity == legal_entity, table.c.day >= first.isoformat(), table.c.day <= last.isoformat())
    days: dict[str, DayFigures] = {}
    with database.read() as connection:
        for row in connection.execute(select(table).where(*mine).order_by(table.c.day)).mappings():
            key = FigureKey(row["partner"], row["channel"], row["type_code"])
            figures = Figures({name: row[name] for name in COUNTS}, json.loads(row["delays"]))
            days.setdefault(row["day"], {})[key] = figures
    return days.items()
