"""Which client of the record calls: a bearer token of a file, compared in the same time whatever it is.

Law: seam 11. There is no anonymous caller, not even on this machine: what a client sees depends on who it is.
`AccessTokens` is the way in for tokens that another part verified (SMART Backend Services): a name, or None.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Request

from adapter.model.confidential import Confidential
from adapter.record.rights import Client
from adapter.web.fhir_http import unauthorised

# From a bearer token to the name of the client that it was issued to; None when it is not one of theirs, or no longer good.
AccessTokens = Callable[[str], str | None]


@dataclass(frozen=True, repr=False)
class KnownClient(Confidential):
    """A client and its secret; empty when it comes with access tokens only."""

    client: Client
    secret: str


class RecordCallers:
    """Recognises the record's clients."""

    def __init__(self, known: Sequence[KnownClient], access_tokens: AccessTokens = lambda _: None) -> None:
        self._digests = [(_digest(one.secret), one.client) for one in known if one.secret]
        self._by_name = {one.client.name: one.client for one in known}
        self._access_tokens = access_tokens

    def client_of(self, request: Request) -> Client:
        """The client; 401 otherwise."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorised()
        digest = _digest(token)
        # No early exit: the time must not tell how many secrets were looked at.
        found = [client for known, client in self._digests if hmac.compare_digest(known, digest)]
        if found:
            return found[0]
        named = self._by_name.get(self._access_tokens(token) or "")
        if named is None:
            raise unauthorised()
        return named


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
