"""Documents in bulk, on both engines: pages in the order of keeping, and an instant before which nothing can appear any more."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from adapter.errors import LedgerError
from adapter.ledger import documents, tables
from adapter.ledger.database import Transaction
from tests.builders.ledger import ENTITY, OTHER_ENTITY, World, stored_submission

pytestmark = pytest.mark.contract


def keep(world: World, count: int) -> list[str]:
    """So many documents, two at each instant."""
    kept = []
    for number in range(count):
        receipt_id = world.receive()
        stored = stored_submission(f"doc-{number}", receipt_id)
        world.prepare(stored, receipt_id=receipt_id)
        kept.append(stored.translation.submission.id)
        if number % 2:
            world.clock.advance(seconds=1)
    return kept


def test_pages_follow_each_other_without_gap_or_overlap(world: World) -> None:
    kept = keep(world, 7)
    until = world.ledger.settled_until() + timedelta(seconds=1)
    for size in (1, 2, 3, 10):
        found, last = [], None
        while page := world.ledger.document_keys(last, size, until=until, legal_entity=ENTITY):
            found, last = [*found, *page], page[-1]
        assert {key.submission_id for key in found} == set(kept)
        assert found == sorted(found, key=lambda key: (key.kept_at, key.submission_id))
    since = found[3].kept_at
    cut = world.ledger.document_keys(None, 10, until=until, since=since, legal_entity=ENTITY)
    assert cut == [key for key in found if key.kept_at >= since]
    assert world.ledger.document_keys(None, 10, until=since, legal_entity=ENTITY) == [k for k in found if k.kept_at < since]


def test_bundles_come_as_kept_in_the_order_asked_and_to_their_entity_only(world: World) -> None:
    one, other = keep(world, 2)
    there, here = world.ledger.document_bundles([other, one], legal_entity=ENTITY)
    assert (here, there) == tuple(world.ledger.document_bundles([one, other], legal_entity=ENTITY))
    for ids, entity in (([one], OTHER_ENTITY), ([one, "unknown"], ENTITY)):
        with pytest.raises(LedgerError) as error:
            list(world.ledger.document_bundles(ids, legal_entity=entity))
        assert error.value.code == "ledger.document-gone"
    assert world.ledger.document_keys(None, 9, until=world.clock() + timedelta(1), legal_entity=OTHER_ENTITY) == []


def test_large_documents_are_opened_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = keep(world, 6)
    whole = list(world.ledger.document_bundles(kept, legal_entity=ENTITY))
    opened: list[int] = []
    real = documents._opened
    monkeypatch.setattr(documents, "_opened", lambda database, ids: opened.append(len(ids)) or real(database, ids))
    monkeypatch.setattr(documents, "_GROUP_BYTES", 2 * max(map(len, whole)) + 200)
    assert list(world.ledger.document_bundles(kept, legal_entity=ENTITY)) == whole
    assert sum(opened) == 6 and max(opened) < 6


def test_what_was_thrown_away_at_the_end_of_its_time_is_not_listed(world: World) -> None:
    gone, kept = keep(world, 2)
    with world.ledger._database._open().begin() as connection:
        connection.execute(tables.payload_chunk.delete().where(tables.payload_chunk.c.row_id == gone))
    until = world.ledger.settled_until() + timedelta(seconds=1)
    assert [key.submission_id for key in world.ledger.document_keys(None, 9, until=until, legal_entity=ENTITY)] == [kept]


def test_what_is_not_committed_yet_lies_behind_the_settled_instant(world: World) -> None:
    """A transaction that began before an export must not appear later among what the export left behind."""
    database, began, goes_on = world.ledger._database, threading.Event(), threading.Event()
    stamps = []

    def slow(tx: Transaction) -> None:
        tx.execute(select(tables.receipt.c.id).with_for_update())
        stamps.append(tx.now)
        tx.audit(ENTITY, "w", "slow", "receipt", "r1")
        tx.flush()
        began.set()
        goes_on.wait(30)

    writer = threading.Thread(target=lambda: database.write(slow))
    writer.start()
    assert began.wait(30)
    world.clock.advance(seconds=5)
    time.sleep(0.1)
    settled = []
    asking = threading.Thread(target=lambda: settled.append(world.ledger.settled_until()))
    asking.start()
    asking.join(1.0)
    waits_for_writer = asking.is_alive()
    goes_on.set()
    writer.join()
    asking.join()
    # SQLite waits for its one writer, PostgreSQL goes back before it began: either way nothing earlier can come.
    assert waits_for_writer or settled[0] < world.clock()
    assert world.ledger.settled_until() == world.clock()
