"""Reads the paths of rules over HL7 v2 messages, each once for all messages: steps, tests, and what is left aside as one plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from adapter.errors import MappingError
from adapter.formats.hl7v2 import Segment

_SEGMENT = re.compile(r"(?P<name>[A-Z][A-Z0-9]{2})(?:\[(?P<test>[^\]]*)\])?(?:-(?P<rest>.+))?$")
_FIELD = re.compile(r"(?P<field>\d+)(?:\[(?P<test>[^\]]*)\])?(?:\.(?P<component>\d+))?(?:\.(?P<subcomponent>\d+))?$")
_TEST = re.compile(r"(?P<place>\d+(?:\.\d+)*)(?P<sign>!?=)(?P<values>.*)$")
# A slash inside a test is a value's.
_SLASH = re.compile(r"/(?![^\[]*\])")


@dataclass(frozen=True)
class Claim:
    """A claim about one value. `place`: numbers, one to three."""

    place: tuple[int, ...]
    values: frozenset[str]
    wanted: bool

    def holds(self, value: str) -> bool:
        """True when the value is as claimed."""
        return (value in self.values) is self.wanted


class SegmentStep(NamedTuple):
    """`OBX[3=DESTDMP]-5`: a segment's name, a test of it, the path below it."""

    name: str
    test: Claim | None
    rest: str


class FieldStep(NamedTuple):
    """`3[5=INS].4.2`: 0 for a part that is not named."""

    field: int
    test: Claim | None
    component: int
    subcomponent: int


@lru_cache(maxsize=1024)
def segment_step(text: str) -> SegmentStep:
    """One step that names a segment. Raises MappingError when it cannot be read."""
    found = _matched(_SEGMENT, text)
    return SegmentStep(found["name"], _test(found["test"]), found["rest"] or "")


@lru_cache(maxsize=1024)
def field_step(text: str) -> FieldStep:
    """One step below a segment. Raises MappingError when it cannot be read."""
    found = _matched(_FIELD, text)
    return FieldStep(int(found["field"]), _test(found["test"]), int(found["component"] or 0), int(found["subcomponent"] or 0))


@lru_cache(maxsize=1024)
def steps_of(path: str) -> tuple[str, ...]:
    """A path cut at its slashes."""
    return tuple(_SLASH.split(path))


class ValueStep(NamedTuple):
    """`OBX[3=DESTDMP]-5.1`: a value of the segments of a name."""

    name: str
    test: Claim | None
    below: FieldStep


@lru_cache(maxsize=1024)
def value_step(path: str) -> ValueStep | None:
    """A path of one step that ends at a field; None for any other. Raises MappingError when it cannot be read."""
    if len(steps_of(path)) > 1:
        return None
    name, test, rest = segment_step(path)
    return ValueStep(name, test, field_step(rest)) if rest else None


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.match(text)
    if found is None:
        raise MappingError("mapping.bad-path", "cannot read an HL7 path", where=text)
    return found


def _test(text: str | None) -> Claim | None:
    if not text:
        return None
    found = _TEST.match(text)
    if found is None:
        raise MappingError("mapping.bad-path", "cannot read a test", where=text)
    return Claim(tuple(int(n) for n in found["place"].split(".")), frozenset(found["values"].split("|")), found["sign"] == "=")


# -- what is left aside ----------------------------------------------------------------------------------------------------


# Component and subcomponent (0: all of them) → tests of the repetition and paths, the last written first.
_Parts = dict[tuple[int, int], tuple[tuple[Claim | None, str], ...]]


@dataclass(frozen=True)
class LeftAside:
    """Paths that are left aside, by segment and field (0: all fields). `others`: what only a search in each message finds."""

    whole: Mapping[str, Mapping[int, str]]
    parts: Mapping[str, Mapping[int, _Parts]]
    others: tuple[str, ...]

    def part(self, segment: Segment, field: int, part: tuple[int, int, int]) -> str:
        """The path that leaves a part of a field aside, the most precise one; empty when none does."""
        parts = self.parts.get(segment.name, {}).get(field)
        if parts is None:
            return ""
        repetition, component, subcomponent = part
        for place in ((component, subcomponent), (component, 0), (0, 0)):
            for test, path in parts.get(place, ()):
                if test is None or repetition_holds(segment, field, repetition, test):
                    return path
        return ""


def repetition_holds(segment: Segment, field: int, repetition: int, test: Claim) -> bool:
    """A test of one repetition of a field: looks at a component, or a subcomponent."""
    component, subcomponent = (*test.place, 1)[:2]
    return test.holds(segment.value(field, component, repetition, subcomponent).strip())


@lru_cache(maxsize=64)
def left_aside(paths: tuple[str, ...]) -> LeftAside:
    """The plan of what rules leave aside: sorted once, not searched in each message."""
    whole: dict[str, dict[int, str]] = {}
    parts: dict[str, dict[int, _Parts]] = {}
    others: list[str] = []
    for path in paths:
        step = segment_step(path) if len(steps_of(path)) == 1 else None
        if step is None or step.test is not None:
            others.append(path)
            continue
        place = field_step(step.rest) if step.rest else FieldStep(0, None, 0, 0)
        if place.test is None and not place.component:
            whole.setdefault(step.name, {})[place.field] = path
        else:
            found = parts.setdefault(step.name, {}).setdefault(place.field, {})
            inner = place.component, place.subcomponent
            found[inner] = ((place.test, path), *found.get(inner, ()))
    return LeftAside(whole, parts, tuple(others))
