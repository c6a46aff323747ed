"""Fax pages as one PDF, for a provider that rasterises them itself: our cover and strips, the document's pages, codes as shapes.

Whoever rasterises is unknown: words stay outlines, colours become black or white beforehand (a provider would dot a tint behind
the words), and a code's module is 0.78 mm. Measured (docs/reference/fax-annex.md): off the dot grid, 0.75 mm is the least that a
line of 98 rows an inch carries, three codes of version 25 a page. Same input, same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pikepdf
import segno
from PIL import Image

from adapter.errors import RenditionError
from adapter.packaging.fax_codes import LEVEL, MODULES, QUIET, VERSION
from adapter.packaging.fax_page import HEADER, HEIGHT, MAX_PAGES, SHEET_WIDTH, WIDTH, FaxCover, furniture
from adapter.packaging.page.pure_ink import in_black_and_white
from adapter.packaging.parcel import FaxPdfContent

MODULE_MM = 0.78
CODES_A_PAGE = 3
# More sheets of codes than that cost more of the line than they are worth: the annex is left out, and says so.
MOST_ANNEX_PAGES = 4
TOO_MANY_CODES = "annex left out: too-large"

_POINT = 72 / 25.4
_WIDE, _HIGH = 210.0, 297.0
_STRIP = HEADER / HEIGHT * _HIGH
# Two columns; the quiet zones keep codes apart. Under the annex's title and words.
_CODE = (MODULES + 2 * QUIET) * MODULE_MM
_LEFT, _TOP = (_WIDE - 2 * _CODE) / 2, 36.0
_PLACES = ((_LEFT, _TOP), (_LEFT + _CODE, _TOP), (_LEFT, _TOP + _CODE))


def build_fax_pdf(pdf: bytes, cover: FaxCover, attempt: int, stamp: str = "", codes: Sequence[bytes] = ()) -> FaxPdfContent:
    """Cover, pages and annex as one PDF. `pdf` bears the stamp already; RenditionError: it cannot be opened, or is too long."""
    groups = [codes[start : start + CODES_A_PAGE] for start in range(0, len(codes), CODES_A_PAGE)]
    note = ""
    if len(groups) > MOST_ANNEX_PAGES:
        groups, note = [], TOO_MANY_CODES
    with _opened(pdf) as source, pikepdf.new() as target:
        count = len(source.pages)
        drawn = furniture(cover, count, len(groups), stamp)
        _put_image(target, _new_page(target), drawn.cover)
        for page, strip in zip(source.pages, drawn.strips, strict=True):
            sheet = _new_page(target)
            _put_page(target, sheet, page)
            _put_image(target, sheet, strip)
        for group, image in zip(groups, drawn.annexes, strict=True):
            sheet = _new_page(target)
            _put_image(target, sheet, image)
            sheet.contents_add("\n".join(_shapes(group)).encode("ascii"))
        return FaxPdfContent(_saved(target), 1 + count + len(groups), attempt, note)


def sheet_as_pdf(sheet: Image.Image, attempt: int) -> FaxPdfContent:
    """One drawn sheet (a cancellation) as a PDF."""
    with pikepdf.new() as target:
        _put_image(target, _new_page(target), sheet)
        return FaxPdfContent(_saved(target), 1, attempt)


def _opened(pdf: bytes) -> pikepdf.Pdf:
    try:
        source = pikepdf.open(io.BytesIO(pdf))
    except pikepdf.PdfError as error:  # a protected one too
        raise RenditionError(
            "fax.unreadable-pdf", "the PDF cannot be opened", remedy="Ask the sender for a sound PDF."
        ) from error
    if not 0 < len(source.pages) <= MAX_PAGES:
        remedy = f"At most {MAX_PAGES} pages."
        raise RenditionError("fax.too-many-pages", f"{len(source.pages)} pages cannot be faxed", remedy=remedy)
    source.generate_appearance_streams()
    source.flatten_annotations("print")
    in_black_and_white(source)
    return source


def _new_page(target: pikepdf.Pdf) -> pikepdf.Page:
    return target.add_blank_page(page_size=(_WIDE * _POINT, _HIGH * _POINT))


def _put_image(target: pikepdf.Pdf, page: pikepdf.Page, image: Image.Image) -> None:
    """A drawing on the fax's dots, at the top of the sheet; what lies beside the 210 mm of the paper is left out."""
    side = (WIDTH - SHEET_WIDTH) // 2
    shown = image.crop((side, 0, side + SHEET_WIDTH, image.height))
    stream = pikepdf.Stream(target, shown.tobytes())
    stream.Type, stream.Subtype = pikepdf.Name.XObject, pikepdf.Name.Image
    stream.Width, stream.Height = shown.size
    stream.ColorSpace, stream.BitsPerComponent = pikepdf.Name.DeviceGray, 1
    page.add_resource(stream, pikepdf.Name.XObject, pikepdf.Name.TduDrawing)
    high = _HIGH * image.height / HEIGHT
    page.contents_add(f"q {_pt(_WIDE)} 0 0 {_pt(high)} 0 {_pt(_HIGH - high)} cm /TduDrawing Do Q".encode("ascii"))


def _put_page(target: pikepdf.Pdf, sheet: pikepdf.Page, page: pikepdf.Page) -> None:
    """One page of the document under its strip, never larger than it is; a page lying on its side is turned."""
    form = page.as_form_xobject()
    wide, high = _shown_size(form)
    if wide > high:
        page.rotate(90, relative=True)
        form = page.as_form_xobject()
        wide, high = high, wide
    room_wide, room_high = _WIDE * _POINT, (_HIGH - _STRIP) * _POINT
    scale = min(room_wide / wide, room_high / high, 1.0)
    left, top = (room_wide - wide * scale) / 2, room_high
    name = pikepdf.Name.TduPage
    own = target.copy_foreign(form)
    sheet.add_resource(own, pikepdf.Name.XObject, name)
    place = pikepdf.Rectangle(left, top - high * scale, left + wide * scale, top)
    placed = sheet.calc_form_xobject_placement(
        own, name, place, invert_transformations=True, allow_shrink=True, allow_expand=False
    )
    sheet.contents_add(placed)


def _shown_size(form: pikepdf.Object) -> tuple[float, float]:
    """Width and height in points of what a page shows, turned as it says."""
    left, bottom, right, top = (float(edge) for edge in form.BBox)
    a, b, c, d, *_ = (float(one) for one in form.get("/Matrix", pikepdf.Array([1, 0, 0, 1, 0, 0])))
    wide, high = abs(right - left), abs(top - bottom)
    return abs(a) * wide + abs(c) * high, abs(b) * wide + abs(d) * high


def _shapes(codes: Sequence[bytes]) -> Iterator[str]:
    """Drawing orders: each run of dark modules is one rectangle."""
    yield "0 g"
    for code, (left, top) in zip(codes, _PLACES, strict=False):
        symbol = segno.make_qr(code, version=VERSION, error=LEVEL, mode="byte", boost_error=False)
        for row, modules in enumerate(symbol.matrix):
            bottom = _HIGH - top - (QUIET + row + 1) * MODULE_MM
            for start, length in _runs(modules):
                x = left + (QUIET + start) * MODULE_MM
                yield f"{_pt(x)} {_pt(bottom)} {_pt(length * MODULE_MM)} {_pt(MODULE_MM)} re"
        yield "f"


def _runs(modules: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where dark modules begin, and how many follow each other."""
    start = -1
    for place, dark in enumerate([*modules, 0]):
        if dark and start < 0:
            start = place
        elif not dark and start >= 0:
            yield start, place - start
            start = -1


def _pt(millimetres: float) -> str:
    return f"{millimetres * _POINT:.4f}"


def _saved(target: pikepdf.Pdf) -> bytes:
    out = io.BytesIO()
    target.save(out, deterministic_id=True, compress_streams=True)
    return out.getvalue()
