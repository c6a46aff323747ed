"""Commands that need no ledger: translate, validate, explain."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adapter import __version__
from adapter.assembly import LiveDirectory, route_settings
from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, chosen_day, read_config
from adapter.errors import InputError
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.parties import Recipient, RecipientKind
from adapter.offline import Target, arrival_of, inspect, render, report_of, translate, write_report
from adapter.packaging.parcel import SenderProfile
from adapter.routing.choose import choose_route
from adapter.routing.explain import plan_as_dict, render_plan
from adapter.validation import validate_file

FileArgument = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files: HL7 v2, CDA, form (JSON).")]
FormOption = Annotated[str, typer.Option("--form", help="The form's slug when a file is a form.")]
ZoneOption = Annotated[str, typer.Option("--zone", help="Civil time of instants without a zone.")]
_OFFLINE_SENDER = SenderProfile(
    "", "Émetteur non configuré", "", "hors-ligne@exemple.invalid", "Hors ligne", "2.25.0", f"traitdunion-{__version__}"
)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("translate")(translate_files)
    app.command("validate")(validate_files)
    app.command("explain")(explain)


def translate_files(
    files: FileArgument,
    to: Annotated[Target, typer.Option("--to", help="What to make.")] = Target.FHIR,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results (default: standard output for one FHIR).")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write unread fields, warnings and version as JSON.")] = None,
    form: FormOption = "",
    zone: ZoneOption = "Europe/Paris",
) -> None:
    """Translate files without a ledger. A file that a door would refuse is refused here too (exit 1).

    Example: tdu translate lettre.xml --to fhir --out results --report results/report.json
    """
    failed = False
    reports = []
    with typer.progressbar(files, label="translate", file=typer.get_text_stream("stderr"), hidden=len(files) < 2) as bar:
        for path in bar:
            try:
                translations = translate(_arrival(path, form, zone))
            except InputError as error:
                typer.echo(f"{path.name}: {error}", err=True)
                failed = True
                continue
            for number, translation in enumerate(translations, 1):
                stem = path.stem if len(translations) == 1 else f"{path.stem}-{number}"
                outputs = render(translation, to, _OFFLINE_SENDER, _made_at(translation.submission.document.created))
                _write(outputs, stem, out)
                reports.append(report_of(path.name, translation, __version__))
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(write_report(reports))
    if failed:
        raise typer.Exit(1)


def _arrival(path: Path, form: str, zone: str):  # type: ignore[no-untyped-def]
    side_car = path.with_name(path.name + ".json")
    companion = side_car.read_bytes() if side_car.is_file() else b""
    return arrival_of(path.read_bytes(), companion, datetime.now(UTC), form, zone)


def _made_at(created: str) -> datetime:
    """Renditions made offline carry the document's own instant, so the same file gives the same bytes."""
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def _write(outputs, stem: str, out: Path | None) -> None:  # type: ignore[no-untyped-def]
    if out is None:
        stream = typer.get_binary_stream("stdout")
        for output in outputs:
            stream.write(output.content)
        return
    out.mkdir(parents=True, exist_ok=True)
    for output in outputs:
        (out / f"{stem}{output.suffix}").write_bytes(output.content)


def validate_files(
    files: FileArgument, form: FormOption = "", zone: ZoneOption = "Europe/Paris", as_json: JsonOption = False
) -> None:
    """Say which files are wrong, and where.

    Example: tdu validate message.er7 lettre.xml bundle.json IHE_XDM.zip
    """
    results = {}
    for path in files:
        try:
            results[path.name] = validate_file(path.read_bytes(), form, zone, datetime.now(UTC))
        except InputError as error:
            results[path.name] = (Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy),)
    if as_json:
        typer.echo(json.dumps({n: [asdict(f) for f in found] for n, found in results.items()}, ensure_ascii=False, indent=2))
    else:
        for name, found in results.items():
            typer.echo(f"{name}: {'refused' if errors_of(found) else 'ok'}")
            for f in found:
                typer.echo(f"  {f.severity.value} {f.code} [{f.location}] {f.text} {f.remedy}")
    if any(errors_of(found) for found in results.values()):
        raise typer.Exit(1)


def explain(
    file: Annotated[Path | None, typer.Argument(help="A document to plan.")] = None,
    to: Annotated[str, typer.Option("--to", help="An RPPS, FINESS or mailbox instead of a file.")] = "",
    on: Annotated[str, typer.Option("--on", help="Another day: 2027-01-15.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    form: FormOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the route plan and why, channel by channel, today or on another date. Sends nothing.

    Example: tdu explain lettre.hl7 --on 2027-01-15
    """
    if (file is None) == (not to):
        raise typer.BadParameter("give a file or --to, not both")
    settings = read_config(config)
    directory = LiveDirectory(settings.directory.files)()
    day = chosen_day(on, settings.instance.time_zone)
    submissions = (
        [t.submission for t in translate(_arrival(file, form, settings.instance.time_zone))]
        if file is not None
        else [_submission_to(to, settings.legal_entities[0].finess_ej)]
    )
    plans = [choose_route(s, directory, day, route_settings(settings)) for s in submissions]
    if as_json:
        typer.echo(json.dumps([plan_as_dict(plan) for plan in plans], ensure_ascii=False, indent=2))
        return
    for plan in plans:
        typer.echo(render_plan(plan))


def _submission_to(identifier: str, entity: str):  # type: ignore[no-untyped-def]
    """A plain letter to one recipient, to see how they are reached."""
    from adapter.routing.explain import probe_submission

    digits = identifier.strip()
    if "@" in digits:
        recipient = Recipient(RecipientKind.PROFESSIONAL, address=digits.lower(), role_hint="explain")
    elif len(digits) == 9:
        recipient = Recipient(RecipientKind.ORGANISATION, finess=digits, role_hint="explain")
    else:
        recipient = Recipient(RecipientKind.PROFESSIONAL, rpps=digits, role_hint="explain")
    return probe_submission(recipient, entity)


__all__ = ["inspect", "register"]
