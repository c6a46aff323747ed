"""Faxes on a person's desk, on both engines: read by their own entity only, confirmed once, the question closed with a trace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from adapter.errors import LedgerError
from adapter.ledger.fax_desk import Confirmation
from adapter.ledger.records import StoredEffects, WorkFilter
from adapter.model.effects import Parked
from adapter.model.receipt import ContentKind
from tests.builders.ledger import ENTITY, LEASE, OTHER_ENTITY, World

pytestmark = pytest.mark.contract

REASON = "fax-paper-form"


def fax(world: World, content: bytes = b"pages", entity: str = ENTITY, reason: str = REASON) -> str:
    receipt_id = world.receive(content=content, kind=ContentKind.FAX, entity=entity, side_car=b"{}", door="fax:accueil")
    (claim,) = [one for one in world.ledger.claim_receipts("w", 50, LEASE) if one.receipt.id == receipt_id]
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Parked(reason, "À relire.")))
    return receipt_id


def confirm(world: World, made: str, *faxes: str, settled: tuple[str, ...] | None = None) -> None:
    told = Confirmation(made, "draft demande-imagerie", faxes, faxes if settled is None else settled, (REASON,))
    world.ledger.keep_confirmation(told, "Mme Martin", legal_entity=ENTITY)


def kinds(world: World, receipt_id: str) -> list[str]:
    timeline = world.ledger.timeline(receipt_id, legal_entity=ENTITY)
    assert timeline is not None
    return [event.kind for event in timeline.events]


def test_faxes_are_read_with_their_pages_oldest_first_however_they_are_named(world: World) -> None:
    first = fax(world, b"one")
    world.clock.advance(minutes=1)
    second = fax(world, b"two")
    read = world.ledger.kept_faxes([second, first, second], legal_entity=ENTITY)
    assert [(one.receipt.id, one.content, one.side_car) for one in read] == [(first, b"one", b"{}"), (second, b"two", b"{}")]


def test_a_fax_of_another_entity_and_a_receipt_that_is_no_fax_are_unknown(world: World) -> None:
    mine, theirs, letter = fax(world), fax(world, entity=OTHER_ENTITY), world.receive()
    for other in (theirs, letter, "no-such-id"):
        with pytest.raises(LedgerError) as refused:
            world.ledger.kept_faxes([mine, other], legal_entity=ENTITY)
        assert (refused.value.code, refused.value.where) == ("fax.unknown", other)


def test_what_a_person_confirmed_of_a_fax_is_no_fax(world: World) -> None:
    confirmed = world.receive(kind=ContentKind.FAX, door="fax-desk:accueil")
    with pytest.raises(LedgerError, match="no such fax"):
        world.ledger.kept_faxes([confirmed], legal_entity=ENTITY)


def test_a_fax_that_waits_to_be_read_is_not_shown(world: World) -> None:
    fresh = world.receive(kind=ContentKind.FAX)
    with pytest.raises(LedgerError, match="has not read it yet"):
        world.ledger.kept_faxes([fresh], legal_entity=ENTITY)


def test_confirmed_pages_lead_to_what_came_of_them_in_their_entity_only(world: World) -> None:
    made = world.receive(lookups=(("reference", "fax-page:a#1"), ("reference", "fax-page:a#2")), reference="fax-draft:x")
    names = ["fax-page:a#1", "fax-page:a#2", "fax-page:a#3"]
    found = world.ledger.confirmed_as(names, legal_entity=ENTITY)
    assert {name: (receipt.id, receipt.reference) for name, receipt in found.items()} == dict.fromkeys(
        names[:2], (made, "fax-draft:x")
    )
    assert world.ledger.confirmed_as(names, legal_entity=OTHER_ENTITY) == {}
    assert world.ledger.confirmed_as([], legal_entity=ENTITY) == {}


def test_what_was_refused_under_a_page_confirms_nothing(world: World) -> None:
    from dataclasses import replace

    world.ledger.commit_receipts([replace(world.refused(), lookups=(("reference", "fax-page:a#1"),))])
    assert world.ledger.confirmed_as(["fax-page:a#1"], legal_entity=ENTITY) == {}


def test_a_confirmation_is_told_on_both_sides_audited_and_closes_its_question_once(world: World) -> None:
    waiting, made = fax(world), world.receive()
    for _ in range(2):  # a crash may make it run again
        confirm(world, made, waiting)
    assert kinds(world, waiting).count("fax-confirmed") == 1 and kinds(world, waiting).count("decided-close") == 1
    assert kinds(world, made).count("from-fax") == 1
    assert world.ledger.list_work_items(legal_entity=ENTITY) == []
    (decided,) = world.ledger.list_work_items(WorkFilter(open_only=False), legal_entity=ENTITY)
    assert (decided.decision, decided.decided_by) == ("close", "Mme Martin")


def test_a_fax_of_which_something_is_left_keeps_its_question(world: World) -> None:
    waiting, made = fax(world), world.receive()
    confirm(world, made, waiting, settled=())
    assert [item.about_id for item in world.ledger.list_work_items(legal_entity=ENTITY)] == [waiting]
    assert "fax-confirmed" in kinds(world, waiting)


def test_a_question_for_another_reason_stays_open(world: World) -> None:
    waiting, made = fax(world, reason="fax-unverified"), world.receive()
    confirm(world, made, waiting)
    assert [item.reason for item in world.ledger.list_work_items(legal_entity=ENTITY)] == ["fax-unverified"]


def test_two_persons_who_confirm_at_once_tell_it_once(world: World) -> None:
    first = fax(world, b"one")
    world.clock.now += timedelta(minutes=1)
    second, made = fax(world, b"two"), world.receive()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda faxes: confirm(world, made, *faxes), [(first, second), (second, first)]))
    for waiting in (first, second):
        assert kinds(world, waiting).count("fax-confirmed") == 1 and kinds(world, waiting).count("decided-close") == 1
