"""The codes of a page that no look finds, because a bad row of the line went through one of the squares that they are found by.

A code that was read tells how large a module is here and which way the page lies. So the three squares of the others are looked
for where they must be, together, by likeness instead of to the dot, and drawn anew: what is between them is as good as that of
any other code, and its own redundancy mends it. Pure: an image in, images out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# Half the sides of the squares of a QR code (ISO/IEC 18004 §6.3.3) in modules, from the quiet zone inwards, and their colours.
_SQUARES = ((4.5, 255), (3.5, 0), (2.5, 255), (1.5, 0))
_CENTRE = 3.5  # modules from a code's edge to the middle of a square
# Of three squares (each 1 when it is there to the dot), so much must be seen. Measured on lines with three runs of two to five
# bad rows: 2.5 and more where a code is, at most 1.65 where none is.
_LIKE = 1.9
# Modules around a known square where no other code begins; and how many codes a page is searched for.
_OWN, _MOST_CODES = 10, 24
# Dots by which a square may lie beside its place: skew, a lost row, a stretched page.
_PLAY = 4
_MOST_DOTS = 10_000_000

Corners = tuple[tuple[float, float], ...]
_Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class SeenCode:
    """A code that was read: its corners in dots (top left, top right, bottom right, bottom left), its side in modules."""

    corners: Corners
    modules: int


@dataclass(frozen=True)
class _Lie:
    """How codes lie on a page: one module across and one down, in dots; from a square to the next, the same."""

    across: NDArray[np.float64]
    down: NDArray[np.float64]
    modules: int

    @property
    def squares(self) -> tuple[NDArray[np.float64], ...]:
        """From the square of the upper left corner to each of the three."""
        far = self.modules - 2 * _CENTRE
        return 0 * self.across, far * self.across, far * self.down


def codes_unseen(page: Image.Image, seen: Iterable[SeenCode]) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """A piece of the page (mode L) for each place where a code must be that was not read, its squares drawn anew; and where the
    piece begins (dots across, down). None when no code was read: nothing tells how large a module is.
    """
    known = tuple(seen)
    if not known or page.width * page.height > _MOST_DOTS:
        return
    lie = _lie(known)
    likeness = _likeness(np.asarray(page), lie)
    for squares in _places(likeness, lie, known):
        yield _piece(page, squares, lie)


def _lie(known: tuple[SeenCode, ...]) -> _Lie:
    sizes = [code.modules for code in known]
    modules = max(set(sizes), key=sizes.count)
    corners = np.array([code.corners for code in known if code.modules == modules])
    top_left, top_right, bottom_right, bottom_left = (corners[:, n] for n in range(4))
    across = np.median(top_right - top_left + bottom_right - bottom_left, axis=0) / 2 / modules
    down = np.median(bottom_left - top_left + bottom_right - top_right, axis=0) / 2 / modules
    return _Lie(across, down, modules)


def _likeness(page: NDArray[np.uint8], lie: _Lie) -> _Numbers:
    """For each dot, how much what is around it looks like a square: 1 to the dot, 0 as anything, -1 its contrary."""
    ink = np.where(page < 128, 1, -1).astype(np.int32)
    sums = np.pad(ink.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    across, down = np.abs(lie.across) + np.abs(lie.down)
    rings = [(max(1, round(half * float(down) - 0.5)), max(1, round(half * float(across) - 0.5))) for half, _ in _SQUARES]
    total = np.zeros(page.shape, np.float32)
    for sign, (high, wide) in zip((-1, 2, -2, 2), rings, strict=True):
        total += np.float32(sign) * _around(sums, high, wide)
    high, wide = rings[0]
    return total / np.float32((2 * high + 1) * (2 * wide + 1))


def _around(sums: NDArray[np.int32], high: int, wide: int) -> _Numbers:
    """The sum of what lies within so many dots of each one; 0 where the page ends before."""
    out = np.zeros((sums.shape[0] - 1, sums.shape[1] - 1), np.float32)
    rows, columns = out.shape[0] - 2 * high, out.shape[1] - 2 * wide
    if rows > 0 and columns > 0:
        tall, broad = 2 * high + 1, 2 * wide + 1
        inside = sums[tall:, broad:] - sums[:-tall, broad:] - sums[tall:, :-broad] + sums[:-tall, :-broad]
        out[high : high + rows, wide : wide + columns] = inside
    return out


def _places(likeness: _Numbers, lie: _Lie, known: tuple[SeenCode, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Where the three squares of each code are that was not read, the likeliest first."""
    near = _best_near(likeness)
    _, beside, below = lie.squares
    total = likeness + _moved(near, beside) + _moved(near, below)
    own = round(_OWN * float(np.abs(lie.across).sum()))
    for code in known:
        for step in lie.squares:
            _forget(total, np.array(code.corners[0]) + _CENTRE * (lie.across + lie.down) + step, own)
    for _ in range(_MOST_CODES):
        at = np.unravel_index(int(total.argmax()), total.shape)
        if total[at] < _LIKE:
            return
        start = np.array([at[1], at[0]])
        yield tuple(_summit(likeness, start + step) for step in lie.squares)
        for step in lie.squares:
            _forget(total, start + step, own)


def _best_near(likeness: _Numbers) -> _Numbers:
    best = likeness
    for axis in (0, 1):
        padded = np.pad(best, [(_PLAY, _PLAY) if n == axis else (0, 0) for n in (0, 1)], constant_values=-1)
        best = np.lib.stride_tricks.sliding_window_view(padded, 2 * _PLAY + 1, axis=axis).max(-1)
    return best


def _moved(likeness: _Numbers, step: NDArray[np.float64]) -> _Numbers:
    """What is found one `step` further; -1 beyond the page."""
    (across, down), (height, width) = np.rint(step).astype(int), likeness.shape
    out = np.full_like(likeness, -1)
    rows, columns = slice(max(0, -down), max(0, height - max(0, down))), slice(max(0, -across), max(0, width - max(0, across)))
    source = likeness[max(0, down) : max(0, height + min(0, down)), max(0, across) : max(0, width + min(0, across))]
    out[rows, columns] = source
    return out


def _forget(total: _Numbers, at: NDArray[np.float64], own: int) -> None:
    across, down = np.rint(at).astype(int)
    total[max(0, down - own) : max(0, down + own), max(0, across - own) : max(0, across + own)] = -3


def _summit(likeness: _Numbers, at: NDArray[np.float64]) -> tuple[int, int]:
    """The dot near `at` that looks most like the middle of a square."""
    across, down = np.maximum(np.rint(at).astype(int) - _PLAY, 0)
    window = likeness[down : down + 2 * _PLAY + 1, across : across + 2 * _PLAY + 1]
    row, column = np.unravel_index(int(window.argmax()), window.shape)
    return int(across + column), int(down + row)


def _piece(page: Image.Image, squares: tuple[tuple[int, int], ...], lie: _Lie) -> tuple[Image.Image, tuple[int, int]]:
    first, beside, below = (np.array(square) for square in squares)
    around = np.array([first, beside, below, beside + below - first])
    rim = np.ceil(8 * (np.abs(lie.across) + np.abs(lie.down))).astype(int)
    left, top = (int(n) for n in np.maximum(around.min(0) - rim, 0))
    right, bottom = (int(n) for n in np.minimum(around.max(0) + rim, page.size))
    piece = page.crop((left, top, right, bottom)).convert("L")
    draw = ImageDraw.Draw(piece)
    for square in (first, beside, below):
        for half, tone in _SQUARES:
            sides = ((-1, -1), (1, -1), (1, 1), (-1, 1))
            points = [square - (left, top) + half * (a * lie.across + b * lie.down) for a, b in sides]
            draw.polygon([(float(x), float(y)) for x, y in points], fill=tone)
    return piece, (left, top)
