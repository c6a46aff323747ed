"""What is asked back from a partner's queue before it leaves, and what the partner says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Withdrawn(StrEnum):
    """What a channel answers when something handed over is asked back. Values are stored: never rename."""

    GONE = "gone"  # nothing of it left, and nothing will
    PARTLY = "partly"  # some pages had left, no other will
    TOO_LATE = "too-late"  # it left, or it cannot be asked back: its own proof tells
    NOT_YET = "not-yet"  # on the line, or the partner cannot be asked: ask again
    FORGOTTEN = "forgotten"  # the partner has it no more and does not say how it ended: what we know of it decides


@dataclass(frozen=True)
class Withdrawal:
    """One delivery that must not leave any more although it was handed over. `reason`: why, a word for the trace."""

    delivery_id: str
    reference: str
    reason: str
