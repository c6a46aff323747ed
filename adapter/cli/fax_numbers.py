"""What a person says of fax numbers: who vouches for which, which one is wrong, and what went there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

import typer

from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_day,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.config import Config
from adapter.formats.phone_number import e164, national
from adapter.model.fax_number import FaxNumber, NumberState
from adapter.opening import open_ledger
from adapter.pipeline.fax_numbers import holders_today
from adapter.routing.directory import Directory, load_directory

NumberArgument = Annotated[str, typer.Argument(help="As in the partners file: 01 99 00 12 34 or +33199001234.")]
ByOption = Annotated[str, typer.Option("--by", help="Who says so (default: the system user).")]
_UNUSED = "unused"  # in the directory, and nothing was ever to go there


def register(fax: typer.Typer) -> None:
    """Add these commands to `tdu fax`."""
    fax.command("numbers")(list_numbers)
    fax.command("confirm-number")(confirm_number)
    fax.command("wrong-number")(report_wrong_number)


def list_numbers(config: ConfigOption = DEFAULT_CONFIG, entity: EntityOption = "", as_json: JsonOption = False) -> None:
    """List fax numbers: the directory's and those that something went to, who has each today, who vouched for it.

    Example: tdu fax numbers --json
    """
    settings = read_config(config)
    legal_entity, directory, today = chosen_entity(settings, entity), _directory(settings), _today(settings)
    ledger = open_ledger(settings)
    try:
        known = {one.number: one for one in ledger.fax_numbers.all(legal_entity=legal_entity)}
    finally:
        ledger.close()
    rows = [_row(number, known.get(number), directory, today) for number in sorted({*known, *directory.fax_numbers(today)})]
    typer.echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else "\n".join(map(_line, rows)) or "No fax number.")


def confirm_number(
    number: NumberArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    code: Annotated[str, typer.Option("--code", help="The code of its test page, as whoever holds the page tells it.")] = "",
) -> None:
    """Vouch for a number, after a call or by a sure source: what waits for it leaves, and it is not asked about again.

    Example: tdu fax confirm-number "01 99 00 12 34" --code 4711 --by "Mme Martin"
    """
    settings = read_config(config)
    named, legal_entity = _number(number), chosen_entity(settings, entity)
    holders = holders_today(_directory(settings), named, _today(settings))
    ledger = open_ledger(settings)
    try:
        freed = ledger.fax_numbers.confirm(
            named, by or operator_name(), legal_entity=legal_entity, holders=holders, code=code.strip()
        )
    finally:
        ledger.close()
    typer.echo(f"{named}: confirmed, {freed} fax(es) may leave")


def report_wrong_number(
    number: NumberArgument,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say that a number is a wrong one: nothing goes there any more, for any legal entity; what already went is listed.

    Example: tdu fax wrong-number "01 99 00 12 34" --by "Mme Martin"
    """
    settings = read_config(config)
    named, legal_entity = _number(number), chosen_entity(settings, entity)
    holders = holders_today(_directory(settings), named, _today(settings))
    ledger = open_ledger(settings)
    try:
        known = ledger.fax_numbers.report_wrong(named, by or operator_name(), legal_entity=legal_entity, holders=holders)
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps({"number": named, "waiting": known.waiting, "sent": known.sent}, indent=2))
        return
    typer.echo(f"{named}: suspended, {len(known.waiting)} fax(es) wait for a person (tdu queue)")
    typer.echo(
        "\n".join(["went there, or may have:", *(f"  {one}" for one in known.sent)] if known.sent else ["nothing went there"])
    )


def _row(number: str, known: FaxNumber | None, directory: Directory, today: date) -> dict[str, Any]:
    return {
        "number": number,
        "state": known.state.value if known else _UNUSED,
        "held_by": sorted({role.display for role in directory.holders_of_fax(number, today)}),
        "decided_by": known.decided_by if known else "",
        "by_code": known.by_code if known else False,
        "since": known.changed_at.isoformat() if known else "",
        "test_page": known.test_page.value if known and known.test_page else "",
        "waiting": list(known.waiting) if known else [],
        "sent": list(known.sent) if known else [],
    }


def _line(row: Mapping[str, Any]) -> str:
    by = f" by {row['decided_by']}{' with its code' if row['by_code'] else ''}" if row["decided_by"] else ""
    page = f", test page {row['test_page']}" if row["test_page"] else ""
    counted = f", {len(row['waiting'])} waiting, {len(row['sent'])} sent" if row["state"] != _UNUSED else ""
    holders = "; ".join(row["held_by"]) or "nobody in the directory"
    word = row["state"].upper() if row["state"] == NumberState.SUSPENDED.value else row["state"]
    return f"{national(row['number'])}  {word}{by}{page}{counted}  ({holders})"


def _number(written: str) -> str:
    number = e164(written)
    if not number:
        raise typer.BadParameter("this is no telephone number that exists", param_hint="NUMBER")
    return number


def _directory(settings: Config) -> Directory:
    return load_directory(settings.directory.read())


def _today(settings: Config) -> date:
    return chosen_day("", settings.instance.time_zone)
