"""Watches what ends: every certificate and revocation list in use, as a figure, once a day in the log, at last as a work item.

Law: ECO 1.1.5–1.1.7; blueprint seam 13 (each legal entity sees its own), complaint 26 (said once, not once a look).
A certificate is told of 60, 30 and 7 days before its end; a revocation list, which lives for days, on its last day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from adapter.model.work_item import TRUST_ENDS, TRUST_ENDS_ADVICE, WorkAbout, WorkItem
from mssante.errors import MssanteError
from mssante.trust import Expiry, Urgency

log = structlog.get_logger()

_TOLD = (Urgency.NOTICE, Urgency.WARNING, Urgency.URGENT, Urgency.EXPIRED, Urgency.NOT_YET)
_ASKED = (Urgency.URGENT, Urgency.EXPIRED)
_BY = "trust-watch"


class Watched(Protocol):
    """One TLS line: its place in the configuration, and what ends when."""

    place: str

    def expiries(self, now: datetime) -> tuple[Expiry, ...]:
        """MssanteError while its files cannot be used."""
        ...


class Lines(Protocol):
    """Every line with the legal entities that it serves."""

    def all(self) -> Iterable[tuple[Watched, tuple[str, ...]]]:
        """Each of them."""
        ...


@dataclass(frozen=True)
class Speaker:
    """How people are told: a question opened (once), closed when it settled itself. `time_zone` tells days apart."""

    ask: Callable[[WorkItem], bool]
    close: Callable[[WorkAbout, str, str, str], int]
    new_id: Callable[[], str]
    time_zone: str


class TrustWatch:
    """One look a minute costs a few `stat` calls. Without a speaker only the figures are kept."""

    def __init__(
        self,
        lines: Lines,
        gauge: Callable[[str, str, float], None],
        speaker: Speaker | None,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self._lines = lines
        self._gauge = gauge
        self._speaker = speaker
        self._clock = clock
        self._told_on: dict[tuple[str, ...], date] = {}
        self._asked: dict[str, tuple[bool, date | None]] = {}

    def look(self) -> int:
        """Look at every line. Never any work for the lane to go on with."""
        for line, entities in self._lines.all():
            now = self._clock()
            try:
                found = line.expiries(now)
            except MssanteError as error:
                self._say(("unusable", line.place), now, "trust.unusable", place=line.place, code=error.code, about=error.where)
                continue
            self._measure(line.place, found, now)
            for expiry in found:
                if expiry.urgency in _TOLD:
                    self._tell(line.place, expiry, now)
            self._ask(line.place, entities, any(expiry.urgency in _ASKED for expiry in found), now)
        return 0

    def _measure(self, place: str, found: tuple[Expiry, ...], now: datetime) -> None:
        for kind in {expiry.kind for expiry in found}:
            first = min(expiry.ends_at for expiry in found if expiry.kind is kind)
            self._gauge(place, kind.value, (first - now).total_seconds() / 86_400)

    def _tell(self, place: str, expiry: Expiry, now: datetime) -> None:
        about = {"place": place, "kind": expiry.kind.value, "name": expiry.name, "file": expiry.file.name}
        key = ("ends", place, expiry.kind.value, expiry.name, str(expiry.file), expiry.ends_at.isoformat())
        self._say(key, now, "trust.ends", days_left=expiry.days_left, urgency=expiry.urgency.value, **about)

    def _say(self, key: tuple[str, ...], now: datetime, event: str, **facts: object) -> None:
        """Once a day."""
        if self._speaker is None:
            return
        today = now.astimezone(ZoneInfo(self._speaker.time_zone)).date()
        if self._told_on.get(key) != today:
            log.warning(event, **facts)
            self._told_on[key] = today

    def _ask(self, place: str, entities: tuple[str, ...], is_urgent: bool, now: datetime) -> None:
        """Open the question (again each day, if somebody closed it and changed nothing), or close it once it is answered."""
        speaker = self._speaker
        if speaker is None:
            return
        state = (is_urgent, now.astimezone(ZoneInfo(speaker.time_zone)).date() if is_urgent else None)
        if self._asked.get(place) == state:
            return
        about = WorkAbout.CERTIFICATE
        for entity in entities:
            if is_urgent:
                item = WorkItem(speaker.new_id(), entity, about, place[:64], TRUST_ENDS, TRUST_ENDS_ADVICE, now, urgent=True)
                speaker.ask(item)
            else:
                speaker.close(about, place[:64], entity, _BY)
        self._asked[place] = state
