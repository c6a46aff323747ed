"""The service dies at each step of an acknowledgement's way: its sender gets it, and never a second one under another MSH-10."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from adapter.config import load_config
from adapter.demo.stage import HOSPITAL, Stage, StageSettings
from adapter.formats.hl7v2 import read_message
from adapter.model.delivery import Purpose
from adapter.opening import open_ledger
from tests.crash.play import letters, revived, send_until_acknowledged
from tests.crash.test_tripwires import LAUNCHER, await_death
from tests.servers.mllp_peer import MllpPeer

FLAGS = ("DESTDMP", "DESTMSSANTEPS", "ACK_RECEPTION", "ACK_LECTURE_MSS")
# The letter's mail and its record leg come first: the third claim, send and settlement is the acknowledgement's.
STEPS = (
    ("after:settle_send", 1),
    ("after:settle_send", 2),
    ("after:settle_acks", 1),
    ("after:claim_deliveries", 3),
    ("before:mark_on_wire", 3),
    ("after:mark_on_wire", 3),
    ("before:settle_send", 3),
    ("after:settle_send", 3),
)


def _trip(folder: Path, step: str, count: int, ledger_url: str) -> None:
    mark = folder / "tripped"
    [letter] = letters(1, "A", FLAGS)
    command = (sys.executable, str(LAUNCHER), step, str(count), str(mark))
    with MllpPeer() as hospital:
        settings = StageSettings(workers=1, lease_seconds=5, unclear_seconds=0.5, ledger=ledger_url, acks_port=hospital.port)
        with Stage(folder / "stage", settings, launcher=command) as stage, revived(stage, *command):
            send_until_acknowledged(stage, letter)
            await_death(mark, step)
            _wait_until_told(stage, letter.control_id)
            copies = list(hospital.received)
    assert copies, "the acknowledgement was lost"
    assert len(set(copies)) == 1, "the same acknowledgement under two MSH-10, or with other bytes"
    assert len(copies) == 1 or (len(copies) == 2 and step == "before:settle_send")
    message = read_message(copies[0])
    answer = message.segments("OBX")[0]
    assert (message.value("MSH", 9, 2), answer.value(4), answer.value(5)) == ("Z01", letter.control_id, "Y")


def _wait_until_told(stage: Stage, control_id: str, patience_seconds: float = 60.0) -> None:
    """Until the ledger says that the sender took its acknowledgement."""
    ledger = open_ledger(load_config(stage.config_file, {}))
    deadline = time.monotonic() + patience_seconds
    try:
        while time.monotonic() < deadline:
            timeline = ledger.timeline(control_id, legal_entity=HOSPITAL)
            sent = [d for trace in (timeline.submissions if timeline else ()) for d in trace.deliveries]
            acks = [d.state.value for d in sent if d.purpose is Purpose.ACK]
            if acks == ["accepted"]:
                assert ledger.conservation(legal_entity=HOSPITAL).holds
                return
            time.sleep(0.2)
    finally:
        ledger.close()
    raise AssertionError(f"the acknowledgement never came to rest: {acks}")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize(("step", "count"), STEPS)
def test_a_death_on_an_acknowledgements_way_loses_and_doubles_nothing_on_sqlite(step: str, count: int, tmp_path: Path) -> None:
    _trip(tmp_path, step, count, "")


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.parametrize(("step", "count"), STEPS)
def test_a_death_on_an_acknowledgements_way_loses_and_doubles_nothing_on_postgresql(
    step: str, count: int, tmp_path: Path, postgres_url: str
) -> None:
    _trip(tmp_path, step, count, postgres_url)
