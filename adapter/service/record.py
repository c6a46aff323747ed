"""From the configuration to the built-in record's routes; none when it is off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from fastapi import APIRouter

from adapter import __version__
from adapter.assembly import Instance
from adapter.config import Config, Mode
from adapter.config.settings import RecordClientKind
from adapter.fhir.search import PageTokens
from adapter.formats.fhir import FhirLimits
from adapter.ledger.ledger import Ledger
from adapter.model.publication import Readers
from adapter.opening import now
from adapter.record.deposit import Policy
from adapter.record.rights import Client, ClientKind
from adapter.record.shelf import Shelf
from adapter.web.fhir_http import RateLimit
from adapter.web.record_api import RecordSite, record_router
from adapter.web.record_callers import KnownClient, RecordCallers
from adapter.web.record_smart import RecordSmart
from adapter.web.smart import ApiClient, Caller, SmartServer

# What a kind of client may be granted at most; what it does with it is the record's own judgement.
_LETTERS = {
    RecordClientKind.FEEDER: "crus",
    RecordClientKind.PROFESSIONAL: "rs",
    RecordClientKind.PATIENT: "rs",
    RecordClientKind.ADMINISTRATOR: "crs",
}


def record_routes(instance: Instance, count: Callable[[str], None]) -> list[APIRouter]:
    """The router of the record, if this instance has one."""
    config = instance.config
    settings = config.record
    if not settings.enabled:
        return []
    policy = Policy(config.instance.mode is Mode.PRODUCTION, settings.needs_consent, settings.public_url.rstrip("/"))
    ledger = instance.ledger
    tokens = PageTokens(ledger.seal_token, ledger.open_token)
    shelf = Shelf(ledger.record, tokens, policy, FhirLimits(max_bytes=settings.max_body_bytes))
    site = RecordSite(config.instance.name, __version__, now(), settings.public_url, settings.max_body_bytes)
    rate = RateLimit(settings.calls_per_minute, time.monotonic)
    smart = _smart(config, ledger)
    callers = RecordCallers(known_clients(config), smart.caller_of if smart is not None else _no_access_tokens)
    pages = RecordSmart(smart, settings.public_url.rstrip("/"), _smart_clients(config)) if smart is not None else None
    return [record_router(shelf, callers, site, rate, smart=pages, count=count)]


def _no_access_tokens(_token: str) -> Caller | None:
    return None


def _smart(config: Config, ledger: Ledger) -> SmartServer | None:
    """Who gives access tokens; nobody when no client has keys."""
    clients = _smart_clients(config)
    if not clients:
        return None
    token_url = f"{config.record.public_url.rstrip('/')}/auth/token"
    return SmartServer(clients, ledger, token_url, clock=now, sealed_for="record-access")


def _smart_clients(config: Config) -> list[ApiClient]:
    limit = config.record.calls_per_minute
    return [
        ApiClient(one.name, Readers(one.legal_entity, ()), {"*": _LETTERS[one.kind]}, one.keys, limit)
        for one in config.record.clients
        if one.keys is not None
    ]


def known_clients(config: Config) -> list[KnownClient]:
    """The record's clients with their secrets, read now."""
    return [
        KnownClient(
            Client(one.name, ClientKind(one.kind.value), one.legal_entity, one.organisation, one.reads.value),
            one.token.read(os.environ) if one.token is not None else "",
        )
        for one in config.record.clients
    ]
