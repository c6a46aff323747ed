"""What lies in a practice's folder: file sets, where each stands, and what the ledger remembers of it.

Law: blueprint seams 7, 15: published is not fetched, and a file that is nowhere was never integrated.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.publication import PublicationKind


class FolderFormat(StrEnum):
    """What a practice's program reads."""

    FHIR = "fhir"
    XDM = "xdm"
    CDA_AND_PDF = "cda+pdf"
    HPRIM = "hprim"


class Standing(StrEnum):
    """Where a set stands. Values are stored: never rename.

    `withheld`: never exposed, a shared folder may not carry it. `skipped`: never exposed, nothing of it had to be told.
    `again`: a person asked for it once more.
    """

    STAGED = "staged"
    LYING = "lying"
    DONE = "done"
    ERROR = "error"
    WITHDRAWN = "withdrawn"
    GONE = "gone"
    WITHHELD = "withheld"
    SKIPPED = "skipped"
    AGAIN = "again"


# Sets that the folder still has to tell something of: a file that is gone may come back, one in error may be tried again.
WATCHED = frozenset({Standing.LYING, Standing.GONE, Standing.ERROR})
# Sets that were seen by the practice, or may have been.
GIVEN = frozenset({Standing.LYING, Standing.DONE, Standing.ERROR, Standing.GONE, Standing.WITHDRAWN})


@dataclass(frozen=True)
class KnownSet:
    """A set that was exposed: its stem, and the size and SHA-256 (hexadecimal) of its main file."""

    stem: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, repr=False)
class FileSet(Confidential):
    """The files of one publication, as (name, content): names begin with `stem`. A program waits for the last, the main one."""

    stem: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def main(self) -> KnownSet:
        """What must be remembered to find the set again under another name."""
        _, content = self.files[-1]
        return KnownSet(self.stem, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class FolderSet:
    """What the ledger remembers of one publication in a folder; two roles of one practice share one set, with one stem.

    `line_id` is the document's line of versions. `is_stale`: a newer version or a cancellation is known. `changed_at`: since when
    it stands so. `has_content`: a document lies in it, not words about one. `outcome` is what the practice said last.
    """

    publication_id: str
    legal_entity: str
    practice: str
    position: int
    submission_id: str
    known: KnownSet
    standing: Standing
    kind: PublicationKind
    changed_at: datetime
    has_content: bool = False
    line_id: str = ""
    is_stale: bool = False
    outcome: str = ""
    urgent: bool = False


def stem_of(position: int, publication_id: str) -> str:
    """The name of a publication's files: its place in the feed and a part of its id's hash. It tells nothing of anybody."""
    return f"TDU-{position:08d}-{hashlib.sha256(publication_id.encode()).hexdigest()[:8].upper()}"
