"""Codes whose squares a line spoilt: found again by the codes beside them, and by nothing else."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from adapter.formats import fax_codes
from adapter.formats.fax_annex import Annex, write_codes
from adapter.formats.fax_code_squares import SeenCode, codes_unseen
from adapter.formats.fax_codes import locate_codes
from adapter.packaging.fax_codes import Room, place_codes

FINE, STANDARD = Room(1728, 264, 2272), Room(1728, 132, 1136, rows_per_dot=2)


def _codes(size: int) -> tuple[bytes, ...]:
    return write_codes(Annex(b"", random.Random(size).randbytes(size)))


def _sheet(codes: tuple[bytes, ...], room: Room) -> tuple[Image.Image, list[tuple[int, int]]]:
    """The first page of codes, and where each code begins, its quiet zone left out."""
    page = place_codes(codes, room)[0]
    sheet = Image.new("L", (room.width, room.bottom + 20), 255)
    for image, place in page:
        sheet.paste(image, place)
    return sheet, [(x + 4 * image.width // 125, y + 4 * image.height // 125) for image, (x, y) in page]


def _repeated(sheet: Image.Image, start: int, rows: int) -> None:
    """Rows that came wrong: a receiver puts the last good one in their place."""
    sheet.paste(sheet.crop((0, start - 1, sheet.width, start)).resize((sheet.width, rows)), (0, start))


@pytest.mark.parametrize(("room", "size", "rows"), [(FINE, 8000, 14), (STANDARD, 3000, 9)])
def test_codes_side_by_side_that_lost_their_squares_are_found(
    room: Room, size: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = _codes(size)
    sheet, begins = _sheet(codes, room)
    _repeated(sheet, begins[0][1] + 4, rows)
    struck = {n for n, (_, top) in enumerate(begins) if top == begins[0][1]}
    found = locate_codes(sheet)
    assert set(found) == set(codes[: len(begins)])
    for n in struck:
        (left, top), (x, y) = found[codes[n]][0], begins[n]
        assert abs(left - x) <= 6 and abs(top - y) <= 6
    monkeypatch.setattr(fax_codes, "codes_unseen", lambda *_: iter(()))
    assert {codes.index(code) for code in locate_codes(sheet)} == set(range(len(begins))) - struck, "else this test shows nothing"


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_they_are_found_whichever_way_the_page_lies(turn: int) -> None:
    codes = _codes(8000)
    sheet, begins = _sheet(codes, FINE)
    _repeated(sheet, begins[3][1] + 4, 14)
    assert set(locate_codes(sheet.rotate(turn, expand=True))) == set(codes)


def _seen(sheet: Image.Image) -> list[SeenCode]:
    return [SeenCode(corners, 117) for corners in locate_codes(sheet).values()]


def test_nothing_is_looked_for_where_every_code_was_read() -> None:
    sheet, _ = _sheet(_codes(8000), FINE)
    assert len(_seen(sheet)) == 10
    assert list(codes_unseen(sheet, _seen(sheet))) == []


def test_without_a_code_that_was_read_nothing_tells_where_others_are() -> None:
    sheet, _ = _sheet(_codes(8000), FINE)
    assert list(codes_unseen(sheet, [])) == []


def test_each_code_that_was_not_read_gives_one_piece_that_holds_it() -> None:
    sheet, begins = _sheet(_codes(8000), FINE)
    seen = _seen(sheet)
    pieces = list(codes_unseen(sheet, seen[:1]))
    assert len(pieces) == 9
    boxes = [(left, top, left + piece.width, top + piece.height) for piece, (left, top) in pieces]
    held = [[n for n, (x, y) in enumerate(begins) if a <= x and x + 468 <= c and b <= y and y + 468 <= d] for a, b, c, d in boxes]
    (x, y) = seen[0].corners[0]
    (known,) = (n for n, (left, top) in enumerate(begins) if abs(left - x) < 9 and abs(top - y) < 9)
    assert sorted(held) == [[n] for n in range(10) if n != known]


def test_codes_cut_by_the_edge_of_the_page_and_pages_without_end_raise_nothing() -> None:
    sheet, begins = _sheet(_codes(8000), FINE)
    seen = _seen(sheet)[:1]
    left, top = begins[0]
    cut = sheet.crop((left + 20, top + 20, sheet.width - 130, sheet.height - 130))
    assert all(piece.width > 0 and piece.height > 0 for piece, _ in codes_unseen(cut, seen))
    assert list(codes_unseen(Image.new("L", (30, 30), 0), seen)) == []
    assert list(codes_unseen(Image.new("L", (1728, 6000), 0), seen)) == []
