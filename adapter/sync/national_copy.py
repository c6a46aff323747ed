"""The dated copy of the national directory: where it lies, how it is asked for, kept whole or not at all.

Law: blueprint seams 3 and 17. Written beside, then renamed: the service reads the old copy or the new one, never half of one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from adapter.errors import ConfigurationError, InputError
from adapter.routing.national import NOTHING_LISTED, NationalListing, read_listing, write_listing
from mssante.directory import Directory, DirectoryError, DirectorySettings, Lookup


@dataclass(frozen=True)
class NationalSource:
    """The national directory and the file of its answers."""

    key_file: Path
    base_url: str
    timeout_seconds: float
    copy_file: Path
    max_age: timedelta

    def directory(self) -> Directory:
        """A client; the key is read at each lookup."""
        return Directory(DirectorySettings(self.key_file, self.base_url, self.timeout_seconds))

    def copy(self) -> NationalListing:
        """What is kept; nothing before the first round."""
        if not self.copy_file.exists():
            return NOTHING_LISTED
        return read_listing(self.copy_file.read_bytes(), str(self.copy_file))

    def keep(self, listing: NationalListing) -> None:
        """Replace the copy."""
        replace_file(self.copy_file, write_listing(listing))


def replace_file(path: Path, content: bytes) -> None:
    """The old content or the new one, whatever happens in between."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def ask(source: Directory, kind: str, number: str) -> Lookup:
    """One lookup, by RPPS, FINESS or address. InputError for a number that is none, ConfigurationError for a wrong key."""
    try:
        match kind:
            case "rpps":
                return source.of_professional(number)
            case "finess":
                return source.of_structure(number)
            case _:
                return source.of_address(number)
    except DirectoryError as error:
        wrong = InputError if error.code in ("directory.rpps", "directory.finess") else ConfigurationError
        raise wrong(error.code, error.message, where=error.where) from error
