"""Bare PDFs: what is refused, what is asked, who says what; in a drop folder, beside a side-car, inside a message."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pikepdf
import pytest

from adapter.errors import InputError
from adapter.formats.pdf import PdfLimits, Zone, inspect_pdf, words_of
from adapter.intake.name_pattern import NamePattern, pattern_problem, with_name_facts
from adapter.mapping.from_hl7v2 import inspect_hl7v2, understand_hl7v2
from adapter.mapping.from_pdf import inspect_pdf_file, understand_pdf
from adapter.model.finding import errors_of
from adapter.model.identity import Reliability
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.packaging.build import Document, readable_pdf, travelling_cda
from adapter.packaging.pdf import render_pdf
from tests.builders.cda import build_n1, tiny_pdf
from tests.builders.hl7 import build_mdm, build_oru

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ALL = {
    "patient": {"birth_name": "EXEMPLE", "first_given": "CAMILLE", "birth_date": "1974-09-18", "sex": "F"},
    "document": {"type": "11488-4", "title": "Compte rendu", "date": "2026-11-20"},
    "author": {"family": "MAQUETTE", "rpps": "10009990001", "organisation": "Centre", "finess": "940999901"},
    "recipients": [{"rpps": "10009990002"}],
}


def arrival(content: bytes, side_car: dict[str, Any] | None = None) -> Arrival:
    told = json.dumps(side_car).encode() if side_car is not None else b""
    return Arrival(content, "folder:x", Principal("x", "folder", "940999900"), AT, side_car=told)


def changed(**groups: dict[str, str]) -> dict[str, Any]:
    return {**ALL, **{name: {**ALL[name], **values} for name, values in groups.items()}}  # type: ignore[dict-item]


def locked(**options: Any) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(tiny_pdf())) as pdf:
        pdf.save(out, encryption=pikepdf.Encryption(**options))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no pdf at all", "pdf.not-a-pdf"),
        (b"%PDF-1.7\nbroken", "pdf.not-a-pdf"),
        (locked(owner="a", user="b"), "pdf.encrypted"),
        (locked(owner="a", user=""), "pdf.encrypted"),
    ],
)
def test_a_file_that_nobody_could_read_is_refused_at_once(content: bytes, code: str) -> None:
    inspection = inspect_pdf_file(arrival(content, ALL))
    assert inspection.verdict is Verdict.REFUSED
    assert [finding.code for finding in inspection.findings] == [code]


def test_size_and_pages_are_bounded() -> None:
    for limits, code in ((PdfLimits(max_bytes=10), "pdf.too-large"), (PdfLimits(max_pages=0), "pdf.too-many-pages")):
        with pytest.raises(InputError) as refused:
            inspect_pdf(tiny_pdf(), limits)
        assert refused.value.code == code


def test_a_described_pdf_becomes_a_provisional_document_with_the_file_unchanged() -> None:
    (translation,) = understand_pdf(arrival(tiny_pdf(), ALL), "r")
    submission = translation.submission
    assert submission.document.patient.reliability is Reliability.PROVISIONAL
    assert submission.document.created == "2026-11-20"
    assert translation.source_document == tiny_pdf()
    document = Document(submission, translation.bundle, translation.source_document, translation.source_media_type)
    assert readable_pdf(document, "") == tiny_pdf()
    assert readable_pdf(document, "TEST") != tiny_pdf()
    cda = travelling_cda(document, readable_pdf(document, "TEST"))
    from adapter.formats.cda import embedded_pdf, read_cda

    assert embedded_pdf(read_cda(cda)) == tiny_pdf()


def test_the_same_file_said_to_be_the_same_is_the_same_document() -> None:
    (one,), (two,) = understand_pdf(arrival(tiny_pdf(), ALL), "a"), understand_pdf(arrival(tiny_pdf(), ALL), "b")
    (other,) = understand_pdf(arrival(tiny_pdf(), changed(document={"date": "2026-11-19"})), "a")
    numbers = [t.submission.document.unique_id for t in (one, two, other)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_what_is_missing_is_accepted_then_asked_all_at_once() -> None:
    told = arrival(tiny_pdf(), {"patient": {"birth_name": "EXEMPLE"}})
    inspection = inspect_pdf_file(told)
    assert inspection.verdict is Verdict.ACCEPTED
    assert inspection.envelope is not None and inspection.envelope("r") == ()
    with pytest.raises(InputError) as asked:
        understand_pdf(told, "r")
    for words in ("premier prénom", "date de naissance", "type du document", "date du document", "nom de l'auteur"):
        assert words in asked.value.message
    assert "side-car" in asked.value.remedy


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"patient": {"birth_date": "31/02/1974"}}, "date de naissance (valeur inutilisable)"),
        ({"author": {"rpps": "12"}}, "numéro RPPS de l'auteur (valeur inutilisable)"),
        ({"patient": {"ins": "274099404321799"}}, "matricule INS (valeur inutilisable)"),
    ],
)
def test_a_value_that_cannot_be_is_asked_again_never_repaired(groups: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(InputError) as asked:
        understand_pdf(arrival(tiny_pdf(), changed(**groups)), "r")
    assert words in asked.value.message


def test_two_sources_that_disagree_on_the_patient_are_not_chosen_between() -> None:
    side_car = ALL | {"from_name": {"patient.birth_name": "AUTRE"}}
    with pytest.raises(InputError) as asked:
        understand_pdf(arrival(tiny_pdf(), side_car), "r")
    assert "nom de naissance du patient (deux valeurs différentes)" in asked.value.message
    same = ALL | {"from_name": {"patient.birth_name": "exemple"}}
    assert understand_pdf(arrival(tiny_pdf(), same), "r")


def test_an_unknown_fact_is_refused_by_its_name_only() -> None:
    inspection = inspect_pdf_file(arrival(tiny_pdf(), changed(patient={"prenom": "CAMILLE"})))
    assert [finding.code for finding in inspection.findings] == ["side-car.unknown-fact"]
    assert "CAMILLE" not in repr(inspection.findings)


def test_a_file_that_is_no_pdf_a_is_told_and_one_that_is_is_not() -> None:
    (translation,) = understand_pdf(arrival(tiny_pdf(), ALL), "r")
    assert [finding.code for finding in translation.findings] == ["pdf.not-pdf-a"]
    archived = render_pdf(translation.bundle)
    (again,) = understand_pdf(arrival(archived, ALL), "r")
    assert again.findings == ()


def test_a_script_in_a_file_is_told() -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(tiny_pdf())) as pdf:
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("app.alert(1)"))
        pdf.save(out)
    assert "pdf.active-content" in {finding.code for finding in inspect_pdf_file(arrival(out.getvalue(), ALL)).findings}


def test_words_come_from_their_zone_only() -> None:
    content = tiny_pdf("Bonjour")  # at 60 points from the left, 82 from the top
    here, there, nowhere = Zone(1, 15, 20, 100, 15), Zone(1, 15, 100, 100, 20), Zone(9, 0, 0, 10, 10)
    assert words_of(content, (here, there, nowhere, None)) == ("Bonjour", "", "", "Bonjour")


# -- names -----------------------------------------------------------------------------------------------------------------------

PATTERN = "{patient.birth_name}_{patient.first_given}_{patient.birth_date}.pdf"


def test_a_name_of_the_declared_pattern_says_its_facts() -> None:
    facts = NamePattern(PATTERN).read("EXEMPLE_CAMILLE_19740918.pdf")
    assert facts == {"patient.birth_name": "EXEMPLE", "patient.first_given": "CAMILLE", "patient.birth_date": "19740918"}


@pytest.mark.parametrize("name", ["EXEMPLE_CAMILLE.pdf", "A_B_C_19740918.pdf", "EXEMPLE_CAMILLE_19740918.PDF", "_C_1.pdf"])
def test_a_name_that_could_be_read_in_two_ways_or_none_says_nothing(name: str) -> None:
    assert NamePattern(PATTERN).read(name) == {}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [("", False), (PATTERN, False), ("{nom}.pdf", True), ("x.pdf", True), ("{author.family}{author.given}.pdf", True),
     ("{author.family}_{author.family}.pdf", True)],
)  # fmt: skip
def test_a_pattern_is_checked_when_it_is_declared(pattern: str, problem: bool) -> None:
    assert bool(pattern_problem(pattern)) is problem


def test_what_a_name_says_joins_the_side_car_and_spoils_none() -> None:
    facts = {"patient.birth_name": "EXEMPLE"}
    assert json.loads(with_name_facts(b'{"urgency": "urgent"}', facts)) == {"urgency": "urgent", "from_name": facts}
    assert with_name_facts(b"{broken", facts) == b"{broken"
    assert with_name_facts(b"", {}) == b""


# -- messages --------------------------------------------------------------------------------------------------------------------


def test_a_pdf_in_a_message_is_taken_with_a_warning_and_the_message_as_its_header() -> None:
    message = arrival(
        build_mdm(tiny_pdf(), change={"TXA-12": "1.2.250.1.213.1.1.9.501.1"}).replace(b"^XML^Base64", b"^pdf^Base64")
    )
    inspection = inspect_hl7v2(message)
    assert inspection.verdict is Verdict.ACCEPTED
    assert "hl7.pdf-document" in {finding.code for finding in inspection.findings}
    (translation,) = understand_hl7v2(message, "r")
    header = translation.submission.document
    assert (header.type.code, header.unique_id) == ("11490-0", "1.2.250.1.213.1.1.9.501.1")
    assert header.patient.reliability is not Reliability.QUALIFIED
    assert header.authors[0].professional is not None and header.authors[0].professional.family == "DUTEST"
    assert (translation.source_document, translation.submission.content_kind) == (tiny_pdf(), "pdf")


def test_a_pdf_in_a_message_that_does_not_date_it_is_asked_for_what_lacks() -> None:
    errors = errors_of(inspect_hl7v2(arrival(build_oru(tiny_pdf()))).findings)
    assert [error.code for error in errors] == ["hl7.pdf-incomplete"]
    assert "OBX-14" in errors[0].text


def test_an_encrypted_pdf_in_a_message_is_refused() -> None:
    errors = errors_of(inspect_hl7v2(arrival(build_mdm(locked(owner="a", user="b")))).findings)
    assert [error.code for error in errors] == ["pdf.encrypted"]


def test_a_message_with_a_cda_is_read_as_before() -> None:
    (translation,) = understand_hl7v2(arrival(build_mdm(build_n1())), "r")
    assert translation.submission.content_kind == "cda"
