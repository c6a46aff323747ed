"""The fax door on a receive queue: taken once, removed once durable, remembered where it stays, told once when it is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapter.channels.fnp import FnpError
from adapter.intake.committer import Intake
from adapter.intake.fax_in import FaxIntakeSettings, FaxTaker, ReceivedFax
from adapter.intake.fax_queue import MOST_FAILURES, STRAY_SECONDS, FaxQueue, FaxQueueSettings
from adapter.model.fax_in import Withheld
from adapter.model.receipt import Answer, Arrival
from tests.servers.receive_queue import AT, Lying, QueueDouble
from tests.unit.intake.fakes import NOW, FakeAcceptor
from tests.unit.intake.test_fax_folder import ENTITY, fax_tiff, told


class Cursors:
    """A ledger's cursors."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def read_cursor(self, cursor_name: str, *, legal_entity: str = "") -> str:
        return self.values.get((legal_entity, cursor_name), "")

    def keep_cursor(self, cursor_name: str, cursor: str, *, legal_entity: str = "") -> None:
        self.values[legal_entity, cursor_name] = cursor


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor()


@pytest.fixture
def intake(acceptor: FakeAcceptor) -> Iterator[Intake[Arrival]]:
    intake = Intake(acceptor)
    intake.start()
    yield intake
    intake.stop()


@pytest.fixture
def server() -> Iterator[QueueDouble]:
    with QueueDouble() as double:
        yield double


def follow(
    server: QueueDouble,
    intake: Intake[Arrival],
    cursors: Cursors | None = None,
    *,
    monotonic: Callable[[], float] = lambda: 1000.0,
    administrator: str = "geheim",
    **changes: Any,
) -> FaxQueue:
    values: dict[str, Any] = {"delete_after": True, "timeout_seconds": 5, "poll_seconds": 0.02, **changes}
    settings = FaxQueueSettings(
        "fax-ivry", ENTITY, "127.0.0.1", server.port, administrator_password=lambda: administrator, **values
    )
    taker = FaxTaker(FaxIntakeSettings("fax-ivry", ENTITY), intake, clock=lambda: NOW)
    return FaxQueue(settings, taker, cursors or Cursors(), monotonic=monotonic)


def test_a_fax_of_the_queue_is_one_arrival_and_then_leaves_it(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff(2), station="+33.1.45.21.00.01")
    assert follow(server, intake).poll_once() == 1
    (arrival,) = acceptor.kept
    assert (arrival.content, arrival.door) == (fax_tiff(2), "fax:fax-ivry")
    expected = {"from": "+33145210001", "called_id": "", "pages": 2, "received_at": AT.isoformat(), "withheld": ""}
    assert told(arrival) == expected
    assert arrival.reference.startswith("fax000000001.tif#")
    assert not server.files


@pytest.mark.parametrize(("took", "seconds"), [("0:01:04", 64), ("12:00:01", 43201), ("", None), ("soon", None)])
def test_how_long_a_call_took_is_told_where_the_server_says_so(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], took: str, seconds: int | None
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff(), took=took, station="A|B")
    follow(server, intake).poll_once()
    assert told(acceptor.kept[0]).get("seconds") == seconds


@pytest.mark.parametrize(
    ("caller", "station", "number"),
    [
        ("0145210001", "+33 1 45 21 00 99", "+33145210001"),
        ("anonymous", "+33 1 45 21 00 99", "+33145210099"),
        ("", "CABINET|DU|DOCTEUR", ""),
        ("", "T\xe9l\xe9copie\x00\xff", ""),
    ],
)
def test_the_callers_number_counts_first_then_what_the_machine_says_of_itself(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], caller: str, station: str, number: str
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff(), caller=caller, station=station)
    follow(server, intake).poll_once()
    assert told(acceptor.kept[0])["from"] == number


@pytest.mark.parametrize("administrator", ["geheim", ""])
def test_a_fax_that_is_coming_in_is_left_alone(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], administrator: str
) -> None:
    now = [1000.0]
    server.files["fax000000001.tif"] = Lying(fax_tiff()[:50], is_coming_in=True)
    server.files["fax000000002.tif"] = Lying(b"", is_coming_in=True, is_fax=False)  # the first instants of a call
    door = follow(server, intake, monotonic=lambda: now[0], administrator=administrator)
    assert door.poll_once() == 0
    server.files["fax000000001.tif"] = Lying(fax_tiff(), at=AT + timedelta(seconds=40))
    server.files["fax000000002.tif"] = Lying(fax_tiff(mark=3), at=AT + timedelta(seconds=41))
    now[0] += STRAY_SECONDS + 1
    assert door.poll_once() == 2
    assert [one.content for one in acceptor.kept] == [fax_tiff(), fax_tiff(mark=3)]


# ── where faxes stay ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_fax_that_stays_is_taken_once_and_its_name_given_again_is_another(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    cursors = Cursors()
    server.files["fax000000001.tif"] = Lying(fax_tiff())
    for _ in range(3):  # as if restarted each time
        follow(server, intake, cursors, delete_after=False).poll_once()
    assert len(acceptor.kept) == 1
    server.files["fax000000001.tif"] = Lying(fax_tiff(mark=5), at=AT + timedelta(days=900))
    assert follow(server, intake, cursors, delete_after=False).poll_once() == 1
    assert [one.content for one in acceptor.kept] == [fax_tiff(), fax_tiff(mark=5)]
    assert "fax0" not in str(cursors.values)
    server.files.clear()
    follow(server, intake, cursors, delete_after=False).poll_once()
    server.files["fax000000009.tif"] = Lying(fax_tiff(mark=6))
    follow(server, intake, cursors, delete_after=False).poll_once()
    ((_, kept),) = cursors.values.items()
    assert len(json.loads(kept)) == 1  # nothing is remembered of what is gone


def test_what_lay_there_before_the_first_visit_may_be_history(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    cursors = Cursors()
    server.files["fax000000001.tif"] = Lying(fax_tiff())
    door = follow(server, intake, cursors, skip_existing=True)
    assert door.poll_once() == 0
    server.files["fax000000002.tif"] = Lying(fax_tiff(mark=2))
    assert door.poll_once() == 1
    assert list(server.files) == ["fax000000001.tif"]


@pytest.mark.parametrize("administrator", ["geheim", ""])
def test_a_server_that_lets_nothing_be_removed_shows_each_fax_once_all_the_same(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], administrator: str
) -> None:
    server.may_remove = False
    cursors = Cursors()
    server.files["fax000000001.tif"] = Lying(fax_tiff())
    for _ in range(2):
        follow(server, intake, cursors, administrator=administrator).poll_once()
    assert len(acceptor.kept) == 1
    assert len([word for word in server.said if word.startswith("DELE")]) == 1


# ── what cannot be brought in ─────────────────────────────────────────────────────────────────────────────────


def test_a_fax_too_large_stays_in_the_queue_and_is_parked_once(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    cursors = Cursors()
    server.files["fax000000001.tif"] = Lying(fax_tiff() + bytes(300_000))
    server.files["fax000000002.tif"] = Lying(fax_tiff())
    for _ in range(2):
        follow(server, intake, cursors, max_file_bytes=200_000).poll_once()
    assert [told(one)["withheld"] for one in acceptor.kept] == [Withheld.TOO_LARGE, ""]
    assert list(server.files) == ["fax000000001.tif"]
    assert not [word for word in server.said if word == "RETR recvq/fax000000001.tif"]


@pytest.mark.parametrize(
    ("lying", "withheld", "stays"),
    [
        (Lying(b"", is_fax=False), Withheld.EMPTY, False),
        (Lying(b"garbage", is_fax=False), Withheld.NOT_PAGES, False),
        (Lying(fax_tiff()[:60], is_fax=False), Withheld.DAMAGED, False),
        (Lying(fax_tiff(), is_fax=False, is_closed=True), Withheld.UNREADABLE, True),
    ],
)
def test_a_file_that_is_no_fax_is_parked_after_an_hour_without_a_change(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], lying: Lying, withheld: str, stays: bool
) -> None:
    now, cursors = [1000.0], Cursors()
    server.files["fax000000001.tif"] = lying
    server.files["seqf"] = Lying(b"7", is_fax=False)
    server.files["fax000000002.tif"] = Lying(fax_tiff(mark=2))
    door = follow(server, intake, cursors, monotonic=lambda: now[0])
    assert door.poll_once() == 1
    now[0] += STRAY_SECONDS
    assert door.poll_once() == 1
    assert [told(one)["withheld"] for one in acceptor.kept] == ["", withheld]
    assert ("fax000000001.tif" in server.files) is stays
    assert door.poll_once() == 0
    assert "seqf" in server.files


def test_a_fax_that_breaks_the_conversation_each_time_holds_up_no_other_and_is_parked_at_last(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff())
    server.files["fax000000002.tif"] = Lying(fax_tiff(mark=2))
    server.cuts.add("fax000000001.tif")
    door = follow(server, intake)
    for _ in range(MOST_FAILURES):
        with pytest.raises(FnpError):
            door.poll_once()
    assert [one.content for one in acceptor.kept] == [fax_tiff(mark=2)]
    assert door.poll_once() == 1
    assert told(acceptor.kept[1])["withheld"] == Withheld.UNREADABLE
    assert list(server.files) == ["fax000000001.tif"]
    assert door.poll_once() == 0


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fax_that_meets_a_defect_of_ours_stays_and_holds_up_no_other(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff(mark=1))
    server.files["fax000000002.tif"] = Lying(fax_tiff(mark=2))
    whole = FaxTaker.take

    def take(taker: FaxTaker, fax: ReceivedFax) -> tuple[Answer, str]:
        if fax.content == fax_tiff(mark=1):
            raise ZeroDivisionError
        return whole(taker, fax)

    monkeypatch.setattr(FaxTaker, "take", take)
    assert follow(server, intake).poll_once() == 1
    assert [one.content for one in acceptor.kept] == [fax_tiff(mark=2)]
    assert list(server.files) == ["fax000000001.tif"]


def test_a_ledger_that_is_down_leaves_the_fax_in_the_queue(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff())
    acceptor.down = True
    door = follow(server, intake)
    assert door.poll_once() == 0
    assert list(server.files) == ["fax000000001.tif"]
    acceptor.down = False
    assert door.poll_once() == 1
    assert not server.files


def test_another_fax_that_took_the_name_meanwhile_is_not_removed(
    server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff())

    def meanwhile(_arrival: Arrival) -> bytes:
        server.files["fax000000001.tif"] = Lying(fax_tiff(mark=9), at=AT + timedelta(days=400))
        return b"{}"

    acceptor.body = meanwhile
    door = follow(server, intake)
    door.poll_once()
    assert list(server.files) == ["fax000000001.tif"]
    acceptor.body = lambda _arrival: b"{}"
    assert door.poll_once() == 1
    assert [one.content for one in acceptor.kept] == [fax_tiff(), fax_tiff(mark=9)]


def test_two_hosts_read_one_queue(server: QueueDouble, acceptor: FakeAcceptor, intake: Intake[Arrival]) -> None:
    for n in range(1, 13):
        server.files[f"fax{n:09}.tif"] = Lying(fax_tiff(mark=n), at=AT + timedelta(seconds=n))
    hosts = [follow(server, intake) for _ in range(2)]
    threads = [threading.Thread(target=host.poll_once) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(acceptor.kept) == 12
    assert not server.files


def test_a_server_that_is_away_is_said_once_and_asked_less_and_less_often(
    acceptor: FakeAcceptor, intake: Intake[Arrival], capsys: pytest.CaptureFixture[str]
) -> None:
    with QueueDouble() as gone:
        pass
    door, stop = follow(gone, intake, timeout_seconds=1), threading.Event()
    thread = threading.Thread(target=door.run, args=(stop,), daemon=True)
    thread.start()
    waiting = threading.Event()
    waiting.wait(0.4)
    with QueueDouble(port=gone.port, files={"fax000000001.tif": Lying(fax_tiff())}) as back:
        for _ in range(400):
            if not back.files and acceptor.kept:
                break
            waiting.wait(0.02)
        stop.set()
        thread.join(5)
        assert not thread.is_alive() and not back.files
    said = "".join(capsys.readouterr())
    assert (said.count("fax.away"), said.count("fax.back")) == (1, 1)


def test_a_wrong_administrators_password_is_told_as_such(server: QueueDouble, intake: Intake[Arrival]) -> None:
    with pytest.raises(FnpError, match=r"fnp\.not-administrator"):
        follow(server, intake, administrator="wrong").poll_once()


def test_a_wrong_password_is_told_without_it(intake: Intake[Arrival]) -> None:
    with QueueDouble(password="secret") as server, pytest.raises(FnpError, match=r"fnp\.login-refused") as caught:
        follow(server, intake, password=lambda: "autre").poll_once()
    assert "autre" not in str(caught.value)


def test_neither_number_nor_station_reaches_the_log(
    server: QueueDouble, intake: Intake[Arrival], capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["fax000000001.tif"] = Lying(fax_tiff(), caller="0145210001", station="DR MARTIN")
    follow(server, intake).poll_once()
    said = capsys.readouterr()
    assert "145210001" not in said.out + said.err and "MARTIN" not in said.out + said.err
