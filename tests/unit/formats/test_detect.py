"""What bytes are, told from their beginning."""

from __future__ import annotations

import struct

import pytest

from adapter.formats.detect import detect_content
from adapter.model.receipt import ContentKind
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import build_mdm


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b"\x0b", b"\r\n", b"\x0b\xef\xbb\xbf"])
def test_a_message_is_known_behind_a_bom_a_frame_byte_or_blank_lines(prefix: bytes) -> None:
    assert detect_content(prefix + build_mdm(build_n1())) is ContentKind.HL7V2


@pytest.mark.parametrize("content", [b"MSH", b"MSHA^~\\&|", b"MSH ", b"MSG|^~\\&|", b"FHS|^~\\&|", b"msh|^~\\&|", b"PID|1"])
def test_what_only_looks_like_a_message_is_unknown(content: bytes) -> None:
    assert detect_content(content) is ContentKind.UNKNOWN


@pytest.mark.parametrize("build", [build_n1, build_ldl_ses])
def test_a_document_is_known_by_its_root(build: object) -> None:
    assert detect_content(build()) is ContentKind.CDA  # type: ignore[operator]


@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0"?><!-- <Other> --><?pi x?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"/>',
        b'<h:ClinicalDocument xmlns:h="urn:hl7-org:v3"/>',
        b'<!DOCTYPE ClinicalDocument [<!ENTITY a "b">]><ClinicalDocument/>',
        '\ufeff<?xml version="1.0" encoding="UTF-16"?><ClinicalDocument/>'.encode("utf-16-le"),
    ],
)
def test_prologs_and_prefixes_do_not_hide_a_document(content: bytes) -> None:
    assert detect_content(content) is ContentKind.CDA


@pytest.mark.parametrize(
    "content", [b"", b" ", b"<html/>", b"<ClinicalDocuments/>", b"<!-- <ClinicalDocument> -->", b"[1]", b"\xff\xfe"]
)
def test_anything_else_is_unknown(content: bytes) -> None:
    assert detect_content(content) is ContentKind.UNKNOWN


def test_json_is_a_form_even_when_it_is_cut_short() -> None:
    assert detect_content(b'  {"patient": ') is ContentKind.FORM


def test_a_prolog_of_a_million_comments_is_looked_at_no_further_than_its_beginning() -> None:
    assert detect_content(b"<!-- x -->" * 1_000_000 + b"<ClinicalDocument/>") is ContentKind.UNKNOWN


def test_json_with_a_resource_type_is_fhir_unless_it_answers_a_form() -> None:
    assert detect_content(b'{"resourceType": "Bundle", "type": "document"}') is ContentKind.FHIR
    assert detect_content(b'{"type": "document", "resourceType" : "Patient"}') is ContentKind.FHIR
    assert detect_content(b'{"resourceType": "QuestionnaireResponse"}') is ContentKind.FORM


def test_a_pdf_that_names_no_form_is_a_document() -> None:
    assert detect_content(b"%PDF-1.4") is ContentKind.PDF


@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_of_a_fax_are_known_by_their_tiff_in_both_orders_of_bytes(order: str) -> None:
    assert detect_content(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)) is ContentKind.FAX
