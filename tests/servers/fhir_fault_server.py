"""A FHIR server that misbehaves on demand: each request takes the next step of a script, then the last one for ever.

    with FaultServer(Answer(503, headers={"Retry-After": "7"})) as server:
        SharedRecordChannel(SharedRecordSettings(server.base_url)).send(parcel)

Steps: `Answer` (whatever status, headers and body), `Success` (a true transaction-response), `Stall` (reads, never answers),
`CutBeforeReading`, `CutAfterReading`, `CutInAnswer`, `Drip` (one byte of answer at a time). `CuttingProxy` stands before a true
server: what it is told reaches that server, but some of the answers are never given back.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

import requests


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Success:
    """A transaction-response with one entry per request entry.

    `entry_status` spoils the last one, `missing` drops some, `reordered` answers backwards, `tells` adds an outcome to the last.
    """

    entry_status: str = ""
    missing: int = 0
    reordered: bool = False
    tells: str = ""


class Stall: ...


class CutBeforeReading: ...


class CutAfterReading: ...


class CutInAnswer: ...


@dataclass(frozen=True)
class Drip:
    """One byte of a success every `seconds`."""

    seconds: float = 0.1


Step = Answer | Success | Stall | CutBeforeReading | CutAfterReading | CutInAnswer | Drip


class FaultServer:
    """The server, on a free loopback port. `requests` keeps (method, path, headers, body) of what was read."""

    def __init__(self, *script: Step, tls: ssl.SSLContext | None = None) -> None:
        self.script = list(script)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}/fhir"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def next_step(self) -> Step:
        """The step that the request in hand takes."""
        with self._lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def success_for(body: bytes, step: Success) -> bytes:
    """The transaction-response of a request."""
    entries: list[dict[str, Any]] = [
        {"response": {"status": "201 Created", "location": f"{e['resource']['resourceType']}/{n}/_history/1"}}
        for n, e in enumerate(json.loads(body).get("entry", []))
    ]
    if step.entry_status:
        entries[-1] = {"response": {"status": step.entry_status}}
    if step.tells:
        issue = {"severity": step.tells, "code": "processing"}
        entries[-1]["response"]["outcome"] = {"resourceType": "OperationOutcome", "issue": [issue]}
    if step.reordered:
        entries.reverse()
    entries = entries[: len(entries) - step.missing]
    return json.dumps({"resourceType": "Bundle", "type": "transaction-response", "entry": entries}).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: FaultServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def _owner(self) -> FaultServer:
        return self.server.owner

    def do_POST(self) -> None:
        step = self._owner.next_step()
        if isinstance(step, CutBeforeReading):
            return self._cut()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._owner.requests.append((self.command, self.path, dict(self.headers), body))
        self._play(step, body)
        return None

    def _play(self, step: Step, body: bytes) -> None:
        match step:
            case Answer():
                self._write(step.status, step.body, step.headers)
            case Success():
                self._write(200, success_for(body, step), {})
            case Stall():
                self._owner.closing.wait(30)
                self._cut()
            case Drip():
                self._drip(success_for(body, Success()), step.seconds)
            case CutInAnswer():
                self._head(200, 1000, {})
                self.wfile.write(b'{"resourceType":')
                self.wfile.flush()
                self._cut()
            case CutAfterReading():
                self._cut()

    do_GET = do_PATCH = do_POST  # noqa: N815 - the base class's names

    def _write(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._head(status, len(body), headers)
        self.wfile.write(body)

    def _drip(self, body: bytes, seconds: float) -> None:
        self._head(200, len(body), {})
        for byte in body:
            if self._owner.closing.is_set():
                return self._cut()
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(seconds)
        return None

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/fhir+json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silent: the test says what it saw."""

    def handle(self) -> None:
        # The client hangs up on a stalled or dripping answer: that is the scene, not a failure of the play.
        try:
            super().handle()
        except OSError:
            self.close_connection = True


class CuttingProxy:
    """Hands every request over to a true server, and cuts the line instead of giving back the answers to the first `cuts` writes.

    The server has committed by then: what a client knows is that nothing came back. `seen` keeps (method, status) of all.
    """

    def __init__(self, upstream: str, cuts: int = 1) -> None:
        self.upstream = upstream
        self.cuts = cuts
        self.seen: list[tuple[str, int]] = []
        self._server = _ProxyServer(("127.0.0.1", 0), _ProxyHandler)
        self._server.owner = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}{urlsplit(upstream).path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _ProxyServer(ThreadingHTTPServer):
    daemon_threads = True
    owner: CuttingProxy


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _ProxyServer

    def do_POST(self) -> None:
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        there = urlsplit(owner.upstream)
        url = f"{there.scheme}://{there.netloc}{self.path}"
        headers = {k: v for k, v in self.headers.items() if k.lower() in ("accept", "content-type", "authorization", "if-match")}
        answer = requests.request(self.command, url, data=body or None, headers=headers, timeout=60, allow_redirects=False)
        owner.seen.append((self.command, answer.status_code))
        if self.command != "GET" and owner.cuts:
            owner.cuts -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/fhir+json"))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_PATCH = do_PUT = do_POST  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silent: the test says what it saw."""
