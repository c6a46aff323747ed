"""MDM and ORU messages: what the door answers, what the envelope says, what is translated."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.mapping.from_hl7v2 import envelope_hl7v2, inspect_hl7v2, understand_hl7v2
from adapter.mapping.hl7.identity import Agreement, PidIdentity, compare
from adapter.model.finding import Severity
from adapter.model.identity import LocalIdentifier, PatientIdentity, Reliability
from adapter.model.parties import RecipientKind
from adapter.model.receipt import Arrival, Inspection, Principal, Verdict
from adapter.model.submission import Intent, Submission
from tests.builders.cda import PATIENT, SamplePatient, build_ldl_ses, build_n1, matricule, with_wrong_key
from tests.builders.hl7 import (
    DOCTOR,
    FLAGS,
    build_mdm,
    build_oru,
    to_application,
    to_organisation,
    to_patient,
    to_professional,
)

LETTER = build_ldl_ses()
PDF_LETTER = build_n1()
TO_PATIENT = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}
SOMEBODY_ELSE = replace(
    PATIENT, birth_name="EXEMPLE-AUTRE", birth_date="19800101", ins=matricule("1800194043001"), ipp="900000999"
)


def _arrival(content: bytes, policy: str = "") -> Arrival:
    at, speaker = datetime(2026, 11, 20, tzinfo=UTC), Principal("hospital", "application", "940000001")
    return Arrival(content, "mllp", speaker, at, decision_policy=policy)


def _inspect(content: bytes, policy: str = "") -> Inspection:
    return inspect_hl7v2(_arrival(content, policy))


def _errors(content: bytes, policy: str = "") -> list[tuple[str, str, str, str]]:
    found = _inspect(content, policy)
    errors = [(f.code, f.location, f.hl7_code, f.app_code) for f in found.findings if f.severity is Severity.ERROR]
    assert (found.verdict is Verdict.REFUSED) == bool(errors)
    return errors


def _warnings(content: bytes) -> list[tuple[str, str]]:
    found = _inspect(content)
    assert found.verdict is Verdict.ACCEPTED, found.findings
    return [(f.code, f.location) for f in found.findings if f.severity is not Severity.INFORMATION]


def _submission(content: bytes) -> Submission:
    return envelope_hl7v2(_arrival(content), "receipt-1")[0]


# -- what is taken ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [build_mdm(LETTER), build_mdm(PDF_LETTER), build_oru(LETTER), build_oru(PDF_LETTER, LETTER)])
def test_a_right_message_is_accepted_without_a_word(content: bytes) -> None:
    assert _warnings(content) == []


def test_the_control_tells_who_speaks_and_how_to_answer() -> None:
    control = _inspect(build_mdm(LETTER, control_id="A\\S\\1")).control
    assert (control.application, control.facility) == ("DPI", "HOPITAL-EXEMPLE")
    assert (control.to_application, control.to_facility) == ("TRAIT-D-UNION", "HOPITAL-EXEMPLE")
    assert (control.event, control.control_id, control.version) == ("MDM^T02^MDM_T02", "A^1", "2.6")
    assert (control.processing, control.charset) == ("T", "UNICODE UTF-8")
    assert control.sent_at == "20261120163500+0100"


def test_a_version_with_a_country_and_a_profile_is_its_version() -> None:
    assert _errors(build_oru(LETTER, change={"MSH-12": "2.5^FRA^2.11"})) == []


def test_a_resend_with_another_sending_time_has_the_same_fingerprint_and_another_content_has_not() -> None:
    first, resent = build_mdm(LETTER), build_mdm(LETTER, change={"MSH-7": "20261121000000"})
    assert _inspect(first).fingerprint == _inspect(resent).fingerprint
    assert _inspect(first).fingerprint != _inspect(build_mdm(LETTER, control_id="M2")).fingerprint
    assert _inspect(first).fingerprint != _inspect(build_mdm(PDF_LETTER)).fingerprint


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_do_not_matter(end: str) -> None:
    assert _errors(build_mdm(LETTER, end=end)) == []


def test_accents_in_a_latin_message_are_read() -> None:
    content = build_mdm(LETTER, encoding="iso8859-15", change={"MSH-18": "8859/15"})
    sender = _submission(content).sender
    assert sender is not None and sender.professional is not None
    assert sender.professional.given == "Hélène"


# -- what is refused, with the norm's codes -----------------------------------------------------------------------------------


def test_what_is_no_message_is_refused_with_an_empty_control() -> None:
    found = _inspect(b"hello")
    assert (found.verdict, found.control.control_id, found.findings[0].hl7_code) == (Verdict.REFUSED, "", "100")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"MSH-9": "ADT^A01^ADT_A01"}, ("hl7.unknown-type", "MSH-9.1", "200", "")),
        ({"MSH-9": "MDM^T11^MDM_T02"}, ("hl7.unknown-event", "MSH-9.2", "201", "")),
        ({"MSH-9": "MDM^T10^MDM_T02"}, ("hl7.action-incoherent", "OBX[1]-11", "199", "")),
        ({"MSH-9": "MDM^T04^MDM_T02"}, ("hl7.action-incoherent", "OBX[1]-11", "199", "")),
        ({"MSH-9": ""}, ("hl7.required-field", "MSH-9", "101", "")),
        ({"MSH-12": "2.3"}, ("hl7.version", "MSH-12", "203", "")),
        ({"MSH-11": "X"}, ("hl7.processing-id", "MSH-11", "202", "")),
        ({"MSH-10": ""}, ("hl7.required-field", "MSH-10", "101", "")),
        ({"MSH-10": "x" * 251}, ("hl7.control-id-too-long", "MSH-10", "102", "")),
        ({"MSH-21": "1.1^CISIS_CDA_HL7_LPS"}, ("hl7.other-way", "MSH-21", "199", "")),
        ({"PID-3": ""}, ("hl7.required-field", "PID-3", "101", "")),
        ({"PID-5": '""'}, ("hl7.required-field", "PID-5", "101", "")),
        ({"ORC-1": "RO"}, ("hl7.action-incoherent", "OBX[1]-11", "199", "")),
        ({"OBX[1]-11": "C"}, ("hl7.action-incoherent", "OBX[1]-11", "199", "")),
        ({"OBX[2]-5": "oui"}, ("hl7.flag-value", "OBX[2]-5", "103", "")),
        ({"OBX[2]-5": ""}, ("hl7.flag-value", "OBX[2]-5", "103", "")),
        ({"OBX[2]-3": "DESTDMP^x^MetaDMPMSS"}, ("hl7.flag-missing", "OBX", "198", "")),
        ({"OBX[1]-5": "^text^XML^Base64^####"}, ("hl7.base64", "OBX[1]-5.5", "102", "")),
        ({"OBX[1]-5": "^text^XML^Base64^QUJDR"}, ("hl7.base64", "OBX[1]-5.5", "102", "")),
        ({"OBX[1]-5": "^text^XML^Base64^"}, ("hl7.no-document", "OBX[1]-5.5", "101", "")),
        ({"OBX[1]-5": "^text^XML^A^<ClinicalDocument/>"}, ("hl7.not-encoded", "OBX[1]-5.4", "102", "")),
    ],
)
def test_each_fault_has_its_code_and_its_place(change: Mapping[str, str], expected: tuple[str, str, str, str]) -> None:
    assert expected in _errors(build_mdm(LETTER, change=change))


@pytest.mark.parametrize("name", ["EVN", "PID", "PV1", "ORC", "OBR", "TXA"])
def test_a_missing_segment_is_told_by_its_name(name: str) -> None:
    assert ("hl7.segment-missing", name, "100", "") in _errors(build_mdm(LETTER, drop=(name,)))


def test_a_message_without_document_and_one_with_too_many_are_refused() -> None:
    assert ("hl7.no-document", "OBX", "198", "") in _errors(build_oru())
    three = build_oru(LETTER, PDF_LETTER, build_n1(document_id="1.2.250.1.213.1.1.9.500.9"))
    assert ("hl7.too-many-documents", "OBX[3]", "198", "") in _errors(three)


def test_segments_out_of_their_place_or_repeated_are_refused_and_strange_ones_told() -> None:
    assert ("hl7.segment-order", "EVN[2]", "100", "") in _errors(build_mdm(LETTER, add=("EVN||2026",)))
    assert ("hl7.segment-repeated", "PV1[2]", "198", "") in _errors(build_mdm(LETTER, add=("PV1|2|I",)))
    assert ("hl7.not-a-segment", "line[5]", "100", "") in _errors(build_mdm(LETTER, add=("not a segment",)))
    assert _warnings(build_mdm(LETTER, add=("QQQ|1",))) == [("hl7.unexpected-segment", "QQQ")]
    assert _warnings(build_mdm(LETTER, add=("ZZZ|1",))) == []


def test_all_faults_are_told_at_once() -> None:
    content = build_mdm(LETTER, drop=("EVN",), change={"MSH-12": "2.3", "OBX[2]-5": "x", "PID-3": ""}, recipients=())
    codes = {code for code, *_ in _errors(content)}
    assert {"hl7.version", "hl7.segment-missing", "hl7.flag-value", "hl7.required-field", "hl7.no-recipient"} <= codes


@pytest.mark.parametrize(
    "flood",
    [
        "OBX|1|CWE|DESTMSSANTEPAT^x^MetaDMPMSS||Y\r" * 100_000,
        "PRT||UC||RCT|1^A\r" * 100_000,
        "garbage\r" * 100_000,
        "PID|||" + "1~" * 1_000_000 + "\r",
        "NTE|" + "a|" * 1_000_000 + "\r",
        "NTE|1||" + "a^" * 1_000_000 + "\r",
    ],
)
def test_a_message_of_more_parts_than_any_real_one_is_refused_at_once(flood: str) -> None:
    content = build_mdm(LETTER) + flood.encode()
    start = time.perf_counter()
    assert _errors(content) == [("hl7.too-many-parts", "MSH", "198", "")]
    assert time.perf_counter() - start < 5
    with pytest.raises(InputError):
        understand_hl7v2(_arrival(content), "r")


def test_the_most_hostile_message_that_is_looked_into_is_answered_soon_and_briefly() -> None:
    flood = "OBX|1|CWE|DESTMSSANTEPAT^x^MetaDMPMSS||Y\r" * 900 + "PRT||UC||RCT|1^A\r" * 900 + "PID|||" + "1^^^^INS~" * 1900 + "\r"
    start = time.perf_counter()
    found = _inspect(build_mdm(LETTER) + flood.encode())
    assert time.perf_counter() - start < 10
    assert found.verdict is Verdict.REFUSED
    assert len(found.findings) == 200


def test_two_documents_with_one_id_are_refused() -> None:
    assert ("hl7.same-document-twice", "OBX", "199", "") in _errors(build_oru(LETTER, LETTER))


# -- the payload --------------------------------------------------------------------------------------------------------------


def test_a_document_without_its_padding_is_repaired_and_told_and_travels_whole() -> None:
    document = next(d for d in (LETTER, LETTER + b"\n", LETTER + b"\n\n") if len(d) % 3)
    encoded = base64.b64encode(document).decode().rstrip("=")
    content = build_mdm(document, change={"OBX[1]-5": f"^text^XML^Base64^{encoded}"})
    assert _warnings(content) == [("hl7.base64-padding", "OBX[1]-5.5")]
    assert understand_hl7v2(_arrival(content), "r")[0].source_document == document


@pytest.mark.parametrize("wrapping", ["\n", "\\.br\\", "\\X0D0A\\", " "])
def test_wrapped_base64_is_joined(wrapping: str) -> None:
    encoded = base64.b64encode(LETTER).decode()
    wrapped = wrapping.join(encoded[at : at + 76] for at in range(0, len(encoded), 76))
    assert _errors(build_mdm(LETTER, change={"OBX[1]-5": f"^text^XML^Base64^{wrapped}"})) == []


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"this is no XML", "cda.not-xml"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + LETTER.split(b"?>", 1)[1], "cda.doctype"),
        (b"<html/>", "cda.not-a-clinical-document"),
    ],
)
def test_what_is_no_safe_document_is_an_application_error(document: bytes, code: str) -> None:
    assert _errors(build_mdm(document)) == [(code, "OBX[1]-5", "207", "906")]


# -- who the patient is -------------------------------------------------------------------------------------------------------


def test_a_document_about_another_patient_is_refused() -> None:
    assert _errors(build_mdm(LETTER, patient=SOMEBODY_ELSE)) == [("hl7.other-patient", "PID-3", "207", "904")]


def test_another_ins_is_another_patient_even_with_the_same_local_number_and_traits() -> None:
    assert ("hl7.other-patient", "PID-3", "207", "904") in _errors(
        build_mdm(LETTER, patient=replace(PATIENT, ins=matricule("2740994043218")))
    )


def test_the_same_number_under_another_ins_root_is_another_patient() -> None:
    assert ("hl7.other-patient", "PID-3", "207", "904") in _errors(
        build_mdm(LETTER, patient=replace(PATIENT, ins_oid="1.2.250.1.213.1.4.8"))
    )


def test_a_wrong_ins_key_is_refused_at_this_door() -> None:
    wrong = with_wrong_key(PATIENT)
    assert ("ins.wrong-key", "PID-3", "207", "906") in _errors(build_mdm(LETTER, patient=wrong))
    both = build_mdm(build_ldl_ses(patient=wrong), patient=wrong)
    assert [place for code, place, *_ in _errors(both) if code == "ins.wrong-key"] == ["PID-3", "OBX[1]-5"]


def test_without_ins_the_local_number_decides() -> None:
    bare = replace(PATIENT, ins="")
    assert _warnings(build_mdm(build_n1(patient=bare), patient=bare)) == []
    other = replace(bare, ipp="1")
    assert ("hl7.other-patient", "PID-3", "207", "904") in _errors(build_mdm(build_n1(patient=bare), patient=other))


def test_without_any_common_number_traits_are_told_to_be_the_only_proof() -> None:
    bare = replace(PATIENT, ins="")
    stranger = replace(bare, ipp_oid="1.2.250.1.999.1")
    content = build_mdm(build_n1(patient=bare), patient=stranger)
    assert ("hl7.patient-by-traits", "PID-3") in _warnings(content)
    younger = replace(stranger, birth_date="19740919")
    assert ("hl7.other-patient", "PID-3", "207", "904") in _errors(build_mdm(build_n1(patient=bare), patient=younger))


def test_a_document_without_ins_is_refused_only_where_a_destination_needs_it() -> None:
    document = build_n1(patient=replace(PATIENT, ins=""))
    assert ("hl7.no-ins-in-document", "OBX[1]-5") in _warnings(build_mdm(document))
    refused = ("hl7.no-ins-in-document", "OBX[1]-5", "207", "903")
    assert refused in _errors(build_mdm(document, flags={"DESTDMP": "Y"}))
    assert refused in _errors(build_mdm(document, flags=TO_PATIENT, recipients=(to_patient(),)))


def test_other_traits_with_the_same_ins_are_told() -> None:
    married = replace(PATIENT, birth_name="EXEMPLE-AUTREMENT")
    assert _warnings(build_mdm(LETTER, patient=married)) == [("hl7.traits-differ", "PID-5")]


def test_accents_hyphens_and_case_make_no_other_name() -> None:
    spelled = replace(PATIENT, birth_name="Exemple Berthier")
    assert _warnings(build_mdm(LETTER, patient=spelled)) == []


@pytest.mark.parametrize(
    ("status", "reliability"),
    [
        ("VALI", Reliability.QUALIFIED),
        ("QUAL", Reliability.QUALIFIED),
        ("PROV", Reliability.PROVISIONAL),
        ("", Reliability.PROVISIONAL),
    ],
)
def test_the_identity_is_qualified_only_by_an_ins_and_a_status(status: str, reliability: Reliability) -> None:
    patient = _submission(build_mdm(LETTER, change={"PID-32": status})).document.patient
    assert patient.reliability is reliability


def test_an_ins_without_all_its_traits_is_told_and_opens_no_patient_leg() -> None:
    content = build_mdm(build_n1(patient=replace(PATIENT, birth_insee="")))
    assert _warnings(content) == [("hl7.traits-incomplete", "OBX[1]-5")]
    assert _submission(content).document.patient.reliability is Reliability.VALIDATED


def test_a_validated_local_number_is_validated_not_qualified() -> None:
    bare = replace(PATIENT, ins="")
    assert _submission(build_mdm(build_n1(patient=bare), patient=bare)).document.patient.reliability is Reliability.VALIDATED


def test_local_numbers_of_the_message_are_added_only_when_the_ins_agree() -> None:
    added = _submission(build_mdm(LETTER)).document.patient.local_ids
    assert [(i.value, i.kind) for i in added] == [(PATIENT.ipp, "PI"), ("DOS-42", "AN")]
    bare = replace(PATIENT, ins="")
    kept = _submission(build_mdm(build_n1(patient=bare), patient=bare)).document.patient.local_ids
    assert [i.value for i in kept] == [PATIENT.ipp]


# -- flags --------------------------------------------------------------------------------------------------------------------


def test_a_document_hidden_from_the_patient_is_never_mailed_to_the_patient() -> None:
    flags = {**TO_PATIENT, "INVISIBLE_PATIENT": "Y"}
    assert _errors(build_mdm(LETTER, flags=flags, recipients=(to_patient(),))) == [
        ("hl7.hidden-from-patient", "OBX[9]-5", "207", "906")
    ]


def test_a_masked_document_is_never_mailed_to_professionals() -> None:
    assert _errors(build_mdm(LETTER, flags={"MASQUE_PS": "Y"})) == [("hl7.hidden-from-professionals", "OBX[8]-5", "207", "906")]


def test_a_message_for_nobody_is_refused() -> None:
    assert _errors(build_mdm(LETTER, flags={"DESTMSSANTEPS": "N"}, recipients=()))[0][0] == "hl7.no-destination"


def test_the_strict_matrix_refuses_what_the_default_profile_takes() -> None:
    assert _errors(build_mdm(LETTER)) == []
    assert _errors(build_mdm(LETTER), policy="matrix-strict") == [("hl7.not-in-matrix", "OBX", "207", "906")]
    hidden = build_mdm(LETTER, flags={"INVISIBLE_PATIENT": "Y"})
    assert _errors(hidden, policy="matrix-strict") == []


@pytest.mark.parametrize(
    "recipient", [to_professional(family="SANS-NUMERO"), to_professional(rpps="123"), to_organisation("Sans numéro", "")]
)
def test_a_mail_to_professionals_needs_an_address_or_a_number(recipient: Any) -> None:
    assert _errors(build_mdm(LETTER, recipients=(recipient,))) == [("hl7.no-recipient", "PRT", "101", "")]


def test_a_recipient_whom_no_flag_asks_for_is_told_and_not_served() -> None:
    content = build_mdm(LETTER, recipients=(DOCTOR, to_patient()))
    assert _warnings(content) == [("hl7.recipient-not-asked", "PRT")]
    assert [r.kind for r in _submission(content).recipients] == [RecipientKind.PROFESSIONAL]


def test_each_flag_reaches_the_envelope() -> None:
    flags = dict.fromkeys(FLAGS, "Y") | {"MASQUE_PS": "N", "INVISIBLE_PATIENT": "N"}
    sent = _submission(build_mdm(LETTER, flags=flags, recipients=(DOCTOR, to_patient())))
    assert (sent.visibility.hidden_from_representatives, sent.visibility.secret_connection) == (True, True)
    assert sent.visibility.changes_confidentiality
    assert not (sent.visibility.hidden_from_professionals or sent.visibility.hidden_from_patient)
    assert (sent.destinations.record, sent.destinations.professionals, sent.destinations.patient) == (True, True, True)
    assert (sent.acks.reception, sent.acks.reading, sent.acks.reply_application) == (True, True, "DPI")
    assert {r.kind for r in sent.recipients} == {RecipientKind.PROFESSIONAL, RecipientKind.PATIENT, RecipientKind.RECORD}


def test_older_profiles_are_read_with_what_they_lack_told() -> None:
    older = build_mdm(LETTER, drop=("ORC", "OBR"), change={"MSH-21": "2.0^CISIS_CDA_HL7_V2"})
    assert [code for code, _ in _warnings(older)] == ["hl7.older-profile", "hl7.segment-missing", "hl7.segment-missing"]


def test_older_flag_names_are_understood() -> None:
    changed = build_mdm(LETTER, change={"OBX[11]-3": "ACK_LECTURE^x^MetaDMPMSS", "OBX[11]-5": "Y "})
    assert _warnings(changed) == []
    assert _submission(changed).acks.reading


# -- parties ------------------------------------------------------------------------------------------------------------------


def test_recipients_are_told_apart_by_what_names_them() -> None:
    recipients = (
        DOCTOR,
        to_organisation("Urologie", "940000011", unit="3435"),
        to_organisation("Centre de santé", "1940000029"),
        to_application("LOGICIEL", "accueil@cms.mssante.example"),
        to_patient(),
        to_professional("Seule.Adresse@Medecin.mssante.example"),
    )
    sent = _submission(build_mdm(LETTER, flags={"DESTMSSANTEPAT": "Y"}, recipients=recipients)).recipients
    assert [(r.kind.value, r.address, r.rpps, r.finess, r.unit) for r in sent] == [
        ("professional", "dominique.modele@cms-ivry.formation.mssante.fr", "99700000013", "", ""),
        ("organisation", "", "", "940000011", "3435"),
        ("organisation", "", "", "940000029", ""),
        ("application", "accueil@cms.mssante.example", "", "", ""),
        ("application", "seule.adresse@medecin.mssante.example", "", "", ""),
        ("patient", f"{PATIENT.ins}@patient.mssante.fr", "", "", ""),
    ]


@pytest.mark.parametrize("domain", ["patient.mssante.fr", "patient.formation.mssante.fr"])
def test_a_patient_address_made_of_another_number_is_never_used(domain: str) -> None:
    other = to_patient(SOMEBODY_ELSE, address=f"{SOMEBODY_ELSE.ins}@{domain}")
    content = build_mdm(LETTER, flags=TO_PATIENT, recipients=(other,))
    assert _warnings(content) == [("hl7.patient-address", "PRT-15.4")]
    assert [r.address for r in _submission(content).recipients] == [""]


def test_the_sender_is_a_person_in_a_structure() -> None:
    sender = _submission(build_mdm(LETTER)).sender
    assert sender is not None and sender.professional is not None and sender.organisation is not None
    assert (sender.professional.rpps, sender.professional.family) == ("10009990001", "DUTEST")
    assert (sender.organisation.finess, sender.organisation.name) == ("949990121", "Hôpital Bicêtre")


def test_the_reply_address_and_the_end_of_the_talk_are_kept() -> None:
    content = build_mdm(
        LETTER, flags=TO_PATIENT, recipients=(to_patient(),), reply="Secretariat@hopital.mssante.example", final=True
    )
    sent = _submission(content)
    assert sent.reply_to_address == "secretariat@hopital.mssante.example"
    assert not sent.destinations.patient_may_reply
    assert _submission(build_mdm(LETTER)).destinations.patient_may_reply


def test_mail_bodies_are_decoded_and_one_that_cannot_be_is_left_out_and_told() -> None:
    content = build_mdm(LETTER, bodies={"CORPSMAIL_PS": "Cher confrère, à bientôt.", "CORPSMAIL_PATIENT": "Bonjour"})
    assert (_submission(content).bodies.professionals, _submission(content).bodies.patient) == (
        "Cher confrère, à bientôt.",
        "Bonjour",
    )
    cut = build_mdm(LETTER, bodies={"CORPSMAIL_PS": "x"}, change={"OBX[12]-5": "^text^^Base64^QUJDR"})
    assert _warnings(cut) == [("hl7.mail-body", "OBX[12]-5.5")]
    assert _submission(cut).bodies.professionals == ""


def test_units_are_named_most_precise_first() -> None:
    movement = "ZBE|1|20261120||INSERT|N||Chirurgie^^^^^X&1.2&ISO^UF^^^6268|Soins^^^^^X&1.2&ISO^UF^^^6269|HMS"
    sent = _submission(build_mdm(LETTER, add=(movement,)))
    assert sent.unit_codes == (("medical", "6268"), ("care", "6269"), ("location", "221"))
    assert sent.encounter_class == "I"


# -- translation --------------------------------------------------------------------------------------------------------------


def test_the_document_travels_byte_for_byte() -> None:
    (translation,) = understand_hl7v2(_arrival(build_mdm(LETTER)), "receipt-1")
    assert translation.source_document == LETTER
    assert translation.source_media_type == "text/xml"


def test_every_field_of_a_right_message_is_read_or_ignored_with_a_reason() -> None:
    for content in (build_mdm(LETTER), build_oru(LETTER), build_mdm(LETTER, flags={"DESTDMP": "Y"}, reply="a@b.example")):
        (translation,) = understand_hl7v2(_arrival(content), "receipt-1")
        assert [node.path for node in translation.unread if node.path[:3].isupper()] == []


def test_what_the_rules_do_not_know_is_listed() -> None:
    (translation,) = understand_hl7v2(_arrival(build_mdm(LETTER, add=("ZFA|ACTIF",), change={"PID-13": "0102030405"})), "r")
    assert {"ZFA-1.1", "PID-13.1"} <= {node.path for node in translation.unread}


def test_an_oru_with_two_documents_gives_two_translations_to_the_same_people() -> None:
    first, second = understand_hl7v2(_arrival(build_oru(PDF_LETTER, LETTER)), "receipt-1")
    assert (first.source_document, second.source_document) == (PDF_LETTER, LETTER)
    assert first.submission.recipients == second.submission.recipients
    assert first.submission.id != second.submission.id


def test_preparing_again_gives_the_same_and_the_envelope_is_that_of_the_translation() -> None:
    arrival = _arrival(build_mdm(LETTER))
    first, again = understand_hl7v2(arrival, "receipt-1"), understand_hl7v2(arrival, "receipt-1")
    assert first == again
    assert envelope_hl7v2(arrival, "receipt-1") == (first[0].submission,)
    assert envelope_hl7v2(arrival, "receipt-2")[0].id != first[0].submission.id
    assert first[0].submission.intent is Intent.NEW


def test_the_patient_of_the_bundle_bears_what_pid_adds() -> None:
    (translation,) = understand_hl7v2(_arrival(build_mdm(LETTER)), "receipt-1")
    patient = _resource(translation.bundle, "Patient")
    values = [identifier["value"] for identifier in patient["identifier"]]
    assert values.count(PATIENT.ins) == 1
    assert "DOS-42" in values
    (provisional,) = understand_hl7v2(_arrival(build_mdm(LETTER, change={"PID-32": "PROV"})), "receipt-1")
    assert PATIENT.ins not in [i["value"] for i in _resource(provisional.bundle, "Patient").get("identifier", [])]


def test_the_visit_number_of_the_message_joins_the_encounter_beside_the_document_s_own() -> None:
    (translation,) = understand_hl7v2(_arrival(build_mdm(LETTER)), "receipt-1")
    found = [(i["system"], i["value"]) for i in _resource(translation.bundle, "Encounter")["identifier"]]
    assert found[-1] == ("urn:oid:1.2.250.1.999.94.3", "SEJ-7")
    assert len(found) == 2
    stay = translation.submission.document.stay
    assert stay is not None
    assert stay.identifiers[-1] == ("1.2.250.1.999.94.3", "SEJ-7")
    (same,) = understand_hl7v2(_arrival(build_mdm(LETTER, change={"PV1-19": stay.identifiers[0][1]})), "receipt-1")
    assert len(_resource(same.bundle, "Encounter")["identifier"]) == 1


def test_another_document_id_in_txa_is_told_and_the_document_rules() -> None:
    content = build_mdm(LETTER, change={"TXA-12": "9.9.9"})
    (translation,) = understand_hl7v2(_arrival(content), "receipt-1")
    assert "hl7.other-document-id" in [finding.code for finding in translation.findings]
    assert translation.submission.document.unique_id == "1.2.250.1.213.1.1.9.501.1"


def test_understanding_what_cannot_be_taken_says_why() -> None:
    for content, code in (
        (b"x", "hl7.not-hl7"),
        (build_mdm(b"x"), "cda.not-xml"),
        (build_mdm(LETTER, event="T11"), "hl7.unknown-event"),
    ):
        with pytest.raises(InputError) as refused:
            understand_hl7v2(_arrival(content), "receipt-1")
        assert refused.value.code == code


def test_no_finding_ever_holds_a_value_of_the_patient() -> None:
    secrets = ("SECRETPATIENT", "19991231", "277777777777777")
    patient = SamplePatient(birth_name=secrets[0], birth_date=secrets[1], ins=secrets[2])
    for document in (LETTER, b"SECRETPATIENT"):
        found = _inspect(build_mdm(document, patient=patient, change={"PV1-2": secrets[0], "MSH-12": secrets[0]}))
        told = repr([(f.code, f.text, f.location, f.remedy) for f in found.findings])
        assert not any(secret in told for secret in secrets)


def _resource(bundle: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind)


# -- both decision profiles ---------------------------------------------------------------------------------------------------


def _decisions(content: bytes) -> str:
    (said,) = [f.text for f in _inspect(content).findings if f.code == "hl7.decisions"]
    return said


def test_the_verdict_of_both_decision_profiles_is_told_whichever_rules() -> None:
    assert _decisions(build_mdm(LETTER)) == "semantic: accepts · matrix-strict: refuses"
    assert _decisions(build_mdm(LETTER, flags={"INVISIBLE_PATIENT": "Y"})) == "semantic: accepts · matrix-strict: accepts"
    assert _decisions(build_mdm(LETTER, flags={"DESTMSSANTEPS": "N"})) == "semantic: refuses · matrix-strict: refuses"
    masked = build_mdm(LETTER, flags=TO_PATIENT | {"INVISIBLE_PATIENT": "Y"}, recipients=(to_patient(),))
    assert _decisions(masked) == "semantic: refuses · matrix-strict: refuses"


@pytest.mark.parametrize("policy", ["semantic", "matrix-strict"])
def test_neither_profile_lets_a_hidden_document_out(policy: str) -> None:
    for flags in (
        {"MASQUE_PS": "Y"},
        TO_PATIENT | {"INVISIBLE_PATIENT": "Y"},
        {"MASQUE_PS": "Y", "DESTMSSANTEPAT": "Y"},
    ):
        assert _errors(build_mdm(LETTER, flags=flags), policy), flags


def test_an_unknown_condition_of_answer_is_told() -> None:
    assert _warnings(build_mdm(LETTER, change={"MSH-15": "XX", "MSH-16": "al"})) == [("hl7.ack-condition", "MSH-15")]
    control = _inspect(build_mdm(LETTER, change={"MSH-15": "NE", "MSH-16": "er"})).control
    assert (control.accept_ack, control.application_ack) == ("NE", "ER")


def test_several_addresses_of_one_participation_are_told_and_the_first_one_is_used() -> None:
    telephone, first, second = "0102030405^PRN^PH", "^NET^X.400^a@test.mssante.fr", "^^X.400^b@test.mssante.fr"
    one = build_mdm(LETTER, change={"PRT[2]-15": f"{telephone}~{first}"})
    assert _warnings(one) == []
    assert _submission(one).recipients[0].address == "a@test.mssante.fr"
    two = build_mdm(LETTER, change={"PRT[2]-15": f"{first}~{second}"})
    assert _warnings(two) == [("hl7.several-addresses", "PRT[2]-15")]
    assert _submission(two).recipients[0].address == "a@test.mssante.fr"
    (translation,) = understand_hl7v2(_arrival(two), "r")
    assert "PRT[2]-15(2).4" in [node.path for node in translation.unread]


# ── which numbers tell that two patients are one ──────────────────────────────────────────────────────────────


def _pid(*numbers: LocalIdentifier) -> PidIdentity:
    return PidIdentity(None, numbers, "", "", "", "", "")


def _named(*numbers: LocalIdentifier) -> PatientIdentity:
    return PatientIdentity("", local_ids=numbers)


IPP_1, IPP_2 = LocalIdentifier("1", "1.2.3"), LocalIdentifier("2", "1.2.3")
CASE_77 = LocalIdentifier("77", "1.2.9", "AN")


def test_a_common_case_number_does_not_make_two_ipps_one_patient() -> None:
    assert compare(_pid(IPP_1, CASE_77), _named(IPP_2, CASE_77)) is Agreement.DIFFERENT
    assert compare(_pid(CASE_77), _named(CASE_77)) is Agreement.SAME_LOCAL_NUMBER


def test_a_stay_numbered_like_a_patient_by_the_same_authority_is_not_that_patient() -> None:
    stay = LocalIdentifier("2", "1.2.3", "AN")
    assert compare(_pid(IPP_1, stay), _named(IPP_2)) is Agreement.DIFFERENT


def test_two_authorities_that_contradict_each_other_are_two_patients() -> None:
    same, other = LocalIdentifier("X", "1.2.4"), LocalIdentifier("Y", "1.2.4")
    assert compare(_pid(IPP_1, same), _named(IPP_1, other)) is Agreement.DIFFERENT
    assert compare(_pid(IPP_1, IPP_2), _named(IPP_2)) is Agreement.SAME_LOCAL_NUMBER


def test_a_document_type_outside_the_list_is_told_once_and_taken() -> None:
    other = "99999-9^Autre document^LN"
    warned = _warnings(build_mdm(LETTER, change={"OBR-4": other, "TXA-2": other}))
    assert ("hl7.unknown-document-type", "OBR-4") in warned
    assert [code for code, _ in warned].count("hl7.unknown-document-type") == 1
    assert "hl7.unknown-document-type" not in [code for code, _ in _warnings(build_mdm(LETTER))]
