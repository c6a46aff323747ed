"""The mailbox door: durable before marked, no bad mail blocks others, nothing lost nor doubled by a kill between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from adapter.intake.committer import Intake, NotKeptError, TryLaterError
from adapter.intake.mailbox import LedgerPositions, MailboxDoor, MailboxDoorSettings, reference_of
from adapter.model.receipt import Answer, Arrival, Kept, Verdict
from mssante.mailbox import Arrival as Announced
from mssante.mailbox import Mail, MailboxSettings, Oversize
from mssante.mailbox_reader import Decision, Position, ReaderSettings, Received, Unreadable
from mssante.testing import TestPki, make_test_pki
from mssante.testing_mailbox import MailboxDouble
from mssante.tls import TlsSettings
from tests.builders.cda import build_ldl_ses
from tests.builders.inbound_mail import MESSAGE_ID, letter_mail, plain_mail

NOW = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
LETTER = letter_mail(build_ldl_ses())


class FakeIntake:
    """Answers as told; keeps what it was given."""

    def __init__(self, *fates: Exception | None) -> None:
        self.arrivals: list[Arrival] = []
        self.fates = list(fates)

    def take(self, arrival: Arrival) -> Future[Answer]:
        self.arrivals.append(arrival)
        future: Future[Answer] = Future()
        fate = self.fates.pop(0) if self.fates else None
        if fate is not None:
            future.set_exception(fate)
        else:
            future.set_result(Answer(f"r{len(self.arrivals)}", Verdict.ACCEPTED, b"", Kept.STORED))
        return future


class Cursors:
    """A ledger's cursors."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        return self.values.get((legal_entity, cursor_name), "")

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        self.values[legal_entity, cursor_name] = cursor


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return make_test_pki(tmp_path_factory.mktemp("pki"), server_name="operateur.test")


@pytest.fixture
def double(pki: TestPki) -> Iterator[MailboxDouble]:
    with MailboxDouble(pki) as server:
        yield server


def door_of(intake: FakeIntake, *, pki: TestPki | None = None, port: int = 1, cursors: Cursors | None = None) -> MailboxDoor:
    tls = TlsSettings(pki.authority, pki.client_certificate, pki.client_key, "operateur.test") if pki else TlsSettings()
    reader = ReaderSettings(max_bytes=200_000, poll_seconds=0.1, idle_seconds=0.2, first_pause_seconds=0.05)
    settings = MailboxDoorSettings("cms", "949990212", MailboxSettings("127.0.0.1", port, tls), reader)
    positions = LedgerPositions(cursors or Cursors(), "cms", "949990212")
    return MailboxDoor(settings, cast(Intake[Any], intake), positions, clock=lambda: NOW)


def received(body: Mail | Oversize | Unreadable) -> Received:
    return Received("INBOX", 7, Announced(body.uid, 10, frozenset(), None), body)


def run_until(door: MailboxDoor, done: Callable[[], bool]) -> None:
    """Follow in a thread until a condition holds, then stop in order."""
    stop = threading.Event()
    thread = threading.Thread(target=door.run, args=(stop,))
    thread.start()
    waiting = threading.Event()
    for _ in range(400):
        if done():
            break
        waiting.wait(0.02)
    stop.set()
    thread.join(5)
    assert not thread.is_alive(), "the door does not stop"
    assert done()


# ── one mail ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_mail_is_an_arrival_by_its_mailbox_named_by_its_message_id() -> None:
    intake = FakeIntake()
    assert door_of(intake).take(received(Mail(1, LETTER))) is Decision.KEPT
    (arrival,) = intake.arrivals
    assert (arrival.content, arrival.door, arrival.reference) == (LETTER, "mailbox:cms", MESSAGE_ID)
    assert (arrival.principal.kind, arrival.principal.legal_entity, arrival.side_car) == ("mailbox", "949990212", b"")


def test_a_ledger_that_is_busy_takes_the_mail_later() -> None:
    intake = FakeIntake(TryLaterError("intake.overloaded", "later"))
    assert door_of(intake).take(received(Mail(1, LETTER))) is Decision.LATER


@pytest.mark.parametrize(
    ("body", "withheld"),
    [(Oversize(1, 50_000_000, b"Message-ID: <a@b>\r\nSubject: x\r\n\r\n"), "too-large"), (Unreadable(1, 3), "unreadable")],
)
def test_what_cannot_be_brought_in_is_kept_as_far_as_it_is_known(body: Oversize | Unreadable, withheld: str) -> None:
    intake = FakeIntake()
    assert door_of(intake).take(received(body)) is Decision.KEPT
    (arrival,) = intake.arrivals
    assert f"mail.{withheld}".encode() in arrival.side_car


def test_a_mail_that_the_ledger_can_never_keep_does_not_come_back_for_ever() -> None:
    intake = FakeIntake(NotKeptError("ledger.unwritable", "no"))
    assert door_of(intake).take(received(Mail(1, LETTER))) is Decision.KEPT
    assert b"mail.not-kept" in intake.arrivals[1].side_car and intake.arrivals[1].content == b""


def test_a_mail_without_a_usable_id_is_named_by_its_content() -> None:
    assert reference_of(LETTER) == MESSAGE_ID
    assert reference_of(b"Subject: x\r\n\r\ny").startswith("sha256:")
    assert reference_of(b"Message-ID: <a\x00b@c>\r\n\r\ny").startswith("sha256:")
    assert reference_of(b"A: b\r\n" * 2_000).startswith("sha256:")


def test_positions_are_kept_under_the_folders_hash() -> None:
    cursors = Cursors()
    positions = LedgerPositions(cursors, "cms", "949990212")
    assert positions.load("Dossier de Mme X") is None
    positions.save("Dossier de Mme X", Position(7, 12))
    assert positions.load("Dossier de Mme X") == Position(7, 12)
    assert "Mme" not in str(cursors.values)


# ── a mailbox ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_new_mails_are_taken_and_only_then_marked(double: MailboxDouble, pki: TestPki) -> None:
    double.deliver(LETTER)
    double.deliver(plain_mail("Bonjour", "x"))
    intake = FakeIntake()
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 2)
    assert [arrival.content for arrival in intake.arrivals] == [LETTER, plain_mail("Bonjour", "x")]


def test_what_was_not_kept_is_not_marked_and_comes_again(double: MailboxDouble, pki: TestPki) -> None:
    double.deliver(LETTER)
    intake = FakeIntake(TryLaterError("intake.stopping", "later"))
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 1)
    assert len(intake.arrivals) == 2


def test_a_kill_between_the_commit_and_the_mark_shows_the_mail_again_under_its_name(double: MailboxDouble, pki: TestPki) -> None:
    double.deliver(LETTER)

    class Killed(FakeIntake):
        def take(self, arrival: Arrival) -> Future[Answer]:
            future = super().take(arrival)
            if len(self.arrivals) == 1:
                raise SystemExit  # the commit is durable, the keyword is not set
            return future

    intake = Killed()
    door = door_of(intake, pki=pki, port=double.port)
    with pytest.raises(SystemExit):
        door._reader.read_once()
    assert marked(double) == []
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 1)
    assert [arrival.reference for arrival in intake.arrivals] == [MESSAGE_ID, MESSAGE_ID]


def test_a_mail_above_the_limit_blocks_no_other(double: MailboxDouble, pki: TestPki) -> None:
    double.deliver(plain_mail("Gros", "x" * 300_000))
    double.deliver(LETTER)
    intake = FakeIntake()
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 2)
    big, letter = intake.arrivals
    assert b"mail.too-large" in big.side_car and len(big.content) < 2_000
    assert letter.content == LETTER


def test_a_server_without_keywords_is_followed_by_position(pki: TestPki) -> None:
    cursors = Cursors()
    with MailboxDouble(pki, keeps_keywords=False) as double:
        double.deliver(LETTER)
        first = FakeIntake()
        run_until(door_of(first, pki=pki, port=double.port, cursors=cursors), lambda: ":1" in str(cursors.values))
        double.deliver(plain_mail("Suite", "x"))
        second = FakeIntake()
        run_until(door_of(second, pki=pki, port=double.port, cursors=cursors), lambda: len(second.arrivals) == 1)
    assert second.arrivals[0].content == plain_mail("Suite", "x")


def test_a_defect_in_the_door_does_not_end_it(double: MailboxDouble, pki: TestPki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapter.intake.mailbox.DEFECT_SECONDS", 0.05)
    double.deliver(LETTER)

    class Broken(FakeIntake):
        def take(self, arrival: Arrival) -> Future[Answer]:
            if not self.arrivals:
                self.arrivals.append(arrival)
                raise RuntimeError("defect")
            return super().take(arrival)

    intake = Broken()
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 1)
    assert len(intake.arrivals) == 2


def marked(double: MailboxDouble) -> list[int]:
    """The messages that bear our keyword."""
    messages = double.folders["INBOX"].messages
    return [uid for uid, message in messages.items() if "$tdukept" in {flag.lower() for flag in message.flags}]


def test_nothing_of_a_mail_is_logged_nor_written(double: MailboxDouble, pki: TestPki, tmp_path: Path, capsys: Any) -> None:
    double.deliver(LETTER)
    intake = FakeIntake()
    run_until(door_of(intake, pki=pki, port=double.port), lambda: len(marked(double)) == 1)
    said = capsys.readouterr()
    assert "BERTHIER" not in said.out + said.err and "mailbox.kept" in said.out + said.err
    assert list(tmp_path.iterdir()) == []
