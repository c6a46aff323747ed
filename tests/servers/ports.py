"""Ports for servers that tests start: no other test process is given one while this one lives."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO

from adapter.demo.ports import is_free, shuffled_ports

_HELD: list[IO[bytes]] = []


def free_port() -> int:
    """A port on loopback that nobody listens on, held by a file lock until this process ends."""
    for port in shuffled_ports():
        lock = _lock_of(port)
        if lock is not None and is_free(port):
            _HELD.append(lock)
            return port
    raise OSError("no free port for a test server")


def _lock_of(port: int) -> IO[bytes] | None:
    """The lock of a port; None when another test process has it."""
    folder = Path(tempfile.gettempdir()) / f"tdu-test-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    lock = (folder / str(port)).open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock
