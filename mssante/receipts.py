"""Receipts: what comes back about a mail that was sent (DSN, MDN, bounces in plain words, KO mails), and what a receiver answers.

    receipt = read_receipt(read_mail(raw))
    for evidence in evidence_of(receipt):
        progress = advance(progress, evidence.proof)     # for the (message, recipient) that the caller finds by the ids

A receipt proves nothing by itself: whoever knows an id may forge one. An id that the caller never sent is to be ignored.
Writing is in `answers` (MDN, KO mail, when an MDN must not be sent), the truth table in `progress`; both are offered here.
Sources: RFC 3464 (DSN), 8098 and 3798 (MDN), CI-SIS volet on documents that come by MSSanté (1.1, and drafts 1.1.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

from mssante.answers import (
    Answer,
    ReceiptRefusal,
    receipt_refusal,
    write_failure_notice,
    write_receipt,
)
from mssante.findings import Finding
from mssante.headers import UNPARSABLE, Fields, MailHeaders, decode_words, message_ids, read_fields, read_headers, typed_address
from mssante.incoming import IncomingMail, MailKind
from mssante.integration import IntegrationError
from mssante.mime import MailPart
from mssante.progress import Progress, Proof, advance

__all__ = [
    "Answer",
    "DeliveryAction",
    "DeliveryReport",
    "Disposition",
    "Evidence",
    "FailureNotice",
    "IntegrationError",
    "Progress",
    "Proof",
    "ReadReport",
    "ReceiptRefusal",
    "RecipientReport",
    "advance",
    "evidence_of",
    "read_receipt",
    "receipt_refusal",
    "write_failure_notice",
    "write_receipt",
]

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_REPLY = re.compile(r"(?:^|[\s;:(])([245]\d\d)(?=[\s-]|$)")
_TEXT_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_TEXT_ID = re.compile(r"Message-ID\s*:\s*(<[^<>\s]{1,998}>)", re.IGNORECASE)
_KO_CODE = re.compile(r"\]\s*\[\s*(\d{3})\s*\]")
_TEXT_CODE = re.compile(r"\b(90[0-6]|10[0-3]|198|199|20[0-37])\b[ \t]*[:^–-]*[ \t]*([^\r\n|^]*)")


class DeliveryAction(StrEnum):
    """What became of a mail for one recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


class Disposition(StrEnum):
    """What was done with a mail (RFC 8098 §3.2.6.2); `denied` and `failed` are of RFC 2298 and still met."""

    DISPLAYED = "displayed"
    PROCESSED = "processed"
    DISPATCHED = "dispatched"
    DELETED = "deleted"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True, repr=False)
class RecipientReport:
    """One recipient of a DSN. `action` is None when the report does not say; `status` is `5.1.1`, empty when not said."""

    final_recipient: str
    original_recipient: str = ""
    action: DeliveryAction | None = None
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""
    will_retry_until: datetime | None = None

    @property
    def smtp_code(self) -> int | None:
        """The SMTP reply code that the diagnostic quotes."""
        match = _REPLY.search(self.diagnostic)
        return int(match[1]) if match else None

    @property
    def is_unknown_address(self) -> bool:
        """True when nobody lives there (5.1.x): the address is to be suspended for all."""
        return self.status.startswith("5.1.")


@dataclass(frozen=True, repr=False)
class DeliveryReport:
    """A DSN, or a bounce in plain words (`is_plain_words`: its recipients were found in the text and may be none)."""

    recipients: tuple[RecipientReport, ...]
    message_ids: tuple[str, ...]
    envelope_id: str = ""
    reporting_mta: str = ""
    original: MailHeaders | None = None
    is_plain_words: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, repr=False)
class ReadReport:
    """An MDN. `errors` come from either form: `processed/error` with `Error:` fields, or `processed/Error: 902^…`."""

    disposition: Disposition | None
    final_recipient: str
    original_recipient: str
    message_ids: tuple[str, ...]
    errors: tuple[IntegrationError, ...] = ()
    modifiers: tuple[str, ...] = ()
    is_automatic: bool = False
    reporting_agent: str = ""
    original: MailHeaders | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_refusal(self) -> bool:
        """True when the recipient's software says that it did not file the document."""
        if self.errors:
            return any(error.is_fatal for error in self.errors)
        return any(modifier in ("error", "failure") for modifier in self.modifiers)


@dataclass(frozen=True, repr=False)
class FailureNotice:
    """A KO mail: an ordinary mail that says, for want of an MDN, that a document could not be filed."""

    error: IntegrationError
    message_ids: tuple[str, ...]
    sender: str = ""
    original: MailHeaders | None = None


Receipt = DeliveryReport | ReadReport | FailureNotice


@dataclass(frozen=True, repr=False)
class Evidence:
    """One proof about one recipient, with all that may name the mail, the surest first.

    `message_ids`: Original-Message-ID, the returned mail's own, In-Reply-To, References. `recipients`: as first addressed, then
    as finally tried. `code` is an integration code (902), else an enhanced status (5.1.1), else an SMTP code.
    """

    proof: Proof
    message_ids: tuple[str, ...]
    envelope_id: str = ""
    recipients: tuple[str, ...] = ()
    code: str = ""
    label: str = ""


def read_receipt(mail: IncomingMail) -> Receipt | None:
    """What the mail reports; None when it is no receipt. Never raises."""
    if mail.kind is MailKind.READ_REPORT:
        return _read_report(mail)
    if mail.kind is MailKind.DELIVERY_REPORT:
        return _delivery_report(mail)
    return _failure_notice(mail) if mail.kind is MailKind.FAILURE_NOTICE else None


def evidence_of(receipt: Receipt) -> tuple[Evidence, ...]:
    """The proofs that the receipt holds; none when it says nothing usable."""
    if isinstance(receipt, ReadReport):
        return tuple(_evidence_of_reading(receipt))
    if isinstance(receipt, FailureNotice):
        recipients = (receipt.sender,) if receipt.sender else ()
        error = receipt.error
        return (Evidence(Proof.REFUSED, receipt.message_ids, recipients=recipients, code=error.code, label=error.label),)
    return tuple(_evidence_of_delivery(receipt))


_ACTION_PROOFS = {
    DeliveryAction.FAILED: Proof.FAILED,
    DeliveryAction.DELAYED: Proof.DELAYED,
    DeliveryAction.DELIVERED: Proof.DELIVERED,
    DeliveryAction.RELAYED: Proof.RELAYED,
    DeliveryAction.EXPANDED: Proof.EXPANDED,
}
_DISPOSITION_PROOFS = {
    Disposition.DISPLAYED: Proof.DISPLAYED,
    Disposition.PROCESSED: Proof.INTEGRATED,
    Disposition.DISPATCHED: Proof.DISPATCHED,
    Disposition.DELETED: Proof.DELETED,
    # Both say that a mailbox has the mail, and no more.
    Disposition.DENIED: Proof.DELIVERED,
    Disposition.FAILED: Proof.DELIVERED,
}


def _evidence_of_delivery(report: DeliveryReport) -> Iterator[Evidence]:
    for one in report.recipients:
        if one.action is not None:
            code = one.status or str(one.smtp_code or "")
            recipients = _known(one.original_recipient, one.final_recipient)
            yield Evidence(_ACTION_PROOFS[one.action], report.message_ids, report.envelope_id, recipients, code)
    if report.is_plain_words and not report.recipients:
        yield Evidence(Proof.FAILED, report.message_ids)


def _evidence_of_reading(report: ReadReport) -> Iterator[Evidence]:
    recipients = _known(report.original_recipient, report.final_recipient)
    if report.is_refusal:
        error = next((error for error in report.errors if error.is_fatal), IntegrationError("906", ""))
        yield Evidence(Proof.REFUSED, report.message_ids, recipients=recipients, code=error.code, label=error.label)
    elif report.disposition is not None:
        yield Evidence(_DISPOSITION_PROOFS[report.disposition], report.message_ids, recipients=recipients)


def _known(*values: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


# ── DSN ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _delivery_report(mail: IncomingMail) -> DeliveryReport:
    original = _returned(mail)
    status = _own_part(mail, "delivery-status")
    ids = _ids(mail, original)
    if status is None:
        return DeliveryReport(_named_in_words(mail), ids, original=original, is_plain_words=True)
    groups = _groups(status)
    whole = groups[0] if groups else Fields()
    recipients = tuple(_recipient(group) for group in groups if group.has("Final-Recipient") or group.has("Original-Recipient"))
    noted = tuple(Finding("action-unknown", f"recipient {n}") for n, one in enumerate(recipients, start=1) if one.action is None)
    envelope_id = whole.get("Original-Envelope-Id")
    findings = noted if recipients else (Finding("recipients-missing", "message/delivery-status"),)
    return DeliveryReport(recipients, ids, envelope_id, typed_address(whole.get("Reporting-MTA")), original, False, findings)


def _recipient(group: Fields) -> RecipientReport:
    action = group.get("Action").partition("(")[0].strip().lower()
    status = _STATUS.search(group.get("Status"))
    diagnostic = decode_words(group.get("Diagnostic-Code"))
    status = status or _STATUS.search(diagnostic)
    return RecipientReport(
        final_recipient=typed_address(group.get("Final-Recipient")),
        original_recipient=typed_address(group.get("Original-Recipient")),
        action=DeliveryAction(action) if action in set(DeliveryAction) else None,
        status=status[0] if status else "",
        diagnostic=diagnostic,
        remote_mta=typed_address(group.get("Remote-MTA")),
        will_retry_until=_date(group.get("Will-Retry-Until")),
    )


def _groups(part: MailPart) -> list[Fields]:
    """The header blocks of a status part: that of the message, then one for each recipient."""
    blocks = re.split(rb"(?:\r?\n[ \t]*){2,}", part.content.strip())
    return [fields for block in blocks[:1_000] if (fields := read_fields(block)).items]


def _named_in_words(mail: IncomingMail) -> tuple[RecipientReport, ...]:
    """Addresses that a bounce in plain words names, but for its own and ours."""
    quoted = re.split(
        r"(?im)^(?:[ \t>-]*(?:original message|message d'origine|returned message)|(?:Return-Path|Received): )", mail.text
    )
    text = quoted[0][:20_000]
    sender = mail.headers.sender.address.lower() if mail.headers.sender else ""
    own = {sender, *(one.address.lower() for one in mail.headers.recipients)}
    found = dict.fromkeys(address.rstrip(".") for address in _TEXT_ADDRESS.findall(text))
    status, reply = _STATUS.search(text), _REPLY.search(text)
    return tuple(
        RecipientReport(address, "", DeliveryAction.FAILED, status[0] if status else "", reply[1] if reply else "")
        for address in found
        if address.lower() not in own and not re.match(r"(?i)(mailer-daemon|postmaster)@", address)
    )


# ── MDN ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_report(mail: IncomingMail) -> ReadReport:
    original = _returned(mail)
    part = _own_part(mail, "disposition-notification")
    # One block is the rule; some senders leave a blank line after the first field.
    fields = Fields(tuple(item for group in _groups(part) for item in group.items)) if part else Fields()
    mode, _, action = fields.get("Disposition").partition(";")
    kind, slash, rest = action.partition("/")
    disposition = kind.strip().lower()
    legacy = re.match(r"\s*error\s*:\s*(.*)", rest, re.IGNORECASE | re.DOTALL)
    written = [*fields.all("Error"), *fields.all("Failure"), *([legacy[1]] if legacy else [])]
    modifiers = () if legacy or not slash else tuple(word.strip().lower() for word in rest.split(",") if word.strip())
    is_known = disposition in set(Disposition)
    return ReadReport(
        disposition=Disposition(disposition) if is_known else None,
        final_recipient=typed_address(fields.get("Final-Recipient")) or _sender_of(mail),
        original_recipient=typed_address(fields.get("Original-Recipient")),
        message_ids=_ids(mail, original, fields.get("Original-Message-ID")),
        errors=tuple(IntegrationError.read(decode_words(text)) for text in written),
        modifiers=("error",) if legacy else modifiers,
        is_automatic=mode.strip().lower().startswith("automatic-action"),
        reporting_agent=decode_words(fields.get("Reporting-UA")),
        original=original,
        findings=() if is_known else (Finding("disposition-unknown" if fields.items else "notification-missing"),),
    )


# ── KO mails ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _failure_notice(mail: IncomingMail) -> FailureNotice:
    original = _returned(mail)
    code = _KO_CODE.search(mail.headers.subject)
    found = [match for match in _TEXT_CODE.finditer(mail.text[:20_000]) if not code or match[1] == code[1]]
    told = next((match for match in found if match[2].strip()), found[0] if found else None)
    label = " ".join(told[2].split())[:200] if told else ""
    error = IntegrationError(code[1] if code else told[1] if told else "906", label)
    return FailureNotice(error, _ids(mail, original), _sender_of(mail), original)


# ── what is common ──────────────────────────────────────────────────────────────────────────────────────────────────


def _own_part(mail: IncomingMail, name: str) -> MailPart | None:
    wanted = (f"message/{name}", f"message/global-{name}")
    return next((part for part in mail.parts if part.message == 0 and part.media_type in wanted), None)


def _returned(mail: IncomingMail) -> MailHeaders | None:
    """The headers of the mail that the receipt returns, whole or not."""
    whole = next((enclosed.headers for enclosed in mail.enclosed if enclosed.within == 0), None)
    if whole is not None:
        return whole
    kinds = ("text/rfc822-headers", "message/global-headers", "message/rfc822")
    part = next((part for part in mail.parts if part.message == 0 and part.media_type in kinds), None)
    return read_headers(read_fields(part.content[:262_144])) if part else None


def _ids(mail: IncomingMail, original: MailHeaders | None, declared: str = "") -> tuple[str, ...]:
    returned = original.message_id if original else ""
    quoted = [] if returned else _TEXT_ID.findall(mail.text[:100_000])
    return _known(*message_ids(declared), returned, *mail.headers.in_reply_to, *reversed(mail.headers.references), *quoted)


def _sender_of(mail: IncomingMail) -> str:
    return mail.headers.sender.address if mail.headers.sender else ""


def _date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value[:200]) if value else None
    except UNPARSABLE:
        return None
