"""Mails as they reach a mailbox: letters of another hospital, receipts about our own, replies, and what breaks them.

letter_mail(build_ldl_ses())                         # asks for a receipt; went through one relay
letter_mail(cda, message_id="<a@b.mssante.fr>", receipt_to="", archive=spoilt)
delivery_report("<…@…>", "delivered")                # a DSN; read_report("<…@…>", "displayed"); failure_notice("<…@…>", "902")
"""

from __future__ import annotations

import email
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

from adapter.mapping.from_cda import read_cda_header
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.plan import ChannelName
from adapter.model.submission import AcksWanted, Intent, Submission, Visibility
from adapter.packaging.mail import Enclosed, build_mail
from adapter.packaging.parcel import SenderProfile
from tests.builders.cda import tiny_pdf

SENT_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SENDER_BOX = "hopital.app@chu.formation.mssante.fr"
MAILBOX = "cms.app@cms.formation.mssante.fr"
MESSAGE_ID = "<7c9e6679-7425-50de-944b-e07fc1f90ae7@chu.formation.mssante.fr>"
HOSPITAL = SenderProfile(
    "750712184", "Hôpital voisin", "940999901", SENDER_BOX, "Hôpital voisin", "1.2.250.1.999.94.9", "NIL-CHU"
)


def letter_mail(
    cda: bytes,
    *,
    message_id: str = MESSAGE_ID,
    to: str = MAILBOX,
    receipt: bool = True,
    intent: Intent | None = None,
    visibility: Visibility = Visibility(),  # noqa: B008 - frozen
    change_archive: Callable[[bytes], bytes] = lambda content: content,
    change: Callable[[EmailMessage], None] = lambda message: None,
    way: Sequence[str] = ("Received: from relais.test by boites.test; Sat, 21 Nov 2026 10:00:01 +0000",),
    return_path: str = SENDER_BOX,
    sender: SenderProfile = HOSPITAL,
) -> bytes:
    """A document mail as our own channel writes them, with the trace of its way on top."""
    header = read_cda_header(cda)
    asked = intent or (Intent.REPLACE if header.replaces else Intent.NEW)
    submission = Submission(
        "6f1c2c52-0000-5000-8000-000000000001", "r", HOSPITAL.legal_entity, header, intent=asked, sender=header.authors[0],
        acks=AcksWanted(reading=receipt), visibility=visibility,
    )  # fmt: skip
    delivery = Delivery(
        "7c9e6679-7425-50de-944b-e07fc1f90ae7", submission.id, HOSPITAL.legal_entity, header.unique_id, header.version,
        asked.value, "role:x", ChannelName.SECURE_MAIL, 1, DeliveryState.ON_WIRE, message_id,
    )  # fmt: skip
    written = build_mail([Enclosed(delivery, submission, cda, tiny_pdf())], sender, to, SENT_AT).message
    return on_its_way(_changed(written, change_archive, change), way, return_path)


def on_its_way(content: bytes, way: Sequence[str] = (), return_path: str | None = None) -> bytes:
    """With the fields that relays put above a mail."""
    lines = ([f"Return-Path: <{return_path}>"] if return_path is not None else []) + list(way)
    return "".join(f"{line}\r\n" for line in lines).encode() + content


def _changed(content: bytes, change_archive: Callable[[bytes], bytes], change: Callable[[EmailMessage], None]) -> bytes:

    message = email.message_from_bytes(content, policy=SMTP)
    assert isinstance(message, EmailMessage)
    zipped = next(part for part in message.iter_attachments() if part.get_filename() == "IHE_XDM.zip")
    before = zipped.get_content()
    after = change_archive(before)
    before_all = message.as_bytes()
    if after is not before:
        zipped.set_content(after, "application", "zip", filename="IHE_XDM.zip")
    change(message)
    return content if message.as_bytes() == before_all else message.as_bytes()


def rewritten(archive: bytes, name_ends: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one file changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(name_ends) else content)
    return buffer.getvalue()


# ── receipts and replies ──────────────────────────────────────────────────────────────────────────────────────


def plain_mail(subject: str, text: str, **fields: str) -> bytes:
    """A mail without attachment; `in_reply_to="<…>"` is In-Reply-To."""
    message = EmailMessage(policy=SMTP)
    known = {"from": "alix.dutest@cms.formation.mssante.fr", "to": MAILBOX, "message-id": "<p1@cms.formation.mssante.fr>"}
    for name, value in {**known, **{key.replace("_", "-"): value for key, value in fields.items()}}.items():
        message[name.title()] = value
    message["Subject"] = subject
    message["Date"] = "Sat, 21 Nov 2026 10:05:00 +0000"
    message.set_content(text)
    return message.as_bytes()


def delivery_report(
    about: str,
    action: str,
    *,
    status: str = "2.0.0",
    recipient: str = "",
    envelope_id: str = "",
    name: str = "<dsn1@relais.test>",
) -> bytes:
    """A DSN (RFC 3464) about one recipient."""
    recipient = recipient or "sacha@cms.formation.mssante.fr"
    envelope = f"Original-Envelope-Id: {envelope_id}\r\n" if envelope_id else ""
    returned = f"Message-ID: {about}\r\nSubject: x\r\n" if about else "Subject: x\r\n"
    return (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@relais.test\r\nTo: {SENDER_BOX}\r\nMessage-ID: {name}\r\n"
        "Date: Sat, 21 Nov 2026 10:04:00 +0000\r\nSubject: Rapport\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b1"\r\n\r\n'
        "--b1\r\nContent-Type: text/plain\r\n\r\nRapport.\r\n"
        f"--b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relais.test\r\n{envelope}\r\n"
        f"Original-Recipient: rfc822;{recipient}\r\nFinal-Recipient: rfc822;{recipient}\r\nAction: {action}\r\n"
        f"Status: {status}\r\n\r\n"
        f"--b1\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b1--\r\n"
    ).encode()


def read_report(about: str, disposition: str, *, recipient: str = "", error: str = "", name: str = "<mdn1@cms.test>") -> bytes:
    """An MDN (RFC 8098)."""
    original = f"Original-Recipient: rfc822;{recipient}\r\n" if recipient else ""
    line = f"Error: {error}\r\n" if error else ""
    return (
        f"Return-Path: <>\r\nFrom: {recipient or 'sacha@cms.formation.mssante.fr'}\r\nTo: {SENDER_BOX}\r\nMessage-ID: {name}\r\n"
        "Date: Sat, 21 Nov 2026 10:06:00 +0000\r\nSubject: Lu\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="b2"\r\n\r\n'
        "--b2\r\nContent-Type: text/plain\r\n\r\nLu.\r\n"
        "--b2\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"{original}Final-Recipient: rfc822;{recipient or 'sacha@cms.formation.mssante.fr'}\r\n"
        f"Original-Message-ID: {about}\r\nDisposition: manual-action/MDN-sent-manually; {disposition}\r\n{line}\r\n--b2--\r\n"
    ).encode()


def failure_notice(about: str, code: str, *, sender: str = "sacha@cms.formation.mssante.fr") -> bytes:
    """A KO mail: an ordinary mail that returns the original's headers."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Message-ID"] = sender, SENDER_BOX, "<ko1@cms.test>"
    message["Subject"] = f"[KO Intégration système !][{code}] XDM/1.0/DDM+Lettre"
    message["In-Reply-To"] = about
    message.set_content(f"{code} : Patient inconnu")
    return message.as_bytes()


def with_field(content: bytes, line: str) -> bytes:
    """The mail with one more header field on top."""
    return f"{line}\r\n".encode() + content


def hospital(**changes: object) -> SenderProfile:
    """The other hospital."""
    return replace(HOSPITAL, **changes)  # type: ignore[arg-type]
