"""Documents in bulk: out of the ledger into a folder, and from files into the ledger. Resumable; constant memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from adapter.assembly import assemble
from adapter.bulk.crew import Crew
from adapter.bulk.export import Exported, ExportPlace, export_documents
from adapter.bulk.export_plan import DOCUMENT, ExportJob, ExportRequest
from adapter.bulk.importing import ErrorFile, Imported, ImportSettings, import_file
from adapter.bulk.importing import Progress as FileProgress
from adapter.bulk.ndjson import NdjsonFile
from adapter.bulk.taking import Acceptor, Door
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.config import Config
from adapter.fhir.structure import is_resource
from adapter.ledger import tables
from adapter.ledger.ledger import Ledger
from adapter.mapping.forms.questionnaire import form_slugs
from adapter.model.audit import AuditEntry
from adapter.model.receipt import ARCHIVE_DOOR, IMPORT_DOOR, Principal
from adapter.opening import migrate_ledger, now, open_ledger
from adapter.service.logs import configure_logs

log = structlog.get_logger()

# How often a run that nobody watches says how far it is.
_LINE_EVERY_SECONDS = 30.0
_MOST_WORKERS = 64
_WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, max=_MOST_WORKERS, help="Worker processes; 0: one a core.", show_default=True)
]


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("export")(export)
    app.command("import")(import_files)


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────


def export(
    out: Annotated[Path, typer.Option("--out", help="A new folder, or that of an export to go on with.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    since: Annotated[str, typer.Option("--since", help="Kept from then on: 2027-01-15, or with a time.")] = "",
    until: Annotated[str, typer.Option("--until", help="Kept before; left out: now.")] = "",
    kinds: Annotated[
        list[str] | None, typer.Option("--type", help="document (the default), or a FHIR resource of documents. Repeatable.")
    ] = None,
    documents: Annotated[int, typer.Option("--documents", min=1, max=100_000, help="Documents a part file.")] = 1000,
    compressed: Annotated[bool, typer.Option("--gzip", help="Part files packed with gzip.")] = False,
    workers: _WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write kept documents as NDJSON of FHIR document Bundles, with a manifest. HEALTH DATA IN CLEAR: guard the folder.

    Stopped or killed, the same command goes on; the manifest comes last and is the same whatever happened.

    Example: tdu export --out /srv/export/2027-01 --since 2027-01-01 --until 2027-02-01
    """
    settings = read_config(config)
    zone = ZoneInfo(settings.instance.time_zone)
    request = ExportRequest(
        chosen_entity(settings, entity),
        _moment(since, zone, "--since"),
        _moment(until, zone, "--until"),
        _known_types(kinds),
        documents,
        compressed,
    )
    if request.until is not None and request.until > now():
        raise typer.BadParameter("lies in the future", param_hint="--until")
    configure_logs(settings.log)
    migrate_ledger(settings)
    place = ExportPlace(out, tables.REVISION)
    with _watched("documents") as tell:
        done = 0

        def step(count: int) -> None:
            nonlocal done
            done += count
            tell(done, None)

        exported = export_documents(
            place, request, partial(open_ledger, settings), workers=_workers(workers), audit=_audit_export, step=step
        )
    _tell_export(exported, as_json)


def _audit_export(ledger: Ledger, job: ExportJob, word: str) -> None:
    entity, who = job.request.legal_entity, operator_name()
    ledger.write_audit([AuditEntry(entity, now(), who, "documents.export", "export", job.id, word)])


def _tell_export(exported: Exported, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(exported) | {"manifest": str(exported.manifest)}, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{exported.documents} documents, {exported.files} files, {exported.size} bytes: {exported.manifest}")


def _known_types(kinds: list[str] | None) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(kinds or [DOCUMENT]))
    for kind in known:
        if kind != DOCUMENT and not (kind.isascii() and kind.isalpha() and is_resource(kind)):
            raise typer.BadParameter(f"{kind} is neither `document` nor a resource of FHIR R4", param_hint="--type")
    return known


def _moment(text: str, zone: ZoneInfo, hint: str) -> datetime | None:
    """A day is its first instant in the instance's civil time, which is that of a time without a zone, too."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)  # of a date alone: its midnight
    except ValueError as error:
        raise typer.BadParameter("a moment is written 2027-01-15 or 2027-01-15T08:30:00+01:00", param_hint=hint) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


# ── import ────────────────────────────────────────────────────────────────────────────────────────────────────


def import_files(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="NDJSON files, plain or .gz.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    source: Annotated[str, typer.Option("--source", help="Whose documents these are: the principal of their receipts.")] = "bulk",
    keep_only: Annotated[bool, typer.Option("--keep-only", help="An archive: prepared and kept, sent nowhere, ever.")] = False,
    errors: Annotated[Path, typer.Option("--errors", help="Where refused lines are told.")] = Path("import-errors.ndjson"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge every line, keep nothing.")] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Read from the first line again; nothing is doubled.")] = False,
    longest: Annotated[
        int, typer.Option("--max-line-bytes", min=1024, max=50_000_000, help="Longer lines are refused.")
    ] = 20_000_000,
    workers: _WorkersOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Accept the Bundles of NDJSON files into the ledger, as a door would; the running service prepares and sends them.

    Without --keep-only a document goes to whom it names; one that names nobody waits for a person. Stopped or killed, the same
    command goes on; a document that is kept already is not kept twice. Exit 1 when lines were refused.

    Example: tdu import --source ancien-dpi --keep-only archive-*.ndjson.gz --errors refused.ndjson
    """
    settings = read_config(config)
    configure_logs(settings.log)
    migrate_ledger(settings)
    door = Door(
        ARCHIVE_DOOR if keep_only else IMPORT_DOOR,
        Principal(f"import:{source}", "operator", chosen_entity(settings, entity)),
        settings.instance.time_zone,
        keeps=not dry_run,
    )
    how = ImportSettings(door, operator_name(), longest, now, anew)
    told, error_file = [], ErrorFile(errors)
    crew = Crew(_workers(workers), partial(_acceptor, settings))
    with crew, closing(open_ledger(settings)) as ledger, closing(error_file):
        for path in files:
            file = NdjsonFile(path)
            with _watched(path.name) as tell:
                told.append(import_file(file, crew, ledger, error_file, how, _step(tell, file)))
    _tell_import(told, errors, as_json)
    if any(one.progress.refused or one.problem for one in told):
        raise typer.Exit(1)


def _acceptor(settings: Config) -> Acceptor:
    pipeline = assemble(settings).pipeline
    return Acceptor(pipeline.judge, pipeline.commit, now, frozenset(form_slugs()))


def _step(tell: _Tell, file: NdjsonFile) -> Callable[[FileProgress], None]:
    def step(progress: FileProgress) -> None:
        tell(file.read_bytes, file.size, lines=progress.line, refused=progress.refused)

    return step


def _tell_import(told: list[Imported], errors: Path, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in told], ensure_ascii=False, indent=2))
        return
    for one in told:
        done = one.progress
        words = [f"{one.name}: {done.accepted} accepted, {done.repeated} known already, {done.refused} refused"]
        words += [f"gone on after line {one.resumed_at}"] if one.resumed_at else []
        words += [one.problem] if one.problem else []
        typer.echo("; ".join(words))
    if any(one.progress.refused for one in told):
        typer.echo(f"refused lines: {errors}")


# ── how far ───────────────────────────────────────────────────────────────────────────────────────────────────


class _Tell:
    """Called often: moves a bar on a terminal, or now and then writes a line."""

    def __init__(self, what: str, progress: Progress) -> None:
        self._what = what
        self._progress = progress
        self._task = progress.add_task(what, total=None)
        self._told_at = time.monotonic()

    def __call__(self, done: int, total: int | None, **counts: Any) -> None:
        self._progress.start()  # not before: the bar's thread must not be there when workers are forked
        words = " ".join(f"{count} {name}" for name, count in counts.items())
        self._progress.update(self._task, completed=done, total=total, description=f"{self._what} {words}".strip())
        if self._progress.disable and time.monotonic() - self._told_at > _LINE_EVERY_SECONDS:
            self._told_at = time.monotonic()
            log.info("bulk.progress", done=done, **({"of": total} if total else {}), **counts)


@contextmanager
def _watched(what: str) -> Iterator[_Tell]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    try:
        yield _Tell(what, progress)
    finally:
        if console.is_terminal:
            progress.stop()


def _workers(asked: int) -> int:
    return asked or os.cpu_count() or 1
