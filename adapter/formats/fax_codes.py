"""Reads the codes of a received page: at any rotation, skewed, with specks and lost rows. Images in, bytes out.

Several looks at the same page, cheapest first, until what was found is enough: as it came, enlarged and smoothed, without its
specks. Measured (docs/reference/fax-annex.md): one of these looks reads what the others miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import zxingcpp
from PIL import Image, ImageFilter

_QR = zxingcpp.barcode_formats_from_str("QRCode")
# Dots of a standard page are twice as high as wide: what has fewer rows than this was sent so.
_STANDARD_ROWS = 1500
# No look has more: three times an A4 page of 300 dots an inch. An endless page would take gigabytes.
_MOST_LOOK_DOTS = 90_000_000

Corners = tuple[tuple[float, float], ...]


def locate_codes(page: Image.Image, is_enough: Callable[[set[bytes]], bool] = lambda _: False) -> dict[bytes, Corners]:
    """The content of every QR code on a page, with its corners: top left, top right, bottom right, bottom left as the code itself
    is turned, in dots. `is_enough`, asked after each look, spares the slower ones.
    """
    found: dict[bytes, Corners] = {}
    for look in _looks(page):
        across, down = page.width / look.width, page.height / look.height
        for code in zxingcpp.read_barcodes(look, formats=_QR):
            if code.valid:
                found.setdefault(code.bytes, _corners(code.position, across, down))
        if is_enough(set(found)):
            break
    return found


def quarter_turns(corners: Corners) -> int:
    """How many quarter turns clockwise lay a code upright, and with it the page that it was printed on: 0 to 3."""
    (left, top), (right, beside) = corners[0], corners[1]
    across, down = right - left, beside - top
    if abs(across) >= abs(down):
        return 0 if across > 0 else 2
    return 3 if down > 0 else 1


def _corners(at: zxingcpp.Position, across: float, down: float) -> Corners:
    points = (at.top_left, at.top_right, at.bottom_right, at.bottom_left)
    return tuple((point.x * across, point.y * down) for point in points)


def _looks(page: Image.Image) -> Iterator[Image.Image]:
    grey = page.convert("L")
    even = grey if grey.height > _STANDARD_ROWS else grey.resize((grey.width, grey.height * 2), Image.Resampling.BILINEAR)
    yield even
    dots = even.width * even.height
    if dots * 4 <= _MOST_LOOK_DOTS:
        yield even.resize((even.width * 2, even.height * 2), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1.1))
    yield even.filter(ImageFilter.MedianFilter(3))
    if dots * 9 <= _MOST_LOOK_DOTS:
        yield even.resize((even.width * 3, even.height * 3), Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(2.2))
