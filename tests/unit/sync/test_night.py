"""The round: ordered, resumable the same civil day, one at a time, and a night with two times 02:30, or with none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapter.errors import LedgerError
from adapter.ledger.statistics import day_bounds
from adapter.sync.night import AnotherRoundError, Desk, Job, Report, Shift, run_job, run_round
from tests.builders.instance import Instance
from tests.builders.night import PARIS, any_pace, desk

NIGHT = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


@dataclass
class Cursors:
    """Where a round remembers, and how often it wrote."""

    kept: dict[str, str] = field(default_factory=dict)
    writes: int = 0

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        return self.kept.get(cursor_name + legal_entity, "")

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        self.writes += 1
        self.kept[cursor_name + legal_entity] = cursor


class PowerCutError(BaseException):
    """What no job may catch."""


class Night:
    """A desk whose jobs write down that they ran."""

    def __init__(self) -> None:
        self.cursors = Cursors()
        self.now = NIGHT
        self.ran: list[str] = []
        self.dies_in = ""

    @property
    def desk(self) -> Desk:
        return Desk(self.cursors, lambda: nullcontext(True), lambda: self.now, PARIS, any_pace)

    def job(self, name: str, run: Callable[[Shift], Report] | None = None) -> Job:
        def told(shift: Shift) -> Report:
            self.ran.append(name)
            if name == self.dies_in:
                raise PowerCutError
            return run(shift) if run else Report({"done": 1}, (f"à voir : {name}",))

        return Job(name, name, told)

    def jobs(self, *names: str) -> tuple[Job, ...]:
        return tuple(map(self.job, names))


@pytest.fixture
def night() -> Night:
    return Night()


def test_jobs_run_in_their_order_and_the_account_names_each(night: Night) -> None:
    report = run_round(night.desk, night.jobs("a", "b", "c"))
    assert night.ran == ["a", "b", "c"] and list(report.jobs) == ["a", "b", "c"]
    assert report.day == "2026-11-22" and report.needs_person and not report.resumed


def test_a_round_that_was_cut_goes_on_with_the_job_that_was_cut(night: Night) -> None:
    night.dies_in = "b"
    with pytest.raises(PowerCutError):
        run_round(night.desk, night.jobs("a", "b", "c"))
    night.dies_in, night.ran = "", []
    report = run_round(night.desk, night.jobs("a", "b", "c"))
    assert night.ran == ["b", "c"] and report.resumed
    assert report.jobs["a"].to_do == ("à voir : a",), "what was told before the cut is told in the end"


def test_after_a_whole_round_the_next_one_runs_every_job(night: Night) -> None:
    run_round(night.desk, night.jobs("a", "b"))
    run_round(night.desk, night.jobs("a", "b"))
    assert night.ran == ["a", "b", "a", "b"]


def test_a_round_cut_yesterday_is_begun_anew_today(night: Night) -> None:
    night.dies_in = "b"
    with pytest.raises(PowerCutError):
        run_round(night.desk, night.jobs("a", "b"))
    night.dies_in, night.ran, night.now = "", [], NIGHT + timedelta(days=1)
    assert not run_round(night.desk, night.jobs("a", "b")).resumed
    assert night.ran == ["a", "b"]


def test_a_job_that_fails_stops_itself_only_and_is_tried_again_when_the_round_was_cut(night: Night) -> None:
    def fails(_shift: Shift) -> Report:
        raise LedgerError("ledger.unavailable", "the database is away")

    def defect(_shift: Shift) -> Report:
        raise ZeroDivisionError

    night.dies_in = "last"
    jobs = (night.job("first", fails), night.job("second", defect), *night.jobs("third", "last"))
    with pytest.raises(PowerCutError):
        run_round(night.desk, jobs)
    night.dies_in, night.ran = "", []
    report = run_round(night.desk, jobs)
    assert night.ran == ["first", "second", "last"]
    assert [report.jobs[name].failed for name in ("first", "second", "third")] == ["ledger.unavailable", "night.defect", ""]
    assert report.needs_person


def test_a_dry_round_remembers_nothing_and_tells_its_jobs_not_to_write(night: Night) -> None:
    shifts: list[Shift] = []

    def looks(shift: Shift) -> Report:
        shifts.append(shift)
        return Report()

    report = run_round(night.desk, (night.job("a", looks),), dry_run=True)
    assert shifts[0].dry_run and report.dry_run
    assert night.cursors.writes == 0


def test_one_job_alone_is_no_part_of_the_round(night: Night) -> None:
    run_job(night.desk, night.job("b"))
    assert night.cursors.writes == 0
    run_round(night.desk, night.jobs("a", "b"))
    assert night.ran == ["b", "a", "b"]


def test_a_second_round_at_once_does_nothing_and_says_so(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    inner: list[str] = []

    def meanwhile(_shift: Shift) -> Report:
        for again in (lambda: run_round(desk(house), ()), lambda: run_job(desk(house), Job("x", "x", lambda _: Report()))):
            with pytest.raises(AnotherRoundError) as told:
                again()
            inner.append(told.value.code)
        return Report()

    run_round(desk(house), (Job("long", "long", meanwhile),))
    assert inner == ["night.another-round"] * 2
    assert run_round(desk(house), ()).jobs == {}, "the lock was given back"


# ── clocks that change ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_night_with_two_times_half_past_two_runs_two_rounds_of_one_day(night: Night) -> None:
    days = []
    for hour in (0, 1):  # 02:30 summer time, then 02:30 winter time
        night.now = datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
        assert night.now.astimezone(PARIS).strftime("%H:%M") == "02:30"
        days.append(run_round(night.desk, night.jobs("a")).day)
    assert days == ["2026-10-25"] * 2 and night.ran == ["a", "a"]


def test_a_round_cut_in_the_first_half_past_two_is_resumed_in_the_second(night: Night) -> None:
    night.dies_in, night.now = "b", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    with pytest.raises(PowerCutError):
        run_round(night.desk, night.jobs("a", "b"))
    night.dies_in, night.ran, night.now = "", [], datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert run_round(night.desk, night.jobs("a", "b")).resumed
    assert night.ran == ["b"]


@pytest.mark.parametrize(("day", "hours"), [("2026-10-25", 25), ("2027-03-28", 23), ("2026-11-22", 24)])
def test_a_civil_day_has_the_hours_that_clocks_give_it(day: str, hours: int) -> None:
    start, end = day_bounds(datetime.fromisoformat(day).date(), PARIS)
    assert (end.astimezone(UTC) - start.astimezone(UTC)) == timedelta(hours=hours)


def test_the_rounds_of_the_march_change_belong_to_their_own_days(night: Night) -> None:
    # 28 March 2027: 02:30 does not exist; a round started by hand just after is of that day, as one just before would be.
    days = []
    for moment in (datetime(2027, 3, 27, 22, 59, tzinfo=UTC), datetime(2027, 3, 28, 1, 1, tzinfo=UTC)):
        night.now = moment
        days.append(run_round(night.desk, night.jobs("a")).day)
    assert days == ["2027-03-27", "2027-03-28"]


def test_the_desk_s_pace_is_told(night: Night) -> None:
    paces: list[str] = []

    @contextmanager
    def pace_of(job: Job):  # type: ignore[no-untyped-def]
        paces.append(job.title)
        with any_pace(job) as pace:
            yield pace

    run_round(replace(night.desk, pace_of=pace_of), night.jobs("a"))
    assert paces == ["a"]
