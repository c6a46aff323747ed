"""Writes the RFC 5322 mail that carries an archive and its readable copies, as the Référentiel socle MSSanté #2 wants it.

Sources: ECO 2.1.3 (subject), 2.1.6 (file names), 2.2.1–2.2.8 (identification, text, labels, end of exchange), 2.3.2 (MDN),
2.4.1–2.4.3 (X-MSS headers); RFC 2045, 2047, 2231, 5322, 8098.
Law: same input, same bytes. Message-ID and date come from the caller; MIME boundaries derive from the Message-ID.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from mssante.address import is_well_formed
from mssante.errors import MessageError
from mssante.wire import CONTROL, MESSAGE_ID, address_lines, boundary_of, joined, plain_line, text_line, text_part

SUBJECT_PREFIX = "XDM/1.0/DDM+"
REPLACES_PREFIX = "[Annule et remplace] "
# The norm gives cancellations no prefix; without one a person would take the mail for a new document.
CANCELS_PREFIX = "[Annulation] "
LONGEST_LABEL = 40
ARCHIVE_NAME = "IHE_XDM.zip"

_ISO_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
_FORBIDDEN_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]+')
# Letters that Unicode decomposition leaves whole.
_LIGATURES = str.maketrans(
    {"œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "’": "'"}
)


@dataclass(frozen=True)
class Mailbox:
    """An address and the label shown with it: `Titre_Prénom_NOM_Entité`, or the functional entity (ECO 2.2.7)."""

    address: str
    label: str = ""


@dataclass(frozen=True, repr=False)
class Attachment:
    """A file of the mail."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, repr=False)
class DocumentMail:
    """A mail about one patient's documents.

    `document_codes` are the type codes of the CDAs of the archive: empty when the mail carries none, and then X-MSS-INS is
    absent too. `receipt_to` asks for an MDN; it should be the envelope sender (RFC 8098 §2.1). `ends_exchange` tells a
    citizen's mailbox that no reply is wanted. `product_reference` is the Convergence reference, wanted on every mail.
    `references`: the Message-IDs of the thread, oldest first (RFC 5322 §3.6.4); `in_reply_to` ends it if it is not among them.
    """

    sender: Mailbox
    recipient: Mailbox
    subject: str
    sent_at: datetime
    message_id: str
    text: str
    attachments: tuple[Attachment, ...]
    product_reference: str
    document_codes: tuple[str, ...] = ()
    holds_qualified_ins: bool = False
    reply_to: str = ""
    receipt_to: str = ""
    ends_exchange: bool = False
    in_reply_to: str = ""
    references: tuple[str, ...] = ()


def document_subject(
    labels: Iterable[str], family: str, given: str, birth_date: str = "", *, replaces: bool = False, cancels: bool = False
) -> str:
    """ECO 2.1.3: `XDM/1.0/DDM+<libellé ≤ 40> <NOM> <prénom> <JJ/MM/AAAA>`; several documents are counted, not named."""
    known = [_line(label) for label in labels]
    label = known[0][:LONGEST_LABEL].rstrip() if len(known) == 1 else f"{len(known)} documents"
    words = [_raw_first_word(label), unaccented(family).upper(), unaccented(given), french_date(birth_date)]
    subject = SUBJECT_PREFIX + " ".join(word for word in (_line(w) for w in words) if word)
    prefix = CANCELS_PREFIX if cancels else REPLACES_PREFIX if replaces else ""
    return prefix + subject


def pdf_name(served_on: str, label: str, family: str, given: str, file_number: str = "") -> str:
    """ECO 2.1.6: `<AAAAMMJJ>_<type>_<NOM>_<prénom>[_<n° dossier>].pdf`, without what file systems refuse."""
    parts = [
        served_on[:10].replace("-", ""),
        _line(label)[:LONGEST_LABEL].rstrip(),
        unaccented(family).upper(),
        unaccented(given),
        file_number,
    ]
    cleaned = (_FORBIDDEN_IN_NAMES.sub(" ", part).strip(" .") for part in parts)
    return "_".join(part for part in cleaned if part) + ".pdf"


def french_date(iso_date: str) -> str:
    """`1978-11-26` as `26/11/1978`; empty when the day is not known."""
    match = _ISO_DATE.match(iso_date)
    return f"{match['day']}/{match['month']}/{match['year']}" if match else ""


def unaccented(text: str) -> str:
    """The text without diacritics or ligatures, ASCII only."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).encode("ascii", "ignore").decode("ascii")


def write_message(mail: DocumentMail) -> bytes:
    """The whole mail with CRLF line ends, ready for SMTP; MessageError when it cannot be a conforming one."""
    _check(mail)
    boundary = boundary_of(mail.message_id)
    # The parts are joined here because the standard generator rewrites every Base64 line: three times slower.
    parts = [text_part(mail.text), *(_attachment_part(attachment) for attachment in mail.attachments)]
    return b"".join((*_header_lines(mail, boundary), b"\r\n", joined(parts, boundary)))


def encoded_size(text: str, attachments: Iterable[Attachment]) -> int:
    """An upper estimate of the written mail in bytes, without writing it: Base64 costs 4/3 plus line ends."""
    body = 4_000 + 3 * len(text.encode("utf-8"))
    return body + sum(_base64_size(len(attachment.content)) + 1_000 for attachment in attachments)


def _base64_size(size: int) -> int:
    characters = 4 * ((size + 2) // 3)
    return characters + 2 * (characters // 76 + 1)


def _attachment_part(attachment: Attachment) -> bytes:
    main, _, sub = attachment.media_type.partition("/")
    part = EmailMessage(policy=SMTP)
    # Readers of the field look at `name`, the norm's texts at `filename`: both are written.
    part.set_content(b"", maintype=main, subtype=sub, filename=attachment.name, params={"name": attachment.name})
    del part["MIME-Version"]
    encoded = memoryview(base64.b64encode(attachment.content))
    lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
    return _header_block(part) + b"\r\n".join(lines) + b"\r\n"


def _header_block(message: EmailMessage) -> bytes:
    return b"".join(message.policy.fold_binary(name, value) for name, value in message.raw_items()) + b"\r\n"


def _header_lines(mail: DocumentMail, boundary: str) -> list[bytes]:
    codes = ",".join(mail.document_codes)
    optional = [
        ("Reply-To", mail.reply_to),
        ("In-Reply-To", mail.in_reply_to),
        ("References", " ".join(dict.fromkeys((*mail.references, *filter(None, (mail.in_reply_to,)))))),
        ("Disposition-Notification-To", mail.receipt_to),
        ("X-MSS-CODECDA", codes),
        ("X-MSS-INS", "" if not codes else "O" if mail.holds_qualified_ins else "N"),
        ("X-MSS-NIL", mail.product_reference),
        ("X-MSS-MES", "FIN" if mail.ends_exchange else ""),
    ]
    plain = [("Date", format_datetime(mail.sent_at)), ("Message-ID", mail.message_id), *optional, ("MIME-Version", "1.0")]
    return [
        *address_lines(("From", mail.sender.address, mail.sender.label), ("To", mail.recipient.address, mail.recipient.label)),
        text_line("Subject", mail.subject),
        *(plain_line(name, value) for name, value in plain if value),
        f'Content-Type: multipart/mixed;\r\n boundary="{boundary}"\r\n'.encode(),
    ]


def _check(mail: DocumentMail) -> None:
    optional = (("Reply-To", mail.reply_to), ("Disposition-Notification-To", mail.receipt_to))
    addresses = (("From", mail.sender.address), ("To", mail.recipient.address), *((w, a) for w, a in optional if a))
    for where, address in addresses:
        if not is_well_formed(address):
            raise MessageError("message.address", "not a usable mail address", where=where)
    ids = [("Message-ID", mail.message_id), ("In-Reply-To", mail.in_reply_to or mail.message_id)]
    for where, reference in (*ids, *(("References", reference) for reference in mail.references)):
        if not MESSAGE_ID.fullmatch(reference):
            raise MessageError("message.id", "a message id is `<left@right>`", where=where)
    if mail.sent_at.tzinfo is None:
        raise MessageError("message.time-zone", "a date needs its zone", where="Date")
    _check_texts(mail)


def _check_texts(mail: DocumentMail) -> None:
    if not mail.product_reference.strip():
        raise MessageError("message.no-product-reference", "the Convergence reference is wanted on every mail", where="X-MSS-NIL")
    if not all(value.isascii() for value in (mail.product_reference, *mail.document_codes)):
        raise MessageError("message.ascii", "product reference and codes are ASCII", where="headers")
    texts = (mail.subject, mail.product_reference, mail.sender.label, mail.recipient.label, *mail.document_codes)
    if any(CONTROL.search(text) for text in texts):
        raise MessageError("message.control-character", "a header value holds a control character", where="headers")


def _line(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())


def _raw_first_word(label: str) -> str:
    # Operators' rules look at the raw header for `XDM/1.0/DDM`: an accent in the word glued to the prefix would hide it.
    first, space, rest = label.partition(" ")
    return unaccented(first) + space + rest
