"""A finding: one thing said about a source, with its severity, its norm's code and its place. Never its content.

Sources: HL7 table 0357 (messageErrorCondition) and 0533 as profiled by the CI-SIS volet 2.1 §ACK;
FHIR OperationOutcome.issue.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding weighs: only `error` refuses."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True)
class Finding:
    """One remark on a source.

    `code`: our stable dotted word (`hl7.unknown-event`, `ins.wrong-key`, `form.answer-required`…).
    `location`: a place, never a value (`PID-3`, `OBX-5`, `item[tdm-iode-diabete]`).
    `text`: one sentence, without patient content. `remedy`: what to do.
    `source`: where in the source the place comes from, when a mapping knows (`PID-5`, `recordTarget/patientRole`).
    `hl7_code`: messageErrorCondition (`100`…`207`) where the door is HL7; `app_code`: table 0533 (`900`…`906`).
    """

    severity: Severity
    code: str
    text: str
    location: str = ""
    remedy: str = ""
    hl7_code: str = ""
    app_code: str = ""
    source: str = ""


def errors_of(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings that refuse."""
    return tuple(f for f in findings if f.severity is Severity.ERROR)
