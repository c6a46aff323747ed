"""What a fax holds, told as data and written to a folder for a person: documents, drafts, their answers to complete, pictures.

Files hold health data: only their owner reads them (0600, folders 0700).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adapter.bulk.durable import write_durably
from adapter.cli.options import finding_line
from adapter.errors import InputError
from adapter.formats.fax_document import CarriedDocument
from adapter.formats.sheet_draft import picture_of
from adapter.mapping.forms.paper import PaperAnswers, ToChoose, paper_answers
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.model.finding import Finding
from adapter.model.paper_draft import DraftAnswer, FormDraft, SheetPage


class OutFolder:
    """Where files go; nowhere when no folder was asked for."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @property
    def is_there(self) -> bool:
        """True when files are written."""
        return self._path is not None

    def must_be_new(self) -> None:
        """InputError when something lies there: pages of two patients would lie side by side, typed answers be lost."""
        if self._path is not None and self._path.is_dir() and any(self._path.iterdir()):
            said = "it holds files already: pages of two faxes would lie side by side, and answers that somebody typed be lost"
            raise InputError("fax.folder-in-use", said, where="--out", remedy="Name a new folder, or empty this one.")

    def write(self, name: str, content: bytes) -> None:
        """One file under this name, which may name folders."""
        if self._path is not None:
            path = self._path / name
            self._make(path.parent)
            write_durably(path, content)

    def _make(self, folder: Path) -> None:
        """A folder and those above it, each for its owner alone (`mkdir` asks that of the last one only)."""
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)


# -- documents ------------------------------------------------------------------------------------------------------------


def document_data(document: CarriedDocument, out: OutFolder) -> dict[str, Any]:
    """A document as told and written: `.unverified` is in the name of what nobody known has signed."""
    told: dict[str, Any] = {"id": document.id, "codes": document.codes, "missing": list(document.missing)}
    told |= {"complete": document.is_complete, "verified": document.is_verified}
    if not document.is_complete:
        return told
    told |= {"signed_by": document.signed_by or None}
    if document.refused:
        return told | {"refused": document.refused}
    if out.is_there:
        name = f"document-{document.id[:12]}{'' if document.is_verified else '.unverified'}.fhir.json"
        out.write(name, document.content)
        told["file"] = name
    return told


def document_line(told: Mapping[str, Any]) -> str:
    """For a person: what was found, never what is in it."""
    if not told["complete"]:
        missing = ", ".join(str(index + 1) for index in told["missing"])
        return f"document {told['id'][:12]}: incomplete, codes {missing} of {told['codes']} are missing"
    said = f"verified, signed by {told['signed_by']}" if told["verified"] else "NOT verified"
    refused = f", refused: {told['refused']}" if "refused" in told else ""
    return f"document {told['id'][:12]}: {said}{refused}  {told.get('file', '')}".rstrip()


# -- drafts -------------------------------------------------------------------------------------------------------------


def draft_data(number: int | str, draft: FormDraft, out: OutFolder) -> dict[str, Any]:
    """A draft as told; in the folder its pictures, itself, and its answers to complete, in the form door's own shape."""
    stem = f"draft-{number}-{draft.slug}"
    paper = paper_answers(load_questionnaire(draft.slug), draft)
    told: dict[str, Any] = {
        "form": draft.slug,
        "version": draft.version,
        "title": draft.title,
        "status": "draft",
        "pages": {"expected": draft.expected, "received": [page.number for page in draft.pages], "missing": list(draft.missing)},
        "answers": [_answer_data(answer) for answer in draft.answers],
        "doubtful": [_doubtful_data(choice, draft, stem, out) for choice in paper.to_choose],
        "writing": list(_writing(paper, stem, out)),
        "findings": [finding_data(finding) for finding in draft.findings],
    }
    for page in draft.pages:
        out.write(f"{stem}/page-{page.number}.png", page.png)
    if out.is_there:
        told |= {"file": f"{stem}.json", "answers_file": f"answers-{number}.json"}
        out.write(f"answers-{number}.json", _json(paper.answers))
        out.write(f"{stem}.json", _json(told))
    return told


def draft_lines(told: Mapping[str, Any], findings: Sequence[Finding]) -> Iterator[str]:
    """For a person: how much was read, what must be decided and typed, never an answer."""
    pages = f"{len(told['pages']['received'])}/{told['pages']['expected']} pages"
    doubtful, written = told["doubtful"], {one["where"] for one in told["writing"]}
    counted = f"{len(told['answers'])} answers ticked, {len(doubtful)} doubtful, {len(written)} fields written in"
    yield f"draft of {told['form']} {told['version']}: {pages}, {counted}  {told.get('file', '')}".rstrip()
    for one in doubtful:
        yield f"  doubtful ({', '.join(one['doubts'])}): {one['where']}  {one.get('picture', '')}".rstrip()
    yield from (f"  {finding_line(finding)}" for finding in findings)
    if "answers_file" in told:
        yield f"  complete {told['answers_file']}: what is empty in it was left open on paper, is doubtful or must be typed"


def _answer_data(answer: DraftAnswer) -> dict[str, Any]:
    return {
        "linkId": answer.link_id, "row": answer.row, "question": answer.asked, "values": list(answer.values),
        "confidence": answer.confidence, "candidates": list(answer.candidates), "doubts": list(answer.doubts),
    }  # fmt: skip


def _doubtful_data(choice: ToChoose, draft: FormDraft, stem: str, out: OutFolder) -> dict[str, Any]:
    told: dict[str, Any] = {
        "where": choice.where,
        "question": choice.asked,
        "page": choice.page,
        "candidates": [{"value": box.place.value, "words": box.place.words} for box in choice.boxes],
        "doubts": [doubt.value for doubt in choice.doubts],
    }
    if out.is_there:
        place, page = choice.boxes[0].place, _page(draft, choice)
        mine = [box for box in page.boxes if (box.place.link_id, box.place.row) == (place.link_id, place.row)]
        told["picture"] = f"{stem}/{choice.page}-{_named(place.link_id, place.row)}.png"
        out.write(told["picture"], picture_of(page, mine))
    return told


def _page(draft: FormDraft, choice: ToChoose) -> SheetPage:
    return next(page for page in draft.pages if page.number == choice.page)


def _writing(paper: PaperAnswers, stem: str, out: OutFolder) -> Iterator[dict[str, Any]]:
    for field in paper.to_type:
        for snippet in field.snippets:
            place = snippet.place
            told: dict[str, Any] = {"where": field.where, "linkId": place.link_id, "row": place.row}
            told |= {"question": field.asked, "page": snippet.page}
            if out.is_there:
                told["picture"] = f"{stem}/{snippet.page}-{_named(place.link_id, place.row)}.png"
                out.write(told["picture"], snippet.png)
            yield told


def _named(link_id: str, row: int) -> str:
    return f"{link_id}-{row}" if row else link_id


def _json(data: Any) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


# -- findings -----------------------------------------------------------------------------------------------------------


def finding_data(finding: Finding) -> dict[str, str]:
    """A finding as plain data."""
    told = {"severity": str(finding.severity), "code": finding.code, "text": finding.text, "where": finding.location}
    return told | ({"remedy": finding.remedy} if finding.remedy else {})
