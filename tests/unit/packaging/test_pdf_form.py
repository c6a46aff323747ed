"""The printed form: every question has its field, every page says what it is, nothing in it runs or hides."""

from __future__ import annotations

import io
from typing import Any

import pikepdf
import pypdfium2
import pytest

from adapter.mapping.forms.questionnaire import form_slugs, load_questionnaire, questionnaire_resource
from adapter.packaging.page.layout import BOTTOM, LEFT, RIGHT
from adapter.packaging.sheet.layout import lay_out
from adapter.packaging.sheet.pdf_form import print_form
from tests.builders.pdf_forms import blank, fields

SLUGS = form_slugs()


def _texts(pdf: bytes) -> list[str]:
    with pypdfium2.PdfDocument(pdf) as document:
        return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_question_has_its_field_named_by_its_link_id(slug: str) -> None:
    form = load_questionnaire(slug)
    asked = {q.link_id for q in form.walk() if q.kind not in ("group", "attachment") and not q.read_only}
    with pikepdf.open(io.BytesIO(blank(slug))) as pdf:
        names = {".".join(part for part in name.split(".") if not part.isdigit()) for name in fields(pdf)}
    assert names == asked | {"formulaire"}


@pytest.mark.parametrize("slug", SLUGS)
def test_no_name_of_a_field_holds_a_point(slug: str) -> None:
    with pikepdf.open(io.BytesIO(blank(slug))) as pdf:
        parts = [str(obj.T) for obj in pdf.objects if isinstance(obj, pikepdf.Dictionary) and "/T" in obj]
    assert parts
    assert not [part for part in parts if "." in part]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_page_names_form_version_and_rank_and_whose_it_is(slug: str) -> None:
    form = load_questionnaire(slug)
    pages = _texts(blank(slug))
    for number, text in enumerate(pages, start=1):
        assert f"Formulaire {slug} – version {form.version}" in text
        assert f"Page {number}/{len(pages)}" in text
        assert "Nom du patient" in text
    assert form.title in pages[0]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_question_help_and_choice_is_printed(slug: str) -> None:
    printed = "".join("".join(_texts(blank(slug))).split())
    wanted: list[str] = []

    def collect(items: list[dict[str, Any]]) -> None:
        for item in items:
            if item.get("readOnly") or item["type"] == "attachment":
                continue
            wanted.append(item["text"])
            wanted.extend(option["valueCoding"]["display"] for option in item.get("answerOption", []))
            collect(item.get("item", []))

    collect(questionnaire_resource(slug)["item"])
    assert [text for text in wanted if "".join(text.split()) not in printed] == []


@pytest.mark.parametrize("slug", SLUGS)
def test_nothing_runs_hides_or_locks(slug: str) -> None:
    content = blank(slug)
    with pikepdf.open(io.BytesIO(content)) as pdf:
        assert not pdf.is_encrypted
        assert not {"/OpenAction", "/AA", "/Names", "/Metadata", "/OutputIntents"} & set(pdf.Root.keys())
        assert "/XFA" not in pdf.Root.AcroForm
        assert not [key for obj in pdf.objects if isinstance(obj, pikepdf.Dictionary) for key in ("/JS", "/AA") if key in obj]
        for page in pdf.pages:
            for font in page.obj.Resources.Font.values():
                descendant = font.DescendantFonts[0] if "/DescendantFonts" in font else font
                assert "/FontFile2" in descendant.FontDescriptor
        assert "/FontFile2" in pdf.Root.AcroForm.DR.Font["/TduSans"].FontDescriptor


@pytest.mark.parametrize("slug", SLUGS)
def test_the_same_form_gives_the_same_bytes(slug: str) -> None:
    assert print_form(questionnaire_resource(slug)) == print_form(questionnaire_resource(slug))


@pytest.mark.parametrize("slug", SLUGS)
def test_fields_lie_on_the_sheet_and_not_on_each_other(slug: str) -> None:
    for page in lay_out(questionnaire_resource(slug)):
        for number, one in enumerate(page.slots):
            assert one.x >= LEFT - 0.01 and one.x + one.width <= RIGHT + 0.01
            assert one.y >= 14.0 and one.y + one.height <= BOTTOM + 0.01
            for other in page.slots[number + 1 :]:
                apart = (
                    one.x + one.width <= other.x + 0.01 or other.x + other.width <= one.x + 0.01
                    or one.y + one.height <= other.y + 0.01 or other.y + other.height <= one.y + 0.01
                )  # fmt: skip
                assert apart, (one.name, other.name)


def test_conditions_are_told_in_words() -> None:
    text = " ".join(_texts(blank()))
    assert "à remplir si « Nature de l’examen » est « Scanner (TDM) »" in text
    assert "à remplir si « Insuffisance rénale » est « Oui »" in text


def test_the_lines_of_a_table_are_numbered_and_the_corners_free() -> None:
    with pikepdf.open(io.BytesIO(blank())) as pdf:
        names = fields(pdf)
    assert [f"examens.{n}.region" in names for n in (1, 4, 5)] == [True, True, False]
    for page in lay_out(questionnaire_resource("demande-imagerie")):
        assert all(slot.y > 14.0 and slot.x >= LEFT for slot in page.slots)
