"""Fax pages: what every machine takes, a cover that names no patient, ink that survives black and white."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pikepdf
import pytest
from PIL import Image, ImageChops

from adapter.errors import RenditionError
from adapter.packaging.fax_page import DPI, HEADER, HEIGHT, WIDTH, FaxCover, RowsPerDot, build_fax
from adapter.packaging.page.layout import GREY, Words
from adapter.packaging.page.paint import Imprint, paint
from adapter.packaging.parcel import FaxContent
from adapter.packaging.tiff_f import write_tiff_f
from tests.builders.cda import tiny_pdf

COVER = FaxCover(
    sender="Hôpital d'essai – Médecine",
    recipient="Dr Sacha MODELE",
    fax_number="+33199000001",
    callback_number="0199000002",
    urgency="urgent",
    reference="TDU-1",
    date="21/11/2026",
)


def _frames(fax: FaxContent) -> list[Image.Image]:
    frames = []
    with Image.open(io.BytesIO(fax.tiff)) as tiff:
        for number in range(tiff.n_frames):  # type: ignore[attr-defined]
            tiff.seek(number)
            frames.append(tiff.copy())
    return frames


def _tags(fax: FaxContent) -> list[dict[int, Any]]:
    with Image.open(io.BytesIO(fax.tiff)) as tiff:
        found = []
        for number in range(tiff.n_frames):  # type: ignore[attr-defined]
            tiff.seek(number)
            found.append(dict(tiff.tag_v2))  # type: ignore[attr-defined]
        return found


def _ink(page: Image.Image) -> int:
    return page.convert("L").histogram()[0]


def _pages(*sizes: tuple[float, float], rotate: int = 0) -> bytes:
    pdf = pikepdf.new()
    for size in sizes:
        pdf.add_blank_page(page_size=size)
        page = pdf.pages[-1]
        page.contents_add(f"0 0 {size[0]} {size[1]} re S 40 40 200 20 re f".encode())
        page.rotate(rotate, relative=False)
    out = io.BytesIO()
    pdf.save(out, deterministic_id=True)
    return out.getvalue()


def test_pages_are_what_a_fax_machine_takes() -> None:
    fax = build_fax(_pages((595, 842), (595, 842)), COVER)
    assert fax.pages == 3
    for number, tags in enumerate(_tags(fax)):
        assert (tags[256], tags[257]) == (1728, 2292), "width and length"
        assert (float(tags[282]), float(tags[283]), tags[296]) == (204.0, 196.0, 2), "dots an inch"
        assert tags[259] == 4, "T.6"
        assert tags[262] == 0, "white is zero"
        assert tags[254] == 2 and tags[297] == (number, 3), "a page of several"
        assert len(tags[273]) == 1 and tags[278] == 2292, "one strip"


def test_paper_is_white_and_words_are_black() -> None:
    page = _frames(build_fax(tiny_pdf("Bonjour"), COVER))[1]
    assert page.mode == "1"
    assert page.getpixel((WIDTH - 1, HEIGHT - 1)) == 255
    assert 0 < _ink(page) < WIDTH * HEIGHT * 0.05


def test_the_same_page_gives_the_same_bytes() -> None:
    pdf = tiny_pdf()
    assert build_fax(pdf, COVER, "TEST").tiff == build_fax(pdf, COVER, "TEST").tiff


def test_the_cover_depends_on_nothing_in_the_document() -> None:
    first, second = build_fax(tiny_pdf("DURAND Marie"), COVER), build_fax(tiny_pdf("EXEMPLE Camille"), COVER)
    assert _frames(first)[0].tobytes() == _frames(second)[0].tobytes()
    assert _frames(first)[1].tobytes() != _frames(second)[1].tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": "Autre"},
        {"fax_number": "0199000009"},
        {"callback_number": "0199000009"},
        {"sender": "Autre"},
        {"sender_fax": "0199000009"},
        {"recipient_place": "Centre"},
        {"urgency": "semi-urgent"},
        {"urgency": ""},
        {"reference": "TDU-2"},
        {"date": "22/11/2026"},
    ],
)
def test_each_fact_of_the_cover_is_drawn(changes: dict[str, str]) -> None:
    pdf = tiny_pdf()
    assert _frames(build_fax(pdf, COVER))[0].tobytes() != _frames(build_fax(pdf, replace(COVER, **changes)))[0].tobytes()


def test_an_urgent_cover_bears_a_black_band() -> None:
    urgent, calm = (_frames(build_fax(tiny_pdf(), replace(COVER, urgency=word)))[0] for word in ("urgent", "non urgent"))
    assert _ink(urgent) > _ink(calm) + 150_000


def test_the_number_of_pages_is_on_the_cover_and_each_page_bears_its_own() -> None:
    short, long = build_fax(_pages((595, 842)), COVER), build_fax(_pages(*[(595, 842)] * 2), COVER)
    assert _frames(short)[0].tobytes() != _frames(long)[0].tobytes()
    heads = [frame.crop((0, 0, WIDTH, HEADER)).tobytes() for frame in _frames(long)[1:]]
    assert heads[0] != heads[1]


def test_an_urgent_page_bears_a_black_word_in_its_strip_whatever_the_resolution() -> None:
    for rows in RowsPerDot:
        urgent, calm = (build_fax(tiny_pdf(), replace(COVER, urgency=word), rows=rows) for word in ("urgent", "non urgent"))
        strips = [_frames(fax)[1].crop((WIDTH // 2, 0, WIDTH // 2 + 280, HEADER // rows)) for fax in (urgent, calm)]
        assert _ink(strips[0]) > 3 * _ink(strips[1])


def test_a_replacement_warns_in_black_above_everything_else_of_its_cover() -> None:
    follows = replace(COVER, follow_up="Ce document annule et remplace celui télécopié le 20/11/2026.")
    plain, warned = (_frames(build_fax(tiny_pdf(), cover))[0] for cover in (COVER, follows))
    assert _ink(warned) > _ink(plain) + 100_000


def test_the_notice_is_never_written_over() -> None:
    crowded = replace(COVER, follow_up="Ce document annule et remplace " * 8, recipient="x" * 400, recipient_place="y " * 300)
    foot = (0, HEIGHT - 470, WIDTH, HEIGHT)
    plain, full = (_frames(build_fax(tiny_pdf(), cover))[0].crop(foot) for cover in (COVER, crowded))
    assert plain.tobytes() == full.tobytes()


def test_words_too_long_for_the_cover_stay_on_it() -> None:
    cover = replace(COVER, sender="Établissement " * 12, recipient="x" * 120, reference="r" * 200)
    page = _frames(build_fax(tiny_pdf(), cover))[0]
    assert _ink(page.crop((WIDTH - 60, 0, WIDTH, HEIGHT))) == 0
    assert _ink(page.crop((0, 0, 60, HEIGHT))) == 0


def test_a_cover_without_recipient_is_possible_offline() -> None:
    assert build_fax(tiny_pdf(), FaxCover("A", "", "", "")).pages == 2


def test_grey_words_of_our_pages_survive_black_and_white() -> None:
    imprint = Imprint("x", datetime(2026, 11, 21, tzinfo=UTC), "y")
    black = paint([[Words(20, 100, "Document transmis par Trait d'union", "", 7.0, (0, 0, 0))]], imprint)
    grey = paint([[Words(20, 100, "Document transmis par Trait d'union", "", 7.0, GREY)]], imprint)
    body = (0, HEADER, WIDTH, HEIGHT)
    wanted, found = (_ink(_frames(build_fax(pdf, COVER))[1].crop(body)) for pdf in (black, grey))
    assert found > wanted * 0.75


def test_a_dark_scan_stays_readable() -> None:
    scan = Image.new("L", (850, 1100), 120)
    scan.paste(10, (100, 100, 700, 140))
    out = io.BytesIO()
    scan.save(out, "PDF")
    page = _frames(build_fax(out.getvalue(), COVER))[1]
    share = _ink(page) / (WIDTH * HEIGHT)
    assert 0.005 < share < 0.1, "the bar is black, the grey paper white"


@pytest.mark.parametrize("size", [(595, 842), (842, 595), (842, 1191), (100, 100), (612, 792), (3000, 200), (5, 5)])
@pytest.mark.parametrize("rotate", [0, 90])
def test_pages_of_any_size_fit_the_sheet(size: tuple[float, float], rotate: int) -> None:
    page = _frames(build_fax(_pages(size, rotate=rotate), COVER))[1]
    assert page.size == (WIDTH, HEIGHT)
    assert _ink(page.crop((0, HEADER, WIDTH, HEIGHT))) > 0
    assert _ink(page.crop((0, HEADER, 18, HEIGHT))) == 0, "margins of a sheet narrower than the line"


def test_round_things_stay_round() -> None:
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(595, 842))
    pdf.pages[0].contents_add(b"200 400 200 200 re f")
    out = io.BytesIO()
    pdf.save(out)
    page = _frames(build_fax(out.getvalue(), COVER))[1].crop((0, HEADER, WIDTH, HEIGHT))
    left, top, right, bottom = ImageChops.invert(page.convert("L")).getbbox() or (0, 0, 0, 0)
    assert abs((right - left) / DPI[0] - (bottom - top) / DPI[1]) < 0.02


def test_the_stamp_crosses_every_page_and_takes_no_ink_away() -> None:
    pdf = _pages((595, 842), (842, 595))
    for plain, stamped in zip(
        _frames(build_fax(pdf, COVER)), _frames(build_fax(pdf, COVER, "TEST – NE PAS UTILISER")), strict=True
    ):
        assert _ink(stamped) > _ink(plain) + 5000
        lost = ImageChops.subtract(stamped.convert("L"), plain.convert("L"))
        assert lost.getbbox() is None, "no black dot turned white"


def test_a_file_that_is_no_pdf_says_so() -> None:
    with pytest.raises(RenditionError) as refused:
        build_fax(b"rien", COVER)
    assert refused.value.code == "fax.unreadable-pdf"


def test_a_book_is_not_faxed() -> None:
    with pytest.raises(RenditionError) as refused:
        build_fax(_pages(*[(50, 50)] * 201), COVER)
    assert refused.value.code == "fax.too-many-pages"


def test_the_container_reads_back_dot_for_dot() -> None:
    page = Image.effect_noise((1728, 300), 90).convert("1")
    with Image.open(io.BytesIO(write_tiff_f([page, page], (204, 196)))) as back:
        assert back.n_frames == 2  # type: ignore[attr-defined]
        back.seek(1)
        assert back.tobytes() == page.tobytes()


def test_nothing_of_the_cover_reaches_a_repr() -> None:
    assert "MODELE" not in repr(COVER)
