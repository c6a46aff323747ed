"""Commands that need no ledger: translate, validate, coverage, explain."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from adapter import __version__
from adapter.assembly import route_settings
from adapter.cli.files import arrival_from
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    FormOption,
    JsonOption,
    chosen_day,
    chosen_entity,
    finding_line,
    known_zone,
    read_config,
)
from adapter.config import Config
from adapter.coverage import Coverage, add_up, as_data, as_lines, coverage_of, worst_first
from adapter.errors import InputError
from adapter.mapping.from_adt import is_adt
from adapter.mapping.kinds import kind_of
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import Submission
from adapter.offline import (
    Output,
    Target,
    refusal_of,
    render,
    render_identity,
    report_of,
    report_of_identity,
    translate,
    translate_identity,
    write_report,
)
from adapter.opening import LiveDirectory
from adapter.packaging.parcel import SenderProfile
from adapter.routing.choose import choose_route
from adapter.routing.explain import plan_as_dict, probe_submission, render_plan
from adapter.validation import kind_in_words, validate_file

ZoneOption = Annotated[
    str, typer.Option("--zone", callback=known_zone, help="Civil time of instants without a zone.", show_default=True)
]
_OFFLINE_SENDER = SenderProfile(
    "", "Émetteur non configuré", "", "hors-ligne@exemple.invalid", "Hors ligne", "2.25.0", f"traitdunion-{__version__}"
)


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("translate")(translate_files)
    app.command("validate")(validate_files)
    app.command("coverage")(cover_files)
    app.command("explain")(explain)


def translate_files(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="HL7 v2 messages, CDA documents, forms (JSON).")
    ],
    to: Annotated[Target, typer.Option("--to", help="What to make.")] = Target.FHIR,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results; left out: one result, on standard output.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write unread fields, warnings and version as JSON.")] = None,
    form: FormOption = "",
    zone: ZoneOption = "Europe/Paris",
) -> None:
    """Translate files without a ledger. A file that a door would refuse is refused here too (exit 1).

    Example: tdu translate lettre.xml --to fhir --out results --report results/report.json
    """
    stems = _result_names(files)
    if out is None and len(files) > 1:
        raise typer.BadParameter("several files need a folder for their results", param_hint="--out")
    failed = False
    reports = []
    with typer.progressbar(files, label="translate", file=typer.get_text_stream("stderr"), hidden=len(files) < 2) as bar:
        for path, name in zip(bar, stems, strict=True):
            try:
                arrival = arrival_from(path, form, zone)
                if is_adt(arrival.content):
                    made = translate_identity(arrival)
                    _write(render_identity(made, to), name, out)
                    reports.append(report_of_identity(str(path), made, __version__))
                    continue
                translations = translate(arrival)
            except InputError as error:
                typer.echo(f"{path}: {error}", err=True)
                reports.append(refusal_of(str(path), error, __version__))
                failed = True
                continue
            for number, translation in enumerate(translations, 1):
                stem = name if len(translations) == 1 else f"{name}-{number}"
                outputs = render(translation, to, _OFFLINE_SENDER, _made_at(translation.submission.document.created))
                _write(outputs, stem, out)
                reports.append(report_of(str(path), translation, __version__))
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(write_report(reports))
    if failed:
        raise typer.Exit(1)


def _result_names(files: Sequence[Path]) -> list[str]:
    """`letter` for letter.xml, the whole name when a letter.hl7 is there too; two files of one name cannot share a folder."""
    stems, names = Counter(path.stem for path in files), Counter(path.name for path in files)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise typer.BadParameter(f"two files are named {twice[0]}: their results would have one name", param_hint="files")
    return [path.stem if stems[path.stem] == 1 else path.name for path in files]


def _made_at(created: str) -> datetime:
    """Renditions made offline carry the document's own instant, so the same file gives the same bytes."""
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return made if made.tzinfo else made.replace(tzinfo=UTC)


def _write(outputs: Sequence[Output], stem: str, out: Path | None) -> None:
    if out is None:
        typer.get_binary_stream("stdout").write(outputs[0].content)
        for more in outputs[1:]:
            typer.echo(f"not shown: {stem}{more.suffix} (name a folder with --out)", err=True)
        return
    out.mkdir(parents=True, exist_ok=True)
    for output in outputs:
        (out / f"{stem}{output.suffix}").write_bytes(output.content)


def validate_files(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="HL7 v2, CDA, FHIR (JSON), IHE_XDM.zip, forms (JSON).")
    ],
    form: FormOption = "",
    zone: ZoneOption = "Europe/Paris",
    as_json: JsonOption = False,
) -> None:
    """Say what each file is, whether it is right, and what is wrong where.

    Example: tdu validate message.hl7 lettre.xml bundle.json IHE_XDM.zip
    """
    rows = []
    refused = False
    for path in files:
        content = path.read_bytes()
        try:
            found = validate_file(content, form, zone, datetime.now(UTC))
        except InputError as error:
            found = (Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy),)
        verdict = "refused" if errors_of(found) else "ok"
        refused = refused or verdict == "refused"
        kind = kind_in_words(content, form)
        rows.append({"file": str(path), "kind": kind, "verdict": verdict, "findings": [asdict(f) for f in found]})
        if not as_json:
            typer.echo("\n".join((f"{path}: {verdict} ({kind})", *map(finding_line, found))))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    if refused:
        raise typer.Exit(1)


def cover_files(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="HL7 v2 messages, CDA documents, forms (JSON).")
    ],
    form: FormOption = "",
    zone: ZoneOption = "Europe/Paris",
    worst: Annotated[int, typer.Option("--worst", min=0, help="Only so many files, those that lose most first; 0: all.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say how many of a source's values reached its FHIR: header, narrative, entries of each section, envelope, embedded files.

    Example: tdu coverage lettre.xml demande.hl7
    Example: tdu coverage --worst 10 documents/*.xml
    """
    covered, total, failed = [], Coverage(), False
    for path in files:
        try:
            arrival = arrival_from(path, form, zone)
            made = (translate_identity(arrival),) if is_adt(arrival.content) else translate(arrival)
            found = coverage_of(arrival.content, kind_of(arrival), made)
        except InputError as error:
            typer.echo(f"{path}: {error}", err=True)
            failed = True
            continue
        covered.append((str(path), found))
        add_up(total, found)
    shown = worst_first(covered)[:worst] if worst else covered
    if as_json:
        typer.echo(json.dumps([as_data(name, found) for name, found in shown], ensure_ascii=False, indent=2))
    else:
        tables = ["\n".join(as_lines(name, found, detailed=True)) for name, found in shown]
        summed = ["\n".join(as_lines(f"{len(covered)} files", total, detailed=False))] if len(covered) > 1 else []
        typer.echo("\n\n".join((*tables, *summed)))
    if failed:
        raise typer.Exit(1)


def explain(
    file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="A document to plan.")] = None,
    to: Annotated[str, typer.Option("--to", help="An RPPS, FINESS or mailbox instead of a file.")] = "",
    on: Annotated[str, typer.Option("--on", help="Another day: 2027-01-15.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    form: FormOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the route plan and why, channel by channel, today or on another date. Sends nothing.

    Example: tdu explain lettre.hl7 --on 2027-01-15
    """
    if (file is None) == (not to):
        raise typer.BadParameter("give a file, or --to with an RPPS, FINESS or mailbox: one of them")
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    directory = LiveDirectory(settings.directory)()
    day = chosen_day(on, settings.instance.time_zone)
    if file is not None:
        submissions = _submissions_in(file, form, settings.instance.time_zone, legal_entity)
    else:
        submissions = [probe_submission(_recipient(to), legal_entity)]
    plans = [choose_route(s, directory, day, route_settings(settings)) for s in submissions]
    if as_json:
        typer.echo(json.dumps([plan_as_dict(plan) for plan in plans], ensure_ascii=False, indent=2))
        return
    for plan in plans:
        typer.echo(render_plan(plan))
    if to:
        typer.echo("⚠ Sans document, le patient est inconnu : ce qui dépend de son identité (dossier partagé) reste fermé ici.")
    used = {leg.channel for plan in plans for recipient in plan.recipients for leg in recipient.legs}
    for channel in sorted(used & closed_channels(settings)):
        typer.echo(f"⚠ [channels.{channel.value}] n'est pas configuré ici : cet envoi serait refusé, le suivant servirait.")


def _submissions_in(file: Path, form: str, zone: str, legal_entity: str) -> list[Submission]:
    arrival = arrival_from(file, form, zone)
    spoken = replace(arrival, principal=replace(arrival.principal, legal_entity=legal_entity))
    return [translation.submission for translation in translate(spoken)]


def closed_channels(settings: Config) -> set[ChannelName]:
    """The channels that this instance has no table for."""
    tables = {
        ChannelName.SECURE_MAIL: settings.channels.mssante,
        ChannelName.SHARED_RECORD: settings.channels.shared_record,
        ChannelName.FAX: settings.channels.fax,
        ChannelName.HL7_PUSH: settings.channels.hl7_push,
        ChannelName.INBOX: settings.channels.inbox,
    }
    return {name for name, table in tables.items() if table is None}


def _recipient(identifier: str) -> Recipient:
    """Who is meant: a mailbox, an RPPS (11 digits) or a FINESS (9 signs)."""
    text = identifier.replace(" ", "")
    if "@" in text:
        return Recipient(RecipientKind.PROFESSIONAL, address=text.lower(), role_hint="explain")
    if len(text) == 11 and text.isdigit():
        return Recipient(RecipientKind.PROFESSIONAL, rpps=text, role_hint="explain")
    if len(text) == 9 and text.isalnum():
        return Recipient(RecipientKind.ORGANISATION, finess=text, role_hint="explain")
    raise typer.BadParameter("an RPPS has 11 digits, a FINESS 9 signs, a mailbox an @", param_hint="--to")
