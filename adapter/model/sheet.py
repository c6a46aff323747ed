"""A printed form as a machine meets it again: where its corner marks, its code, its boxes and its fields are. Values only.

The same code that draws a sheet makes these (`packaging/sheet`); who reads a received page (`formats/sheet_*`) knows nothing else
of it. All lengths are millimetres from the top left of an A4 page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0

# Filled squares. 5 mm, for nothing that one writes or prints in a form is as black over as much; 8 mm from the edge, where
# printers print and fax machines write no line of theirs.
CORNER_SIDE = 5.0
CORNERS = ((10.5, 10.5), (199.5, 10.5), (199.5, 286.5), (10.5, 286.5))

# The page's code: a QR code at the top right, below no tag line, of modules of 0.75 mm (six dots of a fine page, three rows of
# a standard one: what is smaller is lost on a standard page, docs/reference/fax-annex.md).
CODE_SIDE = 18.75
CODE_LEFT, CODE_TOP = 174.25, 7.0
CODE_CORNERS = (
    (CODE_LEFT, CODE_TOP),
    (CODE_LEFT + CODE_SIDE, CODE_TOP),
    (CODE_LEFT + CODE_SIDE, CODE_TOP + CODE_SIDE),
    (CODE_LEFT, CODE_TOP + CODE_SIDE),
)

_MAGIC = "TDU"
# Of the characters of QR's alphanumeric mode only: a byte would take twice the room.
_CODE = re.compile(r"TDU:([A-Z2-7]{4}):([A-Z0-9]+(?:-[A-Z0-9]+)*):([0-9A-Z.+-]{1,40}):([1-9][0-9]?)/([1-9][0-9]?)")


@dataclass(frozen=True)
class PageCode:
    """What a page says of itself. `layout` tells one drawing of a version from another: places move when it is drawn anew."""

    slug: str
    version: str
    layout: str
    page: int
    pages: int


class PlaceKind(StrEnum):
    """How a place is filled: one box of a single choice, one of several, or by writing."""

    ONE = "one"
    ANY = "any"
    WRITING = "writing"


@dataclass(frozen=True)
class Place:
    """One box or one field. `row` is its line in a repeated group, 0 elsewhere.

    `value` and `words`: the answer's code that a box stands for, and its label; `reach`: how far right of the box the label ends.
    """

    kind: PlaceKind
    link_id: str
    row: int
    x: float
    y: float
    width: float
    height: float
    asked: str
    value: str = ""
    words: str = ""
    reach: float = 0.0


@dataclass(frozen=True)
class Sheet:
    """A printed form: for each page its places. `layout` is the fingerprint that its code carries."""

    slug: str
    version: str
    title: str
    layout: str
    pages: tuple[tuple[Place, ...], ...]


def page_code(slug: str, version: str, layout: str, page: int, pages: int) -> str:
    """The text of a page's code."""
    return f"{_MAGIC}:{layout}:{slug.upper()}:{version.upper()}:{page}/{pages}"


def read_page_code(text: str) -> PageCode | None:
    """What a code says, or None: any page may bear codes of others."""
    found = _CODE.fullmatch(text)
    if found is None or int(found[4]) > int(found[5]):
        return None
    return PageCode(found[2].lower(), found[3].lower(), found[1], int(found[4]), int(found[5]))
