"""Faxes that a provider dials, in the ledger: what was handed over, what a person said, what nobody confirmed. Both engines."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from adapter.ledger import tables
from adapter.ledger.records import Decision
from adapter.ledger.relayed_faxes import UNCONFIRMED
from adapter.model.delivery import Delivery, Purpose
from adapter.model.delivery import DeliveryState as S
from tests.builders.ledger import ENTITY, FAX, MAIL, PHONE_LINE, World

pytestmark = pytest.mark.contract

HOUR, FOUR_HOURS = timedelta(hours=1), timedelta(hours=4)


def _park(world: World) -> int:
    now = world.clock()
    return world.ledger.relayed_faxes.park_unconfirmed(now - FOUR_HOURS, now - HOUR, "Vérifier.")


def _decide(world: World, decision: Decision) -> None:
    for item in world.items():
        world.ledger.resolve(item.id, decision, "Mme Essai", legal_entity=ENTITY)


def _unclear_twice(world: World) -> Delivery:
    """A send in doubt, asked about once more, and now a person's."""
    delivery = world.on_wire(FAX)
    world.settle(delivery, S.UNCLEAR, cause="no-answer")
    world.clock.advance(hours=5)
    world.ledger.reap({})
    again = world.on_wire(FAX)
    world.settle(again, S.PARKED, cause="no-answer", unclear=True)
    return again


def test_what_was_put_on_the_wire_is_told_with_its_number_try_and_state(world: World) -> None:
    world.send("doc-1", channels=(FAX,))
    delivery = world.accepted(FAX)
    world.send("doc-2", channels=(MAIL, FAX))  # its fax waits
    (fax,) = world.ledger.relayed_faxes.handed_over(world.clock() - HOUR)
    assert (fax.reference, fax.number) == (delivery.reference, "role:a@fax.example")
    assert (fax.attempt, fax.state, fax.sent_at) == (delivery.fence, S.ACCEPTED, world.clock())
    world.clock.advance(hours=2)
    assert world.ledger.relayed_faxes.handed_over(world.clock() - HOUR) == ()


def test_a_test_page_is_told_too_but_never_asked_about(world: World) -> None:
    world.send(channels=(FAX,))
    page = world.accepted(FAX)
    with world.ledger._database.read() as connection:
        connection.execute(update(tables.delivery).where(tables.delivery.c.id == page.id).values(purpose=Purpose.NOTICE.value))
        connection.commit()
    world.clock.advance(hours=9)
    assert [fax.reference for fax in world.ledger.relayed_faxes.handed_over(world.clock() - timedelta(days=1))] == [
        page.reference
    ]
    assert _park(world) == 0


def test_each_try_has_a_number_of_its_own(world: World) -> None:
    world.send(channels=(FAX,))
    first = world.on_wire(FAX)
    world.settle(first, S.QUEUED, cause="connect-failed")
    second = world.on_wire(FAX)
    (fax,) = world.ledger.relayed_faxes.handed_over(world.clock() - HOUR)
    assert fax.attempt == second.fence > first.fence


def test_what_a_provider_never_confirmed_becomes_a_persons_who_may_send_it_again(world: World) -> None:
    submission = world.send(channels=(FAX,))
    world.accepted(FAX)
    world.clock.advance(hours=3)
    assert _park(world) == 0
    world.clock.advance(hours=2)
    assert (_park(world), _park(world)) == (1, 0)
    (item,) = world.items()
    assert (item.reason, item.phone_line) == (UNCONFIRMED, PHONE_LINE)
    assert world.states(submission) == {"role:a/fax": "parked"}
    _decide(world, Decision.RETRY)
    assert world.states(submission) == {"role:a/fax": "queued"}


def test_an_urgent_fax_is_asked_about_sooner(world: World) -> None:
    world.send("doc-1", channels=(FAX,))
    world.accepted(FAX)
    world.send("doc-2", channels=(FAX,), priority=10)
    urgent = world.accepted(FAX)
    world.clock.advance(hours=2)
    assert _park(world) == 1
    (item,) = world.items()
    assert (item.about_id, item.urgent) == (urgent.id, True)


def test_a_confirmation_that_comes_late_closes_the_question(world: World) -> None:
    submission = world.send(channels=(FAX,))
    delivery = world.accepted(FAX)
    world.clock.advance(hours=5)
    _park(world)
    assert world.prove(delivery, S.DELIVERED) == 1
    assert world.states(submission) == {"role:a/fax": "delivered"} and world.items() == []
    assert _park(world) == 0


def test_what_is_delivered_or_no_fax_is_never_asked_about(world: World) -> None:
    world.send("doc-1", channels=(FAX,))
    world.prove(world.accepted(FAX), S.DELIVERED)
    world.send("doc-2", channels=(MAIL,))
    world.accepted(MAIL)
    world.clock.advance(hours=9)
    assert _park(world) == 0


def test_after_doubt_only_a_persons_word_lets_a_fax_go_again(world: World) -> None:
    world.send(channels=(FAX,))
    faxes = world.ledger.relayed_faxes
    delivery = _unclear_twice(world)
    assert not faxes.may_go_again(delivery.id)
    _decide(world, Decision.RETRY)
    assert faxes.may_go_again(delivery.id)
    again = world.on_wire(FAX)
    assert faxes.may_go_again(delivery.id), "asked while it is on the wire"
    world.settle(again, S.UNCLEAR, cause="no-answer", unclear=True)
    assert not faxes.may_go_again(delivery.id), "a new doubt needs a new word"


def test_a_word_said_before_the_doubt_does_not_count(world: World) -> None:
    """A refusal that a person answered with a retry, which then ended in doubt: nobody has spoken about that doubt."""
    world.send(channels=(FAX,))
    delivery = world.on_wire(FAX)
    world.settle(delivery, S.PARKED, cause="conflict")
    world.ledger.relayed_faxes.ask_about(delivery.reference, "look", "Regarder.")
    _decide(world, Decision.RETRY)
    again = world.on_wire(FAX)
    world.settle(again, S.UNCLEAR, cause="no-answer")
    world.clock.advance(hours=5)
    world.ledger.reap({})
    world.on_wire(FAX)
    assert not world.ledger.relayed_faxes.may_go_again(delivery.id)


def test_a_question_about_a_fax_is_asked_once(world: World) -> None:
    world.send(channels=(FAX,))
    delivery = world.accepted(FAX)
    for _ in range(2):
        world.ledger.relayed_faxes.ask_about(delivery.reference, "fax-answer-unsure", "Lire.")
    world.ledger.relayed_faxes.ask_about("nothing-of-ours", "fax-answer-unsure", "Lire.")
    (item,) = world.items()
    assert (item.about_id, item.reason) == (delivery.id, "fax-answer-unsure")
