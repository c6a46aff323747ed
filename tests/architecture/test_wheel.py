"""The wheel is an ordinary installable package: it holds the code, the mappings, the fonts, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import adapter

ROOT = Path(adapter.__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        str(folder),
        ".",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


# What makes mssante/ a distribution of its own (tests/mssante/test_distribution.py).
OF_THE_OTHER_WHEEL = {"mssante/pyproject.toml", "mssante/README.md", "mssante/LICENSE"}


def shipped(folder: str, packed_as: str) -> set[str]:
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    files = (path for path in files if path.relative_to(ROOT).as_posix() not in OF_THE_OTHER_WHEEL)
    return {f"{packed_as}/{path.relative_to(ROOT / folder).as_posix()}" for path in files}


@pytest.mark.parametrize(
    ("folder", "packed_as"),
    [
        ("adapter", "adapter"),
        ("mssante", "mssante"),
        ("mappings", "adapter/_mappings"),
        ("fixtures/partners", "adapter/_partners"),
    ],
)
def test_the_wheel_holds_every_file_of(folder: str, packed_as: str, names: set[str]) -> None:
    assert shipped(folder, packed_as) - names == set()


def test_the_wheel_holds_the_example_configuration_and_the_licence(names: set[str]) -> None:
    assert "adapter/_mappings/config.example.toml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_the_wheel_holds_nothing_of_the_workshop(names: set[str]) -> None:
    assert names & OF_THE_OTHER_WHEEL == set()
    strangers = {n for n in names if n.split("/")[0] not in ("adapter", "mssante") and ".dist-info/" not in n}
    assert strangers == set()
    assert not {n for n in names if "__pycache__" in n or n.endswith((".pem", ".key", ".db", ".sqlite"))}


def test_the_wheel_gives_the_command_tdu(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (points,) = [archive.read(n).decode() for n in archive.namelist() if n.endswith("entry_points.txt")]
    assert "tdu = adapter.cli:main" in points
