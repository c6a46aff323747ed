"""Makes the files of an export that a practice's client asked for: its feeds walked once, each document as it stands.

Law: FHIR Bulk Data Access 2.0; blueprint seams 7, 13. Runs as a lane of the service, not in a request. A part and the place where
making goes on are kept together. What the client may not see is never read: feeds are asked for its own practices and roles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from adapter.errors import StaleClaimError, TduError
from adapter.fhir.bundle import resources_of
from adapter.fhir.standing_alone import standing_alone
from adapter.ledger.bulk_jobs import Asked, BulkJob, NewPart
from adapter.ledger.ledger import Ledger
from adapter.model.publication import Publication, Readers
from adapter.web.fhir_http import written
from adapter.web.import_standing import Shown, shown_of

log = structlog.get_logger()

BUNDLE, REFERENCE, ORDER, DELETED = "Bundle", "DocumentReference", "ServiceRequest", "deleted"
TYPES = (BUNDLE, REFERENCE, ORDER)
LEASE = timedelta(minutes=5)
_PAGE = 50
_PART_BYTES = 4 * 1024 * 1024
_PART_DOCUMENTS = 1000
_MOST_DROPPED = 20

GoesOn = Callable[[], bool]


@dataclass
class _Heap:
    """Lines of one kind on their way into a file."""

    lines: list[bytes] = field(default_factory=list)
    documents: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def add(self, shown: Shown, resource: dict[str, Any]) -> None:
        """One line of a document."""
        line = written(resource)
        self.lines.append(line)
        self.size += len(line) + 1
        self.documents[shown.standing.key] = shown.standing.head.id

    def part(self, kind: str) -> NewPart:
        """The file."""
        content = b"".join(line + b"\n" for line in self.lines)
        return NewPart(kind, dict(self.documents), content, len(self.lines), hashlib.sha256(content).hexdigest())


class ExportMaker:
    """One export at a time; another process may make another."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def make_one(self, goes_on: GoesOn) -> int:
        """Make the oldest export that waits, and throw away what has had its time; how many were looked at."""
        dropped = self._ledger.drop_ended_bulk_jobs(_MOST_DROPPED)
        job = self._ledger.claim_bulk_job(LEASE)
        if job is None:
            return dropped
        try:
            if self._make(job, goes_on):
                self._ledger.end_bulk_job(job)
        except StaleClaimError:
            log.info("export.given-up", job=job.id)
        except TduError as error:
            log.error("export.failed", job=job.id, code=error.code)
            self._ledger.end_bulk_job(job, error.code)
        return 1

    def _make(self, job: BulkJob, goes_on: GoesOn) -> bool:
        """True once all is made; told to stop, it gives back the rest."""
        asked, at = job.asked, dict(job.asked.at)
        heaps = {kind: _Heap() for kind in (*asked.types, DELETED)}
        for practice, publication, shown in self._documents(job, at):
            at[practice] = publication.position
            if shown is not None:
                _add(shown, asked, heaps)
            documents = max(len(heap.documents) for heap in heaps.values())
            if documents >= _PART_DOCUMENTS or sum(heap.size for heap in heaps.values()) >= _PART_BYTES:
                goes_further = goes_on()
                self._keep(job, at, heaps, LEASE if goes_further else timedelta(0))
                if not goes_further:
                    return False
        self._keep(job, at, heaps, LEASE)
        return True

    def _keep(self, job: BulkJob, at: dict[str, int], heaps: dict[str, _Heap], lease: timedelta) -> None:
        parts = [heap.part(kind) for kind, heap in heaps.items() if heap.lines]
        self._ledger.keep_bulk_parts(job, at, parts, lease)
        heaps.update({kind: _Heap() for kind in heaps})

    def _documents(self, job: BulkJob, at: dict[str, int]) -> Iterator[tuple[str, Publication, Shown | None]]:
        """Each publication up to the heads of when it was asked; with its document, where this is its last one there."""
        asked, readers = job.asked, readers_of(job)
        for practice in asked.practices:
            head, last = asked.heads[practice], at.get(practice, 0)
            while page := [one for one in self._ledger.feed(readers, practice, last, _PAGE) if one.position <= head]:
                last_places = self._last_places(readers, page, head)
                for one in page:
                    wanted = last_places.get(one.document_key) == one.position
                    wanted = wanted and (asked.since is None or one.published_at >= asked.since)
                    found = shown_of(self._ledger, readers, [one.document_key]) if wanted else []
                    yield practice, one, found[0] if found else None
                last = page[-1].position

    def _last_places(self, readers: Readers, page: list[Publication], head: int) -> dict[str, int]:
        """Where each document of a page stands last in its feed, as far as the export goes."""
        known = self._ledger.publications_of(readers, [one.document_key for one in page])
        places: dict[str, int] = {}
        for one in known:
            if 0 < one.position <= head:
                places[one.document_key] = max(one.position, places.get(one.document_key, 0))
        return places


def readers_of(job: BulkJob) -> Readers:
    """For whom the feeds are read: as the client was when it asked."""
    roles = frozenset(job.asked.roles) if job.asked.roles is not None else None
    return Readers(job.legal_entity, job.asked.practices, roles)


def _add(shown: Shown, asked: Asked, heaps: dict[str, _Heap]) -> None:
    if not shown.standing.has_content:
        if asked.since is not None:
            heaps[DELETED].add(shown, _deletion(shown))
        return
    if BUNDLE in heaps:
        heaps[BUNDLE].add(shown, shown.bundle)
    if REFERENCE in heaps:
        heaps[REFERENCE].add(shown, shown.reference)
    if ORDER in heaps:
        for order in resources_of(shown.bundle, ORDER):
            heaps[ORDER].add(shown, standing_alone(order, shown.bundle))


def _deletion(shown: Shown) -> dict[str, Any]:
    """Bulk Data 2.0, `deleted`: what the reader takes out of its own store."""
    request = {"method": "DELETE", "url": f"DocumentReference/{shown.standing.key}"}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}
