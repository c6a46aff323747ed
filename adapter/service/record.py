"""From the configuration to the built-in record's routes; none when it is off."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from fastapi import APIRouter

from adapter import __version__
from adapter.assembly import Instance
from adapter.config import Config, Mode
from adapter.fhir.search import PageTokens
from adapter.formats.fhir import FhirLimits
from adapter.opening import now
from adapter.record.deposit import Policy
from adapter.record.rights import Client, ClientKind
from adapter.record.shelf import Shelf
from adapter.web.fhir_http import RateLimit
from adapter.web.record_api import RecordSite, record_router
from adapter.web.record_callers import KnownClient, RecordCallers


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
    return [record_router(shelf, RecordCallers(known_clients(config)), site, rate, count=count)]


def known_clients(config: Config) -> list[KnownClient]:
    """The record's clients with their secrets, read now."""
    return [
        KnownClient(
            Client(one.name, ClientKind(one.kind.value), one.legal_entity, one.organisation, one.reads.value),
            one.token.read(os.environ),
        )
        for one in config.record.clients
    ]
