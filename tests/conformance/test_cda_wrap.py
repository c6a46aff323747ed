"""The independent CDA checker finds no error in what we wrap: a thin form, a complete one, a letter about a qualified patient.

Asked for by naming both in the environment: `CDA_REF`, a work tree of the Agence's rules, and `CDA_PYTHON`, an interpreter that
has saxonche and lxml. Neither can be installed from a lock: elsewhere there is no such test, so that no run holds a skip.
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
CHECKER = (os.environ.get("CDA_PYTHON", ""), os.environ.get("CDA_REF", ""))


def _cases() -> dict[str, Submission]:
    full = _form_header(authors=letter_header().authors, custodian=letter_header().custodian)
    return {"thin": submission(header=_form_header()), "form": submission(header=full), "letter": submission()}


def check_what_we_wrap(shared_dir: Path, tmp_path: Path) -> None:
    python, _ = CHECKER
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


if all(CHECKER):
    test_the_independent_checker_finds_no_error_in_what_we_wrap = check_what_we_wrap
