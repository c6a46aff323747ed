"""A page without a patient goes before the first document, once a question, and ends with it. On both engines."""

from __future__ import annotations

import pytest

from adapter.errors import LedgerError
from adapter.ledger.records import Decision
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.fax_number import FaxNumber, FirstFax, NumberState, NumberUse
from tests.builders.ledger import ENTITY, FAX, PHONE_LINE, World

pytestmark = pytest.mark.contract
NUMBER = "+33199001234"
HOLDER = frozenset({"cms/"})


def hold(world: World, document: str, holders: frozenset[str] = HOLDER) -> None:
    """A document that waits for a word on its number."""
    world.send(document, channels=(FAX,))
    (claim,) = [one for one in world.claim(FAX) if one.delivery.purpose is Purpose.DOCUMENT]
    use = NumberUse(ENTITY, NUMBER, holders, "Centre d'essai", PHONE_LINE)
    assert not world.ledger.fax_numbers.admit(claim.delivery.id, claim.delivery.fence, use, FirstFax.TEST_PAGE)


def pages(world: World) -> list[Delivery]:
    return [one for one in world.deliveries("doc-1") if one.purpose is Purpose.NOTICE]


def known(world: World) -> FaxNumber:
    (one,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    return one


def code(world: World) -> str:
    return world.ledger.fax_numbers.test_page_code(NUMBER, legal_entity=ENTITY)


def sent_page(world: World) -> Delivery:
    """The page, claimed as any delivery, and accepted by its engine."""
    delivery = world.claim_one(FAX)
    assert delivery.purpose is Purpose.NOTICE
    world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    world.settle(delivery, DeliveryState.ACCEPTED)
    return delivery


def test_one_page_is_queued_for_all_that_waits_for_a_number(world: World) -> None:
    hold(world, "doc-1")
    world.claim(FAX)
    hold(world, "doc-2")
    assert len(pages(world)) == 1 and len(known(world).waiting) == 2
    assert len(code(world)) == 4 and code(world).isdecimal()
    (item,) = world.items()
    assert "page d'essai" in item.advice and code(world) not in item.advice


def test_a_page_that_was_printed_proves_no_holder(world: World) -> None:
    hold(world, "doc-1")
    page = sent_page(world)
    world.prove(page, DeliveryState.DELIVERED)
    assert (known(world).state, known(world).test_page) == (NumberState.ASKED, DeliveryState.DELIVERED)
    assert (len(known(world).waiting), known(world).sent) == (1, ())
    assert [item.reason for item in world.items()] == ["first-fax-to-number"]
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_its_code_opens_the_number_and_another_does_not(world: World) -> None:
    hold(world, "doc-1")
    sent_page(world)
    right = code(world)
    wrong = f"{(int(right) + 1) % 10_000:04d}"
    with pytest.raises(LedgerError) as told:
        world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, code=wrong)
    assert told.value.code == "fax-number.wrong-code" and known(world).state is NumberState.ASKED
    assert world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, code=right) == 1
    assert (known(world).state, known(world).by_code, code(world)) == (NumberState.CONFIRMED, True, "")


@pytest.mark.parametrize("answer", ["confirm", "wrong", "hand-over"])
def test_a_page_that_has_not_left_ends_with_its_question(world: World, answer: str) -> None:
    hold(world, "doc-1")
    if answer == "confirm":
        world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY)
    elif answer == "wrong":
        world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    else:
        world.ledger.resolve(world.items()[0].id, Decision(answer), "alice", legal_entity=ENTITY)
    assert [page.state for page in pages(world)] == [DeliveryState.CANCELLED]
    assert code(world) == ""


def test_a_new_holder_gets_a_page_and_a_code_of_their_own(world: World) -> None:
    hold(world, "doc-1")
    sent_page(world)
    world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY)
    world.claim(FAX)
    hold(world, "doc-2", frozenset({"autre/"}))
    newer = [one for one in world.deliveries("doc-2") if one.purpose is Purpose.NOTICE]
    assert [one.state for one in newer] == [DeliveryState.QUEUED]
    assert len(code(world)) == 4
