"""One round at a time: a lock that dies with its holder, so that a killed round never keeps the next one out.

SQLite: an flock on a file beside the database. PostgreSQL: a session's advisory lock, which another machine meets too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from adapter.ledger.database import Database

_ROUND = 7_402_004


@contextmanager
def hold_alone(database: Database) -> Iterator[bool]:
    """True while this process alone holds the round; False, at once, when another does."""
    path = database.file
    if path is None:
        with database.session() as connection:
            is_ours = bool(connection.execute(select(func.pg_try_advisory_lock(_ROUND))).scalar())
            try:
                yield is_ours
            finally:
                if is_ours:
                    connection.execute(select(func.pg_advisory_unlock(_ROUND)))
        return
    descriptor = os.open(path.with_name(f"{path.name}.round"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
