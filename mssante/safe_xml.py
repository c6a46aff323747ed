"""Parses XML that strangers sent: no DTD, no entity, no network, a size cap; forgiving about charsets only.

A DTD is refused before the parser sees it and looked for again after: neither METADATA.XML nor a CDA ever has one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from mssante.errors import ArchiveError

_ROOT_START = re.compile(r"<[A-Za-z_\u0080-\uffff]")
_ASIDE = re.compile(r"<!--|<\?")
_PROLOG = 65_536


@dataclass(frozen=True, repr=False)
class ParsedXml:
    """The root, and whether the bytes were not in the charset that they declare."""

    root: etree._Element
    charset_repaired: bool = False


def parse_xml(content: bytes, where: str, limit: int) -> ParsedXml | None:
    """The document; None when it is not well formed. ArchiveError when it is an attack: a DTD, or beyond the limit."""
    if len(content) > limit:
        raise ArchiveError("xml.too-large", f"beyond {limit} bytes", where=where)
    content = content.lstrip(b" \t\r\n")
    if _declares_dtd(content):
        raise ArchiveError("xml.dtd", "a document type declaration is never accepted", where=where)
    root = _parse(content, None)
    repaired = root is None
    if root is None and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        root = _parse(content, "utf-8" if _is_utf8(content) else "iso-8859-1")
    if root is None:
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        raise ArchiveError("xml.dtd", "a document type declaration is never accepted", where=where)
    return ParsedXml(root, repaired)


def local_name(element: etree._Element) -> str:
    """The name without namespace: prefixes and versions of namespaces vary."""
    return str(element.tag).rpartition("}")[2]


def root_name(content: bytes) -> str:
    """The local name of the root element, found without parsing; empty when there is none near the start."""
    match = re.search(r"<(?:[A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)[\s/>]", _without_comments(_prolog(content)))
    return match[1] if match else ""


def _parse(content: bytes, encoding: str | None) -> etree._Element | None:
    parser = etree.XMLParser(
        encoding=encoding, resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return None


def _declares_dtd(content: bytes) -> bool:
    prolog = _without_comments(_prolog(content))
    root = _ROOT_START.search(prolog)
    return "<!DOCTYPE" in prolog[: root.start() if root else len(prolog)]


def _without_comments(prolog: str) -> str:
    """Without comments and processing instructions; what follows an unclosed one is cut. One pass: a stranger chose the text."""
    kept, start = [], 0
    while match := _ASIDE.search(prolog, start):
        kept.append(prolog[start : match.start()])
        closing = "-->" if match[0] == "<!--" else "?>"
        end = prolog.find(closing, match.end())
        if end < 0:
            return "".join(kept)
        start = end + len(closing)
    return "".join([*kept, prolog[start:]])


def _prolog(content: bytes) -> str:
    head = content[:_PROLOG]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    if head[:4] in (b"<\0?\0", b"<\0!\0"):
        return head.decode("utf-16-le", "replace")
    if head[:4] in (b"\0<\0?", b"\0<\0!"):
        return head.decode("utf-16-be", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
