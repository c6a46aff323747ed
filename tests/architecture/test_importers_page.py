"""The page for practices' programs says what the tables say; its samples are what the code writes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from adapter.model.folder import FolderFormat
from adapter.tracking.import_outcomes import import_outcomes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "logiciel-de-cabinet.md"
SAMPLES = ROOT / "docs" / "reference" / "samples"


def rows_after(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    text = PAGE.read_text("utf-8").partition(heading)[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group().splitlines()[2:]]


def test_the_outcomes_of_the_page_are_those_of_the_table() -> None:
    told = [[cell.strip(" |`") for cell in row] for row in rows_after("## Issues")]
    assert told == [
        [one.code, one.label, one.issue_type, one.proves.value, one.next_step, "oui" if one.may_change else "non"]
        for one in import_outcomes().values()
    ]


def test_every_format_of_a_folder_is_told() -> None:
    told = [row[0].strip(" |`") for row in rows_after("## Sans programmer")]
    assert told == [one.value for one in FolderFormat]


def test_the_minimum_is_one_page() -> None:
    assert len(PAGE.read_text("utf-8").splitlines()) <= 80


def test_the_samples_are_what_the_code_writes() -> None:
    command = [sys.executable, "docs/generate_samples.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-1000:]} – run `python docs/generate_samples.py`"


@pytest.mark.conformance
def test_every_sample_is_clean(shared_dir: Path, tmp_path: Path) -> None:
    for path in SAMPLES.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    checker = [sys.executable, "-W", "ignore", str(shared_dir / "tools" / "fhir_check.py"), "--require-fhirpath", "--fr"]
    done = subprocess.run([*checker, str(tmp_path)], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:]
    assert len(list(tmp_path.glob("*.json"))) > 15
