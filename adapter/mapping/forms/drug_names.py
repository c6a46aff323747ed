"""Which drug names a treatment text holds, against a dated list: exact names, ATC codes, near spellings. No verdict on care.

Law: what is not recognised word for word is unknown, never harmless. A near spelling may raise an alert; it never clears one:
`lantis` is unknown, although `lantus` is on the list. A negation (« metformine arrêtée ») is not read: the name stands there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from adapter.data import mappings_root, read_table
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
class _Spelling:
    """An alerting name as it is written or as it sounds, with its letters as bits. `most`: slips that are still the name."""

    text: str
    letters: int
    most: int
    line: DrugName


@dataclass(frozen=True)
class DrugNames:
    """A list of names and its date. `written` and `heard`: the alerting names by the length of their spelling."""

    revision: str
    by_name: Mapping[str, DrugName]
    written: Mapping[int, tuple[_Spelling, ...]]
    heard: Mapping[int, tuple[_Spelling, ...]]


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
        table = read_table(mappings_root() / where)
        rows = [DrugName(**row) for row in table.rows]
    except (OSError, ValueError, TypeError) as error:
        raise MappingError("mapping.drug-names", f"{type(error).__name__} while reading", where=where) from error
    if any(row.kind not in _KINDS for row in rows):
        raise MappingError("mapping.drug-names", "a line is of an unknown kind", where=where)
    alerting = [row for row in rows if row.kind == "metformine" and len(row.name) >= SHORTEST_NEAR]
    written = _by_length(_Spelling(row.name, _letters(row.name), 2 if len(row.name) >= LONG_NAME else 1, row) for row in alerting)
    heard = _by_length(_Spelling(sound := sound_of(row.name), _letters(sound), 1, row) for row in alerting)
    return DrugNames(table.version, {row.name.lower(): row for row in rows}, written, heard)


def _by_length(spellings: Iterable[_Spelling]) -> dict[int, tuple[_Spelling, ...]]:
    found: dict[int, tuple[_Spelling, ...]] = {}
    for spelling in spellings:
        found[len(spelling.text)] = (*found.get(len(spelling.text), ()), spelling)
    return found


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
    near = min((*_near(word, names.written), *_near(sound_of(word), names.heard)), default=None)
    return names.by_name[near[1]] if near else None


def _near(text: str, spellings: Mapping[int, tuple[_Spelling, ...]]) -> Iterator[tuple[int, str]]:
    """Slips to each spelling that is near enough, and its name. Each letter that only one of the two has is one slip at least."""
    letters, length = _letters(text), len(text)
    for other in range(length - 2, length + 3):
        for spelling in spellings.get(other, ()):
            if abs(length - other) > spelling.most or (letters & ~spelling.letters).bit_count() > spelling.most:
                continue
            if (spelling.letters & ~letters).bit_count() <= spelling.most:
                slips = distance(text, spelling.text)
                if slips <= spelling.most:
                    yield slips, spelling.line.name


def _letters(text: str) -> int:
    """Which letters stand in a text, one bit each."""
    bits = 0
    for letter in text:
        bits |= 1 << (ord(letter) & 127)
    return bits


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
    return next((spelling.line for spelling in names.heard.get(len(sound), ()) if spelling.text == sound), None)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
