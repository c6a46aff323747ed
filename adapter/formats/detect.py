"""Says what bytes are from their first ones: HL7 v2, CDA, form (JSON, or a PDF that names its form), mail, fax pages
(TIFF) or unknown.

Only the kind is decided here: whether the content is right is its reader's business.
"""

from __future__ import annotations

import re

from adapter.formats.pdf_form import form_code_of, is_pdf
from adapter.model.receipt import ContentKind

_BOM = b"\xef\xbb\xbf"
# Both orders of bytes: fax machines and servers write their pages so, and nobody sends us anything else in one.
_TIFF = (b"II*\0", b"MM\0*")
_LEADING = b"\x0b \t\r\n"
# Prolog and comments of a CDA are short; an XML that hides its root behind more than this is not worth looking at.
_PROLOG_BYTES = 256 * 1024
_MISC = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>)", re.DOTALL)
# A form as plain JSON has no resourceType; as FHIR it is a QuestionnaireResponse.
_RESOURCE_TYPE = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]{1,40})"')
_ROOT = re.compile(r"\s*<(?:[\w.-]+:)?ClinicalDocument[\s/>]")
# A self-presentable document: the style sheet that shows it carries it (opened by the reader, never run).
_STYLE_SHEET = re.compile(r"\s*<(?:[\w.-]+:)?(?:stylesheet|transform)\s[^>]*http://www\.w3\.org/1999/XSL/Transform")
_CARRIED = re.compile(rb"<(?:[\w.-]+:)?ClinicalDocument[\s/>]")
# A mail saved to a file: an mbox line at most, then fields. The head of a mail with a long trace is some kilobytes.
_MAIL_HEAD_BYTES = 64 * 1024
_FIELD = re.compile(rb"(?:From [^\n]*\n)?[!-9;-~]{1,76}[ \t]*:")
_MAIL_FIELDS = re.compile(rb"(?im)^(from|to|subject|date|message-id|mime-version|received|return-path|content-type)[ \t]*:")


def detect_content(content: bytes) -> ContentKind:
    """The kind of a content, from its beginning."""
    head = content[:64].removeprefix(_BOM).lstrip(_LEADING).removeprefix(_BOM)
    if is_hl7v2(head):
        return ContentKind.HL7V2
    if head.startswith(b"{"):
        return _json_kind(content)
    if head.startswith(b"<") or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ContentKind.CDA if _root_is_clinical_document(content) else ContentKind.UNKNOWN
    if form_code_of(content):
        return ContentKind.FORM
    if is_pdf(content):
        return ContentKind.PDF
    if content[:4] in _TIFF:
        return ContentKind.FAX
    return ContentKind.MAIL if is_mail(content) else ContentKind.UNKNOWN


def is_mail(content: bytes) -> bool:
    """True when the content begins with header fields, two of them those that mails have."""
    head = content[:_MAIL_HEAD_BYTES]
    return _FIELD.match(head) is not None and len({name.lower() for name in _MAIL_FIELDS.findall(head)}) >= 2


def _json_kind(content: bytes) -> ContentKind:
    """The first resourceType tells: in FHIR the outermost comes first, but for writers who put it last."""
    found = _RESOURCE_TYPE.search(content[:_PROLOG_BYTES])
    if found is None or found[1] == b"QuestionnaireResponse":
        return ContentKind.FORM
    return ContentKind.FHIR


def is_hl7v2(head: bytes) -> bool:
    """True when a message begins here: `MSH` and a field separator, which is an ASCII sign (never a letter or a digit)."""
    return head.startswith(b"MSH") and len(head) > 3 and 0x20 < head[3] < 0x7F and not chr(head[3]).isalnum()


def _root_is_clinical_document(content: bytes) -> bool:
    """Skip declaration, instructions, comments and a DOCTYPE (refused later, with its own reason), then look at the root."""
    head = content[:_PROLOG_BYTES]
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = head.decode("utf-16", "replace")
    else:
        text = head.removeprefix(_BOM).decode("latin-1")
    at = 0
    while (found := _MISC.match(text, at)) is not None:
        at = found.end()
    if _STYLE_SHEET.match(text, at):
        return _CARRIED.search(content) is not None
    return _ROOT.match(text, at) is not None
