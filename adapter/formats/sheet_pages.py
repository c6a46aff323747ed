"""A received file to its pages, one image at a time: TIFF as fax machines write it, PDF as scanners do, or one picture.

Sizes are bounded before anything is unpacked: a page is at most `MAX_DOTS`, whatever its file says.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator, Sequence

import pypdfium2
from PIL import Image, UnidentifiedImageError

from adapter.errors import InputError
from adapter.formats.pdf import ONE_AT_A_TIME, inspect_pdf
from adapter.formats.pdf_form import is_pdf

MAX_PAGES = 200
MAX_DOTS = 40_000_000  # A4 at 600 dots an inch
MAX_SIDE = 65_535  # no reader of codes looks at a longer page: eight metres of fax
_PDF_DPI = 204
# A page so wide and no higher was sent at standard resolution, whose dots are twice as high as wide.
FAX_DOTS, STANDARD_ROWS = 1728, 1500
_NO_DATE = time.gmtime(0)  # when a PDF was made would make it another file each time
_PICTURES = ("TIFF", "PNG", "JPEG")


def pages_of(content: bytes) -> Iterator[Image.Image]:
    """The pages in their order. Raises InputError `fax-page.*`, `pdf.*` when reached: pages before it were given."""
    yield from _pdf_pages(content) if is_pdf(content) else _picture_pages(content)


def upright_png(page: Image.Image, turns: int) -> bytes:
    """A page for a person to look at: black and white, turned by so many quarters clockwise, as high as it is on paper."""
    tall = page.resize((page.width, page.height * 2)) if _is_standard(page) else page
    straight = tall.rotate(-90 * turns, expand=True) if turns else tall
    out = io.BytesIO()
    straight.point([0 if tone < 128 else 255 for tone in range(256)], mode="1").save(out, "PNG", optimize=True)
    return out.getvalue()


def pages_pdf(pictures: Sequence[bytes], dots_per_inch: float) -> bytes:
    """Pictures of pages (PNG, black and white) as one PDF, one a page. Same pictures, same bytes."""
    first, *others = [Image.open(io.BytesIO(picture)) for picture in pictures]
    out = io.BytesIO()
    first.save(
        out,
        "PDF",
        save_all=True,
        append_images=others,
        resolution=dots_per_inch,
        title="",
        creationDate=_NO_DATE,
        modDate=_NO_DATE,
    )
    return out.getvalue()


def _is_standard(page: Image.Image) -> bool:
    """True when dots are twice as high as wide: as its file says, else by the shape of a fax page."""
    across, down = page.info.get("dpi", (0, 0))
    if across > 0 and down > 0:
        return bool(down < 0.75 * across)
    return page.width == FAX_DOTS and page.height <= STANDARD_ROWS


def _picture_pages(content: bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content), formats=_PICTURES) as file:
            number = 0
            while True:
                if number >= MAX_PAGES:
                    raise InputError("fax-page.too-many", f"the file has more than {MAX_PAGES} pages", remedy="Split it.")
                file.seek(number)
                _refuse_too_large(file.width, file.height, number)
                yield file.convert("L")
                number += 1
    except EOFError:
        return
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, TypeError, KeyError) as error:
        said = "the file is no TIFF, PDF, PNG or JPEG, or it is damaged"
        raise InputError("fax-page.unreadable", said, remedy="Ask for the fax again.") from error


def _pdf_pages(content: bytes) -> Iterator[Image.Image]:
    facts = inspect_pdf(content)
    if facts.pages > MAX_PAGES:
        raise InputError("fax-page.too-many", f"the file has more than {MAX_PAGES} pages", remedy="Split it.")
    for number in range(facts.pages):
        with ONE_AT_A_TIME:
            try:
                document = pypdfium2.PdfDocument(content)
                try:
                    page = document[number]
                    wide, high = page.get_size()
                    scale = _PDF_DPI / 72
                    _refuse_too_large(math.ceil(wide * scale), math.ceil(high * scale), number)
                    image = page.render(scale=scale, grayscale=True).to_pil().copy()
                finally:
                    document.close()
            except pypdfium2.PdfiumError as error:
                raise InputError(
                    "fax-page.unreadable", "a page of the PDF cannot be drawn", where=f"page {number + 1}"
                ) from error
        yield image


def _refuse_too_large(width: int, height: int, number: int) -> None:
    if width * height > MAX_DOTS or max(width, height) > MAX_SIDE:
        said = f"a page has more than {MAX_DOTS} dots, or a side of more than {MAX_SIDE}"
        raise InputError("fax-page.too-large", said, where=f"page {number + 1}", remedy="Scan it coarser.")
