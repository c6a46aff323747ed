"""The call of a received fax: as its line told it, nothing made up; a report names the caller's structure, never a person."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from adapter.model.fax_call import CallDirection
from adapter.model.fax_in import FaxDoors
from adapter.model.receipt import ContentKind, Principal, Receipt, ReceiptState, Verdict
from adapter.pipeline.fax_calls import received_call
from adapter.service.night_round import partner_of_role
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance
from tests.builders.sent_fax import DOOR, SENDER_NAME, SENDER_NUMBER, doors

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


def a_page() -> bytes:
    content = io.BytesIO()
    Image.new("1", (1728, 2200), 1).save(content, "TIFF", compression="group4", dpi=(204, 196))
    return content.getvalue()


@pytest.mark.parametrize(
    ("number", "partner"),
    [("+33199001101", "abc"), (SENDER_NUMBER, SENDER_NAME), ("+33145000000", "")],
    ids=["of the directory", "of a trusted sender", "of nobody known"],
)
def test_the_call_of_a_received_fax_is_kept_once_and_counted_with_its_partner(tmp_path: Path, number: str, partner: str) -> None:
    house = Instance(tmp_path, fax_doors=FaxDoors({"fax:ivry": doors().of(DOOR)}))
    told = side_car(**{"from": number, "received_at": house.clock().isoformat()})
    line = Principal("ivry", "fax", APHP_EJ)
    fax = house.letter(a_page(), door="fax:ivry", principal=line, side_car=told, reference="fax000000001.tif#1")
    house.prepare()
    assert [(kept.about_id, kept.call.seconds, kept.call.pages) for kept in house.timeline(fax).calls] == [(fax, 64, 3)]
    hour = timedelta(hours=1)
    start, end = house.clock() - hour, house.clock() + hour
    named = partial(partner_of_role, house.directory)
    found = house.ledger.night.call_figures(start, end, named, legal_entity=APHP_EJ)
    assert list(found) == [(CallDirection.IN, partner)]
    assert [call.reference for call in house.calls] == [fax]
