"""CDA cases: a bare document (and its side-car) and all that it becomes. `make approve CASE=…` rewrites, after a look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import inspect_cda, understand_cda
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.bundle import kept_bundle
from tests.golden.plain import CASES, check_independently, compare, plain

DOCUMENTS = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.xml").is_file())
RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)
GIVEN = {"side-car.json"}


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
        "submission.json": plain(translation.submission),
        "fhir.json": kept_bundle(translation),
        "unread.json": [node.path for node in translation.unread],
        "findings.json": [[f.severity, f.code, f.location, f.text] for f in translation.findings],
    }


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs(_arrival(folder))
    compare(folder, outputs, {"source.xml", *GIVEN})


def test_there_are_document_cases() -> None:
    assert len(DOCUMENTS) >= 4


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document(shared_dir: Path) -> None:
    files = [CASES / case / "fhir.json" for case in DOCUMENTS]
    check_independently(shared_dir, files)
