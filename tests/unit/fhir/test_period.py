"""Bounds that contradict each other are told, never dropped, swapped or passed on as a Period."""

from __future__ import annotations

import pytest
from fhir.resources.R4B.period import Period

from adapter.fhir.bundle import uri_of_root
from adapter.fhir.period import sound_period


@pytest.mark.parametrize(
    "period",
    [
        {},
        {"start": "2026"},
        {"end": "1974"},
        {"start": "2026-11", "end": "2026-11-02"},
        {"start": "2026-11-20", "end": "2026-11-20"},
    ],
)
def test_bounds_in_order_are_left_as_they_are(period: dict[str, str]) -> None:
    assert sound_period(period) == period


def test_an_end_before_its_start_is_kept_as_an_error_with_its_literal() -> None:
    period = sound_period({"start": "2026-11-16T09:00:00+01:00", "end": "1974-09-18"})
    assert period["start"] == "2026-11-16T09:00:00+01:00" and "end" not in period
    absent, literal = period["_end"]["extension"]
    assert (absent["valueCode"], literal["valueString"]) == ("error", "1974-09-18")
    Period.model_validate(period)


@pytest.mark.parametrize(("root", "uri"), [("1.2.250", "urn:oid:1.2.250"), ("a b\tc", "urn:oid:a%20b%20c")])
def test_a_root_is_always_a_uri(root: str, uri: str) -> None:
    assert uri_of_root(root) == uri
