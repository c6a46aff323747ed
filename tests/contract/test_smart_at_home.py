"""Our SMART client at our own token endpoint: discovery, the token, the resource behind it, a key replaced on both sides."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapter.channels.fhir_wire import FhirWire, SharedRecordSettings
from adapter.channels.smart_client import SmartSettings
from adapter.model.publication import Readers
from adapter.web.app import Health, build_app
from adapter.web.fhir_http import BodyLimits
from adapter.web.import_access import ImportSettings
from adapter.web.import_api import import_router
from adapter.web.smart import ApiClient, read_scopes
from tests.builders.directory import territory
from tests.builders.import_client import Keys
from tests.builders.ledger import ENTITY, World
from tests.servers.ports import free_port

pytestmark = pytest.mark.contract


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "soft.jwks.json")
    made.add("k1")
    return made


@pytest.fixture
def base(world: World, keys: Keys) -> Iterator[str]:
    """The import API of an empty instance, served on loopback."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/fhir"
    client = ApiClient("soft", Readers(ENTITY, ("cab-1",)), read_scopes(["system/DocumentReference.rs"]), keys.path, 100_000)
    settings = ImportSettings(address, ZoneInfo("Europe/Paris"), BodyLimits(1_000_000))
    router = import_router((client,), world.ledger, territory, settings, clock=world.clock, count=lambda *_: None)
    app = build_app([router], health=lambda: Health(True), metrics=lambda: b"", version="0")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, name="import-api", daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the API does not start"
        time.sleep(0.01)
    yield address
    server.should_exit = True
    thread.join(20)


def write(path: Path, key: Any) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def wire(base: str, file: Path, kid: str, clock: Callable[[], Any]) -> FhirWire:
    smart = SmartSettings("soft", file, kid, "system/DocumentReference.rs")
    ids = count()
    return FhirWire(SharedRecordSettings(base, smart=smart), clock, lambda: f"{kid}-{next(ids)}")


def test_a_token_of_ours_opens_what_our_door_gives(world: World, keys: Keys, base: str, tmp_path: Path) -> None:
    line = wire(base, write(tmp_path / "k", keys.private["k1"]), "k1", world.clock)
    for _ in range(3):
        assert line.ask("GET", f"{base}/DocumentReference", query={"status": "current"}).status == 200
        world.clock.advance(seconds=timedelta(minutes=4).total_seconds())  # each time another token, with another jti


@pytest.mark.parametrize("kind", ["RSA", "EC"])
def test_a_key_is_replaced_without_a_pause(world: World, keys: Keys, base: str, tmp_path: Path, kind: str) -> None:
    old = wire(base, write(tmp_path / "k", keys.private["k1"]), "k1", world.clock)
    assert old.ask("GET", f"{base}/DocumentReference").status == 200
    keys.add("k2", kind)
    new = wire(base, write(tmp_path / "k2", keys.private["k2"]), "k2", world.clock)
    assert new.ask("GET", f"{base}/DocumentReference").status == 200
    keys.remove("k1")
    with pytest.raises(PermissionError):
        old.ask("GET", f"{base}/DocumentReference")
    assert new.ask("GET", f"{base}/DocumentReference").status == 200
