"""The record's traces as AuditEvents: searched by date, client, resource and patient, newest first, for the administrator."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from adapter.audit.audit_event import audit_event
from adapter.errors import InputError
from adapter.fhir.search import DateValue, Kind, Parameter, Prefix, Query, Reference, SearchRules, parameters, read_query
from adapter.record.capability import AUDIT_PARAMETERS
from adapter.record.rights import Client
from adapter.record.shelf import Shelf
from adapter.web import fhir_http as web

_RULES = SearchRules(parameters(*(Parameter(name, kind) for name, kind, _ in AUDIT_PARAMETERS)), ("-date",))
_EVER = datetime(1800, 1, 1, tzinfo=UTC)
_FOREVER = datetime(2201, 1, 1, tzinfo=UTC)


class AuditReader:
    """Reads one record's traces."""

    def __init__(self, shelf: Shelf, observer: str) -> None:
        self._shelf = shelf
        self._observer = observer

    def read(self, client: Client, event_id: str) -> dict[str, Any]:
        """One event; 404 when there is none."""
        if not (event_id.isascii() and event_id.isdigit() and len(event_id) <= 18):
            raise web.not_found()
        found = self._shelf.audited(client, {}, None, int(event_id) + 1, 1)
        if not found or found[0].number != int(event_id):
            raise web.not_found()
        return audit_event(found[0], observer=self._observer)

    def search(self, client: Client, pairs: Sequence[tuple[str, str]], base: str, strict: bool) -> dict[str, Any]:
        """A page of events."""
        query = read_query(pairs, _RULES, strict=strict)
        scope = f"record:{client.legal_entity}:{client.name}:AuditEvent"
        after = 0
        if query.page:
            told = self._shelf.page_tokens().read(scope, query.page)
            after, kept = int(told["after"]), [(str(name), str(value)) for name, value in told["pairs"]]
            query = read_query(kept, _RULES)
        else:
            kept = list(pairs)
        rows = self._shelf.audited(client, _columns(query), _between(query), after, query.count + 1)
        shown = rows[: query.count]
        following = ""
        if len(rows) > query.count > 0:
            token = self._shelf.page_tokens().issue(scope, {"pairs": [list(p) for p in kept], "after": shown[-1].number})
            following = f"{base}/AuditEvent?{urlencode({'_page': token})}"
        found = [web.Found(f"{base}/AuditEvent/{row.number}", audit_event(row, observer=self._observer)) for row in shown]
        self_url = f"{base}/AuditEvent" + (f"?{urlencode(pairs)}" if pairs else "")
        return web.searchset(found, self_url=self_url, next_url=following, ignored=query.ignored)


def _columns(query: Query) -> dict[str, str]:
    """Column conditions; each of these parameters once, with one value."""
    columns = {}
    for criterion in query.criteria:
        if criterion.kind is Kind.DATE:
            continue
        if len(criterion.values) > 1 or criterion.name in columns:
            raise InputError("search.repeated", "Une seule valeur est prise en charge ici.", where=criterion.name)
        value = criterion.values[0]
        columns[criterion.name] = f"{value.kind}/{value.id}" if isinstance(value, Reference) else str(value)
    return columns


def _between(query: Query) -> tuple[datetime, datetime] | None:
    """All dates asked for, as one stretch."""
    start, end = _EVER, _FOREVER
    for criterion in query.named("date"):
        value = criterion.values[0]
        if len(criterion.values) > 1 or not isinstance(value, DateValue):
            raise InputError("search.repeated", "Une seule valeur est prise en charge ici.", where="date")
        match value.prefix:
            case Prefix.EQUAL:
                start, end = max(start, value.span.start), min(end, value.span.end)
            case Prefix.FROM:
                start = max(start, value.span.start)
            case Prefix.AFTER | Prefix.STARTS_AFTER:
                start = max(start, value.span.end)
            case Prefix.BEFORE | Prefix.ENDS_BEFORE:
                end = min(end, value.span.start)
            case Prefix.UNTIL:
                end = min(end, value.span.end)
            case Prefix.NOT_EQUAL | Prefix.ABOUT:
                raise InputError("search.bad-date", "Ce préfixe n’est pas pris en charge ici.", where="date")
    return (start, end) if query.named("date") else None
