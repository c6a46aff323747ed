"""Reading a CDA file: what is opened, what is refused, and that nothing hidden in the XML is ever followed."""

from __future__ import annotations

import base64

import pytest
from lxml import etree

from adapter.errors import InputError
from adapter.formats.cda import CdaLimits, decode_base64, embedded_body, embedded_pdf, read_cda, sniff_media_type
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf

EMPTY = b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>'


def _code(content: bytes, limits: CdaLimits | None = None) -> str:
    with pytest.raises(InputError) as refused:
        read_cda(content, limits or CdaLimits())
    return refused.value.code


def test_a_document_is_opened_and_its_pdf_taken_out_byte_for_byte() -> None:
    pdf = tiny_pdf("Compte rendu")
    document = read_cda(build_n1(pdf=pdf))
    assert etree.QName(document.root).localname == "ClinicalDocument"
    assert embedded_pdf(document) == pdf


def test_a_structured_document_has_no_embedded_body() -> None:
    document = read_cda(build_ldl_ses())
    assert embedded_body(document) is None
    assert embedded_pdf(document) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "windows-1252"])
def test_the_encodings_of_french_software_are_read(encoding: str) -> None:
    declared = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16"}.get(encoding, encoding)
    body = '<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Été</title></ClinicalDocument>'
    text = f'<?xml version="1.0" encoding="{declared}"?>{body}'
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    assert read_cda(bom + text.encode(encoding)).root[0].text == "Été"


@pytest.mark.parametrize("encoding", ["utf-7", "utf-32", "cp037"])
def test_encodings_that_could_hide_a_doctype_are_refused(encoding: str) -> None:
    declared = "ebcdic-cp-us" if encoding == "cp037" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>'
    assert _code(text.encode(encoding)) == "cda.not-xml"


BOMB = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]>'


@pytest.mark.parametrize(
    "content",
    [
        BOMB.encode() + EMPTY,
        b'<?xml version="1.0"?>\n<!-- <a/> --><?x y?>\n<!DOCTYPE ClinicalDocument SYSTEM "file:///etc/passwd">' + EMPTY,
        ('<?xml version="1.0" encoding="utf-16"?>' + BOMB + EMPTY.decode()).encode("utf-16"),
        b"\xef\xbb\xbf" + BOMB.encode() + EMPTY,
    ],
)
def test_a_doctype_is_refused_whatever_the_encoding_and_whatever_precedes_it(content: bytes) -> None:
    assert _code(content) == "cda.doctype"


def test_a_doctype_in_a_comment_is_only_a_comment() -> None:
    assert read_cda(b"<!-- <!DOCTYPE a> -->" + EMPTY).root is not None


@pytest.mark.parametrize(
    "content", [b"", b"   ", b"MSH|^~\\&|", b"{}", b"<a>", b"<a></b>", b"%PDF-1.4", b"<", b"<!-- never ended"]
)
def test_what_is_no_xml_is_refused(content: bytes) -> None:
    assert _code(content) == "cda.not-xml"


def test_another_xml_is_no_clinical_document() -> None:
    assert _code(b'<ClinicalDocument xmlns="urn:other"/>') == "cda.not-a-clinical-document"


def test_size_and_depth_are_capped() -> None:
    assert _code(EMPTY, CdaLimits(max_bytes=10)) == "cda.too-large"
    nested = b'<ClinicalDocument xmlns="urn:hl7-org:v3">' + b"<a>" * 50 + b"</a>" * 50 + b"</ClinicalDocument>"
    assert _code(nested, CdaLimits(max_depth=20)) == "cda.too-deep"
    assert read_cda(nested).root is not None
    assert _code(b"<a>" * 5000 + b"</a>" * 5000) == "cda.too-deep"


def test_a_text_above_the_parsers_own_limit_is_still_read() -> None:
    pdf = b"%PDF-1.4" + bytes(9_000_000)
    assert embedded_pdf(read_cda(build_n1(pdf=pdf))) == pdf


def test_the_document_inside_a_style_sheet_is_found_and_the_sheet_never_run() -> None:
    sheet = (
        b'<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:c="urn:hl7-org:v3">'
        b'<xsl:template match="/"><xsl:value-of select="document(\'file:///etc/passwd\')"/></xsl:template>'
        b"<c:ClinicalDocument><c:title>Lettre</c:title></c:ClinicalDocument></xsl:stylesheet>"
    )
    root = read_cda(sheet).root
    assert root.getparent() is None
    assert root[0].text == "Lettre"


def test_an_error_never_quotes_the_document() -> None:
    with pytest.raises(InputError) as refused:
        read_cda(b'<ClinicalDocument xmlns="urn:hl7-org:v3"><name>DUPONT</nom></ClinicalDocument>')
    assert "DUPONT" not in str(refused.value)
    assert refused.value.where == "line 1"


def test_missing_padding_is_repaired_and_told_nonsense_is_refused() -> None:
    whole = base64.b64encode(b"0123").decode()
    assert decode_base64(whole) == (b"0123", False)
    assert decode_base64(" " + whole.rstrip("=") + "\n") == (b"0123", True)
    for wrong in ("@@@@", "", "A"):
        with pytest.raises(InputError) as refused:
            decode_base64(wrong)
        assert refused.value.code == "cda.bad-body"


def test_the_bytes_tell_what_they_are_against_their_label() -> None:
    body = embedded_body(read_cda(build_n1(pdf=b"\xff\xd8\xff\xe0jpeg", media_type="application/pdf")))
    assert body is not None
    assert (body.media_type, body.declared_media_type) == ("image/jpeg", "application/pdf")
    assert embedded_pdf(read_cda(build_n1(pdf=b"\xff\xd8\xff\xe0jpeg"))) is None
    assert sniff_media_type(b"junk" + tiny_pdf()) == "application/pdf"
    assert sniff_media_type(b"hello") == ""


def test_a_plain_text_body_is_taken_as_it_is() -> None:
    content = (
        b'<ClinicalDocument xmlns="urn:hl7-org:v3"><component><nonXMLBody><text mediaType="text/plain">Bonjour</text>'
        b"</nonXMLBody></component></ClinicalDocument>"
    )
    body = embedded_body(read_cda(content))
    assert body is not None
    assert (body.content, body.media_type) == (b"Bonjour", "text/plain")


def test_a_compressed_body_is_refused() -> None:
    content = build_n1().replace(b'representation="B64"', b'representation="B64" compression="DF"')
    with pytest.raises(InputError) as refused:
        embedded_body(read_cda(content))
    assert refused.value.code == "cda.bad-body"
