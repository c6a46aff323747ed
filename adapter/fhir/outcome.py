"""Findings as a FHIR OperationOutcome: the refusal of every HTTP door. Texts are places and sentences, never values."""

from __future__ import annotations

from collections.abc import Iterable

from adapter.model.finding import Finding

_ISSUE_TYPES = {
    "form.answer-required": "required",
    "form.not-json": "structure",
    "form.unknown-answer": "structure",
    "repeat.conflict": "conflict",
}


def operation_outcome(findings: Iterable[Finding], issue_type: str = "") -> dict[str, object]:
    """One issue per finding: severity, type (by its code when none is named), our code in details, the sentence, and where."""
    issues = [_issue(finding, issue_type) for finding in findings]
    return {"resourceType": "OperationOutcome", "issue": issues or [{"severity": "error", "code": issue_type or "processing"}]}


def _issue(finding: Finding, issue_type: str) -> dict[str, object]:
    issue: dict[str, object] = {
        "severity": finding.severity.value,
        "code": issue_type or _ISSUE_TYPES.get(finding.code, "invalid"),
        "details": {"coding": [{"system": "urn:traitdunion:finding", "code": finding.code}], "text": finding.text},
    }
    if finding.remedy:
        issue["diagnostics"] = finding.remedy
    if finding.location:
        issue["expression"] = [finding.location]
    return issue
