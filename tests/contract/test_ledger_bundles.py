"""Deliveries that leave in one mail, on both engines: claimed, put on the wire, settled and proved together."""

from __future__ import annotations

import threading

import pytest

from adapter.errors import StaleClaimError
from adapter.ledger.records import ClaimedDelivery, Decision, Settlement
from adapter.model.delivery import DeliveryState as S
from adapter.model.work_item import WorkAbout
from adapter.pipeline.bundles import bundled, hold_of, of_one_mail
from tests.builders.ledger import ENTITY, LEASE, MAIL, World, stored_submission, work_item

pytestmark = pytest.mark.contract


def pair(world: World, number: int = 1) -> str:
    """Two documents of one message for one mailbox; the receipt's id."""
    receipt_id = world.receive()
    stored = bundled([stored_submission(f"doc-{number}-{n}", receipt_id, channels=(MAIL,)) for n in (1, 2)])
    world.prepare(*stored, receipt_id=receipt_id)
    return receipt_id


def claims(world: World, worker: str = "w1", limit: int = 10) -> list[ClaimedDelivery]:
    return [one for one in world.ledger.claim_deliveries(worker, MAIL, limit, LEASE) if isinstance(one, ClaimedDelivery)]


def sent(world: World, claim: ClaimedDelivery, state: S = S.ACCEPTED) -> None:
    first, *others = [hold_of(one) for one in of_one_mail(claim)]
    world.ledger.mark_on_wire(*first, world.clock(), *others)
    world.ledger.settle_together([(hold, Settlement(state)) for hold in (first, *others)])


def states(world: World, receipt_id: str) -> list[str]:
    return [delivery.state.value for delivery in world.deliveries(receipt_id)]


def test_workers_that_claim_together_never_part_a_mail(world: World) -> None:
    receipts = [pair(world, number) for number in range(12)]
    start, seen = threading.Barrier(4), list[tuple[str, ...]]()

    def work(name: str) -> None:
        start.wait()
        while found := claims(world, name, 3):
            for claim in found:
                seen.append(tuple(one.delivery.id for one in of_one_mail(claim)))
                sent(world, claim)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while left := claims(world):
        for claim in left:
            seen.append(tuple(one.delivery.id for one in of_one_mail(claim)))
            sent(world, claim)
    assert len(seen) == 12 and {len(mail) for mail in seen} == {2}
    assert len({one for mail in seen for one in mail}) == 24
    assert all(states(world, receipt) == ["accepted", "accepted"] for receipt in receipts)


def test_one_proof_moves_both_and_a_late_refusal_too(world: World) -> None:
    receipt = pair(world)
    (claim,) = claims(world)
    sent(world, claim)
    assert world.prove(claim.delivery, S.DELIVERED) == 2 and states(world, receipt) == ["delivered", "delivered"]
    assert world.prove(claim.delivery, S.REFUSED, "content-refused") == 2


def test_what_a_person_stopped_keeps_the_whole_mail_off_the_wire(world: World) -> None:
    pair(world)
    (claim,) = claims(world)
    (companion,) = claim.companions
    world.clock.advance(seconds=LEASE.total_seconds() + 1)
    world.ledger.reap({})
    (again,) = claims(world, "w2")
    with pytest.raises(StaleClaimError):
        world.ledger.mark_on_wire(*hold_of(again), world.clock(), hold_of(companion))
    assert {delivery.state for delivery in world.deliveries(claim.delivery.id)} == {S.CLAIMED}


def test_what_left_together_and_waits_for_a_person_goes_again_together(world: World) -> None:
    receipt = pair(world)
    (claim,) = claims(world)
    sent(world, claim, S.PARKED)
    assert claims(world) == []
    world.ledger.open_work_item(work_item(world, WorkAbout.DELIVERY, claim.delivery.id))
    (item,) = world.items()
    world.ledger.resolve(item.id, Decision.RETRY, "agent", legal_entity=ENTITY)
    (again,) = claims(world)
    assert again.delivery.reference == claim.delivery.reference and len(again.companions) == 1
    assert states(world, receipt) == ["claimed", "claimed"]


def test_parted_they_leave_alone_under_names_of_their_own(world: World) -> None:
    pair(world)
    (claim,) = claims(world)
    world.ledger.separate([hold_of(one) for one in of_one_mail(claim)], "too-large-together")
    alone = claims(world)
    assert [one.companions for one in alone] == [(), ()]
    assert len({one.delivery.reference for one in alone} | {claim.delivery.reference}) == 3


def test_what_goes_again_alone_keeps_the_name_and_what_waits_for_a_person_loses_it(world: World) -> None:
    receipt = pair(world)
    (claim,) = claims(world)
    sent(world, claim, S.UNCLEAR)
    world.clock.advance(seconds=1)
    world.ledger.reap({})
    (again,) = claims(world)
    (companion,) = again.companions
    world.ledger.settle_send(*hold_of(companion), Settlement(S.PARKED, "rendition-impossible"))
    world.ledger.release_delivery(*hold_of(again))
    (alone,) = claims(world)
    assert alone.companions == () and alone.delivery.reference == claim.delivery.reference
    sent(world, alone, S.UNCLEAR)
    names = {delivery.id: delivery.reference for delivery in world.deliveries(receipt)}
    assert names[alone.delivery.id] == claim.delivery.reference != names[companion.delivery.id]
    assert world.prove(claim.delivery, S.DELIVERED) == 1 and sorted(states(world, receipt)) == ["delivered", "parked"]
