"""A fault of a form's document names the question, in its own words, whose answer stands there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.fhir.locate import located
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_form import understand_form
from adapter.model.effects import Translation
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Arrival, Principal
from tests.builders.form import build_imaging_request, form_bytes

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"


def _understood(content: bytes, form: str = "") -> Translation:
    at = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    (translation,) = understand_form(Arrival(content, "http", Principal("x", "token", "940000003"), at, form=form), "r")
    return translation


def _imaging(**changes: Any) -> Translation:
    return _understood(form_bytes(build_imaging_request(**changes)), "demande-imagerie")


def _source_of(translation: Translation, kind: str, element: str, *, nth: int = 0) -> str:
    entries: Any = translation.bundle["entry"]
    found = [n for n, entry in enumerate(entries) if entry["resource"]["resourceType"] == kind]
    fault = Finding(Severity.ERROR, "x", "x", f"Bundle.entry[{found[nth]}].resource.{element}")
    return located((fault,), translation.bundle, translation.source_map)[0].source


@pytest.mark.parametrize(
    ("kind", "element", "question"),
    [
        ("Patient", "birthDate", "question patient.date-naissance « Date de naissance du patient »"),
        ("Patient", "telecom[0].value", "question patient.telephone « "),
        ("Practitioner", "identifier[0].value", "question prescripteur.rpps « "),
        ("Organization", "identifier[0].value", "question prescripteur.finess « "),
        ("ServiceRequest", "priority", "question demande.urgence « "),
        ("ServiceRequest", "bodySite[0].coding[0].code", "question examens[1].region « "),
        ("ServiceRequest", "category[1].coding[0]", "question examens[1].modalite « "),
        ("ServiceRequest", "reasonCode[0].text", "question demande.but « "),
        ("Condition", "code.coding[0]", "question contre-indications.insuffisance-renale « "),
        ("MedicationStatement", "medicationCodeableConcept.text", "question contre-indications.diabete-traitement « "),
        ("Observation", "valueQuantity.value", "question contre-indications.creatinine « "),
        ("Observation", "effectiveDateTime", "question contre-indications.creatinine-date « "),
        ("Composition", "date", "question demande.date « "),
        ("DetectedIssue", "detail", "question contre-indications.diabete-traitement « "),
    ],
)
def test_an_element_names_its_question_and_the_question_s_words(kind: str, element: str, question: str) -> None:
    renal = {
        "contre-indications.insuffisance-renale": True,
        "contre-indications.creatinine": 90,
        "contre-indications.creatinine-unite": "umol/L",
        "contre-indications.creatinine-date": "2026-11-01",
    }
    told = _source_of(_imaging(**renal), kind, element)
    assert told.startswith(question) and told.endswith("»")


def test_each_exam_names_its_own_rank() -> None:
    scan = {"modalite": "TDM", "region": "abdomen", "injection": "sans"}
    exams = [scan, {"modalite": "IRM", "region": "genou", "cote": "droit"}]
    translation = _imaging(examens=exams)
    assert _source_of(translation, "ServiceRequest", "code", nth=1).startswith("question examens[2].region")


def test_a_real_fault_names_the_path_and_the_answer() -> None:
    translation = _imaging()
    entries: Any = translation.bundle["entry"]
    patient = next(entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Patient")
    patient["birthDate"] = "hier"
    (fault,) = located(validate_bundle(translation.bundle), translation.bundle, translation.source_map)
    assert fault.location.endswith(".birthDate")
    assert fault.source == "question patient.date-naissance « Date de naissance du patient »"


def test_a_fault_in_the_filled_form_names_the_question_that_it_shows() -> None:
    translation = _imaging()
    entries: Any = translation.bundle["entry"]
    response = next(entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "QuestionnaireResponse")
    group = next(n for n, item in enumerate(response["item"]) if item["linkId"] == "patient")
    answer = next(n for n, item in enumerate(response["item"][group]["item"]) if item["linkId"] == "patient.nom")
    told = _source_of(translation, "QuestionnaireResponse", f"item[{group}].item[{answer}].answer[0].valueString")
    assert told.startswith("question patient.nom « ")
    assert _source_of(translation, "QuestionnaireResponse", "item[99].linkId") == ""


@pytest.mark.parametrize("path", sorted(CASES.glob("*/source.json")), ids=lambda path: path.parent.name)
def test_the_requests_people_and_clinical_facts_of_every_form_have_a_question(path: Path) -> None:
    if not (path.parent / "fhir.json").is_file():
        return  # refused: no document
    translation = _understood(path.read_bytes())
    asked = {"Patient", "Practitioner", "ServiceRequest", "Observation", "Condition", "AllergyIntolerance", "Procedure"}
    asked |= {"MedicationStatement", "Appointment", "Flag", "DocumentReference"}
    entries: Any = translation.bundle["entry"]
    for entry in entries:
        resource = entry["resource"]
        if resource["resourceType"] in asked:
            told = translation.source_map.get(resource["id"], "")
            assert told.startswith("question "), (resource["resourceType"], json.dumps(resource)[:200])
