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

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any

import structlog

from adapter.intake.claims import Claimed, ClaimedFolder
from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.intake.name_pattern import NamePattern, with_name_facts
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Answer, Arrival, Principal, Verdict

log = structlog.get_logger()


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
        self._count = count
        self._folder = ClaimedFolder(settings.path, settings.settle_seconds, monotonic=monotonic, new_id=new_id)
        self._names = NamePattern(settings.name_pattern)

    def run(self, stop: Event) -> None:
        """Watch until told to stop; what goes wrong in one round is logged and tried again in the next."""
        while not stop.is_set():
            try:
                self.poll_once()
            except OSError as error:
                log.error("folder.unreadable", folder=self._settings.name, error=type(error).__name__)
            except Exception as error:  # the door must outlive any failure: nobody else takes these files
                log.error("folder.failed", folder=self._settings.name, error=type(error).__name__)
            stop.wait(self._settings.poll_seconds)

    def poll_once(self) -> int:
        """One round: claims left by a crash first, then new files. Returns how many files found their place.

        A claim that cannot be settled now stays and holds up no other, and its error comes at the end: the next round takes it
        up again, and so does any other process.
        """
        self._folder.open()
        settled = 0
        failed: Exception | None = None
        try:
            for claim in self._folder.claims():
                try:
                    settled += self._with_claim(claim)
                except TryLaterError:
                    raise
                except Exception as error:
                    failed = error
        except TryLaterError as error:
            log.warning("folder.later", folder=self._settings.name, code=error.code)
        if failed is not None:
            raise failed
        return settled

    def _with_claim(self, claim: Path) -> int:
        """Settle one claim, unless another process holds it; 1 when its file found its place."""
        with self._folder.opened(claim) as claimed:
            if claimed is None:
                return 0
            if claimed.is_alone:
                self._refuse(claimed, ALONE)
            else:
                self._settle(claimed)
        return 1

    # ── accepting ─────────────────────────────────────────────────────────────────────────────────────────────

    def _settle(self, claimed: Claimed) -> None:
        limit = self._settings.max_file_bytes
        size = claimed.document.stat().st_size
        if not size or max([size, *(path.stat().st_size for path in claimed.side_cars)]) > limit:
            self._refuse(claimed, _wrong_size(size, limit))
            return
        try:
            answer = self._intake.take(self._arrival(claimed)).result()
        except TryLaterError:
            raise
        except NotKeptError as error:
            self._refuse(claimed, _our_defect(error.code))
        else:
            self._place(claimed, answer)

    def _arrival(self, claimed: Claimed) -> Arrival:
        content = claimed.document.read_bytes()
        side_car = claimed.side_cars[0].read_bytes() if claimed.side_cars else b""
        return Arrival(
            content=content,
            door=f"folder:{self._settings.name}",
            principal=Principal(self._settings.name, "folder", self._settings.legal_entity),
            received_at=self._clock(),
            # Name and content: after a crash the same file is the same arrival, a corrected file under the old name is not.
            reference=f"{_written(claimed.name)}#{hashlib.sha256(content).hexdigest()[:16]}",
            side_car=with_name_facts(side_car, self._names.read(claimed.name)),
            zone=self._settings.zone,
        )

    def _place(self, claimed: Claimed, answer: Answer) -> None:
        log.info("folder.answered", folder=self._settings.name, receipt=answer.receipt_id, verdict=answer.verdict.value)
        if answer.verdict is not Verdict.ACCEPTED:
            self._refuse(claimed, *answer.findings, receipt=answer.receipt_id)
            return
        self._count("folder.accepted")
        self._folder.put_away(claimed, "done")

    def _refuse(self, claimed: Claimed, *findings: Finding, receipt: str = "") -> None:
        self._count("folder.refused")
        self._folder.put_away(claimed, "error", reasons(findings, receipt))


def _written(name: str) -> str:
    """A file's name as text, whatever its bytes are: a name in Latin-1 keeps no document out."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def reasons(findings: tuple[Finding, ...], receipt: str = "") -> dict[str, str]:
    """What stands beside a file in `error/`, for people and for programs, by the end of its name."""
    return {".reason.txt": _reason_text(findings, receipt), ".reason.json": _reason_json(findings, receipt)}


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
