"""Numbers as people and machines write them come out as E.164, overseas ones under their own code, and odd ones not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.formats.phone_number import REFUSED_FOR_FAX, NumberKind, e164, kind_of, national


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("01 99 00 12 34", "+33199001234"),
        ("01.99.00.12.34", "+33199001234"),
        ("01-99-00-12-34", "+33199001234"),
        ("01\u00a099\u202f00 12 34", "+33199001234"),
        ("+33 (0)1 99 00 12 34", "+33199001234"),
        ("0033 1 99 00 12 34", "+33199001234"),
        ("33199001234", "+33199001234"),  # how a fax machine calls itself
        ("199001234", "+33199001234"),  # what a spreadsheet leaves of it
        ("tel:+33-1-99-00-12-34", "+33199001234"),
        ("02 61 91 12 34", "+33261911234"),
        ("03 53 01 12 34", "+33353011234"),
        ("04 65 71 12 34", "+33465711234"),
        ("05 36 49 12 34", "+33536491234"),
        ("09 70 12 34 56", "+33970123456"),
        ("0 800 12 34 56", "+33800123456"),
        ("+32 2 555 12 34", "+3225551234"),
    ],
)
def test_a_number_is_one_whatever_way_it_is_written(written: str, number: str) -> None:
    assert e164(written) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0262 20 12 34", "+262262201234"),
        ("02 62 20 12 34", "+262262201234"),
        ("+262 262 20 12 34", "+262262201234"),
        ("+262 (0)262 20 12 34", "+262262201234"),
        ("00 262 262 20 12 34", "+262262201234"),
        ("+33 262 20 12 34", "+262262201234"),
        ("0263 10 12 34", "+262263101234"),
        ("0269 61 12 34", "+262269611234"),
        ("0590 99 12 34", "+590590991234"),
        ("+590 590 99 12 34", "+590590991234"),
        ("0590 27 12 34", "+590590271234"),
        ("0594 25 12 34", "+594594251234"),
        ("0596 50 12 34", "+596596501234"),
        ("0692 20 12 34", "+262692201234"),
        ("0639 01 12 34", "+262639011234"),
        ("0976 22 12 34", "+262976221234"),
        ("0976 61 12 34", "+596976611234"),
        ("0508 41 12 34", "+508411234"),
    ],
)
def test_an_overseas_number_has_its_own_country_code(written: str, number: str) -> None:
    assert e164(written) == number
    assert e164(written, country="RE") == number


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "+", "fax", "15", "3646", "118712", "0199001", "01 99 00 12 34 poste 12", "01 99 00 12 34;ext=3",
        "0199001234 0199001235", "01 99 00 12 34 / 35", "0099 00 12 34", "01GOFAX123", "0596 20 12 34",
        "0263 49 12 34", "06 39 98 12 34", "00 00 00 00 00", "9" * 50, "+33", "٠١٩٩٠٠١٢٣٤", "0199001234\x00",
    ],
)  # fmt: skip
def test_what_is_no_number_that_exists_gives_nothing(written: str) -> None:
    assert e164(written) == ""


def test_a_number_without_plus_is_of_the_country_asked() -> None:
    assert e164("02 555 12 34", country="BE") == "+3225551234"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("01 99 00 12 34", NumberKind.FIXED),
        ("0262 20 12 34", NumberKind.FIXED),
        ("09 70 12 34 56", NumberKind.FIXED),
        ("0 800 12 34 56", NumberKind.FIXED),
        ("06 99 12 34 56", NumberKind.MOBILE),
        ("0692 20 12 34", NumberKind.MOBILE),
        ("0 892 12 34 56", NumberKind.PREMIUM),
        ("0 825 12 34 56", NumberKind.PREMIUM),
        ("15", NumberKind.SHORT),
        ("112", NumberKind.SHORT),
        ("36 46", NumberKind.SHORT),
        ("118 712", NumberKind.SHORT),
        ("0199", NumberKind.NONE),
        ("nulle part", NumberKind.NONE),
    ],
)
def test_a_number_tells_what_kind_it_is(written: str, kind: NumberKind) -> None:
    assert kind_of(written) is kind


def test_no_fax_dials_an_emergency_line_nor_one_that_is_charged() -> None:
    assert {kind_of("15"), kind_of("3646"), kind_of("0892 12 34 56"), kind_of("")} <= REFUSED_FOR_FAX
    assert not {kind_of("01 99 00 12 34"), kind_of("06 99 12 34 56")} & REFUSED_FOR_FAX


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("+33199001234", "01 99 00 12 34"),
        ("+262262201234", "0262 20 12 34"),
        ("+33800123456", "0 800 12 34 56"),
        ("+508411234", "+508 41 12 34"),
        ("+3225551234", "+32 2 555 12 34"),
        ("15", "15"),
        ("+33", "+33"),
    ],
)
def test_a_person_reads_the_number_to_dial(number: str, words: str) -> None:
    assert national(number) == words


@given(st.text(max_size=30) | st.from_regex(r"[+0-9 ().\-]{0,20}", fullmatch=True))
def test_whatever_is_written_gives_a_number_that_is_read_as_itself_or_nothing(written: str) -> None:
    number = e164(written)
    assert number == "" or (number.startswith("+") and number[1:].isdecimal() and e164(number) == number)
    assert (number != "") is (kind_of(written) not in (NumberKind.NONE, NumberKind.SHORT))
