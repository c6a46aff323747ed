"""Equipment day: what waits for the fax gives way to the channel that opened; what was faxed lately may leave again as a copy.

Law: domain §6.3, blueprint seam 17. Routes of new documents change by the dates themselves; here is what was planned before. The
plan of today decides, by the same function as for a document that arrives: consent, sensitivity and dates are all asked again,
and once more when the leg leaves. A copy is made only where the channel was not open before the day of the fax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import structlog

from adapter.errors import StalePlanError, TduError
from adapter.ledger.night import NightLedger, WaitingPlan
from adapter.ledger.statistics import day_bounds
from adapter.ledger.upgrades import BetterLegs, FaxedDocument
from adapter.model.delivery import Delivery
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan
from adapter.model.submission import Submission
from adapter.pipeline.patients import Routed
from adapter.sync.night import Report, Shift

log = structlog.get_logger()

# Why a document may wait for a channel to open.
WAITED_FOR = ("no-channel", "no-record")
_PAGE = 100
_STALE_TRIES = 3

RouteNow = Callable[[Submission], Routed]
MakeDeliveries = Callable[[Submission, RecipientPlan], tuple[Delivery, ...]]


@dataclass(frozen=True)
class UpgradeSettings:
    """For which legal entities, and how many days of faxes are sent again as copies (0: none)."""

    legal_entities: tuple[str, ...]
    backfill_days: int = 0


@dataclass
class _Tally:
    """Counted on the way; `undecided`: documents whose plan could not be made."""

    counts: dict[str, int] = field(default_factory=lambda: {"replanned": 0, "planned_again": 0, "copies": 0})
    undecided: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Upgrade:
    """The job, with what it asks of the house."""

    ledger: NightLedger
    route: RouteNow
    make: MakeDeliveries
    settings: UpgradeSettings

    def run(self, shift: Shift) -> Report:
        """Every unsent fax, every document that waits for a channel, and the faxes of the last days if copies are wanted."""
        tally = _Tally()
        for entity in self.settings.legal_entities:
            self._unsent(entity, shift, tally)
            self._waiting(entity, shift, tally)
            if self.settings.backfill_days:
                self._faxed(entity, shift, tally)
        return Report(tally.counts, _to_do(tally), tuple(tally.notes))

    # ── faxes that have not left ──────────────────────────────────────────────────────────────────────────────

    def _unsent(self, entity: str, shift: Shift, tally: _Tally) -> None:
        after = ""
        while page := self.ledger.unsent_faxes(after, _PAGE, legal_entity=entity):
            shift.pace.expect(len(page))
            for fax in page:
                self._guarded(fax.submission.id, tally, partial(self._give_way, fax, shift, tally))
                shift.pace.step()
            after = page[-1].delivery.id

    def _give_way(self, fax: FaxedDocument, shift: Shift, tally: _Tally) -> None:
        routed = self.route(fax.submission)
        better = better_legs(routed, fax.delivery.role_id)
        if better is None:
            return
        act = self.ledger.would_give_way if shift.dry_run else self.ledger.give_way
        if act(fax, better, partial(self.make, fax.submission)):
            tally.counts["replanned"] += 1
            _note(tally, shift, f"{fax.delivery.id}: fax → {better.legs[0].channel.value}")

    # ── documents that nothing could carry ────────────────────────────────────────────────────────────────────

    def _waiting(self, entity: str, shift: Shift, tally: _Tally) -> None:
        waiting = self.ledger.waiting_plans(WAITED_FOR, legal_entity=entity)
        shift.pace.expect(len(waiting))
        for one in waiting:
            self._guarded(one.submission.id, tally, partial(self._plan_again, one, shift, tally))
            shift.pace.step()

    def _plan_again(self, one: WaitingPlan, shift: Shift, tally: _Tally) -> None:
        if not can_leave_now(one, self.route(one.submission)):
            return
        if shift.dry_run or self.ledger.plan_again(one.item):
            tally.counts["planned_again"] += 1
            _note(tally, shift, f"{one.submission.id}: {one.item.reason} no more")

    # ── copies of what was faxed ──────────────────────────────────────────────────────────────────────────────

    def _faxed(self, entity: str, shift: Shift, tally: _Tally) -> None:
        first = shift.today - timedelta(days=self.settings.backfill_days)
        since, after = day_bounds(first, shift.zone)[0], ""
        while page := self.ledger.faxed_documents(since, after, _PAGE, legal_entity=entity):
            shift.pace.expect(len(page))
            for fax in page:
                self._guarded(fax.submission.id, tally, partial(self._copy, fax, shift, tally))
                shift.pace.step()
            after = page[-1].delivery.id

    def _copy(self, fax: FaxedDocument, shift: Shift, tally: _Tally) -> None:
        sent_at = fax.delivery.sent_at
        if sent_at is None:
            return
        routed = self.route(fax.submission)
        better = better_legs(routed, fax.delivery.role_id)
        leg = better.legs[0] if better is not None else None
        faxed_on = sent_at.astimezone(shift.zone).date().isoformat()
        # Open before that day: the fax was the fallback, or the sender's own choice.
        if better is None or leg is None or leg.opened_since < faxed_on:
            return
        copy = replace(leg, copy_of=sent_at.isoformat(), reason=f"Copie de la télécopie du {faxed_on} : {leg.reason}")
        act = self.ledger.would_copy if shift.dry_run else self.ledger.add_copy
        if act(fax, copy, better.seen, partial(self.make, fax.submission)):
            tally.counts["copies"] += 1
            _note(tally, shift, f"{fax.delivery.id}: a copy by {leg.channel.value}")

    # ── all ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _guarded(self, submission_id: str, tally: _Tally, work: Callable[[], None]) -> None:
        """One document that cannot be planned stops none of the others; an index that moved meanwhile is asked again."""
        for _ in range(_STALE_TRIES):
            try:
                return work()
            except StalePlanError:
                log.info("upgrade.plan-stale", submission=submission_id)
            except TduError as error:
                log.error("upgrade.not-planned", submission=submission_id, code=error.code)
                tally.undecided.append(submission_id)
                return None
        return None


def better_legs(routed: Routed, role_id: str) -> BetterLegs | None:
    """What today's plan puts before the fax for a role; None when the fax still comes first, or nothing may leave."""
    plan = next((one for one in routed.plan.recipients if one.role_id == role_id), None)
    if plan is None or not plan.legs:
        return None
    legs = sorted(plan.legs, key=lambda leg: leg.order)
    place = next((n for n, leg in enumerate(legs) if leg.channel is ChannelName.FAX), len(legs))
    before: tuple[Leg, ...] = tuple(legs[:place])
    return BetterLegs(before, place < len(legs), routed.seen) if before else None


def can_leave_now(one: WaitingPlan, routed: Routed) -> bool:
    """Whether today's plan serves a recipient whom the stored one could not, for this very reason."""
    stuck = [plan for plan in one.plan.recipients if plan.parked_because == one.item.reason]
    roles = {plan.role_id for plan in stuck}
    # A record that nobody had opened had no name yet.
    if any(plan.kind is RecipientKind.RECORD for plan in stuck):
        fed = {plan.role_id for plan in one.plan.recipients if plan.legs}
        roles |= {plan.role_id for plan in routed.plan.recipients if plan.kind is RecipientKind.RECORD} - fed
    return any(plan.legs and plan.role_id in roles for plan in routed.plan.recipients)


def _note(tally: _Tally, shift: Shift, text: str) -> None:
    """A dry run names what it would move; a real one is told in each document's trace."""
    if shift.dry_run:
        tally.notes.append(text)


def _to_do(tally: _Tally) -> tuple[str, ...]:
    if not tally.undecided:
        return ()
    shown = ", ".join(tally.undecided[:5])
    count = len(tally.undecided)
    return (f"{count} document(s) dont le plan d'envoi n'a pu être refait : les examiner (`tdu trace`) : {shown}.",)
