"""The strict check against the norm's own definitions."""

from __future__ import annotations

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_structure import check_structure
from adapter.model.finding import Severity
from tests.builders.cda import build_n1
from tests.builders.hl7 import build_mdm, build_oru


def _found(content: bytes) -> list[tuple[str, str]]:
    return [(finding.code, finding.location) for finding in check_structure(read_message(content))]


@pytest.mark.parametrize("content", [build_mdm(build_n1()), build_oru(build_n1())])
def test_our_own_messages_hold_the_norm(content: bytes) -> None:
    assert _found(content) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"MSH-7": "hier"}, ("structure.data-type", "MSH-7")),
        ({"OBX[1]-11": ""}, ("structure.required-field", "OBX[1]-11")),
        ({"EVN-2": "2026-01-01"}, ("structure.data-type", "EVN-2")),
        ({"PID-7": "19740918~19740919"}, ("structure.repeated-field", "PID-7")),
        ({"EVN-9": "x"}, ("structure.extra-field", "EVN")),
        ({"MSH-12": "2.3"}, ("structure.version", "MSH-12")),
        ({"PRT[1]-2": ""}, ("structure.required-field", "PRT[1]-2")),
    ],
)
def test_what_breaks_the_norm_is_told_with_its_place(change: dict[str, str], expected: tuple[str, str]) -> None:
    assert expected in _found(build_mdm(build_n1(), change=change))


def test_what_the_door_takes_is_never_said_to_be_refused() -> None:
    """The door goes by the volet's own tables, so a message may break the norm's definitions and be taken."""
    content = build_mdm(build_n1(), change={"MSH-7": "hier", "OBX[1]-11": "", "PID-7": "19740918~19740919"})
    found = check_structure(read_message(content))
    assert len(found) >= 3 and {finding.severity for finding in found} == {Severity.WARNING}


def test_french_segments_are_left_alone() -> None:
    assert _found(build_mdm(build_n1(), add=("ZBE|1|20261120||INSERT|N",))) == []


def test_a_segment_that_the_norm_ignores_is_told() -> None:
    assert ("structure.unknown-segment", "QQQ") in _found(build_mdm(build_n1(), add=("QQQ|1",)))
