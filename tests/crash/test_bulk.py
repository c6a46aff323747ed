"""Bulk work under SIGKILL, on both engines: nothing lost, nothing twice, one manifest. `tests.soak.bulk` does it at large."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.builders.many_letters import write_letters
from tests.soak.bulk import House, campaign, family_of, receipts_of

pytestmark = [pytest.mark.crash, pytest.mark.slow]


@pytest.mark.timeout(280)
def test_an_import_and_an_export_killed_again_and_again_come_to_what_undisturbed_ones_do(tmp_path: Path) -> None:
    found = campaign(tmp_path, letters=240, kills=4, addressed=32)
    assert found["import, killed"]["kills"] + found["export, killed, practices importing"]["kills"] >= 3
    assert found["16 practices"] == {"received": 32, "twice": 0}


@pytest.mark.timeout(280)
def test_the_same_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    found = campaign(tmp_path, letters=240, kills=3, addressed=32, url=postgres_url)
    assert found["engine"] == "postgresql"
    assert found["16 practices"] == {"received": 32, "twice": 0}


def test_workers_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    write_letters(tmp_path / "archive.ndjson", 2000)
    importing = house.start("import", "--workers", "2", "--keep-only", tmp_path / "archive.ndjson")
    until = time.monotonic() + 60
    while len(workers := family_of(importing.pid)[1:]) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(workers) == 2
    os.kill(importing.pid, signal.SIGKILL)
    importing.wait()
    while any(map(_lives, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_lives, workers))
    assert house.run("import", "--workers", "2", "--keep-only", tmp_path / "archive.ndjson") == 0
    assert receipts_of(house) == 2000


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
