"""Counters for Prometheus: what happened how often. Labels are closed sets; never a name, a number or an address."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, generate_latest


class Figures:
    """One process's counters. Each worker tells its own: scrape sums them by instance."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter("tdu_events", "Events at the doors and in the lanes", ["event"], registry=self._registry)

    def count(self, event: str) -> None:
        """One more of this event."""
        self._events.labels(event).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
