"""One telephone call of a fax, out or in: how long, how many pages, why it failed, and how each page was confirmed.

One document may need several calls (busy, broken then resumed): each is a call of its own. Sources: ITU-T T.30 (MCF, RTP and the
other answers to a page), what fax engines report. Figures of a call are no patient's; its number may be a person's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential

# T.30 answers that confirm a page: received well, received and to be trained anew, received and an operator asked for.
CONFIRMING = frozenset({"MCF", "RTP", "PIP"})
# A call of which nothing is known but that it failed.
UNKNOWN_CAUSE = "unknown"


class CallDirection(StrEnum):
    """Who dialled. Values are stored: never rename."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True)
class PageProof:
    """What the other end said of one page in one call.

    `page` counts from 1 within the document, of `pages` in all; `at` is when it answered; `answer` is T.30's word, empty when
    none came. Without error correction (`with_ecm`) lines of a confirmed page may be missing.
    """

    page: int
    pages: int
    at: datetime
    answer: str
    with_ecm: bool

    @property
    def is_confirmed(self) -> bool:
        """True when the other end has the page."""
        return self.answer in CONFIRMING


@dataclass(frozen=True, repr=False)
class FaxCall(Confidential):
    """One call. `reference` is the delivery's (out) or the receipt's (in); `call` is the engine's own name for the call, which
    makes it one row however often it is told.

    `seconds`: how long the line was held; None when the engine does not say. `pages`: confirmed in this call. `cause` is empty
    when it carried all that it had to, else a word of the causes table, or `unknown`. `resolution`: rows an inch, 0 unknown.
    `with_ecm`: None when unknown. `log`: the engine's own account of the call, the original of `proofs`.
    """

    reference: str
    direction: CallDirection
    began_at: datetime
    call: str
    number: str = ""
    partner: str = ""
    seconds: float | None = None
    pages: int = 0
    cause: str = ""
    device: str = ""
    resolution: int = 0
    with_ecm: bool | None = None
    proofs: tuple[PageProof, ...] = ()
    log: bytes = field(default=b"")
