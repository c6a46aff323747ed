"""Access tokens by SMART Backend Services: a signed assertion (`private_key_jwt`) against a short token, kept in memory only.

Law: SMART App Launch 2 §backend services; RFC 6749 §4.4, RFC 7523. The key is a file, read for each assertion: replacing it is
rotating it. A token serves until 30 seconds before its end; a 401 throws it away once. The token endpoint is configured, or found
at `.well-known/smart-configuration` of the record, over https (or on the record's own origin, for a sandbox on loopback).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
# The norm allows five minutes at most; ours is used at once.
_ASSERTION_LIFE = timedelta(minutes=3)
_MARGIN = timedelta(seconds=30)
# For a server that does not say how long its token lives.
_SHORT_LIFE_SECONDS = 60.0
# No token is trusted longer, whatever its server says.
_LONGEST_LIFE_SECONDS = 86_400.0

Exchange = Callable[[str, str, bytes | None, Mapping[str, str]], tuple[int, bytes]]


@dataclass(frozen=True)
class SmartSettings:
    """Who we are to the authorization server. `key_file` is a PEM private key: RSA (RS384) or EC P-384 (ES384); `kid` names it.

    `token_endpoint` empty: the record's own configuration tells it.
    """

    client_id: str
    key_file: Path
    kid: str
    scope: str
    token_endpoint: str = ""


@dataclass(frozen=True, repr=False)
class _Held:
    """A token in memory, and when it must not be used any more."""

    value: str
    until: datetime


class SmartClient:
    """Gives the token of now, asking for one when there is none. Safe to share between threads: one asks, the others wait."""

    def __init__(
        self,
        settings: SmartSettings,
        base_url: str,
        exchange: Exchange,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._base_url = base_url.rstrip("/")
        self._exchange = exchange
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._endpoint = settings.token_endpoint

    def token(self) -> str:
        """A token that serves now. PermissionError when the server refuses us, ConnectionError or TimeoutError when it cannot be
        asked, another OSError when our key cannot be read.
        """
        with self._lock:
            if self._held is None or self._clock() >= self._held.until:
                self._held = self._ask()
            return self._held.value

    def refused(self, token: str) -> bool:
        """The record does not take this token: True, another one is worth a try."""
        with self._lock:
            if self._held is not None and self._held.value == token:
                self._held = None
            return True

    def _ask(self) -> _Held:
        endpoint = self._endpoint or self._discovered()
        form = {
            "grant_type": "client_credentials",
            "scope": self._settings.scope,
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": self._assertion(endpoint),
        }
        asked_at = self._clock()
        status, body = self._exchange("POST", endpoint, urlencode(form).encode(), _FORM)
        if status == 429 or status >= 500:
            raise ConnectionError(f"the token endpoint answers {status}")
        told = _json(body)
        token = told.get("access_token")
        if status != 200 or not isinstance(token, str) or not token or str(told.get("token_type", "")).lower() != "bearer":
            # The endpoint may have moved, and be told anew.
            self._endpoint = self._settings.token_endpoint
            raise PermissionError(f"the token endpoint answers {status}")
        self._endpoint = endpoint
        return _Held(token, asked_at + timedelta(seconds=_life_seconds(told)) - _MARGIN)

    def _discovered(self) -> str:
        status, body = self._exchange(
            "GET", f"{self._base_url}/.well-known/smart-configuration", None, {"Accept": "application/json"}
        )
        if status != 200:
            raise ConnectionError(f"the record's SMART configuration answers {status}")
        endpoint = _json(body).get("token_endpoint")
        if not isinstance(endpoint, str) or not _may_see_assertion(endpoint, self._base_url):
            raise PermissionError("the record names no token endpoint that may be trusted")
        return endpoint

    def _assertion(self, endpoint: str) -> str:
        key, algorithm = _read_key(self._settings.key_file)
        now, who = self._clock(), self._settings.client_id
        claims = {
            "iss": who,
            "sub": who,
            "aud": endpoint,
            "jti": self._new_id(),
            "iat": int(now.timestamp()),
            "exp": int((now + _ASSERTION_LIFE).timestamp()),
        }
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": self._settings.kid})


def _read_key(path: Path) -> tuple[Any, str]:
    """The key as it is now, and its algorithm; PermissionError for a key that SMART does not take."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise PermissionError(f"the key of the token endpoint cannot be read ({type(error).__name__})") from error
    if isinstance(key, RSAPrivateKey) and key.key_size >= 2048:
        return key, "RS384"
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP384R1):
        return key, "ES384"
    raise PermissionError("the key of the token endpoint must be RSA (2048 bits at least) or EC P-384")


def _may_see_assertion(endpoint: str, base_url: str) -> bool:
    there, here = urlsplit(endpoint), urlsplit(base_url)
    return there.scheme == "https" or (there.scheme, there.netloc) == (here.scheme, here.netloc)


def _life_seconds(told: Mapping[str, Any]) -> float:
    life: Any = told.get("expires_in")
    is_told = isinstance(life, int | float) and not isinstance(life, bool) and life > 0
    return float(min(life, _LONGEST_LIFE_SECONDS)) if is_told else _SHORT_LIFE_SECONDS


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
