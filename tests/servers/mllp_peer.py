"""A partner's software behind MLLP, scripted fault by fault; it keeps every message that reached it, as bytes.

with MllpPeer() as peer:
    peer.script(refuse("902"), silence(), take())      # then it takes everything
    …
    peer.control_ids                                    # of what it received, copies too
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from adapter.formats.hl7v2 import read_message
from adapter.formats.mllp_frames import FrameReader, frame_message

Step = Callable[["Call"], None]


class Call:
    """One message as the peer got it, and what it can do with the connection."""

    def __init__(self, peer: MllpPeer, connection: socket.socket, content: bytes) -> None:
        self.peer = peer
        self.connection = connection
        self.content = content
        self.control_id = read_message(content).value("MSH", 10)

    def answer(self, code: str, *errors: str, named: str | None = None) -> None:
        """An acknowledgement: MSA-1, MSA-2 (ours unless said), ERR lines."""
        self.send(frame_message(acknowledgement(code, self.control_id if named is None else named, *errors)))

    def send(self, content: bytes) -> None:
        """Raw bytes; a client that left is no fault of the peer."""
        with suppress(OSError):
            self.connection.sendall(content)


def acknowledgement(code: str, control_id: str, *errors: str) -> bytes:
    """An ACK as local software writes it."""
    msh = f"MSH|^~\\&|RIS|SITE|TRAITDUNION|SITE|20261121090000||ACK^T02^ACK|A{control_id[-8:]}|P|2.6"
    lines = [msh, f"MSA|{code}|{control_id}"]
    return "".join(line + "\r" for line in (*lines, *errors)).encode()


def error_line(application: str = "", condition: str = "207") -> str:
    """An ERR of the volets."""
    said = f"|{application}^motif^applicationErrorCode" if application else ""
    return f"ERR||PID^1^3|{condition}^Erreur^messageErrorCondition|E{said}"


def document_of(message: bytes) -> str:
    """The document that an MDM carries: TXA-12."""
    found = read_message(message)
    return found.value("TXA", 12, 1) or found.value("TXA", 12)


# ── what a peer may do with a message ─────────────────────────────────────────────────────────────────────────


def take(code: str = "AA") -> Step:
    """Take it."""
    return lambda call: call.answer(code)


def refuse(application: str = "", condition: str = "207", code: str = "AE") -> Step:
    """Refuse it, with codes of tables 0357 and 0533."""
    return lambda call: call.answer(code, error_line(application, condition))


def later() -> Step:
    """Not now."""
    return lambda call: call.answer("AR", error_line(condition="207"))


def silence() -> Step:
    """Take it and say nothing."""
    return lambda call: None


def hang_up() -> Step:
    """Take it and leave without a word."""
    return lambda call: call.connection.close()


def late_answer(seconds: float) -> Step:
    """Take it, and say so too late, on the same connection."""

    def step(call: Call) -> None:
        threading.Timer(seconds, call.answer, ("AA",)).start()

    return step


def answer_for(control_id: str) -> Step:
    """Somebody else's acknowledgement."""
    return lambda call: call.answer("AA", named=control_id)


def commit_then(step: Step, seconds: float = 0.05) -> Step:
    """The commit acknowledgement first, as enhanced mode does."""

    def both(call: Call) -> None:
        call.answer("CA")
        time.sleep(seconds)
        step(call)

    return both


def raw(content: bytes) -> Step:
    """Whatever bytes."""
    return lambda call: call.send(content)


def in_pieces(step_bytes: int = 1, pause_seconds: float = 0) -> Step:
    """A good answer, a few bytes at a time."""

    def step(call: Call) -> None:
        framed = frame_message(acknowledgement("AA", call.control_id))
        for at in range(0, len(framed), step_bytes):
            call.send(framed[at : at + step_bytes])
            time.sleep(pause_seconds)

    return step


class MllpPeer:
    """Listens on loopback from `start` to `stop`, on the same port when it is started again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._steps: list[Step] = []
        self._guard = threading.Lock()
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.port = 0
        self.received: list[bytes] = []
        self.connections = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def script(self, *steps: Step) -> None:
        """What it does with the next messages; afterwards it takes them."""
        with self._guard:
            self._steps += steps

    def start(self) -> None:
        """Listen."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def stop(self) -> None:
        """Go away, and hang up on everybody."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
        with self._guard:
            connections, self._open = self._open, set()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    @property
    def control_ids(self) -> list[str]:
        """MSH-10 of everything received, in order."""
        return [read_message(content).value("MSH", 10) for content in list(self.received)]

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        with self._guard:
            self._open.add(connection)
            self.connections += 1
        frames = FrameReader(1 << 28)
        with suppress(OSError):
            while data := connection.recv(65_536):
                for frame in frames.feed(data):
                    self._handle(Call(self, connection, frame.content))

    def _handle(self, call: Call) -> None:
        with self._guard:
            self.received.append(call.content)
            step = self._steps.pop(0) if self._steps else take()
        step(call)
