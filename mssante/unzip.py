"""Opens a zip that a stranger sent, in memory and within limits: hostile shapes are refused whole, junk is left aside.

Refused: absolute, drive, `..` and symbolic-link entries, encrypted entries, two entries of one name (whatever the case: zipfile
would silently return the last), methods other than stored and deflated, too many entries, too many bytes, bombs.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass

from mssante.errors import ArchiveError

# Below this, a high ratio threatens nobody: blanks and zeros compress a thousand times.
_SMALL = 65_536
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may weigh. `depth` is how many folders deep METADATA.XML is looked for."""

    entries: int = 200
    total_bytes: int = 100_000_000
    ratio: int = 200
    metadata_bytes: int = 8_000_000
    depth: int = 4


DEFAULT_LIMITS = ArchiveLimits()


@dataclass(frozen=True, repr=False)
class ZippedFile:
    """One file of the archive; `path` has `/` as separator."""

    path: str
    content: bytes

    @property
    def folder(self) -> str:
        """The path without the file's name; empty at the root."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file's name alone."""
        return self.path.rpartition("/")[2]


def unzip(content: bytes, limits: ArchiveLimits) -> tuple[ZippedFile, ...]:
    """Every file in the order of the directory; ArchiveError when the archive is hostile, broken or beyond the limits."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check_size(entries, limits)
            paths = [_path(entry) for entry in entries]
            _check_unique(paths)
            kept = [(path, entry) for path, entry in zip(paths, entries, strict=True) if not _is_left_aside(path)]
            return tuple(ZippedFile(path, _read(archive, entry)) for path, entry in kept)
    except ArchiveError:
        raise
    # zipfile answers broken structures with any of these; its texts may quote names, so none is repeated.
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        IndexError,
    ) as error:
        raise ArchiveError("archive.broken", "not a readable zip") from error
    except (OverflowError, MemoryError, AttributeError) as error:
        raise ArchiveError("archive.broken", "not a readable zip") from error


def _check_size(entries: list[zipfile.ZipInfo], limits: ArchiveLimits) -> None:
    if len(entries) > limits.entries:
        raise ArchiveError("archive.entries", f"more than {limits.entries} entries")
    if sum(entry.file_size for entry in entries) > limits.total_bytes:
        raise ArchiveError("archive.size", f"more than {limits.total_bytes} bytes once unzipped")
    for number, entry in enumerate(entries, start=1):
        if entry.file_size > _SMALL and entry.file_size > limits.ratio * max(entry.compress_size, 1):
            raise ArchiveError("archive.bomb", f"compressed more than {limits.ratio} times", where=f"entry {number}")


def _path(entry: zipfile.ZipInfo) -> str:
    """The name as the sender wrote it: zipfile cuts at a NUL and decodes cp437 unless flag bit 11 says UTF-8."""
    path = entry.orig_filename.replace("\\", "/")
    if entry.flag_bits & 0x2041:  # encrypted, strong encryption, masked directory
        raise ArchiveError("archive.encrypted", "an entry is encrypted")
    if path.startswith("/") or _DRIVE.match(path) or _CONTROL.search(path) or ".." in path.split("/"):
        raise ArchiveError("archive.unsafe-name", "an entry's name leaves the archive")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise ArchiveError("archive.symbolic-link", "an entry is a symbolic link")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError("archive.method", "an entry is neither stored nor deflated")
    return "/".join(step for step in path.split("/") if step not in ("", ".")) + ("/" if path.endswith("/") else "")


def _check_unique(paths: list[str]) -> None:
    folded = [path.rstrip("/").casefold() for path in paths if not _is_left_aside(path)]
    if len(set(folded)) < len(folded):
        raise ArchiveError("archive.duplicate-name", "two entries have one name")


def _is_left_aside(path: str) -> bool:
    steps = path.split("/")
    return path.endswith("/") or not path or steps[0] == "__MACOSX" or steps[-1].startswith("._") or steps[-1] == ".DS_Store"


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    # The size is always given: without it zipfile would inflate a lying entry whole before it looks at the length.
    with archive.open(entry) as opened:
        content = opened.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise ArchiveError("archive.broken", "an entry is not as long as it says")
    return content
