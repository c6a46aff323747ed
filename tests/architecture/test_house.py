"""The house rules that a program can check: directions, reasons, sizes, names, secrets, dependencies."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import io
import pkgutil
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

import adapter
import mssante
from adapter.model.confidential import Confidential

ROOT = Path(adapter.__file__).resolve().parent.parent
SOURCES = sorted(path for room in ("adapter", "mssante") for path in (ROOT / room).rglob("*.py"))
LONGEST_MODULE = 400
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "tools", "base_classes"}

# Talking to the terminal is the work of these only.
SPEAKERS = ("adapter/cli/", "adapter/demo/")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def code_lines(path: Path) -> int:
    """Lines that hold code: blank lines, comments and docstrings are free."""
    source = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_each_module_says_its_reason_on_its_first_line(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, "no docstring"
    assert docstring.splitlines()[0].strip(), "the first line is empty"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_module_is_longer_than_a_reader_can_hold(path: Path) -> None:
    assert code_lines(path) <= LONGEST_MODULE


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_name_hides_a_missing_room(path: Path) -> None:
    assert not {path.stem, path.parent.name} & FORBIDDEN_NAMES


def calls_in(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", [p for p in SOURCES if not relative(p).startswith(SPEAKERS)], ids=relative)
def test_only_the_command_line_prints(path: Path) -> None:
    assert [node.lineno for name, node in calls_in(path) if name in ("print", "pprint", "sys.stdout.write")] == []


# What a log line may never be given: whole values, tracebacks, texts of exceptions.
CONTENT_NAMES = re.compile(r"\b(content|body|payload|bundle|patient|identity|message\.encode|raw|ins|name_of_patient|birth)\b")


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_log_line_holds_an_event_and_ids(path: Path) -> None:
    for name, call in calls_in(path):
        if not re.fullmatch(r"(self\.)?_?log(ger)?\.(debug|info|warning|error|critical|exception)", name):
            continue
        where = f"{relative(path)}:{call.lineno}"
        assert not name.endswith("exception"), f"{where}: a traceback may quote content"
        assert len(call.args) <= 1, f"{where}: an event, then named ids"
        for keyword in call.keywords:
            assert keyword.arg != "exc_info", f"{where}: a traceback may quote content"
            value = ast.unparse(keyword.value)
            assert not re.fullmatch(r"(str|repr)\(\w*(error|exc|e)\w*\)", value), (
                f"{where}: the text of an exception may quote content"
            )
            assert not CONTENT_NAMES.fullmatch(value), f"{where}: {value} may hold content"


def every_class() -> Iterator[type]:
    """All classes of both packages; a module that cannot be imported here is a failure of its own."""
    for package in (adapter, mssante):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith(("__main__", ".migrations.env")) or ".migrations.versions" in info.name:
                continue
            module = importlib.import_module(info.name)
            yield from (v for v in vars(module).values() if isinstance(v, type) and v.__module__ == info.name)


SECRET = "MARTIN-2-55-08-14-168-025-38"


def filled(kind: Any) -> Any:
    """An instance whose every field holds the same secret, whatever its type: `repr` must show none of it."""
    instance = object.__new__(kind)
    for spec in dataclasses.fields(kind):
        object.__setattr__(instance, spec.name, SECRET)
    return instance


def test_what_holds_a_patient_shows_nothing_of_it() -> None:
    checked = 0
    for kind in every_class():
        if not (issubclass(kind, Confidential) and dataclasses.is_dataclass(kind)):
            continue
        checked += 1
        assert SECRET not in repr(filled(kind)), kind
        assert SECRET not in str(filled(kind)), kind
    assert checked >= 10


# ── dependencies ──────────────────────────────────────────────────────────────────────────────────────────────

# Declared, used without an import statement: drivers that SQLAlchemy loads by name, time zones that zoneinfo reads.
LOADED_BY_NAME = {"psycopg", "tzdata"}


def imported_modules() -> set[str]:
    found: set[str] = set()
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"adapter", "mssante"}


def normalised(name: str) -> str:
    return re.split(r"[\[<>=!~ ;]", name)[0].lower().replace("_", "-").replace(".", "-")


def declared_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {normalised(line) for line in project["dependencies"]}


def test_every_import_is_a_declared_dependency_and_every_dependency_is_imported() -> None:
    owners = packages_distributions()
    # starlette and pydantic come with fastapi: their own API is part of what those two promise.
    brought_along = {
        "starlette": "fastapi",
        "pydantic": "fastapi",
        "click": "typer",
        "urllib3": "requests",
    }
    used = {brought_along.get(module) or normalised(owners.get(module, [module])[0]) for module in imported_modules()}
    assert used - declared_dependencies() == set(), "imported, not declared"
    assert declared_dependencies() - used - LOADED_BY_NAME == set(), "declared, not imported"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_each_declared_dependency_is_locked_with_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    blocks = {normalised(block): block for block in re.split(r"\n(?=[A-Za-z0-9])", text)}
    for name in declared_dependencies():
        assert "--hash=sha256:" in blocks[name], name
