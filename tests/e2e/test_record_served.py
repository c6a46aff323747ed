"""`tdu serve` with `[record] enabled`: two worker processes, one record; what it took survives a power cut."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from adapter.demo.stage import HOSPITAL, Stage, StageSettings
from tests.builders import record as r

pytestmark = pytest.mark.e2e

_RECORD = """
[record]
enabled = true

[[record.clients]]
name = "dpi"
kind = "feeder"
token = {{ file = "dpi.token" }}
legal_entity = "{entity}"
organisation = "750100001"

[[record.clients]]
name = "cabinet"
kind = "professional"
token = {{ file = "cabinet.token" }}
legal_entity = "{entity}"
organisation = "920200002"
"""


class RecordStage(Stage):
    """The usual stage, whose service keeps a record too."""

    def _write_files(self) -> None:
        super()._write_files()
        for name in ("dpi", "cabinet"):
            (self.folder / f"{name}.token").write_text(f"jeton-{name}\n", encoding="utf-8")
        with self.config_file.open("a", encoding="utf-8") as file:
            file.write(_RECORD.format(entity=HOSPITAL))


def said(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer jeton-{name}", "Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


@pytest.mark.timeout(180)
def test_a_served_record_takes_once_and_keeps_through_a_power_cut(tmp_path: Path) -> None:
    with RecordStage(tmp_path / "stage", StageSettings(workers=2)) as stage:
        base = f"http://127.0.0.1:{stage.http_port}/record/fhir"
        body = r.written(r.transaction(1, b"%PDF-1.7 servi"))
        with ThreadPoolExecutor(16) as pool:
            codes = Counter(
                pool.map(lambda _: requests.post(base, data=body, headers=said("dpi"), timeout=60).status_code, range(16))
            )
        assert codes == {200: 16}
        stage.kill_service()
        stage.start_service()
        query = {"patient.identifier": f"{r.INS_TEST_SYSTEM}|{r.INS_ONE}", "status": "current"}
        page = requests.get(f"{base}/DocumentReference", params=query, headers=said("cabinet"), timeout=20).json()
        (entry,) = page["entry"]
        place = entry["resource"]["content"][0]["attachment"]["url"]
        raw = requests.get(f"{base}/{place}", headers=said("cabinet") | {"Accept": "*/*"}, timeout=20)
        assert raw.content == b"%PDF-1.7 servi"
        assert requests.get(f"{base}/DocumentReference", params=query, timeout=20).status_code == 401
        log = stage.log_file.read_text(encoding="utf-8")
        assert r.INS_ONE not in log
        assert "jeton" not in log
