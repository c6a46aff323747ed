"""Our token of SMART Backend Services: asked once, renewed in time, thrown away when refused, never shown elsewhere."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapter.channels.fhir_wire import FhirWire, SharedRecordSettings
from adapter.channels.shared_record import SharedRecordChannel
from adapter.channels.smart_client import SmartSettings
from adapter.model.delivery import OutcomeKind
from tests.contract.test_shared_record_channel import parcel
from tests.servers.fhir_fault_server import FaultServer, Success
from tests.servers.token_server import Said, TokenServer

pytestmark = pytest.mark.contract
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP384R1()),
        "small": rsa.generate_private_key(65537, 1024),
        "p256": ec.generate_private_key(ec.SECP256R1()),
    }


@pytest.fixture
def clock() -> Clock:
    return Clock()


def write(path: Path, key: Any) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def public(keys: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: keys[name].public_key() for name in names}


def wire(server: TokenServer, key_file: Path, kid: str, clock: Clock, endpoint: str = "") -> FhirWire:
    smart = SmartSettings("traitdunion", key_file, kid, "system/*.cruds", endpoint)
    ids = count()
    return FhirWire(SharedRecordSettings(server.base_url, smart=smart), clock, lambda: f"jti-{next(ids)}")


def asked(server: TokenServer) -> int:
    return sum(path == "/token" for _, path, _ in server.seen)


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS384"), ("ec", "ES384")])
def test_the_assertion_is_what_the_norm_says(
    tmp_path: Path, keys: dict[str, Any], clock: Clock, kid: str, algorithm: str
) -> None:
    with TokenServer(public(keys, kid)) as server:
        assert wire(server, write(tmp_path / "k", keys[kid]), kid, clock).ask("GET", f"{server.base_url}/metadata").status == 200
        (told,) = server.asked
    assert (told["iss"], told["sub"], told["aud"], told["scope"]) == (
        "traitdunion",
        "traitdunion",
        server.endpoint,
        "system/*.cruds",
    )
    assert (told["alg"], told["kid"], told["jti"]) == (algorithm, kid, "jti-0")
    assert 0 < told["exp"] - told["iat"] <= 300
    assert server.seen[-1][2] == "token-1"


def test_a_token_serves_until_thirty_seconds_before_its_end(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec"), expires_in=300) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        for seconds, tokens in ((0, 1), (269, 1), (270, 2), (539, 2), (540, 3)):
            clock.now = START + timedelta(seconds=seconds)
            line.ask("GET", f"{server.base_url}/metadata")
            assert len(server.tokens) == tokens, seconds


@pytest.mark.parametrize("life", [1e30, float("inf")])
def test_a_life_beyond_all_measure_is_a_day(tmp_path: Path, keys: dict[str, Any], clock: Clock, life: float) -> None:
    with TokenServer(public(keys, "ec"), expires_in=life) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        for hours, tokens in ((0, 1), (23, 1), (24, 2)):
            clock.now = START + timedelta(hours=hours)
            line.ask("GET", f"{server.base_url}/metadata")
            assert len(server.tokens) == tokens


@pytest.mark.parametrize("life", [None, 0, -5, "300", True])
def test_a_life_that_is_not_told_is_short(tmp_path: Path, keys: dict[str, Any], clock: Clock, life: Any) -> None:
    with TokenServer(public(keys, "ec"), expires_in=life) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        line.ask("GET", f"{server.base_url}/metadata")
        clock.now = START + timedelta(seconds=31)
        line.ask("GET", f"{server.base_url}/metadata")
        assert len(server.tokens) == 2


def test_a_refused_token_is_thrown_away_once(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec")) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        assert line.ask("GET", f"{server.base_url}/metadata").status == 200
        server.revoke()
        assert line.ask("GET", f"{server.base_url}/metadata").status == 200
        assert len(server.tokens) == 2
        server.opens = lambda token: False  # type: ignore[method-assign]
        assert line.ask("GET", f"{server.base_url}/metadata").status == 401
        assert len(server.tokens) == 3  # once, not for ever


def test_a_key_replaced_on_disk_signs_the_next_assertion(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    file = write(tmp_path / "k", keys["ec"])
    with TokenServer({"one": keys["ec"].public_key()}) as server:
        line = wire(server, file, "one", clock)
        line.ask("GET", f"{server.base_url}/metadata")
        write(file, keys["rsa"])
        server.keys["one"] = keys["rsa"].public_key()
        server.revoke()
        assert line.ask("GET", f"{server.base_url}/metadata").status == 200
        assert [one["alg"] for one in server.asked] == ["ES384", "RS384"]


def test_many_threads_ask_for_one_token(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec")) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        threads = [threading.Thread(target=line.ask, args=("GET", f"{server.base_url}/metadata")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert (asked(server), len(server.tokens)) == (1, 1)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (Said(400, {"error": "invalid_client"}), "auth-refused"),
        (Said(401), "auth-refused"),
        (Said(200, {"access_token": "", "token_type": "bearer"}), "auth-refused"),
        (Said(200, {"access_token": "x", "token_type": "mac"}), "auth-refused"),
        (Said(200, raw=b"<html>portal</html>"), "auth-refused"),
        (Said(302), "auth-refused"),
        (Said(429), "connect-failed"),
        (Said(503), "connect-failed"),
    ],
)
def test_without_a_token_nothing_leaves_and_it_is_tried_again(
    tmp_path: Path, keys: dict[str, Any], clock: Clock, said: Said, cause: str
) -> None:
    with TokenServer(public(keys, "ec"), said) as server:
        smart = SmartSettings("traitdunion", write(tmp_path / "k", keys["ec"]), "ec", "system/*.cruds")
        record = SharedRecordChannel(SharedRecordSettings(server.base_url, smart=smart), clock=clock)
        got = record.send(parcel())
        assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, cause)
        assert not [one for one in server.seen if one[1] == "/fhir"]


@pytest.mark.parametrize("name", ["small", "p256", "absent", "rubbish"])
def test_a_key_that_the_norm_does_not_take_sends_nothing(tmp_path: Path, keys: dict[str, Any], clock: Clock, name: str) -> None:
    file = tmp_path / "k"
    if name in keys:
        write(file, keys[name])
    elif name == "rubbish":
        file.write_text("not a key")
    with TokenServer({}) as server:
        smart = SmartSettings("traitdunion", file, "k", "system/*.cruds")
        got = SharedRecordChannel(SharedRecordSettings(server.base_url, smart=smart), clock=clock).send(parcel())
        assert (got.kind, got.cause) == (OutcomeKind.DEFERRED, "auth-refused")
        assert asked(server) == 0


def test_an_endpoint_that_is_not_https_elsewhere_never_sees_the_assertion(
    tmp_path: Path, keys: dict[str, Any], clock: Clock
) -> None:
    with TokenServer({}) as thief, TokenServer(public(keys, "ec"), endpoint=thief.endpoint) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        with pytest.raises(PermissionError, match="token endpoint"):
            line.ask("GET", f"{server.base_url}/metadata")
        assert thief.seen == []


def test_a_configured_endpoint_needs_no_discovery(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec")) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock, server.endpoint)
        line.ask("GET", f"{server.base_url}/metadata")
        assert not [path for _, path, _ in server.seen if "well-known" in path]


def test_the_token_is_for_the_record_alone(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec")) as server, FaultServer(Success()) as sandbox:
        smart = SmartSettings("traitdunion", write(tmp_path / "k", keys["ec"]), "ec", "system/*.cruds")
        record = SharedRecordChannel(SharedRecordSettings(server.base_url, smart=smart), clock=clock)
        assert record.send(parcel(address=sandbox.base_url)).kind is OutcomeKind.ACCEPTED
        assert "Authorization" not in sandbox.requests[0][2]
        assert server.seen == []


def test_neither_key_nor_token_is_in_what_is_printed(tmp_path: Path, keys: dict[str, Any], clock: Clock) -> None:
    with TokenServer(public(keys, "ec")) as server:
        line = wire(server, write(tmp_path / "k", keys["ec"]), "ec", clock)
        line.ask("GET", f"{server.base_url}/metadata")
        shown = "".join(repr(value) for value in (line, *vars(line).values()))
    assert "token-1" not in shown
