"""The page of complaints names tests that exist, and every row of this part has some."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import adapter

ROOT = Path(adapter.__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "complaints.md"
ROWS = {*range(1, 12), 13, 19, 23, 25, 26, 27}


def rows() -> dict[int, list[tuple[str, str]]]:
    """Row → (file, test)."""
    lines = re.findall(r"^\| (\d+) \|(.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    return {int(number): re.findall(r"`(tests/[\w/.]+)::(\w+)`", line) for number, line in lines}


@lru_cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    machines = {
        target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    }
    return frozenset(functions | machines)


def test_every_row_of_hl7_acknowledgements_and_mail_is_there_with_its_tests() -> None:
    assert set(rows()) >= ROWS
    assert all(rows()[number] for number in ROWS)


def test_every_test_that_the_page_names_exists() -> None:
    absent = [f"{file}::{name}" for tests in rows().values() for file, name in tests if name not in names_in(file)]
    assert absent == []
