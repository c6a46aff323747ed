"""The Patient: the INS travels only when it may, and no profile is claimed that is not met."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.identity import carries_ins, patient_resource
from adapter.fhir.validate import validate_bundle
from adapter.model.identity import INS_TEST, Address, Ins, LocalIdentifier, PatientIdentity, Reliability, Telecom
from tests.builders.cda import matricule

WHOLE = PatientIdentity(
    birth_name="EXEMPLE",
    first_given="CAMILLE",
    birth_given_names="CAMILLE JEANNE",
    used_name="MOREL",
    used_given="CAMILLE",
    birth_date="1974-09-18",
    sex="F",
    birth_place_insee="94043",
    birth_place_city="LE KREMLIN-BICETRE",
    ins=Ins(matricule("2740994043217"), INS_TEST),
    local_ids=(LocalIdentifier("123", "1.2.250.1.999.1"), LocalIdentifier("9", "Ville")),
    addresses=(Address(lines=("3 rue de l'Essai",), postal_code="94270", city="ICI", insee="94043", use="home"),),
    telecoms=(Telecom("phone", "0100000000", "home"), Telecom("other", "x")),
    reliability=Reliability.QUALIFIED,
)


def _made(identity: PatientIdentity) -> dict[str, Any]:
    resource = patient_resource(identity, id="0f0e0d0c-0000-5000-8000-000000000001")
    assert validate_bundle(resource) == ()
    return resource


def test_a_qualified_and_whole_identity_bears_its_ins_as_the_only_official_number() -> None:
    resource = _made(WHOLE)
    assert resource["meta"]["profile"] == [p.PATIENT_INS]
    official = [i for i in resource["identifier"] if i["use"] == "official"]
    assert [i["value"] for i in official] == [WHOLE.ins.value]  # type: ignore[union-attr]
    assert official[0]["type"]["coding"][0]["code"] == "INS-NIR-TEST"
    assert resource["extension"][0]["extension"][0]["valueCoding"]["code"] == "VALI"
    assert resource["name"][0]["given"] == ["CAMILLE"]
    assert resource["name"][0]["extension"][0]["valueString"] == "CAMILLE JEANNE"
    assert resource["name"][1] == {"use": "usual", "family": "MOREL", "given": ["CAMILLE"]}


@pytest.mark.parametrize(
    "change",
    [
        {"reliability": Reliability.PROVISIONAL},
        {"ins": Ins(matricule("2740994043217")[:13] + "99", INS_TEST)},
        {"ins": Ins(matricule("2740994043217"), "1.2.3")},
        {"ins": None},
        {"birth_given_names": ""},
        {"birth_date": "1974"},
        {"birth_place_insee": ""},
        {"sex": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_identity_that_lacks_anything_never_shows_the_matricule(change: dict[str, Any]) -> None:
    identity = replace(WHOLE, **change)
    resource = _made(identity)
    assert not carries_ins(identity)
    assert resource["meta"]["profile"] == [p.PATIENT]
    assert matricule("2740994043217")[:13] not in str(resource)
    assert resource["extension"][0]["extension"][0]["valueCoding"]["code"] == "PROV"


def test_the_least_that_a_form_gives_is_a_patient_without_empty_elements() -> None:
    resource = _made(PatientIdentity(birth_name="EXEMPLE"))
    assert resource["name"] == [{"family": "EXEMPLE"}]
    assert not [key for key, value in resource.items() if value in ("", [], {}, None)]


def test_sex_is_never_other() -> None:
    assert [_made(replace(WHOLE, sex=sex)).get("gender") for sex in ("F", "M", "UN", "")] == ["female", "male", "unknown", None]


def test_an_address_that_says_nothing_is_left_out() -> None:
    assert "address" not in _made(replace(WHOLE, addresses=(Address(use="home"),)))
