"""What a person at the desk does: follow a document, see what waits, decide."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from adapter.assembly import open_ledger
from adapter.cli.options import DEFAULT_CONFIG, ConfigOption, EntityOption, JsonOption, chosen_entity, read_config
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Decision, Timeline, WorkFilter
from adapter.model.work_item import WorkItem


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("trace")(trace)
    app.command("queue")(queue)
    app.command("resolve")(resolve)


def trace(
    reference: Annotated[str, typer.Argument(help="Receipt, submission, delivery, document id, MSH-10 or Message-ID.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show one document's timeline.

    Example: tdu trace MSG00017
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        timelines = _timelines(ledger, reference, legal_entity)
    finally:
        ledger.close()
    if not timelines:
        typer.echo("tdu: nothing is known under that reference for this legal entity.", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps([timeline_data(t) for t in timelines], ensure_ascii=False, indent=2))
        return
    for timeline in timelines:
        print_timeline(timeline, Console())


def _timelines(ledger: Ledger, reference: str, legal_entity: str) -> list[Timeline]:
    """One timeline per receipt that the reference leads to."""
    found: dict[str, Timeline] = {}
    for row_id in ledger.find(reference, legal_entity=legal_entity) or [reference]:
        timeline = ledger.timeline(row_id, legal_entity=legal_entity)
        if timeline is not None:
            found.setdefault(timeline.receipt.id, timeline)
    return list(found.values())


def timeline_data(timeline: Timeline) -> dict[str, Any]:
    """A timeline as plain data: ids, states, codes and instants; no patient content."""
    receipt = timeline.receipt
    return {
        "receipt": {
            "id": receipt.id,
            "door": receipt.door,
            "principal": receipt.principal,
            "kind": receipt.kind.value,
            "state": receipt.state.value,
            "verdict": receipt.verdict.value,
            "reason": receipt.reason,
            "control_id": receipt.control_id,
            "received_at": receipt.received_at.isoformat(),
        },
        "findings": [asdict(f) for f in timeline.findings],
        "submissions": [
            {
                "id": s.submission.id,
                "document": s.submission.document.unique_id,
                "type": s.submission.document.type.code,
                "urgency": s.submission.urgency.value,
                "status": {"phase": s.status.phase.value, "summary": s.status.summary},
                "deliveries": [
                    {
                        "id": d.id,
                        "role": d.role_id,
                        "channel": d.channel.value,
                        "leg": d.leg,
                        "state": d.state.value,
                        "attempts": d.attempts,
                        "cause": d.cause,
                        "reference": d.reference,
                    }
                    for d in s.deliveries
                ],
            }
            for s in timeline.submissions
        ],
        "events": [
            {"at": e.at.isoformat(), "about": e.about.value, "id": e.about_id, "kind": e.kind, "detail": e.detail}
            for e in timeline.events
        ],
        "work_items": [work_item_data(item) for item in timeline.work_items],
    }


def print_timeline(timeline: Timeline, console: Console) -> None:
    """One line per event, in time order, then what waits for a person."""
    receipt = timeline.receipt
    console.print(
        f"[bold]{receipt.control_id or receipt.id}[/bold] {receipt.kind.value} by {receipt.door} from {receipt.principal}"
    )
    names = {d.id: f"{d.channel.value} → {d.role_id}" for s in timeline.submissions for d in s.deliveries}
    for event in timeline.events:
        who = names.get(event.about_id, event.about.value)
        console.print(f"  {event.at:%Y-%m-%d %H:%M:%S.%f}  {event.kind:<28} {who}  {event.detail}", highlight=False, markup=False)
    for item in timeline.work_items:
        if not item.decision:
            console.print(f"  waits for a person: {item.reason} – {item.advice} {item.phone_line}", highlight=False, markup=False)


def queue(
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    urgent: Annotated[bool, typer.Option("--urgent", help="Only urgent ones.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Only this reason.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what waits for a person, oldest first.

    Example: tdu queue --urgent
    """
    settings = read_config(config)
    ledger = open_ledger(settings)
    try:
        items = ledger.list_work_items(
            WorkFilter(urgent_only=urgent, reason=reason), legal_entity=chosen_entity(settings, entity)
        )
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps([work_item_data(item) for item in items], ensure_ascii=False, indent=2))
        return
    table = Table("id", "opened", "urgent", "about", "reason", "what to do", "phone")
    for item in items:
        table.add_row(
            item.id, f"{item.opened_at:%Y-%m-%d %H:%M}", "URGENT" if item.urgent else "",
            f"{item.about.value} {item.about_id}", item.reason, item.advice, item.phone_line,
        )  # fmt: skip
    Console().print(table)


def work_item_data(item: WorkItem) -> dict[str, Any]:
    """A work item as plain data."""
    data = asdict(item)
    data["about"] = item.about.value
    data["opened_at"] = item.opened_at.isoformat()
    data["decided_at"] = item.decided_at.isoformat() if item.decided_at else ""
    return data


def resolve(
    item: Annotated[str, typer.Argument(help="The work item's id (tdu queue).")],
    decision: Annotated[Decision, typer.Argument(help="retry: try again; hand-over: given by hand; cancel: do not send; close.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: Annotated[str, typer.Option("--by", help="Who decides (default: the system user).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Decide what becomes of something that waits for a person.

    Example: tdu resolve 6f0d3a4e-… retry
    """
    settings = read_config(config)
    ledger = open_ledger(settings)
    try:
        decided = ledger.resolve(item, decision, by or getpass.getuser(), legal_entity=chosen_entity(settings, entity))
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps(work_item_data(decided), ensure_ascii=False, indent=2))
    else:
        typer.echo(f"{decided.id}: {decided.decision} by {decided.decided_by}")
