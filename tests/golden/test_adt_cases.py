"""ADT cases: a message, its answer, its words to the patient index, its FHIR. `make approve CASE=…` rewrites, after a look."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_ack import write_ack
from adapter.mapping.from_adt import inspect_adt, translate_adt, understand_adt
from adapter.model.effects import Ignored
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.golden.plain import CASES, check_independently, compare, plain

MESSAGES = sorted(folder.name for folder in CASES.iterdir() if (folder / "adt.hl7").is_file())
RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)


def _outputs(source: bytes) -> dict[str, Any]:
    arrival = Arrival(source, "mllp", Principal("gam-fictive", "certificate", "750712184"), RECEIVED)
    found = inspect_adt(arrival)
    answer = write_ack(found.control, found.verdict, found.findings, now=RECEIVED, control_id="ACK-OF-THE-CASE")
    outputs: dict[str, Any] = {"ack.json": answer.decode(read_message(answer).codec).rstrip("\r").split("\r")}
    if found.verdict is not Verdict.ACCEPTED:
        return outputs
    effects = understand_adt(arrival, "receipt-of-the-case")
    told = [plain(effect) for effect in effects]
    outputs["effects.json"] = json.loads(json.dumps(told, default=str))
    if not isinstance(effects[0], Ignored):
        made = translate_adt(arrival)
        outputs["fhir.json"] = made.bundle
        outputs["unread.json"] = [node.path for node in made.unread]
    return outputs


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs((folder / "adt.hl7").read_bytes())
    compare(folder, outputs, {"adt.hl7"})


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_collection(shared_dir: Path) -> None:
    files = [CASES / case / "fhir.json" for case in MESSAGES if (CASES / case / "fhir.json").is_file()]
    check_independently(shared_dir, files)


def test_there_are_adt_cases() -> None:
    assert len(MESSAGES) >= 5
