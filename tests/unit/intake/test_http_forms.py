"""The forms' door: every status, who may call, and that nothing of a body reaches an error or a log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, generate_latest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from adapter.intake.committer import Intake
from adapter.intake.http_forms import FormsSettings, HttpRefusalError, forms_router
from adapter.model.receipt import Arrival
from adapter.web.app import Health, build_app
from adapter.web.auth import Callers, Token
from tests.unit.intake.fakes import NOW, FakeAcceptor

FORM = "/forms/demande-imagerie"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor(body=lambda arrival: b'{"receipt": "r1"}')


@pytest.fixture
def intake(acceptor: FakeAcceptor) -> Iterator[Intake[Arrival]]:
    intake = Intake(acceptor)
    intake.start()
    yield intake
    intake.stop()


def application(intake: Intake[Any], *tokens: Token) -> FastAPI:
    callers = Callers(tokens, "750712184", HttpRefusalError)
    settings = FormsSettings({"demande-imagerie"}, "Europe/Paris", max_body_bytes=5000, body_timeout_seconds=0.2)
    registry = CollectorRegistry()
    Counter("tdu_essai", "Essai", registry=registry).inc()
    return build_app(
        [forms_router(settings, intake, callers.authenticate, clock=lambda: NOW)],
        health=lambda: Health(ready=False, parts={"ledger": "locked"}),
        metrics=lambda: generate_latest(registry),
        version="0",
    )


def caller(app: FastAPI, host: str = "127.0.0.1") -> TestClient:
    return TestClient(app, client=(host, 50000))


@pytest.fixture
def client(intake: Intake[Any]) -> TestClient:
    return caller(application(intake))


def code_of(response: httpx.Response) -> str:
    assert response.headers["content-type"].startswith("application/fhir+json")
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    code: str = outcome["issue"][0]["details"]["coding"][0]["code"]
    return code


def test_an_accepted_form_is_answered_202_with_the_kept_bytes(client: TestClient, acceptor: FakeAcceptor) -> None:
    response = client.post(FORM, content=b'{"a": 1}', headers={**JSON, "Idempotency-Key": "k1"})
    assert response.status_code == 202
    assert response.content == b'{"receipt": "r1"}'
    (arrival,) = acceptor.kept
    assert (arrival.form, arrival.reference, arrival.door) == ("demande-imagerie", "k1", "http")
    assert (arrival.principal.kind, arrival.principal.legal_entity) == ("loopback", "750712184")
    assert arrival.content == b'{"a": 1}'


def test_the_same_key_and_content_is_answered_alike_and_marked(client: TestClient) -> None:
    answers = [client.post(FORM, content=b"{}", headers={**JSON, "Idempotency-Key": "k1"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[1].status_code == 202
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in answers[0].headers


def test_the_same_key_for_another_content_is_a_conflict(client: TestClient) -> None:
    client.post(FORM, content=b"{}", headers={**JSON, "Idempotency-Key": "k1"})
    assert client.post(FORM, content=b'{"b": 2}', headers={**JSON, "Idempotency-Key": "k1"}).status_code == 409


def test_a_refused_form_is_answered_422(client: TestClient) -> None:
    response = client.post(FORM, content=b'{"x": "REFUSE"}', headers=JSON)
    assert response.status_code == 422
    assert response.headers["content-type"].startswith("application/fhir+json")


def test_an_unknown_form_is_answered_404(client: TestClient) -> None:
    response = client.post("/forms/inconnu", content=b"{}", headers=JSON)
    assert (response.status_code, code_of(response)) == (404, "form.unknown")


def test_another_media_type_is_answered_415(client: TestClient) -> None:
    response = client.post(FORM, content=b"<a/>", headers={"Content-Type": "text/xml"})
    assert (response.status_code, code_of(response)) == (415, "http.media-type")


def test_a_body_too_large_is_answered_413_whether_announced_or_not(client: TestClient, acceptor: FakeAcceptor) -> None:
    announced = client.post(FORM, content=b"x" * 6000, headers=JSON)
    chunked = client.post(FORM, content=iter([b"x" * 1000] * 6), headers=JSON)
    assert [(r.status_code, code_of(r)) for r in (announced, chunked)] == [(413, "http.too-large")] * 2
    assert acceptor.kept == []


def test_a_body_that_trickles_is_answered_408(intake: Intake[Any], acceptor: FakeAcceptor) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"{"
            await asyncio.sleep(0.05)

    async def post() -> int:
        # Over a real socket: a test client would hand the whole body over at once.
        server = uvicorn.Server(uvicorn.Config(application(intake), port=0, log_config=None, lifespan="off"))
        listening = socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as http:
            response = await http.post(FORM, content=trickle(), headers=JSON)
        server.should_exit = True
        await serving
        return response.status_code

    assert asyncio.run(post()) == 408
    assert acceptor.kept == []


def test_when_the_ledger_is_down_the_answer_is_503_and_says_when(client: TestClient, acceptor: FakeAcceptor) -> None:
    acceptor.down = True
    response = client.post(FORM, content=b"{}", headers=JSON)
    assert (response.status_code, code_of(response)) == (503, "http.try-later")
    assert response.headers["retry-after"]


def test_a_defect_of_ours_is_answered_500_and_neither_answer_nor_log_quotes_the_body(client: TestClient) -> None:
    with capture_logs() as logs:
        response = client.post(FORM, content=b'{"JUDGE-BREAKS": "MARTIN"}', headers=JSON)
    assert (response.status_code, code_of(response)) == (500, "http.defect")
    assert "MARTIN" not in response.text
    assert logs
    assert "MARTIN" not in str(logs)


def test_a_key_too_long_is_refused(client: TestClient) -> None:
    response = client.post(FORM, content=b"{}", headers={**JSON, "Idempotency-Key": "k" * 201})
    assert (response.status_code, code_of(response)) == (400, "http.key-too-long")


# ── who calls ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_tokens_only_this_machine_is_served(intake: Intake[Any]) -> None:
    response = caller(application(intake), "192.0.2.7").post(FORM, content=b"{}", headers=JSON)
    assert (response.status_code, code_of(response)) == (403, "http.not-local")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Origin"])
def test_what_a_proxy_or_a_web_page_relays_is_not_from_this_machine(client: TestClient, header: str) -> None:
    assert client.post(FORM, content=b"{}", headers={**JSON, header: "http://ailleurs.example"}).status_code == 403


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer faux", "Basic bon-jeton", "Bearer bon-jetonX"])
def test_with_tokens_a_wrong_one_is_turned_away_even_from_this_machine(intake: Intake[Any], authorization: str) -> None:
    client = caller(application(intake, Token("cms", "bon-jeton", "940000573")))
    response = client.post(FORM, content=b"{}", headers={**JSON, "Authorization": authorization})
    assert (response.status_code, code_of(response)) == (401, "http.unknown-caller")
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_token_tells_who_calls_and_for_which_legal_entity(intake: Intake[Any], acceptor: FakeAcceptor) -> None:
    client = caller(application(intake, Token("a", "jeton-a", "1"), Token("cms", "bon-jeton", "940000573")), "192.0.2.7")
    assert client.post(FORM, content=b"{}", headers={**JSON, "Authorization": "Bearer bon-jeton"}).status_code == 202
    principal = acceptor.kept[0].principal
    assert (principal.name, principal.kind, principal.legal_entity) == ("cms", "token", "940000573")


def test_a_token_never_shows_in_its_repr() -> None:
    assert "bon-jeton" not in repr(Token("cms", "bon-jeton", "940000573"))


# ── health and figures ────────────────────────────────────────────────────────────────────────────────────────


def test_health_tells_live_from_ready(client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json() == {"live": True, "ready": False, "parts": {"ledger": "locked"}}


def test_metrics_are_in_prometheus_form(client: TestClient) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "tdu_essai_total 1.0" in response.text


def test_a_defect_in_any_route_says_nothing_but_that(intake: Intake[Any]) -> None:
    app = application(intake)

    @app.get("/casse")
    def broken() -> None:
        raise ValueError("MARTIN")

    with capture_logs() as logs:
        response = caller(app).get("/casse")
    assert response.status_code == 500
    assert "MARTIN" not in response.text + str(logs)


def test_a_filled_pdf_is_taken_under_its_own_media_type(client: TestClient, acceptor: FakeAcceptor) -> None:
    answer = client.post(FORM, content=b"%PDF-1.7\n", headers={"Content-Type": "application/pdf"})
    assert answer.status_code == 202
    assert acceptor.kept[-1].content == b"%PDF-1.7\n"


@pytest.mark.parametrize(("media_type", "body"), [("application/pdf", b"{}"), ("application/json", b"%PDF-1.7\n")])
def test_a_media_type_that_is_not_that_of_the_content_is_refused(client: TestClient, media_type: str, body: bytes) -> None:
    answer = client.post(FORM, content=body, headers={"Content-Type": media_type})
    assert (answer.status_code, code_of(answer)) == (415, "http.media-type")
