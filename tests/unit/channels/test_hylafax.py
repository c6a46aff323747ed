"""The HylaFAX channel without a line: a lost answer is unclear, ordinary faxes wait for the opening, only numbers are dialled."""

from __future__ import annotations

import socket
import socketserver
import threading
from datetime import UTC, datetime
from datetime import time as day_time
from zoneinfo import ZoneInfo

import pytest

from adapter.channels.hylafax import HylaFaxChannel, HylaFaxSettings, OpenHours
from adapter.model.delivery import OutcomeKind
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
