"""Addresses that a partner said are nobody's: suspended for all, found whatever their case, lifted by a person only."""

from __future__ import annotations

import pytest

from adapter.model.delivery import DeliveryState as S
from tests.builders.ledger import ENTITY, FAX, OTHER_ENTITY, World

pytestmark = pytest.mark.contract

ADDRESS = "role:a@mssante.example"


def suspended(world: World, entity: str = ENTITY, address: str = ADDRESS) -> bool:
    return bool(world.ledger.suspended_among([address], legal_entity=entity))


def refuse_mail(world: World, *, role: str = "role:a") -> None:
    world.send(roles=(role,))
    world.settle(world.on_wire(), S.REFUSED, cause="mailbox-unknown", suspends_address=True)


def test_an_answer_that_knows_no_such_mailbox_suspends_it_for_every_entity(world: World) -> None:
    refuse_mail(world)
    assert suspended(world) and suspended(world, OTHER_ENTITY)
    assert suspended(world, address=ADDRESS.upper())
    assert not suspended(world, address="role:b@mssante.example")
    (one,) = world.ledger.list_suspended(legal_entity=OTHER_ENTITY)
    assert (one.address, one.cause) == (ADDRESS, "mailbox-unknown")


def test_a_late_notice_of_no_such_mailbox_suspends_it_too(world: World) -> None:
    submission = world.send()
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-unknown", suspends=lambda cause: cause == "mailbox-unknown")
    assert suspended(world)
    assert "address-suspended" in world.events(submission.id)
    assert world.states(submission)[f"role:a/{FAX.value}"] == "queued"


def test_another_refusal_suspends_nothing(world: World) -> None:
    world.send()
    world.settle(world.on_wire(), S.REFUSED, cause="content-refused")
    assert not suspended(world)


def test_a_patients_mailbox_is_the_secret_of_the_entity_that_wrote(world: World) -> None:
    refuse_mail(world, role="patient")
    assert suspended(world, address="patient@mssante.example")
    assert not suspended(world, OTHER_ENTITY, "patient@mssante.example")
    assert world.ledger.list_suspended(legal_entity=OTHER_ENTITY) == ()


def test_the_first_cause_stands_and_the_address_is_listed_once(world: World) -> None:
    refuse_mail(world)
    world.send("doc-2")
    world.settle(world.on_wire(), S.REFUSED, cause="recipient-left", suspends_address=True)
    assert [one.cause for one in world.ledger.list_suspended(legal_entity=ENTITY)] == ["mailbox-unknown"]


def test_only_a_person_lifts_it_and_it_may_be_suspended_again(world: World) -> None:
    refuse_mail(world)
    world.send("doc-2")
    world.prove(world.accepted(), S.READ)
    assert suspended(world)
    assert world.ledger.lift_suspension(ADDRESS.title(), "operator", legal_entity=ENTITY)
    assert not suspended(world)
    assert not world.ledger.lift_suspension(ADDRESS, "operator", legal_entity=ENTITY)
    world.send("doc-3")
    world.settle(world.on_wire(), S.REFUSED, cause="mailbox-unknown", suspends_address=True)
    assert suspended(world)


def test_no_clear_address_stands_in_the_tables_and_no_repr_shows_it(world: World) -> None:
    refuse_mail(world)
    (one,) = world.ledger.list_suspended(legal_entity=ENTITY)
    assert ADDRESS not in repr(one)


def test_a_fax_number_is_never_suspended_as_a_mailbox(world: World) -> None:
    world.send(channels=(FAX,))
    world.settle(world.on_wire(FAX), S.REFUSED, cause="mailbox-unknown", suspends_address=True)
    assert world.ledger.list_suspended(legal_entity=ENTITY) == ()
