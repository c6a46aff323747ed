"""R4's own shape: which elements a type has, how many, of which type, with which codes. A table, no models.

Measured (docs/explanation/adr-0003-fhir-dicts.md): the R4B models cost 11 ms and 48 MB for a letter, this walk 1 ms. The
table is made from those models by `tests/builders/r4_structure.py`, and tests compare both verdicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import pybase64

from adapter.data import mappings_root

# Required lists that the table lacks, since its source cuts them short or knows no symbols.
_MORE_CODES = {
    ("Composition", "confidentiality"): "U L M N R V",
    ("Encounter", "status"): "planned arrived triaged in-progress onleave finished cancelled entered-in-error unknown",
    ("Observation", "status"): "registered preliminary final amended corrected cancelled entered-in-error unknown",
    ("DetectedIssue", "status"): "registered preliminary final amended corrected cancelled entered-in-error unknown",
    ("DiagnosticReport", "status"): "registered partial preliminary final amended corrected appended cancelled entered-in-error "
    "unknown",
    ("Task", "status"): "draft requested received accepted rejected ready cancelled in-progress on-hold failed completed "
    "entered-in-error",
    ("Quantity", "comparator"): "< <= >= >",
    (
        "TimingRepeat",
        "when",
    ): "MORN MORN.early MORN.late NOON AFT AFT.early AFT.late EVE EVE.early EVE.late NIGHT PHS HS WAKE C "
    "CM CD CV AC ACM ACD ACV PC PCM PCD PCV",
    ("Patient", "gender"): "male female unknown",  # FR Core forbids `other`
}


@dataclass(frozen=True, slots=True)
class Element:
    """What the table says of one element. `is_plain`: a primitive of any value of its type."""

    kind: str
    repeats: bool
    mandatory: bool
    choice: str
    codes: frozenset[str]
    targets: frozenset[str]
    is_primitive: bool
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """One type: its elements by name, those that must be there, and the choices of which one must."""

    elements: Mapping[str, Element]
    mandatory: tuple[str, ...]
    choices: frozenset[str]
    mandatory_choices: frozenset[str]


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, str]]:
    path = mappings_root() / "fhir" / "r4-structure.json"
    table: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return table


@lru_cache(maxsize=1024)
def shape_of(kind: str) -> Shape | None:
    """The shape of a type, None when R4 has none of that name."""
    raw = _table().get(kind)
    if raw is None:
        return None
    elements, must = {}, set()
    for name, line in raw.items():
        type_name, flags, choice, codes, targets = (*line.split(";"), "", "", "", "")[:5]
        allowed = _MORE_CODES.get((kind, name), "").split() or [code for code in codes.split(",") if code]
        if "?" in flags:
            must.add(choice)
        is_primitive = type_name in PRIMITIVES
        elements[name] = Element(
            kind=type_name,
            repeats="*" in flags,
            mandatory="!" in flags,
            choice=choice,
            codes=frozenset(allowed),
            targets=frozenset(t for t in targets.split(",") if t),
            is_primitive=is_primitive,
            is_plain=is_primitive and not allowed and type_name != "xhtml",
        )
    mandatory = tuple(name for name, element in elements.items() if element.mandatory)
    choices = frozenset(element.choice for element in elements.values() if element.choice)
    return Shape(elements, mandatory, choices, frozenset(must))


def is_resource(kind: str) -> bool:
    """True for a resource type: those have an id of type `id`."""
    return _table().get(kind, {}).get("id") == "id"


# -- primitives --------------------------------------------------------------------------------------------------------------

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_TIME = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
_ZONE = r"(Z|[+-]((0\d|1[0-3]):[0-5]\d|14:00))"
_MOMENT = re.compile(rf"(\d{{4}}-\d{{2}}-\d{{2}})T{_TIME}{_ZONE}")
_PATTERNS = {
    "code": re.compile(r"[^\s]+( [^\s]+)*"),
    "id": re.compile(r"[A-Za-z0-9.-]{1,64}"),
    "uri": re.compile(r"\S+"),
    "url": re.compile(r"\S+"),
    "canonical": re.compile(r"\S+"),
    "oid": re.compile(r"urn:oid:[0-2](\.(0|[1-9]\d*))+"),
    "uuid": re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "time": re.compile(_TIME),
}
_MOST_REMEMBERED = 4096
_LEAST = {"integer": -(2**31), "unsignedInt": 0, "positiveInt": 1}
_WORDS = frozenset({"string", "markdown", "xhtml"})
_TEXTS = frozenset({*_PATTERNS, "date", "dateTime", "instant"})
PRIMITIVES = frozenset({*_PATTERNS, *_LEAST, *_WORDS, "boolean", "decimal", "date", "dateTime", "instant", "base64Binary"})


def is_valid(kind: str, value: object) -> bool:
    """True when a JSON value is one of a primitive type."""
    return test_of(kind)(value)


def test_of(kind: str) -> Callable[[object], bool]:
    """What tells whether a JSON value is one of a primitive type."""
    return _TESTS.get(kind, lambda _: False)


def _is_words(value: object) -> bool:
    return type(value) is str and value != "" and not value.isspace()


def _is_encoded(value: object) -> bool:
    return type(value) is str and _is_base64(value)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _text_test(kind: str) -> Callable[[object], bool]:
    """Most codes, dates and addresses come again and again: what was found right is looked at once."""
    right: set[str] = set()

    def is_right(value: object) -> bool:
        if type(value) is not str:
            return False
        if value in right:
            return True
        if not _is_text(kind, value):
            return False
        if len(right) >= _MOST_REMEMBERED:
            right.clear()
        right.add(value)
        return True

    return is_right


def _integer_test(least: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value < 2**31


_TESTS: Mapping[str, Callable[[object], bool]] = {
    **{kind: _text_test(kind) for kind in _TEXTS},
    **{kind: _integer_test(least) for kind, least in _LEAST.items()},
    **dict.fromkeys(_WORDS, _is_words),
    "base64Binary": _is_encoded,
    "boolean": _is_truth,
    "decimal": _is_number,
}


def _is_text(kind: str, value: str) -> bool:
    if kind in ("date", "dateTime", "instant"):
        return _is_date(kind, value)
    return _PATTERNS[kind].fullmatch(value) is not None


def _is_date(kind: str, value: str) -> bool:
    if "T" not in value:
        return kind != "instant" and _DATE.fullmatch(value) is not None and (len(value) < 10 or _is_day(value))
    moment = _MOMENT.fullmatch(value) if kind != "date" else None
    return moment is not None and _is_day(moment[1])


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


_BROKEN_PADDING = re.compile(r"=\s+=")


def _is_base64(value: str) -> bool:
    """Figures, white space between them, padding at the end."""
    try:
        return bool(pybase64.b64decode(value, validate=True))
    except ValueError:  # white space between groups of figures is allowed, and rare
        packed = "".join(value.split())
    try:
        return bool(pybase64.b64decode(packed, validate=True)) and _BROKEN_PADDING.search(value) is None
    except ValueError:
        return False
