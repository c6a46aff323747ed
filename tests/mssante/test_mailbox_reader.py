"""Following a mailbox: nothing missed, nothing marked before it was kept, one bad mail never blocks the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from mssante.auth import XOAuth2
from mssante.errors import SessionEndedError, TlsSettingsError
from mssante.mailbox import Limits, Mail, MailboxSettings, Oversize
from mssante.mailbox_reader import (
    Decision,
    Event,
    EventKind,
    MailboxReader,
    Position,
    ReaderSettings,
    Received,
    Unreadable,
)
from mssante.testing import TestPki
from mssante.testing_mailbox import ImapFault, ImapMoment, MailboxDouble
from mssante.tls import TlsSettings

MAIL = b"Subject: essai\r\nMessage-ID: <m%d@test.mssante.fr>\r\n\r\nBonjour\r\n"
QUICK = Limits(connect_seconds=2.0, command_seconds=0.4, slowest_bytes_a_second=10_000_000)
PLAN = ReaderSettings(
    poll_seconds=0.1, idle_seconds=5.0, first_pause_seconds=0.01, longest_pause_seconds=0.05, refused_seconds=0.05
)


@dataclass
class Caller:
    """Durable memory and a store, as a user of the library has them."""

    kept: list[Received] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    decide: Callable[[Received], Decision] = lambda _: Decision.KEPT

    def load(self, folder: str) -> Position | None:
        return self.positions.get(folder)

    def save(self, folder: str, position: Position) -> None:
        self.positions[folder] = position

    def take(self, received: Received) -> Decision:
        decision = self.decide(received)
        if decision is Decision.KEPT:
            self.kept.append(received)
        return decision

    @property
    def uids(self) -> list[int]:
        return [received.arrival.uid for received in self.kept]

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


@pytest.fixture
def double(pki: TestPki) -> Iterator[MailboxDouble]:
    with MailboxDouble(pki, folders=("INBOX", "Biologie reçue", "Traités"), token="bon") as running:
        yield running


def test_a_double_listens_where_it_is_told_and_there_again_after_a_stop(pki: TestPki) -> None:
    with MailboxDouble(pki) as first:
        port = first.port
    with MailboxDouble(pki, port=port) as again:
        assert again.port == port


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def reader(double: MailboxDouble, tls: TlsSettings, caller: Caller) -> Callable[..., MailboxReader]:
    def make(plan: ReaderSettings = PLAN, **changes: object) -> MailboxReader:
        settings = replace(MailboxSettings("127.0.0.1", double.port, tls, limits=QUICK), **changes)  # type: ignore[arg-type]
        return MailboxReader(settings, plan, caller, caller.take, tell=caller.events.append, jitter=lambda: 1.0)

    return make


def wait_until(claim: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


@pytest.fixture
def running() -> Iterator[Callable[[MailboxReader], threading.Event]]:
    started: list[tuple[threading.Event, threading.Thread]] = []

    def start(reader: MailboxReader) -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=reader.run, args=(stop,), daemon=True)
        thread.start()
        started.append((stop, thread))
        return stop

    yield start
    for stop, thread in started:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


Start = Callable[[MailboxReader], threading.Event]
MakeReader = Callable[..., MailboxReader]


def test_what_was_kept_is_marked_and_not_shown_again(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    uids = [double.deliver(MAIL % number) for number in range(3)]
    assert reader().read_once() == 3
    assert caller.uids == uids
    assert all(double.flags(uid) == {"$TduKept"} for uid in uids)
    assert reader().read_once() == 0


def test_a_mail_is_marked_only_after_the_caller_kept_it(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    uid = double.deliver(MAIL % 1)
    seen: list[frozenset[str]] = []

    def decide(_: Received) -> Decision:
        seen.append(double.flags(uid))
        return Decision.KEPT

    caller.decide = decide
    reader().read_once()
    assert seen == [frozenset()]
    assert double.flags(uid) == {"$TduKept"}


def test_a_crash_before_the_mark_shows_the_mail_again(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.deliver(MAIL % 1)

    def crash(_: Received) -> Decision:
        raise RuntimeError("power cut")

    caller.decide = crash
    with pytest.raises(RuntimeError):
        reader().read_once()
    caller.decide = lambda _: Decision.KEPT
    assert reader().read_once() == 1


def test_later_leaves_the_folder_and_brings_the_mail_back_in_order(
    double: MailboxDouble, caller: Caller, reader: MakeReader
) -> None:
    first, second = double.deliver(MAIL % 1), double.deliver(MAIL % 2)
    caller.decide = lambda _: Decision.LATER
    assert reader().read_once() == 0
    assert double.flags(first) == double.flags(second) == frozenset()
    caller.decide = lambda _: Decision.KEPT
    reader().read_once()
    assert caller.uids == [first, second]


@pytest.mark.parametrize("promised", [False, True])
def test_where_no_keyword_is_kept_the_callers_position_counts(
    double: MailboxDouble, caller: Caller, reader: MakeReader, promised: bool
) -> None:
    if promised:  # PERMANENTFLAGS promises, STORE refuses
        double.script(ImapFault.answer(ImapMoment.STORE, "NO [NOPERM] no"))
    else:
        double.keeps_keywords = False
    first = double.deliver(MAIL % 1)
    one = reader()
    assert one.read_once() == 1
    assert caller.positions["INBOX"].last_uid == first
    assert EventKind.UNMARKED in caller.kinds()
    second = double.deliver(MAIL % 2)
    assert one.read_once() == 1
    assert caller.uids == [first, second]
    assert reader().read_once() == 0


def test_a_renumbered_folder_is_read_from_its_start_and_told(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.keeps_keywords = False
    for number in range(3):
        double.deliver(MAIL % number)
    reader().read_once()
    double.renumber()
    double.deliver(MAIL % 9)
    assert reader().read_once() == 4
    assert EventKind.RENUMBERED in caller.kinds()
    assert caller.positions["INBOX"].last_uid == 4
    assert reader().read_once() == 0


def test_what_lay_there_before_the_first_visit_can_be_left(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.deliver(MAIL % 1)
    plan = replace(PLAN, skip_existing=True)
    assert reader(plan).read_once() == 0
    new = double.deliver(MAIL % 2)
    assert reader(plan).read_once() == 1
    assert caller.uids == [new]


def test_every_folder_is_read(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.deliver(MAIL % 1, "Biologie reçue")
    double.deliver(MAIL % 2)
    assert reader(replace(PLAN, folders=("INBOX", "Biologie reçue"))).read_once() == 2
    assert {received.folder for received in caller.kept} == {"INBOX", "Biologie reçue"}


def test_a_kept_mail_moves_where_asked(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.deliver(MAIL % 1)
    assert reader(replace(PLAN, move_to="Traités")).read_once() == 1
    assert [len(folder.messages) for folder in double.folders.values()] == [0, 0, 1]


def test_a_mail_above_the_cap_is_shown_without_content(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    double.deliver(MAIL % 1 + b"z" * 10_000)
    double.deliver(MAIL % 2)
    assert reader(replace(PLAN, max_bytes=5000)).read_once() == 2
    assert [type(received.body) for received in caller.kept] == [Oversize, Mail]
    assert EventKind.OVERSIZE in caller.kinds()


def test_a_full_old_box_is_announced_some_at_a_time(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    for number in range(600):
        double.deliver(MAIL % number)
    stop_after = 501
    caller.decide = lambda received: Decision.KEPT if received.arrival.uid < stop_after else Decision.LATER
    assert reader().read_once() == stop_after - 1
    announced = [command for command in double.commands if "RFC822.SIZE" in command and "," in command]
    assert [command.count(",") for command in announced] == [499, 99]


# ── for good ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_arrival_is_shown_at_once(double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start) -> None:
    running(reader(replace(PLAN, poll_seconds=60.0, idle_seconds=60.0)))
    wait_until(lambda: any("IDLE" in command for command in double.commands))
    double.deliver(MAIL % 1)
    wait_until(lambda: caller.uids == [1], 3.0)


def test_without_idle_the_folders_are_polled(double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start) -> None:
    double.idles = False
    running(reader())
    wait_until(lambda: EventKind.CONNECTED in caller.kinds())
    double.deliver(MAIL % 1)
    wait_until(lambda: caller.uids == [1])
    assert not any("IDLE" in command for command in double.commands)


def test_other_folders_are_visited_while_the_first_is_watched(
    double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start
) -> None:
    running(reader(replace(PLAN, folders=("INBOX", "Biologie reçue"))))
    wait_until(lambda: any("IDLE" in command for command in double.commands))
    double.deliver(MAIL % 1, "Biologie reçue")
    wait_until(lambda: len(caller.kept) == 1)


def test_a_missing_second_folder_does_not_keep_the_first_from_being_read(
    double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start
) -> None:
    double.deliver(MAIL % 1)
    running(reader(replace(PLAN, folders=("INBOX", "Absent"))))
    wait_until(lambda: caller.uids == [1])
    assert EventKind.FOLDER_REFUSED in caller.kinds()


def test_a_broken_line_is_taken_up_again_with_growing_pauses(
    double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start
) -> None:
    double.deliver(MAIL % 1)
    double.script(*(ImapFault.drop(ImapMoment.GREETING) for _ in range(4)))
    running(reader())
    wait_until(lambda: caller.uids == [1])
    pauses = [event.pause_seconds for event in caller.events if event.kind is EventKind.LOST]
    assert pauses == [0.01, 0.02, 0.04, 0.05]


def test_one_mail_that_breaks_the_line_never_blocks_the_others(
    double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start
) -> None:
    bad, good = double.deliver(MAIL % 1), double.deliver(MAIL % 2)
    double.script(*(ImapFault.drop(ImapMoment.FETCH) for _ in range(3)))
    running(reader())
    wait_until(lambda: caller.uids == [bad, good])
    assert [type(received.body) for received in caller.kept] == [Unreadable, Mail]
    assert caller.kinds().count(EventKind.LOST) == 3
    assert double.flags(bad) == frozenset()


def test_a_refused_login_waits_long(double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start) -> None:
    double.deliver(MAIL % 1)
    double.script(ImapFault.answer(ImapMoment.LOGIN, "NO [AUTHENTICATIONFAILED] no"))
    running(reader())
    wait_until(lambda: caller.uids == [1])
    (refused,) = [event for event in caller.events if event.kind is EventKind.REFUSED]
    assert (refused.code, refused.pause_seconds) == ("mailbox.auth-refused", 0.05)


def test_an_unusable_certificate_file_is_tried_again(
    double: MailboxDouble, caller: Caller, reader: MakeReader, tls: TlsSettings, running: Start
) -> None:
    class LateSource:
        """A source whose files are put right while we wait."""

        settings = tls
        asked = 0

        def contexts(self) -> tuple[object, ...]:
            from mssante.tls import tls_context

            self.asked += 1
            if self.asked < 3:
                raise TlsSettingsError("tls.unreadable", "being replaced")
            return (tls_context(tls),)

    double.deliver(MAIL % 1)
    running(reader(tls=LateSource()))
    wait_until(lambda: caller.uids == [1])
    assert caller.kinds().count(EventKind.LOST) == 2


def test_a_dead_refresh_ends_everything_with_its_own_error(double: MailboxDouble, caller: Caller, reader: MakeReader) -> None:
    answers = ["bon"]

    def token() -> str:
        if not answers:
            raise SessionEndedError("token.refresh-dead", "sign in again")
        return answers.pop()

    auth = XOAuth2("dr@test.mssante.fr", token)
    with pytest.raises(SessionEndedError):
        reader(replace(PLAN, token_seconds=0.1, idle_seconds=0.2), auth=auth).run(threading.Event())
    assert caller.kinds() == [EventKind.CONNECTED, EventKind.SIGNED_OUT]
    assert double.logins == ["XOAUTH2"]


def test_stop_is_heard_while_idling(double: MailboxDouble, caller: Caller, reader: MakeReader, running: Start) -> None:
    stop = running(reader(replace(PLAN, idle_seconds=600.0)))
    wait_until(lambda: any("IDLE" in command for command in double.commands))
    started = time.monotonic()
    stop.set()
    wait_until(lambda: "LOGOUT" in double.commands)
    assert time.monotonic() - started < 4
