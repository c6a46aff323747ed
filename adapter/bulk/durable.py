"""Files that are whole or absent: written aside, made durable, then given their name. Only their owner reads them.

They hold health data: 0600. After a power cut a name is either that of the whole file or of none; what was written aside is
thrown away by the next run.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ASIDE = ".tmp"
_GZIP_LEVEL = 6


@dataclass(frozen=True)
class Written:
    """A file as it stands on disk: how many lines it holds, its size in bytes and its SHA-256 in hexadecimal."""

    name: str
    lines: int
    size: int
    sha256: str


class LineFile:
    """Lines on their way into one file; what is told of it is told of the bytes on disk."""

    def __init__(self, name: str, handle: IO[bytes], compressed: bool) -> None:
        self._name = name
        self._sink = _Counted(handle)
        # No name and no date inside: the same lines give the same bytes on every day.
        self._packer = gzip.GzipFile("", "wb", _GZIP_LEVEL, self._sink, mtime=0) if compressed else None
        self._write: Callable[[bytes], int] = self._packer.write if self._packer is not None else self._sink.write
        self._count = 0

    def add(self, line: bytes) -> None:
        """One line, without its end."""
        self._write(line)
        self._write(b"\n")
        self._count += 1

    def end(self) -> Written:
        """Nothing is added any more."""
        if self._packer is not None:
            self._packer.close()
        return Written(self._name, self._count, self._sink.size, self._sink.digest.hexdigest())


class _Counted:
    """A handle that knows what went through it."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.size += len(content)
        self.digest.update(content)
        return self._handle.write(content)

    def flush(self) -> None:
        self._handle.flush()


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A handle whose bytes become `path` when the block ends well."""
    aside = path.with_name(path.name + ASIDE)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    sync_folder(path.parent)


def write_durably(path: Path, content: bytes) -> None:
    """One small file, whole or absent."""
    with new_file(path) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Make the names of a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
