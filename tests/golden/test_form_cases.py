"""Form cases: a filled form and all that it becomes, or all that is said of it. `make approve CASE=…` rewrites."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.requests.steps import project_task
from tests.builders.bundle import kept_bundle

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
FORMS = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.json").is_file())
RECEIVED = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def _outputs(source: bytes) -> dict[str, Any]:
    """Every expected file of a case, by name."""
    arrival = Arrival(source, "http", Principal("cms-fictif", "token", "940000003"), RECEIVED)
    inspection = inspect_form(arrival)
    told = [[f.severity, f.code, f.location, f.text, f.remedy] for f in inspection.findings]
    outputs: dict[str, Any] = {"findings.json": told}
    if inspection.verdict is Verdict.ACCEPTED:
        (translation,) = understand_form(arrival, "receipt-of-the-case")
        outputs["fhir.json"] = kept_bundle(translation)
        if translation.steps:
            outputs["task.json"] = project_task(translation.steps, translation.bundle)
        outputs["unread.json"] = [node.path for node in translation.unread]
    return outputs


@pytest.mark.parametrize("case", FORMS)
def test_a_form_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs((folder / "source.json").read_bytes())
    if os.environ.get("TDU_APPROVE") == case:
        for name, value in outputs.items():
            (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    expected = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json") if path.name != "source.json"}
    assert set(outputs) == set(expected)
    for name, value in outputs.items():
        assert value == expected[name], name


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document_or_task(shared_dir: Path) -> None:
    files = [str(CASES / case / name) for case in FORMS for name in ("fhir.json", "task.json") if (CASES / case / name).is_file()]
    assert files
    checker = shared_dir / "tools" / "fhir_check.py"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(checker), "--fr", *files], capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(files)} passed, 0 failed" in run.stdout


def test_there_are_form_cases() -> None:
    assert len(FORMS) >= 4
