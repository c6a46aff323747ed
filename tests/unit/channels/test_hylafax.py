"""The HylaFAX channel without a line: a lost answer is unclear, ordinary faxes wait for the opening, only numbers are dialled."""

from __future__ import annotations

import socket
import socketserver
import threading
from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as day_time
from typing import Self
from zoneinfo import ZoneInfo

import pytest

from adapter.channels import hylafax
from adapter.channels.fnp import Job, JobOrder, JobState, SessionLog
from adapter.channels.hylafax import HylaFaxChannel, HylaFaxSettings, OpenHours
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.model.withdrawal import Withdrawn
from adapter.packaging.parcel import FaxContent, Parcel


def _parcel(reference: str, content: FaxContent, *, urgent: bool = False) -> Parcel:
    return Parcel(f"delivery-{reference}", reference, "+33199000001", urgent=urgent, content=content)


class _CutAtSubmit(socketserver.StreamRequestHandler):
    """Speaks just enough FNP to take a job, and leaves without a word when it is submitted."""

    def handle(self) -> None:
        self._say("220 ready")
        for line in self.rfile:
            verb = line.decode().split()[0].upper()
            match verb:
                case "PASV":
                    self._listen()
                case "STOT":
                    self._say("150 go on")
                    self._take()
                    self._say("226 done (FILE: tmp/doc1.tif)")
                case "LIST":
                    self._say("150 here")
                    self._give()
                    self._say("226 done")
                case "JNEW":
                    self._say("200 New job created: jobid: 7 groupid: 7.")
                case "JSUBM":
                    return
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("230 fine" if verb == "USER" else "200 fine")

    def _listen(self) -> None:
        self.side = socket.create_server(("127.0.0.1", 0))
        port = self.side.getsockname()[1]
        self._say(f"227 (127,0,0,1,{port // 256},{port % 256})")

    def _take(self) -> None:
        connection, _ = self.side.accept()
        with connection:
            while connection.recv(65536):
                pass

    def _give(self) -> None:
        self.side.accept()[0].close()

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


def test_an_answer_lost_after_the_job_was_submitted_is_unclear() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _CutAtSubmit) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        channel = HylaFaxChannel(HylaFaxSettings("127.0.0.1", server.server_address[1]))
        outcome = channel.send(_parcel("lost", FaxContent(b"II*\0", 1)))
        server.shutdown()
    assert (outcome.kind, outcome.cause) == (OutcomeKind.UNCLEAR, "no-answer")


@pytest.mark.parametrize(
    ("at", "urgent", "wait_hours"),
    [("2026-11-22T22:00+01:00", False, 10), ("2026-11-22T05:00+01:00", False, 3), ("2026-10-24T23:00+02:00", False, 10)],
)
def test_outside_the_hours_an_ordinary_fax_waits_for_the_opening(at: str, urgent: bool, wait_hours: int) -> None:
    hours = OpenHours(day_time(8), day_time(20), ZoneInfo("Europe/Paris"))
    settings = HylaFaxSettings("127.0.0.1", 1, hours=hours)
    channel = HylaFaxChannel(settings, clock=lambda: datetime.fromisoformat(at).astimezone(UTC))
    outcome = channel.send(_parcel("night", FaxContent(b"II*\0", 1), urgent=urgent))
    assert (outcome.kind, outcome.cause, outcome.retry_after_seconds) == (
        OutcomeKind.DEFERRED,
        "outside-hours",
        wait_hours * 3600,
    )
    urgent_one = channel.send(_parcel("night", FaxContent(b"II*\0", 1), urgent=True))
    assert urgent_one.cause == "connect-failed"  # it was tried at once


@pytest.mark.parametrize("address", ["", "abc", "+33 1 99\r\nJKILL", "12"])
def test_what_is_no_number_is_never_dialled(address: str) -> None:
    parcel = Parcel("d", "r", address, urgent=False, content=FaxContent(b"II*\0", 1))
    assert HylaFaxChannel(HylaFaxSettings("127.0.0.1", 1)).send(parcel).cause == "no-such-number"


@pytest.mark.parametrize(
    ("jobs", "found"),
    [
        (b"", Withdrawn.FORGOTTEN),
        (b"7|D|asked|3:3|1|1|\r\n", Withdrawn.TOO_LATE),
        (b"7|F|asked|2:3|1|1|Killed\r\n", Withdrawn.PARTLY),
        (b"7|F|asked|0:3|1|1|Killed\r\n", Withdrawn.GONE),
        (b"7|R|asked|0:3|1|1|\r\n", Withdrawn.NOT_YET),
        (b"7|?|asked|0:3|1|1|\r\n", Withdrawn.NOT_YET),
        (b"8|?|of somebody else|0:3|1|1|\r\n7|D|asked|3:3|1|1|\r\n", Withdrawn.TOO_LATE),
        (b"8|F|d'un autre \xe9diteur|0:3|1|1|\x80 refus\xe9\r\n7|D|asked|3:3|1|1|\r\n", Withdrawn.TOO_LATE),
    ],
)
def test_what_a_server_says_of_a_job_tells_whether_it_left(jobs: bytes, found: Withdrawn) -> None:
    class Lists(_CutAtSubmit):
        def _give(self) -> None:
            connection, _ = self.side.accept()
            with connection:
                connection.sendall(jobs)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lists) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        channel = HylaFaxChannel(HylaFaxSettings("127.0.0.1", server.server_address[1], timeout_seconds=5))
        assert channel.withdraw("asked") is found
        server.shutdown()


class _Server:
    """A server's jobs, without a line. Its logs may not be read, as is its own default."""

    def __init__(self, *jobs: Job) -> None:
        self._jobs = {job.id: job for job in jobs}
        self.orders: list[JobOrder] = []

    def __call__(self, *_place: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def jobs(self) -> list[Job]:
        return list(self._jobs.values())

    def find(self, reference: str) -> Job | None:
        return next((job for job in self.jobs() if job.reference == reference), None)

    def kill(self, job_id: int) -> None:
        job = self._jobs[job_id]
        self._jobs[job_id] = replace(job, state=JobState.FAILED, status="Job aborted by request {E345}")

    def forget(self, job_id: int) -> None:
        del self._jobs[job_id]

    def submit(self, order: JobOrder) -> int:
        self.orders.append(order)
        return 99

    def session_log(self, _call: str) -> SessionLog:
        return SessionLog("", datetime(2026, 11, 22, 5, tzinfo=UTC))


def _channel_to(server: _Server, monkeypatch: pytest.MonkeyPatch) -> HylaFaxChannel:
    monkeypatch.setattr(hylafax, "FaxServer", server)
    return HylaFaxChannel(HylaFaxSettings("127.0.0.1"))


def test_a_job_ended_because_no_fine_page_is_taken_says_so_where_no_log_may_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    status = "Receiver does not support; High resolution document is not supported by receiver {E415}"
    server = _Server(Job(7, JobState.SLEEPING, "fine", 0, 3, status, 1, "001"))
    (proof,), _ = _channel_to(server, monkeypatch).collect("")
    assert (proof.proves, proof.cause) == (DeliveryState.REFUSED, "fine-not-taken")


def test_a_failure_that_was_told_is_no_answer_after_doubt_and_the_number_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = _Server(Job(7, JobState.FAILED, "busy", 0, 3, "Busy signal detected", 1, "001"))
    channel = _channel_to(server, monkeypatch)
    assert channel.find(_parcel("busy", FaxContent(b"II*\0", 1))) is None
    assert channel.send(_parcel("busy", FaxContent(b"II*\0", 1))).proves is DeliveryState.ACCEPTED
    assert len(server.orders) == 1


@pytest.mark.parametrize(("pages", "total"), [(2, 3), (0, 0)])
def test_a_job_done_without_every_page_goes_anew_and_is_never_taken_for_delivered(
    monkeypatch: pytest.MonkeyPatch, pages: int, total: int
) -> None:
    server = _Server(Job(7, JobState.DONE, "part", pages, total, "", 1, "001"))
    channel = _channel_to(server, monkeypatch)
    (proof,), _ = channel.collect("")
    assert proof.proves is DeliveryState.REFUSED
    assert channel.find(_parcel("part", FaxContent(b"II*\0", 1))) is None
    outcome = channel.send(_parcel("part", FaxContent(b"II*\0", 1)))
    assert (outcome.kind, outcome.proves, len(server.orders)) == (OutcomeKind.ACCEPTED, DeliveryState.ACCEPTED, 1)


def test_a_job_done_with_pages_whose_number_nobody_told_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _channel_to(_Server(Job(7, JobState.DONE, "all", 2, 0, "", 1, "001")), monkeypatch)
    (proof,), _ = channel.collect("")
    assert proof.proves is DeliveryState.DELIVERED
    assert channel.send(_parcel("all", FaxContent(b"II*\0", 1))).proves is DeliveryState.DELIVERED
