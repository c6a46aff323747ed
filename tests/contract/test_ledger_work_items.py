"""What waits for a person: listed once, decided once, the decision applied and audited."""

from __future__ import annotations

import pytest

from adapter.errors import LedgerError
from adapter.ledger.records import Decision, StoredEffects, WorkFilter
from adapter.model.delivery import Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.effects import Parked
from adapter.model.receipt import ReceiptState
from adapter.model.submission import Intent
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, OTHER_ENTITY, World, stored_submission, work_item

pytestmark = pytest.mark.contract
DELIVERY = WorkAbout.DELIVERY


def parked_delivery(world: World, **kwargs: object) -> Delivery:
    """A delivery that waits for a person, with its item."""
    world.send(**kwargs)  # type: ignore[arg-type]
    delivery = world.on_wire()
    world.settle(delivery, S.PARKED, cause="conflict", work_item=work_item(world, DELIVERY, delivery.id, "conflict"))
    return delivery


def parked_receipt(world: World) -> str:
    """A receipt that waits for a person."""
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Parked("closed-unit", "Unité fermée.")))
    return receipt_id


def decide(world: World, decision: Decision) -> None:
    """Decide the only open item."""
    (item,) = world.items()
    decided = world.ledger.resolve(item.id, decision, "Mme Essai", legal_entity=ENTITY)
    assert (decided.decision, decided.decided_by, decided.decided_at) == (decision.value, "Mme Essai", world.clock())
    assert world.items() == []


def test_the_same_question_is_open_once_and_may_be_asked_again_later(world: World) -> None:
    submission = world.send()
    assert world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "late"))
    assert not world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "late"))
    decide(world, Decision.CLOSE)
    assert world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "late"))


def test_items_are_filtered(world: World) -> None:
    submission = world.send()
    for reason, urgent in (("a", False), ("b", True), ("c", False)):
        world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, reason, urgent=urgent))
    (item,) = world.ledger.list_work_items(WorkFilter(urgent_only=True), legal_entity=ENTITY)
    world.ledger.resolve(item.id, Decision.CLOSE, "x", legal_entity=ENTITY)

    def reasons(which: WorkFilter) -> list[str]:
        return sorted(one.reason for one in world.ledger.list_work_items(which, legal_entity=ENTITY))

    assert reasons(WorkFilter()) == ["a", "c"]
    assert reasons(WorkFilter(open_only=False)) == ["a", "b", "c"]
    assert reasons(WorkFilter(reason="c")) == ["c"]
    assert reasons(WorkFilter(about=WorkAbout.RECEIPT)) == []
    assert len(reasons(WorkFilter(about_id=submission.id, limit=1))) == 1


def test_an_item_of_another_entity_is_unknown(world: World) -> None:
    parked_receipt(world)
    (item,) = world.items()
    with pytest.raises(LedgerError, match=r"work-item\.unknown"):
        world.ledger.resolve(item.id, Decision.CLOSE, "x", legal_entity=OTHER_ENTITY)


def test_an_item_is_decided_once(world: World) -> None:
    parked_receipt(world)
    (item,) = world.items()
    world.ledger.resolve(item.id, Decision.CLOSE, "x", legal_entity=ENTITY)
    with pytest.raises(LedgerError, match=r"work-item\.decided"):
        world.ledger.resolve(item.id, Decision.RETRY, "y", legal_entity=ENTITY)


def test_retrying_a_parked_receipt_prepares_it_again(world: World) -> None:
    receipt_id = parked_receipt(world)
    decide(world, Decision.RETRY)
    world.prepare(stored_submission("doc-1", receipt_id), receipt_id=receipt_id)
    timeline = world.ledger.timeline(receipt_id, legal_entity=ENTITY)
    assert timeline is not None and timeline.receipt.state is ReceiptState.PREPARED


def test_closing_a_parked_receipt_makes_it_final(world: World) -> None:
    parked_receipt(world)
    decide(world, Decision.CLOSE)
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.final, count.parked, count.holds) == (1, 0, True)


def test_a_receipt_has_nothing_to_correct_and_its_question_stays_open(world: World) -> None:
    parked_receipt(world)
    with pytest.raises(LedgerError, match=r"work-item\.no-correction.*Choose retry"):
        decide(world, Decision.CORRECT)
    assert len(world.items()) == 1


def test_a_refused_receipt_is_not_retried(world: World) -> None:
    world.receive("k")
    world.receive("k", content=b"other")
    (item,) = world.items()
    with pytest.raises(LedgerError, match=r"work-item\.no-retry"):
        world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)
    assert len(world.items()) == 1


def test_retrying_a_submission_plans_the_roles_that_had_nothing(world: World) -> None:
    receipt_id = world.receive()
    first = stored_submission("doc-1", receipt_id, roles=("role:a",))
    submission = first.translation.submission
    item = work_item(world, WorkAbout.SUBMISSION, submission.id, "unknown-recipient")
    world.prepare(first, items=(item,), receipt_id=receipt_id)
    delivery = world.accepted()
    decide(world, Decision.RETRY)
    again = stored_submission("doc-1", receipt_id, roles=("role:a", "role:b"), channels=(FAX,))
    world.prepare(again, receipt_id=receipt_id)
    assert world.states(submission) == {"role:a/mssante": "accepted", "role:a/fax": "waiting", "role:b/fax": "queued"}
    (claim,) = world.claim(FAX)
    assert {r.role_id: [leg.channel for leg in r.legs] for r in claim.plan.recipients} == {"role:a": [MAIL, FAX], "role:b": [FAX]}
    assert delivery.role_id == "role:a"


def test_cancelling_a_submission_stops_what_has_not_left(world: World) -> None:
    submission = world.send(roles=("role:a", "role:b"))
    world.claim(limit=1)
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id))
    decide(world, Decision.CANCEL)
    assert set(world.states(submission).values()) == {"cancelled"}
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "final"


def test_retrying_a_parked_delivery_queues_it_afresh(world: World) -> None:
    delivery = parked_delivery(world)
    decide(world, Decision.RETRY)
    again = world.claim_one()
    assert (again.id, again.attempts, again.cause) == (delivery.id, 1, "")


def test_a_retry_after_two_unclear_sends_still_asks_the_partner_first(world: World) -> None:
    world.send()
    for _ in range(2):
        world.settle(world.on_wire(), S.UNCLEAR, cause="no-answer", not_before=world.clock())
        world.ledger.reap({})
    decide(world, Decision.RETRY)
    assert world.claim_one().unclear_count == 2


def test_a_refused_delivery_may_be_retried(world: World) -> None:
    world.send(channels=(MAIL,))
    world.settle(world.on_wire(), S.REFUSED, cause="too-large", open_next_leg=True)
    decide(world, Decision.RETRY)
    assert world.claim_one().attempts == 1


def test_a_delivery_that_waits_to_be_retried_goes_at_once(world: World) -> None:
    from datetime import timedelta

    world.send()
    delivery = world.on_wire()
    item = work_item(world, DELIVERY, delivery.id, "partner-busy")
    later = world.clock() + timedelta(hours=1)
    world.settle(delivery, S.QUEUED, cause="partner-busy", not_before=later, work_item=item)
    assert world.claim() == []
    decide(world, Decision.RETRY)
    assert len(world.claim()) == 1


def test_what_arrived_is_not_sent_again(world: World) -> None:
    world.send()
    delivery = world.accepted()
    item = work_item(world, DELIVERY, delivery.id)
    world.ledger.open_work_item(item)
    with pytest.raises(LedgerError, match=r"work-item\.no-retry"):
        world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)


def test_an_older_version_is_not_retried_after_the_newer(world: World) -> None:
    world.send("doc-1", set_id="set", channels=(MAIL,))
    world.settle(world.on_wire(), S.REFUSED, cause="too-large", open_next_leg=True)
    world.send("doc-2", set_id="set", version=2, intent=Intent.REPLACE)
    (item,) = world.items()
    with pytest.raises(LedgerError, match=r"newer-version"):
        world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)


@pytest.mark.parametrize("decision", [Decision.CANCEL, Decision.HAND_OVER, Decision.CLOSE])
def test_any_other_decision_on_a_parked_delivery_ends_it_and_its_fallback(world: World, decision: Decision) -> None:
    delivery = parked_delivery(world)
    decide(world, decision)
    assert {d.state for d in world.deliveries(delivery.id)} == {S.CANCELLED}
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.final, count.holds) == (1, True)


def test_closing_a_refused_last_leg_makes_it_final(world: World) -> None:
    world.send(channels=(MAIL,))
    world.settle(world.on_wire(), S.REFUSED, cause="too-large", open_next_leg=True)
    decide(world, Decision.CLOSE)
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.final, count.holds) == (1, True)


def test_handing_over_an_urgent_retry_stops_the_sends(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    item = work_item(world, DELIVERY, delivery.id, "partner-busy", urgent=True)
    world.settle(delivery, S.QUEUED, cause="partner-busy", work_item=item)
    decide(world, Decision.HAND_OVER)
    assert set(world.states(submission).values()) == {"cancelled"}


def test_closing_an_urgent_retry_lets_it_go_on(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    item = work_item(world, DELIVERY, delivery.id, "partner-busy", urgent=True)
    world.settle(delivery, S.QUEUED, cause="partner-busy", work_item=item)
    decide(world, Decision.CLOSE)
    assert world.states(submission) == {"role:a/mssante": "queued", "role:a/fax": "waiting"}


def test_what_is_being_sent_is_not_cancelled(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    item = work_item(world, DELIVERY, delivery.id)
    world.ledger.open_work_item(item)
    with pytest.raises(LedgerError, match=r"on-wire"):
        world.ledger.resolve(item.id, Decision.CANCEL, "x", legal_entity=ENTITY)


def test_an_item_is_found_by_its_id(world: World) -> None:
    delivery = parked_delivery(world)
    (item,) = world.items()
    assert world.ledger.find(item.id, legal_entity=ENTITY) == world.ledger.find(delivery.id, legal_entity=ENTITY)


def test_a_question_asked_under_the_id_of_a_decided_one_is_asked(world: World) -> None:
    """The pipeline's questions have the same id each time a receipt is prepared."""
    submission = world.send()
    item = work_item(world, WorkAbout.SUBMISSION, submission.id, "unknown-recipient")
    for _ in range(3):
        assert world.ledger.open_work_item(item)
        assert not world.ledger.open_work_item(item)
        decide(world, Decision.CLOSE)


def test_two_questions_with_one_reason_and_other_words_are_two(world: World) -> None:
    submission = world.send()
    for advice in ("Dr A : inconnu", "Dr B : inconnu", "Dr A : inconnu"):
        world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "unknown-recipient", advice=advice))
    assert sorted(item.advice for item in world.items()) == ["Dr A : inconnu", "Dr B : inconnu"]


def test_a_refused_leg_is_not_retried_while_another_serves(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    item = work_item(world, DELIVERY, delivery.id, "mailbox-unknown")
    world.settle(delivery, S.REFUSED, cause="mailbox-unknown", open_next_leg=True, work_item=item)
    with pytest.raises(LedgerError, match="another channel"):
        world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)
    world.accepted(FAX)
    with pytest.raises(LedgerError, match="another channel"):
        world.ledger.resolve(item.id, Decision.RETRY, "x", legal_entity=ENTITY)


def test_a_parked_delivery_that_nobody_is_asked_about_is_counted_as_lost(world: World) -> None:
    delivery = parked_delivery(world)
    assert world.ledger.conservation(legal_entity=ENTITY).holds
    world.send("doc-2")
    silent = world.on_wire()
    world.settle(silent, S.PARKED, cause="conflict")
    assert world.ledger.conservation(legal_entity=ENTITY).lost == (f"delivery:{silent.id}",)
    assert delivery.id != silent.id


def test_a_document_that_failed_everywhere_and_comes_again_is_asked_about_and_can_be_sent(world: World) -> None:
    first = world.send(channels=(FAX,))
    delivery = world.on_wire(FAX)
    world.settle(delivery, S.REFUSED, cause="no-such-number", open_next_leg=True)
    decide(world, Decision.CLOSE)
    world.send(channels=(FAX,))
    assert [(item.reason, item.about_id) for item in world.items()] == [("sent-again", delivery.id)]
    decide(world, Decision.RETRY)
    assert world.states(first) == {"role:a/fax": "queued"}
