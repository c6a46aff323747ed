"""Codes of faxed documents on both engines: joined once whoever is first, sealed, each entity's own; possible doubles told."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from adapter.errors import StalePlanError
from adapter.ledger.records import ClaimedReceipt, Decision, PayloadKind, StoredEffects
from adapter.model.effects import Ignored, Parked
from adapter.model.fax_news import FaxNews
from adapter.model.receipt import ContentKind, ReceiptState
from tests.builders.ledger import ENTITY, LEASE, OTHER_ENTITY, World, stored_submission

pytestmark = pytest.mark.contract

ANNEX = "ab" * 16
DOOR = "fax:accueil"
WHOLE = 4


def code(index: int) -> bytes:
    """As an annex's codes begin: magic, format, document id, index, count."""
    return b"TDUF\x01" + bytes.fromhex(ANNEX) + bytes([index, WHOLE]) + b"part %d" % index


def claimed(world: World, entity: str = ENTITY) -> ClaimedReceipt:
    receipt_id = world.receive(kind=ContentKind.FAX, door=DOOR, entity=entity, side_car=b"{}")
    return next(one for one in world.ledger.claim_receipts("w", 50, LEASE) if one.receipt.id == receipt_id)


def prepare(world: World, claim: ClaimedReceipt, own: set[int], entity: str = ENTITY) -> tuple[bool, int]:
    """As the pipeline does: join, judge, commit; again when the plan is stale. Whether it was complete, after how many turns."""
    for turn in range(1, 10):
        kept = world.ledger.kept_fax_codes(ANNEX, claim.receipt.id, legal_entity=entity)
        is_complete = own | {raw[21] for raw in kept.codes} >= set(range(WHOLE))
        news = FaxNews(
            entity,
            {ANNEX: tuple(code(index) for index in sorted(own))},
            {ANNEX: kept.receipts},
            (ANNEX,) if is_complete else (),
            kept.incomplete if is_complete else (),
        )
        outcome = Ignored("document") if is_complete else Parked("fax-incomplete", "Il manque des codes.")
        try:
            world.ledger.commit_effects(claim.receipt.id, claim.fence, StoredEffects(outcome=outcome, fax=news))
        except StalePlanError:
            continue
        return is_complete, turn
    raise AssertionError("it never ends")


def test_the_half_that_comes_second_is_complete_and_answers_the_question_of_the_first(world: World) -> None:
    first, second = claimed(world), claimed(world)
    assert prepare(world, first, {0, 1}) == (False, 1)
    assert [item.reason for item in world.items()] == ["fax-incomplete"]
    assert prepare(world, second, {2, 3}) == (True, 1)
    assert world.items() == []
    told = world.ledger.timeline(first.receipt.id, legal_entity=ENTITY)
    assert told is not None and told.receipt.state is ReceiptState.PREPARED
    assert ("fax-joined", second.receipt.id) in [(event.kind, event.detail) for event in told.events]
    assert world.ledger.conservation(legal_entity=ENTITY).holds


@pytest.mark.parametrize("seed", range(3))
def test_two_halves_prepared_at_once_are_one_document_never_none_never_two(world: World, seed: int) -> None:
    halves = [{0, 1}, {2, 3}]
    random.Random(seed).shuffle(halves)
    claims = [claimed(world) for _ in halves]
    start = Barrier(2)

    def one(claim: ClaimedReceipt, own: set[int]) -> bool:
        start.wait()
        return prepare(world, claim, own)[0]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(one, claims, halves))
    assert sum(done) == 1
    assert world.items() == []


def test_a_plan_made_before_another_fax_brought_its_codes_is_stale(world: World) -> None:
    first, second = claimed(world), claimed(world)
    news = FaxNews(ENTITY, {ANNEX: (code(0),)}, {ANNEX: ()})
    world.ledger.commit_effects(first.receipt.id, first.fence, StoredEffects(outcome=Parked("fax-incomplete", "."), fax=news))
    with pytest.raises(StalePlanError):
        world.ledger.commit_effects(second.receipt.id, second.fence, StoredEffects(outcome=Ignored("x"), fax=news))
    told = world.ledger.timeline(second.receipt.id, legal_entity=ENTITY)
    assert told is not None and told.receipt.state is ReceiptState.RECEIVED


def test_codes_of_another_legal_entity_are_not_joined(world: World) -> None:
    prepare(world, claimed(world, OTHER_ENTITY), {0, 1}, OTHER_ENTITY)
    assert prepare(world, claimed(world), {2, 3}) == (False, 1)


def test_codes_lie_sealed_and_go_with_the_pages_that_brought_them(world: World) -> None:
    claim = claimed(world)
    prepare(world, claim, {0, 1})
    with world.ledger._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT sealed FROM payload_chunk WHERE kind = 'fax-codes'").fetchall()
    assert len(rows) == 1 and b"part 0" not in bytes(rows[0][0])
    sealed = world.ledger.read_payload(PayloadKind.FAX_CODES, claim.receipt.id, legal_entity=ENTITY)
    assert b"part 0" in sealed


def test_prepared_again_a_fax_keeps_its_codes_once(world: World) -> None:
    claim = claimed(world)
    prepare(world, claim, {0, 1})
    (item,) = world.items()
    world.ledger.resolve(item.id, Decision.RETRY, "w", legal_entity=ENTITY)
    (again,) = world.ledger.claim_receipts("w", 5, LEASE)
    assert prepare(world, again, {0, 1}) == (False, 1)
    assert len(world.ledger.kept_fax_codes(ANNEX, "", legal_entity=ENTITY).codes) == 2


def test_faxes_without_code_are_found_at_their_own_line_for_a_while(world: World) -> None:
    claim = claimed(world)
    world.ledger.commit_effects(claim.receipt.id, claim.fence, StoredEffects(outcome=Parked("fax-unread", "À lire.")))
    since = world.clock() - timedelta(hours=1)
    found = world.ledger.faxes_without_code(DOOR, since, 4, legal_entity=ENTITY)
    assert found == [claim.receipt.id]
    assert world.ledger.faxes_without_code("fax:autre", since, 4, legal_entity=ENTITY) == []
    assert world.ledger.faxes_without_code(DOOR, since, 4, legal_entity=OTHER_ENTITY) == []
    assert world.ledger.faxes_without_code(DOOR, world.clock() + timedelta(seconds=1), 4, legal_entity=ENTITY) == []


# -- possible doubles ------------------------------------------------------------------------------------------------------


def request(world: World, document: str, *, door: str, kind: ContentKind, like: str = "patient|exam|requester") -> str:
    receipt_id = world.receive(kind=kind, door=door)
    claim = next(one for one in world.ledger.claim_receipts("w", 50, LEASE) if one.receipt.id == receipt_id)
    stored = replace(stored_submission(document, receipt_id), likeness=(like,))
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects((stored,)))
    return stored.translation.submission.id


@pytest.mark.parametrize(
    ("first", "second"),
    [((DOOR, ContentKind.FAX), ("mllp", ContentKind.HL7V2)), (("forms", ContentKind.FORM), (DOOR, ContentKind.FAX))],
)
def test_a_request_like_an_open_one_is_told_on_both_whichever_came_by_fax(
    world: World, first: tuple[str, ContentKind], second: tuple[str, ContentKind]
) -> None:
    one = request(world, "doc-1", door=first[0], kind=first[1])
    other = request(world, "doc-2", door=second[0], kind=second[1])
    told = {item.about_id: item.advice for item in world.items() if item.reason == "possible-double"}
    assert set(told) == {one, other}
    assert other in told[one] and one in told[other]


def test_two_electronic_requests_another_exam_and_an_old_one_are_no_doubles(world: World) -> None:
    request(world, "doc-1", door="mllp", kind=ContentKind.HL7V2)
    request(world, "doc-2", door="mllp", kind=ContentKind.HL7V2)
    request(world, "doc-3", door=DOOR, kind=ContentKind.FAX, like="patient|other|requester")
    world.clock.advance(days=91)
    request(world, "doc-4", door=DOOR, kind=ContentKind.FAX)
    assert [item for item in world.items() if item.reason == "possible-double"] == []


def test_a_new_version_of_a_faxed_request_is_no_double_of_it(world: World) -> None:
    request(world, "doc-1", door=DOOR, kind=ContentKind.FAX)
    receipt_id = world.receive(kind=ContentKind.FAX, door=DOOR)
    claim = next(one for one in world.ledger.claim_receipts("w", 50, LEASE) if one.receipt.id == receipt_id)
    newer = replace(stored_submission("doc-2", receipt_id, replaces="doc-1"), likeness=("patient|exam|requester",))
    world.ledger.commit_effects(receipt_id, claim.fence, StoredEffects((newer,)))
    assert [item for item in world.items() if item.reason == "possible-double"] == []
