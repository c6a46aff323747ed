"""A received page that was never on paper since it was sent: the sender's own dots, moved by whole ones. Pure.

From fax server to fax server nothing turns, stretches or smooths a page: a tag line pushes it down, a few rows are lost or come
wrong, the rest is what was sent, to the dot. Its cells then are those of the print, to the rounding: so a page tells by itself
how it came, and what was written on it stands out by far less ink than on one that was printed and scanned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapter.formats.page_cells import CELL, COLUMNS, LEVELS, ROWS, SHEET_TOP
from adapter.formats.page_overlay import Cells
from adapter.formats.sheet_pages import FAX_DOTS, STANDARD_ROWS
from adapter.model.confidential import Confidential

# How far a page may lie from its place (rows of the page; dots), and how many rows may be lost or doubled beside that.
_DOWN, _ACROSS, _SLIP = 320, 24, 10
# Of the cells with ink, so many must be what the print says. Measured: 0.93 to 1 of what came by line, mostly under 0.88 of
# what was on paper; paper that is more like it than that is compared as well as what came straight.
_EXACT = 0.9
# A cell that differs by more counts as this: what is written on a page must not move it.
_MOST = 0.1
# What a change of height must better the fit by.
_CHANGE = 0.25
_ROUNDING = 1 / 64 + 1e-6


@dataclass(frozen=True, repr=False)
class Straight(Confidential):
    """The page's cells at their place. `down` (rows of the page) and `across` (dots): how far from where they were sent.

    `rows_per_dot`: 2 for a page of standard resolution.
    """

    cells: Cells
    down: int
    across: int
    rows_per_dot: int


def straight(page: Image.Image, sent: Cells) -> Straight | None:
    """The page when it is, but for a few cells, the very dots of this sheet; None when it is not, or came over paper."""
    if page.width != FAX_DOTS:
        return None
    grid = _Grid(page)
    down = grid.down(sent)
    across = grid.across(sent, down)
    cells = grid.row_by_row(sent, down, across)
    inked = (sent > 0) | (cells > _ROUNDING)
    if not inked.any() or (np.abs(cells - sent) <= rounding(sent))[inked].mean() < _EXACT:
        return None
    return Straight(cells, down, across, grid.rows_per_dot)


def rounding(sent: Cells) -> Cells:
    """By how much a cell of this level may differ from it and still be told by it."""
    levels = np.array(LEVELS)
    gaps = np.diff(levels, prepend=levels[0], append=levels[-1])
    halves = np.maximum(np.maximum(gaps[:-1], gaps[1:]) / 2, _ROUNDING) + 1e-6
    found: Cells = halves[np.abs(sent[..., None] - levels).argmin(-1)]
    return found


class _Grid:
    """Sums of ink over any rectangle of a page, by whole dots."""

    def __init__(self, page: Image.Image) -> None:
        self.rows_per_dot = 2 if page.height < STANDARD_ROWS else 1
        self._side = CELL // self.rows_per_dot
        ink = np.asarray(page.convert("L")) < 128
        margin = _DOWN + _SLIP
        high = max(ink.shape[0], (SHEET_TOP + ROWS * CELL) // self.rows_per_dot)
        # What lies beyond the page is white.
        room = np.zeros((1 + margin + high + margin, 1 + FAX_DOTS + 2 * _ACROSS), dtype=np.int32)
        room[1 + margin : 1 + margin + ink.shape[0], 1 + _ACROSS : 1 + _ACROSS + FAX_DOTS] = ink
        self._sums: NDArray[np.int32] = room.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
        self._tops = margin + SHEET_TOP // self.rows_per_dot + self._side * np.arange(ROWS + 1)
        self._lefts = _ACROSS + CELL * np.arange(COLUMNS + 1)

    def down(self, sent: Cells) -> int:
        """Where the rows of cells hold as much ink as was sent."""
        whole, wanted = self._sums[:, -1], sent.sum(1) * CELL * self._side
        most = _MOST * COLUMNS * CELL * self._side / 4
        coarse = _coarse(sent).sum(1) * CELL * self._side

        def gap(down: int) -> float:
            off = np.abs(np.diff(whole[self._tops + down]) - wanted)
            return float(np.clip(off - coarse, 0, most).sum())

        return min(range(-_DOWN, _DOWN + 1), key=lambda down: (gap(down), abs(down)))

    def across(self, sent: Cells, down: int) -> int:
        """Where the cells are most like those sent."""
        return min(range(-_ACROSS, _ACROSS + 1), key=lambda across: (_gaps(self._cells(down, across), sent).sum(), abs(across)))

    def row_by_row(self, sent: Cells, down: int, across: int) -> Cells:
        """The cells, each row of them at the height where it fits; the height changes where rows were lost, and seldom."""
        slips = [slip for slip in range(-_SLIP, _SLIP + 1) if abs(down + slip) <= _DOWN]
        tries = [self._cells(down + slip, across) for slip in slips]
        gaps = np.array([_gaps(one, sent).sum(1) for one in tries])
        costs, came = np.abs(np.array(slips)) * 1e-5, []
        for row in range(ROWS):
            cheapest = int(costs.argmin())
            came.append(np.where(costs <= costs[cheapest] + _CHANGE, np.arange(len(slips)), cheapest))
            costs = np.minimum(costs, costs[cheapest] + _CHANGE) + gaps[:, row]
        best, found = int(costs.argmin()), []
        for row in reversed(range(ROWS)):
            found.append(tries[best][row])
            best = int(came[row][best])
        return np.array(found[::-1])

    def _cells(self, down: int, across: int) -> Cells:
        corners = self._sums[np.ix_(self._tops + down, self._lefts + across)]
        found: Cells = np.diff(np.diff(corners, axis=0), axis=1) / (CELL * self._side)
        return found


def _gaps(cells: Cells, sent: Cells) -> Cells:
    found: Cells = np.clip(np.abs(cells - sent) - _coarse(sent), 0, _MOST)
    return found


def _coarse(sent: Cells) -> Cells:
    """What dark cells are rounded by beyond the others: the edge of a black band must not pull a page to another height."""
    found: Cells = np.maximum(0, rounding(sent) - _ROUNDING)
    return found
