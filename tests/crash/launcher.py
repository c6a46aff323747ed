"""Starts `tdu` with one tripwire: the process kills itself (SIGKILL) the n-th time that a step is reached.

    python tests/crash/launcher.py STEP N MARK serve --config …

`STEP` is `before:METHOD` or `after:METHOD` of the ledger. `MARK` is a file that says that the wire was tripped, so that the next
start goes on untouched. The whole process group dies, as in a power cut.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapter.ledger.ledger import Ledger


def arm(step: str, count: int, mark: Path) -> None:
    """Replace one method of the ledger by one that dies at the chosen moment."""
    moment, _, name = step.partition(":")
    original: Callable[..., Any] = getattr(Ledger, name)
    seen = 0

    def tripped(self: Ledger, *args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        if moment == "before":
            seen += 1
            if seen == count:
                die(mark)
            return original(self, *args, **kwargs)
        result = original(self, *args, **kwargs)
        if result or name in ("mark_on_wire", "settle_send", "settle_together", "commit_effects"):
            seen += 1
        if seen == count:
            die(mark)
        return result

    setattr(Ledger, name, tripped)


def die(mark: Path) -> None:
    """Leave the mark durably, then kill the supervisor and every worker at once."""
    with mark.open("w") as handle:
        handle.write("tripped")
        handle.flush()
        os.fsync(handle.fileno())
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Arm, then be `tdu`."""
    step, count, mark, *rest = sys.argv[1:]
    os.setpgid(0, 0)
    if not Path(mark).exists():
        arm(step, int(count), Path(mark))
    sys.argv = ["tdu", *rest]
    from adapter.cli import main as tdu

    tdu()


if __name__ == "__main__":
    main()
