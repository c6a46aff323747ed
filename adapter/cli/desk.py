"""What a person at the desk does: follow a document, see what waits, decide."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from adapter.cli.call_lines import call_data, call_lines
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.cli.patients import patient_data, patient_lines
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Decision, Timeline, WorkFilter
from adapter.model.audit import AuditEntry
from adapter.model.delivery import Delivery, Purpose
from adapter.model.patient import PatientEntry
from adapter.model.submission import Intent
from adapter.model.work_item import WorkItem
from adapter.opening import now, open_ledger


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    app.command("trace")(trace)
    app.command("queue")(queue)
    app.command("resolve")(resolve)


def trace(
    reference: Annotated[str, typer.Argument(help="Receipt, submission, delivery, document id, MSH-10, Message-ID, INS or IPP.")],
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show one document's timeline; under an INS or an IPP, what the patient index knows too.

    Example: tdu trace MSG00017
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        timelines = _timelines(ledger, reference, legal_entity)
        patients = _patients(ledger, reference, legal_entity)
    finally:
        ledger.close()
    if not timelines and not patients:
        typer.echo("tdu: nothing is known under that reference for this legal entity.", err=True)
        raise typer.Exit(1)
    if as_json:
        found = [*(patient_data(p) for p in patients), *(timeline_data(t) for t in timelines)]
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for patient in patients:
        typer.echo("\n".join(patient_lines(patient, settings.instance.time_zone)))
    for timeline in timelines:
        typer.echo("\n".join(timeline_lines(timeline, settings.instance.time_zone)))


def _timelines(ledger: Ledger, reference: str, legal_entity: str) -> list[Timeline]:
    """One timeline per receipt that the reference leads to."""
    found: dict[str, Timeline] = {}
    for row_id in ledger.find(reference, legal_entity=legal_entity) or [reference]:
        timeline = ledger.timeline(row_id, legal_entity=legal_entity)
        if timeline is not None:
            found.setdefault(timeline.receipt.id, timeline)
    return list(found.values())


def _patients(ledger: Ledger, reference: str, legal_entity: str) -> list[PatientEntry]:
    """Entries of the patient index under this reference; that somebody looked is audited."""
    found = ledger.find_patients(reference.strip(), legal_entity=legal_entity)
    at, who = now(), operator_name()
    ledger.write_audit([AuditEntry(legal_entity, at, who, "patient.read", "patient", entry.id) for entry in found])
    return found


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
                "intent": s.submission.intent.value,
                "urgency": s.submission.urgency.value,
                "status": {"phase": s.status.phase.value, "summary": s.status.summary},
                "deliveries": [_delivery_data(d) for d in s.deliveries],
            }
            for s in timeline.submissions
        ],
        "answers": [_delivery_data(d) for d in timeline.answers],
        "events": [
            {"at": e.at.isoformat(), "about": e.about.value, "id": e.about_id, "kind": e.kind, "detail": e.detail}
            for e in timeline.events
        ],
        "work_items": [work_item_data(item) for item in timeline.work_items],
        "calls": [call_data(call) for call in timeline.calls],
    }


def _delivery_data(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "role": delivery.role_id,
        "channel": delivery.channel.value,
        "purpose": delivery.purpose.value,
        "leg": delivery.leg,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "cause": delivery.cause,
        "reference": delivery.reference,
    }


def timeline_lines(timeline: Timeline, zone: str) -> list[str]:
    """What a person reads: what it is and where it stands, one line per event in civil time, then what waits for a person."""
    receipt, civil = timeline.receipt, ZoneInfo(zone)
    lines = [
        f"{receipt.control_id or receipt.id}: {receipt.kind.value} by {receipt.door} from {receipt.principal}",
        f"  receipt {receipt.id}: {receipt.verdict.value}",
    ]
    names: dict[str, str] = {}
    for sent in timeline.submissions:
        document = sent.submission.document
        asked = "" if sent.submission.intent is Intent.NEW else f", {sent.submission.intent.value}"
        lines.append(
            f"  document {document.unique_id} ({document.type.code}{asked}): {sent.status.phase.value}, {sent.status.summary}"
        )
        names |= _names(sent.deliveries)
        lines += [_delivery_line(delivery) for delivery in sent.deliveries]
    names |= _names(timeline.answers)
    lines += [_delivery_line(answer) for answer in timeline.answers]
    lines.append(f"  events ({zone})")
    for event in timeline.events:
        who = names.get(event.about_id, event.about.value)
        instant = event.at.astimezone(civil)
        lines.append(f"  {instant:%Y-%m-%d %H:%M:%S.%f}  {event.kind:<16} {who}  {event.detail}".rstrip())
    lines += call_lines(timeline.calls, names, civil)
    waiting = [item for item in timeline.work_items if not item.decision]
    return [*lines, *(f"  waits for a person: {i.id} {i.reason} – {i.advice} {i.phone_line}".rstrip() for i in waiting)]


def _names(deliveries: Sequence[Delivery]) -> dict[str, str]:
    return {delivery.id: f"{delivery.channel.value} → {delivery.role_id}{_what_else(delivery)}" for delivery in deliveries}


def _what_else(delivery: Delivery) -> str:
    """Of what carries no document; an acknowledgement's role says by itself what it is."""
    return " (test page)" if delivery.purpose is Purpose.NOTICE else ""


def _delivery_line(delivery: Delivery) -> str:
    (name,) = _names([delivery]).values()
    return f"    {name}: {delivery.state.value} {delivery.cause}".rstrip() + f", {delivery.reference}"


def queue(
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    parked: Annotated[bool, typer.Option("--parked", help="Only what stands still until somebody decides.")] = False,
    unclear: Annotated[bool, typer.Option("--unclear", help="Only sends that may have arrived.")] = False,
    urgent: Annotated[bool, typer.Option("--urgent", help="Only urgent ones.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Only this reason.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what waits for a person, urgent first, then oldest.

    Example: tdu queue --urgent
    """
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    which = WorkFilter(urgent_only=urgent, reason=reason, parked_only=parked, unclear_only=unclear)
    ledger = open_ledger(settings)
    try:
        items = ledger.list_work_items(which, legal_entity=legal_entity)
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps([work_item_data(item) for item in items], ensure_ascii=False, indent=2))
        return
    for item in items:
        typer.echo("\n".join(work_item_lines(item, settings.instance.time_zone)))
    if not items:
        typer.echo("Nothing waits for a person." if which == WorkFilter() else "Nothing of that kind waits for a person.")
    elif len(items) == which.limit:
        typer.echo(f"The first {which.limit} only: decide some, or narrow with --urgent or --reason.")


def work_item_lines(item: WorkItem, zone: str) -> list[str]:
    """The id alone on its line, to be copied; then why, what to do, whom to call."""
    opened = item.opened_at.astimezone(ZoneInfo(zone))
    urgent = "URGENT " if item.urgent else ""
    phone = f"  ☎ {item.phone_line}" if item.phone_line else ""
    return [
        item.id,
        f"  {urgent}{item.reason}, since {opened:%Y-%m-%d %H:%M}, on {item.about.value} {item.about_id}",
        f"  {item.advice}{phone}",
    ]


def work_item_data(item: WorkItem) -> dict[str, Any]:
    """A work item as plain data."""
    data = asdict(item)
    data["about"] = item.about.value
    data["opened_at"] = item.opened_at.isoformat()
    data["decided_at"] = item.decided_at.isoformat() if item.decided_at else ""
    return data


def resolve(
    item: Annotated[str, typer.Argument(help="The work item's id (tdu queue).")],
    decision: Annotated[
        Decision,
        typer.Argument(
            help="retry: try again, with today's directory; hand-over: given by other means; cancel: do not send, "
            "or take back from those who had it; correct: send again under today's identity; close: nothing to do."
        ),
    ],
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
        decided = ledger.resolve(item, decision, by or operator_name(), legal_entity=chosen_entity(settings, entity))
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps(work_item_data(decided), ensure_ascii=False, indent=2))
    else:
        typer.echo(f"{decided.id}: {decided.decision} by {decided.decided_by}")
