"""Makes HL7 messages of every oddity met in the field out of one right message, and knows each value that it put in.

    vary(random.Random(7))        # Z segments, PRT, unknown segments, escapes, other signs, wrong labels, any line end

A message is a tree of values until it is written: what was put in is counted here, before any reader sees it. Values that are
added hold a mark, `ZQ12X`, that no other value holds.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from tests.builders.cda import PATIENT, build_n1, tiny_pdf
from tests.builders.hl7 import build_mdm, build_oru, to_patient

# A field is repetitions of components of subcomponents.
Field = list[list[list[str]]]
MARK = re.compile(r"ZQ\d+X")
SIGNS = (("|", "^~\\&"), ("|", "^˜\\&"), ("|", "^~\\&#"), ("|", "@!$%"), ("#", "^~\\&"))
LABELS = ("UNICODE UTF-8", "8859/15", "8859/1", "UTF-8", "", "ASCII", "MARTIEN")
ENCODINGS = ("utf-8", "utf-8", "iso8859-15", "cp1252")
ENDS = ("\r", "\n", "\r\n")
ODD_WORDS = ("é", "œuvre", "a|b", "c^d", "e&f", "g~h", "i\\j", "k\nl", "  m  ", "'«»", "0", "Y", "2026", "x" * 90)
ROLES = (
    "RCT^Results Copies To^participation",
    "REPLY^Reply to^participation",
    "XX^Autre^participation",
    "SB^Send by^participation",
)
UNKNOWN = ("ZZZ", "ZBE", "ZFA", "ZA1", "QQQ", "ROL", "CON", "AL1")


@dataclass
class Segment:
    """One segment: its name and its fields, counted from 1 (MSH from 3)."""

    name: str
    fields: list[Field]

    def leaves(self, rank: int) -> Iterator[tuple[str, str]]:
        """Place (`PID-3(2).4.1`) and value of everything that is not empty."""
        first = 3 if self.name == "MSH" else 1
        place = f"{self.name}[{rank}]"
        for number, repetitions in enumerate(self.fields, first):
            for r, components in enumerate(repetitions, 1):
                for c, subcomponents in enumerate(components, 1):
                    for s, value in enumerate(subcomponents, 1):
                        if value.strip():
                            yield f"{place}-{number}({r}).{c}.{s}", value


@dataclass
class Varied:
    """A message with what was put in it. `marks`: mark → where it stands."""

    content: bytes
    leaves: list[tuple[str, str]]
    marks: dict[str, str] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _bases() -> tuple[bytes, ...]:
    small = build_n1(pdf=tiny_pdf())
    patient = to_patient(address=f"{PATIENT.ins}@patient.formation.mssante.fr")
    both = {"DESTMSSANTEPAT": "Y", "DESTDMP": "Y", "ACK_RECEPTION": "Y"}
    return (
        build_mdm(small, reply="secretariat@aphp.formation.mssante.fr"),
        build_oru(small),
        build_mdm(small, recipients=(patient,), flags=both | {"DESTMSSANTEPS": "N"}, final=True),
        build_mdm(small, bodies={"CORPSMAIL_PS": "Cher confrère"}, add=("ZBE|1|20261120||INSERT||||221",)),
    )


@lru_cache(maxsize=8)
def _parsed(content: bytes) -> tuple[Segment, ...]:
    return tuple(_segment(line) for line in content.decode().split("\r") if line)


def _segment(line: str) -> Segment:
    name, *fields = line.split("|")
    if name == "MSH":
        fields = fields[1:]
    return Segment(name, [[[c.split("&") for c in r.split("^")] for r in one.split("~")] for one in fields])


def vary(dice: random.Random) -> Varied:
    """One varied message; the same dice, the same bytes."""
    base = _parsed(dice.choice(_bases()))
    segments = [Segment(s.name, [[[list(c) for c in r] for r in f] for f in s.fields]) for s in base]
    marks = _Marks(dice)
    for _ in range(dice.randint(0, 6)):
        dice.choice((_add_segment, _add_participation, _add_field, _add_part, _add_part, _fill_empty))(segments, marks)
    separators, label = dice.choice(SIGNS), dice.choice(LABELS)
    _set(segments[0], 18, label)
    _set(segments[0], 10, f"V{dice.randrange(1 << 40)}")
    content = _write(segments, separators, dice.choice(ENDS), dice.choice(ENCODINGS))
    leaves = [leaf for rank, segment in enumerate(segments, 1) for leaf in segment.leaves(rank)]
    return Varied(content, leaves, {mark: place for place, value in leaves for mark in MARK.findall(value)})


class _Marks:
    """Values that nothing else holds."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self._next = 0

    def value(self) -> str:
        self._next += 1
        return f"ZQ{self._next}X{self.dice.choice(ODD_WORDS)}"


def _add_segment(segments: list[Segment], marks: _Marks) -> None:
    at = marks.dice.randint(1, len(segments))
    fields: list[Field] = [[[[marks.value() for _ in range(marks.dice.randint(1, 2))]]] for _ in range(marks.dice.randint(1, 4))]
    segments.insert(at, Segment(marks.dice.choice(UNKNOWN), fields))


def _add_participation(segments: list[Segment], marks: _Marks) -> None:
    """After the last PRT: who it names is invented, and mostly goes nowhere."""
    at = max((n for n, s in enumerate(segments) if s.name == "PRT"), default=len(segments) - 1) + 1
    line = f"PRT||UC||{marks.dice.choice(ROLES)}"
    segment = _segment(line)
    _set(segment, 5, f"{marks.value()}".replace("\n", " "), marks.value())
    _set(segment, 8, marks.value())
    segments.insert(at, segment)


def _add_field(segments: list[Segment], marks: _Marks) -> None:
    segment = marks.dice.choice([s for s in segments if s.name != "MSH"])
    segment.fields += [[[[""]]]] * marks.dice.randint(0, 2)
    segment.fields.append([[[marks.value()]]])


def _add_part(segments: list[Segment], marks: _Marks) -> None:
    """A further repetition, component or subcomponent of a field that has something; never of the document's own data."""
    segment = marks.dice.choice([s for s in segments if s.name not in ("MSH", "OBX")])
    filled = [f for f in segment.fields if any(any(part) for r in f for part in r)]
    if not filled:
        return
    repetitions = marks.dice.choice(filled)
    match marks.dice.randint(1, 3):
        case 1:
            repetitions.append([[marks.value()]])
        case 2:
            repetitions[-1].append([marks.value()])
        case _:
            repetitions[-1][-1].append(marks.value())


def _fill_empty(segments: list[Segment], marks: _Marks) -> None:
    empty = [(s, n) for s in segments if s.name not in ("MSH", "OBX") for n, f in enumerate(s.fields) if f == [[[""]]]]
    if empty:
        segment, number = marks.dice.choice(empty)
        segment.fields[number] = [[[marks.value()]]]


def _set(segment: Segment, number: int, *components: str) -> None:
    at = number - (3 if segment.name == "MSH" else 1)
    segment.fields += [[[[""]]] for _ in range(at + 1 - len(segment.fields))]
    segment.fields[at] = [[[component] for component in components]]


def _write(segments: list[Segment], separators: tuple[str, str], end: str, encoding: str) -> bytes:
    field_sign, others = separators
    component, repetition, escape, subcomponent = others[:4]
    table = {field_sign: "F", component: "S", repetition: "R", escape: "E", subcomponent: "T"}

    def escaped(value: str) -> str:
        if not any(sign in value for sign in (*table, "\n")):
            return value
        text = "".join(f"{escape}{table[sign]}{escape}" if sign in table else sign for sign in value)
        return text.replace("\n", f"{escape}.br{escape}")

    lines = []
    for segment in segments:
        fields = [
            repetition.join(component.join(subcomponent.join(map(escaped, c)) for c in r) for r in one) for one in segment.fields
        ]
        head = f"MSH{field_sign}{others}" if segment.name == "MSH" else segment.name
        lines.append(field_sign.join([head, *fields]) + end)
    text = "".join(lines)
    # `˜` as a sign needs UTF-8; else what an 8-bit set lacks is left out, as old software does.
    return text.encode("utf-8") if "˜" in others else text.encode(encoding, "ignore")
