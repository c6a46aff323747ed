"""Fills printed forms as people do, and faxes them: a drawing program with pens, jitter, corrections; skew, lost rows, specks.

Every form comes of a seed. What a hand meant (`Filled.meant`) is kept beside what it drew: a box struck out is meant empty.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from adapter.mapping.forms.questionnaire import questionnaire_resource
from adapter.model.sheet import Place, PlaceKind, Sheet
from adapter.packaging.sheet.geometry import empty_pages, sheet_of

DRAWN = 12  # dots a millimetre that hands draw at
STYLES = {  # of a hundred marks
    "cross": 37, "check": 37, "slash": 9, "scribble": 6, "dot": 4, "blackened": 2, "circle": 1, "beside": 1, "corrected": 2,
    "taken back": 1,
}  # fmt: skip
LEFT_OPEN = 0.12  # of the single choices
ONE_OF_SEVERAL = 0.3  # of the boxes of which several may be ticked
WRITTEN = 0.7  # of the fields

Point = tuple[float, float]


@dataclass(frozen=True)
class Pen:
    """`width` in millimetres; `grain`: the share of its ink that reaches the paper (a light pen leaves dots, not lines)."""

    width: float
    grain: float


@dataclass(frozen=True)
class Line:
    """What a line does to a page."""

    standard: bool = False
    skew: float = 2.0
    specks: int = 1  # of 256 dots
    lost_rows: int = 1
    bad_runs: int = 3


@dataclass
class Filled:
    """A filled form: its pages as drawn, what was meant by each box (page, place in page), how each mark was made."""

    pages: list[Image.Image]
    meant: dict[tuple[int, int], bool] = field(default_factory=dict)
    styles: dict[tuple[int, int], str] = field(default_factory=dict)
    written: set[tuple[int, int]] = field(default_factory=set)


@lru_cache(maxsize=8)
def printed(slug: str) -> tuple[Sheet, tuple[Image.Image, ...]]:
    """A form and its empty pages."""
    form = questionnaire_resource(slug)
    return sheet_of(form), empty_pages(form, DRAWN)


def fill(slug: str, seed: str, *, light: float = 0.25) -> Filled:
    """One form, filled by hand; `light`: how many of those hands hold a light pen."""
    dice = random.Random(f"{slug}/{seed}")
    sheet, empty = printed(slug)
    pen = Pen(dice.uniform(0.25, 0.4), dice.uniform(0.35, 0.7)) if dice.random() < light else Pen(dice.uniform(0.35, 0.7), 1.0)
    made = Filled([])
    for number, (places, page) in enumerate(zip(sheet.pages, empty, strict=True), start=1):
        hand = Hand(page.size, pen, dice)
        _tick_page(hand, made, number, places)
        for index, place in enumerate(places):
            if place.kind is PlaceKind.WRITING and dice.random() < WRITTEN:
                made.written.add((number, index))
                hand.write(place)
        made.pages.append(ImageChops.darker(page, hand.paper()))
    return made


def _tick_page(hand: Hand, made: Filled, number: int, places: tuple[Place, ...]) -> None:
    groups: dict[tuple[str, int], list[int]] = {}
    for index, place in enumerate(places):
        if place.kind is not PlaceKind.WRITING:
            groups.setdefault((place.link_id, place.row), []).append(index)
            made.meant[number, index] = False
    dice = hand.dice
    for indexes in groups.values():
        if places[indexes[0]].kind is PlaceKind.ANY:
            chosen = [index for index in indexes if dice.random() < ONE_OF_SEVERAL]
        else:
            chosen = [dice.choice(indexes)] if dice.random() > LEFT_OPEN else []
        for index in chosen:
            style = dice.choices(list(STYLES), list(STYLES.values()))[0]
            others = [other for other in indexes if other not in chosen]
            if style == "corrected" and others:
                wrong = dice.choice(others)
                made.styles[number, wrong] = "struck out"
                hand.mark(places[wrong], dice.choice(("cross", "check")))
                hand.strike(places[wrong])
            if style == "taken back":
                made.styles[number, index] = style
                hand.mark(places[index], dice.choice(("cross", "check")))
                hand.strike(places[index])
                continue
            made.meant[number, index] = True
            made.styles[number, index] = style
            hand.mark(places[index], "check" if style == "corrected" else style)


class Hand:
    """One hand and its pen on one page."""

    def __init__(self, size: tuple[int, int], pen: Pen, dice: random.Random) -> None:
        self.dice = dice
        self._pen = pen
        self._ink = Image.new("L", size, 0)
        self._draw = ImageDraw.Draw(self._ink)

    def paper(self) -> Image.Image:
        """White paper with this ink; a light pen's in grains of an eighth of a millimetre."""
        ink = self._ink
        if self._pen.grain < 1.0:
            small = (ink.width * 8 // DRAWN, ink.height * 8 // DRAWN)
            least = round(255 * (1 - self._pen.grain))
            grains = Image.frombytes("L", small, self.dice.randbytes(small[0] * small[1]))
            ink = ImageChops.multiply(ink, grains.point(lambda tone: 255 if tone >= least else 0).resize(ink.size))
        return ImageChops.invert(ink)

    def mark(self, place: Place, style: str) -> None:
        """One mark meant for a box."""
        x, y, side = place.x, place.y, place.width
        match style:
            case "cross":
                over = self.dice.uniform(-0.6, 0.7)
                self._stroke([(x - over, y - over), (x + side + over, y + side + over)])
                self._stroke([(x + side + over, y - over), (x - over, y + side + over)])
            case "check":
                tail = self.dice.uniform(0.0, 2.0)
                low = (x + side * self.dice.uniform(0.3, 0.5), y + side * self.dice.uniform(0.75, 1.0))
                self._stroke([(x + self.dice.uniform(-0.3, 0.6), y + side * self.dice.uniform(0.35, 0.55)), low,
                              (x + side + tail * 0.8, y - tail)])  # fmt: skip
            case "slash":
                self._stroke([(x + 0.3, y + side - 0.2), (x + side - 0.1, y + 0.2)])
            case "scribble":
                turns = self.dice.randint(3, 5)
                self._stroke(
                    [
                        (x + side * (0.15 + 0.7 * turn / turns), y + side * (0.15 if turn % 2 else 0.85))
                        for turn in range(turns + 1)
                    ]
                )
            case "dot":
                self._dot(x + side / 2, y + side / 2, self.dice.uniform(0.45, 0.8))
            case "blackened":
                rows = int(side / (self._pen.width * 0.8))
                self._stroke(
                    [(x + (0.2 if row % 2 else side - 0.2), y + 0.2 + (side - 0.4) * row / rows) for row in range(rows + 1)], 0.1
                )
            case "circle":
                self._circle(x + side / 2, y + side / 2, self.dice.uniform(3.0, 3.6), self.dice.uniform(2.7, 3.0))
            case _:  # beside: on the left, where no word is
                self._stroke([(x - 2.6, y + 1.5), (x - 1.9, y + 3.2), (x - 0.7, y)])

    def strike(self, place: Place) -> None:
        """Takes a mark back: a line across, a scribble all over, or black."""
        x, y, side = place.x, place.y, place.width
        match self.dice.choice(("line", "scribble", "blackened")):
            case "line":
                self._stroke([(x - self.dice.uniform(1.2, 2.0), y + side * self.dice.uniform(0.4, 0.6)),
                              (x + side + self.dice.uniform(1.5, 6.0), y + side * self.dice.uniform(0.4, 0.6))])  # fmt: skip
            case "scribble":
                self._stroke(
                    [
                        (x + side * turn / 8 + self.dice.uniform(-0.3, 0.3), y + (-0.9 if turn % 2 else side + 0.9))
                        for turn in range(9)
                    ]
                )
            case _:
                self.mark(place, "blackened")

    def write(self, place: Place) -> None:
        """Something like a word or two, in the first line of a field; some letters leave it."""
        x, height = place.x + 1.2, min(place.height, 6.2)
        for _ in range(max(1, int(min(place.width - 3, self.dice.uniform(8, 60)) / 3))):
            low, high = place.y + height * self.dice.uniform(0.7, 1.05), place.y + height * self.dice.uniform(0.05, 0.35)
            self._stroke([(x, low), (x + 0.8, high), (x + 1.3, low), (x + 2.2, (low + high) / 2), (x + 2.6, low)])
            x += 3.0

    def _stroke(self, points: list[Point], shake: float = 0.18) -> None:
        moved = [(x + self.dice.gauss(0, shake), y + self.dice.gauss(0, shake)) for x, y in points]
        path: list[Point] = []
        for (x1, y1), (x2, y2) in pairwise(moved):
            bow = self.dice.gauss(0, 0.12)
            for step in range(9):
                part = step / 8
                lift = bow * math.sin(math.pi * part)
                path.append(((x1 + (x2 - x1) * part + lift) * DRAWN, (y1 + (y2 - y1) * part - lift) * DRAWN))
        self._draw.line(path, fill=255, width=max(1, round(self._pen.width * DRAWN)), joint="curve")

    def _dot(self, x: float, y: float, radius: float) -> None:
        box = [(x - radius) * DRAWN, (y - radius) * DRAWN, (x + radius) * DRAWN, (y + radius) * DRAWN]
        self._draw.ellipse(box, fill=255)

    def _circle(self, x: float, y: float, wide: float, high: float) -> None:
        turns = [math.tau * step / 24 for step in range(26)]
        self._stroke([(x + wide * math.cos(turn), y + high * math.sin(turn)) for turn in turns], 0.05)


def faxed(page: Image.Image, dice: random.Random, line: Line = Line()) -> Image.Image:
    """The page as a fax machine received it: 1728 dots wide, black and white."""
    turned = page.rotate(dice.uniform(-line.skew, line.skew), Image.Resampling.BILINEAR, fillcolor=255)
    scale = dice.uniform(0.965, 1.0)
    rows = 1146 if line.standard else 2292
    size = (round(210 / 25.4 * 204 * scale), round(297 / 25.4 * 196 * scale * rows / 2292))
    sheet = Image.new("L", (1728, rows), 255)
    sheet.paste(turned.resize(size, Image.Resampling.BOX), ((1728 - size[0]) // 2 + dice.randint(-8, 8), 0))
    threshold = dice.randint(120, 165)
    sheet = sheet.point([255 if tone >= threshold else 0 for tone in range(256)])
    sheet = _with_lost_rows(sheet, dice, line)
    specks = Image.frombytes("L", sheet.size, dice.randbytes(sheet.width * sheet.height))
    return ImageChops.difference(sheet, specks.point(lambda tone: 255 if tone < line.specks else 0)).convert("1")


def _with_lost_rows(sheet: Image.Image, dice: random.Random, line: Line) -> Image.Image:
    for _ in range(line.lost_rows):
        at = dice.randrange(sheet.height - 1)
        sheet.paste(sheet.crop((0, at + 1, sheet.width, sheet.height)), (0, at))
    for _ in range(line.bad_runs):
        at, rows = dice.randrange(1, sheet.height - 4), dice.randint(1, 3)
        row = sheet.crop((0, at - 1, sheet.width, at))
        for below in range(rows):
            sheet.paste(row, (0, at + below))
    return sheet
