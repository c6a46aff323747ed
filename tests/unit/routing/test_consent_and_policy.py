"""Small decisions that a mistake would make grave: who is of age, what a table forgets, what a table may say."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName
from adapter.routing.consent import is_of_age
from adapter.routing.policy import PolicyTable, read_policy

HEADER = "when,recipient,channel,decision,reason_fr\n"


@pytest.mark.parametrize(
    ("birth_date", "of_age"),
    [
        ("2008-11-20", True),
        ("2008-11-21", False),
        ("2008-11", False),
        ("2008-10", True),
        ("2008", False),
        ("2007", True),
        ("", False),
        ("inconnue", False),
        ("2008-02-29", True),
    ],
)
def test_age_is_counted_only_when_surely_past(birth_date: str, of_age: bool) -> None:
    assert is_of_age(birth_date, date(2026, 11, 20)) is of_age


def test_one_born_on_a_29_february_is_of_age_on_the_first_of_march() -> None:
    assert not is_of_age("2008-02-29", date(2026, 2, 28))
    assert is_of_age("2008-02-29", date(2026, 3, 1))


def test_an_empty_table_forbids_what_is_always_sensitive_and_nothing_else() -> None:
    table = PolicyTable()
    for fact in ("masked", "restricted", "very-restricted"):
        assert table.objection([fact], RecipientKind.PROFESSIONAL, ChannelName.SECURE_MAIL) is not None
    assert table.objection(["type:11490-0", "unit:1"], RecipientKind.PROFESSIONAL, ChannelName.FAX) is None


def test_a_row_for_one_kind_of_recipient_wins_over_the_row_for_all() -> None:
    table = read_policy((HEADER + "masked,*,mssante,allow,\nmasked,patient,mssante,park,non\n").encode())
    assert table.objection(["masked"], RecipientKind.PROFESSIONAL, ChannelName.SECURE_MAIL) is None
    assert table.objection(["masked"], RecipientKind.PATIENT, ChannelName.SECURE_MAIL) is not None


def test_one_forbidding_fact_is_enough() -> None:
    table = read_policy((HEADER + "masked,*,mssante,allow,\ntype:X,*,mssante,park,non\n").encode())
    objection = table.objection(["masked", "type:X"], RecipientKind.PROFESSIONAL, ChannelName.SECURE_MAIL)
    assert objection is not None
    assert (objection.code, objection.reason) == ("type-X", "non")


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("masked,somebody,fax,park,non", "unknown kind of recipient"),
        ("masked,*,pigeon,park,non", "unknown channel"),
        ("masked,*,fax,perhaps,non", "must decide"),
        ("secret,*,fax,park,non", "unknown condition"),
        ("masked,*,fax,park,", "without a reason"),
        ("masked,*,fax,park,a\nmasked,*,fax,allow,", "line 3 repeats"),
    ],
)
def test_a_wrong_row_is_told_with_its_line(row: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read_policy((HEADER + row + "\n").encode())


def test_other_columns_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="the columns must be"):
        read_policy(b"a,b\n1,2\n")
