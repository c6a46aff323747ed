"""What the ledger does a second, next to what the disk allows in the same minute.   python tests/bench/bench_ledger.py [FOLDER]

Prints JSON. The floor is a bare SQLite table (WAL, synchronous=FULL, same row size) and a bare fsync: disks shared with
neighbours swing by twenty, so only the ratio means something. Needs PostgreSQL for its half (`--sqlite-only` without).
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from adapter.ledger.records import Settlement, StoredEffects
from adapter.model.delivery import DeliveryState
from tests.builders.ledger import ENTITY, MAIL, World, stored_submission
from tests.servers.postgres import find_postgres, running_postgres

Figure = dict[str, float]
SECONDS = 2.0
SIZE = 2000
LEASE = timedelta(minutes=5)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir())
    parser.add_argument("--sqlite-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures: dict[str, object] = {"floor": floor(folder)}
        world = World(f"sqlite:///{folder}/ledger.db")
        figures["sqlite"] = measure(world)
        if not arguments.sqlite_only and find_postgres() is not None:
            with running_postgres() as server:
                url = server.create_database()
                figures["postgresql"] = measure(World(url))
                figures["postgresql floor"] = {
                    "bare table, 2 kB rows /s, 1 a commit": bare_postgres(url, 1),
                    "bare table, 2 kB rows /s, 32 a commit": bare_postgres(url, 32),
                }
        figures["floor again"] = floor(folder)
    print(json.dumps(figures, indent=1))


def floor(folder: str) -> dict[str, Figure]:
    """The disk alone, and a bare table."""
    return {
        "write 4 kB + fsync /s": bare_fsync(folder),
        "bare sqlite FULL, 2 kB rows /s, 1 a commit": bare_sqlite(folder, 1),
        "bare sqlite FULL, 2 kB rows /s, 32 a commit": bare_sqlite(folder, 32),
    }


def measure(world: World) -> dict[str, object]:
    """One engine through the verbs."""
    world.clock.now = datetime.now(UTC)
    world.ledger.migrate()
    figures: dict[str, object] = {}
    for batch in (1, 32):
        figures[f"receipts /s, {batch} a commit"] = receipts(world, batch)
    figures["receipts /s, 32 a commit, 4 threads"] = threaded(lambda: receipts(world, 32), 4)
    figures["prepare (claim 8 + commit effects) /s"] = prepare(world)
    figures["send (claim 4, on wire, settle) /s"] = send(world)
    start = time.perf_counter()
    world.ledger.conservation(legal_entity=ENTITY)
    figures["conservation, seconds"] = round(time.perf_counter() - start, 3)
    world.ledger.close()
    return figures


def rate(act: Callable[[], int]) -> dict[str, float]:
    """How many a second over SECONDS, and our own processor time for each: that one does not swing with the neighbours."""
    done, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < SECONDS:
        step = act()
        if step == 0:
            break
        done += step
    elapsed, busy = time.perf_counter() - start, time.process_time() - busy
    return {"a second": round(done / elapsed, 1), "cpu ms each": round(1000 * busy / max(done, 1), 3)}


def receipts(world: World, batch: int) -> Figure:
    """Group commits of new receipts."""

    def one() -> int:
        return len(world.ledger.commit_receipts([world.new_receipt(content=os.urandom(SIZE)) for _ in range(batch)]))

    return rate(one)


def threaded(act: Callable[[], Figure], count: int) -> float:
    """The sum over threads, a second."""
    sums: list[float] = []
    threads = [threading.Thread(target=lambda: sums.append(act()["a second"])) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return round(sum(sums), 1)


def prepare(world: World) -> Figure:
    """Receipts claimed by eight and planned with two legs each."""

    def one() -> int:
        claims = world.ledger.claim_receipts("bench", 8, LEASE)
        for claim in claims:
            stored = stored_submission(f"doc-{claim.receipt.id}", claim.receipt.id)
            world.ledger.commit_effects(claim.receipt.id, claim.fence, StoredEffects((stored,)))
        return len(claims)

    return rate(one)


def send(world: World) -> Figure:
    """Deliveries claimed by four, each put on the wire and settled in its own transactions."""

    def one() -> int:
        claims = world.ledger.claim_deliveries("bench", MAIL, 4, LEASE)
        for claim in claims:
            delivery = claim.delivery
            world.ledger.mark_on_wire(delivery.id, delivery.fence, world.clock())
            world.ledger.settle_send(delivery.id, delivery.fence, Settlement(DeliveryState.ACCEPTED))
        return len(claims)

    return rate(one)


def bare_fsync(folder: str) -> Figure:
    """Writes of 4 kB, each made durable."""
    block = os.urandom(4096)
    handle = os.open(f"{folder}/fsync", os.O_CREAT | os.O_WRONLY, 0o600)

    def one() -> int:
        os.pwrite(handle, block, 0)
        os.fsync(handle)
        return 1

    try:
        return rate(one)
    finally:
        os.close(handle)


def bare_sqlite(folder: str, batch: int) -> Figure:
    """One table, nothing else."""
    connection = sqlite3.connect(f"{folder}/floor-{time.monotonic_ns()}.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, content BLOB)")

    def one() -> int:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t (content) VALUES (?)", [(os.urandom(SIZE),) for _ in range(batch)])
        connection.execute("COMMIT")
        return batch

    try:
        return rate(one)
    finally:
        connection.close()


def bare_postgres(url: str, batch: int) -> Figure:
    """One table on the same server, the same driver."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (id bigserial PRIMARY KEY, content bytea)")
        connection.commit()

        def one() -> int:
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO t (content) VALUES (%s)", [(os.urandom(SIZE),) for _ in range(batch)])
            connection.commit()
            return batch

        return rate(one)


if __name__ == "__main__":
    main()
