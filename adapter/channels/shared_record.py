"""Shared record as a channel: one ITI-65 POST, the record's answer turned into an outcome with a cause of the table.

Sources: FHIR R4 §3.1.0.11 (transactions), IHE MHD ITI-65, blueprint seams 4, 5, 7. A transaction-response whose entries all
succeeded proves *integrated*. Once the request has left, any silence is `unclear`: the record may hold the document, and is
then asked by masterIdentifier. What the record says may quote the patient: only status and issue codes are kept.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from adapter.channels.base import Capabilities
from adapter.channels.tls_verdict import await_verdict
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Parcel, RecordContent

_FHIR_JSON = "application/fhir+json"
_RFC_3986 = "urn:ietf:rfc:3986"


@dataclass(frozen=True)
class SharedRecordSettings:
    """How to reach the territory's record. A token comes from its file at each send, so that it may be rotated.

    `tls` gives the contexts to try for https, best first (OSError when there is none): files are replaced under us at will; the
    second shows our certificate of before. `send_timeout_seconds` is the whole patience for an answer once connected.
    """

    base_url: str
    connect_timeout_seconds: float = 10.0
    send_timeout_seconds: float = 60.0
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    tls: Callable[[], Sequence[ssl.SSLContext]] = lambda: (ssl.create_default_context(),)
    max_transaction_bytes: int = 67_108_864
    max_answer_bytes: int = 8_388_608


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


@dataclass(frozen=True)
class _Answer:
    """What came back whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _AnswerLostError(Exception):
    """The request left (or may have), and no whole answer came."""


class SharedRecordChannel:
    """The record channel. Each thread keeps one session (a connection) to the partner."""

    def __init__(self, settings: SharedRecordSettings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._clock = clock
        self._local = threading.local()

    @property
    def capabilities(self) -> Capabilities:
        """What the record carries and can prove."""
        return Capabilities(
            name=ChannelName.SHARED_RECORD,
            renditions=("mhd",),
            proves=(DeliveryState.INTEGRATED,),
            final_state=DeliveryState.INTEGRATED,
            size_limit_bytes=self._settings.max_transaction_bytes,
            resend_is_safe=True,
        )

    def send(self, parcel: Parcel) -> SendOutcome:
        """Post the transaction."""
        content = parcel.content
        if not isinstance(content, RecordContent):
            return SendOutcome(OutcomeKind.REFUSED, "rendition-impossible", detail="not a record transaction")
        if len(content.transaction) > self._settings.max_transaction_bytes:
            return SendOutcome(OutcomeKind.REFUSED, "too-large", detail="above our own limit")
        try:
            answer = self._ask("POST", self._base(parcel.address), content.transaction)
        except OSError as error:
            return _before_the_wire(error)
        except _AnswerLostError as error:
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=str(error))
        return self._outcome_of(answer, expected=_entries_in(content.transaction))

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """Does the record hold our document? None: it does not, a conditional create may go. Not able to say: wait."""
        content = parcel.content
        if not isinstance(content, RecordContent):
            return None
        try:
            query = {"identifier": f"{_RFC_3986}|{content.master_identifier}"}
            answer = self._ask("GET", f"{self._base(parcel.address)}/DocumentReference", query=query)
        except OSError as error:
            return _before_the_wire(error)
        except _AnswerLostError as error:
            return SendOutcome(OutcomeKind.DEFERRED, "connect-timeout", detail=str(error))
        found = _json(answer.body)
        if answer.status != 200 or found.get("type") != "searchset":
            refused = self._refusal_of(answer)
            return replace(refused, kind=OutcomeKind.DEFERRED)
        for entry in _entries(found):
            resource = entry.get("resource")
            # A server that ignores a search parameter answers with every document it has.
            if isinstance(resource, dict) and _is_named(resource, content.master_identifier):
                reference = f"DocumentReference/{resource.get('id', '')}"
                return SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED, partner_reference=reference)
        return None

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """Nothing to poll: the record answers at once."""
        return (), cursor

    def check(self) -> str:
        """Read the record's CapabilityStatement."""
        try:
            answer = self._ask("GET", f"{self._base('')}/metadata")
        except OSError as error:
            return f"the record cannot be reached ({_before_the_wire(error).cause}): check base_url, network and certificates."
        except _AnswerLostError as error:
            return f"the record does not answer ({error}): check the partner."
        if answer.status != 200:
            return f"the record answers {answer.status} to GET metadata: check base_url and the token."
        if _json(answer.body).get("resourceType") != "CapabilityStatement":
            return "what answers at base_url is not a FHIR server: check base_url."
        return ""

    # ── the wire ───────────────────────────────────────────────────────────────────────────────────────────────

    def _base(self, address: str) -> str:
        """The record's base: the parcel's address when it is a URL (a test instance's sandbox), else the setting."""
        chosen = address if address.startswith(("http://", "https://")) else self._settings.base_url
        return chosen.rstrip("/")

    def _ask(self, method: str, url: str, body: bytes | None = None, query: Mapping[str, str] | None = None) -> _Answer:
        """One exchange: OSError when nothing can have arrived, `_AnswerLostError` when something may have."""
        if not url.startswith("https:"):
            return self._ask_with(None, method, url, body, query)
        *first, last = self._settings.tls()
        for context in first:
            try:
                return self._ask_with(context, method, url, body, query)
            except ssl.SSLError:
                continue  # refused in the handshake: nothing was asked yet, our certificate of before may be known there
        return self._ask_with(last, method, url, body, query)

    def _ask_with(
        self, context: ssl.SSLContext | None, method: str, url: str, body: bytes | None, query: Mapping[str, str] | None
    ) -> _Answer:
        settings = self._settings
        deadline = time.monotonic() + settings.connect_timeout_seconds + settings.send_timeout_seconds
        try:
            response = self._session(context).request(
                method,
                url,
                data=body,
                params=query,
                headers=self._headers(url, has_body=body is not None),
                timeout=(settings.connect_timeout_seconds, settings.send_timeout_seconds),
                # Following a redirection would hand a patient's document to whoever is named there.
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise _judged(error) from None
        with closing(response):
            return _Answer(response.status_code, response.headers, self._body_of(response, deadline))

    def _body_of(self, response: requests.Response, deadline: float) -> bytes:
        """The whole body, bounded in size and in time (a partner may send one byte a minute)."""
        received = bytearray()
        try:
            # read1 gives what is there: waiting for whole blocks would let a drip outlive the deadline.
            while chunk := response.raw.read1(65_536, decode_content=True):
                received += chunk
                if len(received) > self._settings.max_answer_bytes:
                    raise _AnswerLostError("answer too large")
                if time.monotonic() > deadline:
                    raise _AnswerLostError("answer too slow")
        except HTTPError as error:
            raise _AnswerLostError(type(error).__name__) from None
        return bytes(received)

    def _headers(self, url: str, *, has_body: bool) -> dict[str, str]:
        headers = {"Accept": _FHIR_JSON}
        if has_body:
            headers["Content-Type"] = f"{_FHIR_JSON}; charset=utf-8"
        token = self._token()
        # The token is for the record it was given for, not for a sandbox elsewhere.
        if token and _origin(url) == _origin(self._settings.base_url):
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _token(self) -> str:
        path = self._settings.token_file
        return path.read_text(encoding="utf-8", errors="replace").strip() if path is not None else self._settings.token

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

    # ── reading the answer ─────────────────────────────────────────────────────────────────────────────────────

    def _outcome_of(self, answer: _Answer, expected: int) -> SendOutcome:
        if not 200 <= answer.status < 300:
            return self._refusal_of(answer)
        bundle = _json(answer.body)
        entries = _entries(bundle)
        if bundle.get("type") != "transaction-response" or len(entries) != expected:
            # A success that says nothing of our entries: a proxy's page, a truncated list. The record may have them.
            return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail="not a whole transaction-response")
        for entry in entries:
            status = _entry_status(entry)
            if not 200 <= status < 300:
                return self._refusal_of(_Answer(status, {}, json.dumps(entry.get("response", {}).get("outcome", {})).encode()))
        return SendOutcome(
            OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED, partner_reference=_location(entries, "DocumentReference")
        )

    def _refusal_of(self, answer: _Answer) -> SendOutcome:
        detail = " ".join(part for part in (f"HTTP {answer.status}", *_issue_codes(answer.body)) if part)
        match answer.status:
            case 429 | 503:
                wait = _retry_after(answer.headers.get("Retry-After", ""), self._clock())
                return SendOutcome(OutcomeKind.DEFERRED, "partner-busy", detail=detail, retry_after_seconds=wait)
            case 408 | 425:
                return SendOutcome(OutcomeKind.DEFERRED, "partner-busy", detail=detail)
            case 401 | 403 | 407:
                return SendOutcome(OutcomeKind.DEFERRED, "auth-refused", detail=detail)
            case 409 | 412:
                return SendOutcome(OutcomeKind.REFUSED, "conflict", detail=detail)
            case 413:
                return SendOutcome(OutcomeKind.REFUSED, "too-large", detail=detail)
            case 504:
                # A gateway gave up waiting for the record, which may still do the work.
                return SendOutcome(OutcomeKind.UNCLEAR, "no-answer", detail=detail)
            case status if 400 <= status < 500:
                return SendOutcome(OutcomeKind.REFUSED, "content-refused", detail=detail)
        return SendOutcome(OutcomeKind.DEFERRED, "partner-error", detail=detail)


def _judged(error: requests.RequestException) -> Exception:
    """Could the request have reached the partner? Only a connection that was never made is sure not to."""
    if isinstance(error, requests.exceptions.SSLError):
        # An abrupt end inside TLS comes as an SSL error too, and by then the request may have gone.
        return _AnswerLostError("SSLError") if "EOF" in str(error) else ssl.SSLError(type(error).__name__)
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return TimeoutError("ConnectTimeout")
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NewConnectionError):
        return ConnectionError("NewConnectionError")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema | requests.exceptions.InvalidSchema):
        return ConnectionError(type(error).__name__)
    return _AnswerLostError(type(error).__name__)


def _before_the_wire(error: OSError) -> SendOutcome:
    """Nothing left: try again later, whatever the cause."""
    if isinstance(error, ssl.SSLError):
        cause = "tls-failed"
    elif isinstance(error, TimeoutError):
        cause = "connect-timeout"
    elif isinstance(error, ConnectionError):
        cause = "connect-failed"
    else:
        cause = "auth-refused"  # a certificate or token file that cannot be read
    return SendOutcome(OutcomeKind.DEFERRED, cause, detail=type(error).__name__)


def _entries_in(transaction: bytes) -> int:
    return len(_entries(_json(transaction)))


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _entries(bundle: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries = bundle.get("entry")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _entry_status(entry: Mapping[str, Any]) -> int:
    """`201 Created` → 201; 0 when the entry tells nothing."""
    response = entry.get("response")
    word = str(response.get("status", "")).split(" ", 1)[0] if isinstance(response, dict) else ""
    return int(word) if word.isascii() and word.isdigit() else 0


def _location(entries: list[dict[str, Any]], kind: str) -> str:
    for entry in entries:
        location = str(entry["response"].get("location", ""))
        if f"{kind}/" in location:
            return location[location.index(f"{kind}/") :]
    return ""


def _is_named(resource: Mapping[str, Any], master_identifier: str) -> bool:
    """True for a document that has this master identifier."""
    held = [resource.get("masterIdentifier"), *(resource.get("identifier") or ())]
    is_document = resource.get("resourceType") == "DocumentReference"
    return is_document and any(isinstance(one, dict) and one.get("value") == master_identifier for one in held)


def _issue_codes(body: bytes) -> list[str]:
    """The issue codes of an OperationOutcome: never its texts, which may quote the patient."""
    issues = _json(body).get("issue")
    if not isinstance(issues, list):
        return []
    codes = (str(issue.get("code", "")) for issue in issues[:5] if isinstance(issue, dict))
    return [code for code in codes if code.isascii() and code.replace("-", "").isalpha() and len(code) <= 40]


def _retry_after(value: str, now: datetime) -> float | None:
    """Seconds, or an HTTP date; anything else is no wish."""
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip())
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
