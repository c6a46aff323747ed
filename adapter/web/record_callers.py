"""Which client of the record calls: a bearer token of a file, compared in the same time whatever it is.

Law: seam 11; SMART Backend Services (`web.smart`): an access token says who and which scopes. There is no anonymous caller, not
even on this machine: what a client sees depends on who it is. A scope narrows what the kind of client may do, it never widens it.
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
from adapter.web.smart import Caller

# From an access token to whom it was given; None when it is none of ours, or no longer good.
AccessTokens = Callable[[str], Caller | None]
Grants = Callable[[str, str], bool]


@dataclass(frozen=True)
class Known:
    """Who calls, and whether its token grants an interaction (c, r, u, s) on a type."""

    client: Client
    grants: Grants = lambda _kind, _letter: True


@dataclass(frozen=True, repr=False)
class KnownClient(Confidential):
    """A client and its secret; empty when it comes with access tokens."""

    client: Client
    secret: str


class RecordCallers:
    """Recognises the record's clients."""

    def __init__(self, known: Sequence[KnownClient], access_tokens: AccessTokens) -> None:
        self._digests = [(_digest(one.secret), one.client) for one in known if one.secret]
        self._by_name = {one.client.name: one.client for one in known}
        self._access_tokens = access_tokens

    def caller_of(self, request: Request) -> Known:
        """The client; 401 otherwise."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorised()
        digest = _digest(token)
        # No early exit: the time must not tell how many secrets were looked at.
        found = [client for known, client in self._digests if hmac.compare_digest(known, digest)]
        if found:
            return Known(found[0])
        caller = self._access_tokens(token)
        named = self._by_name.get(caller.client.name) if caller is not None else None
        if caller is None or named is None:
            raise unauthorised()
        return Known(named, caller.may)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
