"""A large file inside a CDA is decoded beside the parser: whatever surrounds it, the outcome is that of parsing the whole."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from adapter.errors import InputError
from adapter.formats.cda import CdaLimits, EmbeddedBody, embedded_body, open_cda, read_cda
from tests.builders.cda import build_n1

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 60
BASE64 = base64.b64encode(PDF)
N1 = build_n1(pdf=PDF)
_OPENING = N1[: N1.index(b">", N1.index(b"<text", N1.index(b"nonXMLBody"))) + 1]
_CLOSING = N1[N1.index(b"</text>", len(_OPENING)) :]


def _holding(text: bytes) -> bytes:
    """The document with another text in place of its file."""
    return _OPENING + text + _CLOSING


def _told(opened: Callable[[bytes], EmbeddedBody | None], content: bytes) -> object:
    try:
        body = opened(content)
    except InputError as error:
        return error.code, error.where, error.message
    return body and (body.content, body.media_type, body.declared_media_type, body.repaired)


def _apart(content: bytes) -> EmbeddedBody | None:
    return embedded_body(open_cda(content))


def _whole(content: bytes) -> EmbeddedBody | None:
    return embedded_body(read_cda(content))


def test_the_file_of_a_level_1_document_stays_out_of_the_tree() -> None:
    document = open_cda(N1)
    assert document.file == PDF
    assert max(len(text) for text in document.root.itertext()) < 1000
    assert [element.tag for element in document.root.iter()] == [element.tag for element in read_cda(N1).root.iter()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["lf", "crlf", "one-line"])
def test_a_file_is_the_same_on_one_line_or_on_many(end: bytes) -> None:
    lines = [BASE64[at : at + 76] for at in range(0, len(BASE64), 76)]
    content = _holding(b"\r\n    " + end.join(lines) + b"\n  ")
    assert open_cda(content).file == PDF
    assert _told(_apart, content) == _told(_whole, content)


_HIDDEN = b'<text mediaType="application/pdf" representation="B64">' + BASE64 + b"</text>"
# A small body that reads as the word, and elsewhere a file that is nobody's body.
_BEFORE_BODY = b"<!-- nonXMLBody --><versionNumber>" + _HIDDEN + b"</versionNumber><component>"
_FORGED = _holding(b"&#40;file)").replace(b"<component>", _BEFORE_BODY, 1)
_STYLED = (
    b'<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"><!-- nonXMLBody --><x>'
    + _HIDDEN
    + b"</x>"
    + _holding(b"&#40;file)").partition(b"?>")[2]
    + b"</xsl:stylesheet>"
)
ODD = {
    "its padding is missing": _holding(BASE64.rstrip(b"=") if BASE64.endswith(b"=") else BASE64[:-1]),
    "a sign is no Base64": _holding(BASE64[:5000] + b"!" + BASE64[5000:]),
    "a sign is a reference": _holding(BASE64[:5000] + b"&#65;AAA" + BASE64[5000:]),
    "an element stands inside": _holding(BASE64[:12_000] + b"<br/>" + BASE64[12_000:]),
    "a comment stands inside": _holding(BASE64[:12_000] + b"<!-- -->" + BASE64[12_000:]),
    "a comment stands before": _holding(b"<!-- " + BASE64 + b" -->" + BASE64),
    "it is in a CDATA section": _holding(b"<![CDATA[" + BASE64 + b"]]>"),
    "a control sign is inside": _holding(BASE64[:5000] + b"\x0b" + BASE64[5000:]),
    "it is compressed": N1.replace(b'representation="B64"', b'representation="B64" compression="DF"'),
    "another is hidden in a comment": N1.replace(b"<nonXMLBody>", b"<nonXMLBody><!-- " + _HIDDEN + b" -->"),
    "another comes before the body": N1.replace(b"<component>", b"<!-- nonXMLBody --><component>" + _HIDDEN, 1),
    "the word that stands in is the body's": _holding(b"(file)").replace(b"<component>", _BEFORE_BODY, 1),
    "the document is cut short": N1[:-40],
    "a tag is not closed": N1.replace(b"</component>", b"", 1),
    "the body is a word written in references": _FORGED,
    "the body is a word cut by a comment": _FORGED.replace(b"&#40;file)", b"(fi<!-- -->le)"),
    "the body is a word cut by a section": _FORGED.replace(b"&#40;file)", b"(fi<![CDATA[le)]]>"),
    "another attribute is called so": N1.replace(b' representation="B64"', b' xmlns:x="urn:x" x:representation="B64"'),
    "another attribute says so": N1.replace(b'representation="B64"', b"language=' representation=\"B64\"'"),
    "a tag closes at once": _holding(BASE64).replace(b'B64">', b'B64"/><text>', 1),
    "a body follows another": N1.replace(b"<nonXMLBody>", b"<nonXMLBody><text>of another</text></nonXMLBody><nonXMLBody>", 1),
    "it stands beside a style sheet": _STYLED,
    "the text is empty": _holding(b""),
    "nothing decodes": _holding(b"(file)"),
    "a prefix names the elements": N1.replace(b"<text", b"<v3:text").replace(b"</text>", b"</v3:text>"),
    "it is UTF-16": N1.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD.keys())
def test_an_odd_document_is_told_as_when_it_is_parsed_whole(content: bytes) -> None:
    assert _told(_apart, content) == _told(_whole, content)


def test_a_document_beyond_the_limit_is_refused_though_what_is_parsed_of_it_is_small() -> None:
    with pytest.raises(InputError) as told:
        open_cda(N1, CdaLimits(max_bytes=len(N1) - 1))
    assert told.value.code == "cda.too-large"
    assert open_cda(N1, CdaLimits(max_bytes=len(N1))).file == PDF
