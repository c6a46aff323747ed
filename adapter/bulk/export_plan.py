"""Which documents an export holds, and in which file each stands: decided once, written down, never decided again.

The plan is what makes the result the same whatever the number of workers, kills and resumes. It names documents by their row, in
the order of keeping, one part a line: `{"part": 1, "documents": ["…", …]}`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from adapter.bulk.durable import new_file, write_durably
from adapter.errors import ConfigurationError
from adapter.ledger.documents import DocumentKey

DOCUMENT = "document"
_PAGE = 1000
_JOBS = uuid.UUID("6d1c1d54-1b0c-5a63-9a0e-7f2e8a5e0c17")


class Documents(Protocol):
    """What is exported from; the ledger is one."""

    def settled_until(self) -> datetime:
        """An instant before which nothing can appear any more."""
        ...

    def document_keys(
        self, after: DocumentKey | None, limit: int, *, until: datetime, since: datetime | None = None, legal_entity: str
    ) -> list[DocumentKey]:
        """A page of documents in the order of keeping."""
        ...


@dataclass(frozen=True)
class ExportRequest:
    """What is asked for. `since` is included, `until` is not; `types` are `document` or names of FHIR resources."""

    legal_entity: str
    since: datetime | None = None
    until: datetime | None = None
    types: tuple[str, ...] = (DOCUMENT,)
    documents_a_part: int = 1000
    compressed: bool = False

    def as_data(self) -> dict[str, object]:
        """The request as the job's file keeps it and the manifest shows it."""
        return {
            "legalEntity": self.legal_entity,
            "since": _text(self.since),
            "until": _text(self.until),
            "types": list(self.types),
            "documentsAPart": self.documents_a_part,
            "compressed": self.compressed,
        }


@dataclass(frozen=True)
class ExportJob:
    """A request with what was settled when it was first begun. `until` is the instant that the export is true for."""

    request: ExportRequest
    until: datetime

    @property
    def id(self) -> str:
        """The same question at the same instant is the same export."""
        return str(uuid.uuid5(_JOBS, f"{json.dumps(self.request.as_data())}|{self.until.isoformat()}"))


@dataclass(frozen=True)
class Part:
    """One part: its number from 1, and the rows of its documents in order."""

    number: int
    documents: tuple[str, ...]


def begin_job(path: Path, request: ExportRequest, source: Documents) -> tuple[ExportJob, bool]:
    """The job that a folder holds, or a new one, written down; True when it is new.

    ConfigurationError when the folder's job is another one.
    """
    if path.exists():
        return _read_job(path, request), False
    settled = source.settled_until()
    job = ExportJob(request, min(request.until or settled, settled))
    write_durably(path, _json({"request": request.as_data(), "until": _text(job.until)}))
    return job, True


def _read_job(path: Path, request: ExportRequest) -> ExportJob:
    kept = json.loads(path.read_bytes())
    if kept["request"] != request.as_data():
        raise other_export(path.parent.parent)
    return ExportJob(request, datetime.fromisoformat(kept["until"]))


def other_export(folder: Path) -> ConfigurationError:
    """The folder is taken."""
    text, remedy = "this folder holds an export of something else.", "Name another folder, or ask for the same again."
    return ConfigurationError("export.other", text, where=str(folder), remedy=remedy)


def write_plan(path: Path, job: ExportJob, source: Documents) -> None:
    """Walk the ledger once and write the parts down; a plan that is there already stays."""
    if path.exists():
        return
    with new_file(path) as file:
        for number, documents in enumerate(_cut(_walk(job, source), job.request.documents_a_part), start=1):
            file.write(_json({"part": number, "documents": documents}))


def read_plan(path: Path) -> Iterator[Part]:
    """The parts, one at a time."""
    with path.open("rb") as file:
        for line in file:
            kept = json.loads(line)
            yield Part(kept["part"], tuple(kept["documents"]))


def _walk(job: ExportJob, source: Documents) -> Iterator[str]:
    """Row by row behind the last key: no page is ever counted from the start."""
    asked, last = job.request, None
    while True:
        page = source.document_keys(last, _PAGE, until=job.until, since=asked.since, legal_entity=asked.legal_entity)
        for key in page:
            yield key.submission_id
        if len(page) < _PAGE:
            return
        last = page[-1]


def _cut(rows: Iterator[str], size: int) -> Iterator[list[str]]:
    part: list[str] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode() + b"\n"
