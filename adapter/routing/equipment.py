"""Since when a channel is open between two ends: both must be equipped, the later of their dates counts.

Law: blueprint seam 17. The day it comes, nothing but that date changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from adapter.model.plan import ChannelName
from adapter.routing.directory import SenderEnd
from adapter.routing.entries import Equipment, Organisation, Period, Role


@dataclass(frozen=True)
class Opened:
    """Open, since that day; None: since always."""

    since: date | None = None

    def joined(self, other: Opened) -> Opened:
        """Open when both are: since the later day."""
        return Opened(max((day for day in (self.since, other.since) if day is not None), default=None))


@dataclass(frozen=True)
class Closed:
    """Closed that day, and why."""

    reason: str


Opening = Opened | Closed


def both_ends(channel: ChannelName, sender: SenderEnd, role: Role, on: date) -> Opening:
    """Whether a channel is open from the sender to a role."""
    opening = sender_end_of(channel, sender, on)
    if isinstance(opening, Closed):
        return opening
    for depth, level in enumerate(role.levels):
        if depth and not any(equipment.channel is channel for equipment in level):
            continue
        theirs = one_end(level, channel, on)
        if isinstance(theirs, Closed):
            return Closed(f"le destinataire {theirs.reason}")
        opening = opening.joined(theirs)
    return opening


def has_channel(role: Role, channel: ChannelName) -> bool:
    """Whether anything is said of a channel at any level of a role, whatever the dates."""
    return any(equipment.channel is channel for level in role.levels for equipment in level)


def receiver_end(channel: ChannelName, role: Role, on: date) -> Opening:
    """Whether the role alone has a channel: the most precise level that says something of it decides."""
    for level in reversed(role.levels):
        if any(equipment.channel is channel for equipment in level):
            return one_end(level, channel, on)
    return Closed("n'est pas équipé")


def software_of(role: Role, channel: ChannelName, on: date) -> str:
    """The HL7 partner, or the practice, that a role's software is that day; empty when there is none."""
    for level in reversed(role.levels):
        named = [e for e in level if e.channel is channel]
        if named:
            return next((e.address for e in named if e.period.holds(on)), "")
    return ""


def sender_end_of(channel: ChannelName, sender: SenderEnd, on: date) -> Opening:
    """Whether the sender has a channel: all the structures that it may be must have it."""
    if not sender.organisations:
        # A fax machine needs no entry; every other channel needs a known sender.
        return Opened() if channel is ChannelName.FAX else Closed("l'émetteur n'est pas dans l'annuaire")
    opening = Opened()
    for organisation in sender.organisations:
        ours = one_end(organisation.equipment, channel, on)
        if isinstance(ours, Closed):
            return Closed(f"l'émetteur {_named(organisation, sender)}{ours.reason}")
        opening = opening.joined(ours)
    return opening


def one_end(equipment: Iterable[Equipment], channel: ChannelName, on: date) -> Opening:
    """Whether one end has a channel that day, by its own dates."""
    periods = sorted((e.period for e in equipment if e.channel is channel), key=lambda p: p.since or date.min)
    if not periods:
        # Fax is what everybody has in the meantime: a number is enough, unless dates are given.
        return Opened() if channel is ChannelName.FAX else Closed("n'est pas équipé")
    for period in periods:
        if period.holds(on):
            return Opened(period.since)
    return Closed(_closed_words(periods, on))


def since_words(opened: Opened) -> str:
    """` depuis le 02/03/2026`, or nothing when it was always so."""
    return f" depuis le {french_date(opened.since)}" if opened.since else ""


def french_date(day: date) -> str:
    """`02/03/2026`."""
    return f"{day.day:02d}/{day.month:02d}/{day.year}"


def _named(organisation: Organisation, sender: SenderEnd) -> str:
    return "" if len(sender.organisations) == 1 else f"({organisation.short}) "


def _closed_words(periods: Sequence[Period], on: date) -> str:
    for period in periods:
        if period.since is not None and period.since > on:
            return f"ne sera équipé que le {french_date(period.since)}"
    last = periods[-1].until
    return f"n'est plus équipé depuis le {french_date(last)}" if last else "n'est pas équipé"
