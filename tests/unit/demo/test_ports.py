"""A port chosen for a server is still free when it starts: below outgoing connections, never one that is listened on."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from adapter.demo import ports
from tests.servers import ports as test_ports

LINUX_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_port_lies_below_those_of_outgoing_connections() -> None:
    lowest = int(LINUX_RANGE.read_text().split()[0]) if LINUX_RANGE.exists() else 32_768
    assert all(ports.free_port() < lowest for _ in range(20))


def test_a_port_that_is_listened_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        monkeypatch.setattr(ports, "shuffled_ports", lambda: [port])
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
    assert ports.is_free(port)


def test_a_port_of_one_test_is_not_given_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    given = test_ports.free_port()
    monkeypatch.setattr(test_ports, "shuffled_ports", lambda: [given])
    with pytest.raises(OSError, match="no free port"):
        test_ports.free_port()
