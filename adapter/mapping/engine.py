"""Runs extraction rules over a tracked source: values out, findings for what is required and absent. No decisions here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter.mapping.rules import FieldRule, GroupRule, RuleFile
from adapter.mapping.sources import Node, Source
from adapter.mapping.terminology import translate_code, unknown_code
from adapter.mapping.transforms import transform_named
from adapter.model.finding import Finding, Severity

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Extraction:
    """Extracted groups by name (a dict, or a list of dicts for `each`), and what was missing."""

    groups: dict[str, Any]
    findings: tuple[Finding, ...]

    def one(self, name: str) -> Values:
        """A single group."""
        value: Values = self.groups[name]
        return value

    def many(self, name: str) -> list[Values]:
        """A repeated group."""
        value: list[Values] = self.groups[name]
        return value


def extract(rules: RuleFile, source: Source, only: tuple[str, ...] = ()) -> Extraction:
    """Run all groups (or `only` those named) and mark the ignored paths."""
    findings: list[Finding] = []
    groups: dict[str, Any] = {}
    for name, group in rules.groups.items():
        if only and name not in only:
            continue
        groups[name] = _run_group(group, source.root, findings)
    if not only:
        for path in rules.ignored:
            source.ignore(path)
    return Extraction(groups, tuple(findings))


def extract_group(group: GroupRule, node: Node) -> tuple[Any, tuple[Finding, ...]]:
    """Run one group below a node: for repeated structures that typed code walks itself."""
    findings: list[Finding] = []
    return _run_group(group, node, findings), tuple(findings)


def _run_group(group: GroupRule, root: Node, findings: list[Finding]) -> Any:
    nodes = root.select(group.base) if group.base else [root]
    if group.each:
        return [_run_fields(group, node, findings) for node in nodes]
    return _run_fields(group, nodes[0] if nodes else None, findings)


def _run_fields(group: GroupRule, node: Node | None, findings: list[Finding]) -> dict[str, Any]:
    # Some sources know a shorter way to the first value of a path, which is all that most fields want.
    first = getattr(node, "first_value", None)
    if first is None:
        return {name: _run_field(group, name, rule, node, findings) for name, rule in group.fields.items()}
    found: dict[str, Any] = {}
    for name, rule in group.fields.items():
        if not rule.is_plain:
            found[name] = _run_field(group, name, rule, node, findings)
            continue
        value = ""
        for path in rule.paths:
            if value := first(path):
                break
        found[name] = (_finish(rule, value) if rule.transform else value) if value else rule.default
    return found


def _run_field(group: GroupRule, name: str, rule: FieldRule, node: Node | None, findings: list[Finding]) -> Any:
    values = _values(rule, node)
    if rule.table:
        for value in values:
            findings += unknown_code(rule.table, str(_transformed(rule, value)), f"{group.base}-{rule.paths[0]}".lstrip("-"))
    if rule.each:
        return tuple(_finish(rule, value) for value in values)
    value = _finish(rule, values[0]) if values else rule.default
    if rule.required and value in ("", None):
        place = f"{group.base}-{rule.paths[0]}" if group.base and "/" not in group.base else rule.paths[0]
        findings.append(
            Finding(
                Severity.ERROR,
                rule.code or "mapping.required",
                rule.missing or f"{group.name}.{name} is required and absent",
                place,
                hl7_code=rule.hl7_code,
            )
        )
    return value


def _values(rule: FieldRule, node: Node | None) -> list[str]:
    if node is None:
        return []
    for path in rule.paths:
        found = node.select(path)
        if not rule.each:  # a single field takes the first value only: the others stay unread, hence told
            for one in found:
                if value := one.read():
                    return [value]
        elif read := [value for one in found if (value := one.read())]:
            return read
    return []


def _finish(rule: FieldRule, value: str) -> Any:
    result: Any = _transformed(rule, value)
    if rule.table:  # a code that the table does not hold stays, and `unknown_code` says so: a default would be a guess
        result = translate_code(rule.table, str(result)) or result
    return result if result not in ("", None) else rule.default


def _transformed(rule: FieldRule, value: str) -> Any:
    return transform_named(rule.transform)(value) if rule.transform else value
