"""The fax door on a folder: any fax server or scanner leaves TIFF and PDF files there, each is one fax.

    fax-in/145210001.tif             taken once it has not changed for a while, whatever its name
    fax-in/145210001.tif.json        what the fax server says of the call: {"from": "…", "called_id": "…", "received_at": "…"}
    fax-in/.work/<claim>/            being taken; found again after a crash
    fax-in/done/                     kept
    fax-in/error/                    kept as far as it is known, with the reason beside; a person finds it in the queue

Files are found, claimed and put away as in any drop folder (`claims`).
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import structlog

from adapter.intake.claims import Claimed, ClaimedFolder
from adapter.intake.committer import NotKeptError, TryLaterError
from adapter.intake.fax_in import FaxTaker, ReceivedFax
from adapter.intake.folder import ALONE, reasons
from adapter.intake.name_pattern import NamePattern
from adapter.model.fax_in import Withheld
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Verdict

log = structlog.get_logger()

# What a name may say. `fax.from` and `fax.called` are read; the others let a pattern name what stands beside them.
NAME_FACTS = ("fax.from", "fax.called", "fax.date", "fax.time", "fax.serial", "fax.line")
# Others (a share that went away) may go better next time.
_FOR_GOOD = (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EIO)
_LARGEST_SIDE_CAR_BYTES = 65_536
_WHY = {
    Withheld.EMPTY: "Le fichier est vide.",
    Withheld.TOO_LARGE: "Le fichier dépasse la taille admise (max_file_bytes) : il n'a pas été conservé, seulement signalé.",
    Withheld.NOT_A_FILE: "Ce n'est pas un fichier mais un lien : il n'est pas suivi.",
    Withheld.NOT_PAGES: "Ce n'est ni un TIFF ni un PDF.",
    Withheld.DAMAGED: "Le fichier TIFF est endommagé ou incomplet.",
    Withheld.TOO_MANY_DOTS: "Le fichier annonce des pages démesurées : elles ne sont pas ouvertes.",
    Withheld.UNREADABLE: "Le fichier ne peut pas être lu.",
    Withheld.NOT_KEPT: "Erreur interne : le contenu n'a pas pu être conservé.",
}


@dataclass(frozen=True)
class FaxFolderSettings:
    """One folder of received faxes. Durations are seconds."""

    path: Path
    name: str
    poll_seconds: float = 5.0
    settle_seconds: float = 5.0
    max_file_bytes: int = 33_554_432
    name_pattern: str = ""


class FaxFolder:
    """Watches one folder in the thread that calls `run`."""

    def __init__(
        self,
        settings: FaxFolderSettings,
        taker: FaxTaker,
        *,
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._taker = taker
        self._names = NamePattern(settings.name_pattern)
        self._folder = ClaimedFolder(settings.path, settings.settle_seconds, monotonic=monotonic, new_id=new_id, takes_links=True)
        self._is_away = False

    def run(self, stop: Event) -> None:
        """Watch until told to stop. A folder that cannot be reached is told once, and tried again each round."""
        while not stop.is_set():
            try:
                self.poll_once(stop)
                self._is_away = False
            except OSError as error:
                self._say_away(type(error).__name__)
            except Exception as error:  # the door must outlive any failure: nobody else takes these faxes
                log.error("fax.failed", door=self._settings.name, error=type(error).__name__)
            stop.wait(self._settings.poll_seconds)

    def poll_once(self, stop: Event | None = None) -> int:
        """One round: claims left by a crash first, then new files. Returns how many found their place.

        A claim that cannot be settled now stays, and holds up no other: the next round takes it up again, and so does any other
        process. Its error at the end when there was such a one: an OSError, or a defect of ours.
        """
        self._folder.open()
        settled = 0
        failed: Exception | None = None
        try:
            for claim in self._folder.claims():
                if stop is not None and stop.is_set():
                    break
                try:
                    settled += self._with_claim(claim)
                except TryLaterError:
                    raise
                except Exception as error:  # whatever it is, the faxes behind it are somebody's
                    failed = error
        except TryLaterError as error:
            log.warning("fax.later", door=self._settings.name, code=error.code)
        if failed is not None:
            raise failed
        return settled

    def _say_away(self, error: str) -> None:
        if not self._is_away:
            log.error("fax.away", door=self._settings.name, error=error, again_in_seconds=self._settings.poll_seconds)
        self._is_away = True

    def _with_claim(self, claim: Path) -> int:
        with self._folder.opened(claim) as claimed:
            if claimed is None:
                return 0
            if claimed.is_alone:
                self._folder.put_away(claimed, "error", reasons((ALONE,)))
            else:
                self._settle(claimed)
        return 1

    def _settle(self, claimed: Claimed) -> None:
        try:
            answer, withheld = self._taker.take(self._read(claimed))
        except TryLaterError:
            raise
        except NotKeptError:
            self._folder.put_away(claimed, "error", reasons((_finding(Withheld.NOT_KEPT),)))
            return
        if withheld or answer.verdict is not Verdict.ACCEPTED:
            why = (_finding(withheld),) if withheld else answer.findings
            self._folder.put_away(claimed, "error", reasons(why, answer.receipt_id))
        else:
            self._folder.put_away(claimed, "done")

    def _read(self, claimed: Claimed) -> ReceivedFax:
        """The file as it lies in its claim, never more of it than may be kept."""
        facts = {**_facts_beside(claimed.side_cars), **self._names.read(claimed.name)}
        status = claimed.document.lstat()
        changed = datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC)
        content, withheld = b"", ""
        if not stat.S_ISREG(status.st_mode):
            withheld = Withheld.NOT_A_FILE
        elif status.st_size > self._settings.max_file_bytes:
            withheld = Withheld.TOO_LARGE
        else:
            try:
                content = _bytes_of(claimed.document)
            except OSError as error:
                if error.errno not in _FOR_GOOD:
                    raise
                withheld = Withheld.UNREADABLE
        return ReceivedFax(
            content,
            _instant(facts.get("received_at", "")) or changed,
            sender=facts.get("fax.from") or facts.get("from", ""),
            called=facts.get("fax.called") or facts.get("called_id", ""),
            withheld=withheld,
            mark=f"{claimed.name}\0{status.st_size}\0{status.st_mtime_ns}",
        )


def _facts_beside(side_cars: Sequence[Path]) -> dict[str, str]:
    """What the side-car tells; nothing when there is none, or it is no object of words."""
    try:
        content = _bytes_of(side_cars[0], _LARGEST_SIDE_CAR_BYTES) if side_cars else b"{}"
        told = json.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: value for key, value in told.items() if isinstance(value, str)} if isinstance(told, dict) else {}


def _bytes_of(path: Path, limit: int = -1) -> bytes:
    """What a file holds; a link is not followed."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as handle:
        return handle.read(limit)


def _instant(text: str) -> datetime | None:
    """An instant with its zone; one without says too little."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _finding(withheld: str) -> Finding:
    text = _WHY[Withheld(withheld)]
    return Finding(Severity.ERROR, str(withheld), text, "fichier", "Voir la file d'attente, puis redemander la télécopie.")
