"""The readable French PDF of any document Bundle: A4, PDF/A-1b, the same bytes for the same Bundle.

Source: ECO 2.1.5 (the PDF derives from the document: title, type, date, author, organisation, then the narrative). An embedded
PDF travels unchanged; `stamp_pdf` lays a test instance's stamp over it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pikepdf

from adapter.errors import RenditionError
from adapter.packaging.page.annex import put_enclosed
from adapter.packaging.page.faces import POINT_MM, missing_characters, text_width, visible
from adapter.packaging.page.layout import (
    ALARM,
    BODY_WIDTH,
    BOTTOM,
    GREY,
    INK,
    LEADING,
    LEFT,
    LINE,
    NAVY,
    RIGHT,
    TINT,
    Atom,
    Colour,
    Fill,
    Mark,
    Sheet,
    Stroke,
    Words,
    break_lines,
    line_marks,
    line_width,
    moved,
)
from adapter.packaging.page.letter import Letter, Part, all_facts, read_letter
from adapter.packaging.page.narrative import Ink, Run, blocks_text
from adapter.packaging.page.paint import Imprint, paint, paint_stamps
from adapter.packaging.page.table import flow_blocks
from adapter.packaging.page.words import Fact

BODY_SIZE = 9.5
FACT_SIZE = 8.5
FIRST_TOP, NEXT_TOP = 13.0, 23.0
_BOX_GAP = 5.0
_FACTS_TOP = 4.6
_TALLEST_BOX = 150.0
_UNPROTECTED = "Ask the sender for a PDF without protection."
_WHITE: Colour = (255, 255, 255)


def render_pdf(bundle: Mapping[str, Any], *, stamp: str = "", urgency: str = "") -> bytes:
    """The document as a PDF. `urgency` is the sender's own word, boxed; `stamp` goes across every page."""
    letter = read_letter(bundle)
    sheet = Sheet(first_top=FIRST_TOP, top=NEXT_TOP)
    _title_band(sheet, letter, urgency.strip())
    _two_boxes(sheet, ("Émetteur", letter.sender), ("Patient", letter.patient))
    _context_lines(sheet, letter.context)
    for part in letter.parts:
        _section(sheet, part, 0)
    _closing(sheet, letter.closing)
    put_enclosed(sheet, letter.enclosed)
    for number, page in enumerate(sheet.pages, start=1):
        page += _page_frame(letter, urgency.strip(), number, len(sheet.pages))
    return paint(sheet.pages, Imprint(visible(letter.title), letter.created, visible(letter.identifier)), stamp)


def missing_glyphs(bundle: Mapping[str, Any]) -> tuple[str, ...]:
    """The characters of the document that no embedded face shows: they are printed as `[U+4E2D]`."""
    letter = read_letter(bundle)
    words = [*all_facts(letter), *(text for part in letter.parts for text in _part_texts(part))]
    return missing_characters("\n".join(words))


def stamp_pdf(pdf: bytes, stamp: str) -> bytes:
    """The same PDF with a stamp over each page, hollow so that all stays readable."""
    try:
        with pikepdf.open(io.BytesIO(pdf)) as target:
            if target.is_encrypted:
                raise RenditionError("pdf.encrypted", "an encrypted PDF cannot be stamped", remedy=_UNPROTECTED)
            sizes = [_page_size(page) for page in target.pages]
            with pikepdf.open(io.BytesIO(paint_stamps(sizes, stamp))) as stamps:
                for page, over in zip(target.pages, stamps.pages, strict=True):
                    _lay_over(target, page, over)
                return _saved(target)
    except pikepdf.PasswordError as error:
        raise RenditionError("pdf.encrypted", "a protected PDF cannot be stamped", remedy=_UNPROTECTED) from error
    except pikepdf.PdfError as error:
        raise RenditionError(
            "pdf.unreadable", "the embedded PDF cannot be read", remedy="Ask the sender for a sound PDF."
        ) from error


def _lay_over(target: pikepdf.Pdf, page: pikepdf.Page, over: pikepdf.Page) -> None:
    """One page's stamp, under a fixed name: pikepdf's own overlay draws names by lot, and bytes must repeat."""
    name = pikepdf.Name("/TduStamp")
    form = target.copy_foreign(over.as_form_xobject())
    page.add_resource(form, pikepdf.Name.XObject, name, replace_existing=True)
    placed = page.calc_form_xobject_placement(
        form, name, pikepdf.Rectangle(page.mediabox), invert_transformations=True, allow_shrink=True, allow_expand=True
    )
    page.contents_add(b"q\n", prepend=True)
    page.contents_add(b"\nQ\n" + placed)


def _page_size(page: pikepdf.Page) -> tuple[float, float]:
    left, bottom, right, top = (float(edge) for edge in page.mediabox)
    return abs(right - left), abs(top - bottom)


def _saved(pdf: pikepdf.Pdf) -> bytes:
    out = io.BytesIO()
    pdf.save(out, deterministic_id=True)
    return out.getvalue()


def _part_texts(part: Part) -> list[str]:
    return [part.title, blocks_text(part.blocks), *(text for inner in part.parts for text in _part_texts(inner))]


# -- first page -------------------------------------------------------------------------------------------------------


def _title_band(sheet: Sheet, letter: Letter, urgency: str) -> None:
    box = _urgency_box(urgency)
    box_width = max((mark.width for mark in box if isinstance(mark, Fill)), default=0.0)
    width = BODY_WIDTH - 10.0 - (box_width + 6.0 if box else 0.0)
    marks: list[Mark] = []
    y = 3.2
    for words, size, bold, colour in _title_lines(letter):
        for line in break_lines((Run(words, Ink(bold=bold)),), width, size):
            marks += line_marks(line, 6.0, y + size * POINT_MM * 1.0, size, colour)
            y += size * POINT_MM * 1.34
    height = max(y + 2.6, 17.0 if box else 0.0)
    band: list[Mark] = [Fill(0, 0, BODY_WIDTH, height, TINT), Fill(0, 0, 1.8, height, NAVY)]
    shift = BODY_WIDTH - box_width - 4.0
    placed = [moved(mark, shift, (height - 10.0) / 2) for mark in box]
    sheet.put([*band, *marks, *placed], height + 3.5)


def _title_lines(letter: Letter) -> list[tuple[str, float, bool, Colour]]:
    dated = f"Du {letter.date}" if letter.date else ""
    kind = " · ".join(words for words in (letter.kind, dated) if words)
    lines = [(letter.title, 15.0, True, NAVY)]
    if kind:
        lines.append((kind, 9.5, False, INK))
    lines += [(notice, 9.5, True, ALARM) for notice in letter.notices]
    return lines


def _urgency_box(urgency: str) -> list[Mark]:
    """Full for an urgent matter, framed for the sender's other words: both survive a fax."""
    if not urgency:
        return []
    word = visible(urgency.upper())
    size = 15.0
    while text_width(word, "B", size) > 50.0:
        size -= 1.0
    wide = text_width(word, "B", size) + 10.0
    full = urgency.casefold() == "urgent"
    marks: list[Mark] = [Fill(0, 0, wide, 10.0, ALARM if full else _WHITE)]
    if not full:
        corners = ((0.0, 0.0, wide, 0.0), (wide, 0.0, wide, 10.0), (wide, 10.0, 0.0, 10.0), (0.0, 10.0, 0.0, 0.0))
        marks += [Stroke(*corner, 0.7, INK) for corner in corners]
    marks.append(Words(5.0, 5.0 + size * POINT_MM * 0.36, word, "B", size, _WHITE if full else INK))
    return marks


def _two_boxes(sheet: Sheet, left: tuple[str, Sequence[Fact]], right: tuple[str, Sequence[Fact]]) -> None:
    width = (BODY_WIDTH - _BOX_GAP) / 2
    columns = [_fact_column(title, facts, width - 7.0) for title, facts in (left, right)]
    height = max(height for _, height in columns) + 3.2
    if height > _TALLEST_BOX:
        _flowing_facts(sheet, (left, right))
        return
    marks: list[Mark] = []
    for x, (inner, _) in zip((0.0, width + _BOX_GAP), columns, strict=True):
        marks += _frame(x, width, height)
        marks += [moved(mark, x + 3.5, 1.6) for mark in inner]
    sheet.put(marks, height + 3.0)


def _flowing_facts(sheet: Sheet, boxes: Sequence[tuple[str, Sequence[Fact]]]) -> None:
    """More facts than boxes hold (a document of forty authors): one after the other, over pages."""
    for title, facts in boxes:
        sheet.flow(_section_title(title, 1))
        for fact in facts:
            marks, height = _fact_marks(fact, BODY_WIDTH, 0.0)
            if fact.words:
                sheet.flow([Atom(height, tuple(marks))])
    sheet.y += 3.0


def _frame(x: float, width: float, height: float) -> list[Mark]:
    return [
        Stroke(x, 0, x + width, 0, 0.2, LINE),
        Stroke(x, height, x + width, height, 0.2, LINE),
        Stroke(x, 0, x, height, 0.2, LINE),
        Stroke(x + width, 0, x + width, height, 0.2, LINE),
    ]


def _fact_column(title: str, facts: Sequence[Fact], width: float) -> tuple[list[Mark], float]:
    marks: list[Mark] = [Words(0, 3.2, title.upper(), "B", 7.5, NAVY)]
    y = _FACTS_TOP
    for fact in facts:
        if fact.words:
            added, y = _fact_marks(fact, width, y)
            marks += added
    return marks, y


def _fact_marks(fact: Fact, width: float, y: float) -> tuple[list[Mark], float]:
    size = 10.0 if fact.strong and not fact.label else FACT_SIZE
    runs = [Run(f"{fact.label} : ", Ink())] if fact.label else []
    runs.append(Run(fact.words, Ink(bold=fact.strong)))
    marks: list[Mark] = []
    if size > FACT_SIZE and y > _FACTS_TOP:
        y += 1.0
    for line in break_lines(runs, width, size):
        marks += line_marks(line, 0.0, y + size * POINT_MM, size)
        y += size * POINT_MM * 1.3
    return marks, y


def _context_lines(sheet: Sheet, facts: Sequence[Fact]) -> None:
    """One line a fact, labels in a column of their own."""
    label_width = 33.0
    height = FACT_SIZE * POINT_MM * LEADING
    for fact in facts:
        lines = break_lines((Run(fact.words),), BODY_WIDTH - label_width, FACT_SIZE)
        for index, line in enumerate(lines):
            marks = line_marks(line, label_width, FACT_SIZE * POINT_MM, FACT_SIZE)
            if index == 0:
                marks.append(Words(0, FACT_SIZE * POINT_MM, visible(fact.label), "B", FACT_SIZE, NAVY))
            sheet.flow([Atom(height, tuple(marks))])
    sheet.y += 1.0


# -- sections ---------------------------------------------------------------------------------------------------------


def _section(sheet: Sheet, part: Part, depth: int) -> None:
    flow_blocks(sheet, part.blocks, BODY_SIZE, BODY_WIDTH, _section_title(part.title, depth))
    for inner in part.parts:
        _section(sheet, inner, depth + 1)


def _section_title(title: str, depth: int) -> list[Atom]:
    if not title:
        return []
    size = (11.5, 10.5, 9.5)[min(depth, 2)]
    height = size * POINT_MM * 1.3
    atoms = []
    lines = break_lines((Run(title, Ink(bold=True)),), BODY_WIDTH, size)
    for index, line in enumerate(lines):
        marks = line_marks(line, 0.0, size * POINT_MM, size, NAVY)
        last = index == len(lines) - 1
        if last and depth == 0:
            marks.append(Stroke(0, height + 0.4, BODY_WIDTH, height + 0.4, 0.35, NAVY))
        gap = (5.0, 3.4, 2.6)[min(depth, 2)] if index == 0 else 0.0
        atoms.append(Atom(height + (0.8 if last else 0.0), tuple(marks), gap, keep=True))
    return atoms


def _closing(sheet: Sheet, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        lines = break_lines((Run(sentence, Ink(italic=True)),), BODY_WIDTH, FACT_SIZE)
        atoms = [
            Atom(FACT_SIZE * POINT_MM * LEADING, tuple(line_marks(line, 0, FACT_SIZE * POINT_MM, FACT_SIZE)), 4.0 * (not index))
            for index, line in enumerate(lines)
        ]
        sheet.flow(atoms)


# -- every page -------------------------------------------------------------------------------------------------------


def _page_frame(letter: Letter, urgency: str, number: int, total: int) -> list[Mark]:
    marks = _footer(letter, number, total)
    return marks if number == 1 else marks + _running_head(letter, urgency)


def _running_head(letter: Letter, urgency: str) -> list[Mark]:
    """Whose document this is, on every page: pages of a fax part."""
    size = 8.5
    word = visible(urgency.upper())
    word_width = text_width(word, "B", size) if word else 0.0
    room = BODY_WIDTH - (word_width + 6.0 if word else 0.0)
    runs = (Run(letter.running_head, Ink(bold=True)), Run(f" — {letter.title}"))
    lines = break_lines(runs, room, size)
    if len(lines) > 1:  # cut, and it shows
        lines = [*break_lines(runs, room - text_width(" …", "B", size), size)]
    marks = line_marks(lines[0], LEFT, 15.5, size)
    if len(lines) > 1:
        marks.append(Words(LEFT + line_width(lines[0], size), 15.5, " …", "", size))
    if word:
        marks.append(Words(RIGHT - word_width, 15.5, word, "B", size, ALARM))
    marks.append(Stroke(LEFT, 17.6, RIGHT, 17.6, 0.3, NAVY))
    return marks


def _footer(letter: Letter, number: int, total: int) -> list[Mark]:
    size = 7.0
    y = BOTTOM + 6.6
    page = f"Page {number}/{total}"
    version = f" — version {letter.version}" if letter.version else ""
    reference = visible(f"{letter.identifier}{version}")
    while text_width(reference, "", size) > 100.0:
        size -= 0.5
    return [
        Stroke(LEFT, BOTTOM + 2.4, RIGHT, BOTTOM + 2.4, 0.2, LINE),
        Words(LEFT, y, "Document transmis par Trait d'union", "", 7.0, GREY),
        Words((LEFT + RIGHT - text_width(reference, "", size)) / 2, y, reference, "", size, GREY),
        Words(RIGHT - text_width(page, "B", 8.0), y, page, "B", 8.0, INK),
    ]
