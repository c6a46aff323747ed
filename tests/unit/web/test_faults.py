"""Faults on demand: asked for by a header or ordered ahead, for the API alone, each as the service itself would fail."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from adapter.web import faults
from adapter.web.faults import CONTROL, Faults

CALLS: list[str] = []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    CALLS.clear()
    app = FastAPI()

    @app.get("/fhir/{name:path}")
    def answer(name: str) -> dict[str, str]:
        CALLS.append(name)
        return {"name": name}

    @app.get("/health")
    def health() -> dict[str, bool]:
        return {"live": True}

    return TestClient(Faults(app))


def ask(client: TestClient, fault: str = "", path: str = "/fhir/Binary/1") -> Any:
    return client.get(path, headers={"X-Sandbox-Fault": fault} if fault else {})


@pytest.mark.parametrize(
    ("fault", "status", "issue"),
    [("429", 429, "throttled"), ("503", 503, "transient"), ("expired-token", 401, "login"), ("stale-cursor", 410, "expired")],
)
def test_a_call_fails_as_it_asks_to(client: TestClient, fault: str, status: int, issue: str) -> None:
    answer = ask(client, fault)
    assert answer.status_code == status and CALLS == []
    assert answer.json()["resourceType"] == "OperationOutcome" and answer.json()["issue"][0]["code"] == issue
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert ask(client).status_code == 200


def test_a_slow_answer_is_the_answer(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(faults.asyncio, "sleep", sleep)
    assert ask(client, "slow; seconds=7.5").json() == {"name": "Binary/1"}
    assert ask(client, "slow; seconds=99999").status_code == 200
    assert slept == [7.5, 120.0]


def test_faults_ordered_ahead_are_for_so_many_calls_under_a_path(client: TestClient) -> None:
    assert client.post(CONTROL, json={"fault": "503", "times": 2, "path": "/fhir/Binary"}).status_code == 201
    assert [ask(client, path="/fhir/Task").status_code, ask(client).status_code] == [200, 503]
    assert client.get(CONTROL).json() == [{"fault": "503", "times": 1, "path": "/fhir/Binary", "seconds": 3.0}]
    assert [ask(client).status_code, ask(client).status_code] == [503, 200]
    assert client.get(CONTROL).json() == []


def test_ordered_faults_can_be_taken_back(client: TestClient) -> None:
    client.post(CONTROL, json={"fault": "429", "times": 5})
    assert client.delete(CONTROL).status_code == 204
    assert ask(client).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"x" * 5000,
        b'{"fault": "none"}',
        b'{"fault": "503", "times": 0}',
        b'{"fault": "503", "times": "many"}',
        b'{"fault": "503", "path": "fhir"}',
        b'{"fault": "503", "more": 1}',
        b'{"fault": "slow", "seconds": 1e9}',
    ],
)
def test_what_is_no_fault_is_refused_and_orders_nothing(client: TestClient, body: bytes) -> None:
    assert client.post(CONTROL, content=body).status_code == 400
    assert client.get(CONTROL).json() == []


def test_an_unknown_word_in_the_header_is_told_instead_of_passed_over(client: TestClient) -> None:
    answer = ask(client, "teapot")
    assert answer.status_code == 400 and "stale-cursor" in answer.json()["error"] and CALLS == []
    assert ask(client, "slow; seconds=x").status_code == 400


def test_health_never_fails_on_demand_and_the_control_has_its_methods(client: TestClient) -> None:
    assert client.get("/health", headers={"X-Sandbox-Fault": "503"}).status_code == 200
    assert client.put(CONTROL).status_code == 405
