"""Adds to each finding on a Bundle the place of the source that it comes from, by the resource and the element it stands in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapter.model.finding import Finding

_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\]")
_ITEM = re.compile(r"\bitem\[(\d+)\]")
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
    inside = location[entry.end() :].removeprefix(".resource.")
    if resource.get("resourceType") == "QuestionnaireResponse" and (question := _question_of(resource, inside)):
        return question
    made = str(resource.get("id", ""))
    element = inside.partition("[")[0].partition(".")[0]
    if resource.get("resourceType") != "Composition":
        return source_map.get(f"{made}.{element}") or source_map.get(made, "")
    section = _SECTION.search(location)
    place = source_map.get(made, "")
    return source_map.get(f"section[{section[1]}]" if section is not None else f"Composition.{element}", place)


def _question_of(response: Mapping[str, Any], inside: str) -> str:
    """The question whose answer stands at a place of a filled form: the response names its questions itself."""
    told, items = "", response.get("item", ())
    for step in _ITEM.finditer(inside):
        rank = int(step[1])
        if rank >= len(items):
            break
        told = question_words(str(items[rank].get("linkId", "")), str(items[rank].get("text", "")))
        items = items[rank].get("item", ())
    return told


def question_words(link_id: str, text: str) -> str:
    """A question as a person finds it again: its linkId, and its own words."""
    return f"question {link_id} « {text} »" if text else f"question {link_id}"
