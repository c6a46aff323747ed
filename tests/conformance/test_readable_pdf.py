"""Every official CDA sample becomes a PDF that holds each word of its narrative, and is archival."""

from __future__ import annotations

import re
from pathlib import Path

import pypdfium2
import pytest
from lxml import etree

from adapter.mapping.from_cda import translate_cda
from adapter.packaging.fax_page import FaxCover, build_fax
from adapter.packaging.pdf import missing_glyphs, render_pdf

pytestmark = pytest.mark.conformance

_V3 = "{urn:hl7-org:v3}"


def _samples(shared_dir: Path) -> list[Path]:
    return sorted((shared_dir / "samples" / "cda").glob("*.xml"))


def _squeezed(text: str) -> str:
    return re.sub(r"[\s\u00a0\u00ad\u200b\-]|\ufffe|\u0002", "", text)


def _printed(pdf: bytes) -> str:
    document = pypdfium2.PdfDocument(pdf)
    return _squeezed("".join(page.get_textpage().get_text_range() for page in document))


def _narrative_words(content: bytes) -> set[str]:
    root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True))
    texts = [text for section in root.iter(f"{_V3}section") for text in section.findall(f"{_V3}text")]
    titles = [title for section in root.iter(f"{_V3}section") for title in section.findall(f"{_V3}title")]
    return {_squeezed(word) for text in texts + titles for piece in text.itertext() for word in piece.split()}


def test_every_word_of_every_official_narrative_is_on_paper(shared_dir: Path) -> None:
    for sample in _samples(shared_dir):
        content = sample.read_bytes()
        bundle = translate_cda(content).bundle
        printed = _printed(render_pdf(bundle))
        missing = {word for word in _narrative_words(content) if word not in printed}
        assert not missing, (sample.name, sorted(missing)[:10])
        assert missing_glyphs(bundle) == (), sample.name


def test_every_official_document_can_be_faxed(shared_dir: Path) -> None:
    cover = FaxCover("Expéditeur", "Destinataire", "0199000001", "0199000002")
    for sample in _samples(shared_dir)[:4]:
        pdf = render_pdf(translate_cda(sample.read_bytes()).bundle)
        document = pypdfium2.PdfDocument(pdf)
        assert build_fax(pdf, cover).pages == len(document) + 1
