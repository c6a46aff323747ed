"""Corner marks and page codes of the printed forms: on every page, readable, in nobody's way; places told as they are drawn."""

from __future__ import annotations

import copy
import io
from typing import Any

import pikepdf
import pytest
import zxingcpp

from adapter.errors import RenditionError
from adapter.mapping.forms.questionnaire import form_slugs, questionnaire_resource
from adapter.model.sheet import CODE_CORNERS, CORNER_SIDE, CORNERS, PAGE_HEIGHT, PlaceKind, page_code, read_page_code
from adapter.packaging.page.faces import POINT_MM
from adapter.packaging.page.layout import Fill
from adapter.packaging.sheet.geometry import empty_pages, sheet_of
from adapter.packaging.sheet.layout import lay_out
from adapter.packaging.sheet.marks import code_marks
from tests.builders.pdf_forms import blank

SLUGS = form_slugs()


@pytest.mark.parametrize("slug", SLUGS)
def test_every_printed_page_bears_its_code_and_black_corners(slug: str) -> None:
    form = questionnaire_resource(slug)
    sheet = sheet_of(form)
    pages = empty_pages(form, 8.0)
    assert len(pages) == len(sheet.pages)
    for number, page in enumerate(pages, start=1):
        (code,) = zxingcpp.read_barcodes(page)
        assert code.text == page_code(slug, form["version"], sheet.layout, number, len(pages))
        assert abs(code.position.top_left.x / 8 - CODE_CORNERS[0][0]) < 0.5
        assert abs(code.position.bottom_right.y / 8 - CODE_CORNERS[2][1]) < 0.5
        for x, y in CORNERS:
            half, ring = CORNER_SIDE / 2 - 0.2, CORNER_SIDE / 2 + 0.9
            assert page.crop(tuple(round(8 * v) for v in (x - half, y - half, x + half, y + half))).getextrema() == (0, 0)  # type: ignore[arg-type]
            beside = page.crop(tuple(round(8 * v) for v in (x - ring, y - ring, x + ring, y - half - 0.5)))  # type: ignore[arg-type]
            assert beside.getextrema() == (255, 255)


@pytest.mark.parametrize("slug", SLUGS)
def test_nothing_of_a_form_stands_on_its_code_or_its_corners(slug: str) -> None:
    left, bottom = CODE_CORNERS[0][0], CODE_CORNERS[2][1]
    for page in sheet_of(questionnaire_resource(slug)).pages:
        for place in page:
            assert place.x + place.width < left - 2.9 or place.y > bottom + 1.0
            assert place.y + place.height < 284.0 and place.x > 13.5 and place.x + place.width < 196.0
    for laid in lay_out(questionnaire_resource(slug)):
        tints = [mark for mark in laid.marks if isinstance(mark, Fill) and mark.colour != (0, 0, 0)]
        assert all(tint.x + tint.width < left - 2.9 or tint.y > bottom + 1.0 for tint in tints)


@pytest.mark.parametrize("slug", SLUGS)
def test_places_are_where_the_fields_of_the_pdf_are(slug: str) -> None:
    sheet = sheet_of(questionnaire_resource(slug))
    with pikepdf.open(io.BytesIO(blank(slug))) as pdf:
        for page, places in zip(pdf.pages, sheet.pages, strict=True):
            widgets = [annot for annot in page.obj.Annots if int(annot.F) == 4]
            assert len(widgets) == len(places)
            for widget, place in zip(widgets, places, strict=True):
                left, bottom, right, top = (float(value) * POINT_MM for value in widget.Rect)
                middle = (place.x + place.width / 2, PAGE_HEIGHT - place.y - place.height / 2)
                assert ((left + right) / 2, (bottom + top) / 2) == pytest.approx(middle, abs=0.02)
                if place.kind is not PlaceKind.WRITING:
                    assert f"/{place.value}" in widget.AP.N


def test_a_place_tells_its_question_its_line_and_its_answer() -> None:
    places = [place for page in sheet_of(questionnaire_resource("demande-imagerie")).pages for place in page]
    urgent = next(place for place in places if place.words == "Semi-urgent")
    assert (urgent.link_id, urgent.kind, urgent.row) == ("demande.urgence", PlaceKind.ONE, 0)
    assert urgent.asked == "Degré d’urgence" and 10.0 < urgent.reach < 30.0
    regions = [place for place in places if place.link_id == "examens.region"]
    assert [place.row for place in regions] == [1, 2, 3, 4]
    communes = [p for page in sheet_of(questionnaire_resource("demande-pta")).pages for p in page if p.kind is PlaceKind.ANY]
    assert len(communes) == 8 and len({place.link_id for place in communes}) < 8


def test_a_form_drawn_otherwise_has_another_code() -> None:
    form: dict[str, Any] = copy.deepcopy(questionnaire_resource("demande-avis"))
    before = sheet_of(form)
    form["item"][1]["item"].pop()
    assert sheet_of(form).layout != before.layout


def test_a_code_is_read_back_and_anothers_is_nobodys() -> None:
    told = read_page_code(page_code("demande-imagerie", "1.0.0", "AB2C", 2, 3))
    assert told is not None
    assert (told.slug, told.version, told.layout, told.page, told.pages) == ("demande-imagerie", "1.0.0", "AB2C", 2, 3)
    for other in ("", "https://exemple.fr", "TDU:AB2C:DEMANDE:1.0.0:3/2", "TDU:AB2C:DEMANDE:1.0.0:0/2", "TDU:AB2C:X:1:1/1\n"):
        assert read_page_code(other) is None


def test_a_name_too_long_for_a_code_is_refused_when_it_is_printed() -> None:
    with pytest.raises(RenditionError, match="do not fit"):
        code_marks(page_code("une-demande-" * 12, "1.0.0", "AB2C", 1, 1))
