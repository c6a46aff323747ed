"""One session with a mailbox, on a server that misbehaves on command: what is read, what is never believed, when it ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssante.auth import Password, XOAuth2
from mssante.autoconfig import Endpoint
from mssante.errors import (
    MailboxError,
    MailboxLostError,
    MailboxRefusedError,
    SessionEndedError,
    TokenUnavailableError,
)
from mssante.imap_folder import decode_name, encode_name, read_arrivals, read_marks, read_section
from mssante.mailbox import FolderState, Limits, Mail, Mailbox, MailboxSettings, Missing, Oversize
from mssante.testing import TestPki, make_test_pki
from mssante.testing_mailbox import ImapFault, ImapMoment, MailboxDouble, _Session
from mssante.tls import TlsSettings

MAIL = b"Subject: essai\r\nMessage-ID: <m1@test.mssante.fr>\r\n\r\nBonjour\r\n"
QUICK = Limits(connect_seconds=2.0, command_seconds=0.5, slowest_bytes_a_second=10_000_000, chunk_bytes=1000)


@pytest.fixture
def double(pki: TestPki) -> Iterator[MailboxDouble]:
    with MailboxDouble(pki, folders=("INBOX", "Biologie reçue"), token="bon") as running:
        yield running


@pytest.fixture
def settings(double: MailboxDouble, tls: TlsSettings) -> MailboxSettings:
    return MailboxSettings("127.0.0.1", double.port, tls, limits=QUICK)


@pytest.fixture
def mailbox(settings: MailboxSettings) -> Iterator[Mailbox]:
    with Mailbox.open(settings) as opened:
        yield opened


def test_a_mail_is_read_byte_for_byte_in_pieces_and_stays_unread(double: MailboxDouble, mailbox: Mailbox) -> None:
    content = MAIL + bytes(range(256)) * 30 + b"\r\n.\r\n* BYE\r\n)\r\nA1 OK\r\n"
    uid = double.deliver(content)
    mailbox.select("INBOX")
    assert mailbox.fetch(uid, 100_000) == Mail(uid, content)
    assert sum("BODY.PEEK[]" in command for command in double.commands) == len(content) // 1000 + 1
    assert double.flags(uid) == frozenset()


@pytest.mark.parametrize("length", [0, 1, 999, 1000, 1001, 2000])
def test_pieces_join_at_every_boundary(double: MailboxDouble, mailbox: Mailbox, length: int) -> None:
    uid = double.deliver(b"x" * length)
    mailbox.select("INBOX")
    assert mailbox.fetch(uid, 100_000) == Mail(uid, b"x" * length)


def test_a_mail_above_the_cap_shows_its_headers_only(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL + b"z" * 5000)
    mailbox.select("INBOX")
    body = mailbox.fetch(uid, 2000)
    assert isinstance(body, Oversize)
    assert body.headers == MAIL.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert not any("BODY.PEEK[]" in command for command in double.commands)


def test_memory_holds_little_more_than_the_mail(double: MailboxDouble, settings: MailboxSettings) -> None:
    size = 20_000_000
    uid = double.deliver(b"m" * size)
    with Mailbox.open(replace(settings, limits=replace(QUICK, chunk_bytes=1024 * 1024, command_seconds=30))) as mailbox:
        mailbox.select("INBOX")
        tracemalloc.start()
        body = mailbox.fetch(uid, size)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert isinstance(body, Mail)
    assert peak < 2.5 * size


def test_a_message_that_went_away_is_missing(mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    assert mailbox.fetch(77, 1000) == Missing(77)


def test_new_means_above_the_position_and_without_the_keyword(double: MailboxDouble, mailbox: Mailbox) -> None:
    first, second, third = (double.deliver(MAIL) for _ in range(3))
    mailbox.select("INBOX")
    assert mailbox.mark(second, "$TduKept")
    assert mailbox.search(without="$TduKept") == (first, third)
    assert mailbox.search(after=first, without="$TduKept") == (third,)
    assert mailbox.search(after=third) == ()


def test_a_keyword_is_set_only_when_asked(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL)
    assert mailbox.select("INBOX").keeps("$TduKept")
    mailbox.fetch(uid, 1000)
    assert not any("STORE" in command for command in double.commands)
    mailbox.mark(uid, "$TduKept")
    assert double.flags(uid) == {"$TduKept"}


def test_a_keyword_is_taken_back_and_the_mail_is_found_again(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL)
    mailbox.select("INBOX")
    mailbox.mark(uid, "$TduKept")
    assert mailbox.search(without="$TduKept") == ()
    assert mailbox.unmark(uid, "$TduKept")
    assert mailbox.search(without="$TduKept") == (uid,) and double.flags(uid) == frozenset()


def test_mails_are_looked_for_since_a_day(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL)
    mailbox.select("INBOX")
    assert mailbox.search(since=date(2026, 11, 21)) == (uid,) and mailbox.search(since=date(2026, 12, 1)) == ()
    assert any("SINCE 01-Dec-2026" in command for command in double.commands)


def test_a_server_that_keeps_no_keyword_says_so_and_refuses(double: MailboxDouble, mailbox: Mailbox) -> None:
    double.keeps_keywords = False
    uid = double.deliver(MAIL)
    assert not mailbox.select("INBOX").keeps("$TduKept")
    assert not mailbox.mark(uid, "$TduKept")


def test_folders_have_french_names(double: MailboxDouble, mailbox: Mailbox) -> None:
    assert mailbox.folders() == ("INBOX", "Biologie reçue")
    uid = double.deliver(MAIL, "Biologie reçue")
    assert mailbox.select("Biologie reçue").messages == 1
    assert isinstance(mailbox.fetch(uid, 1000), Mail)
    with pytest.raises(MailboxRefusedError, match=r"mailbox\.no-folder"):
        mailbox.select("Absent")


def test_a_mail_is_moved_when_asked(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL)
    mailbox.select("INBOX")
    assert mailbox.move(uid, "Biologie reçue")
    assert [len(folder.messages) for folder in double.folders.values()] == [0, 1]


def test_nothing_is_expunged_where_others_would_lose_mail_too(double: MailboxDouble, settings: MailboxSettings) -> None:
    double.moves = False
    uid = double.deliver(MAIL)
    with Mailbox.open(settings) as mailbox:
        mailbox.select("INBOX")
        assert not mailbox.move(uid, "Biologie reçue")
    assert not any("EXPUNGE" in command or "COPY" in command for command in double.commands)


# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_arrival_wakes_the_wait(double: MailboxDouble, mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    mailbox.search()
    threading.Timer(0.2, double.deliver, [MAIL]).start()
    started = time.monotonic()
    assert mailbox.wait(10.0)
    assert time.monotonic() - started < 5
    assert mailbox.search() == (1,)


def test_a_wait_ends_when_its_time_is_over_or_when_told(mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    assert not mailbox.wait(0.2)
    assert not mailbox.wait(60.0, lambda: True)
    assert mailbox.search() == ()


def test_an_arrival_told_in_another_answer_is_not_slept_over(double: MailboxDouble, mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    mailbox.search()
    mailbox._line.untagged_responses["EXISTS"] = [b"1"]
    started = time.monotonic()
    assert mailbox.wait(10.0)
    assert time.monotonic() - started < 1


def test_a_line_cut_while_waiting_ends_the_session(double: MailboxDouble, mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    threading.Timer(0.2, double.hang_up).start()
    with pytest.raises(MailboxLostError):
        mailbox.wait(10.0)


# ── bad peers ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_cut_inside_a_mail_gives_no_mail(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL * 100)
    double.script(ImapFault.drop(ImapMoment.FETCH))
    mailbox.select("INBOX")
    with pytest.raises(MailboxLostError, match=r"mailbox\.dropped"):
        mailbox.fetch(uid, 100_000)


@pytest.mark.parametrize("fault", [ImapFault.stall(ImapMoment.FETCH, 3.0), ImapFault.trickle(ImapMoment.FETCH, 0.1)])
def test_a_silent_or_trickling_server_is_left_in_time(double: MailboxDouble, mailbox: Mailbox, fault: ImapFault) -> None:
    uid = double.deliver(MAIL * 100)
    double.script(fault)
    mailbox.select("INBOX")
    started = time.monotonic()
    with pytest.raises(MailboxLostError, match=r"mailbox\.timeout"):
        mailbox.fetch(uid, 100_000)
    assert time.monotonic() - started < 2.0


def test_an_absurd_announcement_is_refused_before_it_is_read(double: MailboxDouble, mailbox: Mailbox) -> None:
    uid = double.deliver(MAIL)
    double.script(ImapFault.announce(10**12))
    mailbox.select("INBOX")
    with pytest.raises(MailboxLostError, match=r"mailbox\.too-talkative"):
        mailbox.fetch(uid, 100_000)


def test_an_endless_line_is_refused(double: MailboxDouble, settings: MailboxSettings) -> None:
    double.script(ImapFault.answer(ImapMoment.SEARCH, "OK " + "a" * 5_000_000))
    with Mailbox.open(replace(settings, limits=replace(QUICK, command_seconds=20))) as mailbox:
        mailbox.select("INBOX")
        with pytest.raises(MailboxLostError, match=r"mailbox\.too-talkative"):
            mailbox.search()


def test_what_the_server_says_never_leaves_in_an_error(double: MailboxDouble, mailbox: Mailbox) -> None:
    double.script(ImapFault.answer(ImapMoment.SEARCH, "BAD 279035121518989@patient.mssante.fr"))
    mailbox.select("INBOX")
    with pytest.raises(MailboxError) as caught:
        mailbox.search()
    assert "279035121518989" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


NONSENSE = [
    b"\x00\xff\xfe\r\n",
    b"* SEARCH un deux\r\n",
    b"* SEARCH " + b"9" * 5000 + b"\r\n",
    b"* SEARCH {3}\r\nabc\r\n",
    b"* SEARCH {" + b"9" * 5000 + b"}\r\n",
    b"* 1 FETCH (UID " + b"8" * 5000 + b" RFC822.SIZE 3)\r\n",
    b"* 1 FETCH (UID 1 RFC822.SIZE " + b"8" * 5000 + b")\r\n",
    b"* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\n",
    b"* 1 FETCH (UID 1 BODY[]<0> 12)\r\n",
    b'* 1 FETCH (UID 1 INTERNALDATE "99-Foo-0000 99:99:99 +9999" RFC822.SIZE 1)\r\n',
    b"* OK [UIDVALIDITY " + b"7" * 5000 + b"]\r\n",
    b"+ \r\n",
    b"ZZ99 OK\r\n",
    b"* BYE 279035121518989\r\n",
    b"\n\n\n",
    b"* \r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("verb", ["select", "search", "fetch", "store"])
def test_nonsense_is_read_over_or_ends_the_session_with_its_error(
    double: MailboxDouble, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, nonsense: bytes, verb: str
) -> None:
    uid = double.deliver(MAIL)
    mailbox.select("INBOX")
    obey = getattr(_Session, f"_on_{verb}")

    def babble(session: _Session, tag: str, command: str) -> str:
        session._line.sendall(nonsense)
        return str(obey(session, tag, command))

    monkeypatch.setattr(_Session, f"_on_{verb}", babble)
    act = {
        "select": lambda: mailbox.select("INBOX"),
        "search": lambda: mailbox.search(),
        "fetch": lambda: mailbox.fetch(uid, 1000),
        "store": lambda: mailbox.mark(uid, "$TduKept"),
    }
    told: object = ""
    try:
        told = act[verb]()
    except MailboxError as error:
        told = str(error)
    match told:
        case str():
            assert told.startswith("mailbox.") and "279035121518989" not in told
        case Mail(content=content):
            assert content in (MAIL, b"")
        case _:
            assert told in ((uid,), (), True, Missing(uid)) or isinstance(told, FolderState)


def test_nobody_listening_and_a_silent_greeting_are_told_apart(double: MailboxDouble, settings: MailboxSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(MailboxLostError, match=r"mailbox\.unreachable"):
        Mailbox.open(replace(settings, port=port))
    double.script(ImapFault.stall(ImapMoment.GREETING))
    with pytest.raises(MailboxLostError, match=r"mailbox\.timeout"):
        Mailbox.open(replace(settings, limits=replace(QUICK, connect_seconds=0.3)))


def test_the_dialogue_is_logged_nowhere(
    double: MailboxDouble, settings: MailboxSettings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    uid = double.deliver(MAIL)
    with caplog.at_level(logging.DEBUG), Mailbox.open(settings) as mailbox:
        mailbox.select("INBOX")
        mailbox.fetch(uid, 1000)
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keyword", ["a b", "$x)\r\nA1 DELETE INBOX", "", "é", "\\Deleted"])
def test_a_keyword_never_carries_a_second_command(mailbox: Mailbox, keyword: str) -> None:
    with pytest.raises(MailboxError, match=r"mailbox\.keyword"):
        mailbox.mark(1, keyword)


def test_a_searched_text_never_carries_a_second_command(mailbox: Mailbox) -> None:
    mailbox.select("INBOX")
    with pytest.raises(MailboxError, match=r"mailbox\.search-text"):
        mailbox.search(header=("Message-ID", "<a@b>\r\nA1 LOGOUT"))


def test_a_server_that_is_not_reached_gives_way_to_the_next(double: MailboxDouble, settings: MailboxSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    working = Endpoint("127.0.0.1", double.port)
    Mailbox.open(replace(settings, port=port, others=(working,))).close()
    assert double.logins == ["EXTERNAL"]
    with pytest.raises(MailboxLostError, match=r"mailbox\.unreachable"):
        Mailbox.open(replace(settings, port=port, others=(Endpoint("127.0.0.1", port),)))


# ── who we are ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_without_certificate_or_with_a_rogue_one_gets_nowhere(
    double: MailboxDouble, settings: MailboxSettings, tls: TlsSettings, tmp_path: Path
) -> None:
    rogue = make_test_pki(tmp_path)
    for bad in (
        replace(tls, certificate=None, key=None),
        replace(tls, certificate=rogue.client_certificate, key=rogue.client_key),
    ):
        with pytest.raises(MailboxLostError, match=r"mailbox\.(tls-refused|dropped)"):
            Mailbox.open(replace(settings, tls=bad))
    assert double.logins == []


def test_a_server_that_is_not_the_operator_hears_no_login(
    double: MailboxDouble, settings: MailboxSettings, tls: TlsSettings, tmp_path: Path
) -> None:
    other = make_test_pki(tmp_path)
    for bad in (replace(tls, authorities=other.authority), replace(tls, server_name="autre.fr")):
        with pytest.raises(MailboxLostError, match=r"mailbox\.tls-refused"):
            Mailbox.open(replace(settings, tls=bad))
    assert not any("AUTHENTICATE" in command for command in double.commands)


def test_a_refused_token_goes_through_its_challenge_and_tells_its_status(
    double: MailboxDouble, settings: MailboxSettings
) -> None:
    with pytest.raises(MailboxRefusedError, match="status 401") as caught:
        Mailbox.open(replace(settings, auth=XOAuth2("dr@test.mssante.fr", lambda: "mauvais")))
    assert "mauvais" not in str(caught.value)


def test_a_token_is_asked_for_at_each_connection_and_not_before(double: MailboxDouble, settings: MailboxSettings) -> None:
    asked: list[str] = []

    def token() -> str:
        asked.append("bon")
        return "bon"

    with_token = replace(settings, auth=XOAuth2("dr@test.mssante.fr", token))
    assert asked == []
    for _ in range(2):
        Mailbox.open(with_token).close()
    assert asked == ["bon", "bon"]
    assert double.logins == ["XOAUTH2", "XOAUTH2"]


@pytest.mark.parametrize("error", [SessionEndedError("token.refresh-dead", "x"), TokenUnavailableError("token.later", "x")])
def test_a_provider_without_token_ends_the_session_with_its_own_error(settings: MailboxSettings, error: Exception) -> None:
    def token() -> str:
        raise error

    with pytest.raises(type(error)):
        Mailbox.open(replace(settings, auth=XOAuth2("dr@test.mssante.fr", token)))


def test_a_mechanism_that_is_not_offered_is_not_tried(pki: TestPki, tls: TlsSettings, settings: MailboxSettings) -> None:
    with MailboxDouble(pki) as without, pytest.raises(MailboxRefusedError, match=r"mailbox\.auth-not-offered"):
        Mailbox.open(replace(settings, port=without.port, auth=XOAuth2("dr@test.mssante.fr", lambda: "bon")))
    with MailboxDouble(pki) as double:
        Mailbox.open(replace(settings, port=double.port, auth=Password("u", "s3cret"))).close()
        assert double.logins == ["PLAIN"]


# ── what answers mean ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "travels"),
    [
        ("INBOX", '"INBOX"'),
        ("Reçus", '"Re&AOc-us"'),
        ("R&D", '"R&-D"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("~peter/台北", '"~peter/&U,BTFw-"'),
    ],
)
def test_folder_names_travel_in_modified_utf_7(name: str, travels: str) -> None:
    assert encode_name(name) == travels


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_folder_name_comes_back(name: str) -> None:
    travelled = encode_name(name)
    assert travelled.isascii()
    assert decode_name(travelled[1:-1].replace('\\"', '"').replace("\\\\", "\\")) == name


def test_fetch_answers_are_read_whatever_their_order() -> None:
    data = [
        b'3 (FLAGS (\\Seen $TduKept) INTERNALDATE " 1-Jan-2026 00:30:00 +0100" RFC822.SIZE 44 UID 9)',
        b"4 (FLAGS (\\Seen))",
        b'1 (UID 7 RFC822.SIZE 12 FLAGS () INTERNALDATE "32-Foo-2026 00:00:00 +0000")',
        None,
    ]
    seven, nine = read_arrivals(data)
    assert (seven.uid, seven.size, seven.received_at) == (7, 12, None)
    assert (nine.uid, nine.flags) == (9, {"\\Seen", "$TduKept"})
    assert nine.received_at is not None and nine.received_at.isoformat() == "2025-12-31T23:30:00+00:00"


def test_a_section_is_found_as_literal_as_quoted_text_and_with_its_uid_behind() -> None:
    assert read_section([(b"1 (UID 5 BODY[]<0> {3}", b"abc"), b")"], 5) == b"abc"
    assert read_section([(b"1 (BODY[]<0> {3}", b"abc"), b" UID 5)"], 5) == b"abc"
    assert read_section([b'1 (UID 5 BODY[]<0> "a\\"c")'], 5) == b'a"c'
    assert read_section([b"1 (UID 5 BODY[]<10> NIL)"], 5) == b""
    assert read_section([b"1 (UID 6 FLAGS ())", (b"2 (UID 6 BODY[] {1}", b"z"), b")"], 5) is None


def test_a_server_silent_about_permanent_flags_keeps_all_of_them() -> None:
    assert read_marks([b"ready"]) == (frozenset(), True)
    assert read_marks([b"[PERMANENTFLAGS ()] none"]) == (frozenset(), False)
