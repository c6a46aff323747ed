"""One session with a mailbox: connect, choose a folder, find what is new, read it whole and bounded, mark it, wait.

Sources: Référentiel socle #2 (ECO 1.0.2, 1.1.1, 1.2.1–1.2.7); RFC 3501, 2177 (IDLE), 4315 (UIDPLUS), 6851 (MOVE), XOAUTH2.
Law: reading changes nothing on the server. A mail is marked only when the caller says so, which it does once the content is
durable: a crash in between shows the mail again, never loses it. Any failure of the line ends the session.
`mailbox_reader` comes back by itself; here every call either returns a value or raises a `MailboxError`.
"""

from __future__ import annotations

import imaplib
import json
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from types import TracebackType
from typing import Self

from mssante.auth import Auth, ClientCertificate, Password, XOAuth2
from mssante.autoconfig import Endpoint
from mssante.errors import LookupFailedError, MailboxError, MailboxLostError, MailboxRefusedError, MssanteError
from mssante.imap_folder import (
    Arrival,
    FolderState,
    decode_name,
    encode_name,
    read_arrivals,
    read_flags,
    read_marks,
    read_section,
    read_uids,
)
from mssante.imap_line import ImapLine, Limits, Route
from mssante.tls import TlsSettings, TlsSource, contexts_of, settings_of

__all__ = [
    "Arrival",
    "FolderState",
    "Limits",
    "Mail",
    "Mailbox",
    "MailboxSettings",
    "Missing",
    "Oversize",
]

_HEADER_BYTES = 262_144
_KEYWORD = re.compile(r"\$?[A-Za-z][A-Za-z0-9_.-]{0,63}")
_ANNOUNCED_AT_ONCE = 500
# RFC 3501 §9, date-month: English, whatever the machine speaks.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class MailboxSettings:
    """Where a mailbox is and how to enter: a client certificate (APP boxes), Pro Santé Connect (PER, ORG), a test password.

    `servers`, when given, is asked at each opening instead of `host`, `port`, `immediate` and `others` (LookupFailedError: none
    is known now, come back later).

    `others`: servers to try, in order, when the one before cannot be reached (`autoconfig`). `immediate` given: TLS from the
    first byte, or not, whatever `tls` says.
    """

    host: str
    port: int = 143
    tls: TlsSettings | TlsSource = field(default_factory=TlsSettings)
    auth: Auth = field(default_factory=lambda: ClientCertificate(external=True))
    limits: Limits = field(default_factory=Limits)
    source_address: str = ""
    immediate: bool | None = None
    others: tuple[Endpoint, ...] = ()
    servers: Callable[[], Sequence[Endpoint]] | None = None


@dataclass(frozen=True, repr=False)
class Mail:
    """A message, byte for byte as the server keeps it."""

    uid: int
    content: bytes


@dataclass(frozen=True, repr=False)
class Oversize:
    """A message larger than the caller's cap: its headers only, so that it can be told about and answered."""

    uid: int
    size: int
    headers: bytes


@dataclass(frozen=True)
class Missing:
    """The message is no longer there: somebody moved or deleted it."""

    uid: int


def _with_servers(settings: MailboxSettings, servers: Callable[[], Sequence[Endpoint]]) -> MailboxSettings:
    try:
        first, *others = servers()
    except LookupFailedError as error:
        raise MailboxLostError("mailbox.no-server", f"no server is known now: {error.code}") from None
    return replace(settings, host=first.host, port=first.port, immediate=first.immediate, others=tuple(others))


class Mailbox:
    """A session: `with Mailbox.open(settings) as mailbox: …`. For one thread at a time."""

    def __init__(self, line: ImapLine, limits: Limits) -> None:
        self._line = line
        self._limits = limits

    @classmethod
    def open(cls, settings: MailboxSettings) -> Mailbox:
        """Connect, encrypt and log in; a server that is not reached gives way to the next."""
        if settings.servers is not None:
            settings = _with_servers(settings, settings.servers)
        for other in settings.others:
            try:
                return cls._open_at(settings)
            except MailboxLostError as error:
                if error.code not in ("mailbox.unreachable", "mailbox.timeout"):
                    raise
            settings = replace(settings, host=other.host, port=other.port, immediate=other.immediate)
        return cls._open_at(settings)

    @classmethod
    def _open_at(cls, settings: MailboxSettings) -> Mailbox:
        """A certificate that is refused gives way to that of the generation before."""
        *first, last = contexts_of(settings.tls)
        for context in first:
            try:
                return cls._open_with(context, settings)
            except (MailboxLostError, MailboxRefusedError) as error:
                if not _may_be_the_certificate(error, settings.auth):
                    raise
        return cls._open_with(last, settings)

    @classmethod
    def _open_with(cls, context: ssl.SSLContext, settings: MailboxSettings) -> Mailbox:
        tls = settings_of(settings.tls)
        name = tls.server_name or settings.host
        immediate = tls.immediate if settings.immediate is None else settings.immediate
        route = Route(settings.host, settings.port, name, immediate, context, settings.source_address)
        line = ImapLine(route, settings.limits)
        try:
            _log_in(line, settings.auth)
            with line.within():
                line.refresh_offer()  # what may be done is often told only after the login
        except BaseException:
            line.shutdown()
            raise
        return cls(line, settings.limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave politely; what happens then does not matter any more."""
        with suppress(MssanteError, OSError), self._line.within(2.0):
            self._line.logout()
        self._line.shutdown()

    @property
    def can_idle(self) -> bool:
        """True when the server tells of new mail by itself."""
        return "IDLE" in self._line.offered

    # ── folders ─────────────────────────────────────────────────────────────────────────────────────────────────

    def folders(self) -> tuple[str, ...]:
        """The folders that can be selected."""
        with self._line.within():
            _, data = self._line.list()
        return tuple(name for line in data if (name := _listed_name(line)))

    def select(self, folder: str) -> FolderState:
        """Enter a folder; MailboxRefusedError when there is none or it is not ours."""
        line = self._line
        writable = True
        with line.within():
            try:
                typ, data = line.select(encode_name(folder))
            except imaplib.IMAP4.readonly:
                writable = False
                typ, data = line.select(encode_name(folder), readonly=True)
            if typ != "OK":
                raise MailboxRefusedError("mailbox.no-folder", "the folder cannot be selected")
            marks, any_mark = read_marks(line.response("OK")[1] or [])
            line.response("EXISTS")
            return FolderState(
                folder,
                _number(line.response("UIDVALIDITY")[1]),
                _number(line.response("UIDNEXT")[1]),
                _number(data),
                marks if writable else frozenset(),
                any_mark and writable,
            )

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────

    def search(
        self, *, after: int = 0, without: str = "", header: tuple[str, str] | None = None, since: date | None = None
    ) -> tuple[int, ...]:
        """UIDs of the selected folder: above `after`, lacking the keyword `without`, with that header, there since a day."""
        criteria = [f"UID {after + 1}:*"] if after else ["ALL"]
        if since is not None:
            criteria.append(f"SINCE {since.day:02d}-{_MONTHS[since.month - 1]}-{since.year}")
        if without:
            criteria.append(f"UNKEYWORD {_keyword(without)}")
        if header is not None:
            criteria.append(f"HEADER {header[0]} {_quoted(header[1])}")
        self._line.response("EXISTS")  # what arrives from here on wakes `wait`
        with self._line.within():
            typ, data = self._line.uid("SEARCH", " ".join(criteria))
        if typ != "OK":
            raise MailboxLostError("mailbox.search-refused", "the server does not search")
        # `n:*` always names the last message, even when its UID is smaller than n (RFC 3501 §6.4.8).
        return tuple(uid for uid in read_uids(data) if uid > after)

    def announce(self, uids: Iterable[int]) -> tuple[Arrival, ...]:
        """Size, flags and date of those messages, as far as they are there."""
        wanted = tuple(uids)
        arrivals: list[Arrival] = []
        for start in range(0, len(wanted), _ANNOUNCED_AT_ONCE):
            some = ",".join(str(uid) for uid in wanted[start : start + _ANNOUNCED_AT_ONCE])
            with self._line.within():
                _, data = self._line.uid("FETCH", some, "(UID RFC822.SIZE FLAGS INTERNALDATE)")
            arrivals += read_arrivals(data)
        chosen = frozenset(wanted)
        return tuple(arrival for arrival in arrivals if arrival.uid in chosen)

    def fetch(self, uid: int, max_bytes: int, announced: Arrival | None = None) -> Mail | Oversize | Missing:
        """Read one message, in pieces: never more than `max_bytes` and one piece are in memory. It stays unread.

        `announced` spares the question how large it is, where `announce` has just been asked.
        """
        known = announced or next(iter(self.announce([uid])), None)
        if known is None:
            return Missing(uid)
        if known.size > max_bytes:
            return Oversize(uid, known.size, self._section(uid, "HEADER", 0, _HEADER_BYTES) or b"")
        content = bytearray()
        while True:
            piece = self._section(uid, "", len(content), self._limits.chunk_bytes)
            if piece is None:
                return Missing(uid)
            content += piece
            # The announced size may be wrong (some servers count other line ends): only a short piece is the end.
            if len(piece) < self._limits.chunk_bytes:
                return Mail(uid, bytes(content))
            if len(content) > max_bytes:
                return Oversize(uid, len(content), self._section(uid, "HEADER", 0, _HEADER_BYTES) or b"")

    def _section(self, uid: int, name: str, start: int, length: int) -> bytes | None:
        with self._line.within(content_bytes=length):
            typ, data = self._line.uid("FETCH", str(uid), f"(UID BODY.PEEK[{name}]<{start}.{length}>)")
        if typ != "OK":
            raise MailboxLostError("mailbox.fetch-refused", "the server does not hand a message over")
        return read_section(data, uid)

    def mark(self, uid: int, keyword: str) -> bool:
        """Set a keyword; False when the server does not keep it. To be called once the content is durable."""
        with self._line.within():
            typ, data = self._line.uid("STORE", str(uid), "+FLAGS", f"({_keyword(keyword)})")
        if typ != "OK":
            return False
        # Dovecot answers OK and keeps nothing where the right is missing: what it then tells of the message counts.
        told = read_flags(data, uid)
        if told is None:
            told = next((arrival.flags for arrival in self.announce([uid])), frozenset())
        return keyword.lower() in {flag.lower() for flag in told}

    def unmark(self, uid: int, keyword: str) -> bool:
        """Take a keyword back, so that the message is found again; False when the server refuses."""
        with self._line.within():
            typ, _ = self._line.uid("STORE", str(uid), "-FLAGS.SILENT", f"({_keyword(keyword)})")
        return bool(typ == "OK")

    def move(self, uid: int, folder: str) -> bool:
        """Move a message; False when the server refuses or cannot do it without touching others."""
        line, target = self._line, encode_name(folder)
        with line.within():
            if "MOVE" in line.offered:
                return bool(line.uid("MOVE", str(uid), target)[0] == "OK")
            # A plain EXPUNGE would also remove what people marked as deleted.
            if "UIDPLUS" not in line.offered or line.uid("COPY", str(uid), target)[0] != "OK":
                return False
            marked = line.uid("STORE", str(uid), "+FLAGS.SILENT", "(\\Deleted)")[0] == "OK"
            return marked and line.uid("EXPUNGE", str(uid))[0] == "OK"

    def wait(self, seconds: float, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Wait by IDLE until something arrives in the selected folder; False after `seconds`. Only where `can_idle`."""
        # An arrival told in the answer to another command will not be told again.
        if self._line.response("EXISTS")[1] != [None]:
            return True
        return self._line.wait_for_arrival(seconds, should_stop)


def _may_be_the_certificate(error: MailboxError, auth: Auth) -> bool:
    # Refused, it shows as an alert, in TLS 1.3 as a bare hang-up after the handshake, at Dovecot as a refused login.
    if isinstance(error, MailboxRefusedError):
        return isinstance(auth, ClientCertificate)
    return error.code in ("mailbox.tls-refused", "mailbox.dropped")


def _log_in(line: ImapLine, auth: Auth) -> None:
    if line.state == "AUTH":  # PREAUTH: the certificate was enough
        return
    mechanism, reply = _mechanism(auth)
    if f"AUTH={mechanism}" not in line.offered:
        raise MailboxRefusedError("mailbox.auth-not-offered", f"the server offers no {mechanism}")
    with _refusal_told(reply), line.within():
        line.authenticate(mechanism, reply)


class _Reply:
    """Answers SASL challenges: first who we are; a refusal told as a challenge gets the empty line that asks for a verdict."""

    def __init__(self, response: bytes) -> None:
        self._response: bytes | None = response
        self.status = ""

    def __call__(self, challenge: bytes) -> bytes:
        if self._response is not None:
            response, self._response = self._response, None
            return response
        with suppress(ValueError):
            told = json.loads(challenge)
            status = told.get("status") if isinstance(told, dict) else None
            self.status = status if isinstance(status, str) and status.isalnum() and len(status) < 20 else ""
        return b""


def _mechanism(auth: Auth) -> tuple[str, _Reply]:
    match auth:
        case ClientCertificate():
            return "EXTERNAL", _Reply(b"")
        case XOAuth2():
            return "XOAUTH2", _Reply(auth.response())
        case Password():
            return "PLAIN", _Reply(auth.response())


@contextmanager
def _refusal_told(reply: _Reply) -> Iterator[None]:
    try:
        yield
    except MailboxLostError as error:
        if error.code != "mailbox.protocol":
            raise
        status = f", status {reply.status}" if reply.status else ""
        raise MailboxRefusedError("mailbox.auth-refused", f"the server refuses the login{status}") from None


def _listed_name(line: object) -> str:
    # * LIST (\HasNoChildren) "/" "Archives"   or, for odd names, the name as a literal after {n}
    attributes, name = line if isinstance(line, tuple) else (line, None)
    if not isinstance(attributes, bytes) or b"\\noselect" in attributes.lower():
        return ""
    if not isinstance(name, bytes):
        _, _, rest = attributes.partition(b") ")
        _, _, name = rest.partition(b" ")
    text = name.decode("ascii", "replace").strip()
    if text.startswith('"') and text.endswith('"'):
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return decode_name(text)


def _number(data: object) -> int:
    first = data[0] if isinstance(data, list) and data else None
    return int(first) if isinstance(first, bytes) and first.isdigit() and len(first) <= 10 else 0


def _keyword(keyword: str) -> str:
    if not _KEYWORD.fullmatch(keyword):
        raise MailboxError("mailbox.keyword", "a keyword is made of letters, digits, `_.-`, after an optional `$`")
    return keyword


def _quoted(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise MailboxError("mailbox.search-text", "only printable ASCII can be searched")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
