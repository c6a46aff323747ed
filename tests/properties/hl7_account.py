"""What became of each value of a varied message, decided without the product's own counting.

A value is mapped when it stands in the envelope or in the FHIR document; carried or listed when the unread report names it; left
aside when a rule of `mappings/hl7v2/*.toml` ignores its place, with a reason. Whatever is none of these is unaccounted for.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from adapter.data import mappings_root
from adapter.ledger.rows import write_submission
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.hl7_variety import MARK, Varied

NOW = datetime(2026, 11, 20, tzinfo=UTC)
SPEAKER = Principal("variety", "application", "750712184")
_PLACE = re.compile(r"(?P<name>\w{3})\[\d+\]-(?P<field>\d+)\((?P<repetition>\d+)\)\.(?P<component>\d+)\.(?P<subcomponent>\d+)")


@dataclass
class Fate:
    """Counts by fate; `unaccounted` holds the places, never the values."""

    verdict: str
    counts: Counter[str] = field(default_factory=Counter)
    unaccounted: list[str] = field(default_factory=list)


def fate_of(message: Varied) -> Fate:
    """Take a message as the door and the translation do, and look for each value in what comes out."""
    arrival = Arrival(message.content, "mllp", SPEAKER, NOW)
    inspection = inspect_hl7v2(arrival)
    if inspection.verdict is not Verdict.ACCEPTED:
        # Refused: the whole message is kept, and somebody is told why by a code of the norm.
        errors = [f for f in inspection.findings if f.severity.value == "error"]
        fate = Fate("refused", Counter(kept=len(message.leaves)))
        if not errors or not all(f.hl7_code for f in errors):
            fate.unaccounted.append("refused without a code")
        return fate
    return _looked_for(message, understand_hl7v2(arrival, "receipt"))


def _looked_for(message: Varied, translations: tuple[Translation, ...]) -> Fate:
    fate = Fate("accepted")
    out = _text_of(translations)
    listed = {mark for t in translations for node in t.unread for mark in MARK.findall(node.excerpt)}
    unread = {re.sub(r"\[\d+\]", "", node.path) for t in translations for node in t.unread}
    for place, value in message.leaves:
        marks = MARK.findall(value)
        if marks:
            kind = "listed" if marks[0] in listed else "mapped" if marks[0] in out else "ignored" if _is_ignored(place) else ""
        else:
            kind = _fate_of_plain(place, value, out, unread)
        fate.counts[kind or "unaccounted"] += 1
        if not kind:
            fate.unaccounted.append(place)
    return fate


def _text_of(translations: tuple[Translation, ...]) -> str:
    """Everything that came out: envelope, FHIR document, and the document itself, which travels byte for byte."""
    parts = []
    for translation in translations:
        parts.append(write_submission(translation.submission).decode())
        parts.append(json.dumps(translation.bundle, ensure_ascii=False))
        parts.append(translation.source_document.decode("utf-8", "ignore"))
    return "\n".join(parts)


# Values that come out as something else: a flag becomes a boolean, a date an ISO date, a class a code of its own.
_FLAGS = ("OBX-5", "OBX-3", "NTE-4", "PRT-4")


def _fate_of_plain(place: str, value: str, out: str, unread: set[str]) -> str:
    short = _short(place)
    if _is_ignored(place):
        return "ignored"
    if value.strip() in out or value.strip().capitalize() in out or value.strip().upper() in out:
        return "mapped"
    if short.startswith(_FLAGS):
        return "mapped"
    if _iso(value) and _iso(value) in out:
        return "mapped"
    if value.lstrip("8") in out and len(value) >= 11:
        return "mapped"
    if any(path.startswith(short.partition(".")[0]) for path in unread):
        return "listed"
    return ""


def _iso(value: str) -> str:
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) >= 8 and value[:8].isdigit() else ""


def _short(place: str) -> str:
    found = _PLACE.match(place)
    assert found is not None
    return f"{found['name']}-{found['field']}.{found['component']}.{found['subcomponent']}"


@lru_cache(maxsize=1)
def _ignored_patterns() -> tuple[tuple[str, int, int, int], ...]:
    """(segment, field, component, subcomponent), 0 for all below; tests in brackets only narrow, so they are left out here."""
    found = []
    for path in sorted((mappings_root() / "hl7v2").glob("*.toml")):
        for pattern in tomllib.loads(path.read_text("utf-8")).get("ignore", {}):
            plain = re.sub(r"\[[^\]]*\]", "", pattern)
            name, _, rest = plain.partition("-")
            numbers = [int(n) for n in rest.split(".") if n.isdigit()]
            found.append((name, *[*numbers, 0, 0, 0][:3]))
    return tuple(found)  # type: ignore[arg-type]


def _is_ignored(place: str) -> bool:
    name, _, rest = _short(place).partition("-")
    return _covers(name, tuple(map(int, rest.split("."))))


@lru_cache(maxsize=100_000)
def _covers(segment: str, mine: tuple[int, ...]) -> bool:
    return any(
        name == segment and all(want in (0, have) for want, have in zip(numbers, mine, strict=True))
        for name, *numbers in _ignored_patterns()
    )
