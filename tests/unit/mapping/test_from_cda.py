"""A CDA understood: header, document, recipients; what real documents do wrong is told, never guessed, never fatal."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.fhir import profiles as p
from adapter.fhir.bundle import resources_of, write_json
from adapter.fhir.validate import validate_bundle
from adapter.mapping.from_cda import CdaTranslation, inspect_cda, mapping_revision, read_cda_header, translate_cda, understand_cda
from adapter.model.document import BodyKind
from adapter.model.finding import Severity
from adapter.model.identity import Reliability
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.submission import Intent, Urgency
from tests.builders.cda import AUTHOR, PATIENT, PCP, REFERRER, build_ldl_ses, build_n1, tiny_pdf, with_wrong_key

Bundle = dict[str, Any]


def _letter(*changes: tuple[str, str], source: bytes = b"") -> CdaTranslation:
    """The sample letter with some of its text changed; the result is always a valid document."""
    text = (source or build_ldl_ses()).decode()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    translated = translate_cda(text.encode())
    assert validate_bundle(translated.bundle) == ()
    return translated


def _all(translated: CdaTranslation, kind: str) -> list[Bundle]:
    return list(resources_of(translated.bundle, kind))


def _codes(translated: CdaTranslation) -> set[str]:
    return {finding.code for finding in translated.findings}


def _observation(translated: CdaTranslation, code: str) -> Bundle:
    return next(o for o in _all(translated, "Observation") if o["code"]["coding"][0]["code"] == code)


# -- header ------------------------------------------------------------------------------------------------------------------


def test_the_header_says_who_what_when_and_for_whom() -> None:
    header = read_cda_header(build_ldl_ses())
    assert (header.unique_id, header.set_id, header.version) == ("1.2.250.1.213.1.1.9.501.1", "1.2.250.1.213.1.1.9.501", 1)
    assert (header.type.code, header.model, header.body) == ("11490-0", "ldl-ses", BodyKind.STRUCTURED_CDA)
    assert header.created == "2026-11-20T16:30:00+01:00"
    assert header.template_ids[-1] == "1.2.250.1.213.1.1.1.29|2022.01"
    (author,) = header.authors
    assert author.professional is not None
    assert (author.professional.rpps, author.professional.title, author.professional.civility) == (AUTHOR.rpps, "DR", "MME")
    assert author.organisation is not None
    assert author.organisation.finess == AUTHOR.finess == header.custodian.finess
    assert [(r.type_code, r.function_code) for r in header.participants] == [("INF", "PCP"), ("REFB", "")]
    assert header.stay is not None
    assert (header.stay.class_code, header.stay.identifiers) == ("IMP", (("1.2.250.1.999.94.2", "26900456"),))
    assert header.service_events[0].performer is not None


def test_the_patient_is_read_as_the_birth_certificate_says() -> None:
    patient = read_cda_header(build_n1()).patient
    assert (patient.birth_name, patient.first_given, patient.birth_given_names) == (
        "EXEMPLE-BERTHIER",
        "CAMILLE",
        "CAMILLE JEANNE",
    )
    assert (patient.used_name, patient.used_given, patient.birth_date, patient.sex) == (
        "EXEMPLE-MOREL", "CAMILLE", "1974-09-18", "F",
    )  # fmt: skip
    assert (patient.birth_place_insee, patient.reliability) == ("94043", Reliability.QUALIFIED)
    assert [(i.value, i.authority) for i in patient.local_ids] == [(PATIENT.ipp, PATIENT.ipp_oid)]


def test_older_names_without_qualifier_or_with_sp_are_understood() -> None:
    old = '<name><family>ANCIEN</family><given>Lou</given><family qualifier="SP">USAGE</family></name>'
    text = re.sub(r"<name>\s*<family qualifier=\"BR\">.*?</name>", old, build_n1().decode(), count=1, flags=re.DOTALL)
    patient = read_cda_header(text.encode()).patient
    assert (patient.birth_name, patient.first_given, patient.used_name) == ("ANCIEN", "Lou", "USAGE")


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        (r"<id root=\"1\.2\.250\.1\.213\.1\.1\.9\.500\.1\"/>", "id/@root"),
        (r"<code code=\"34112-3\"[^>]*/>", "code/@code"),
        (r"<effectiveTime value=\"20261120101500\+0100\"/>", "effectiveTime"),
        (r"<recordTarget>.*</recordTarget>", "recordTarget/patientRole"),
    ],
)
def test_a_document_that_cannot_be_identified_is_refused(pattern: str, where: str) -> None:
    text, count = re.subn(pattern, "", build_n1().decode(), count=1, flags=re.DOTALL)
    assert count == 1
    with pytest.raises(InputError) as refused:
        read_cda_header(text.encode())
    assert (refused.value.code, refused.value.where) == ("cda.header-incomplete", where)


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        ('code="V" displayName="Très restreint"', "V", False),
        ('code="SECRET"', "R", True),
        ('nullFlavor="MSK"', "R", True),
    ],
)
def test_a_confidentiality_that_nobody_knows_is_taken_as_restricted(written: str, read: str, told: bool) -> None:
    text = re.sub(r"<confidentialityCode[^>]*/>", f"<confidentialityCode {written}/>", build_n1().decode())
    translated = translate_cda(text.encode())
    assert translated.header.confidentiality == read
    assert ("cda.unknown-confidentiality" in _codes(translated)) is told


def test_a_wrong_ins_key_leaves_the_identity_provisional_and_the_number_out_of_fhir() -> None:
    patient = with_wrong_key(PATIENT)
    translated = translate_cda(build_ldl_ses(patient=patient))
    assert translated.header.patient.ins is not None
    assert translated.header.patient.reliability is Reliability.PROVISIONAL
    assert "ins.wrong-key" in _codes(translated)
    (resource,) = _all(translated, "Patient")
    assert resource["meta"]["profile"] == [p.PATIENT]
    assert patient.ins not in json.dumps(resource)


@pytest.mark.parametrize("change", [{"birth_insee": ""}, {"birth_date": "1974"}, {"sex": ""}])
def test_an_ins_without_all_its_traits_proves_nothing(change: dict[str, str]) -> None:
    translated = translate_cda(build_n1(patient=replace(PATIENT, **change)))
    assert translated.header.patient.reliability is Reliability.PROVISIONAL
    assert "ins.traits-missing" in _codes(translated)


# -- documents ---------------------------------------------------------------------------------------------------------------


def test_the_same_bytes_give_the_same_bytes() -> None:
    assert write_json(translate_cda(build_ldl_ses()).bundle) == write_json(translate_cda(build_ldl_ses()).bundle)


def test_a_level_1_document_holds_its_pdf_and_itself_byte_for_byte() -> None:
    pdf, source = tiny_pdf("x"), build_n1(pdf=tiny_pdf("x"))
    translated = translate_cda(source)
    assert validate_bundle(translated.bundle) == ()
    assert translated.unread == ()
    found = {b["contentType"]: base64.b64decode(b["data"]) for b in _all(translated, "Binary")}
    assert found == {"application/pdf": pdf, "text/xml": source}
    (section,) = _all(translated, "Composition")[0]["section"]
    assert section["code"]["coding"][0]["code"] == "34112-3"
    assert len(section["entry"]) == 1


def test_the_whole_discharge_letter_is_understood() -> None:
    translated = _letter()
    assert translated.unread == ()
    kinds = ("Observation", "MedicationStatement", "ServiceRequest", "Appointment", "Device", "DeviceUseStatement")
    counts = {kind: len(_all(translated, kind)) for kind in (*kinds, "AllergyIntolerance")}
    assert counts == {
        "Observation": 11, "MedicationStatement": 3, "ServiceRequest": 2, "Appointment": 1, "Device": 1, "DeviceUseStatement": 1,
        "AllergyIntolerance": 1,
    }  # fmt: skip
    sections = _all(translated, "Composition")[0]["section"]
    assert [s["code"]["coding"][0]["code"] for s in sections] == [
        "33557-0", "42349-1", "42545-4", "18610-6", "10183-2", "30954-2", "18776-5", "46264-8", "48765-2",
    ]  # fmt: skip
    assert "fébrile" in sections[1]["text"]["div"]


def test_the_stay_knows_how_it_began_and_ended() -> None:
    (encounter,) = _all(_letter(), "Encounter")
    assert encounter["hospitalization"]["admitSource"]["coding"][0]["code"] == "183452005"
    assert encounter["hospitalization"]["dischargeDisposition"]["coding"][0]["code"] == "160849004"


@pytest.mark.parametrize(("code", "status"), [("385651009", "preliminary"), ("398166005", "final"), ("29179001", "final")])
def test_the_status_section_is_the_status_of_the_document(code: str, status: str) -> None:
    translated = translate_cda(build_ldl_ses(status=(code, "x")))
    assert _all(translated, "Composition")[0]["status"] == status


def test_a_treatment_says_what_how_much_how_often_and_why_it_was_stopped() -> None:
    stopped, current, other = _all(_letter(), "MedicationStatement")
    assert (stopped["status"], current["status"]) == ("stopped", "active")
    assert stopped["statusReason"] == [{"text": "Bradycardie"}]
    assert stopped["effectivePeriod"] == {"start": "2025", "end": "2026-11-17"}
    (dosage,) = current["dosage"]
    assert dosage["timing"] == {"repeat": {"frequency": 1, "period": 8, "periodUnit": "h"}}
    assert dosage["route"]["coding"][0] == {"system": "http://standardterms.edqm.eu", "code": "20053000", "display": "Voie orale"}
    assert dosage["doseAndRate"][0]["doseQuantity"]["code"] == "{tbl}"
    assert dosage["doseAndRate"][0]["rateRange"]["high"]["value"] == 1000
    assert dosage["maxDosePerPeriod"]["denominator"]["unit"] == "d"
    assert [c["system"] for c in current["medicationCodeableConcept"]["coding"]] == ["urn:oid:1.2.250.1.213.2.3.1", p.ATC]
    assert other["dosage"][0]["timing"] == {"repeat": {"when": ["ACM"]}}
    assert other["effectivePeriod"]["_start"]["extension"][0]["valueCode"] == "unknown"


def test_what_is_planned_is_asked_not_done() -> None:
    translated = _letter()
    act, follow_up = _all(translated, "ServiceRequest")
    assert (act["intent"], act["status"], act["priority"]) == ("plan", "active", "routine")
    assert act["occurrencePeriod"] == {"start": "2026-12-15", "end": "2026-12-22"}
    assert follow_up["code"]["text"] == "Contrôle NFS et CRP à 15 jours"
    (visit,) = _all(translated, "Appointment")
    assert visit["status"] == "proposed"
    assert {"url": p.EXT_MOOD, "valueCode": "ARQ"} in visit["extension"]
    assert "recontacter pour fixer RDV" in json.dumps(visit, ensure_ascii=False)


def test_an_allergy_has_agent_kind_severity_and_reaction() -> None:
    (allergy,) = _all(_letter(), "AllergyIntolerance")
    assert allergy["code"]["coding"][0]["code"] == "J01C"
    assert (allergy["type"], allergy["category"], allergy["onsetDateTime"]) == ("allergy", ["medication"], "2019")
    assert allergy["clinicalStatus"]["coding"][0]["code"] == "active"
    (reaction,) = allergy["reaction"]
    assert (reaction["manifestation"][0]["coding"][0]["code"], reaction["severity"]) == ("271807003", "moderate")


def test_no_known_allergy_without_a_code_is_never_made_a_coded_one() -> None:
    text = build_ldl_ses().decode()
    text = re.sub(r"<participant typeCode=\"CSM\">.*?</participant>", "", text, flags=re.DOTALL)
    text = re.sub(r"<value[^>]*294499007.*?</value>", '<value xsi:type="CD"/>', text, flags=re.DOTALL)
    translated = _letter(source=text.encode())
    (allergy,) = _all(translated, "AllergyIntolerance")
    assert "coding" not in allergy["code"]
    assert not {"type", "category"} & set(allergy)
    assert "cda.allergy-without-agent" in _codes(translated)


def test_a_device_keeps_its_udi_and_the_use_its_date() -> None:
    translated = _letter()
    (device,), (use,) = _all(translated, "Device"), _all(translated, "DeviceUseStatement")
    assert (device["lotNumber"], device["serialNumber"], device["expirationDate"]) == ("LOT42", "SN7", "2030-12-31")
    assert use["timingPeriod"] == {"start": "2026-11-19"}
    assert use["device"]["reference"] == f"urn:uuid:{device['id']}"


def test_templates_and_narrative_links_are_kept_for_the_way_back() -> None:
    extensions = _observation(_letter(), "ORG-070")["extension"]
    templates = [e["valueString"] for e in extensions if e["url"] == p.EXT_TEMPLATE_ID]
    assert templates == ["1.3.6.1.4.1.19376.1.5.3.1.4.13", "1.2.250.1.213.1.1.3.48", "1.2.250.1.213.1.1.3.48.6"]
    (link,) = [e["valueUrl"] for e in extensions if e["url"] == p.EXT_NARRATIVE_LINK]
    assert link.endswith("#modaliteE")


# -- what real documents do --------------------------------------------------------------------------------------------------


def test_references_with_without_hash_alone_or_to_nothing_are_all_survived() -> None:
    translated = _letter(('value="#synthese"', 'value="#"'), ('value="#transfu"', 'value="nulle-part"'))
    assert {"cda.empty-reference", "cda.dangling-reference"} <= _codes(translated)
    assert "urgence" in _observation(translated, "ORG-070")["text"]["div"]


def test_partial_dates_stay_partial_and_a_missing_zone_is_flagged_with_the_literal() -> None:
    translated = _letter(('<effectiveTime value="20261118"/>', '<effectiveTime value="20261118093000"/>'))
    assert _observation(translated, "MED-145")["effectiveDateTime"] == "2026"
    assert _observation(translated, "MED-146")["effectiveDateTime"] == "2026-11"
    found = _observation(translated, "MED-143")
    assert found["effectiveDateTime"] == "2026-11-18T09:30:00+01:00"
    assert found["_effectiveDateTime"]["extension"][0]["valueString"] == "20261118093000"
    assert "cda.time-without-zone" in _codes(translated)


def test_the_documents_own_date_keeps_its_literal_and_the_timestamp_is_an_instant() -> None:
    translated = _letter(('<effectiveTime value="20261120163000+0100"/>', '<effectiveTime value="20261120"/>'))
    assert translated.header.created == "2026-11-20"
    assert translated.bundle["timestamp"] == "2026-11-20T00:00:00+01:00"
    translated = _letter(('<effectiveTime value="20261120163000+0100"/>', '<effectiveTime value="20261120163000"/>'))
    found = _all(translated, "Composition")[0]
    assert found["date"] == "2026-11-20T16:30:00+01:00"
    assert found["_date"]["extension"][0]["valueString"] == "20261120163000"


def test_a_date_that_is_none_is_left_out_and_told() -> None:
    translated = _letter(('<effectiveTime value="20261118"/>', '<effectiveTime value="20261399"/>'))
    found = _observation(translated, "MED-143")
    assert "effectiveDateTime" not in found
    assert found["_effectiveDateTime"]["extension"][0]["valueString"] == "20261399"
    assert "cda.invalid-date" in _codes(translated)


def test_a_null_value_is_a_reason_and_a_false_one_a_value() -> None:
    translated = _letter()
    assert _observation(translated, "MED-148")["dataAbsentReason"]["coding"][0]["code"] == "not-applicable"
    assert _observation(translated, "MED-145")["valueBoolean"] is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('<value xsi:type="PQ" value="72.50" unit="kg"/>', {"valueQuantity": 72.5}),
        ('<value xsi:type="INT" value="3"/>', {"valueQuantity": 3}),
        ('<value xsi:type="TS" value="20261118"/>', {"valueDateTime": "2026-11-18"}),
        ('<value xsi:type="IVL_PQ"><low value="1" unit="g"/><high value="2" unit="g"/></value>', {"valueRange": 1}),
        ('<value xsi:type="ST">mots</value>', {"valueString": "mots"}),
        ('<value xsi:type="CD" nullFlavor="OTH"><originalText>autre</originalText></value>', {"valueCodeableConcept": "autre"}),
    ],
)
def test_values_keep_their_type(value: str, expected: Bundle) -> None:
    found = _observation(_letter(('<value xsi:type="ST">Veinite</value>', value)), "MED-143")
    ((key, wanted),) = expected.items()
    got = found[key]
    shown = {
        "valueQuantity": lambda: got["value"],
        "valueRange": lambda: got["low"]["value"],
        "valueCodeableConcept": lambda: got["text"],
    }
    assert shown.get(key, lambda: got)() == wanted


def test_trailing_zeros_of_a_number_are_kept_beside_it() -> None:
    change = ('<value xsi:type="ST">Veinite</value>', '<value xsi:type="PQ" value="72.50" unit="kg"/>')
    quantity = _observation(_letter(change), "MED-143")["valueQuantity"]
    assert quantity["_value"]["extension"][0] == {"url": p.EXT_ORIGINAL_LITERAL, "valueString": "72.50"}


def test_a_prefix_in_a_type_is_the_files_own() -> None:
    text = build_ldl_ses().decode().replace('xmlns="urn:hl7-org:v3"', 'xmlns="urn:hl7-org:v3" xmlns:c="urn:hl7-org:v3"')
    translated = _letter(('xsi:type="BL"', 'xsi:type="c:BL"'), source=text.encode())
    assert _observation(translated, "MED-309")["valueBoolean"] is True


def test_a_negated_fact_is_not_told_as_its_contrary() -> None:
    change = ('<observation classCode="OBS" moodCode="EVN">', '<observation classCode="OBS" moodCode="EVN" negationInd="true">')
    translated = _letter(change)
    facts = _all(translated, "Observation")
    assert len(facts) > 9
    for fact in facts:
        assert fact["code"]["text"].startswith("Nié par la source")
        assert not {"coding"} & set(fact["code"])
        assert not [key for key in fact if key.startswith("value")]
        assert p.EXT_NEGATED in [e["url"] for e in fact["extension"]]
    (allergy,) = _all(translated, "AllergyIntolerance")
    assert allergy["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert allergy["clinicalStatus"]["coding"][0]["code"] == "inactive"
    assert "cda.negated-entry" in _codes(translated)
    assert translated.unread == ()


def test_a_negated_treatment_or_act_says_so() -> None:
    text = (
        build_ldl_ses()
        .decode()
        .replace('classCode="SBADM" moodCode="EVN"', 'classCode="SBADM" moodCode="EVN" negationInd="true"')
    )
    text = text.replace('classCode="PROC" moodCode="INT"', 'classCode="PROC" moodCode="INT" negationInd="true"')
    translated = _letter(source=text.encode())
    assert {m["status"] for m in _all(translated, "MedicationStatement")} == {"not-taken"}
    assert _all(translated, "ServiceRequest")[0]["doNotPerform"] is True


def test_an_act_that_was_done_is_a_procedure() -> None:
    translated = _letter(('classCode="PROC" moodCode="INT"', 'classCode="PROC" moodCode="EVN"'))
    (procedure,) = _all(translated, "Procedure")
    assert (procedure["status"], procedure["code"]["coding"][0]["system"]) == ("in-progress", p.CCAM)


def test_a_past_meeting_is_an_encounter_of_its_own() -> None:
    translated = _letter(('classCode="ENC" moodCode="ARQ"', 'classCode="ENC" moodCode="EVN"'))
    assert [e["class"]["code"] for e in _all(translated, "Encounter")] == ["IMP", "AMB"]
    assert _all(translated, "Appointment") == []


def test_an_entry_of_an_unknown_template_is_understood_by_its_class_and_told() -> None:
    translated = _letter(("1.2.250.1.213.1.1.3.20", "1.2.3.4"))
    assert len(_all(translated, "Device")) == 1
    assert "cda.generic-entry" in _codes(translated)
    assert translated.unread == ()


def test_an_entry_that_nobody_understands_is_listed_and_its_words_stay() -> None:
    text = build_ldl_ses().decode().replace("<supply", "<thing").replace("</supply>", "</thing>")
    text = text.replace("1.2.250.1.213.1.1.3.20", "1.2.3.4")
    translated = _letter(source=text.encode())
    assert _all(translated, "Device") == []
    assert any("thing" in node.path for node in translated.unread)
    assert "picc-line" in json.dumps(_all(translated, "Composition"), ensure_ascii=False)


def test_a_missing_mandatory_section_is_told() -> None:
    first = r"<component>\s*<section>\s*<templateId root=\"1\.3\.6\.1\.4\.1\.19376\.1\.5\.3\.1\.3\.22\"/>"
    text = re.sub(first + r".*?</component>", "", build_ldl_ses().decode(), flags=re.DOTALL)
    assert "cda.section-missing" in _codes(_letter(source=text.encode()))


def test_an_unknown_model_is_carried_by_section() -> None:
    translated = _letter(("1.2.250.1.213.1.1.1.29", "1.2.250.1.213.1.1.1.999"), ('code="11490-0"', 'code="34112-3"'))
    assert translated.header.model == "generic-n3"
    assert len(_all(translated, "Composition")[0]["section"]) == 9


def test_sub_sections_and_an_embedded_picture_are_carried() -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
    inner = (
        '<component><section><code code="55107-7" codeSystem="2.16.840.1.113883.6.1"/><title>Pièces</title>'
        '<text><renderMultiMedia referencedObject="IMG1"><caption>Cliché</caption></renderMultiMedia></text>'
        '<entry><observationMedia classCode="OBS" moodCode="EVN" ID="IMG1">'
        f'<value mediaType="image/jpeg" representation="B64">{data}</value></observationMedia></entry>'
        "</section></component></section>"
    )
    text = build_ldl_ses().decode()
    first = text.index("</section>")
    translated = _letter(source=(text[:first] + inner + text[first + len("</section>") :]).encode())
    section = _all(translated, "Composition")[0]["section"][0]
    assert [s["title"] for s in section["section"]] == ["Statut du document", "Pièces"]
    picture = next(b for b in _all(translated, "Binary") if b["contentType"] == "image/png")
    (described,) = _all(translated, "DocumentReference")
    assert described["content"][0]["attachment"]["url"] == f"urn:uuid:{picture['id']}"
    entries = [entry["reference"] for entry in section["section"][1]["entry"]]
    assert entries == [f"urn:uuid:{described['id']}", f"urn:uuid:{picture['id']}"]
    assert f'src="urn:uuid:{picture["id"]}"' in section["section"][1]["text"]["div"]
    assert "cda.other-media-type" in _codes(translated)
    assert translated.unread == ()


def test_findings_and_unread_paths_hold_no_patient_content() -> None:
    patient = replace(with_wrong_key(PATIENT), birth_name="TEMOIN-SECRET")
    translated = _letter(("202612011030", "20261399"), source=build_ldl_ses(patient=patient))
    told = " ".join([*(str(f) for f in translated.findings), *(n.path for n in translated.unread), repr(translated)])
    assert "TEMOIN" not in told
    assert patient.ins not in told


# -- bare documents ----------------------------------------------------------------------------------------------------------


def _arrival(content: bytes, side_car: bytes = b"") -> Arrival:
    principal = Principal("dossier", "folder", "940999900")
    return Arrival(content, "folder", principal, datetime(2026, 11, 20, tzinfo=UTC), "lettre.xml", side_car)


def test_a_bare_document_is_accepted_with_the_fingerprint_of_its_bytes() -> None:
    first, second = inspect_cda(_arrival(build_n1())), inspect_cda(_arrival(build_n1(title="Autre")))
    assert first.verdict is Verdict.ACCEPTED
    assert len(first.fingerprint) == 64
    assert first.fingerprint == inspect_cda(_arrival(build_n1())).fingerprint != second.fingerprint
    assert first.control.control_id == "1.2.250.1.213.1.1.9.500.1"


def test_a_bare_document_with_a_wrong_key_is_accepted_with_a_warning() -> None:
    found = inspect_cda(_arrival(build_n1(patient=with_wrong_key(PATIENT))))
    assert found.verdict is Verdict.ACCEPTED
    assert [(f.severity, f.code) for f in found.findings] == [(Severity.WARNING, "ins.wrong-key")]


@pytest.mark.parametrize(
    ("content", "side_car", "code"),
    [
        (b"<!DOCTYPE a><a/>", b"", "cda.doctype"),
        (b"<a/>", b"", "cda.not-a-clinical-document"),
        (b"nothing", b"", "cda.not-xml"),
        (build_n1(), b"{", "side-car.unreadable"),
    ],
)
def test_a_bare_document_that_cannot_be_read_is_refused_with_its_reason(content: bytes, side_car: bytes, code: str) -> None:
    found = inspect_cda(_arrival(content, side_car))
    assert found.verdict is Verdict.REFUSED
    assert [f.code for f in found.findings] == [code]


def test_recipients_come_from_the_side_car_first() -> None:
    side_car = b'{"recipients": [{"rpps": "10009990009"}], "urgency": "urgent"}'
    (translation,) = understand_cda(_arrival(build_n1(), side_car), "r1")
    assert [(r.rpps, r.role_hint) for r in translation.submission.recipients] == [("10009990009", "side-car")]
    assert translation.submission.urgency is Urgency.URGENT


@pytest.mark.parametrize(
    ("pcp", "referrer", "expected"),
    [
        (PCP, REFERRER, [(PCP.rpps, PCP.finess, "PCP"), (REFERRER.rpps, REFERRER.finess, "REF")]),
        (PCP, PCP, [(PCP.rpps, PCP.finess, "PCP")]),
        (PCP, None, [(PCP.rpps, PCP.finess, "PCP")]),
        (None, REFERRER, [(REFERRER.rpps, REFERRER.finess, "REF")]),
        (None, None, []),
    ],
)
def test_recipients_then_come_from_the_participants(pcp: Any, referrer: Any, expected: list[tuple[str, str, str]]) -> None:
    (translation,) = understand_cda(_arrival(build_n1(pcp=pcp, referrer=referrer)), "r1")
    assert [(r.rpps, r.finess, r.role_hint) for r in translation.submission.recipients] == expected


def test_an_information_recipient_is_never_sent_to() -> None:
    told = (
        '<informationRecipient><intendedRecipient><id root="1.2.250.1.71.4.2.1" extension="810009990077"/><informationRecipient>'
        "<name><family>COPIE</family></name></informationRecipient></intendedRecipient></informationRecipient><legalAuthenticator>"
    )
    content = build_n1(pcp=None, referrer=None).replace(b"<legalAuthenticator>", told.encode())
    (translation,) = understand_cda(_arrival(content), "r1")
    assert translation.submission.recipients == ()
    assert p.EXT_INFORMATION_RECIPIENT in json.dumps(translation.bundle)


def test_a_new_version_replaces() -> None:
    source = build_n1(document_id="1.2.250.1.213.1.1.9.500.2", version=2, replaces="1.2.250.1.213.1.1.9.500.1")
    (translation,) = understand_cda(_arrival(source), "r1")
    assert translation.submission.intent is Intent.REPLACE
    assert translation.submission.document.replaces == "1.2.250.1.213.1.1.9.500.1"
    assert translation.source_document == source


def test_the_same_receipt_gives_the_same_submission_and_names_its_mapping() -> None:
    (first,), (again,) = understand_cda(_arrival(build_n1()), "r1"), understand_cda(_arrival(build_n1()), "r1")
    (other,) = understand_cda(_arrival(build_n1()), "r2")
    assert first.submission == again.submission
    assert first.submission.id != other.submission.id
    assert first.mapping_revision == mapping_revision() != ""
