"""Whose number a fax came from: a fax before a telephone, the structure for a switchboard, all who share one, or nobody."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.routing.directory import Directory
from tests.builders.directory import small_territory

TODAY = date(2026, 11, 22)
SWITCHBOARD, DOCTOR, SHARED = "+33199000091", "+33199000002", "+33199000001"


def named(directory: Directory, number: str, on: date = TODAY) -> list[str]:
    return [role.id for role in directory.partners_with_number(number, on)]


def test_a_fax_number_names_who_holds_it() -> None:
    assert named(small_territory(), DOCTOR) == ["role:fictif"]


@pytest.mark.parametrize("number", ["", "+33199009999", "199000002"])
def test_a_number_of_nobody_names_nobody(number: str) -> None:
    assert named(small_territory(), number) == []


def test_a_switchboard_names_the_structure_and_not_all_who_work_there() -> None:
    directory = small_territory(centre='phone = "01 99 00 00 91"')
    assert named(directory, SWITCHBOARD) == ["role:org:centre"]


def test_a_telephone_of_ones_own_names_the_person() -> None:
    directory = small_territory(centre='phone = "01 99 00 00 91"', role='phone = "01 99 00 00 92"')
    assert named(directory, "+33199000092") == ["role:fictif"]


def test_a_fax_counts_before_a_telephone_of_the_same_number() -> None:
    directory = small_territory(site='phone = "01 99 00 00 02"')
    assert named(directory, DOCTOR) == ["role:fictif"]


def test_all_structures_that_share_a_number_are_named() -> None:
    directory = small_territory(site='fax = "01 99 00 00 01"')
    assert sorted(named(directory, SHARED)) == ["role:org:centre", "role:org:site"]


def test_who_left_is_not_named_any_more() -> None:
    directory = small_territory(role="valid_to = 2026-06-30")
    assert named(directory, DOCTOR, date(2026, 6, 30)) == ["role:fictif"]
    assert named(directory, DOCTOR) == []
