"""What goes in and out of a practice's feed: contents to publish, what is sought, what a practice said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState
from adapter.model.publication import Rendition


@dataclass(frozen=True, repr=False)
class Carried(Confidential):
    """One rendition to keep for fetching. `stored` is False when the submission's own source is this very content."""

    rendition: Rendition
    content: bytes
    stored: bool = True


@dataclass(frozen=True)
class Sought:
    """What a reader searches publications for; empty means any. `names`: what they were published under (`Ledger.publish`);
    `patients`: (kind, value) pairs of `lookup`. `requests_only`: what asks for something, and has steps.
    """

    document_keys: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    type_codes: tuple[str, ...] = ()
    patients: tuple[tuple[str, str], ...] = ()
    requests_only: bool = False
    since: datetime | None = None
    until: datetime | None = None


class Kept(StrEnum):
    """What became of an outcome that a practice gave."""

    KEPT = "kept"
    REPEATED = "repeated"
    CONFLICT = "conflict"


@dataclass(frozen=True, repr=False)
class Said(Confidential):
    """What a practice says of publications. `final`: outcomes after which no other is taken. `note` is a person's words."""

    outcome: str
    proves: DeliveryState
    cause: str
    by: str
    final: frozenset[str]
    note: str = ""


@dataclass(frozen=True)
class SilentPractice:
    """A practice that lets documents lie: how many beyond their delay, and since when the oldest is due."""

    practice: str
    waiting: int
    oldest_due: datetime
