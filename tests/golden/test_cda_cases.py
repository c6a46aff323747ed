"""CDA cases: a bare document (and its side-car) and all that it becomes. `make approve CASE=…` rewrites, after a look."""

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

from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import inspect_cda, understand_cda
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.bundle import kept_bundle

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
DOCUMENTS = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.xml").is_file())
RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)
GIVEN = {"side-car.json"}


def _plain(value: object) -> Any:
    """Dataclasses as data; what is empty is left out, so that a case shows what it says."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {name: found for name, found in pairs.items() if found not in ("", None, [], {}, False)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _arrival(folder: Path) -> Arrival:
    side_car = folder / "side-car.json"
    companion = side_car.read_bytes() if side_car.is_file() else b""
    principal = Principal("dossier-fictif", "folder", "940999900")
    return Arrival((folder / "source.xml").read_bytes(), "folder", principal, RECEIVED, "source.xml", companion)


def _outputs(arrival: Arrival) -> dict[str, Any]:
    """Every expected file of a case, by name."""
    assert inspect_cda(arrival).verdict is Verdict.ACCEPTED
    (translation,) = understand_cda(arrival, "receipt-of-the-case")
    assert validate_bundle(translation.bundle) == ()
    return {
        "submission.json": _plain(translation.submission),
        "fhir.json": kept_bundle(translation),
        "unread.json": [node.path for node in translation.unread],
        "findings.json": [[f.severity, f.code, f.location, f.text] for f in translation.findings],
    }


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs(_arrival(folder))
    if os.environ.get("TDU_APPROVE") == case:
        for name, value in outputs.items():
            (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    expected = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json") if path.name not in GIVEN}
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        assert value == expected[name], name


def test_there_are_document_cases() -> None:
    assert len(DOCUMENTS) >= 4


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document(shared_dir: Path) -> None:
    checker = shared_dir / "tools" / "fhir_check.py"
    files = [str(CASES / case / "fhir.json") for case in DOCUMENTS]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(checker), "--fr", *files], capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stdout + run.stderr
