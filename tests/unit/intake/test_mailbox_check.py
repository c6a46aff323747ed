"""A mailbox compared with the ledger: marks that lie are put right, what nobody reads is counted, nothing is taken in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapter.intake.mailbox import MailboxDoorSettings
from adapter.intake.mailbox_check import MailboxView, compare_mailbox
from mssante.mailbox import Limits, Mailbox, MailboxSettings
from mssante.mailbox_reader import ReaderSettings
from mssante.testing import TestPki, make_test_pki
from mssante.testing_mailbox import MailboxDouble
from mssante.tls import TlsSettings

KEYWORD = "$TduKept"
NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


def mail(name: str) -> bytes:
    return f"Subject: essai\r\nMessage-ID: <{name}@test.mssante.fr>\r\n\r\nBonjour\r\n".encode()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_test_pki(Path(tmp_path_factory.mktemp("pki")))


@pytest.fixture
def double(pki: TestPki) -> Iterator[MailboxDouble]:
    with MailboxDouble(pki, folders=("INBOX", "Traités")) as running:
        yield running


class Box:
    """The mailbox, and what the ledger knows of it."""

    def __init__(self, double: MailboxDouble, pki: TestPki, **reader: object) -> None:
        tls = TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "localhost")
        limits = Limits(connect_seconds=2.0, command_seconds=2.0)
        server = MailboxSettings("127.0.0.1", double.port, tls, limits=limits)
        self.settings = MailboxDoorSettings("cms", "750712184", server, ReaderSettings(keyword=KEYWORD, **reader))  # type: ignore[arg-type]
        self.double = double
        self.known: set[str] = set()

    def holds(self, name: str, *, marked: bool = False, known: bool = False, folder: str = "INBOX") -> int:
        uid = self.double.deliver(mail(name), folder)
        if marked:
            with Mailbox.open(self.settings.mailbox) as mailbox:
                mailbox.select(folder)
                mailbox.mark(uid, KEYWORD)
        if known:
            self.known.add(f"<{name}@test.mssante.fr>")
        return uid

    def compare(self, *, may_write: bool = True) -> MailboxView:
        return compare_mailbox(self.settings, lambda ref: ref in self.known, NOW, 7, lambda: None, may_write=may_write)


@pytest.fixture
def box(double: MailboxDouble, pki: TestPki) -> Box:
    return Box(double, pki)


def test_what_is_kept_and_marked_is_left_as_it_is(box: Box) -> None:
    uid = box.holds("a", marked=True, known=True)
    assert box.compare() == MailboxView(seen=1)
    assert box.double.flags(uid) == {KEYWORD}


def test_a_mark_that_no_receipt_stands_behind_is_taken_back(box: Box) -> None:
    uid = box.holds("a", marked=True)
    assert box.compare(may_write=False) == MailboxView(seen=1, shown_again=1)
    assert box.double.flags(uid) == {KEYWORD}, "a dry run writes nothing"
    assert box.compare() == MailboxView(seen=1, shown_again=1)
    assert box.double.flags(uid) == frozenset()


def test_what_is_kept_and_lost_its_mark_gets_it_again(box: Box) -> None:
    uid = box.holds("a", known=True)
    assert box.compare() == MailboxView(seen=1, marked_again=1)
    assert box.double.flags(uid) == {KEYWORD}


def test_a_mail_that_nobody_read_for_a_day_is_counted_and_untouched(box: Box) -> None:
    uid = box.holds("a")
    assert box.compare() == MailboxView(seen=1, unread=1)
    assert box.double.flags(uid) == frozenset()


def test_history_that_the_door_was_told_to_skip_is_no_alarm(double: MailboxDouble, pki: TestPki) -> None:
    box = Box(double, pki, skip_existing=True)
    box.holds("a")
    assert box.compare() == MailboxView(seen=1)


def test_a_mail_put_away_that_nobody_kept_comes_back_to_be_read(double: MailboxDouble, pki: TestPki) -> None:
    box = Box(double, pki, move_to="Traités")
    box.holds("a", marked=True, folder="Traités")
    box.holds("b", marked=True, known=True, folder="Traités")
    assert box.compare() == MailboxView(seen=2, shown_again=1)
    assert [message.content for message in double.folders["INBOX"].messages.values()] == [mail("a")]


def test_a_mail_without_message_id_is_known_by_its_whole_content(box: Box) -> None:
    content = b"Subject: sans\r\n\r\nBonjour\r\n"
    box.double.deliver(content)
    box.known.add(f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert box.compare() == MailboxView(seen=1, marked_again=1)
