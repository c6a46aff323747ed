"""Takes what lies in a fax folder or a receive queue, and dies (SIGKILL) at a step of it; `none`: it lives.

python -m tests.crash.fax_taker URL folder PATH STEP
python -m tests.crash.fax_taker URL queue PORT STEP

`STEP` is `before:` or `after:` one of claim, commit, put-away, empty (a claim), remove (out of the queue), or `N:move`: the N-th
rename of a file.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adapter.channels.fnp_received import ReceiveQueue
from adapter.intake.claims import ClaimedFolder
from adapter.intake.committer import Intake
from adapter.intake.fax_folder import FaxFolder, FaxFolderSettings
from adapter.intake.fax_in import FaxIntakeSettings, FaxTaker
from adapter.intake.fax_queue import FaxQueue, FaxQueueSettings
from adapter.ledger.ledger import Ledger
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance
from tests.builders.ledger import World

_STEPS: dict[str, tuple[Any, str]] = {
    "commit": (Ledger, "commit_receipts"),
    "claim": (ClaimedFolder, "_claim"),
    "put-away": (ClaimedFolder, "put_away"),
    "empty": (ClaimedFolder, "_empty"),
    "remove": (ReceiveQueue, "remove"),
}


def arm(step: str) -> None:
    """Replace one function by one that dies before or after its work."""
    moment, _, name = step.partition(":")
    owner, attribute = (Path, "rename") if name == "move" else _STEPS[name]
    original: Callable[..., Any] = getattr(owner, attribute)
    seen = 0

    def tripped(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if moment in ("before", str(seen)):
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if moment == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, attribute, tripped)


def main() -> None:
    """One round."""
    url, source, place, step = sys.argv[1:]
    house = Instance(Path(), world=World(url))
    if step != "none":
        arm(step)
    intake = Intake(house.pipeline)
    intake.start()
    taker = FaxTaker(FaxIntakeSettings("fax-ivry", APHP_EJ), intake, clock=house.clock)
    if source == "folder":
        settings = FaxFolderSettings(Path(place), "fax-ivry", settle_seconds=0)
        door = FaxFolder(settings, taker, monotonic=time.monotonic, new_id=lambda: str(uuid.uuid4()))
        sys.stdout.write(str(door.poll_once()))
    else:
        queue = FaxQueueSettings(
            "fax-ivry", APHP_EJ, "127.0.0.1", int(place), administrator_password=lambda: "geheim", delete_after=True
        )
        sys.stdout.write(str(FaxQueue(queue, taker, house.ledger, monotonic=time.monotonic).poll_once()))
    intake.stop()


if __name__ == "__main__":
    main()
