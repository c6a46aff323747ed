"""Form cases: a filled form and all that it becomes, or all that is said of it. `make approve CASE=…` rewrites."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.mapping.forms.questionnaire import form_slugs
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.packaging.build import Document, readable_pdf, travelling_cda
from adapter.requests.steps import project_task
from tests.builders.bundle import kept_bundle
from tests.golden.plain import CASES, check_independently, compare

FORMS = sorted(folder.name for folder in CASES.iterdir() if (folder / "source.json").is_file())
_VOLETS = {"ldl-ees": "1.2.250.1.213.1.1.1.21", "img-da": "1.2.250.1.213.1.1.1.47", "n1": "1.3.6.1.4.1.19376.1.2.20"}
_FILES = re.compile(r'(representation="B64"[^>]*>)[A-Za-z0-9+/=\s]+')
RECEIVED = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def _outputs(source: bytes) -> dict[str, Any]:
    """Every expected file of a case, by name."""
    arrival = Arrival(source, "http", Principal("cms-fictif", "token", "940000003"), RECEIVED)
    inspection = inspect_form(arrival)
    told = [[f.severity, f.code, f.location, f.text, f.remedy] for f in inspection.findings]
    outputs: dict[str, Any] = {"findings.json": told}
    if inspection.verdict is Verdict.ACCEPTED:
        (translation,) = understand_form(arrival, "receipt-of-the-case")
        outputs["fhir.json"] = kept_bundle(translation)
        if translation.steps:
            outputs["task.json"] = project_task(translation.steps, translation.bundle)
        outputs["unread.json"] = [node.path for node in translation.unread]
        outputs["leaves.cda"] = _leaves(translation)
    return outputs


def _leaves(translation: Translation) -> str:
    """The CDA that travels, without the bytes of its files: pages have tests of their own."""
    document = Document(translation.submission, translation.bundle, translation.source_document, translation.source_media_type)
    cda = travelling_cda(document, readable_pdf(document, "")).decode()
    return _FILES.sub(lambda found: f"{found[1]}…", cda)


@pytest.mark.parametrize("case", FORMS)
def test_a_form_gives_exactly_its_expected_outputs(case: str) -> None:
    folder = CASES / case
    outputs = _outputs((folder / "source.json").read_bytes())
    compare(folder, outputs, {"source.json"})


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_document_or_task(shared_dir: Path) -> None:
    files = [CASES / case / name for case in FORMS for name in ("fhir.json", "task.json") if (CASES / case / name).is_file()]
    check_independently(shared_dir, files)


def _models(case: str) -> set[str]:
    """The volets that the CDA of a case declares; nothing for a refused form."""
    path = CASES / case / "leaves.cda"
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {name for name, template in _VOLETS.items() if f'<templateId root="{template}"' in written}


@pytest.mark.parametrize("slug", form_slugs())
def test_each_form_has_five_cases_and_one_of_them_is_refused(slug: str) -> None:
    cases = [case for case in FORMS if _slug(case) == slug]
    assert len(cases) >= 5
    assert any(not (CASES / case / "fhir.json").is_file() for case in cases)
    assert all((CASES / case / "CASE.md").read_text(encoding="utf-8").startswith("# ") for case in cases)


def _slug(case: str) -> str:
    source = json.loads((CASES / case / "source.json").read_bytes())
    return str(source.get("formulaire") or source.get("questionnaire", "demande-imagerie").rpartition("/")[2].partition("|")[0])


@pytest.mark.parametrize("volet", ["ldl-ees", "img-da", "n1"])
def test_forms_leave_under_each_model_that_they_can_meet(volet: str) -> None:
    assert sum(volet in _models(case) for case in FORMS) >= 4


def test_an_entry_letter_always_leaves_structured() -> None:
    letters = [case for case in FORMS if _slug(case) == "lettre-liaison-entree" and (CASES / case / "fhir.json").is_file()]
    assert letters and all(_models(case) == {"ldl-ees"} for case in letters)
