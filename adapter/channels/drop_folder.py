"""A practice's folder: file sets appear in it whole, and where the practice's program moves them is what it says of them.

    cabinet/TDU-00000012-3F2A9C1B.hpr       waits to be imported; its PDF, of the same name, was there before it
    cabinet/done/                           the program moves there what it integrated
    cabinet/error/                          … what it could not, with TDU-….reason.txt beside it (a code of the closed list)
    cabinet/withdrawn/                      we move there what must not be imported any more
    cabinet/.work/<stem>/                   being written; found again after a crash and exposed, once
    cabinet/.traitdunion                    says that this is the folder: a share that is not mounted has none

Law: blueprint seams 7, 15. A set is written aside and made durable; once the ledger knows it, it is exposed by renames, its main
file last, so a program that waits for the main file finds the others. What lies here under a name of ours is exactly what waits.
What a program does is not ours to trust: it may copy instead of moving, rename, change case, or delete. A set whose files are
nowhere is *gone*, never integrated. Only one process at a time works in a folder (a lock in `.work`).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapter.model.folder import FileSet, KnownSet, Standing

MARKER = ".traitdunion"
DONE, ERROR, WITHDRAWN = "done", "error", "withdrawn"
_WORK = ".work"
_ROOT = ""
_PLACES = (_ROOT, DONE, ERROR, WITHDRAWN)
_STEM = re.compile(r"TDU-\d{8,}-[0-9A-F]{8}", re.IGNORECASE)
_UNFINISHED = (".tmp", ".part", ".filepart", ".crdownload")
_REASON = ".reason"
_REASON_BYTES = 4096
# Shares of other systems may refuse to sync a directory: the rename is then as durable as they make it.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EACCES})


@dataclass(frozen=True)
class Seen:
    """Where a set stands, and the word that the program left beside it: a code in lower case, or empty."""

    standing: Standing
    word: str = ""


class PracticeFolder:
    """One practice's folder. OSError when it cannot be used: nothing is then concluded from what is not seen."""

    def __init__(self, path: Path, words: Iterable[str] = ()) -> None:
        """`words`: the codes that a reason file may give; any other text is no code."""
        self._path = path
        self._words = tuple(words)
        self._hashes: dict[tuple[str, int, int], str] = {}

    def found(self) -> None:
        """Make the folder, on its first day."""
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / MARKER).write_text("Dossier tenu par Trait d'union : ne pas supprimer ce fichier.\n", encoding="utf-8")
        _sync(self._path)

    @property
    def is_there(self) -> bool:
        """False when the share is not mounted, or another folder stands in its place."""
        return (self._path / MARKER).is_file()

    @contextmanager
    def mine(self) -> Iterator[bool]:
        """Whether this process may work here now; the lock ends with the process."""
        for place in (DONE, ERROR, WITHDRAWN, _WORK):
            (self._path / place).mkdir(exist_ok=True)
        with (self._path / _WORK / "lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    # ── giving ────────────────────────────────────────────────────────────────────────────────────────────────

    def stage(self, files: FileSet) -> None:
        """Write a set aside and make it durable. Again after a crash: what was half-written is written anew."""
        aside = self._path / _WORK / files.stem
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(parents=True)
        for number, (name, content) in enumerate(files.files):
            with (aside / f"{number:02d}-{name}").open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        _sync(aside)
        _sync(aside.parent)

    def expose(self, stem: str) -> bool:
        """Rename a staged set into the folder, its main file last. May be run again at any point; False when nothing was staged.

        Only what is still aside is renamed: a file that a program took between a crash and now is not given twice.
        """
        aside = self._path / _WORK / stem
        if not aside.is_dir():
            return False
        for staged in sorted(aside.iterdir()):
            staged.rename(self._path / staged.name.partition("-")[2])
        _sync(self._path)
        aside.rmdir()
        return True

    def withdraw(self, known: KnownSet) -> bool:
        """Move what lies of a set to `withdrawn/`, its main file first; True when the main file was still there."""
        mine, strays = self._of(known, _ROOT)
        if not mine and not strays:
            return False
        is_main = {name: self._is_main(name, known) for name in (*mine, *strays)}
        for name in sorted(is_main, key=lambda name: not is_main[name]):
            self._move(name, WITHDRAWN)
        _sync(self._path / WITHDRAWN)
        _sync(self._path)
        return any(is_main.values())

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, known: Iterable[KnownSet]) -> dict[str, Seen]:
        """Where each of these sets stands now."""
        sets = {each.stem: each for each in known}
        named = {place: self._names(place) for place in _PLACES}
        alike = Counter(each.sha256 for each in sets.values())
        # Files of other names are recognised by their content; two sets of one content could be taken for one another.
        return {stem: self._seen(each, named, knows_content=alike[each.sha256] == 1) for stem, each in sets.items()}

    def sweep(self, waiting: Iterable[str]) -> int:
        """Put away files of ours that do not wait any more: companions left behind, copies, old versions put back.

        `waiting`: the stems of sets that wait to be imported. Returns how many files were put away.
        """
        stems = {stem.casefold() for stem in waiting}
        done = self._names(DONE)
        strays = [(name, stem) for stem, names in self._names(_ROOT).items() if stem and stem not in stems for name in names]
        for name, stem in strays:
            self._move(name, DONE if stem in done else WITHDRAWN)
        if strays:
            _sync(self._path)
        return len(strays)

    def clear_aside(self) -> None:
        """Throw away what is aside, once nothing waits to be exposed: a death may leave a set that nobody knows of."""
        for entry in os.scandir(self._path / _WORK):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)

    def prune(self, before: float) -> int:
        """Delete files of ours in `done/` and `withdrawn/` untouched since (seconds of the epoch): they hold patients' data."""
        old = [
            entry.path
            for place in (DONE, WITHDRAWN)
            for entry in os.scandir(self._path / place)
            if _STEM.search(entry.name) and entry.is_file(follow_symlinks=False) and entry.stat().st_ctime < before
        ]
        for path in old:
            Path(path).unlink(missing_ok=True)
        return len(old)

    def _seen(self, known: KnownSet, named: Mapping[str, Mapping[str, list[str]]], *, knows_content: bool) -> Seen:
        places = {place: self._files_of(known, place, named[place], knows_content) for place in _PLACES}
        main = {place for place, names in places.items() if any(self._is_main(name, known, place) for name in names)}
        has_left = _ROOT not in main
        # In both: somebody must look, so the worse counts. A companion alone tells nothing while its main file waits.
        for place, standing in ((ERROR, Standing.ERROR), (DONE, Standing.DONE)):
            if place in main or (has_left and places[place]):
                return Seen(standing, self._word(known.stem, place))
        if not has_left:
            return Seen(Standing.LYING)
        return Seen(Standing.WITHDRAWN if WITHDRAWN in main else Standing.GONE)

    def _files_of(self, known: KnownSet, place: str, named: Mapping[str, list[str]], knows_content: bool) -> list[str]:
        ours = named.get(known.stem.casefold(), [])
        strangers = named.get("", []) if knows_content and not ours else ()
        return ours or [name for name in strangers if self._is_main(name, known, place)]

    def _of(self, known: KnownSet, place: str) -> tuple[list[str], list[str]]:
        """Files of a set in one place: under its stem, and its main file under another name."""
        named = self._names(place)
        return named.get(known.stem.casefold(), []), [n for n in named.get("", []) if self._is_main(n, known, place)]

    def _names(self, place: str) -> dict[str, list[str]]:
        """Whole files of a place by the stem in their name (lower case); under the empty stem, those without any of ours."""
        found: dict[str, list[str]] = {}
        for entry in os.scandir(self._path / place):
            if entry.name.startswith(".") or entry.name.lower().endswith(_UNFINISHED) or _REASON in entry.name.lower():
                continue
            if entry.is_file(follow_symlinks=False):
                match = _STEM.search(entry.name)
                found.setdefault(match.group().casefold() if match else "", []).append(entry.name)
        return found

    def _is_main(self, name: str, known: KnownSet, place: str = _ROOT) -> bool:
        """By content: programs rename, and a companion may bear the same stem."""
        path = self._path / place / name
        try:
            status = path.stat()
            if status.st_size != known.size:
                return False
            key = (str(path), status.st_size, status.st_mtime_ns)
            if key not in self._hashes:
                self._hashes[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return False
        return self._hashes[key] == known.sha256

    def _word(self, stem: str, place: str) -> str:
        """The code in the reason file beside a set; its other words may be about the patient and are not kept."""
        for entry in os.scandir(self._path / place):
            name = entry.name.casefold()
            if stem.casefold() in name and _REASON in name and entry.is_file(follow_symlinks=False):
                text = Path(entry.path).read_bytes()[:_REASON_BYTES].decode("cp1252", errors="replace").casefold()
                return next((word for word in self._words if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)), "")
        return ""

    def _move(self, name: str, place: str) -> None:
        kept_as, n = name, 1
        while (self._path / place / kept_as).exists():
            n += 1
            kept_as = f"{name}.{n}"
        try:
            (self._path / name).rename(self._path / place / kept_as)
        except FileNotFoundError:
            return  # the program was quicker: it is seen where it went


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
