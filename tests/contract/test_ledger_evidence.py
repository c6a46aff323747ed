"""Proofs: in any order, more than once, late, about what was parked or queued to go again. A state never goes back."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from adapter.errors import StaleClaimError
from adapter.ledger.records import Settlement
from adapter.model.delivery import DeliveryState as S
from adapter.model.evidence import Evidence
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, MAIL, OTHER_ENTITY, PHONE_LINE, RECORD, World, work_item

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("order", list(itertools.permutations([S.ACCEPTED, S.DELIVERED, S.READ])))
def test_proofs_in_any_order_end_at_the_highest(world: World, order: tuple[S, ...]) -> None:
    """Complaint 27: one status, whatever order DSN and MDN come in."""
    submission = world.send(channels=(MAIL,))
    delivery = world.on_wire()
    for proof in order:
        world.prove(delivery, proof)
    assert world.states(submission) == {"role:a/mssante": "read"}


def test_a_proof_that_comes_before_the_answer_is_not_undone_by_it(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.prove(delivery, S.READ)
    for state in (S.ACCEPTED, S.QUEUED, S.REFUSED, S.UNCLEAR):
        world.settle(delivery, state, partner_reference="4F2A")
    assert world.states(submission) == {"role:a/mssante": "read", "role:a/fax": "waiting"}
    assert world.events(submission.id).count("outcome-after-proof") == 4
    assert world.ledger.find("4F2A", legal_entity=ENTITY) == [submission.receipt_id]


def test_the_same_proof_twice_moves_once(world: World) -> None:
    world.send()
    delivery = world.accepted()
    assert [world.prove(delivery, S.DELIVERED) for _ in range(3)] == [1, 0, 0]


def test_a_lower_proof_changes_nothing_and_is_noted(world: World) -> None:
    submission = world.send()
    delivery = world.accepted()
    world.prove(delivery, S.READ)
    assert world.prove(delivery, S.DELIVERED) == 0
    assert world.states(submission)["role:a/mssante"] == "read"
    assert "proof-repeated" in world.events(submission.id)


@pytest.mark.parametrize("reached", [S.ACCEPTED, S.DELIVERED, S.READ])
def test_a_late_refusal_is_legal_and_opens_the_next_leg(world: World, reached: S) -> None:
    submission = world.send()
    delivery = world.accepted()
    if reached is not S.ACCEPTED:
        world.prove(delivery, reached)
    assert world.prove(delivery, S.REFUSED, "mailbox-unknown") == 1
    assert world.states(submission) == {"role:a/mssante": "refused", "role:a/fax": "queued"}
    assert world.items() == []


def test_a_late_refusal_of_the_last_leg_is_a_persons(world: World) -> None:
    submission = world.send(channels=(MAIL,))
    world.prove(world.accepted(), S.REFUSED, "mailbox-unknown")
    assert [item.reason for item in world.items()] == ["mailbox-unknown"]
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "parked"
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_a_cause_that_is_a_persons_never_opens_another_channel(world: World) -> None:
    """Seam 4: codes 900–906."""
    submission = world.send()
    world.prove(world.accepted(), S.REFUSED, "identity-904", opens_next_leg=lambda cause: not cause.startswith("identity-"))
    assert world.states(submission) == {"role:a/mssante": "refused", "role:a/fax": "waiting"}
    assert [item.reason for item in world.items()] == ["identity-904"]
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.parked, count.holds) == (1, True)


def test_a_failure_notice_then_a_success_notice_is_one_delivery(world: World) -> None:
    """Complaint 27: the fallback that has not left is stopped."""
    submission = world.send()
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-full")
    world.prove(delivery, S.DELIVERED)
    assert world.states(submission) == {"role:a/mssante": "delivered", "role:a/fax": "cancelled"}
    assert world.claim(FAX) == []


def test_a_fallback_on_the_wire_is_left_to_end(world: World) -> None:
    submission = world.send()
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-full")
    world.on_wire(FAX)
    world.prove(delivery, S.DELIVERED)
    assert world.states(submission)["role:a/fax"] == "on_wire"


def test_an_acceptance_does_not_undo_a_refusal(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.settle(delivery, S.REFUSED, cause="too-large")
    assert world.prove(delivery, S.ACCEPTED) == 0
    assert world.states(submission)["role:a/mssante"] == "refused"


def test_a_proof_settles_what_was_unclear(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.settle(delivery, S.UNCLEAR, cause="no-answer", not_before=world.clock() + timedelta(minutes=15))
    world.prove(delivery, S.DELIVERED)
    world.clock.advance(hours=1)
    assert world.ledger.reap({}) == 0
    assert world.states(submission)["role:a/mssante"] == "delivered"


def test_a_proof_stops_what_was_about_to_be_sent_again(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.settle(delivery, S.UNCLEAR, cause="no-answer", not_before=world.clock())
    world.ledger.reap({})
    again = world.claim_one()
    world.prove(delivery, S.DELIVERED)
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(again.id, again.fence, world.clock())
    assert world.states(submission)["role:a/mssante"] == "delivered"


def test_a_proof_about_what_a_person_was_asked_closes_the_question(world: World) -> None:
    submission = world.send()
    for _ in range(2):
        delivery = world.on_wire()
        world.settle(delivery, S.UNCLEAR, cause="no-answer", not_before=world.clock())
        world.ledger.reap({})
    assert len(world.items()) == 1
    world.prove(delivery, S.DELIVERED)
    assert world.items() == []
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "final"


def test_a_proof_about_what_was_never_sent_changes_nothing(world: World) -> None:
    submission = world.send()
    delivery = world.claim_one()
    assert world.prove(delivery, S.DELIVERED) == 0
    assert world.states(submission)["role:a/mssante"] == "claimed"
    assert "proof-before-send" in world.events(submission.id)


def test_a_proof_about_a_cancelled_or_superseded_delivery_is_noted(world: World) -> None:
    older = world.send(set_id="set", channels=(MAIL,))
    delivery = world.on_wire()
    world.settle(delivery, S.UNCLEAR, cause="no-answer", not_before=world.clock())
    world.send("doc-2", set_id="set", version=2)
    world.ledger.reap({})
    assert world.prove(delivery, S.DELIVERED) == 0
    assert world.states(older)["role:a/mssante"] == "superseded"
    assert "proof-too-late" in world.events(older.id)


def test_an_unmatched_proof_of_a_mailbox_is_listed_without_its_text(world: World) -> None:
    evidence = Evidence("<DUPONT@nowhere>", S.DELIVERED, world.clock(), "dsn")
    assert world.ledger.record_evidence([evidence], "mailbox", "7", legal_entity=ENTITY) == 0
    (item,) = world.items()
    assert item.reason == "unmatched-evidence" and "DUPONT" not in repr(item)


def test_a_proof_in_one_entitys_mailbox_does_not_move_anothers_delivery(world: World) -> None:
    submission = world.send()
    delivery = world.accepted()
    assert world.prove(delivery, S.DELIVERED, legal_entity=OTHER_ENTITY) == 0
    assert world.states(submission)["role:a/mssante"] == "accepted"


def test_the_cursor_is_committed_with_its_proofs(world: World) -> None:
    assert world.ledger.read_cursor("spool") == ""
    world.ledger.record_evidence([], "spool", "10")
    world.ledger.record_evidence([], "spool", "11")
    assert world.ledger.read_cursor("spool") == "11"
    assert world.ledger.read_cursor("spool", legal_entity=ENTITY) == ""


def test_one_collection_may_hold_many_proofs_of_one_delivery(world: World) -> None:
    submission = world.send()
    delivery = world.accepted()
    proofs = [
        Evidence(delivery.reference, S.READ, world.clock() + timedelta(seconds=2), "mdn"),
        Evidence(delivery.reference, S.DELIVERED, world.clock() + timedelta(seconds=1), "dsn"),
    ]
    assert world.ledger.record_evidence(proofs, "mailbox", "2") == 2
    assert world.states(submission)["role:a/mssante"] == "read"


# ── a person decides ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_parked_proof_is_listed_per_entity_urgent_first(world: World) -> None:
    submission = world.send()
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "later"))
    world.clock.advance(seconds=1)
    world.ledger.open_work_item(work_item(world, WorkAbout.SUBMISSION, submission.id, "now", urgent=True))
    assert [item.reason for item in world.items()] == ["now", "later"]
    assert world.items(OTHER_ENTITY) == []


def test_settling_never_loses_the_item_of_an_urgent_refusal(world: World) -> None:
    world.send(channels=(MAIL,))
    delivery = world.on_wire()
    item = work_item(world, WorkAbout.DELIVERY, delivery.id, "no-such-number", urgent=True)
    world.ledger.settle_send(delivery.id, delivery.fence, Settlement(S.PARKED, "no-such-number", work_item=item))
    assert world.items() == [item]


def test_a_second_refusal_does_not_open_a_third_channel_while_the_second_is_tried(world: World) -> None:
    submission = world.send(channels=(MAIL, FAX, RECORD))
    delivery = world.accepted()
    world.prove(delivery, S.REFUSED, "mailbox-full")
    world.on_wire(FAX)
    world.prove(delivery, S.DELIVERED)
    world.prove(delivery, S.REFUSED, "mailbox-full")
    assert world.states(submission) == {
        "role:a/mssante": "refused",
        "role:a/fax": "on_wire",
        "role:a/shared_record": "waiting",
    }


# ── a refusal that its cause lets us try again ────────────────────────────────────────────────────────────────


def _again(_cause: str, attempts: int) -> timedelta | None:
    return timedelta(minutes=2) if attempts < 2 else None


def test_a_proved_refusal_is_tried_again_after_its_wait_and_then_goes_on(world: World) -> None:
    submission = world.send()
    world.prove(world.accepted(), S.REFUSED, "line-busy", retry_after=_again)
    assert world.states(submission) == {"role:a/mssante": "queued", "role:a/fax": "waiting"}
    assert world.claim(MAIL) == []
    world.clock.advance(minutes=3)
    world.prove(world.accepted(), S.REFUSED, "line-busy", retry_after=_again)
    assert world.states(submission) == {"role:a/mssante": "refused", "role:a/fax": "queued"}


def test_what_a_person_holds_is_not_tried_again_by_a_proof(world: World) -> None:
    submission = world.send(channels=(MAIL,))
    delivery = world.on_wire()
    world.settle(delivery, S.PARKED, cause="conflict")
    world.prove(delivery, S.REFUSED, "line-busy", retry_after=_again)
    assert world.states(submission) == {"role:a/mssante": "refused"}
    assert [item.reason for item in world.items()] == ["line-busy"]


def test_nothing_is_tried_again_once_another_channel_took_over(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.settle(delivery, S.REFUSED, cause="too-large", open_next_leg=True)
    world.prove(delivery, S.DELIVERED)
    assert world.states(submission)["role:a/fax"] == "cancelled"
    world.prove(delivery, S.REFUSED, "line-busy", retry_after=_again)
    assert world.states(submission)["role:a/mssante"] == "queued"
    other = world.send("doc-2")
    mail = world.accepted()
    world.prove(mail, S.REFUSED, "mailbox-unknown")
    world.accepted(FAX)
    world.prove(mail, S.DELIVERED)
    world.prove(mail, S.REFUSED, "line-busy", retry_after=_again)
    assert world.states(other) == {"role:a/mssante": "refused", "role:a/fax": "accepted"}


def test_an_urgent_document_refused_late_is_told_with_the_line_to_call(world: World) -> None:
    world.send(priority=10)
    world.prove(world.accepted(), S.REFUSED, "mailbox-unknown")
    assert [(item.reason, item.urgent, item.phone_line) for item in world.items()] == [("mailbox-unknown", True, PHONE_LINE)]
