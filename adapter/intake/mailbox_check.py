"""Compares a mailbox with the ledger: what is marked as kept and is not, what is kept and not marked, what nobody reads.

Law: blueprint seam 8 (one reader); here nothing is taken in. A mail that bears our mark and no receipt knows (the ledger was
restored from a backup, a person set the mark) loses it, so that the door reads it again; its Message-ID keeps it from doubling.
Nothing is logged: a folder's name or a subject may be a person's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from adapter.intake.mailbox import MailboxDoorSettings, reference_of
from mssante.mailbox import Arrival, Mail, Mailbox, Missing, Oversize

_PATIENCE = timedelta(days=1)
IsKnown = Callable[[str], bool]


@dataclass
class MailboxView:
    """What one comparison found. `shown_again` and `marked_again` were put right (or would be); `unread`: older than a day, and
    never taken; `stuck`: kept nowhere, and the server does not let us show it again.
    """

    seen: int = 0
    shown_again: int = 0
    marked_again: int = 0
    unread: int = 0
    stuck: int = 0


def compare_mailbox(
    settings: MailboxDoorSettings, is_known: IsKnown, now: datetime, days: int, step: Callable[[], None], *, may_write: bool
) -> MailboxView:
    """Every mail of the last days, in the folders that the door reads and in the one that it moves to. MailboxError: not now."""
    view = MailboxView()
    reader = settings.reader
    with Mailbox.open(settings.mailbox) as mailbox:
        for folder in (*reader.folders, *((reader.move_to,) if reader.move_to else ())):
            comparison = _Comparison(mailbox, settings, is_known, now, view, may_write, moved=folder == reader.move_to)
            mailbox.select(folder)
            for arrival in mailbox.announce(mailbox.search(since=(now - timedelta(days=days)).date())):
                comparison.look_at(arrival)
                step()
    return view


@dataclass
class _Comparison:
    """One folder, looked at mail by mail."""

    mailbox: Mailbox
    settings: MailboxDoorSettings
    is_known: IsKnown
    now: datetime
    view: MailboxView
    may_write: bool
    moved: bool

    def look_at(self, arrival: Arrival) -> None:
        """Put right what can be; count what a person must see."""
        reader, view = self.settings.reader, self.view
        references = list(self._references(arrival))
        if not references:
            return  # moved or deleted while we looked
        view.seen += 1
        marked = bool(reader.keyword) and reader.keyword.lower() in {flag.lower() for flag in arrival.flags}
        known = any(self.is_known(reference) for reference in references)
        if known and reader.keyword and not marked and not self.moved:
            view.marked_again += int(not self.may_write or self.mailbox.mark(arrival.uid, reader.keyword))
        elif not known and (marked or self.moved):
            self._show_again(arrival.uid, marked)
        elif not known and self._is_old(arrival):
            view.unread += 1

    def _is_old(self, arrival: Arrival) -> bool:
        """Long enough there for a door that works; what lay there before the first visit is history, if so configured."""
        waits = arrival.received_at is not None and self.now - arrival.received_at > _PATIENCE
        return waits and not self.settings.reader.skip_existing

    def _show_again(self, uid: int, marked: bool) -> None:
        reader = self.settings.reader
        done = not self.may_write or (
            (not marked or self.mailbox.unmark(uid, reader.keyword))
            and (not self.moved or self.mailbox.move(uid, reader.folders[0]))
        )
        if done:
            self.view.shown_again += 1
        else:
            self.view.stuck += 1

    def _references(self, arrival: Arrival) -> Iterator[str]:
        """How the door would have named this mail; without a Message-ID its whole content names it."""
        found = self.mailbox.fetch(arrival.uid, 0, arrival)
        if isinstance(found, Missing):
            return
        head = found.headers if isinstance(found, Oversize) else found.content
        reference = reference_of(head)
        yield reference
        if not reference.startswith("sha256:"):
            return
        whole = self.mailbox.fetch(arrival.uid, self.settings.reader.max_bytes, arrival)
        if isinstance(whole, Mail):
            yield reference_of(whole.content)
