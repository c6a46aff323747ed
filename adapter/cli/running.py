"""Commands that start or feed the service: init, demo, serve, check, submit."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from adapter.assembly import assemble
from adapter.checkup import check_instance
from adapter.cli.files import arrival_from
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    FormOption,
    JsonOption,
    chosen_entity,
    finding_line,
    operator_name,
    read_config,
)
from adapter.errors import ConfigurationError
from adapter.model.receipt import Answer, Arrival, Principal, Verdict
from adapter.opening import migrate_ledger
from adapter.setup import write_instance


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("init")(init)
    app.command("demo")(demo)
    app.command("serve")(serve)
    app.command("check")(check)
    app.command("submit")(submit)


def init(directory: Annotated[Path, typer.Argument(help="A new or empty folder.")]) -> None:
    """Write a configuration, a payload key (0600) and a partners file to start from.

    Example: tdu init /srv/traitdunion
    """
    for line in write_instance(directory):
        typer.echo(line)


def demo(out: Annotated[Path, typer.Option("--out", help="Where every artefact is left.")] = Path("demo-out")) -> None:
    """Play the whole story with built-in partners on loopback, in under a minute.

    Example: tdu demo --out demo-out
    """
    from adapter.demo.story import run_demo

    if out.exists() and any(out.iterdir()) and not (out / "service" / "tdu.toml").exists():
        raise ConfigurationError("demo.folder-not-ours", "the folder holds other things.", where=str(out), remedy="Name another.")
    shutil.rmtree(out, ignore_errors=True)
    raise typer.Exit(run_demo(out, Console()))


def serve(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run all lanes and doors until SIGTERM.

    Example: tdu serve --config /srv/traitdunion/tdu.toml
    """
    from adapter.service.supervisor import serve as run_service

    raise typer.Exit(run_service(read_config(config)))


def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check configuration, keys, certificates, partners file and reachability of partners, without sending.

    Example: tdu check
    """
    results = check_instance(read_config(config), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps([r.as_dict() for r in results], ensure_ascii=False, indent=2))
    else:
        for result in results:
            typer.echo(f"{'ok ' if result.ok else 'NOT'} {result.subject}: {result.detail}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def submit(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="HL7 v2, CDA (with FILE.json side-car), form.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    form: FormOption = "",
    as_json: JsonOption = False,
) -> None:
    """Accept files into the ledger as a door would; the running service sends them.

    Example: tdu submit lettre.xml
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    migrate_ledger(settings)
    instance = assemble(settings)
    try:
        answers = []
        for path in files:
            judged = instance.pipeline.judge(_arrival(path, legal_entity, form, settings.instance.time_zone))
            answers.append(instance.pipeline.commit([judged])[0])
    finally:
        instance.ledger.close()
    _tell_answers(files, answers, as_json)
    if any(answer.verdict is not Verdict.ACCEPTED for answer in answers):
        raise typer.Exit(1)


def _arrival(path: Path, legal_entity: str, form: str, zone: str) -> Arrival:
    seen = arrival_from(path, form, zone)
    principal = Principal(f"operator:{operator_name()}", "operator", legal_entity)
    return Arrival(
        seen.content,
        "cli",
        principal,
        seen.received_at,
        reference=f"{path.name}#{hashlib.sha256(seen.content).hexdigest()[:12]}",
        side_car=seen.side_car,
        form=seen.form,
        zone=zone,
    )


def _tell_answers(files: list[Path], answers: list[Answer], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "file": path.name,
                "receipt": a.receipt_id,
                "verdict": a.verdict.value,
                "kept": a.kept.value,
                "findings": [
                    {"code": f.code, "severity": f.severity.value, "where": f.location, "text": f.text} for f in a.findings
                ],
            }
            for path, a in zip(files, answers, strict=True)
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for path, answer in zip(files, answers, strict=True):
        typer.echo(f"{path.name}: {answer.verdict.value} ({answer.kept.value}) receipt {answer.receipt_id}")
        for f in answer.findings:
            typer.echo(finding_line(f))
