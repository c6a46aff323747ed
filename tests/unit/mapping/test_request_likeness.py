"""What two requests have in common when they may be one: patient, exam and requester, by number or by name."""

from __future__ import annotations

import copy
from typing import Any

from adapter.mapping.from_fhir import header_of
from adapter.mapping.request_likeness import likeness_of
from tests.builders.sent_fax import case_bundle


def likeness(bundle: dict[str, Any]) -> set[str]:
    return set(likeness_of(bundle, header_of(bundle)))


def changed(bundle: dict[str, Any], kind: str, **values: Any) -> dict[str, Any]:
    other = copy.deepcopy(bundle)
    for entry in other["entry"]:
        if entry["resource"]["resourceType"] == kind:
            entry["resource"].update(values)
    return other


def test_a_request_is_like_itself_and_a_letter_like_nothing() -> None:
    scan = case_bundle("imagerie-scanner-diabete")
    assert likeness(scan) and likeness(scan) == likeness(copy.deepcopy(scan))
    assert likeness(case_bundle("fhir-discharge-letter")) == set()


def test_another_patient_exam_or_requester_is_not_alike() -> None:
    scan = case_bundle("imagerie-scanner-diabete")
    assert likeness(scan).isdisjoint(likeness(case_bundle("imagerie-echo-enfant")))
    assert likeness(scan).isdisjoint(likeness(changed(scan, "Patient", birthDate="1950-02-03", identifier=[])))
    elsewhere = changed(scan, "ServiceRequest", bodySite=[{"text": "poignet"}], code={"text": "poignet"}, category=[])
    assert likeness(scan).isdisjoint(likeness(elsewhere))


def test_the_same_request_on_another_day_with_other_words_for_its_aim_is_alike() -> None:
    scan = case_bundle("imagerie-scanner-diabete")
    again = changed(scan, "ServiceRequest", authoredOn="2026-12-01", reasonCode=[{"text": "Autre but"}])
    assert likeness(scan) == likeness(again)
