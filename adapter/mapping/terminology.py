"""Code tables of `/mappings/terminology`: CSV files with a header, and the one OID ↔ URI list that serves both ways."""

from __future__ import annotations

import csv
from functools import lru_cache

from adapter.data import mappings_root
from adapter.errors import MappingError


@lru_cache(maxsize=256)
def load_table(name: str) -> dict[str, dict[str, str]]:
    """Rows of `mappings/terminology/<name>.csv` by their first column; MappingError when the file is missing or wrong."""
    path = mappings_root() / "terminology" / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            first = (reader.fieldnames or [""])[0]
            return {row[first]: row for row in reader}
    except (OSError, KeyError) as error:
        raise MappingError(
            "mapping.table-unreadable", f"{type(error).__name__} while reading a code table", where=name
        ) from error


def translate_code(table: str, code: str) -> str:
    """The `target` column for a code, or empty when the table does not hold it."""
    row = load_table(table).get(code)
    return row["target"] if row else ""


def uri_of(oid: str) -> str:
    """The FHIR system of an OID, `urn:oid:…` when the list has none. `oid-uri.csv` columns: oid, uri."""
    row = load_table("oid-uri").get(oid)
    return row["uri"] if row else f"urn:oid:{oid}"
