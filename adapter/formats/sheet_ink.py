"""Ink on a straight page: what is black, without specks, without what was printed; measured in rectangles of millimetres."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from adapter.formats.sheet_marks import DOTS_PER_MM, SIZE
from adapter.model.confidential import Confidential

# A dot darker than this is ink. A fax has two tones only; a scan in grey keeps what is darker than a light pencil.
INK_TONE = 144
# What is printed takes this much more room on a received page (millimetres each side): thick ink, half a dot of shift.
PRINT_SPREAD = 0.4

_MASK = [255 if tone < INK_TONE else 0 for tone in range(256)]
_PRINTED = [255 if tone < 200 else 0 for tone in range(256)]


@dataclass(frozen=True)
class Area:
    """A rectangle in millimetres."""

    x: float
    y: float
    width: float
    height: float

    def grown(self, by: float) -> Area:
        """The same, larger on each side (smaller when negative)."""
        return Area(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)

    def moved(self, dx: float, dy: float) -> Area:
        """The same, elsewhere."""
        return Area(self.x + dx, self.y + dy, self.width, self.height)

    @property
    def dots(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in dots of a straight page; a place has the same size wherever it lies."""
        left, top = round(self.x * DOTS_PER_MM), round(self.y * DOTS_PER_MM)
        return left, top, left + round(self.width * DOTS_PER_MM), top + round(self.height * DOTS_PER_MM)


@dataclass(frozen=True, repr=False)
class Ink(Confidential):
    """Masks of one page, 255 where there is ink: `raw`; `clean`, without single dots; `printed`, what the empty form bears."""

    raw: Image.Image
    clean: Image.Image
    printed: Image.Image

    def written(self, area: Area, shift: tuple[float, float] = (0.0, 0.0), of: Image.Image | None = None) -> Image.Image:
        """What is in the area and was not printed there, print moved by `shift` millimetres. `of`: instead of `clean`."""
        left, top, right, bottom = area.dots
        back = area.moved(-shift[0], -shift[1]).dots
        printed = self.printed.crop((back[0], back[1], back[0] + right - left, back[1] + bottom - top))
        return ImageChops.subtract((of or self.clean).crop((left, top, right, bottom)), printed)


def ink_of(straight: Image.Image, printed: Image.Image) -> Ink:
    """The masks of a straight page; `printed` comes from `printed_mask`."""
    raw = straight.point(_MASK)
    return Ink(raw, raw.filter(ImageFilter.MedianFilter(3)), printed)


def printed_mask(empty: Image.Image) -> Image.Image:
    """What an empty form bears, a little wider than printed. `empty`: the page in grey, `DOTS_PER_MM`."""
    mask = empty.convert("L").point(_PRINTED).crop((0, 0, *SIZE))
    return mask.filter(ImageFilter.BoxBlur(PRINT_SPREAD * DOTS_PER_MM)).point([0] + [255] * 255)


def share(mask: Image.Image) -> float:
    """The inked share of a mask."""
    return mask.histogram()[255] / (mask.width * mask.height)


def square_mm(mask: Image.Image) -> float:
    """The inked area of a mask."""
    return mask.histogram()[255] / DOTS_PER_MM**2
