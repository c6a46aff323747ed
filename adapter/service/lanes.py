"""A lane: one thread that repeats one verb, sleeps when there is nothing, and survives a ledger that is away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 30.0


class Lane(threading.Thread):
    """Repeats `step` until stopped. `step` returns how many items it moved; 0 means wait for `wake` or `idle_seconds`.

    An error of the ledger (database away, disk full) pauses the lane and starts it again: nothing is lost, all is durable.
    """

    def __init__(self, name: str, step: Callable[[], int], idle_seconds: float, after: Callable[[], None] | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._idle_seconds = idle_seconds
        self._after = after
        self._wake = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """There may be work now."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the item at hand, then end."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Thread body."""
        pause = self._idle_seconds
        while not self._stopping.is_set():
            try:
                moved = self._step()
                pause = self._idle_seconds
            except Exception as error:  # the lane must outlive any failure; what it held is given back by its lease
                log.error("lane.failed", lane=self.name, error=type(error).__name__)
                moved, pause = 0, min(max(pause, 0.5) * 2, LONGEST_PAUSE_SECONDS)
            if moved and self._after is not None:
                self._after()
            if not moved:
                self._wake.wait(pause)
                self._wake.clear()
