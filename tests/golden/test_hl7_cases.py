"""HL7 cases: a message and all that it becomes, or all that is answered. `make approve CASE=…` rewrites, after a look."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from adapter.formats.hl7v2_ack import write_ack
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.bundle import kept_bundle

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
MESSAGES = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.hl7").is_file())
RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)


def _plain(value: object) -> Any:
    """Dataclasses as data; what is empty is left out, so that a case shows what it says."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {name: found for name, found in pairs.items() if found not in ("", None, [], {}, False)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _outputs(source: bytes) -> dict[str, Any]:
    """Every expected file of a case, by name; a message with several documents numbers them."""
    arrival = Arrival(source, "mllp", Principal("hopital-fictif", "certificate", "750712184"), RECEIVED)
    found = inspect_hl7v2(arrival)
    answer = write_ack(found.control, found.verdict, found.findings, now=RECEIVED, control_id="ACK-OF-THE-CASE")
    outputs: dict[str, Any] = {"ack.json": answer.decode(found.control.encoding).rstrip("\r").split("\r")}
    if found.verdict is not Verdict.ACCEPTED:
        return outputs
    translations = understand_hl7v2(arrival, "receipt-of-the-case")
    for number, translation in enumerate(translations, start=1):
        mark = f"-{number}" if len(translations) > 1 else ""
        outputs[f"submission{mark}.json"] = _plain(translation.submission)
        outputs[f"fhir{mark}.json"] = kept_bundle(translation)
        outputs[f"unread{mark}.json"] = [node.path for node in translation.unread]
    return outputs


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs((folder / "source.hl7").read_bytes())
    if os.environ.get("TDU_APPROVE") == case:
        for name, value in outputs.items():
            (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    expected = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        assert value == expected[name], name


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document(shared_dir: Path) -> None:
    files = [str(path) for case in MESSAGES for path in sorted((CASES / case).glob("fhir*.json"))]
    assert files
    checker = shared_dir / "tools" / "fhir_check.py"
    command = [sys.executable, "-W", "ignore", str(checker), "--fr", *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(files)} passed, 0 failed" in run.stdout


def test_there_are_message_cases() -> None:
    assert len(MESSAGES) >= 5
