"""CDA times: precision never invented, a missing zone flagged, nonsense left out."""

from __future__ import annotations

import pytest

from adapter.mapping.cda.time import CivilTime, Doubt, as_instant, read_time

PARIS = "Europe/Paris"


@pytest.mark.parametrize(
    ("literal", "value", "doubt"),
    [
        ("1979", "1979", Doubt.NONE),
        ("197903", "1979-03", Doubt.NONE),
        ("19790328", "1979-03-28", Doubt.NONE),
        ("2019120313", "2019-12-03", Doubt.SHORTENED),
        ("201912031330+0100", "2019-12-03T13:30:00+01:00", Doubt.SECONDS_ADDED),
        ("20191203133059+0100", "2019-12-03T13:30:59+01:00", Doubt.NONE),
        ("20191203133059.123-0500", "2019-12-03T13:30:59.123-05:00", Doubt.NONE),
        ("20191203133059Z", "2019-12-03T13:30:59Z", Doubt.NONE),
        ("20191203133000", "2019-12-03T13:30:00+01:00", Doubt.NO_ZONE),
        ("20190703133000", "2019-07-03T13:30:00+02:00", Doubt.NO_ZONE),
        ("20191203133000+100", "2019-12-03T13:30:00+01:00", Doubt.ODD_ZONE),
        ("20191203133000+01", "2019-12-03T13:30:00+01:00", Doubt.ODD_ZONE),
        ("20191203133000+9900", "2019-12-03T13:30:00+01:00", Doubt.ODD_ZONE),
        (" 19790328 ", "1979-03-28", Doubt.NONE),
    ],
)
def test_each_form_of_a_literal_has_its_fhir_form(literal: str, value: str, doubt: Doubt) -> None:
    assert read_time(literal, PARIS) == CivilTime(value, doubt)


@pytest.mark.parametrize(
    "literal", ["", "x", "197", "20191303", "20190230", "201912032530", "197903281", "00000101", "2019-12-03"]
)
def test_what_is_no_date_gives_nothing(literal: str) -> None:
    assert read_time(literal, PARIS) == CivilTime("", Doubt.INVALID)


def test_the_zone_is_that_of_the_door() -> None:
    assert read_time("20190703133000", "America/Guadeloupe").value == "2019-07-03T13:30:00-04:00"


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2019", "2019-01-01T00:00:00+01:00"),
        ("2019-07", "2019-07-01T00:00:00+02:00"),
        ("2019-07-03", "2019-07-03T00:00:00+02:00"),
        ("2019-07-03T10:00:00Z", "2019-07-03T10:00:00Z"),
    ],
)
def test_an_instant_is_the_first_second_of_a_date(value: str, instant: str) -> None:
    assert as_instant(value, PARIS) == instant
