"""Finds one of our printed forms on a received page and lays it straight: its code says which page it is, its corners where.

The code is read at any rotation and gives a first idea of the page; each corner mark is then looked for where it should be, the
nearest first, every mark found making the next guess better. Four marks give the perspective, three the affine; with fewer the
page is cropped and nothing is read from it. A page without a code of ours is nobody's form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from adapter.formats.fax_code_squares import Corners
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.sheet import CODE_CORNERS, CORNER_SIDE, CORNERS, PAGE_HEIGHT, PAGE_WIDTH, PageCode, read_page_code

DOTS_PER_MM = 8  # of a page laid straight: about the 204 dots an inch that it came with
SIZE = (round(PAGE_WIDTH * DOTS_PER_MM), round(PAGE_HEIGHT * DOTS_PER_MM))

_ROUGH = 4  # dots a millimetre where corners are looked for
_NEAR, _FAR = 5.0, 14.0  # how far from the guess: at the corner beside the code, at the others
_BLACKEST = 0.80  # of a mark's area: noise and skew take a little off
_ALONE = 0.28  # how much blacker than its surroundings: a mark stands alone on white, a black margin does not
_FITS = 2.5  # millimetres between the code and where the marks want it: more, and a mark is not ours
_NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
_BY_NEARNESS = (1, 0, 2, 3)

Point = tuple[float, float]
Pair = tuple[Point, Point]  # millimetres of the sheet, dots of the received page


@dataclass(frozen=True, repr=False)
class Straight(Confidential):
    """A page laid straight, grey, `SIZE` dots; None when it cannot be. `code`: which page it says it is. `fineness`: dots a
    millimetre that it came with, where it had fewest (a fine fax 7.7, a standard one 3.9).
    """

    code: PageCode
    image: Image.Image | None
    findings: tuple[Finding, ...] = ()
    fineness: float = 0.0


def page_codes(codes: Mapping[bytes, Corners]) -> list[tuple[PageCode, Corners]]:
    """The codes of our forms among those of a page."""
    told = ((read_page_code(content.decode("ascii", "replace")), corners) for content, corners in codes.items())
    return [(code, corners) for code, corners in told if code is not None]


def straighten(page: Image.Image, code: PageCode, corners: Corners) -> Straight:
    """The page as it was printed; `corners`: of its code, in dots of the page."""
    grey = page.convert("L")
    hints: list[Pair] = list(zip(CODE_CORNERS, corners, strict=True))
    if not _is_whole(hints):
        return Straight(
            code, None, (_finding("sheet.distorted", "The form's code is bent: the page cannot be laid straight.", code),)
        )
    found: dict[int, Pair] = {}
    for number in _BY_NEARNESS:
        place = _mark(grey, _affine([*hints, *found.values()]), CORNERS[number], _NEAR if number == 1 else _FAR)
        if place is not None:
            found[number] = (CORNERS[number], place)
    lost = [_NAMES[number] for number in range(4) if number not in found]
    if len(found) < 3:
        said = f"Only {len(found)} of the form's four corner marks are on the page: it is cropped or covered."
        return Straight(code, None, (_finding("sheet.cropped", said, code, ", ".join(lost)),))
    steps = _perspective(list(found.values()))
    if steps is None or not _agrees(steps, hints):
        return Straight(code, None, (_finding("sheet.distorted", "Corner marks and code do not lie as printed.", code),))
    mode = Image.Transform.PERSPECTIVE
    image = grey.transform(SIZE, mode, _per_dot(steps), Image.Resampling.BILINEAR, fillcolor=255)
    said = "One corner mark is missing: the page is read by the three others."
    missing = (_finding("sheet.mark-missing", said, code, lost[0]),) if lost else ()
    return Straight(code, image, missing, min(math.hypot(steps[0], steps[3]), math.hypot(steps[1], steps[4])))


def _finding(code: str, text: str, page: PageCode, where: str = "") -> Finding:
    place = f"{page.slug} page {page.page}" + (f": {where}" if where else "")
    remedy = "" if code == "sheet.mark-missing" else "Read the page, or ask for it again."
    return Finding(Severity.WARNING, code, text, place, remedy)


# -- corner marks -------------------------------------------------------------------------------------------------------


def _mark(grey: Image.Image, affine: tuple[float, ...], at: Point, around: float) -> Point | None:
    """Where the mark that should be `at` is, in dots of the page; None when nothing there is as black and as alone."""
    side = round(2 * around * _ROUGH)
    left, top = at[0] - around, at[1] - around
    a, b, c, d, e, f = affine
    steps = (a / _ROUGH, b / _ROUGH, a * left + b * top + c, d / _ROUGH, e / _ROUGH, d * left + e * top + f)
    view = grey.transform((side, side), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR, fillcolor=255)
    dark = ImageChops.invert(view)
    inside = dark.filter(ImageFilter.BoxBlur((CORNER_SIDE * _ROUGH - 1) / 2 - 0.5))
    wider = dark.filter(ImageFilter.BoxBlur(((CORNER_SIDE + 2.0) * _ROUGH - 1) / 2))
    black = inside.point([0 if tone < 255 * _BLACKEST else tone for tone in range(256)])
    alone = ImageChops.subtract(black, wider)
    best = max(alone.tobytes())
    if best < 255 * _ALONE:
        return None
    box = alone.point([255 if tone >= best - 2 else 0 for tone in range(256)]).getbbox()
    if box is None:
        return None
    u, v = _centre(dark, ((box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2))
    x, y = left + (u + 0.5) / _ROUGH, top + (v + 0.5) / _ROUGH
    return a * x + b * y + c, d * x + e * y + f


def _centre(dark: Image.Image, guess: Point) -> Point:
    """The centre of gravity of what is black around the guess."""
    half = round((CORNER_SIDE / 2 + 0.75) * _ROUGH)
    left, top = round(guess[0]) - half, round(guess[1]) - half
    side = 2 * half + 1
    around = dark.crop((left, top, left + side, top + side))
    across, down = around.resize((side, 1), Image.Resampling.BOX), around.resize((1, side), Image.Resampling.BOX)
    return left + _gravity(across.tobytes()), top + _gravity(down.tobytes())


def _gravity(weights: bytes) -> float:
    return sum(place * weight for place, weight in enumerate(weights)) / max(sum(weights), 1)


# -- from millimetres to dots -------------------------------------------------------------------------------------------


def _is_whole(hints: Sequence[Pair]) -> bool:
    """The code's quadrangle has an area: a degenerate one gives no idea of the page."""
    points = [dots for _, dots in hints]
    area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True)) / 2
    return area > 100


def _affine(pairs: Sequence[Pair]) -> tuple[float, ...]:
    """The affine that comes nearest to all pairs (least squares): dots = a·x + b·y + c, d·x + e·y + f."""
    rows = [(x, y, 1.0) for (x, y), _ in pairs]
    squares = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    solved: list[float] = []
    for axis in (0, 1):
        sums = [sum(row[i] * dots[axis] for row, (_, dots) in zip(rows, pairs, strict=True)) for i in range(3)]
        solved += _solve(squares, sums) or [0.0, 0.0, 0.0]
    return tuple(solved)


def _perspective(pairs: Sequence[Pair]) -> tuple[float, ...] | None:
    """The eight numbers of the perspective through four pairs, of the affine through three."""
    if len(pairs) == 3:
        return (*_affine(pairs), 0.0, 0.0)
    rows, sums = [], []
    for (x, y), (u, v) in pairs:
        rows += [[x, y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y], [0.0, 0.0, 0.0, x, y, 1.0, -v * x, -v * y]]
        sums += [u, v]
    solved = _solve(rows, sums)
    return tuple(solved) if solved else None


def _agrees(steps: Sequence[float], hints: Sequence[Pair]) -> bool:
    """True when the code lies where the marks say it is."""
    a, b, c, d, e, f, g, h = steps
    x = sum(place[0] for place, _ in hints) / len(hints)
    y = sum(place[1] for place, _ in hints) / len(hints)
    below = g * x + h * y + 1
    told = (a * x + b * y + c) / below, (d * x + e * y + f) / below
    seen = sum(dots[0] for _, dots in hints) / len(hints), sum(dots[1] for _, dots in hints) / len(hints)
    size = math.sqrt(abs(a * e - b * d))  # dots a millimetre
    return math.dist(told, seen) < _FITS * size


def _per_dot(steps: Sequence[float]) -> tuple[float, ...]:
    """The same from dots of the straight page instead of millimetres."""
    scales = (DOTS_PER_MM, DOTS_PER_MM, 1, DOTS_PER_MM, DOTS_PER_MM, 1, DOTS_PER_MM, DOTS_PER_MM)
    return tuple(step / scale for step, scale in zip(steps, scales, strict=True))


def _solve(rows: Sequence[Sequence[float]], sums: Sequence[float]) -> list[float] | None:
    """A square linear system by elimination with pivots; None when it has no single solution."""
    size = len(rows)
    table = [[*row, total] for row, total in zip(rows, sums, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(table[row][column]))
        if abs(table[pivot][column]) < 1e-9:
            return None
        table[column], table[pivot] = table[pivot], table[column]
        for row in range(size):
            if row != column:
                share = table[row][column] / table[column][column]
                table[row] = [value - share * other for value, other in zip(table[row], table[column], strict=True)]
    return [table[row][size] / table[row][row] for row in range(size)]
