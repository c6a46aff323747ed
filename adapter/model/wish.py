"""What was said of a patient's record and mailbox, otherwise than by ADT: by a person at the desk, or by the record itself.

Sources: issue of consent and rights; blueprint seams 15, 16. Append-only: the newest word rules, whoever said it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential


class WishFor(StrEnum):
    """What the word is about. Values are stored: never rename."""

    RECORD = "record"
    MAIL = "mail"


class Word(StrEnum):
    """What was said. `none` and `closed`: the record knows no such patient, or their record is closed. Values are stored."""

    AGREED = "agreed"
    REFUSED = "refused"
    NONE = "none"
    CLOSED = "closed"


# Causes by which a record says something of the patient: it is remembered, and later documents park at once.
WORDS_OF_CAUSES = {"record-none": Word.NONE, "record-closed": Word.CLOSED, "record-opposed": Word.REFUSED}


@dataclass(frozen=True, repr=False)
class PatientWord(Confidential):
    """One word. `by` is the person who told us, or `record` when a record's answer did; `delivery_id` is that answer's."""

    about: WishFor
    said: Word
    by: str
    at: datetime
    delivery_id: str = ""
