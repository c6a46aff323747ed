"""The pages of a fax beside what their sender signed: each sheet found, whatever its order, and where it differs. Pure, bounded.

Blank pages are nobody's. The cover may be missing (offices tear it off); a sheet of the document may not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from PIL import Image

from adapter.errors import InputError
from adapter.formats.page_print import Compared, compare_page, is_blank
from adapter.formats.sheet_pages import FAX_DOTS, pages_of
from adapter.mapping.fax_pages import MOST_PAGES
from adapter.model.confidential import Confidential

# How many times a page is laid over a sheet for one fax, about half a second each: then a person looks.
MOST_LOOKS = 80
# A page so many times longer than wide is no sheet; laid over one, it would be made as wide as one, and longer than any memory.
_LONGEST = 8


@dataclass(frozen=True, repr=False)
class CalledPages(Confidential):
    """One call's file (`source`: its receipt), and the ranks (from 1) of its pages that bear no code: those to compare."""

    source: str
    content: bytes
    ranks: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class FoundPage(Confidential):
    """A received page and the sheet (from 0, the cover) that it is; None: no sheet of this document."""

    source: str
    rank: int
    sheet: int | None
    compared: Compared | None = None


@dataclass(frozen=True, repr=False)
class PagesCompared(Confidential):
    """All pages beside all sheets. `is_whole` is false when not every page could be looked at."""

    sheets: int
    pages: tuple[FoundPage, ...]
    is_whole: bool = True

    @property
    def missing(self) -> tuple[int, ...]:
        """Sheets of the document that did not come; the cover may be missing."""
        came = {page.sheet for page in self.pages}
        return tuple(sheet for sheet in range(1, self.sheets) if sheet not in came)

    @property
    def unknown(self) -> tuple[FoundPage, ...]:
        """Pages that are no sheet of this document."""
        return tuple(page for page in self.pages if page.sheet is None)

    @property
    def differing(self) -> tuple[FoundPage, ...]:
        """Pages on which something was written, struck out or lost."""
        return tuple(page for page in self.pages if page.compared is not None and not page.compared.is_alike)

    @property
    def over_paper(self) -> tuple[FoundPage, ...]:
        """Sheets that were on paper since they were sent: a single stroke on them may not have been seen."""
        return tuple(page for page in self.pages if page.compared is not None and not page.compared.is_straight)

    @property
    def is_alike(self) -> bool:
        """True when every sheet came as it was sent, and nothing else did."""
        return self.is_whole and not (self.missing or self.unknown or self.differing)


@dataclass
class _Desk:
    """Sheets found so far, and looks spent."""

    prints: Sequence[bytes]
    taken: set[int] = field(default_factory=set)
    looks: int = 0
    is_upside_down: bool = False


def compare_pages(calls: Sequence[CalledPages], prints: Sequence[bytes]) -> PagesCompared:
    """The pages of these calls, in their order, beside the sheets of one document. Never raises."""
    desk = _Desk(prints)
    found: list[FoundPage] = []
    for call in calls:
        for rank, image in _pages(call):
            if is_blank(image):
                continue
            if desk.looks >= MOST_LOOKS:
                return PagesCompared(len(prints), tuple(found), is_whole=False)
            sheet, compared = _sheet_of(_upright(image), rank, desk)
            found.append(FoundPage(call.source, rank, sheet, compared))
    return PagesCompared(len(prints), tuple(found))


def page_at(call: CalledPages, rank: int) -> Image.Image | None:
    """The image of one compared page, laid as `Compared` knows it; for a picture of what differs."""
    return next((_upright(image) for number, image in _pages(call) if number == rank), None)


def _pages(call: CalledPages) -> Iterator[tuple[int, Image.Image]]:
    wanted = set(call.ranks)
    try:
        for rank, image in enumerate(pages_of(call.content), start=1):
            if rank > MOST_PAGES:
                return
            if rank in wanted:
                yield rank, image
    except InputError:
        return


def _upright(image: Image.Image) -> Image.Image:
    """A page lying on its side is turned; one of a fax's width lies on none, however few rows it has."""
    lies = image.width > image.height and abs(image.width - FAX_DOTS) > 100
    return image.rotate(90, expand=True) if lies else image


def _sheet_of(image: Image.Image, rank: int, desk: _Desk) -> tuple[int | None, Compared | None]:
    if max(image.size) > _LONGEST * min(image.size):
        return None, None
    for turned in (desk.is_upside_down, not desk.is_upside_down):
        for sheet in _likely(rank, desk):
            if desk.looks >= MOST_LOOKS:
                return None, None
            desk.looks += 1
            compared = compare_page(image, desk.prints[sheet], turns=(turned,))
            if compared.is_same_page:
                desk.taken.add(sheet)
                desk.is_upside_down = turned
                return sheet, compared
    return None, None


def _likely(rank: int, desk: _Desk) -> list[int]:
    """The sheet at the page's own place first, then those not found yet, then the others: a page may come twice."""
    sheets = range(len(desk.prints))
    return sorted(sheets, key=lambda sheet: (sheet in desk.taken, sheet != rank - 1, sheet))
