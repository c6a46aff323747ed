"""How files of a watched folder are found and claimed: by rename, under a lock, so that several processes may watch one folder.

    drop/.work/<claim>/        what is being accepted; found again after a crash, and the same file then gets the same answer
    drop/.work/<claim>.done/   accepted, being moved to done/ (or .error/): a crash leaves that to the next round

A file is taken once it has not changed for a while. Names that begin with a dot or end in .tmp, .part or .filepart are still
being written: never looked at. Claims are made under a lock on `.work/lock`, a claim in use holds its own lock.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

UNFINISHED = (".tmp", ".part", ".filepart")

# By its name alone a side-car is known as one, so it is never taken for a form when its document is not there yet.
SIDE_CARS = (
    ".side.json",
    ".xml.json",
    ".cda.json",
    ".hl7.json",
    ".er7.json",
    ".pdf.json",
    ".txt.json",
    ".tif.json",
    ".tiff.json",
)
LONELY_SECONDS = 3600.0


@dataclass(frozen=True)
class Sighting:
    """How a file looked, and since when it looks so."""

    size: int
    changed_ns: int
    since: float


@dataclass(frozen=True)
class Claimed:
    """A document (or a side-car that is alone) in a claim of ours."""

    path: Path
    name: str
    is_alone: bool

    @property
    def document(self) -> Path:
        """Where it lies."""
        return self.path / self.name

    @property
    def side_cars(self) -> tuple[Path, ...]:
        """Where its side-cars lie, the one that counts first."""
        beside = (self.path / name for name in side_car_names(self.name))
        return tuple(path for path in beside if os.path.lexists(path))


class ClaimedFolder:
    """One watched folder. `monotonic` measures, `new_id` names claims; `takes_links`: a link is a file like others here.

    A link is never followed: whoever may drop files must not make us read others.
    """

    def __init__(
        self,
        path: Path,
        settle_seconds: float,
        *,
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        takes_links: bool = False,
    ) -> None:
        self._path = path
        self._settle_seconds = settle_seconds
        self._monotonic = monotonic
        self._new_id = new_id
        self._takes_links = takes_links
        self._sightings: dict[str, Sighting] = {}
        self._work = path / ".work"

    def open(self) -> None:
        """Make what it needs; OSError when this may not be written."""
        for folder in (self._work, self._path / "done", self._path / "error"):
            folder.mkdir(parents=True, exist_ok=True)

    def claims(self) -> Iterator[Path]:
        """What a crash or a refusal of the ledger left, then new claims, each made when its turn comes.

        A file that may not be moved holds up no other: the OSError comes at the end.
        """
        yield from sorted(path for path in self._work.iterdir() if path.is_dir())
        failed: OSError | None = None
        for name in self._ready_names():
            try:
                claim = self._claim(name)
            except OSError as error:
                failed = error
                continue
            if claim is not None:
                yield claim
        if failed is not None:
            raise failed

    @contextmanager
    def opened(self, claim: Path) -> Iterator[Claimed | None]:
        """What is to be settled of a claim, held meanwhile; None when somebody else holds it, or nothing is left to decide."""
        with self._held(claim) as mine:
            yield self._to_settle(claim) if mine else None

    def put_away(self, claimed: Claimed, fate: str, beside: Mapping[str, str] | None = None) -> None:
        """Its files go to `done/` or `error/`, with texts beside them (by what their names add to its own).

        What becomes of it stands in the claim's own name before the first file is moved: after a crash nothing is decided again.
        """
        for ending, text in (beside or {}).items():
            (claimed.path / f"{claimed.name}{ending}").write_text(text, encoding="utf-8")
        decided = claimed.path.with_name(f"{claimed.path.name}.{fate}")
        with _locked(self._work / "lock"):
            claimed.path.rename(decided)
        self._empty(decided)

    def _to_settle(self, claim: Path) -> Claimed | None:
        names = names_in(claim)
        name = next((one for one in names if not any(one in side_car_names(other) for other in names)), "")
        is_alone = len(names) == 1 and _is_side_car(name)
        if claim.suffix:
            self._empty(claim)
        elif not name:
            self._release(claim)
        elif is_alone and os.path.lexists(self._path / document_of(name)):
            # A crash between two renames: its document is still in the folder.
            move(claim / name, self._path)
            self._release(claim)
        else:
            return Claimed(claim, name, is_alone)
        return None

    def _empty(self, decided: Path) -> None:
        """Texts and side-cars first, the document last: it names the others."""
        folder = self._path / decided.suffix.removeprefix(".")
        names = names_in(decided)
        if names:
            kept_as = free_name(folder, names[0])
            for name in reversed(names):
                (decided / name).rename(folder / free_name(folder, kept_as + name.removeprefix(names[0])))
        self._release(decided)

    @contextmanager
    def _held(self, claim: Path) -> Iterator[bool]:
        """Hold a claim while it is settled; False when somebody else does, or settled it. The lock ends with the process."""
        with ExitStack() as stack:
            with _locked(self._work / "lock"):
                mine = claim.is_dir() and _try_lock(stack.enter_context((claim / ".lock").open("w")))
            yield mine

    def _release(self, claim: Path) -> None:
        """The claim is settled: nothing is left in it."""
        with _locked(self._work / "lock"):
            (claim / ".lock").unlink()
            claim.rmdir()

    # ── finding ───────────────────────────────────────────────────────────────────────────────────────────────

    def _ready_names(self) -> list[str]:
        """Documents that have not changed for the settling time, in name order."""
        now = self._monotonic()
        seen: dict[str, Sighting] = {}
        for entry in os.scandir(self._path):
            looked = self._look(entry, now)
            if looked is None:
                continue
            before = self._sightings.get(entry.name)
            same = before is not None and (before.size, before.changed_ns) == (looked.size, looked.changed_ns)
            seen[entry.name] = before if same and before is not None else looked
        self._sightings = seen
        ready = [name for name, sighting in sorted(seen.items()) if now - sighting.since >= self._settle_seconds]
        return [name for name in ready if self._is_document(name, now)]

    def _look(self, entry: os.DirEntry[str], now: float) -> Sighting | None:
        if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
            return None
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode) and not (self._takes_links and stat.S_ISLNK(status.st_mode)):
            return None
        return Sighting(status.st_size, status.st_mtime_ns, now)

    def _is_document(self, name: str, now: float) -> bool:
        if not _is_side_car(name):
            return not (name.endswith(".json") and name.removesuffix(".json") in self._sightings)
        # A side-car alone for an hour is told to a person, like any file that we can do nothing with.
        return document_of(name) not in self._sightings and now - self._sightings[name].since >= LONELY_SECONDS

    # ── claiming ──────────────────────────────────────────────────────────────────────────────────────────────

    def _claim(self, name: str) -> Path | None:
        """Move a document and its side-car to a claim of ours; None when another process was quicker."""
        claim = self._work / self._new_id()
        with _locked(self._work / "lock"):
            if not os.path.lexists(self._path / name):
                return None
            claim.mkdir()
            for side_car in side_car_names(name):
                if (self._path / side_car).is_file():
                    (self._path / side_car).rename(claim / side_car)
            (self._path / name).rename(claim / name)
        return claim


def names_in(claim: Path) -> list[str]:
    """What a claim holds, in order."""
    return sorted(entry.name for entry in claim.iterdir() if entry.name != ".lock")


def _is_side_car(name: str) -> bool:
    """Windows writes `FAX7.TIF`, and `.json` behind it."""
    return name.endswith(".json") and name.lower().endswith(SIDE_CARS)


def document_of(side_car: str) -> str:
    """The name of the document that a side-car belongs to."""
    return side_car.removesuffix(".json").removesuffix(".side")


def side_car_names(name: str) -> tuple[str, str]:
    """How a document's side-car may be named; the first that is there counts."""
    return (f"{name}.side.json", f"{name}.json")


def free_name(folder: Path, name: str) -> str:
    """The name, or the name with a number when a file of that name already lies there: nothing is overwritten."""
    kept_as, n = name, 1
    while os.path.lexists(folder / kept_as):
        n += 1
        kept_as = f"{name}.{n}"
    return kept_as


def move(path: Path, folder: Path) -> None:
    """Into a folder, under a free name."""
    path.rename(folder / free_name(folder, path.name))


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
