"""SMART Backend Services at the record: a signed assertion gives a token; its scopes narrow what the client's kind allows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient
from jwt.algorithms import ECAlgorithm

from adapter.model.publication import Readers
from adapter.web.record_smart import RecordSmart
from adapter.web.smart import ApiClient, SmartServer
from tests.builders import record as r
from tests.builders.ledger import ENTITY, World
from tests.servers.record import record_app

pytestmark = pytest.mark.contract

BASE = "https://tdu.example.fr/record/fhir"
TOKEN_URL = f"{BASE}/auth/token"
FHIR = "application/fhir+json"


class Site:
    """A record whose feeder has a key."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.key = ec.generate_private_key(ec.SECP384R1())
        jwk = json.loads(ECAlgorithm.to_jwk(self.key.public_key())) | {"kid": "k1", "alg": "ES384", "use": "sig"}
        keys = folder / "keys.json"
        keys.write_text(json.dumps({"keys": [jwk]}), encoding="utf-8")
        clients = [ApiClient(r.FEEDER.name, Readers(ENTITY, ()), {"*": "crus"}, keys, 100)]
        self.smart = SmartServer(clients, world.ledger, TOKEN_URL, clock=world.clock, sealed_for="record-access")
        self.other = SmartServer(clients, world.ledger, TOKEN_URL, clock=world.clock)
        self.http = TestClient(record_app(world.ledger, smart=self.smart, pages=RecordSmart(self.smart, BASE, clients)))

    def assertion(self, **changes: Any) -> str:
        """What the client signs."""
        now = int(self.world.clock().timestamp())
        claims = {
            "iss": r.FEEDER.name,
            "sub": r.FEEDER.name,
            "aud": TOKEN_URL,
            "exp": now + 60,
            "jti": str(uuid.uuid4()),
            **changes,
        }
        return jwt.encode(claims, self.key, "ES384", {"kid": "k1"})

    def form(self, scope: str, assertion: str) -> dict[str, str]:
        """A token request."""
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {"grant_type": "client_credentials", "scope": scope, "client_assertion_type": kind, "client_assertion": assertion}

    def token(self, scope: str = "system/*.crus") -> str:
        """A good token."""
        answer = self.http.post("/record/fhir/auth/token", data=self.form(scope, self.assertion()))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def call(self, method: str, path: str, token: str, body: Any = None) -> httpx.Response:
        """One request with an access token."""
        said = {"Authorization": f"Bearer {token}", "Accept": FHIR, "Content-Type": FHIR}
        content = r.written(body) if body is not None else None
        return self.http.request(method, f"/record/fhir{path}", content=content, headers=said)


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    made = Site(world, tmp_path)
    with made.http:
        yield made


def test_an_access_token_opens_the_record_until_it_ends(site: Site) -> None:
    assert site.http.get("/record/fhir/.well-known/smart-configuration").json()["token_endpoint"] == TOKEN_URL
    token = site.token()
    assert site.call("POST", "", token, r.transaction(1)).status_code == 200
    site.world.clock.advance(seconds=301)
    assert site.call("GET", "/DocumentReference", token).status_code == 401


def test_a_scope_narrows_and_never_widens(site: Site) -> None:
    reading = site.token("system/DocumentReference.rs")
    assert site.call("GET", "/DocumentReference", reading).status_code == 200
    for method, path, body in (("POST", "", r.transaction(1)), ("GET", "/List", None), ("GET", "/Patient/x", None)):
        answer = site.call(method, path, reading, body)
        assert (answer.status_code, answer.json()["issue"][0]["details"]["coding"][0]["code"]) == (403, "record.scope")
    answer = site.call("GET", "/AuditEvent", site.token("system/*.rs"))
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "record.role"


def test_a_token_of_another_service_opens_nothing_here(site: Site) -> None:
    elsewhere = site.other.give_token(site.form("system/*.crus", site.assertion())).as_json()["access_token"]
    assert site.call("GET", "/DocumentReference", elsewhere).status_code == 401


@pytest.mark.parametrize("changes", [{"aud": "https://elsewhere.example"}, {"iss": "x"}, {"sub": "x"}, {"exp": 1}])
def test_a_wrong_assertion_gives_no_token_in_oauths_words(site: Site, changes: dict[str, Any]) -> None:
    answer = site.http.post("/record/fhir/auth/token", data=site.form("system/*.rs", site.assertion(**changes)))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_serves_once_and_an_unsigned_one_never(site: Site) -> None:
    assertion = site.assertion()
    codes = [site.http.post("/record/fhir/auth/token", data=site.form("system/*.rs", assertion)).status_code for _ in range(2)]
    assert codes == [200, 401]
    unsigned = jwt.encode({"sub": r.FEEDER.name, "iss": r.FEEDER.name, "aud": TOKEN_URL}, "", algorithm="none")
    assert site.http.post("/record/fhir/auth/token", data=site.form("system/*.rs", unsigned)).status_code == 401
    twice = b"grant_type=client_credentials&grant_type=x"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert site.http.post("/record/fhir/auth/token", content=twice, headers=form).json()["error"] == "invalid_request"
