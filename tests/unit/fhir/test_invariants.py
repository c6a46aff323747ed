"""Each invariant of R4 written by hand: what keeps it passes, what breaks it is told under its name; an oracle agrees."""

from __future__ import annotations

import time
from typing import Any

import pytest

from adapter.fhir.invariants import CLAIMS, OF_NAMES
from adapter.fhir.structure import shape_of
from adapter.fhir.validate import validate_bundle

Resource = dict[str, Any]
CODE = {"text": "x"}
SUBJECT = {"reference": "Patient/1"}


def _observation(**more: Any) -> Resource:
    return {"resourceType": "Observation", "status": "final", "code": CODE, **more}


def _condition(**more: Any) -> Resource:
    return {"resourceType": "Condition", "subject": SUBJECT, **more}


def _timing(**repeat: Any) -> Resource:
    order = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": SUBJECT}
    return order | {"occurrenceTiming": {"repeat": repeat}}


def _status(code: str) -> Resource:
    return {"coding": [{"system": "http://x", "code": code}]}


def _allergy(**more: Any) -> Resource:
    return {"resourceType": "AllergyIntolerance", "patient": SUBJECT, **more}


def _appointment(**more: Any) -> Resource:
    people = [{"actor": SUBJECT, "status": "accepted"}]
    return {"resourceType": "Appointment", "status": "booked", "participant": people, **more}


def _consent(**more: Any) -> Resource:
    scope = {"scope": CODE, "category": [CODE]}
    return {"resourceType": "Consent", "status": "active", **scope, **more}


def _patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", **more}


def _family(**more: Any) -> Resource:
    return {"resourceType": "FamilyMemberHistory", "status": "completed", "patient": SUBJECT, "relationship": CODE, **more}


INNER = {"resourceType": "Basic", "id": "b", "code": CODE}
PAIRS: dict[str, tuple[Resource, Resource]] = {
    "dom-2": (_patient(contained=[INNER]), _patient(contained=[{**INNER, "contained": [INNER]}])),
    "dom-4": (
        _patient(contained=[{**INNER, "meta": {"profile": ["http://x"]}}]),
        _patient(contained=[{**INNER, "meta": {"versionId": "1"}}]),
    ),
    "ext-1": (_patient(extension=[{"url": "http://x", "valueCode": "a"}]), _patient(extension=[{"url": "http://x"}])),
    "ref-1": (_patient(managingOrganization={"display": "x"}), _patient(managingOrganization={"type": "Organization"})),
    "per-1": (
        _observation(effectivePeriod={"start": "2024-03", "end": "2024-03-02"}),
        _observation(effectivePeriod={"start": "2024-03-03", "end": "2024-03-02"}),
    ),
    "qty-3": (
        _observation(valueQuantity={"value": 1, "code": "mg", "system": "http://unitsofmeasure.org"}),
        _observation(valueQuantity={"value": 1, "code": "mg"}),
    ),
    "rng-2": (
        _observation(valueRange={"low": {"value": 1}, "high": {"value": 1}}),
        _observation(valueRange={"low": {"value": 2}, "high": {"value": 1}}),
    ),
    "rat-1": (
        _observation(valueRatio={"numerator": {"value": 1}, "denominator": {"value": 1}}),
        _observation(valueRatio={"numerator": {"value": 1}}),
    ),
    "att-1": (_patient(photo=[{"data": "QUJD", "contentType": "image/png"}]), _patient(photo=[{"data": "QUJD"}])),
    "cpt-2": (_patient(telecom=[{"system": "phone", "value": "1"}]), _patient(telecom=[{"value": "1"}])),
    "tim-1": (_timing(duration=1, durationUnit="d"), _timing(duration=1)),
    "tim-2": (_timing(period=1, periodUnit="d"), _timing(period=1)),
    "tim-4": (_timing(duration=0, durationUnit="d"), _timing(duration=-1, durationUnit="d")),
    "tim-5": (_timing(period=0, periodUnit="d"), _timing(period=-1, periodUnit="d")),
    "tim-6": (_timing(period=1, periodMax=2, periodUnit="d"), _timing(periodMax=2)),
    "tim-7": (_timing(duration=1, durationMax=2, durationUnit="d"), _timing(durationMax=2)),
    "tim-8": (_timing(count=1, countMax=2), _timing(countMax=2)),
    "tim-9": (_timing(offset=5, when=["ACM"]), _timing(offset=5, when=["CM"])),
    "tim-10": (_timing(when=["ACM"]), _timing(when=["ACM"], timeOfDay=["10:00:00"])),
    "pat-1": (_patient(contact=[{"name": {"text": "x"}}]), _patient(contact=[{"gender": "male"}])),
    "org-1": ({"resourceType": "Organization", "name": "x"}, {"resourceType": "Organization", "active": True}),
    "org-2": (
        {"resourceType": "Organization", "name": "x", "address": [{"use": "work", "city": "y"}]},
        {"resourceType": "Organization", "name": "x", "address": [{"use": "home", "city": "y"}]},
    ),
    "org-3": (
        {"resourceType": "Organization", "name": "x", "telecom": [{"system": "phone", "use": "work", "value": "1"}]},
        {"resourceType": "Organization", "name": "x", "telecom": [{"system": "phone", "use": "home", "value": "1"}]},
    ),
    "con-4": (
        _condition(abatementDateTime="2024", clinicalStatus=_status("resolved")),
        _condition(abatementDateTime="2024", clinicalStatus=_status("active")),
    ),
    "con-5": (
        _condition(verificationStatus=_status("entered-in-error")),
        _condition(verificationStatus=_status("entered-in-error"), clinicalStatus=_status("active")),
    ),
    "ait-1": (_allergy(clinicalStatus=_status("active")), _allergy()),
    "ait-2": (
        _allergy(verificationStatus=_status("entered-in-error")),
        _allergy(verificationStatus=_status("entered-in-error"), clinicalStatus=_status("active")),
    ),
    "obs-3": (_observation(referenceRange=[{"text": "x"}]), _observation(referenceRange=[{"type": CODE}])),
    "obs-6": (_observation(dataAbsentReason=CODE), _observation(dataAbsentReason=CODE, valueString="x")),
    "obs-7": (
        _observation(valueString="x", component=[{"code": _status("a"), "valueString": "y"}]),
        {**_observation(valueString="x", component=[{"code": _status("a"), "valueString": "y"}]), "code": _status("a")},
    ),
    "app-1": (
        _appointment(start="2024-01-01T10:00:00Z", end="2024-01-01T11:00:00Z"),
        _appointment(status="proposed", participant=[{"status": "accepted"}]),
    ),
    "app-2": (_appointment(status="proposed"), _appointment(start="2024-01-01T10:00:00Z")),
    "app-3": (_appointment(status="proposed"), _appointment()),
    "app-4": (_appointment(status="cancelled", cancelationReason=CODE), _appointment(status="proposed", cancelationReason=CODE)),
    "ppc-1": (_consent(policyRule=CODE), _consent()),
    "prr-1": (
        {**_timing(count=1), "code": CODE, "orderDetail": [CODE]},
        {**_timing(count=1), "orderDetail": [CODE]},
    ),
    "imm-1": (
        {
            "resourceType": "Immunization",
            "status": "completed",
            "vaccineCode": CODE,
            "patient": SUBJECT,
            "occurrenceString": "x",
            "education": [{"documentType": "x"}],
        },
        {
            "resourceType": "Immunization",
            "status": "completed",
            "vaccineCode": CODE,
            "patient": SUBJECT,
            "occurrenceString": "x",
            "education": [{"publicationDate": "2024"}],
        },
    ),
    "fhs-1": (_family(ageString="x"), _family(ageString="x", bornString="y")),
    "fhs-2": (_family(ageString="x", estimatedAge=True), _family(estimatedAge=True)),
    "mad-1": (
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": CODE,
            "subject": SUBJECT,
            "effectiveDateTime": "2024",
            "dosage": {"dose": {"value": 1}},
        },
        {
            "resourceType": "MedicationAdministration",
            "status": "completed",
            "medicationCodeableConcept": CODE,
            "subject": SUBJECT,
            "effectiveDateTime": "2024",
            "dosage": {"text": "x"},
        },
    ),
    "lst-2": (
        {"resourceType": "List", "status": "current", "mode": "changes", "entry": [{"item": SUBJECT, "deleted": True}]},
        {"resourceType": "List", "status": "current", "mode": "working", "entry": [{"item": SUBJECT, "deleted": True}]},
    ),
    "bdl-5": (
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": _patient(active=True)}]},
        {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "http://x/Patient/1"}]},
    ),
    "bdl-8": (
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": "http://x/Patient/1", "resource": _patient(active=True)}],
        },
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"fullUrl": "http://x/Patient/1/_history/2", "resource": _patient(active=True)}],
        },
    ),
}
COMPOSITION = {
    "resourceType": "Composition",
    "status": "final",
    "type": CODE,
    "date": "2024",
    "author": [SUBJECT],
    "title": "x",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_keeps_an_invariant_passes_and_what_breaks_it_is_told(name: str) -> None:
    good, bad = PAIRS[name]
    assert [f for f in validate_bundle(good) if f.code.startswith(("fhir.structure", f"fhir.{name}"))] == []
    assert f"fhir.{name}" in {f.code for f in validate_bundle(bad)}


def test_the_invariants_of_a_section_are_told() -> None:
    empty = {**COMPOSITION, "section": [{"title": "x"}]}
    assert {"fhir.cmp-1", "fhir.no-narrative"} == {f.code for f in validate_bundle(empty)}


def test_every_invariant_has_its_pair() -> None:
    named = {name for claims in CLAIMS.values() for name, _, _ in claims} - {"cmp-1", "cmp-2"}
    assert named <= set(PAIRS)


@pytest.mark.parametrize("name", sorted(set(PAIRS) - {"dom-4", "lst-2"}))
def test_the_official_expression_agrees(name: str) -> None:
    """fhirpathpy evaluates the norm's own words on the same pairs."""
    from fhirpathpy import evaluate

    expression = EXPRESSIONS.get(name)
    if expression is None:
        assert name in NOT_EXPRESSED, name
        return
    place, claim = expression
    good, bad = PAIRS[name]
    assert evaluate(good, f"{place}.all({claim})", {}) == [True]
    assert evaluate(bad, f"{place}.all({claim})", {}) == [False]


# name: (where, the expression of R4 4.0.1)
EXPRESSIONS: dict[str, tuple[str, str]] = {
    "att-1": ("Patient.photo", "data.empty() or contentType.exists()"),
    "cpt-2": ("Patient.telecom", "value.empty() or system.exists()"),
    "pat-1": ("Patient.contact", "name.exists() or telecom.exists() or address.exists() or organization.exists()"),
    "org-1": ("Organization", "(identifier.count() + name.count()) > 0"),
    "org-2": ("Organization.address", "where(use = 'home').empty()"),
    "org-3": ("Organization.telecom", "where(use = 'home').empty()"),
    "obs-3": ("Observation.referenceRange", "low.exists() or high.exists() or text.exists()"),
    "app-2": ("Appointment", "start.exists() = end.exists()"),
    "app-3": ("Appointment", "(start.exists() and end.exists()) or (status in ('proposed' | 'cancelled' | 'waitlist'))"),
    "ppc-1": ("Consent", "policy.exists() or policyRule.exists()"),
    "prr-1": ("ServiceRequest", "orderDetail.empty() or code.exists()"),
    "tim-1": ("ServiceRequest.occurrenceTiming.repeat", "duration.empty() or durationUnit.exists()"),
    "tim-2": ("ServiceRequest.occurrenceTiming.repeat", "period.empty() or periodUnit.exists()"),
    "tim-6": ("ServiceRequest.occurrenceTiming.repeat", "periodMax.empty() or period.exists()"),
    "tim-8": ("ServiceRequest.occurrenceTiming.repeat", "countMax.empty() or count.exists()"),
    "tim-10": ("ServiceRequest.occurrenceTiming.repeat", "timeOfDay.empty() or when.empty()"),
    "imm-1": ("Immunization.education", "documentType.exists() or reference.exists()"),
    "bdl-5": ("Bundle.entry", "resource.exists() or request.exists() or response.exists()"),
}
# Choices and words that the oracle needs the type model for, or that the pair says better.
NOT_EXPRESSED = set(PAIRS) - set(EXPRESSIONS)


def _document(references: int) -> Resource:
    target = "urn:uuid:00000000-0000-5000-8000-00000000000a"
    group: Resource = {"resourceType": "List", "id": target[9:], "status": "current", "mode": "working"}
    group["entry"] = [{"item": {"reference": target}} for _ in range(references)]
    return {
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2"},
        "timestamp": "2024-01-01T00:00:00Z",
        "entry": [{"fullUrl": target, "resource": group}],
    }


def _seconds(bundle: Resource) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        validate_bundle(bundle)
        best = min(best, time.process_time() - start)
    return best


def test_ten_thousand_references_take_ten_times_what_one_thousand_take() -> None:
    """Linear: a quadratic walk would take a hundred times."""
    small, large = _seconds(_document(1_000)), _seconds(_document(10_000))
    assert large < 25 * small


def test_a_bundle_with_nothing_but_faults_is_told_in_bounded_findings() -> None:
    bundle = _document(10)
    bundle["entry"][0]["resource"]["entry"] = [{"item": {"reference": f"urn:uuid:{n}"}} for n in range(5_000)]
    assert len(validate_bundle(bundle)) == 1000


class _NamesAlone(dict[str, Any]):
    """A node whose values nobody may look at."""

    def _refuse(self, *_: object) -> Any:
        raise AssertionError

    __getitem__ = get = values = items = _refuse  # type: ignore[assignment]


def test_the_claims_said_to_look_at_names_alone_do() -> None:
    assert {name for claims in CLAIMS.values() for name, _, _ in claims} >= OF_NAMES
    for kind, claims in CLAIMS.items():
        shape = shape_of(kind)
        names = [*shape.elements, *(f"_{name}" for name in shape.elements)] if shape is not None else []
        for _, holds, _ in (claim for claim in claims if claim[0] in OF_NAMES):
            for node in ({}, dict.fromkeys(names), *({name: None} for name in names)):
                holds(_NamesAlone(node))
