"""Who calls over HTTP: a bearer token from a file, or anybody on this very machine when there is no token at all.

Law: seam 11. Every comparison takes the same time, whatever the token. A request that came through a proxy is not from this
machine, even if the proxy is: without tokens it is turned away.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request

from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Principal

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "via")

# Anybody on loopback needs no token, a browser's page from elsewhere is not anybody.
BROWSER_HEADER = "origin"


@dataclass(frozen=True, repr=False)
class Token(Confidential):
    """A caller's name, its secret and the legal entity that it speaks for."""

    name: str
    secret: str
    legal_entity: str


class Callers:
    """Recognises callers. `refuse` makes the error that the door turns into an answer."""

    def __init__(
        self, tokens: Sequence[Token], loopback_legal_entity: str, refuse: Callable[[HTTPStatus, Finding], Exception]
    ) -> None:
        self._digests = [(_digest(token.secret), token) for token in tokens]
        self._loopback = Principal("loopback", "loopback", loopback_legal_entity)
        self._refuse = refuse

    def authenticate(self, request: Request) -> Principal:
        """The principal of this request, or the door's refusal (401, 403)."""
        if not self._digests:
            return self._anonymous(request)
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        digest = _digest(presented.strip())
        # No early exit: the time must not tell how many tokens were looked at.
        found = [token for known, token in self._digests if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise self._refuse(
                HTTPStatus.UNAUTHORIZED,
                Finding(
                    Severity.ERROR, "http.unknown-caller", "Jeton absent ou inconnu.", "Authorization", "Joindre un jeton Bearer."
                ),
            )
        return Principal(found[0].name, "token", found[0].legal_entity)

    def _anonymous(self, request: Request) -> Principal:
        relayed = any(header in request.headers for header in (*PROXY_HEADERS, BROWSER_HEADER))
        if relayed or not (request.client and _is_loopback(request.client.host)):
            raise self._refuse(
                HTTPStatus.FORBIDDEN,
                Finding(Severity.ERROR, "http.not-local", "Sans jeton, seul un appel depuis cette machine est admis."),
            )
        return self._loopback


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
