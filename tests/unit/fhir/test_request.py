"""Orders and what supports them, resource by resource."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B.allergyintolerance import AllergyIntolerance
from fhir.resources.R4B.condition import Condition
from fhir.resources.R4B.medicationstatement import MedicationStatement
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse
from fhir.resources.R4B.servicerequest import ServiceRequest
from hypothesis import given
from hypothesis import strategies as st

from adapter.fhir import request_narrative as say
from adapter.fhir import supporting
from adapter.fhir.request import Order, RequestedExam, requisition_of, service_request
from adapter.fhir.supporting import Creatinine, ResponseItem, decimal_text, json_number
from adapter.model.document import Code

PATIENT = {"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}
ROLE = {"reference": "urn:uuid:00000000-0000-4000-8000-000000000002"}
ORDER = Order(
    requisition="F-1", namespace="https://x.example/sid", priority="asap", authored="2026-11-20", start="2026-11-20",
    end="2026-11-22", aim="abcès ?", subject=PATIENT, encounter=ROLE, requester=ROLE, performer=ROLE,
)  # fmt: skip
EXAM = RequestedExam("F-1-1", Code("CT", "http://dicom.nema.org/resources/ontology/DCM"), "Scanner – abdomen", "abdomen")


def test_an_order_names_its_number_its_form_its_aim_and_who_asks() -> None:
    order = service_request(EXAM, replace(ORDER, supporting=(PATIENT,), notes=("note",)), resource_id="a")
    ServiceRequest.model_validate(order)
    assert order["identifier"][0]["value"] == "F-1-1" and order["requisition"]["value"] == "F-1"
    assert order["identifier"][0]["system"] != order["requisition"]["system"]
    assert order["extension"][0]["extension"][0]["valueCodeableConcept"] == {"text": "abcès ?"}
    assert order["reasonCode"] == [{"text": "abcès ?"}]
    assert (order["status"], order["intent"], order["requester"], order["performer"]) == ("active", "order", ROLE, [ROLE])
    assert order["occurrencePeriod"] == {"start": "2026-11-20", "end": "2026-11-22"}
    assert order["supportingInfo"] == [PATIENT] and order["note"] == [{"text": "note"}]


def test_an_order_without_latest_date_notes_or_support_leaves_them_out() -> None:
    order = service_request(EXAM, replace(ORDER, end=""), resource_id="a")
    assert order["occurrencePeriod"] == {"start": "2026-11-20"}
    assert not {"note", "supportingInfo"} & set(order)


def test_lines_of_one_form_share_their_requisition() -> None:
    other = replace(EXAM, identifier="F-1-2")
    assert (
        service_request(EXAM, ORDER, resource_id="a")["requisition"]
        == service_request(other, ORDER, resource_id="b")["requisition"]
    )
    assert requisition_of(ORDER) == {"system": "https://x.example/sid/requisition", "value": "F-1"}


def test_each_known_site_bears_the_words_of_the_form() -> None:
    sites = (Code("302551006", "http://snomed.info/sct", "thorax entier"), Code("302553009", "http://snomed.info/sct"))
    found = service_request(replace(EXAM, sites=sites, region_text="TA"), ORDER, resource_id="a")["bodySite"]
    assert [site["text"] for site in found] == ["TA", "TA"]
    assert [site["coding"][0]["code"] for site in found] == ["302551006", "302553009"]


def test_every_supporting_resource_meets_its_r4_model() -> None:
    Condition.model_validate(
        supporting.condition(resource_id="a", subject=PATIENT, codes=(Code("E14", "urn:x"),), text="Diabète")
    )
    AllergyIntolerance.model_validate(supporting.iodine_allergy(resource_id="a", subject=PATIENT, text="Allergie"))
    statement = supporting.medication_statement(resource_id="a", subject=PATIENT, text="X", asserted="2026-11-20", source=ROLE)
    MedicationStatement.model_validate(statement)
    for unit in ("", "umol/L", "mg/L"):
        for observation in _creatinine(Creatinine(Decimal("13.5"), unit, "2026-11")):
            Observation.model_validate(observation)
    weight = supporting.body_weight(resource_id="a", subject=PATIENT, kilograms=Decimal("4.250"), on="2026-11-20")
    Observation.model_validate(weight)
    assert weight["text"]["div"].count("4,250 kg") == 1
    Observation.model_validate(supporting.patient_informed(resource_id="a", subject=PATIENT, informed=False))


def _creatinine(measured: Creatinine) -> list[dict[str, Any]]:
    return supporting.creatinine_observations(
        measured, ids=("a", "b"), subject=PATIENT, no_unit="unité non précisée", converted="× 8,84"
    )


def test_a_conversion_never_replaces_what_was_written() -> None:
    written, converted = _creatinine(Creatinine(Decimal("10"), "mg/L"))
    assert (written["valueQuantity"]["value"], converted["valueQuantity"]["value"]) == (10, 88.4)
    assert converted["note"] == [{"text": "× 8,84"}] and "note" not in written


@pytest.mark.parametrize(
    ("weeks", "days", "value"), [(32, 0, {"value": 32, "code": "wk"}), (32, 4, {"value": 228, "code": "d"}), (None, 0, None)]
)
def test_a_term_of_birth_is_exact_or_the_words_written(weeks: int | None, days: int, value: dict[str, Any] | None) -> None:
    found = supporting.gestational_age(resource_id="a", subject=PATIENT, text="mots", weeks=weeks, days=days)
    Observation.model_validate(found)
    if value is None:
        assert found["valueString"] == "mots"
    else:
        assert found["valueQuantity"].items() >= value.items() and found["note"] == [{"text": "mots"}]


def test_a_questionnaire_response_keeps_groups_and_answers() -> None:
    items = (ResponseItem("g", "Groupe", (), (ResponseItem("g.a", "A", (("valueBoolean", False),)),)),)
    response = supporting.questionnaire_response(
        resource_id="a", canonical="urn:q|1", items=items, subject=PATIENT, author=ROLE, authored="2026-11-20",
        identifier={"value": "F-1"},
    )  # fmt: skip
    QuestionnaireResponse.model_validate(response)
    assert response["item"][0]["item"][0]["answer"] == [{"valueBoolean": False}]


@given(st.decimals(min_value=0, max_value=10000, places=3))
def test_a_number_is_the_same_in_json_and_in_french(value: Decimal) -> None:
    assert Decimal(str(json_number(value))) == value
    assert Decimal(decimal_text(value).replace(",", ".")) == value


@pytest.mark.parametrize(
    ("iso", "french"),
    [
        ("2026-11-20", "20/11/2026"),
        ("1979-03", "03/1979"),
        ("1979", "1979"),
        ("2026-11-20T09:05:00+01:00", "20/11/2026 à 09:05"),
        ("", ""),
    ],
)
def test_dates_are_shown_as_the_french_write_them(iso: str, french: str) -> None:
    assert say.french_date(iso) == french


def test_narrative_text_is_escaped_and_empty_blocks_vanish() -> None:
    assert say.answers_table([]) == "" and say.paragraph("  ") == "" and say.strong_paragraph("") == ""
    table = say.answers_table([("<a>", "b & c\nd")], "x < y", frozenset({"b & c\nd"}))
    assert table == (
        "<table><caption>x &lt; y</caption><tbody><tr><th>&lt;a&gt;</th><td><b>b &amp; c<br/>d</b></td></tr></tbody></table>"
    )
    assert say.request_div() == '<div xmlns="http://www.w3.org/1999/xhtml"><p>—</p></div>'


def test_what_holds_patient_content_shows_nothing_of_it() -> None:
    for value in (ORDER, EXAM, Creatinine(Decimal(1)), ResponseItem("a", "b")):
        assert "confidential" in repr(value) and "abc" not in repr(value)
