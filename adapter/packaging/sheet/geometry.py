"""Where each box and field of a printed form is, from the very layout that draws it; and its pages as they look while empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pypdfium2
from PIL import Image

from adapter.formats.pdf import ONE_AT_A_TIME
from adapter.model.sheet import Place, PlaceKind, Sheet
from adapter.packaging.page.faces import POINT_MM, text_width, visible
from adapter.packaging.sheet.items import ANSWER_SIZE, BOX_GAP
from adapter.packaging.sheet.layout import form_slug, lay_out
from adapter.packaging.sheet.marks import layout_code
from adapter.packaging.sheet.pdf_form import print_form
from adapter.packaging.sheet.pieces import Slot

_KINDS = {"tick": PlaceKind.ONE, "box": PlaceKind.ANY, "text": PlaceKind.WRITING, "choice": PlaceKind.WRITING}


def sheet_of(questionnaire: Mapping[str, Any]) -> Sheet:
    """The places of a form, page by page."""
    pages = [page.slots for page in lay_out(questionnaire)]
    return Sheet(
        form_slug(questionnaire),
        str(questionnaire["version"]),
        str(questionnaire["title"]),
        layout_code(pages),
        tuple(tuple(_place(slot) for slot in page) for page in pages),
    )


def empty_pages(questionnaire: Mapping[str, Any], dots_per_mm: float) -> tuple[Image.Image, ...]:
    """The printed pages in grey, at this scale: what a received page is compared with."""
    with ONE_AT_A_TIME:
        document = pypdfium2.PdfDocument(print_form(questionnaire))
        try:
            return tuple(page.render(scale=dots_per_mm * POINT_MM, grayscale=True).to_pil().copy() for page in document)
        finally:
            document.close()


def _place(slot: Slot) -> Place:
    reach = BOX_GAP + text_width(visible(slot.words), "", ANSWER_SIZE) if slot.state else 0.0
    return Place(
        _KINDS[slot.kind], slot.question, slot.row, slot.x, slot.y, slot.width, slot.height, slot.asked,
        slot.state, slot.words, reach,
    )  # fmt: skip
