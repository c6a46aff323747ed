"""A round of the national directory: every number once, resumable, and an answer that falls short changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapter.routing.national import NOTHING_LISTED, Asked, ListedBox, NationalListing
from adapter.sync.directory_refresh import Change, numbers_of, refresh
from mssante.directory import Lookup
from mssante.listed import Finding, Holder, ListedMailbox, MailboxKind
from tests.builders.directory import EQUIPPED, IVRY, territory

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)
WEEK = timedelta(days=7)
ENTRIES = territory().entries


def box(address: str, rpps: str = "") -> ListedMailbox:
    return ListedMailbox(address, MailboxKind.PERSON, Holder("Practitioner/1", rpps=rpps), at_structure=IVRY)


class Source:
    """Answers with nothing listed, but for what a test says."""

    def __init__(self, **answers: Lookup) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, kind: str, number: str) -> Lookup:
        self.asked.append(number)
        return self.answers.get(f"n{number}", Lookup((), NOW))


def test_every_number_is_asked_once_and_the_copy_says_what_was_listed() -> None:
    source = Source(**{f"n{EQUIPPED}": Lookup((box("a@b.mssante.fr", EQUIPPED),), NOW)})
    saved: list[NationalListing] = []
    copy, done = refresh(ENTRIES, NOTHING_LISTED, source, NOW, WEEK, save=saved.append)
    assert sorted(source.asked) == sorted(number for _, number in numbers_of(ENTRIES))
    assert done.asked == len(source.asked) and done.fresh == 0
    assert done.changes == (Change("rpps", EQUIPPED, ("a@b.mssante.fr",)),)
    assert copy.of_person(EQUIPPED, (IVRY,)) == "a@b.mssante.fr"
    assert saved[-1] == copy


def test_what_was_asked_lately_is_not_asked_again() -> None:
    copy, _ = refresh(ENTRIES, NOTHING_LISTED, Source(), NOW, WEEK, save=lambda _: None)
    source = Source()
    _, done = refresh(ENTRIES, copy, source, NOW + timedelta(days=1), WEEK, save=lambda _: None)
    assert source.asked == [] and done.fresh == len(copy.asked)


def test_an_incomplete_answer_keeps_what_was_known_and_asks_for_another_round() -> None:
    before = NationalListing(
        (Asked("rpps", EQUIPPED, NOW - timedelta(days=30), (ListedBox("a@b.mssante.fr", "PER", EQUIPPED, IVRY),)),)
    )
    short = Lookup((), NOW, is_complete=False, findings=(Finding("directory.http-503"),))
    copy, done = refresh(ENTRIES, before, Source(**{f"n{EQUIPPED}": short}), NOW, WEEK, save=lambda _: None)
    assert copy.of_person(EQUIPPED, (IVRY,)) == "a@b.mssante.fr"
    assert done.unanswered == (("rpps", EQUIPPED, "directory.http-503"),)
    assert done.changes == ()


def test_a_round_stopped_in_the_middle_goes_on_where_it_was() -> None:
    saved: list[NationalListing] = []
    numbers = numbers_of(ENTRIES)
    assert len(numbers) > 22

    class Stopped(Source):
        def __call__(self, kind: str, number: str) -> Lookup:
            if len(self.asked) == 22:
                raise KeyboardInterrupt
            return super().__call__(kind, number)

    with pytest.raises(KeyboardInterrupt):
        refresh(ENTRIES, NOTHING_LISTED, Stopped(), NOW, WEEK, save=saved.append)
    source = Source()
    refresh(ENTRIES, saved[-1], source, NOW, WEEK, save=saved.append)
    assert len(source.asked) == len(numbers) - 20


def test_a_number_that_left_the_partners_files_is_forgotten() -> None:
    before = NationalListing((Asked("rpps", "10000000000", NOW),))
    copy, _ = refresh(ENTRIES, before, Source(), NOW, WEEK, save=lambda _: None)
    assert "10000000000" not in {one.number for one in copy.asked}


def test_a_box_that_vanished_is_told() -> None:
    before = NationalListing((Asked("finess", IVRY, NOW - timedelta(days=30), (ListedBox("a@b.mssante.fr", "ORG", "", IVRY),)),))
    _, done = refresh(ENTRIES, before, Source(), NOW, WEEK, save=lambda _: None)
    assert Change("finess", IVRY, (), ("a@b.mssante.fr",)) in done.changes


def test_an_entry_whose_address_is_somebody_else_s_is_told() -> None:
    role = next(r for r in ENTRIES.roles if r.mailbox and r.rpps != EQUIPPED)
    thief = Lookup((box(role.mailbox, EQUIPPED),), NOW)
    _, done = refresh(ENTRIES, NOTHING_LISTED, Source(**{f"n{EQUIPPED}": thief}), NOW, WEEK, save=lambda _: None)
    assert (role.key, role.mailbox) in done.conflicts
