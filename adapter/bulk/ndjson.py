"""A file of JSON lines, plain or gzip, read in constant memory: each line with its number and where it ends.

Source: ndjson.org. Lines end in LF (a CR before it is a blank to JSON); blank lines count and say nothing; one
that is too long is skipped, and told. Offsets are of the unpacked text.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from adapter.errors import InputError
from adapter.model.confidential import Confidential

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_SKIP_BYTES = 1 << 16


@dataclass(frozen=True, repr=False)
class Line(Confidential):
    """One line that says something. `content` is None when it is longer than what is taken; `end` is where the next begins."""

    number: int
    end: int
    content: bytes | None


@dataclass(frozen=True)
class Position:
    """Where reading stands: how many lines and bytes were read."""

    line: int = 0
    offset: int = 0


class NdjsonFile:
    """One file. `position_in_file` moves through the bytes on disk, for whoever shows progress."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._raw: IO[bytes] | None = None

    @property
    def read_bytes(self) -> int:
        """How many bytes on disk were read so far."""
        if self._raw is None:
            return 0
        return self.size if self._raw.closed else self._raw.tell()

    def digest(self) -> str:
        """SHA-256 of the bytes on disk: what the file is, whatever its name."""
        with self.path.open("rb") as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()

    def lines(self, longest: int, start: Position) -> Iterator[Line]:
        """The lines behind `start`. InputError `import.damaged-file` when a gzip file is cut off or altered."""
        with self.path.open("rb") as raw, _naming_damage(self.path):
            self._raw = raw
            is_packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if is_packed else raw  # type: ignore[assignment]
            stream.seek(start.offset)
            yield from _lines(stream, longest, start)


def _lines(stream: IO[bytes], longest: int, start: Position) -> Iterator[Line]:
    number, offset = start.line, start.offset
    while piece := stream.readline(longest + 1):
        number, offset = number + 1, offset + len(piece)
        content: bytes | None = piece
        if len(piece) > longest and not piece.endswith(b"\n"):
            content = None
            while rest := stream.readline(_SKIP_BYTES):
                offset += len(rest)
                if rest.endswith(b"\n"):
                    break
        elif number == 1:
            content = piece.removeprefix(_BOM)
        if content is None or content.strip():
            yield Line(number, offset, content)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        text, remedy = "The gzip file is damaged or cut off; what stood before was taken.", "Copy it again, and import that."
        raise InputError("import.damaged-file", text, where=path.name, remedy=remedy) from error
