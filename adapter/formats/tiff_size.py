"""How large the pages of a TIFF are, read from its directories alone: nothing is unpacked.

Source: TIFF 6.0 §2 (header, image file directories). A directory may name the next one anywhere, itself too: the walk is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adapter.errors import InputError

TIFF_HEADS = (b"II*\0", b"MM\0*")
MOST_DIRECTORIES = 10_000
_WIDTH, _ROWS = 256, 257
_SHORT, _LONG = 3, 4
_ENTRY_BYTES = 12


@dataclass(frozen=True)
class TiffPage:
    """One page, in dots."""

    width: int
    rows: int

    @property
    def dots(self) -> int:
        """All of them."""
        return self.width * self.rows


def is_tiff(content: bytes) -> bool:
    """True for both orders of bytes."""
    return content[:4] in TIFF_HEADS


def measure_tiff(content: bytes) -> tuple[TiffPage, ...]:
    """Its pages in their order. InputError `fax-page.unreadable` when it is cut off, has no page, or walks in circles."""
    order = "<" if content[:2] == b"II" else ">"
    pages: list[TiffPage] = []
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(f"{order}L", content, 4)
        while at:
            if at in seen or len(seen) == MOST_DIRECTORIES:
                raise _damaged()
            seen.add(at)
            page, at = _directory(content, at, order)
            pages.append(page)
    except struct.error:
        raise _damaged() from None
    if not pages:
        raise _damaged()
    return tuple(pages)


def _directory(content: bytes, at: int, order: str) -> tuple[TiffPage, int]:
    """One page and where the next directory stands; 0 after the last."""
    (count,) = struct.unpack_from(f"{order}H", content, at)
    sizes = {_WIDTH: 0, _ROWS: 0}
    for place in range(at + 2, at + 2 + count * _ENTRY_BYTES, _ENTRY_BYTES):
        tag, kind = struct.unpack_from(f"{order}HH", content, place)
        if tag in sizes and kind in (_SHORT, _LONG):
            (sizes[tag],) = struct.unpack_from(f"{order}{'H' if kind == _SHORT else 'L'}", content, place + 8)
    (following,) = struct.unpack_from(f"{order}L", content, at + 2 + count * _ENTRY_BYTES)
    return TiffPage(sizes[_WIDTH], sizes[_ROWS]), following


def _damaged() -> InputError:
    return InputError("fax-page.unreadable", "the file is no whole TIFF", remedy="Ask for the fax again.")
