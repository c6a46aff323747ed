"""Reads any mail that reaches a secure mailbox: its class, its documents wherever they stand, what its headers say.

    mail = read_mail(raw)
    mail.kind                       # document, citizen, delivery report, read report, failure notice, auto-reply, ordinary
    for part in mail.archives:
        archive = read_archive(part.content)

Pure: bytes in, values out. What is broken is a Finding; MailError only when the mail is beyond the limits or no mail at all.
Source: digest of Référentiel socle MSSanté #2 and of the CI-SIS volet on documents that come by MSSanté; RFC 3834 for automata.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from mssante.address import PATIENT_DOMAIN, domain_of, is_well_formed
from mssante.findings import Finding
from mssante.headers import DEFAULT_LIMITS, Fields, MailHeaders, MailLimits, decode_text
from mssante.mime import Anatomy, EnclosedMail, MailPart, take_apart
from mssante.safe_xml import root_name

__all__ = [
    "DocumentSubject",
    "EnclosedMail",
    "IncomingMail",
    "MailHeaders",
    "MailKind",
    "MailLimits",
    "MailPart",
    "read_document_subject",
    "read_mail",
]

_ARCHIVE_NAME = re.compile(r"ihe[_-]?xdm.*\.zip$", re.IGNORECASE)
_ZIP = b"PK\x03\x04"
# Zips of another trade: never opened as archives, whatever their first bytes.
_OFFICE = re.compile(r"\.(docx|xlsx|pptx|docm|xlsm|odt|ods|odp|epub|jar|apk)$", re.IGNORECASE)
_OFFICE_TYPES = re.compile(r"officedocument|opendocument|ms-(word|excel|powerpoint)|epub|java-archive")
_ANSWERED = r"(?:(?:re|ré|tr|fw|fwd|rép)\s*:\s*)*"
_XDM = re.compile(rf"^({_ANSWERED}(?:\[annule et remplace\]\s*)?{_ANSWERED})XDM/1\.0/DDM\+?\s*", re.IGNORECASE)
_REPLACES = re.compile(rf"^({_ANSWERED})\[annule et remplace\]\s*", re.IGNORECASE)
_FAILURE = re.compile(
    rf"^{_ANSWERED}\[\s*(?:KO\s+int[ée]gration\s+syst[èe]me|erreur\s+d\s*['’ʼ´`]\s*int[ée]gration)\s*!?\s*\]", re.IGNORECASE
)
_BOUNCE = re.compile(
    r"^(message non distribu[ée]|non remis\b|undelivered mail returned to sender|undeliverable\b|mail delivery fail"
    r"|delivery status notification \(failure\)|returned mail\b|failure notice$)",
    re.IGNORECASE,
)
_AUTOMATIC = re.compile(
    r"^(r[ée]ponse automatique|automatic reply|auto(?:matic)?[- ]?reply|out of (?:the )?office|absence du bureau"
    r"|message d['’]absence|a quitt[ée]\b)",
    re.IGNORECASE,
)
_HAS_LEFT = re.compile(
    r"\ba\s+(?:d[ée]finitivement\s+)?quitt[ée]\b|\bne\s+(?:travaille|fait)\s+plus\b|\bn['’]exerce\s+plus\b"
    r"|\b(?:no longer|not) (?:works?|with|employed)\b",
    re.IGNORECASE,
)
_STATUS_PARTS = {"message/delivery-status", "message/global-delivery-status"}
_RECEIPT_PARTS = {"message/disposition-notification", "message/global-disposition-notification"}


class MailKind(StrEnum):
    """What a mail is, in the order in which it is asked: a report that returns a document mail is a report."""

    DELIVERY_REPORT = "delivery_report"
    READ_REPORT = "read_report"
    FAILURE_NOTICE = "failure_notice"
    AUTO_REPLY = "auto_reply"
    CITIZEN = "citizen"
    DOCUMENT = "document"
    ORDINARY = "ordinary"


class PartRole(StrEnum):
    """What a part is for this trade."""

    ARCHIVE = "archive"
    CDA = "cda"
    PDF = "pdf"
    TEXT = "text"
    HTML = "html"
    REPORT = "report"
    OTHER = "other"


@dataclass(frozen=True, repr=False)
class DocumentSubject:
    """The subject without what machines put in it: `title` is what a reader should see (ECO 3.1.3)."""

    title: str
    is_xdm: bool = False
    replaces: bool = False


@dataclass(frozen=True, repr=False)
class IncomingMail:
    """A mail as a receiver needs it.

    `forbids_answers`: no automatic answer may ever be sent (RFC 3834): an automaton, a list, or an empty return path.
    `sender_has_left`: an automatic answer that says that the person is gone for good: the address is to be suspended.
    """

    kind: MailKind
    headers: MailHeaders
    subject: DocumentSubject
    text: str
    parts: tuple[MailPart, ...]
    enclosed: tuple[EnclosedMail, ...]
    is_from_citizen: bool
    forbids_answers: bool
    sender_has_left: bool
    findings: tuple[Finding, ...]
    size: int

    def having(self, role: PartRole) -> tuple[MailPart, ...]:
        """The parts of that role, at any level."""
        return tuple(part for part in self.parts if role_of(part) is role)

    @property
    def archives(self) -> tuple[MailPart, ...]:
        """Every IHE_XDM.zip, and every other zip, at any level: each may hold documents."""
        return self.having(PartRole.ARCHIVE)

    @property
    def loose_documents(self) -> tuple[MailPart, ...]:
        """CDAs attached without archive."""
        return self.having(PartRole.CDA)

    @property
    def pdfs(self) -> tuple[MailPart, ...]:
        """PDFs beside or instead of archives."""
        return self.having(PartRole.PDF)

    @property
    def attachments(self) -> tuple[MailPart, ...]:
        """Everything but the texts and report parts."""
        quiet = (PartRole.TEXT, PartRole.HTML, PartRole.REPORT)
        return tuple(part for part in self.parts if role_of(part) not in quiet)


def read_mail(
    raw: bytes, limits: MailLimits = DEFAULT_LIMITS, *, patient_domains: Collection[str] = (PATIENT_DOMAIN,)
) -> IncomingMail:
    """The mail; MailError when it is beyond the limits or no mail at all."""
    anatomy = take_apart(raw, limits)
    headers, noted = anatomy.headers, list(anatomy.findings)
    text = _body(anatomy.parts, noted)
    noted.extend(_oddities(anatomy.parts))
    is_citizen = _is_from(headers, {domain.lower() for domain in patient_domains})
    kind = _kind(anatomy, is_citizen)
    return IncomingMail(
        kind=kind,
        headers=headers,
        subject=read_document_subject(headers.subject),
        text=text,
        parts=anatomy.parts,
        enclosed=anatomy.enclosed,
        is_from_citizen=is_citizen,
        forbids_answers=_forbids_answers(headers) or kind is MailKind.AUTO_REPLY,
        sender_has_left=kind is MailKind.AUTO_REPLY and _HAS_LEFT.search(f"{headers.subject}\n{text[:4_000]}") is not None,
        findings=tuple(noted),
        size=len(raw),
    )


def read_document_subject(subject: str) -> DocumentSubject:
    """The subject without `XDM/1.0/DDM+` and `[Annule et remplace]`; answers and forwards keep their mark."""
    is_xdm = _XDM.match(subject) is not None
    title = _XDM.sub(lambda match: match[1], subject)
    replaces = _REPLACES.match(title) is not None
    return DocumentSubject(_REPLACES.sub(lambda match: match[1], title).strip(), is_xdm, replaces)


def is_failure_subject(subject: str) -> bool:
    """True for `[KO Intégration système !]` and `[Erreur d'intégration !]`, whatever the accents and apostrophe."""
    return _FAILURE.match(subject) is not None


def role_of(part: MailPart) -> PartRole:
    """What the part is, by its names, its first bytes, then its declared type, which senders often get wrong."""
    if _is_archive(part):
        return PartRole.ARCHIVE
    if part.media_type in _STATUS_PARTS | _RECEIPT_PARTS or part.media_type == "text/rfc822-headers":
        return PartRole.REPORT
    if part.content[:1_024].lstrip().startswith(b"%PDF-") or (part.media_type == "application/pdf" and part.content):
        return PartRole.PDF
    if _may_be_xml(part) and root_name(part.content) == "ClinicalDocument":
        return PartRole.CDA
    if part.media_type in ("text/plain", "text/html") and not part.names and part.disposition != "attachment":
        return PartRole.TEXT if part.media_type == "text/plain" else PartRole.HTML
    return PartRole.OTHER


def _is_archive(part: MailPart) -> bool:
    if any(_ARCHIVE_NAME.search(name) for name in part.names):
        return True
    if not part.content.startswith(_ZIP):
        return False
    return not (_OFFICE_TYPES.search(part.media_type) or any(_OFFICE.search(name) for name in part.names))


def _may_be_xml(part: MailPart) -> bool:
    return "xml" in part.media_type or part.name.lower().endswith((".xml", ".cda")) or b"<" in part.content[:64]


# ── which kind ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _kind(anatomy: Anatomy, is_citizen: bool) -> MailKind:
    headers = anatomy.headers
    types = {part.media_type for part in anatomy.parts if part.message == 0}
    if types & _RECEIPT_PARTS or anatomy.report_type == "disposition-notification":
        return MailKind.READ_REPORT
    if types & _STATUS_PARTS or anatomy.report_type == "delivery-status" or _BOUNCE.match(headers.subject):
        return MailKind.DELIVERY_REPORT
    if is_failure_subject(headers.subject):
        return MailKind.FAILURE_NOTICE
    holds_documents = any(role_of(part) in (PartRole.ARCHIVE, PartRole.CDA) for part in anatomy.parts)
    if _is_automatic_reply(headers) and not holds_documents:
        return MailKind.AUTO_REPLY
    if is_citizen:
        return MailKind.CITIZEN
    return MailKind.DOCUMENT if holds_documents else MailKind.ORDINARY


def _is_automatic_reply(headers: MailHeaders) -> bool:
    fields = headers.fields
    declared = _first_word(fields, "Auto-Submitted") == "auto-replied" or _first_word(fields, "Precedence") == "auto_reply"
    # The vacation programs of the field: each invented its own.
    marked = any(
        fields.has(name) for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-AutoReply-From", "X-Autogenerated")
    )
    return declared or marked or _AUTOMATIC.match(headers.subject) is not None or headers.return_path == ""


def _forbids_answers(headers: MailHeaders) -> bool:
    fields = headers.fields
    automatic = _first_word(fields, "Auto-Submitted") not in ("", "no")
    mass = _first_word(fields, "Precedence") in ("bulk", "junk", "list", "auto_reply") or fields.has("List-Id")
    suppressed = re.search(r"\b(all|autoreply|oof|rn)\b", fields.get("X-Auto-Response-Suppress"), re.IGNORECASE) is not None
    return automatic or mass or suppressed or headers.return_path == "" or _is_automatic_reply(headers)


def _first_word(fields: Fields, name: str) -> str:
    return fields.get(name).partition(";")[0].partition(" ")[0].strip().lower()


def _is_from(headers: MailHeaders, domains: set[str]) -> bool:
    sender = headers.sender.address if headers.sender else ""
    return is_well_formed(sender) and domain_of(sender) in domains


# ── the text ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _body(parts: tuple[MailPart, ...], noted: list[Finding]) -> str:
    """The text of the mail itself; of an HTML-only mail, its words."""
    own = [part for part in parts if part.message == 0]
    texts = [part for part in own if role_of(part) is PartRole.TEXT]
    if texts:
        return "\n".join(_text_of(part, noted) for part in texts).strip()
    pages = [part for part in own if role_of(part) is PartRole.HTML]
    return "\n".join(_words_of(_text_of(part, noted)) for part in pages).strip()


def _text_of(part: MailPart, noted: list[Finding]) -> str:
    text, wrong = decode_text(part.content, part.charset)
    if wrong:
        noted.append(Finding(wrong, part.media_type))
    return text.replace("\r\n", "\n")


_BLOCKS = {"br", "p", "div", "tr", "li", "h1", "h2", "h3", "table", "ul", "ol"}
_SILENT = {"script", "style", "head", "title"}


def _words_of(page: str) -> str:
    parser = etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        root = etree.fromstring(page.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return ""
    lines = ("".join(_texts(root)) if root is not None else "").splitlines()
    return "\n".join(words for words in (" ".join(line.split()) for line in lines) if words)


def _texts(root: etree._Element) -> Iterator[str]:
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, node in walk:
        if event == "start" and node.tag in _SILENT:
            walk.skip_subtree()
        elif event == "start":
            yield ("\n" if node.tag in _BLOCKS else "") + (node.text or "")
        else:
            yield ("\n" if node.tag in _BLOCKS else "") + (node.tail or "")


def _oddities(parts: tuple[MailPart, ...]) -> list[Finding]:
    found = []
    for number, part in enumerate(parts, start=1):
        if part.media_type in ("application/ms-tnef", "application/vnd.ms-tnef") or part.name.lower() == "winmail.dat":
            found.append(Finding("tnef-kept-closed", f"attachment {number}"))
        if part.media_type in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            found.append(Finding("smime-kept-closed", f"attachment {number}"))
    return found
