"""What a record and an agreement declare: forms, changes, the order of record and mail; what is misspelt is said at once."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName, Leg
from adapter.model.submission import Submission
from adapter.model.wish import Word
from adapter.routing.choose import choose_route
from adapter.routing.consent import PatientWishes, Wish, record_objection
from adapter.routing.directory import Directory
from tests.builders.directory import EQUIPPED, TO_RECORD, rehearsal, submission, to_person
from tests.builders.record_territory import record_territory

RECORD, MAIL = ChannelName.SHARED_RECORD, ChannelName.SECURE_MAIL
TODAY = date(2026, 11, 21)


def legs(sent: Submission, directory: Directory) -> list[Leg]:
    plan = choose_route(sent, directory, TODAY, rehearsal(), PatientWishes(record=Wish.AGREED))
    return [leg for recipient in plan.recipients for leg in recipient.legs]


def test_the_plan_keeps_the_forms_and_the_way_of_changes_of_the_day() -> None:
    declared = record_territory('renditions = ["pdf", "cda"]\nchanges = "transaction"')
    for sent in (submission(TO_RECORD, record=True), submission(to_person(EQUIPPED))):
        (leg,) = [one for one in legs(sent, declared) if one.channel is RECORD]
        assert (leg.renditions, leg.changes) == (("pdf", "cda"), "transaction")


def test_a_record_that_declares_nothing_gets_what_came_and_takes_no_change() -> None:
    (leg,) = legs(submission(TO_RECORD, record=True), record_territory())
    assert (leg.renditions, leg.changes) == ((), "")


@pytest.mark.parametrize("first", [True, False])
def test_an_agreement_says_whether_its_mail_waits_for_the_record(first: bool) -> None:
    found = {leg.channel: leg for leg in legs(submission(to_person(EQUIPPED)), record_territory(first=first))}
    assert found[MAIL].after_record is first
    assert (found[RECORD].order, found[MAIL].order) == ((1, 2) if first else (1, 1))
    assert not found[RECORD].after_record


def test_without_a_record_beside_the_mail_waits_for_nobody() -> None:
    refused = PatientWishes(record=Wish.REFUSED)
    plan = choose_route(submission(to_person(EQUIPPED)), record_territory(first=True), TODAY, rehearsal(), refused)
    (mail, *_) = [leg for recipient in plan.recipients for leg in recipient.legs]
    assert (mail.channel, mail.after_record, mail.order) == (MAIL, False, 1)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('renditions = ["cda", "docx"]', "renditions"),
        ('renditions = ["cda", "cda"]', "renditions"),
        ('renditions = "cda"', "renditions"),
        ('changes = "put"', "changes"),
        ('rendition = ["cda"]', "rendition"),
    ],
)
def test_a_word_that_is_no_form_nor_way_is_said_with_its_place(line: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"record\[1\].*{word}"):
        record_territory(line)


@pytest.mark.parametrize(("account", "code"), [(Word.NONE, "record-none"), (Word.CLOSED, "record-closed")])
def test_a_record_that_answered_that_there_is_no_account_is_not_fed_even_on_the_senders_word(account: Word, code: str) -> None:
    objection = record_objection(submission(TO_RECORD, record=True), PatientWishes(account=account))
    assert objection is not None
    assert objection.code == code
