"""From received pages to the draft of a form: boxes read, handwriting as pictures, notes outside the fields, pages put together.

Nothing here reads handwriting, and no page is joined to another when there is more than one way to do so: two patients may send
the same form in one call.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image

from adapter.formats.sheet_boxes import page_noise, read_boxes
from adapter.formats.sheet_ink import Area, Ink, ink_of, share, square_mm
from adapter.formats.sheet_marks import DOTS_PER_MM, SIZE, Straight
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.paper_draft import BoxReading, BoxState, DraftAnswer, FormDraft, SheetPage, Snippet
from adapter.model.sheet import CODE_CORNERS, CORNER_SIDE, CORNERS, PAGE_HEIGHT, PAGE_WIDTH, Place, PlaceKind, Sheet

# Square millimetres of ink that make a field written in: less than the figure 1 takes.
WRITTEN_LEAST = 0.5
# Of the ink of what is written, the share that comes as strokes and not as single dots: less is a light pen. Below, on pages of
# standard resolution, whole ticks were lost (docs/reference/figures.md).
PALE_MOST = 0.6
# Of the cells of `_CELL` millimetres that a note outside the fields fills at least one to this share.
NOTE_LEAST = 0.14

_CELL = 4
_COARSE = 6.0  # dots a millimetre, between standard and fine
_PALE_COUNTS = 2.0  # square millimetres: a field with less says nothing of the pen
_INSET = 0.8  # of a field, so that its frame is not taken for writing
_PICTURE_EDGE = 2.0  # of a snippet: letters leave their field
_LABEL_ROOM = 5.0  # above a field that is no line of a table: what is asked
_ABOVE_CHOICE, _BELOW_CHOICE = 10.0, 4.0  # of boxes: their question with its condition, what is written around them
_MARGIN = 6.0  # of a page: tag lines of fax machines, black edges
_NEAR_FIELD = 2.5  # writing that leaves a field belongs to it


@dataclass(frozen=True, repr=False)
class PrintedForm(Confidential):
    """A form as it is printed today: its places, and its empty pages as masks (`sheet_ink.printed_mask`)."""

    sheet: Sheet
    printed: tuple[Image.Image, ...]


def read_page(straight: Straight, form: PrintedForm) -> SheetPage:
    """One page of a form: its boxes, its handwriting, and what is to be said of it."""
    code = straight.code
    image = straight.image
    if image is None:
        return SheetPage(code.page, (), (), straight.findings, b"")
    places = form.sheet.pages[code.page - 1]
    ink = ink_of(image, form.printed[code.page - 1])
    boxes = read_boxes(ink, places, code.page)
    snippets = tuple(_snippets(image, ink, places, code.page))
    where = f"{code.slug} page {code.page}"
    said = (*_pale(ink, places, straight.fineness, where), *_notes(ink, places, where))
    return SheetPage(code.page, boxes, snippets, (*straight.findings, *said), _png(image))


def drafts_of(form: Sheet, pages: Sequence[SheetPage]) -> tuple[FormDraft, ...]:
    """The drafts that these pages of one form make: one, or one a page when a page came twice and not the same."""
    ordered = sorted(pages, key=lambda page: page.number)
    if len({page.number for page in ordered}) == len(ordered):
        return (_draft(form, ordered, ()),)
    said = Finding(
        Severity.WARNING, "sheet.pages-not-joined", "The same page of this form came more than once: pages are not put together.",
        form.slug, "Join by hand those that belong to one patient.",
    )  # fmt: skip
    return tuple(_draft(form, [page], (said,)) for page in ordered)


def _draft(form: Sheet, pages: Sequence[SheetPage], said: tuple[Finding, ...]) -> FormDraft:
    findings = list(said)
    found = {page.number for page in pages}
    for number in range(1, len(form.pages) + 1):
        if number not in found:
            text = "A page of this form was not received."
            findings.append(Finding(Severity.WARNING, "sheet.page-missing", text, f"{form.slug} page {number}", "Ask for it."))
    answers = tuple(answer for page in pages for answer in _answers(page.boxes))
    findings += [finding for page in pages for finding in page.findings]
    return FormDraft(form.slug, form.version, form.title, len(form.pages), tuple(pages), answers, tuple(findings))


def _answers(boxes: Sequence[BoxReading]) -> Iterator[DraftAnswer]:
    """The questions that bear a mark; one with a doubt has no value, only candidates."""
    for (link_id, row), group in groupby(boxes, key=lambda box: (box.place.link_id, box.place.row)):
        marked = [box for box in group if box.state is not BoxState.EMPTY]
        if not marked:
            continue
        doubts = tuple(dict.fromkeys(doubt for box in marked for doubt in box.doubts))
        single = marked[0].place.kind is PlaceKind.ONE
        sure = [box for box in marked if box.state is BoxState.TICKED and not (single and doubts)]
        yield DraftAnswer(
            link_id, row, marked[0].place.asked, tuple(box.place.value for box in sure),
            min((box.confidence for box in marked), default=0.0), tuple(box.place.value for box in marked), doubts,
        )  # fmt: skip


# -- writing ------------------------------------------------------------------------------------------------------------


def _snippets(image: Image.Image, ink: Ink, places: Sequence[Place], page: int) -> Iterator[Snippet]:
    fields = [place for place in places if place.kind is PlaceKind.WRITING]
    inside = [Area(place.x, place.y, place.width, place.height).grown(-_INSET) for place in fields]
    noise = page_noise([share(ink.raw.crop(area.dots)) for area in inside])
    for place, area in zip(fields, inside, strict=True):
        faint = (share(ink.raw.crop(area.dots)) - noise) * area.width * area.height
        if square_mm(ink.clean.crop(area.dots)) >= WRITTEN_LEAST or faint >= 4 * WRITTEN_LEAST:
            label = 0.0 if place.row else _LABEL_ROOM - _PICTURE_EDGE
            around = Area(place.x, place.y - label, place.width, place.height + label).grown(_PICTURE_EDGE)
            yield Snippet(place, page, _png(image.crop(_within(around))))


def picture_of(page: SheetPage, boxes: Sequence[BoxReading]) -> bytes:
    """These boxes of a page as a picture (PNG): a strip from edge to edge, for the question stands above its boxes or beside."""
    top = min(box.place.y for box in boxes) - _ABOVE_CHOICE
    below = max(box.place.y + box.place.height for box in boxes) + _BELOW_CHOICE
    around = Area(_MARGIN, top, PAGE_WIDTH - 2 * _MARGIN, below - top)
    return _png(Image.open(io.BytesIO(page.png)).convert("L").crop(_within(around)))


def _within(area: Area) -> tuple[int, int, int, int]:
    left, top, right, bottom = area.dots
    return max(left, 0), max(top, 0), min(right, SIZE[0]), min(bottom, SIZE[1])


def _png(image: Image.Image) -> bytes:
    """Black and white: a fax has no more."""
    out = io.BytesIO()
    image.point([0 if tone < 128 else 255 for tone in range(256)], mode="1").save(out, "PNG", optimize=True)
    return out.getvalue()


# -- a light pen ----------------------------------------------------------------------------------------------------------


def _pale(ink: Ink, places: Sequence[Place], fineness: float, where: str) -> Iterator[Finding]:
    """A hand whose writing came as single dots on a coarse page: of a tick in its boxes nothing at all may be left."""
    fields = [Area(p.x, p.y, p.width, p.height).grown(-_INSET) for p in places if p.kind is PlaceKind.WRITING]
    noise = page_noise([share(ink.raw.crop(area.dots)) for area in fields])
    ours = [area for area in fields if (share(ink.raw.crop(area.dots)) - noise) * area.width * area.height >= _PALE_COUNTS]
    inked = sum((share(ink.raw.crop(area.dots)) - noise) * area.width * area.height for area in ours)
    whole = sum(square_mm(ink.clean.crop(area.dots)) for area in ours)
    if fineness < _COARSE and ours and whole < PALE_MOST * inked:
        text = "A light pen on a page of standard resolution: boxes told empty may have been ticked."
        yield Finding(Severity.WARNING, "sheet.pale", text, where, "Look at the page before answers are left open.")


# -- notes outside the fields ---------------------------------------------------------------------------------------------


def _notes(ink: Ink, places: Sequence[Place], where: str) -> Iterator[Finding]:
    """A note in the margin, a stamp: said, with its place, for no field holds it."""
    whole = Area(0, 0, PAGE_WIDTH, PAGE_HEIGHT)
    left_over = ink.written(whole)
    for area in _spoken_for(places):
        left_over.paste(0, area.dots)
    cells = left_over.resize((SIZE[0] // (_CELL * DOTS_PER_MM), SIZE[1] // (_CELL * DOTS_PER_MM)), Image.Resampling.BOX)
    box = cells.point([255 if tone >= 255 * NOTE_LEAST else 0 for tone in range(256)]).getbbox()
    if box:
        left, top, right, bottom = (edge * _CELL for edge in box)
        text = "Something is written outside the fields: look at the page."
        yield Finding(Severity.WARNING, "sheet.written-outside", text, f"{where}: {left}-{right} × {top}-{bottom} mm")


def _spoken_for(places: Sequence[Place]) -> Iterator[Area]:
    yield from (Area(0, 0, PAGE_WIDTH, _MARGIN), Area(0, PAGE_HEIGHT - _MARGIN, PAGE_WIDTH, _MARGIN))
    yield from (Area(0, 0, _MARGIN, PAGE_HEIGHT), Area(PAGE_WIDTH - _MARGIN, 0, _MARGIN, PAGE_HEIGHT))
    (left, top), _, (right, bottom), _ = CODE_CORNERS
    yield Area(left, top, right - left, bottom - top).grown(2.0)
    for x, y in CORNERS:
        yield Area(x - CORNER_SIDE / 2, y - CORNER_SIDE / 2, CORNER_SIDE, CORNER_SIDE).grown(1.5)
    for place in places:
        yield Area(place.x, place.y, place.width + place.reach, place.height).grown(_NEAR_FIELD)
