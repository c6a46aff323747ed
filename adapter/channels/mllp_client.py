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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

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
    """Our certificate towards the partner, who may sign theirs, and the lists of what was revoked (PEM: a file, or a folder)."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    revocation_lists: Path | None = None
    server_name: str = ""
    key_password_file: Path | None = None


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
    """An open connection and what was read of the next answer."""

    socket: socket.socket
    used_at: float
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
        if line is not None and self._monotonic() - line.used_at <= self._partner.idle_seconds and self._is_quiet(line):
            return line
        if line is not None:
            self._lost("hl7_push.connection-renewed", control_id)
        fresh = self._open()
        if isinstance(fresh, _Line):
            self._line = fresh
        return fresh

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
        partner = self._partner
        try:
            raw = socket.create_connection((partner.host, partner.port), timeout=partner.connect_timeout_seconds)
        except TimeoutError:
            return Broken.CONNECT_TIMEOUT
        except OSError:
            return Broken.CONNECT
        if partner.tls is None:
            return _Line(raw, self._monotonic())
        try:
            # The files are read at each connection: certificates are rotated under us at will.
            wrapped = tls_context(partner.tls).wrap_socket(raw, server_hostname=partner.tls.server_name or partner.host)
        except (OSError, ValueError) as error:
            raw.close()
            log.warning("hl7_push.tls-failed", partner=partner.name, error=type(error).__name__)
            return Broken.TLS
        return _Line(wrapped, self._monotonic())

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


def tls_context(tls: MllpTls) -> ssl.SSLContext:
    """The client's context: TLS 1.2 at least; with lists of what was revoked, a revoked certificate is refused."""
    context = ssl.create_default_context(cafile=str(tls.authorities) if tls.authorities else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None:
        # An encrypted key would make OpenSSL ask at the terminal: an empty password makes it fail instead.
        password = tls.key_password_file.read_text(encoding="utf-8").strip() if tls.key_password_file is not None else ""
        context.load_cert_chain(str(tls.certificate), str(tls.key) if tls.key else None, password=password)
    if tls.revocation_lists is not None:
        lists = tls.revocation_lists
        for file in sorted(lists.iterdir()) if lists.is_dir() else (lists,):
            context.load_verify_locations(cafile=str(file))
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    return context


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
