"""Figures for Prometheus: what happened how often, what ends when. Labels are closed sets: never a name, number or address."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from adapter.model.fax_call import FaxCall


class Figures:
    """One process's counters. Each worker tells its own: scrape sums them by instance."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter("tdu_events", "Events at the doors and in the lanes", ["event"], registry=self._registry)
        way = ["direction"]
        self._calls = Counter("tdu_fax_calls", "Fax calls by how they ended", [*way, "cause"], registry=self._registry)
        self._pages = Counter("tdu_fax_pages", "Fax pages confirmed, or received", way, registry=self._registry)
        self._seconds = Counter("tdu_fax_seconds", "Seconds of line of fax calls, where known", way, registry=self._registry)
        self._days_left = Gauge(
            "tdu_trust_days_left",
            "Days until the first certificate or revocation list of a place ends",
            ["place", "kind"],
            registry=self._registry,
        )

    def days_left(self, place: str, kind: str, days: float) -> None:
        """How long what ends first at a place of the configuration is still good; negative once it is over."""
        self._days_left.labels(place, kind).set(days)

    def count(self, event: str) -> None:
        """One more of this event."""
        self._events.labels(event).inc()

    def count_calls(self, calls: Iterable[FaxCall]) -> None:
        """Fax calls that became known: how they ended is a word of the causes table, `unknown`, or `complete`."""
        for call in calls:
            way = call.direction.value
            self._calls.labels(way, call.cause or "complete").inc()
            self._pages.labels(way).inc(call.pages)
            self._seconds.labels(way).inc(call.seconds or 0.0)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
