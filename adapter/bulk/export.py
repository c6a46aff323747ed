"""The ledger's documents as NDJSON files with a manifest: planned once, written part by part, resumable after any kill.

In the folder: `document-000001.ndjson…` (and one series a FHIR type), `manifest.json` last. In `.export/` meanwhile: the job, the
plan, and one slip a part that is done. A part is written aside, made durable, renamed; then its slip; then the manifest, from the
slips alone. So the manifest's bytes depend on the request and the ledger, not on workers or interruptions.

The manifest has the shape of FHIR Bulk Data Access (HL7 v2.0, "Complete Status"); what that knows no place for is in `extension`.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from adapter.bulk.crew import Crew
from adapter.bulk.durable import ASIDE, LineFile, Written, new_file, sync_folder, write_durably
from adapter.bulk.export_plan import (
    DOCUMENT,
    ExportJob,
    ExportRequest,
    Part,
    begin_job,
    other_export,
    read_plan,
    write_plan,
)
from adapter.errors import ConfigurationError
from adapter.fhir.standing_alone import standing_alone
from adapter.ledger.ledger import Ledger

MANIFEST = "manifest.json"
_WORK = ".export"
_BATCH = 200

Step = Callable[[int], None]
Audit = Callable[[Ledger, ExportJob, str], None]


@dataclass(frozen=True)
class Slip:
    """What is known of a part that is done: its number, how many documents it went through, its files."""

    number: int
    documents: int
    files: tuple[Written, ...]


@dataclass(frozen=True)
class Exported:
    """What an export came to. `resumed`: some of it had been done before."""

    job_id: str
    documents: int
    files: int
    size: int
    resumed: bool
    manifest: Path


@dataclass(frozen=True)
class ExportPlace:
    """A folder to export to, and the revision of the ledger's schema that the manifest names."""

    folder: Path
    ledger_revision: str

    @property
    def work(self) -> Path:
        """What is only there while the export is not over."""
        return self.folder / _WORK


def export_documents(
    place: ExportPlace,
    request: ExportRequest,
    open_ledger: Callable[[], Ledger],
    *,
    workers: int,
    audit: Audit,
    step: Step,
) -> Exported:
    """Begin or go on with an export, to its end. `audit` is called before the first document leaves, and at the end."""
    if (place.folder / MANIFEST).exists():
        return _over(place, request)
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not place.work.exists() and any(place.folder.iterdir()):
        text, remedy = "this folder holds other things.", "Name a new or empty folder."
        raise ConfigurationError("export.folder-not-empty", text, where=str(place.folder), remedy=remedy)
    place.work.mkdir(mode=0o700, exist_ok=True)
    sync_folder(place.folder)
    with _alone(place.work):
        with Crew(workers, open_ledger) as crew:
            with closing(open_ledger()) as ledger:
                job, is_new = begin_job(place.work / "job.json", request, ledger)
                audit(ledger, job, "begun" if is_new else "resumed")
                write_plan(place.work / "plan.ndjson", job, ledger)
            _write_parts(place, job, crew, step)
        _write_manifest(place, job)
        with closing(open_ledger()) as ledger:
            audit(ledger, job, "done")
    return _over(place, request, resumed=not is_new)


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """One export at a time in a folder; the lock goes with the process."""
    with (work / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another export is writing to this folder."
            raise ConfigurationError("export.busy", text, where=str(work.parent), remedy="Wait for it.") from None
        yield


# ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _write_parts(place: ExportPlace, job: ExportJob, crew: Crew[Ledger], step: Step) -> None:
    def missing() -> Iterator[Part]:
        for part in read_plan(place.work / "plan.ndjson"):
            if _slip_path(place.work, part.number).exists():
                step(len(part.documents))
            else:
                yield part

    for done in crew.in_order(partial(_write_part, folder=place.folder, work=place.work, request=job.request), missing()):
        step(done)


def _write_part(ledger: Ledger, part: Part, *, folder: Path, work: Path, request: ExportRequest) -> int:
    """In a worker: the files of one part, then its slip. Returns how many documents it went through."""
    suffix = ".ndjson.gz" if request.compressed else ".ndjson"
    with ExitStack() as open_files:
        files = {
            kind: LineFile(name, open_files.enter_context(new_file(folder / name)), request.compressed)
            for kind in request.types
            for name in (f"{kind}-{part.number:06d}{suffix}",)
        }
        for start in range(0, len(part.documents), _BATCH):
            rows = list(part.documents[start : start + _BATCH])
            for bundle in ledger.document_bundles(rows, legal_entity=request.legal_entity):
                _add_lines(bundle, files)
        written = [file.end() for file in files.values()]
    slip = Slip(part.number, len(part.documents), tuple(one for one in written if one.lines))
    for empty in (one for one in written if not one.lines):
        (folder / empty.name).unlink()
    write_durably(_slip_path(work, part.number), json.dumps(asdict(slip)).encode())
    return slip.documents


def _add_lines(bundle: bytes, files: dict[str, LineFile]) -> None:
    """A document gives its own bytes, and of each type asked for its resources, made whole without it."""
    if DOCUMENT in files:
        files[DOCUMENT].add(bundle)
    if files.keys() == {DOCUMENT}:
        return
    document = orjson.loads(bundle)
    for entry in document["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] in files:
            files[resource["resourceType"]].add(orjson.dumps(standing_alone(resource, document)))


def _slip_path(work: Path, number: int) -> Path:
    return work / f"part-{number:06d}.json"


def _read_slip(path: Path) -> Slip:
    kept = json.loads(path.read_bytes())
    return Slip(kept["number"], kept["documents"], tuple(Written(**file) for file in kept["files"]))


# ── manifest ──────────────────────────────────────────────────────────────────────────────────────────────────


def _write_manifest(place: ExportPlace, job: ExportJob) -> None:
    """Line by line: a million parts are not held at once."""
    head = {
        "transactionTime": job.until.isoformat(),
        "request": _request_text(job.request),
        "requiresAccessToken": False,
        "outputFormat": "application/fhir+ndjson",
    }
    documents = lines = size = 0
    with new_file(place.folder / MANIFEST) as file:
        file.write((json.dumps(head, ensure_ascii=False, indent=1)[:-2] + ',\n "output": [').encode())
        separator = "\n"
        for part in read_plan(place.work / "plan.ndjson"):
            slip = _read_slip(_slip_path(place.work, part.number))
            documents += slip.documents
            for one in slip.files:
                file.write(f"{separator}  {json.dumps(_output(one))}".encode())
                separator, lines, size = ",\n", lines + one.lines, size + one.size
        tail = {"deleted": [], "error": [], "extension": _extension(place, job, documents, lines, size)}
        file.write(("\n ],\n" + json.dumps(tail, ensure_ascii=False, indent=1)[2:] + "\n").encode())


def _output(file: Written) -> dict[str, object]:
    kind = file.name.partition("-")[0]
    return {
        "type": "Bundle" if kind == DOCUMENT else kind,
        "url": file.name,
        "count": file.lines,
        "extension": {"bytes": file.size, "sha256": file.sha256},
    }


def _extension(place: ExportPlace, job: ExportJob, documents: int, lines: int, size: int) -> dict[str, object]:
    told = {"job": job.id} | job.request.as_data() | {"ledgerRevision": place.ledger_revision}
    return told | {"documents": documents, "lines": lines, "bytes": size}


def _request_text(request: ExportRequest) -> str:
    """The command that was given, defaults left out; how a second run knows its own."""
    words = ["tdu export", f"--entity {request.legal_entity}"]
    words += [f"--since {request.since.isoformat()}"] if request.since else []
    words += [f"--until {request.until.isoformat()}"] if request.until else []
    words += [f"--type {kind}" for kind in request.types]
    words += [f"--documents {request.documents_a_part}", *(["--gzip"] if request.compressed else [])]
    return " ".join(words)


def _over(place: ExportPlace, request: ExportRequest, *, resumed: bool = True) -> Exported:
    """The finished export of a folder; what was only needed meanwhile goes."""
    path = place.folder / MANIFEST
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    if manifest["request"] != _request_text(request):
        raise other_export(place.folder)
    _tidy(place, {one["url"] for one in manifest["output"]}, request)
    told = manifest["extension"]
    return Exported(told["job"], told["documents"], len(manifest["output"]), told["bytes"], resumed, path)


def _tidy(place: ExportPlace, named: set[str], request: ExportRequest) -> None:
    """What a killed run left half written, or left before it was known to be empty, is nobody's. Only names of ours go."""
    for kind in request.types:
        for path in place.folder.glob(f"{kind}-[0-9][0-9][0-9][0-9][0-9][0-9]*.ndjson*"):
            if path.name not in named:
                path.unlink()
    (place.folder / (MANIFEST + ASIDE)).unlink(missing_ok=True)
    shutil.rmtree(place.work, ignore_errors=True)
