"""What received pages hold: codes of documents, pages of our paper forms, pages of neither. Any order, any number of calls.

Nothing is imported, nothing verified here: codes are gathered, forms become drafts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from PIL import Image

from adapter.errors import InputError
from adapter.formats.fax_annex import MAGIC, Code, Gathered, gather, read_code
from adapter.formats.fax_code_squares import Corners
from adapter.formats.fax_codes import locate_codes, quarter_turns
from adapter.formats.sheet_draft import PrintedForm, drafts_of, read_page
from adapter.formats.sheet_marks import page_codes, straighten
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.paper_draft import FormDraft, SheetPage
from adapter.model.sheet import PageCode, Sheet

Printed = Callable[[str], PrintedForm | None]  # a form by its slug, as it is printed today; None: no form of ours


@dataclass(frozen=True, repr=False)
class ReceivedPage(Confidential):
    """One page as it came: from which source (a file's name), its rank there from 1."""

    source: str
    rank: int
    image: Image.Image

    @property
    def where(self) -> str:
        """Its place, for findings."""
        return self.named(self.source, self.rank)

    @staticmethod
    def named(source: str, rank: int) -> str:
        """How the place of a page is written."""
        return f"{source} page {rank}"


@dataclass(frozen=True, repr=False)
class Received(Confidential):
    """What pages held. `documents`: gathered codes by document id; `unknown`: where the pages of neither kind are.

    `turns`: of the pages that bear a code (source, rank), how many quarter turns clockwise lay them upright.
    `codes`: every annex code as read, doubled and conflicting ones too; `others`: the pages (source, rank) without any of them.
    """

    documents: Mapping[bytes, Gathered]
    drafts: tuple[FormDraft, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    turns: Mapping[tuple[str, int], int] = field(default_factory=dict)
    codes: tuple[Code, ...] = ()
    others: tuple[tuple[str, int], ...] = ()


@dataclass
class _Desk:
    """Pages sorted so far."""

    codes: list[Code] = field(default_factory=list)
    forms: dict[str, list[SheetPage]] = field(default_factory=lambda: defaultdict(list))
    sheets: dict[str, Sheet] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    turns: dict[tuple[str, int], int] = field(default_factory=dict)
    others: list[tuple[str, int]] = field(default_factory=list)


def read_received(pages: Iterable[ReceivedPage], printed: Printed) -> Received:
    """All pages of one or several calls."""
    desk = _Desk()
    for page in pages:
        _sort(page, printed, desk)
    drafts = tuple(draft for slug, found in desk.forms.items() for draft in drafts_of(desk.sheets[slug], found))
    findings, unknown, others = tuple(desk.findings), tuple(desk.unknown), tuple(desk.others)
    return Received(gather(desk.codes), drafts, findings, unknown, desk.turns, tuple(desk.codes), others)


def _sort(page: ReceivedPage, printed: Printed, desk: _Desk) -> None:
    located = locate_codes(page.image, lambda found: _has_form_code(found) or _has_all_codes(found, desk))
    forms = page_codes(located)
    annexes = [content for content in located if content.startswith(MAGIC)]
    ours = [*(corners for _, corners in forms), *(located[content] for content in annexes)]
    if ours:
        desk.turns[page.source, page.rank] = quarter_turns(ours[0])
    for content in annexes:
        _annex_code(content, page, desk)
    if not annexes:
        desk.others.append((page.source, page.rank))
    if len(forms) > 1:
        said = "The page bears the codes of several form pages: none is read."
        desk.findings.append(Finding(Severity.WARNING, "sheet.several-codes", said, page.where, "Send one sheet a page."))
    elif forms:
        _form_page(page, forms[0], printed, desk)
    elif not annexes:
        desk.unknown.append(page.where)


def _has_form_code(found: set[bytes]) -> bool:
    return any(content.startswith(b"TDU:") for content in found)


def _has_all_codes(found: set[bytes], desk: _Desk) -> bool:
    """True when this page bears codes, and with those before it every document is complete: no slower look is worth it."""
    read = [code for content in found if content.startswith(MAGIC) and (code := _code_or_none(content)) is not None]
    gathered = gather([*desk.codes, *read])
    return bool(read) and all(gathered[code.name.document_id].is_complete for code in read)


def _code_or_none(content: bytes) -> Code | None:
    try:
        return read_code(content)
    except InputError:
        return None


def _annex_code(content: bytes, page: ReceivedPage, desk: _Desk) -> None:
    try:
        code = read_code(content)
    except InputError as error:
        desk.findings.append(Finding(Severity.WARNING, error.code, "A code of a format that is not known.", page.where))
        return
    if code is not None:
        desk.codes.append(code)


def _form_page(page: ReceivedPage, told: tuple[PageCode, Corners], printed: Printed, desk: _Desk) -> None:
    code, corners = told
    form = printed(code.slug)
    if form is None:
        _set_aside(page, desk, "sheet.unknown-form", "A form of this kind, but not one of this instance.")
    elif (code.version, code.layout, code.pages) != (form.sheet.version.lower(), form.sheet.layout, len(form.sheet.pages)):
        _set_aside(page, desk, "sheet.other-version", "The form was printed from another version: its boxes stand elsewhere.")
    else:
        _read_form_page(page, code, corners, form, desk)


def _set_aside(page: ReceivedPage, desk: _Desk, code: str, text: str) -> None:
    remedy = "Read the page; give out the form as it is printed today."
    desk.findings.append(Finding(Severity.WARNING, code, text, page.where, remedy))
    desk.unknown.append(page.where)


def _read_form_page(page: ReceivedPage, code: PageCode, corners: Corners, form: PrintedForm, desk: _Desk) -> None:
    read = replace(read_page(straighten(page.image, code, corners), form), source=page.source, rank=page.rank)
    if not read.png:
        desk.findings += read.findings
        desk.unknown.append(page.where)
    elif any(other.number == read.number and other.png == read.png for other in desk.forms[code.slug]):
        said = "The very same page came twice: it is read once."
        desk.findings.append(Finding(Severity.INFORMATION, "sheet.page-doubled", said, page.where))
    else:
        desk.sheets[code.slug] = form.sheet
        desk.forms[code.slug].append(read)
