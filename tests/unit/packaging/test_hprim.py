"""The HPRIM Médecin text, read back as the programs that it is for read it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.model.identity import Address, Ins, LocalIdentifier, Reliability
from adapter.packaging.hprim import END_OF_FILE, END_OF_LETTER, HprimCharset, HprimLetter, plain_text, write_hprim
from tests.builders.directory import qualified_patient

PATIENT = qualified_patient(
    used_name="MODÈLE",
    addresses=(Address(("12 rue de l'Église", "Bâtiment C", "2e étage"), "94200", "Ivry-sur-Seine"),),
)
LETTER = HprimLetter(
    patient=PATIENT,
    file_number="3F2A9C1B00",
    written_on="2026-11-20T23:30:00+01:00",
    sender_name="Hôpital Bicêtre",
    recipient_name="Dr DUCABINET",
    words=("Lettre de liaison à la sortie", "Document complet : fichier joint TDU-00000012-3F2A9C1B.pdf."),
    sender_code="949990121",
)


def as_medshake_reads(text: bytes) -> dict[str, str]:
    """The cuts of MedShakeEHR's `getHprimHeaderData`."""
    line = text.decode("cp1252").split("\r\n")
    return {
        "code": line[0][:10].strip(),
        "name": line[1][:50].strip(),
        "given": line[2][:50].strip(),
        "address": line[3].strip(),
        "address2": line[4].strip(),
        "postcode": line[5][:5],
        "town": line[5][5:].strip(),
        "born": line[6],
        "number": line[7],
        "file": line[8],
        "date": line[9][:15],
        "from-code": line[10][:10].strip(),
        "from": line[10][10:].strip(),
        "to-code": line[11][:10].strip(),
        "to": line[11][10:].strip(),
    }


@pytest.mark.parametrize(
    ("written_on", "day"),
    [
        ("2026-11-20T23:30:00+00:00", "21/11/2026"),
        ("2026-11-20T23:30:00", "20/11/2026"),
        ("2026-11-20", "20/11/2026"),
        ("2026-11", ""),
    ],
)
def test_the_day_of_a_document_is_that_of_french_civil_time(written_on: str, day: str) -> None:
    assert as_medshake_reads(write_hprim(replace(LETTER, written_on=written_on)))["date"] == day


def test_a_practice_program_reads_every_line_of_the_header() -> None:
    read = as_medshake_reads(write_hprim(LETTER))
    assert read == {
        "code": "900000123",
        "name": "MODÈLE",
        "given": "CAMILLE",
        "address": "12 rue de l'Église",
        "address2": "Bâtiment C 2e étage",
        "postcode": "94200",
        "town": "Ivry-sur-Seine",
        "born": "12/04/1961",
        "number": f"{PATIENT.ins.value[:13]} {PATIENT.ins.value[13:]}" if PATIENT.ins else "",
        "file": "3F2A9C1B00",
        "date": "20/11/2026",
        "from-code": "949990121",
        "from": "Hôpital Bicêtre",
        "to-code": ".",
        "to": "Dr DUCABINET",
    }


def test_the_text_follows_the_header_and_the_two_marks_end_it() -> None:
    lines = write_hprim(LETTER).decode("cp1252").split("\r\n")
    assert lines[12:14] == ["", "Lettre de liaison à la sortie"]
    assert lines[-3:] == [END_OF_LETTER, END_OF_FILE, ""]
    assert b"\n" not in write_hprim(LETTER).replace(b"\r\n", b"")


def test_a_number_longer_than_its_place_is_left_out_and_never_cut() -> None:
    """Cut at ten characters it would be another patient's."""
    long = replace(PATIENT, local_ids=(LocalIdentifier("12345678901", "1.2.3"), LocalIdentifier("VISITE", "1.2.3", "VN")))
    assert as_medshake_reads(write_hprim(replace(LETTER, patient=long)))["code"] == "."


@pytest.mark.parametrize("reliability", [Reliability.PROVISIONAL, Reliability.VALIDATED])
def test_an_unqualified_identity_gives_no_health_number(reliability: Reliability) -> None:
    patient = replace(PATIENT, reliability=reliability)
    assert as_medshake_reads(write_hprim(replace(LETTER, patient=patient)))["number"] == ""


def test_half_a_birth_date_is_left_out() -> None:
    assert as_medshake_reads(write_hprim(replace(LETTER, patient=replace(PATIENT, birth_date="1961-04"))))["born"] == ""


def test_words_cannot_end_the_text_nor_begin_a_line_of_their_own() -> None:
    nasty = replace(LETTER, words=("Titre\r\n****FIN****\r\n****FINFICHIER****\x00 suite",), recipient_name="Dr A\nB")
    text = write_hprim(nasty).decode("cp1252")
    assert text.count(END_OF_LETTER) == 1 and text.count(END_OF_FILE) == 1
    assert as_medshake_reads(write_hprim(nasty))["to"] == "Dr A B"


@pytest.mark.parametrize(("charset", "sign"), [(HprimCharset.CP1252, b"\x9c"), (HprimCharset.LATIN9, b"\xbd")])
def test_each_character_set_writes_what_it_has(charset: HprimCharset, sign: bytes) -> None:
    assert b"C" + sign + b"ur" in write_hprim(replace(LETTER, words=("Cœur",)), charset)


def test_a_sign_that_the_character_set_lacks_becomes_its_plain_letter() -> None:
    polish = replace(PATIENT, used_name="ŁUKASZEWSKÁ-ŚWIĄTEK", first_given="ŞEYMA")
    read = as_medshake_reads(write_hprim(replace(LETTER, patient=polish)))
    assert (read["name"], read["given"]) == ("LUKASZEWSKÁ-SWIATEK", "SEYMA")
    assert "?" in write_hprim(replace(LETTER, words=("漢",))).decode("cp1252")


def test_the_typographic_apostrophe_stays_where_the_set_has_it_and_is_plain_elsewhere() -> None:
    assert b"l\x92ann\xe9e" in plain_text(["l’année"], HprimCharset.CP1252)
    assert b"l'ann\xe9e" in plain_text(["l’année"], HprimCharset.LATIN9)


def test_long_words_are_wrapped_at_the_width_of_a_page() -> None:
    lines = plain_text(["mot " * 60]).decode("cp1252").split("\r\n")
    assert len(lines) > 3 and max(map(len, lines)) <= 78


def test_a_file_without_any_address_keeps_its_twelve_lines() -> None:
    bare = replace(PATIENT, addresses=(), ins=Ins("", ""), local_ids=())
    lines = (
        write_hprim(replace(LETTER, patient=replace(bare, reliability=Reliability.PROVISIONAL))).decode("cp1252").split("\r\n")
    )
    assert lines[3:6] == ["", "", ""] and lines[12] == ""
