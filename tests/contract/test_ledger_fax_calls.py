"""Fax calls: kept with the proof that tells of them, once each, sealed where they could name a person, shown in the trace."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from adapter.cli.call_lines import call_data
from adapter.cli.desk import timeline_lines
from adapter.errors import LedgerError
from adapter.ledger.fax_call_tables import fax_call
from adapter.ledger.fax_figures import CallFigures, CallKey
from adapter.ledger.records import KeptCall, PayloadKind, StoredEffects
from adapter.model.delivery import Delivery
from adapter.model.delivery import DeliveryState as S
from adapter.model.effects import Ignored
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall, PageProof
from tests.builders.ledger import ENTITY, FAX, LEASE, OTHER_ENTITY, START, World

pytestmark = pytest.mark.contract
NUMBER = "+33199004455"


def a_call(reference: str, call: str = "000000007", minutes: float = 0, **changes: object) -> FaxCall:
    began = START + timedelta(minutes=minutes)
    proof = PageProof(1, 2, began + timedelta(seconds=20), "MCF", with_ecm=True)
    second = PageProof(2, 2, began + timedelta(seconds=41), "RTP", with_ecm=True)
    values = {"number": NUMBER, "seconds": 47.5, "pages": 2, "with_ecm": True, "proofs": (proof, second), "resolution": 196}
    return FaxCall(reference, CallDirection.OUT, began, call, **{**values, "log": b"SESSION BEGIN", **changes})  # type: ignore[arg-type]


def tell(world: World, delivery: Delivery, *calls: FaxCall, proves: S = S.DELIVERED, cause: str = "") -> int:
    evidence = Evidence(delivery.reference, proves, world.clock(), "fax", cause, calls=calls)
    return world.ledger.record_evidence([evidence], "evidence:fax", "1")


def faxed(world: World) -> Delivery:
    world.send(channels=(FAX,))
    return world.accepted(FAX)


def calls_of(world: World, reference: str) -> tuple[KeptCall, ...]:
    timeline = world.ledger.timeline(reference, legal_entity=ENTITY)
    assert timeline is not None
    return timeline.calls


def test_a_call_comes_back_whole_with_its_document(world: World) -> None:
    delivery = faxed(world)
    call = a_call(delivery.reference)
    tell(world, delivery, call)
    (kept,) = calls_of(world, "doc-1")
    assert kept.about_id == delivery.id
    assert kept.call.proofs == call.proofs
    assert (kept.call.number, kept.call.seconds, kept.call.pages, kept.call.with_ecm) == (NUMBER, 47.5, 2, True)
    assert world.ledger.read_payload(PayloadKind.FAX_LOG, kept.id, legal_entity=ENTITY) == b"SESSION BEGIN"


def test_a_call_told_twice_is_one_row(world: World) -> None:
    delivery = faxed(world)
    tell(world, delivery, a_call(delivery.reference))
    tell(world, delivery, a_call(delivery.reference), a_call(delivery.reference))
    assert len(calls_of(world, "doc-1")) == 1


def test_the_calls_of_one_fax_are_shown_in_the_order_in_which_they_began(world: World) -> None:
    delivery = faxed(world)
    busy = a_call(delivery.reference, "6", minutes=-5, pages=0, cause="line-busy", proofs=(), with_ecm=None)
    tell(world, delivery, a_call(delivery.reference, "7"), busy)
    assert [kept.call.cause for kept in calls_of(world, "doc-1")] == ["line-busy", ""]


def test_a_call_is_kept_with_a_proof_that_moves_nothing(world: World) -> None:
    delivery = faxed(world)
    tell(world, delivery)
    assert tell(world, delivery, a_call(delivery.reference)) == 0
    assert len(calls_of(world, "doc-1")) == 1


def test_a_call_about_a_fax_that_is_not_ours_leaves_no_row(world: World) -> None:
    evidence = Evidence("somebody-else", S.DELIVERED, world.clock(), "fax", calls=(a_call("somebody-else"),))
    world.ledger.record_evidence([evidence], "evidence:fax", "1")
    with world.ledger._database.read() as connection:
        assert connection.execute(select(fax_call.c.id)).all() == []


def test_no_number_lies_in_clear(world: World) -> None:
    delivery = faxed(world)
    tell(world, delivery, a_call(delivery.reference))
    with world.ledger._database.read() as connection:
        row = connection.execute(select(fax_call)).one()
    assert NUMBER not in str(row)
    assert row.partner == "role:a"
    assert NUMBER not in repr(calls_of(world, "doc-1"))


def test_another_legal_entity_reads_no_log(world: World) -> None:
    delivery = faxed(world)
    tell(world, delivery, a_call(delivery.reference))
    (kept,) = calls_of(world, "doc-1")
    with pytest.raises(LedgerError, match=r"ledger\.no-payload"):
        world.ledger.read_payload(PayloadKind.FAX_LOG, kept.id, legal_entity=OTHER_ENTITY)


def test_the_call_that_brought_a_receipt_is_shown_with_it(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    received = FaxCall(receipt_id, CallDirection.IN, START, "fax000000001", partner="cms-ivry", seconds=31.0, pages=3)
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Ignored("fax-known"), calls=(received,)))
    (kept,) = calls_of(world, receipt_id)
    assert (kept.about_id, kept.call.direction, kept.call.partner) == (receipt_id, CallDirection.IN, "cms-ivry")


def test_a_trace_shows_each_page_of_each_call_and_no_number(world: World) -> None:
    delivery = faxed(world)
    began = START - timedelta(minutes=5)
    broken = PageProof(2, 2, began + timedelta(seconds=40), "", with_ecm=False)
    first = PageProof(1, 2, began + timedelta(seconds=20), "MCF", with_ecm=False)
    cut = a_call(
        delivery.reference, "6", -5, pages=1, cause="transmission-broken", proofs=(first, broken), with_ecm=False, seconds=None
    )
    tell(world, delivery, cut, a_call(delivery.reference, "7"))
    timeline = world.ledger.timeline("doc-1", legal_entity=ENTITY)
    assert timeline is not None
    text = "\n".join(timeline_lines(timeline, "Europe/Paris"))
    wanted = (
        "2026-11-21 08:55:00  call to fax → role:a: 1 page(s), length unknown, no error correction, transmission-broken",
        "page 1/2 confirmed 08:55:20 (MCF, without error correction: lines may be missing)",
        "page 2/2 not confirmed 08:55:40 (no answer",
        "2026-11-21 09:00:00  call to fax → role:a: 2 page(s), 48 s, error correction, complete",
        "page 2/2 confirmed 09:00:41 (RTP)",
    )
    assert [line for line in wanted if line not in text] == []
    assert NUMBER not in text
    assert NUMBER not in str([call_data(kept) for kept in timeline.calls])


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def figures(world: World, entity: str = ENTITY, **period: float) -> dict[CallKey, CallFigures]:
    start = START - timedelta(hours=1)
    end = START + timedelta(**(period or {"hours": 1}))
    return world.ledger.night.call_figures(start, end, lambda role: role.partition(":")[2] or role, legal_entity=entity)


def test_calls_are_counted_by_partner_with_their_failures(world: World) -> None:
    delivery = faxed(world)
    cut = a_call(delivery.reference, "6", -9, pages=1, cause="transmission-broken", seconds=30.0)
    busy = a_call(delivery.reference, "5", -10, pages=0, cause="line-busy", seconds=0.0)
    unknown = a_call(delivery.reference, "4", -11, pages=0, cause="unknown", seconds=None)
    tell(world, delivery, unknown, busy, cut, a_call(delivery.reference, "7", pages=1, seconds=20.5))
    assert figures(world) == {
        (CallDirection.OUT, "a"): CallFigures(
            documents=1,
            calls=4,
            seconds=50.5,
            unknown_length=1,
            pages=2,
            failures={"line-busy": 1, "transmission-broken": 1, "unknown": 1},
            first_calls=1,
        )
    }


def test_a_document_that_went_in_its_first_call_is_counted_as_such(world: World) -> None:
    first = faxed(world)
    tell(world, first, a_call(first.reference))
    world.send("doc-2", channels=(FAX,))
    second = world.accepted(FAX)
    tell(world, second, a_call(second.reference, "8", -3, cause="line-busy", pages=0), a_call(second.reference, "9"))
    found = figures(world)[(CallDirection.OUT, "a")]
    assert (found.documents, found.first_calls, found.at_once) == (2, 2, 1)


def test_two_documents_in_one_call_are_one_call(world: World) -> None:
    first = faxed(world)
    world.send("doc-2", channels=(FAX,))
    second = world.accepted(FAX)
    tell(world, first, a_call(first.reference, "9", device="ttyS0"))
    tell(world, second, a_call(second.reference, "9", 1, device="ttyS0"))
    found = figures(world)[(CallDirection.OUT, "a")]
    assert (found.documents, found.calls) == (2, 1)


def test_a_call_counts_in_the_period_in_which_it_began_and_its_first_call_only_there(world: World) -> None:
    delivery = faxed(world)
    busy = a_call(delivery.reference, "6", -90, pages=0, cause="line-busy")
    tell(world, delivery, busy, a_call(delivery.reference, "7"), a_call(delivery.reference, "8", 60))
    found = figures(world)[(CallDirection.OUT, "a")]
    assert (found.calls, found.first_calls, found.at_once, found.failures) == (1, 0, 0, {})


def test_figures_never_cross_legal_entities(world: World) -> None:
    delivery = faxed(world)
    tell(world, delivery, a_call(delivery.reference))
    assert figures(world, OTHER_ENTITY) == {}


def test_received_calls_are_counted_apart(world: World) -> None:
    receipt_id = world.receive()
    (claim,) = world.ledger.claim_receipts("w1", 1, LEASE)
    received = FaxCall(receipt_id, CallDirection.IN, START, "fax000000001", partner="cms-ivry", seconds=31.0, pages=3)
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(outcome=Ignored("fax-known"), calls=(received,)))
    found = figures(world)
    assert list(found) == [(CallDirection.IN, "cms-ivry")]
    assert (found[(CallDirection.IN, "cms-ivry")].seconds, found[(CallDirection.IN, "cms-ivry")].pages) == (31.0, 3)
