"""A worker's edges: a stop that comes too early, what its health page says, lanes that outlive failures."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from adapter.errors import LedgerError
from adapter.service.lanes import Lane
from adapter.service.worker import _health, _keep_doors


def _instance(*, problem: str = "", away: bool = False) -> Any:
    def ping() -> None:
        if away:
            raise LedgerError("ledger.unavailable", "away")

    return SimpleNamespace(ledger=SimpleNamespace(ping=ping), directory=SimpleNamespace(problem=problem))


def test_a_stop_that_came_before_the_doors_opened_opens_none() -> None:
    told_to_stop = threading.Event()
    told_to_stop.set()
    nothing: Any = None
    doors = _keep_doors(nothing, nothing, nothing, nothing, nothing, nothing, 0, told_to_stop)
    asyncio.run(asyncio.wait_for(doors, 5))


def test_a_directory_that_could_not_be_reloaded_is_seen_on_the_health_page() -> None:
    health = _health(_instance(problem="directory.invalid"))
    assert (health.ready, health.parts["directory"]) == (True, "directory.invalid")


def test_a_ledger_that_is_away_is_not_ready() -> None:
    assert not _health(_instance(away=True)).ready


def test_a_lane_outlives_a_failure_and_goes_on() -> None:
    steps, done = iter([LedgerError("ledger.unavailable", "away"), 1]), threading.Event()

    def step() -> int:
        found = next(steps, 0)
        if isinstance(found, Exception):
            raise found
        if not found:
            done.set()
        return found

    lane = Lane("test", step, 0.01)
    lane.start()
    lane.wake()
    assert done.wait(10)
    lane.stop()
    lane.join(5)
    assert not lane.is_alive()
