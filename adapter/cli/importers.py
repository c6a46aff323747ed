"""`tdu importers`: how practices import, and who is silent. The list of each morning."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, EntityOption, JsonOption, chosen_entity, operator_name, read_config
from adapter.config import Config
from adapter.errors import TduError
from adapter.ledger.importers import ImporterFigures
from adapter.ledger.ledger import Ledger
from adapter.model.audit import AuditEntry
from adapter.model.folder import Standing
from adapter.model.work_item import WorkAbout
from adapter.opening import now, open_ledger
from adapter.tracking.import_outcomes import import_outcomes


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("importers")(importers)


def importers(
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Outcomes of so many days.")] = 7,
    give_again: Annotated[str, typer.Option("--give-again", help="A file's number (TDU-…) to put in its folder once more.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List practices that import: what waits by age and urgency, what they said, who is silent (exit 1 when somebody is).

    Example: tdu importers --days 7
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        if give_again:
            typer.echo(_give_again(settings, ledger, give_again, legal_entity))
            return
        rows = [_row(settings, ledger, one) for one in _figures(settings, ledger, legal_entity, days)]
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(importer_lines(rows, settings.instance.time_zone)) or "Aucun cabinet n'importe.")
    if any(row["silent"] for row in rows):
        raise typer.Exit(1)


def _figures(config: Config, ledger: Ledger, legal_entity: str, days: int) -> list[ImporterFigures]:
    inbox = config.channels.inbox
    names = [one.name for one in inbox.practices if one.legal_entity == legal_entity] if inbox is not None else []
    return ledger.importer_figures(names, now() - timedelta(days=days), legal_entity=legal_entity)


def _row(config: Config, ledger: Ledger, one: ImporterFigures) -> dict[str, Any]:
    """A practice as plain data. Instants are ISO 8601 in UTC, or empty."""
    inbox = config.channels.inbox
    clients = [client.name for client in inbox.clients if one.practice in client.practices] if inbox is not None else []
    calls = ledger.last_calls(clients)
    return {
        "practice": one.practice,
        "silent": bool(one.overdue or one.gone),
        "overdue": one.overdue,
        "waiting": [
            {
                "urgent": each.urgent,
                "count": each.count,
                "under_one_day": each.under_one_day,
                "under_three_days": each.under_three_days,
                "older": each.older,
                "overdue": each.overdue,
                "oldest": each.oldest.isoformat(),
            }
            for each in one.waiting
        ],
        "unanswered": one.unanswered,
        "outcomes": dict(one.outcomes),
        "last_call": _instant(max(calls.values(), default=None)),
        "last_fetched": _instant(one.last_fetched),
        "last_said": _instant(one.last_said),
        "vanished_files": one.gone,
        "withheld": one.withheld,
    }


def _instant(moment: datetime | None) -> str:
    return moment.isoformat() if moment is not None else ""


def importer_lines(rows: Sequence[dict[str, Any]], zone: str) -> list[str]:
    """What a person reads each morning: silent practices first."""
    lines: list[str] = []
    for row in sorted(rows, key=lambda row: (not row["silent"], row["practice"])):
        mark = "MUET " if row["silent"] else "ok   "
        seen = _civil(max(row["last_call"], row["last_fetched"], row["last_said"]), zone)
        lines.append(f"{mark}{row['practice']} · dernier passage : {seen or 'jamais'}")
        lines += [f"       {_waiting_words(each, zone)}" for each in row["waiting"]]
        if row["vanished_files"]:
            lines.append(f"       {row['vanished_files']} fichier(s) disparu(s) du dossier sans accusé : appeler le cabinet")
        if row["unanswered"]:
            lines.append(f"       {row['unanswered']} document(s) récupéré(s) sans issue rendue")
        said = ", ".join(f"{import_outcomes()[code].label} : {times}" for code, times in row["outcomes"].items())
        if said:
            lines.append(f"       {said}")
    return lines


def _waiting_words(each: dict[str, Any], zone: str) -> str:
    kind = "urgent(s)" if each["urgent"] else "non urgent(s)"
    ages = f"moins d'un jour : {each['under_one_day']}, moins de trois : {each['under_three_days']}, plus : {each['older']}"
    late = f", dont {each['overdue']} hors délai" if each["overdue"] else ""
    return f"{each['count']} document(s) {kind} en attente ({ages}){late} ; le plus ancien du {_civil(each['oldest'], zone)}"


def _civil(instant: str, zone: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)):%d/%m/%Y %H:%M}" if instant else ""


def _give_again(config: Config, ledger: Ledger, stem: str, legal_entity: str) -> str:
    """Ask the folder's lane for one set that vanished; what the practice still has, or what is overtaken, is not given."""
    inbox = config.channels.inbox
    practices = [one for one in inbox.practices if one.folder is not None and one.legal_entity == legal_entity] if inbox else []
    for practice in practices:
        sets = ledger.folder_sets(practice.name, [Standing.GONE], legal_entity=legal_entity)
        mine = [one for one in sets if one.known.stem.casefold() == stem.strip().casefold()]
        if not mine:
            continue
        if any(one.is_stale for one in mine):
            raise TduError("importers.stale", "a newer version or a cancellation took its place.", where=stem)
        ids = [one.publication_id for one in mine]
        at, who = now(), operator_name()
        ledger.write_audit([AuditEntry(legal_entity, at, who, "import.give-again", "delivery", one) for one in ids])
        ledger.stand_folder_sets(ids, Standing.AGAIN, legal_entity=legal_entity)
        for one in ids:
            ledger.close_work_items(WorkAbout.DELIVERY, one, legal_entity, who)
        return f"{stem} : redonné au cabinet {practice.name} au prochain passage."
    raise TduError("importers.unknown-file", "no such file vanished from a folder of this legal entity.", where=stem)
