"""Which drug names a treatment text holds, against a dated list: exact names, ATC codes, near spellings. No verdict on care.

Law: what is not recognised word for word is unknown, never harmless. A near spelling may raise an alert; it never clears one:
`lantis` is unknown, although `lantus` is on the list. A negation (« metformine arrêtée ») is not read: the name stands there.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from adapter.data import mappings_root
from adapter.errors import MappingError
from adapter.model.confidential import Confidential

ALERTS = frozenset({"metformine", "code"})
KNOWN = frozenset({"autre", "code-autre"})
_KINDS = ALERTS | KNOWN | {"mot"}
_ATC = re.compile(r"\bA10[A-Z]{0,2}(?:\d{2})?\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_DOUBLED = re.compile(r"(.)\1+")
_SOUNDS = (("ph", "f"), ("th", "t"), ("y", "i"), ("k", "c"))
SHORTEST_NEAR = 5  # a shorter name is only itself: one letter more or less makes too many words
LONGEST_NEAR = 24  # longer than any name with its slips: a hostile text buys no long comparison
LONG_NAME = 10  # from here on, two slips are still the same name


@dataclass(frozen=True)
class DrugName:
    """One line of the list."""

    name: str
    kind: str
    atc: str
    substance: str


@dataclass(frozen=True)
class DrugNames:
    """A list of names and its date."""

    revision: str
    by_name: Mapping[str, DrugName]
    sounds: tuple[tuple[str, DrugName], ...]


@dataclass(frozen=True, repr=False)
class Recognised(Confidential):
    """What a text holds: names that raise the alert (as listed), other treatments known, and whether some word is unknown."""

    alerting: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    has_unknown: bool = False


@lru_cache(maxsize=16)
def load_drug_names(name: str) -> DrugNames:
    """`mappings/forms/<name>.csv`. Raises MappingError when it is not dated, or has a line of an unknown kind."""
    where = f"forms/{name}.csv"
    try:
        lines = (mappings_root() / where).read_text(encoding="utf-8").splitlines()
        revision = next(line.partition("=")[2].strip() for line in lines if line.startswith("# revision ="))
        rows = [DrugName(**row) for row in csv.DictReader(line for line in lines if not line.startswith("#"))]
    except (OSError, ValueError, TypeError, StopIteration) as error:
        raise MappingError("mapping.drug-names", f"{type(error).__name__} while reading", where=where) from error
    if any(row.kind not in _KINDS for row in rows):
        raise MappingError("mapping.drug-names", "a line is of an unknown kind", where=where)
    sounds = tuple((sound_of(row.name), row) for row in rows if row.kind == "metformine" and len(row.name) >= SHORTEST_NEAR)
    return DrugNames(revision, {row.name.lower(): row for row in rows}, sounds)


def recognise(text: str, names: DrugNames) -> Recognised:
    """The names that a treatment text holds."""
    alerting: list[str] = []
    others: list[str] = []
    unknown = False
    for code in _ATC.findall(text):
        line = names.by_name.get(code.lower())
        target = alerting if line and line.kind in ALERTS else others if line and line.kind in KNOWN else None
        if target is None:
            unknown = True
        else:
            target.append(code.upper())
    words = _words(_ATC.sub(" ", text))
    joined = _pairs(words, names)
    for word in [*words, *joined]:
        line = names.by_name.get(word) or nearest(word, names)
        if line and line.kind in ALERTS:
            alerting.append(line.name)
        elif line and line.kind in KNOWN:
            others.append(line.name)
        elif line is None and len(word) > 1:
            unknown = True
    return Recognised(_once(alerting), _once(others), unknown)


def named_in_prose(texts: Iterable[str], names: DrugNames) -> tuple[str, ...]:
    """The alerting names that stand in texts which are not about treatments: other words there mean nothing."""
    return _once(name for text in texts for name in recognise(text, names).alerting)


def nearest(word: str, names: DrugNames) -> DrugName | None:
    """The alerting name that a misspelt word is near to, or None. A word that the list knows is only itself."""
    if word in names.by_name or not SHORTEST_NEAR <= len(word) <= LONGEST_NEAR:
        return None
    sound = sound_of(word)
    near = [(slips, line.name) for known, line in names.sounds if (slips := _slips(word, sound, known, line)) is not None]
    return names.by_name[min(near)[1]] if near else None


def _slips(word: str, sound: str, known_sound: str, line: DrugName) -> int | None:
    """Slips as written or as heard, or None when they are too many: two as written in a long name, one otherwise."""
    allowed = 2 if len(line.name) >= LONG_NAME else 1
    found = [
        slips
        for first, second, most in ((word, line.name, allowed), (sound, known_sound, 1))
        if _may_be_within(first, second, most) and (slips := distance(first, second)) <= most
    ]
    return min(found, default=None)


def _may_be_within(first: str, second: str, most: int) -> bool:
    """A cheap bound: each letter too many, and each letter that the other word has not, is one slip at least."""
    if abs(len(first) - len(second)) > most:
        return False
    mine, other = Counter(first), Counter(second)
    return (mine - other).total() <= most and (other - mine).total() <= most


def sound_of(word: str) -> str:
    """A word as it sounds: `Glucophage`, `glucofage` and `gluccophage` are one."""
    for written, heard in _SOUNDS:
        word = word.replace(written, heard)
    return _DOUBLED.sub(r"\1", word)


def distance(first: str, second: str) -> int:
    """Slips between two words: a letter more, less, another, or two exchanged (optimal string alignment)."""
    if not first or not second:
        return len(first) + len(second)
    rows = [list(range(len(second) + 1))]
    for i, letter in enumerate(first, start=1):
        row = [i]
        for j, other in enumerate(second, start=1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def _words(text: str) -> list[str]:
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return _WORD.findall(bare)


def _pairs(words: list[str], names: DrugNames) -> list[str]:
    """Two words that together are one alerting name: `gluco phage`, `met-formine`."""
    joined = [first + second for first, second in pairwise(words)]
    return [pair for pair in joined if (line := names.by_name.get(pair) or _same_sound(pair, names)) and line.kind in ALERTS]


def _same_sound(word: str, names: DrugNames) -> DrugName | None:
    sound = sound_of(word)
    return next((line for known, line in names.sounds if known == sound), None)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
