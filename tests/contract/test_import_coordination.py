"""A patient's treatments, appointments and team by the Import API: one patient, one client's own documents, nothing of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.cda import INS_TEST_OID, PATIENT, build_ldl_ses, matricule
from tests.builders.hl7 import build_mdm
from tests.builders.import_client import ImportApi, issue_of
from tests.builders.practices import Town

pytestmark = pytest.mark.contract
MINE = f"urn:oid:{INS_TEST_OID}|{matricule('2740994043217')}"
KINDS = ("MedicationStatement", "MedicationRequest", "Appointment", "CareTeam")


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path, ("cab-1", "cab-2"))


@pytest.fixture
def api(town: Town, tmp_path: Path) -> ImportApi:
    return ImportApi(town.house, tmp_path)


def _found(api: ImportApi, kind: str, patient: str = MINE, **kwargs: object) -> list[dict[str, object]]:
    answer = api.get(kind, params={"patient.identifier": patient}, **kwargs)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    entries = page.get("entry", [])
    assert page["total"] == len(entries)
    assert all(one["resource"]["resourceType"] == kind for one in entries)
    return [one["resource"] for one in entries]


def test_the_treatments_of_a_letter_are_read_per_patient_and_name_their_letter(town: Town, api: ImportApi) -> None:
    town.write(1)
    treatments = _found(api, "MedicationStatement")
    assert treatments
    (reference,), _ = api.sync()
    sources = {one["meta"]["source"] for one in treatments}  # type: ignore[index]
    assert sources == {reference["masterIdentifier"]["value"]}
    assert all(one["subject"]["identifier"]["value"] in MINE for one in treatments)  # type: ignore[index]


def test_the_key_may_be_left_out_and_another_system_is_another_patient(town: Town, api: ImportApi) -> None:
    town.write(1)
    whole = _found(api, "MedicationStatement")
    assert _found(api, "MedicationStatement", f"urn:oid:{INS_TEST_OID}|2740994043217") == whole
    assert _found(api, "MedicationStatement", matricule("2740994043217")) == whole
    assert _found(api, "MedicationStatement", f"urn:oid:1.2.250.1.213.1.4.8|{matricule('2740994043217')}") == []


def test_only_the_version_that_stands_speaks(town: Town, api: ImportApi) -> None:
    town.write(1)
    before = _found(api, "MedicationStatement")
    town.write(2)
    after = _found(api, "MedicationStatement")
    assert len(after) == len(before)
    assert not {one["id"] for one in before} & {one["id"] for one in after}
    town.write(2, cancels=True)
    assert _found(api, "MedicationStatement") == []


def test_a_letter_to_another_practice_tells_nothing(town: Town, api: ImportApi) -> None:
    town.write(1, to=("cab-2",))
    assert all(_found(api, kind) == [] for kind in KINDS)


def test_the_team_names_author_and_recipient_once(town: Town, api: ImportApi) -> None:
    town.write(1)
    town.write(1, number=2)
    (team,) = _found(api, "CareTeam")
    names = [one["member"]["display"] for one in team["participant"]]  # type: ignore[index]
    assert any("DUCABINET1" in name for name in names)
    assert len(names) == len(set(names))
    assert not any("DUCABINET2" in name for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_patient_nothing_is_told(api: ImportApi, town: Town, kind: str) -> None:
    town.write(1)
    assert issue_of(api.get(kind))[::2] == (400, "search.no-patient")
    assert issue_of(api.get(kind, params={"name": "EXEMPLE"}))[::2] == (400, "search.unknown-parameter")


@pytest.mark.parametrize("kind", KINDS)
def test_two_patients_are_never_told_as_one(api: ImportApi, town: Town, kind: str) -> None:
    town.write(1, patient=replace(PATIENT, ipp="P-1"))
    town.write(1, number=2, patient=replace(PATIENT, ipp="P-2"))
    system = f"urn:oid:{INS_TEST_OID}"
    for asked in (f"{system}|", f"{MINE},P-2", "P-1,P-2"):
        assert issue_of(api.get(kind, params={"patient.identifier": asked}))[::2] == (400, "search.no-patient"), asked


def test_a_number_that_two_patients_bear_asks_for_its_system(api: ImportApi, town: Town) -> None:
    number = matricule("2740994043217")
    town.write(1)
    other = replace(PATIENT, ipp=number, ins=matricule("2740994043218"))
    cda = build_ldl_ses(document_id="1.2.250.1.999.94.60.2.1", set_id="1.2.250.1.999.94.60.2", patient=other)
    town.house.letter(build_mdm(cda, control_id="N2-1", recipients=town.to("cab-1"), patient=other))
    town.publish()
    assert len(api.sync()[0]) == 2
    answer = api.get("CareTeam", params={"patient.identifier": number})
    assert issue_of(answer)[::2] == (400, "search.several-patients")
    assert len(_found(api, "CareTeam")) == 1


def test_each_type_needs_its_scope_and_each_reading_leaves_a_trace(town: Town, api: ImportApi) -> None:
    town.write(1)
    narrow = api.token(scope="system/CareTeam.s")
    assert api.get("MedicationStatement", params={"patient.identifier": MINE}, token=narrow).status_code == 403
    assert len(_found(api, "CareTeam", token=narrow)) == 1
    statement = api.http.get("/fhir/metadata").json()
    told = {one["type"]: one for one in statement["rest"][0]["resource"]}
    assert set(KINDS) <= set(told)
    assert told["CareTeam"]["interaction"] == [{"code": "search-type"}]
