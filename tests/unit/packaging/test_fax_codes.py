"""The annex drawn on fax pages and read back: any rotation, skew and specks, fine and standard pages."""

from __future__ import annotations

import random

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from adapter.formats import fax_codes
from adapter.formats.fax_annex import CODE_BYTES, Annex, write_codes
from adapter.formats.fax_codes import locate_codes
from adapter.packaging.fax_codes import Room, place_codes

FINE, STANDARD = Room(1728, 240, 2250), Room(1728, 120, 1125, rows_per_dot=2)


def _codes(size: int) -> tuple[bytes, ...]:
    return write_codes(Annex(b"", random.Random(size).randbytes(size)))


def _pages(codes: tuple[bytes, ...], room: Room) -> list[Image.Image]:
    sheets = []
    for placed in place_codes(codes, room):
        sheet = Image.new("1", (room.width, room.bottom + 42 // room.rows_per_dot), 255)
        for image, place in placed:
            sheet.paste(image, place)
        sheets.append(sheet)
    return sheets


def _read(sheets: list[Image.Image], wanted: tuple[bytes, ...]) -> set[bytes]:
    return {code for sheet in sheets for code in locate_codes(sheet, lambda found: set(wanted) <= found)}


@pytest.mark.parametrize("room", [FINE, STANDARD])
@pytest.mark.parametrize("size", [1, 900, 3000, 9000])
def test_every_code_that_is_drawn_is_read(size: int, room: Room) -> None:
    codes = _codes(size)
    assert _read(_pages(codes, room), codes) == set(codes)


@pytest.mark.parametrize("size", [900, 3000, 9000])
def test_the_fewer_the_codes_the_larger_each_and_none_touches_another(size: int) -> None:
    (page,) = place_codes(_codes(size), FINE)
    boxes = [(x, y, x + image.width, y + image.height) for image, (x, y) in page]
    assert all(
        left >= 0 and right <= FINE.width and FINE.top <= top and bottom <= FINE.bottom for left, top, right, bottom in boxes
    )
    assert not any(
        a < right and left < c and b < bottom and top < d
        for n, (left, top, right, bottom) in enumerate(boxes)
        for a, b, c, d in boxes[n + 1 :]
    )
    dots = {900: 6, 3000: 5, 9000: 4}[size]
    assert page[0][0].width == 125 * dots


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_lying_on_its_side_or_head_is_read(turn: int) -> None:
    codes = _codes(3000)
    (sheet,) = _pages(codes, FINE)
    assert _read([sheet.rotate(turn, expand=True)], codes) == set(codes)


def test_a_skewed_page_with_specks_and_a_lost_row_is_read() -> None:
    codes = _codes(4500)
    (sheet,) = _pages(codes, FINE)
    skewed = (
        sheet.convert("L").rotate(1.0, fillcolor=255, resample=Image.Resampling.BILINEAR).point(lambda tone: 255 * (tone > 127))
    )
    chance = random.Random(5)
    for _ in range(sheet.width * sheet.height // 200):
        place = chance.randrange(sheet.width), chance.randrange(sheet.height)
        skewed.putpixel(place, chance.choice((0, 255)))
    cut = chance.randrange(300, 1500)
    skewed.paste(skewed.crop((0, cut + 1, sheet.width, sheet.height)), (0, cut))
    assert _read([skewed], codes) == set(codes)


def test_a_page_without_codes_gives_none() -> None:
    assert locate_codes(Image.new("1", (1728, 2292), 255)) == {}


def test_a_tiny_cousin_of_the_code_beside_it_is_none_of_ours() -> None:
    codes = _codes(900)
    (sheet,) = _pages(codes, FINE)
    small = zxingcpp.write_barcode_to_image(zxingcpp.create_barcode("123", zxingcpp.BarcodeFormat.MicroQRCode), scale=6)
    sheet.paste(Image.fromarray(np.array(small)), (300, 2000))
    assert set(locate_codes(sheet)) == set(codes)


def test_a_full_code_holds_what_the_format_says() -> None:
    assert max(map(len, _codes(9000))) <= CODE_BYTES


def test_an_endless_page_is_not_enlarged_to_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(fax_codes.zxingcpp, "read_barcodes", lambda look, **_: looked.append(look.width * look.height) or [])
    locate_codes(Image.new("1", (2592, 15_400), 255))
    assert looked and max(looked) < 100_000_000
    looked.clear()
    locate_codes(Image.new("1", (2480, 3508), 255))
    assert len(looked) == 4, "an A4 page at 300 dots an inch has every look"
