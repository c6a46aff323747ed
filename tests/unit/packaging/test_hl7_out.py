"""What leaves as HL7: acknowledgements field by field, flow 6 for local software; read back by our reader and by python-hl7."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import hl7
import pytest

from adapter.errors import RenditionError
from adapter.formats.hl7v2 import Message, read_message
from adapter.model.ack import AckKind, AckReason, BusinessAck
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.document import Code
from adapter.model.identity import Address, LocalIdentifier, PatientIdentity, Reliability, Telecom
from adapter.model.parties import Organisation, Party, Professional, Recipient, RecipientKind
from adapter.model.plan import ChannelName
from adapter.model.submission import AcksWanted, Intent, MailOrigin, Submission, Visibility
from adapter.packaging.build import build_ack_parcel
from adapter.packaging.hl7.er7 import LATIN9, Header, stamp_of
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.hl7.zam import build_zam
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender, SenderProfile
from tests.builders.directory import letter_header, qualified_patient, submission

SENT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
HAPPENED = datetime(2026, 11, 21, 8, 15, 7, tzinfo=UTC)
BOX = "camille.archetype@cms-ivry.formation.mssante.fr"
HEADER = Header("TRAITDUNION", "750712184", "DPI", "BICETRE", SENT, "T0123456789abcdef012", "T")


def ack(kind: AckKind, *, positive: bool = True, **changes: object) -> BusinessAck:
    reason = None if positive else AckReason("550", "Boîte non disponible")
    values = {"reason": reason, "control_id": "MSG|1^&", "address": BOX, "person_id": "899900000060"}
    return BusinessAck(kind, "role:a", positive, HAPPENED, **{**values, **changes})  # type: ignore[arg-type]


def zam(one: BusinessAck, header: Header = HEADER) -> Message:
    content = build_zam(one, header)
    oracle = hl7.parse(content.decode("utf-8" if header.charset != LATIN9 else "iso8859-15"))
    mine = read_message(content)
    assert str(oracle).encode("utf-8" if header.charset != LATIN9 else "iso8859-15").rstrip(b"\r") == content.rstrip(b"\r")
    assert [segment.name for segment in mine.segments()] == [str(segment[0]) for segment in oracle]
    return mine


# ── acknowledgements ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "status", "recipient"),
    [
        (AckKind.RECORD, "ACK_RECEPTION_DMP", ""),
        (AckKind.DELIVERY, "ACK_RECEPTION_MSS", "DESTINATAIRE_MSS"),
        (AckKind.READING, "ACK_LECTURE_MSS", "LECTEUR_MSS"),
    ],
)
def test_a_yes_holds_the_answer_the_first_message_and_the_recipient(kind: AckKind, status: str, recipient: str) -> None:
    message = zam(ack(kind))
    answers = message.segments("OBX")
    assert message.value("MSH", 9, 1) == "ZAM" and message.header.text(9) == f"ZAM^{kind.value}^ZAM_Z01"
    assert [answers[0].value(n) for n in (1, 2, 4, 11)] == ["1", "CWE", "MSG|1^&", "F"]
    assert [answers[0].value(3, c) for c in (1, 3)] == [status, "AckMetierZAM"]
    assert [answers[0].value(5, c) for c in (1, 2, 3)] == ["Y", "", "expandedYes-NoIndicator"]
    assert len(answers) == (2 if recipient else 1) and message.segments("ERR") == ()
    if recipient:
        assert [answers[1].value(n) for n in (1, 2, 4, 11)] == ["2", "XTN", "899900000060", "F"]
        assert (answers[1].value(3), answers[1].value(5, 3), answers[1].value(5, 4)) == (recipient, "X.400", BOX)


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (AckKind.RECORD, "DMP_ERROR_CODE"),
        (AckKind.DELIVERY, "SMTPERRORCODE"),
        (AckKind.READING, "applicationErrorCode"),
    ],
)
def test_a_no_says_why_in_its_kinds_table(kind: AckKind, table: str) -> None:
    message = zam(ack(kind, positive=False))
    (error,) = message.segments("ERR")
    assert message.segments("OBX")[0].value(5) == "N"
    assert error.text(3) == "207^Application error^messageErrorCondition" and error.value(4) == "E"
    assert [error.value(5, c) for c in (1, 2, 3)] == ["550", "Boîte non disponible", table]


def test_the_header_is_the_volets() -> None:
    msh = zam(ack(AckKind.DELIVERY)).header
    assert [msh.value(n) for n in (3, 4, 5, 6, 7)] == ["TRAITDUNION", "750712184", "DPI", "BICETRE", "20261121093000+0000"]
    assert [msh.value(n) for n in (10, 11, 12, 17, 18)] == ["T0123456789abcdef012", "T", "2.6", "FRA", "UNICODE UTF-8"]
    assert msh.text(21) == "2.1^CISIS_CDA_HL7_V2"


def test_the_event_time_is_when_it_happened_not_when_it_is_told() -> None:
    message = zam(ack(AckKind.READING))
    assert message.value("EVN", 2) == "20261121093000+0000"
    assert message.value("EVN", 6) == "20261121081507+0000"


def test_an_acknowledgement_in_latin_9_keeps_its_accents_and_turns_other_signs() -> None:
    one = ack(AckKind.DELIVERY, positive=False, reason=AckReason("554", "Boîte « d’essai » — Łódź, 5 €"))
    message = zam(one, replace(HEADER, charset=LATIN9))
    assert message.segments("ERR")[0].value(5, 2) == "Boîte « d'essai » - ódz, 5 €"


def test_a_no_without_reason_and_a_kind_without_message_are_refused() -> None:
    with pytest.raises(RenditionError, match=r"zam\.no-reason"):
        build_zam(ack(AckKind.DELIVERY, positive=False, reason=None), HEADER)
    with pytest.raises(RenditionError, match=r"zam\.not-this-kind"):
        build_zam(ack(AckKind.MAIL), HEADER)


def _sender(**changes: object) -> SenderProfile:
    partner = Hl7Partner("dpi", "EAI", "CENTRAL")
    ours = Hl7Sender(facility="", processing="T", partners=(partner,), acks_to=(("dpi-bicetre", "dpi"),))
    return SenderProfile("750712184", "Hôpital", "750712184", "b@h.fr", "", "1.2", "X", hl7=replace(ours, **changes))


def _ack_delivery(partner: str = "dpi") -> Delivery:
    return Delivery(
        "d", "s", "750712184", "s", 1, "new", "Z02 Y 1 role:a", ChannelName.HL7_PUSH, 1, DeliveryState.CLAIMED, "T1",
        purpose=Purpose.ACK, partner=partner,
    )  # fmt: skip


def test_an_acknowledgement_goes_to_the_application_that_asked_through_its_partner() -> None:
    asked = AcksWanted(reception=True, reply_application="DPI^1.2.3^ISO", reply_facility="BICETRE")
    one = ack(AckKind.DELIVERY, peer="dpi-bicetre")
    parcel = build_ack_parcel(_ack_delivery(), one, asked, _sender(), SENT)
    assert isinstance(parcel.content, Hl7Content)
    message = read_message(parcel.content.message)
    assert (parcel.address, parcel.content.control_id, parcel.content.proves) == ("dpi", "T1", DeliveryState.ACCEPTED)
    assert (message.header.text(5), message.header.text(6)) == ("DPI^1.2.3^ISO", "BICETRE")


def test_a_request_that_names_no_application_is_answered_to_the_partners_own() -> None:
    parcel = build_ack_parcel(_ack_delivery(), ack(AckKind.DELIVERY, peer="dpi-bicetre"), AcksWanted(), _sender(), SENT)
    assert isinstance(parcel.content, Hl7Content)
    assert read_message(parcel.content.message).header.text(5) == "EAI"


def test_a_peer_that_has_a_partner_by_now_is_answered_and_one_that_has_none_is_not() -> None:
    one = ack(AckKind.DELIVERY, peer="dpi-bicetre")
    assert build_ack_parcel(_ack_delivery("peer:dpi-bicetre"), one, AcksWanted(), _sender(), SENT).address == "dpi"
    with pytest.raises(RenditionError, match=r"ack\.no-partner"):
        build_ack_parcel(_ack_delivery("peer:dpi-bicetre"), one, AcksWanted(), _sender(acks_to=()), SENT)
    with pytest.raises(RenditionError, match=r"hl7\.unknown-partner"):
        build_ack_parcel(_ack_delivery(), one, AcksWanted(), _sender(partners=()), SENT)


def test_the_bytes_are_the_same_each_time() -> None:
    one = ack(AckKind.READING, positive=False, reason=AckReason("902", "Identifiant patient inconnu"))
    assert build_zam(one, HEADER) == build_zam(one, HEADER)


# ── flow 6 ────────────────────────────────────────────────────────────────────────────────────────────────────

MAIL = MailOrigin(
    message_id="<20261121.17@ght.mssante.fr>",
    subject="XDM/1.0/DDM+Lettre de liaison EXEMPLE CAMILLE 12/04/1961",
    body="Bonjour,\nle document est joint & signé | merci.",
    sender_address="alix.maquette@ght.mssante.fr",
    recipient_address="cms-ivry@ivry.mssante.fr",
    received_at="2026-11-21T10:12:13+01:00",
)
CDA = "<ClinicalDocument>é</ClinicalDocument>".encode()


def mdm(sent: Submission, cda: bytes = CDA, header: Header = HEADER) -> Message:
    content = build_mdm(LocalDocument(sent, cda, "tdu@ivry.mssante.fr"), header)
    codec = "utf-8" if header.charset != LATIN9 else "iso8859-15"
    oracle = hl7.parse(content.decode(codec))
    mine = read_message(content)
    assert str(oracle).encode(codec).rstrip(b"\r") == content.rstrip(b"\r")
    for ours, theirs in zip(mine.segments(), oracle, strict=True):
        assert ours.name == str(theirs[0])
        if ours.name != "MSH":
            fields = [ours.text(n) for n in range(1, ours.field_count + 1)]
            assert fields == [str(theirs[n]) for n in range(1, len(theirs))]
    return mine


def letter(**changes: object) -> Submission:
    return submission(**{"mail": MAIL, "intent": Intent.NEW, **changes})  # type: ignore[arg-type]


def _header(**changes: object) -> object:
    return letter_header(**changes)


@pytest.mark.parametrize(
    ("intent", "event", "status", "order"),
    [(Intent.NEW, "T02", "F", "NW"), (Intent.REPLACE, "T10", "C", "RO"), (Intent.CANCEL, "T04", "D", "CA")],
)
def test_each_intent_has_its_event_status_and_order(intent: Intent, event: str, status: str, order: str) -> None:
    message = mdm(letter(intent=intent, header=_header(replaces="1.2.250.1.999.94.7.500")))
    assert message.header.text(9) == f"MDM^{event}^MDM_T02"
    assert message.segments("OBX")[0].value(11) == status
    assert message.value("ORC", 1) == order
    assert message.value("TXA", 13) == ("" if intent is Intent.NEW else "1.2.250.1.999.94.7.500")


def test_the_segments_stand_in_the_volets_order() -> None:
    message = mdm(letter(reply_to_address="secretariat@ght.mssante.fr"))
    names = [segment.name for segment in message.segments()]
    assert names == ["MSH", "EVN", "PID", "PV1", "ORC", "OBR", "TXA", "OBX", "PRT", "PRT", "PRT", "OBX", *["OBX"] * 4]
    assert message.header.text(21) == "1.1^CISIS_CDA_HL7_LPS"
    assert (message.value("PV1", 1), message.value("PV1", 2)) == ("1", "N")
    assert (message.value("EVN", 2), message.value("EVN", 6)) == ("20261121093000+0000", "20261121101213+0100")


def test_the_very_document_travels_in_base64_without_line_ends() -> None:
    document = mdm(letter(), cda=CDA * 5000).segments("OBX")[0]
    assert base64.b64decode(document.data(5, 5)) == CDA * 5000
    assert [document.value(5, c) for c in (2, 3, 4)] == ["text", "XML", "Base64"]
    assert document.text(3) == mdm(letter()).segments("OBR")[0].text(4) == "11490-0^Lettre de liaison à la sortie^LN"


def test_a_type_of_no_loinc_comes_from_the_french_table() -> None:
    header = _header(type=Code("BILAN", "1.2.250.1.213.1.1.4.12", "Bilan"))
    assert mdm(letter(header=header)).value("OBR", 4, 3) == "TRE_A05"


@pytest.mark.parametrize(
    ("unique_id", "written"),
    [("1.2.250.1.999.94.7.501", ("1.2.250.1.999.94.7.501", "")), ("1.2.250.1.999.94.7^A-9", ("A-9", "1.2.250.1.999.94.7"))],
)
def test_the_documents_id_is_written_with_its_extension(unique_id: str, written: tuple[str, str]) -> None:
    message = mdm(letter(header=_header(unique_id=unique_id)))
    assert (message.value("TXA", 12), message.value("TXA", 12, 3)) == written
    assert (message.value("TXA", 1), message.value("TXA", 3), message.value("TXA", 17)) == ("1", "TEXT", "AU")


def test_the_mail_is_told_with_its_subject_and_body() -> None:
    mail = mdm(letter()).segments("OBX")[1]
    assert (mail.value(1), mail.value(2), mail.value(3), mail.value(3, 2)) == ("2", "ED", MAIL.message_id, MAIL.subject)
    assert base64.b64decode(mail.value(5, 5)).decode() == MAIL.body and mail.value(11) == "F"


def test_a_document_that_came_otherwise_says_what_stands_for_the_mail() -> None:
    message = mdm(letter(mail=None, control_id="MSG0042"))
    mail, sender = message.segments("OBX")[1], message.segments("PRT")[0]
    assert (mail.value(3), mail.value(3, 2)) == ("MSG0042", "Lettre de liaison à la sortie")
    assert sender.value(15, 4) == "tdu@ivry.mssante.fr"


def test_the_flags_follow_in_order() -> None:
    seen = Visibility(hidden_from_professionals=True, hidden_from_representatives=True)
    flags = mdm(letter(visibility=seen)).segments("OBX")[2:]
    assert [(f.value(1), f.value(3), f.value(5), f.value(11)) for f in flags] == [
        ("3", "MASQUE_PS", "Y", "F"),
        ("4", "INVISIBLE_PATIENT", "N", "F"),
        ("5", "INVISIBLE_REP_LEGAUX", "Y", "F"),
        ("6", "MODIF_CONF_CODE", "N", "F"),
    ]


def test_the_patient_is_told_with_numbers_names_and_status() -> None:
    patient = qualified_patient(
        used_name="D'USAGE",
        addresses=(Address(("3, rue du Port",), "94200", "IVRY", "FR", "94041"),),
        telecoms=(Telecom("phone", "+33199000001", "mobile"), Telecom("email", "c@example.fr")),
        local_ids=(LocalIdentifier("IPP^1", "1.2.250.1.999.94.1"), LocalIdentifier("DOS-1", "LOCAL", "AN")),
    )
    pid = mdm(letter(header=_header(patient=patient))).segments("PID")[0]
    assert [pid.value(3, c) for c in (1, 5)] == [patient.ins.value if patient.ins else "", "INS"]
    assert pid.value(3, 4, subcomponent=2) == "1.2.250.1.213.1.4.10"
    assert [pid.value(3, c, 2) for c in (1, 5)] == ["IPP^1", "PI"]
    assert [pid.value(5, c) for c in (1, 2, 3, 7)] == ["EXEMPLE", "CAMILLE", "CAMILLE JEANNE", "L"]
    assert (pid.value(5, 1, 2), pid.value(5, 7, 2)) == ("D'USAGE", "D")
    assert (pid.value(7), pid.value(8), pid.value(18), pid.value(32)) == ("19610412", "F", "DOS-1", "VALI")
    assert [pid.value(11, c) for c in (1, 3, 5, 6, 7, 9)] == ["3, rue du Port", "IVRY", "94200", "FRA", "H", "94041"]
    assert (pid.value(11, 7, 2), pid.value(11, 9, 2)) == ("BDL", "94043")
    assert (pid.value(13, 12), pid.value(13, 4, 2)) == ("+33199000001", "c@example.fr")


def test_an_identity_that_nobody_proved_is_told_as_provisional() -> None:
    patient = qualified_patient(reliability=Reliability.PROVISIONAL)
    assert mdm(letter(header=_header(patient=patient))).value("PID", 32) == "PROV"


def test_the_sender_the_unit_and_the_person_are_told_in_their_places() -> None:
    unit = Recipient(RecipientKind.ORGANISATION, "urologie@h.mssante.fr", unit="3435", finess="949990121", name="Urologie")
    person = Recipient(RecipientKind.PROFESSIONAL, rpps="99700000013", name="MODELE")
    who = Party(Professional("MAQUETTE", "Alix", "99900000086"), Organisation("Hôpital Bicêtre", "949990121"))
    sender, first, second = mdm(letter(sender=who, recipients=(unit, person))).segments("PRT")
    assert (sender.value(2), sender.value(4), sender.value(15, 3)) == ("UC", "SB", "X.400")
    assert [sender.value(5, c) for c in (1, 2, 3, 10, 13)] == ["899900000086", "MAQUETTE", "Alix", "D", "IDNPS"]
    assert sender.value(5, 9, subcomponent=2) == "1.2.250.1.71.4.2.1"
    assert [sender.value(8, c) for c in (1, 7, 10)] == ["Hôpital Bicêtre", "FINEG", "949990121"]
    assert [first.value(8, c) for c in (1, 6, 7, 10)] == ["Urologie", "949990121", "UF", "3435"]
    assert first.value(15, 4) == "urologie@h.mssante.fr"
    assert [second.value(5, c) for c in (1, 2, 13)] == ["899700000013", "MODELE", "IDNPS"]


def test_the_mailbox_that_took_the_mail_is_told_when_nobody_else_is() -> None:
    assert mdm(letter()).segments("PRT")[1].value(15, 4) == "cms-ivry@ivry.mssante.fr"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"intent": Intent.REPLACE}, "mdm.no-parent"),
        ({"header": letter_header(type=Code("", "", ""))}, "mdm.no-type"),
        ({"header": letter_header(patient=PatientIdentity("SANS", "Numéro"))}, "mdm.no-patient-number"),
    ],
)
def test_what_local_software_would_refuse_is_not_written(changes: dict[str, object], code: str) -> None:
    with pytest.raises(RenditionError, match=code.replace(".", r"\.")):
        build_mdm(LocalDocument(letter(**changes), CDA, "b@h.fr"), HEADER)


def test_separators_and_line_ends_in_values_stay_values() -> None:
    header = _header(type=Code("11490-0", "http://loinc.org", "A|B^C&D~E\\F\r\nG"))
    message = mdm(letter(header=header))
    assert message.value("OBR", 4, 2) == "A|B^C&D~E\\F\nG"
    assert len(message.segments()) == 15


@pytest.mark.parametrize(
    ("iso", "written"),
    [
        ("2026", "2026"), ("2026-11", "202611"), ("2026-11-20", "20261120"), ("2026-11-20T10:30:00+01:00", "20261120103000+0100"),
        ("2026-11-20T10:30:00.123Z", "20261120103000+0000"), ("2026-11-20T10:30", "202611201030"), ("hier", ""), ("", ""),
    ],
)  # fmt: skip
def test_times_keep_their_precision(iso: str, written: str) -> None:
    assert stamp_of(iso) == written
