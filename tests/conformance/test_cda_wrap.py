"""The independent CDA checker finds no error in what we wrap: a thin form, a complete one, a letter about a qualified patient.

Runs where `CDA_REF` names a work tree of the Agence's rules and `CDA_PYTHON` an interpreter that has saxonche and lxml.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from adapter.model.submission import Submission
from adapter.packaging.cda import wrap_as_n1
from tests.builders.cda import tiny_pdf
from tests.builders.directory import letter_header, submission
from tests.unit.packaging.test_cda_wrap import _form_header

pytestmark = pytest.mark.conformance


def _cases() -> dict[str, Submission]:
    full = _form_header(authors=letter_header().authors, custodian=letter_header().custodian)
    return {"thin": submission(header=_form_header()), "form": submission(header=full), "letter": submission()}


def test_the_independent_checker_finds_no_error_in_what_we_wrap(shared_dir: Path, tmp_path: Path) -> None:
    python, rules = os.environ.get("CDA_PYTHON", ""), os.environ.get("CDA_REF", "")
    if not python or not rules:
        pytest.skip("set CDA_REF (rules of the Agence) and CDA_PYTHON (an interpreter with saxonche) to run the CDA checker")
    files = []
    for name, case in _cases().items():
        files.append(tmp_path / f"{name}.xml")
        files[-1].write_bytes(wrap_as_n1(case, tiny_pdf()))
    report = tmp_path / "report.json"
    checker = shared_dir / "tools" / "cda_check.py"
    done = subprocess.run(
        [python, str(checker), "--json", str(report), *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert len(json.loads(report.read_text())) >= 1
