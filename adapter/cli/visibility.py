"""Who may see a document that was sent: hide it, show it again, and say who can be told and who cannot."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    operator_name,
    read_config,
)
from adapter.ledger.ledger import Ledger
from adapter.model.parties import RecipientKind
from adapter.opening import open_ledger
from adapter.pipeline.visibility import AUDIENCES, Holder, VisibilityState, state_of


def register(app: typer.Typer) -> None:
    """Add this command to the tree."""
    app.command("visibility")(visibility)


def visibility(
    reference: Annotated[str, typer.Argument(help="The document: its id, or any reference that leads to it alone.")],
    hide: Annotated[list[str] | None, typer.Option("--hide", help=f"Hide it from: {', '.join(AUDIENCES)}.")] = None,
    show: Annotated[list[str] | None, typer.Option("--show", help="Show it again to.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: Annotated[str, typer.Option("--by", help="Who decides (default: the system user).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Change who may see a document already sent; without --hide nor --show, say who may and who holds it.

    The shared record and practices that import are told. A mail, a fax or a message to local software that left cannot be
    changed: the command names them. Exit 1 when somebody who must not see it any more holds it for good.

    Example: tdu visibility MSG00017 --hide patient --by "Dr Martin"
    """
    wanted_hidden, wanted_shown = _audiences("--hide", hide), _audiences("--show", show)
    if wanted_hidden & wanted_shown:
        raise typer.BadParameter("the same audience is hidden and shown", param_hint="--show")
    settings = read_config(config)
    legal_entity = chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        state = _document(ledger, reference, legal_entity)
        hidden = (state.hidden | wanted_hidden) - wanted_shown
        order = ""
        if hidden != state.hidden:
            order = ledger.order_visibility(state.document_id, hidden, by or operator_name(), legal_entity=legal_entity)
    finally:
        ledger.close()
    # Nobody needs calling when nothing was hidden: what they hold only says less than it might.
    newly = hidden - state.hidden
    data = visibility_data(state, hidden, order)
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2) if as_json else "\n".join(visibility_lines(data)))
    if newly and data["cannot_be_changed"]:
        raise typer.Exit(1)


def _audiences(option: str, values: list[str] | None) -> frozenset[str]:
    for value in values or ():
        if value not in AUDIENCES:
            raise typer.BadParameter(f"must be one of {', '.join(AUDIENCES)}", param_hint=option)
    return frozenset(values or ())


def _document(ledger: Ledger, reference: str, legal_entity: str) -> VisibilityState:
    found: dict[str, VisibilityState] = {}
    for receipt_id in ledger.find(reference, legal_entity=legal_entity):
        timeline = ledger.timeline(receipt_id, legal_entity=legal_entity)
        for sent in timeline.submissions if timeline is not None else ():
            document_id = sent.submission.document.unique_id
            state = state_of(ledger, document_id, legal_entity) if document_id not in found else None
            if state is not None:
                found[document_id] = state
    if not found:
        typer.echo("tdu: no document sent and not cancelled is known under that reference for this legal entity.", err=True)
        raise typer.Exit(1)
    if len(found) > 1:
        typer.echo("tdu: several documents are under that reference: name one by its id.", err=True)
        for document_id in found:
            typer.echo(f"  {document_id}", err=True)
        raise typer.Exit(1)
    return next(iter(found.values()))


def visibility_data(state: VisibilityState, hidden: frozenset[str], order: str) -> dict[str, Any]:
    """The change as plain data; a patient is never named."""
    return {
        "document": state.document_id,
        "hidden_from": sorted(hidden),
        "was_hidden_from": sorted(state.hidden),
        "order": order,
        "not_sent_yet": state.unsent,
        "changed": [_holder_data(one) for one in state.holders if one.can_be_changed],
        "cannot_be_changed": [_holder_data(one) for one in state.holders if not one.can_be_changed],
    }


def _holder_data(holder: Holder) -> dict[str, Any]:
    is_patient = holder.recipient.kind is RecipientKind.PATIENT
    name = "Le patient" if is_patient else holder.recipient.display
    return {
        "name": name,
        "channel": holder.delivery.channel.value,
        "state": holder.delivery.state.value,
        "has_newer": holder.has_newer,
    }


def visibility_lines(data: dict[str, Any]) -> list[str]:
    """What a person reads."""
    hidden = ", ".join(data["hidden_from"]) or "nobody"
    changed = "changed" if data["order"] else "nothing to change"
    lines = [f"{data['document']}: hidden from {hidden} ({changed})"]
    if data["order"]:
        lines.append(f"  order {data['order']}")
    verb = "will be told" if data["order"] else "holds it, and can be told of a change"
    lines += [f"  {one['name']} ({one['channel']}): {verb}" for one in data["changed"]]
    if data["not_sent_yet"]:
        lines.append(
            f"  {data['not_sent_yet']} delivery(ies) not sent yet: leave as the document may be seen then, or are asked about"
        )
    cannot = "holds it since before, and cannot be changed: call them if they must not keep it"
    newer = "has a newer version too: change that one, this one stays as it is"
    lines += [f"  {one['name']} ({one['channel']}): {newer if one['has_newer'] else cannot}" for one in data["cannot_be_changed"]]
    return lines
