"""NDJSON files into the ledger: lines in blocks to worker processes, and a checkpoint before which all is durable.

The checkpoint is a cursor of the ledger, named after the file's SHA-256: it goes back in time with the ledger's own backup, and a
file under another name is known again. It is kept after the receipts and the error lines that it tells of; what a kill leaves
between is read again, and recognised. Lines go to workers in order, and are told in order.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from adapter.bulk.crew import Crew
from adapter.bulk.ndjson import Line, NdjsonFile, Position
from adapter.bulk.taking import Acceptor, Block, Door, Refused, Taken, take_block
from adapter.errors import InputError
from adapter.fhir.outcome import operation_outcome
from adapter.model.audit import AuditEntry

# A block is one commit: enough lines to share a disk's wait, few enough bytes to hold several in memory.
_BLOCK_LINES = 64
_BLOCK_BYTES = 2 * 1024 * 1024
_CHECKPOINT_SECONDS = 1.0

Step = Callable[["Progress"], None]


@dataclass(frozen=True)
class Progress:
    """How far a file is: what is durable up to `line` and `offset`. `errors_end` is the error file's length then."""

    line: int = 0
    offset: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    errors_end: int = 0
    is_over: bool = False

    def after(self, taken: Taken) -> Progress:
        """Once a block is durable."""
        return replace(
            self,
            line=taken.last_line,
            offset=taken.offset,
            accepted=self.accepted + taken.accepted,
            repeated=self.repeated + taken.repeated,
            refused=self.refused + len(taken.refused),
        )


@dataclass(frozen=True)
class Imported:
    """What a file came to. `resumed_at`: the line that an earlier run had reached. `problem`: why it ends before its end."""

    name: str
    progress: Progress
    resumed_at: int = 0
    problem: str = ""


class Home(Protocol):
    """Where checkpoints and audit rows are kept; the ledger is one."""

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        """Empty at first."""
        ...

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        """Durable when it returns."""
        ...

    def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Who did what."""
        ...


@dataclass(frozen=True)
class ImportSettings:
    """How lines come in, and on whose word. `anew`: read from the start whatever was done before."""

    door: Door
    operator: str
    longest_line_bytes: int
    clock: Callable[[], datetime]
    anew: bool = False


class ErrorFile:
    """Lines about lines: file, number, code, OperationOutcome. Opened when there is something to say; 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    @property
    def end(self) -> int:
        """How long it is."""
        if self._file is not None:
            return self._file.tell()
        return self.path.stat().st_size if self.path.exists() else 0

    def cut(self, end: int, name: str) -> None:
        """Forget what was told of a file after its checkpoint: it will be told again. What is told of others stays."""
        self.keep()
        if end < self.end and all(said == name for said in self._told_after(end)):
            os.truncate(self.path, end)

    def _told_after(self, end: int) -> Iterator[str]:
        with self.path.open("rb") as file:
            file.seek(end)
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)["file"]

    def tell(self, name: str, refused: Iterable[Refused]) -> None:
        """A line each."""
        for one in refused:
            outcome = operation_outcome(one.findings)
            told = {"file": name, "line": one.line, "code": _code(one), "outcome": outcome}
            self._open().write(json.dumps(told, ensure_ascii=False).encode() + b"\n")

    def keep(self) -> None:
        """Make durable what was told."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more to tell."""
        if self._file is not None:
            self.keep()
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(handle, "ab")
        return self._file


def import_file(
    file: NdjsonFile, crew: Crew[Acceptor], home: Home, errors: ErrorFile, settings: ImportSettings, step: Step
) -> Imported:
    """One file to its end, from where an earlier run stood. A trial keeps nothing, not even how far it came."""
    mark = _Checkpoint(file, home, errors, settings)
    start = mark.progress.line
    if mark.progress.is_over:
        return Imported(file.path.name, mark.progress, start)
    mark.save("begun" if not start else "resumed")
    act = partial(take_block, door=settings.door, longest=settings.longest_line_bytes)
    lines = file.lines(settings.longest_line_bytes, Position(start, mark.progress.offset))
    damage: list[InputError] = []
    for taken in crew.in_order(act, _blocks(lines, damage)):
        errors.tell(file.path.name, taken.refused)
        mark.move(replace(mark.progress.after(taken), errors_end=errors.end))
        step(mark.progress)
    if damage:
        mark.save("damaged")
        return Imported(file.path.name, mark.progress, start, str(damage[0]))
    mark.progress = replace(mark.progress, is_over=True)
    mark.save("done")
    return Imported(file.path.name, mark.progress, start)


class _Checkpoint:
    """How far one file is, here and in the ledger."""

    def __init__(self, file: NdjsonFile, home: Home, errors: ErrorFile, settings: ImportSettings) -> None:
        self._home = home
        self._errors = errors
        self._settings = settings
        self._entity = settings.door.principal.legal_entity
        self._file_id = file.digest()
        self._name = f"import:{settings.door.name}:{settings.door.principal.name}:{self._file_id}"
        self._saved_at = time.monotonic()
        known = home.read_cursor(self._name, legal_entity=self._entity) if settings.door.keeps and not settings.anew else ""
        self.progress = Progress(**json.loads(known)) if known else Progress(errors_end=errors.end)
        if known and not self.progress.is_over:
            errors.cut(self.progress.errors_end, file.path.name)

    def move(self, progress: Progress) -> None:
        """A block is durable; now and then that is, too."""
        self.progress = progress
        if time.monotonic() - self._saved_at > _CHECKPOINT_SECONDS:
            self.save()

    def save(self, word: str = "") -> None:
        """What was told of, then how far it is; a word for the audit at the turns."""
        self._errors.keep()
        self._saved_at = time.monotonic()
        if not self._settings.door.keeps:
            return
        self._home.keep_cursor(self._name, json.dumps(asdict(self.progress)), legal_entity=self._entity)
        if word:
            now, operator = self._settings.clock(), self._settings.operator
            entry = AuditEntry(self._entity, now, operator, "documents.import", "file", self._file_id, word)
            self._home.write_audit([entry])


def _blocks(lines: Iterator[Line], damage: list[InputError]) -> Iterator[Block]:
    """Lines by the block. What stands before a damaged place is a block still; the damage is left for whoever asked."""
    held: list[Line] = []
    size = 0
    try:
        for line in lines:
            held.append(line)
            size += len(line.content or b"")
            if len(held) == _BLOCK_LINES or size >= _BLOCK_BYTES:
                yield Block(tuple(held), line.end)
                held, size = [], 0
    except InputError as error:
        damage.append(error)
    if held:
        yield Block(tuple(held), held[-1].end)


def _code(refused: Refused) -> str:
    return refused.findings[0].code if refused.findings else "refused"
