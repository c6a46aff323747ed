"""Backups of the SQLite ledger: the online backup API, each copy proved before it takes its name, some generations kept.

Sources: sqlite.org/backup.html, sqlite.org/pragma.html#pragma_integrity_check. The copy is of one moment (a read transaction is
held while pages are copied), so its row counts are those of that moment exactly. It holds sealed payloads: without the key file,
which is backed up apart, nobody reads it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from adapter.errors import LedgerError
from adapter.ledger.vault import Vault

_NAME = re.compile(r"ledger-\d{8}T\d{6}Z\.sqlite")
_PAGES_AT_ONCE = 2048
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Backup:
    """One proved copy: where it is, its rows by table, and the older generations that went."""

    path: Path
    rows: dict[str, int]
    bytes: int
    removed: tuple[Path, ...] = ()


def back_up(
    source: Path, directory: Path, vault: Vault, at: datetime, generations: int, progress: Progress = lambda _done, _all: None
) -> Backup:
    """Copy, prove, name, and only then let the oldest go. LedgerError when the copy is not what it should be: none is named."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = directory / f"ledger-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.sqlite"
    partial = directory / f".{target.name}.part"
    _remove(partial)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        counted = _copy(source, partial, progress)
        _prove(partial, counted, vault)
        _sync(partial)
        partial.replace(target)
        _sync(directory)
    except sqlite3.Error as error:
        text = f"the copy was not made ({type(error).__name__})"
        raise LedgerError("backup.failed", text, where=str(directory), remedy="See the disk's space and health.") from error
    finally:
        _remove(partial)
    return Backup(target, counted, target.stat().st_size, _let_go(directory, target, generations))


def prove_backup(path: Path, vault: Vault) -> dict[str, int]:
    """Prove a copy that lies there (before it is restored); its rows by table. LedgerError when it is damaged or another's."""
    with closing(sqlite3.connect(_read_only(path), uri=True)) as connection:
        counted = _count_rows(connection)
    _prove(path, counted, vault)
    return counted


def backups_in(directory: Path) -> tuple[Path, ...]:
    """The copies that lie there, oldest first."""
    if not directory.is_dir():
        return ()
    return tuple(sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name)))


def _copy(source: Path, partial: Path, progress: Progress) -> dict[str, int]:
    with (
        closing(sqlite3.connect(_read_only(source), uri=True, timeout=30, isolation_level=None)) as origin,
        closing(sqlite3.connect(partial, isolation_level=None)) as copy,
    ):
        # A read transaction of our own: without it, a writer would make the copy begin again, for ever on a busy ledger.
        origin.execute("BEGIN")
        counted = _count_rows(origin)
        origin.backup(copy, pages=_PAGES_AT_ONCE, progress=lambda _status, left, total: progress(total - left, total))
        origin.execute("COMMIT")
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, that can be moved
    return counted


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=ro"


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    # The names are the schema's own: no value of anybody's is in the statement.
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in names.fetchall()}  # noqa: S608


def _prove(path: Path, expected: dict[str, int], vault: Vault) -> None:
    """Every page reads, every row is there, and our key opens it."""
    with closing(sqlite3.connect(_read_only(path), uri=True)) as copy:
        verdict = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if verdict != "ok":
            raise LedgerError("backup.damaged", "the copy does not pass SQLite's integrity check", where=str(path))
        if _count_rows(copy) != expected:
            raise LedgerError("backup.incomplete", "the copy has not the rows of its original", where=str(path))
        checks = copy.execute("SELECT value FROM ledger_meta WHERE name LIKE 'key-check:%'").fetchall()
        if not checks or not all(vault.proves(bytes(check)) for (check,) in checks):
            raise LedgerError("backup.other-key", "our key does not open the copy", where=str(path))


def _let_go(directory: Path, newest: Path, generations: int) -> tuple[Path, ...]:
    """The oldest go, never the one just made: names later than its own are those of a clock that ran ahead, so they are older."""
    by_age = sorted(backups_in(directory), key=lambda path: (path.name <= newest.name, path.name))
    old = tuple(by_age[:-generations])
    for path in old:
        path.unlink(missing_ok=True)
    return old


def _remove(partial: Path) -> None:
    for name in (partial.name, f"{partial.name}-journal", f"{partial.name}-wal", f"{partial.name}-shm"):
        with suppress(FileNotFoundError):
            partial.with_name(name).unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
