"""What a file's name says, where a folder declares how its files are named.

    name_pattern = "{patient.birth_name}_{patient.first_given}_{patient.birth_date}_{document.type}_{document.date}.pdf"

No fact holds a sign that the pattern puts after one: a name that could be read in two ways is not read.
What is found joins the side-car under `from_name`, so that the receipt keeps who said what.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping

from adapter.model.traits import TRAITS

_FIELD = re.compile(r"\{([a-z_.]+)\}")
# How Python gives bytes of a name that are no UTF-8.
_NO_LETTER = re.compile("[\ud800-\udfff]")


def pattern_problem(pattern: str, facts: Collection[str] = TRAITS) -> str:
    """Why a pattern cannot be used; empty when it can. `facts`: those that may stand in it."""
    names = _FIELD.findall(pattern)
    unknown = [name for name in names if name not in facts]
    if unknown:
        return f"unknown fact {unknown[0]}: {', '.join(facts)}."
    if len(set(names)) != len(names):
        return "a fact stands twice."
    if pattern and not names:
        return "it names no fact between braces."
    return "two facts need a sign between them." if re.search(r"\}\{", pattern) else ""


class NamePattern:
    """A declared pattern; an empty one reads nothing."""

    def __init__(self, pattern: str) -> None:
        self._names = _FIELD.findall(pattern)
        self._shape = re.compile(_shape_of(pattern)) if self._names else None

    def read(self, name: str) -> dict[str, str]:
        """The facts that a name says; none when it is not of this pattern, and none of those whose bytes are no UTF-8."""
        match = self._shape.fullmatch(name) if self._shape is not None else None
        told = dict(zip(self._names, match.groups(), strict=True)) if match is not None else {}
        return {fact: value for fact, value in told.items() if not _NO_LETTER.search(value)}


def _shape_of(pattern: str) -> str:
    parts = _FIELD.split(pattern)
    signs = "".join(dict.fromkeys(after[0] for after in parts[2::2] if after))
    fact = f"([^{re.escape(signs)}]+)" if signs else "(.+)"
    return re.escape(parts[0]) + "".join(fact + re.escape(after) for after in parts[2::2])


def with_name_facts(side_car: bytes, facts: Mapping[str, str]) -> bytes:
    """The side-car with what the name says; one that is no object stays as it is, to be refused with its own reason."""
    if not facts:
        return side_car
    try:
        data = json.loads(side_car.decode("utf-8-sig")) if side_car.strip() else {}
    except (ValueError, RecursionError):
        return side_car
    if not isinstance(data, dict):
        return side_car
    return json.dumps({**data, "from_name": dict(facts)}, ensure_ascii=False).encode()
