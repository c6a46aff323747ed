"""What the door answers to every official message is what the reference page says, and refusals speak the norm's codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.sample_table import Row, page, table

pytestmark = pytest.mark.conformance

CONDITIONS = {"100", "101", "102", "103", "198", "199", "200", "201", "202", "203", "207"}
APPLICATION_CONDITIONS = {"900", "901", "902", "903", "904", "905", "906"}


@pytest.fixture(scope="module")
def rows(shared_dir: Path) -> list[Row]:
    return table(shared_dir)


def test_the_reference_page_is_what_the_door_answers(rows: list[Row], project_root: Path) -> None:
    written = (project_root / "docs" / "reference" / "hl7-samples.md").read_text(encoding="utf-8")
    assert written == page(rows), "python -m tests.conformance.sample_table docs/reference/hl7-samples.md"


def test_every_message_is_answered_and_each_refusal_has_its_code(rows: list[Row]) -> None:
    assert len(rows) >= 36
    for row in rows:
        assert row.answer in ("AA", "AE"), row
        assert (row.answer == "AE") == bool(row.errors), row
        for error in row.errors:
            condition, *rest = error.split()
            assert condition in CONDITIONS, row
            assert condition != "207" or rest[0] in APPLICATION_CONDITIONS, row


def test_every_request_that_holds_a_document_of_its_patient_is_planned(rows: list[Row]) -> None:
    planned = [row.file for row in rows if row.plan and "consent" not in row.file and "sgl" not in row.file]
    assert len(planned) == 5
    assert all("Base64" in name or "SEGUR" in name or "RPLC-N1.er7" in name for name in planned)
