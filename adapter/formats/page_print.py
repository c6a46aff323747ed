"""What a sheet looked like when it was sent, in a byte for each cell of 4 mm, and where a received page does not any more. Pure.

Prints travel in the signed annex: a receiver who cannot draw the sheet itself (another version, a file that was left out) sees
all the same what was written on it, struck out or lost. Specification and measurements: docs/reference/fax-annex.md.

A page that came straight, dot for dot (`page_straight`), is compared to the rounding of its print. Any other is laid over the
print (`page_overlay`), and its ink is compared cell by cell, by what paper and scanners do to it: single strokes get lost.
Nothing is read here: a difference is a place for a person to look at.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from adapter.formats.page_cells import CELL, COLUMNS, LEVELS, PRINT_BYTES, ROWS, SHEET_TOP
from adapter.formats.page_overlay import Cells, Overlay, cells_of, laid_over, likeness, thickness_of
from adapter.formats.page_straight import Straight, rounding, straight
from adapter.formats.sheet_pages import STANDARD_ROWS
from adapter.model.confidential import Confidential

# A page less like a print than this is another page.
SAME_PAGE = 0.8
# A sheet with less ink than this share is blank: nothing can be laid over it.
_BLANK = 0.0004
# What paper does to a cell: its ground, and a share of the ink in it or beside it (an edge that moved by half a dot). Measured.
_GROUND, _EDGE = 0.015, 0.08
# How many times that, over a window of cells, is no longer its doing: ink added, ink lost. Measured. A standard page has half the
# rows: how thick a thin line comes depends on where it falls between two.
_TOO_MUCH, _TOO_LITTLE = 6.0, 9.0
_TOO_MUCH_STANDARD, _TOO_LITTLE_STANDARD = 14.5, 9.5
# The same of a page that came straight, in ink beyond the print's rounding: in one cell, in eight together (2 × 4). Measured: no
# clean page has any; one wrong row in a line of text mostly has less.
_SHARP_MUCH, _SHARP_LITTLE = (0.015, 0.02), (0.04, 0.06)
_WINDOWS = ((1, 1), (1, 2), (2, 1), (2, 2), (1, 4), (2, 4), (3, 3))
_LEVELS = np.array(LEVELS)


@dataclass(frozen=True)
class Spot:
    """A rectangle of cells that differ: column and row from the top left, and how many. `added`: more ink than was sent."""

    column: int
    row: int
    columns: int
    rows: int
    added: bool


@dataclass(frozen=True, repr=False)
class Compared(Confidential):
    """A received page beside a print. `likeness`: correlation, 1 when alike. `spots`: where it differs.

    `is_straight`: it came dot for dot, so a single stroke is a spot; otherwise it was on paper, and a stroke may be none.
    """

    overlay: Overlay
    spots: tuple[Spot, ...]
    is_straight: bool = False

    @property
    def likeness(self) -> float:
        """How well the page lies on the print."""
        return self.overlay.likeness

    @property
    def is_same_page(self) -> bool:
        """True when it is this sheet, whatever was done to it."""
        return self.likeness >= SAME_PAGE

    @property
    def is_alike(self) -> bool:
        """True when it is this sheet and nothing on it differs beyond what a line does."""
        return self.is_same_page and not self.spots


def print_of(sheet: Image.Image) -> bytes:
    """The print of a fine sheet as it was drawn."""
    nearest = np.abs(cells_of(sheet)[..., None] - _LEVELS).argmin(-1)
    return bytes(nearest.astype(np.uint8).ravel())


def cells_in(print_: bytes) -> Cells:
    """The shares of ink that a print tells; a level that is none is the last one."""
    levels = np.frombuffer(print_[:PRINT_BYTES].ljust(PRINT_BYTES, b"\0"), np.uint8)
    return _LEVELS[np.minimum(levels, len(LEVELS) - 1)].reshape(ROWS, COLUMNS)


def is_blank(page: Image.Image) -> bool:
    """True when nothing but specks is on a received page."""
    small = page.convert("L").resize((216, 280), Image.Resampling.BOX).crop((8, 8, 208, 272))
    return sum(small.point([255 - tone if tone < 200 else 0 for tone in range(256)]).histogram()[64:]) < 4


def compare_page(page: Image.Image, print_: bytes, *, turns: tuple[bool, ...] = (False, True)) -> Compared:
    """A received page beside what was sent, either way up, or those ways up that `turns` names (True: upside down)."""
    sent = cells_in(print_)
    # Only paper comes upside down.
    if False in turns and (found := straight(page, sent)) is not None:
        return Compared(_placed(found, sent), tuple(_sharp_spots(sent, found.cells)), is_straight=True)
    overlay = laid_over(page, sent, turns)
    is_standard = page.height < STANDARD_ROWS
    return Compared(overlay, tuple(_spots(sent, overlay.cells, is_standard)))


def _placed(found: Straight, sent: Cells) -> Overlay:
    """Where a straight page lies, in the words of one that had to be laid."""
    rows = 2 / found.rows_per_dot
    affine = (2.0, 0.0, float(found.across), 0.0, rows, SHEET_TOP / found.rows_per_dot + found.down)
    return Overlay(found.cells, likeness(found.cells, sent), turned=False, affine=affine)


def _sharp_spots(sent: Cells, came: Cells) -> list[Spot]:
    rest, room = came - sent, rounding(sent)
    added = [Spot(*place, added=True) for place in _heaps(_beyond(rest - room, *_SHARP_MUCH))]
    return added + [Spot(*place, added=False) for place in _heaps(_beyond(-rest - room, *_SHARP_LITTLE))]


def _beyond(rest: Cells, of_one: float, of_eight: float) -> NDArray[np.bool_]:
    """Cells with so much beyond their rounding, alone or among eight."""
    over = np.maximum(0, rest)
    mask = over > of_one
    sums = np.pad(over, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    for row, column in np.argwhere(sums[2:, 4:] - sums[:-2, 4:] - sums[2:, :-4] + sums[:-2, :-4] > of_eight):
        mask[row : row + 2, column : column + 4] |= over[row : row + 2, column : column + 4] > 0
    return mask


def _spots(sent: Cells, came: Cells, is_standard: bool) -> list[Spot]:
    thickness, ground = thickness_of(sent, came)
    rest = came - thickness * sent - ground
    beside = np.pad(sent, 1)
    most = np.max([beside[down : down + ROWS, right : right + COLUMNS] for down in range(3) for right in range(3)], axis=0)
    weighed = rest / (_GROUND + _EDGE * most)
    too_much, too_little = (_TOO_MUCH_STANDARD, _TOO_LITTLE_STANDARD) if is_standard else (_TOO_MUCH, _TOO_LITTLE)
    added = [Spot(*place, added=True) for place in _heaps(_over(weighed, too_much))]
    return added + [Spot(*place, added=False) for place in _heaps(_over(-weighed, too_little))]


def _over(weighed: Cells, limit: float) -> NDArray[np.bool_]:
    """Cells of the windows in which there is more than the limit."""
    mask = np.zeros(weighed.shape, dtype=bool)
    sums = np.pad(weighed, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    for high, wide in _WINDOWS:
        total = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
        for row, column in np.argwhere(total > limit * (high * wide) ** 0.5):
            mask[row : row + high, column : column + wide] = True
    return mask


def _heaps(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """The rectangles around cells that touch each other."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found: list[tuple[int, int, int, int]] = []
    while left:
        todo, heap = [left.pop()], []
        while todo:
            row, column = todo.pop()
            heap.append((row, column))
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            todo += near
        rows, columns = [one[0] for one in heap], [one[1] for one in heap]
        found.append((min(columns), min(rows), max(columns) - min(columns) + 1, max(rows) - min(rows) + 1))
    return sorted(found, key=lambda one: (one[1], one[0]))


def difference_picture(page: Image.Image, compared: Compared) -> bytes:
    """The received page laid straight, at half size, with a frame around each place that differs (PNG): a person looks there."""
    side = CELL // 2
    upright = page.rotate(180) if compared.overlay.turned else page
    size = (COLUMNS * side, ROWS * side)
    affine = compared.overlay.affine
    straight = upright.convert("L").transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR, fillcolor=255)
    shown = straight.convert("RGB")
    draw = ImageDraw.Draw(shown)
    for spot in compared.spots:
        box = (spot.column * side - 4, spot.row * side - 4)
        end = ((spot.column + spot.columns) * side + 3, (spot.row + spot.rows) * side + 3)
        draw.rectangle((*box, *end), outline=(200, 0, 0) if spot.added else (0, 70, 200), width=3)
    out = io.BytesIO()
    shown.save(out, "PNG")
    return out.getvalue()
