"""A house at night: the jobs of the round over an `Instance`, with a clock that is moved by hand and a pace that is counted.

house = Instance(tmp_path)
upgrade(house).run(shift(house))            # what waits for the fax, and what was faxed lately
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from adapter.model.delivery import Delivery
from adapter.model.plan import RecipientPlan, RoutePlan
from adapter.model.submission import Submission
from adapter.pipeline.patients import Routed
from adapter.pipeline.plan import deliveries_of
from adapter.pipeline.route_now import route_now
from adapter.sync.night import Desk, Job, Pace, Shift
from adapter.sync.upgrade import Upgrade, UpgradeSettings
from tests.builders.directory import APHP_EJ, rehearsal
from tests.builders.instance import SENDER, Instance

PARIS = ZoneInfo("Europe/Paris")


class CountedPace:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0

    def expect(self, total: int) -> None:
        """So much more."""
        self.total += total

    def step(self, count: int = 1) -> None:
        """So much was done."""
        self.done += count


@contextmanager
def any_pace(_job: Job) -> Iterator[Pace]:
    """For rounds whose pace nobody watches."""
    yield CountedPace()


def shift(house: Instance, *, dry_run: bool = False) -> Shift:
    """A round that begins now."""
    now = house.clock()
    return Shift(now, now.astimezone(PARIS).date(), PARIS, dry_run, CountedPace())


def desk(house: Instance) -> Desk:
    """What the round needs."""
    return Desk(house.ledger, house.ledger.night.hold_alone, house.clock, PARIS, any_pace)


def upgrade(house: Instance, backfill_days: int = 0) -> Upgrade:
    """The job of equipment day, with the house's own directory."""

    def route(submission: Submission) -> Routed:
        today = house.clock().astimezone(PARIS).date()
        return route_now(house.ledger, submission, house.directory, rehearsal(), today)

    return Upgrade(house.ledger.night, route, _make, UpgradeSettings((APHP_EJ,), backfill_days))


def _make(submission: Submission, role: RecipientPlan) -> tuple[Delivery, ...]:
    return deliveries_of(submission, RoutePlan("", "", (role,)), SENDER)
