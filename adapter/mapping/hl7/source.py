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

from collections.abc import Iterable, Sequence

from adapter.formats.hl7v2 import Message, Segment
from adapter.mapping.account import Account
from adapter.mapping.hl7.counting import Counting, Part, Place, path_of
from adapter.mapping.hl7.paths import (
    Claim,
    FieldStep,
    field_step,
    left_aside,
    repetition_holds,
    segment_step,
    steps_of,
    value_step,
)
from adapter.model.effects import UnreadNode


class Hl7Source:
    """A message whose leaves are tracked."""

    def __init__(self, message: Message) -> None:
        self.message = message
        # By segment and field; `_wide`: some marks mean all that is below a place.
        self._read: dict[int, dict[int, set[Part]]] = {}
        self._wide = False
        self._ignored: list[str] = []
        self._looked: dict[tuple[int, tuple[int, ...]], str] = {}
        self._by_value: dict[tuple[str, tuple[int, ...]], dict[str, list[Segment]]] = {}

    @property
    def root(self) -> Hl7Root:
        """The whole message."""
        return Hl7Root(self)

    def mark(self, place: Place) -> None:
        """Remember a leaf, or all below a place, as read."""
        index, field, repetition, component, subcomponent = place
        self._wide = self._wide or not subcomponent
        fields = self._read.get(index)
        if fields is None:
            fields = self._read[index] = {}
        parts = fields.get(field)
        if parts is None:
            fields[field] = {(repetition, component, subcomponent)}
        else:
            parts.add((repetition, component, subcomponent))

    def look(self, segment: Segment, place: tuple[int, ...]) -> str:
        """A value by field, component and subcomponent, unmarked; remembered, for rules test the same few again and again."""
        known = self._looked.get((segment.index, place))
        if known is None:
            field, component, subcomponent = (*place, 1, 1)[:3]
            known = self._looked[segment.index, place] = segment.value(field, component, subcomponent=subcomponent).strip()
        return known

    def matching(self, name: str, test: Claim | None) -> Sequence[Segment]:
        """Segments of a name for which a test holds, in order; found by value, for ten rules ask for ten rows of OBX."""
        segments = self.message.segments(name)
        if test is None:
            return segments
        if not test.wanted:
            return [segment for segment in segments if test.holds(self.look(segment, test.place))]
        known = self._by_value.get((name, test.place))
        if known is None:
            known = self._by_value[name, test.place] = {}
            for segment in segments:
                known.setdefault(self.look(segment, test.place), []).append(segment)
        found = [segment for value in test.values for segment in known.get(value, ())]
        return sorted(found, key=lambda segment: segment.index) if len(test.values) > 1 < len(found) else found

    def give_back(self, segment: Segment, field: int, component: int = 1, repetition: int = 1) -> None:
        """What was read and then served nothing counts as not read: it is listed like the rest."""
        self._read.get(segment.index, {}).get(field, set()).discard((repetition, component, 1))

    def mark_payload(self, segment: Segment) -> None:
        """Remember the data of an OBX-5 of type ED as read."""
        self.mark((segment.index, 5, 1, 5, 1))

    def ignore(self, path: str) -> None:
        """Leave everything at and below a path aside; what is read there all the same counts as read."""
        self._ignored.append(path)

    def ignore_all(self, paths: Iterable[str]) -> None:
        """Leave several paths aside."""
        self._ignored += paths

    def unread(self) -> tuple[UnreadNode, ...]:
        """Leaves that hold a value which nothing read nor ignored; a line that is no segment is one leaf."""
        return self.account().unread

    def account(self) -> Account:
        """What became of every value of the message; the separators of MSH are none."""
        plan = left_aside(tuple(self._ignored))
        searched = {node.place: path for path in plan.others for node in self.root.select(path)}
        counting = Counting(self.message, plan, searched, self._read, wide=self._wide)
        for segment in self.message.segments():
            counting.add(segment)
        return counting.account()


class Hl7Root:
    """The message itself: paths begin with a segment's name."""

    __slots__ = ("path", "source")

    def __init__(self, source: Hl7Source) -> None:
        self.source = source
        self.path = ""

    def read(self) -> str:
        """A message has no value of its own."""
        return ""

    def select(self, path: str) -> list[Hl7Node]:
        """Segments or fields."""
        if path in ("", "."):
            return []
        first, *others = steps_of(path)
        name, test, rest = segment_step(first)
        found = [Hl7Node(self.source, segment) for segment in self.source.matching(name, test)]
        return _below(found, rest, others)

    def first_value(self, path: str) -> str:
        """The first value at a path, read: as `select` and `read` do, without a node."""
        step = value_step(path)
        if step is not None:
            name, test, below = step
            for segment in self.source.matching(name, test):
                if value := _first_below(self.source, segment, below):
                    return value
            return ""
        return _first_read(self.select(path))


def _first_read(nodes: list[Hl7Node]) -> str:
    """The first value of these nodes: those after it stay unread."""
    for node in nodes:
        if value := node.read():
            return value
    return ""


def _first_below(source: Hl7Source, segment: Segment, step: FieldStep) -> str:
    """The first value of a field."""
    field, test, component, subcomponent = step
    texts = segment.texts()
    if texts and not (field < len(texts) and texts[field]):  # most fields of most rules
        return ""
    component, subcomponent = component or 1, subcomponent or 1
    for repetition in range(1, segment.repetitions(field) + 1):
        if test is None or repetition_holds(segment, field, repetition, test):
            source.mark((segment.index, field, repetition, component, subcomponent))
            value = segment.value(field, component, repetition, subcomponent).strip()
            if value and value != '""':
                return value
    return ""


def _below(found: list[Hl7Node], rest: str, others: Sequence[str]) -> list[Hl7Node]:
    for other in others:
        found = [below for node in found for below in node.followers(other)]
    return [below for node in found for below in node.select(rest)] if rest else found


class Hl7Node:
    """A segment (`field` 0), a repetition of a field, a component or a subcomponent of it (0: not that deep).

    Made a hundred times a message: slots, no dataclass.
    """

    __slots__ = ("component", "field", "repetition", "segment", "source", "subcomponent")

    def __init__(
        self,
        source: Hl7Source,
        segment: Segment,
        field: int = 0,
        repetition: int = 1,
        component: int = 0,
        subcomponent: int = 0,
    ) -> None:
        self.source = source
        self.segment = segment
        self.field = field
        self.repetition = repetition
        self.component = component
        self.subcomponent = subcomponent

    @property
    def path(self) -> str:
        """Where this is."""
        return path_of(self.segment, self.field, self.repetition, self.component, self.subcomponent or 1)

    def read(self) -> str:
        """The value, trimmed; of something with parts, its first part."""
        field, repetition = self.field, self.repetition
        if not field:
            return ""
        component, subcomponent = self.component or 1, self.subcomponent or 1
        self.source.mark((self.segment.index, field, repetition, component, subcomponent))
        value = self.segment.value(field, component, repetition, subcomponent).strip()
        return "" if value == '""' else value

    def first_value(self, path: str) -> str:
        """The first value at a path, read: as `select` and `read` do, without a node."""
        if not self.field and path and path[0] not in "./":
            return _first_below(self.source, self.segment, field_step(path))
        return _first_read(self.select(path))

    @property
    def place(self) -> Place:
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
        name, test, rest = segment_step(step)
        found = [s for s in after if s.name == name and (test is None or test.holds(self.source.look(s, test.place)))]
        return _below([Hl7Node(self.source, s) for s in found], rest, ())

    def select(self, path: str) -> list[Hl7Node]:
        """Below a segment: fields, or following segments (`/NTE-4`)."""
        if path in ("", "."):
            return [self]
        if path.startswith("/"):
            return self.followers(path[1:])
        number, test, component, subcomponent = field_step(path)
        source, segment = self.source, self.segment
        if self.field:
            return [Hl7Node(source, segment, self.field, self.repetition, number, component)]
        return [
            Hl7Node(source, segment, number, repetition, component, subcomponent)
            for repetition in range(1, segment.repetitions(number) + 1)
            if test is None or repetition_holds(segment, number, repetition, test)
        ]
