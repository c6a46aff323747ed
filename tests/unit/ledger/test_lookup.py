"""Normalisation: two spellings of one thing become one value; what is no such thing becomes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.ledger.lookup import NORMALISERS, lookups_of, normalise
from tests.builders.ledger import stored_submission


@pytest.mark.parametrize(
    ("kind", "spellings", "normal"),
    [
        ("ins", ["2790351215189 89", "279035121518989", "2 79 03 51 215 189"], "2790351215189"),
        ("ins", ["2790 32A215189 12", "279032a215189"], "279032A215189"),
        ("ipp", ["ab 12", "AB12"], "AB12"),
        ("rpps", ["10003456789", "810003456789", "1000 3456 789"], "10003456789"),
        ("finess", ["750000001", "1750000001", "75 00 00 001"], "750000001"),
        ("finess", ["2a0000001", "2A0000001"], "2A0000001"),
        ("unique-id", ["urn:oid:1.2.3", "1.2.3"], "1.2.3"),
        ("unique-id", ["urn:uuid:ABCD-1", "abcd-1"], "abcd-1"),
        ("name-birth-date", ["Müller-Dœ|1979-03-28", "MULLER DOE|19790328", "muller d’oe|1979-03-28"][:2], "MULLER DOE|19790328"),
        ("message-id", ["<a@b>", "a@b"], "a@b"),
        ("control-id", [" 015 ", "015"], "015"),
    ],
)
def test_spellings_of_one_thing_are_one(kind: str, spellings: list[str], normal: str) -> None:
    assert {normalise(kind, spelling) for spelling in spellings} == {normal}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ins", "123"),
        ("ins", "27903512151898-"),
        ("rpps", "1234"),
        ("rpps", "0751234567"),
        ("finess", "12"),
        ("name-birth-date", "DUPONT"),
        ("name-birth-date", "|1979"),
        ("name-birth-date", "DUPONT|"),
    ],
)
def test_what_is_no_such_thing_is_not_kept(kind: str, value: str) -> None:
    assert normalise(kind, value) == ""


@given(st.sampled_from(sorted(NORMALISERS)), st.text(max_size=40))
def test_a_normal_form_is_its_own_normal_form(kind: str, value: str) -> None:
    once = normalise(kind, value)
    assert normalise(kind, once) == once


def test_a_kind_that_does_not_exist_is_our_defect() -> None:
    with pytest.raises(KeyError):
        normalise("shoe-size", "42")


def test_a_document_is_looked_up_by_its_patient_people_places_and_ids() -> None:
    submission = stored_submission("1.2.3", "r-1", set_id="1.2").translation.submission
    assert set(lookups_of(submission)) == {
        ("unique-id", "1.2.3"),
        ("unique-id", "1.2"),
        ("control-id", "MSG-SOURCE"),
        ("ins", "279035121518989"),
        ("ipp", "IPP-4711"),
        ("name-birth-date", "ZEBULONNE|1979-03-28"),
        ("rpps", "10003456789"),
        ("finess", "750000001"),
    }
