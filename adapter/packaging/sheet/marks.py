"""What a machine finds a faxed sheet by: four corner squares, and the page's code as a QR code, drawn as filled rectangles."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby

import segno

from adapter.errors import RenditionError
from adapter.model.sheet import CODE_LEFT, CODE_SIDE, CODE_TOP, CORNER_SIDE, CORNERS
from adapter.packaging.page.layout import LEFT, Fill, Mark
from adapter.packaging.sheet.pieces import Slot

# The head of a page ends here: between it and the code lie the four empty modules that a reader needs.
HEAD_WIDTH = CODE_LEFT - 4.0 - LEFT
_BLACK = (0, 0, 0)
_SMALLEST, _LARGEST = 2, 4  # versions: 25 to 33 modules; smaller modules than 0.56 mm are not read on a standard page
_OVERLAP = 0.02  # no hair line between two rows when a screen smooths edges


def corner_marks() -> tuple[Mark, ...]:
    """The four squares."""
    half = CORNER_SIDE / 2
    return tuple(Fill(x - half, y - half, CORNER_SIDE, CORNER_SIDE, _BLACK) for x, y in CORNERS)


def code_marks(text: str) -> tuple[Mark, ...]:
    """The code; RenditionError for a form whose name is too long for one."""
    return tuple(_runs(text))


def layout_code(pages: Sequence[Sequence[Slot]]) -> str:
    """Four letters for where every answer stands: a sheet drawn otherwise has others."""
    told = [[(slot.kind, slot.name, slot.state, *_tenths(slot)) for slot in page] for page in pages]
    return base64.b32encode(hashlib.sha256(repr(told).encode()).digest())[:4].decode("ascii")


def _tenths(slot: Slot) -> tuple[int, ...]:
    return tuple(round(value * 10) for value in (slot.x, slot.y, slot.width, slot.height))


def _runs(text: str) -> Iterator[Mark]:
    for version in range(_SMALLEST, _LARGEST + 1):
        try:
            symbol = segno.make_qr(text, version=version, error="L", mode="alphanumeric", boost_error=True)
        except segno.DataOverflowError:
            continue
        module = CODE_SIDE / symbol.symbol_size(border=0)[0]
        for row, modules in enumerate(symbol.matrix):
            column = 0
            for dark, run in groupby(modules):
                length = len(list(run))
                if dark:
                    yield Fill(CODE_LEFT + column * module, CODE_TOP + row * module, length * module, module + _OVERLAP, _BLACK)
                column += length
        return
    raise RenditionError("form.code-too-long", "the form's name and version do not fit in its code", remedy="Shorten its slug.")
