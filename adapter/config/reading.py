"""Turns TOML tables into the settings' dataclasses, collecting every problem instead of stopping at the first.

A value that cannot be read is replaced by a harmless one of its type, so that the rest is still checked; the whole
is refused afterwards because a problem was noted.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from adapter.config.settings import Secret

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One wrong setting: its dotted place, what is wrong, what to do."""

    place: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.place or 'file'}: {self.text}{remedy}"


class TableReader:
    """Reads one file's tables; `problems` grows as it goes. `base` is the folder that relative paths start from."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.problems: list[Problem] = []

    def note(self, place: str, text: str, remedy: str = "") -> None:
        """Keep a problem."""
        self.problems.append(Problem(place, text, remedy))

    def read(self, kind: type[T], table: Mapping[str, Any], place: str = "") -> T:
        """An instance of a settings class from a table."""
        known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # T is a settings dataclass
        self._note_unknown_keys(known, table, place)
        hints = get_type_hints(kind)
        values = {
            name: self._field_value(spec, hints[name], table, f"{place}.{name}" if place else name)
            for name, spec in known.items()
            if name in table or _is_required(spec) or isinstance(spec.default, Path)
        }
        return kind(**values)

    def _note_unknown_keys(self, known: Mapping[str, Any], table: Mapping[str, Any], place: str) -> None:
        for key in table:
            if key in known:
                continue
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(known)}."
            self.note(f"{place}.{key}" if place else key, "unknown key.", remedy)

    def _field_value(self, spec: Field[Any], hint: Any, table: Mapping[str, Any], place: str) -> Any:
        if spec.name not in table:
            if isinstance(spec.default, Path):
                return self.base / spec.default
            self.note(place, "missing.", "Add it; config.example.toml shows how.")
            return self._blank(hint)
        value = self._convert(hint, table[spec.name], place)
        self._check_bounds(spec, value, place)
        return value

    def _check_bounds(self, spec: Field[Any], value: Any, place: str) -> None:
        low, high = spec.metadata.get("low"), spec.metadata.get("high")
        if low is not None and high is not None and not low <= value <= high:
            self.note(place, f"must be between {low} and {high}.")

    def _convert(self, hint: Any, value: Any, place: str) -> Any:
        if get_origin(hint) in (Union, types.UnionType):
            return self._convert(_without_none(hint), value, place)
        if get_origin(hint) is tuple:
            return self._convert_list(get_args(hint)[0], value, place)
        if hint is Secret:
            return self._convert_secret(value, place)
        if is_dataclass(hint):
            return self._convert_table(hint, value, place)
        return self._convert_plain(hint, value, place)

    def _convert_list(self, item: Any, value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            how = f"Write [[{place}]] before each one." if is_dataclass(item) else 'Write ["…", "…"].'
            self.note(place, "must be a list.", how)
            return ()
        return tuple(self._convert(item, entry, f"{place}[{n}]") for n, entry in enumerate(value, start=1))

    def _convert_table(self, kind: Any, value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return self.read(kind, value, place)
        self.note(place, "must be a table.", f"Write it as [{place}] with its keys below.")
        return self._blank(kind)

    def _convert_secret(self, value: Any, place: str) -> Secret:
        if isinstance(value, str):
            # The value is not repeated: this text reaches terminals and tickets.
            self.note(place, "a secret never stands in the configuration.", 'Write { file = "path" } or { variable = "NAME" }.')
            return Secret(variable="-")
        secret: Secret = self._convert_table(Secret, value, place)
        if isinstance(value, dict) and bool(secret.file) == bool(secret.variable):
            self.note(place, "must name a file or an environment variable, one of the two.")
        return secret

    def _convert_plain(self, hint: Any, value: Any, place: str) -> Any:
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return self._convert_choice(hint, value, place)
        expected, accepts = PLAIN[hint]
        if not accepts(value):
            self.note(place, f"must be {expected}.")
            return self._blank(hint)
        return self.base / value if hint is Path else hint(value)

    def _convert_choice(self, hint: type[StrEnum], value: Any, place: str) -> StrEnum:
        choices = [member.value for member in hint]
        if value not in choices:
            self.note(place, f"must be one of: {', '.join(choices)}.")
            return next(iter(hint))
        return hint(value)

    def _blank(self, hint: Any) -> Any:
        """A harmless value of this type: the file is refused anyway."""
        if get_origin(hint) is tuple:
            return ()
        if is_dataclass(hint):
            quiet = TableReader(self.base)
            return quiet.read(hint, {})  # type: ignore[arg-type]  # a settings class
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return next(iter(hint))
        return self.base if hint is Path else hint()


PLAIN: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    str: ("a text", lambda v: isinstance(v, str)),
    bool: ("true or false", lambda v: isinstance(v, bool)),
    int: ("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool)),
    float: ("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool)),
    Path: ("a path", lambda v: isinstance(v, str) and bool(v)),
}


def _is_required(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _without_none(hint: Any) -> Any:
    return next(arg for arg in get_args(hint) if arg is not type(None))
