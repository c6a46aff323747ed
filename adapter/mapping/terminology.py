"""Code tables of `/mappings/terminology`: CSV or FHIR ConceptMap, each with its version and source; OID ↔ URI among them.

Law: a code that a table does not hold is no code of the target: nothing is guessed. Whoever asks keeps the source's code and says
so (`unknown_code`). A row with an empty target says that there is none, which is known and needs no saying.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from adapter.data import Table, mappings_root, read_table
from adapter.errors import MappingError
from adapter.model.finding import Finding, Severity

_CONCEPT_MAP = ".conceptmap.json"


@dataclass(frozen=True)
class TableVersion:
    """Which version of a table is at hand, and whence it comes."""

    name: str
    version: str
    source: str


@lru_cache(maxsize=256)
def load_table(name: str) -> dict[str, dict[str, str]]:
    """Rows of `mappings/terminology/<name>` by their first column; MappingError when the file is missing or wrong."""
    table = _read(name)
    return {row[table.columns[0]]: row for row in table.rows}


def translate_code(table: str, code: str) -> str:
    """The `target` column for a code, or empty when the table does not hold it."""
    row = load_table(table).get(code)
    return row["target"] if row else ""


def unknown_code(table: str, code: str, where: str) -> tuple[Finding, ...]:
    """What is to be said of a code that a table does not hold: nothing of a code that is absent or known."""
    if not code or code in load_table(table):
        return ()
    text = f"A code is not in the table « {table} »: it is kept as it came."
    return (Finding(Severity.WARNING, "terminology.unknown-code", text, where),)


def uri_of(oid: str) -> str:
    """The FHIR system of an OID, `urn:oid:…` when the list has none. `oid-uri.csv` columns: oid, uri."""
    row = load_table("oid-uri").get(oid)
    return row["uri"] if row else f"urn:oid:{oid}"


@lru_cache(maxsize=1)
def terminology_versions() -> tuple[TableVersion, ...]:
    """Every table that a translation may use, by name: those of terminology, and the lists of names of the forms."""
    found = [TableVersion(name, table.version, table.source) for name, table in _tables()]
    return tuple(sorted(found, key=lambda table: table.name))


@lru_cache(maxsize=1)
def terminology_revision() -> str:
    """What tells one set of code tables from another: it changes with any of their rows."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _files() -> Iterator[Path]:
    root = mappings_root()
    yield from sorted(root.glob("terminology/*.csv"))
    yield from sorted(root.glob(f"terminology/*{_CONCEPT_MAP}"))
    yield from sorted(root.glob("forms/*.csv"))


def _tables() -> Iterator[tuple[str, Table]]:
    for path in _files():
        name = path.name.removesuffix(_CONCEPT_MAP).removesuffix(".csv")
        yield (name, _read(name)) if path.parent.name == "terminology" else (f"{path.parent.name}/{name}", read_table(path))


def _read(name: str) -> Table:
    root = mappings_root() / "terminology"
    try:
        concept_map = root / f"{name}{_CONCEPT_MAP}"
        return _concept_map(json.loads(concept_map.read_bytes())) if concept_map.is_file() else read_table(root / f"{name}.csv")
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise MappingError(
            "mapping.table-unreadable", f"{type(error).__name__} while reading a code table", where=name
        ) from error


def _concept_map(data: Mapping[str, object]) -> Table:
    """A ConceptMap as a table: `code`, `target`, `meaning`. One target a code: which of two holds is nobody's to guess."""
    rows: list[dict[str, str]] = []
    for group in _list(data["group"]):
        for element in _list(group["element"]):
            (target,) = _list(element.get("target", [{}]))
            rows.append(
                {"code": str(element["code"]), "target": str(target.get("code", "")), "meaning": str(element.get("display", ""))}
            )
    if len({row["code"] for row in rows}) != len(rows) or not (data["version"] and data["copyright"]):
        raise ValueError("a ConceptMap tells its version and source, and each code once")
    return Table(str(data["version"]), str(data["copyright"]), ("code", "target", "meaning"), tuple(rows))


def _list(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise TypeError("a list is meant")
    return value
