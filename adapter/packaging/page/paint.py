"""Writes laid-out pages as PDF/A-1b: embedded fonts, sRGB intent, no transparency, no instant of ours: same marks, same bytes.

Source: ISO 19005-1 level B. fpdf2 writes the file; its metadata would hold the time of writing, so ours is given instead.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import TextMode
from lxml import etree

from adapter.model.confidential import Confidential
from adapter.packaging.page.faces import FAMILY, POINT_MM, font_path, style_for, text_width, visible
from adapter.packaging.page.layout import Fill, Mark, Photo, Stroke, Words

STAMP_COLOUR = (186, 40, 48)
_X = "adobe:ns:meta/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_PDFAID = "http://www.aiim.org/pdfa/ns/id/"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True, repr=False)
class Imprint(Confidential):
    """What the file says of itself. `created` is the document's own instant."""

    title: str
    created: datetime
    identifier: str


def paint(pages: Sequence[Sequence[Mark]], imprint: Imprint, stamp: str = "") -> bytes:
    """The pages as a file. The stamp lies under the words, over the tints, on every page."""
    pdf = _new_file(imprint)
    painter = _Painter(pdf)
    for marks in pages:
        pdf.add_page()
        painter.begin_page()
        for tint in (mark for mark in marks if isinstance(mark, Fill)):
            painter.fill(tint)
        if stamp:
            painter.stamp(visible(stamp), pdf.w, pdf.h)
        for mark in marks:
            painter.mark(mark)
    return bytes(pdf.output())


def paint_stamps(sizes: Sequence[tuple[float, float]], stamp: str) -> bytes:
    """Pages of the given sizes (in points) that hold the stamp alone, to be laid over pages of others."""
    pdf = _new_file(Imprint("", datetime(2000, 1, 1, tzinfo=UTC), ""))
    painter = _Painter(pdf)
    for width, height in sizes:
        pdf.add_page(format=(width * POINT_MM, height * POINT_MM))
        painter.begin_page()
        painter.stamp(visible(stamp), pdf.w, pdf.h)
    return bytes(pdf.output())


def _new_file(imprint: Imprint) -> FPDF:
    pdf = FPDF(unit="mm", format="A4", enforce_compliance="PDFA_1B")
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_title(imprint.title)
    pdf.set_lang("fr-FR")
    pdf.set_creation_date(imprint.created)
    pdf.set_xmp_metadata(_xmp(imprint))
    return pdf


class _Painter:
    """Puts marks on the current page of a file; a face is embedded when first used."""

    def __init__(self, pdf: Any) -> None:
        self.pdf = pdf
        self._known: set[str] = set()
        self._font: tuple[str, float] | None = None

    def begin_page(self) -> None:
        """Forget what the page before had set."""
        self._font = None

    def mark(self, mark: Mark) -> None:
        """One mark; tints are painted before."""
        match mark:
            case Words():
                self.words(mark)
            case Stroke():
                self.pdf.set_draw_color(*mark.colour)
                self.pdf.set_line_width(mark.width)
                self.pdf.line(mark.x1, mark.y1, mark.x2, mark.y2)
            case Photo():
                self.pdf.image(io.BytesIO(mark.data), mark.x, mark.y, mark.width, mark.height)
            case Fill():
                return

    def fill(self, mark: Fill) -> None:
        """A tint."""
        self.pdf.set_fill_color(*mark.colour)
        self.pdf.rect(mark.x, mark.y, mark.width, mark.height, style="F")

    def words(self, mark: Words) -> None:
        """Text on its base line."""
        self._use(mark.style, mark.size)
        self.pdf.set_text_color(*mark.colour)
        self.pdf.text(mark.x, mark.y, mark.text)

    def stamp(self, text: str, width: float, height: float) -> None:
        """Big hollow letters across, and small full ones along the top: hollow letters leave the words readable."""
        style = style_for(text, "B")
        size = min(0.70 * (width**2 + height**2) ** 0.5 / text_width(text, style, 1.0), 90.0)
        wide = text_width(text, style, size)
        self.pdf.set_draw_color(*STAMP_COLOUR)
        self.pdf.set_line_width(0.25)
        self.pdf.set_text_color(*STAMP_COLOUR)
        with self.pdf.local_context(), self.pdf.rotation(52 if height >= width else 34, width / 2, height / 2):
            self.pdf.text_mode = TextMode.STROKE
            self._use(style, size)
            self.pdf.text((width - wide) / 2, height / 2 + size * POINT_MM * 0.36, text)
        self.pdf.text_mode = TextMode.FILL
        self._font = None
        self._use(style, 8.0)
        self.pdf.text((width - text_width(text, style, 8.0)) / 2, 5.6, text)

    def _use(self, style: str, size: float) -> None:
        if style not in self._known:
            self.pdf.add_font(FAMILY, style, font_path(style))
            self._known.add(style)
        if self._font != (style, size):
            self.pdf.set_font(FAMILY, style, size)
            self._font = (style, size)


def _xmp(imprint: Imprint) -> str:
    """XMP with the PDF/A mark; its instants are the document's, not the writer's."""
    meta = etree.Element(f"{{{_X}}}xmpmeta", nsmap={"x": _X})
    rdf = etree.SubElement(meta, f"{{{_RDF}}}RDF", nsmap={"rdf": _RDF, "dc": _DC, "xmp": _XMP, "pdfaid": _PDFAID})
    description = etree.SubElement(rdf, f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    etree.SubElement(description, f"{{{_PDFAID}}}part").text = "1"
    etree.SubElement(description, f"{{{_PDFAID}}}conformance").text = "B"
    instant = imprint.created.astimezone(UTC).isoformat(timespec="seconds")
    for name in ("CreateDate", "ModifyDate", "MetadataDate"):
        etree.SubElement(description, f"{{{_XMP}}}{name}").text = instant
    etree.SubElement(description, f"{{{_XMP}}}CreatorTool").text = "Trait d'union"
    if imprint.identifier:
        etree.SubElement(description, f"{{{_DC}}}identifier").text = imprint.identifier
    if imprint.title:
        alternatives = etree.SubElement(etree.SubElement(description, f"{{{_DC}}}title"), f"{{{_RDF}}}Alt")
        etree.SubElement(alternatives, f"{{{_RDF}}}li", {_LANG: "x-default"}).text = imprint.title
    return etree.tostring(meta, encoding="unicode")
