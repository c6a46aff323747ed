"""Reads HL7 v2 messages lazily: lines are cut at once, fields when asked for, and the original bytes are never rewritten.

Law: `read_message(x).encode() == x` for every x that reads; no segment, field or byte is dropped because it is unknown.
Sources: HL7 v2.6 ch. 2 (delimiters, escapes, MSH-18 table 0211); CI-SIS volet 2.1 §MSH; `specs/hl7v2-pfi` gotchas: LF files,
MSH-2 with U+02DC, wrong MSH-18 labels. All character sets read here hold ASCII unchanged, so cutting is done on bytes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from adapter.errors import InputError
from adapter.formats.detect import is_hl7v2
from adapter.formats.hl7v2_charset import choose_codec
from adapter.formats.hl7v2_cutting import SHORT_LINE, count_sign, cut_lines, find_sign, nth_span, spans_between
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity

# Bounded: a repeated group keeps a mark for each turn, and a hostile prefix has millions.
_PREFIX = re.compile(rb"(?:\xef\xbb\xbf|[\x0b \t\r\n]){0,64}")
_NAME = re.compile(rb"[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True)
class Separators:
    """The signs that cut a message, and the same as bytes of its character set."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    codec: str

    @property
    def as_bytes(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Field, repetition, component, subcomponent."""
        return _encoded(self.field, self.repetition, self.component, self.subcomponent, self.codec)


@lru_cache(maxsize=256)
def _encoded(field: str, repetition: str, component: str, subcomponent: str, codec: str) -> tuple[bytes, bytes, bytes, bytes]:
    return field.encode(codec), repetition.encode(codec), component.encode(codec), subcomponent.encode(codec)


STANDARD = Separators("|", "^", "~", "\\", "&", "utf-8")


class Message(Confidential):
    """A message: its lines as received, its separators, its codec, and what was said while reading it."""

    def __init__(
        self, prefix: bytes, lines: list[bytes], separators: Separators, charset: str, findings: tuple[Finding, ...]
    ) -> None:
        self.prefix = prefix
        self.lines = lines
        self.separators = separators
        self.codec = separators.codec
        self.charset = charset
        self.findings = findings
        self._header: Segment | None = None
        self._segments: tuple[Segment, ...] | None = None
        self._by_name: dict[str, tuple[Segment, ...]] | None = None
        self._places: dict[int, str] | None = None

    def encode(self) -> bytes:
        """The very bytes that were read."""
        return self.prefix + b"".join(self.lines)

    def segments(self, name: str = "") -> tuple[Segment, ...]:
        """All segments in order, or those of one name. Blank lines are no segments."""
        if self._segments is None:
            lines = [line for line in self.lines if not line.isspace()]
            self._segments = tuple([Segment(self, index, line) for index, line in enumerate(lines)])
        if not name:
            return self._segments
        if self._by_name is None:
            by_name: dict[str, list[Segment]] = {}
            for segment in self._segments:
                by_name.setdefault(segment.name, []).append(segment)
            self._by_name = {key: tuple(segments) for key, segments in by_name.items()}
        return self._by_name.get(name, ())

    @property
    def header(self) -> Segment:
        """MSH, without cutting the other lines."""
        if self._header is None:
            self._header = Segment(self, 0, self.lines[0])
        return self._header

    def first(self, name: str) -> Segment | None:
        """The first segment of a name."""
        return next(iter(self.segments(name)), None)

    def place_of(self, segment: Segment) -> str:
        """A segment's name, with its rank among its namesakes when there are several."""
        if self._places is None:
            totals = Counter(s.name for s in self.segments())
            seen: Counter[str] = Counter()
            self._places = {}
            for s in self.segments():
                seen[s.name] += 1
                self._places[s.index] = s.name if totals[s.name] == 1 else f"{s.name}[{seen[s.name]}]"
        return self._places[segment.index] if segment.name else f"line[{segment.index + 1}]"

    def value(self, name: str, field: int, component: int = 1, subcomponent: int = 1) -> str:
        """A value of the first segment of a name; empty when there is none."""
        segment = self.first(name)
        return segment.value(field, component, subcomponent=subcomponent) if segment else ""


class Segment(Confidential):
    """One line. `name` is empty when the line is no segment. Fields are counted as in the norm, MSH-1 being the separator."""

    __slots__ = ("_cut_to", "_fields", "_signs", "_texts", "_turns", "end", "index", "line", "message", "name")

    def __init__(self, message: Message, index: int, line: bytes) -> None:
        self.message = message
        self.index = index
        self.line = line
        end = len(line)
        while end and line[end - 1] in b"\r\n":
            end -= 1
        self.end = end
        self.name = _name_of(line[:4] if end > 3 else line[:end], message.separators.field)
        self._fields: list[tuple[int, int]] = []
        self._cut_to = 0
        self._texts: list[str] | None = None
        self._turns: dict[tuple[int, int], tuple[int, int]] = {}
        self._signs: dict[bytes, bool] = {}

    @property
    def place(self) -> str:
        """Where this is: `PID`, or `OBX[3]` when there are several; `line[7]` for what is no segment."""
        return self.message.place_of(self)

    @property
    def field_count(self) -> int:
        """The number of the last field."""
        self._cut_fields(len(self.line) + 1)
        return len(self._fields) - (0 if self.name == "MSH" else 1)

    def field(self, field: int) -> bytes:
        """A whole field as received; empty when absent."""
        start, end = self.field_span(field)
        return self.line[start:end]

    def text(self, field: int) -> str:
        """A whole field as text, separators and escapes untouched."""
        return self.field(field).decode(self.message.codec)

    def data(self, field: int, component: int = 1, repetition: int = 1, subcomponent: int = 1) -> bytes:
        """One value as received, escapes untouched: for Base64 payloads, cut out once."""
        start, end = self.span(field, component, repetition, subcomponent)
        return self.line[start:end]

    def value(self, field: int, component: int = 1, repetition: int = 1, subcomponent: int = 1) -> str:
        """One value as text, escapes decoded; empty when absent."""
        texts = self._texts
        if texts is None:
            texts = self.texts()
        if not texts:
            return self._long_value(field, component, repetition, subcomponent)
        text = texts[field] if 0 < field < len(texts) else ""
        if not text or text.isalnum():  # by far the most frequent: nothing in it can be a sign
            return text if component <= 1 and repetition <= 1 and subcomponent <= 1 else ""
        return self._part(text, field, component, repetition, subcomponent)

    def _long_value(self, field: int, component: int, repetition: int, subcomponent: int) -> str:
        return decode_escapes(self.data(field, component, repetition, subcomponent).decode(self.message.codec), self.message)

    def texts(self) -> list[str]:
        """The fields of a short line as text, by number, escapes untouched; empty for a long line, which is cut by spans."""
        if self._texts is None:
            message = self.message
            if self.end <= SHORT_LINE:
                self._texts = self.line[: self.end].decode(message.codec).split(message.separators.field)
                if self.name == "MSH":
                    self._texts.insert(1, self.line[3:4].decode(message.codec))
            else:
                self._texts = []
        return self._texts

    def _part(self, text: str, field: int, component: int, repetition: int, subcomponent: int) -> str:
        signs = self.message.separators
        if field <= 2 and self._is_delimiters(field):
            return decode_escapes(text, self.message) if repetition == component == subcomponent == 1 else ""
        for sign, number in ((signs.repetition, repetition), (signs.component, component), (signs.subcomponent, subcomponent)):
            if sign in text:
                parts = text.split(sign)
                text = parts[max(number, 1) - 1] if number <= len(parts) else ""
            elif number > 1:
                return ""
        return decode_escapes(text, self.message) if signs.escape in text else text

    def repetitions(self, field: int) -> int:
        """How many repetitions a field has (0 when it is empty)."""
        if texts := self.texts():
            text = texts[field] if 0 < field < len(texts) else ""
            return (1 if self._is_delimiters(field) else text.count(self.message.separators.repetition) + 1) if text else 0
        start, end = self.field_span(field)
        if start == end:
            return 0
        if self._is_delimiters(field):
            return 1
        sign = self.message.separators.as_bytes[1]
        return self.line.count(sign, start, end) + 1 if self._has(sign) else 1

    def count(self, sign: bytes) -> int:
        """How often a sign stands in the line."""
        return count_sign(self.line, sign) if self._has(sign) else 0

    def leaves(self) -> Iterator[tuple[int, int, int, int]]:
        """(field, repetition, component, subcomponent) of every value that is not empty."""
        return (place for place, _ in self.leaf_spans())

    def leaf_spans(self) -> Iterator[tuple[tuple[int, int, int, int], tuple[int, int]]]:
        """The leaves, and where each lies in `line`: to find them again one by one would take the square of the time."""
        _, repetition_sign, component_sign, subcomponent_sign = self.message.separators.as_bytes
        for field in range(1, self.field_count + 1):
            if self._is_delimiters(field):
                yield (field, 1, 1, 1), self.field_span(field)
                continue
            start, end = self.field_span(field)
            if start == end:
                continue
            for r, repetition in enumerate(self._parts(repetition_sign, start, end), 1):
                for c, component in enumerate(self._parts(component_sign, *repetition), 1):
                    for s, (first, last) in enumerate(self._parts(subcomponent_sign, *component), 1):
                        if first < last:
                            yield (field, r, c, s), (first, last)

    def span(self, field: int, component: int = 1, repetition: int = 1, subcomponent: int = 1) -> tuple[int, int]:
        """Where a value lies in `line`; an empty span when absent."""
        start, end = self.field_span(field)
        if start == end or (field <= 2 and self._is_delimiters(field)):
            return (start, end) if repetition == component == subcomponent == 1 else (0, 0)
        _, _, component_sign, subcomponent_sign = self.message.separators.as_bytes
        start, end = self._turn(field, repetition, start, end)
        for sign, number in ((component_sign, component), (subcomponent_sign, subcomponent)):
            start, end = self._part_of(sign, number, start, end)
        return start, end

    def _parts(self, sign: bytes, start: int, end: int) -> list[tuple[int, int]]:
        return spans_between(self.line, sign, start, end) if self._has(sign) else [(start, end)]

    def _has(self, sign: bytes) -> bool:
        """Whether a sign stands anywhere in the line: a file has few, and each search goes through all of it."""
        known = self._signs.get(sign)
        if known is None:
            known = self._signs[sign] = find_sign(self.line, sign, 0, self.end) >= 0
        return known

    def _turn(self, field: int, repetition: int, start: int, end: int) -> tuple[int, int]:
        """One repetition of a field, looked for once: a file has its end far away."""
        found = self._turns.get((field, repetition))
        if found is None:
            sign = self.message.separators.as_bytes[1]
            found = self._turns[field, repetition] = self._part_of(sign, repetition, start, end)
        return found

    def _part_of(self, sign: bytes, number: int, start: int, end: int) -> tuple[int, int]:
        if not self._has(sign):
            return (start, end) if number == 1 else (0, 0)
        return nth_span(self.line, sign, number, start, end)

    def _is_delimiters(self, field: int) -> bool:
        return self.name == "MSH" and field <= 2

    def _cut_fields(self, number: int) -> None:
        """Cut as many fields as are asked for, once: a hostile line has millions that nobody looks at."""
        sign = self.message.separators.as_bytes[0]
        line, end, fields, width, start = self.line, self.end, self._fields, len(sign), self._cut_to
        while start <= end and len(fields) <= number:
            at = line.find(sign, start, end)
            if at < 0:
                fields.append((start, end))
                start = end + 1
            else:
                fields.append((start, at))
                start = at + width
        self._cut_to = start

    def field_span(self, field: int) -> tuple[int, int]:
        """Where a whole field lies in `line`; `(0, 0)` when absent."""
        if self.name == "MSH":
            if field == 1:
                return 3, 4
            field -= 1
        if field >= len(self._fields):
            self._cut_fields(field)
        return self._fields[field] if 0 < field < len(self._fields) else (0, 0)


def read_message(content: bytes, default_charset: str = "utf-8") -> Message:
    """Cut a message into lines and read its delimiters and character set.

    Raises InputError `hl7.not-hl7`, or `hl7.too-many-parts` when it has more lines than any message.
    """
    start = _PREFIX.match(content).end()  # type: ignore[union-attr]  # the pattern also matches nothing
    if not is_hl7v2(content[start : start + 4]):
        raise InputError("hl7.not-hl7", "The content does not begin with an MSH segment.", where="MSH", remedy="Send HL7 v2 ER7.")
    body = content[start:] if start else content
    lines, has_line_feeds = cut_lines(body)
    findings: tuple[Finding, ...] = ()
    if has_line_feeds:
        findings = (_warning("hl7.line-feeds", "Segments end with LF instead of CR.", "MSH", ""),)
    fields = lines[0].rstrip(b"\r\n").split(body[3:4], 18)
    label = _label(fields[17]) if len(fields) > 17 else ""
    odd = [] if body.isascii() else [line for line in lines if not line.isascii()]
    codec, said = choose_codec(label, default_charset, odd)
    delimiters = fields[1] if len(fields) > 1 else b""
    separators = _separators(body[3:4].decode("ascii"), delimiters, codec)
    if separators.field + _signs(separators) != body[3:4].decode("ascii") + delimiters.decode(codec)[:4]:
        findings += (_warning("hl7.separators", "MSH-2 is not four distinct signs: the usual ones are taken.", "MSH-2", "102"),)
    return Message(content[:start], lines, separators, label, findings + said)


@lru_cache(maxsize=1024)
def _name_of(head: bytes, field_sign: str) -> str:
    """The name of a segment, from the beginning of its line; empty when it is none."""
    named = _NAME.match(head) is not None and (len(head) == 3 or head[3:4] == field_sign.encode())
    return head[:3].decode("ascii") if named else ""


@lru_cache(maxsize=256)
def _label(raw: bytes) -> str:
    """MSH-18, first repetition, whatever the delimiters: labels hold letters, digits, blanks, `/`, `-`, `_`, `.` only."""
    found = re.match(rb"[A-Za-z0-9 /_.-]*", raw)
    return found.group().decode("ascii").strip() if found else ""


@lru_cache(maxsize=256)
def _separators(field: str, delimiters: bytes, codec: str) -> Separators:
    signs = delimiters.decode(codec)[:4]
    usable = len(signs) == 4 and len({field, *signs}) == 5 and not any(s.isalnum() or s.isspace() for s in signs)
    component, repetition, escape, subcomponent = tuple(signs if usable else "^~\\&")
    return Separators(field, component, repetition, escape, subcomponent, codec)


def _signs(separators: Separators) -> str:
    return separators.component + separators.repetition + separators.escape + separators.subcomponent


def _warning(code: str, text: str, location: str, hl7_code: str) -> Finding:
    return Finding(Severity.WARNING, code, text, location, hl7_code=hl7_code)


def decode_escapes(text: str, message: Message) -> str:
    r"""Escapes to signs: `\F\ \S\ \T\ \R\ \E\`, hexadecimal, `\.br\`, `\.sp\`; highlighting is dropped, the unknown stays."""
    escape = message.separators.escape
    if escape not in text:
        return text
    return _escape_sequence(escape).sub(lambda found: _escaped(found, message), text)


@lru_cache(maxsize=16)
def _escape_sequence(escape: str) -> re.Pattern[str]:
    """What we decode between two escape signs; anything else is text, and its second sign may begin the next one."""
    sign = re.escape(escape)
    return re.compile(rf"{sign}([FSTREHN]|\.br|\.sp|X(?:[0-9A-Fa-f]{{2}})++){sign}")


def _escaped(found: re.Match[str], message: Message) -> str:
    body, signs = found[1], message.separators
    match body:
        case "F":
            return signs.field
        case "S":
            return signs.component
        case "T":
            return signs.subcomponent
        case "R":
            return signs.repetition
        case "E":
            return signs.escape
        case "H" | "N":
            return ""
        case ".br" | ".sp":
            return "\n"
    try:
        return bytes.fromhex(body[1:]).decode(message.codec)
    except UnicodeDecodeError:
        return found[0]


def encode_escapes(text: str) -> str:
    """Text made safe for a field of a message with the standard delimiters."""
    escaped = text.replace("\\", "\\E\\")
    for sign, letter in (("|", "F"), ("^", "S"), ("&", "T"), ("~", "R")):
        escaped = escaped.replace(sign, f"\\{letter}\\")
    escaped = escaped.replace("\r\n", "\\.br\\").replace("\n", "\\.br\\")
    return re.sub(r"[\x00-\x1f]", lambda found: f"\\X{ord(found.group()):02X}\\", escaped)
