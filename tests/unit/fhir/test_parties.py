"""Practitioners, roles, organisations, devices: numbers in their own systems, each actor once."""

from __future__ import annotations

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, full_url
from adapter.fhir.parties import Parties, device_resource, organization_resource, party_entries, practitioner_resource
from adapter.fhir.validate import validate_bundle
from adapter.model.identity import Address, Telecom
from adapter.model.parties import Device, Organisation, Party, Professional

PRO = Professional(
    "DUTEST", "Alix", rpps="10009990001", title="DR", civility="MME", specialty_code="G15_10/SM27",
    specialty_system="1.2.250.1.213.1.1.4.5", telecoms=(Telecom("phone", "01"),), addresses=(Address(city="ICI"),),
)  # fmt: skip
PLACE = Organisation("Hôpital d'essai", finess="940999901", unit="2105", setting_code="ETABLISSEMENT")
ID = "0f0e0d0c-0000-5000-8000-000000000001"


def test_a_practitioner_has_the_title_as_suffix_and_the_civility_as_prefix() -> None:
    resource = practitioner_resource(PRO, ID)
    assert resource["name"] == [{"family": "DUTEST", "given": ["Alix"], "prefix": ["MME"], "suffix": ["DR"]}]
    assert (resource["identifier"][0]["system"], resource["identifier"][0]["value"]) == (p.RPPS_SYSTEM, "10009990001")
    assert validate_bundle(resource) == ()


@pytest.mark.parametrize(
    ("national_id", "system", "value"),
    [("0941234567", p.IDNPS_SYSTEM, "0941234567"), ("1.2.250.1.999^77", "urn:oid:1.2.250.1.999", "77")],
)
def test_a_number_that_is_no_rpps_keeps_its_own_system(national_id: str, system: str, value: str) -> None:
    (identifier,) = practitioner_resource(Professional("X", national_id=national_id), ID)["identifier"]
    assert (identifier["system"], identifier["value"]) == (system, value)


def test_an_organisation_always_has_a_name_and_its_numbers() -> None:
    resource = organization_resource(PLACE, ID)
    assert [i["value"] for i in resource["identifier"]] == ["940999901", "2105"]
    assert resource["extension"][0]["valueCoding"] == {"system": p.TRE_SETTING, "code": "ETABLISSEMENT"}
    assert organization_resource(Organisation(finess="940999901"), ID)["name"] == "940999901"
    assert organization_resource(Organisation(), ID)["name"] == "Non précisé"
    assert validate_bundle(resource) == ()


def test_a_party_is_a_role_joining_the_person_and_the_place() -> None:
    *others, role = party_entries(Party(PRO, PLACE), Ids("x"))
    practitioner, organization = others
    assert role["practitioner"] == {"reference": full_url(practitioner)}
    assert role["organization"] == {"reference": full_url(organization)}
    assert role["specialty"] == [{"coding": [{"system": p.TRE_SPECIALTY, "code": "SM27"}]}]
    assert role["code"][0]["coding"][0] == {"system": p.TRE_PROFESSION, "code": "G15_10/SM27"}
    assert validate_bundle(role) == ()


def test_the_same_person_in_two_places_is_one_practitioner_with_two_roles() -> None:
    actors = Parties(Ids("x"))
    first = actors.role(Party(PRO, PLACE))
    second = actors.role(Party(PRO, Organisation("Centre", finess="940999902")))
    again = actors.role(Party(PRO, PLACE, time="2026-11-20"))
    assert first is again
    assert first is not second
    kinds = [r["resourceType"] for r in actors.resources]
    assert (kinds.count("Practitioner"), kinds.count("PractitionerRole"), kinds.count("Organization")) == (1, 2, 2)
    assert len({r["id"] for r in actors.resources}) == 5


def test_software_that_acts_alone_is_a_device_owned_by_its_organisation() -> None:
    actors = Parties(Ids("x"))
    device = actors.actor(Party(organisation=PLACE, device=Device("1.2.3^4", "Logiciel", "v2")))
    assert device["resourceType"] == "Device"
    assert device["identifier"] == [{"system": "urn:oid:1.2.3", "value": "4"}]
    assert device["owner"]["reference"] == full_url(actors.resources[-1])
    assert validate_bundle(device) == ()
    assert device_resource(Device(model="seul"), ID)["deviceName"] == [{"name": "seul", "type": "model-name"}]
