"""Strict check of a message against the norm's segment and data type definitions, as hl7apy ships them: not on the hot path.

hl7apy is used for its definitions only: its reader drops the segments that its structures do not know (PRT, ZBE, ZFA) and costs
20 ms a message. PRT is pre-adopted by the volet from a later version: its definition is taken from the latest known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from adapter.formats.hl7v2 import Message, Segment
from adapter.model.finding import Finding, Severity

_VERSIONS = ("2.5", "2.6")
_LATEST = "2.8.2"
_FORMS = {
    "SI": re.compile(r"\d+$"),
    "NM": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)$"),
    "DT": re.compile(r"\d{4}(\d{2}(\d{2})?)?$"),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,4})?)?)?([+-]\d{4})?$"),
    "DTM": re.compile(r"\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,4})?)?)?)?)?)?([+-]\d{4})?$"),
}
# OBX-5 has the type that OBX-2 names: the segment's own definition says "varies".
_VARIES = "varies"


def check_structure(message: Message) -> tuple[Finding, ...]:
    """What the norm's definitions say of every segment: unknown ones, required fields, repetitions, parts too many, bad forms."""
    version = message.value("MSH", 12).strip()
    if version not in _VERSIONS:
        text = "Definitions are known for versions 2.5 and 2.6."
        return (Finding(Severity.WARNING, "structure.version", text, "MSH-12", hl7_code="203"),)
    return tuple(found for segment in message.segments() for found in _check_segment(segment, version))


def _check_segment(segment: Segment, version: str) -> Iterator[Finding]:
    if segment.name.startswith("Z"):
        return
    definition = _definition(segment.name, version)
    if definition is None:
        yield _warning("structure.unknown-segment", "This version of the norm has no such segment.", segment.place, "100")
        return
    for number, (_, reference, (least, most), _) in enumerate(definition, start=1):
        yield from _check_field(segment, number, reference, least, most)
    if any(segment.field(n) for n in range(len(definition) + 1, segment.field_count + 1)):
        yield _warning("structure.extra-field", f"Fields after {len(definition)} are not defined.", segment.place, "198")


def _definition(name: str, version: str) -> Any:
    from hl7apy import load_library  # its tables take a third of a second to load: only this check pays for them

    for known in (version, _LATEST):
        found = load_library(known).SEGMENTS.get(name)
        if found is not None:
            return found[1]
    return None


def _check_field(segment: Segment, number: int, reference: Any, least: int, most: int) -> Iterator[Finding]:
    place = f"{segment.place}-{number}"
    times = segment.repetitions(number)
    if not times:
        if least:
            yield _warning("structure.required-field", "The norm requires this field.", place, "101")
        return
    if 0 <= most < times:
        yield _warning("structure.repeated-field", f"At most {most} repetition(s) are allowed.", place, "198")
    kind = segment.value(2).strip() if (segment.name, number) == ("OBX", 5) else reference[2]
    if (segment.name == "MSH" and number <= 2) or kind in (_VARIES, "ED"):
        return
    for repetition in range(1, times + 1):
        yield from _check_type(segment, number, repetition, reference, place)


def _check_type(segment: Segment, number: int, repetition: int, reference: Any, place: str) -> Iterator[Finding]:
    shape, parts, kind = reference[0], reference[1], reference[2]
    if shape == "leaf":
        yield from _check_form(segment.value(number, 1, repetition).strip(), kind, place)
        return
    for at, part in enumerate(parts, start=1):
        value = segment.value(number, at, repetition).strip()
        inner = part[1]
        if inner[0] == "leaf":
            yield from _check_form(value, inner[2], f"{place}.{at}")
    if any(segment.value(number, extra, repetition) for extra in range(len(parts) + 1, len(parts) + 4)):
        yield _warning("structure.extra-component", f"Components after {len(parts)} are not defined.", place, "102")


def _check_form(value: str, kind: str, place: str) -> Iterator[Finding]:
    form = _FORMS.get(kind)
    if form is not None and value not in ("", '""') and form.match(value) is None:
        yield _warning("structure.data-type", f"The value is not of type {kind}.", place, "102")


def _warning(code: str, text: str, place: str, hl7_code: str) -> Finding:
    return Finding(Severity.WARNING, code, text, place, hl7_code=hl7_code)
