"""What became of every value of an HL7 v2 message: read, left aside by a rule, or listed, in one pass over its segments."""

from __future__ import annotations

from collections.abc import Mapping

from adapter.formats.hl7v2 import Message, Segment, decode_escapes
from adapter.mapping.account import Account
from adapter.mapping.hl7.paths import LeftAside
from adapter.model.effects import UnreadNode

# Segment index, field, repetition, component, subcomponent; 0 for the last ones: all that is below.
Place = tuple[int, int, int, int, int]
# Field, repetition, component, subcomponent.
_Leaf = tuple[int, int, int, int]
# Repetition, component, subcomponent within a field.
Part = tuple[int, int, int]
_EXCERPT = 80
# A report that a person can read; what exceeds it is counted.
_MOST_LISTED = 2000
_ONLY: Part = (1, 1, 1)
_BLANKS = " \t\n\r\x0b\x0c"
_NO_VALUES = frozenset({"", '""'})
_NOWHERE: Mapping[int, str] = {}
_UNMARKED: Mapping[int, set[Part]] = {}


class Counting:
    """One pass over a message: fields of one fate are counted whole, the others leaf by leaf."""

    def __init__(
        self,
        message: Message,
        plan: LeftAside,
        searched: dict[Place, str],
        read: dict[int, dict[int, set[Part]]],
        *,
        wide: bool,
    ) -> None:
        self._message = message
        self._plan = plan
        self._searched = searched
        self._marks = read
        self._wide = wide
        self._left: list[UnreadNode] = []
        self._more = 0
        self._read = 0
        self._ignored: dict[str, int] = {}

    def account(self) -> Account:
        """What was counted."""
        left = tuple(self._left)
        return Account((*left, UnreadNode("…", f"{self._more} more")) if self._more else left, self._read, self._ignored)

    def add(self, segment: Segment) -> None:
        """Count what one segment holds."""
        if not segment.name:
            if 0 in self._marks.get(segment.index, ()):
                self._read += 1
            else:
                self._leave(segment, None, "")
        elif texts := segment.texts():
            self._add_short(segment, texts)
        else:
            for (field, *part), span in segment.leaf_spans():
                if (segment.name != "MSH" or field > 2) and _holds(segment.line, *span):
                    repetition, component, subcomponent = part
                    self._settle(segment, field, [((repetition, component, subcomponent), _beginning(segment, *span))])

    def _add_short(self, segment: Segment, texts: list[str]) -> None:
        signs = self._message.separators
        repetition_sign, component_sign, subcomponent_sign = signs.repetition, signs.component, signs.subcomponent
        whole, parts = self._plan.whole.get(segment.name, _NOWHERE), self._plan.parts.get(segment.name, ())
        marks = self._marks.get(segment.index, _UNMARKED)
        is_mixed = 0 in marks or bool(self._searched)
        first = 3 if segment.name == "MSH" else 1
        for field, text in enumerate(texts):
            if not text or field < first:
                continue
            is_plain = text.isalnum()  # by far the most frequent: one value
            if not is_plain and (repetition_sign in text or component_sign in text or subcomponent_sign in text):
                leaves = _leaves(text, repetition_sign, component_sign, subcomponent_sign)
            elif not is_plain and text.strip(_BLANKS) in _NO_VALUES:
                continue
            elif _ONLY in marks.get(field, ()):
                self._read += 1
                continue
            else:
                leaves = [(_ONLY, text)]
            if is_mixed or field in marks or field in parts:
                self._settle(segment, field, leaves)
            elif pattern := whole.get(field) or whole.get(0):
                self._ignored[pattern] = self._ignored.get(pattern, 0) + len(leaves)
            else:
                for part, value in leaves:
                    self._leave(segment, (field, *part), value)

    def _settle(self, segment: Segment, field: int, leaves: list[tuple[Part, str]]) -> None:
        """Read, left aside, or listed: the parts of one field."""
        fields = self._marks.get(segment.index, {})
        marks, is_all_read = fields.get(field, ()), 0 in fields
        whole = self._plan.whole.get(segment.name, _NOWHERE)
        for part, text in leaves:
            if part in marks or is_all_read or (self._wide and ((*part[:2], 0) in marks or (part[0], 0, 0) in marks)):
                self._read += 1
            elif pattern := self._pattern_of(segment, field, part) or whole.get(field) or whole.get(0):
                self._ignored[pattern] = self._ignored.get(pattern, 0) + 1
            else:
                self._leave(segment, (field, *part), text)

    def _leave(self, segment: Segment, leaf: _Leaf | None, text: str) -> None:
        if len(self._left) < _MOST_LISTED:
            self._left.append(self._node(segment, leaf, text))
        else:
            self._more += 1

    def _pattern_of(self, segment: Segment, field: int, part: Part) -> str:
        """The path under which a part of a field is left aside, or empty."""
        found = self._searched_for(segment.index, field, *part) if self._searched else ""
        return found or self._plan.part(segment, field, part)

    def _searched_for(self, index: int, field: int, repetition: int, component: int, subcomponent: int) -> str:
        places = ((field, repetition, component, subcomponent), (field, repetition, component, 0), (field, repetition, 0, 0))
        for place in (*places, (0, 0, 0, 0)):
            if found := self._searched.get((index, *place)):
                return found
        return ""

    def _node(self, segment: Segment, leaf: _Leaf | None, text: str) -> UnreadNode:
        """A leaf with the beginning of its value."""
        if leaf is None:
            return UnreadNode(segment.place, _beginning(segment, 0, segment.end).strip()[:_EXCERPT])
        if len(text) > _EXCERPT:  # as much of a long value as is taken of one that is never decoded whole
            text = text.encode(self._message.codec)[: _EXCERPT * 4].decode(self._message.codec, "ignore")
        return UnreadNode(path_of(segment, *leaf), decode_escapes(text, self._message)[:_EXCERPT])


def _leaves(text: str, repetition_sign: str, component_sign: str, subcomponent_sign: str) -> list[tuple[Part, str]]:
    """The parts of a field that hold a value."""
    found: list[tuple[Part, str]] = []
    for r, repetition in enumerate(text.split(repetition_sign), 1):
        for c, component in enumerate(repetition.split(component_sign), 1):
            if subcomponent_sign in component:
                values = enumerate(component.split(subcomponent_sign), 1)
                found += [((r, c, s), value) for s, value in values if value.strip(_BLANKS) not in _NO_VALUES]
            elif component and component.strip(_BLANKS) not in _NO_VALUES:
                found.append(((r, c, 1), component))
    return found


def _holds(line: bytes, start: int, end: int) -> bool:
    """True for a span that is neither blank nor null; a file is not copied to know it."""
    beginning = line[start : min(end, start + 64)].strip()
    if end - start > 64 and beginning in (b"", b'""'):
        beginning = line[start:end].strip()
    return beginning not in (b"", b'""')


def _beginning(segment: Segment, start: int, end: int) -> str:
    """Only some bytes of a large value are decoded, cut where a character ends."""
    return segment.line[start : min(end, start + _EXCERPT * 4)].decode(segment.message.codec, "ignore")


def path_of(segment: Segment, field: int = 0, repetition: int = 1, component: int = 0, subcomponent: int = 1) -> str:
    """Where something is, without any value: `PID-3(2).4.2`, `OBX[3]-5.1`."""
    name = segment.place
    if not field:
        return name
    turn = f"({repetition})" if segment.repetitions(field) > 1 else ""
    inner = f".{component}" + (f".{subcomponent}" if subcomponent > 1 else "") if component else ""
    return f"{name}-{field}{turn}{inner}"
