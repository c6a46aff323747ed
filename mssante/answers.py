"""Writes what a receiver answers: an MDN when one was asked and may be sent, else a KO mail to an error box. Pure.

Sources: RFC 8098 (MDN: exactly three parts, the original whole; an empty envelope sender), 3834 (automatic answers), CI-SIS volet
on documents that come by MSSanté 1.1.3: `processed/error` with an `Error:` field. `legacy` writes `processed/Error: 902^…`, which
breaks the grammar of RFC 8098 and is what software of volet 1.1 knows. Same input, same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from mssante.address import is_well_formed
from mssante.errors import ReceiptError
from mssante.headers import DEFAULT_LIMITS, MailHeaders, read_headers, split_head
from mssante.incoming import IncomingMail, MailKind
from mssante.integration import IntegrationError
from mssante.message import Mailbox
from mssante.wire import CONTROL, MESSAGE_ID, address_lines, boundary_of, joined, plain_line, text_line, text_part

FAILURE_PREFIX = "[KO Intégration système !]"
# More hops than any path has: the mail goes in circles (RFC 5321 §6.3 says 100; trust domains are shorter).
_MOST_HOPS = 50


class ReceiptRefusal(StrEnum):
    """Why no MDN may be sent automatically."""

    NOT_ASKED = "not_asked"
    IS_A_RECEIPT = "is_a_receipt"
    AUTOMATIC = "automatic"
    SEVERAL_ADDRESSES = "several_addresses"
    UNUSABLE_ADDRESS = "unusable_address"
    OUR_OWN = "our_own"
    IN_CIRCLES = "in_circles"
    NO_RETURN_PATH = "no_return_path"
    OTHER_RETURN_PATH = "other_return_path"


@dataclass(frozen=True, repr=False)
class Answer:
    """What is said of a received mail. `error` None: the document was filed. `text` replaces the default wording.

    `sender` is the application mailbox that received the mail; `agent` the name of the software (Reporting-UA).
    """

    sender: Mailbox
    sent_at: datetime
    message_id: str
    product_reference: str
    agent: str
    error: IntegrationError | None = None
    text: str = ""


def receipt_refusal(
    mail: IncomingMail, own_addresses: Collection[str] = (), *, without_return_path: bool = False
) -> ReceiptRefusal | None:
    """Why no MDN may be sent for this mail (RFC 8098 §2.1, §3; RFC 3834 §2); None when one may.

    `without_return_path`: accept mails that bear no Return-Path, where the mailbox is known to write none.
    """
    headers = mail.headers
    asked = {one.address.lower() for one in headers.receipt_to}
    address = next(iter(asked), "")
    path = headers.return_path
    return next(
        (
            reason
            for applies, reason in (
                (not asked, ReceiptRefusal.NOT_ASKED),
                (mail.kind in _RECEIPTS, ReceiptRefusal.IS_A_RECEIPT),
                (mail.forbids_answers, ReceiptRefusal.AUTOMATIC),
                (len(asked) > 1, ReceiptRefusal.SEVERAL_ADDRESSES),
                (not is_well_formed(address), ReceiptRefusal.UNUSABLE_ADDRESS),
                (address in {own.lower() for own in own_addresses}, ReceiptRefusal.OUR_OWN),
                (len(headers.fields.all("Received")) > _MOST_HOPS, ReceiptRefusal.IN_CIRCLES),
                (path is None and not without_return_path, ReceiptRefusal.NO_RETURN_PATH),
                (path is not None and path.lower() != address, ReceiptRefusal.OTHER_RETURN_PATH),
            )
            if applies
        ),
        None,
    )


_RECEIPTS = (MailKind.READ_REPORT, MailKind.DELIVERY_REPORT, MailKind.FAILURE_NOTICE)


def write_receipt(original: bytes, answer: Answer, *, legacy: bool = False) -> bytes:
    """The MDN for the mail, to be sent with an empty envelope sender to its Disposition-Notification-To.

    `original` is the received mail, whole: it goes back as it is. ReceiptError when it asks for no receipt or bears no id.
    """
    headers = _headers_of(original, answer)
    if len(headers.receipt_to) != 1 or not is_well_formed(headers.receipt_to[0].address):
        raise ReceiptError(
            "receipt.not-asked", "the mail asks for no receipt to one address", where="Disposition-Notification-To"
        )
    parts = [text_part(answer.text or _words(answer)), _notification(headers, answer, legacy), _enclosed(original)]
    kind = "multipart/report; report-type=disposition-notification"
    return _written(headers, answer, headers.receipt_to[0].address, kind, parts)


def write_failure_notice(original: bytes, answer: Answer, recipient: str) -> bytes:
    """The KO mail for an error box: an ordinary mail, the code and label in words, the complete original within."""
    if answer.error is None:
        raise ReceiptError("receipt.no-error", "a failure notice tells an error", where="error")
    if not is_well_formed(recipient):
        raise ReceiptError("receipt.address", "not a usable mail address", where="To")
    headers = _headers_of(original, answer)
    return _written(
        headers, answer, recipient, "multipart/mixed", [text_part(answer.text or _words(answer)), _enclosed(original)]
    )


def _headers_of(original: bytes, answer: Answer) -> MailHeaders:
    _check(answer)
    headers = read_headers(split_head(original, DEFAULT_LIMITS)[0])
    if not MESSAGE_ID.fullmatch(headers.message_id):
        raise ReceiptError("receipt.no-id", "the received mail has no usable Message-ID", where="Original-Message-ID")
    return headers


def _check(answer: Answer) -> None:
    if not is_well_formed(answer.sender.address):
        raise ReceiptError("receipt.address", "not a usable mail address", where="From")
    if not MESSAGE_ID.fullmatch(answer.message_id):
        raise ReceiptError("receipt.id", "a message id is `<left@right>`", where="Message-ID")
    if answer.sent_at.tzinfo is None:
        raise ReceiptError("receipt.time-zone", "a date needs its zone", where="Date")
    error = answer.error
    if error is not None and not re.fullmatch(r"[0-9]{3}", error.code):
        raise ReceiptError("receipt.code", "an integration code has three digits", where="error")
    for where, value in (("X-MSS-NIL", answer.product_reference), ("Reporting-UA", answer.agent)):
        if not value.strip() or not value.isascii() or CONTROL.search(value):
            raise ReceiptError("receipt.ascii", "wanted, in ASCII without control characters", where=where)
    if CONTROL.search(answer.sender.label):
        raise ReceiptError("receipt.control-character", "a label holds a control character", where="From")


def _written(headers: MailHeaders, answer: Answer, recipient: str, content_type: str, parts: list[bytes]) -> bytes:
    boundary = boundary_of(answer.message_id)
    prefix = f"{FAILURE_PREFIX}[{answer.error.code}] " if answer.error else ""
    subject = f"{prefix}{headers.subject}".strip() or "Accusé de réception"
    plain = [
        ("Date", format_datetime(answer.sent_at)),
        ("Message-ID", answer.message_id),
        ("In-Reply-To", headers.message_id),
        ("References", headers.message_id),
        ("Auto-Submitted", "auto-replied"),
        ("X-MSS-NIL", answer.product_reference),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'{content_type}; boundary="{boundary}"'),
    ]
    lines = [
        *address_lines(("From", answer.sender.address, answer.sender.label), ("To", recipient, "")),
        text_line("Subject", subject),
        *(plain_line(name, value) for name, value in plain),
    ]
    return b"".join((*lines, b"\r\n", joined(parts, boundary)))


def _notification(headers: MailHeaders, answer: Answer, legacy: bool) -> bytes:
    lines = [plain_line("Reporting-UA", answer.agent)]
    if is_well_formed(headers.original_recipient):
        lines.append(plain_line("Original-Recipient", f"rfc822;{headers.original_recipient}"))
    lines.append(plain_line("Final-Recipient", f"rfc822;{answer.sender.address}"))
    lines.append(plain_line("Original-Message-ID", headers.message_id))
    done = "automatic-action/MDN-sent-automatically; processed"
    if answer.error is None:
        lines.append(plain_line("Disposition", done))
    elif legacy:
        lines.append(text_line("Disposition", f"{done}/Error: {answer.error.written()}"))
    else:
        lines += [plain_line("Disposition", f"{done}/error"), text_line("Error", answer.error.written())]
    return b"".join((plain_line("Content-Type", "message/disposition-notification"), b"\r\n", *lines))


def _enclosed(original: bytes) -> bytes:
    """The mail that is answered, byte for byte; as what it is when only its head is at hand (RFC 6522 §4)."""
    whole = original if b"\n" not in original.replace(b"\r\n", b"") else original.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    encoding = b"" if whole.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    kind = b"message/rfc822" if whole.partition(b"\r\n\r\n")[2].strip() else b"text/rfc822-headers"
    return b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + whole


def _words(answer: Answer) -> str:
    if answer.error is None:
        return "Le message ci-joint a été intégré par le logiciel du destinataire."
    label = answer.error.label or "motif non précisé"
    return f"Le message ci-joint n'a pas pu être intégré par le logiciel du destinataire.\n\n{answer.error.code} : {label}"
