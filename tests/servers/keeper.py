"""Looks after a private HylaFAX: keeps its scheduler awake, and ends everything when its tests are gone, killed or not.

`python keeper.py HOME FOLDER…` until the end of its input. HOME/groups names the process groups, one a line, unless they have
ended in an orderly way. HOME and the folders are removed, and the locks that bear the folders' names.

Why awake: faxq 6.0.7 forgets to look at its queue when a job comes a second after two modems became ready at once
(`SchedTimeout::start` still holds a run to be pending that is over); the job then waits for the next event. A modem that
is announced and withdrawn in one breath is such an event, and nothing else.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

_LOCKS = Path("/var/lock")
_EVENT = b"+nobody:R\0+nobody:D\0"
_EVERY_SECONDS = 1.5


def _wake(scheduler: Path) -> None:
    with suppress(OSError):  # the scheduler is down just now
        pipe = os.open(scheduler, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, _EVENT)
        finally:
            os.close(pipe)


def _end(home: Path, folders: list[Path]) -> None:
    groups = home / "groups"
    for group in groups.read_text().split() if groups.exists() else ():
        if int(group) != os.getpgrp():
            with suppress(ProcessLookupError):
                os.killpg(int(group), signal.SIGKILL)
    for folder in folders:
        for lock in _LOCKS.glob(f"LCK..*{folder.name}*"):
            lock.unlink(missing_ok=True)
    for folder in (*folders, home):
        shutil.rmtree(folder, ignore_errors=True)


def main(home: Path, folders: list[Path]) -> None:
    """Nothing is ever written to the input: it is readable when it ends."""
    while not select.select([sys.stdin], [], [], _EVERY_SECONDS)[0]:
        _wake(home / "spool" / "FIFO")
    _end(home, folders)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
