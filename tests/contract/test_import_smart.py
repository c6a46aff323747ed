"""Who may call the Import API: signed assertions and short-lived tokens, on both engines; every way to be refused."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from adapter.web.smart import granted_scopes, read_scopes, written_scopes
from tests.builders.import_client import ALL_SCOPES, TOKEN_URL, ImportApi, issue_of
from tests.builders.instance import Instance
from tests.builders.ledger import World

pytestmark = pytest.mark.contract


@pytest.fixture
def api(world: World, tmp_path: Path) -> ImportApi:
    return ImportApi(Instance(tmp_path, world=world), tmp_path, "soft", "other")


def refused(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_an_assertion_gives_a_short_lived_token_that_opens_the_api(api: ImportApi) -> None:
    answer = api.ask_token(api.assertion(), "system/DocumentReference.rs system/Patient.r")
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("bearer", 300)
    assert told["scope"] == "system/DocumentReference.rs", "never more than is allowed, and it says so"
    assert api.get("DocumentReference", token=told["access_token"]).status_code == 200
    api.house.clock.advance(seconds=299)
    assert api.get("DocumentReference", token=told["access_token"]).status_code == 200
    api.house.clock.advance(seconds=1)
    assert issue_of(api.get("DocumentReference", token=told["access_token"]))[:2] == (401, "login")


def test_rsa_and_elliptic_keys_both_sign(api: ImportApi) -> None:
    api.keys["soft"].add("rsa", "RSA")
    assert api.ask_token(api.assertion(kid="rsa", algorithm="RS384")).status_code == 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": -31}, "périmée"),
        ({"exp": 400}, "cinq minutes"),
        ({"exp": None}, "périmée"),
        ({"exp": "soon"}, "périmée"),
        ({"exp": True}, "périmée"),
        ({"exp": 1e300}, "périmée"),
        ({"nbf": 400}, "pas encore"),
        ({"nbf": "x"}, "pas encore"),
        ({"aud": "https://other.example/token"}, "aud"),
        ({"aud": None}, "signature"),
        ({"iss": "other"}, "iss et sub"),
        ({"iss": None}, "iss et sub"),
        ({"sub": "other"}, "signature"),
        ({"sub": "nobody"}, "signature"),
        ({"sub": 12}, "signature"),
        ({"jti": None}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 4}, "jti"),
        ({"jti": "x" * 257}, "jti"),
    ],
)
def test_a_claim_that_is_wrong_is_refused(api: ImportApi, changes: dict[str, Any], why: str) -> None:
    now = int(api.house.clock().timestamp())
    claims = {name: now + value if name in ("exp", "nbf") and type(value) is int else value for name, value in changes.items()}
    answer = api.ask_token(api.assertion(**claims))
    assert refused(answer) == (401, "invalid_client")
    assert why in answer.json()["error_description"]


def test_an_assertion_is_taken_once_whichever_process_is_asked(api: ImportApi) -> None:
    assertion = api.assertion()
    assert api.ask_token(assertion).status_code == 200
    answer = api.ask_token(assertion)
    assert refused(answer) == (401, "invalid_client") and "jti" in answer.json()["error_description"]
    refusal = refused(api.another_worker().post("/fhir/auth/token", data=api.token_form(assertion)))
    assert refusal == (401, "invalid_client")


def test_the_same_jti_at_once_is_taken_once(api: ImportApi) -> None:
    assertion, codes = api.assertion(), []
    threads = [threading.Thread(target=lambda: codes.append(api.ask_token(assertion).status_code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(codes) == [200] + [401] * 5


def _unsigned(api: ImportApi) -> str:
    return api.assertion(algorithm="none")


def _symmetric(api: ImportApi) -> str:
    """A public key used as a shared secret: the classic confusion."""
    public = api.keys["soft"].path.read_bytes()
    body = api.assertion().split(".")[1]
    head = base64.urlsafe_b64encode(b'{"alg":"HS384","kid":"k1","typ":"JWT"}').decode().rstrip("=")
    seal = hmac.digest(public, f"{head}.{body}".encode(), "sha384")
    return f"{head}.{body}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"


def _weaker(api: ImportApi) -> str:
    claims = jwt.decode(api.assertion(), options={"verify_signature": False})
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})


def _of_another_client(api: ImportApi) -> str:
    api.keys["soft"].private["stolen"] = api.keys["other"].private["k1"]
    return api.assertion(kid="stolen")


def _altered(api: ImportApi) -> str:
    head, body, signature = api.assertion().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(claims | {"jti": "new"}).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


@pytest.mark.parametrize(
    "make",
    [
        _unsigned,
        _symmetric,
        _weaker,
        _of_another_client,
        _altered,
        lambda _api: "not.a.jwt",
        lambda _api: "x" * 20_000,
        lambda _api: "e30.e30.",
        lambda api: api.assertion() + ".more",
    ],
)
def test_what_is_not_signed_by_the_clients_own_key_is_refused(api: ImportApi, make: Callable[[ImportApi], str]) -> None:
    assert refused(api.ask_token(make(api))) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "other"}, "invalid_request"),
        ({"client_assertion": ""}, "invalid_request"),
        ({"scope": "system/Patient.rs"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "openid user/*.rs"}, "invalid_scope"),
    ],
)
def test_a_form_that_is_wrong_is_refused_as_oauth_says_it(api: ImportApi, form: dict[str, str], error: str) -> None:
    assert refused(api.ask_token(api.assertion(), **form)) == (400, error)


def test_a_form_with_a_field_twice_or_no_form_at_all_is_refused(api: ImportApi) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = api.http.post("/fhir/auth/token", content="scope=a&scope=b", headers=headers)
    assert refused(twice) == (400, "invalid_request")
    assert refused(api.http.post("/fhir/auth/token", json={}))[0] == 415
    assert refused(api.http.post("/fhir/auth/token", content=b"scope=\xff", headers=headers))[0] in (400, 401)
    assert refused(api.http.post("/fhir/auth/token", content="a" * 40_000, headers=headers))[0] == 413


def test_two_generations_of_keys_stand_together_and_the_old_one_falls_with_its_tokens(api: ImportApi) -> None:
    keys = api.keys["soft"]
    old = api.token()
    keys.add("k2")
    new = api.token(kid="k2")
    assert [api.get("Task", token=one).status_code for one in (old, new)] == [200, 200]
    keys.remove("k1")
    assert [api.get("Task", token=one).status_code for one in (old, new)] == [401, 200]
    assert refused(api.ask_token(api.assertion()))[0] == 401


def test_a_key_file_half_written_keeps_the_keys_and_one_taken_away_closes_the_door(api: ImportApi) -> None:
    token, path = api.token(), api.keys["soft"].path
    path.write_text('{"keys": [', encoding="utf-8")
    assert api.get("Task", token=token).status_code == 200
    path.unlink()
    assert api.get("Task", token=token).status_code == 401
    assert api.get("Task", token=api.token("other")).status_code == 200
    api.keys["soft"].write()
    assert api.get("Task", token=token).status_code == 200


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("EC", {"curve": ec.SECP256R1()}), ("RSA", {"bits": 1024}), ("RSA", {"alg": "RS256"}), ("EC", {"use": "enc"})],
)
def test_weak_keys_and_keys_for_something_else_open_nothing(api: ImportApi, kind: str, changes: dict[str, Any]) -> None:
    api.keys["soft"].add("weak", kind, **changes)
    claims = jwt.decode(api.assertion(), options={"verify_signature": False})
    algorithm = "RS384" if kind == "RSA" else "ES256" if "curve" in changes else "ES384"
    signed = jwt.encode(claims, api.keys["soft"].private["weak"], algorithm=algorithm, headers={"kid": "weak"})
    assert refused(api.ask_token(signed)) == (401, "invalid_client")


def test_a_private_half_in_the_key_file_is_no_key(api: ImportApi) -> None:
    path = api.keys["soft"].path
    told = json.loads(path.read_text())
    private = api.keys["soft"].private["k1"].private_numbers().private_value.to_bytes(48, "big")
    told["keys"][0]["d"] = base64.urlsafe_b64encode(private).decode().rstrip("=")
    path.write_text(json.dumps(told))
    assert refused(api.ask_token(api.assertion()))[0] == 401


@pytest.mark.parametrize("token", ["", "x", "Bearer", "..", "AAAA" * 30, "é"])
def test_a_token_of_our_own_making_only(api: ImportApi, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = api.http.get("/fhir/Task", headers=headers)
    assert issue_of(answer)[:2] == (401, "login") and answer.headers["www-authenticate"] == "Bearer"
    assert api.http.get("/fhir/Task").status_code == 401
    assert api.http.get("/fhir/Task", headers={"Authorization": f"Basic {api.token()}"}).status_code == 401


def test_a_token_altered_or_sealed_for_something_else_is_refused(api: ImportApi) -> None:
    token = api.token()
    letter = "A" if token[40] != "A" else "B"
    assert api.get("Task", token=token[:40] + letter + token[41:]).status_code == 401
    page = api.house.ledger.seal_token("import-sync/soft", json.dumps({"c": "soft"}).encode())
    assert api.get("Task", token=base64.urlsafe_b64encode(page).decode()).status_code == 401


def test_the_limit_of_a_client_is_one_for_all_workers(world: World, tmp_path: Path) -> None:
    house = Instance(tmp_path, world=world)
    one = ImportApi(house, tmp_path, "soft", "other", calls_per_minute=6)
    token, workers = one.token(), [one.http, one.another_worker()]
    codes = [workers[n % 2].get("/fhir/Task", headers={"Authorization": f"Bearer {token}"}).status_code for n in range(8)]
    assert codes == [200] * 6 + [429] * 2
    answer = one.get("Task", token=token)
    assert issue_of(answer)[:2] == (429, "throttled") and 1 <= int(answer.headers["retry-after"]) <= 60
    assert one.get("Task", by="other").status_code == 200
    house.clock.advance(seconds=60)
    assert one.get("Task", token=token).status_code == 200


def test_scopes_never_grow() -> None:
    allowed = read_scopes(["system/DocumentReference.rs", "system/Task.rus", "system/Task.r", "patient/*.rs", "system/x.r"])
    assert allowed == {"DocumentReference": "rs", "Task": "rus"}
    assert granted_scopes(read_scopes(["system/*.cruds"]), allowed) == allowed
    assert granted_scopes(read_scopes(["system/Task.u", "system/Binary.r"]), allowed) == {"Task": "u"}
    assert granted_scopes(allowed, read_scopes(["system/*.r"])) == {"DocumentReference": "r", "Task": "r"}
    assert written_scopes(allowed) == "system/DocumentReference.rs system/Task.rus"


def test_what_anybody_may_read_says_where_tokens_are_asked_for(api: ImportApi) -> None:
    told = api.http.get("/fhir/.well-known/smart-configuration").json()
    assert told["token_endpoint"] == TOKEN_URL
    assert told["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    assert set(told["scopes_supported"]) == {"system/DocumentReference.rus", *ALL_SCOPES}
    statement = api.http.get("/fhir/metadata").json()
    assert statement["fhirVersion"] == "4.0.1" and '"soft"' not in json.dumps([told, statement])
