"""HL7 cases: a message and all that it becomes, or all that is answered. `make approve CASE=…` rewrites, after a look."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_ack import write_ack
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.bundle import kept_bundle
from tests.golden.plain import CASES, check_independently, compare, plain

MESSAGES = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.hl7").is_file())
RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)


def _outputs(source: bytes) -> dict[str, Any]:
    """Every expected file of a case, by name; a message with several documents numbers them."""
    arrival = Arrival(source, "mllp", Principal("hopital-fictif", "certificate", "750712184"), RECEIVED)
    found = inspect_hl7v2(arrival)
    answer = write_ack(found.control, found.verdict, found.findings, now=RECEIVED, control_id="ACK-OF-THE-CASE")
    outputs: dict[str, Any] = {"ack.json": answer.decode(read_message(answer).codec).rstrip("\r").split("\r")}
    if found.verdict is not Verdict.ACCEPTED:
        return outputs
    translations = understand_hl7v2(arrival, "receipt-of-the-case")
    for number, translation in enumerate(translations, start=1):
        mark = f"-{number}" if len(translations) > 1 else ""
        outputs[f"submission{mark}.json"] = plain(translation.submission)
        outputs[f"fhir{mark}.json"] = kept_bundle(translation)
        outputs[f"unread{mark}.json"] = [node.path for node in translation.unread]
    return outputs


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs((folder / "source.hl7").read_bytes())
    compare(folder, outputs, {"source.hl7"})


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document(shared_dir: Path) -> None:
    files = [path for case in MESSAGES for path in sorted((CASES / case).glob("fhir*.json"))]
    check_independently(shared_dir, files)


def test_there_are_message_cases() -> None:
    assert len(MESSAGES) >= 5
