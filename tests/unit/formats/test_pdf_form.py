"""Reading filled PDFs: what is answered, what a hand-edited or hostile file gets."""

from __future__ import annotations

import io
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, String

from adapter.errors import InputError
from adapter.formats import pdf_form
from adapter.formats.detect import detect_content
from adapter.formats.pdf_form import parse_pdf_form, read_pdf_form
from adapter.mapping.from_form import inspect_form
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from tests.builders.pdf_forms import as_texts, blank, changed, fields, filled

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
ANSWERS: dict[str, Any] = json.loads((CASES / "imagerie-scanner-diabete" / "source.json").read_bytes())


def _codes(content: bytes) -> list[str]:
    arrival = Arrival(content, "http", Principal("cms", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC))
    return [finding.code for finding in inspect_form(arrival).findings]


def _refusal(content: bytes) -> str:
    with pytest.raises(InputError) as refused:
        parse_pdf_form(content)
    return refused.value.code


def test_a_filled_form_reads_as_the_json_it_stands_for() -> None:
    found = parse_pdf_form(filled(ANSWERS))
    assert found.answers == as_texts(ANSWERS)
    assert (found.slug, found.media_type) == ("demande-imagerie", "application/pdf")
    assert found.findings == ()


def test_a_form_drawn_by_a_reader_program_reads_the_same() -> None:
    assert parse_pdf_form(filled(ANSWERS, drawn=True)).answers == as_texts(ANSWERS)


def test_a_blank_form_answers_nothing_and_is_refused_question_by_question() -> None:
    assert read_pdf_form(blank()) == {}
    assert "form.answer-required" in _codes(blank())


def test_a_pdf_with_our_form_code_is_a_form_and_another_is_not() -> None:
    other = io.BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(other)
    assert detect_content(blank()) is ContentKind.FORM
    assert detect_content(other.getvalue()) is ContentKind.PDF
    assert detect_content(b"%PDF-1.7\nnot one") is ContentKind.PDF


def test_saving_by_another_program_changes_nothing() -> None:
    packed = changed(filled(ANSWERS), lambda pdf: None, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    assert b"patient" not in packed
    assert read_pdf_form(packed) == as_texts(ANSWERS)
    assert detect_content(packed) is ContentKind.FORM


def test_an_empty_line_of_a_table_is_no_answer() -> None:
    def skip_a_line(pdf: pikepdf.Pdf) -> None:
        known = fields(pdf)
        for key, value in (("modalite", "ECHO"), ("region", "abdomen")):
            known[f"examens.3.{key}"].V = String(value)

    assert read_pdf_form(changed(filled(ANSWERS), skip_a_line))["examens"][1:] == [{"modalite": "ECHO", "region": "abdomen"}]


def test_an_unknown_field_is_refused_like_an_unknown_key() -> None:
    def add(pdf: pikepdf.Pdf) -> None:
        fields(pdf)["patient.nom"].Parent.Kids.append(
            pdf.make_indirect(Dictionary(T=String("surnom"), FT=Name.Tx, V=String("Zoé")))
        )

    assert _codes(changed(filled(ANSWERS), add)).count("form.unknown-key") == 1


def test_a_field_taken_out_is_told() -> None:
    def take_out(pdf: pikepdf.Pdf) -> None:
        parent = fields(pdf)["patient.nom"].Parent
        parent.Kids = Array([kid for kid in parent.Kids if str(kid.T) != "telephone"])

    found = _codes(changed(filled(ANSWERS), take_out))
    assert found.count("form.pdf-field-missing") == 1


def test_two_values_under_one_name_are_refused() -> None:
    def twice(pdf: pikepdf.Pdf) -> None:
        pdf.Root.AcroForm.Fields.append(pdf.make_indirect(Dictionary(T=String("numero"), FT=Name.Tx, V=String("other"))))

    assert _refusal(changed(filled(ANSWERS), twice)) == "form.duplicate-key"


def _drawn_text(pdf: pikepdf.Pdf, words: bytes) -> pikepdf.Object:
    stream = pdf.make_stream(b"/Tx BMC q BT /TduSans 9 Tf (" + words + b") Tj ET Q EMC")
    stream.Type, stream.Subtype, stream.BBox = Name.XObject, Name.Form, Array([0, 0, 100, 12])
    stream.Resources = Dictionary(Font=pdf.Root.AcroForm.DR.Font)
    return stream


@pytest.mark.parametrize(
    ("stored", "drawn", "outcome"),
    [
        ("DURAND", b"DURAND", ""),
        ("DURAND", b"DUPONT", "form.pdf-inconsistent"),
        ("", b"DUPONT", "form.pdf-inconsistent"),
        ("DURAND", b"", "form.pdf-not-shown"),
        ("Durand de la Tour", b"Durand de", ""),
        ("Zo\u00e9", b"Zo\\351", ""),
    ],
)
def test_what_the_page_shows_must_be_what_the_file_stores(stored: str, drawn: bytes, outcome: str) -> None:
    def draw(pdf: pikepdf.Pdf) -> None:
        pdf.Root.AcroForm.NeedAppearances = False
        field = fields(pdf)["patient.nom"]
        field.V = String(stored)
        field.Kids[0].AP = Dictionary(N=_drawn_text(pdf, drawn))

    content = changed(blank(), draw)
    if outcome == "form.pdf-inconsistent":
        assert _refusal(content) == outcome
    else:
        assert [finding.code for finding in parse_pdf_form(content).findings] == ([outcome] if outcome else [])


@pytest.mark.parametrize(("written", "outcome"), [("DURAND", "DURAND"), ("DUPONT", "form.pdf-inconsistent")])
def test_a_value_written_at_a_place_of_the_field_counts(written: str, outcome: str) -> None:
    def write(pdf: pikepdf.Pdf) -> None:
        field = fields(pdf)["patient.nom"]
        field.Kids[0].V, field.Kids[1].V = String("DURAND"), String(written)

    content = changed(blank(), write)
    if outcome.startswith("form."):
        assert _refusal(content) == outcome
    else:
        assert read_pdf_form(content) == {"patient": {"nom": outcome}}


def test_a_box_ticked_on_the_page_but_not_in_the_file_is_refused() -> None:
    def tick(pdf: pikepdf.Pdf) -> None:
        fields(pdf)["contre-indications.diabete"].Kids[0].AS = Name("/Y")

    assert _refusal(changed(blank(), tick)) == "form.pdf-inconsistent"


def test_two_boxes_ticked_for_one_question_are_refused() -> None:
    def tick(pdf: pikepdf.Pdf) -> None:
        field = fields(pdf)["contre-indications.diabete"]
        field.V, field.Kids[0].AS, field.Kids[1].AS = Name("/Y"), Name("/Y"), Name("/N")

    assert _refusal(changed(blank(), tick)) == "form.pdf-inconsistent"


def test_an_xfa_form_is_refused() -> None:
    def add(pdf: pikepdf.Pdf) -> None:
        pdf.Root.AcroForm.XFA = pdf.make_stream(b"<xdp/>")

    assert _refusal(changed(filled(ANSWERS), add)) == "form.pdf-xfa"


def test_a_flattened_form_says_so() -> None:
    def flatten(pdf: pikepdf.Pdf) -> None:
        pdf.generate_appearance_streams()
        pdf.flatten_annotations()

    flat = changed(filled(ANSWERS), flatten)
    assert detect_content(flat) is ContentKind.FORM
    with pytest.raises(InputError, match="aplati") as refused:
        parse_pdf_form(flat)
    assert refused.value.code == "form.pdf-without-fields"


def test_a_pdf_that_does_not_name_its_form_is_refused() -> None:
    def forget(pdf: pikepdf.Pdf) -> None:
        fields(pdf)["formulaire"].V = String("whatever")

    assert _refusal(changed(filled(ANSWERS), forget)) == "form.pdf-without-code"


def test_another_version_is_told() -> None:
    def older(pdf: pikepdf.Pdf) -> None:
        field = fields(pdf)["formulaire"]
        field.V = String(str(field.V).replace("|1.", "|0."))

    assert "form.other-version" in _codes(changed(filled(ANSWERS), older))


def _open_script(pdf: pikepdf.Pdf) -> None:
    pdf.Root.OpenAction = Dictionary(S=Name.JavaScript, JS=String("app.alert(1)"))


def _field_script(pdf: pikepdf.Pdf) -> None:
    fields(pdf)["patient.nom"].AA = Dictionary(K=Dictionary(S=Name.JavaScript, JS=String("x")))


@pytest.mark.parametrize("add", [_open_script, _field_script])
def test_scripts_are_ignored_and_told(add: Any) -> None:
    found = parse_pdf_form(changed(filled(ANSWERS), add))
    assert found.answers == as_texts(ANSWERS)
    assert [finding.code for finding in found.findings] == ["form.pdf-script"]
    assert found.unused


def test_words_written_beside_the_fields_are_told() -> None:
    def annotate(pdf: pikepdf.Pdf) -> None:
        note = Dictionary(Type=Name.Annot, Subtype=Name.FreeText, Rect=Array([0, 0, 9, 9]), Contents=String("allergie !"))
        pdf.pages[0].obj.Annots.append(pdf.make_indirect(note))

    found = parse_pdf_form(changed(filled(ANSWERS), annotate))
    assert [(f.code, f.location) for f in found.findings] == [("form.pdf-annotation", "page[1]/Annots")]
    assert found.unused == (("page[1]/Annots[1]", "/FreeText"),)


def test_an_attached_file_is_told() -> None:
    def attach(pdf: pikepdf.Pdf) -> None:
        pdf.attachments["courrier.txt"] = b"lettre"

    assert [f.code for f in parse_pdf_form(changed(filled(ANSWERS), attach)).findings] == ["form.pdf-attachment"]


def test_a_protected_form_is_refused() -> None:
    locked = changed(filled(ANSWERS), lambda pdf: None, encryption=pikepdf.Encryption(owner="o", user="u"))
    assert _refusal(locked) == "form.pdf-protected"


def test_a_damaged_file_is_refused_or_told_never_a_trace() -> None:
    content = filled(ANSWERS)
    told = {outcome for size in range(200, len(content), 4001) for outcome in _told(content[:size])}
    assert told
    assert told <= {"form.pdf-repaired", "form.pdf-not-shown", "form.pdf-unreadable", "form.pdf-without-fields", "form.pdf-value"}


def _told(content: bytes) -> set[str]:
    try:
        return {finding.code for finding in parse_pdf_form(content).findings} or {"nothing"}
    except InputError as error:
        return {error.code}


def test_fields_in_a_loop_are_refused() -> None:
    def loop(pdf: pikepdf.Pdf) -> None:
        parent = fields(pdf)["patient.nom"].Parent
        parent.Kids.append(parent)

    assert _refusal(changed(blank(), loop)) == "form.pdf-too-many"


def test_a_bomb_is_refused_before_anything_unpacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_form, "MAX_UNPACKED_BYTES", 1_000_000)

    def bomb(pdf: pikepdf.Pdf) -> None:
        stream = pdf.make_stream(zlib.compress(bytes(2_000_000)))
        stream.Filter = Name.FlateDecode
        pdf.Root.Extra = pdf.make_indirect(stream)

    assert _refusal(changed(blank(), bomb, recompress_flate=False, stream_decode_level=pikepdf.StreamDecodeLevel.none)) == (
        "form.too-large"
    )


def test_control_characters_are_refused_at_their_field() -> None:
    def spoil(pdf: pikepdf.Pdf) -> None:
        fields(pdf)["demande.but"].V = String("a\x01b")

    with pytest.raises(InputError) as refused:
        parse_pdf_form(changed(blank(), spoil))
    assert (refused.value.code, refused.value.where) == ("form.bad-character", "demande.but")


def test_an_accepted_pdf_is_accepted() -> None:
    arrival = Arrival(filled(ANSWERS), "http", Principal("cms", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC))
    assert inspect_form(arrival).verdict is Verdict.ACCEPTED
