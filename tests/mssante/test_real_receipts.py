"""A document mail through real Postfix and Dovecot, and its receipts back: the readers understand what the servers write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from mssante.incoming import IncomingMail, MailKind, read_mail
from mssante.integration import IntegrationError
from mssante.message import Mailbox
from mssante.receipts import (
    DeliveryReport,
    Progress,
    Proof,
    advance,
    evidence_of,
    read_receipt,
    receipt_refusal,
    write_receipt,
)
from mssante.smtp import TlsSettings, Verdict, send
from tests.mssante.test_incoming import SENT, holds_the_document
from tests.mssante.test_receipts import ANSWER
from tests.servers.mail_operator import DOCTOR, SENDER, TINY_BOX, MailOperator

pytestmark = pytest.mark.contract


def sending(operator: MailOperator) -> Callable[..., None]:
    pki = operator.pki
    tls = TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test")

    def go(message: bytes, envelope_from: str, to: str, **more: object) -> None:
        result = send(message, envelope_from, to, host="127.0.0.1", port=operator.smtp_port, tls=tls, timeout=20.0, **more)  # type: ignore[arg-type]
        assert result.verdict is Verdict.ACCEPTED

    return go


def awaited(operator: MailOperator, box: str, wanted: Callable[[IncomingMail], bool]) -> tuple[IncomingMail, bytes]:
    """The first mail of the box that is wanted, as its very bytes in the maildir."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        folder = operator.home / "mail" / box
        for file in (*folder.glob("new/*"), *folder.glob("cur/*")):
            raw = file.read_bytes()
            if wanted(mail := read_mail(raw)):
                return mail, raw
        time.sleep(0.05)
    raise AssertionError(f"nothing of the kind came\n{operator.log()}")


@pytest.mark.parametrize(
    ("box", "progress"), [(DOCTOR, Progress.RELAYED), (TINY_BOX, Progress.FAILED)], ids=["taken", "mailbox full"]
)
def test_a_notification_of_the_operator_names_the_mail_the_recipient_and_the_fate(
    real_operator: MailOperator, box: str, progress: Progress
) -> None:
    number = f"real-{box.partition('@')[0]}"
    body = b"x" * 70 + b"\r\n"
    content = SENT.replace(b"<d1@", f"<{number}@".encode()) + body * (3_000 if box == TINY_BOX else 1)
    sending(real_operator)(content, SENDER, box, envelope_id=number)

    def about_it(mail: IncomingMail) -> bool:
        receipt = read_receipt(mail)
        return isinstance(receipt, DeliveryReport) and receipt.envelope_id == number

    receipt = read_receipt(awaited(real_operator, SENDER, about_it)[0])
    assert receipt is not None
    (evidence,) = evidence_of(receipt)
    assert evidence.message_ids[0] == f"<{number}@test.mssante.fr>"
    assert box in evidence.recipients
    assert advance(Progress.SUBMITTED, evidence.proof) is progress
    assert evidence.code.startswith("5." if progress is Progress.FAILED else "2.")


def test_a_refusal_goes_back_as_an_mdn_and_a_second_one_says_it_is_filed(real_operator: MailOperator) -> None:
    go = sending(real_operator)
    go(SENT.replace(b"<d1@", b"<rond@"), SENDER, DOCTOR, envelope_id="rond")
    received, raw = awaited(real_operator, DOCTOR, lambda mail: mail.headers.message_id == "<rond@test.mssante.fr>")
    assert received.kind is MailKind.DOCUMENT
    assert holds_the_document(received)
    assert receipt_refusal(received, {DOCTOR}) is None
    progress = Progress.RELAYED
    for number, (error, expected) in enumerate(((IntegrationError.of("902"), Progress.REFUSED), (None, Progress.INTEGRATED))):
        reply_id = f"<reponse{number}@test.mssante.fr>"
        go(write_receipt(raw, replace(ANSWER, sender=Mailbox(DOCTOR), message_id=reply_id, error=error)), "", SENDER)
        reply, _ = awaited(real_operator, SENDER, lambda mail, wanted=reply_id: mail.headers.message_id == wanted)  # type: ignore[misc]
        assert reply.headers.return_path == ""
        receipt = read_receipt(reply)
        assert receipt is not None
        (evidence,) = evidence_of(receipt)
        assert "<rond@test.mssante.fr>" in evidence.message_ids
        assert evidence.recipients[-1] == DOCTOR
        progress = advance(progress, evidence.proof)
        assert progress is expected
    assert evidence.proof is Proof.INTEGRATED
    assert receipt_refusal(reply, {SENDER}) is not None
