"""Asks the national directory for every number of the partners files, and keeps the answers as a dated copy.

Resumable: the copy is saved as answers come, and what was asked lately is not asked again. An answer that falls short changes
nothing: what was known of that number stays, with its date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adapter.routing.entries import Entries
from adapter.routing.national import Asked, ListedBox, NationalListing
from mssante.directory import Lookup
from mssante.listed import ListedMailbox

SAVE_EVERY = 20

Ask = Callable[[str, str], Lookup]
Save = Callable[[NationalListing], None]


@dataclass(frozen=True)
class Change:
    """One number whose mailboxes are not those of before. No clear name: numbers of professionals and structures only."""

    kind: str
    number: str
    appeared: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refreshed:
    """What a round came to. `unanswered`: numbers to ask again, each with the directory's last word."""

    asked: int = 0
    fresh: int = 0
    changes: tuple[Change, ...] = ()
    unanswered: tuple[tuple[str, str, str], ...] = ()
    conflicts: tuple[tuple[str, str], ...] = ()


def numbers_of(entries: Entries) -> tuple[tuple[str, str], ...]:
    """Every RPPS and FINESS (EG) of the partners files, once, in a fixed order."""
    people = {("rpps", role.rpps) for role in entries.roles if role.rpps}
    places = {("finess", place.finess) for place in entries.organisations if place.finess}
    return tuple(sorted(people | places))


def refresh(
    entries: Entries,
    before: NationalListing,
    ask: Ask,
    now: datetime,
    max_age: timedelta,
    *,
    save: Save,
    step: Callable[[], None] = lambda: None,
) -> tuple[NationalListing, Refreshed]:
    """One round. `save` is called with the copy as it grows; `step` once a number. Numbers that left the files are forgotten."""
    wanted = numbers_of(entries)
    known = {(one.kind, one.number): one for one in before.asked if (one.kind, one.number) in set(wanted)}
    done = Refreshed()
    for kind, number in wanted:
        old = known.get((kind, number))
        if old is not None and now - old.at < max_age:
            done = replace(done, fresh=done.fresh + 1)
            step()
            continue
        lookup = ask(kind, number)
        done = replace(done, asked=done.asked + 1)
        if lookup.is_complete:
            new = Asked(kind, number, lookup.at, tuple(map(_box, lookup.mailboxes)))
            done = replace(done, changes=(*done.changes, *_changes(old, new)))
            known[kind, number] = new
        else:
            word = lookup.findings[-1].code if lookup.findings else "unanswered"
            done = replace(done, unanswered=(*done.unanswered, (kind, number, word)))
        if done.asked % SAVE_EVERY == 0:
            save(NationalListing(tuple(known.values())))
        step()
    listing = NationalListing(tuple(known.values()))
    save(listing)
    return listing, replace(done, conflicts=tuple(conflicts_of(entries, listing)))


def conflicts_of(entries: Entries, listing: NationalListing) -> Iterator[tuple[str, str]]:
    """Entries of the partners files whose mailbox the national directory lists for somebody else: (entry's key, address)."""
    places = {place.key: place for place in entries.organisations}
    legal = {entity.key: entity.finess for entity in entries.legal_entities}
    for role in entries.roles:
        place = places[role.organisation]
        if role.mailbox and listing.contradicts(role.mailbox, role.rpps, (place.finess, legal[place.legal_entity])):
            yield role.key, role.mailbox
    for place in entries.organisations:
        if place.mailbox and listing.contradicts(place.mailbox, "", (place.finess, legal[place.legal_entity])):
            yield place.key, place.mailbox


def _box(listed: ListedMailbox) -> ListedBox:
    finess = listed.at_structure or listed.holder.finess
    return ListedBox(listed.address, listed.kind.value, listed.holder.rpps, finess, listed.rank)


def _changes(old: Asked | None, new: Asked) -> tuple[Change, ...]:
    had = {box.address for box in old.boxes} if old else set()
    has = {box.address for box in new.boxes}
    appeared, vanished = tuple(sorted(has - had)), tuple(sorted(had - has))
    return (Change(new.kind, new.number, appeared, vanished),) if appeared or vanished else ()
