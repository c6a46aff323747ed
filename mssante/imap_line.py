"""One line to an IMAP server on which nothing is unbounded: each command has a deadline, each answer a size, TLS always.

Sources: RFC 3501, 9051 (IMAP), 2595 and 3207's lesson (nothing read in clear survives STARTTLS), 2177 (IDLE).
Built on imaplib by the methods it documents for that purpose (`open`, `read`, `readline`, `send`, `shutdown`), because what we
need lies under what imaplib, IMAPClient and imap-tools offer: a deadline on the whole command (a server that trickles one byte a
minute never meets a socket's time-out), a cap on announced literals, a certificate name that is not the host's, silent logs.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mssante.errors import MailboxLostError, MssanteError

_LONGEST_LINE = 4 * 1024 * 1024  # one SEARCH answer over half a million messages
_LITERAL = re.compile(rb"\{(\d{1,12})\}\r\n$")
_IDLE_TAG = b"TDUIDLE"


@dataclass(frozen=True)
class Limits:
    """How patient and how trusting we are.

    A command may last `command_seconds`, and longer by the time that its announced content takes at `slowest_bytes_a_second`.
    """

    connect_seconds: float = 30.0
    command_seconds: float = 60.0
    slowest_bytes_a_second: int = 8_192
    chunk_bytes: int = 1024 * 1024
    answer_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True)
class Route:
    """Where the server is. `server_name` must be in its certificate; `immediate`: TLS from the first byte (port 993)."""

    host: str
    port: int
    server_name: str
    immediate: bool
    context: ssl.SSLContext
    source_address: str = ""


@contextmanager
def told_as_lost() -> Iterator[None]:
    """Whatever imaplib and the network raise becomes `MailboxLostError`, without the server's text: it may quote content."""
    try:
        yield
    except MssanteError:
        raise
    except TimeoutError:
        raise MailboxLostError("mailbox.timeout", "the server did not answer in time") from None
    except ssl.SSLEOFError:
        raise MailboxLostError("mailbox.dropped", "the server hung up") from None
    except ssl.SSLError:
        raise MailboxLostError("mailbox.tls-refused", "a certificate was refused") from None
    except OSError:
        raise MailboxLostError("mailbox.dropped", "the line broke") from None
    except imaplib.IMAP4.abort:
        raise MailboxLostError("mailbox.dropped", "the server left or broke the rules") from None
    except imaplib.IMAP4.error:
        raise MailboxLostError("mailbox.protocol", "the server refuses a command") from None
    except (ValueError, TypeError, LookupError, AttributeError):
        # imaplib trusts what it reads: absurd numbers, broken Base64 and missing parts surface as these.
        raise MailboxLostError("mailbox.nonsense", "the server makes no sense") from None


class ImapLine(imaplib.IMAP4):
    """imaplib's protocol over a socket that is ours."""

    def __init__(self, route: Route, limits: Limits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._route = route
        self._limits = limits
        self._monotonic = monotonic
        self._buffer = bytearray()
        self._deadline = monotonic() + limits.connect_seconds
        self._budget = limits.answer_bytes
        self.offered: frozenset[str] = frozenset()
        with told_as_lost():
            super().__init__(route.host, route.port)
            try:
                if not route.immediate:
                    self._start_tls()
                self.refresh_offer()
            except BaseException:
                self.shutdown()
                raise

    # ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def within(self, seconds: float = 0.0, content_bytes: int = 0) -> Iterator[None]:
        """Everything inside must be over in time, and bring no more than is reasonable."""
        allowed = (seconds or self._limits.command_seconds) + content_bytes / self._limits.slowest_bytes_a_second
        self._deadline = self._monotonic() + allowed
        self._budget = self._limits.answer_bytes + content_bytes
        with told_as_lost():
            yield

    def _remaining(self) -> float:
        remaining = self._deadline - self._monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    # ── what imaplib asks of its transport ──────────────────────────────────────────────────────────────────────

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:  # noqa: ARG002
        """Connect, and encrypt at once where the route says so."""
        self.host, self.port = host, port
        source = (self._route.source_address, 0) if self._route.source_address else None
        try:
            self.sock = socket.create_connection((host, port), self._remaining(), source)
        except TimeoutError:
            raise
        except OSError:
            raise MailboxLostError("mailbox.unreachable", "nobody answers there") from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._route.immediate:
            self._encrypt()

    def read(self, size: int) -> bytes:
        """An announced literal. One larger than was asked for is refused before it is read."""
        if size > self._budget:
            raise MailboxLostError("mailbox.too-talkative", "the server announces more than was asked for")
        while len(self._buffer) < size:
            self._receive()
        return self._take(size)

    def readline(self) -> bytes:
        """One line with its end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            if len(self._buffer) > _LONGEST_LINE:
                raise MailboxLostError("mailbox.too-talkative", "an endless line")
            searched = len(self._buffer)
            self._receive()
        return self._take(end + 1)

    def send(self, data: bytes) -> None:  # type: ignore[override]
        """All of it, before the deadline."""
        self.sock.settimeout(self._remaining())
        self.sock.sendall(data)

    def shutdown(self) -> None:
        """Close without a word."""
        if hasattr(self, "sock"):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def _receive(self) -> None:
        self.sock.settimeout(self._remaining())
        received = self.sock.recv(65_536)
        if not received:
            raise MailboxLostError("mailbox.dropped", "the server hung up")
        self._budget -= len(received)
        if self._budget < -65_536:
            raise MailboxLostError("mailbox.too-talkative", "the server says more than was asked for")
        self._buffer += received

    def _take(self, size: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    # ── encryption ──────────────────────────────────────────────────────────────────────────────────────────────

    def _start_tls(self) -> None:
        if "STARTTLS" not in self.capabilities:
            raise MailboxLostError("mailbox.tls-not-offered", "the server offers no STARTTLS: nothing is said in clear")
        typ, _ = self.xatom("STARTTLS")
        if typ != "OK":
            raise MailboxLostError("mailbox.tls-not-offered", "the server refuses STARTTLS")
        # What was slipped in before the handshake would be believed as if it had been encrypted.
        if self._buffer:
            raise MailboxLostError("mailbox.tls-injection", "the server talked in clear after STARTTLS")
        self._encrypt()

    def _encrypt(self) -> None:
        self.sock.settimeout(self._remaining())
        self.sock = self._route.context.wrap_socket(self.sock, server_hostname=self._route.server_name)

    def refresh_offer(self) -> None:
        """Ask what the server can do: it changes with encryption and with the login."""
        _, data = self.capability()
        self.offered = frozenset(
            b" ".join(part for part in data if isinstance(part, bytes)).decode("ascii", "replace").upper().split()
        )

    # ── IDLE, which imaplib has only from Python 3.14 on ────────────────────────────────────────────────────────

    def wait_for_arrival(self, seconds: float, should_stop: Callable[[], bool], look_every: float = 1.0) -> bool:
        """Wait until the server tells of a message; False when the time is over. The line is out of IDLE in both cases."""
        with self.within():
            self.send(_IDLE_TAG + b" IDLE\r\n")
            self._read_until(b"+")
        woken = self._listen(self._monotonic() + seconds, should_stop, look_every)
        with self.within():
            self.send(b"DONE\r\n")
            return self._read_until(_IDLE_TAG) or woken

    def _listen(self, until: float, should_stop: Callable[[], bool], look_every: float) -> bool:
        while not should_stop() and (left := until - self._monotonic()) > 0:
            if not self._has_input(min(left, look_every)):
                continue
            with self.within():  # a line that began must end
                if _tells_of_arrival(self._read_whole_line()):
                    return True
        return False

    def _has_input(self, seconds: float) -> bool:
        """True when something can be read. What TLS or we hold already would never show on the socket."""
        if self._buffer:
            return True
        self.sock.settimeout(max(seconds, 0.001))
        self._budget = self._limits.answer_bytes
        try:
            with told_as_lost():
                received = self.sock.recv(65_536)
        except MailboxLostError as error:
            if error.code == "mailbox.timeout":
                return False
            raise
        if not received:
            raise MailboxLostError("mailbox.dropped", "the server hung up")
        self._buffer += received
        return True

    def _read_until(self, prefix: bytes) -> bool:
        """Read on to the line that starts so; True when an arrival was told of meanwhile."""
        arrived = False
        while not (line := self._read_whole_line()).startswith(prefix):
            if line.startswith((b"* BYE", _IDLE_TAG)):
                raise MailboxLostError("mailbox.idle-refused", "the server leaves or refuses IDLE")
            arrived = arrived or _tells_of_arrival(line)
        return arrived

    def _read_whole_line(self) -> bytes:
        line = self.readline()
        while literal := _LITERAL.search(line):
            self.read(int(literal[1]))
            line = self.readline()
        return line


def _tells_of_arrival(line: bytes) -> bool:
    # EXPUNGE and FETCH (a flag changed elsewhere) bring nothing new to read.
    return line.startswith(b"* ") and line.rstrip().upper().endswith((b" EXISTS", b" RECENT"))
