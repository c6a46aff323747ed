"""What a site does with received faxes at the keyboard: read what files carry, without importing any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from adapter.cli import fax_desk, fax_numbers
from adapter.cli.fax_folder import OutFolder, document_data, document_line, draft_data, draft_lines, finding_data
from adapter.cli.options import JsonOption, finding_line
from adapter.formats.detached_jws import TrustedKey, key_id_of, read_trusted_key
from adapter.formats.fax_document import carried_document
from adapter.model.finding import Finding, Severity
from adapter.model.paper_draft import FormDraft
from adapter.pipeline.paper import Source, read_sources


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    fax = typer.Typer(
        help="Received faxes: read, look, confirm; fax numbers.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    fax.callback()(lambda: None)
    fax.command("read")(read_faxes)
    fax_desk.register(fax)
    fax_numbers.register(fax)
    app.add_typer(fax, name="fax")


def read_faxes(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="TIFF or PDF files; several calls, any order.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for documents, drafts and pictures.")] = None,
    trusted: Annotated[
        list[str] | None, typer.Option("--trusted", metavar="NAME=KEY.pem", help="A partner's public key (Ed25519); repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read received pages: the document that their codes carry, or the draft of a form filled by hand. Nothing is imported.

    Exit 1 when nothing of ours was found, a document is incomplete or not verified, or a form's page cannot be read.

    Example: tdu fax read call-1.tif call-2.tif --out read --trusted "CHU Nord=chu-nord.pem"
    """
    keys = dict(_trusted_key(each) for each in trusted or ())
    read, folder = read_sources([Source(path.name, path.read_bytes()) for path in files]), OutFolder(out)
    received = read.received
    documents = [carried_document(document_id, gathered, keys) for document_id, gathered in received.documents.items()]
    told = {
        "documents": [document_data(document, folder) for document in documents],
        "drafts": [draft_data(number, draft, folder) for number, draft in enumerate(received.drafts, start=1)],
        "unknown_pages": list(received.unknown),
        "findings": [finding_data(finding) for finding in read.findings],
    }
    lines = _lines(told, received.drafts, read.findings)
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))
    lost = any(finding.severity is not Severity.INFORMATION for finding in read.findings)
    if not (documents or received.drafts) or lost or not all(document.is_sound for document in documents):
        raise typer.Exit(1)


def _trusted_key(words: str) -> tuple[str, TrustedKey]:
    name, parted, path = words.partition("=")
    if not (name and parted and path):
        raise typer.BadParameter("a trusted key is written NAME=KEY.pem", param_hint="--trusted")
    key = read_trusted_key(name, Path(path).read_bytes())
    return key_id_of(key.public), key


def _lines(told: Mapping[str, Any], drafts: Sequence[FormDraft], findings: Sequence[Finding]) -> Iterator[str]:
    """For a person: what was found, never what is in it."""
    yield from map(document_line, told["documents"])
    for data, draft in zip(told["drafts"], drafts, strict=True):
        yield from draft_lines(data, draft.findings)
    for where in told["unknown_pages"]:
        yield f"{where}: no code of ours, or not read: look at the page"
    yield from map(finding_line, findings)
