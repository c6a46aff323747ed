"""POST /documents: formats, what the address may say, and the statuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from adapter.intake.committer import Intake
from adapter.intake.http_documents import documents_router
from adapter.intake.http_forms import FormsSettings, HttpRefusalError
from adapter.model.receipt import Arrival
from adapter.web.app import Health, build_app
from adapter.web.auth import Callers
from tests.builders.cda import build_n1, tiny_pdf
from tests.builders.fhir_document import build_entry_letter, send
from tests.unit.intake.fakes import NOW, FakeAcceptor

FHIR = {"Content-Type": "application/fhir+json"}
LETTER = send(build_entry_letter())


@pytest.fixture
def acceptor() -> FakeAcceptor:
    return FakeAcceptor(body=lambda arrival: b'{"receipt": "r1"}')


@pytest.fixture
def client(acceptor: FakeAcceptor) -> Iterator[TestClient]:
    intake: Intake[Any] = Intake(acceptor)
    intake.start()
    settings = FormsSettings(frozenset(), "Europe/Paris", max_body_bytes=200_000)
    callers = Callers((), "750712184", HttpRefusalError)
    app = build_app(
        [documents_router(settings, intake, callers.authenticate, clock=lambda: NOW)],
        health=lambda: Health(ready=True), metrics=lambda: b"", version="0",
    )  # fmt: skip
    yield TestClient(app, client=("127.0.0.1", 50000))
    intake.stop()


def only(acceptor: FakeAcceptor) -> Arrival:
    (arrival,) = acceptor.kept
    return arrival


@pytest.mark.parametrize(("media_type", "content"), [("application/fhir+json", LETTER), ("application/xml", build_n1())])
def test_a_document_is_accepted_as_it_came(client: TestClient, acceptor: FakeAcceptor, media_type: str, content: bytes) -> None:
    answer = client.post("/documents", content=content, headers={"Content-Type": media_type, "Idempotency-Key": "k1"})
    assert answer.status_code == 202
    arrival = only(acceptor)
    assert (arrival.content, arrival.reference, arrival.side_car, arrival.form) == (content, "k1", b"", "")


def test_the_address_says_to_whom(client: TestClient, acceptor: FakeAcceptor) -> None:
    url = "/documents?rpps=10009990002&finess=940999901&urgency=urgent"
    assert client.post(url, content=LETTER, headers=FHIR).status_code == 202
    assert json.loads(only(acceptor).side_car) == {
        "recipients": [{"rpps": "10009990002"}, {"finess": "940999901"}],
        "urgency": "urgent",
    }


@pytest.mark.parametrize(
    ("media_type", "content", "status"),
    [
        ("application/pdf", tiny_pdf(), 415),
        ("text/plain", LETTER, 415),
        ("application/fhir+json", build_n1(), 415),
        ("application/xml", LETTER, 415),
        ("application/fhir+json", b'{"patient": {}}', 415),
        ("application/fhir+json", b"x" * 200_001, 413),
    ],
)
def test_another_format_than_announced_or_taken_is_refused(
    client: TestClient, acceptor: FakeAcceptor, media_type: str, content: bytes, status: int
) -> None:
    answer = client.post("/documents", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert acceptor.kept == []


@pytest.mark.parametrize("query", ["?patient=x", "?rpps=1" + "&rpps=1" * 60])
def test_an_unknown_parameter_is_refused(client: TestClient, query: str) -> None:
    assert client.post(f"/documents{query}", content=LETTER, headers=FHIR).status_code == 400
