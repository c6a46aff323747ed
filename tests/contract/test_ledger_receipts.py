"""Receipts: kept with their answers, repeats told from conflicts, claimed under a lease."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from adapter.errors import LedgerError, StaleClaimError
from adapter.ledger.database import UNWRITABLE
from adapter.ledger.records import CommittedReceipt, PayloadKind
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Kept, ReceiptState, Verdict
from tests.builders.ledger import ENTITY, LEASE, OTHER_ENTITY, PATIENT_NAME, World

pytestmark = pytest.mark.contract


def test_a_batch_is_kept_in_order_with_its_answers(world: World) -> None:
    batch = [world.new_receipt() for _ in range(5)]
    kept = world.ledger.commit_receipts(batch)
    assert [one.receipt_id for one in kept] == [new.receipt.id for new in batch]
    assert [one.answer for one in kept] == [new.answer for new in batch]
    assert {one.outcome for one in kept} == {Kept.STORED}


def test_an_empty_batch_keeps_nothing(world: World) -> None:
    assert world.ledger.commit_receipts([]) == []


def test_what_was_kept_comes_back_whole(world: World) -> None:
    content = bytes(range(256)) * 9000  # three chunks
    finding = Finding(Severity.WARNING, "hl7.lf", "Line feeds were taken for segment ends.", "MSH")
    zone = "Indian/Reunion"
    new = world.new_receipt(content=content, side_car=b'{"to": []}', findings=(finding,), form="demande-imagerie", zone=zone)
    world.ledger.commit_receipts([new])
    (claim,) = world.ledger.claim_receipts("w1", 5, LEASE)
    assert (claim.receipt, claim.content, claim.side_car) == (new.receipt, content, b'{"to": []}')
    assert claim.arrival().content == content and claim.arrival().zone == "Indian/Reunion"
    timeline = world.ledger.timeline(new.receipt.id, legal_entity=ENTITY)
    assert timeline is not None and timeline.findings == (finding,)
    assert world.ledger.read_payload(PayloadKind.ANSWER, new.receipt.id, legal_entity=ENTITY) == new.answer


def test_a_repeat_gets_the_first_answers_very_bytes_and_leaves_only_an_event(world: World) -> None:
    first = world.receive("k")
    (again,) = world.ledger.commit_receipts([world.new_receipt("k")])
    assert again == CommittedReceipt(first, f"AA {first}".encode(), Kept.REPEAT)
    assert world.events(first) == ["received", "repeat"]
    assert world.ledger.conservation(legal_entity=ENTITY).received == 1


def test_a_repeat_is_replayed_after_it_was_prepared(world: World) -> None:
    first = world.receive("k")
    world.prepare(receipt_id=first)
    assert world.ledger.commit_receipts([world.new_receipt("k")])[0].outcome is Kept.REPEAT


def test_the_same_key_on_other_content_is_refused_kept_and_listed(world: World) -> None:
    first = world.receive("k")
    (conflict,) = world.ledger.commit_receipts([world.new_receipt("k", content=b"other")])
    assert (conflict.outcome, conflict.answer) == (Kept.CONFLICT, b"AE 199")
    timeline = world.ledger.timeline(conflict.receipt_id, legal_entity=ENTITY)
    assert timeline is not None
    assert (timeline.receipt.state, timeline.receipt.reason) == (ReceiptState.REFUSED, "repeat-conflict")
    assert world.ledger.read_payload(PayloadKind.CONTENT, conflict.receipt_id, legal_entity=ENTITY) == b"other"
    assert [(item.reason, item.about_id) for item in world.items()] == [("repeat-conflict", conflict.receipt_id)]
    assert "repeat-conflict" in world.events(first)


def test_a_sender_that_insists_on_a_conflict_is_listed_once(world: World) -> None:
    world.receive("k")
    for _ in range(3):
        world.ledger.commit_receipts([world.new_receipt("k", content=b"other"), world.new_receipt("k", content=b"other")])
    assert len(world.items()) == 1


def test_the_first_content_is_still_replayed_after_a_conflict(world: World) -> None:
    first = world.receive("k")
    world.receive("k", content=b"other")
    (again,) = world.ledger.commit_receipts([world.new_receipt("k")])
    assert (again.outcome, again.receipt_id) == (Kept.REPEAT, first)


def test_one_batch_may_hold_a_message_its_repeat_and_its_conflict(world: World) -> None:
    batch = [world.new_receipt("k"), world.new_receipt("k"), world.new_receipt("k", content=b"other"), world.new_receipt("k2")]
    kept = world.ledger.commit_receipts(batch)
    assert [one.outcome for one in kept] == [Kept.STORED, Kept.REPEAT, Kept.CONFLICT, Kept.STORED]
    assert kept[1].answer == kept[0].answer


def test_a_refused_message_presented_again_is_inspected_anew(world: World) -> None:
    world.ledger.commit_receipts([world.refused("k")])
    (again,) = world.ledger.commit_receipts([world.new_receipt("k")])
    assert again.outcome is Kept.STORED


def test_an_accepted_message_stays_accepted_even_if_it_would_be_refused_today(world: World) -> None:
    first = world.receive("k")
    (again,) = world.ledger.commit_receipts([world.refused("k")])
    assert (again.outcome, again.receipt_id) == (Kept.REPEAT, first)


def test_after_its_window_a_key_may_be_used_again(world: World) -> None:
    first = world.receive("k")
    world.clock.advance(days=7)
    (later,) = world.ledger.commit_receipts([world.new_receipt("k", content=b"other")])
    assert later.outcome is Kept.STORED and later.receipt_id != first
    (again,) = world.ledger.commit_receipts([world.new_receipt("k", content=b"other")])
    assert again.receipt_id == later.receipt_id


def test_within_its_window_a_key_is_remembered(world: World) -> None:
    world.receive("k")
    world.clock.advance(days=6, hours=23)
    assert world.ledger.commit_receipts([world.new_receipt("k")])[0].outcome is Kept.REPEAT


def test_the_window_is_the_callers(world: World) -> None:
    world.receive("k")
    world.clock.advance(hours=2)
    assert world.ledger.commit_receipts([world.new_receipt("k", repeat_window=timedelta(hours=1))])[0].outcome is Kept.STORED


def test_two_legal_entities_may_use_the_same_key(world: World) -> None:
    world.receive("k")
    assert world.ledger.commit_receipts([world.new_receipt("k", entity=OTHER_ENTITY)])[0].outcome is Kept.STORED


def test_a_message_without_key_is_never_a_repeat(world: World) -> None:
    first, second = world.new_receipt(), world.new_receipt()
    keyless = [type(n)(type(n.receipt)(**{**n.receipt.__dict__, "key": ""}), n.content, n.answer) for n in (first, second)]
    assert [one.outcome for one in world.ledger.commit_receipts(keyless)] == [Kept.STORED, Kept.STORED]


def test_sixteen_doors_with_one_key_keep_one_message(world: World) -> None:
    """Complaint 22: a unique key in the store."""
    kept: list[CommittedReceipt] = []
    errors: list[Exception] = []
    batches = [[world.new_receipt("same"), world.new_receipt(f"own-{n}")] for n in range(16)]
    if len(batches) % 2:
        batches[0].reverse()
    start = threading.Barrier(16)

    def keep(batch: list) -> None:  # type: ignore[type-arg]
        start.wait()
        try:
            kept.extend(world.ledger.commit_receipts(batch))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=keep, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    shared = {one.answer for one in kept if one.outcome is Kept.REPEAT}
    assert len(shared) == 1
    assert sum(one.outcome is Kept.STORED for one in kept) == 17
    assert sum(one.outcome is Kept.REPEAT for one in kept) == 15


def test_no_patient_content_is_in_clear_in_the_database(world: World) -> None:
    content = f"PID|||{PATIENT_NAME}".encode()
    new = world.new_receipt(content=content, lookups=(("name-birth-date", f"{PATIENT_NAME}|1979-03-28"),))
    world.ledger.commit_receipts([new])
    submission = world.send("doc-1")
    database = world.ledger._database
    from adapter.ledger.tables import metadata

    with database.read() as connection:
        for table in metadata.sorted_tables:
            dump = repr(connection.execute(table.select()).all())
            assert PATIENT_NAME not in dump and "279035121518989" not in dump, table.name
    assert submission.document.patient.birth_name == PATIENT_NAME


# ── claims ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_oldest_receipts_are_claimed_first_and_once(world: World) -> None:
    ids = []
    for _ in range(4):
        ids.append(world.receive())
        world.clock.advance(seconds=1)
    assert [claim.receipt.id for claim in world.ledger.claim_receipts("w1", 3, LEASE)] == ids[:3]
    assert [claim.receipt.id for claim in world.ledger.claim_receipts("w2", 3, LEASE)] == ids[3:]
    assert world.ledger.claim_receipts("w3", 3, LEASE) == []


def test_a_refused_receipt_is_never_claimed(world: World) -> None:
    world.ledger.commit_receipts([world.refused()])
    assert world.ledger.claim_receipts("w1", 3, LEASE) == []


def test_a_lost_lease_gives_the_receipt_to_another_and_fences_the_first(world: World) -> None:
    world.receive()
    (first,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.clock.advance(seconds=59)
    assert world.ledger.claim_receipts("w2", 1, LEASE) == []
    world.clock.advance(seconds=1)
    (second,) = world.ledger.claim_receipts("w2", 1, LEASE)
    assert (second.attempts, second.fence) == (2, first.fence + 1)
    with pytest.raises(StaleClaimError):
        world.ledger.release_receipt(first.receipt.id, first.fence)


def test_a_released_receipt_is_free_at_once_and_was_not_an_attempt(world: World) -> None:
    world.receive()
    (first,) = world.ledger.claim_receipts("w1", 1, LEASE)
    world.ledger.release_receipt(first.receipt.id, first.fence)
    (second,) = world.ledger.claim_receipts("w2", 1, LEASE)
    assert second.attempts == 1


def test_a_damaged_receipt_is_parked_and_the_lane_goes_on(world: World) -> None:
    bad, good = world.receive(), world.receive()
    from sqlalchemy import update

    from adapter.ledger.tables import payload_chunk

    database = world.ledger._database
    damage = update(payload_chunk).where(payload_chunk.c.row_id == bad, payload_chunk.c.kind == "content")
    database.write(lambda tx: tx.execute(damage.values(sealed=b"\x01" + b"x" * 60)))
    assert [claim.receipt.id for claim in world.ledger.claim_receipts("w1", 5, LEASE)] == [good]
    assert [(item.about_id, item.reason) for item in world.items()] == [(bad, "vault.wrong-key")]
    assert world.ledger.conservation(legal_entity=ENTITY).parked == 1


def test_workers_that_claim_together_share_the_receipts(world: World) -> None:
    expected = {world.receive() for _ in range(24)}
    claimed: list[str] = []
    start = threading.Barrier(4)

    def claim(name: str) -> None:
        start.wait()
        while found := world.ledger.claim_receipts(name, 3, LEASE):
            claimed.extend(one.receipt.id for one in found)

    threads = [threading.Thread(target=claim, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) and set(claimed) <= expected
    assert set(claimed) | {c.receipt.id for c in world.ledger.claim_receipts("late", 50, LEASE)} == expected


def test_a_value_that_no_row_can_hold_is_told_apart_from_a_ledger_that_is_away(world: World) -> None:
    """PostgreSQL takes no NUL sign: the neighbours of such a message must not be told to come back for ever."""
    assert _code_of_keeping(world, "A\x00B") in (UNWRITABLE, "")
    assert world.receive()


def _code_of_keeping(world: World, control_id: str) -> str:
    try:
        world.receive(control_id=control_id)
    except LedgerError as error:
        return error.code
    return ""  # SQLite keeps it


def test_a_refused_message_under_a_live_key_is_kept_as_refused_and_opens_nothing(world: World) -> None:
    world.receive("key")
    refused = world.new_receipt("key", content=b"third", state=ReceiptState.REFUSED, verdict=Verdict.REFUSED)
    (kept,) = world.ledger.commit_receipts([refused])
    (again,) = world.ledger.commit_receipts([world.new_receipt("key", content=b"other")])
    assert (kept.outcome, again.outcome) == (Kept.STORED, Kept.CONFLICT)
