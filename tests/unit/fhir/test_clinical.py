"""Clinical resources: mandatory elements there, empty ones left out, UDI understood."""

from __future__ import annotations

import pytest

from adapter.fhir import clinical
from adapter.fhir.validate import validate_bundle

ID = "0f0e0d0c-0000-5000-8000-000000000001"
WHO = "urn:uuid:0f0e0d0c-0000-5000-8000-000000000002"


def test_a_false_or_zero_value_is_a_value() -> None:
    made = clinical.observation(
        ID, "x", status="final", code={"text": "x"}, subject=WHO, valueBoolean=False, note=[], method=None
    )
    assert made["valueBoolean"] is False
    assert not {"note", "method"} & set(made)
    assert validate_bundle(made) == ()


def test_every_builder_gives_a_resource_that_the_models_accept() -> None:
    made = [
        clinical.medication_statement(ID, "x", status="active", medication={"text": "m"}, subject=WHO),
        clinical.procedure(ID, "x", status="completed", code={"text": "p"}, subject=WHO),
        clinical.service_request(ID, "x", status="active", intent="plan", code={"text": "s"}, subject=WHO),
        clinical.appointment(ID, "x", status="proposed", participants=[{"actor": {"reference": WHO}, "status": "needs-action"}]),
        clinical.allergy_intolerance(ID, "x", clinical_status="active", code={"text": "a"}, patient=WHO),
        clinical.device(ID, "x", patient=WHO, **clinical.udi_elements("(01)03700000000015(17)301200(10)LOT")),
        clinical.device_use_statement(ID, "x", status="active", subject=WHO, device_url="urn:uuid:d"),
        clinical.past_encounter(ID, "x", class_coding={"code": "AMB"}, subject=WHO, period={"start": "2026"}),
    ]
    assert [finding for resource in made for finding in validate_bundle(resource)] == []


@pytest.mark.parametrize(
    "text", ["(01)00844588003288(17)141120(10)7654321D(21)10987", "{01}00844588003288{17}141120{10}7654321D{21}10987"]
)
def test_a_udi_is_read_in_parentheses_or_in_braces(text: str) -> None:
    assert clinical.udi_elements(text) == {
        "udiCarrier": [{"deviceIdentifier": "00844588003288", "carrierHRF": text}],
        "expirationDate": "2014-11-20",
        "lotNumber": "7654321D",
        "serialNumber": "10987",
    }


def test_a_reference_that_is_no_udi_is_kept_as_it_is_written() -> None:
    assert clinical.udi_elements("REF-12") == {"udiCarrier": [{"carrierHRF": "REF-12"}]}


@pytest.mark.parametrize(("text", "expected"), [("301200", "2030-12"), ("301231", "2030-12-31"), ("301331", None), ("x", None)])
def test_a_udi_day_may_be_a_month_only(text: str, expected: str | None) -> None:
    assert clinical.udi_elements(f"(17){text}").get("expirationDate") == expected
