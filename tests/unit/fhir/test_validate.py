"""The validator: a good document passes, each broken copy is told at its place and without its content."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.from_cda import translate_cda
from tests.builders.cda import build_ldl_ses

Bundle = dict[str, Any]


@pytest.fixture(scope="module")
def letter() -> Bundle:
    return translate_cda(build_ldl_ses()).bundle


def _of(bundle: Bundle, kind: str) -> Bundle:
    found: Bundle = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)
    return found


def _drop(bundle: Bundle, kind: str) -> None:
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]


def _double_patient(bundle: Bundle) -> None:
    bundle["entry"].append({"fullUrl": "urn:uuid:x", "resource": {**_of(bundle, "Patient"), "id": "x"}})


def _ins(bundle: Bundle) -> None:
    identifier = _of(bundle, "Patient")["identifier"][0]
    identifier["value"] = identifier["value"][:13] + "00"


def _number(kind: str, value: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        _of(bundle, kind)["identifier"][0]["value"] = value

    return change


def _div(div: object) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        _of(bundle, "Composition")["section"][0]["text"]["div"] = div

    return change


def _put(kind: str, key: str, value: object) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        _of(bundle, kind)[key] = value

    return change


X = '<div xmlns="http://www.w3.org/1999/xhtml">'
BROKEN: dict[str, tuple[str, Callable[[Bundle], object]]] = {
    "no composition": ("fhir.no-composition-first", lambda b: _drop(b, "Composition")),
    "no patient": ("fhir.not-exactly-one", lambda b: _drop(b, "Patient")),
    "two patients": ("fhir.not-exactly-one", _double_patient),
    "no identifier": ("fhir.no-document-identifier", lambda b: b.pop("identifier")),
    "no timestamp": ("fhir.no-timestamp", lambda b: b.pop("timestamp")),
    "a fullUrl twice": ("fhir.full-url", lambda b: b["entry"].append(b["entry"][1])),
    "a fullUrl of another": ("fhir.full-url", lambda b: b["entry"][2].update(fullUrl="urn:uuid:other")),
    "a reference to nowhere": ("fhir.reference-nowhere", _put("Encounter", "subject", {"reference": "urn:uuid:gone"})),
    "a reference outside": ("fhir.reference-nowhere", _put("Encounter", "subject", {"reference": "Patient/1"})),
    "a status that does not exist": ("fhir.unknown-code", _put("Observation", "status", "banana")),
    "no status": ("fhir.code-missing", lambda b: _of(b, "MedicationStatement").pop("status")),
    "gender other": ("fhir.unknown-code", _put("Patient", "gender", "other")),
    "wrong INS key": ("ins.wrong-key", _ins),
    "short RPPS": ("fhir.bad-rpps", _number("Practitioner", "123")),
    "bad FINESS": ("fhir.bad-finess", _number("Organization", "94099990X")),
    "an R5 type": ("fhir.not-r4", _put("Patient", "extension", [{"url": "http://x", "valueRatioRange": {}}])),
    "entries and sections": (
        "fhir.entries-and-sections",
        lambda b: _of(b, "Composition")["section"][0].update(section=[{"title": "x", "text": {"div": X + "x</div>"}}]),
    ),
    "entries and a reason why none": (
        "fhir.not-empty",
        lambda b: _of(b, "Composition")["section"][0].update(emptyReason={"text": "x"}),
    ),
    "no narrative": ("fhir.no-narrative", lambda b: _of(b, "Composition").pop("text")),
    "a section without div": ("fhir.no-narrative", _div("")),
    "a script": ("fhir.unsafe-narrative", _div(X + "<script>x</script></div>")),
    "an event": ("fhir.unsafe-narrative", _div(X + '<p onclick="x">a</p></div>')),
    "an active link": ("fhir.unsafe-narrative", _div(X + '<a href=" JavaScript:x">a</a></div>')),
    "a form": ("fhir.unsafe-narrative", _div(X + "<form>a</form></div>")),
    "a doctype": ("fhir.unsafe-narrative", _div("<!DOCTYPE div>" + X + "a</div>")),
    "no XHTML": ("fhir.unsafe-narrative", _div("<div>a</div>")),
    "broken XHTML": ("fhir.unsafe-narrative", _div(X + "<p>a</div>")),
    "a blank narrative": ("fhir.blank-narrative", _div(X + " </div>")),
    "an unknown element": ("fhir.structure", _put("Patient", "surname", "DUPONT")),
    "a list where one is meant": ("fhir.structure", _put("Patient", "birthDate", ["2020"])),
    "a date that is none": ("fhir.structure", _put("Patient", "birthDate", "hier")),
    "a resource of no kind": ("fhir.unknown-resource", lambda b: b.update(resourceType="Nothing")),
}


def test_a_good_document_passes_and_is_not_touched(letter: Bundle) -> None:
    before = copy.deepcopy(letter)
    assert validate_bundle(letter) == ()
    assert letter == before


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_told(letter: Bundle, fault: str) -> None:
    code, change = BROKEN[fault]
    broken = copy.deepcopy(letter)
    change(broken)
    found = validate_bundle(broken)
    assert code in {finding.code for finding in found}
    assert "DUPONT" not in str(found)


def test_rules_alone_do_not_call_the_models_and_none_checks_nothing(letter: Bundle) -> None:
    broken = copy.deepcopy(letter)
    _put("Patient", "surname", "DUPONT")(broken)
    assert validate_bundle(broken, Level.RULES) == ()
    _put("Observation", "status", "banana")(broken)
    assert [f.code for f in validate_bundle(broken, Level.RULES)] == ["fhir.unknown-code"]
    assert validate_bundle(broken, Level.NONE) == ()


def test_the_place_of_a_fault_is_a_path() -> None:
    resource = {"resourceType": "Observation", "status": "banana", "code": {"text": "x"}}
    (finding,) = validate_bundle(resource)
    assert finding.location == "Observation.status"


def test_a_transaction_may_name_what_the_server_has_but_not_an_absent_entry() -> None:
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": "Patient/1"}}
    bundle: Bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:t", "resource": task, "request": {"method": "POST", "url": "Task"}}]}  # fmt: skip
    assert validate_bundle(bundle) == ()
    task["focus"] = {"reference": "urn:uuid:gone"}
    assert [f.code for f in validate_bundle(bundle)] == ["fhir.reference-nowhere"]


@pytest.mark.parametrize(
    "resource", [{}, {"resourceType": 3}, {"resourceType": "Bundle", "type": "document", "entry": [None, {}]}]
)
def test_nonsense_is_told_and_never_raises(resource: Bundle) -> None:
    assert validate_bundle(resource)
