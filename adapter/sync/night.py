"""The nightly round: ordered jobs, each safe to run again, checkpoints in the ledger, one account of it all at the end.

Law: blueprint §3 (`tdu sync`), style 8. Killed at any point, the next round of the same civil day goes on where it stopped: jobs
that came to their end are not run again, the one that was cut goes on from its checkpoint. No job believes that it runs once a
day, or at all: each asks the ledger how far it came. So a night with two times 02:30, or with none, needs no rule of its own.
A job that fails stops nothing but itself. A dry run writes nothing, not even how far it came.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from adapter.errors import LedgerError, TduError

log = structlog.get_logger()

_ROUND = "night:round"


@dataclass(frozen=True)
class Report:
    """What one job came to. `counts`: what was done (or would be); `to_do`: what a person must do, in French; `notes`: for the
    operator. `failed`: a code, when it did not come to its end. No patient content: it reaches mails and logs.
    """

    counts: dict[str, int] = field(default_factory=dict)
    to_do: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: str = ""


class Pace(Protocol):
    """How a job tells how far it is: a bar on a terminal, nothing in cron."""

    def expect(self, total: int) -> None:
        """How much there is to do; may grow."""
        ...

    def step(self, count: int = 1) -> None:
        """So much was done."""
        ...


class Checkpoints(Protocol):
    """Where positions are kept: the ledger."""

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        """The value; empty at first."""
        ...

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        """Remember durably."""
        ...


@dataclass(frozen=True)
class Shift:
    """What a job is given: the round's instant and civil day, whether it may write, how to tell its pace."""

    now: datetime
    today: date
    zone: ZoneInfo
    dry_run: bool
    pace: Pace


@dataclass(frozen=True)
class Job:
    """One job. `title` is what a person reads beside its bar."""

    name: str
    title: str
    run: Callable[[Shift], Report]


@dataclass(frozen=True)
class RoundReport:
    """The whole round. `resumed`: it went on after one that was cut; those jobs' reports are in it too."""

    day: str
    jobs: dict[str, Report]
    dry_run: bool = False
    resumed: bool = False

    @property
    def needs_person(self) -> bool:
        """True when somebody must do something, or a job did not come to its end."""
        return any(report.to_do or report.failed for report in self.jobs.values())


class AnotherRoundError(TduError):
    """Another round runs on this ledger: this one does nothing."""


@dataclass(frozen=True)
class Desk:
    """What the round needs of the house."""

    checkpoints: Checkpoints
    alone: Callable[[], AbstractContextManager[bool]]
    clock: Callable[[], datetime]
    zone: ZoneInfo
    pace_of: Callable[[Job], AbstractContextManager[Pace]]


def run_round(desk: Desk, jobs: Sequence[Job], *, dry_run: bool = False) -> RoundReport:
    """All jobs in order; AnotherRoundError when one runs already."""
    with desk.alone() as is_ours:
        if not is_ours:
            raise _another()
        return _run(desk, jobs, dry_run)


def run_job(desk: Desk, job: Job, *, dry_run: bool = False) -> RoundReport:
    """One job alone: the round of the night does not count it as done."""
    with desk.alone() as is_ours:
        if not is_ours:
            raise _another()
        now = desk.clock()
        day = now.astimezone(desk.zone).date().isoformat()
        return RoundReport(day, {job.name: _run_one(desk, job, now, dry_run)}, dry_run)


def _another() -> AnotherRoundError:
    text, remedy = "another nightly round is running on this ledger: nothing was done.", "Let it end, or stop it and start again."
    return AnotherRoundError("night.another-round", text, remedy=remedy)


def _run(desk: Desk, jobs: Sequence[Job], dry_run: bool) -> RoundReport:
    now = desk.clock()
    day = now.astimezone(desk.zone).date().isoformat()
    done = _unfinished(desk.checkpoints.read_cursor(_ROUND), day)
    resumed = bool(done)
    for job in jobs:
        if job.name in done:
            continue
        done[job.name] = _run_one(desk, job, now, dry_run)
        if not dry_run:
            desk.checkpoints.keep_cursor(_ROUND, _written(day, done, ended=False))
    if not dry_run:
        desk.checkpoints.keep_cursor(_ROUND, _written(day, done, ended=True))
    return RoundReport(day, {job.name: done[job.name] for job in jobs}, dry_run, resumed)


def _run_one(desk: Desk, job: Job, now: datetime, dry_run: bool) -> Report:
    began = time.monotonic()
    log.info("night.job-begun", job=job.name, dry_run=dry_run)
    with desk.pace_of(job) as pace:
        shift = Shift(now, now.astimezone(desk.zone).date(), desk.zone, dry_run, pace)
        try:
            report = job.run(shift)
        except TduError as error:
            report = _failure(error.code, f"{error.message} {error.remedy}".strip())
        except OSError as error:
            report = _failure("night.input-output", f"{type(error).__name__}: {error.strerror or ''}".strip())
        except Exception as error:  # one job's defect must not keep the others, least of all the backup, from being done
            report = _failure("night.defect", type(error).__name__)
    seconds = round(time.monotonic() - began, 2)
    tell = log.error if report.failed else log.info
    tell("night.job-done", job=job.name, failed=report.failed, to_do=len(report.to_do), seconds=seconds, **report.counts)
    return report


def _failure(code: str, text: str) -> Report:
    return Report(failed=code, notes=(text,))


# ── what is remembered of a round ─────────────────────────────────────────────────────────────────────────────


def _unfinished(kept: str, day: str) -> dict[str, Report]:
    """What a round of this civil day had done when it was cut; nothing after one that ended, or of another day."""
    if not kept:
        return {}
    told = json.loads(kept)
    if told["ended"] or told["day"] != day:
        return {}
    # What failed is tried again.
    return {name: _report(one) for name, one in told["done"].items() if not one["failed"]}


def _report(told: dict[str, object]) -> Report:
    counts, to_do, notes = told["counts"], told["to_do"], told["notes"]
    if not isinstance(counts, dict) or not isinstance(to_do, list) or not isinstance(notes, list):
        raise LedgerError("night.round-unreadable", "what is kept of the last round was altered", where=_ROUND)
    return Report({str(name): int(count) for name, count in counts.items()}, tuple(to_do), tuple(notes), str(told["failed"]))


def _written(day: str, done: dict[str, Report], *, ended: bool) -> str:
    kept = {} if ended else {name: asdict(report) for name, report in done.items()}
    return json.dumps({"day": day, "ended": ended, "done": kept}, ensure_ascii=False, sort_keys=True)
