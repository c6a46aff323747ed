"""A form that came back on paper, as far as a machine may read it: boxes with a confidence each, handwriting as pictures, doubts.

A draft is no request: a person confirms it. What cannot be told for sure is a doubt, never an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.finding import Finding
from adapter.model.sheet import Place


class BoxState(StrEnum):
    """What a box shows."""

    EMPTY = "empty"
    TICKED = "ticked"
    DOUBTFUL = "doubtful"


class Doubt(StrEnum):
    """Why a box is doubtful."""

    FAINT = "faint"  # too little ink for a mark, too much for none
    AT_THE_EDGE = "at-the-edge"  # ink that may have strayed from beside
    BESIDE = "beside"  # the box is empty, and something is written around it or over its label
    BLACKENED = "blackened"  # filled so fully that it may be a choice, or a choice taken back
    CROSSED_OUT = "crossed-out"  # the mark runs on over both sides of its box
    SEVERAL_MARKS = "several-marks"  # a single choice, and more than one box of it marked
    NO_FRAME = "no-frame"  # the printed frame was not found where it should be


@dataclass(frozen=True, repr=False)
class BoxReading(Confidential):
    """One box as read. `confidence`: 0 at the threshold of doubt, 1 far from it; it is a distance, not a probability.

    `ink`: the share of the box's inside that is inked.
    """

    place: Place
    page: int
    state: BoxState
    confidence: float
    ink: float
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, repr=False)
class Snippet(Confidential):
    """What is written in a field, as a picture (PNG) that holds the frame and a little around it. Nothing in it is read."""

    place: Place
    page: int
    png: bytes


@dataclass(frozen=True, repr=False)
class SheetPage(Confidential):
    """One received page of a form, read. `png`: the whole page, upright, at 8 dots a millimetre.

    `source` and `rank`: from which file or receipt it came, its rank there from 1.
    """

    number: int
    boxes: tuple[BoxReading, ...]
    snippets: tuple[Snippet, ...]
    findings: tuple[Finding, ...]
    png: bytes
    source: str = ""
    rank: int = 0


@dataclass(frozen=True, repr=False)
class DraftAnswer(Confidential):
    """One question that is answered by boxes: `values` are those surely ticked; none is when it has `doubts`.

    `candidates`: every box that bears a mark, sure or not.
    """

    link_id: str
    row: int
    asked: str
    values: tuple[str, ...]
    confidence: float
    candidates: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, repr=False)
class FormDraft(Confidential):
    """A form of which pages were received. `expected`: how many it has."""

    slug: str
    version: str
    title: str
    expected: int
    pages: tuple[SheetPage, ...]
    answers: tuple[DraftAnswer, ...]
    findings: tuple[Finding, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """The pages that were not received."""
        found = {page.number for page in self.pages}
        return tuple(number for number in range(1, self.expected + 1) if number not in found)
