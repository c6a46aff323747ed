"""The built-in record served by uvicorn on loopback, over a ledger of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from adapter.ledger.ledger import Ledger
from adapter.web.app import Health, build_app
from adapter.web.fhir_http import RateLimit
from adapter.web.record_api import BASE_PATH, RecordSite, record_router
from adapter.web.record_callers import KnownClient, RecordCallers
from adapter.web.record_smart import RecordSmart
from adapter.web.smart import SmartServer
from tests.builders.ledger import START
from tests.builders.record import CLIENTS, secret_of, shelf_of
from tests.servers.ports import free_port


def record_app(
    ledger: Ledger,
    *,
    calls_per_minute: int = 100_000,
    max_body_bytes: int = 5_000_000,
    needs_consent: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    smart: SmartServer | None = None,
    pages: RecordSmart | None = None,
) -> FastAPI:
    """The application with the record and the clients of the builders; by `smart` they get access tokens too."""
    known = [KnownClient(client, secret_of(client)) for client in CLIENTS]
    callers = RecordCallers(known, smart.caller_of) if smart is not None else RecordCallers(known, lambda _: None)
    site = RecordSite("essai", "0", START, max_body_bytes=max_body_bytes)
    shelf = shelf_of(ledger, needs_consent=needs_consent)
    router = record_router(shelf, callers, site, RateLimit(calls_per_minute, monotonic), smart=pages)
    return build_app([router], health=lambda: Health(True), metrics=lambda: b"", version="0")


@contextmanager
def record_server(ledger: Ledger) -> Iterator[str]:
    """Its base address while in the block."""
    port = free_port()
    config = uvicorn.Config(record_app(ledger), host="127.0.0.1", port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="record", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the record does not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}{BASE_PATH}"
    finally:
        server.should_exit = True
        thread.join(20)
