"""Upkeep of the directory: ask the national one, look somebody up, see and lift suspended addresses."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

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
from adapter.config.settings import NationalDirectory
from adapter.errors import ConfigurationError, InputError
from adapter.model.plan import ChannelName
from adapter.opening import now, open_ledger
from adapter.routing.directory import load_directory
from adapter.routing.equip import equip, holds
from adapter.sync.directory_refresh import Refreshed, numbers_of, refresh
from adapter.sync.national_copy import NationalSource, ask, replace_file
from mssante.directory import Lookup


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    tree = typer.Typer(help="The directory: the national one's mailboxes, addresses suspended.", no_args_is_help=True)
    tree.command("refresh")(refresh_copy)
    tree.command("lookup")(lookup)
    tree.command("equip")(equip_partner)
    tree.command("suspended")(suspended)
    tree.command("release")(release)
    app.add_typer(tree, name="directory")


def refresh_copy(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask and tell, but keep nothing.")] = False,
    again: Annotated[bool, typer.Option("--all", help="Ask again what was asked lately too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the national directory for every RPPS and FINESS of the partners files, and keep the answers as a dated copy.

    Stopped, it goes on where it was. Exit 1 when something needs a person: a number unanswered, an address of somebody else.

    Example: tdu directory refresh --dry-run
    """
    settings = read_config(config)
    national = _source(_national(settings))
    entries = load_directory(settings.directory.read()).entries
    before = national.copy()
    source = national.directory()
    max_age = timedelta(0) if again else national.max_age
    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as progress:
        task = progress.add_task("Annuaire", total=len(numbers_of(entries)))
        _, done = refresh(
            entries,
            before,
            lambda kind, number: ask(source, kind, number),
            now(),
            max_age,
            save=(lambda _listing: None) if dry_run else national.keep,
            step=lambda: progress.advance(task),
        )
    typer.echo(json.dumps(asdict(done), ensure_ascii=False, indent=2) if as_json else "\n".join(refreshed_lines(done)))
    if done.unanswered or done.conflicts:
        raise typer.Exit(1)


def refreshed_lines(done: Refreshed) -> list[str]:
    """What a round came to, and what a person must do."""
    lines = [f"{done.asked} asked, {done.fresh} known lately, {len(done.changes)} changed"]
    for change in done.changes:
        lines += [f"  + {change.kind} {change.number}: {address}" for address in change.appeared]
        lines += [f"  - {change.kind} {change.number}: {address} is listed no more" for address in change.vanished]
    lines += [f"  ! {key}: the national directory gives {address} to somebody else" for key, address in done.conflicts]
    lines += [f"  ? {kind} {number}: no whole answer ({word}), ask again" for kind, number, word in done.unanswered]
    return lines


def lookup(
    rpps: Annotated[str, typer.Option("--rpps", help="A professional's 11 digits.")] = "",
    finess: Annotated[str, typer.Option("--finess", help="A structure's 9 characters.")] = "",
    address: Annotated[str, typer.Option("--address", help="A secure mail address.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Ask the national directory for one professional, structure or address, now. Exit 1 when nothing is listed.

    Example: tdu directory lookup --rpps 10100000017
    """
    wanted = [(kind, value) for kind, value in (("rpps", rpps), ("finess", finess), ("address", address)) if value]
    if len(wanted) != 1:
        raise typer.BadParameter("give one of --rpps, --finess, --address")
    found = ask(_source(_national(read_config(config))).directory(), *wanted[0])
    if as_json:
        typer.echo(json.dumps(_lookup_data(found), ensure_ascii=False, indent=2))
    else:
        typer.echo("\n".join(lookup_lines(found)))
    if not found.mailboxes or not found.is_complete:
        raise typer.Exit(1)


def lookup_lines(found: Lookup) -> list[str]:
    """The mailboxes, preferred first; a lookup that fell short says so."""
    lines = []
    for box in found.mailboxes:
        holder = " ".join(filter(None, (box.holder.name, box.holder.rpps, box.at_structure or box.holder.finess)))
        notes = " ".join(filter(None, ("" if box.holder.is_active else "closed", "red list" if box.is_red_listed else "")))
        lines.append(f"{box.address}  {box.kind.value or '?'}  {holder}  {box.description or box.service} {notes}".rstrip())
    if not found.mailboxes:
        lines.append("nothing is listed" if found.is_complete else "no answer to rely on")
    if not found.is_complete:
        lines.append(f"incomplete: {', '.join(sorted({f'{f.code} {f.where}'.strip() for f in found.findings}))}")
    return lines


def _lookup_data(found: Lookup) -> dict[str, Any]:
    boxes = [
        {
            "address": box.address,
            "kind": box.kind.value,
            "rank": box.rank,
            "holder": asdict(box.holder),
            "at_structure": box.at_structure,
            "description": box.description,
            "service": box.service,
            "red_list": box.is_red_listed,
        }
        for box in found.mailboxes
    ]
    findings = [{"code": finding.code, "where": finding.where} for finding in found.findings]
    return {"at": found.at.isoformat(), "complete": found.is_complete, "mailboxes": boxes, "findings": findings}


def equip_partner(
    key: Annotated[str, typer.Argument(help="Key of a structure, a department or a role of the partners files.")],
    since: Annotated[str, typer.Option("--since", help="First civil day: 2027-03-01.")],
    channel: Annotated[ChannelName, typer.Option("--channel", help="What opens.")] = ChannelName.SECURE_MAIL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and tell, but write nothing.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write a partner's day of equipment into its partners file: routes change by it from 00:00 on.

    `tdu sync` of that night re-plans the faxes that have not left, and copies what was faxed lately if so configured.

    Example: tdu directory equip gentilly --since 2027-03-01
    """
    settings = read_config(config)
    day = chosen_day(since, settings.instance.time_zone)
    files = settings.directory.read()
    texts = {name: content.decode("utf-8") for name, content in files.items() if name.endswith(".toml")}
    name = next((name for name, text in texts.items() if holds(text, key)), "")
    if not name:
        remedy = "Keys stand in the partners files: key = …"
        raise InputError("equip.unknown-key", "no structure, department or role has this key.", where=key, remedy=remedy)
    done = equip(texts[name], key, channel, day)
    load_directory(files | {name: done.text.encode("utf-8")})  # a directory that would not load is not written
    if not dry_run:
        replace_file(Path(name), done.text.encode("utf-8"))
    before = f", before since {done.before.isoformat()}" if done.before else ""
    typer.echo(f"{key}: {channel.value} since {day.isoformat()}{before} ({Path(name).name}{', not written' if dry_run else ''})")


def suspended(config: ConfigOption = DEFAULT_CONFIG, entity: EntityOption = "", as_json: JsonOption = False) -> None:
    """List the addresses that nobody is written to any more, since an operator said that they are nobody's.

    Example: tdu directory suspended
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        found = ledger.list_suspended(legal_entity=legal_entity)
    finally:
        ledger.close()
    if as_json:
        rows = [{"address": s.address, "cause": s.cause, "since": s.since.isoformat(), "delivery": s.delivery_id} for s in found]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not found:
        typer.echo("No address is suspended.")
    for one in found:
        typer.echo(f"{one.address}  {one.cause}  since {one.since:%Y-%m-%d %H:%M}Z  delivery {one.delivery_id}")


def release(
    address: Annotated[str, typer.Argument(help="The address to write to again.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
) -> None:
    """Write to a suspended address again: its operator was wrong, or the mailbox was opened again.

    Example: tdu directory release secretariat@cms.mssante.fr
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        lifted = ledger.lift_suspension(address, operator_name(), legal_entity=legal_entity)
    finally:
        ledger.close()
    if not lifted:
        typer.echo("tdu: this address is not suspended. `tdu directory suspended` lists those that are.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{address} is written to again.")


def _national(settings: Config) -> NationalDirectory:
    national = settings.directory.annuaire
    if national is None:
        text, remedy = "no national directory is configured.", "Add this table, with key_file: docs/how-to/directory.md."
        raise ConfigurationError("directory.no-annuaire", text, where="directory.annuaire", remedy=remedy)
    return national


def _source(national: NationalDirectory) -> NationalSource:
    max_age = timedelta(days=national.max_age_days)
    return NationalSource(national.key_file, national.base_url, national.timeout_seconds, national.copy_file, max_age)
