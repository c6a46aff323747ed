"""Withdrawals, standard-only numbers and urgent alarms on both engines: asked until answered, once each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapter.ledger.records import Decision
from adapter.ledger.urgent_faxes import PATIENCE
from adapter.model.delivery import Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.withdrawal import Withdrawn
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, World, work_item

pytestmark = pytest.mark.contract


def taken_over(world: World) -> Delivery:
    world.send(channels=(FAX,))
    delivery = world.accepted(FAX)
    item = work_item(world, WorkAbout.DELIVERY, delivery.id)
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, Decision.HAND_OVER, "operator", legal_entity=ENTITY)
    return delivery


def state(world: World, reference: str = "doc-1") -> str:
    timeline = world.ledger.timeline(reference, legal_entity=ENTITY)
    assert timeline is not None
    return timeline.submissions[0].deliveries[0].state.value


@pytest.mark.parametrize("found", [Withdrawn.GONE, Withdrawn.PARTLY])
def test_what_a_person_took_over_is_asked_back_until_the_engine_answered(world: World, found: Withdrawn) -> None:
    delivery = taken_over(world)
    assert [asked.reference for asked in world.ledger.withdrawals(FAX)] == [delivery.reference]
    assert not world.ledger.settle_withdrawal(delivery.id, Withdrawn.NOT_YET)
    assert len(world.ledger.withdrawals(FAX)) == 1
    assert world.ledger.settle_withdrawal(delivery.id, found)
    assert world.ledger.withdrawals(FAX) == ()
    assert not world.ledger.settle_withdrawal(delivery.id, found), "a second worker's answer changes nothing"
    assert state(world) == "cancelled"


def test_a_failure_told_while_it_is_asked_back_is_not_tried_again(world: World) -> None:
    delivery = taken_over(world)
    proof = Evidence(delivery.reference, S.REFUSED, world.clock(), "fax", "line-busy")
    world.ledger.record_evidence([proof], "evidence:fax", "1", retry_after=lambda _cause, _tries: timedelta(seconds=1))
    assert state(world) == "accepted"
    world.ledger.settle_withdrawal(delivery.id, Withdrawn.GONE)
    assert state(world) == "cancelled"


def test_a_number_whose_machine_takes_no_fine_pages_is_known_afterwards(world: World) -> None:
    world.send(channels=(FAX,))
    delivery = world.accepted(FAX)
    proof = Evidence(delivery.reference, S.REFUSED, world.clock(), "fax", "fine-not-taken")
    for cursor in ("1", "2"):
        world.ledger.record_evidence([proof], "evidence:fax", cursor)
    address = f"{delivery.role_id}@fax.example"
    assert world.ledger.is_standard_only(address)
    assert not world.ledger.is_standard_only("+33199000099")


def test_an_ordinary_fax_raises_no_alarm(world: World) -> None:
    world.send(channels=(FAX,))
    world.accepted(FAX)
    world.clock.advance(seconds=PATIENCE.total_seconds() * 2)
    assert world.ledger.alarm_urgent_faxes() == 0
