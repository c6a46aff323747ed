"""Hands fax pages over to a spool directory and reads back what became of them; the fax engine takes them from there.

Law of the spool (a fax engine, or `demo/fax_partner`, is the other side):
- `<name>.tiff` then `<name>.json` appear, each whole, by rename; a job exists when its JSON does;
- the engine writes `<name>.done.json` (`pages`, `at`) or `<name>.failed.json` (`cause`, `at`) beside them, by rename;
- what a report may tell besides, of each call and of each page: `fax_reports`; for engines: docs/reference/fax-folder.md;
- an engine creates `<name>.taken` (which must not exist before) when it begins with a job, and leaves the job alone if what is
  there already holds the word `withdrawn`: so do we take a job back before we remove it;
- `dial: false` in the job (a test instance): the engine must not call the number, and may report as if it had;
- a report that says neither pages nor cause is left alone: it may still be being written;
- a report is moved to `collected/` one round after its evidence was committed, and the pages, which are a patient's, deleted.
`<name>` is our reference, so a job handed over twice is one job, and a fax whose pages were confirmed is never sent again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapter.channels.base import Capabilities
from adapter.channels.fax_line import checked_call, fax_capabilities, refused
from adapter.channels.fax_reports import is_broken_off, proof_of
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.parcel import FaxContent, Parcel

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_BATCH = 100
_TAKEN_BACK = "withdrawn"
# Rows an inch of the pages of a job.
_FINE, _STANDARD = 196, 98
_REPORTS = (".done.json", ".failed.json")


@dataclass(frozen=True)
class FaxSpoolSettings:
    """Where the spool is, and how much may wait in it. A test instance never dials: its jobs say so to the engine."""

    directory: Path
    max_waiting: int = 1000
    dials: bool = True
    size_limit_bytes: int = 32 * 1024 * 1024
    free_bytes_kept: int = 64 * 1024 * 1024


class FaxSpoolChannel:
    """The fax as a way out: accepted = durably spooled, delivered = pages confirmed by the engine."""

    def __init__(self, settings: FaxSpoolSettings) -> None:
        self._settings = settings
        self._directory = settings.directory
        self._collected = settings.directory / "collected"

    @property
    def capabilities(self) -> Capabilities:
        """What fax can do: no reading receipt exists."""
        return fax_capabilities(self._settings.size_limit_bytes)

    def send(self, parcel: Parcel) -> SendOutcome:
        """Spool the pages and their job; the same reference again is recognised."""
        call = checked_call(parcel, self._settings.size_limit_bytes)
        if isinstance(call, SendOutcome):
            return call
        content = call.content
        job = _job(parcel, content, call.number) | {"dial": self._settings.dials}
        try:
            return self._known(parcel.reference, job) or self._full() or self._spool(parcel.reference, content, job)
        except OSError as error:
            return _deferred(error)

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """Whether the spool holds this reference, waiting or done; None when a new hand-over cannot be a second fax."""
        try:
            return self._known(parcel.reference, None)
        except OSError as error:
            return _deferred(error)

    def withdraw(self, reference: str) -> Withdrawn:
        """Take a job back that the engine has not begun with; run again at any point, the answer is the same."""
        name = spool_name(reference)
        try:
            return self._reported(name) or self._take_back(name)
        except OSError:
            return Withdrawn.NOT_YET

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Reports not collected yet. The cursor names the last batch: given back, it was committed and is put away.

        No clock is asked: a report that appears late, or with an old date, is still found.
        """
        for name in cursor.splitlines():
            self._put_away(name)
        evidence: list[Evidence] = []
        names: list[str] = []
        for path in self._reports():
            found = _evidence(path)
            if found is not None:
                evidence.append(found)
                names.append(path.name)
            if len(names) == _BATCH:
                break
        return tuple(evidence), "\n".join(names)

    def references(self) -> tuple[str, ...]:
        """What the spool holds and no report was put away of: the references of its jobs."""
        try:
            jobs = sorted(path for path in self._directory.glob("*.json") if not path.name.endswith(_REPORTS))
        except OSError:
            return ()
        return tuple(str(reference) for path in jobs if (reference := _read(path).get("reference")))

    def check(self) -> str:
        """Whether the spool can be written, without sending."""
        if not self._directory.is_dir():
            return f"{self._directory}: no such directory. Create it for the fax engine."
        if not os.access(self._directory, os.W_OK | os.X_OK):
            return f"{self._directory}: not writable. Give this service the right to write there."
        full = self._full()
        return f"{self._directory}: {full.detail}. Make the fax engine take its jobs, or free the disk." if full else ""

    # -- hand-over ----------------------------------------------------------------------------------------------------

    def _known(self, reference: str, job: dict[str, Any] | None) -> SendOutcome | None:
        """The outcome for a reference that the spool has seen. A collected failure is no obstacle: it is tried anew."""
        name = spool_name(reference)
        if (self._collected / f"{name}.done.json").exists():
            return SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.DELIVERED, partner_reference=name)
        if self._failure(name) is not None:
            # Its evidence may not be committed yet, and putting it away would take a new job along: not now.
            return SendOutcome(OutcomeKind.DEFERRED, "partner-busy", detail="the last failure is not put away yet")
        path = self._directory / f"{name}.json"
        if not path.exists():
            # A stop while it was put away leaves its report for last: pages that were confirmed are not sent again.
            reported = (self._directory / f"{name}.done.json").exists()
            return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=name) if reported else None
        known = _read(path)
        if job is not None and known.get("resolution", _FINE) == job["resolution"] and known.get("sha256") != job["sha256"]:
            return refused("conflict", "other pages are spooled under this reference")
        return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=name)

    def _failure(self, name: str) -> dict[str, Any] | None:
        """The report, not put away yet, that a job failed or broke off before its last page; None when there is none."""
        failed, done = (self._directory / f"{name}{end}" for end in (".failed.json", ".done.json"))
        if failed.exists():
            return _read(failed)
        return _read(done) if done.exists() and self._breaks_off(name, done) else None

    def _breaks_off(self, name: str, done: Path) -> bool:
        """Whether a report confirms fewer pages than the job has, which may have been put away before its report."""
        job = next((known for folder in (self._directory, self._collected) if (known := _read(folder / f"{name}.json"))), {})
        return is_broken_off(_read(done), job)

    def _reported(self, name: str) -> Withdrawn | None:
        """What a job came to that the engine reported on; None while it did not."""
        failure, collected = self._failure(name), self._collected / f"{name}.failed.json"
        if failure is None and any((folder / f"{name}.done.json").exists() for folder in (self._directory, self._collected)):
            return Withdrawn.TOO_LATE
        if failure is None and collected.exists() and not (self._directory / f"{name}.json").exists():
            failure = _read(collected)
        if failure is None:
            return None
        return Withdrawn.PARTLY if failure.get("pages") else Withdrawn.GONE

    def _take_back(self, name: str) -> Withdrawn:
        """Whoever makes the mark first has the job. Ours says so, and goes last: a crash in between only makes this run again."""
        job, mark = self._directory / f"{name}.json", self._directory / f"{name}.taken"
        if not job.exists() and not mark.exists():
            # A stop before the job was written leaves pages that nobody takes: a patient's.
            for pages in (f"{name}.tiff", f".{name}.tiff.part"):
                (self._directory / pages).unlink(missing_ok=True)
            return Withdrawn.GONE
        draft = self._directory / f".{name}.taken"
        draft.write_text(_TAKEN_BACK)
        try:
            os.link(draft, mark)  # whole at once: an engine never sees it empty
        except FileExistsError:
            if mark.read_text() != _TAKEN_BACK:
                return Withdrawn.NOT_YET
        finally:
            draft.unlink()
        for file in (job, self._directory / f"{name}.tiff", mark):
            file.unlink(missing_ok=True)
        _sync_directory(self._directory)
        return Withdrawn.GONE

    def _full(self) -> SendOutcome | None:
        waiting = sum(1 for entry in os.scandir(self._directory) if entry.name.endswith(".tiff"))
        if waiting >= self._settings.max_waiting:
            return SendOutcome(OutcomeKind.DEFERRED, "spool-full", detail=f"{waiting} jobs wait")
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if free < self._settings.free_bytes_kept:
            return SendOutcome(OutcomeKind.DEFERRED, "spool-full", detail=f"{free} bytes free")
        return None

    def _spool(self, reference: str, content: FaxContent, job: dict[str, Any]) -> SendOutcome:
        name = spool_name(reference)
        self._write(f"{name}.tiff", content.tiff)
        self._write(f"{name}.json", _json(job))
        try:
            _sync_directory(self._directory)
        except OSError as error:
            # The job is there, but a power cut now could lose it: the engine may have it, so ask before sending again.
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=_detail(error))
        return SendOutcome(OutcomeKind.ACCEPTED, partner_reference=name, detail=content.note)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._directory / f".{name}.part"
        try:
            with open(temporary, "wb", opener=_for_the_engine) as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(self._directory / name)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    # -- reports ------------------------------------------------------------------------------------------------------

    def _reports(self) -> Iterator[Path]:
        try:
            names = sorted(entry.name for entry in os.scandir(self._directory) if entry.name.endswith(_REPORTS))
        except FileNotFoundError:
            return
        for name in names:
            if not name.startswith("."):
                yield self._directory / name

    def _put_away(self, report: str) -> None:
        """Keep job and report as a memory of what was sent, delete the pages. May be run again at any point.

        The report goes last: while it is there, a crash in between only makes this run again. One that broke off is kept as a
        failure: what lies there as done was confirmed whole.
        """
        name = next((report.removesuffix(end) for end in _REPORTS if report.endswith(end)), "")
        if not name or "/" in report or not (self._directory / report).exists():
            return
        self._collected.mkdir(mode=0o700, exist_ok=True)
        broken = report.endswith(".done.json") and self._breaks_off(name, self._directory / report)
        kept_as = f"{name}.failed.json" if broken else report
        for left in (f"{name}.tiff", f"{name}.taken"):
            (self._directory / left).unlink(missing_ok=True)
        for file, kept in ((f"{name}.json", f"{name}.json"), (report, kept_as)):
            with suppress(FileNotFoundError):
                (self._directory / file).replace(self._collected / kept)
        _sync_directory(self._collected)
        _sync_directory(self._directory)


def spool_name(reference: str) -> str:
    """The file name of a reference: itself when it is a plain word, else its hash."""
    if _PLAIN_NAME.fullmatch(reference):
        return reference
    return "ref-" + hashlib.sha256(reference.encode("utf-8")).hexdigest()[:40]


def _job(parcel: Parcel, content: FaxContent, number: str) -> dict[str, Any]:
    name = spool_name(parcel.reference)
    return {
        "reference": parcel.reference,
        "delivery": parcel.delivery_id,
        "number": number,
        "urgent": parcel.urgent,
        "pages": content.pages,
        "file": f"{name}.tiff",
        "sha256": hashlib.sha256(content.tiff).hexdigest(),
        "resolution": _FINE if content.fine else _STANDARD,
    }


def _evidence(path: Path) -> Evidence | None:
    """What a report proves; None when it proves nothing."""
    failed = path.name.endswith(".failed.json")
    name = path.name.removesuffix(".failed.json" if failed else ".done.json")
    job = _read(path.with_name(f"{name}.json"))
    return proof_of(_read(path), job, datetime.fromtimestamp(path.stat().st_mtime, UTC), failed=failed)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8")


def _deferred(error: OSError) -> SendOutcome:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return SendOutcome(OutcomeKind.DEFERRED, "spool-full" if full else "spool-unwritable", detail=_detail(error))


def _detail(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "OSError")


def _for_the_engine(path: str, flags: int) -> int:
    """Pages are a patient's: for this service and the engine's group, whatever the umask would let in."""
    return os.open(path, flags, 0o640)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
