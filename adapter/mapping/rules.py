"""Rules read from `/mappings/**/*.toml` into frozen values; a wrong file fails when loaded, never on a patient's letter.

    [ignore]                       # path = why it is deliberately not read
    "MSH-8" = "security, unused by the volet"

    [extract.patient]              # one group gives one dict, or a list of dicts with each = true
    base = "PID"                   # path of the group's node(s); absent: the root
    each = false
    [extract.patient.fields]
    birth_name = "5[7=L].1"        # short for { from = "5[7=L].1" }
    ins        = { first_of = ["3[5=INS].1", "3[4.2=…].1"], with = "ins_matricule", required = true }
    type       = { from = "4.1", table = "xds-type-code", default = "…" }
    phones     = { from = "13", each = true }

`from`: one path. `first_of`: paths, the first that holds a value. `each`: all values, as a tuple. `with`: a named
transform. `table`: a code table. `default`: used when empty. `required`: an empty value is a finding, with `missing` as its
text and `code`/`hl7_code` as its codes. Whoever needs an "if" needs a transform.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from adapter.data import mappings_root
from adapter.errors import MappingError


@dataclass(frozen=True)
class FieldRule:
    """How one field is found."""

    paths: tuple[str, ...]
    transform: str = ""
    table: str = ""
    default: str = ""
    required: bool = False
    each: bool = False
    missing: str = ""
    code: str = ""
    hl7_code: str = ""

    @cached_property
    def is_plain(self) -> bool:
        """True for a first value and no more: neither a table, nor all values, nor one that must be there."""
        return not (self.table or self.each or self.required)


@dataclass(frozen=True)
class GroupRule:
    """How one group of fields is found."""

    name: str
    base: str = ""
    each: bool = False
    fields: dict[str, FieldRule] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleFile:
    """One mapping file: groups, ignored paths with reasons, and any other table the typed side reads (`data`)."""

    name: str
    revision: str
    groups: dict[str, GroupRule]
    ignored: dict[str, str]
    data: dict[str, Any]


_FIELD_KEYS = {"from", "first_of", "with", "table", "default", "required", "each", "missing", "code", "hl7_code"}


@lru_cache(maxsize=256)
def load_rules(name: str) -> RuleFile:
    """Load `mappings/<name>.toml` (`hl7v2/mdm_t02`, `documents/ldl-ses`). Raises MappingError when it is wrong."""
    path = mappings_root() / f"{name}.toml"
    try:
        raw = path.read_bytes()
        data = tomllib.loads(raw.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise MappingError("mapping.unreadable", f"{type(error).__name__} while reading a mapping file", where=name) from error
    groups = {key: _group(name, key, value) for key, value in data.pop("extract", {}).items()}
    ignored = {str(k): str(v) for k, v in data.pop("ignore", {}).items()}
    return RuleFile(name, hashlib.sha256(raw).hexdigest()[:12], groups, ignored, data)


def _group(file: str, name: str, raw: dict[str, Any]) -> GroupRule:
    unknown = set(raw) - {"base", "each", "fields"}
    if unknown:
        raise MappingError("mapping.unknown-key", f"unknown keys {sorted(unknown)}", where=f"{file}:{name}")
    fields = {key: _field(file, f"{name}.{key}", value) for key, value in raw.get("fields", {}).items()}
    return GroupRule(name, raw.get("base", ""), bool(raw.get("each", False)), fields)


def _field(file: str, name: str, raw: str | dict[str, Any]) -> FieldRule:
    if isinstance(raw, str):
        return FieldRule((raw,))
    unknown = set(raw) - _FIELD_KEYS
    if unknown or ("from" in raw) == ("first_of" in raw):
        raise MappingError("mapping.bad-field", "needs exactly one of from, first_of, and known keys", where=f"{file}:{name}")
    return FieldRule(
        tuple(raw["first_of"]) if "first_of" in raw else (raw["from"],),
        raw.get("with", ""),
        raw.get("table", ""),
        raw.get("default", ""),
        bool(raw.get("required", False)),
        bool(raw.get("each", False)),
        raw.get("missing", ""),
        raw.get("code", ""),
        raw.get("hl7_code", ""),
    )
