"""The call of a received fax: as its line told it, nothing made up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from adapter.model.fax_call import CallDirection
from adapter.model.receipt import ContentKind, Receipt, ReceiptState, Verdict
from adapter.pipeline.fax_calls import received_call

CAME = datetime(2026, 11, 22, 9, 5, tzinfo=UTC)
TOLD = {"from": "+33145210001", "pages": 3, "received_at": "2026-11-22T10:00:00+01:00", "withheld": "", "seconds": 64}


def receipt() -> Receipt:
    return Receipt("r-1", "e", "fax:ivry", "ivry", "k", "f", ContentKind.FAX, ReceiptState.RECEIVED, Verdict.ACCEPTED, CAME)


def side_car(**changes: object) -> bytes:
    return json.dumps({**TOLD, **changes}).encode()


def test_a_call_has_its_number_its_length_and_its_pages_and_began_before_it_was_over() -> None:
    (call,) = received_call(receipt(), side_car(), "cms-ivry")
    assert (call.reference, call.direction, call.partner) == ("r-1", CallDirection.IN, "cms-ivry")
    assert (call.number, call.seconds, call.pages, call.cause) == ("+33145210001", 64, 3, "")
    assert call.began_at == datetime(2026, 11, 22, 9, 0, tzinfo=UTC) - timedelta(seconds=64)


@pytest.mark.parametrize("seconds", [None, "64", -1, True])
def test_a_length_that_nobody_told_is_unknown(seconds: object) -> None:
    (call,) = received_call(receipt(), side_car(seconds=seconds), "")
    assert call.seconds is None


@pytest.mark.parametrize("told", ["", "yesterday", "2026-11-22T10:00:00"])
def test_without_an_instant_it_began_when_we_got_it(told: str) -> None:
    (call,) = received_call(receipt(), side_car(received_at=told, seconds=None), "")
    assert call.began_at == CAME


def test_a_file_that_is_no_fax_is_no_call() -> None:
    assert received_call(receipt(), side_car(pages=0, withheld="fax.not-pages"), "") == ()


def test_a_fax_withheld_for_its_size_was_a_call_all_the_same() -> None:
    assert len(received_call(receipt(), side_car(withheld="fax.too-large"), "")) == 1
