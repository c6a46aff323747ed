"""A received file's pages: TIFF, PDF or picture; what is none of these, or too large, is refused with a sentence."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from adapter.errors import InputError
from adapter.formats.fax_codes import locate_codes, quarter_turns
from adapter.formats.sheet_pages import MAX_DOTS, pages_of, upright_png
from adapter.packaging.fax_codes import Room, place_codes
from adapter.packaging.tiff_f import write_tiff_f
from tests.builders.pdf_forms import blank


def _fax(count: int) -> bytes:
    return write_tiff_f([Image.new("1", (1728, 40 + number), 255) for number in range(count)], (204, 196))


def test_the_pages_of_a_fax_come_in_their_order() -> None:
    assert [page.height for page in pages_of(_fax(3))] == [40, 41, 42]
    assert all(page.getextrema() == (255, 255) for page in pages_of(_fax(2)))


def test_the_pages_of_a_pdf_come_at_204_dots_an_inch() -> None:
    pages = list(pages_of(blank("demande-avis")))
    assert len(pages) == 2
    assert all(abs(page.width - 1687) <= 1 and abs(page.height - 2386) <= 1 for page in pages)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_is_one_page(kind: str) -> None:
    out = io.BytesIO()
    Image.new("L", (80, 90), 200).save(out, kind)
    assert [page.size for page in pages_of(out.getvalue())] == [(80, 90)]


@pytest.mark.parametrize("content", [b"", b"not a fax", _fax(1)[:30], b"GIF89a" + bytes(60)])
def test_what_is_no_page_is_refused_with_a_sentence(content: bytes) -> None:
    with pytest.raises(InputError) as refused:
        list(pages_of(content))
    assert refused.value.code == "fax-page.unreadable"


def test_a_page_of_too_many_dots_is_refused_before_it_is_unpacked() -> None:
    side = int(MAX_DOTS**0.5) + 10
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    with pytest.raises(InputError) as refused:
        list(pages_of(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))))
    assert refused.value.code == "fax-page.too-large"


def test_a_page_longer_than_any_reader_of_codes_takes_is_refused_and_those_before_it_are_given() -> None:
    pages = pages_of(write_tiff_f([Image.new("1", (8, high), 255) for high in (30, 70_000)], (204, 196)))
    assert next(pages).size == (8, 30)
    with pytest.raises(InputError) as refused:
        next(pages)
    assert refused.value.code == "fax-page.too-large"


def test_a_damaged_pdf_is_refused_with_a_sentence() -> None:
    with pytest.raises(InputError) as refused:
        list(pages_of(b"%PDF-1.7\nnothing"))
    assert refused.value.code.startswith("pdf.")


@pytest.mark.parametrize(("dots", "high"), [((204, 196), 1000), ((204, 98), 2000)])
def test_a_page_to_look_at_is_as_high_as_it_is_on_paper(dots: tuple[int, int], high: int) -> None:
    (page,) = pages_of(write_tiff_f([Image.new("1", (1728, 1000), 255)], dots))
    shown = Image.open(io.BytesIO(upright_png(page, 0)))
    assert (shown.mode, shown.size) == ("1", (1728, high))


@pytest.mark.parametrize("turns", range(4))
def test_a_page_to_look_at_is_turned_upright_by_its_code(turns: int) -> None:
    page = Image.new("L", (1600, 1700), 255)
    ((code, place),) = place_codes([b"TDU:upright"], Room(1600, 40, 1000))[0]
    page.paste(code, place)
    turned = page.rotate(90 * turns, expand=True)
    corners = next(iter(locate_codes(turned).values()))
    shown = Image.open(io.BytesIO(upright_png(turned, quarter_turns(corners))))
    assert shown.convert("L").tobytes() == page.tobytes()
