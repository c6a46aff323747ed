"""The modules that may be compiled say the same compiled: mypyc makes a list of a generator at once, where Python would wait."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import adapter
from tests.builders.adt import DOCTOR, build_adt, consent, guardian
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import build_mdm

ROOT = Path(adapter.__file__).resolve().parent.parent
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
MODULES = sorted(path for pattern in HOOK["modules"] for path in ROOT.glob(pattern))
# They only look: what a node says (`first`, `look`) or what is already a value.
_PURE = {"first", "get", "append", "look", "partition", "split"}


def test_every_module_to_be_compiled_is_there() -> None:
    assert len(MODULES) > 30
    assert all(list(ROOT.glob(pattern)) for pattern in HOOK["modules"])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_generator_counts_on_being_stopped_half_way(path: Path) -> None:
    """`next` over a generator whose items are made by a call that reads would read more once compiled."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "next":
            generators = [arg for arg in node.args if isinstance(arg, ast.GeneratorExp)]
            calls = {inner.func for arg in generators for inner in ast.walk(arg) if isinstance(inner, ast.Call)}
            names = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "?") for func in calls}
            assert names <= _PURE | {"enumerate", "len", "range"}, f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Name):  # compiled, it is a property that is worked out each time
            assert node.id != "cached_property", f"{path.name}:{node.lineno}"


_TELL = """
from adapter.fhir.bundle import write_json
from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping import xml_source
sys.stdout.buffer.write(b"True" if xml_source.__file__.endswith(".py") else b"False")

def told(found):
    counts = [found.read_count, dict(found.source_map)] if hasattr(found, "source_map") else vars(found.account)
    parts = [*found.unread, *getattr(found, "ignored", ()), *found.findings, *validate_bundle(found.bundle, Level.SHAPE)]
    values = [counts, *map(vars, parts)]
    sys.stdout.buffer.write(repr(values).encode() + write_json(found.bundle))
"""
_TRANSLATE = f"""{_TELL}
from adapter.mapping.from_cda import translate_cda
told(translate_cda(sys.stdin.buffer.read()))
"""
_UNDERSTAND = f"""{_TELL}
from datetime import UTC, datetime
from adapter.mapping.from_adt import translate_adt
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.model.receipt import Arrival, Principal
content = sys.stdin.buffer.read()
arrival = Arrival(content, "mllp", Principal("test", "application", "940000001"), datetime(2026, 11, 20, tzinfo=UTC))
if b"ADT^" in content[:200]:
    told(translate_adt(arrival))
else:
    sys.stdout.buffer.write(repr([vars(one) for one in inspect_hl7v2(arrival).findings]).encode())
    for made in understand_hl7v2(arrival, "receipt"):
        told(made)
"""
MADE = [
    (_TRANSLATE, build_ldl_ses()),
    (_TRANSLATE, build_n1()),
    (_UNDERSTAND, build_mdm(build_n1())),
    (_UNDERSTAND, build_mdm(build_ldl_ses(), change={"PID-30": "Y~N", "PV1-52": "unread&parts^more"})),
    (_UNDERSTAND, build_adt("A01", add=(consent(), guardian(), DOCTOR))),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_compiled_wheel_says_the_same_of_documents_and_messages(tmp_path: Path) -> None:
    if shutil.which("cc") is None or not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        pytest.skip("no C compiler, or no headers of this Python: the plain wheel needs neither")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index", "-w", str(tmp_path)]
    done = subprocess.run(
        [*command, "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | {"TDU_COMPILED": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    assert "any" not in wheel.name.rpartition("-")[2]
    shutil.unpack_archive(wheel, tmp_path / "compiled", "zip")
    for script, content in MADE:
        plain, compiled = (_told(folder, script, content) for folder in (ROOT, tmp_path / "compiled"))
        assert plain.startswith(b"True") and compiled.startswith(b"False")
        assert plain.removeprefix(b"True") == compiled.removeprefix(b"False")


def _told(folder: Path, script: str, content: bytes) -> bytes:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{script}"]
    return subprocess.run(command, input=content, capture_output=True, check=True, timeout=120, cwd="/").stdout
