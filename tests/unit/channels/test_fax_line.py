"""What every way out for faxes holds to: one spelling of a number, nothing dialled that is none, or would be charged."""

from __future__ import annotations

import pytest

from adapter.channels.fax_line import OutgoingFax, checked_call
from adapter.model.delivery import OutcomeKind, SendOutcome
from adapter.packaging.parcel import FaxContent, Parcel

PAGES = FaxContent(b"II*\0", 1)


def _parcel(address: str) -> Parcel:
    return Parcel("d", "r", address, urgent=False, content=PAGES)


@pytest.mark.parametrize("written", ["01 99 00 00 01", "+33199000001", "+33 (0)1 99 00 00 01", "01.99.00.00.01"])
def test_however_it_is_written_a_number_is_dialled_in_one_spelling(written: str) -> None:
    assert checked_call(_parcel(written), 100) == OutgoingFax(PAGES, "+33199000001")


@pytest.mark.parametrize("address", ["", "15", "0 899 70 00 00", "+33 1 99\r\nJKILL", "dr@x.fr"])
def test_what_is_no_number_or_would_be_charged_is_never_dialled(address: str) -> None:
    outcome = checked_call(_parcel(address), 100)
    assert isinstance(outcome, SendOutcome)
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "no-such-number")
    assert address == "" or address not in outcome.detail


def test_pages_that_are_too_large_stay_here() -> None:
    outcome = checked_call(_parcel("0199000001"), 3)
    assert isinstance(outcome, SendOutcome) and outcome.cause == "too-large"
