"""Adds to each finding on a Bundle the place of the source that it comes from, by the id of the resource it stands in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter.model.finding import Finding

_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\]")
_SECTION = re.compile(r"\.section\[(\d+)\]")


def located(findings: Sequence[Finding], bundle: Mapping[str, Any], source_map: Mapping[str, str]) -> tuple[Finding, ...]:
    """The findings, each with its `source` where the map knows it."""
    return tuple(replace(finding, source=_source_of(finding.location, bundle, source_map)) for finding in findings)


def _source_of(location: str, bundle: Mapping[str, Any], source_map: Mapping[str, str]) -> str:
    entry = _ENTRY.match(location)
    entries = bundle.get("entry", ())
    if entry is None or int(entry[1]) >= len(entries):
        return ""
    resource = entries[int(entry[1])].get("resource", {})
    place = source_map.get(str(resource.get("id", "")), "")
    if resource.get("resourceType") != "Composition":
        return place
    section = _SECTION.search(location)
    if section is not None:
        return source_map.get(f"section[{section[1]}]", place)
    element = location[entry.end() :].removeprefix(".resource.").partition("[")[0].partition(".")[0]
    return source_map.get(f"Composition.{element}", place)
