"""Reads the segments of a small message once, and remembers what was taken: what was not is listed leaf by leaf.

As `Hl7Source`, for messages that come by the thousand and hold no document: fields are cut when first asked for, a value taken
leaves its place, and what is still there at the end was read by nobody. No rule engine: PAM messages have one shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from adapter.formats.hl7v2 import Message, decode_escapes
from adapter.model.effects import UnreadNode

# HL7's explicit null: what was told before is erased.
NULL = '""'
_EXCERPT = 80
_Repetition = list[list[str]]
_NONE: list[_Repetition] = []
_TAKEN = [""]


class AdtSegment:
    """One segment, its fields cut when asked for. Made by the hundred: slots, no dataclass."""

    __slots__ = ("_cut", "_fields", "_message", "_shift", "name", "rank")

    def __init__(self, message: Message, name: str, text: str, rank: int) -> None:
        self.name = name
        self.rank = rank
        self._message = message
        self._fields = text.split(message.separators.field)
        self._shift = 1 if name == "MSH" else 0  # MSH-1 is the separator itself
        self._cut: dict[int, list[_Repetition]] = {}

    def field(self, number: int) -> list[_Repetition]:
        """The repetitions of a field: components of subcomponents. None of an absent one."""
        known = self._cut.get(number)
        if known is None:
            at = number - self._shift
            if not 0 < at < len(self._fields) or not self._fields[at]:
                return _NONE
            known = self._cut[number] = self._cut_field(number, self._fields[at])
        return known

    def _cut_field(self, number: int, text: str) -> list[_Repetition]:
        signs = self._message.separators
        if text.isalnum() or (self._shift and number <= 2):  # by far the most frequent
            return [[[text]]]
        within = signs.subcomponent in text
        return [
            [component.split(signs.subcomponent) if within else [component] for component in repetition.split(signs.component)]
            for repetition in text.split(signs.repetition)
        ]

    def count(self, number: int) -> int:
        """How many repetitions a field has."""
        return len(self.field(number))

    def look(self, number: int, component: int = 1, repetition: int = 1, subcomponent: int = 1) -> str:
        """A value, not taken; HL7's null stays as it is."""
        cut = self._cut.get(number) or self.field(number)
        if not cut:
            return ""
        try:
            raw = cut[repetition - 1][component - 1][subcomponent - 1]
        except IndexError:
            return ""
        return self._decoded(raw).strip() if raw else ""

    def take(self, number: int, component: int = 1, repetition: int = 1, subcomponent: int = 1) -> str:
        """A value, taken; empty when it is absent or null."""
        value = self.look(number, component, repetition, subcomponent)
        if not value:
            return ""
        self._cut[number][repetition - 1][component - 1][subcomponent - 1] = ""
        return "" if value == NULL else value

    def take_whole(self, number: int) -> None:
        """Take all of a field: what it says was taken otherwise, or is left aside on purpose."""
        self._cut[number] = []

    def take_component(self, number: int, component: int, repetition: int = 1) -> None:
        """Take all of a component."""
        found = self.field(number)
        if repetition <= len(found) and component <= len(found[repetition - 1]):
            found[repetition - 1][component - 1] = []

    def says(self, number: int) -> bool:
        """True when a field holds anything, be it HL7's null."""
        at = number - self._shift
        return 0 < at < len(self._fields) and bool(self._fields[at].strip())

    def erases(self, number: int) -> bool:
        """True for HL7's null: the field is told, and empty."""
        at = number - self._shift
        return 0 < at < len(self._fields) and self._fields[at].strip() == NULL

    def left(self) -> Iterator[tuple[int, int, int, int, str]]:
        """Field, repetition, component, subcomponent and value of all that nobody took."""
        cut = self._cut
        for number, text in enumerate(self._fields[1:], 1 + self._shift):
            known = cut.get(number)
            if known is None:
                if not text:
                    continue
                known = self.field(number)
            for r, repetition in enumerate(known, 1):
                for c, component in enumerate(repetition, 1):
                    if component == _TAKEN:  # by far the most frequent
                        continue
                    for s, value in enumerate(component, 1):
                        if value and value.strip() and value.strip() != NULL:
                            yield number, r, c, s, self._decoded(value)

    def _decoded(self, raw: str) -> str:
        return decode_escapes(raw, self._message) if self._message.separators.escape in raw else raw


@lru_cache(maxsize=64)
def _values(signs: str) -> re.Pattern[str]:
    """What stands between the signs."""
    return re.compile(f"[^{re.escape(signs)}]+")


class AdtMessage:
    """The segments of a message by name, in order, and its account at the end."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.segments: list[AdtSegment] = []
        self._by_name: dict[str, list[AdtSegment]] = {}
        self._strange: list[str] = []
        self._count = 0
        codec, signs = message.codec, message.separators
        values = _values(signs.field + signs.repetition + signs.component + signs.subcomponent)
        for line in message.lines:
            text = line.decode(codec).rstrip("\r\n")
            if not text.strip():
                continue
            name = text[:3]
            if len(name) < 3 or not name.isalnum() or not name.isupper() or text[3:4] not in ("", message.separators.field):
                self._strange.append(text)
                continue
            twins = self._by_name.setdefault(name, [])
            segment = AdtSegment(message, name, text, len(twins) + 1)
            twins.append(segment)
            self.segments.append(segment)
            start = text.find(signs.field, 4) if name == "MSH" else 3
            found = values.findall(text, max(3, start))
            if '"' in text:
                self._count += sum(1 for value in found if value.strip() and value.strip() != NULL)
            else:
                self._count += len(found) - sum(map(str.isspace, found))

    def all(self, name: str) -> list[AdtSegment]:
        """Segments of one name."""
        return self._by_name.get(name, [])

    def first(self, name: str) -> AdtSegment:
        """The first of a name; an empty one when there is none."""
        found = self._by_name.get(name)
        return found[0] if found else AdtSegment(self.message, name, name, 1)

    def has(self, name: str) -> bool:
        """True when there is such a segment."""
        return name in self._by_name

    @property
    def value_count(self) -> int:
        """How many values the message holds."""
        return self._count + len(self._strange)

    def unread(self, but: frozenset[str] = frozenset()) -> tuple[UnreadNode, ...]:
        """What nobody took, places without values; a line that is no segment is one leaf. `but`: segments accounted for."""
        found = [UnreadNode(f"line[{n}]", text.strip()[:_EXCERPT]) for n, text in enumerate(self._strange, 1)]
        for segment in self.segments:
            if segment.name in but:
                continue
            for number, r, c, s, value in segment.left():
                if segment.name != "MSH" or number > 2:
                    found.append(UnreadNode(self.place(segment, number, r, c, s), value.strip()[:_EXCERPT]))
        return tuple(found)

    def place(self, segment: AdtSegment, number: int, r: int, c: int, s: int) -> str:
        """Where a leaf is, without its value."""
        turn = f"[{segment.rank}]" if len(self._by_name[segment.name]) > 1 else ""
        repeated = f"({r})" if segment.count(number) > 1 else ""
        inner = f".{c}" + (f".{s}" if s > 1 else "")
        return f"{segment.name}{turn}-{number}{repeated}{inner}"
