"""One MLLP connection to one partner: a message out, the acknowledgement that names it back. Never another one's.

Law: HL7 Transport Specification, MLLP release 1; complaint 1: an ACK is taken only when its MSA-2 is our MSH-10; any other resets
the connection, so that a late one can never be taken for the next message's. A frame whose end did not leave cannot have been
taken; from its last byte on, only an answer tells.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from adapter.channels.tls_verdict import await_verdict
from adapter.errors import InputError
from adapter.formats.hl7v2 import Message, read_message
from adapter.formats.mllp_frames import FrameCondition, FrameReader, frame_message

log = structlog.get_logger()

# An acknowledgement is small, whatever it answers.
LONGEST_ANSWER = 1_048_576
_CHUNK = 65_536
# Commit acknowledgements say that a message arrived, not that it was taken: the application's own is waited for.
_COMMIT_ACCEPT = "CA"


@dataclass(frozen=True)
class MllpTls:
    """The contexts to try, best first (OSError when there is none), and the name that the partner's certificate must carry.

    They are asked for before each message: files are replaced under us at will. The second shows our certificate of before.
    """

    contexts: Callable[[], Sequence[ssl.SSLContext]]
    server_name: str = ""


@dataclass(frozen=True)
class MllpPartner:
    """Where a partner listens. A connection that was silent longer than `idle_seconds` is not trusted to be alive."""

    name: str
    host: str
    port: int
    tls: MllpTls | None = None
    connect_timeout_seconds: float = 10.0
    answer_timeout_seconds: float = 30.0
    idle_seconds: float = 30.0


class Broken(StrEnum):
    """Why there is no acknowledgement. Only `NO_ANSWER` leaves doubt: everything else means that it was not taken."""

    CONNECT = "connect-failed"
    CONNECT_TIMEOUT = "connect-timeout"
    TLS = "tls-failed"
    NOT_SENT = "not-sent"
    NO_ANSWER = "no-answer"


@dataclass(frozen=True)
class Acknowledgement:
    """What the partner said of our message: MSA-1, and the first ERR's codes (0357 and 0533)."""

    code: str
    condition: str = ""
    application: str = ""


@dataclass
class _Line:
    """An open connection and what was read of the next answer. `generation`: the contexts of its day."""

    socket: socket.socket
    used_at: float
    generation: Sequence[ssl.SSLContext] = ()
    frames: FrameReader = field(default_factory=lambda: FrameReader(LONGEST_ANSWER))


class MllpClient:
    """Keeps one connection to one partner. Not for several threads at once: the channel holds a lock for each partner."""

    def __init__(self, partner: MllpPartner, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._partner = partner
        self._monotonic = monotonic
        self._line: _Line | None = None

    def exchange(self, message: bytes, control_id: str) -> Acknowledgement | Broken:
        """Send one message and wait for the acknowledgement that names it."""
        line = self._usable_line(control_id)
        if isinstance(line, Broken):
            return line
        try:
            line.socket.settimeout(self._partner.answer_timeout_seconds)
            line.socket.sendall(frame_message(message))
        except OSError as error:
            # sendall stops at what it could not hand over: the end of the frame never left.
            self._lost("hl7_push.not-sent", control_id, error=type(error).__name__)
            return Broken.NOT_SENT
        try:
            answer = self._await_answer(line, control_id)
        except OSError as error:
            self._lost("hl7_push.no-answer", control_id, error=type(error).__name__)
            return Broken.NO_ANSWER
        line.used_at = self._monotonic()
        return answer or Broken.NO_ANSWER

    def probe(self) -> Broken | None:
        """Open a connection and close it: nothing is sent."""
        line = self._open()
        if isinstance(line, Broken):
            return line
        line.socket.close()
        return None

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            with suppress(OSError):
                self._line.socket.close()
            self._line = None

    # ── the connection ────────────────────────────────────────────────────────────────────────────────────────

    def _usable_line(self, control_id: str) -> _Line | Broken:
        """The open connection when it is quiet and fresh, else a new one."""
        line = self._line
        if line is not None and self._is_fresh(line) and self._is_quiet(line):
            return line
        if line is not None:
            self._lost("hl7_push.connection-renewed", control_id)
        fresh = self._open()
        if isinstance(fresh, _Line):
            self._line = fresh
        return fresh

    def _is_fresh(self, line: _Line) -> bool:
        """False after a long silence, or when certificates, authorities or lists changed since it was opened."""
        if self._monotonic() - line.used_at > self._partner.idle_seconds:
            return False
        try:
            return self._partner.tls is None or self._partner.tls.contexts() is line.generation
        except OSError:
            return False

    def _is_quiet(self, line: _Line) -> bool:
        """False when the partner hung up, or said something while nothing was asked: a late acknowledgement, named by its id."""
        try:
            readable, _, _ = select.select([line.socket], [], [], 0)
            pending = isinstance(line.socket, ssl.SSLSocket) and line.socket.pending() > 0
            if not (readable or pending):
                return not line.frames.is_inside
            line.socket.settimeout(0.2)
            for frame in line.frames.feed(line.socket.recv(_CHUNK)):
                self._foreign(_named(_read(frame.content)), "")
        except (OSError, ValueError):
            pass
        return False

    def _open(self) -> _Line | Broken:
        tls = self._partner.tls
        if tls is None:
            raw = self._connect()
            return raw if isinstance(raw, Broken) else _Line(raw, self._monotonic())
        try:
            generation = tls.contexts()
        except OSError as error:
            return self._refused(error)
        *first, last = generation
        for context in first:
            line = self._open_with(context, tls, generation)
            if line is not Broken.TLS:
                return line
        return self._open_with(last, tls, generation)

    def _connect(self) -> socket.socket | Broken:
        partner = self._partner
        try:
            return socket.create_connection((partner.host, partner.port), timeout=partner.connect_timeout_seconds)
        except TimeoutError:
            return Broken.CONNECT_TIMEOUT
        except OSError:
            return Broken.CONNECT

    def _open_with(self, context: ssl.SSLContext, tls: MllpTls, generation: Sequence[ssl.SSLContext]) -> _Line | Broken:
        raw = self._connect()
        if isinstance(raw, Broken):
            return raw
        try:
            raw = wrapped = context.wrap_socket(raw, server_hostname=tls.server_name or self._partner.host)
            await_verdict(wrapped)
        except (OSError, ValueError) as error:
            raw.close()
            return self._refused(error)
        return _Line(wrapped, self._monotonic(), generation)

    def _refused(self, error: Exception) -> Broken:
        log.warning("hl7_push.tls-failed", partner=self._partner.name, error=type(error).__name__)
        return Broken.TLS

    def _await_answer(self, line: _Line, control_id: str) -> Acknowledgement | None:
        """The acknowledgement that names our message; None once the connection was reset without one."""
        deadline = self._monotonic() + self._partner.answer_timeout_seconds
        while True:
            left = deadline - self._monotonic()
            if left <= 0:
                raise TimeoutError
            line.socket.settimeout(left)
            data = line.socket.recv(_CHUNK)
            if not data:
                raise ConnectionResetError
            frames = line.frames.feed(data)
            for number, frame in enumerate(frames, 1):
                if frame.condition is not FrameCondition.COMPLETE:
                    self._lost("hl7_push.unreadable-answer", control_id, condition=frame.condition.value)
                    return None
                message = _read(frame.content)
                if message is None or _named(message) != control_id:
                    self._foreign(_named(message), control_id)
                    return None
                if message.value("MSA", 1).strip() != _COMMIT_ACCEPT:
                    if frames[number:]:  # ours, and more that nobody asked for: the next message gets a new line
                        self._foreign(_named(_read(frames[number].content)), control_id)
                    return _acknowledgement(message)

    def _foreign(self, named: str, expected: str) -> None:
        """An answer that is not ours: somebody's acknowledgement came late. Whatever follows on this line cannot be trusted."""
        self._lost("hl7_push.foreign-ack", expected, named=named)

    def _lost(self, event: str, control_id: str, **facts: str) -> None:
        log.warning(event, partner=self._partner.name, control_id=control_id, **facts)
        self.close()


def _read(content: bytes) -> Message | None:
    try:
        return read_message(content)
    except InputError:
        return None


def _named(message: Message | None) -> str:
    """MSA-2, made harmless for a log: a partner's text may hold anything, an id is short and plain."""
    named = message.value("MSA", 2).strip() if message is not None else ""
    return named if len(named) <= 40 and named.isascii() and named.isprintable() else "unreadable"


def _acknowledgement(message: Message) -> Acknowledgement:
    """MSA-1 in application terms (CE and CR say as much as AE and AR), ERR-3.1 and ERR-5.1."""
    code = message.value("MSA", 1).strip().upper()
    errors = [e for e in message.segments("ERR") if e.value(4).strip().upper() not in ("W", "I")]
    applications = [found for e in errors if (found := e.value(5).strip())]
    return Acknowledgement(
        {"AA": "AA", "AE": "AE", "AR": "AR", "CE": "AE", "CR": "AR"}.get(code, ""),
        _digits(errors[0].value(3) if errors else ""),
        _digits(applications[0] if applications else ""),
    )


def _digits(text: str) -> str:
    """A table's code; anything else is a partner's text and stays out of our logs."""
    plain = text.strip()
    return plain if plain.isascii() and plain.isdigit() and len(plain) <= 4 else ""
