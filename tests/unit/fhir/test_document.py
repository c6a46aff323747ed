"""The document Bundle built from a header and sections, whatever the source."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.bundle import resources_of, write_json
from adapter.fhir.document import DocumentExtras, EncounterDetails, Section, document_bundle_from, document_ids, patient_url
from adapter.fhir.validate import validate_bundle
from adapter.mapping.terminology import load_table
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Device, Organisation, Party, Professional

PRO = Party(Professional("DUTEST", "Alix", rpps="10009990001"), Organisation("Hôpital", finess="940999901"), time="2026-11-20")
PCP = Party(Professional("MODELE", "Sacha", rpps="10009990002"), function_code="PCP", function_label="Médecin traitant")
HEADER = DocumentHeader(
    unique_id="1.2.250.1.999.7",
    type=Code("11490-0", "2.16.840.1.113883.6.1", "Lettre de liaison"),
    title="Lettre",
    created="2026-11-20T16:30:00+01:00",
    patient=PatientIdentity("EXEMPLE", "CAMILLE"),
    authors=(PRO,),
    custodian=Organisation("Hôpital", finess="940999901"),
    body=BodyKind.FORM,
    legal_authenticator=PRO,
)
SOURCE = b"<source/>"


def _bundle(header: DocumentHeader = HEADER, *sections: Section, **more: Any) -> dict[str, Any]:
    chosen = sections or (Section(Code("1", "1.2.3"), "Section"),)
    bundle = document_bundle_from(header, chosen, [], SOURCE, "text/xml", **more)
    assert validate_bundle(bundle) == ()
    return bundle


def _composition(bundle: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = bundle["entry"][0]["resource"]
    return first


def test_the_same_header_and_source_give_the_same_bytes_and_another_source_other_ids() -> None:
    assert write_json(_bundle()) == write_json(_bundle())
    other = document_bundle_from(HEADER, [Section(Code("1"), "S")], [], b"<other/>", "text/xml")
    assert other["id"] != _bundle()["id"]


def test_the_source_travels_byte_for_byte_and_is_named_by_the_composition() -> None:
    bundle = _bundle()
    (binary,) = resources_of(bundle, "Binary")
    assert base64.b64decode(binary["data"]) == SOURCE
    references = [
        e["valueReference"]["reference"] for e in _composition(bundle)["extension"] if e["url"].endswith("source-document")
    ]
    assert references == [f"urn:uuid:{binary['id']}"]


def test_entries_may_name_the_patient_before_the_bundle_is_built() -> None:
    (patient,) = resources_of(_bundle(), "Patient")
    assert patient_url(document_ids(HEADER, SOURCE)) == f"urn:uuid:{patient['id']}"


def test_the_composition_says_what_the_header_says() -> None:
    header = replace(
        HEADER, set_id="1.2.250.1.999", version=3, replaces="1.2.250.1.999.6", confidentiality="R", template_ids=("1.2|9",)
    )
    found = _composition(_bundle(header))
    assert found["identifier"]["value"] == "urn:oid:1.2.250.1.999"
    assert found["extension"][0] == {"url": p.EXT_COMPOSITION_VERSION, "valueString": "3"}
    assert {"url": p.EXT_TEMPLATE_ID, "valueString": "1.2|9"} in found["extension"]
    assert found["relatesTo"] == [
        {"code": "replaces", "targetIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.250.1.999.6"}}
    ]
    assert (found["confidentiality"], found["language"], found["status"]) == ("R", "fr-FR", "final")
    assert [a["mode"] for a in found["attester"]] == ["legal"]
    assert found["author"][0]["extension"] == [{"url": p.EXT_AUTHOR_TIME, "valueDateTime": "2026-11-20"}]


def test_the_medecin_traitant_is_an_informant_with_a_function_and_other_participants_keep_their_type() -> None:
    header = replace(HEADER, participants=(ReferringParty("INF", "PCP", PCP), ReferringParty("REFB", "", PRO)))
    found = {e["url"]: e["extension"] for e in _composition(_bundle(header))["extension"] if "extension" in e}
    function = found[p.EXT_INFORMANT][1]["valueCodeableConcept"]["coding"][0]
    assert (function["system"], function["code"]) == (p.V3_PARTICIPATION_FUNCTION, "PCP")
    assert found[p.EXT_PARTICIPANT][0]["valueCodeableConcept"]["coding"][0]["code"] == "REFB"
    assert found[p.EXT_PARTICIPANT][1] == {"url": "time", "valuePeriod": {"start": "2026-11-20"}}


def test_recipients_enterers_and_professional_signatures_have_their_place() -> None:
    extras = DocumentExtras(
        status="preliminary",
        category=Code("10", p.TRE_DOCUMENT_CLASS, "Compte rendu"),
        authenticators=(PCP,),
        data_enterer=PRO,
        informants=(PRO,),
        recipients=(ReferringParty("PRCP", "", PCP),),
        patient={"deceasedBoolean": True},
    )
    bundle = _bundle(extras=extras)
    found = _composition(bundle)
    assert found["status"] == "preliminary"
    assert found["category"][0]["coding"][0]["code"] == "10"
    assert [a["mode"] for a in found["attester"]] == ["legal", "professional"]
    assert {p.EXT_DATA_ENTERER, p.EXT_INFORMANT, p.EXT_INFORMATION_RECIPIENT} <= {e["url"] for e in found["extension"]}
    assert resources_of(bundle, "Patient")[0]["deceasedBoolean"] is True


def test_entries_and_sub_sections_are_never_side_by_side_and_no_word_is_lost() -> None:
    child = Section(Code("2", "1.2.3"), "Sous-section", div='<div xmlns="http://www.w3.org/1999/xhtml">dedans</div>')
    patient = patient_url(document_ids(HEADER, SOURCE))
    (section,) = _composition(_bundle(HEADER, Section(Code("1", "1.2.3"), "Section", entries=(patient,), sections=(child,))))[
        "section"
    ]
    assert "entry" not in section
    assert [s["title"] for s in section["section"]] == ["Section", "Sous-section"]
    assert section["section"][0]["entry"] == [{"reference": patient}]
    assert "dedans" in section["section"][1]["text"]["div"]


def test_an_empty_section_tells_why() -> None:
    (section,) = _composition(_bundle(HEADER, Section({"text": "libre"}, "", empty_reason="unavailable")))["section"]
    assert section["title"] == "libre"
    assert section["emptyReason"]["coding"][0]["code"] == "unavailable"


def test_the_encounter_has_a_period_a_class_and_an_identifier_whatever_the_source_lacks() -> None:
    (bare,) = resources_of(_bundle(), "Encounter")
    assert bare["class"]["code"] == "UNK"
    assert bare["identifier"][0]["use"] == "temp"
    assert bare["status"] == "unknown"
    assert bare["period"]["_start"]["extension"][0]["valueCode"] == "unknown"


def test_the_encounter_takes_the_class_and_dates_of_the_principal_act_when_the_stay_gives_none() -> None:
    act = ServiceEvent(
        Code("IMP", "2.16.840.1.113883.5.4"), start="2026-11-16", end="2026-11-20", performer=PRO, identifier="1.2^9"
    )
    bundle = _bundle(replace(HEADER, service_events=(act,)))
    (encounter,) = resources_of(bundle, "Encounter")
    assert encounter["class"] == {"system": p.V3_ACT_CODE, "code": "IMP"}
    assert (encounter["period"], encounter["status"]) == ({"start": "2026-11-16", "end": "2026-11-20"}, "finished")
    (event,) = _composition(bundle)["event"]
    assert {e["url"] for e in event["extension"]} == {p.EXT_EVENT_PERFORMER, p.EXT_EVENT_IDENTIFIER}


def test_the_encounter_keeps_its_own_number_class_place_and_people() -> None:
    stay = Stay(
        "AMB", "2.16.840.1.113883.5.4", "Ambulatoire", "2026-11-20", "", Code("SA05", "1.2.250.1.71.4.2.4"), (("1.2.3", "77"),)
    )
    details = EncounterDetails(
        participants=((Code("RESP", p.V3_PARTICIPATION_TYPE), PRO),),
        admit_source={"text": "urgence"},
        discharge_disposition={"text": "domicile"},
        location_name="Salle 2",
        location_address={"city": "ICI"},
    )
    bundle = _bundle(replace(HEADER, stay=stay), extras=DocumentExtras(encounter=details))
    (encounter,) = resources_of(bundle, "Encounter")
    (location,) = resources_of(bundle, "Location")
    assert encounter["identifier"][0]["system"] == "urn:oid:1.2.3"
    assert encounter["hospitalization"] == {"admitSource": {"text": "urgence"}, "dischargeDisposition": {"text": "domicile"}}
    assert encounter["participant"][0]["period"] == {"start": "2026-11-20"}
    assert (location["name"], location["address"], location["type"][0]["coding"][0]["code"]) == (
        "Salle 2",
        {"city": "ICI"},
        "SA05",
    )


def test_software_may_be_the_author() -> None:
    header = replace(HEADER, authors=(Party(device=Device("1.2.3", "Logiciel"), organisation=PRO.organisation),))
    bundle = _bundle(header)
    (device,) = resources_of(bundle, "Device")
    assert _composition(bundle)["author"][0]["reference"] == f"urn:uuid:{device['id']}"


@pytest.mark.parametrize("oid", sorted(p._HEADER_SYSTEMS))
def test_the_systems_of_headers_are_those_of_the_one_list(oid: str) -> None:
    row = load_table("oid-uri").get(oid)
    assert p.system_uri(oid) == (row["uri"] if row else f"urn:oid:{oid}")


def test_a_system_that_nobody_listed_is_its_oid_and_a_uri_stays_a_uri() -> None:
    assert p.system_uri("1.2.3") == "urn:oid:1.2.3"
    assert p.system_uri("http://loinc.org") == "http://loinc.org"
    assert p.system_uri("") == ""
