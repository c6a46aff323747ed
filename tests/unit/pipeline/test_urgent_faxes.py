"""Nothing holds an urgent fax in silence: whatever defers it, somebody who can ring is told at once, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.ledger.urgent_faxes import PATIENCE, WAITS
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.plan import ChannelName
from adapter.model.receipt import Principal
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance, deferred, unclear

FAX = ChannelName.FAX
FOLDER = Principal("depot", "folder", APHP_EJ)
S = DeliveryState


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def _fax(house: Instance, urgency: str) -> str:
    side_car = b'{"recipients": [{"rpps": "99900000029"}], "urgency": "%s"}' % urgency.encode()
    receipt = house.letter(build_ldl_ses(), side_car=side_car, door="folder:depot", principal=FOLDER)
    assert house.states(receipt) == {"fax": "queued"}
    return receipt


@pytest.mark.parametrize("cause", ["connect-failed", "spool-full", "spool-unwritable", "outside-hours", "auth-refused"])
def test_a_deferral_of_an_urgent_fax_is_told_at_once_with_the_line_to_call(house: Instance, cause: str) -> None:
    receipt = _fax(house, "urgent")
    house.fax.script(deferred(cause))
    house.dispatch(FAX)
    (item,) = house.items()
    assert item.urgent and house.states(receipt) == {"fax": "queued"}
    plan = house.timeline(receipt).submissions[0]
    assert item.about_id == plan.deliveries[0].id


def test_deferrals_for_several_causes_ask_once(house: Instance) -> None:
    _fax(house, "urgent")
    for cause in ("connect-failed", "partner-error", "spool-full"):
        house.fax.script(deferred(cause))
        house.dispatch(FAX)
        house.clock.advance(hours=1)
    assert len(house.items()) == 1


def test_an_answer_to_an_urgent_fax_that_was_lost_is_told_too(house: Instance) -> None:
    _fax(house, "urgent")
    house.fax.script(unclear())
    house.dispatch(FAX)
    assert [item.urgent for item in house.items()] == [True]


def test_a_busy_line_behind_an_urgent_fax_is_told(house: Instance) -> None:
    _fax(house, "urgent")
    house.dispatch(FAX)
    house.prove(house.fax, S.REFUSED, "line-busy")
    assert [(item.reason, item.urgent) for item in house.items()] == [("line-busy", True)]


def test_an_urgent_fax_that_its_engine_keeps_is_told_after_ten_minutes_and_once(house: Instance) -> None:
    receipt = _fax(house, "urgent")
    house.dispatch(FAX)
    house.pipeline.settle_some()
    assert house.reasons() == []
    house.clock.advance(seconds=PATIENCE.total_seconds() + 1)
    for _ in range(3):
        house.pipeline.settle_some()
    assert house.reasons() == [WAITS]
    house.prove(house.fax, S.DELIVERED)
    assert house.reasons() == [] and house.states(receipt) == {"fax": "delivered"}


def test_an_ordinary_fax_waits_in_peace(house: Instance) -> None:
    _fax(house, "")
    house.fax.script(deferred("connect-failed"))
    house.dispatch(FAX)
    house.clock.advance(hours=1)
    house.dispatch(FAX)
    house.clock.advance(hours=1)
    house.pipeline.settle_some()
    assert house.reasons() == []


def test_a_night_outside_the_hours_costs_an_ordinary_fax_one_try(house: Instance) -> None:
    receipt = _fax(house, "")
    house.fax.script(SendOutcome(OutcomeKind.DEFERRED, "outside-hours", retry_after_seconds=36_000))
    house.dispatch(FAX)
    house.clock.advance(hours=9, minutes=59)
    assert house.dispatch(FAX) == 0
    house.clock.advance(minutes=2)
    house.dispatch(FAX)
    assert house.states(receipt) == {"fax": "accepted"}


def test_an_ordinary_fax_whose_engine_never_tells_its_end_is_a_person_s_after_a_day_and_once(house: Instance) -> None:
    receipt = _fax(house, "")
    house.dispatch(FAX)
    house.clock.advance(hours=23)
    house.pipeline.settle_some()
    assert house.reasons() == []
    house.clock.advance(hours=2)
    for _ in range(3):
        house.pipeline.settle_some()
    assert [(item.reason, item.urgent) for item in house.items()] == [(WAITS, False)]
    house.prove(house.fax, S.DELIVERED)
    assert house.reasons() == [] and house.states(receipt) == {"fax": "delivered"}
