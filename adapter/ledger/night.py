"""The ledger as the nightly round works on it: each public verb is one small transaction of the module named beside it.

Apart from `ledger.Ledger`, whose verbs a document passes through. Safe to run again; no read crosses legal entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select

from adapter.errors import LedgerError
from adapter.ledger import retention, statistics, tables, upgrades, work_items
from adapter.ledger.alone import hold_alone
from adapter.ledger.backup import Backup, Progress, back_up
from adapter.ledger.database import Database
from adapter.ledger.fax_figures import CallFigures, CallKey, call_figures
from adapter.ledger.records import Decision, PayloadKind, SeenPatient
from adapter.ledger.retention import Limits
from adapter.ledger.rows import Sealed, delivery_value, read_plan, read_submission, work_item_value
from adapter.ledger.statistics import DayFigures, PartnerOf
from adapter.ledger.upgrades import ACTOR, BetterLegs, FaxedDocument, MakeDeliveries
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.plan import ChannelName, Leg, RoutePlan
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout, WorkItem


@dataclass(frozen=True, repr=False)
class WaitingPlan(Confidential):
    """A question on a document that could not leave for want of a channel, with the plan that said so."""

    item: WorkItem
    submission: Submission
    plan: RoutePlan


@dataclass(frozen=True, repr=False)
class SentDelivery(Confidential):
    """A delivery with the document and the plan that it was made from, to be looked for at its partner's."""

    delivery: Delivery
    changed_at: datetime
    submission: Submission
    plan: RoutePlan


class NightLedger:
    """What the round's jobs ask of one ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def file(self) -> Path | None:
        """Where an SQLite ledger lies; None on a server."""
        return self._database.file

    def hold_alone(self) -> AbstractContextManager[bool]:
        """True while no other round runs on this ledger; the lock dies with its holder."""
        return hold_alone(self._database)

    # ── equipment ─────────────────────────────────────────────────────────────────────────────────────────────

    def unsent_faxes(self, after_id: str, limit: int, *, legal_entity: str) -> list[FaxedDocument]:
        """Faxes that have not left and never were in doubt, by id."""
        return upgrades.unsent_faxes(self._database, legal_entity, after_id, limit)

    def faxed_documents(self, since: datetime, after_id: str, limit: int, *, legal_entity: str) -> list[FaxedDocument]:
        """Newest versions whose pages were confirmed, sent since an instant, by id."""
        return upgrades.faxed_documents(self._database, legal_entity, since, after_id, limit)

    def give_way(self, fax: FaxedDocument, better: BetterLegs, make: MakeDeliveries) -> int:
        """Queue better legs before an unsent fax; how many were new."""
        return upgrades.give_way(self._database, fax, better, make)

    def add_copy(self, fax: FaxedDocument, leg: Leg, seen: SeenPatient, make: MakeDeliveries) -> bool:
        """Queue a copy of what was faxed; False when it went there already, or is no longer the newest."""
        return upgrades.add_copy(self._database, fax, leg, seen, make)

    def would_give_way(self, fax: FaxedDocument, better: BetterLegs, make: MakeDeliveries) -> int:
        """What `give_way` would do; nothing is written."""
        return upgrades.would_give_way(self._database, fax, better, make)

    def would_copy(self, fax: FaxedDocument, leg: Leg, seen: SeenPatient, make: MakeDeliveries) -> bool:
        """What `add_copy` would do; nothing is written."""
        return upgrades.would_copy(self._database, fax, leg, seen, make)

    def waiting_plans(self, reasons: Sequence[str], *, legal_entity: str) -> list[WaitingPlan]:
        """Open questions on documents that nothing could carry, with their plans."""
        w = tables.work_item
        mine = (w.c.legal_entity == legal_entity, w.c.about == WorkAbout.SUBMISSION.value, w.c.reason.in_(list(reasons)))
        kinds = (PayloadKind.SUBMISSION, PayloadKind.PLAN)
        with self._database.read() as connection:
            rows = connection.execute(select(w).where(*mine, tables.IS_UNDECIDED).order_by(w.c.opened_at, w.c.id)).mappings()
            items = [work_item_value(row) for row in rows]
            sealed = Sealed(connection, [item.about_id for item in items], kinds)
        vault = self._database.vault
        return [
            WaitingPlan(
                item,
                read_submission(sealed.open(vault, item.about_id, PayloadKind.SUBMISSION)),
                read_plan(sealed.open(vault, item.about_id, PayloadKind.PLAN)),
            )
            for item in items
            if all(sealed.has(item.about_id, kind) for kind in kinds)
        ]

    def plan_again(self, item: WorkItem) -> bool:
        """Have the document prepared again with today's directory, as a person's retry does; False when it is not to be had."""
        try:
            work_items.resolve(self._database, item.id, Decision.RETRY, ACTOR, item.legal_entity)
        except LedgerError as error:
            if error.code == "work-item.decided":
                return False
            if error.code != "work-item.no-retry" or not self._is_being_prepared(item.about_id):
                raise
            # Another question on the same message asked for it a moment ago: this one is answered with it.
            work_items.resolve(self._database, item.id, Decision.CLOSE, ACTOR, item.legal_entity)
        return True

    def _is_being_prepared(self, submission_id: str) -> bool:
        r, s = tables.receipt, tables.submission
        query = select(r.c.state).join(s, s.c.receipt_id == r.c.id).where(s.c.id == submission_id)
        with self._database.read() as connection:
            return bool(connection.execute(query).scalar() == ReceiptState.RECEIVED.value)

    # ── what partners hold ────────────────────────────────────────────────────────────────────────────────────

    def sent_deliveries(
        self,
        channel: ChannelName,
        states: Sequence[DeliveryState],
        after: tuple[datetime, str],
        limit: int,
        *,
        legal_entity: str,
        in_doubt: bool = False,
    ) -> list[SentDelivery]:
        """Documents put on a channel's wire and standing in one of these states, by the instant of their last change.

        `in_doubt`: only those whose last send may have arrived or not.
        """
        d = tables.delivery
        mine = [d.c.legal_entity == legal_entity, d.c.channel == channel.value, d.c.purpose == Purpose.DOCUMENT.value]
        mine += [d.c.state.in_([state.value for state in states]), d.c.on_wire_at.is_not(None)]
        mine += [or_(d.c.changed_at > after[0], (d.c.changed_at == after[0]) & (d.c.id > after[1]))]
        if in_doubt:
            mine.append(d.c.unclear_count > 0)
        kinds = (PayloadKind.SUBMISSION, PayloadKind.PLAN)
        with self._database.read() as connection:
            query = select(d).where(*mine).order_by(d.c.changed_at, d.c.id).limit(limit)
            rows = [dict(row) for row in connection.execute(query).mappings()]
            sealed = Sealed(connection, [row["submission_id"] for row in rows], kinds)
        return [sent for row in rows if (sent := self._sent(row, sealed)) is not None]

    def _sent(self, row: dict[str, object], sealed: Sealed) -> SentDelivery | None:
        """None when its content was purged: there is nothing left to look for."""
        owner, vault = str(row["submission_id"]), self._database.vault
        if not sealed.has(owner, PayloadKind.SUBMISSION) or not sealed.has(owner, PayloadKind.PLAN):
            return None
        changed_at = row["changed_at"]
        if not isinstance(changed_at, datetime):
            raise LedgerError("ledger.no-instant", "a delivery without the instant of its last change", where=owner)
        submission = read_submission(sealed.open(vault, owner, PayloadKind.SUBMISSION))
        plan = read_plan(sealed.open(vault, owner, PayloadKind.PLAN))
        return SentDelivery(delivery_value(row), changed_at, submission, plan)

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        """Which of these references are deliveries of ours, of whatever entity: a spool belongs to the instance."""
        d = tables.delivery
        with self._database.read() as connection:
            found = connection.execute(select(d.c.reference).where(d.c.reference.in_(list(references)))).scalars()
            return frozenset(found)

    # ── keeping and letting go ────────────────────────────────────────────────────────────────────────────────

    def due_receipts(self, limits: Limits, *, legal_entity: str) -> int:
        """How many receipts' content is to go."""
        return retention.due_receipts(self._database, legal_entity, limits)

    def purge_receipts(self, limits: Limits, *, legal_entity: str) -> Iterator[int]:
        """Purge until nothing is due; each transaction's count."""
        while count := retention.purge_receipts(self._database, legal_entity, limits):
            yield count

    def due_images(self, limits: Limits, *, legal_entity: str) -> int:
        """How many received faxes' pages are to go before their documents."""
        return retention.due_images(self._database, legal_entity, limits)

    def purge_images(self, limits: Limits, *, legal_entity: str) -> Iterator[int]:
        """Purge them until none is due; each transaction's count."""
        while count := retention.purge_images(self._database, legal_entity, limits):
            yield count

    def purge_events(self, limits: Limits, *, legal_entity: str) -> Iterator[int]:
        """The same for the log of what is over."""
        while count := retention.purge_events(self._database, legal_entity, limits):
            yield count

    def back_up(self, directory: Path, at: datetime, generations: int, progress: Progress) -> Backup:
        """A proved copy of an SQLite ledger; LedgerError for a server's."""
        source = self._database.file
        if source is None:
            raise LedgerError("backup.not-sqlite", "this ledger is a server's", remedy="Back it up with the server's own tools.")
        return back_up(source, directory, self._database.vault, at, generations, progress)

    # ── figures ───────────────────────────────────────────────────────────────────────────────────────────────

    def first_day(self, zone: ZoneInfo, *, legal_entity: str) -> date | None:
        """The civil day of the oldest document."""
        return statistics.first_day(self._database, legal_entity, zone)

    def figures_until(self, *, legal_entity: str) -> date | None:
        """The last day whose figures were kept; those before it were too."""
        return statistics.rolled_until(self._database, legal_entity)

    def keep_day(self, day: date, zone: ZoneInfo, partner_of: PartnerOf, *, legal_entity: str) -> int:
        """Count a day (again) and keep it; how many rows it has."""
        return statistics.keep_day(self._database, legal_entity, day, zone, partner_of)

    def count_day(self, day: date, zone: ZoneInfo, partner_of: PartnerOf, *, legal_entity: str) -> DayFigures:
        """Count a day without keeping it."""
        return statistics.count_day(self._database, legal_entity, day, zone, partner_of)

    def kept_figures(self, first: date, last: date, *, legal_entity: str) -> Iterable[tuple[str, DayFigures]]:
        """What was kept, day by day."""
        return statistics.kept_figures(self._database, legal_entity, first, last)

    def call_figures(
        self, start: datetime, end: datetime, partner_of: PartnerOf, *, legal_entity: str
    ) -> dict[CallKey, CallFigures]:
        """Fax calls that began in [start, end), by direction and partner."""
        return call_figures(self._database, legal_entity, start, end, partner_of)
