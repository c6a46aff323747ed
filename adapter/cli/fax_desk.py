"""What a person does with faxes that wait: look, confirm a form filled by hand or a document whose pages differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from adapter.cli.fax_folder import OutFolder, document_data, document_line, draft_data, draft_lines, finding_data
from adapter.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    EntityOption,
    JsonOption,
    chosen_entity,
    finding_line,
    operator_name,
    read_config,
)
from adapter.errors import InputError
from adapter.fax_lines import fax_doors
from adapter.formats.sheet_pages import pages_of, upright_png
from adapter.ledger.fax_desk import KeptFax
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import WorkFilter
from adapter.mapping.from_fax import origin_of
from adapter.model.paper_draft import FormDraft
from adapter.model.receipt import Answer, Receipt, Verdict
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.opening import now, open_ledger
from adapter.pipeline.fax_confirm import Said, confirm_document, confirm_form, confirmed_before
from adapter.pipeline.fax_desk import FaxesOnDesk, SheetThatCame, sheets_that_came, take_to_desk

ReceiptsArgument = Annotated[
    list[str], typer.Argument(metavar="RECEIPT…", help="Receipts of the calls (tdu queue); several when a form came in several.")
]
DraftOption = Annotated[
    list[int] | None,
    typer.Option("--draft", help="Which form, by its number; given several times: pages of one form, as you saw."),
]
ByOption = Annotated[str, typer.Option("--by", help="Who looks or confirms (default: the system user).")]


@dataclass(frozen=True)
class _Shown:
    """A form as it is shown: under which number, what it holds, what it became already."""

    number: str
    draft: FormDraft
    became: Receipt | None


def register(fax: typer.Typer) -> None:
    """Add these commands to those on faxes."""
    fax.command("show")(show_faxes)
    fax.command("confirm")(confirm_fax)


# -- look ---------------------------------------------------------------------------------------------------------------


def show_faxes(
    receipts: ReceiptsArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for pages, documents, drafts and their answers to complete.")],
    draft: DraftOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write what waiting faxes hold into a folder: pages, documents, what differs from them, forms filled by hand.

    Each form has its answers-N.json: complete it, then `tdu fax confirm`. That you looked is audited; files are yours alone.

    Example: tdu fax show 6f0d3a4e-… --out fax
    """
    folder = OutFolder(out)
    folder.must_be_new()
    settings = read_config(config)
    who, legal_entity = by or operator_name(), chosen_entity(settings, entity)
    ledger = open_ledger(settings)
    try:
        desk = take_to_desk(ledger, receipts, fax_doors(settings), by=who, at=now(), legal_entity=legal_entity)
        drafts = [_Shown(number, one, confirmed_before(ledger, desk, one)) for number, one in _numbered(desk, draft)]
    finally:
        ledger.close()
    told = _show(desk, drafts, folder)
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(_lines(told, drafts, desk)))


def _numbered(desk: FaxesOnDesk, numbers: list[int] | None) -> list[tuple[str, FormDraft]]:
    if numbers:
        return [("+".join(map(str, numbers)), desk.draft(numbers))]
    return [(str(number), draft) for number, draft in enumerate(desk.drafts, start=1)]


def _show(desk: FaxesOnDesk, drafts: Sequence[_Shown], folder: OutFolder) -> dict[str, Any]:
    names = {fax.receipt.id: f"fax-{number}" for number, fax in enumerate(desk.faxes, start=1)}
    sheets = list(sheets_that_came(desk))
    known = {sheet.where for sheet in sheets}
    return {
        "faxes": [_fax_data(name, desk.fax(receipt_id), desk, folder) for receipt_id, name in names.items()],
        "documents": [document_data(one.carried, folder) | {"faxes": list(one.faxes)} for one in desk.documents],
        "differences": [_difference_data(sheet, names, folder) for sheet in sheets if sheet.places],
        "drafts": [
            {"number": one.number, "became": one.became.id if one.became else ""} | draft_data(one.number, one.draft, folder)
            for one in drafts
        ],
        "unknown_pages": [where for where in desk.read.received.unknown if where not in known],
        "findings": [finding_data(finding) for finding in desk.read.findings],
    }


def _fax_data(name: str, fax: KeptFax, desk: FaxesOnDesk, folder: OutFolder) -> dict[str, Any]:
    """One call, its pages written as they are read by people: turned as their own code, or most codes of the call, say."""
    turns = {rank: turn for (source, rank), turn in desk.read.received.turns.items() if source == fax.receipt.id}
    usual = Counter(turns.values()).most_common(1)
    pages = []
    try:
        for rank, page in enumerate(pages_of(fax.content), start=1):
            pages.append(f"{name}/page-{rank}.png")
            folder.write(pages[-1], upright_png(page, turns.get(rank, usual[0][0] if usual else 0)))
    except InputError:  # told among the findings; the pages before are there
        folder.write(f"{name}/as-received", fax.content)
    caller = origin_of(fax.side_car)
    return {
        "receipt": fax.receipt.id,
        "from": caller.number,
        "called_id": caller.called,
        "received_at": caller.received_at or fax.receipt.received_at.isoformat(),
        "pages": pages,
    }


def _difference_data(sheet: SheetThatCame, names: Mapping[str, str], folder: OutFolder) -> dict[str, Any]:
    """A page that is not as its sender signed it, drawn with its differences framed."""
    picture = f"{names[sheet.fax]}/page-{sheet.rank}.differs.png"
    folder.write(picture, sheet.png)
    return {"document": sheet.document, "fax": sheet.fax, "page": sheet.rank, "places": sheet.places, "picture": picture}


def _lines(told: Mapping[str, Any], drafts: Sequence[_Shown], desk: FaxesOnDesk) -> Iterator[str]:
    for fax in told["faxes"]:
        pages = fax["pages"]
        yield f"fax {fax['receipt']}: {len(pages)} page{'s' if len(pages) > 1 else ''}  {pages[0] if pages else ''}".rstrip()
        yield f"  from {fax['from'] or 'no number told'}, {fax['received_at']}"
    yield from map(document_line, told["documents"])
    for one in told["differences"]:
        yield f"  page {one['page']} differs in {one['places']} places from what was signed  {one['picture']}"
    for data, shown in zip(told["drafts"], drafts, strict=True):
        yield from draft_lines(data, shown.draft.findings)
        if shown.became is not None:
            yield f"  confirmed before: receipt {shown.became.id}"
    for where in told["unknown_pages"]:
        yield f"{where}: no code of ours, or not read: look at the page"
    yield from map(finding_line, desk.read.findings)


# -- confirm ------------------------------------------------------------------------------------------------------------


def confirm_fax(
    receipts: ReceiptsArgument,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", exists=True, dir_okay=False, help="The completed answers-N.json of `tdu fax show`."),
    ] = None,
    draft: DraftOption = None,
    document: Annotated[
        str, typer.Option("--document", metavar="ID", help="A verified document whose pages differ, once you looked at them.")
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Confirm what waits: a form's completed answers, taken as the form door takes them, or a document whose pages differ.

    A form's pages go with its request. The same again changes nothing; other answers for the same pages are refused. A document
    that no trusted key signed is never let through. Exit 1 when answers lack or cannot be right: each is told with its place.

    Example: tdu fax confirm 6f0d3a4e-… --answers fax/answers-1.json --by "Mme Martin"
    """
    from adapter.assembly import assemble

    if (answers is None) is not bool(document):
        raise typer.BadParameter("give either the completed answers of a form, or a document", param_hint="--answers")
    settings = read_config(config)
    said = Said(by or operator_name(), now(), settings.instance.time_zone)
    legal_entity = chosen_entity(settings, entity)
    instance = assemble(settings)
    try:
        ledger, doors = instance.ledger, fax_doors(settings)
        desk = take_to_desk(ledger, receipts, doors, by=said.by, at=said.at, legal_entity=legal_entity)
        if answers is None:
            answer = confirm_document(ledger, instance.pipeline, desk, desk.document(document), said)
        else:
            answer = confirm_form(ledger, instance.pipeline, desk, desk.draft(draft or ()), answers.read_bytes(), said)
        waiting = [item for fax in desk.faxes for item in _open_items(ledger, fax)]
    finally:
        instance.ledger.close()
    _tell(answer, waiting, as_json)
    if answer.verdict is not Verdict.ACCEPTED:
        raise typer.Exit(1)


def _open_items(ledger: Ledger, fax: KeptFax) -> list[WorkItem]:
    which = WorkFilter(about=WorkAbout.RECEIPT, about_id=fax.receipt.id)
    return ledger.list_work_items(which, legal_entity=fax.receipt.legal_entity)


def _tell(answer: Answer, waiting: Sequence[WorkItem], as_json: bool) -> None:
    """What came of it, and what of these faxes waits still."""
    if as_json:
        told: dict[str, Any] = {"receipt": answer.receipt_id, "verdict": answer.verdict.value, "kept": answer.kept.value}
        told |= {"findings": [finding_data(finding) for finding in answer.findings]}
        told |= {"still_open": [{"item": item.id, "reason": item.reason, "receipt": item.about_id} for item in waiting]}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    if answer.verdict is Verdict.ACCEPTED:
        typer.echo(f"accepted ({answer.kept.value}): receipt {answer.receipt_id}")
    else:
        typer.echo("not confirmed, nothing was kept: complete or correct these answers")
    for finding in answer.findings:
        typer.echo(finding_line(finding))
    for item in waiting:
        typer.echo(
            f"still waits: {item.id} {item.reason} on {item.about_id} (`tdu resolve {item.id} close` when nothing is left)"
        )
