"""One HTTP exchange with a FHIR partner: TLS that follows its files, bounds in time and size, tokens.

Sources: FHIR R4 §3.1; RFC 6750; blueprint seams 4, 5. `OSError`: nothing left, it may be tried again. `AnswerLostError`: the
request left, or may have, and no whole answer came. No redirection is followed: it would lead a document or a token elsewhere.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from adapter.channels.smart_client import SmartClient, SmartSettings
from adapter.channels.tls_verdict import await_verdict
from adapter.model.confidential import Confidential

FHIR_JSON = "application/fhir+json"


@dataclass(frozen=True)
class SharedRecordSettings:
    """How to reach the territory's record. A token comes from its file at each send, so that it may be rotated; or, with `smart`,
    from the partner's authorization server.

    `tls` gives the contexts to try for https, best first (OSError when there is none): files are replaced under us at will; the
    second shows our certificate of before. `send_timeout_seconds` is the whole patience for an answer once connected.
    """

    base_url: str
    connect_timeout_seconds: float = 10.0
    send_timeout_seconds: float = 60.0
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    smart: SmartSettings | None = None
    tls: Callable[[], Sequence[ssl.SSLContext]] = lambda: (ssl.create_default_context(),)
    max_transaction_bytes: int = 67_108_864
    max_answer_bytes: int = 8_388_608
    max_document_bytes: int = 67_108_864


@dataclass(frozen=True, repr=False)
class Answer(Confidential):
    """What came back whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerLostError(Exception):
    """The request left (or may have), and no whole answer came."""


class _TokenSource(Protocol):
    def token(self) -> str: ...

    def refused(self, token: str) -> bool: ...


class _GivenToken:
    """A bearer token of the configuration, or of a file read each time."""

    def __init__(self, settings: SharedRecordSettings) -> None:
        self._settings = settings

    def token(self) -> str:
        """The token of now; OSError when its file cannot be read."""
        path = self._settings.token_file
        return path.read_text(encoding="utf-8", errors="replace").strip() if path is not None else self._settings.token

    def refused(self, token: str) -> bool:  # noqa: ARG002 - another source may have a newer one
        """There is no other token to try."""
        return False


class _JudgedConnection(HTTPSConnection):
    """Says nothing before the partner accepted our certificate."""

    def connect(self) -> None:
        """Connect, shake hands, wait for the verdict."""
        super().connect()
        if isinstance(self.sock, ssl.SSLSocket):
            await_verdict(self.sock)


class _JudgedPool(HTTPSConnectionPool):
    ConnectionCls = _JudgedConnection


class _OnContext(HTTPAdapter):
    """Connections on one context, which alone says whom to trust and who we are."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **named: Any) -> None:
        """Every pool gets the context, and connections that wait for the partner's verdict."""
        super().init_poolmanager(*args, **named, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _JudgedPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - the library's signature
        """The library would add its own list of authorities to the context here."""
        conn.cert_reqs = "CERT_REQUIRED"


class FhirWire:
    """Exchanges with one partner. Each thread keeps one session (a connection)."""

    def __init__(self, settings: SharedRecordSettings, clock: Callable[[], Any], new_id: Callable[[], str]) -> None:
        self._settings = settings
        self._local = threading.local()
        smart = settings.smart
        self._tokens: _TokenSource = (
            SmartClient(smart, settings.base_url, self._plain, clock=clock, new_id=new_id) if smart else _GivenToken(settings)
        )

    def ask(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = 0,
    ) -> Answer:
        """One exchange under our token: OSError when nothing can have arrived, `AnswerLostError` when something may have.

        A 401 says that nothing was done: with another token to show, the question is put once more.
        """
        # The token is for the record it was given for, not for a sandbox or a host that an answer names.
        is_ours = origin_of(url) == origin_of(self._settings.base_url)
        token = self._tokens.token() if is_ours else ""
        answer = self._ask(method, url, body, query, _with_token(headers, token), max_bytes)
        if answer.status == 401 and token and self._tokens.refused(token):
            answer = self._ask(method, url, body, query, _with_token(headers, self._tokens.token()), max_bytes)
        return answer

    def _plain(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """For the token endpoint: no token of ours; a lost answer did no harm, and is tried again later."""
        try:
            answer = self._ask(method, url, body, None, headers, 0)
        except AnswerLostError as error:
            raise TimeoutError("the token endpoint does not answer") from error
        return answer.status, answer.body

    def _ask(
        self,
        method: str,
        url: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        max_bytes: int,
    ) -> Answer:
        if not url.startswith("https:"):
            return self._ask_on(None, method, url, body, query, headers, max_bytes)
        *first, last = self._settings.tls()
        for context in first:
            try:
                return self._ask_on(context, method, url, body, query, headers, max_bytes)
            except ssl.SSLError:
                continue  # refused in the handshake: nothing was asked yet, our certificate of before may be known there
        return self._ask_on(last, method, url, body, query, headers, max_bytes)

    def _ask_on(
        self,
        context: ssl.SSLContext | None,
        method: str,
        url: str,
        body: bytes | None,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        max_bytes: int,
    ) -> Answer:
        settings = self._settings
        deadline = time.monotonic() + settings.connect_timeout_seconds + settings.send_timeout_seconds
        try:
            response = self._session(context).request(
                method,
                url,
                data=body,
                params=query,
                headers=dict(headers),
                timeout=(settings.connect_timeout_seconds, settings.send_timeout_seconds),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise _judged(error) from None
        with closing(response):
            limit = max_bytes or settings.max_answer_bytes
            return Answer(response.status_code, response.headers, _body_of(response, deadline, limit))

    def _session(self, context: ssl.SSLContext | None) -> requests.Session:
        """This thread's session on that context; those on contexts of before are closed."""
        sessions: dict[ssl.SSLContext | None, requests.Session] = self._local.__dict__.setdefault("sessions", {})
        if context not in sessions:
            in_use = (*self._settings.tls(), None) if context is not None else (None,)
            for old in [one for one in sessions if one not in in_use]:
                sessions.pop(old).close()
            session = requests.Session()
            # No proxy nor password file of the environment decides where a document goes.
            session.trust_env = False
            if context is not None:
                session.mount("https://", _OnContext(context))
            sessions[context] = session
        return sessions[context]


def _with_token(headers: Mapping[str, str] | None, token: str) -> dict[str, str]:
    made = {"Accept": FHIR_JSON, **(headers or {})}
    return made | {"Authorization": f"Bearer {token}"} if token else made


def _body_of(response: requests.Response, deadline: float, limit: int) -> bytes:
    """The whole body, bounded in size and in time (a partner may send one byte a minute)."""
    received = bytearray()
    try:
        # read1 gives what is there: waiting for whole blocks would let a drip outlive the deadline.
        while chunk := response.raw.read1(65_536, decode_content=True):
            received += chunk
            if len(received) > limit:
                raise AnswerLostError("answer too large")
            if time.monotonic() > deadline:
                raise AnswerLostError("answer too slow")
    except HTTPError as error:
        raise AnswerLostError(type(error).__name__) from None
    return bytes(received)


def _judged(error: requests.RequestException) -> Exception:
    """Could the request have reached the partner? Only a connection that was never made is sure not to."""
    if isinstance(error, requests.exceptions.SSLError):
        # An abrupt end inside TLS comes as an SSL error too, and by then the request may have gone.
        return AnswerLostError("SSLError") if "EOF" in str(error) else ssl.SSLError(type(error).__name__)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TimeoutError("ConnectTimeout")
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NewConnectionError):
        return ConnectionError("NewConnectionError")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema | requests.exceptions.InvalidSchema):
        return ConnectionError(type(error).__name__)
    return AnswerLostError(type(error).__name__)


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: who a token is for."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
