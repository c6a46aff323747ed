"""Pages that programs can check: generated reference is fresh, links lead somewhere, decisions are listed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import adapter

ROOT = Path(adapter.__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_reference_pages_say_what_the_code_says() -> None:
    command = [sys.executable, "docs/generate_reference.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-1000:]} – run `make reference`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


def test_every_decision_is_listed_where_the_house_is_told() -> None:
    told = (ROOT / "docs/explanation/the-house.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs/explanation").glob("adr-*.md"):
        assert page.name in told


def test_every_room_is_named_where_the_house_is_told() -> None:
    told = (ROOT / "docs/explanation/the-house.md").read_text(encoding="utf-8")
    for path in (ROOT / "adapter").iterdir():
        if (path / "__init__.py").exists():
            assert f"`{path.name}/`" in told, path.name
        elif path.suffix == ".py" and not path.name.startswith("__"):
            assert f"`{path.name}`" in told, path.name
    for path in (ROOT / "mssante").glob("[a-z]*.py"):
        assert f"`{path.stem}`" in told, path.name
