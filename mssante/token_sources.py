"""Where an access token comes from: a file that another program renews, a command, or a sign-in service and a refresh token.

Sources: ECO 1.2.1 (XOAUTH2 with a Pro Santé Connect token), 1.2.5 (a token is never kept), 1.2.6 (refresh dead: the session
ends), RFC 6749 §5.2, §6 (refresh, `invalid_grant`), RFC 6750 §2.1 (the characters of a token), RFC 7519 (`exp`).
Nothing is ever written: tokens live in memory for their minutes. Each class here is a `TokenProvider`.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from mssante.errors import SessionEndedError, TokenUnavailableError
from mssante.tls import client_context

# What a command ends with when the person must sign in again; any other failure means "not now".
SIGNED_OUT_STATUS = 2
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_LONGEST = 65_536
# A token that ends within this time would end during the login.
_MARGIN_SECONDS = 20.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class FileToken:
    """Another program keeps this file fresh (write aside, then rename). A JWT that has ended is not even presented."""

    file: Path
    now: Callable[[], float] = time.time

    def __call__(self) -> str:
        """The token of this moment."""
        try:
            text = self.file.read_text(encoding="ascii", errors="replace")
        except OSError as error:
            raise TokenUnavailableError("token.unreadable", type(error).__name__, where=self.file.name) from None
        return _checked(text, self.file.name, self.now())


@dataclass(frozen=True)
class CommandToken:
    """A program of the operator's tells the token on its standard output. Status 2: the person must sign in again."""

    command: Sequence[str]
    timeout_seconds: float = 10.0
    now: Callable[[], float] = time.time

    def __call__(self) -> str:
        """The token of this moment."""
        name = Path(self.command[0]).name
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
                list(self.command), stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout_seconds, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TokenUnavailableError("token.command", type(error).__name__, where=name) from None
        if done.returncode == SIGNED_OUT_STATUS:
            raise SessionEndedError("token.signed-out", "the person must sign in again", where=name)
        if done.returncode:
            raise TokenUnavailableError("token.command", f"ended with status {done.returncode}", where=name)
        return _checked(done.stdout.decode("ascii", "replace"), name, self.now())


@dataclass
class RefreshedToken:
    """An OpenID Connect service gives an access token for the refresh token of a file; both stay in memory.

    A service that renews the refresh token at each use has its newest one in this process only: then one process at a time
    may use it. A file that changes (the person signed in again) counts at once.
    """

    endpoint: str
    refresh_token_file: Path
    client_id: str
    client_secret: Callable[[], str] = field(default=lambda: "", repr=False)
    authorities: Path | None = None
    timeout_seconds: float = 10.0
    now: Callable[[], float] = time.time
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _signed_in: str = field(default="", init=False, repr=False)
    _refresh: str = field(default="", init=False, repr=False)
    _access: str = field(default="", init=False, repr=False)
    _good_until: float = field(default=0.0, init=False)
    _is_over: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise TokenUnavailableError("token.endpoint", "must be https", where="endpoint")

    def __call__(self) -> str:
        """The token of this moment: the one held while it lasts, else a new one."""
        with self._lock:
            self._look_at_file()
            if self._is_over:
                raise SessionEndedError("token.signed-out", "the person must sign in again", where="refresh_token_file")
            if not self._access or self.now() >= self._good_until - _MARGIN_SECONDS:
                self._renew()
            return self._access

    def _look_at_file(self) -> None:
        try:
            signed_in = self.refresh_token_file.read_text(encoding="ascii", errors="replace").strip()
        except OSError as error:
            raise TokenUnavailableError("token.unreadable", type(error).__name__, where=self.refresh_token_file.name) from None
        if signed_in != self._signed_in:
            self._signed_in = self._refresh = signed_in
            self._access, self._is_over = "", False

    def _renew(self) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh, "client_id": self.client_id}
        if secret := self.client_secret():
            form["client_secret"] = secret
        status, answer = self._ask(urlencode(form).encode("ascii"))
        if status == 400 and answer.get("error") == "invalid_grant":
            self._is_over, self._access = True, ""
            raise SessionEndedError("token.signed-out", "the refresh token is dead", where="refresh_token_file")
        if status != 200:
            raise TokenUnavailableError("token.service", f"the sign-in service answered {status}", where="endpoint")
        self._access = _checked(str(answer.get("access_token", "")), "endpoint", self.now())
        lasts = answer.get("expires_in")
        self._good_until = self.now() + (float(lasts) if isinstance(lasts, int | float) else 60.0)
        self._refresh = str(answer.get("refresh_token") or self._refresh)

    def _ask(self, body: bytes) -> tuple[int, dict[str, Any]]:
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=client_context(self.authorities)), _NoRedirect())
        request = Request(self.endpoint, body, {"Accept": "application/json"})  # noqa: S310 - the scheme is checked above
        try:
            with opener.open(request, timeout=self.timeout_seconds) as answer:
                return answer.status, _json(answer.read(_LONGEST))
        except HTTPError as error:
            with error:
                return error.code, _json(error.read(_LONGEST))
        except (OSError, HTTPException, ssl.SSLError) as error:
            raise TokenUnavailableError("token.service", type(error).__name__, where="endpoint") from None


class _NoRedirect(HTTPRedirectHandler):
    """A refresh token goes to the service that was configured, nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Never."""
        return


def _checked(text: str, where: str, now: float) -> str:
    token = text.strip()
    if not token or len(token) > _LONGEST or not _TOKEN.fullmatch(token):
        raise TokenUnavailableError("token.unusable", "empty, or not the characters of a token", where=where)
    if now >= _end_of(token):
        raise TokenUnavailableError("token.ended", "the token is no longer valid", where=where)
    return token


def _end_of(token: str) -> float:
    """When a JWT says that it ends; never, for a token that is none: the server judges it."""
    parts = token.split(".")
    if len(parts) != 3:
        return float("inf")
    try:
        ends = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))).get("exp")
    except (ValueError, AttributeError):
        return float("inf")
    return float(ends) if isinstance(ends, int | float) else float("inf")


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
