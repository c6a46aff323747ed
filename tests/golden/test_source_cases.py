"""Cases of partners' FHIR documents and bare PDFs: all that they become, down to the CDA. `make approve CASE=…` rewrites.

A folder with `source.fhir` is a FHIR document, one with `source.pdf` a bare PDF; `side-car.json` says to whom, or what it is.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.fhir.validate import validate_bundle
from adapter.formats.detect import detect_content
from adapter.mapping.kinds import INSPECTORS, READERS
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.packaging.build import Document, readable_pdf, travelling_cda
from tests.builders.bundle import kept_bundle
from tests.golden.plain import CASES, check_independently, compare, plain

RECEIVED = datetime(2026, 11, 20, 16, 40, tzinfo=UTC)
SOURCES = sorted(f"{path.parent.name}/{path.name}" for suffix in ("fhir", "pdf") for path in CASES.glob(f"*/source.{suffix}"))


def _arrival(path: Path) -> Arrival:
    side_car = path.parent / "side-car.json"
    companion = side_car.read_bytes() if side_car.is_file() else b""
    principal = Principal("dossier-fictif", "folder", "940999900")
    return Arrival(path.read_bytes(), "folder", principal, RECEIVED, path.name, companion)


def _outputs(path: Path) -> dict[str, bytes]:
    arrival = _arrival(path)
    kind = detect_content(arrival.content)
    assert kind in (ContentKind.FHIR, ContentKind.PDF)
    inspection = INSPECTORS[kind](arrival)
    outputs = {"findings.json": _json([[f.severity, f.code, f.location, f.text] for f in inspection.findings])}
    if inspection.verdict is not Verdict.ACCEPTED:
        return outputs
    try:
        (translation,) = READERS[kind](arrival, "receipt-of-the-case")
    except InputError as error:
        return outputs | {"parked.json": _json({"code": error.code, "text": error.message, "remedy": error.remedy})}
    assert validate_bundle(translation.bundle) == ()
    document = Document(translation.submission, translation.bundle, translation.source_document, translation.source_media_type)
    page = readable_pdf(document, "")
    assert page.startswith(b"%PDF-")
    return outputs | {
        "submission.json": _json(plain(translation.submission)),
        "unread.json": _json([node.path for node in translation.unread]),
        "fhir.json": _json(kept_bundle(translation)),
        "leaves.cda": travelling_cda(document, page),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_gives_exactly_its_expected_outputs(source: str) -> None:
    path = CASES / source
    outputs = _outputs(path)
    compare(path.parent, outputs, {"side-car.json", path.name})


@pytest.mark.conformance
def test_the_independent_checker_finds_no_error_in_any_source_case(shared_dir: Path) -> None:
    files = sorted({path.parent / "fhir.json" for path in (CASES / s for s in SOURCES) if (path.parent / "fhir.json").is_file()})
    check_independently(shared_dir, files)


@pytest.mark.parametrize(("template", "model"), [("1.2.250.1.213.1.1.1.21", "ldl-ees"), ("1.2.250.1.213.1.1.1.29", "ldl-ses")])
def test_partners_letters_leave_structured(template: str, model: str) -> None:
    written = [path.read_text(encoding="utf-8") for path in CASES.glob("fhir-*/leaves.cda")]
    assert sum(f'<templateId root="{template}"' in text for text in written) >= (2 if model == "ldl-ses" else 1)


def test_there_are_cases_of_both_sources() -> None:
    assert sum(source.endswith(".fhir") for source in SOURCES) >= 3
    assert sum(source.endswith(".pdf") for source in SOURCES) >= 3
