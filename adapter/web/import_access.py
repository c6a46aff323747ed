"""What every call of the Import API goes through: who calls, how often, what they may, and the trace it leaves.

Law: blueprint seams 11, 13, 20. The work is done beside the event loop: the ledger waits for its disk. What a client may not see
is not there (404), so that nobody learns that it exists.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from adapter.fhir.search import PageTokens
from adapter.ledger.ledger import Ledger
from adapter.model.audit import AuditEntry
from adapter.model.confidential import Confidential
from adapter.web.fhir_http import (
    BodyLimits,
    Count,
    Handler,
    check_accept,
    fhir_route,
    forbidden,
    query_pairs,
    read_body,
    refusal,
    unauthorised,
)
from adapter.web.smart import ApiClient, Caller, SmartServer

Resource = dict[str, Any]

API_VERSION = "1.0"
VERSION_HEADER = "X-Import-API-Version"
# Calls are taken from the ledger by so many parts of a minute's worth, so that not each call writes there.
_PARTS = 20


@dataclass(frozen=True)
class ImportSettings:
    """The API's own address as clients see it, the zone of dates without one, how large a body may be."""

    base_url: str
    zone: ZoneInfo
    limits: BodyLimits


@dataclass(frozen=True, repr=False)
class Ask(Confidential):
    """One call: by whom, its parameters in the address (and form), its body, the ids of its path."""

    caller: Caller
    request: Request
    pairs: list[tuple[str, str]]
    body: bytes

    @property
    def id(self) -> str:
        """The id in the path; empty when there is none."""
        return str(self.request.path_params.get("id", ""))


class CallBudget:
    """One limit a client for all workers: each takes a part of the minute's calls from the ledger, and counts it down."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._held: dict[str, tuple[int, datetime]] = {}
        self._guard = threading.Lock()

    def take(self, client: ApiClient) -> None:
        """Count one call; 429 with Retry-After when there were too many."""
        now = self._clock()
        with self._guard:
            left, until = self._held.get(client.name, (0, datetime.min.replace(tzinfo=UTC)))
            if not left or now >= until:
                wanted = max(1, client.calls_per_minute // _PARTS)
                left, until = self._ledger.take_calls(client.name, wanted, client.calls_per_minute)
            self._held[client.name] = (max(0, left - 1), until)
        if not left:
            wait = max(1, math.ceil((until - now).total_seconds()))
            text, remedy = "Trop d’appels en une minute.", "Reprendre après le délai de Retry-After."
            raise refusal(HTTPStatus.TOO_MANY_REQUESTS, "throttled", "http.too-many", text, "", remedy, Retry_After=str(wait))


class ImportDoor:
    """Everything that the API's handlers share."""

    def __init__(
        self, ledger: Ledger, smart: SmartServer, settings: ImportSettings, *, clock: Callable[[], datetime], count: Count
    ) -> None:
        self.ledger = ledger
        self.smart = smart
        self.settings = settings
        self.clock = clock
        self.tokens = PageTokens(ledger.seal_token, ledger.open_token)
        self.budget = CallBudget(ledger, clock)
        self._count = count

    def url(self, path: str) -> str:
        """An address under the base."""
        return f"{self.settings.base_url}/{path}"

    def route(
        self,
        work: Callable[[Ask], Response],
        name: str,
        *,
        resource: str,
        letter: str,
        has_body: bool = False,
        negotiate: Callable[[Request], None] = check_accept,
    ) -> Handler:
        """A handler for one interaction on one type: only who may do it gets as far as `work`."""

        async def handle(request: Request) -> Response:
            caller = await asyncio.to_thread(self._caller, request)
            if not caller.may(resource, letter):
                text = "Le jeton n’accorde pas cette opération."
                raise forbidden("http.scope", text, f"Demander le scope system/{resource}.{letter}.")
            is_search_form = request.method == "POST" and request.url.path.endswith("/_search")
            pairs = await query_pairs(request, self.settings.limits) if is_search_form else request.query_params.multi_items()
            body = await read_body(request, self.settings.limits) if has_body else b""
            response = await asyncio.to_thread(work, Ask(caller, request, list(pairs), body))
            response.headers[VERSION_HEADER] = API_VERSION
            return response

        return fhir_route(handle, name, self._count, negotiate)

    def open_route(self, work: Callable[[Request], Response], name: str) -> Handler:
        """A handler for anybody: what the API is."""

        async def handle(request: Request) -> Response:
            response = work(request)
            response.headers[VERSION_HEADER] = API_VERSION
            return response

        return fhir_route(handle, name, self._count)

    def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        caller = self.smart.caller_of(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            raise unauthorised()
        self.budget.take(caller.client)
        return caller

    def audit(self, caller: Caller, action: str, about: str, about_id: str, detail: str = "") -> None:
        """Keep who did what, before it is answered."""
        entity = caller.client.readers.legal_entity
        self.ledger.write_audit([AuditEntry(entity, self.clock(), caller.name, action, about, about_id, detail)])
