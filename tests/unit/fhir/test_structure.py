"""The table of R4 elements, and what it says of values: the same as the models it was made from."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from adapter.data import mappings_root
from adapter.fhir.structure import is_valid, shape_of
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import translate_cda
from tests.builders.cda import build_ldl_ses
from tests.builders.r4_structure import structure_table

Resource = dict[str, Any]


def test_the_table_is_what_the_models_say() -> None:
    kept = json.loads((mappings_root() / "fhir" / "r4-structure.json").read_text(encoding="utf-8"))
    assert kept == structure_table()


def test_a_shape_knows_its_mandatory_elements_and_choices() -> None:
    observation = shape_of("Observation")
    assert observation is not None
    assert observation.mandatory == ("code", "status")
    assert observation.elements["valueQuantity"].choice == "value"
    assert shape_of("Nothing") is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("date", "2024"),
        ("date", "2024-02"),
        ("date", "2024-02-29"),
        ("dateTime", "2024-02-29T10:11:12+01:00"),
        ("dateTime", "2024"),
        ("instant", "2024-02-29T10:11:12.123Z"),
        ("boolean", False),
        ("decimal", 1.5),
        ("decimal", 1),
        ("positiveInt", 1),
        ("unsignedInt", 0),
        ("integer", -5),
        ("code", "a b"),
        ("id", "a.b-c"),
        ("uri", "urn:oid:1.2"),
        ("base64Binary", "QUJD"),
        ("base64Binary", "QUI="),
        ("base64Binary", "QU JD\nQUI="),
        ("markdown", "x"),
        ("time", "10:00:00"),
    ],
)
def test_a_good_value_is_one_of_its_type(kind: str, value: object) -> None:
    assert is_valid(kind, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("date", "2024-02-30"),
        ("date", "2024-13"),
        ("date", "2024-02-29T10:11:12Z"),
        ("dateTime", "2024-02-29T10:11"),
        ("dateTime", "2024-02-29T10:11:12"),
        ("instant", "2024-02-29"),
        ("boolean", "true"),
        ("decimal", "1.5"),
        ("decimal", True),
        ("positiveInt", 0),
        ("unsignedInt", -1),
        ("integer", 1.0),
        ("integer", 2**31),
        ("code", " a"),
        ("code", "a  b"),
        ("id", "a_b"),
        ("id", "a" * 65),
        ("uri", "a b"),
        ("base64Binary", "QUJ"),
        ("base64Binary", "Q=JD"),
        ("base64Binary", "=QUJ"),
        ("base64Binary", "é==="),
        ("base64Binary", "===="),
        ("string", ""),
        ("string", "  "),
        ("string", 3),
        ("time", "25:00:00"),
        ("oid", "1.2.3"),
        ("uuid", "urn:uuid:x"),
        ("dateTime", "2024-02-29T24:00:00Z"),
    ],
)
def test_a_bad_value_is_none_of_its_type(kind: str, value: object) -> None:
    assert not is_valid(kind, value)


# -- beside the models --------------------------------------------------------------------------------------------------


def _resources() -> list[Resource]:
    return [entry["resource"] for entry in translate_cda(build_ldl_ses()).bundle["entry"]]  # type: ignore[attr-defined]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) below a resource, but what the models leave to the norm."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        if key in ("resourceType", "div", "extension", "url"):
            continue
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _refused_by_the_model(resource: Resource) -> bool:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except (ValidationError, TypeError, ValueError, AttributeError):
        return True
    return False


@pytest.mark.parametrize("wrong", [{"unknown": 1}, ["x", "y"], 12345678901, True, "zz-zz"], ids=str)
def test_what_the_models_refuse_is_refused(wrong: object) -> None:
    """A value of another type at a few hundred places: whatever the models catch, the table catches."""
    missed = []
    choice = random.Random(7)
    for resource in _resources():
        places = list(_places(resource))
        for number in choice.sample(range(len(places)), min(12, len(places))):
            broken = copy.deepcopy(resource)
            container, key = list(_places(broken))[number]
            container[key] = wrong
            if _refused_by_the_model(broken) and not validate_bundle(broken):
                missed.append((resource["resourceType"], key))
    assert missed == []


def test_an_element_of_another_type_is_told_at_its_place_and_never_named() -> None:
    patient = {"resourceType": "Patient", "surname-of-DUPONT": "x"}
    (finding,) = validate_bundle(patient)
    assert (finding.code, finding.location) == ("fhir.structure", "Patient.?")


def test_two_types_of_one_choice_and_none_of_a_mandatory_one_are_told() -> None:
    both = {"resourceType": "Patient", "deceasedBoolean": True, "deceasedDateTime": "2024"}
    assert [f.location for f in validate_bundle(both)] == ["Patient.deceased[x]"]
    none = {"resourceType": "MedicationStatement", "status": "active", "subject": {"reference": "Patient/1"}}
    assert [f.location for f in validate_bundle(none)] == ["MedicationStatement.medication[x]"]


def test_a_primitive_may_be_absent_with_a_reason_and_its_reason_is_checked() -> None:
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    told = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "_effectiveDateTime": {"extension": [reason]},
    }
    assert validate_bundle(told) == ()
    told["_effectiveDateTime"] = {"extension": [{"url": 3}]}
    assert {f.code for f in validate_bundle(told)} == {"fhir.structure", "fhir.ext-1"}
    told["_effectiveDateTime"] = {}
    assert [f.location for f in validate_bundle(told)] == ["Observation._effectiveDateTime"]
    told["_effectiveDateTime"] = None
    told["_code"] = {"id": "x"}
    assert [f.location for f in validate_bundle(told)] == ["Observation._?"]
