"""Sets enclosed files after a letter: each page under a line that names its file, never without the banner of the patient."""

from __future__ import annotations

from collections.abc import Sequence

from adapter.packaging.page.enclosed import Enclosed, PagePicture
from adapter.packaging.page.faces import POINT_MM
from adapter.packaging.page.layout import BODY_WIDTH, INK, NAVY, TINT, Fill, Mark, Photo, Sheet, Stroke, break_lines, line_marks
from adapter.packaging.page.narrative import Ink, Run

_SIZE = 10.0
_SMALL = 9.0
_BAND = 8.4
_MOST_ENLARGED = 25.4 / 72  # millimetres a dot: a small picture is not blown up


def put_enclosed(sheet: Sheet, enclosed: Sequence[Enclosed]) -> None:
    """A new page for each page that is printed; one for all the files that cannot be."""
    absent: list[str] = []
    for number, one in enumerate(enclosed, start=1):
        for rank, picture in enumerate(one.pictures, start=1):
            sheet.new_page()
            _band(sheet, f"Pièce jointe n° {number} : {one.title}", f" — page {rank}/{len(one.pictures) + one.left}")
            _picture(sheet, picture)
        if one.left:
            absent.append(f"Pièce jointe n° {number} : {one.title}. Pages non imprimées : {one.left}. Les demander à l’émetteur.")
        elif one.problem:
            absent.append(f"Pièce jointe n° {number} : {one.title}. Non imprimée, {one.problem} : la demander à l’émetteur.")
    if absent:
        _absent(sheet, absent)


def _band(sheet: Sheet, words: str, place: str) -> None:
    """The separator: which file, which page of it."""
    width = BODY_WIDTH - 8.0
    lines = break_lines((Run(words, Ink(bold=True)), Run(place)), width, _SIZE)
    height = _BAND + (len(lines) - 1) * _SIZE * POINT_MM * 1.3
    marks: list[Mark] = [Fill(0, 0, BODY_WIDTH, height, TINT), Stroke(0, height, BODY_WIDTH, height, 0.5, NAVY)]
    for index, line in enumerate(lines):
        marks += line_marks(line, 4.0, 5.5 + index * _SIZE * POINT_MM * 1.3, _SIZE, NAVY)
    sheet.put(marks, height + 2.5)


def _picture(sheet: Sheet, picture: PagePicture) -> None:
    """As large as the page lets it, in the middle, framed so that its edge is seen."""
    scale = min(BODY_WIDTH / picture.wide, (sheet.room - 1.0) / picture.high, _MOST_ENLARGED)
    wide, high = picture.wide * scale, picture.high * scale
    left = (BODY_WIDTH - wide) / 2
    corners = ((0.0, 0.0, wide, 0.0), (wide, 0.0, wide, high), (wide, high, 0.0, high), (0.0, high, 0.0, 0.0))
    frame = [Stroke(left + x1, y1, left + x2, y2, 0.2) for x1, y1, x2, y2 in corners]
    sheet.put([Photo(left, 0.0, wide, high, picture.data), *frame], high)


def _absent(sheet: Sheet, sentences: Sequence[str]) -> None:
    """What a reader of the paper does not hold."""
    lines = [line for words in sentences for line in break_lines((Run(words, Ink(bold=True)),), BODY_WIDTH - 8.0, _SMALL)]
    step = _SMALL * POINT_MM * 1.4
    height = len(lines) * step + 5.0
    if height + 4.0 > sheet.room:
        sheet.new_page()
    sheet.y += 4.0
    box: list[Mark] = [
        Stroke(x1, y1, x2, y2, 0.6, INK)
        for x1, y1, x2, y2 in (
            (0.0, 0.0, BODY_WIDTH, 0.0), (BODY_WIDTH, 0.0, BODY_WIDTH, height), (BODY_WIDTH, height, 0.0, height),
            (0.0, height, 0.0, 0.0),
        )
    ]  # fmt: skip
    for index, line in enumerate(lines):
        box += line_marks(line, 4.0, 2.0 + (index + 1) * step - 0.8, _SMALL)
    sheet.put(box, height)
