"""A received page beside what was sent: alike through a bad line, different where somebody wrote."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from adapter.formats.fax_annex import deflate, inflate, inflate_all
from adapter.formats.page_cells import LEVELS, PRINT_BYTES
from adapter.formats.page_print import cells_in, compare_page, difference_picture, is_blank, print_of
from adapter.packaging.fax_page import RowsPerDot
from tests.builders.sent_fax import case_bundle, fax_of, noisy, struck, tagged, written_on


@pytest.fixture(scope="module")
def sheets() -> list[Image.Image]:
    """A cover and two pages of text."""
    return fax_of(case_bundle("cda-ldl-ses")).sheets[:3]


def test_a_print_is_a_byte_a_cell_and_the_same_for_the_same_sheet(sheets: list[Image.Image]) -> None:
    assert len(print_of(sheets[1])) == PRINT_BYTES
    assert print_of(sheets[1]) == print_of(sheets[1].convert("L"))
    assert max(print_of(sheets[1])) < len(LEVELS)


@pytest.mark.parametrize("seed", range(4))
def test_a_page_that_a_bad_line_brought_is_alike_either_way_up(sheets: list[Image.Image], seed: int) -> None:
    page = noisy(sheets[1], seed, skew=2.0)
    assert compare_page(page, print_of(sheets[1]), turns=(False,)).is_alike
    if seed == 0:
        turned = compare_page(page.rotate(180), print_of(sheets[1]))
        assert turned.is_alike and turned.overlay.turned


def test_a_page_at_standard_resolution_is_alike(sheets: list[Image.Image]) -> None:
    halves = sheets[1].convert("L").resize((1728, 1146), Image.Resampling.BOX).point(lambda tone: 255 if tone > 192 else 0)
    assert compare_page(halves, print_of(sheets[1]), turns=(False,)).is_alike


@pytest.mark.parametrize("seed", range(3))
def test_what_was_written_on_a_page_is_found_and_shown(sheets: list[Image.Image], seed: int) -> None:
    compared = compare_page(noisy(written_on(sheets[1], seed), seed), print_of(sheets[1]), turns=(False,))
    assert compared.is_same_page and not compared.is_alike
    assert any(spot.added for spot in compared.spots)
    assert difference_picture(sheets[1], compared).startswith(b"\x89PNG")


def test_what_was_erased_from_a_page_is_found(sheets: list[Image.Image]) -> None:
    page = sheets[1].convert("L")
    ImageDraw.Draw(page).rectangle((200, 600, 900, 800), fill=255)
    spots = compare_page(page, print_of(sheets[1]), turns=(False,)).spots
    assert spots and not any(spot.added for spot in spots)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_page_that_was_never_on_paper_is_known_and_one_stroke_through_a_word_is_seen(
    sheets: list[Image.Image], number: int
) -> None:
    print_ = print_of(sheets[number])
    for page in (sheets[number], tagged(sheets[number])):
        clean = compare_page(page, print_)
        assert clean.is_straight and clean.is_alike
    for pen in (3, 6):
        marked = compare_page(tagged(struck(sheets[number], pen)), print_)
        assert marked.is_straight and marked.is_same_page and not marked.is_alike
        assert all(spot.added and spot.columns < 12 for spot in marked.spots)


def test_a_page_that_was_on_paper_is_not_taken_for_a_straight_one(sheets: list[Image.Image]) -> None:
    assert not any(compare_page(noisy(sheets[1], seed), print_of(sheets[1]), turns=(False,)).is_straight for seed in range(4))


def test_rows_lost_on_the_line_leave_a_page_straight(sheets: list[Image.Image]) -> None:
    page = Image.new("L", (1728, 2288), 255)
    page.paste(sheets[1].crop((0, 0, 1728, 900)), (0, 0))
    page.paste(sheets[1].crop((0, 904, 1728, 2292)), (0, 900))
    assert compare_page(page, print_of(sheets[1])).is_straight


def test_a_stroke_is_framed_where_it_is(sheets: list[Image.Image]) -> None:
    page = sheets[1].convert("L")
    ImageDraw.Draw(page).line((320, 54 + 640 + 8, 420, 54 + 640 + 8), fill=0, width=4)
    shifted = Image.new("L", (1728, 2400), 255)
    shifted.paste(page, (3, 50))
    compared = compare_page(shifted, print_of(sheets[1]))
    (spot,) = compared.spots
    assert (spot.row, spot.column) == (20, 10) and spot.columns <= 4
    assert compared.overlay.affine[2] == 3 and compared.overlay.affine[5] == 54 + 50


def test_a_standard_page_is_held_against_its_own_print() -> None:
    fax = fax_of(case_bundle("cda-ldl-ses"), rows=RowsPerDot.STANDARD)
    print_ = fax.prints[1]
    clean, marked = compare_page(fax.sheets[1], print_), compare_page(struck(fax.sheets[1], 2), print_)
    assert clean.is_straight and clean.is_alike
    assert marked.is_straight and not marked.is_alike


def test_another_page_is_not_taken_for_this_one(sheets: list[Image.Image]) -> None:
    assert not compare_page(sheets[2], print_of(sheets[1]), turns=(False,)).is_same_page
    assert not compare_page(sheets[0], print_of(sheets[1]), turns=(False,)).is_same_page


def test_a_sheet_with_specks_only_is_blank_and_one_with_a_word_is_not(sheets: list[Image.Image]) -> None:
    blank, chance = Image.new("L", (1728, 2292), 255), random.Random(1)
    for _ in range(2000):
        blank.putpixel((chance.randrange(1728), chance.randrange(2292)), 0)
    assert is_blank(blank)
    assert not is_blank(written_on(Image.new("1", (1728, 2292), 255)))
    assert not any(map(is_blank, sheets))


@settings(max_examples=12, deadline=None)
@given(st.binary(max_size=2 * PRINT_BYTES), st.integers(1, 300), st.integers(1, 300))
def test_no_print_and_no_page_however_odd_raises(print_: bytes, wide: int, high: int) -> None:
    assert cells_in(print_).shape == cells_in(b"").shape
    compare_page(Image.new("L", (wide, high), 200), print_, turns=(False,))


@pytest.mark.parametrize("prints", [(), (b"\x01" * PRINT_BYTES,), (b"\x02" * PRINT_BYTES, b"\x03" * PRINT_BYTES)])
def test_prints_travel_behind_the_document_under_one_signature(prints: tuple[bytes, ...]) -> None:
    carried = inflate_all(deflate(b'{"a":1}', prints))
    assert (carried.document, carried.prints) == (b'{"a":1}', prints)
    assert inflate(deflate(b'{"a":1}', prints)) == b'{"a":1}'


def test_what_stands_behind_a_document_and_is_no_prints_is_none() -> None:
    assert inflate_all(deflate(b'{"a":1}\0\x02' + b"x" * PRINT_BYTES)).prints == ()


@pytest.mark.parametrize("top", range(344, 376, 5))
def test_a_black_band_with_white_letters_as_on_an_urgent_cover_is_as_it_was_sent(top: int) -> None:
    sheet = Image.new("1", (1728, 2292), 1)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((110, top, 1617, top + 170), fill=0)
    for left in range(620, 1100, 80):
        draw.rectangle((left, top + 40, left + 52, top + 125), fill=1)
    for row in range(700, 1900, 60):
        draw.line((110, row, 900, row), fill=0, width=4)
    found = compare_page(sheet, print_of(sheet))
    assert found.is_straight
    assert found.is_alike
