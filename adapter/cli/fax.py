"""What a site does with received faxes: read what their pages carry, without importing any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import typer

from adapter.cli.options import JsonOption, finding_line
from adapter.errors import InputError
from adapter.formats.detached_jws import TrustedKey, key_id_of, read_trusted_key, verify
from adapter.formats.fax_annex import Gathered, inflate, put_together
from adapter.formats.sheet_draft import PrintedForm
from adapter.formats.sheet_ink import printed_mask
from adapter.formats.sheet_marks import DOTS_PER_MM
from adapter.formats.sheet_pages import pages_of
from adapter.formats.sheet_reading import Received, ReceivedPage, read_received
from adapter.mapping.forms.questionnaire import form_slugs, questionnaire_resource
from adapter.model.finding import Finding, Severity
from adapter.model.paper_draft import FormDraft
from adapter.packaging.sheet.geometry import empty_pages, sheet_of


@dataclass(frozen=True)
class _Document:
    """One document found in codes, as told: no content."""

    told: dict[str, Any]
    is_sound: bool


def register(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    fax = typer.Typer(help="Received faxes: read their pages.", no_args_is_help=True, rich_markup_mode=None)
    fax.callback()(lambda: None)
    fax.command("read")(read_faxes)
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
    unreadable: list[Finding] = []
    received = read_received(_pages(files, unreadable), _printed)
    documents = [_document(document_id, gathered, keys, out) for document_id, gathered in received.documents.items()]
    drafts = [_draft(number, draft, out) for number, draft in enumerate(received.drafts, start=1)]
    findings = [*unreadable, *received.findings]
    told = {
        "documents": [document.told for document in documents],
        "drafts": drafts,
        "unknown_pages": list(received.unknown),
        "findings": [_finding(finding) for finding in findings],
    }
    typer.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(_lines(told, received, findings)))
    found = documents or drafts
    lost = any(finding.severity is not Severity.INFORMATION for finding in findings)
    if not found or lost or not all(document.is_sound for document in documents):
        raise typer.Exit(1)


def _trusted_key(words: str) -> tuple[str, TrustedKey]:
    name, parted, path = words.partition("=")
    if not (name and parted and path):
        raise typer.BadParameter("a trusted key is written NAME=KEY.pem", param_hint="--trusted")
    key = read_trusted_key(name, Path(path).read_bytes())
    return key_id_of(key.public), key


def _pages(files: Sequence[Path], unreadable: list[Finding]) -> Iterator[ReceivedPage]:
    """The pages of all files; a file that cannot be read on is told, and the others are read."""
    for path in files:
        try:
            for rank, image in enumerate(pages_of(path.read_bytes()), start=1):
                yield ReceivedPage(path.name, rank, image)
        except InputError as error:
            where = " ".join(part for part in (path.name, error.where) if part)
            unreadable.append(Finding(Severity.ERROR, error.code, error.message, where, error.remedy))


@lru_cache(maxsize=16)
def _printed(slug: str) -> PrintedForm | None:
    if slug not in form_slugs():
        return None
    form = questionnaire_resource(slug)
    return PrintedForm(sheet_of(form), tuple(printed_mask(page) for page in empty_pages(form, DOTS_PER_MM)))


# -- documents ------------------------------------------------------------------------------------------------------------


def _document(document_id: bytes, gathered: Gathered, keys: Mapping[str, TrustedKey], out: Path | None) -> _Document:
    """Put together, verified and written: `.unverified` is in the name of what nobody known has signed."""
    told: dict[str, Any] = {"id": document_id.hex(), "codes": gathered.count, "missing": list(gathered.missing)}
    annex = put_together(document_id, gathered)
    if annex is None:
        return _Document(told | {"complete": False, "verified": False}, is_sound=False)
    signed_by = verify(annex.signature, annex.deflated, keys)
    told |= {"complete": True, "verified": signed_by is not None, "signed_by": signed_by.name if signed_by else None}
    try:
        content = inflate(annex.deflated)
    except InputError as error:
        return _Document(told | {"refused": error.code}, is_sound=False)
    if out is not None:
        name = f"document-{document_id.hex()[:12]}{'' if signed_by else '.unverified'}.fhir.json"
        _write(out / name, content)
        told["file"] = name
    return _Document(told, is_sound=signed_by is not None)


# -- drafts -------------------------------------------------------------------------------------------------------------


def _draft(number: int, draft: FormDraft, out: Path | None) -> dict[str, Any]:
    """A draft as data; its pictures and itself in the folder, when there is one."""
    stem = f"draft-{number}-{draft.slug}"
    told: dict[str, Any] = {
        "form": draft.slug,
        "version": draft.version,
        "title": draft.title,
        "status": "draft",
        "pages": {"expected": draft.expected, "received": [page.number for page in draft.pages], "missing": list(draft.missing)},
        "answers": [
            {
                "linkId": answer.link_id, "row": answer.row, "question": answer.asked, "values": list(answer.values),
                "confidence": answer.confidence, "candidates": list(answer.candidates), "doubts": list(answer.doubts),
            }
            for answer in draft.answers
        ],
        "writing": [],
        "findings": [_finding(finding) for finding in draft.findings],
    }  # fmt: skip
    for page in draft.pages:
        for snippet in page.snippets:
            row = f"-{snippet.place.row}" if snippet.place.row else ""
            name = f"{stem}/{page.number}-{snippet.place.link_id}{row}.png"
            place = {
                "linkId": snippet.place.link_id,
                "row": snippet.place.row,
                "question": snippet.place.asked,
                "page": page.number,
            }
            told["writing"].append(place | ({"picture": name} if out else {}))
            if out:
                _write(out / name, snippet.png)
        if out:
            _write(out / stem / f"page-{page.number}.png", page.png)
    if out:
        told["file"] = f"{stem}.json"
        _write(out / f"{stem}.json", json.dumps(told, ensure_ascii=False, indent=2).encode())
    return told


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# -- words ----------------------------------------------------------------------------------------------------------------


def _finding(finding: Finding) -> dict[str, str]:
    told = {"severity": str(finding.severity), "code": finding.code, "text": finding.text, "where": finding.location}
    return told | ({"remedy": finding.remedy} if finding.remedy else {})


def _lines(told: Mapping[str, Any], received: Received, findings: Sequence[Finding]) -> Iterator[str]:
    """For a person: what was found, never what is in it."""
    for document in told["documents"]:
        if not document["complete"]:
            missing = ", ".join(str(index + 1) for index in document["missing"])
            yield f"document {document['id'][:12]}: incomplete, codes {missing} of {document['codes']} are missing"
            continue
        said = f"verified, signed by {document['signed_by']}" if document["verified"] else "NOT verified"
        refused = f", refused: {document['refused']}" if "refused" in document else ""
        yield f"document {document['id'][:12]}: {said}{refused}  {document.get('file', '')}".rstrip()
    for draft, read in zip(told["drafts"], received.drafts, strict=True):
        doubtful = sum(bool(answer["doubts"]) for answer in draft["answers"])
        pages = f"{len(draft['pages']['received'])}/{draft['pages']['expected']} pages"
        counted = f"{len(draft['answers'])} answers ticked, {doubtful} doubtful, {len(draft['writing'])} fields written in"
        yield f"draft of {draft['form']} {draft['version']}: {pages}, {counted}  {draft.get('file', '')}".rstrip()
        yield from (f"  {finding_line(finding)}" for finding in read.findings)
    for where in told["unknown_pages"]:
        yield f"{where}: no code of ours, or not read: look at the page"
    yield from (finding_line(finding) for finding in findings)
