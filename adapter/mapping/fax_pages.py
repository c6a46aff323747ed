"""The pages of a received fax, whatever they are: annex codes, pages of paper forms, pages for people. Pure, and bounded.

One fax never starves a worker: its pages, its dots and the looks at each are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from adapter.errors import InputError
from adapter.formats.fax_annex import Code
from adapter.formats.sheet_pages import pages_of
from adapter.formats.sheet_reading import Printed, Received, ReceivedPage, read_received
from adapter.model.confidential import Confidential

# A fax of more pages is paper for people: no document of ours takes as many, and one call must not hold a worker for minutes.
MOST_PAGES = 60
# All dots of one fax together: 60 pages of the finest resolution that machines have (408 × 391 an inch would be four times ours).
MOST_DOTS = 600_000_000
# Codes are looked for on a page no wider than this: what is finer says nothing more, and costs its square.
_WIDEST = 2592


@dataclass(frozen=True, repr=False)
class FaxReading(Confidential):
    """What the pages of one fax carry. `problem`: why they could not all be read (`fax-unreadable`, `fax-too-long`)."""

    received: Received
    pages: int
    problem: str = ""

    @property
    def codes(self) -> tuple[Code, ...]:
        """Annex codes in the order of the pages, doubled ones included."""
        return self.received.codes


def read_fax(content: bytes, source: str, printed: Printed) -> FaxReading:
    """The pages of one fax, whatever it holds: never raises. `source` names it in places; `printed` knows our forms."""
    pages = _Bounded(content, source)
    received = read_received(pages.each(), printed)
    return FaxReading(received, pages.count, pages.problem)


class _Bounded:
    """Pages one at a time, until one cannot be read or they are too many; why is noted."""

    def __init__(self, content: bytes, source: str) -> None:
        self._content = content
        self._source = source
        self.count = 0
        self.problem = ""

    def each(self) -> Iterator[ReceivedPage]:
        dots = 0
        try:
            for image in pages_of(self._content):
                dots += image.width * image.height
                if self.count >= MOST_PAGES or dots > MOST_DOTS:
                    self.problem = "fax-too-long"
                    return
                self.count += 1
                yield ReceivedPage(self._source, self.count, _no_wider(image))
        except InputError:
            self.problem = "fax-unreadable"
        if not self.count:
            self.problem = "fax-unreadable"


def _no_wider(image: Image.Image) -> Image.Image:
    """The page as a fax of ours would have been, when it came finer."""
    if image.width <= _WIDEST:
        return image
    return image.resize((_WIDEST, max(1, round(image.height * _WIDEST / image.width))), Image.Resampling.BOX)
