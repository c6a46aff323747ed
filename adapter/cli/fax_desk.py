"""What a person does with faxes that wait: look at what they hold, confirm a form that was filled by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
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
from adapter.formats.detached_jws import TrustedKey
from adapter.formats.fax_document import carried_document
from adapter.formats.sheet_pages import pages_of, upright_png
from adapter.ledger.fax_desk import KeptFax
from adapter.model.fax_in import FaxDoors
from adapter.model.paper_draft import FormDraft
from adapter.model.receipt import Answer, Receipt, Verdict
from adapter.opening import now, open_ledger
from adapter.pipeline.fax_desk import FaxesOnDesk, Said, confirm_form, confirmed_before, take_to_desk

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
    out: Annotated[Path, typer.Option("--out", help="Folder for pages, documents, drafts and their answers to complete.")],
    draft: DraftOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write what waiting faxes hold into a folder: pages, documents, forms filled by hand with their answers to complete.

    Each form has its answers-N.json: complete it, then `tdu fax confirm`. That you looked is audited; files are yours alone.

    Example: tdu fax show 6f0d3a4e-… --out fax
    """
    settings = read_config(config)
    ledger = open_ledger(settings)
    try:
        desk = take_to_desk(ledger, receipts, by or operator_name(), now(), chosen_entity(settings, entity))
        drafts = [_Shown(number, one, confirmed_before(ledger, desk, one)) for number, one in _numbered(desk, draft)]
    finally:
        ledger.close()
    told = _show(desk, drafts, _trusted(desk, fax_doors(settings)), OutFolder(out))
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(_lines(told, drafts, desk)))


def _numbered(desk: FaxesOnDesk, numbers: list[int] | None) -> list[tuple[str, FormDraft]]:
    if numbers:
        return [("+".join(map(str, numbers)), desk.draft(numbers))]
    return [(str(number), draft) for number, draft in enumerate(desk.drafts, start=1)]


def _trusted(desk: FaxesOnDesk, doors: FaxDoors) -> dict[str, TrustedKey]:
    """Whose signatures count at the lines that these faxes came by."""
    senders = [found for fax in desk.faxes for found in doors.of(fax.receipt.door).trusted.items()]
    return {key_id: TrustedKey(sender.name, sender.public) for key_id, sender in senders}


def _show(desk: FaxesOnDesk, drafts: list[_Shown], keys: Mapping[str, TrustedKey], folder: OutFolder) -> dict[str, Any]:
    received = desk.read.received
    documents = (carried_document(document_id, gathered, keys) for document_id, gathered in received.documents.items())
    return {
        "faxes": [_fax_data(f"fax-{number}", fax, desk, folder) for number, fax in enumerate(desk.faxes, start=1)],
        "documents": [document_data(document, folder) for document in documents],
        "drafts": [
            {"number": one.number, "became": one.became.id if one.became else ""} | draft_data(one.number, one.draft, folder)
            for one in drafts
        ],
        "unknown_pages": list(received.unknown),
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
    return {"receipt": fax.receipt.id, "received_at": fax.receipt.received_at.isoformat(), "pages": pages}


def _lines(told: Mapping[str, Any], drafts: list[_Shown], desk: FaxesOnDesk) -> Iterator[str]:
    for fax in told["faxes"]:
        yield f"fax {fax['receipt']}: {len(fax['pages'])} pages  {fax['pages'][0] if fax['pages'] else ''}".rstrip()
    yield from map(document_line, told["documents"])
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
        Path, typer.Option("--answers", exists=True, dir_okay=False, help="The completed answers-N.json of `tdu fax show`.")
    ],
    draft: DraftOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    entity: EntityOption = "",
    by: ByOption = "",
    as_json: JsonOption = False,
) -> None:
    """Confirm a form that was filled by hand: its completed answers are taken as the form door takes them, and sent.

    The pages go with the request. The same answers again change nothing; other answers for the same pages are refused.
    Exit 1 when answers lack or cannot be right: each is told with its place.

    Example: tdu fax confirm 6f0d3a4e-… --answers fax/answers-1.json --by "Mme Martin"
    """
    from adapter.assembly import assemble

    settings = read_config(config)
    who, legal_entity = by or operator_name(), chosen_entity(settings, entity)
    instance = assemble(settings)
    try:
        desk = take_to_desk(instance.ledger, receipts, who, now(), legal_entity)
        said = Said(who, now(), settings.instance.time_zone)
        answer = confirm_form(instance.ledger, instance.pipeline, desk, desk.draft(draft or ()), answers.read_bytes(), said)
    finally:
        instance.ledger.close()
    _tell(answer, as_json)
    if answer.verdict is not Verdict.ACCEPTED:
        raise typer.Exit(1)


def _tell(answer: Answer, as_json: bool) -> None:
    if as_json:
        told = {"receipt": answer.receipt_id, "verdict": answer.verdict.value, "kept": answer.kept.value}
        typer.echo(json.dumps(told | {"findings": [finding_data(f) for f in answer.findings]}, ensure_ascii=False, indent=2))
        return
    if answer.verdict is Verdict.ACCEPTED:
        typer.echo(f"accepted ({answer.kept.value}): receipt {answer.receipt_id}")
    else:
        typer.echo("not confirmed, nothing was kept: complete or correct these answers")
    for finding in answer.findings:
        typer.echo(finding_line(finding))
