"""Bad input at every door of the real service: refused in the protocol's own words, kept where it came whole, sent to nobody.

After each case a good message is taken, and in the end every good one has arrived and nothing else has. The patient of all
cases is unmistakable: the last tests look for a trace in everything that is not the document's own way.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from adapter.demo.stage import CENTRE, HOSPITAL, Stage, StageSettings
from tests.builders.cda import REFERRER, SamplePatient, matricule, with_wrong_key
from tests.builders.form import as_response, form_bytes
from tests.builders.hl7 import build_mdm, build_oru, to_organisation, to_professional
from tests.builders.private import PATIENT, PRIVATE_WORDS, private_form, private_ldl, private_n1, spellings
from tests.e2e.house import FORM, Ack, House, open_house

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STRANGER = to_professional("", rpps="10009990010", family="INCONNU", given="Nulle-Part")
# To a reader whom the directory knows, so that only what is wrong keeps a document from leaving.
READER = dataclasses.replace(REFERRER, rpps="99900000060", finess="949990345", family="ARCHETYPE", given="Camille")
OTHER_PATIENT = SamplePatient(
    birth_name="ZZPRIVATE-AUTRE", first_given="ZZPRIVATEAUTRE", ins=matricule("1500199137732"), ipp="88"
)
# Damaged: refused whether the door takes PDF or not.
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Title (ZZPRIVATE-PDF) >>\nendobj\n%%EOF\n"
DOCTYPE = b'<!DOCTYPE ClinicalDocument [<!ENTITY a "ZZPRIVATE-ENTITE">]>'
LAUGHS = b"<!DOCTYPE b [<!ENTITY a0 'ha'>%s]>" % b"".join(
    b"<!ENTITY a%d '%s'>" % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One service for all cases. What it writes as temporary files goes where the last tests look."""
    folder = tmp_path_factory.mktemp("bad-input")
    (folder / "tmp").mkdir()
    settings = StageSettings(more_peers=(("DPI", "HOPITAL-EXEMPLE"),))
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("TMPDIR", str(folder / "tmp"))
        stage = Stage(folder / "stage", settings)
        with stage, open_house(stage) as opened:
            yield opened


@pytest.fixture
def going_on(house: House) -> Iterator[House]:
    """After the case the doors take a good message."""
    yield house
    house.goes_on()


def letter(number: int, **changes: Any) -> bytes:
    return private_n1(f"1.2.250.1.999.94.66.{number}", pcp=None, referrer=READER, **changes)


def with_prolog(document: bytes, prolog: bytes) -> bytes:
    """A document type declared before the root element."""
    at = document.index(b"<ClinicalDocument")
    return document[:at] + prolog + document[at:]


# ── MLLP ──────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD_BASE64 = "^text^XML^Base64^%%%%ZZPRIVATE%%%%"
CUT_BASE64 = "^text^XML^Base64^" + base64.b64encode(private_n1("1.2")).decode()[:4001]


def mdm(control_id: str, cda: bytes | None = None, **changes: Any) -> bytes:
    document = private_n1(f"1.2.250.1.999.94.55.{len(control_id)}") if cda is None else cda
    return build_mdm(document, control_id=control_id, **{"patient": PATIENT, **changes})


MLLP_CASES: dict[str, tuple[Callable[[str], bytes], tuple[str, str, str, str]]] = {
    "wrong version": (lambda m: mdm(m, change={"MSH-12": "2.3"}), ("MSH^1^12", "203", "", "hl7.version")),
    "wrong version of ORU": (
        lambda m: build_oru(private_n1("1.2.3"), control_id=m, patient=PATIENT, change={"MSH-12": "2.6"}),
        ("MSH^1^12", "203", "", "hl7.version"),
    ),
    "unknown type": (lambda m: mdm(m, change={"MSH-9": "BAR^P01^BAR_P01"}), ("MSH^1^9^1^1", "200", "", "hl7.unknown-type")),
    "unknown event": (lambda m: mdm(m, change={"MSH-9": "MDM^T99^MDM_T02"}), ("MSH^1^9^1^2", "201", "", "hl7.unknown-event")),
    "no type": (lambda m: mdm(m, change={"MSH-9": ""}), ("MSH^1^9", "101", "", "hl7.required-field")),
    "processing id": (lambda m: mdm(m, change={"MSH-11": "Z"}), ("MSH^1^11", "202", "", "hl7.processing-id")),
    "no recipient at all": (lambda m: mdm(m, recipients=()), ("PRT^1", "101", "", "hl7.no-recipient")),
    "recipient in no directory": (
        lambda m: mdm(m, recipients=(STRANGER,)),
        ("PRT^1", "207", "906", "route.no-recipient-resolved"),
    ),
    "organisation in no directory": (
        lambda m: mdm(m, recipients=(to_organisation("Nulle part", "940999999"),)),
        ("PRT^1", "207", "906", "route.no-recipient-resolved"),
    ),
    "address outside the trust": (
        lambda m: mdm(m, recipients=(to_professional("zzprivate@courriel.example", family="X"),)),
        ("PRT^1", "207", "906", "route.no-recipient-resolved"),
    ),
    "Base64 of no alphabet": (lambda m: mdm(m, change={"OBX[1]-5": BAD_BASE64}), ("OBX^1^5^1^5", "102", "", "hl7.base64")),
    "Base64 cut short": (lambda m: mdm(m, change={"OBX[1]-5": CUT_BASE64}), ("OBX^1^5^1^5", "102", "", "hl7.base64")),
    "no Base64": (lambda m: mdm(m, change={"OBX[1]-5": "^text^XML^A^ZZPRIVATE"}), ("OBX^1^5^1^4", "102", "", "hl7.not-encoded")),
    "empty payload": (lambda m: mdm(m, change={"OBX[1]-5": "^text^XML^Base64^"}), ("OBX^1^5^1^5", "101", "", "hl7.no-document")),
    "payload is no XML": (lambda m: mdm(m, b"ZZPRIVATE"), ("OBX^1^5", "207", "906", "cda.not-xml")),
    "payload is a PDF": (lambda m: mdm(m, PDF), ("OBX^1^5", "207", "906", "cda.not-xml or pdf.not-a-pdf")),
    "DOCTYPE": (lambda m: mdm(m, with_prolog(private_n1("1.2.3"), DOCTYPE)), ("OBX^1^5", "207", "906", "cda.doctype")),
    "Base64 within the document": (
        lambda m: mdm(m, re.sub(rb"(<text[^>]*>)[^<]+", rb"\1%%ZZPRIVATE%%", private_n1("1.2.3"))),
        ("OBX^1^5", "207", "906", "cda.bad-body"),
    ),
    "billion laughs": (lambda m: mdm(m, LAUGHS + b"<b>&a11;</b>"), ("OBX^1^5", "207", "906", "cda.doctype")),
    "deep XML": (
        lambda m: mdm(m, b"<ClinicalDocument xmlns='urn:hl7-org:v3'>" + b"<a>" * 200_000),
        ("OBX^1^5", "207", "906", "cda.too-deep"),
    ),
    "a million tags": (
        lambda m: mdm(m, b"<ClinicalDocument xmlns='urn:hl7-org:v3'>" + b"<a/>" * 1_100_000 + b"</ClinicalDocument>"),
        ("OBX^1^5", "207", "906", "cda.too-many-parts"),
    ),
    "CDA for another patient": (lambda m: mdm(m, patient=OTHER_PATIENT), ("PID^1^3", "207", "904", "hl7.other-patient")),
    "INS with a wrong key": (
        lambda m: mdm(m, private_n1("1.2.3", patient=with_wrong_key(PATIENT)), patient=with_wrong_key(PATIENT)),
        ("PID^1^3", "207", "906", "ins.wrong-key"),
    ),
    "INS of figures that are no digits": (
        lambda m: mdm(m, patient=dataclasses.replace(PATIENT, ins="²" * 15)),
        ("PID^1^3", "207", "906", "ins.wrong-key"),
    ),
    "INS in the document with a wrong key": (
        lambda m: mdm(m, private_n1("1.2.3", patient=with_wrong_key(PATIENT))),
        ("OBX^1^5", "207", "906", "ins.wrong-key"),
    ),
    "no patient": (lambda m: mdm(m, drop=("PID",)), ("PID^1", "100", "", "hl7.segment-missing")),
    "wrong order": (lambda m: mdm(m, add=("EVN||2026",)), ("EVN^2", "100", "", "hl7.segment-order")),
    "no segment": (lambda m: mdm(m, add=("ZZPRIVATE sans forme",)), ("", "100", "", "hl7.not-a-segment")),
    "100 000 segments": (lambda m: mdm(m) + b"NTE|1\r" * 100_000, ("MSH^1", "198", "", "hl7.too-many-parts")),
    "a million lines": (lambda m: mdm(m) + b"\r" * 1_000_000, ("MSH^1", "198", "", "hl7.too-many-parts")),
    "a million repetitions": (
        lambda m: mdm(m).replace(b"PID|||", b"PID|||" + b"~" * 1_000_000),
        ("MSH^1", "198", "", "hl7.too-many-parts"),
    ),
    "ten million fields in MSH": (
        lambda m: mdm(m).replace(b"CISIS_CDA_HL7_V2\r", b"CISIS_CDA_HL7_V2" + b"|" * 10_000_000 + b"\r"),
        ("MSH^1", "198", "", "hl7.too-many-parts"),
    ),
    "replacement": (lambda m: mdm(m, event="T10", order="RP", status="C"), ("OBX^1^11", "199", "", "hl7.action-incoherent")),
}


@pytest.mark.parametrize("name", MLLP_CASES)
def test_mllp_refuses_with_the_codes_of_the_norm_and_keeps_the_original(going_on: House, name: str) -> None:
    write, expected = MLLP_CASES[name]
    control_id = f"BAD{list(MLLP_CASES).index(name):03d}"
    message = write(control_id)
    ack = going_on.mllp(message)
    assert (ack.code, ack.answers) == ("AE", control_id)
    assert any(error[:3] == expected[:3] and error[3] in expected[3].split(" or ") for error in ack.errors), ack.errors
    assert going_on.kept(ack.receipt_prefix) == ("refused", message)


@pytest.mark.parametrize(
    "content",
    [
        b"ZZPRIVATE-NAISSANCE bonjour",
        b"",
        os.urandom(2000),
        PDF,
        private_n1("1.2"),
        form_bytes(private_form()),
        b"MSH",
        b"MSHX" * 9,
    ],
    ids=["text", "empty", "garbage", "pdf", "cda", "form", "three letters", "no separator"],
)
def test_a_frame_that_is_no_hl7_is_refused_as_a_segment_error(going_on: House, content: bytes) -> None:
    content = content.replace(b"\x1c", b"").replace(b"\x0b", b"")
    ack = going_on.mllp(content)
    assert (ack.code, ack.answers) == ("AE", "")
    assert ack.errors == [("MSH^1", "100", "", "mllp.not-hl7")]


def test_a_sender_whom_nobody_knows_is_refused(going_on: House) -> None:
    ack = going_on.mllp(mdm("STRANGER", change={"MSH-3": "AUTRE-LOGICIEL"}))
    assert (ack.code, ack.errors) == ("AE", [("MSH^1^3", "207", "906", "mllp.unknown-peer")])
    assert going_on.ledger.find("STRANGER", legal_entity=HOSPITAL) == []


def test_a_truncated_frame_is_not_answered_and_not_kept(going_on: House) -> None:
    cut = b"\x0b" + mdm("TRUNCATED")[:900]
    assert going_on.raw_mllp(cut, answers=0, half_close=True) == []
    assert going_on.ledger.find("TRUNCATED", legal_entity=HOSPITAL) == []


def test_what_was_cut_is_never_mixed_into_the_next_message(going_on: House) -> None:
    whole = mdm("AFTERCUT", private_n1("1.2.250.1.999.94.77.9001"))
    [ack] = going_on.raw_mllp(b"\x0b" + mdm("TRUNCATED2")[:900] + b"\x0b" + whole + b"\x1c\r", answers=1)
    assert (ack.code, ack.answers) == ("AA", "AFTERCUT")
    assert going_on.kept(ack.receipt_prefix)[1] == whole
    going_on.good.append("1.2.250.1.999.94.77.9001")


def test_two_messages_in_one_segment_get_two_answers_in_order(going_on: House) -> None:
    both = [mdm("PAIR1", private_n1("1.2.250.1.999.94.77.9002")), mdm("PAIR2", change={"MSH-12": "2.1"})]
    acks = going_on.raw_mllp(b"".join(b"\x0b" + one + b"\x1c\r" for one in both), answers=2)
    assert [(ack.code, ack.answers) for ack in acks] == [("AA", "PAIR1"), ("AE", "PAIR2")]
    going_on.good.append("1.2.250.1.999.94.77.9002")


def test_garbage_before_a_frame_does_not_harm_it(going_on: House) -> None:
    message = mdm("AFTERJUNK", private_n1("1.2.250.1.999.94.77.9003"))
    [ack] = going_on.raw_mllp(b"ZZPRIVATE \x00\xff\x1c" + b"\x0b" + message + b"\x1c\r", answers=1)
    assert (ack.code, ack.answers) == ("AA", "AFTERJUNK")
    going_on.good.append("1.2.250.1.999.94.77.9003")


def test_a_stream_of_garbage_is_hung_up_on(going_on: House) -> None:
    assert going_on.raw_mllp(b"GET / HTTP/1.1 ZZPRIVATE\r\n" * 5000, answers=0, half_close=True) == []


def test_a_wrong_character_set_label_is_told_and_the_text_is_read_as_it_is(going_on: House) -> None:
    cda = private_n1("1.2.250.1.999.94.77.9004")
    ack = going_on.mllp(mdm("LABEL", cda, add=("ZFA|é",), encoding="iso8859-15"))
    assert (ack.code, ack.answers) == ("AA", "LABEL")
    assert b"ERR||MSH^1^18|103^" in ack.content
    going_on.good.append("1.2.250.1.999.94.77.9004")


def test_a_repeat_with_another_content_is_an_error_on_its_number_and_waits_for_a_person(going_on: House) -> None:
    cda = private_n1("1.2.250.1.999.94.77.9005")
    first = going_on.mllp(mdm("REPEAT", cda))
    going_on.good.append("1.2.250.1.999.94.77.9005")
    again = going_on.mllp(mdm("REPEAT", cda, change={"MSH-7": "20261121080000+0100"}))
    assert again == first
    other_content = mdm("REPEAT", private_n1("1.2.250.1.999.94.66.9005"))
    other = going_on.mllp(other_content)
    assert (other.code, other.answers) == ("AE", "REPEAT")
    assert other.errors == [("MSH^1^10", "199", "", "repeat.conflict")]
    assert going_on.kept(other.receipt_prefix) == ("refused", other_content)
    listed = json.loads(going_on.tdu("queue", "--entity", HOSPITAL, "--json"))
    assert any(going_on.timeline(other.receipt_prefix).receipt.id == item["about_id"] for item in listed)


def test_a_frame_of_200_megabytes_is_answered_at_once_and_costs_no_more_than_the_limit(going_on: House) -> None:
    head = b"\x0b" + mdm("HUGE")[:-200]
    received = b""
    sent = 0
    with going_on.memory() as resident, socket.create_connection(("127.0.0.1", going_on.stage.mllp_port), timeout=30) as link:
        link.sendall(head)
        try:
            while sent < 200_000_000:
                sent += link.send(b"QUFB" * 65_536)
            link.sendall(b"\x1c\r")
        except OSError:
            pass
        link.settimeout(10)
        while b"\x1c\r" not in received:
            received += link.recv(65536)
    going_on.answers.append(received)
    ack = Ack(received[1:-2])
    assert (ack.code, ack.answers) == ("AE", "HUGE")
    assert ack.errors == [("", "207", "906", "mllp.too-large")]
    assert max(resident) - resident[0] < 150_000_000
    assert going_on.ledger.find("HUGE", legal_entity=HOSPITAL) == []


# ── drop folder ───────────────────────────────────────────────────────────────────────────────────────────────────

SIDE_CAR = b'{"recipients": [{"rpps": "99900000060"}]}'
FOLDER_CASES: dict[str, tuple[str, Callable[[], bytes], bytes | None, str]] = {
    "empty": ("vide.xml", lambda: b"", None, "folder.empty"),
    "binary": ("binaire.bin", lambda: bytes(range(256)) * 40, None, "content.unknown"),
    "text": ("texte.txt", lambda: b"ZZPRIVATE-NAISSANCE va mieux", None, "content.unknown"),
    "PDF without side-car": ("compte-rendu.pdf", lambda: PDF, None, "content.unknown or pdf.not-a-pdf"),
    "PDF with side-car": ("compte-rendu-2.pdf", lambda: PDF, SIDE_CAR, "content.unknown or pdf.not-a-pdf"),
    "other XML": ("autre.xml", lambda: b"<a>ZZPRIVATE</a>", None, "content.unknown"),
    "XML cut short": ("coupe.xml", lambda: letter(1)[:3000], None, "cda.not-xml"),
    "DOCTYPE": ("doctype.xml", lambda: with_prolog(letter(2), DOCTYPE), None, "cda.doctype"),
    "billion laughs": (
        "rires.xml",
        lambda: LAUGHS.replace(b"DOCTYPE b", b"DOCTYPE ClinicalDocument") + b"<ClinicalDocument>&a11;</ClinicalDocument>",
        None,
        "cda.doctype",
    ),
    "DOCTYPE in UTF-16": (
        "doctype16.xml",
        lambda: (
            '<?xml version="1.0" encoding="UTF-16"?>'.encode("utf-16")
            + ("<!DOCTYPE ClinicalDocument SYSTEM 'file:///etc/passwd'>" + letter(3).decode().partition("?>")[2]).encode(
                "utf-16"
            )[2:]
        ),
        None,
        "cda.doctype",
    ),
    "embedded file is no Base64": (
        "base64.xml",
        lambda: re.sub(rb"(<text[^>]*>)[^<]+", rb"\1%%ZZPRIVATE%%", letter(4)),
        None,
        "cda.bad-body",
    ),
    "no header": ("entete.xml", lambda: b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>', None, "cda.header-incomplete"),
    "recipient in no directory": (
        "inconnu.xml",
        lambda: letter(5),
        b'{"recipients": [{"rpps": "10009990010", "name": "ZZPRIVATE"}]}',
        "route.no-recipient-resolved",
    ),
    "side-car is no JSON": ("annexe1.xml", lambda: letter(6), b"{ZZPRIVATE", "side-car.unreadable"),
    "side-car is a list": ("annexe2.xml", lambda: letter(6), b"[]", "side-car.unreadable"),
    "side-car is deep": ("annexe3.xml", lambda: letter(6), b"[" * 100_000, "side-car.unreadable"),
    "side-car with half a letter": (
        "annexe4.xml",
        lambda: letter(6),
        b'{"recipients": [{"rpps": "99900000060", "name": "\\ud800"}]}',
        "side-car.bad-recipient",
    ),
    "side-car with a wrong number": (
        "annexe5.xml",
        lambda: letter(6),
        b'{"recipients": [{"rpps": "ZZPRIVATE"}]}',
        "side-car.bad-recipient",
    ),
    "side-car urgency": ("annexe6.xml", lambda: letter(6), b'{"urgency": "ZZPRIVATE"}', "side-car.bad-urgency"),
    "HL7 of a wrong version": ("version.hl7", lambda: mdm("FILE1", change={"MSH-12": "2.3"}), None, "hl7.version"),
    "HL7 for another patient": ("patient.hl7", lambda: mdm("FILE2", patient=OTHER_PATIENT), None, "hl7.other-patient"),
    "HL7 with a wrong INS key": (
        "cle.hl7",
        lambda: mdm("FILE3", private_n1("1.2.3", patient=with_wrong_key(PATIENT)), patient=with_wrong_key(PATIENT)),
        None,
        "ins.wrong-key",
    ),
    "form without a conditional answer": (
        "demande.json",
        lambda: form_bytes(private_form(**{"contre-indications.diabete-traitement": None})),
        None,
        "form.answer-required",
    ),
    "form that is no JSON": ("demande2.json", lambda: b'{"numero": ZZPRIVATE', None, "form.not-json"),
    "a name that says whom it is about": ("ZZPRIVATE-NAISSANCE.json", lambda: b'{"zz": 1}', None, "form.unknown-key"),
}


@pytest.mark.parametrize("case", FOLDER_CASES)
def test_the_folder_refuses_with_the_reason_beside_the_file_and_keeps_the_original(going_on: House, case: str) -> None:
    name, content, side_car, code = FOLDER_CASES[case]
    written = content()
    place = going_on.drop(name, written, side_car)
    reason = going_on.reason(place)
    assert {finding["code"] for finding in reason["findings"]} & set(code.split(" or "))
    assert place.read_bytes() == written
    if code == "folder.empty":
        assert reason["receipt"] == ""
    else:
        assert going_on.kept(reason["receipt"]) == ("refused", written)


def test_a_bare_document_with_a_wrong_ins_key_is_taken_and_its_identity_stays_provisional(going_on: House) -> None:
    document = "1.2.250.1.999.94.77.9006"
    place = going_on.drop("cle-fausse.xml", private_n1(document, patient=with_wrong_key(PATIENT)), SIDE_CAR)
    assert place.parent.name == "done"
    going_on.good.append(document)
    [reference] = wait_for(lambda: going_on.ledger.find(document, legal_entity=HOSPITAL))
    timeline = wait_for(lambda: (t := going_on.timeline(reference)) and t.submissions and t)
    [submission] = timeline.submissions
    assert not submission.submission.document.patient.is_qualified
    assert {d.channel.value for d in submission.deliveries} <= {"mssante", "fax"}


# ── HTTP form ─────────────────────────────────────────────────────────────────────────────────────────────────────

MISSING = private_form(**{"contre-indications.diabete-traitement": None})
HTTP_CASES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "no JSON": (lambda: b'{"numero": ZZPRIVATE', "form.not-json", "JSON"),
    "not UTF-8": (lambda: b'{"numero": "\xe9ZZPRIVATE"}', "form.not-json", "UTF-8"),
    "empty": (lambda: b"", "form.not-json", "JSON"),
    "no object": (lambda: b'["ZZPRIVATE"]', "form.not-an-object", "objet"),
    "deep": (lambda: b'{"a":' * 200_000, "form.not-json", "JSON"),
    "huge number": (lambda: b'{"numero": 1e999999999}', "form.not-json", "JSON"),
    "twins": (lambda: b'{"site": "BCT", "site": "ZZPRIVATE"}', "form.duplicate-key", "deux fois"),
    "half a letter": (lambda: b'{"numero": "\\ud800ZZPRIVATE"}', "form.bad-character", "interdit"),
    "conditional answer": (lambda: form_bytes(MISSING), "form.answer-required", "Si diabète : traitement en cours"),
    "conditional answer of a response": (
        lambda: form_bytes(as_response(MISSING)),
        "form.answer-required",
        "Si diabète : traitement en cours",
    ),
    "unknown key": (lambda: form_bytes(private_form(**{"patient.ZZPRIVATE clé": "x"})), "form.unknown-key", "question"),
    "other resource": (lambda: b'{"resourceType": "Patient", "name": "ZZPRIVATE"}', "form.not-a-response", "ressource"),
    "unfinished": (
        lambda: form_bytes(as_response(private_form()) | {"status": "in-progress"}),
        "form.not-completed",
        "terminée",
    ),
    "wrong site": (lambda: form_bytes(private_form(site="ZZPRIVATE")), "form.unknown-choice", "BCT (Bicêtre"),
    "HL7": (lambda: mdm("FORM1"), "form.not-json", "JSON"),
    "CDA": (lambda: private_n1("1.2"), "form.not-json", "JSON"),
}


@pytest.mark.parametrize("case", HTTP_CASES)
def test_a_form_is_refused_with_an_operation_outcome_in_french(going_on: House, case: str) -> None:
    write, code, word = HTTP_CASES[case]
    content = write()
    key = f"cle-{list(HTTP_CASES).index(case)}"
    response = going_on.http(content, **{"Idempotency-Key": key})
    assert response.status_code == 422
    assert response.headers["content-type"].startswith("application/fhir+json")
    issues = response.json()["issue"]
    told = [i for i in issues if i["severity"] == "error" and i["details"]["coding"][0]["code"] == code]
    assert told, [i["details"]["coding"][0]["code"] for i in issues]
    assert any(word.lower() in json.dumps(issue, ensure_ascii=False).lower() for issue in told)
    [receipt] = going_on.ledger.find(key, legal_entity=CENTRE)
    assert going_on.kept(receipt, CENTRE) == ("refused", content)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "code"),
    [
        ("/forms/ZZPRIVATE-NAISSANCE", b"{}", {}, 404, "form.unknown"),
        (FORM, b"{}", {"Content-Type": "text/plain; name=ZZPRIVATE"}, 415, "http.media-type"),
        (FORM, b"{}", {"Idempotency-Key": "ZZPRIVATE" * 100}, 400, "http.key-too-long"),
        (FORM, b" " * 21_000_000, {}, 413, "http.too-large"),
        (FORM, b"{}", {"Forwarded": "for=ZZPRIVATE"}, 403, "http.not-local"),
    ],
    ids=["unknown form", "wrong type", "long key", "too large", "from elsewhere"],
)
def test_a_call_that_is_wrong_in_itself_is_refused_and_nothing_is_kept(
    going_on: House, path: str, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = going_on.http(content, path, **headers)
    assert response.status_code == status
    assert response.json()["issue"][0]["details"]["coding"][0]["code"] == code


def test_a_body_without_a_length_is_cut_off_at_the_limit(going_on: House) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(300):
            yield b"ZZPRIVATE " * 13_000

    with going_on.memory() as resident:
        try:
            status = requests.post(
                going_on.url(FORM), data=endless(), headers={"Content-Type": "application/json"}, timeout=30
            ).status_code
        except requests.ConnectionError:  # the door answered and closed while we were still sending
            status = 413
    assert status == 413
    assert max(resident) - resident[0] < 100_000_000


def test_a_form_with_a_wrong_ins_key_is_taken_and_the_identity_stays_provisional(going_on: House) -> None:
    form = private_form(numero="ZZ-INS", **{"patient.ins": with_wrong_key(PATIENT).ins})
    response = going_on.http(form_bytes(form))
    assert response.status_code == 202
    timeline = wait_for(lambda: (t := going_on.timeline(response.json()["receipt"], CENTRE)) and t.submissions and t)
    assert not timeline.submissions[0].submission.document.patient.is_qualified


def test_a_key_used_again_for_other_answers_is_a_conflict(going_on: House) -> None:
    first = going_on.http(form_bytes(private_form(numero="ZZ-CONFLIT")))
    other = going_on.http(form_bytes(private_form(numero="ZZ-CONFLIT", **{"demande.but": "ZZPRIVATE-AUTRE"})))
    assert (first.status_code, other.status_code) == (202, 409)
    assert other.json()["issue"][0]["details"]["coding"][0]["code"] == "repeat.conflict"
    listed = json.loads(going_on.tdu("queue", "--entity", CENTRE, "--json"))
    assert "repeat.conflict" in {item["reason"] for item in listed}


# ── in the end ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_good_message_arrived_and_nothing_else_did(house: House) -> None:
    house.goes_on()
    wait_for(lambda: set(house.good) <= set(house.documents_received()), patience_seconds=60)
    received = [one for one in house.documents_received() if not one.startswith("2.25.")]
    assert sorted(received) == sorted(house.good)
    assert not [path for path in (house.stage.folder / "received" / "record").rglob("*") if path.is_file()]


def test_a_whole_letter_by_fax_too_leaves_no_trace(house: House) -> None:
    """So that the next tests look at pages, retries and an N3 as well."""
    doctor = to_professional(rpps="99900000029", family="FICTIF", given="Sacha")
    assert house.mllp(mdm("FAXED", private_ldl("1.2.250.1.999.94.88.1"), recipients=(doctor,))).code == "AA"
    wait_for(lambda: house.stage.fax.received(), patience_seconds=40)


def test_no_log_figure_or_command_tells_a_patient(house: House) -> None:
    metrics = requests.get(house.url("/metrics"), timeout=10).content
    shown = [house.tdu("check"), metrics, house.stage.log_file.read_bytes()]
    shown += [house.tdu("queue", "--entity", HOSPITAL), house.tdu("queue", "--entity", CENTRE, "--json")]
    shown += [house.tdu("trace", "FAXED", "--entity", HOSPITAL, "--json"), house.tdu("trace", "BAD021", "--entity", HOSPITAL)]
    assert b"mllp.answered" in shown[2]
    assert [leaks(text) for text in shown] == [set()] * len(shown)


def test_no_answer_of_a_door_tells_a_patient(house: House) -> None:
    assert len(house.answers) > 20
    assert [answer for answer in house.answers if leaks(answer)] == []


def test_the_ledger_holds_no_patient_in_clear(house: House) -> None:
    """In the file, in its write-ahead log, and in no column: neither names nor numbers nor the sender's own words."""
    files = sorted((house.stage.folder / "data").glob("ledger*"))
    assert any(path.name.endswith("-wal") for path in files)
    assert {path.name: leaks(path.read_bytes()) for path in files} == {path.name: set() for path in files}
    with sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True) as connection:
        text = "\n".join(connection.iterdump()).encode()
    assert not leaks(text)
    for number in (b"10009990001", b"DUTEST"):  # the author's, which the directory does not know
        assert number not in text


def test_no_file_beside_the_documents_own_holds_a_patient(house: House) -> None:
    """Temporary files, fax jobs, reasons; not the pages themselves, nor what people laid down."""
    folder = house.stage.folder
    looked_at = [p for p in (*(folder / "data").rglob("*"), *folder.parent.joinpath("tmp").rglob("*")) if p.is_file()]
    looked_at += (folder / "drop").rglob("*.reason.json")
    looked_at += [folder / "tdu.toml", house.stage.log_file]
    assert any(path.suffix == ".json" and path.parent.name in ("fax", "collected") for path in looked_at)
    assert [p.name for p in looked_at if leaks(p.read_bytes())] == []


def leaks(text: bytes) -> set[str]:
    """The private words that a text holds, in any spelling."""
    return {word for word in PRIVATE_WORDS for written in spellings(word) if written in text}


def wait_for(look: Callable[[], Any], patience_seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + patience_seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return found


def test_the_looking_itself_finds_what_it_looks_for() -> None:
    content = private_n1("1.2.3")
    assert leaks(content) >= {"ZZPRIVATE", PATIENT.ins}
    assert leaks(base64.b64encode(b"." + content)) and leaks(content.decode().encode("utf-16"))
    assert not leaks(Path(__file__).read_bytes().replace(b"ZZPRIVATE", b"").replace(b"zzprivate", b""))
