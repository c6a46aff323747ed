"""The fax door on a HylaFAX receive queue, here or on another host: each fax is taken once, and removed once it is durable.

A crash between the commit and the removal shows the fax again: its name and content are known, so nothing is doubled; two hosts
that read one queue are harmless for the same reason. Where faxes stay in the queue, those taken are remembered by the ledger,
by hash: HylaFAX gives the same name again one day, and what bears it then is another fax. A server that is away is told once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import structlog

from adapter.channels.fnp import FnpError
from adapter.channels.fnp_received import QueuedFax, ReceiveQueue
from adapter.formats.phone_number import e164
from adapter.intake.committer import NotKeptError, TryLaterError
from adapter.intake.cursors import Cursors
from adapter.intake.fax_in import CONTENT_ELSEWHERE, FaxTaker, ReceivedFax
from adapter.model.fax_in import FAX_DOOR, Withheld

log = structlog.get_logger()

# After a defect of ours the door comes back: nobody else takes these faxes.
DEFECT_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 300.0
# A file that is no fax may be one that is just beginning; after so long without a change it is none, and a person is told.
STRAY_SECONDS = 3600.0
# A fax that breaks the conversation each time comes after the others, and is left to a person at last.
MOST_FAILURES = 5


@dataclass(frozen=True)
class FaxQueueSettings:
    """One HylaFAX server. Without `administrator_password` it may refuse that faxes are removed: then they stay there.

    `delete_after`: a fax is removed once it is durable. `skip_existing`: what lies there on the very first visit is history.
    """

    name: str
    legal_entity: str
    host: str
    port: int = 4559
    user: str = "traitdunion"
    password: Callable[[], str] = field(default=str, repr=False)
    administrator_password: Callable[[], str] = field(default=str, repr=False)
    delete_after: bool = False
    skip_existing: bool = False
    poll_seconds: float = 15.0
    timeout_seconds: float = 30.0
    max_file_bytes: int = 33_554_432


@contextmanager
def open_queue(settings: FaxQueueSettings) -> Iterator[ReceiveQueue]:
    """A conversation with the server. FnpError when it does not answer or does not let us in, as administrators if so set."""
    with ReceiveQueue(settings.host, settings.port, settings.user, settings.password(), settings.timeout_seconds) as queue:
        password = settings.administrator_password()
        if password:
            try:
                queue.become_administrator(password)
            except FnpError as error:
                raise FnpError("fnp.not-administrator", error.detail) from error
        yield queue


class FaxQueue:
    """Follows one receive queue in the thread that calls `run`."""

    def __init__(self, settings: FaxQueueSettings, taker: FaxTaker, cursors: Cursors, *, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._taker = taker
        self._cursors = cursors
        self._monotonic = monotonic
        self._strays: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._away_for = 0

    def run(self, stop: Event) -> None:
        """Follow until told to stop."""
        while not stop.is_set():
            stop.wait(self._round(stop))

    def _round(self, stop: Event) -> float:
        """One visit; how long to wait for the next, in seconds."""
        try:
            self.poll_once(stop)
        except FnpError as error:
            return self._away(error)
        except Exception as error:  # the door must outlive any failure (a ledger that is away, a defect of ours)
            log.error("fax.failed", door=self._settings.name, error=type(error).__name__)
            return DEFECT_SECONDS
        if self._away_for:
            log.info("fax.back", door=self._settings.name)
            self._away_for = 0
        return self._settings.poll_seconds

    def _away(self, error: FnpError) -> float:
        """Said once, asked again less and less often."""
        pause = min(LONGEST_PAUSE_SECONDS, self._settings.poll_seconds * float(2**self._away_for))
        if not self._away_for:
            log.error("fax.away", door=self._settings.name, code=error.code, again_in_seconds=round(pause, 1))
        self._away_for = min(self._away_for + 1, 16)
        return pause

    def poll_once(self, stop: Event | None = None) -> int:
        """One visit of the queue. Returns how many faxes were taken. FnpError when the server is away or refuses."""
        taken = 0
        with open_queue(self._settings) as queue:
            waiting = queue.received()
            known = self._known(waiting)
            self._look_at_odd_ones(waiting)
            for fax in sorted(waiting, key=lambda one: self._failures.get(mark_of(one), 0)):
                if queue.is_spent or (stop is not None and stop.is_set()):
                    break
                if mark_of(fax) in known or not self._is_ready(fax):
                    continue
                try:
                    is_done = self._take(queue, fax)
                except TryLaterError as error:
                    log.warning("fax.later", door=self._settings.name, code=error.code)
                    break
                except FnpError:
                    raise
                except Exception as error:  # a defect of ours: the faxes behind it are somebody's
                    log.error("fax.failed", door=self._settings.name, error=type(error).__name__)
                    continue
                taken += 1
                if not is_done:
                    known.add(mark_of(fax))
                    self._remember(known)
        return taken

    def _take(self, queue: ReceiveQueue, fax: QueuedFax) -> bool:
        """Make one fax durable; True when it is no longer in the queue."""
        received = self._retrieve(queue, fax)
        if received is None:
            return True  # another host was quicker
        try:
            _, withheld = self._taker.take(received)
        except TryLaterError:
            raise
        except NotKeptError as error:
            log.error("fax.not-kept", door=self._settings.name, code=error.code)
            return False
        if not self._settings.delete_after or withheld in CONTENT_ELSEWHERE:
            return False
        if queue.remove(fax):
            return True
        log.warning("fax.not-removed", door=self._settings.name)
        return False

    def _retrieve(self, queue: ReceiveQueue, fax: QueuedFax) -> ReceivedFax | None:
        content: bytes | None = b""
        withheld = ""
        if fax.size > self._settings.max_file_bytes:
            withheld = Withheld.TOO_LARGE
        else:
            content = self._content_of(queue, fax)
            if content is None and not queue.holds(fax):
                return None
            if content is None:
                withheld = Withheld.UNREADABLE
        return ReceivedFax(
            content or b"",
            fax.received_at,
            name=fax.name,
            sender=fax.caller if e164(fax.caller) else fax.station,
            called=fax.subaddress,
            withheld=withheld,
            mark=mark_of(fax),
            seconds=fax.seconds,
        )

    def _content_of(self, queue: ReceiveQueue, fax: QueuedFax) -> bytes | None:
        mark = mark_of(fax)
        if self._failures.get(mark, 0) >= MOST_FAILURES:
            return None
        try:
            return queue.retrieve(fax)
        except FnpError:
            self._failures[mark] = self._failures.get(mark, 0) + 1
            raise

    # ── what was taken before ─────────────────────────────────────────────────────────────────────────────────

    def _known(self, waiting: Iterable[QueuedFax]) -> set[str]:
        """Those of the queue that were taken; the others' marks are forgotten with them."""
        kept = self._cursors.read_cursor(self._cursor, legal_entity=self._settings.legal_entity)
        here = {mark_of(fax) for fax in waiting}
        if not kept:
            known = here if self._settings.skip_existing else set()
            self._remember(known)
            return known
        return here & set(json.loads(kept))

    def _remember(self, known: set[str]) -> None:
        self._cursors.keep_cursor(self._cursor, json.dumps(sorted(known)), legal_entity=self._settings.legal_entity)

    @property
    def _cursor(self) -> str:
        return f"{FAX_DOOR}{self._settings.name}"

    # ── files that are no fax ─────────────────────────────────────────────────────────────────────────────────

    def _look_at_odd_ones(self, waiting: Iterable[QueuedFax]) -> None:
        """Since when files that are no fax look as they do, and which fax failed how often; the others are forgotten."""
        now = self._monotonic()
        self._failures = {mark_of(fax): n for fax in waiting if (n := self._failures.get(mark_of(fax), 0))}
        self._strays = {mark: self._strays.get(mark, now) for mark in (mark_of(fax) for fax in waiting if not fax.is_listed)}

    def _is_ready(self, fax: QueuedFax) -> bool:
        return fax.is_listed or self._monotonic() - self._strays[mark_of(fax)] >= STRAY_SECONDS


def mark_of(fax: QueuedFax) -> str:
    """What tells this file from another that bears the same name one day."""
    return hashlib.sha256(f"{fax.name}\0{fax.size}\0{fax.received_at.isoformat()}".encode()).hexdigest()[:16]
