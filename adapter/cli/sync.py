"""`tdu sync`: the nightly round, told to a terminal by bars and to cron by structured lines, then what a person must do.

Exit codes: 0 all is done; 1 a person must do something, or a job failed (the others were done); 2 wrong usage or configuration;
75 (EX_TEMPFAIL of sysexits.h) another round is running on this ledger, and nothing was done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, read_config
from adapter.opening import LiveDirectory, migrate_ledger, open_ledger
from adapter.secure_line import SecureLines
from adapter.service.logs import configure_logs
from adapter.service.night_round import JOBS, Night
from adapter.sync.night import AnotherRoundError, Job, Pace, RoundReport, run_job, run_round

ANOTHER_ROUND = 75


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("sync")(sync)


def sync(
    config: ConfigOption = DEFAULT_CONFIG,
    job: Annotated[str, typer.Option("--job", help=f"Only this one: {', '.join(JOBS)}.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    backfill_days: Annotated[
        int | None,
        typer.Option("--backfill-days", min=0, max=365, help="Faxes of the last N days go again to who is equipped since."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The nightly round: directory, equipment, reconciliation, certificates, figures, retention, backup. Safe to run twice.

    Exit 0 done; 1 a person must do something or a job failed; 75 another round is running.

    Example: tdu sync --dry-run
    """
    settings = read_config(config)
    if job and job not in JOBS:
        raise typer.BadParameter(f"one of: {', '.join(JOBS)}", param_hint="--job")
    console = Console(stderr=True)
    # Bars tell a terminal how far it is; the log's lines would break them.
    configure_logs(replace(settings.log, level="error") if console.is_terminal else settings.log)
    if not dry_run:
        migrate_ledger(settings)
    ledger = open_ledger(settings)
    try:
        night = Night(settings, ledger, LiveDirectory(settings.directory), SecureLines(settings), backfill_days)
        with _paces(console) as pace_of:
            desk = night.desk(pace_of)
            if job:
                report = run_job(desk, night.job(job), dry_run=dry_run)
            else:
                report = run_round(desk, night.jobs(), dry_run=dry_run)
    except AnotherRoundError as error:
        typer.echo(f"tdu: {error}", err=True)
        raise typer.Exit(ANOTHER_ROUND) from None
    finally:
        ledger.close()
    typer.echo(report_json(report) if as_json else "\n".join(report_lines(report)))
    if report.needs_person:
        raise typer.Exit(1)


def report_json(report: RoundReport) -> str:
    """The whole account for programs."""
    return json.dumps(asdict(report) | {"needs_person": report.needs_person}, ensure_ascii=False, indent=2)


def report_lines(report: RoundReport) -> list[str]:
    """One line a job for the operator, then, in French, what a person must do."""
    resumed = " (went on after a round that was cut)" if report.resumed else ""
    lines = [f"Nightly round of {report.day}{' (dry run: nothing was written)' if report.dry_run else resumed}"]
    for name, done in report.jobs.items():
        counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in done.counts.items() if count)
        lines.append(f"  {name}: {f'FAILED ({done.failed})' if done.failed else counts or 'nothing to do'}")
        lines += [f"    {note}" for note in done.notes]
    to_do = [sentence for done in report.jobs.values() for sentence in done.to_do]
    failed = [name for name, done in report.jobs.items() if done.failed and not done.to_do]
    if not to_do and not failed:
        return [*lines, "Rien à faire."]
    lines.append("À faire :")
    lines += [f"  - {sentence}" for sentence in to_do]
    lines += [f"  - Le travail « {name} » n'a pas abouti : voir ci-dessus, puis `tdu sync --job {name}`." for name in failed]
    return lines


# ── pace ──────────────────────────────────────────────────────────────────────────────────────────────────────


class _Bar:
    """One job's bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._total = 0

    def expect(self, total: int) -> None:
        """So much more."""
        self._total += total
        self._progress.update(self._task, total=self._total)

    def step(self, count: int = 1) -> None:
        """So much was done."""
        self._progress.advance(self._task, count)


@contextmanager
def _paces(console: Console) -> Iterator[Callable[[Job], AbstractContextManager[Pace]]]:
    """A bar for each job on a terminal; nothing elsewhere, where the log tells."""
    with Progress(console=console, disable=not console.is_terminal) as progress:

        @contextmanager
        def pace_of(job: Job) -> Iterator[Pace]:
            task = progress.add_task(job.title, total=None)
            try:
                yield _Bar(progress, task)
            finally:
                progress.update(task, total=1, completed=1)

        yield pace_of
