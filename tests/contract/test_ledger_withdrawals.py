"""Withdrawals, standard-only numbers and urgent alarms on both engines: asked until answered, once each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import create_engine, delete

from adapter.ledger import tables
from adapter.ledger.records import Decision
from adapter.ledger.urgent_faxes import PATIENCE
from adapter.ledger.visibility import PROFESSIONALS
from adapter.model.delivery import Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.submission import Intent
from adapter.model.withdrawal import Withdrawn
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, MAIL, World, work_item

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


def test_a_damaged_plan_teaches_nothing_of_a_number_and_holds_up_no_proof(world: World) -> None:
    world.send(channels=(FAX,))
    delivery = world.accepted(FAX)
    chunk = tables.payload_chunk
    engine = create_engine(world.url)
    with engine.begin() as connection:
        connection.execute(delete(chunk).where(chunk.c.kind == "plan"))
    engine.dispose()
    proof = Evidence(delivery.reference, S.REFUSED, world.clock(), "fax", "fine-not-taken")
    world.ledger.record_evidence([proof], "evidence:fax", "1")
    assert state(world) == "refused"


def test_an_ordinary_fax_raises_no_alarm(world: World) -> None:
    world.send(channels=(FAX,))
    world.accepted(FAX)
    world.clock.advance(seconds=PATIENCE.total_seconds() * 2)
    assert world.ledger.alarm_urgent_faxes() == 0


def cancelled_while_it_waits(world: World) -> tuple[Delivery, Delivery]:
    """A fax that an engine took, and the cancellation that waits for the engine's answer about it."""
    world.send("doc-1", channels=(FAX,), set_id="set")
    first = world.accepted(FAX)
    world.send("doc-1b", channels=(FAX,), set_id="set", version=2, intent=Intent.CANCEL)
    assert world.claim(FAX) == []
    return first, world.deliveries("doc-1b")[0]


@pytest.mark.parametrize("found", [Withdrawn.GONE, Withdrawn.FORGOTTEN])
def test_a_queue_that_has_nothing_any_more_does_not_undo_a_proof_of_delivery(world: World, found: Withdrawn) -> None:
    first, cancel = cancelled_while_it_waits(world)
    world.prove(first, S.DELIVERED)
    world.ledger.settle_withdrawal(first.id, found)
    assert world.claim_one(FAX).id == cancel.id, "whoever has the document is told that it is cancelled"


def test_a_queue_that_forgot_what_it_took_does_not_say_that_nothing_left(world: World) -> None:
    first, cancel = cancelled_while_it_waits(world)
    assert world.ledger.settle_withdrawal(first.id, Withdrawn.FORGOTTEN)
    assert world.claim_one(FAX).id == cancel.id
    assert world.deliveries("doc-1b")[0].replaces_sent_on


def test_a_queue_that_never_took_it_says_that_nothing_left(world: World) -> None:
    world.send("doc-1", channels=(FAX,), set_id="set")
    first = world.on_wire(FAX)
    world.settle(first, S.QUEUED, cause="connect-failed")
    world.ledger.order_visibility("doc-1", frozenset({PROFESSIONALS}), "dr", legal_entity=ENTITY)
    assert world.ledger.settle_withdrawal(first.id, Withdrawn.FORGOTTEN)
    assert "withdrawn-gone" in world.events("doc-1")


def test_what_is_asked_back_is_not_handed_over_again_and_is_not_sent_once_another_channel_served(world: World) -> None:
    world.send("doc-1", channels=(MAIL, FAX))
    mail = world.on_wire(MAIL)
    world.settle(mail, S.REFUSED, cause="undeliverable", open_next_leg=True)
    fax = world.on_wire(FAX)
    world.prove(mail, S.DELIVERED)
    world.settle(fax, S.QUEUED, cause="connect-failed")
    assert world.claim(FAX) == [], "a new job under this reference would be taken for the one that is asked back"
    assert world.ledger.settle_withdrawal(fax.id, Withdrawn.GONE)
    assert world.claim(FAX) == []
    assert [one.state for one in world.deliveries("doc-1")] == [S.DELIVERED, S.CANCELLED]


def test_what_leaves_after_it_was_taken_back_once_is_asked_back_again(world: World) -> None:
    world.send("doc-1", channels=(FAX,))
    fax = world.on_wire(FAX)
    world.settle(fax, S.QUEUED, cause="line-busy")
    for hidden in (frozenset({PROFESSIONALS}), frozenset[str]()):
        world.ledger.order_visibility("doc-1", hidden, "dr", legal_entity=ENTITY)
    assert world.ledger.settle_withdrawal(fax.id, Withdrawn.GONE)
    world.accepted(FAX)
    assert world.ledger.withdrawals(FAX) == ()
    world.ledger.order_visibility("doc-1", frozenset({PROFESSIONALS}), "dr", legal_entity=ENTITY)
    assert [asked.delivery_id for asked in world.ledger.withdrawals(FAX)] == [fax.id]


def test_lines_that_become_one_still_wait_for_what_is_asked_back(world: World) -> None:
    world.send("doc-9", channels=(FAX,), set_id="z")
    first = world.accepted(FAX)
    world.send("doc-9b", channels=(FAX,), set_id="z", version=2)
    world.send("doc-0", channels=(FAX,), set_id="a", roles=("role:b",))
    world.send("doc-9c", channels=(FAX,), set_id="a", version=3, replaces="doc-9b")
    assert [one.delivery.role_id for one in world.claim(FAX)] == ["role:b"]
    assert world.ledger.settle_withdrawal(first.id, Withdrawn.GONE)
    assert len(world.claim(FAX)) == 1


@pytest.mark.parametrize(("priority", "hours"), [(100, 2.1), (10, 0)])
def test_what_waits_for_an_engine_that_never_answers_becomes_a_person_s_once(world: World, priority: int, hours: float) -> None:
    world.send("doc-1", channels=(FAX,), set_id="set")
    world.accepted(FAX)
    world.send("doc-1b", channels=(FAX,), set_id="set", version=2, priority=priority)
    assert world.ledger.tell_held_by_withdrawals() == (priority < 50)
    world.clock.advance(hours=hours)
    world.ledger.tell_held_by_withdrawals()
    assert world.ledger.tell_held_by_withdrawals() == 0
    (item,) = world.items()
    assert item.about_id == world.deliveries("doc-1b")[0].id
    world.ledger.resolve(item.id, Decision.HAND_OVER, "operator", legal_entity=ENTITY)
    assert state(world, "doc-1b") == "cancelled"
