"""A record behind an authorization server on loopback: SMART configuration, token endpoint, a FHIR base that wants its tokens.

    with TokenServer(public_key) as server:
        SharedRecordSettings(server.base_url, smart=SmartSettings("traitdunion", key_file, "kid-1", "system/*.cruds"))

It verifies assertions as the norm says (signature, audience, life, `jti` once, `kid`). `script` answers token requests otherwise,
one a request; `revoke()` makes the record refuse every token given so far.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

import jwt


@dataclass(frozen=True)
class Said:
    """One scripted answer of the token endpoint."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""


class TokenServer:
    """`keys`: public keys by kid; `tokens`: those given; `asked`: the decoded assertions; `seen`: (method, path, token)."""

    def __init__(self, keys: dict[str, Any], *script: Said, expires_in: Any = 300, endpoint: str = "") -> None:
        self.keys = keys
        self.script = list(script)
        self.expires_in = expires_in
        self.tokens: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, str]] = []
        self._refused: set[str] = set()
        self._jtis: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.base_url = f"{self.origin}/fhir"
        self.endpoint = endpoint or f"{self.origin}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def revoke(self) -> None:
        """No token given so far opens the record any more."""
        self._refused |= set(self.tokens)

    def answer(self, form: dict[str, list[str]]) -> tuple[int, bytes]:
        """What the token endpoint says to a request."""
        if self.script:
            said = self.script.pop(0)
            return said.status, said.raw or json.dumps(said.body).encode()
        try:
            (assertion,) = form["client_assertion"]
            header = jwt.get_unverified_header(assertion)
            key = self.keys[header["kid"]]
            claims = jwt.decode(assertion, key, algorithms=["RS384", "ES384"], audience=self.endpoint, leeway=10**9)
            known = {"iss": claims["sub"], "grant": form["grant_type"], "type": form["client_assertion_type"]}
            fresh = claims["jti"] not in self._jtis and claims["exp"] - claims["iat"] <= 300
        except (KeyError, ValueError, jwt.PyJWTError):
            return 400, b'{"error":"invalid_client"}'
        if not fresh or known["iss"] != claims["iss"]:
            return 400, b'{"error":"invalid_client"}'
        self._jtis.add(claims["jti"])
        self.asked.append({**claims, "kid": header["kid"], "alg": header["alg"], "scope": form["scope"][0]})
        token = f"token-{len(self.tokens) + 1}"
        self.tokens.append(token)
        told = {"access_token": token, "token_type": "bearer", "scope": form["scope"][0]}
        return 200, json.dumps(told | ({"expires_in": self.expires_in} if self.expires_in is not None else {})).encode()

    def opens(self, token: str) -> bool:
        """Whether the record takes a token."""
        return token in self.tokens and token not in self._refused


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: TokenServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        owner, body = self.server.owner, self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        owner.seen.append((self.command, self.path, token))
        if self.path.endswith("/.well-known/smart-configuration"):
            return self._write(200, json.dumps({"token_endpoint": owner.endpoint}).encode())
        if self.path == "/token":
            return self._write(*owner.answer(parse_qs(body.decode())))
        if not owner.opens(token):
            return self._write(401, b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"login"}]}')
        return self._write(200, b'{"resourceType":"CapabilityStatement"}')

    do_GET = do_POST  # noqa: N815 - the base class's name

    def _write(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Silent: the test says what it saw."""
