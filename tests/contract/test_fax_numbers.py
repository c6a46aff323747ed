"""A number is asked about once, before the first document is dialled; a wrong one stops everything for it. On both engines."""

from __future__ import annotations

import threading

import pytest

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger.records import Decision
from adapter.ledger.visibility import PROFESSIONALS
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.fax_number import FirstFax, NumberState, NumberUse
from adapter.model.submission import Submission
from adapter.model.withdrawal import Withdrawn
from adapter.model.work_item import FIRST_FAX, WRONG_FAX_NUMBER, WorkAbout
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, OTHER_ENTITY, PHONE_LINE, World

pytestmark = pytest.mark.contract
NUMBER, OTHER_NUMBER = "+33199001234", "+33261911234"
HOLDER, OTHER_HOLDER = frozenset({"cms/"}), frozenset({"autre/"})


def use(*, number: str = NUMBER, holders: frozenset[str] = HOLDER, urgent: bool = False, entity: str = ENTITY) -> NumberUse:
    return NumberUse(entity, number, holders, "Centre d'essai", PHONE_LINE, urgent)


def plan(world: World, document: str, **changes: object) -> Submission:
    return world.send(document, channels=(FAX,), **changes)


def claim(world: World) -> Delivery:
    return world.claim_one(FAX)


def admit(world: World, delivery: Delivery, how: NumberUse | None = None, policy: FirstFax = FirstFax.ASK) -> bool:
    return world.ledger.fax_numbers.admit(delivery.id, delivery.fence, how or use(entity=delivery.legal_entity), policy)


def send(world: World, document: str, how: NumberUse | None = None, policy: FirstFax = FirstFax.ASK, **changes: object) -> str:
    """Plan, claim, ask; on the wire when it may. The delivery's id."""
    plan(world, document, **changes)
    delivery = claim(world)
    if admit(world, delivery, how, policy):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
        world.settle(delivery, DeliveryState.ACCEPTED)
    return delivery.id


def state_of(world: World, document: str, entity: str = ENTITY) -> str:
    (delivery,) = world.deliveries(document, entity)
    return delivery.state.value


def test_the_first_document_waits_and_one_question_is_asked_for_all(world: World) -> None:
    first, second = send(world, "doc-1"), send(world, "doc-2")
    assert [state_of(world, d) for d in ("doc-1", "doc-2")] == ["parked", "parked"]
    (item,) = world.items()
    assert (item.about, item.about_id, item.reason, item.urgent) == (WorkAbout.FAX_NUMBER, NUMBER, FIRST_FAX, False)
    (known,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    assert (known.state, set(known.waiting), known.sent, known.holders) == (NumberState.ASKED, {first, second}, (), HOLDER)
    assert world.ledger.conservation(legal_entity=ENTITY).lost == ()
    timeline = world.ledger.timeline("doc-2", legal_entity=ENTITY)
    assert timeline is not None and [one.id for one in timeline.work_items] == [item.id]


def test_an_urgent_document_makes_the_question_urgent_with_its_line_to_call(world: World) -> None:
    send(world, "doc-1")
    send(world, "doc-2", use(urgent=True))
    (item,) = world.items()
    assert (item.urgent, item.phone_line) == (True, PHONE_LINE)


def test_a_persons_word_lets_everything_go_and_is_not_asked_for_again(world: World) -> None:
    send(world, "doc-1")
    send(world, "doc-2")
    assert world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY) == 2
    assert world.items() == []
    (known,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    assert (known.state, known.decided_by, known.by_code, known.waiting) == (NumberState.CONFIRMED, "alice", False, ())
    for held in world.claim(FAX):
        assert admit(world, held.delivery)
    assert "fax-number.confirmed" in audited(world)


def test_answering_the_item_confirms_as_the_command_does(world: World) -> None:
    send(world, "doc-1")
    (item,) = world.items()
    decided = world.ledger.resolve(item.id, Decision.RETRY, "alice", legal_entity=ENTITY)
    assert decided.decision == "retry" and state_of(world, "doc-1") == "queued"
    assert world.ledger.fax_numbers.all(legal_entity=ENTITY)[0].state is NumberState.CONFIRMED


@pytest.mark.parametrize(("decision", "cause"), [("hand-over", "handed-over"), ("cancel", "cancelled"), ("close", "closed")])
def test_any_other_answer_ends_what_waited_and_the_next_document_asks_anew(world: World, decision: str, cause: str) -> None:
    send(world, "doc-1")
    world.ledger.resolve(world.items()[0].id, Decision(decision), "alice", legal_entity=ENTITY)
    (delivery,) = world.deliveries("doc-1")
    assert (delivery.state, delivery.cause) == (DeliveryState.CANCELLED, cause)
    send(world, "doc-2")
    assert [item.reason for item in world.items()] == [FIRST_FAX]


def test_a_number_that_somebody_else_has_now_is_asked_about_again(world: World) -> None:
    world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, holders=HOLDER)
    send(world, "doc-1")
    assert state_of(world, "doc-1") == "accepted"
    send(world, "doc-2", use(holders=OTHER_HOLDER))
    assert state_of(world, "doc-2") == "parked"
    (known,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    assert (known.state, known.holders, known.decided_by) == (NumberState.ASKED, OTHER_HOLDER, "")


def test_a_colleague_who_leaves_the_number_changes_nothing(world: World) -> None:
    world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, holders=HOLDER | OTHER_HOLDER)
    send(world, "doc-2", use(holders=HOLDER))
    assert state_of(world, "doc-2") == "accepted"


def test_without_a_guard_everything_leaves_and_is_remembered(world: World) -> None:
    sent = send(world, "doc-1", policy=FirstFax.SEND)
    (known,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    assert (known.state, known.sent, world.items()) == (NumberState.SEEN, (sent,), [])
    send(world, "doc-2")  # the guard is set up later: what was merely seen is asked about
    assert state_of(world, "doc-2") == "parked"


def test_a_wrong_number_stops_all_and_lists_what_went(world: World) -> None:
    sent = send(world, "doc-1", policy=FirstFax.SEND)
    other = send(world, "doc-2", use(number=OTHER_NUMBER), policy=FirstFax.SEND)
    waiting = send(world, "doc-3")
    known = world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    assert (known.state, known.sent, known.waiting) == (NumberState.SUSPENDED, (sent,), (waiting,))
    (item,) = world.items()
    assert (item.reason, item.urgent, sent in item.advice, other in item.advice) == (WRONG_FAX_NUMBER, True, True, False)
    send(world, "doc-4", policy=FirstFax.SEND)
    assert state_of(world, "doc-4") == "parked" and len(world.items()) == 1
    assert world.ledger.conservation(legal_entity=ENTITY).lost == ()
    assert "fax-number.wrong" in audited(world)


def test_what_is_queued_to_be_tried_again_at_a_wrong_number_waits_too(world: World) -> None:
    plan(world, "doc-1")
    delivery = claim(world)
    assert admit(world, delivery, policy=FirstFax.SEND)
    world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    world.settle(delivery, DeliveryState.QUEUED, cause="line-busy")
    world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    assert state_of(world, "doc-1") == "parked"
    assert world.claim(FAX) == []


def test_what_a_worker_is_about_to_dial_at_a_wrong_number_never_leaves(world: World) -> None:
    world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, holders=HOLDER)
    plan(world, "doc-1")
    delivery = claim(world)
    assert admit(world, delivery)
    known = world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    assert (known.waiting, known.sent) == ((delivery.id,), ())
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    assert state_of(world, "doc-1") == "parked"


def test_a_wrong_number_is_wrong_for_every_entity_and_each_sees_its_own_only(world: World) -> None:
    mine = send(world, "doc-1", policy=FirstFax.SEND)
    theirs = send(world, "doc-2", policy=FirstFax.SEND, entity=OTHER_ENTITY)
    world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    (own_item,), (their_item,) = world.items(), world.items(OTHER_ENTITY)
    assert mine in own_item.advice and theirs not in own_item.advice
    assert theirs in their_item.advice and mine not in their_item.advice
    assert world.ledger.fax_numbers.all(legal_entity=OTHER_ENTITY)[0].decided_by == ""
    third = "930000003"
    send(world, "doc-3", policy=FirstFax.SEND, entity=third)
    assert state_of(world, "doc-3", third) == "parked"


def test_a_wrong_number_goes_on_only_when_it_is_confirmed_by_its_own_command(world: World) -> None:
    send(world, "doc-1")
    world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    (item,) = world.items()
    with pytest.raises(LedgerError) as told:
        world.ledger.resolve(item.id, Decision.RETRY, "bob", legal_entity=ENTITY)
    assert told.value.code == "fax-number.suspended"
    assert world.ledger.fax_numbers.confirm(NUMBER, "bob", legal_entity=ENTITY, holders=HOLDER) == 1
    assert world.items() == []
    (held,) = world.claim(FAX)
    assert admit(world, held.delivery)


def test_a_number_of_neither_directory_nor_ledger_is_never_written_down(world: World) -> None:
    for word in (world.ledger.fax_numbers.confirm, world.ledger.fax_numbers.report_wrong):
        with pytest.raises(LedgerError) as told:
            word(NUMBER, "alice", legal_entity=ENTITY)
        assert told.value.code == "fax-number.unknown" and NUMBER not in str(told.value)
    assert world.ledger.fax_numbers.all(legal_entity=ENTITY) == ()


def test_a_number_may_be_confirmed_before_anything_goes_there(world: World) -> None:
    world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, holders=HOLDER)
    send(world, "doc-1")
    assert state_of(world, "doc-1") == "accepted"


def test_a_newer_version_takes_the_place_of_what_waits(world: World) -> None:
    send(world, "doc-1", set_id="set")
    plan(world, "doc-1b", set_id="set", version=2)
    delivery = claim(world)
    admit(world, delivery)
    assert world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY) == 1
    assert (state_of(world, "doc-1"), state_of(world, "doc-1b")) == ("superseded", "queued")


def test_a_claim_that_was_lost_parks_nothing(world: World) -> None:
    plan(world, "doc-1")
    delivery = claim(world)
    world.ledger.release_delivery(delivery.id, delivery.fence)
    with pytest.raises(StaleClaimError):
        admit(world, delivery)
    assert (state_of(world, "doc-1"), world.items()) == ("queued", [])


def test_two_workers_who_meet_a_new_number_ask_one_question(world: World) -> None:
    for number in range(8):
        plan(world, f"doc-{number}")
    claims = world.claim(FAX)
    ledgers, start, failed = [world.ledger, world.second_ledger()], threading.Barrier(8), []

    def work(rank: int) -> None:
        start.wait()
        try:
            held = claims[rank].delivery
            assert not ledgers[rank % 2].fax_numbers.admit(held.id, held.fence, use(), FirstFax.ASK)
        except Exception as error:  # told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(world.items()) == 1
    assert len(world.ledger.fax_numbers.all(legal_entity=ENTITY)[0].waiting) == 8


def test_a_word_given_while_documents_are_being_parked_leaves_none_behind(world: World) -> None:
    send(world, "doc-first")
    for number in range(6):
        plan(world, f"doc-{number}")
    claims = world.ledger.claim_deliveries("w1", FAX, 10, LEASE)
    second, start = world.second_ledger(), threading.Barrier(7)

    def park(rank: int) -> None:
        start.wait()
        held = claims[rank].delivery
        world.ledger.fax_numbers.admit(held.id, held.fence, use(), FirstFax.ASK)

    def confirm() -> None:
        start.wait()
        second.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY)

    threads = [threading.Thread(target=park, args=(rank,)) for rank in range(6)] + [threading.Thread(target=confirm)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (known,) = world.ledger.fax_numbers.all(legal_entity=ENTITY)
    assert (known.state, known.waiting, world.items()) == (NumberState.CONFIRMED, (), [])


def test_a_word_on_a_number_sends_nothing_to_whom_another_channel_served_meanwhile(world: World) -> None:
    world.send("doc-1", channels=(MAIL, FAX))
    mail = world.on_wire(MAIL)
    world.settle(mail, DeliveryState.REFUSED, cause="undeliverable", open_next_leg=True)
    assert not admit(world, claim(world))
    world.prove(mail, DeliveryState.DELIVERED)
    assert world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY) == 0
    assert world.claim(FAX) == []
    assert [one.state.value for one in world.deliveries("doc-1")] == ["delivered", "waiting"]


def test_a_confirmed_number_waits_for_the_engines_answer_about_what_was_asked_back(world: World) -> None:
    plan(world, "doc-1")
    delivery = claim(world)
    assert admit(world, delivery, policy=FirstFax.SEND)
    world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    world.settle(delivery, DeliveryState.QUEUED, cause="line-busy")
    world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY)
    assert world.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=ENTITY, holders=HOLDER) == 1
    assert world.claim(FAX) == [], "the engine, asked late, would take the new job back for the old one"
    assert world.ledger.settle_withdrawal(delivery.id, Withdrawn.GONE)
    (held,) = world.claim(FAX)
    assert admit(world, held.delivery) and world.items() == []


def test_what_came_back_once_and_went_later_is_listed_among_what_went_to_a_wrong_number(world: World) -> None:
    plan(world, "doc-1")
    for state in (DeliveryState.QUEUED, DeliveryState.ACCEPTED):
        delivery = claim(world)
        assert admit(world, delivery, policy=FirstFax.SEND)
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
        world.settle(delivery, state)
        for hidden in (frozenset({PROFESSIONALS}), frozenset[str]()) if state is DeliveryState.QUEUED else ():
            world.ledger.order_visibility("doc-1", hidden, "dr", legal_entity=ENTITY)
        world.ledger.settle_withdrawal(delivery.id, Withdrawn.GONE)
    assert world.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=ENTITY).sent == (delivery.id,)


def audited(world: World) -> set[str]:
    """Actions of the audit rows, sealed or not."""
    from sqlalchemy import select

    from adapter.ledger import tables

    with world.ledger._database.read() as connection:
        return set(connection.execute(select(tables.audit.c.action)).scalars())
