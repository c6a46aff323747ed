"""The mailbox door: mails are read from a secure mailbox, made durable, and only then marked as taken.

Law: blueprint seams 1, 2, 8, 11; pain points of the field: a mail flagged done before its import, one bad mail that blocks all.
A crash between the commit and the mark shows the mail again: its Message-ID and content are known, so nothing is doubled. Two
hosts that read one mailbox are harmless for the same reason. What cannot be brought in whole is kept as far as it is known and
parked, never tried for ever. Nothing is written to a file; logs name the mailbox, the folder's number and codes.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from adapter.intake.committer import Count, Intake, NotKeptError, TryLaterError, count_nothing
from adapter.intake.cursors import Cursors
from adapter.model.inbox import DOOR
from adapter.model.receipt import Answer, Arrival, Principal
from mssante.errors import MailError, SessionEndedError
from mssante.headers import message_ids, read_fields
from mssante.mailbox import Mail, MailboxSettings, Oversize
from mssante.mailbox_reader import (
    Decision,
    Event,
    EventKind,
    MailboxReader,
    Position,
    Positions,
    ReaderSettings,
    Received,
    Unreadable,
)

log = structlog.get_logger()

# After the person's own session ended, somebody must sign in again: the door asks from time to time whether it was done.
SIGNED_OUT_SECONDS = 60.0
# After a defect of ours in the reader, the door comes back: nobody else reads this mailbox.
DEFECT_SECONDS = 30.0
_HEAD_BYTES = 262_144
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class MailboxDoorSettings:
    """One mailbox: where it is, how it is followed, whose it is. Its name is the principal's."""

    name: str
    legal_entity: str
    mailbox: MailboxSettings
    reader: ReaderSettings = field(default_factory=ReaderSettings)
    zone: str = "Europe/Paris"


class LedgerPositions(Positions):
    """How far each folder was read, for servers that keep no keyword."""

    def __init__(self, cursors: Cursors, name: str, legal_entity: str) -> None:
        self._cursors = cursors
        self._name = name
        self._legal_entity = legal_entity

    def load(self, folder: str) -> Position | None:
        """Where we are, or None before the first visit."""
        value = self._cursors.read_cursor(self._cursor(folder), legal_entity=self._legal_entity)
        validity, _, last = value.partition(":")
        return Position(int(validity), int(last)) if validity.isdigit() and last.isdigit() else None

    def save(self, folder: str, position: Position) -> None:
        """Remember durably."""
        value = f"{position.uid_validity}:{position.last_uid}"
        self._cursors.keep_cursor(self._cursor(folder), value, legal_entity=self._legal_entity)

    def _cursor(self, folder: str) -> str:
        # A folder may be named after a person.
        return f"{DOOR}{self._name}:{hashlib.sha256(folder.encode()).hexdigest()[:16]}"


class MailboxDoor:
    """Follows one mailbox in the thread that calls `run`."""

    def __init__(
        self,
        settings: MailboxDoorSettings,
        intake: Intake[Any],
        positions: Positions,
        *,
        clock: Callable[[], datetime],
        count: Count = count_nothing,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._count = count
        self._reader = MailboxReader(settings.mailbox, settings.reader, positions, self.take, tell=self._tell)

    def run(self, stop: threading.Event) -> None:
        """Follow until told to stop."""
        while not stop.is_set():
            try:
                self._reader.run(stop)
            except SessionEndedError:
                stop.wait(SIGNED_OUT_SECONDS)
            except Exception as error:  # the door must outlive any failure (a ledger that is away, a defect of ours)
                log.error("mailbox.failed", mailbox=self._settings.name, error=type(error).__name__)
                stop.wait(DEFECT_SECONDS)

    def take(self, received: Received) -> Decision:
        """Make one mail durable. `LATER`: nothing was kept now, and the mail comes again."""
        try:
            answer = self._keep(received)
        except TryLaterError as error:
            log.warning("mailbox.later", mailbox=self._settings.name, code=error.code)
            return Decision.LATER
        log.info(
            "mailbox.kept",
            mailbox=self._settings.name,
            receipt=answer.receipt_id,
            verdict=answer.verdict.value,
            kept=answer.kept.value,
        )
        self._count(f"mailbox.{answer.kept.value}")
        return Decision.KEPT

    def _keep(self, received: Received) -> Answer:
        match received.body:
            case Mail(content=content):
                try:
                    return self._accept(content, reference_of(content), "")
                except TryLaterError:
                    raise
                except NotKeptError as error:  # it would fail again: its head alone is kept, and a person is told
                    log.error("mailbox.not-kept", mailbox=self._settings.name, code=error.code)
                    return self._accept(b"", _place(received), "mail.not-kept")
            case Oversize(headers=headers):
                return self._accept(headers, reference_of(headers), "mail.too-large")
            case Unreadable():
                return self._accept(b"", _place(received), "mail.unreadable")

    def _accept(self, content: bytes, reference: str, withheld: str) -> Answer:
        settings = self._settings
        arrival = Arrival(
            content=content,
            door=f"{DOOR}{settings.name}",
            principal=Principal(settings.name, "mailbox", settings.legal_entity),
            received_at=self._clock(),
            reference=reference,
            side_car=json.dumps({"withheld": withheld}).encode() if withheld else b"",
            zone=settings.zone,
        )
        return self._intake.take(arrival).result()

    def _tell(self, event: Event) -> None:
        """Happenings around the mails. A folder's name may be a person's: it is not logged."""
        name, wait = self._settings.name, round(event.pause_seconds, 1)
        self._count(f"mailbox.{event.kind.value}")
        if event.kind is EventKind.CONNECTED:
            log.info("mailbox.connected", mailbox=name)
        elif event.kind in (EventKind.LOST, EventKind.REFUSED, EventKind.SIGNED_OUT):
            log.error("mailbox.away", mailbox=name, kind=event.kind.value, code=event.code, again_in_seconds=wait)
        else:
            log.warning("mailbox.told", mailbox=name, kind=event.kind.value, code=event.code)


def reference_of(content: bytes) -> str:
    """What names a mail: its Message-ID in printable ASCII, else its content."""
    ends = [place for place in (content.find(b"\r\n\r\n"), content.find(b"\n\n")) if place >= 0]
    with suppress(MailError):
        fields = read_fields(content[: min(ends)][:_HEAD_BYTES] if ends else content[:_HEAD_BYTES])
        named = message_ids(fields.get("Message-ID"))
        if named and _PRINTABLE.fullmatch(named[0]):
            return named[0]
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _place(received: Received) -> str:
    folder = hashlib.sha256(received.folder.encode()).hexdigest()[:16]
    return f"{folder}/{received.uid_validity}/{received.arrival.uid}"
