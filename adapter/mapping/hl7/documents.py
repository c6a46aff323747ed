"""Takes documents and mail bodies out of OBX-5: which OBX holds what, Base64 with its known faults, the CDA's own header.

Sources: CI-SIS volet 2.1 §4 (payload) and §11 gotchas: missing padding is repaired with a warning (seam 14), wrapped lines are
joined, a body cut short is left out and told, a document cut short is refused.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass

import pybase64

from adapter.errors import InputError
from adapter.formats.hl7v2 import Message, Segment, decode_escapes
from adapter.mapping import from_cda
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.finding import Finding, Severity

BODY_CODES = {"CORPSMAIL_PS": "professionals", "CORPSMAIL_PATIENT": "patient"}
_META = "MetaDMPMSS"
_BLANKS = b" \t\r\n"
_BASE64_SIGNS = "+/="


@dataclass(frozen=True, repr=False)
class CarriedDocument(Confidential):
    """A document as it travelled in a message: its very bytes, its header, the segment that held it. A CDA, unless `is_pdf`."""

    segment: Segment
    content: bytes
    header: DocumentHeader
    is_pdf: bool = False


HeaderOfPdf = Callable[[Segment, bytes], DocumentHeader]


def document_segments(message: Message) -> tuple[Segment, ...]:
    """The OBX that hold a document: encapsulated data that is neither a flag nor a mail body."""
    return tuple(s for s in message.segments("OBX") if is_document(s))


def is_document(segment: Segment) -> bool:
    """True for an OBX of type ED that is no mail body."""
    if segment.name != "OBX" or segment.value(2).strip() != "ED":
        return False
    return segment.value(3, 1).strip() not in BODY_CODES and segment.value(3, 3).strip() != _META


def open_documents(
    message: Message, zone: str, header_of_pdf: HeaderOfPdf
) -> tuple[tuple[CarriedDocument, ...], tuple[Finding, ...]]:
    """Every document that can be opened, and what was said of those that cannot. `zone`: of times without one."""
    opened: list[CarriedDocument] = []
    findings: list[Finding] = []
    for segment in document_segments(message):
        try:
            content, repaired = document_bytes(segment)
            is_pdf = is_pdf_document(content)
            header = header_of_pdf(segment, content) if is_pdf else from_cda.read_cda_header(content, zone)
            opened.append(CarriedDocument(segment, content, header, is_pdf))
        except InputError as error:
            findings.append(_refusal(segment, error))
            continue
        if is_pdf:
            findings.append(pdf_warning(segment))
        if repaired:
            findings.append(_repaired(segment))
    return tuple(opened), tuple(findings)


def is_pdf_document(content: bytes) -> bool:
    """True when what OBX-5 carries is a PDF, whatever its subtype says."""
    return content.startswith(b"%PDF-")


def pdf_warning(segment: Segment) -> Finding:
    """The volet carries CDA: the sender is told that this is an extension."""
    text = "This OBX-5 carries a PDF, which the volet does not foresee: its header is made from the message."
    return Finding(Severity.WARNING, "hl7.pdf-document", text, f"{segment.place}-5", "Send a CDA.", hl7_code="103")


def document_bytes(segment: Segment) -> tuple[bytes, bool]:
    """The document of an OBX-5, and whether its padding was repaired. Raises InputError `hl7.base64` or `hl7.not-encoded`."""
    if segment.value(5, 4).strip().lower() != "base64":
        raise InputError("hl7.not-encoded", "The document is not in Base64.", where=f"{segment.place}-5.4")
    if whole := _decoded_whole(segment):
        return whole, False
    raw = segment.data(5, 5)
    if not raw.strip():
        raise InputError("hl7.no-document", "OBX-5 holds no document.", where=f"{segment.place}-5.5")
    return decode_base64(_unescaped(segment, raw), f"{segment.place}-5.5")


def _decoded_whole(segment: Segment) -> bytes:
    """As nearly all come, whole and on one line: decoded where it lies, without a copy. Empty for what wants more care."""
    if segment.message.separators.escape in _BASE64_SIGNS:
        return b""
    start, end = segment.span(5, 5)
    try:
        return pybase64.b64decode(memoryview(segment.line)[start:end], validate=True)
    except binascii.Error:
        return b""


def decode_base64(data: bytes, where: str) -> tuple[bytes, bool]:
    """Strict Base64, but for blanks between characters and missing padding; says whether padding was missing."""
    packed = data.translate(None, _BLANKS)
    missing = -len(packed) % 4
    if missing == 3:
        raise InputError("hl7.base64", "The Base64 data is cut short.", where=where, remedy="Send the whole data.")
    try:
        return pybase64.b64decode(packed + b"=" * missing, validate=True), bool(missing)
    except binascii.Error:
        raise InputError("hl7.base64", "The Base64 data cannot be decoded.", where=where) from None


def body_text(segment: Segment) -> str:
    """The text of a mail body. Raises InputError when it cannot be decoded."""
    raw = segment.data(5, 5)
    if segment.value(5, 4).strip().upper() == "A":
        return segment.value(5, 5).strip()
    content, _ = decode_base64(_unescaped(segment, raw), f"{segment.place}-5.5")
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("cp1252", "ignore").strip()


def _unescaped(segment: Segment, raw: bytes) -> bytes:
    """Some senders wrap Base64 with `\\.br\\`: without any escape sign, which is the rule, nothing is copied."""
    message = segment.message
    if message.separators.escape.encode(message.codec) not in raw:
        return raw
    return decode_escapes(raw.decode(message.codec), message).encode(message.codec)


def _refusal(segment: Segment, error: InputError) -> Finding:
    """What comes of HL7's own form has its own code; what the document itself is refused for is an application error (906)."""
    place = f"{segment.place}-5"
    if error.code.startswith("hl7."):
        code = "101" if error.code == "hl7.no-document" else "102"
        return Finding(Severity.ERROR, error.code, error.message, error.where or place, error.remedy, hl7_code=code)
    return Finding(Severity.ERROR, error.code, error.message, place, error.remedy, hl7_code="207", app_code="906")


def _repaired(segment: Segment) -> Finding:
    text = "The Base64 data lacked its padding; it was added."
    return Finding(Severity.WARNING, "hl7.base64-padding", text, f"{segment.place}-5.5", hl7_code="102")
