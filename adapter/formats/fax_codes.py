"""Reads the codes of a received page: at any rotation, skewed, with specks and lost rows. Images in, bytes out.

Several looks at the same page, cheapest first, until what was found is enough: as it came, enlarged and smoothed, without its
specks; then at the places where a code must be that none of them found (`fax_code_squares`). Measured
(docs/reference/fax-annex.md): one of these looks reads what the others miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import cast

import zxingcpp
from PIL import Image, ImageFilter

from adapter.formats.fax_code_squares import Corners, SeenCode, codes_unseen

# Model 2 alone: its family has tiny cousins (Micro QR, rMQR) that a spoilt code or any page may seem to bear.
_QR = zxingcpp.barcode_formats_from_str("QRCodeModel2")
# Dots of a standard page are twice as high as wide: what has fewer rows than this was sent so.
_STANDARD_ROWS = 1500
# No look has more: three times an A4 page of 300 dots an inch. An endless page would take gigabytes.
_MOST_LOOK_DOTS = 90_000_000

# A part of the page to look at, where it begins, and the dots of the page for one of its own.
_Piece = tuple[Image.Image, tuple[float, float], tuple[float, float]]


def locate_codes(page: Image.Image, is_enough: Callable[[set[bytes]], bool] = lambda _: False) -> dict[bytes, Corners]:
    """The content of every QR code on a page, with its corners: top left, top right, bottom right, bottom left as the code itself
    is turned, in dots. `is_enough`, asked after each look, spares the slower ones.
    """
    found: dict[bytes, SeenCode] = {}
    for piece, (left, top), (across, down) in _pieces(page, found):
        for code in zxingcpp.read_barcodes(piece, formats=_QR):
            if code.valid:
                corners = tuple((left + x * across, top + y * down) for x, y in _corners(code.position))
                found.setdefault(code.bytes, SeenCode(corners, _modules(code)))
        if is_enough(set(found)):
            break
    return {content: code.corners for content, code in found.items()}


def quarter_turns(corners: Corners) -> int:
    """How many quarter turns clockwise lay a code upright, and with it the page that it was printed on: 0 to 3."""
    (left, top), (right, beside) = corners[0], corners[1]
    across, down = right - left, beside - top
    if abs(across) >= abs(down):
        return 0 if across > 0 else 2
    return 3 if down > 0 else 1


def _modules(code: zxingcpp.Barcode) -> int:
    """Along a side (ISO/IEC 18004 §6.1)."""
    return 17 + 4 * int(cast("dict[str, str]", code.extra)["Version"])


def _corners(at: zxingcpp.Position) -> Corners:
    return tuple((point.x, point.y) for point in (at.top_left, at.top_right, at.bottom_right, at.bottom_left))


def _pieces(page: Image.Image, found: Mapping[bytes, SeenCode]) -> Iterator[_Piece]:
    """Each look at the whole page, then at each place where a code is that is not among those `found` by then."""
    grey = page.convert("L")
    even = grey if grey.height > _STANDARD_ROWS else grey.resize((grey.width, grey.height * 2), Image.Resampling.BILINEAR)
    for look in _looks(even):
        yield look, (0, 0), (page.width / look.width, page.height / look.height)
    stretched = page.height / even.height
    seen = [SeenCode(tuple((x, y / stretched) for x, y in code.corners), code.modules) for code in found.values()]
    for piece, (left, top) in codes_unseen(even, seen):
        for look in _looks(piece):
            yield look, (left, top * stretched), (piece.width / look.width, stretched * piece.height / look.height)


def _looks(even: Image.Image) -> Iterator[Image.Image]:
    yield even
    dots = even.width * even.height
    if dots * 4 <= _MOST_LOOK_DOTS:
        yield even.resize((even.width * 2, even.height * 2), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1.1))
    yield even.filter(ImageFilter.MedianFilter(3))
    if dots * 9 <= _MOST_LOOK_DOTS:
        yield even.resize((even.width * 3, even.height * 3), Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(2.2))
