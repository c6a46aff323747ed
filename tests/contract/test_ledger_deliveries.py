"""Deliveries: claimed by priority, on the wire only under their fence, settled once; lost leases and unclear sends."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from adapter.errors import IllegalTransitionError, LedgerError, StaleClaimError
from adapter.ledger.records import Decision, Settlement
from adapter.model.delivery import DeliveryState as S
from adapter.model.submission import Intent
from adapter.model.work_item import WorkAbout
from tests.builders.ledger import ENTITY, FAX, LEASE, MAIL, PHONE_LINE, RECORD, World, work_item

pytestmark = pytest.mark.contract
WAIT = {MAIL: timedelta(minutes=15)}


def test_urgent_first_then_oldest(world: World) -> None:
    for name, priority in (("a", 100), ("b", 10), ("c", 100), ("d", 50)):
        world.send(name, priority=priority)
        world.clock.advance(seconds=1)
    assert [claim.delivery.document_id for claim in world.claim()] == ["b", "d", "a", "c"]


def test_a_channel_claims_its_own_deliveries_only(world: World) -> None:
    world.send("a", channels=(MAIL,))
    assert world.claim(FAX) == []
    assert len(world.claim(MAIL)) == 1


def test_a_claim_counts_and_fences(world: World) -> None:
    world.send()
    delivery = world.claim_one()
    assert (delivery.state, delivery.fence, delivery.attempts) == (S.CLAIMED, 1, 1)
    assert world.claim() == []


def test_a_delivery_is_not_claimed_before_its_time(world: World) -> None:
    world.send()
    sent = world.on_wire()
    world.settle(sent, S.QUEUED, cause="partner-busy", not_before=world.clock() + timedelta(seconds=30))
    assert world.claim() == []
    world.clock.advance(seconds=30)
    again = world.claim_one()
    assert (again.attempts, again.cause) == (2, "partner-busy")


def test_sent_at_is_kept_from_the_first_time_so_that_a_resend_is_the_same(world: World) -> None:
    world.send()
    first = world.on_wire()
    moment = world.clock()
    world.settle(first, S.QUEUED, cause="partner-busy")
    world.clock.advance(minutes=5)
    second = world.on_wire()
    assert second.sent_at == moment
    assert world.deliveries(second.id)[0].sent_at == moment


def test_the_wire_is_not_touched_without_a_claim(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    with pytest.raises(LedgerError, match=r"delivery\.unknown"):
        world.ledger.mark_on_wire("nobody", 1, world.clock())


def test_what_died_while_claimed_goes_back_and_its_worker_is_fenced(world: World) -> None:
    world.send()
    slow = world.claim_one()
    world.clock.advance(seconds=61)
    assert world.ledger.reap(WAIT) == 1
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(slow.id, slow.fence, world.clock())
    assert world.claim_one().attempts == 2
    with pytest.raises(StaleClaimError):
        world.settle(slow, S.REFUSED)


def test_what_died_on_the_wire_is_unclear_waits_and_is_asked_for_again(world: World) -> None:
    submission = world.send()
    world.on_wire()
    world.clock.advance(seconds=61)
    assert world.ledger.reap(WAIT) == 1
    assert world.states(submission)["role:a/mssante"] == "unclear"
    assert world.ledger.reap(WAIT) == 0
    world.clock.advance(minutes=15)
    assert world.ledger.reap(WAIT) == 1
    again = world.claim_one()
    assert again.unclear_count == 1


def test_the_second_unclear_is_a_persons(world: World) -> None:
    submission = world.send()
    for _ in range(2):
        world.on_wire()
        world.clock.advance(seconds=61)
        world.ledger.reap(WAIT)
        world.clock.advance(minutes=16)
        world.ledger.reap(WAIT)
    assert world.states(submission)["role:a/mssante"] == "parked"
    assert [item.reason for item in world.items()] == ["unclear-twice"]
    assert world.ledger.conservation(legal_entity=ENTITY).parked == 1


def test_the_second_unclear_answer_is_a_persons_too(world: World) -> None:
    submission = world.send()
    world.settle(world.on_wire(), S.UNCLEAR, cause="no-answer", not_before=world.clock())
    world.ledger.reap(WAIT)
    world.settle(world.on_wire(), S.UNCLEAR, cause="no-answer", not_before=world.clock())
    assert world.states(submission)["role:a/mssante"] == "parked"


def test_a_live_lease_is_not_reaped_and_a_heartbeat_keeps_it_alive(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    world.clock.advance(seconds=59)
    assert world.ledger.reap(WAIT) == 0
    world.ledger.extend_lease(delivery.id, delivery.fence, LEASE)
    world.clock.advance(seconds=59)
    assert world.ledger.reap(WAIT) == 0
    world.settle(delivery, S.ACCEPTED)
    with pytest.raises(StaleClaimError):
        world.ledger.extend_lease(delivery.id, delivery.fence, LEASE)


def test_putting_on_the_wire_extends_the_lease(world: World) -> None:
    world.send()
    delivery = world.claim_one()
    world.clock.advance(seconds=50)
    world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    world.clock.advance(seconds=50)
    assert world.ledger.reap(WAIT) == 0


def test_a_late_worker_that_knows_the_answer_is_heard_while_nobody_else_sends(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap(WAIT)
    world.settle(delivery, S.ACCEPTED)
    assert world.states(submission)["role:a/mssante"] == "accepted"


def test_a_late_worker_is_not_heard_once_another_sends(world: World) -> None:
    world.send()
    late = world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap({MAIL: timedelta(0)})
    world.ledger.reap({MAIL: timedelta(0)})
    world.claim_one()
    with pytest.raises(StaleClaimError):
        world.settle(late, S.ACCEPTED)


def test_a_released_claim_was_not_an_attempt(world: World) -> None:
    world.send()
    delivery = world.claim_one()
    world.ledger.release_delivery(delivery.id, delivery.fence)
    assert world.claim_one().attempts == 1


def test_what_is_on_the_wire_is_not_released(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    with pytest.raises(StaleClaimError):
        world.ledger.release_delivery(delivery.id, delivery.fence)


def test_a_refusal_opens_the_next_leg(world: World) -> None:
    submission = world.send()
    item = work_item(world, WorkAbout.DELIVERY, "x")
    world.settle(
        world.on_wire(), S.REFUSED, cause="mailbox-unknown", open_next_leg=True, work_item=item, work_item_only_if_last=True
    )
    assert world.states(submission) == {"role:a/mssante": "refused", "role:a/fax": "queued"}
    assert world.items() == []
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "open"


def test_a_refusal_of_the_last_leg_is_a_persons(world: World) -> None:
    submission = world.send(channels=(MAIL,))
    delivery = world.on_wire()
    item = work_item(world, WorkAbout.DELIVERY, delivery.id, "mailbox-unknown")
    world.settle(delivery, S.REFUSED, open_next_leg=True, work_item=item, work_item_only_if_last=True)
    assert world.items() == [item]
    assert world.ledger.status_of(submission.id, legal_entity=ENTITY).phase.value == "parked"


def test_a_last_refusal_is_listed_even_if_nobody_wrote_the_item(world: World) -> None:
    world.send(channels=(MAIL,))
    world.settle(world.on_wire(), S.REFUSED, cause="too-large", open_next_leg=True)
    assert [item.reason for item in world.items()] == ["too-large"]
    assert world.ledger.conservation(legal_entity=ENTITY).holds


def test_an_urgent_retry_is_listed_at_once_and_goes_on(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    item = work_item(world, WorkAbout.DELIVERY, delivery.id, "partner-busy", urgent=True)
    world.settle(delivery, S.QUEUED, cause="partner-busy", work_item=item)
    assert world.items() == [item]
    assert world.states(submission)["role:a/mssante"] == "queued"


def test_an_item_is_opened_once_however_often_it_is_tried(world: World) -> None:
    world.send()
    for _ in range(3):
        delivery = world.on_wire()
        world.settle(
            delivery, S.QUEUED, cause="partner-busy", work_item=work_item(world, WorkAbout.DELIVERY, delivery.id, "partner-busy")
        )
    assert len(world.items()) == 1


def test_a_rendition_that_cannot_be_made_parks_without_touching_the_wire(world: World) -> None:
    submission = world.send()
    delivery = world.claim_one()
    item = work_item(world, WorkAbout.DELIVERY, delivery.id, "rendition-impossible")
    world.settle(delivery, S.PARKED, cause="rendition-impossible", work_item=item)
    assert world.states(submission)["role:a/mssante"] == "parked"


def test_nothing_is_accepted_that_was_not_on_the_wire(world: World) -> None:
    world.send()
    with pytest.raises(IllegalTransitionError):
        world.settle(world.claim_one(), S.ACCEPTED)


def test_an_illegal_change_writes_nothing(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    before = world.events(submission.id)
    with pytest.raises(IllegalTransitionError):
        world.settle(delivery, S.WAITING)
    assert world.events(submission.id) == before
    assert world.states(submission)["role:a/mssante"] == "on_wire"


def test_a_settled_delivery_is_not_settled_again(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    world.settle(delivery, S.REFUSED, cause="too-large")
    with pytest.raises(StaleClaimError):
        world.settle(delivery, S.REFUSED, cause="too-large")


def test_the_partners_reference_is_kept_and_found(world: World) -> None:
    submission = world.send()
    world.settle(world.on_wire(), S.ACCEPTED, partner_reference="queued as 4F2A")
    assert world.ledger.find("queued as 4F2A", legal_entity=ENTITY) == [submission.receipt_id]


def test_a_damaged_submission_is_parked_and_the_lane_goes_on(world: World) -> None:
    from sqlalchemy import delete

    from adapter.ledger.tables import payload_chunk

    bad, good = world.send("a", channels=(MAIL,)), world.send("b", channels=(MAIL,))
    database = world.ledger._database
    gone = delete(payload_chunk).where(payload_chunk.c.row_id == bad.id, payload_chunk.c.kind == "source")
    database.write(lambda tx: tx.execute(gone))
    assert [claim.submission.id for claim in world.claim()] == [good.id]
    assert world.states(bad)["role:a/mssante"] == "parked"
    assert [item.reason for item in world.items()] == ["vault.damaged"]


def test_workers_that_claim_together_never_share_a_delivery(world: World) -> None:
    for n in range(24):
        world.send(f"doc-{n}", channels=(MAIL,))
    claimed: list[str] = []
    start = threading.Barrier(4)

    def work(name: str) -> None:
        start.wait()
        while found := world.ledger.claim_deliveries(name, MAIL, 3, LEASE):
            for claim in found:
                claimed.append(claim.delivery.id)
                world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
                world.ledger.settle_send(claim.delivery.id, claim.delivery.fence, Settlement(S.ACCEPTED))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work_left = world.claim(limit=50)
    assert len(claimed) == len(set(claimed))
    assert len(claimed) + len(work_left) == 24


def test_two_recipients_settled_at_once_leave_the_right_status(world: World) -> None:
    for n in range(8):
        world.send(f"doc-{n}", roles=("role:a", "role:b"), channels=(MAIL,))
    claims = world.claim(limit=50)
    for claim in claims:
        world.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, world.clock())
    halves = [[c for c in claims if c.delivery.role_id == role] for role in ("role:a", "role:b")]
    start = threading.Barrier(2)

    def settle(half: list) -> None:  # type: ignore[type-arg]
        start.wait()
        for claim in sorted(half, key=lambda c: c.submission.id):
            world.settle(claim.delivery, S.ACCEPTED)

    threads = [threading.Thread(target=settle, args=(half,)) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = world.ledger.conservation(legal_entity=ENTITY)
    assert (count.received, count.final, count.holds) == (8, 8, True)


def test_a_worker_that_also_calls_it_unclear_does_not_make_it_a_second_time(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap(WAIT)
    world.settle(delivery, S.UNCLEAR, cause="no-answer")
    assert world.states(submission)["role:a/mssante"] == "unclear"
    assert world.deliveries(delivery.id)[0].unclear_count == 1


def test_a_worker_whose_claim_was_cancelled_does_not_send(world: World) -> None:
    submission = world.send()
    delivery = world.claim_one()
    item = work_item(world, WorkAbout.SUBMISSION, submission.id)
    world.ledger.open_work_item(item)
    world.ledger.resolve(item.id, Decision.CANCEL, "x", legal_entity=ENTITY)
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
    with pytest.raises(StaleClaimError):
        world.settle(delivery, S.QUEUED)
    assert world.states(submission)["role:a/mssante"] == "cancelled"


def test_a_success_that_comes_after_lease_and_wait_counts_while_nobody_sent_again(world: World) -> None:
    submission = world.send()
    delivery = world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap({MAIL: timedelta(0)})
    world.ledger.reap({MAIL: timedelta(0)})
    assert world.states(submission)["role:a/mssante"] == "queued"
    world.settle(delivery, S.ACCEPTED)
    assert world.states(submission)["role:a/mssante"] == "accepted"


def test_a_failure_that_comes_so_late_is_not_heard(world: World) -> None:
    world.send()
    delivery = world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap({MAIL: timedelta(0)})
    world.ledger.reap({MAIL: timedelta(0)})
    with pytest.raises(StaleClaimError):
        world.settle(delivery, S.REFUSED, cause="too-large")


def test_a_delivery_whose_worker_died_before_the_wire_is_claimed_alone(world: World) -> None:
    world.send("doc-1")
    world.claim()
    world.clock.advance(seconds=61)
    world.ledger.reap({})
    world.send("doc-2")
    world.send("doc-3")
    claimed = [sorted(claim.delivery.document_id for claim in world.claim()) for _ in range(3)]
    assert claimed == [["doc-1"], ["doc-2", "doc-3"], []]


def test_the_questions_of_a_delivery_close_when_it_leaves_after_all(world: World) -> None:
    world.send(priority=10)
    delivery = world.on_wire()
    item = work_item(world, WorkAbout.DELIVERY, delivery.id, "connect-failed")
    world.settle(delivery, S.QUEUED, cause="connect-failed", work_item=item)
    assert len(world.items()) == 1
    world.accepted()
    assert world.items() == []


def test_an_urgent_document_that_died_on_the_wire_is_told_with_the_line_to_call(world: World) -> None:
    world.send(priority=10)
    world.on_wire()
    world.clock.advance(seconds=61)
    world.ledger.reap({})
    assert [(item.reason, item.urgent, item.phone_line) for item in world.items()] == [("lease-lost", True, PHONE_LINE)]


# ── versions that are held elsewhere ──────────────────────────────────────────────────────────────────────────


def test_a_change_waits_while_what_it_changes_is_on_the_wire(world: World) -> None:
    """Asked too early, the record holds nothing yet: what it takes a second later would stay visible, or be there for ever."""
    world.send("doc-1", channels=(RECORD,))
    older = world.on_wire(RECORD)
    world.clock.advance(seconds=1)
    world.send("doc-1", channels=(RECORD,), intent=Intent.METADATA, version=2)
    other = world.send("doc-2", channels=(RECORD,))
    (claimed,) = world.claim(RECORD)
    assert claimed.delivery.submission_id == other.id
    world.settle(older, S.INTEGRATED)
    assert world.claim_one(RECORD).intent == "metadata"


def test_a_worker_that_died_on_the_wire_holds_no_change_up_for_ever(world: World) -> None:
    world.send("doc-1", channels=(RECORD,))
    world.on_wire(RECORD)
    world.clock.advance(seconds=1)
    world.send("doc-1", channels=(RECORD,), intent=Intent.METADATA, version=2)
    assert world.claim(RECORD) == []
    world.clock.advance(seconds=LEASE.total_seconds() + 1)
    world.ledger.reap({})
    assert world.claim_one(RECORD).intent == "metadata"
