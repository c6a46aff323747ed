"""kill -9 of the whole service at ten random moments of a run: nothing lost, nothing doubled unless the ledger says unclear."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from adapter.config import load_config
from adapter.demo.stage import HOSPITAL, Stage, StageSettings
from adapter.opening import open_ledger
from tests.crash.play import (
    copies_are_identical,
    letters,
    send_until_acknowledged,
    wait_for_documents,
    waits_for_a_person,
    was_unclear,
)

MESSAGES = 200
KILLS = 10


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.timeout(280)
def test_ten_power_cuts_lose_nothing_and_double_nothing_in_silence(tmp_path: Path) -> None:
    settings = StageSettings(workers=2, lease_seconds=5, unclear_seconds=1.0)
    sent = letters(MESSAGES, "K")
    moments = random.Random(20261121)
    finished = threading.Event()
    with Stage(tmp_path / "stage", settings) as stage:

        def send_all() -> None:
            for letter in sent:
                send_until_acknowledged(stage, letter)
            finished.set()

        sender = threading.Thread(target=send_all, name="hospital")
        sender.start()
        kills = 0
        while kills < KILLS and not finished.is_set():
            time.sleep(moments.uniform(0.2, 1.2))
            stage.kill_service()
            kills += 1
            stage.start_service()
        sender.join(timeout=120)
        assert finished.is_set(), "the hospital never got all its acknowledgements"
        wanted = {letter.document_id for letter in sent}
        seen = wait_for_documents(stage, wanted, patience_seconds=90)
        absent = [letter for letter in sent if letter.document_id not in seen]
        doubled = [letter for letter in sent if seen[letter.document_id] > 1]
        identical = copies_are_identical(stage.operator.received)
        ledger = open_ledger(load_config(stage.config_file, {}))
        silent = [letter.control_id for letter in doubled if not was_unclear(ledger, letter)]
        # Twice on the wire when the power went: a person decides (seam 5), so it is not lost either.
        lost = [letter.control_id for letter in absent if not waits_for_a_person(ledger, letter)]
        conservation = ledger.conservation(legal_entity=HOSPITAL)
        ledger.close()
    figures = (
        f"kills={kills} messages={MESSAGES} received={len(seen)} with_a_person={len(absent) - len(lost)} lost={len(lost)} "
        f"doubled={len(doubled)} doubled_in_silence={len(silent)}"
    )
    (tmp_path / "figures.txt").write_text(figures, encoding="utf-8")
    assert kills >= 3, "the run ended before it was disturbed"
    assert not lost
    assert not silent
    assert identical
    assert conservation.received == MESSAGES
    assert conservation.holds
