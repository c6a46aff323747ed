"""Where the shipped data files are (beside the code in a checkout, inside the package in a wheel), and how a table is read.

A table is CSV under a head of comment lines, of which two are law: whoever reads a code must be able to say whence it comes.

    # version = 2026-11-21                     date or version of the source, as taken over
    # source = TRE_R02 SecteurActivite (…)
    code,target,label
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

_COMMENT = "#"


def mappings_root() -> Path:
    """The folder of the mapping data: `adapter/_mappings` in a wheel, `/mappings` in a checkout."""
    package = Path(str(resources.files("adapter")))
    packaged = package / "_mappings"
    return packaged if packaged.is_dir() else package.parent / "mappings"


def partners_root() -> Path:
    """The reference territory's partners files: `adapter/_partners` in a wheel, `/fixtures/partners` in a checkout."""
    package = Path(str(resources.files("adapter")))
    packaged = package / "_partners"
    return packaged if packaged.is_dir() else package.parent / "fixtures" / "partners"


@dataclass(frozen=True)
class Table:
    """A table, and whence it comes. `head_lines`: comment lines above the columns' names."""

    version: str
    source: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    head_lines: int = 0


def read_table(path: Path) -> Table:
    """A shipped table. OSError, or ValueError when it does not tell its version and source or a row has not its columns."""
    table = parse_table(path.read_text(encoding="utf-8-sig"))
    if not (table.version and table.source):
        raise ValueError("a table tells its version and its source")
    return table


def parse_table(text: str) -> Table:
    """The table of a text; one that an operator wrote may say nothing of its source. ValueError as `read_table`."""
    lines = text.splitlines(keepends=True)
    count = next((number for number, line in enumerate(lines) if not line.startswith(_COMMENT)), len(lines))
    told: dict[str, str] = {}
    for line in lines[:count]:
        name, is_told, value = line.lstrip(_COMMENT).partition("=")
        if is_told:
            told.setdefault(name.strip(), value.strip())
    reader = csv.reader(io.StringIO("".join(lines[count:]), newline=""))
    columns = tuple(next(reader, ()))
    rows = tuple(dict(zip(columns, row, strict=True)) for row in reader if row)
    return Table(told.get("version", ""), told.get("source", ""), columns, rows, count)
