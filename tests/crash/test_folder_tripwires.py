"""The folder's lane dies at each of its steps, and the practice's program takes what lies there before it comes back.

A real kill (SIGKILL of a forked process); the folder and the ledger are judged by what the program took: each publication at most
once, the newest exactly once, never an older version after a newer one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.channels.drop_folder import PracticeFolder
from adapter.ledger.ledger import Ledger
from adapter.model.folder import Standing
from tests.builders.directory import APHP_EJ
from tests.builders.practices import Town

pytestmark = pytest.mark.crash

# Where to die: whose method, before or after it, at which call. The second version's files are being given.
STEPS = [
    (PracticeFolder, "stage", "before", 1),
    (PracticeFolder, "stage", "after", 1),
    (Ledger, "keep_folder_sets", "before", 1),
    (Ledger, "keep_folder_sets", "after", 1),
    (PracticeFolder, "withdraw", "before", 1),
    (PracticeFolder, "withdraw", "after", 1),
    (Ledger, "stand_folder_sets", "before", 1),
    (Ledger, "stand_folder_sets", "after", 1),
    (PracticeFolder, "expose", "before", 1),
    (PracticeFolder, "expose", "after", 1),
    (Ledger, "stand_folder_sets", "before", 2),
    (Ledger, "stand_folder_sets", "after", 2),
    # Each rename: two of the older set to `withdrawn/`, then the newer one's words, page and text.
    *[(Path, "rename", "after", n) for n in range(1, 6)],
]


class Program:
    """A practice's program: takes each main file that it sees, once, and remembers in which order."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self.taken: list[str] = []

    def look(self) -> None:
        """Move what lies there; a text without its page would be a torn set."""
        folder = self._town.path()
        for text in sorted(folder.glob("*.hpr")):
            assert text.with_suffix(".pdf").exists(), "the main file is there before its companion"
            for path in (text, text.with_suffix(".pdf")):
                path.rename(folder / "done" / path.name)
            self.taken.append(text.name[: len("TDU-00000001")])


def die_at(owner: type, name: str, moment: str, count: int) -> None:
    """From now on this process kills itself there."""
    original: Callable[..., Any] = getattr(owner, name)
    seen = 0

    def tripped(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if moment == "before" and seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if moment == "after" and seen == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, tripped)


def keep_and_die(town: Town, step: tuple[type, str, str, int]) -> None:
    """One round of another process, which does not come to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            die_at(*step)
            town.new_keeper().keep()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"{step[1]} was never reached"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[2]}-{step[0].__name__}.{step[1]}-{step[3]}")
@pytest.mark.parametrize("takes", ["at-once", "later"])
def test_a_death_while_a_newer_version_is_given_loses_and_doubles_nothing(
    step: tuple[type, str, str, int], takes: str, tmp_path: Path
) -> None:
    town = Town(tmp_path)
    program = Program(town)
    town.write(1)
    town.keeper().keep()
    town.write(2)
    town.house.ledger.close()
    keep_and_die(town, step)
    if takes == "at-once":
        program.look()
    survivor = town.new_keeper()
    for _ in range(3):
        survivor.keep()
        town.ticks += 6
        if takes == "at-once":
            program.look()
    program.look()
    town.ticks += 6
    for _ in range(2):
        survivor.keep()
        town.ticks += 6
    newest = [one for one in program.taken if one == "TDU-00000002"]
    assert newest == ["TDU-00000002"], program.taken
    assert program.taken in (["TDU-00000002"], ["TDU-00000001", "TDU-00000002"])
    standing = [one.standing for one in town.house.ledger.folder_sets("cab-1", list(Standing), legal_entity=APHP_EJ)]
    assert standing[-1] is Standing.DONE and standing[0] in (Standing.WITHDRAWN, Standing.DONE, Standing.SKIPPED)
    assert town.house.reasons() == []


HEARING = [
    (Ledger, "keep_import_outcome", "before", 1),
    (Ledger, "keep_import_outcome", "after", 1),
    (Ledger, "stand_folder_sets", "before", 1),
    (Ledger, "stand_folder_sets", "after", 1),
]


@pytest.mark.parametrize("step", HEARING, ids=lambda step: f"{step[2]}-{step[1]}")
def test_a_death_while_an_outcome_is_heard_keeps_it_once(step: tuple[type, str, str, int], tmp_path: Path) -> None:
    town = Town(tmp_path)
    receipt = town.write(1)
    town.keeper().keep()
    town.take()
    town.house.ledger.close()
    pid = os.fork()
    if pid == 0:
        try:
            die_at(*step)
            dying = town.new_keeper()
            dying.keep()
            town.ticks += 6
            dying.keep()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    survivor = town.new_keeper()
    for _ in range(3):
        survivor.keep()
        town.ticks += 6
    assert town.house.states(receipt) == {"inbox": "integrated"}
    said = [event for event in town.house.timeline(receipt).events if event.kind == "folder-done"]
    assert len(said) == 1 and town.house.reasons() == []
