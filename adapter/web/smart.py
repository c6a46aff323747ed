"""SMART Backend Services: a client proves who it is by a signed assertion, and gets a short-lived token.

Law: SMART App Launch 2.2 (backend services, `private_key_jwt`), RFC 7523, RFC 6749 §5.2. RS384 and ES384 only. An assertion is
good for five minutes, once (`jti`, in the ledger: for all processes). A token is sealed by the ledger's key, so any process
reads it; it falls with its client, with the key that asked for it, or with a scope that is taken away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from adapter.errors import TduError
from adapter.ledger.ledger import Ledger
from adapter.model.confidential import Confidential
from adapter.model.publication import Readers

log = structlog.get_logger()

ALGORITHMS = ("RS384", "ES384")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TOKEN_SECONDS = 300
LONGEST_ASSERTION = timedelta(minutes=5)
# Two clocks are never the same.
_SKEW = timedelta(seconds=30)
_LEAST_RSA_BITS = 2048
_LONGEST_TEXT = 16_384
_SEALED_FOR = "import-access"
_SCOPE = re.compile(r"system/(?P<resource>\*|[A-Z][A-Za-z]+)\.(?P<letters>(?=[cruds])c?r?u?d?s?)")
Scopes = Mapping[str, str]


@dataclass(frozen=True)
class ApiClient:
    """One client: whose documents it sees, its scopes as resource → letters, the file of its public keys."""

    name: str
    readers: Readers
    scopes: Scopes
    keys: Path
    calls_per_minute: int


@dataclass(frozen=True)
class Caller:
    """A client that showed a good token, with what that token may do."""

    client: ApiClient
    scopes: Scopes

    @property
    def name(self) -> str:
        """Its name in audit rows."""
        return f"client:{self.client.name}"

    def may(self, resource: str, letter: str) -> bool:
        """Whether one interaction (c, r, u, d, s) on a type is granted."""
        return letter in self.scopes.get(resource, "") or letter in self.scopes.get("*", "")


class TokenRefusedError(Exception):
    """No token: the OAuth error word, and a sentence without a value of the request."""

    def __init__(self, error: str, text: str, status: HTTPStatus = HTTPStatus.UNAUTHORIZED) -> None:
        super().__init__(error)
        self.error = error
        self.text = text
        self.status = status


@dataclass(frozen=True, repr=False)
class TokenAnswer(Confidential):
    """A token given, with what it may do."""

    token: str
    scope: str

    def as_json(self) -> dict[str, Any]:
        """RFC 6749 §5.1."""
        return {"access_token": self.token, "token_type": "bearer", "expires_in": TOKEN_SECONDS, "scope": self.scope}


# ── scopes ────────────────────────────────────────────────────────────────────────────────────────────────────


def read_scopes(written: Iterable[str]) -> dict[str, str]:
    """Scopes as resource → letters; what is no SMART v2 system scope is left out."""
    found: dict[str, str] = {}
    for word in written:
        match = _SCOPE.fullmatch(word)
        if match is not None:
            letters = found.get(match["resource"], "") + match["letters"]
            found[match["resource"]] = "".join(letter for letter in "cruds" if letter in letters)
    return found


def granted_scopes(asked: Scopes, allowed: Scopes) -> dict[str, str]:
    """What both say: never more than is asked, nor than is allowed."""
    granted: dict[str, str] = {}
    for resource in sorted({*asked, *allowed}):
        wanted = asked.get(resource, "") + asked.get("*", "")
        open_to = allowed.get(resource, "") + allowed.get("*", "")
        letters = "".join(letter for letter in "cruds" if letter in wanted and letter in open_to)
        if letters:
            granted[resource] = letters
    return granted


def written_scopes(scopes: Scopes) -> str:
    """As a token's answer says it."""
    return " ".join(f"system/{resource}.{letters}" for resource, letters in sorted(scopes.items()))


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ClientKey:
    """One public key of a client; `thumbprint` (RFC 7638) says which one asked for a token."""

    id: str
    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey
    thumbprint: str


class KeyFile:
    """A client's JWKS file, read again when it changes: two generations may stand in it. Without the file, no key is good."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[ClientKey, ...] = ()

    def current(self) -> tuple[ClientKey, ...]:
        """The keys of now. A file that is half written keeps those of before."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                self._keys, self._seen = read_jwks(self._path.read_bytes()), seen
        except OSError:
            self._keys, self._seen = (), None
        except ValueError as error:
            log.warning("smart.keys-unreadable", file=self._path.name, error=type(error).__name__)
        return self._keys


def read_jwks(content: bytes) -> tuple[ClientKey, ...]:
    """The usable keys of a JWKS; ValueError when it is none. Weak keys, other curves and private halves are left out."""
    told = json.loads(content)
    if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
        raise ValueError("not a JWKS")
    return tuple(key for entry in told["keys"] if (key := _client_key(entry)) is not None)


def _client_key(entry: Any) -> ClientKey | None:
    if not isinstance(entry, dict) or "d" in entry or not isinstance(entry.get("kid"), str):
        return None
    algorithm = {"RSA": "RS384", "EC": "ES384"}.get(str(entry.get("kty")), "")
    if not algorithm or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    public = key.key
    is_strong = (isinstance(public, RSAPublicKey) and public.key_size >= _LEAST_RSA_BITS) or (
        isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP384R1)
    )
    return ClientKey(entry["kid"], algorithm, public, _thumbprint(entry)) if is_strong else None


def _thumbprint(entry: Mapping[str, Any]) -> str:
    members = ("e", "kty", "n") if entry["kty"] == "RSA" else ("crv", "kty", "x", "y")
    canonical = json.dumps({name: entry[name] for name in members}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


# ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────


class SmartServer:
    """Gives tokens to clients, and knows whose a token is."""

    def __init__(
        self,
        clients: Iterable[ApiClient],
        ledger: Ledger,
        token_url: str,
        *,
        clock: Callable[[], datetime],
        sealed_for: str = _SEALED_FOR,
    ) -> None:
        """`sealed_for` names the service: a token of one is nothing to another."""
        self._sealed_for = sealed_for
        self._clients = {client.name: client for client in clients}
        self._keys = {client.name: KeyFile(client.keys) for client in self._clients.values()}
        self._ledger = ledger
        self._token_url = token_url
        self._clock = clock

    def give_token(self, form: Mapping[str, str]) -> TokenAnswer:
        """The answer to a token request; TokenRefusedError otherwise."""
        if form.get("grant_type") != "client_credentials":
            text = "grant_type doit valoir client_credentials."
            raise TokenRefusedError("unsupported_grant_type", text, HTTPStatus.BAD_REQUEST)
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            text = "Il faut client_assertion_type et client_assertion (private_key_jwt)."
            raise TokenRefusedError("invalid_request", text, HTTPStatus.BAD_REQUEST)
        client, key = self._proven(form["client_assertion"])
        scopes = granted_scopes(read_scopes(form.get("scope", "").split()), client.scopes)
        if not scopes:
            text = "Aucun des scopes demandés n’est accordé à ce client."
            raise TokenRefusedError("invalid_scope", text, HTTPStatus.BAD_REQUEST)
        ends = int(self._clock().timestamp()) + TOKEN_SECONDS
        content = {"c": client.name, "k": key.thumbprint, "s": written_scopes(scopes), "e": ends}
        sealed = self._ledger.seal_token(self._sealed_for, json.dumps(content).encode())
        return TokenAnswer(_base64(sealed), written_scopes(scopes))

    def _proven(self, assertion: str) -> tuple[ApiClient, ClientKey]:
        """Who signed, and with which key. The reason of a refusal is told, never which client or key exists."""
        client, key, claims = self._signed(assertion)
        ends = _instant(claims.get("exp"))
        now = self._clock()
        if ends is None or ends <= now - _SKEW or ends > now + LONGEST_ASSERTION + _SKEW:
            raise _bad_assertion("L’assertion est périmée, ou vaut pour plus de cinq minutes.")
        starts = _instant(claims["nbf"]) if "nbf" in claims else now
        if starts is None or starts > now + _SKEW:
            raise _bad_assertion("L’assertion ne vaut pas encore.")
        if claims.get("iss") != client.name or claims.get("sub") != client.name:
            raise _bad_assertion("iss et sub doivent être le client_id.")
        number = claims.get("jti")
        if not isinstance(number, str) or not 0 < len(number) <= 256:
            raise _bad_assertion("jti manque, ou n’est pas un texte de 1 à 256 signes.")
        if not self._ledger.spend_assertion(client.name, number, ends + _SKEW):
            raise _bad_assertion("Cette assertion a déjà servi (jti).")
        return client, key

    def _signed(self, assertion: str) -> tuple[ApiClient, ClientKey, Mapping[str, Any]]:
        if len(assertion) > _LONGEST_TEXT:
            raise _bad_assertion("L’assertion est trop longue.")
        try:
            head = jwt.get_unverified_header(assertion)
            named = jwt.decode(assertion, options={"verify_signature": False}).get("sub")
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _bad_assertion("L’assertion n’est pas un JWT lisible.") from None
        algorithm = head.get("alg")
        if algorithm not in ALGORITHMS:
            raise _bad_assertion(f"L’assertion doit être signée en {' ou '.join(ALGORITHMS)}.")
        client = self._clients.get(named) if isinstance(named, str) else None
        if client is not None:
            for key in self._keys[client.name].current():
                if key.id != head.get("kid") or key.algorithm != algorithm:
                    continue
                try:
                    claims = jwt.decode(
                        assertion,
                        key.key,
                        algorithms=[key.algorithm],
                        audience=self._token_url,
                        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_jti": False},
                    )
                except jwt.InvalidAudienceError:
                    raise _bad_assertion("aud doit être l’adresse de ce point de jetons.") from None
                except jwt.PyJWTError:
                    continue
                return client, key, claims
        raise _bad_assertion("Client inconnu, ou signature qui n’est pas celle d’une de ses clés (kid).")

    def caller_of(self, token: str) -> Caller | None:
        """Whose token this is, as long as it lasts; None otherwise."""
        try:
            told = json.loads(self._ledger.open_token(self._sealed_for, _unbase64(token)))
        except (TduError, ValueError):
            return None
        client = self._clients.get(told["c"])
        if client is None or told["e"] <= self._clock().timestamp():
            return None
        if not any(key.thumbprint == told["k"] for key in self._keys[client.name].current()):
            return None
        return Caller(client, granted_scopes(read_scopes(told["s"].split()), client.scopes))


def smart_configuration(base: str, clients: Iterable[ApiClient]) -> dict[str, Any]:
    """`.well-known/smart-configuration` of SMART 2."""
    scopes = sorted({word for client in clients for word in written_scopes(client.scopes).split()})
    return {
        "token_endpoint": f"{base}/auth/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": scopes,
        "capabilities": ["client-confidential-asymmetric", "permission-v2"],
    }


def _bad_assertion(text: str) -> TokenRefusedError:
    return TokenRefusedError("invalid_client", text)


def _instant(told: Any) -> datetime | None:
    """A NumericDate; None for what is none, or lies beyond any calendar."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told) or not 0 < told < 1e11:
        return None
    return datetime.fromtimestamp(told, UTC)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    if len(text) > _LONGEST_TEXT:
        raise ValueError("too long")
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
