"""What is known of a fax number that documents go to: asked about, confirmed by a person, or said to be a wrong one.

Law: CNIL on faxing health data (the number is verified before the first document). Only numbers of the directory are ever kept:
they are practices' own, not people's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.model.delivery import DeliveryState


class FirstFax(StrEnum):
    """What happens before the first document to a number that nobody confirmed."""

    ASK = "ask"  # a person is asked; what is for this number waits
    TEST_PAGE = "test-page"  # the same, and a page without any patient leaves at once, with a code to be told by telephone
    SEND = "send"  # nothing: it leaves


class NumberState(StrEnum):
    """Where a number stands. Values are stored: never rename."""

    SEEN = "seen"  # used under `send`: nobody was asked
    ASKED = "asked"
    CONFIRMED = "confirmed"
    SUSPENDED = "suspended"  # somebody said that it is a wrong number: nothing goes there


@dataclass(frozen=True)
class NumberUse:
    """A document about to be dialled. `holders`: who has this number in today's directory, by key; `display`, whom it is for."""

    legal_entity: str
    number: str
    holders: frozenset[str]
    display: str
    phone_line: str = ""
    urgent: bool = False


@dataclass(frozen=True)
class FaxNumber:
    """One number of one legal entity. `waiting`, `sent`: ids of deliveries held until an answer, and gone or perhaps gone.

    `by_code`: whoever holds the test page told its code. `test_page`: how far the newest came.
    """

    number: str
    state: NumberState
    holders: frozenset[str]
    changed_at: datetime
    decided_by: str = ""
    by_code: bool = False
    waiting: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    test_page: DeliveryState | None = None
