"""A port on loopback for a service that is about to start: one that stays free until it listens.

Trap: a port that the system gives (bind to 0, close, tell the service) lies among those of outgoing connections, and may be given
to one of them before the service listens, or while it is started again.
"""

from __future__ import annotations

import secrets
import socket

# Below what systems give to outgoing connections (Linux: from 32768; elsewhere from 49152).
QUIET_PORTS = range(10_000, 20_000)
_TRIES = 200


def free_port() -> int:
    """One that nobody listens on; OSError when none is found."""
    for port in shuffled_ports():
        if is_free(port):
            return port
    raise OSError("no free port on loopback")


def shuffled_ports() -> list[int]:
    """Some of them, in any order: two who look at the same time look elsewhere."""
    return secrets.SystemRandom().sample(QUIET_PORTS, _TRIES)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a port of connections that have just ended may be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
