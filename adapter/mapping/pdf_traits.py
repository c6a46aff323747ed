"""What is said of a bare PDF, by whom: its side-car, its name (by the folder's pattern), declared zones of its text.

Law: nothing is guessed. Each fact is taken from the first that says it; two that say otherwise of the patient are not chosen
between, but told. A value that cannot be what it must be (a date, a number) counts as not given, and is told.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from adapter.data import mappings_root
from adapter.errors import InputError, MappingError
from adapter.formats.pdf import Zone, words_of
from adapter.mapping.account import Account
from adapter.mapping.transforms import finess_of, rpps_of
from adapter.model.confidential import Confidential
from adapter.model.effects import UnreadNode
from adapter.model.identity import ins_is_valid
from adapter.model.traits import TRAITS

FROM_NAME = "from_name"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_DATES = (
    re.compile(r"(?P<y>\d{4})-?(?P<m>\d\d)-?(?P<d>\d\d)"),
    re.compile(r"(?P<d>\d\d)[/.](?P<m>\d\d)[/.](?P<y>\d{4})"),
)
_TYPE = re.compile(r"\d{1,7}-\d|SYNTH[A-Z_]*|[A-Z0-9][A-Z0-9._-]{1,30}")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_LONGEST = 300


@dataclass(frozen=True, repr=False)
class Traits(Confidential):
    """The facts known, by name, and what was wrong with those that were given: `(name, why)`.

    `places` says who told each fact; `account` counts all that was told, and lists what somebody else had told otherwise before.
    """

    values: Mapping[str, str]
    problems: tuple[tuple[str, str], ...] = ()
    model: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    account: Account = field(default_factory=Account)


def read_traits(content: bytes, side_car: bytes) -> Traits:
    """All that is said of this PDF. Raises InputError side-car.unknown-fact for a fact that we do not know."""
    said = _side_car(side_car)
    model, zones = _from_text(content)
    sources = {"side-car": _facts(said), "nom du fichier": _names(said), f"modèle {model}": zones}
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    left: list[UnreadNode] = []
    for teller, told in sources.items():
        for name, written in told.items():
            value = _clean(name, written)
            if not value:
                problems.append((name, "valeur inutilisable"))
            elif name not in values:
                values[name], places[name] = value, f"{teller} {name}"
            elif _folded(values[name]) != _folded(value):
                left.append(UnreadNode(f"{teller} {name}", value[:80], reason=f"{places[name]} says otherwise"))
                if name.startswith("patient."):
                    problems.append((name, "deux valeurs différentes"))
    read = sum(map(len, sources.values())) - len(left)
    return Traits(values, tuple(dict.fromkeys(problems)), model, places, Account(tuple(left), read))


# -- side-car --------------------------------------------------------------------------------------------------------------------


def _side_car(content: bytes) -> dict[str, Any]:
    """The side-car as an object; what makes it none is `read_side_car`'s to tell."""
    try:
        data = json.loads(content.decode("utf-8-sig")) if content.strip() else {}
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _facts(data: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in ("patient", "document", "author"):
        told = data.get(group, {})
        if not isinstance(told, dict):
            raise InputError("side-car.unreadable", "A part of the side-car is no object.", where=f"side-car {group}")
        for key, value in told.items():
            name = f"{group}.{key}"
            if name not in TRAITS or not isinstance(value, str) or _FORBIDDEN.search(value):
                known = ", ".join(trait.partition(".")[2] for trait in TRAITS if trait.startswith(f"{group}."))
                where = f"side-car {name}" if name in TRAITS else f"side-car {group}"
                raise InputError("side-car.unknown-fact", f"Known in {group}, as texts: {known}.", where=where)
            if value.strip():
                found[name] = value
    return found


def _names(data: Mapping[str, Any]) -> dict[str, str]:
    told = data.get(FROM_NAME, {})
    return {name: str(value) for name, value in told.items() if name in TRAITS} if isinstance(told, dict) else {}


# -- text zones ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    name: str
    zone: Zone | None
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class _Model:
    """A model of PDF: recognised by words of its first page, read by zones. `fixed`: what all its documents share."""

    name: str
    match: re.Pattern[str]
    fields: tuple[_Field, ...]
    fixed: Mapping[str, str]


@lru_cache(maxsize=1)
def pdf_models() -> tuple[_Model, ...]:
    """Every `mappings/documents/pdf-*.toml`, by name. MappingError when one is wrong."""
    return tuple(_model(path.stem, path.read_bytes()) for path in sorted((mappings_root() / "documents").glob("pdf-*.toml")))


def _model(name: str, content: bytes) -> _Model:
    try:
        data = tomllib.loads(content.decode("utf-8"))
        fields = tuple(
            _Field(field["name"], _zone(field), re.compile(field.get("pattern", r"(.+)"), re.MULTILINE))
            for field in data.get("field", ())
        )
        fixed = {str(key): str(value) for key, value in data.get("fixed", {}).items()}
        unknown = [key for key in (*(field.name for field in fields), *fixed) if key not in TRAITS]
        if unknown or any(field.pattern.groups != 1 for field in fields):
            raise ValueError("an unknown fact, or a pattern without its one group")
        return _Model(name, re.compile(data["match"], re.MULTILINE), fields, fixed)
    except (KeyError, ValueError, TypeError, re.error) as error:
        raise MappingError(
            "mapping.rules-unreadable", f"{type(error).__name__} in a PDF model", where=f"documents/{name}"
        ) from error


def _zone(field: Mapping[str, Any]) -> Zone | None:
    if "rectangle" not in field:
        return None
    left, top, width, height = map(float, field["rectangle"])
    return Zone(int(field.get("page", 1)), left, top, width, height)


def _from_text(content: bytes) -> tuple[str, dict[str, str]]:
    models = pdf_models()
    if not models:
        return "", {}
    (first_page,) = words_of(content, (None,))
    model = next((found for found in models if found.match.search(first_page)), None)
    if model is None:
        return "", {}
    found = dict(model.fixed)
    for told, words in zip(model.fields, words_of(content, tuple(one.zone for one in model.fields)), strict=True):
        match = told.pattern.search(words.replace("\r\n", "\n").replace("\x02", "-"))
        if match is not None and match[1].strip():
            found[told.name] = " ".join(match[1].split())
    return model.name, found


# -- values ----------------------------------------------------------------------------------------------------------------------


def _clean(name: str, written: str) -> str:
    """A fact in its one form; empty when it cannot be that fact."""
    text = " ".join(written.split())
    if not text or len(text) > _LONGEST or _FORBIDDEN.search(text):
        return ""
    check = _CHECKS.get(name)
    return check(text) if check is not None else text


def _date(text: str) -> str:
    for shape in _DATES:
        match = shape.fullmatch(text)
        if match is not None:
            try:
                return date(int(match["y"]), int(match["m"]), int(match["d"])).isoformat()
            except ValueError:
                return ""
    return ""


def _matricule(text: str) -> str:
    number = "".join(text.split()).upper()
    return number if ins_is_valid(number) else ""


def _one_of(*words: str) -> Any:
    return lambda text: text.upper() if text.upper() in words else ""


def _shaped(shape: re.Pattern[str]) -> Any:
    return lambda text: text if shape.fullmatch(text) else ""


_CHECKS: Mapping[str, Any] = {
    "patient.birth_date": _date,
    "document.date": _date,
    "patient.sex": _one_of("F", "M", "UN"),
    "patient.ins": _matricule,
    "patient.ins_kind": _one_of("NIR", "NIA", "TEST", "DEMO"),
    "patient.birth_place_insee": _shaped(re.compile(r"[0-9][0-9AB][0-9]{3}")),
    "patient.local_authority": _shaped(_OID),
    "document.type": _shaped(_TYPE),
    "document.id": _shaped(_OID),
    "author.rpps": rpps_of,
    "author.finess": finess_of,
    "recipient.rpps": rpps_of,
    "recipient.finess": finess_of,
}


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if sign.isalnum())


def missing_of(traits: Traits, required: tuple[str, ...]) -> Iterator[str]:
    """What is to be asked, in the words of a person: what nobody said, and what was said wrongly."""
    told = {name for name, _ in traits.problems}
    for name in required:
        if name not in traits.values and name not in told:
            yield TRAITS[name]
    for name, why in traits.problems:
        yield f"{TRAITS[name]} ({why})"
