"""Files enclosed with a form are printed after it, on the page, by fax and in the CDA; what cannot be printed is said."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from fpdf import FPDF
from PIL import Image

from adapter.fhir.bundle import resources_of
from adapter.formats.cda import embedded_pdf, read_cda
from adapter.mapping.from_form import understand_form
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, Principal
from adapter.offline import Target, render
from adapter.packaging.page.enclosed import MOST_PAGES
from adapter.packaging.parcel import SenderProfile
from adapter.packaging.pdf import render_pdf
from tests.builders.form import form_bytes
from tests.builders.stay import build_stay_request

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
AT = datetime(2026, 11, 21, 9, tzinfo=UTC)
SENDER = SenderProfile("750712184", "Hôpital", "750712184", "a@x.mssante.fr", "Hôpital", "1.2.250.1.999.94.1", "x")


def letter(*pages: str, size: tuple[float, float] = (210, 297)) -> bytes:
    """A partner's PDF, one word a page."""
    pdf = FPDF(unit="mm", format=size)
    pdf.set_creation_date(AT)
    pdf.set_font("helvetica", size=40)
    for words in pages:
        pdf.add_page()
        pdf.text(20, 60, words)
    return bytes(pdf.output())


def scan(mode: str = "RGB", kind: str = "PNG", **saving: Any) -> bytes:
    image = Image.new(mode, (400, 300), 255 if mode == "L" else (250, 240, 200))
    image.paste(0 if mode == "L" else (0, 0, 120), (0, 0, 200, 40))
    out = io.BytesIO()
    image.save(out, kind, **saving)
    return out.getvalue()


def protected(content: bytes) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(owner="o", user="u"))
    return out.getvalue()


def request(content: bytes, media_type: str = "application/pdf", title: str = "Courrier du Dr Modèle") -> Translation:
    changes = {"contenu": base64.b64encode(content).decode(), "type": media_type, "titre": title}
    form = build_stay_request(**{f"demande.courrier.{key}": value for key, value in changes.items()})
    arrival = Arrival(form_bytes(form), "http", Principal("x", "token", "940000003"), AT)
    return understand_form(arrival, "receipt")[0]


def pages_of(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [" ".join(page.get_textpage().get_text_range().replace("\u00a0", " ").split()) for page in document]
    finally:
        document.close()


def images_of(page: pikepdf.Page) -> list[Any]:
    held = page.resources.get("/XObject", {})
    return [held[name] for name in held if held[name].get("/Subtype") == "/Image"]


def pictures_of(pdf: bytes, number: int) -> list[Image.Image]:
    """The images of one page, as a reader would see them."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        return [pikepdf.PdfImage(image).as_pil_image().convert("RGB") for image in images_of(opened.pages[number])]


def ink(image: Image.Image) -> float:
    """The share of dark dots."""
    histogram = image.convert("L").histogram()
    return sum(histogram[:128]) / sum(histogram)


def own_pages(translation: Translation) -> int:
    """How many pages the request has without its enclosed letter: the annex is a page for each of the letter's."""
    return sum("Pièce jointe n° 1 :" not in page for page in pages_of(render_pdf(translation.bundle)))


def test_each_page_of_the_letter_follows_under_a_line_that_names_it_and_the_patient() -> None:
    translation = request(letter("UN", "DEUX"))
    pages = pages_of(render_pdf(translation.bundle, urgency="urgent"))
    annex = pages[-2:]
    for number, page in enumerate(annex, start=1):
        assert f"Pièce jointe n° 1 : Courrier du Dr Modèle — page {number}/2" in page
        assert "EXEMPLE Andrée, né(e) le 17/02/1938" in page and "URGENT" in page
        assert f"Page {len(pages) - 2 + number}/{len(pages)}" in page
    assert not any("Pièce jointe n° 1 : Courrier" in page for page in pages[:-2])
    assert any("Pièce jointe n° 1, imprimée à la suite (2 pages)." in page for page in pages[:-2])


def test_the_letters_own_marks_are_on_its_page() -> None:
    pdf = render_pdf(request(letter("MMMMMMMM", "")).bundle)
    ((first,), (second,)) = (pictures_of(pdf, -2), pictures_of(pdf, -1))
    assert ink(first) > 0.002 and ink(second) == 0
    assert first.width > 1000  # fine enough to be read


@pytest.mark.parametrize(
    ("mode", "kind", "media_type"), [("RGB", "JPEG", "image/jpeg"), ("RGB", "PNG", "image/png"), ("L", "PNG", "image/png")]
)
def test_a_scan_is_printed_once_and_not_inside_its_section(mode: str, kind: str, media_type: str) -> None:
    translation = request(scan(mode, kind), media_type)
    pdf = render_pdf(translation.bundle)
    found = [number for number in range(len(pages_of(pdf))) if pictures_of(pdf, number)]
    assert found == [len(pages_of(pdf)) - 1]
    (picture,) = pictures_of(pdf, found[0])
    assert 0.05 < ink(picture) < 0.08


def test_a_photograph_is_turned_the_way_the_telephone_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (picture,) = pictures_of(render_pdf(request(scan(kind="JPEG", exif=exif), "image/jpeg").bundle), -1)
    assert picture.width < picture.height


@pytest.mark.parametrize(
    ("content", "media_type", "why"),
    [
        (protected(letter("UN")), "application/pdf", "fichier protégé par un mot de passe"),
        (b"%PDF-1.4\nnothing", "application/pdf", "fichier illisible"),
        (b"\xff\xd8\xff not a picture", "image/jpeg", "fichier illisible"),
        (scan()[:200], "image/png", "fichier illisible"),
    ],
)
def test_what_cannot_be_printed_is_said_on_the_page(content: bytes, media_type: str, why: str) -> None:
    text = " ".join(pages_of(render_pdf(request(content, media_type).bundle)))
    assert f"Pièce jointe n° 1 non imprimée : {why}." in text
    assert f"Pièce jointe n° 1 : Courrier du Dr Modèle. Non imprimée, {why} : la demander à l’émetteur." in text


def test_a_letter_of_too_many_pages_is_printed_in_part_and_says_so() -> None:
    translation = request(letter(*("x" for _ in range(MOST_PAGES + 3))))
    pages = pages_of(render_pdf(translation.bundle))
    assert sum("Pièce jointe n° 1 : Courrier du Dr Modèle — page" in page for page in pages) == MOST_PAGES
    assert "Pages non imprimées : 3. Les demander à l’émetteur." in pages[-1]


@pytest.mark.parametrize("size", [(297, 210), (1200, 50), (20, 20)])
def test_pages_of_any_size_stay_within_the_margins(size: tuple[float, float]) -> None:
    (picture,) = pictures_of(render_pdf(request(letter("A", size=size)).bundle), -1)
    assert max(picture.size) <= 2200


def test_the_whole_stays_archival_and_gives_the_same_bytes() -> None:
    translation = request(letter("UN"))
    pdf = render_pdf(translation.bundle)
    assert pdf == render_pdf(translation.bundle)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        with opened.open_metadata() as meta:
            assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("1", "B")
        assert not any("/SMask" in image for page in opened.pages for image in images_of(page))


def test_it_travels_in_the_cda_and_by_fax_and_unchanged_in_the_fhir() -> None:
    content = letter("UN", "DEUX")
    translation = request(content)
    inside = embedded_pdf(read_cda(render(translation, Target.CDA, SENDER, AT)[0].content))
    assert inside is not None
    assert [f"page {n}/2" in page for n, page in enumerate(pages_of(inside)[-2:], start=1)] == [True, True]
    with Image.open(io.BytesIO(render(translation, Target.FAX, SENDER, AT)[0].content)) as fax:
        assert getattr(fax, "n_frames", 1) == 1 + own_pages(translation) + 2
    held = [base64.b64decode(binary["data"]) for binary in resources_of(translation.bundle, "Binary")]
    assert content in held


def test_each_file_of_an_advice_request_has_its_number_and_name() -> None:
    form = json.loads((CASES / "avis-pieces-jointes" / "source.json").read_bytes())
    files = (("application/pdf", "Bilan", letter("A")), ("image/png", "Photo", scan()))
    form["pieces"] = [
        {"nature": name, "fichier": {"type": kind, "titre": name, "contenu": base64.b64encode(data).decode()}}
        for kind, name, data in files
    ]
    arrival = Arrival(form_bytes(form), "http", Principal("x", "token", "940000003"), AT)
    pages = pages_of(render_pdf(understand_form(arrival, "receipt")[0].bundle))
    assert "Pièce jointe n° 1 : Bilan — page 1/1" in pages[-2] and "Pièce jointe n° 2 : Photo — page 1/1" in pages[-1]
