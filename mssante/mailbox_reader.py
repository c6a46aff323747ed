"""Follows a mailbox for good: every folder, what is new by IDLE or poll, marks after the caller kept it, comes back after breaks.

Sources: Référentiel socle #2 (ECO 1.2.3, 1.2.6, 1.2.7); the pain points of a mail flagged done before its import.
Law: `take` says KEPT when the content is durable, and only then does a mark (or the caller's own position) move. So a mail may
be shown twice, after a crash or a renumbering, and never be missed: the caller recognises what it has by its Message-ID.
One bad mail never blocks the others: too large or unreadable, it is shown without its content.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mssante.auth import XOAuth2
from mssante.errors import (
    MailboxLostError,
    MailboxRefusedError,
    MssanteError,
    SessionEndedError,
    TlsSettingsError,
    TokenUnavailableError,
    TrustError,
)
from mssante.mailbox import Arrival, FolderState, Mail, Mailbox, MailboxSettings, Missing, Oversize

_ANNOUNCED_AT_ONCE = 500


@dataclass(frozen=True)
class Position:
    """How far a folder was read: every UID up to `last_uid` was kept, as long as `uid_validity` stays the same."""

    uid_validity: int
    last_uid: int


class Positions(Protocol):
    """The caller's durable memory, for folders that keep no keyword. One per mailbox."""

    def load(self, folder: str) -> Position | None:
        """Where we are, or None before the first visit."""
        ...

    def save(self, folder: str, position: Position) -> None:
        """Remember durably."""
        ...


class Decision(StrEnum):
    """What the caller did with a mail. `LATER`: nothing now (its store is busy); the folder is left and the mail comes again."""

    KEPT = "kept"
    LATER = "later"


@dataclass(frozen=True)
class Unreadable:
    """The line broke each time this message was read: it is shown once without content, and left on the server."""

    uid: int
    attempts: int


@dataclass(frozen=True, repr=False)
class Received:
    """One message, with the place that identifies it."""

    folder: str
    uid_validity: int
    arrival: Arrival
    body: Mail | Oversize | Unreadable


class EventKind(StrEnum):
    """What happens around the mails, for logs and figures."""

    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"
    SIGNED_OUT = "signed-out"
    FOLDER_REFUSED = "folder-refused"
    RENUMBERED = "renumbered"
    UNMARKED = "unmarked"
    OVERSIZE = "oversize"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Event:
    """One happening: a code and a folder, never a text of the server. `pause_seconds`: until the next try."""

    kind: EventKind
    code: str = ""
    folder: str = ""
    pause_seconds: float = 0.0


@dataclass(frozen=True)
class ReaderSettings:
    """How to follow. The first folder is watched by IDLE, the others are visited every `poll_seconds`.

    `keyword` empty: the caller's positions alone. `move_to`: where a kept mail goes. `skip_existing`: on the very first visit,
    what lies there already is history. A login that was refused is tried again only after `refused_seconds`.
    """

    folders: tuple[str, ...] = ("INBOX",)
    keyword: str = "$TduKept"
    move_to: str = ""
    max_bytes: int = 40 * 1024 * 1024
    skip_existing: bool = False
    poll_seconds: float = 60.0
    idle_seconds: float = 540.0
    token_seconds: float = 240.0
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 300.0
    refused_seconds: float = 300.0
    attempts: int = 3


class MailboxReader:
    """Follows one mailbox in the thread that calls `run`."""

    def __init__(
        self,
        mailbox: MailboxSettings,
        settings: ReaderSettings,
        positions: Positions,
        take: Callable[[Received], Decision],
        *,
        tell: Callable[[Event], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._mailbox = mailbox
        self._settings = settings
        self._positions = positions
        self._take = take
        self._tell = tell
        self._monotonic = monotonic
        self._jitter = jitter
        self._attempts: dict[tuple[str, int, int], int] = {}
        self._unmarkable: set[str] = set()
        self._token_asked_at = 0.0
        self._failures = 0

    def read_once(self) -> int:
        """Visit each folder once and leave; how many mails were kept. Raises `MailboxError` when the session breaks."""
        with Mailbox.open(self._mailbox) as mailbox:
            return sum(self._visit(mailbox, folder) for folder in self._settings.folders)

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`. Raises only `SessionEndedError` (somebody must sign in again) and what `take` raises."""
        while not stop.is_set():
            try:
                self._session(stop)
            except SessionEndedError as error:
                self._tell(Event(EventKind.SIGNED_OUT, error.code))
                raise
            except MailboxRefusedError as error:
                self._pause(stop, Event(EventKind.REFUSED, error.code, pause_seconds=self._settings.refused_seconds))
            except (MailboxLostError, TokenUnavailableError, TlsSettingsError, TrustError) as error:
                self._failures += 1
                self._pause(stop, Event(EventKind.LOST, error.code, pause_seconds=self._next_pause()))

    def _pause(self, stop: threading.Event, event: Event) -> None:
        self._tell(event)
        stop.wait(event.pause_seconds)

    def _next_pause(self) -> float:
        settings = self._settings
        longest: float = min(settings.first_pause_seconds * 2.0 ** min(self._failures - 1, 30), settings.longest_pause_seconds)
        # Between half and the whole: the boxes of one operator that went down together do not come back together.
        return longest * (0.5 + self._jitter() / 2)

    # ── a session ───────────────────────────────────────────────────────────────────────────────────────────────

    def _session(self, stop: threading.Event) -> None:
        self._token_asked_at = self._monotonic()
        with Mailbox.open(self._mailbox) as mailbox:
            self._tell(Event(EventKind.CONNECTED))
            watched, *others = self._settings.folders
            while not stop.is_set():
                for folder in (*others, watched):  # IDLE is about the folder selected last
                    self._visit_if_ours(mailbox, folder)
                self._failures = 0
                self._wait(mailbox, stop)
                self._look_at_token()

    def _visit_if_ours(self, mailbox: Mailbox, folder: str) -> None:
        try:
            self._visit(mailbox, folder)
        except MailboxRefusedError as error:
            if folder == self._settings.folders[0]:
                raise
            self._tell(Event(EventKind.FOLDER_REFUSED, error.code, folder))

    def _wait(self, mailbox: Mailbox, stop: threading.Event) -> None:
        settings = self._settings
        several = len(settings.folders) > 1
        if not mailbox.can_idle:
            stop.wait(settings.poll_seconds)
            return
        longest = min(settings.idle_seconds, settings.poll_seconds) if several else settings.idle_seconds
        if isinstance(self._mailbox.auth, XOAuth2):
            longest = min(longest, settings.token_seconds)
        mailbox.wait(longest, stop.is_set)

    def _look_at_token(self) -> None:
        """ECO 1.2.6: when the person's session can no longer be renewed, ours ends too."""
        auth = self._mailbox.auth
        if isinstance(auth, XOAuth2) and self._monotonic() - self._token_asked_at >= self._settings.token_seconds:
            self._token_asked_at = self._monotonic()
            auth.token()

    # ── a folder ────────────────────────────────────────────────────────────────────────────────────────────────

    def _visit(self, mailbox: Mailbox, folder: str) -> int:
        state = mailbox.select(folder)
        floor = self._floor(state)
        marks = self._marks_in(state)
        uids = mailbox.search(after=floor, without=self._settings.keyword)
        kept = 0
        for arrival in _announced(mailbox, uids):
            received = self._receive(mailbox, state, arrival)
            if received is None:
                continue
            if self._take(received) is Decision.LATER:
                break
            kept += 1
            self._settle(mailbox, state, arrival.uid, marks=marks and not isinstance(received.body, Unreadable))
        return kept

    def _floor(self, state: FolderState) -> int:
        known = self._positions.load(state.name)
        if known is not None and known.uid_validity == state.uid_validity and state.uid_validity:
            return known.last_uid
        if known is not None:
            self._tell(Event(EventKind.RENUMBERED, "mailbox.renumbered", state.name))
            self._positions.save(state.name, Position(state.uid_validity, 0))
            return 0
        first = max(state.uid_next - 1, 0) if self._settings.skip_existing else 0
        self._positions.save(state.name, Position(state.uid_validity, first))
        return first

    def _marks_in(self, state: FolderState) -> bool:
        if state.name in self._unmarkable or not self._settings.keyword:
            return False
        if state.keeps(self._settings.keyword):
            return True
        self._unmarkable.add(state.name)
        self._tell(Event(EventKind.UNMARKED, "mailbox.no-keyword", state.name))
        return False

    def _receive(self, mailbox: Mailbox, state: FolderState, arrival: Arrival) -> Received | None:
        place = (state.name, state.uid_validity, arrival.uid)
        attempts = self._attempts.get(place, 0)
        body: Mail | Oversize | Missing | Unreadable
        if attempts >= self._settings.attempts:
            self._tell(Event(EventKind.UNREADABLE, "mailbox.unreadable", state.name))
            body = Unreadable(arrival.uid, attempts)
        else:
            self._attempts[place] = attempts + 1  # stays when the line breaks in the next call
            body = mailbox.fetch(arrival.uid, self._settings.max_bytes, arrival)
        self._attempts.pop(place, None)
        if isinstance(body, Missing):
            return None
        if isinstance(body, Oversize):
            self._tell(Event(EventKind.OVERSIZE, "mailbox.oversize", state.name))
        return Received(state.name, state.uid_validity, arrival, body)

    def _settle(self, mailbox: Mailbox, state: FolderState, uid: int, *, marks: bool) -> None:
        """The content is durable: now, and only now, the mailbox may know."""
        if marks and not mailbox.mark(uid, self._settings.keyword):
            self._unmarkable.add(state.name)
            self._tell(Event(EventKind.UNMARKED, "mailbox.keyword-refused", state.name))
            marks = False
        if not marks:
            self._positions.save(state.name, Position(state.uid_validity, uid))
        if self._settings.move_to and not self._try_move(mailbox, uid):
            self._tell(Event(EventKind.UNMARKED, "mailbox.move-refused", state.name))

    def _try_move(self, mailbox: Mailbox, uid: int) -> bool:
        try:
            return mailbox.move(uid, self._settings.move_to)
        except MailboxLostError:
            raise
        except MssanteError:
            return False


def _announced(mailbox: Mailbox, uids: tuple[int, ...]) -> Iterator[Arrival]:
    # Some at a time: the first visit to an old box may find a hundred thousand.
    for start in range(0, len(uids), _ANNOUNCED_AT_ONCE):
        yield from mailbox.announce(uids[start : start + _ANNOUNCED_AT_ONCE])
