"""The command that shows what an edited mapping would change in what was kept."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated

import typer

from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, EntityOption, JsonOption, chosen_entity, read_config
from adapter.opening import LiveDirectory, inboxes, open_ledger
from adapter.pipeline.readers import readers_with
from adapter.replay import Change, Replayed, replay_all


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("replay")(replay)


def replay(
    references: Annotated[list[str] | None, typer.Argument(help="Receipts, documents, MSH-10…; none: all that is kept.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show the difference: nothing is stored nor sent.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many receipts, newest first.")] = 1000,
    values: Annotated[bool, typer.Option("--values", help="Show values too: patient content on your screen.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run what was kept again with today's mappings and show what would change.

    Example: tdu replay --diff
    """
    if not diff:
        raise typer.BadParameter("say --diff: replaying without it would send replacements, which is not offered yet")
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        wanted: list[str] = []
        for reference in references or []:
            found = ledger.find(reference, legal_entity=legal_entity)
            if not found:
                typer.echo(f"tdu: nothing is known under {reference} for this legal entity.", err=True)
                raise typer.Exit(1)
            wanted += found
        receipts = list(ledger.kept_receipts(wanted, limit, legal_entity=legal_entity))
    finally:
        ledger.close()  # before workers are forked
    replayed = list(replay_all(receipts, readers_with(LiveDirectory(settings.directory), inboxes(settings))))
    if as_json:
        typer.echo(json.dumps([_as_data(r, values) for r in replayed], ensure_ascii=False, indent=2))
        return
    _tell(replayed, values)


def _as_data(replayed: Replayed, values: bool) -> dict[str, object]:
    return {
        "receipt": replayed.receipt_id,
        "document": replayed.document_id,
        "revision_before": replayed.revision_before,
        "revision_after": replayed.revision_after,
        "problem": replayed.problem,
        "changes": [_change(change, values) for change in replayed.changes],
    }


def _change(change: Change, values: bool) -> dict[str, str]:
    told = {"path": change.path, "kind": change.kind}
    return told | {"before": change.before, "after": change.after} if values else told


def _tell(replayed: list[Replayed], values: bool) -> None:
    places: Counter[tuple[str, str]] = Counter()
    for one in replayed:
        places.update((change.kind, change.path) for change in one.changes)
        if one.problem:
            typer.echo(f"{one.document_id}: refused today ({one.problem})")
        if values:
            for change in one.changes:
                typer.echo(f"{one.document_id}: {change.kind} {change.path}: {change.before} → {change.after}")
    for (kind, path), count in places.most_common():
        typer.echo(f"{count:6} × {kind:8} {path}")
    changed = sum(1 for one in replayed if one.changes)
    typer.echo(f"{len(replayed)} documents replayed, {changed} would differ, {sum(1 for o in replayed if o.problem)} refused")
