"""Reads a CDA R2 file into a tree, safely, and takes the unstructured body out of it. Knows XML, not medicine.

Law: a DOCTYPE is refused before any tree is built (entity bombs, external entities); no network, no DTD, no XInclude,
no embedded style sheet is ever run; bytes and depth are capped; processing instructions and comments are dropped.
Encodings: XML 1.0 app. F, restricted to those that French software writes; UTF-7 and EBCDIC would hide a DOCTYPE.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

import pybase64
from lxml import etree

from adapter.errors import InputError
from adapter.model.confidential import Confidential

V3 = "urn:hl7-org:v3"
_CLINICAL_DOCUMENT = f"{{{V3}}}ClinicalDocument"
_BODY_TEXT = f"{{{V3}}}component/{{{V3}}}nonXMLBody/{{{V3}}}text"
_STYLE_SHEETS = ("{http://www.w3.org/1999/XSL/Transform}stylesheet", "{http://www.w3.org/1999/XSL/Transform}transform")

# libxml2 refuses a text node above this size unless `huge_tree` is set, which also lifts its own limits on amplification:
# it is set only then, after the DOCTYPE check.
_PLAIN_TEXT_NODE_BYTES = 10_000_000

_ENCODINGS = frozenset({"utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "us-ascii", "ascii", "iso-8859-1", "iso-8859-15",
                        "latin1", "windows-1252"})  # fmt: skip
_PROLOG = re.compile(rb"\s*(?:<\?.*?\?>|<!--.*?-->)", re.DOTALL)
_START = re.compile(rb"\s*(.{0,9})", re.DOTALL)
_DECLARED_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")

# What seems to begin the file of a level 1 document; the tree tells whether it does.
_FILE_START = re.compile(rb"""<(?:[A-Za-z_][\w.-]*:)?text\s[^<>]*\brepresentation\s*=\s*["']B64["'][^<>]*>""")
_LARGE_FILE = 10_000
_STAND_IN = "(file)"

# What `str.split` takes for a blank, of ASCII.
_ASCII_BLANKS = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f"

# What the first bytes of an embedded file say it is; labels in real documents are often wrong.
_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"{\\rtf", "text/rtf"),
    (b"PK\x03\x04", "application/zip"),
)


@dataclass(frozen=True)
class CdaLimits:
    """How big and how deep a document may be. 100 MB holds any document that secure mail could carry, many times.

    `max_parts` counts tags, and equals signs: a tree takes fifty times the bytes of its smallest elements.
    """

    max_bytes: int = 100_000_000
    max_depth: int = 120
    max_parts: int = 1_000_000


DEFAULT_LIMITS = CdaLimits()


@dataclass(frozen=True, repr=False)
class CdaDocument(Confidential):
    """A parsed document: `root` is the ClinicalDocument element, whatever wrapped it. `file`: its body, when cut out of it."""

    root: etree._Element
    file: bytes = b""


@dataclass(frozen=True, repr=False)
class EmbeddedBody(Confidential):
    """The unstructured body (nonXMLBody) of a level 1 document.

    `media_type` is what the bytes are when they can tell, else what the source declared. `repaired` is true when the
    Base64 lacked its padding.
    """

    content: bytes
    media_type: str
    declared_media_type: str
    repaired: bool = False


def read_cda(content: bytes, limits: CdaLimits = DEFAULT_LIMITS) -> CdaDocument:
    """Parse a ClinicalDocument. Raises InputError: cda.too-large, cda.too-many-parts, cda.doctype, cda.not-xml, cda.too-deep,
    cda.not-a-clinical-document."""  # fmt: skip
    if len(content) > limits.max_bytes:
        raise InputError("cda.too-large", f"The document exceeds {limits.max_bytes} bytes.", remedy="Send a smaller document.")
    # Counting takes a tenth of the time of parsing: a document shorter than its limit cannot have more.
    if len(content) > limits.max_parts and max(content.count(b"<"), content.count(b"=")) > limits.max_parts:
        raise InputError("cda.too-many-parts", "The document has more elements or attributes than any real one.")
    _refuse_doctype(content)
    root = _parse(content)
    if _deeper_than(limits.max_depth)(root):
        raise InputError("cda.too-deep", f"Elements are nested more than {limits.max_depth} levels deep.")
    return CdaDocument(_clinical_document(root))


def open_cda(content: bytes, limits: CdaLimits = DEFAULT_LIMITS) -> CdaDocument:
    """As `read_cda`, with the large file of a level 1 document beside the tree, where a word stands in for it.

    The file is most of such a document: decoded from the bytes at once, it is neither parsed as XML nor copied as text. Where
    anything of it is unusual the whole is parsed, which says what is wrong.
    """
    found = _cut_out_file(content) if len(content) <= limits.max_bytes else None
    if found is None:
        return read_cda(content, limits)
    rest, mark, file = found
    try:
        document = read_cda(rest, limits)
    except InputError:
        return read_cda(content, limits)  # the line of an error is that of the whole
    text = document.root.find(_BODY_TEXT)
    if text is None or text.text != mark or len(text) or not _holds_plain_base64(text):
        return read_cda(content, limits)
    text.text = _STAND_IN
    return CdaDocument(document.root, file)


def _holds_plain_base64(text: etree._Element) -> bool:
    """What the bytes seemed to say may stand in another attribute, or in its value."""
    return text.get("representation") == "B64" and not text.get("compression")


def _cut_out_file(content: bytes) -> tuple[bytes, str, bytes] | None:
    """A document without the Base64 that seems to be its body's, the mark in its place, and what it holds; None without any.

    The Base64 alphabet has no sign that XML gives a meaning: what stands between two tags and decodes is that text and no more.
    Whether it is the body's is for the tree to say: it is, where the mark is found there. The mark is made from all that remains,
    so that nothing of it can hold the mark too, however it is written (references, comments and CDATA within a text).
    """
    body = content.find(b"nonXMLBody", 0, -_LARGE_FILE) if len(content) > _LARGE_FILE else -1
    start_tag = _FILE_START.search(content, body, body + _LARGE_FILE) if body >= 0 else None
    if start_tag is None:
        return None
    start = start_tag.end()
    end = content.find(b"<", start)
    if end - start < _LARGE_FILE:
        return None
    file = _decoded_whole(content, start, end)
    if not file:
        return None
    head, tail = content[:start], content[end:]
    mark = hashlib.blake2b(tail, key=hashlib.blake2b(head).digest(), digest_size=32).hexdigest()
    return b"".join((head, mark.encode(), tail)), mark, file


def _decoded_whole(content: bytes, start: int, end: int) -> bytes | None:
    """The Base64 of a span, on one line or on many; None for what lacks its padding or holds anything else."""
    try:
        if content.find(b"\n", start, end) < 0:
            return pybase64.b64decode(memoryview(content)[start:end], validate=True)
        lines = content[start:end].replace(b"\n", b"").replace(b"\r", b"").strip(b" \t")
        return pybase64.b64decode(lines, validate=True)
    except ValueError:
        return None


def embedded_body(document: CdaDocument) -> EmbeddedBody | None:
    """The nonXMLBody of a level 1 document, decoded; None for a structured one. Raises InputError cda.bad-body."""
    text = document.root.find(_BODY_TEXT)
    if text is None:
        return None
    declared = text.get("mediaType", "")
    if text.get("compression"):
        raise InputError("cda.bad-body", "A compressed body is not allowed in France.", where="component/nonXMLBody/text")
    if document.file:
        return EmbeddedBody(document.file, sniff_media_type(document.file) or declared, declared)
    if text.get("representation") != "B64":
        return EmbeddedBody((text.text or "").encode("utf-8"), declared or "text/plain", declared)
    content, repaired = decode_base64(text.text or "")
    return EmbeddedBody(content, sniff_media_type(content) or declared, declared, repaired)


def embedded_pdf(document: CdaDocument) -> bytes | None:
    """The PDF of a level 1 document, byte for byte; None when the body is structured or is no PDF."""
    body = embedded_body(document)
    return body.content if body is not None and body.media_type == "application/pdf" else None


def sniff_media_type(content: bytes) -> str:
    """What the first bytes say a file is; empty when they do not tell."""
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    # ISO 32000 §7.5.2 lets junk precede the header; readers look in the first kilobyte.
    return "application/pdf" if b"%PDF-" in content[:1024] else ""


def decode_base64(text: str, where: str = "component/nonXMLBody/text") -> tuple[bytes, bool]:
    """Decode Base64 with white space inside; the flag tells that missing padding was added. Raises InputError."""
    missing = 0
    try:  # as nearly all come, whole and on one line: at once
        content = pybase64.b64decode(text.strip(), validate=True)
    except ValueError:
        packed = _packed(text)
        missing = -len(packed) % 4
        content = _decoded(packed + b"=" * missing, where)
    if not content:
        raise InputError("cda.bad-body", "The embedded file is empty.", where=where)
    return content, missing > 0


def _packed(text: str) -> bytes:
    """Without blanks: lines of 76 signs are the other usual form, and a file has thousands of them."""
    try:
        return text.encode("ascii").translate(None, _ASCII_BLANKS)
    except UnicodeEncodeError:
        return "".join(text.split()).encode("utf-8")


def _decoded(packed: bytes, where: str) -> bytes:
    try:
        return pybase64.b64decode(packed, validate=True)
    except ValueError:
        pass  # Python's own forgives padding that is too long, and some of it is: last, for it is slow
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(
            "cda.bad-body", "The embedded file is not valid Base64.", where=where, remedy="Send the document again, whole."
        ) from None


def _refuse_doctype(content: bytes) -> None:
    prolog = _prolog_bytes(content)
    declared = _DECLARED_ENCODING.match(prolog)
    if declared is not None and declared[1].decode("ascii").lower() not in _ENCODINGS:
        raise InputError("cda.not-xml", "The declared encoding is not accepted.", remedy="Send UTF-8.")
    position = 0
    while (match := _PROLOG.match(prolog, position)) is not None:
        position = match.end()
    start = _START.match(prolog, position)
    rest = start[1] if start is not None else b""
    if rest.upper() == b"<!DOCTYPE":
        raise InputError("cda.doctype", "A DOCTYPE is never accepted.", remedy="Remove the DOCTYPE; CDA needs none.")
    if rest[:1] != b"<" or rest[:2] == b"<!":
        raise InputError("cda.not-xml", "This is not an XML document.")


def _prolog_bytes(content: bytes) -> bytes:
    """What precedes and starts the root element, as ASCII-compatible bytes whatever the encoding."""
    if content.startswith(b"\xef\xbb\xbf"):
        return content[3:]
    if content[:4] in (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"):
        raise InputError("cda.not-xml", "UTF-32 is not accepted.", remedy="Send UTF-8.")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode("utf-8")
    if content[:2] == b"<\x00":
        return content.decode("utf-16-le", "replace").encode("utf-8")
    if content[:2] == b"\x00<":
        return content.decode("utf-16-be", "replace").encode("utf-8")
    return content


def _parse(content: bytes) -> etree._Element:
    try:
        return etree.fromstring(content, _parser(huge=False))
    except etree.XMLSyntaxError as error:
        if len(content) <= _PLAIN_TEXT_NODE_BYTES:
            raise _not_xml(error) from None
    try:
        return etree.fromstring(content, _parser(huge=True))
    except etree.XMLSyntaxError as error:
        raise _not_xml(error) from None


def _parser(*, huge: bool) -> etree.XMLParser:
    """A parser is made for each call: lxml's are not to be shared between threads that parse at once."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=huge,
    )


def _not_xml(error: etree.XMLSyntaxError) -> InputError:
    # libxml2's own message may quote content: only the line leaves.
    if "depth" in str(error.msg).lower():
        return InputError("cda.too-deep", "Elements are nested too deep.", where=f"line {error.lineno}")
    return InputError("cda.not-xml", "The document is not well-formed XML.", where=f"line {error.lineno}")


@lru_cache(maxsize=8)
def _deeper_than(levels: int) -> etree.XPath:
    """True when an element has `levels` ancestors: walked by libxml2, 20 times faster than from Python."""
    return etree.XPath("boolean(/*" + "/*" * levels + ")")


def _clinical_document(root: etree._Element) -> etree._Element:
    if root.tag == _CLINICAL_DOCUMENT:
        return root
    # "Self-presentable" files: an XSLT style sheet that carries the document it shows. Never run, only opened.
    if root.tag in _STYLE_SHEETS:
        found = next(root.iter(_CLINICAL_DOCUMENT), None)
        if found is not None:
            parent = found.getparent()
            if parent is not None:
                parent.remove(found)
            return found
    raise InputError("cda.not-a-clinical-document", "The root element is not a CDA R2 ClinicalDocument.")
