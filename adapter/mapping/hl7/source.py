"""An HL7 v2 message as a tracked source: what rules read is remembered, the rest is listed leaf by leaf.

Paths:
    `PV1`, `OBX[3=DESTDMP]`, `OBX[2=ED]`         segments of a name; a test looks at `field` or `field.component(.sub)`
    `OBX[3=DESTMSSANTEPAT]/NTE`                  those that follow it, up to the next segment of its own name
    `PV1-19`, `NTE-4`                            a field of these segments
    `3`, `3[5=INS]`, `3[4.2!=1.2.3]`             below a segment: the repetitions of a field; a test looks at `component(.sub)`
    `3[5=INS].4.2`, `PID-3.1`                    then a component, then a subcomponent
    `1`, `4.2`                                   below a repetition: a component, then a subcomponent
A test may give several values: `[5=INS|NH]`. Tests look without reading. HL7's explicit null `""` reads as empty.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from adapter.errors import MappingError
from adapter.formats.hl7v2 import Message, Segment, decode_escapes
from adapter.mapping.account import Account
from adapter.model.effects import UnreadNode

_EXCERPT = 80
# A report that a person can read; what exceeds it is counted.
_MOST_LISTED = 2000
# Segment index, field, repetition, component, subcomponent; 0 for the last ones: all that is below.
_Place = tuple[int, int, int, int, int]
# Field, repetition, component, subcomponent.
_Leaf = tuple[int, int, int, int]

_SEGMENT = re.compile(r"(?P<name>[A-Z][A-Z0-9]{2})(?:\[(?P<test>[^\]]*)\])?(?:-(?P<rest>.+))?$")
_FIELD = re.compile(r"(?P<field>\d+)(?:\[(?P<test>[^\]]*)\])?(?:\.(?P<component>\d+))?(?:\.(?P<subcomponent>\d+))?$")
_PLAIN = re.compile(r"(?P<name>[A-Z][A-Z0-9]{2})(?:-(?P<field>\d+))?")
_TEST = re.compile(r"(?P<place>\d+(?:\.\d+)*)(?P<sign>!?=)(?P<values>.*)$")


@dataclass(frozen=True)
class _Test:
    """A claim about one value. `place`: numbers, one to three."""

    place: tuple[int, ...]
    values: frozenset[str]
    wanted: bool

    def holds(self, value: str) -> bool:
        """True when the value is as claimed."""
        return (value in self.values) is self.wanted


@lru_cache(maxsize=1024)
def _test(text: str | None) -> _Test | None:
    if not text:
        return None
    found = _TEST.match(text)
    if found is None:
        raise MappingError("mapping.bad-path", "cannot read a test", where=text)
    return _Test(tuple(int(n) for n in found["place"].split(".")), frozenset(found["values"].split("|")), found["sign"] == "=")


@lru_cache(maxsize=1024)
def _matched(pattern: re.Pattern[str], text: str) -> dict[str, str | None]:
    found = pattern.match(text)
    if found is None:
        raise MappingError("mapping.bad-path", "cannot read an HL7 path", where=text)
    return found.groupdict()


class Hl7Source:
    """A message whose leaves are tracked."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._read: set[_Place] = set()
        self._ignored: dict[_Place, str] = {}
        self._ignored_fields: dict[tuple[str, int], str] = {}
        self._looked: dict[tuple[int, tuple[int, ...]], str] = {}

    @property
    def root(self) -> Hl7Root:
        """The whole message."""
        return Hl7Root(self)

    def mark(self, place: _Place) -> None:
        """Remember a leaf, or all below a place, as read."""
        self._read.add(place)

    def look(self, segment: Segment, place: tuple[int, ...]) -> str:
        """A value by field, component and subcomponent, unmarked; remembered, for rules test the same few again and again."""
        known = self._looked.get((segment.index, place))
        if known is None:
            field, component, subcomponent = (*place, 1, 1)[:3]
            known = self._looked[segment.index, place] = segment.value(field, component, subcomponent=subcomponent).strip()
        return known

    def give_back(self, segment: Segment, field: int, component: int = 1, repetition: int = 1) -> None:
        """What was read and then served nothing counts as not read: it is listed like the rest."""
        self._read.discard((segment.index, field, repetition, component, 1))

    def mark_payload(self, segment: Segment) -> None:
        """Remember the data of an OBX-5 of type ED as read."""
        self._read.add((segment.index, 5, 1, 5, 1))

    def ignore(self, path: str) -> None:
        """Leave everything at and below a path aside; what is read there all the same counts as read."""
        plain = _PLAIN.fullmatch(path)
        if plain is not None:  # by far the most: nothing is searched for them
            self._ignored_fields[plain["name"], int(plain["field"] or 0)] = path
            return
        for node in self.root.select(path):
            self._ignored[node.place] = path

    def unread(self) -> tuple[UnreadNode, ...]:
        """Leaves that hold a value which nothing read nor ignored; a line that is no segment is one leaf."""
        return self.account().unread

    def account(self) -> Account:
        """What became of every value of the message; the separators of MSH are none."""
        left: list[UnreadNode] = []
        ignored: Counter[str] = Counter()
        read = more = 0
        for segment, leaf, span in self._leaves():
            places = _above((segment.index, *(leaf or (0, 0, 0, 0))))
            if any(place in self._read for place in places):
                read += 1
            elif pattern := self._pattern_of(segment.name, places):
                ignored[pattern] += 1
            elif len(left) < _MOST_LISTED:
                left.append(self._node(segment, leaf, span))
            else:
                more += 1
        listed = (*left, UnreadNode("…", f"{more} more")) if more else tuple(left)
        return Account(listed, read, ignored)

    def _pattern_of(self, name: str, places: tuple[_Place, ...]) -> str:
        """The path under which a leaf is left aside, or empty."""
        found = next((self._ignored[place] for place in places if place in self._ignored), "")
        fields = self._ignored_fields
        return found or fields.get((name, places[0][1])) or fields.get((name, 0), "")

    def _leaves(self) -> Iterator[tuple[Segment, _Leaf | None, tuple[int, int]]]:
        """Every leaf that holds a value."""
        for segment in self.message.segments():
            if not segment.name:
                yield segment, None, (0, segment.end)
                continue
            for leaf, span in segment.leaf_spans():
                is_separator = segment.name == "MSH" and leaf[0] <= 2
                if not is_separator and segment.line[slice(*span)].strip() not in (b"", b'""'):
                    yield segment, leaf, span

    def _node(self, segment: Segment, leaf: _Leaf | None, span: tuple[int, int]) -> UnreadNode:
        """A leaf with the beginning of its value: only some bytes of a large one are decoded, cut where a character ends."""
        start, end = span
        text = segment.line[start : min(end, start + _EXCERPT * 4)].decode(self.message.codec, "ignore")
        if leaf is None:
            return UnreadNode(segment.place, text.strip()[:_EXCERPT])
        return UnreadNode(path_of(segment, *leaf), decode_escapes(text, self.message)[:_EXCERPT])


def _above(place: _Place) -> tuple[_Place, ...]:
    """A leaf, its component, its repetition, its segment: whoever marks one of these marks the leaf."""
    index, field, repetition, component, _ = place
    return place, (index, field, repetition, component, 0), (index, field, repetition, 0, 0), (index, 0, 0, 0, 0)


def path_of(segment: Segment, field: int = 0, repetition: int = 1, component: int = 0, subcomponent: int = 1) -> str:
    """Where something is, without any value: `PID-3(2).4.2`, `OBX[3]-5.1`."""
    name = segment.place
    if not field:
        return name
    turn = f"({repetition})" if segment.repetitions(field) > 1 else ""
    inner = f".{component}" + (f".{subcomponent}" if subcomponent > 1 else "") if component else ""
    return f"{name}-{field}{turn}{inner}"


@dataclass(frozen=True)
class Hl7Root:
    """The message itself: paths begin with a segment's name."""

    source: Hl7Source
    path: str = ""

    def read(self) -> str:
        """A message has no value of its own."""
        return ""

    def select(self, path: str) -> list[Hl7Node]:
        """Segments or fields."""
        if path in ("", "."):
            return []
        first, *others = path.split("/") if "]" not in path else re.split(r"/(?![^\[]*\])", path)
        return _segments(self.source, self.source.message.segments(first[:3]), first, others)


def _segments(source: Hl7Source, among: tuple[Segment, ...], step: str, others: list[str]) -> list[Hl7Node]:
    parts = _matched(_SEGMENT, step)
    test = _test(parts["test"])
    found = [
        Hl7Node(source, s) for s in among if s.name == parts["name"] and (test is None or test.holds(source.look(s, test.place)))
    ]
    for other in others:
        found = [below for node in found for below in node.followers(other)]
    return [below for node in found for below in node.select(parts["rest"])] if parts["rest"] else found


@dataclass(frozen=True)
class Hl7Node:
    """A segment (`field` 0), a repetition of a field, a component or a subcomponent of it (0: not that deep)."""

    source: Hl7Source
    segment: Segment
    field: int = 0
    repetition: int = 1
    component: int = 0
    subcomponent: int = 0

    @property
    def path(self) -> str:
        """Where this is."""
        return path_of(self.segment, self.field, self.repetition, self.component, self.subcomponent or 1)

    def read(self) -> str:
        """The value, trimmed; of something with parts, its first part."""
        if not self.field:
            return ""
        component, subcomponent = self.component or 1, self.subcomponent or 1
        self.source.mark((self.segment.index, self.field, self.repetition, component, subcomponent))
        value = self.segment.value(self.field, component, self.repetition, subcomponent).strip()
        return "" if value == '""' else value

    @property
    def place(self) -> _Place:
        """What is marked when all that is here and below is meant."""
        repetition = self.repetition if self.field else 0
        return (self.segment.index, self.field, repetition, self.component, self.subcomponent)

    def consume(self) -> None:
        """Take all that is here and below as read."""
        self.source.mark(self.place)

    def payload(self) -> bytes:
        """The bytes as received, marked as read: for Base64, which is not worth decoding as text."""
        component, subcomponent = self.component or 1, self.subcomponent or 1
        self.source.mark((self.segment.index, self.field, self.repetition, component, subcomponent))
        return self.segment.data(self.field, component, self.repetition, subcomponent)

    def followers(self, step: str) -> list[Hl7Node]:
        """The segments after this one, up to the next of the same name, that a step selects."""
        all_segments = self.source.message.segments()
        after: list[Segment] = []
        for at in range(self.segment.index + 1, len(all_segments)):
            if all_segments[at].name == self.segment.name:
                break
            after.append(all_segments[at])
        return _segments(self.source, tuple(after), step, [])

    def select(self, path: str) -> list[Hl7Node]:
        """Below a segment: fields, or following segments (`/NTE-4`)."""
        if path in ("", "."):
            return [self]
        if path.startswith("/"):
            return self.followers(path[1:])
        parts = _matched(_FIELD, path)
        number = int(parts["field"] or 0)
        if self.field:
            inner = int(parts["component"] or 0)
            return [Hl7Node(self.source, self.segment, self.field, self.repetition, number, inner)]
        test = _test(parts["test"])
        component, subcomponent = int(parts["component"] or 0), int(parts["subcomponent"] or 0)
        return [
            Hl7Node(self.source, self.segment, number, repetition, component, subcomponent)
            for repetition in range(1, self.segment.repetitions(number) + 1)
            if test is None or self._repetition_holds(number, repetition, test)
        ]

    def _repetition_holds(self, number: int, repetition: int, test: _Test) -> bool:
        component, subcomponent = (*test.place, 1)[:2]
        return test.holds(self.segment.value(number, component, repetition, subcomponent).strip())
