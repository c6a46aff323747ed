"""A received page laid over what was sent: turned, skewed, stretched and shifted back, by the ink of large cells. Pure.

First roughly, by correlation over a few turns, skews and heights; then by least squares on six parameters, in which cells that
disagree weigh little (what is written on a page must not pull it along); at last each row of cells finds its own height, since
lines get lost on the way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapter.formats.page_cells import CELL, COLUMNS, ROWS, SHEET_TOP, SHEET_WIDTH
from adapter.model.confidential import Confidential

Cells = NDArray[np.float64]  # share of ink, ROWS × COLUMNS

_QUARTER = 4  # dots a pixel while the page is laid
_COARSE = 16
_HALF = 2
_SKEWS = (0.0, -0.75, 0.75, -1.5, 1.5, -2.25, 2.25, -3.0, 3.0)
# Rows of the received page for one of ours, beside the same: standard resolution, square dots of a scanner or a PDF.
_HEIGHTS = (1.0, 0.5, 204 / 196)
# How far ink is spread at each step, in passes of a small filter: lines of text must not be taken for their neighbours.
_BLURS = (24, 24, 12, 12, 6, 4, 2, 1, 0, 0)
# A cell that differs by so much weighs half.
_DOUBT = 0.05
_SHIFT_DOTS = 12


@dataclass(frozen=True, repr=False)
class Overlay(Confidential):
    """A received page as cells of ours. `likeness`: correlation with what was sent, 1 when alike; `turned`: it came upside down.

    `affine`: from pixels of a sheet of half size to those of the received page, as Pillow takes it.
    """

    cells: Cells
    likeness: float
    turned: bool
    affine: tuple[float, float, float, float, float, float]


def cells_of(sheet: Image.Image) -> Cells:
    """The share of ink in each cell of a fine sheet as it was drawn, its header strip left out."""
    ink = np.asarray(sheet.convert("L").crop((0, SHEET_TOP, COLUMNS * CELL, SHEET_TOP + ROWS * CELL))) < 128
    # What is cut off below the sheet's end comes as black from a crop: nothing is there.
    ink[max(0, sheet.height - SHEET_TOP) :] = False
    return _means(ink.astype(np.float64), CELL)


def laid_over(page: Image.Image, sent: Cells, turns: tuple[bool, ...] = (False, True)) -> Overlay:
    """The page at the place where it is most like what was sent; `turns` names the ways up to try (True: upside down)."""
    return max((_laid(page.rotate(180) if turned else page, sent, turned) for turned in turns), key=lambda one: one.likeness)


def _laid(page: Image.Image, sent: Cells, turned: bool) -> Overlay:
    small = _Small(page)
    start = max(_starts(small, sent), key=lambda one: one[0])[1]
    fine = _fitted(small, sent, start)
    half = _scaled(fine, _QUARTER / _HALF, small.factor)
    cells = _row_by_row(page, half, sent)
    return Overlay(cells, likeness(cells, sent), turned, tuple(half))


def likeness(one: Cells, other: Cells) -> float:
    """Correlation of two pages' cells; 0 when either is blank."""
    a, b = one - one.mean(), other - other.mean()
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


class _Small:
    """The received page at about a quarter of a fine sheet, its ink as 0 to 255."""

    def __init__(self, page: Image.Image) -> None:
        self.factor = page.width / (SHEET_WIDTH / _QUARTER)
        wide = SHEET_WIDTH // _QUARTER
        high = max(8, round(page.height / self.factor))
        grey = page.convert("L").resize((wide, high), Image.Resampling.BOX)
        self.image = grey.point([255 - tone for tone in range(256)])
        self.tall = page.height / self.factor / high  # what rounding did

    def warped(self, affine: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        moved = self.image.transform(size, Image.Transform.AFFINE, tuple(affine), Image.Resampling.BILINEAR)
        return np.asarray(moved, dtype=np.float64) / 255


def _starts(small: _Small, sent: Cells) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Rough places, with how well each fits: the best shift for each skew and height."""
    wanted = np.kron(sent - sent.mean(), np.ones((CELL // _COARSE, CELL // _COARSE)))
    high, wide = wanted.shape
    room = (high * 2, wide * 2)
    spectrum = np.conj(np.fft.rfft2(wanted, room))
    coarse = small.image.resize((wide, max(4, round(small.image.height * _QUARTER / _COARSE))), Image.Resampling.BOX)
    for height in _HEIGHTS:
        for degrees in _SKEWS:
            affine = _tilted(math.radians(degrees), height, wide, high)
            moved = coarse.transform((wide, high), Image.Transform.AFFINE, tuple(affine), Image.Resampling.BILINEAR)
            ink = np.asarray(moved, dtype=np.float64) / 255
            ink = ink - ink.mean()
            spread = math.sqrt(float((ink * ink).sum())) or 1.0
            fit = np.fft.irfft2(np.fft.rfft2(ink, room) * spectrum, room)
            down, across = np.unravel_index(int(fit.argmax()), fit.shape)
            dy, dx = (int(down) + high) % room[0] - high, (int(across) + wide) % room[1] - wide
            shifted = affine.copy()
            shifted[2] += affine[0] * dx + affine[1] * dy
            shifted[5] += affine[3] * dx + affine[4] * dy
            scale = _COARSE / _QUARTER
            yield float(fit.max()) / spread, shifted * np.array([1, 1, scale, 1, 1, scale])


def _tilted(angle: float, height: float, wide: int, high: int) -> NDArray[np.float64]:
    """Turned about the middle, in pixels of the coarse page."""
    cos, sin, x, y = math.cos(angle), math.sin(angle), wide / 2, high / 2
    top = SHEET_TOP / _COARSE
    return np.array([
        cos, -sin, x - cos * x + sin * y,
        height * sin, height * cos, height * (y + top - sin * x - cos * y),
    ])  # fmt: skip


def _fitted(small: _Small, sent: Cells, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares on the six parameters, the thickness of strokes and the ground; what disagrees weighs little."""
    side = CELL // _QUARTER
    size = (COLUMNS * side, ROWS * side)
    # Steps that move the far edge by about a pixel.
    nudges = np.array([1 / size[0], 1 / size[1], 1.0, 1 / size[0], 1 / size[1], 1.0])
    for blur in _BLURS:
        flat = _blurred(sent, blur).ravel()
        now = _blurred(_means(small.warped(affine, size), side), blur).ravel()
        slopes = np.empty((flat.size, 8))
        for number, nudge in enumerate(nudges):
            step = np.zeros(6)
            step[number] = nudge
            ahead = _blurred(_means(small.warped(affine + step, size), side), blur).ravel()
            slopes[:, number] = ahead - now
        slopes[:, 6], slopes[:, 7] = flat, 1.0
        thickness = _line(flat, now)
        rest = now - thickness[0] * flat - thickness[1]
        weight = 1 / (1 + (rest / _DOUBT) ** 2)
        heavy = slopes * weight[:, None]
        # A little ridge: on a nearly blank sheet some directions change nothing.
        solved = np.linalg.solve(heavy.T @ heavy + 1e-9 * np.eye(8), heavy.T @ (rest * weight))
        affine = affine - np.clip(solved[:6], -3, 3) * nudges
    return affine


def _line(sent: NDArray[np.float64], came: NDArray[np.float64]) -> tuple[float, float]:
    """came ≈ a × sent + b, by what most cells say."""
    weight = np.ones_like(sent)
    a, b = 1.0, 0.0
    for _ in range(4):
        total = weight.sum()
        x, y = (weight * sent).sum() / total, (weight * came).sum() / total
        spread = (weight * (sent - x) ** 2).sum()
        a = float((weight * (sent - x) * (came - y)).sum() / spread) if spread > 1e-9 else 1.0
        b = float(y - a * x)
        weight = 1 / (1 + ((came - a * sent - b) / _DOUBT) ** 2)
    return a, b


def thickness_of(sent: Cells, came: Cells) -> tuple[float, float]:
    """How much thicker strokes came than they were sent, and how grey the ground: came ≈ a × sent + b."""
    return _line(sent.ravel(), came.ravel())


def _blurred(cells: Cells, passes: int) -> Cells:
    for _ in range(passes):
        cells = np.pad(cells, 1)
        cells = (cells[:-2] + 2 * cells[1:-1] + cells[2:]) / 4
        cells = (cells[:, :-2] + 2 * cells[:, 1:-1] + cells[:, 2:]) / 4
    return cells


def _scaled(affine: NDArray[np.float64], out: float, factor: float) -> NDArray[np.float64]:
    """The same place for a larger sheet (`out` times) and the page itself (`factor` times)."""
    return np.array([
        affine[0] / out * factor, affine[1] / out * factor, affine[2] * factor,
        affine[3] / out * factor, affine[4] / out * factor, affine[5] * factor,
    ])  # fmt: skip


def _row_by_row(page: Image.Image, affine: NDArray[np.float64], sent: Cells) -> Cells:
    """The cells, each row of them at the height where it and its neighbours fit best."""
    side, room = CELL // _HALF, _SHIFT_DOTS // _HALF
    size = (COLUMNS * side, ROWS * side + 2 * room)
    raised = affine.copy()
    raised[2] -= affine[1] * room
    raised[5] -= affine[4] * room
    grey = page.convert("L").transform(size, Image.Transform.AFFINE, tuple(raised), Image.Resampling.BILINEAR, fillcolor=255)
    ink = 1 - np.asarray(grey, dtype=np.float64) / 255
    columns = ink.reshape(size[1], COLUMNS, side).mean(2)
    shifts = [_means_down(columns[shift : shift + ROWS * side], side) for shift in range(2 * room + 1)]
    gaps = np.array([((one - sent) ** 2 / (1 + ((one - sent) / _DOUBT) ** 2)).sum(1) for one in shifts])
    around = np.array([np.convolve(gap, np.ones(5), mode="same") for gap in gaps])
    # Where nothing is printed every height fits: the middle one is as good.
    around += np.abs(np.arange(2 * room + 1) - room)[:, None] * 1e-5
    best = around.argmin(0)
    return np.array([shifts[shift][row] for row, shift in enumerate(best)])


def _means(ink: NDArray[np.float64], side: int) -> Cells:
    high, wide = ink.shape
    means: Cells = ink.reshape(high // side, side, wide // side, side).mean((1, 3))
    return means


def _means_down(columns: NDArray[np.float64], side: int) -> Cells:
    means: Cells = columns.reshape(ROWS, side, COLUMNS).mean(1)
    return means
