"""A publication: one document version put at a practice's disposal, and what became of it there.

Law: blueprint seams 6, 7, 13. Published is *accepted*, fetched *delivered*, what the practice says *integrated* or *refused*.
New, replaced, cancelled, masked and corrected versions are all publications of one feed, under the document's own identifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.model.delivery import DeliveryState


class PublicationKind(StrEnum):
    """What a publication tells: a delivery's intent. Values are stored: never rename."""

    NEW = "new"
    REPLACE = "replace"
    CANCEL = "cancel"
    METADATA = "metadata"


# What tells of a document without bringing one: it is received once the reader has gone past it.
WITHOUT_CONTENT = frozenset({PublicationKind.CANCEL, PublicationKind.METADATA})


@dataclass(frozen=True)
class Practice:
    """Who imports: the name that legs carry, and how long what is published may stay unfetched, by priority of the delivery."""

    name: str
    legal_entity: str
    urgent_within: timedelta
    semi_urgent_within: timedelta
    routine_within: timedelta


@dataclass(frozen=True)
class Rendition:
    """One form in which a document is kept for fetching: `cda` or `pdf`. `sha1` is hexadecimal, `size` in bytes."""

    form: str
    media_type: str
    size: int
    sha1: str


@dataclass(frozen=True)
class Publication:
    """One line of a practice's feed; `id` is the delivery's.

    `position` orders the feed by commit: 0 until a reader gave it one. `document_key` is one document of one practice, whatever
    its versions of metadata. `superseded_by`: the delivery of a newer version; then this one is never handed out as current.
    `outcome` is what the practice said last (`mappings/import-outcomes.csv`), `fetched_at` when it first took the content.
    `type_code` is the document's (LOINC). `state` is the delivery's.
    """

    id: str
    legal_entity: str
    practice: str
    role_id: str
    submission_id: str
    document_id: str
    document_key: str
    line_id: str
    version: int
    kind: PublicationKind
    type_code: str
    urgent: bool
    position: int
    published_at: datetime
    fetch_due: datetime
    state: DeliveryState
    renditions: tuple[Rendition, ...] = ()
    superseded_by: str = ""
    fetched_at: datetime | None = None
    outcome: str = ""
    outcome_at: datetime | None = None

    @property
    def is_stale(self) -> bool:
        """True when a newer version of this document, or its cancellation, is known for this recipient."""
        return bool(self.superseded_by)


@dataclass(frozen=True)
class Readers:
    """For whom a feed is read: practices of one legal entity, and the roles that the reader may see (None: all of theirs)."""

    legal_entity: str
    practices: tuple[str, ...]
    roles: frozenset[str] | None = None
