"""`tdu serve` takes faxes from a folder and from a receive queue, each once, and ends in order while it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapter.config import load_config
from adapter.demo.stage import HOSPITAL, Stage, StageSettings
from adapter.opening import open_ledger
from tests.servers.receive_queue import Lying, QueueDouble
from tests.unit.intake.test_fax_folder import fax_tiff, files

LINES = """
[[doors.fax]]
name = "scanner"
legal_entity = "{hospital}"
folder = "fax-in"
poll_seconds = 0.2
settle_seconds = 0.2

[[doors.fax]]
name = "hylafax"
legal_entity = "{hospital}"
poll_seconds = 0.2
[doors.fax.hylafax]
host = "127.0.0.1"
port = {port}
administrator_password = {{ file = "admin" }}
delete_after = true
for_tests = true
"""


def until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_faxes_come_in_by_folder_and_queue_once_each_over_a_restart(tmp_path: Path) -> None:
    with QueueDouble() as server, Stage(tmp_path / "stage", StageSettings()) as stage:
        stage.stop_service()
        (stage.folder / "admin").write_text("geheim")
        text = stage.config_file.read_text(encoding="utf-8")
        stage.config_file.write_text(text + LINES.format(hospital=HOSPITAL, port=server.port), encoding="utf-8")
        folder = stage.folder / "fax-in"
        folder.mkdir()
        (folder / "a.tif").write_bytes(fax_tiff(mark=1))
        (folder / "b.tif").write_bytes(b"no fax")
        server.files["fax000000001.tif"] = Lying(fax_tiff(mark=2), station="+33 1 99 00 42 01")
        stage.start_service()
        until(lambda: not server.files and "done/a.tif" in files(folder) and "error/b.tif" in files(folder), "not taken")
        stage.stop_service()
        server.files["fax000000001.tif"] = Lying(fax_tiff(mark=3))
        stage.start_service()
        until(lambda: not server.files, "not taken after the restart")
        ledger = open_ledger(load_config(stage.config_file, {}))
        try:
            until(lambda: ledger.conservation(legal_entity=HOSPITAL).parked == 4, "not understood")
            conservation = ledger.conservation(legal_entity=HOSPITAL)
            items = ledger.list_work_items(legal_entity=HOSPITAL)
        finally:
            ledger.close()
        stage.stop_service()
        log = stage.log_file.read_text(encoding="utf-8", errors="replace")
    assert conservation.received == 4 and conservation.holds
    assert sorted(item.reason for item in items).count("fax-unread") >= 3
    assert log.count("fax.kept") == 4
    assert "199004201" not in log
