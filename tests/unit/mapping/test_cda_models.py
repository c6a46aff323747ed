"""Entries of the structured models: each becomes its own resource, nothing is left out, what is denied is never told as so."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.bundle import resources_of, write_json
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import CdaTranslation, translate_cda
from tests.builders.cda import INS_TEST_OID, PATIENT, tiny_pdf, with_wrong_key
from tests.builders.cda_models import MODELS, build_model

Fhir = dict[str, Any]


def _translated(model: str, *, sparse: bool = False) -> CdaTranslation:
    translated = translate_cda(build_model(model, sparse=sparse))
    assert validate_bundle(translated.bundle) == ()
    return translated


def _all(translated: CdaTranslation, kind: str) -> list[Fhir]:
    return list(resources_of(translated.bundle, kind))


def _one(translated: CdaTranslation, kind: str, code: str = "") -> Fhir:
    found = [r for r in _all(translated, kind) if not code or code in json.dumps(r.get("code", r.get("component", {})))]
    assert len(found) == 1, [r.get("code") for r in found]
    return found[0]


def _extension(resource: Fhir, url: str) -> Fhir:
    (found,) = [e for e in resource["extension"] if e["url"] == url]
    return found


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_known_by_name_and_nothing_of_it_is_unread(model: str, sparse: bool) -> None:
    translated = _translated(model, sparse=sparse)
    assert translated.header.model == model
    assert translated.unread == ()
    assert write_json(translated.bundle) == write_json(_translated(model, sparse=sparse).bundle)


@pytest.mark.parametrize("model", MODELS)
def test_no_resource_of_a_document_is_out_of_reach(model: str) -> None:
    bundle = _translated(model).bundle
    entries: list[Fhir] = bundle["entry"]  # type: ignore[assignment]
    by_url = {e["fullUrl"]: e["resource"] for e in entries}
    seen: set[str] = set()
    to_visit = [entries[0]["fullUrl"]]
    to_visit += [e["fullUrl"] for e in entries if e["resource"]["resourceType"] == "Provenance"]  # it names the Composition
    while to_visit:
        url = to_visit.pop()
        if url not in seen:
            seen.add(url)
            text = json.dumps(by_url[url])
            to_visit += [other for other in by_url if other in text]
    assert set(by_url) - seen == set()


# -- problems ----------------------------------------------------------------------------------------------------------------


def test_a_problem_has_state_severity_certainty_and_its_concern() -> None:
    condition = _one(_translated("vsm"), "Condition", "I10")
    assert condition["clinicalStatus"]["coding"][0]["code"] == "active"
    assert condition["verificationStatus"]["coding"][0]["code"] == "confirmed"
    assert condition["severity"]["coding"][0]["code"] == "6736007"
    assert condition["onsetDateTime"] == "2019-03"
    assert [c["coding"][0]["code"] for c in condition["category"]] == ["problem-list-item", "55607006"]
    concern = {part["url"] for part in _extension(condition, p.EXT_CONCERN)["extension"]}
    assert {"templateId", "id", "statusCode", "effectiveTime"} <= concern
    kept = [e for e in condition["extension"] if e["url"].endswith("cda-entryRelationship")]
    assert [code in json.dumps(e) for e, code in zip(kept, ("33999-4", "SEV", "66455-7"), strict=True)] == [True] * 3


def test_a_problem_that_is_over_is_not_active() -> None:
    assert _one(_translated("ips-fr"), "Condition", "I10")["clinicalStatus"]["coding"][0]["code"] == "active"
    text = build_model("ips-fr").decode()
    start = text.index('<low value="201903"/>')
    changed = text[:start] + '<low value="201903"/><high value="202001"/>' + text[start + len('<low value="201903"/>') :]
    condition = _one(translate_cda(changed.encode()), "Condition", "I10")
    assert (condition["abatementDateTime"], condition["clinicalStatus"]["coding"][0]["code"]) == ("2020-01", "resolved")


def test_a_denied_problem_act_allergy_and_vaccine_are_told_as_denied() -> None:
    translated = _translated("ips-fr", sparse=True)
    condition = _one(translated, "Condition")
    assert condition["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert condition["clinicalStatus"]["coding"][0]["code"] == "inactive"
    assert "Écarté ou nié" in condition["text"]["div"]
    procedure = _one(translated, "Procedure")
    assert (procedure["status"], "Non fait" in procedure["text"]["div"]) == ("not-done", True)
    assert _one(translated, "AllergyIntolerance")["verificationStatus"]["coding"][0]["code"] == "refuted"
    vaccine = _one(translated, "Immunization")
    assert (vaccine["status"], vaccine["occurrenceString"]) == ("not-done", "Date non précisée")
    family = _one(translated, "FamilyMemberHistory")
    assert "condition" not in family
    assert "E11" in json.dumps(_extension(family, p.EXT_NEGATED))


def test_no_known_treatment_is_said_by_its_code() -> None:
    statement = _one(_translated("vsm", sparse=True), "MedicationStatement")
    assert statement["medicationCodeableConcept"]["coding"][0]["code"] == "no-known-medications"


def test_a_family_history_names_the_relative_and_what_she_had() -> None:
    family = _one(_translated("tlm-da"), "FamilyMemberHistory")
    assert family["relationship"]["coding"][0]["code"] == "MTH"
    assert family["sex"]["coding"][-1]["code"] == "female"
    assert family["bornDate"] == "1950"
    (condition,) = family["condition"]
    assert condition["code"]["coding"][0]["code"] == "E11"
    assert {"url": p.EXT_ONSET, "valueDateTime": "1990"} in condition["extension"]


# -- measures ----------------------------------------------------------------------------------------------------------------


def test_vital_signs_are_a_panel_of_linked_members_with_their_category_and_one_day() -> None:
    translated = _translated("tlm-da")
    panel = next(o for o in _all(translated, "Observation") if "hasMember" in o)
    assert panel["effectiveDateTime"] == "2026-11-18"
    weight, height = _one(translated, "Observation", "29463-7"), _one(translated, "Observation", "8302-2")
    assert [m["reference"] for m in panel["hasMember"]] == [f"urn:uuid:{weight['id']}", f"urn:uuid:{height['id']}"]
    for one in (panel, weight, height):
        assert one["category"][0]["coding"][0]["code"] == "vital-signs"
    assert weight["note"][0]["text"] == "Tôt"
    assert (height["valueQuantity"]["value"], height["valueQuantity"]["code"]) == (160, "cm")
    written = height["valueQuantity"]["extension"][0]["valueQuantity"]
    assert (written["value"], written["code"]) == (1.6, "m")


def test_a_vital_sign_without_a_day_claims_no_profile_and_loses_no_value() -> None:
    panel, pulse = _all(_translated("tlm-da", sparse=True), "Observation")
    assert "coding" not in panel["code"]
    assert _extension(panel, p.EXT_ACT_CODE)["valueCodeableConcept"]["coding"][0]["code"] == "85353-1"
    assert pulse["code"] == {"text": "Fréquence cardiaque"}
    (component,) = pulse["component"]
    assert (component["code"]["coding"][0]["code"], component["valueQuantity"]["value"]) == ("8867-4", 72)


def test_a_laboratory_result_keeps_range_interpretation_and_specimen() -> None:
    translated = _translated("ips-fr")
    result, specimen = _one(translated, "Observation", "2823-3"), _one(translated, "Specimen")
    assert result["valueQuantity"]["_value"]["extension"][0]["valueString"] == "5.40"
    (range_,) = result["referenceRange"]
    assert (range_["low"]["value"], range_["high"]["value"], range_["text"]) == (3, 5, "3 à 5")
    assert result["interpretation"][0]["coding"][0]["code"] == "H"
    assert result["specimen"]["reference"] == f"urn:uuid:{specimen['id']}"
    assert specimen["identifier"] == [{"system": "urn:oid:1.2.250.1.999.94.7", "value": "ECH-1"}]


# -- vaccines, requests, imaging ---------------------------------------------------------------------------------------------


def test_a_vaccine_has_product_lot_route_rank_and_what_followed() -> None:
    translated = _translated("ips-fr")
    vaccine = _one(translated, "Immunization")
    assert (vaccine["status"], vaccine["occurrenceDateTime"], vaccine["lotNumber"]) == ("completed", "2026-09-28", "LOT-7")
    assert vaccine["protocolApplied"] == [{"doseNumberPositiveInt": 2}]
    linked = {e["valueReference"]["reference"] for e in vaccine["extension"] if e["url"] == p.EXT_RELATED}
    reaction = _one(translated, "Condition", "R50.2")
    assert f"urn:uuid:{reaction['id']}" in linked
    advice = _one(translated, "ImmunizationRecommendation")["recommendation"][0]
    assert advice["vaccineCode"][0]["coding"][0]["code"] == "69990003"


def test_a_requested_scan_is_an_imaging_request_with_its_reason_side_and_wishes() -> None:
    translated = _translated("img-da")
    request = _one(translated, "ServiceRequest")
    assert (request["intent"], request["status"], request["priority"]) == ("plan", "active", "urgent")
    assert request["category"][0]["coding"][0]["code"] == "363679005"
    assert request["reasonCode"] == [{"text": "Suspicion d'hémorragie"}]
    assert "7771000" in json.dumps(request["bodySite"])
    assert request["note"][0]["text"] == "Patiente anxieuse"
    assert request["occurrenceDateTime"] == "2026-11-30"
    (wish,) = request["supportingInfo"]
    assert wish["reference"] == f"urn:uuid:{_one(translated, 'Observation', 'GEN-297')['id']}"
    assert wish["extension"][0]["url"] == p.EXT_RELATION


def test_a_request_that_is_denied_is_never_one_to_do() -> None:
    translated = _translated("img-da", sparse=True)
    request = _one(translated, "ServiceRequest")
    assert request["doNotPerform"] is True
    assert "Ne pas faire" in request["text"]["div"]
    assert _one(translated, "Observation", "MED-1130")["valueBoolean"] is False


def test_an_attached_file_is_carried_byte_for_byte_and_described() -> None:
    translated = _translated("img-da")
    document = _one(translated, "DocumentReference")
    (content,) = document["content"]
    file = next(b for b in _all(translated, "Binary") if content["attachment"]["url"] == f"urn:uuid:{b['id']}")
    assert base64.b64decode(file["data"]) == tiny_pdf("Courrier")
    assert (document["type"]["text"], document["category"][0]["coding"][0]["code"]) == ("Courrier", "55107-7")
    assert "69764-9" in json.dumps(document["extension"])


def test_an_imaging_report_names_its_study_its_dose_and_its_conclusion() -> None:
    translated = _translated("img-cr")
    study, dose = _one(translated, "ImagingStudy"), _one(translated, "Observation", "113813")
    assert study["identifier"] == [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.250.1.999.94.8"}]
    (series,) = study["series"]
    assert (series["uid"], series["modality"]["code"], series["instance"][0]["uid"]) == (
        "1.2.250.1.999.94.8.1", "CT", "1.2.250.1.999.94.8.1.1",
    )  # fmt: skip
    assert "https://pacs.example/wado?objectUID=1" in json.dumps(series["instance"])
    report = _one(translated, "DiagnosticReport")
    assert report["conclusion"] == "Examen normal."
    assert report["imagingStudy"] == [{"reference": f"urn:uuid:{study['id']}"}]
    assert report["result"] == [{"reference": f"urn:uuid:{dose['id']}"}]
    given = _one(translated, "MedicationAdministration")
    assert (given["status"], given["dosage"]["dose"]["value"]) == ("completed", 150)
    assert _extension(given, p.EXT_LOT)["valueString"] == "L-1"
    assert _one(_translated("img-cr", sparse=True), "MedicationAdministration")["status"] == "not-done"


def test_what_is_prescribed_is_an_order() -> None:
    text = build_model("vsm").decode().replace("1.2.250.1.213.1.1.3.42", "1.2.250.1.213.1.1.3.83")
    text = text.replace('classCode="SBADM" moodCode="EVN"', 'classCode="SBADM" moodCode="INT"')
    translated = translate_cda(text.encode())
    assert validate_bundle(translated.bundle) == ()
    assert translated.unread == ()
    order = _one(translated, "MedicationRequest")
    assert (order["status"], order["intent"]) == ("active", "order")
    assert order["medicationCodeableConcept"]["coding"][0]["code"] == "69990001"
    assert "2025" in json.dumps(_extension(order, f"{p.OURS}cda-effectiveTime"))
    assert _all(translated, "MedicationStatement") == []


# -- of whom, and anything else ----------------------------------------------------------------------------------------------

MOTHER = (
    '<subject><relatedSubject classCode="PRS"><code code="MTH" codeSystem="2.16.840.1.113883.5.111"/></relatedSubject></subject>'
)


def test_what_a_section_tells_of_the_mother_is_not_told_of_the_patient() -> None:
    text = build_model("vsm").decode()
    for title in ("Problèmes actifs", "Traitements"):
        start = text.index("</text>", text.index(f"<title>{title}</title>")) + len("</text>")
        text = text[:start] + MOTHER + text[start:]
    translated = translate_cda(text.encode())
    assert validate_bundle(translated.bundle) == ()
    mothers = {f"urn:uuid:{person['id']}" for person in _all(translated, "RelatedPerson")}
    assert len(mothers) == 2
    assert all("I10" not in json.dumps(c) for c in _all(translated, "Condition"))
    told = next(o for o in _all(translated, "Observation") if "I10" in json.dumps(o))
    assert told["focus"][0]["reference"] in mothers
    statement = _one(translated, "MedicationStatement")
    assert "reference" not in statement["subject"]
    assert _extension(statement, p.EXT_FOCUS)["valueReference"]["reference"] in mothers


def test_a_meeting_of_the_mother_is_not_one_of_the_patient() -> None:
    meeting = (
        '<encounter classCode="ENC" moodCode="ARQ"><templateId root="1.2.250.1.213.1.1.3.58"/><id root="1.2.3.9" extension="1"/>'
        f'<code code="AMB" codeSystem="2.16.840.1.113883.5.4"/>{MOTHER}</encounter>'
    )
    text = build_model("vsm").decode()
    start = text.index("</text>", text.index("<title>Traitements</title>")) + len("</text>")
    translated = translate_cda((text[:start] + f"<entry>{meeting}</entry>" + text[start:]).encode())
    assert validate_bundle(translated.bundle) == ()
    patient = f"urn:uuid:{_one(translated, 'Patient')['id']}"
    assert patient not in json.dumps(_one(translated, "Appointment"))


def test_an_act_of_no_known_kind_keeps_all_that_it_says() -> None:
    act = (
        '<act classCode="ACT" moodCode="EVN"><templateId root="1.2.3.4"/><id root="1.2.3.5" extension="X-1"/>'
        '<code code="GEN-105" displayName="Couverture" codeSystem="1.2.250.1.213.1.1.4.322"><qualifier><value code="Q1" '
        'codeSystem="1.2.3.6"/></qualifier><translation code="T1" codeSystem="1.2.3.7"/></code><statusCode code="active"/>'
        '<effectiveTime><low value="20260101"/><high nullFlavor="UNK"/></effectiveTime><priorityCode nullFlavor="NAV"/>'
        '<participant typeCode="HLD"><participantRole classCode="INDIV"><addr><city>VILLE-ESSAI</city></addr><playingEntity>'
        "<name>TITULAIRE</name></playingEntity></participantRole></participant>"
        '<reference typeCode="REFR"><externalDocument><id root="1.2.3.8"/></externalDocument></reference>'
        '<entryRelationship typeCode="COMP"><sequenceNumber value="3"/><observation classCode="OBS" moodCode="EVN">'
        '<code code="8867-4" codeSystem="2.16.840.1.113883.6.1"/><value xsi:type="IVL_PQ"><low value="60" unit="/min"/></value>'
        "</observation></entryRelationship></act>"
    )
    text = build_model("vsm").decode()
    start = text.index("</text>", text.index("<title>Traitements</title>")) + len("</text>")
    translated = translate_cda((text[:start] + f"<entry>{act}</entry>" + text[start:]).encode())
    assert validate_bundle(translated.bundle) == ()
    assert translated.unread == ()
    assert "cda.generic-entry" in {f.code for f in translated.findings}
    basic = _one(translated, "Basic")
    told = json.dumps(basic)
    for value in (
        "X-1",
        "GEN-105",
        "Q1",
        "T1",
        "active",
        "2026-01-01",
        "UNK",
        "NAV",
        "HLD",
        "VILLE-ESSAI",
        "TITULAIRE",
        "1.2.3.8",
    ):
        assert value in told, value
    (link,) = [e["valueReference"] for e in basic["extension"] if e["url"] == p.EXT_RELATED]
    relation = {part["url"]: part for part in link["extension"][0]["extension"]}
    assert relation["typeCode"]["valueCode"] == "COMP"
    assert relation["sequenceNumber"]["valueInteger"] == 3
    assert "60" in json.dumps(next(o for o in _all(translated, "Observation") if f"urn:uuid:{o['id']}" == link["reference"]))


def test_a_wrong_matricule_inside_an_entry_is_never_an_identifier() -> None:
    wrong = f'<id root="{INS_TEST_OID}" extension="{with_wrong_key(PATIENT).ins}"/>'
    role = f'<participant typeCode="COV"><participantRole classCode="PAT">{wrong}</participantRole></participant>'
    text = build_model("ldl-ees").decode()
    end = text.index("</procedure>")
    translated = translate_cda((text[:end] + role + text[end:]).encode())
    assert validate_bundle(translated.bundle) == ()
    assert translated.unread == ()
    kept = f'"valueIdentifier": {{"system": "urn:oid:{INS_TEST_OID}"'
    assert kept not in json.dumps(translated.bundle)
