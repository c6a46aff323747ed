"""Hands one mail to the operator over SMTP with STARTTLS, and tells exactly how far it went.

Sources: RFC 5321, 1870 (SIZE), 3207 (STARTTLS), 3461 (DSN), 3463 (enhanced codes), 4954 (AUTH);
ECO 1.0.1, 1.1.1, 1.1.3, 1.1.6, 1.2.1.
Law: the operator owns the mail from the moment it answers the final dot. A break *before* the dot is sent means not taken;
a break *after* means nobody knows: `UNCLEAR`. That is why the data phase is ours and not smtplib's.
Replies are reduced to codes: their texts may repeat an address, and a citizen's address holds the INS.
"""

from __future__ import annotations

import base64
import re
import select
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from mssante.address import PATIENT_DOMAIN, is_patient, is_well_formed
from mssante.auth import Auth, ClientCertificate, Password, XOAuth2
from mssante.autoconfig import Endpoint
from mssante.errors import AddressError, MessageError, SessionEndedError, TokenUnavailableError
from mssante.tls import TlsSettings, TlsSource, contexts_of, settings_of, tls_context

__all__ = [
    "PATIENT_SIZE_LIMIT",
    "Auth",
    "ClientCertificate",
    "Password",
    "Reason",
    "SmtpResult",
    "Stage",
    "TlsSettings",
    "Verdict",
    "XOAuth2",
    "probe",
    "send",
    "send_to_first",
    "tls_context",
]

# Mon espace santé takes 25 MB. Whether these are 10⁶ or 2²⁰ bytes is said nowhere: the smaller reading never bounces.
PATIENT_SIZE_LIMIT = 25_000_000
_ENHANCED = re.compile(rb"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")
_QUEUED_AS = re.compile(rb"queued as ([A-Za-z0-9][A-Za-z0-9._-]{0,63})", re.IGNORECASE)
# A line that takes less than this is treated as dead: 25 MB would need an hour.
_SLOWEST_BYTES_A_SECOND = 8_192
_LONGEST_REPLY = 1_000_000
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class Stage(StrEnum):
    """How far the conversation went."""

    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end-of-data"


class Verdict(StrEnum):
    """What may be believed. `TEMPORARY` and `PERMANENT` both mean: the operator does *not* have the mail."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    UNCLEAR = "unclear"


class Reason(StrEnum):
    """Why, when there is no SMTP code that says it."""

    ANSWER = "answer"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DROPPED = "dropped"
    TLS_REFUSED = "tls-refused"
    TLS_NOT_OFFERED = "tls-not-offered"
    TOO_LARGE = "too-large"
    NOT_SIGNED_IN = "no-token"
    SIGNED_OUT = "session-ended"
    PROTOCOL = "protocol"


@dataclass(frozen=True)
class SmtpResult:
    """How far one send went. `code` 0: no answer. `queue_id` is what the operator calls the mail.

    `size_limit` is what EHLO announced (0: nothing). `dsn` tells whether notifications were really asked for.
    """

    verdict: Verdict
    stage: Stage
    reason: Reason
    code: int = 0
    enhanced: str = ""
    queue_id: str = ""
    size_limit: int = 0
    dsn: bool = False

    @property
    def summary(self) -> str:
        """One line for a log: stage, code, reason. Never a text of the operator."""
        numbers = " ".join(str(part) for part in (self.code, self.enhanced) if part)
        return f"{self.stage} {numbers or self.reason}"


class _Stop(Exception):  # noqa: N818 - not an error: the conversation ends with a result
    """The conversation is over before the mail was taken."""

    def __init__(self, result: SmtpResult) -> None:
        super().__init__(result.summary)
        self.result = result


def send(
    message: bytes,
    envelope_from: str,
    envelope_to: str,
    *,
    host: str,
    port: int = 587,
    tls: TlsSettings | TlsSource,
    timeout: float = 60.0,
    final_timeout: float | None = None,
    auth: Auth | None = None,
    dsn: bool = True,
    envelope_id: str = "",
    local_name: str = "",
    source_address: str = "",
    patient_domain: str = PATIENT_DOMAIN,
    immediate: bool | None = None,
) -> SmtpResult:
    """Hand one mail over to one recipient. Never raises for what the operator or the network does.

    `timeout` bounds each command with its whole answer (and the content, beyond what a slow line needs); `final_timeout` the
    wait after the final dot, where patience avoids doubt (RFC 5321 §4.5.3.2.6 speaks of ten minutes). `dsn` asks for success,
    failure and delay notifications, if EHLO offers them.
    The mail may be as large as EHLO's SIZE, and 25 MB when it goes to the patients' domain: a larger one is not even offered.
    `immediate` given: TLS from the first byte, or not, whatever `tls` says (servers found by `autoconfig`).
    """
    # An empty sender is `<>`: what RFC 8098 §3 wants of an MDN, so that nothing ever answers it.
    for where, address in (("envelope_from", envelope_from), ("envelope_to", envelope_to)):
        if not is_well_formed(address) and (address or where == "envelope_to"):
            raise AddressError("address.syntax", "not a usable mail address", where=where)
    if envelope_id and not re.fullmatch(r"[!-~]{1,80}", envelope_id):
        raise MessageError("message.envelope-id", "an envelope id is at most 80 printable ASCII characters", where="envelope_id")
    content = _with_crlf(message)
    cap = PATIENT_SIZE_LIMIT if is_patient(envelope_to, patient_domain) else 0

    def converse(conversation: _Conversation) -> SmtpResult:
        conversation.open(auth)
        conversation.offer(len(content), envelope_from, envelope_to, dsn=dsn, envelope_id=envelope_id, cap=cap)
        return conversation.transmit(content, final_timeout or timeout)

    return _with_each_identity(converse, _Route(host, port, timeout, local_name, source_address, immediate), tls)


def send_to_first(servers: Sequence[Endpoint], hand_over: Callable[[Endpoint], SmtpResult]) -> SmtpResult:
    """Try servers in their order. The next one only when the one before was not reached at all: no mail is ever doubled so."""
    if not servers:
        raise MessageError("message.no-server", "no server to hand the mail to", where="servers")
    *first, last = servers
    for server in first:
        result = hand_over(server)
        if result.stage is not Stage.CONNECT or result.reason not in (Reason.UNREACHABLE, Reason.TIMEOUT):
            return result
    return hand_over(last)


def probe(
    *,
    host: str,
    port: int = 587,
    tls: TlsSettings | TlsSource,
    timeout: float = 10.0,
    auth: Auth | None = None,
    local_name: str = "",
    source_address: str = "",
    immediate: bool | None = None,
) -> SmtpResult:
    """Reach the operator, prove who we are, say NOOP and leave: no mail. ACCEPTED when a send could start."""

    def converse(conversation: _Conversation) -> SmtpResult:
        conversation.open(auth)
        return conversation.greet()

    return _with_each_identity(converse, _Route(host, port, timeout, local_name, source_address, immediate), tls)


@dataclass(frozen=True)
class _Route:
    """Where to and how patiently."""

    host: str
    port: int
    timeout: float
    local_name: str
    source_address: str
    immediate: bool | None = None


def _with_each_identity(
    converse: Callable[[_Conversation], SmtpResult], route: _Route, tls: TlsSettings | TlsSource
) -> SmtpResult:
    """One conversation; one more with the certificate of the generation before, when the newest is refused at the handshake."""
    settings = settings_of(tls)
    *first, last = contexts_of(tls)
    for context in first:
        result = _converse(converse, _Conversation(route, settings, context))
        # A refused client certificate may show as an alert or as a bare hang-up. No mail was offered yet: again is safe.
        if result.stage is not Stage.TLS or result.reason not in (Reason.TLS_REFUSED, Reason.DROPPED):
            return result
    return _converse(converse, _Conversation(route, settings, last))


def _converse(converse: Callable[[_Conversation], SmtpResult], conversation: _Conversation) -> SmtpResult:
    try:
        return converse(conversation)
    except _Stop as stop:
        return stop.result
    finally:
        conversation.close()


class _Conversation:
    """One SMTP session, stage by stage. Every wait ends in an answer or in `_Stop` with the stage reached."""

    def __init__(self, route: _Route, tls: TlsSettings, context: ssl.SSLContext) -> None:
        self._route = route
        self._context = context
        self._server_name = tls.server_name or route.host
        self._immediate = tls.immediate if route.immediate is None else route.immediate
        self._stage = Stage.CONNECT
        self._size_limit = 0
        self._dsn = False
        self._in_step = False
        self._source = (route.source_address, 0) if route.source_address else None
        self._smtp = smtplib.SMTP(
            local_hostname=route.local_name or "localhost", timeout=route.timeout, source_address=self._source
        )

    # ── stages ──────────────────────────────────────────────────────────────────────────────────────────────────

    def open(self, auth: Auth | None) -> None:
        """Connect, encrypt, prove who we are."""
        if self._immediate:
            self._connect()
            self._stage = Stage.TLS
            self._handshake()
            self._expect(self._smtp.getreply, 220)
        else:
            self._connect()
            self._expect(self._smtp.getreply, 220)
            self._expect(self._smtp.ehlo, 250)
            self._stage = Stage.TLS
            self._encrypt()
        # In TLS 1.3 a refused client certificate shows at the first read after the handshake: still this stage.
        self._expect(self._smtp.ehlo, 250)
        size = self._smtp.esmtp_features.get("size", "")
        self._size_limit = int(size) if size.isdecimal() and len(size) < 20 else 0
        if auth is not None:
            self._stage = Stage.AUTH
            self._authenticate(auth)
        self._stage = Stage.MAIL

    def greet(self) -> SmtpResult:
        """NOOP."""
        code, text = self._expect(self._smtp.noop, 250)
        return self._result(Verdict.ACCEPTED, Reason.ANSWER, code, text)

    def offer(self, size: int, sender: str, recipient: str, *, dsn: bool, envelope_id: str, cap: int) -> None:
        """MAIL, RCPT and DATA, without any content yet."""
        limit = min((known for known in (self._size_limit, cap) if known), default=0)
        if limit and size > limit:
            raise _Stop(self._result(Verdict.PERMANENT, Reason.TOO_LARGE))
        self._dsn = dsn and self._smtp.has_extn("dsn")
        mail_options = [f"SIZE={size}"] if self._smtp.has_extn("size") else []
        recipient_options: list[str] = []
        if self._dsn:
            mail_options += ["RET=HDRS", *([f"ENVID={_xtext(envelope_id)}"] if envelope_id else [])]
            recipient_options = ["NOTIFY=SUCCESS,FAILURE,DELAY", f"ORCPT=rfc822;{_xtext(recipient)}"]
        self._expect(lambda: self._smtp.mail(sender, mail_options), 250)
        self._stage = Stage.RCPT
        self._expect(lambda: self._smtp.rcpt(recipient, recipient_options), 250, 251)
        self._stage = Stage.DATA
        self._expect(lambda: self._smtp.docmd("DATA"), 354)

    def transmit(self, content: bytes, final_timeout: float) -> SmtpResult:
        """The content, then the dot, then the answer that transfers the responsibility."""
        self._in_step = False  # inside the content, QUIT would be a line of the mail
        self._send_content(_dot_stuffed(content))
        self._stage = Stage.END_OF_DATA
        try:
            self._write(b".\r\n", final_timeout)
            self._replies.within(final_timeout)
            code, text = self._smtp.getreply()
        except (OSError, smtplib.SMTPException) as error:
            return self._result(Verdict.UNCLEAR, _reason_of(error))
        self._in_step = True
        if code == 250:
            return self._result(Verdict.ACCEPTED, Reason.ANSWER, code, text)
        if 400 <= code < 600:
            return self._result(_verdict_of(code), Reason.ANSWER, code, text)
        return self._result(Verdict.UNCLEAR, Reason.PROTOCOL, code, text)

    def close(self) -> None:
        """Leave politely when both ends are in step; an answer already given is not changed by how we part."""
        if self._in_step and self._smtp.sock is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._smtp.sock.settimeout(2.0)
                self._replies.within(2.0)
                self._smtp.quit()
        self._smtp.close()

    # ── steps ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _connect(self) -> None:
        try:
            line = socket.create_connection((self._route.host, self._route.port), self._route.timeout, self._source)
        except OSError as error:
            raise _Stop(self._result(Verdict.TEMPORARY, self._reason_here(error))) from None
        # Short commands each way: waiting for acknowledgements to fill packets costs 40 ms a step.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._use(line)

    def _use(self, line: socket.socket) -> None:
        self._smtp.sock = line
        self._replies = _Replies(line)
        self._smtp.file = self._replies

    def _encrypt(self) -> None:
        if not self._smtp.has_extn("starttls"):
            raise _Stop(self._result(Verdict.PERMANENT, Reason.TLS_NOT_OFFERED))
        self._expect(lambda: self._smtp.docmd("STARTTLS"), 220)
        self._handshake()
        # What was read in clear is forgotten (the handshake began a new reader): a man in the middle could have slipped it in.
        self._smtp.helo_resp = self._smtp.ehlo_resp = None
        self._smtp.esmtp_features = {}
        self._smtp.does_esmtp = False

    def _handshake(self) -> None:
        assert self._smtp.sock is not None  # noqa: S101 - connected before
        try:
            self._use(self._context.wrap_socket(self._smtp.sock, server_hostname=self._server_name))
        except OSError as error:
            self._in_step = False
            raise _Stop(self._result(Verdict.TEMPORARY, _reason_of(error))) from None

    def _authenticate(self, auth: Auth) -> None:
        match auth:
            case ClientCertificate(external=False):
                return
            case ClientCertificate():
                self._expect(lambda: self._smtp.docmd("AUTH", "EXTERNAL ="), 235)
            case XOAuth2():
                self._authenticate_with_token(auth)
            case Password():
                credentials = base64.b64encode(auth.response()).decode("ascii")
                self._expect(lambda: self._smtp.docmd("AUTH", f"PLAIN {credentials}"), 235)

    def _authenticate_with_token(self, auth: XOAuth2) -> None:
        try:
            initial = base64.b64encode(auth.response()).decode("ascii")
        except (TokenUnavailableError, SessionEndedError) as error:
            reason = Reason.SIGNED_OUT if isinstance(error, SessionEndedError) else Reason.NOT_SIGNED_IN
            raise _Stop(self._result(Verdict.TEMPORARY, reason)) from None
        code, _ = self._expect(lambda: self._smtp.docmd("AUTH", f"XOAUTH2 {initial}"), 235, 334)
        if code == 334:  # a refused token answers a challenge with the reason; an empty line asks for the verdict
            self._expect(lambda: self._smtp.docmd(""), 235)

    def _send_content(self, content: bytes) -> None:
        try:
            self._write(content)
            if not self._spoke_early():
                return
            reason = Reason.DROPPED
        except OSError as error:
            reason = _reason_of(error)
        # The dot was not sent, so the mail is not taken. An operator that had enough may have said why before it hung up.
        code, text = 0, b""
        with suppress(OSError, smtplib.SMTPException):
            self._replies.within(self._route.timeout)
            code, text = self._smtp.getreply()
        if 400 <= code < 600:
            raise _Stop(self._result(_verdict_of(code), Reason.ANSWER, code, text))
        raise _Stop(self._result(Verdict.TEMPORARY, reason))

    def _spoke_early(self) -> bool:
        """True when something (a refusal, a hang-up) came back before the content was complete."""
        return self._smtp.sock is not None and bool(select.select([self._smtp.sock], [], [], 0)[0])

    def _write(self, content: bytes, timeout: float | None = None) -> None:
        if self._smtp.sock is None:
            raise ConnectionResetError
        deadline = time.monotonic() + (timeout or self._route.timeout) + len(content) / _SLOWEST_BYTES_A_SECOND
        view = memoryview(content)
        while view:
            self._smtp.sock.settimeout(_left(deadline))
            view = view[self._smtp.sock.send(view[:65_536]) :]

    def _expect(self, ask: Callable[[], tuple[int, bytes]], *wanted: int) -> tuple[int, bytes]:
        try:
            if self._smtp.sock is not None:
                self._smtp.sock.settimeout(self._route.timeout)
                self._replies.within(self._route.timeout)
            code, text = ask()
        except (OSError, smtplib.SMTPException) as error:
            self._in_step = False
            raise _Stop(self._result(Verdict.TEMPORARY, self._reason_here(error))) from None
        self._in_step = True
        if code in wanted:
            return code, text
        if 400 <= code < 600:
            raise _Stop(self._result(_verdict_of(code), Reason.ANSWER, code, text))
        raise _Stop(self._result(Verdict.TEMPORARY, Reason.PROTOCOL, code if code > 0 else 0, text))

    def _reason_here(self, error: Exception) -> Reason:
        reason = _reason_of(error)
        return Reason.UNREACHABLE if self._stage is Stage.CONNECT and reason is Reason.DROPPED else reason

    def _result(self, verdict: Verdict, reason: Reason, code: int = 0, text: bytes = b"") -> SmtpResult:
        enhanced = _ENHANCED.match(text)
        queued = _QUEUED_AS.search(text) if verdict is Verdict.ACCEPTED else None
        return SmtpResult(
            verdict,
            self._stage,
            reason,
            code,
            enhanced[1].decode("ascii") if enhanced else "",
            queued[1].decode("ascii") if queued else "",
            self._size_limit,
            self._dsn,
        )


class _Replies:
    """The operator's lines for smtplib: a whole reply has one deadline, so that one that trickles cannot hold us for days."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._buffer = bytearray()
        self._deadline = time.monotonic()
        self._budget = _LONGEST_REPLY

    def within(self, seconds: float) -> None:
        """The next reply must be complete by then."""
        self._deadline = time.monotonic() + seconds
        self._budget = _LONGEST_REPLY

    def readline(self, limit: int) -> bytes:
        """One line with its end, or as much as `limit` allows; empty when the operator hung up."""
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) < limit:
            self._line.settimeout(_left(self._deadline))
            received = self._line.recv(8_192)
            self._budget -= len(received)
            if not received or self._budget < 0:
                return b""
            self._buffer += received
        size = min(end + 1, limit) if end >= 0 else limit
        line = bytes(self._buffer[:size])
        del self._buffer[:size]
        return line

    def close(self) -> None:
        """Nothing is held open here."""


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _verdict_of(code: int) -> Verdict:
    return Verdict.TEMPORARY if code < 500 else Verdict.PERMANENT


def _with_crlf(message: bytes) -> bytes:
    """Line ends as SMTP wants them; a message that has them already is not walked through."""
    clean = message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r")
    content = message if clean else _BARE_LINE_END.sub(b"\r\n", message)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _dot_stuffed(content: bytes) -> bytes:
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _reason_of(error: BaseException) -> Reason:
    if isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, OSError):
        return _reason_of(error.__context__)  # smtplib hides time-outs and TLS alerts behind a disconnection
    match error:
        case TimeoutError():
            return Reason.TIMEOUT
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Reason.DROPPED
        case ssl.SSLError():
            return Reason.TLS_REFUSED
        case socket.gaierror() | ConnectionRefusedError():
            return Reason.UNREACHABLE
        case OSError() | smtplib.SMTPServerDisconnected():
            return Reason.DROPPED
        case _:
            return Reason.PROTOCOL


def _xtext(value: str) -> str:
    """RFC 3461 §4: `+` and `=` as `+HH`; everything else here is printable ASCII already."""
    return value.replace("+", "+2B").replace("=", "+3D")
