"""Receipts read and written: every form of DSN, MDN and KO mail, and the rules about when an MDN must not be sent."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssante.errors import MssanteError, ReceiptError
from mssante.findings import Finding
from mssante.incoming import MailKind, PartRole, read_mail
from mssante.integration import IntegrationError
from mssante.message import Mailbox
from mssante.progress import SHOWS
from mssante.receipts import (
    Answer,
    DeliveryAction,
    DeliveryReport,
    Disposition,
    Evidence,
    FailureNotice,
    Progress,
    Proof,
    ReadReport,
    Receipt,
    ReceiptRefusal,
    advance,
    evidence_of,
    read_receipt,
    receipt_refusal,
    write_failure_notice,
    write_receipt,
)
from mssante.smtp import TlsSettings, Verdict, send
from mssante.testing import OperatorDouble, make_test_pki
from tests.mssante.test_incoming import SENT, holds_the_document

BOX = "cabinet.app@test.mssante.fr"
ASKED = "labo.app@test.mssante.fr"
RECEIVED = b"Return-Path: <labo.app@test.mssante.fr>\r\nOriginal-Recipient: rfc822;dr.modele@test.mssante.fr\r\n" + SENT
ANSWER = Answer(
    Mailbox(BOX, "Cabinet d'essai"), datetime(2026, 11, 21, 8, 0, tzinfo=UTC), "<r1@test.mssante.fr>", "NIL-TDU-1", "TDU; 1"
)
UNKNOWN = replace(ANSWER, error=IntegrationError.of("902"))
HEAD = "From: MAILER-DAEMON@test.mssante.fr\r\nTo: labo.app@test.mssante.fr\r\nMessage-ID: <dsn1@operateur.fr>\r\n"


def report(kind: str, status: str, *, returned: str = "", text: str = "Voici.", subject: str = "Rapport") -> bytes:
    parts = [f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}", f"Content-Type: message/{kind}\r\n\r\n{status}"]
    parts += [returned] if returned else []
    body = "".join(f"--b1\r\n{part}\r\n" for part in parts)
    content_type = f'multipart/report; report-type={kind}; boundary="b1"'
    return f"{HEAD}Subject: {subject}\r\nContent-Type: {content_type}\r\n\r\n{body}--b1--\r\n".encode()


def receipt_of(raw: bytes) -> Receipt | None:
    return read_receipt(read_mail(raw))


def delivery(raw: bytes) -> DeliveryReport:
    receipt = receipt_of(raw)
    assert isinstance(receipt, DeliveryReport)
    return receipt


def reading(raw: bytes) -> ReadReport:
    receipt = receipt_of(raw)
    assert isinstance(receipt, ReadReport)
    return receipt


def shown(raw: bytes) -> list[tuple[Proof, str]]:
    receipt = receipt_of(raw)
    assert receipt is not None
    return [(evidence.proof, evidence.code) for evidence in evidence_of(receipt)]


# ── DSN ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

STATUS = (
    "Reporting-MTA: dns; mx.operateur.fr\r\nOriginal-Envelope-Id: env-0f4a\r\nArrival-Date: Fri, 20 Nov 2026 23:30:00 +0000\r\n"
    "\r\nFinal-Recipient: rfc822; secretariat@test.mssante.fr\r\nOriginal-Recipient: rfc822;sacha.modele@test.mssante.fr\r\n"
    "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx2.fr\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <sacha>:\r\n  User unknown\r\n"
)
HEADERS_BACK = "Content-Type: text/rfc822-headers\r\n\r\nFrom: labo.app@test.mssante.fr\r\nMessage-ID: <d1@test.mssante.fr>\r\n"


def test_a_dsn_tells_what_became_of_each_recipient() -> None:
    read = delivery(report("delivery-status", STATUS, returned=HEADERS_BACK))
    (one,) = read.recipients
    assert (read.envelope_id, read.reporting_mta, read.message_ids) == ("env-0f4a", "mx.operateur.fr", ("<d1@test.mssante.fr>",))
    assert (one.final_recipient, one.original_recipient) == ("secretariat@test.mssante.fr", "sacha.modele@test.mssante.fr")
    assert (one.action, one.status, one.smtp_code, one.remote_mta) == (DeliveryAction.FAILED, "5.1.1", 550, "mx2.fr")
    assert one.is_unknown_address
    assert not read.is_plain_words
    assert read.findings == ()
    (evidence,) = evidence_of(read)
    assert (evidence.proof, evidence.code, evidence.envelope_id) == (Proof.FAILED, "5.1.1", "env-0f4a")
    assert evidence.recipients == ("sacha.modele@test.mssante.fr", "secretariat@test.mssante.fr")


@pytest.mark.parametrize(
    ("action", "proof"),
    [
        ("failed", Proof.FAILED),
        ("Delayed", Proof.DELAYED),
        ("delivered", Proof.DELIVERED),
        ("relayed (to non-DSN)", Proof.RELAYED),
        ("EXPANDED", Proof.EXPANDED),
    ],
)
def test_each_action_is_a_proof(action: str, proof: Proof) -> None:
    raw = report("delivery-status", STATUS.replace("failed", action).replace("5.1.1", "2.0.0"))
    assert shown(raw) == [(proof, "2.0.0")]


def test_several_recipients_have_each_their_own_fate() -> None:
    second = "\r\nFinal-Recipient: rfc822;b@test.mssante.fr\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
    third = "\r\nFinal-Recipient: rfc822;c@test.mssante.fr\r\nAction: delayed\r\n"
    third += "Will-Retry-Until: Sat, 21 Nov 2026 23:30:00 +0000\r\n"
    read = delivery(report("delivery-status", STATUS + second + third))
    assert [evidence.proof for evidence in evidence_of(read)] == [Proof.FAILED, Proof.DELIVERED, Proof.DELAYED]
    assert read.recipients[2].will_retry_until == datetime(2026, 11, 21, 23, 30, tzinfo=UTC)


def test_a_dsn_without_known_action_proves_nothing_and_says_so() -> None:
    read = delivery(report("delivery-status", STATUS.replace("failed", "perdu")))
    assert evidence_of(read) == ()
    assert read.findings == (Finding("action-unknown", "recipient 1"),)
    empty = delivery(report("delivery-status", "Reporting-MTA: dns; x\r\n"))
    assert (evidence_of(empty), empty.findings[0].code) == ((), "recipients-missing")


def test_the_whole_mail_may_come_back_instead_of_its_headers() -> None:
    raw = report("delivery-status", STATUS, returned="Content-Type: message/rfc822\r\n\r\n" + SENT.decode())
    read = delivery(raw)
    assert read.message_ids[0] == "<d1@test.mssante.fr>"
    assert read.original is not None
    assert read.original.subject.startswith("XDM/1.0/DDM+")


BOUNCES = [
    (
        "Message non distribué",
        "La boîte de 279035121518989@patient.mssante.fr est fermée.",
        ["279035121518989@patient.mssante.fr"],
    ),
    (
        "Undelivered Mail Returned to Sender",
        "<a@b.mssante.fr>: message size 30000000 exceeds size limit of server mx (in reply to MAIL FROM; 552 5.3.4 too big)",
        ["a@b.mssante.fr"],
    ),
    ("Message non distribué", "Patient inconnu.", []),
]


@pytest.mark.parametrize(("subject", "text", "recipients"), BOUNCES)
def test_a_bounce_in_plain_words_is_a_failure_of_whom_it_names(subject: str, text: str, recipients: list[str]) -> None:
    raw = f"{HEAD}Subject: {subject}\r\nIn-Reply-To: <d1@test.mssante.fr>\r\n\r\n{text}\r\n".encode()
    read = delivery(raw)
    assert read.is_plain_words
    assert read.message_ids == ("<d1@test.mssante.fr>",)
    assert [one.final_recipient for one in read.recipients] == recipients
    assert {evidence.proof for evidence in evidence_of(read)} == {Proof.FAILED}
    assert len(evidence_of(read)) == max(1, len(recipients))


def test_a_size_refused_in_words_keeps_its_codes() -> None:
    subject, text, _ = BOUNCES[1]
    (one,) = delivery(f"{HEAD}Subject: {subject}\r\n\r\n{text}".encode()).recipients
    assert (one.status, one.smtp_code, one.is_unknown_address) == ("5.3.4", 552, False)


def test_a_bounce_quotes_the_id_of_what_it_returns() -> None:
    quoted = "Votre message :\r\n\r\nMessage-ID: <d1@test.mssante.fr>\r\nSubject: x\r\n"
    read = delivery(f"{HEAD}Subject: Message non distribué\r\n\r\n{quoted}".encode())
    assert read.message_ids == ("<d1@test.mssante.fr>",)


def test_a_forged_dsn_names_ids_that_the_caller_can_look_for_in_vain() -> None:
    forged = report("delivery-status", STATUS.replace("env-0f4a", "inconnu"), returned=HEADERS_BACK.replace("<d1@", "<faux@"))
    sent = {"<d1@test.mssante.fr>": "env-0f4a"}
    (evidence,) = evidence_of(delivery(forged))
    assert not set(evidence.message_ids) & set(sent)
    assert evidence.envelope_id not in sent.values()


# ── MDN ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def notification(disposition: str, *more: str) -> bytes:
    lines = ["Reporting-UA: LGC; 3", "Original-Recipient: rfc822;sacha.modele@test.mssante.fr", f"Final-Recipient: rfc822;{BOX}"]
    lines += ["Original-Message-ID: <d1@test.mssante.fr>", f"Disposition: {disposition}", *more]
    return report("disposition-notification", "\r\n".join(lines) + "\r\n")


AUTOMATIC = "automatic-action/MDN-sent-automatically; "
ERROR = "902^Patient inconnu^applicationErrorCondition|E^Error^errorSeverity"


@pytest.mark.parametrize(
    ("disposition", "more", "proof", "code"),
    [
        (AUTOMATIC + "processed", (), Proof.INTEGRATED, ""),
        (AUTOMATIC + "processed/error", (f"Error: {ERROR}",), Proof.REFUSED, "902"),
        (AUTOMATIC + f"processed/Error: {ERROR}", (), Proof.REFUSED, "902"),
        (AUTOMATIC + "processed/Error: 903^INS absent", (), Proof.REFUSED, "903"),
        (AUTOMATIC + "processed/error", (), Proof.REFUSED, "906"),
        (AUTOMATIC + "processed/error, warning", ("Error: 904",), Proof.REFUSED, "904"),
        (AUTOMATIC + "processed/warning", (), Proof.INTEGRATED, ""),
        (AUTOMATIC + "processed/error", ("Error: 900^x^y|W^Warning^z",), Proof.INTEGRATED, ""),
        (AUTOMATIC + "processed/error", ("Error: rien ne va",), Proof.REFUSED, "906"),
        ("manual-action/MDN-sent-manually; displayed", (), Proof.DISPLAYED, ""),
        ("manual-action/MDN-sent-manually;displayed", (), Proof.DISPLAYED, ""),
        ("manual-action/MDN-sent-automatically; dispatched", (), Proof.DISPATCHED, ""),
        ("manual-action/MDN-sent-manually; deleted", (), Proof.DELETED, ""),
        ("manual-action/MDN-sent-manually; denied", (), Proof.DELIVERED, ""),
    ],
)
def test_each_disposition_is_a_proof(disposition: str, more: tuple[str, ...], proof: Proof, code: str) -> None:
    assert shown(notification(disposition, *more)) == [(proof, code)]


def test_an_mdn_names_the_mail_and_its_recipient() -> None:
    read = reading(notification(AUTOMATIC + "processed"))
    assert (read.message_ids, read.final_recipient) == (("<d1@test.mssante.fr>",), BOX)
    assert (read.original_recipient, read.is_automatic, read.reporting_agent) == ("sacha.modele@test.mssante.fr", True, "LGC; 3")
    assert read.disposition is Disposition.PROCESSED


def test_an_error_label_may_be_an_encoded_word() -> None:
    read = reading(notification(AUTOMATIC + "processed/error", "Error: =?utf-8?Q?905^Pr=C3=A9nom_absent^x|E?="))
    assert read.errors == (IntegrationError("905", "Prénom absent"),)


def test_an_mdn_that_says_nothing_known_proves_nothing() -> None:
    read = reading(notification("n'importe quoi"))
    assert (evidence_of(read), read.findings) == ((), (Finding("disposition-unknown"),))
    bare = report("disposition-notification", "x").replace(
        b"Content-Type: message/disposition-notification", b"Content-Type: a/b"
    )
    assert reading(bare).findings == (Finding("notification-missing"),)


def test_an_mdn_without_original_id_is_found_by_what_it_answers() -> None:
    raw = notification(AUTOMATIC + "processed").replace(b"Original-Message-ID: <d1@test.mssante.fr>\r\n", b"")
    answering = raw.replace(b"Subject:", b"In-Reply-To: <d1@test.mssante.fr>\r\nReferences: <a@x> <b@x>\r\nSubject:", 1)
    assert reading(answering).message_ids == ("<d1@test.mssante.fr>", "<b@x>", "<a@x>")


# ── written ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def parts_of(raw: bytes) -> list[email.message.EmailMessage]:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return list(message.iter_parts())  # type: ignore[attr-defined]


def test_an_mdn_has_exactly_three_parts_and_the_original_whole() -> None:
    raw = write_receipt(RECEIVED, ANSWER)
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert (message.get_content_type(), message.get_param("report-type")) == ("multipart/report", "disposition-notification")
    assert [part.get_content_type() for part in parts_of(raw)] == [
        "text/plain",
        "message/disposition-notification",
        "message/rfc822",
    ]
    assert read_mail(raw).enclosed[0].content == RECEIVED
    assert (message["From"].addresses[0].addr_spec, message["To"]) == (BOX, ASKED)
    assert message["Subject"] == "XDM/1.0/DDM+Compte rendu opératoire EXEMPLE-BERTHIER CAMILLE 18/09/1974"
    assert message["In-Reply-To"] == message["References"] == "<d1@test.mssante.fr>"
    assert (message["Auto-Submitted"], message["X-MSS-NIL"]) == ("auto-replied", "NIL-TDU-1")
    assert b"Original-Recipient: rfc822;dr.modele@test.mssante.fr\r\n" in raw
    assert f"Final-Recipient: rfc822;{BOX}\r\nOriginal-Message-ID: <d1@test.mssante.fr>\r\n".encode() in raw
    assert b"Disposition: automatic-action/MDN-sent-automatically; processed\r\n" in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def test_a_refusal_is_written_in_the_new_form_or_the_old() -> None:
    new, old = write_receipt(RECEIVED, UNKNOWN), write_receipt(RECEIVED, UNKNOWN, legacy=True)
    assert b"Disposition: automatic-action/MDN-sent-automatically; processed/error\r\n" in new
    assert b"Error: 902^Patient inconnu^applicationErrorCondition|E^Error^errorSeverity\r\n" in new
    assert b"processed/Error: 902^Patient" in old.replace(b"\r\n ", b" ")
    assert b"\r\nError:" not in old
    for raw in (new, old):
        assert shown(raw) == [(Proof.REFUSED, "902")]
        assert read_mail(raw).headers.subject.startswith("[KO Intégration système !][902] XDM/1.0/DDM+Compte rendu")
        assert "902 : Patient inconnu" in read_mail(raw).text


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["900", "901", "902", "903", "904", "905", "906", "207"]),
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=60),
    st.booleans(),
)
def test_any_error_that_is_written_reads_back(code: str, label: str, legacy: bool) -> None:
    read = reading(write_receipt(RECEIVED, replace(ANSWER, error=IntegrationError(code, label)), legacy=legacy))
    (error,) = read.errors
    assert error.code == code
    assert error.label.split() == label.replace("^", " ").replace("|", " ").split()
    assert read.message_ids[0] == "<d1@test.mssante.fr>"
    assert [evidence.proof for evidence in evidence_of(read)] == [Proof.REFUSED]


def test_the_same_answer_is_the_same_bytes() -> None:
    assert write_receipt(RECEIVED, UNKNOWN) == write_receipt(RECEIVED, replace(UNKNOWN))
    assert write_failure_notice(RECEIVED, UNKNOWN, ASKED) == write_failure_notice(RECEIVED, replace(UNKNOWN), ASKED)


def test_an_original_with_raw_accents_or_bare_line_feeds_goes_back_whole() -> None:
    raw = RECEIVED.replace(b"\r\n", b"\n").replace(b"X-MSS-NIL: NIL-TDU-1", "X-Essai: été".encode())
    enclosed = read_mail(write_receipt(raw, ANSWER)).enclosed[0]
    assert enclosed.content == raw.replace(b"\n", b"\r\n")


def test_a_ko_mail_is_ordinary_and_holds_the_complete_original() -> None:
    raw = write_failure_notice(RECEIVED, UNKNOWN, "erreurs@test.mssante.fr")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert (message.get_content_type(), message["To"]) == ("multipart/mixed", "erreurs@test.mssante.fr")
    read = read_mail(raw)
    assert read.kind is MailKind.FAILURE_NOTICE
    assert read.enclosed[0].content == RECEIVED
    assert holds_the_document(read)
    receipt = read_receipt(read)
    assert isinstance(receipt, FailureNotice)
    assert (receipt.error, receipt.message_ids[0]) == (IntegrationError("902", "Patient inconnu"), "<d1@test.mssante.fr>")
    assert evidence_of(receipt) == (
        Evidence(Proof.REFUSED, receipt.message_ids, recipients=(BOX,), code="902", label="Patient inconnu"),
    )


@pytest.mark.parametrize(
    ("subject", "text", "code"),
    [
        ("[Erreur d’intégration !] XDM/1.0/DDM+CR", "Erreur 902 : Patient inconnu", "902"),
        ("[KO Intégration système !][904] XDM/1.0/DDM+CR", "904^INS différent", "904"),
        ("[KO Intégration système !] XDM/1.0/DDM+CR", "Échec.", "906"),
    ],
)
def test_a_ko_mail_of_others_gives_its_code(subject: str, text: str, code: str) -> None:
    receipt = receipt_of(f"From: a@b.fr\r\nSubject: {subject}\r\nIn-Reply-To: <d1@test.mssante.fr>\r\n\r\n{text}".encode())
    assert isinstance(receipt, FailureNotice)
    assert (receipt.error.code, receipt.message_ids) == (code, ("<d1@test.mssante.fr>",))


def test_an_ordinary_mail_is_no_receipt() -> None:
    assert receipt_of(SENT) is None


@pytest.mark.parametrize(
    ("original", "changes", "place"),
    [
        (RECEIVED.replace(b"Disposition-Notification-To", b"X-Rien"), {}, "Disposition-Notification-To"),
        (RECEIVED.replace(b"Message-ID: <d1@test.mssante.fr>", b"X: y"), {}, "Original-Message-ID"),
        (RECEIVED, {"sender": Mailbox("x")}, "From"),
        (RECEIVED, {"sender": Mailbox(BOX, "a\r\nBcc: b@c.fr")}, "From"),
        (RECEIVED, {"message_id": "x"}, "Message-ID"),
        (RECEIVED, {"sent_at": datetime(2026, 1, 1)}, "Date"),  # noqa: DTZ001 - the point of the case
        (RECEIVED, {"product_reference": ""}, "X-MSS-NIL"),
        (RECEIVED, {"agent": "é"}, "Reporting-UA"),
        (RECEIVED, {"error": IntegrationError("902\r\nX: y")}, "error"),
    ],
)
def test_a_receipt_that_would_be_wrong_is_not_written(original: bytes, changes: dict[str, object], place: str) -> None:
    with pytest.raises(ReceiptError) as raised:
        write_receipt(original, replace(ANSWER, **changes))  # type: ignore[arg-type]
    assert raised.value.where == place


def test_a_ko_mail_wants_an_error_and_an_address() -> None:
    with pytest.raises(ReceiptError, match="no-error"):
        write_failure_notice(RECEIVED, ANSWER, ASKED)
    with pytest.raises(ReceiptError, match="address"):
        write_failure_notice(RECEIVED, UNKNOWN, "x")


# ── when no MDN may be sent ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda raw: raw, None),
        (lambda raw: raw.replace(b"Return-Path: <labo", b"Return-Path: <LABO"), None),
        (lambda raw: raw.replace(b"Disposition-Notification-To", b"X-Rien"), ReceiptRefusal.NOT_ASKED),
        (lambda raw: raw.replace(b"Return-Path: <labo", b"Return-Path: <autre"), ReceiptRefusal.OTHER_RETURN_PATH),
        (lambda raw: raw.partition(b"\r\n")[2], ReceiptRefusal.NO_RETURN_PATH),
        (lambda raw: b"Auto-Submitted: auto-generated\r\n" + raw, ReceiptRefusal.AUTOMATIC),
        (lambda raw: raw.replace(b"Return-Path: <labo.app@test.mssante.fr>", b"Return-Path: <>"), ReceiptRefusal.AUTOMATIC),
        (lambda raw: b"Precedence: bulk\r\n" + raw, ReceiptRefusal.AUTOMATIC),
        (lambda raw: b"Disposition-Notification-To: b@c.fr\r\n" + raw, ReceiptRefusal.SEVERAL_ADDRESSES),
        (lambda raw: b"Disposition-Notification-To: " + ASKED.upper().encode() + b"\r\n" + raw, None),
        (
            lambda raw: raw.replace(b"To: labo.app@test.mssante.fr\r\nX-MSS", b"To: labo@x\r\nX-MSS"),
            ReceiptRefusal.UNUSABLE_ADDRESS,
        ),
        (lambda raw: b"Received: x\r\n" * 51 + raw, ReceiptRefusal.IN_CIRCLES),
    ],
)
def test_no_mdn_is_sent_where_the_norm_forbids_it(change: object, refusal: ReceiptRefusal | None) -> None:
    assert receipt_refusal(read_mail(change(RECEIVED))) is refusal  # type: ignore[operator]


def test_no_mdn_goes_to_ourselves_nor_to_a_receipt() -> None:
    assert receipt_refusal(read_mail(RECEIVED), {ASKED.upper()}) is ReceiptRefusal.OUR_OWN
    asking = f"Disposition-Notification-To: {ASKED}\r\nReturn-Path: <{ASKED}>\r\n".encode()
    for receipt in (
        write_receipt(RECEIVED, ANSWER),
        write_failure_notice(RECEIVED, UNKNOWN, ASKED),
        report("delivery-status", STATUS),
    ):
        assert receipt_refusal(read_mail(asking + receipt)) is ReceiptRefusal.IS_A_RECEIPT


def test_what_a_forwarded_mail_asked_is_not_asked_of_us() -> None:
    forward = b"From: a@b.fr\r\nReturn-Path: <a@b.fr>\r\nContent-Type: message/rfc822\r\n\r\n" + RECEIVED
    assert receipt_refusal(read_mail(forward)) is ReceiptRefusal.NOT_ASKED


def test_a_mailbox_that_writes_no_return_path_may_be_known_to_the_caller() -> None:
    assert receipt_refusal(read_mail(SENT), without_return_path=True) is None
    assert receipt_refusal(read_mail(SENT)) is ReceiptRefusal.NO_RETURN_PATH


def test_two_automata_never_answer_each_other() -> None:
    first = write_receipt(RECEIVED, ANSWER)
    assert receipt_refusal(read_mail(b"Return-Path: <>\r\n" + first)) is not None
    with pytest.raises(ReceiptError):
        write_receipt(first, ANSWER)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[tuple[OperatorDouble, TlsSettings]]:
    pki = make_test_pki(tmp_path)
    with OperatorDouble(pki) as running:
        yield running, TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "localhost")


def test_an_mdn_leaves_with_an_empty_envelope_sender(operator: tuple[OperatorDouble, TlsSettings]) -> None:
    running, tls = operator
    raw = write_receipt(RECEIVED, ANSWER)
    result = send(raw, "", ASKED, host="127.0.0.1", port=running.port, tls=tls, timeout=5.0)
    assert result.verdict is Verdict.ACCEPTED
    assert running.received[0].envelope_from in ("", "<>")


# ── the truth table ─────────────────────────────────────────────────────────────────────────────────────────────────


def after(*proofs: Proof) -> Progress:
    progress = Progress.QUEUED
    for proof in proofs:
        progress = advance(progress, proof)
    return progress


@pytest.mark.parametrize(
    ("proofs", "progress"),
    [
        ((), Progress.QUEUED),
        ((Proof.SENT,), Progress.SUBMITTED),
        ((Proof.SENT, Proof.DELAYED), Progress.SUBMITTED),
        ((Proof.SENT, Proof.RELAYED), Progress.RELAYED),
        ((Proof.SENT, Proof.RELAYED, Proof.DELIVERED), Progress.DELIVERED),
        ((Proof.SENT, Proof.DISPLAYED, Proof.DELIVERED), Progress.DISPLAYED),
        ((Proof.SENT, Proof.DELIVERED, Proof.INTEGRATED), Progress.INTEGRATED),
        ((Proof.SENT, Proof.DELIVERED, Proof.REFUSED, Proof.INTEGRATED), Progress.INTEGRATED),
        ((Proof.SENT, Proof.FAILED), Progress.FAILED),
        ((Proof.SENT, Proof.FAILED, Proof.DELIVERED), Progress.DELIVERED),
        ((Proof.SENT, Proof.DELIVERED, Proof.FAILED), Progress.DELIVERED),
        ((Proof.SENT, Proof.EXPIRED), Progress.EXPIRED),
        ((Proof.SENT, Proof.EXPIRED, Proof.RELAYED), Progress.EXPIRED),
        ((Proof.SENT, Proof.EXPIRED, Proof.FAILED), Progress.FAILED),
        ((Proof.SENT, Proof.DELIVERED, Proof.EXPIRED), Progress.DELIVERED),
        ((Proof.SENT, Proof.DELETED), Progress.DELIVERED),
        ((Proof.REJECTED,), Progress.FAILED),
    ],
)
def test_proofs_advance_a_mail(proofs: tuple[Proof, ...], progress: Progress) -> None:
    assert after(*proofs) is progress


def test_no_proof_ever_takes_a_mail_back() -> None:
    rank = list(Progress)
    for before, proof in product(Progress, Proof):
        assert rank.index(advance(before, proof)) >= rank.index(before)
        assert advance(advance(before, proof), proof) is advance(before, proof)
    assert set(SHOWS) == set(Proof)


def test_proofs_end_alike_in_any_order() -> None:
    for three in product(Proof, repeat=3):
        assert len({after(*order) for order in permutations(three)}) == 1


# ── anything ────────────────────────────────────────────────────────────────────────────────────────────────────────

_SEEDS = [
    report("delivery-status", STATUS, returned=HEADERS_BACK),
    notification(AUTOMATIC + "processed/error", f"Error: {ERROR}"),
    write_failure_notice(RECEIVED[:600] + b"\r\n\r\nfin", UNKNOWN, ASKED),
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_SEEDS), st.data())
def test_a_damaged_receipt_is_read_or_refused_never_a_crash(seed: bytes, data: st.DataObject) -> None:
    damaged = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(damaged)))
        damaged[start : start + data.draw(st.integers(0, 40))] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"\r\n\r\n", b";", b"^", b"|", b"/", b"<", b"=?", b"Action: failed\r\n"])
        )
    try:
        mail = read_mail(bytes(damaged))
        receipt = read_receipt(mail)
        receipt_refusal(mail)
        assert mail.having(PartRole.REPORT) is not None
        if receipt is not None:
            evidence_of(receipt)
        write_receipt(bytes(damaged), UNKNOWN)
    except MssanteError:
        return
