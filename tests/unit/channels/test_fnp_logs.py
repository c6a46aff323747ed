"""A log of the fax server that may not be read is told as such, and the conversation goes on with another."""

from __future__ import annotations

import ftplib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adapter.channels import fnp
from adapter.channels.fnp import FaxServer, FnpError, SessionLog

ENDED = datetime(2026, 11, 22, 5, 5, 1, tzinfo=UTC)


class _Line:
    """hfaxd's ways: after a `RETR` that it refused, the next one on the same connection is reset."""

    opened = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.is_spoilt = False

    def sendcmd(self, command: str) -> str:
        if command == "MDTM log/c404":
            raise ftplib.error_perm("550 log/c404: No such file or directory.")
        return "213 20261122050501" if command.startswith("MDTM") else "200 fine"

    def retrbinary(self, command: str, take: Callable[[bytes], object]) -> str:
        if self.is_spoilt:
            raise ConnectionResetError
        if command == "RETR log/c600":
            self.is_spoilt = True
            raise ftplib.error_perm("550 log/c600: Operation not permitted.")
        if command == "RETR log/c000":
            take(b"SESSION")
            self.is_spoilt = True
            raise TimeoutError
        take(b"SESSION BEGIN")
        return "226 done"

    def close(self) -> None:
        pass

    def quit(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FaxServer:
    _Line.opened = 0
    monkeypatch.setattr(fnp, "_open", lambda *_place: _Line())
    return FaxServer("127.0.0.1", 4559, "tdu")


def test_a_log_comes_with_the_instant_of_its_last_line(server: FaxServer) -> None:
    assert server.session_log("001") == SessionLog("SESSION BEGIN", ENDED)


def test_a_log_that_is_gone_is_none_and_nothing_is_fetched(server: FaxServer) -> None:
    assert server.session_log("404") is None
    assert server.session_log("001") is not None
    assert _Line.opened == 1


def test_a_log_that_may_not_be_read_spoils_no_other(server: FaxServer) -> None:
    assert server.session_log("600") == SessionLog("", ENDED)
    assert server.session_log("001") == SessionLog("SESSION BEGIN", ENDED)
    assert _Line.opened == 2


def test_a_log_that_is_never_given_whole_holds_up_no_other_and_half_of_it_is_none(server: FaxServer) -> None:
    assert server.session_log("000") == SessionLog("", ENDED)
    assert server.session_log("001") == SessionLog("SESSION BEGIN", ENDED)


def test_a_server_that_goes_away_is_told(server: FaxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_self: _Line, _command: str) -> str:
        raise EOFError

    monkeypatch.setattr(_Line, "sendcmd", gone)
    with pytest.raises(FnpError, match=r"fnp\.connection-lost"):
        server.session_log("001")
