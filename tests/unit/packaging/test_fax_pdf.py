"""Fax pages as a PDF: whoever rasterises them, at either resolution, codes are read back and words stay black on white."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from adapter.errors import RenditionError
from adapter.formats.fax_annex import Annex, write_codes
from adapter.formats.fax_codes import locate_codes
from adapter.packaging.fax_page import FaxCover
from adapter.packaging.fax_pdf import CODES_A_PAGE, MOST_ANNEX_PAGES, build_fax_pdf
from adapter.packaging.pdf import render_pdf
from tests.builders.cda import tiny_pdf
from tests.builders.fhir_document import build_discharge_letter
from tests.builders.pdf_forms import blank, filled
from tests.loudly import skip_loudly

COVER = FaxCover("CHU Nord", "Dr Exemple", "+33199001234", "+33199000000", urgency="urgent", reference="TDU-1", date="22/11/2026")
# Fine and standard resolution of a fax line (ITU-T T.4).
RESOLUTIONS = ((204, 196), (204, 98))
_A4 = (210 / 25.4, 297 / 25.4)


def _codes(size: int) -> tuple[bytes, ...]:
    return write_codes(Annex(b"", random.Random(size).randbytes(size)))


def _by_ghostscript(pdf: bytes, dpi: tuple[int, int], folder: Path) -> Iterator[Image.Image]:
    """As mail-to-fax gateways and HylaFAX do it."""
    (folder / "fax.pdf").write_bytes(pdf)
    device = ["-sDEVICE=tiffg4", f"-r{dpi[0]}x{dpi[1]}", "-sPAPERSIZE=a4", "-dFIXEDMEDIA", "-dPDFFitPage"]
    output = f"-sOutputFile={folder / 'fax.tif'}"
    subprocess.run(["gs", "-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", *device, output, str(folder / "fax.pdf")], check=True)
    with Image.open(folder / "fax.tif") as frames:
        for number in range(getattr(frames, "n_frames", 1)):
            frames.seek(number)
            yield frames.convert("L")


def _by_pdfium(pdf: bytes, dpi: tuple[int, int]) -> Iterator[Image.Image]:
    """Smoothed, then cut at the middle: another rasteriser's way."""
    document = pypdfium2.PdfDocument(pdf)
    for page in document:
        grey = page.render(scale=dpi[0] / 72, grayscale=True).to_pil().convert("L")
        small = grey.resize((round(_A4[0] * dpi[0]), round(_A4[1] * dpi[1])), Image.Resampling.BILINEAR)
        yield small.point(lambda tone: 255 if tone > 127 else 0)
    document.close()


def _read(pages: Iterator[Image.Image]) -> set[bytes]:
    return {code for page in pages for code in locate_codes(page)}


@pytest.mark.parametrize("dpi", RESOLUTIONS)
@pytest.mark.parametrize("size", [700, 2500, 8000])
def test_every_code_is_read_back_from_another_rasterisers_pages(size: int, dpi: tuple[int, int]) -> None:
    codes = _codes(size)
    fax = build_fax_pdf(tiny_pdf(), COVER, 1, codes=codes)
    assert fax.pages == 2 + -(-len(codes) // CODES_A_PAGE)
    assert _read(_by_pdfium(fax.pdf, dpi)) == set(codes)


@pytest.mark.parametrize("dpi", RESOLUTIONS)
@pytest.mark.parametrize("size", [700, 2500, 8000])
def test_every_code_is_read_back_from_ghostscripts_pages(size: int, dpi: tuple[int, int], tmp_path: Path) -> None:
    if shutil.which("gs") is None:
        skip_loudly("ghostscript is not installed (run `sudo make test`): pdfium alone judged the pages")
    codes = _codes(size)
    fax = build_fax_pdf(tiny_pdf(), COVER, 1, "TEST – NE PAS UTILISER", codes)
    assert _read(_by_ghostscript(fax.pdf, dpi, tmp_path)) == set(codes)


@pytest.mark.parametrize("dpi", RESOLUTIONS)
def test_a_skewed_page_of_a_provider_with_specks_is_read(dpi: tuple[int, int]) -> None:
    codes = _codes(2500)
    chance = random.Random(7)
    worn = []
    for page in list(_by_pdfium(build_fax_pdf(tiny_pdf(), COVER, 1, codes=codes).pdf, dpi))[2:]:
        skewed = page.rotate(0.6, fillcolor=255, resample=Image.Resampling.BILINEAR).point(lambda tone: 255 if tone > 127 else 0)
        for _ in range(skewed.width * skewed.height // 250):
            skewed.putpixel((chance.randrange(skewed.width), chance.randrange(skewed.height)), chance.choice((0, 255)))
        worn.append(skewed)
    assert _read(iter(worn)) == set(codes)


def test_an_annex_of_too_many_pages_is_left_out_with_its_reason() -> None:
    longest = build_fax_pdf(tiny_pdf(), COVER, 1, codes=_codes(MOST_ANNEX_PAGES * CODES_A_PAGE * 970 - 1500))
    too_long = build_fax_pdf(tiny_pdf(), COVER, 1, codes=_codes(MOST_ANNEX_PAGES * CODES_A_PAGE * 970 + 10))
    assert (longest.pages, longest.note) == (2 + MOST_ANNEX_PAGES, "")
    assert (too_long.pages, too_long.note) == (2, "annex left out: too-large")


def test_the_same_document_gives_the_same_bytes_and_the_cover_names_nothing_of_it() -> None:
    first, again = (build_fax_pdf(tiny_pdf("DURAND Marie"), COVER, 1, "TEST", _codes(900)) for _ in range(2))
    assert first.pdf == again.pdf
    other = build_fax_pdf(tiny_pdf("EXEMPLE Camille"), COVER, 1, "TEST", _codes(900))
    covers = [next(_by_pdfium(fax.pdf, (204, 196))).tobytes() for fax in (first, other)]
    assert covers[0] == covers[1]


def test_tints_become_paper_and_words_of_any_colour_black() -> None:
    """Else a provider would dot them: no grey is left in what it gets."""
    document = pypdfium2.PdfDocument(build_fax_pdf(render_pdf(build_discharge_letter(), urgency="urgent"), COVER, 1).pdf)
    page = document[1].render(scale=4, grayscale=True).to_pil().convert("L").crop((0, 120, 2380, 3360))
    counts = page.histogram()
    solid = counts[0] + counts[255]
    assert counts[0] > 10_000, "words are there"
    assert sum(counts) - solid < counts[0], "what is between black and white are the smoothed edges of letters"
    assert max(counts[1:255]) < counts[0] / 10, "no tint"


def _pdf_of(size: tuple[float, float], drawing: bytes, rotate: int = 0) -> bytes:
    pdf = pikepdf.new()
    page = pdf.add_blank_page(page_size=size)
    page.contents_add(drawing)
    page.rotate(rotate, relative=False)
    out = io.BytesIO()
    pdf.save(out)
    return out.getvalue()


def _ink(fax: bytes) -> tuple[int, int, int, int]:
    """The box of what the second page shows under its strip, at 72 dots an inch."""
    document = pypdfium2.PdfDocument(fax)
    page = document[1].render(scale=1, grayscale=True).to_pil().convert("L")
    box = page.crop((0, 24, page.width, page.height)).point(lambda tone: 255 if tone < 128 else 0).getbbox()
    assert box is not None
    return box[0], box[1] + 24, box[2], box[3] + 24


def test_a_landscape_page_is_turned_a_larger_one_shrunk_and_a_small_one_left_as_it_is() -> None:
    full = b"0 0 %d %d re f"
    assert _ink(build_fax_pdf(_pdf_of((842, 595), full % (842, 595)), COVER, 1).pdf)[3] >= 840
    left, top, right, bottom = _ink(build_fax_pdf(_pdf_of((1190, 1684), full % (1190, 1684)), COVER, 1).pdf)
    assert right - left <= 596 and bottom - top <= 842 - 18
    left, top, right, bottom = _ink(build_fax_pdf(_pdf_of((300, 400), full % (300, 400)), COVER, 1).pdf)
    assert (right - left, bottom - top) == (pytest.approx(300, abs=2), pytest.approx(400, abs=24))


def test_what_a_reader_typed_into_a_form_is_on_the_page() -> None:
    plain, typed = (build_fax_pdf(pdf, COVER, 1).pdf for pdf in (blank(), filled({"patient": {"nom": "EXEMPLE"}})))
    first, second = (list(_by_pdfium(pdf, (204, 98)))[1].tobytes() for pdf in (plain, typed))
    assert first != second


def test_a_pdf_that_cannot_be_opened_is_refused_as_on_the_line() -> None:
    with pytest.raises(RenditionError, match="cannot be opened"):
        build_fax_pdf(b"%PDF-1.4 no", COVER, 1)


def test_the_attempt_travels() -> None:
    assert replace(build_fax_pdf(tiny_pdf(), COVER, 4), pdf=b"").attempt == 4
