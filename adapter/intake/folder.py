"""The drop folder: a file is claimed by rename, accepted, then lies in `done/`, or in `error/` with the reason beside it.

    drop/letter.xml            a document; waits until it has not changed for a while
    drop/letter.xml.json       its side-car (also letter.xml.side.json): to whom it goes. Write it before the document
    drop/.work/<claim>/        being accepted; found again after a crash, and the same file then gets the same answer
    drop/done/letter.xml       accepted
    drop/error/letter.xml      refused, with letter.xml.reason.txt (for people) and letter.xml.reason.json (for programs)

Names that begin with a dot or end in .tmp, .part or .filepart are still being written: never looked at.
Several processes may watch one folder: claims are made under a lock on `.work/lock`, a claim in use holds its own lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import IO, Any

import structlog

from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.intake.name_pattern import NamePattern, with_name_facts
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Answer, Arrival, Principal, Verdict

log = structlog.get_logger()

UNFINISHED = (".tmp", ".part", ".filepart")

# By its name alone a side-car is known as one, so it is never taken for a form when its document is not there yet.
SIDE_CARS = (".side.json", ".xml.json", ".cda.json", ".hl7.json", ".er7.json", ".pdf.json", ".txt.json")
LONELY_SECONDS = 3600.0


@dataclass(frozen=True)
class FolderSettings:
    """One drop folder. Its name is the principal's; durations are seconds."""

    path: Path
    name: str
    legal_entity: str
    zone: str
    poll_seconds: float = 2.0
    settle_seconds: float = 2.0
    max_file_bytes: int = 67_108_864
    name_pattern: str = ""


@dataclass(frozen=True)
class Sighting:
    """How a file looked, and since when it looks so."""

    size: int
    changed_ns: int
    since: float


class DropFolder:
    """Watches one folder. `clock` tells the instant kept on receipts, `monotonic` measures, `new_id` names claims."""

    def __init__(
        self,
        settings: FolderSettings,
        intake: Intake[Any],
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        count: Count = count_nothing,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._monotonic = monotonic
        self._new_id = new_id
        self._count = count
        self._sightings: dict[str, Sighting] = {}
        self._work = settings.path / ".work"
        self._names = NamePattern(settings.name_pattern)

    def run(self, stop: Event) -> None:
        """Watch until told to stop; what goes wrong in one round is logged and tried again in the next."""
        while not stop.is_set():
            try:
                self.poll_once()
            except OSError as error:
                log.error("folder.unreadable", folder=self._settings.name, error=type(error).__name__)
            stop.wait(self._settings.poll_seconds)

    def poll_once(self) -> int:
        """One round: claims left by a crash first, then new files. Returns how many files found their place."""
        for folder in (self._work, self._settings.path / "done", self._settings.path / "error"):
            folder.mkdir(parents=True, exist_ok=True)
        settled = 0
        try:
            for claim in self._claims():
                settled += self._with_claim(claim)
        except TryLaterError as error:
            # The claim stays: the next round takes it up again, and so does any other process.
            log.warning("folder.later", folder=self._settings.name, code=error.code)
        return settled

    def _claims(self) -> Iterator[Path]:
        """What a crash or a refusal of the ledger left, then new claims, each made when its turn comes."""
        yield from sorted(path for path in self._work.iterdir() if path.is_dir())
        for name in self._ready_names():
            claim = self._claim(name)
            if claim is not None:
                yield claim

    # ── finding ───────────────────────────────────────────────────────────────────────────────────────────────

    def _ready_names(self) -> list[str]:
        """Documents that have not changed for the settling time, in name order."""
        now = self._monotonic()
        seen: dict[str, Sighting] = {}
        for entry in os.scandir(self._settings.path):
            looked = _look(entry, now)
            if looked is None:
                continue
            before = self._sightings.get(entry.name)
            same = before is not None and (before.size, before.changed_ns) == (looked.size, looked.changed_ns)
            seen[entry.name] = before if same and before is not None else looked
        self._sightings = seen
        ready = [name for name, sighting in sorted(seen.items()) if now - sighting.since >= self._settings.settle_seconds]
        return [name for name in ready if self._is_document(name, now)]

    def _is_document(self, name: str, now: float) -> bool:
        if not name.endswith(SIDE_CARS):
            return not (name.endswith(".json") and name.removesuffix(".json") in self._sightings)
        # A side-car alone for an hour is told to a person, like any file that we can do nothing with.
        return document_of(name) not in self._sightings and now - self._sightings[name].since >= LONELY_SECONDS

    # ── claiming ──────────────────────────────────────────────────────────────────────────────────────────────

    def _claim(self, name: str) -> Path | None:
        """Move a document and its side-car to a claim of ours; None when another process was quicker."""
        claim = self._work / self._new_id()
        with _locked(self._work / "lock"):
            if not (self._settings.path / name).exists():
                return None
            claim.mkdir()
            for side_car in _side_car_names(name):
                if (self._settings.path / side_car).is_file():
                    (self._settings.path / side_car).rename(claim / side_car)
            (self._settings.path / name).rename(claim / name)
        return claim

    def _with_claim(self, claim: Path) -> int:
        """Settle one claim, unless another process holds it; 1 when its file found its place."""
        with self._held(claim) as mine:
            if not mine:
                return 0
            names = sorted(entry.name for entry in claim.iterdir() if entry.name != ".lock")
            documents = [name for name in names if not _is_side_car_of_any(name, names)]
            if len(names) == 1 and names[0].endswith(SIDE_CARS):
                self._settle_lonely(claim, names[0])
            elif documents:
                self._settle(claim, documents[0])
            with _locked(self._work / "lock"):
                (claim / ".lock").unlink()
                claim.rmdir()
        return len(documents)

    @contextmanager
    def _held(self, claim: Path) -> Iterator[bool]:
        """Hold a claim while it is settled; False when somebody else does, or settled it. The lock ends with the process."""
        with ExitStack() as stack:
            with _locked(self._work / "lock"):
                mine = claim.is_dir() and _try_lock(stack.enter_context((claim / ".lock").open("w")))
            yield mine

    def _settle_lonely(self, claim: Path, name: str) -> None:
        """A side-car alone in a claim: its document is still in the drop (a crash between two renames), or never came."""
        if (self._settings.path / document_of(name)).exists():
            self._move(claim / name, self._settings.path)
        else:
            self._refuse(claim, name, ALONE)

    # ── accepting ─────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, claim: Path, name: str) -> None:
        limit = self._settings.max_file_bytes
        sizes = [path.stat().st_size for path in _files_of(claim, name)]
        if not sizes[-1] or max(sizes) > limit:
            self._refuse(claim, name, _wrong_size(sizes[-1], limit))
            return
        try:
            answer = self._intake.take(self._arrival(claim, name)).result()
        except TryLaterError:
            raise
        except NotKeptError as error:
            self._refuse(claim, name, _our_defect(error.code))
        else:
            self._place(claim, name, answer)

    def _arrival(self, claim: Path, name: str) -> Arrival:
        content = (claim / name).read_bytes()
        side_cars = [claim / side_car for side_car in _side_car_names(name) if (claim / side_car).is_file()]
        return Arrival(
            content=content,
            door=f"folder:{self._settings.name}",
            principal=Principal(self._settings.name, "folder", self._settings.legal_entity),
            received_at=self._clock(),
            # Name and content: after a crash the same file is the same arrival, a corrected file under the old name is not.
            reference=f"{name}#{hashlib.sha256(content).hexdigest()[:16]}",
            side_car=with_name_facts(side_cars[0].read_bytes() if side_cars else b"", self._names.read(name)),
            zone=self._settings.zone,
        )

    def _place(self, claim: Path, name: str, answer: Answer) -> None:
        log.info("folder.answered", folder=self._settings.name, receipt=answer.receipt_id, verdict=answer.verdict.value)
        if answer.verdict is not Verdict.ACCEPTED:
            self._refuse(claim, name, *answer.findings, receipt=answer.receipt_id)
            return
        self._count("folder.accepted")
        for path in _files_of(claim, name):
            self._move(path, self._settings.path / "done")

    def _refuse(self, claim: Path, name: str, *findings: Finding, receipt: str = "") -> None:
        """The reason first, then the file: whoever sees the file in `error/` finds why beside it."""
        self._count("folder.refused")
        folder = self._settings.path / "error"
        kept_as = _free_name(folder, name)
        (folder / f"{kept_as}.reason.txt").write_text(_reason_text(findings, receipt), encoding="utf-8")
        (folder / f"{kept_as}.reason.json").write_text(_reason_json(findings, receipt), encoding="utf-8")
        for path in _files_of(claim, name):
            path.rename(folder / (kept_as + path.name.removeprefix(name)))

    @staticmethod
    def _move(path: Path, folder: Path) -> None:
        path.rename(folder / _free_name(folder, path.name))


def document_of(side_car: str) -> str:
    """The name of the document that a side-car belongs to."""
    return side_car.removesuffix(".json").removesuffix(".side")


def _side_car_names(name: str) -> tuple[str, str]:
    return (f"{name}.side.json", f"{name}.json")


def _is_side_car_of_any(name: str, names: list[str]) -> bool:
    return any(name in _side_car_names(other) for other in names)


def _files_of(claim: Path, name: str) -> Iterator[Path]:
    """The side-cars, then the document: while the document is there, the claim is not settled."""
    for each in (*_side_car_names(name), name):
        if (claim / each).is_file():
            yield claim / each


def _free_name(folder: Path, name: str) -> str:
    """The name, or the name with a number when a file of that name already lies there: nothing is overwritten."""
    kept_as, n = name, 1
    while (folder / kept_as).exists():
        n += 1
        kept_as = f"{name}.{n}"
    return kept_as


def _look(entry: os.DirEntry[str], now: float) -> Sighting | None:
    if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Sighting(status.st_size, status.st_mtime_ns, now)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _try_lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wrong_size(size: int, limit: int) -> Finding:
    if size == 0:
        return Finding(Severity.ERROR, "folder.empty", "Le fichier est vide.", "fichier", "Déposer le fichier complet.")
    text = f"Le fichier dépasse la taille admise ({limit} octets)."
    return Finding(Severity.ERROR, "folder.too-large", text, "fichier", "Réduire le document, ou relever max_file_bytes.")


ALONE = Finding(
    Severity.ERROR,
    "folder.side-car-alone",
    "Fichier d'accompagnement sans document.",
    "fichier",
    "Déposer le document de même nom avec lui.",
)


def _our_defect(code: str) -> Finding:
    return Finding(Severity.ERROR, code, "Erreur interne : rien n'a été conservé.", "", "Prévenir l'exploitant du service.")


def _reason_text(findings: tuple[Finding, ...], receipt: str) -> str:
    """No file name: it may name a patient, and a reason is forwarded to those who mend things."""
    lines = ["Ce fichier n'a pas été accepté."]
    lines += [f"Référence : {receipt}"] if receipt else []
    for finding in findings:
        place = f" [{finding.location}]" if finding.location else ""
        lines.append(f"- {finding.text}{place} {finding.remedy} ({finding.code})".replace("  ", " "))
    lines.append("Après correction, déposer de nouveau le fichier dans le dossier de dépôt.")
    return "\n".join(lines) + "\n"


def _reason_json(findings: tuple[Finding, ...], receipt: str) -> str:
    issues = [
        {"severity": f.severity.value, "code": f.code, "text": f.text, "where": f.location, "remedy": f.remedy} for f in findings
    ]
    return json.dumps({"receipt": receipt, "findings": issues}, ensure_ascii=False, indent=2) + "\n"
