"""A practice's software before the Import API: keys, signed assertions, tokens, and calls over a whole instance without network.

town = Town(tmp_path)
api = ImportApi(town.house, tmp_path)       # one client of `cab-1`, with every scope
town.write(1)
page = api.get("DocumentReference/$sync").json()
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from adapter.channels.inbox import InboxChannel, InboxSettings
from adapter.model.plan import ChannelName
from adapter.model.publication import Practice, Readers
from adapter.routing.directory import Directory, load_directory
from adapter.web.app import Health, build_app
from adapter.web.fhir_http import BodyLimits
from adapter.web.import_access import ImportSettings
from adapter.web.import_api import import_router
from adapter.web.smart import ASSERTION_TYPE, ApiClient, read_scopes
from tests.builders.directory import APHP_EJ, production, territory_files
from tests.builders.instance import Instance
from tests.builders.ledger import World
from tests.builders.practices import HOUR, INBOX

BASE = "http://testserver/fhir"
TOKEN_URL = f"{BASE}/auth/token"
ALL_SCOPES = (
    "system/DocumentReference.rus", "system/Binary.r", "system/Bundle.r", "system/ServiceRequest.rs", "system/Task.rus",
    "system/MedicationStatement.s", "system/MedicationRequest.s", "system/Appointment.s", "system/CareTeam.s",
)  # fmt: skip
WARD = "service"


class Keys:
    """One client's key pairs, and the JWKS file of their public halves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.private: dict[str, Any] = {}
        self._public: dict[str, dict[str, Any]] = {}

    def add(self, kid: str, kind: str = "EC", **changes: Any) -> None:
        """One generation more."""
        if kind == "EC":
            key: Any = ec.generate_private_key(changes.pop("curve", ec.SECP384R1()))
            entry = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        else:
            key = rsa.generate_private_key(public_exponent=65537, key_size=changes.pop("bits", 2048))
            entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        self.private[kid] = key
        self._public[kid] = entry | {"kid": kid, "use": "sig"} | changes
        self.write()

    def remove(self, kid: str) -> None:
        """A generation less."""
        del self._public[kid]
        self.write()

    def write(self) -> None:
        """The file, whole, as an editor would leave it."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": list(self._public.values())}), encoding="utf-8")
        fresh.rename(self.path)


class ImportApi:
    """One instance's Import API, and the clients that call it. Every call of `get`, `put`… is by the first one."""

    def __init__(
        self, house: Instance, folder: Path, *names: str,
        practices: Sequence[str] = ("cab-1",), scopes: Sequence[str] = ALL_SCOPES,
        roles: Mapping[str, frozenset[str]] | None = None, calls_per_minute: int = 100_000,
        base: str = BASE,
    ) -> None:  # fmt: skip
        self.house = house
        self.base = base
        self.keys = {name: Keys(folder / f"{name}.jwks.json") for name in names or ("soft",)}
        for one in self.keys.values():
            one.add("k1")
        clients = tuple(
            ApiClient(
                name,
                Readers(APHP_EJ, tuple(practices), (roles or {}).get(name)),
                read_scopes(scopes),
                keys.path,
                calls_per_minute,
            )
            for name, keys in self.keys.items()
        )
        self.counted: list[str] = []
        self._clients = clients
        self.app = self._new_app()
        self.http = TestClient(self.app, base_url="http://testserver")
        self._tokens: dict[str, str] = {}

    def _new_app(self) -> FastAPI:
        settings = ImportSettings(self.base, ZoneInfo("Europe/Paris"), BodyLimits(1_000_000))
        ledger, clock = self.house.ledger, self.house.clock
        router = import_router(
            self._clients, ledger, lambda: self.house.directory, settings, clock=clock, count=self.counted.append
        )
        return build_app([router], health=lambda: Health(True), metrics=lambda: b"", version="test")

    def another_worker(self) -> TestClient:
        """The same API in another process's place: it shares the ledger and the files, no memory."""
        return TestClient(self._new_app(), base_url="http://testserver")

    # ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────

    def assertion(self, name: str = "soft", kid: str = "k1", algorithm: str = "ES384", **changes: Any) -> str:
        """A signed assertion; a claim changed to None is left out."""
        claims = {
            "iss": name,
            "sub": name,
            "aud": f"{self.base}/auth/token",
            "exp": int(self.house.clock().timestamp()) + 240,
            "jti": str(uuid.uuid4()),
        } | changes
        key = self.keys[name].private[kid] if algorithm != "none" else None
        told = {claim: value for claim, value in claims.items() if value is not None}
        return jwt.encode(told, key, algorithm=algorithm, headers={"kid": kid})

    def ask_token(self, assertion: str, scope: str = " ".join(ALL_SCOPES), **changes: str) -> httpx.Response:
        """The token endpoint's answer."""
        answer: httpx.Response = self.http.post("/fhir/auth/token", data=self.token_form(assertion, scope) | changes)
        return answer

    @staticmethod
    def token_form(assertion: str, scope: str = " ".join(ALL_SCOPES)) -> dict[str, str]:
        """What is sent to the token endpoint."""
        return {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }

    def token(self, name: str = "soft", scope: str = " ".join(ALL_SCOPES), **changes: Any) -> str:
        """A good token, asked once."""
        key = f"{name} {scope} {changes}"
        if key not in self._tokens:
            answer = self.ask_token(self.assertion(name, **changes), scope)
            assert answer.status_code == 200, answer.text
            self._tokens[key] = answer.json()["access_token"]
        return self._tokens[key]

    def forget_tokens(self) -> None:
        """Time has passed: others are asked for."""
        self._tokens.clear()

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────

    def call(self, method: str, path: str, *, by: str = "soft", token: str = "", **kwargs: Any) -> httpx.Response:
        """One call with a token; `path` is below the base, or whole as a link gives it."""
        headers = {"Authorization": f"Bearer {token or self.token(by)}", **kwargs.pop("headers", {})}
        url = path if path.startswith("http") else f"{BASE}/{path}"
        answer: httpx.Response = self.http.request(method, url, headers=headers, **kwargs)
        return answer

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        """Read or search."""
        return self.call("GET", path, **kwargs)

    def put(self, path: str, resource: Mapping[str, Any], **kwargs: Any) -> httpx.Response:
        """Update."""
        return self._send("PUT", path, resource, **kwargs)

    def post(self, path: str, resource: Mapping[str, Any], **kwargs: Any) -> httpx.Response:
        """An operation."""
        return self._send("POST", path, resource, **kwargs)

    def _send(self, method: str, path: str, resource: Mapping[str, Any], **kwargs: Any) -> httpx.Response:
        headers = {"Content-Type": "application/fhir+json", **kwargs.pop("headers", {})}
        return self.call(method, path, content=json.dumps(resource), headers=headers, **kwargs)

    def acknowledge(self, document_id: str, outcome: str, note: str = "", **kwargs: Any) -> httpx.Response:
        """What the practice did with a document."""
        told: list[dict[str, str]] = [{"name": "outcome", "valueCode": outcome}]
        told += [{"name": "note", "valueString": note}] if note else []
        parameters = {"resourceType": "Parameters", "parameter": told}
        return self.post(f"DocumentReference/{document_id}/$acknowledge", parameters, **kwargs)

    def sync(self, link: str = "DocumentReference/$sync", **kwargs: Any) -> tuple[list[dict[str, Any]], str]:
        """Everything since a link, page after page, and the link to begin with next time."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self.get(link, **kwargs)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += [entry["resource"] for entry in page.get("entry", ())]
            links = {one["relation"]: one["url"] for one in page["link"]}
            if "next" not in links:
                return found, links["sync"]
            link = links["next"]


def issue_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, FHIR issue type, and our code of a refusal."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome", outcome
    issue = outcome["issue"][0]
    return answer.status_code, issue["code"], issue["details"]["coding"][0]["code"] if "details" in issue else ""


def with_ward() -> Directory:
    """The reference territory, where the geriatric ward's software imports its requests."""
    files = territory_files()
    name, place = "reference-territory.toml", b'[[department]]\nkey = "pbr-geriatrie"\n'
    assert place in files[name]
    files[name] = files[name].replace(place, place + b'channels = [{ channel = "inbox", address = "service" }]\n')
    return load_directory(files)


def ward_house(folder: Path, world: World | None = None) -> Instance:
    """An instance whose ward imports."""
    house = Instance(folder, directory=with_ward(), routes=production(), world=world)
    practice = Practice(WARD, APHP_EJ, 4 * HOUR, 24 * HOUR, 72 * HOUR)
    inbox = InboxChannel(InboxSettings([practice], house.ledger.publish))
    house.channels[INBOX] = inbox  # type: ignore[assignment]
    house.pipeline._channels[ChannelName.INBOX] = inbox  # type: ignore[index]
    return house
