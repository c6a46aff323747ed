"""Starts `tdu` so that it kills itself (SIGKILL) at a chosen point of the nightly round.

    python tests/crash/night_launcher.py STEP N sync --config …

`in-write`: in the n-th write transaction, before its commit; `after-write`: just after it; `purging`: content deleted, nothing
committed; `proving`: when the backup's copy is made and not proved; `named`: when it was just given its name.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from adapter.ledger import backup, retention
from adapter.ledger.database import Database, Transaction


def die(*_: Any, **__: Any) -> Any:
    """As in a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(original: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The n-th call works, and is the last thing that does."""
    seen = 0

    def tripped(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        result = original(*args, **kwargs)
        seen += 1
        if seen == count:
            die()
        return result

    return tripped


def arm(step: str, count: int) -> None:
    """Lay the wire."""
    if step == "in-write":
        Transaction.flush = after(Transaction.flush, count)  # type: ignore[method-assign]  # dies with all statements made, none kept
    elif step == "after-write":
        Database.write = after(Database.write, count)  # type: ignore[method-assign]
    elif step == "purging":
        retention._purge = after(retention._purge, count)
    elif step == "proving":
        backup._prove = die
    elif step == "named":
        backup._let_go = die
    else:
        raise SystemExit(f"no such step: {step}")


def main() -> None:
    """Arm, then be `tdu`."""
    step, count, *rest = sys.argv[1:]
    arm(step, int(count))
    sys.argv = ["tdu", *rest]
    from adapter.cli import main as tdu

    tdu()


if __name__ == "__main__":
    main()
