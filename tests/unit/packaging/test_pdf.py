"""The readable PDF: nothing dropped, nothing concluded, PDF/A-1b, the same bytes, pages that a fax keeps legible."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from adapter.errors import RenditionError
from adapter.fhir.document import DocumentExtras, Section, document_bundle_from
from adapter.model.document import Code, ReferringParty
from adapter.model.identity import Address, Reliability, Telecom
from adapter.model.parties import Organisation, Party, Professional
from adapter.packaging.page.faces import text_width
from adapter.packaging.page.layout import (
    BODY_WIDTH,
    BOTTOM,
    LEFT,
    RIGHT,
    Sheet,
    Stroke,
    Words,
    break_lines,
    line_marks,
    line_width,
)
from adapter.packaging.page.narrative import Ink, Picture, Run, Table, blocks_text, read_narrative
from adapter.packaging.page.table import TableSetter, flow_blocks, grid_of
from adapter.packaging.page.words import french_date, french_period, phone_words
from adapter.packaging.pdf import missing_glyphs, render_pdf, stamp_pdf
from tests.builders.cda import tiny_pdf
from tests.builders.directory import letter_header, qualified_patient

Bundle = dict[str, Any]


def _div(body: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def _bundle(*bodies: str, extras: DocumentExtras | None = None, **header: Any) -> Bundle:
    sections = [Section(Code("42349-1"), f"Section {number}", _div(body)) for number, body in enumerate(bodies, start=1)]
    return document_bundle_from(letter_header(**header), sections, [], b"source", "text/xml", extras=extras)


def _pages(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def _text(pdf: bytes) -> str:
    return " ".join(" ".join(_pages(pdf)).replace("\u00a0", " ").split())


def _squeezed(text: str) -> str:
    """Without what setting may add or move: white space, hyphens at line ends, the marks of lists."""
    return re.sub(r"[\s\u00a0\-–•▪]|\ufffe|\u0002", "", text)


def _picture(mode: str = "RGBA") -> str:
    out = io.BytesIO()
    colour = (200, 0, 0, 80) if mode == "RGBA" else 90
    Image.new(mode, (120, 60), colour).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _strip(millimetres: int) -> str:
    """A picture as high as this, in half millimetres over a first ten."""
    out = io.BytesIO()
    Image.new("L", (8, round((10 + millimetres / 2) * 96 / 25.4)), 128).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


# -- who, to whom, which ----------------------------------------------------------------------------------------------


def test_the_first_page_says_who_wrote_what_about_whom() -> None:
    recipient = Party(Professional("FICTIF", "Lou", title="DR"), Organisation("Centre municipal de santé d'essai"))
    text = _text(
        render_pdf(
            _bundle(
                "<p>Bonjour</p>",
                title="Lettre au médecin traitant",
                patient=qualified_patient(
                    used_name="MOREL",
                    birth_place_city="LE KREMLIN",
                    telecoms=(Telecom("phone", "0199000001"),),
                    addresses=(Address(("1 rue X",), "94270", "LE KREMLIN"),),
                ),
                participants=(ReferringParty("INF", "PCP", recipient), ReferringParty("REF", "", recipient)),
                extras=DocumentExtras(recipients=(ReferringParty("PRCP", "", recipient),)),
            )
        )
    )
    for words in (
        "Lettre au médecin traitant",
        "Lettre de liaison à la sortie · Du 20/11/2026 à 10:30",
        "Pr Alix MAQUETTE",
        "RPPS : 99900000086",
        "Hôpital Bicêtre",
        "Nom de naissance : EXEMPLE",
        "Prénom(s) de naissance : CAMILLE JEANNE",
        "Nom utilisé : MOREL",
        "Née le : 12/04/1961 à LE KREMLIN (94043)",
        "Sexe : Féminin",
        "INS (test) :",
        "IPP : 900000123",
        "1 rue X, 94270 LE KREMLIN",
        "Tél. 01 99 00 00 01",
        "Médecin traitant",
        "Dr Lou FICTIF, Centre municipal de santé d'essai",
        "Demandeur",
        "Destinataire(s)",
        "Hospitalisation",
        "Document validé par Pr Alix MAQUETTE",
        "Document transmis par Trait d'union",
        "version 1",
        "1.2.250.1.999.94.7.501",
    ):
        assert words in text, words


def test_the_ins_of_an_unqualified_identity_is_never_printed() -> None:
    patient = qualified_patient(reliability=Reliability.PROVISIONAL)
    bundle = _bundle("<p>x</p>", patient=patient)
    text = _text(render_pdf(bundle))
    assert patient.ins is not None and patient.ins.value not in text
    assert "Identité : non qualifiée, à vérifier" in text


def test_an_ins_that_a_foreign_bundle_carries_without_qualification_is_not_printed() -> None:
    bundle = _bundle("<p>x</p>")
    patient = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient")
    patient["extension"] = [e for e in patient["extension"] if "reliability" not in e["url"]]
    value = patient["identifier"][0]["value"]
    assert value not in _text(render_pdf(bundle))


@pytest.mark.parametrize("word", ["urgent", "semi-urgent", "non urgent"])
def test_the_urgency_word_is_on_every_page(word: str) -> None:
    pdf = render_pdf(_bundle("<p>mot</p>" * 150), urgency=word)
    pages = _pages(pdf)
    assert len(pages) > 2
    assert all(word.upper() in page for page in pages)


def test_no_urgency_makes_no_box() -> None:
    assert "URGENT" not in _text(render_pdf(_bundle("<p>x</p>")))


def test_every_page_tells_the_patient_the_document_and_its_place() -> None:
    pages = _pages(render_pdf(_bundle("<p>mot</p>" * 150)))
    for number, page in enumerate(pages, start=1):
        assert f"Page {number}/{len(pages)}" in page
        assert "EXEMPLE CAMILLE" in page
        assert "1.2.250.1.999.94.7.501" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replaces": "1.2.3"}, "Annule et remplace une version antérieure"),
        ({"confidentiality": "R"}, "Document à diffusion restreinte"),
        ({"confidentiality": "V"}, "Document à diffusion très restreinte"),
        ({"extras": DocumentExtras(status="preliminary")}, "DOCUMENT PROVISOIRE"),
    ],
)
def test_what_the_reader_must_be_warned_of_stands_under_the_title(changes: dict[str, Any], words: str) -> None:
    assert words in _text(render_pdf(_bundle("<p>x</p>", **changes)))


def test_a_document_of_many_authors_names_each_of_them() -> None:
    authors = tuple(Party(Professional(f"AUTEUR{n}", rpps=f"{99900000000 + n}"), Organisation(f"Lieu {n}")) for n in range(60))
    pdf = render_pdf(_bundle("<p>x</p>", authors=authors))
    text = _text(pdf)
    assert all(f"AUTEUR{n}" in text and f"Lieu {n}" in text for n in range(60))
    assert len(_pages(pdf)) > 2


def test_a_title_longer_than_a_line_is_whole() -> None:
    title = " ".join(f"titre{n}" for n in range(80))
    assert _squeezed(title) in _squeezed(_text(render_pdf(_bundle("<p>x</p>", title=title), urgency="urgent")))


def test_a_bundle_that_is_no_document_is_refused() -> None:
    with pytest.raises(RenditionError) as refused:
        render_pdf({"resourceType": "Bundle", "type": "collection", "entry": []})
    assert refused.value.code == "pdf.no-composition"


# -- sections ---------------------------------------------------------------------------------------------------------


def test_sections_and_sub_sections_come_in_order_and_once() -> None:
    inner = Section(Code("1"), "Dedans", _div("<p>profond</p>"))
    outer = Section(Code("2"), "Dehors", _div("<p>surface</p>"), entries=("urn:uuid:1",), sections=(inner,))
    last = Section(Code("3"), "Fin", _div("<p>dernier</p>"))
    text = _text(render_pdf(document_bundle_from(letter_header(), [outer, last], [], b"s", "text/xml")))
    order = [text.index(word) for word in ("Dehors", "surface", "Dedans", "profond", "Fin", "dernier")]
    assert order == sorted(order)
    assert text.count("surface") == 1


@pytest.mark.parametrize(
    ("reason", "words"),
    [("notasked", "Non recherché."), ("nilknown", "Néant, déclaré par l'auteur."), ("unavailable", "Non disponible.")],
)
def test_an_empty_section_says_its_reason_and_no_more(reason: str, words: str) -> None:
    section = Section(Code("48765-2"), "Allergies", empty_reason=reason)
    text = _text(render_pdf(document_bundle_from(letter_header(), [section], [], b"s", "text/xml")))
    assert f"Allergies {words}" in text


def test_a_section_without_anything_is_not_read_as_a_negative() -> None:
    section = Section(Code("48765-2"), "Allergies")
    text = _text(render_pdf(document_bundle_from(letter_header(), [section], [], b"s", "text/xml")))
    assert "Allergies Section sans texte." in text
    assert "Aucun" not in text and "Néant" not in text


def test_attached_text_and_pictures_are_printed_and_other_files_are_named() -> None:
    text_file = {"resourceType": "Binary", "id": "t", "contentType": "text/plain", "data": base64.b64encode(b"en clair").decode()}
    file = {"resourceType": "Binary", "id": "f", "contentType": "application/zip", "data": base64.b64encode(b"1234").decode()}
    picture = {"resourceType": "Binary", "id": "p", "contentType": "image/png", "data": _picture().split(",")[1]}
    entries = ("urn:uuid:t", "urn:uuid:f", "urn:uuid:p")
    section = Section(Code("55107-7"), "Pièces", _div("<p>Voici</p>"), entries)
    pdf = render_pdf(document_bundle_from(letter_header(), [section], [text_file, file, picture], b"s", "text/xml"))
    assert "Voici en clair Pièce jointe (application/zip, 4 octets), contenue dans le document électronique." in _text(pdf)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert any(page.get_images() for page in opened.pages)


# -- narrative: no word dropped ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>a <b>b</b> <i>c</i> d</p>", "a b c d"),
        ("<p>10<sup>9</sup>/L, H<sub>2</sub>O</p>", "109/L, H2O"),
        ("<ul><li>un</li><li>deux<ol start='3'><li>trois</li></ol></li></ul>", "• un • deux 3. trois"),
        ("<p>un<br/>deux</p>", "un deux"),
        ("<a href='https://exemple.fr/x'>lien</a>", "lien (https://exemple.fr/x)"),
        ("<a href='#ref'>renvoi</a>", "renvoi"),
        ("<dl><dt>terme</dt><dd>sens</dd></dl>", "terme sens"),
        ("<img src='http://ailleurs/x.png' alt='radio'/>", "[image : radio]"),
        ("<img src='data:image/png;base64,AAAA' alt='abîmée'/>", "[image illisible : abîmée]"),
        ("<unknown>mot <weird>caché</weird></unknown>", "mot caché"),
        ("<q>cité</q>", "« cité »"),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3"),
        ("<pre>a\n  b</pre>", "a b"),
        ("<table>perdu<caption>Titre</caption><tr>égaré<td>x</td></tr></table>", "perdu égaré Titre x"),
        ("<del>ancien</del> <ins>nouveau</ins>", "ancien nouveau"),
    ],
)
def test_words_of_every_element_are_printed(body: str, expected: str) -> None:
    assert _squeezed(f"Section 1 {expected}") in _squeezed(_text(render_pdf(_bundle(body))))


@pytest.mark.parametrize(
    "div",
    [
        "<div>jamais <b>fermé</div>",
        "<div>entité &nbsp; inconnue &eacute;tage</div>",
        "texte nu",
        '<!DOCTYPE div [<!ENTITY x "y">]><div>interdit</div>',
        "<div>" * 4000 + "profond" + "</div>" * 4000,
        "<div>" * 200 + "<table><tr><td>" * 40 + "puits" + "</td></tr></table>" * 40 + "</div>" * 200,
    ],
)
def test_a_narrative_that_is_not_sound_is_printed_as_plain_text(div: str) -> None:
    bundle = _bundle("x")
    bundle["entry"][0]["resource"]["section"][0]["text"]["div"] = div
    words = re.sub(r"<[^<>]*(\[.*?\])?[^<>]*>|&\w+;", " ", div)
    printed = _squeezed(_text(render_pdf(bundle)))
    for word in words.split():
        assert word.strip("]>") in printed


def test_an_outside_entity_is_never_read() -> None:
    bundle = _bundle("x")
    div = '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]><div>avant &f; après</div>'
    bundle["entry"][0]["resource"]["section"][0]["text"]["div"] = div
    text = _text(render_pdf(bundle))
    assert "avant" in text and "&f;" in text and Path("/etc/hostname").read_text().strip() not in text


_WORDS = st.integers(0, 9999).map(lambda n: f"m{n}x")
_INLINE = st.recursive(
    _WORDS,
    lambda inner: st.tuples(st.sampled_from(["b", "i", "u", "span", "sup", "zz", "a"]), st.lists(inner, max_size=3)).map(
        lambda pair: f"<{pair[0]}>{' '.join(pair[1])}</{pair[0]}>"
    ),
    max_leaves=6,
)
_BLOCKS = st.recursive(
    _INLINE,
    lambda inner: st.one_of(
        st.tuples(
            st.sampled_from(["p", "div", "ul", "li", "ol", "h3", "blockquote", "td", "tr", "dd"]), st.lists(inner, max_size=4)
        ).map(lambda pair: f"<{pair[0]}>{' '.join(pair[1])}</{pair[0]}>"),
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), inner), min_size=1, max_size=6).map(
            lambda cells: (
                "<table>"
                + "".join(f"<tr><td colspan='{c}' rowspan='{r}'>{x}</td><th>m{r}y</th></tr>" for c, r, x in cells)
                + "</table>"
            )
        ),
    ),
    max_leaves=20,
)


@given(st.lists(_BLOCKS, min_size=1, max_size=6))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_the_markup_no_word_is_dropped_and_none_leaves_the_page(blocks: list[str]) -> None:
    body = " ".join(blocks)
    wanted = re.findall(r"m\d+[xy]", body)
    narrative = read_narrative(_div(body))
    assert sorted(re.findall(r"m\d+[xy]", blocks_text(narrative))) == sorted(wanted)
    sheet = Sheet(first_top=13.0, top=23.0)
    flow_blocks(sheet, narrative, 9.5, BODY_WIDTH)
    marks = [mark for page in sheet.pages for mark in page if isinstance(mark, Words)]
    printed = _squeezed("".join(mark.text for mark in marks))
    assert all(word in printed for word in wanted)
    assert all(mark.x + text_width(mark.text, mark.style, mark.size) <= RIGHT + 0.1 and mark.y <= BOTTOM for mark in marks)


def test_characters_without_a_glyph_are_seen_and_reported() -> None:
    bundle = _bundle("<p>avant 中 après</p>")
    assert "avant [U+4E2D] après" in _text(render_pdf(bundle))
    assert missing_glyphs(bundle) == ("中",)
    assert missing_glyphs(_bundle("<p>œ € ≥ µg α → ☐ ½ « » – …</p>")) == ()


def test_control_and_invisible_characters_leave_no_mark() -> None:
    assert "Section 1 abcd" in _text(render_pdf(_bundle("<p>a\u00adb\u200cc\ufeffd</p>")))


# -- lines and tables -------------------------------------------------------------------------------------------------


def test_no_line_is_wider_than_its_column() -> None:
    words = "Anticonstitutionnellement " * 20 + "x" * 500 + " https://exemple.fr/" + "a/" * 100
    lines = break_lines((Run(words),), 60.0, 9.5)
    assert len(lines) > 10
    assert all(line_width(line, 9.5) <= 60.01 for line in lines)


@pytest.mark.parametrize(
    ("words", "glued"),
    [
        ("dose de 10 mg ici", "10\u00a0mg"),
        ("motif : douleur", "motif\u00a0:"),
        ("« oui »", "«\u00a0oui\u00a0»"),
        ("0,5 mg/j le", "0,5\u00a0mg/j"),
    ],
)
def test_a_dose_never_parts_from_its_unit_nor_a_mark_from_its_word(words: str, glued: str) -> None:
    lines = break_lines((Run(words),), 1000.0, 9.5)
    pieces = ["".join(piece.text for piece in chunk.pieces) for chunk in lines[0]]
    assert glued in pieces


def _words_of(sheet: Sheet) -> list[list[Words]]:
    return [[mark for mark in page if isinstance(mark, Words)] for page in sheet.pages]


def _flowed(table: str, width: float = BODY_WIDTH) -> Sheet:
    sheet = Sheet(first_top=13.0, top=23.0)
    flow_blocks(sheet, read_narrative(_div(table)), 9.5, width)
    return sheet


@pytest.mark.parametrize("size", range(40, 62))
def test_a_caption_is_on_the_page_of_its_table(size: int) -> None:
    # Pictures of growing height move the caption down by half a millimetre at a time, over the foot of the page.
    body = (
        "<p>x</p>" * 26
        + f"<p><img src='{_strip(size)}'/></p>"
        + "<table><caption>LÉGENDE</caption><tr><th>QUESTION</th><td>réponse</td></tr></table>"
    )
    pages = _pages(render_pdf(_bundle(body)))
    assert [("LÉGENDE" in page) for page in pages] == [("QUESTION" in page) for page in pages]


def test_a_running_head_that_is_cut_shows_it() -> None:
    long, short = (_pages(render_pdf(_bundle("<p>x</p>" * 90, title=title)))[1] for title in ("Lettre " * 30, "Lettre"))
    assert "…" in long and "…" not in short


def test_the_wide_spaces_of_bold_words_are_counted_in_a_line() -> None:
    runs = tuple(Run(f"m{10**n}x ", Ink(bold=True)) for n in range(8))
    for width in range(20, 90):
        for line in break_lines(runs, float(width), 9.5):
            (mark,) = (mark for mark in line_marks(line, 0.0, 0.0, 9.5) if isinstance(mark, Words))
            assert text_width(mark.text, mark.style, mark.size) <= width + 0.01


def test_a_number_in_a_table_is_never_cut() -> None:
    cells = "".join(f"<td>1234567{n} comprimés effervescents</td>" for n in range(9))
    texts = [word.text for page in _words_of(_flowed(f"<table><tr>{cells}</tr></table>")) for word in page]
    assert all(any(f"1234567{n}" in text for text in texts) for n in range(9))


def test_a_table_with_more_columns_than_paper_is_told_row_by_row() -> None:
    heads = "".join(f"<th>Col{n}</th>" for n in range(30))
    cells = "".join(f"<td>{n}00000</td>" for n in range(30))
    table = f"<table><thead><tr>{heads}</tr></thead><tr>{cells}</tr></table>"
    (block,) = read_narrative(_div(table))
    assert isinstance(block, Table) and TableSetter(block, BODY_WIDTH).told
    assert "Col7 : 700000" in _text(render_pdf(_bundle(table)))


def test_heads_are_repeated_on_every_page_of_a_table() -> None:
    rows = "".join(f"<tr><td>ligne {n}</td><td>valeur</td></tr>" for n in range(200))
    pages = _words_of(_flowed(f"<table><thead><tr><th>Nom</th><th>Mesure</th></tr></thead>{rows}</table>"))
    assert len(pages) > 2
    assert all([word.text for word in page].count("Mesure") == 1 for page in pages)


def test_a_drug_is_told_again_when_its_doses_go_on_overleaf() -> None:
    first = "<tr><td rowspan='120'>AMOXICILLINE</td><td>dose 0</td></tr>"
    rows = first + "".join(f"<tr><td>dose {n}</td></tr>" for n in range(1, 120))
    pages = _words_of(_flowed(f"<table>{rows}</table>"))
    assert len(pages) > 2
    assert all("AMOXICILLINE" in [word.text for word in page] for page in pages)
    assert all("(suite)" in [word.text for word in page] for page in pages[1:])


def test_a_cell_longer_than_a_page_goes_on_over_pages() -> None:
    words = " ".join(f"mot{n}" for n in range(4000))
    pages = _words_of(_flowed(f"<table><tr><td>étiquette</td><td>{words}</td></tr></table>"))
    assert len(pages) > 3
    printed = " ".join(word.text for page in pages for word in page).split()
    assert [word for word in printed if word.startswith("mot")] == words.split()


def test_nothing_is_set_outside_the_margins() -> None:
    table = "<table><tr><td colspan='2'>" + "x" * 300 + "</td></tr><tr><td>a</td><td>" + "9" * 120 + "</td></tr></table>"
    sheet = _flowed(table + "<p>" + "y" * 400 + "</p>")
    for page in sheet.pages:
        for mark in page:
            if isinstance(mark, Words):
                assert mark.x >= LEFT - 0.01
                assert mark.x + text_width(mark.text, mark.style, mark.size) <= RIGHT + 0.1
            elif isinstance(mark, Stroke):
                assert max(mark.x1, mark.x2) <= RIGHT + 0.1


def test_spans_that_lie_are_brought_back_to_the_table() -> None:
    rows = read_narrative(_div("<table><tr><td colspan='999' rowspan='999'>a</td><td>b</td></tr><tr><td>c</td></tr></table>"))[0]
    assert isinstance(rows, Table)
    placed, columns = grid_of(rows.rows)
    assert columns < 200
    covered = [(r, c) for p in placed for r in range(p.row, p.row + p.rows) for c in range(p.column, p.column + p.columns)]
    assert len(covered) == len(set(covered)), "no two cells share a place"
    assert {r for r, _ in covered} == {0, 1}


def test_a_title_never_stands_alone_at_the_foot_of_a_page() -> None:
    for count in range(40, 62):
        sections = ("<p>l</p>" * count, "<table><tr><td>suite</td></tr></table>")
        pages = _pages(render_pdf(_bundle(*sections)))
        page = next(page for page in pages if "Section 2" in page)
        assert "suite" in page


# -- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "L", "1", "P", "LA"])
def test_images_are_printed_without_transparency(mode: str) -> None:
    pdf = render_pdf(_bundle(f"<p><img src='{_picture(mode) if mode in ('RGBA', 'L') else _picture()}' alt='schéma'/></p>"))
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        images = [image for page in opened.pages for image in page.get_images().values()]
        assert len(images) == 1 and "/SMask" not in images[0]
    assert "schéma" in _text(pdf)


def test_every_page_of_a_fax_image_is_printed() -> None:
    out = io.BytesIO()
    frames = [Image.new("1", (200, 100), n % 2) for n in range(3)]
    frames[0].save(out, "TIFF", save_all=True, append_images=frames[1:])
    uri = "data:image/tiff;base64," + base64.b64encode(out.getvalue()).decode()
    (block,) = read_narrative(_div(f"<img src='{uri}'/>"))
    assert isinstance(block, Picture)
    sheet = Sheet(first_top=13.0, top=23.0)
    flow_blocks(sheet, (block,), 9.5, BODY_WIDTH)
    assert len(sheet.pages[0]) == 3


def test_a_bomb_of_an_image_is_named_not_opened() -> None:
    out = io.BytesIO()
    Image.new("1", (20000, 20000)).save(out, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    assert "[image illisible : bombe]" in _text(render_pdf(_bundle(f"<img src='{uri}' alt='bombe'/>")))


# -- the file ---------------------------------------------------------------------------------------------------------


def _assert_archival(pdf: bytes) -> None:
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert not opened.is_encrypted
        assert [str(intent.S) for intent in opened.Root.OutputIntents] == ["/GTS_PDFA1"]
        with opened.open_metadata() as meta:
            assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("1", "B")
        for page in opened.pages:
            assert "/Group" not in page or "/S" not in page.Group or page.Group.S != "/Transparency"
            for font in page.resources.get("/Font", {}).values():
                descriptor = font.DescendantFonts[0].FontDescriptor
                assert "/FontFile2" in descriptor and "/CIDSet" in descriptor
                assert "/ToUnicode" in font
        for state in opened.objects:
            if isinstance(state, pikepdf.Dictionary) and state.get("/Type") == "/ExtGState":
                assert state.get("/ca", 1) == 1 and state.get("/CA", 1) == 1 and state.get("/SMask", "/None") == "/None"
        assert "/JavaScript" not in opened.Root.get("/Names", {}) and "/AA" not in opened.Root


def test_the_file_claims_and_keeps_what_pdf_a_1b_asks() -> None:
    body = f"<p>a <b>b</b> <i>c <b>d</b></i></p><img src='{_picture()}' alt='x'/><table><tr><th>t</th><td>u</td></tr></table>"
    _assert_archival(render_pdf(_bundle(body), urgency="urgent"))
    _assert_archival(render_pdf(_bundle(body), stamp="TEST – NE PAS UTILISER"))


def test_the_same_bundle_gives_the_same_bytes_in_any_process() -> None:
    program = (
        "import hashlib; from adapter.packaging.pdf import render_pdf;"
        "from tests.unit.packaging.test_pdf import _bundle, _picture;"
        "b = _bundle('<p>é <b>b</b></p><table><tr><td>x</td></tr></table>' + '<img src=\"' + _picture() + '\"/>');"
        "print(hashlib.sha256(render_pdf(b, stamp='TEST', urgency='urgent')).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_another_version_gives_other_bytes() -> None:
    assert render_pdf(_bundle("<p>x</p>")) != render_pdf(_bundle("<p>x</p>", version=2))


def test_the_file_holds_the_instant_of_the_document_not_of_its_making() -> None:
    with pikepdf.open(io.BytesIO(render_pdf(_bundle("<p>x</p>")))) as opened, opened.open_metadata() as meta:
        assert meta["xmp:CreateDate"] == meta["xmp:ModifyDate"] == "2026-11-20T09:30:00+00:00"


def test_sixty_pages_take_less_than_a_tenth_of_a_second_each() -> None:
    body = "<p>" + "Texte de la lettre de sortie, posologie 10 mg. " * 30 + "</p>"
    table = "<table><tr><th>a</th><th>b</th></tr>" + "<tr><td>1</td><td>deux trois quatre</td></tr>" * 12 + "</table>"
    bundle = _bundle(*((body + table) for _ in range(100)))
    start = time.process_time()
    pages = len(_pages(render_pdf(bundle)))
    assert pages >= 60
    assert (time.process_time() - start) / pages < 0.1


# -- stamps -----------------------------------------------------------------------------------------------------------


def test_the_stamp_is_on_every_page_and_hides_nothing() -> None:
    bundle = _bundle("<p>mot</p>" * 150)
    plain, stamped = render_pdf(bundle), render_pdf(bundle, stamp="TEST – NE PAS UTILISER")
    assert all("TEST – NE PAS UTILISER" in page for page in _pages(stamped))
    assert len(_pages(plain)) == len(_pages(stamped))
    assert "TEST" not in _text(plain)
    with pypdfium2.PdfDocument(stamped) as document:
        share = sum(document[0].render(scale=1).to_pil().convert("L").histogram()[:128])
    with pypdfium2.PdfDocument(plain) as document:
        before = sum(document[0].render(scale=1).to_pil().convert("L").histogram()[:128])
    assert share < before * 1.6, "hollow letters add little ink"


def test_an_embedded_pdf_is_stamped_without_losing_a_word() -> None:
    stamped = stamp_pdf(tiny_pdf("Compte rendu"), "TEST – NE PAS UTILISER")
    text = _text(stamped)
    assert "Compte rendu" in text and "TEST – NE PAS UTILISER" in text
    assert stamped == stamp_pdf(tiny_pdf("Compte rendu"), "TEST – NE PAS UTILISER")


def test_a_stamped_archival_pdf_stays_archival() -> None:
    _assert_archival(stamp_pdf(render_pdf(_bundle("<p>x</p>")), "TEST"))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_and_landscape_pages_are_stamped_too(rotation: int) -> None:
    source = pikepdf.open(io.BytesIO(tiny_pdf("Paysage")))
    source.pages[0].mediabox = pikepdf.Array([10, 20, 852, 615])
    source.pages[0].rotate(rotation, relative=False)
    out = io.BytesIO()
    source.save(out)
    assert "TEST" in _text(stamp_pdf(out.getvalue(), "TEST"))


def test_a_protected_pdf_cannot_be_stamped_and_says_so() -> None:
    source = pikepdf.open(io.BytesIO(tiny_pdf()))
    out = io.BytesIO()
    source.save(out, encryption=pikepdf.Encryption(owner="o", user="u"))
    with pytest.raises(RenditionError) as refused:
        stamp_pdf(out.getvalue(), "TEST")
    assert refused.value.code == "pdf.encrypted"


def test_what_is_no_pdf_cannot_be_stamped() -> None:
    with pytest.raises(RenditionError) as refused:
        stamp_pdf(b"%PDF-1.4 rien", "TEST")
    assert refused.value.code == "pdf.unreadable"


# -- small words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2026-11-21T09:30:00+01:00", "21/11/2026 à 09:30"),
        ("2026-11-21", "21/11/2026"),
        ("2026-11", "11/2026"),
        ("2026", "2026"),
        ("", ""),
        ("bientôt", "bientôt"),
    ],
)
def test_dates_keep_the_precision_of_the_source(value: str, words: str) -> None:
    assert french_date(value) == words


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2026-11-21T09:00:00+01:00", "2026-11-21T09:30:00+01:00", "le 21/11/2026 de 09:00 à 09:30"),
        ("2026-11-20", "2026-11-21", "du 20/11/2026 au 21/11/2026"),
        ("2026-11-20", "", "le 20/11/2026"),
        ("", "2026-11-21", "jusqu'au 21/11/2026"),
        ("", "", ""),
    ],
)
def test_periods_are_told_in_french(start: str, end: str, words: str) -> None:
    assert french_period({"start": start, "end": end}) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("0199000001", "01 99 00 00 01"),
        ("+33199000001", "+33 1 99 00 00 01"),
        ("01.99.00.00.01", "01 99 00 00 01"),
        ("15", "15"),
        ("+262262201234", "0262 20 12 34"),
        ("+32 2 555 12 34", "+32 2 555 12 34"),
        ("+12", "+12"),
    ],
)
def test_telephone_numbers_are_told_in_pairs(value: str, words: str) -> None:
    assert phone_words(value) == words.replace(" ", "\u00a0")


def test_no_content_reaches_a_repr() -> None:
    blocks = read_narrative(_div("<p>SECRET</p><table><tr><td>SECRET</td></tr></table>"))
    sheet = _flowed("<p>SECRET</p>")
    assert "SECRET" not in repr((blocks, sheet, sheet.pages))
