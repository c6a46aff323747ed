"""The independent CDA checker finds no error in what we write: N1 around a form or PDF, N3 of each model and form case.

Asked for by naming both in the environment: `CDA_REF`, a work tree of the Agence's rules, and `CDA_PYTHON`, an interpreter that
has saxonche and lxml. Neither can be installed from a lock: elsewhere there is no such test, so that no run holds a skip.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.model.submission import Submission
from adapter.packaging.build import readable_pdf, travelling_cda
from adapter.packaging.cda import wrap_as_n1
from tests.builders.cda import build_ldl_ses, tiny_pdf
from tests.builders.directory import letter_header, submission
from tests.builders.fhir_document import ENTRY_LETTER, build_discharge_letter, build_entry_letter, medication, send, subject_of
from tests.unit.packaging.test_cda_structured import AT, again, document, read
from tests.unit.packaging.test_cda_wrap import _form_header

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"

pytestmark = pytest.mark.conformance
CHECKER = (os.environ.get("CDA_PYTHON", ""), os.environ.get("CDA_REF", ""))


def _cases() -> dict[str, Submission]:
    full = _form_header(authors=letter_header().authors, custodian=letter_header().custodian)
    return {"thin": submission(header=_form_header()), "form": submission(header=full), "letter": submission()}


def _structured() -> dict[str, bytes]:
    """Each model that we write, from a partner's FHIR, from our own form cases, and from a CDA taken apart and put together."""
    dosed = build_entry_letter(medicines=[medication(subject_of(ENTRY_LETTER), dosage=_DOSAGES)])
    letters = {"ldl-ees": build_entry_letter(), "ldl-ees-dosages": dosed, "ldl-ses": build_discharge_letter()}
    found = {name: travelling_cda(document(read(send(letter))), tiny_pdf()) for name, letter in letters.items()}
    first = read(build_ldl_ses(), ContentKind.CDA)
    found["ldl-ses-again"] = again(first.submission, first.bundle)
    for path in sorted(CASES.glob("*/source.json")):
        arrival = Arrival(path.read_bytes(), "http", Principal("cms-fictif", "token", "940000003"), AT)
        if inspect_form(arrival).verdict is Verdict.ACCEPTED:
            (translation,) = understand_form(arrival, "case")
            made = document(translation)
            found[path.parent.name] = travelling_cda(made, readable_pdf(made, ""))
    return found | {path.parent.name: path.read_bytes() for path in sorted(CASES.glob("*/leaves.cda"))}


_DOSAGES = [
    {
        "patientInstruction": "au repas",
        "timing": {"repeat": {"frequency": n, "period": 1, "periodUnit": "d"}},
        "asNeededBoolean": True,
    }
    for n in (1, 3)
]


def check_what_we_wrap(shared_dir: Path, tmp_path: Path) -> None:
    python, _ = CHECKER
    files = []
    for name, case in _cases().items():
        files.append(tmp_path / f"{name}.xml")
        files[-1].write_bytes(wrap_as_n1(case, tiny_pdf()))
    for name, content in _structured().items():
        files.append(tmp_path / f"{name}.xml")
        files[-1].write_bytes(content)
    report = tmp_path / "report.json"
    checker = shared_dir / "tools" / "cda_check.py"
    done = subprocess.run(
        [python, str(checker), "--json", str(report), *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert len(json.loads(report.read_text())) == len(files)


if all(CHECKER):
    test_the_independent_checker_finds_no_error_in_what_we_wrap = check_what_we_wrap
