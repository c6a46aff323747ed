"""The annex's codes as fax pages: QR drawn dot by dot on the fax's own grid, as large as one page allows.

Measured (docs/reference/fax-annex.md): the size of a module decides what survives a bad line, the level of correction hardly
does. So few codes are drawn large. At standard resolution a row of dots is twice as high: a module is half as many rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import segno
from PIL import Image

# Version 25 at level M, always: a reader knows what it looks for, and the module's size is a multiple of the dots.
VERSION, LEVEL = 25, "M"
MODULES = 117
QUIET = 4
# Dots per module, largest first: on a fine page, then on a standard one (rows are two dots high).
_FINE = (6, 5, 4)
_STANDARD = (6,)
MARGIN = 40
GAP = 36


@dataclass(frozen=True)
class Room:
    """Where codes may stand on a page of `width` dots: between two rows. `rows_per_dot`: 1 fine, 2 standard."""

    width: int
    top: int
    bottom: int
    rows_per_dot: int = 1


@dataclass(frozen=True)
class _Grid:
    dots: int
    columns: int
    rows: int

    @property
    def room(self) -> int:
        return self.columns * self.rows


def place_codes(codes: Sequence[bytes], room: Room) -> list[list[tuple[Image.Image, tuple[int, int]]]]:
    """For each page the drawn codes (mode 1) and where each goes; a page that cannot take them all large takes more, smaller."""
    sizes = _FINE if room.rows_per_dot == 1 else _STANDARD
    grids = [_grid(dots, room) for dots in sizes]
    grid = next((one for one in grids if one.room >= len(codes)), grids[-1])
    pages = [codes[start : start + grid.room] for start in range(0, len(codes), grid.room)]
    return [[(_draw(code, grid.dots, room), _place(n, grid, room)) for n, code in enumerate(page)] for page in pages]


def _side(dots: int, room: Room) -> tuple[int, int]:
    """Dots and rows that a code and its quiet zone take."""
    return (MODULES + 2 * QUIET) * dots, (MODULES + 2 * QUIET) * dots // room.rows_per_dot


def _grid(dots: int, room: Room) -> _Grid:
    wide, high = _side(dots, room)
    return _Grid(dots, (room.width - 2 * MARGIN + GAP) // (wide + GAP), (room.bottom - room.top) // high)


def _place(number: int, grid: _Grid, room: Room) -> tuple[int, int]:
    wide, high = _side(grid.dots, room)
    row, column = divmod(number, grid.columns)
    left = (room.width - grid.columns * wide - (grid.columns - 1) * GAP) // 2
    return left + column * (wide + GAP), room.top + row * high


def _draw(code: bytes, dots: int, room: Room) -> Image.Image:
    """One code with its quiet zone, one dot a module, then enlarged by whole dots: no edge falls between two."""
    symbol = segno.make_qr(code, version=VERSION, error=LEVEL, mode="byte", boost_error=False)
    side = MODULES + 2 * QUIET
    image = Image.new("1", (side, side), 255)
    image.putdata([0 if dark else 255 for row in symbol.matrix_iter(border=QUIET) for dark in row])
    return image.resize(_side(dots, room), Image.Resampling.NEAREST)
