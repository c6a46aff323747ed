"""Reads tick boxes on a straight page: empty, ticked or doubtful, each with a confidence. What is not sure is never guessed.

Each box is looked for around its place, for lost rows move what is below them; its inside is weighed, then what is around it. The
thresholds were set on drawn marks (docs/reference/figures.md): where a crossed-out box and a tick
look alike, both are doubtful.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, product

from PIL import Image, ImageDraw

from adapter.formats.sheet_ink import Area, Ink, share, square_mm
from adapter.formats.sheet_marks import DOTS_PER_MM
from adapter.model.paper_draft import BoxReading, BoxState, Doubt
from adapter.model.sheet import Place, PlaceKind

# Of the inside's area, above what the page's own noise puts into its boxes (a light pen's ink comes as single dots, as noise
# does). A dot of 0.9 mm made with a pen, the smallest mark meant, covers 0.08.
TICKED_LEAST = 0.045
# Less than a mark, more than noise: this much, and five times what chance adds to or takes from the noise of one box.
FAINT_LEAST, FAINT_CHANCES = 0.010, 5.0
# Filled to this share, a box was chosen, or chosen and then taken back: a drawing does not tell.
BLACKENED_LEAST = 0.66
# So is one filled all over with a light pen: of its nine parts the emptiest holds this share of the mean.
EVEN_LEAST, EVEN_INK_LEAST = 0.4, 0.2
# So much of a tick's ink lies in the middle of its box (the inner 60 %), or it may have strayed from beside.
CENTRE_LEAST = 0.05
# Square millimetres written around an empty box, or on its label: a stroke of a pen as long as one millimetre.
BESIDE_LEAST = 0.45
# The same by a light pen, in single dots, above what noise would put there.
FAINT_BESIDE_LEAST = 0.2
# A mark that crosses two opposite sides at their middle and goes on so far (square millimetres each) strikes its box out.
CROSSING_LEAST = 0.045
# A scribble that fills so much and leaves the box on three sides at least.
SCRIBBLED_LEAST = 0.20
# The four sides of the frame, the weakest of them, as found printed.
FRAME_LEAST = 0.35
# Noise that a page may have in its boxes; a page with more makes all its empty boxes doubtful.
NOISE_MOST = 0.03

_EDGE = 0.55  # between the frame and what counts as inside
_SEARCH = 1.5  # how far a box may have moved
_BEFORE, _AFTER, _ABOVE = (
    3.0,
    2.0,
    0.9,
)  # what is looked at: left of a box, beyond its label (5 mm part it from the next box), above
_LINK = 8.0  # how far a tick's own stroke is followed
_RING = (0.4, 0.95)
_CROSSING = 1.4  # how far a stroke that strikes out is looked for: the label begins a little further


@dataclass(frozen=True)
class _Seen:
    """One box before its neighbours are known."""

    place: Place
    area: Area
    shift: tuple[float, float]
    framed: bool
    share: float
    centre: float
    emptiest: float
    noise: float

    @property
    def ink(self) -> float:
        """The inked share of the inside, noise taken off; a noise that hides marks is not taken off whole."""
        return self.share - min(self.noise, NOISE_MOST)

    @property
    def faint_least(self) -> float:
        """What noise alone does not put into a box of this page."""
        dots = ((self.place.width - 2 * _EDGE) * DOTS_PER_MM) ** 2
        return max(FAINT_LEAST, FAINT_CHANCES * math.sqrt(min(self.noise, NOISE_MOST) / dots))

    @property
    def is_inked(self) -> bool:
        return self.ink >= TICKED_LEAST

    @property
    def is_filled(self) -> bool:
        """True when no part of the box was left white."""
        return self.ink >= BLACKENED_LEAST or (self.ink >= EVEN_INK_LEAST and self.emptiest >= EVEN_LEAST * self.share)


def read_boxes(ink: Ink, places: Sequence[Place], page: int) -> tuple[BoxReading, ...]:
    """All boxes of a page, in the order of their places."""
    looked = [_look(ink, place) for place in places if place.kind is not PlaceKind.WRITING]
    noise = page_noise([each.share for each in looked])
    seen = [replace(each, noise=noise) for each in looked]
    strokes = _strokes(ink, seen)
    read = [_judge(ink, each, strokes, page) for each in seen]
    return tuple(_in_groups(read))


def page_noise(shares: Sequence[float]) -> float:
    """What a page's noise puts into an empty box: the mean of those that look empty, and most boxes of a form are."""
    low = sorted(shares)[len(shares) // 4] if shares else 0.0
    empty = [share for share in shares if share <= max(2 * FAINT_LEAST, 2.5 * low)]
    return sum(empty) / len(empty) if len(empty) > 2 else NOISE_MOST / 6


# -- one box ------------------------------------------------------------------------------------------------------------


def _look(ink: Ink, place: Place) -> _Seen:
    printed = Area(place.x, place.y, place.width, place.height)
    dx, dy, framed = _frame(ink, printed)
    area = printed.moved(dx, dy)
    inside = area.grown(-_EDGE)
    centre = area.grown(-0.2 * place.width)
    return _Seen(
        place, area, (dx, dy), framed, share(ink.raw.crop(inside.dots)), share(ink.raw.crop(centre.dots)),
        min(share(ink.raw.crop(part.dots)) for part in _parts(inside)), 0.0,
    )  # fmt: skip


def _parts(inside: Area) -> Iterator[Area]:
    wide, high = inside.width / 3, inside.height / 3
    yield from (Area(inside.x + wide * x, inside.y + high * y, wide, high) for x, y in product(range(3), range(3)))


def _frame(ink: Ink, area: Area) -> tuple[float, float, bool]:
    """How far the printed frame lies from its place, in millimetres, and whether it was found at all."""
    across, left_right = _pair(_profile(ink, area, upright=True), area.width)
    down, top_bottom = _pair(_profile(ink, area, upright=False), area.height)
    found = min(left_right, top_bottom) >= FRAME_LEAST
    return (across, down, True) if found else (0.0, 0.0, False)


def _profile(ink: Ink, area: Area, *, upright: bool) -> bytes:
    """Darkness of each column (or row) of the box and `_SEARCH` around it."""
    across = Area(area.x - _SEARCH, area.y + 0.5, area.width + 2 * _SEARCH, area.height - 1.0)
    down = Area(area.x + 0.5, area.y - _SEARCH, area.width - 1.0, area.height + 2 * _SEARCH)
    view = ink.raw.crop((across if upright else down).dots)
    size = (view.width, 1) if upright else (1, view.height)
    return view.resize(size, Image.Resampling.BOX).tobytes()


def _pair(profile: bytes, side: float) -> tuple[float, float]:
    """Where two lines that lie `side` apart are darkest together: their shift in millimetres, the paler one's darkness."""
    apart, middle = round(side * DOTS_PER_MM), round(_SEARCH * DOTS_PER_MM)

    def line(at: int) -> float:
        return max(profile[at - 1] + profile[at], profile[at] + profile[at + 1]) / 510

    shifts = range(1 - middle, middle)
    scores = {shift: (line(middle + shift), line(min(middle + shift + apart, len(profile) - 2))) for shift in shifts}
    best = max(shifts, key=lambda shift: (sum(scores[shift]) + min(scores[shift]) - 0.02 * abs(shift), -abs(shift)))
    return best / DOTS_PER_MM, min(scores[best])


# -- strokes that leave their box ---------------------------------------------------------------------------------------


def _strokes(ink: Ink, seen: Sequence[_Seen]) -> Image.Image:
    """The page's strokes that begin in a ticked box and leave it: they belong to that box, not to those they pass."""
    owned = Image.new("L", ink.clean.size, 0)
    for each in seen:
        if each.is_inked:
            _follow(ink, each, owned)
    return owned


def _follow(ink: Ink, each: _Seen, owned: Image.Image) -> None:
    region = each.area.grown(_LINK)
    view = ink.written(region, each.shift)
    for x, y in _ring(region, each.area):
        if 0 <= x < view.width and 0 <= y < view.height and view.getpixel((x, y)) == 255:
            ImageDraw.floodfill(view, (x, y), 128)
    left, top = region.dots[:2]
    mine = view.point([255 if tone == 128 else 0 for tone in range(256)])
    owned.paste(255, (left, top), mine)


def _ring(region: Area, area: Area) -> Iterator[tuple[int, int]]:
    """The dots just around a box, within the region."""
    left, top = region.dots[:2]
    inner, outer = area.grown(_RING[0]).dots, area.grown(_RING[1]).dots
    for x, y in product(range(outer[0], outer[2]), range(outer[1], outer[3])):
        if not (inner[0] <= x < inner[2] and inner[1] <= y < inner[3]):
            yield x - left, y - top


def _is_written_beside(ink: Ink, each: _Seen, noise: float, strokes: Image.Image) -> bool:
    """True when something is written around a box or on its label, by nobody else's stroke. A light pen counts too."""
    area, tall = each.area, each.area.height + 2 * _ABOVE
    edges = (
        area.x - _BEFORE,
        area.x - _RING[0],
        area.x + area.width + _CROSSING,
        area.x + area.width + each.place.reach + _AFTER,
    )
    zones = [Area(left, area.y - _ABOVE, right - left, tall) for left, right in pairwise(edges)]
    return any(_is_written(ink, each, zone, noise, strokes) for zone in zones)


def _is_written(ink: Ink, each: _Seen, zone: Area, noise: float, strokes: Image.Image) -> bool:
    inside, (left, top, right, bottom) = each.area.dots, zone.dots
    amounts = []
    for mask in (ink.clean, ink.raw):
        written = ink.written(zone, each.shift, mask)
        written.paste(0, (0, 0), strokes.crop(zone.dots))
        written.paste(0, (inside[0] - left, inside[1] - top, inside[2] - left, inside[3] - top))
        amounts.append(square_mm(written))
    by_noise = 1.2 * noise * (right - left) * (bottom - top)  # dots; the noise is known to a fifth or so
    least = max(FAINT_BESIDE_LEAST, 4.5 * by_noise**0.5 / DOTS_PER_MM**2)
    return amounts[0] >= BESIDE_LEAST or amounts[1] - by_noise / DOTS_PER_MM**2 >= least


def _sides(ink: Ink, each: _Seen) -> tuple[float, float, float, float]:
    """Square millimetres of ink just left, above, right and below, at the middle of each side."""
    area, (near, far) = each.area, _RING
    x, y, right, below = (
        area.x + area.width / 4,
        area.y + area.height / 4,
        area.x + area.width + near,
        area.y + area.height + near,
    )
    tall, wide = (_CROSSING - near, area.height / 2), (area.width / 2, far - near)
    zones = (Area(area.x - _CROSSING, y, *tall), Area(x, area.y - far, *wide), Area(right, y, *tall), Area(x, below, *wide))
    views = [ink.raw.crop(zone.dots) for zone in zones]
    sides = [square_mm(view) - each.noise * view.width * view.height / DOTS_PER_MM**2 for view in views]
    return sides[0], sides[1], sides[2], sides[3]


# -- what it means ------------------------------------------------------------------------------------------------------


def _judge(ink: Ink, each: _Seen, strokes: Image.Image, page: int) -> BoxReading:
    doubts, share_told = tuple(_doubts(ink, each, strokes)), round(max(0.0, each.ink), 3)
    if doubts:
        return BoxReading(each.place, page, BoxState.DOUBTFUL, 0.0, share_told, doubts)
    if each.is_inked:
        far = min((each.ink - TICKED_LEAST) / TICKED_LEAST, (BLACKENED_LEAST - each.ink) / 0.1)
        return BoxReading(each.place, page, BoxState.TICKED, round(min(1.0, far), 2), share_told)
    far = 1.0 - max(0.0, each.ink) / each.faint_least
    return BoxReading(each.place, page, BoxState.EMPTY, round(far, 2), share_told)


def _doubts(ink: Ink, each: _Seen, strokes: Image.Image) -> Iterator[Doubt]:
    if not each.framed and each.ink < BLACKENED_LEAST:
        yield Doubt.NO_FRAME
    if each.is_inked:
        yield from _doubts_of_a_mark(ink, each)
    elif each.ink >= each.faint_least:
        yield Doubt.FAINT
    elif _is_written_beside(ink, each, each.noise, strokes):
        yield Doubt.BESIDE


def _doubts_of_a_mark(ink: Ink, each: _Seen) -> Iterator[Doubt]:
    sides = [side >= CROSSING_LEAST for side in _sides(ink, each)]
    if each.is_filled:
        yield Doubt.BLACKENED
    elif (sides[0] and sides[2]) or (sides[1] and sides[3]) or (each.ink >= SCRIBBLED_LEAST and sum(sides) >= 3):
        yield Doubt.CROSSED_OUT
    elif each.centre - each.noise < CENTRE_LEAST:
        yield Doubt.AT_THE_EDGE


def _in_groups(read: Sequence[BoxReading]) -> Iterator[BoxReading]:
    """A single choice with more than one mark, sure or not, is not read: each of its marks is doubtful."""
    for _, boxes in groupby(read, key=lambda box: (box.place.link_id, box.place.row)):
        group = list(boxes)
        marked = [box for box in group if _bears_a_mark(box)]
        crowded = group[0].place.kind is PlaceKind.ONE and len(marked) > 1
        for box in group:
            if crowded and box in marked:
                yield replace(box, state=BoxState.DOUBTFUL, confidence=0.0, doubts=(*box.doubts, Doubt.SEVERAL_MARKS))
            else:
                yield box


def _bears_a_mark(box: BoxReading) -> bool:
    """A box that is doubtful only for its pale frame bears none."""
    return box.state is not BoxState.EMPTY and (box.doubts != (Doubt.NO_FRAME,) or box.ink >= FAINT_LEAST)
