"""What a FHIR route answers, whoever serves it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from adapter.errors import InputError, LedgerError
from adapter.web import fhir_http as web

LIMITS = web.BodyLimits(1000, 1.0)


def client_of(handler: web.Handler) -> TestClient:
    app = FastAPI()
    app.add_api_route("/r", web.fhir_route(handler, "r", lambda _: None), methods=["GET", "POST", "PUT"], response_model=None)
    return TestClient(app)


def ask(act: Callable[[Request], Any], method: str = "GET", **said: Any) -> httpx.Response:
    async def handler(request: Request) -> Response:
        found = act(request)
        return found if isinstance(found, Response) else web.resource_answer(await found)

    return client_of(handler).request(method, "/r", **said)


def failing(error: Exception) -> Callable[[Request], Response]:
    def act(_: Request) -> Response:
        raise error

    return act


def issue(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert answer.headers["content-type"] == "application/fhir+json"
    found: dict[str, Any] = body["issue"][0]
    return found


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.not_found(), 404, "not-found"),
        (web.gone(), 410, "deleted"),
        (web.precondition_failed(), 412, "conflict"),
        (web.forbidden("record.closed", "Dossier fermé."), 403, "forbidden"),
        (web.unauthorised(), 401, "login"),
        (web.not_allowed("GET"), 405, "not-supported"),
        (InputError("search.unknown-parameter", "non"), 400, "not-supported"),
        (InputError("fhir.too-large", "non"), 413, "too-long"),
        (LedgerError("ledger.unavailable", "no"), 503, "transient"),
    ],
)
def test_every_refusal_is_an_outcome_with_its_status(error: Exception, status: int, code: str) -> None:
    answer = ask(failing(error))
    assert (answer.status_code, issue(answer)["code"]) == (status, code)


def test_headers_that_a_refusal_needs_are_there() -> None:
    assert ask(failing(web.unauthorised())).headers["WWW-Authenticate"] == "Bearer"
    assert ask(failing(web.not_allowed("GET", "POST"))).headers["Allow"] == "GET, POST"
    assert ask(failing(LedgerError("x", "y"))).headers["Retry-After"] == "5"


def a_patient(_: Request) -> Response:
    return web.resource_answer({"resourceType": "Patient"}, version=3, changed=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_a_resource_tells_its_version_and_is_kept_by_no_cache() -> None:
    answer = ask(a_patient)
    assert answer.headers["ETag"] == 'W/"3"'
    assert answer.headers["Last-Modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/json", "*/*", "text/html, application/*;q=0.1"])
def test_json_is_served_to_who_takes_it(accept: str) -> None:
    assert ask(a_patient, headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize("accept", ["application/fhir+xml", "text/html", "application/json;q=0"])
def test_who_takes_no_json_is_told_406(accept: str) -> None:
    assert ask(a_patient, headers={"Accept": accept}).status_code == 406


def test_format_in_the_address_wins_over_the_header() -> None:
    assert ask(a_patient, params={"_format": "xml"}).status_code == 406
    assert ask(a_patient, params={"_format": "json"}, headers={"Accept": "text/html"}).status_code == 200


def test_if_match_protects_a_change_and_if_none_match_spares_a_read() -> None:
    def change(request: Request) -> Response:
        web.check_if_match(request, 3)
        return a_patient(request)

    assert ask(change, headers={"If-Match": 'W/"2"'}).status_code == 412
    for right in ('W/"3"', '"3"', "*", 'W/"1", W/"3"'):
        assert ask(change, headers={"If-Match": right}).status_code == 200
    answer = ask(lambda r: web.not_modified(3) if web.is_known(r, 3) else a_patient(r), headers={"If-None-Match": 'W/"3"'})
    assert (answer.status_code, answer.content) == (304, b"")


def read(request: Request) -> Any:
    async def resource() -> dict[str, Any]:
        return web.parse_resource(await web.read_body(request, LIMITS), "urn:literal", "Bundle")

    return resource()


FHIR = {"Content-Type": "application/fhir+json; charset=utf-8"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"resourceType":"Bundle"}', FHIR, 200),
        (b'{"resourceType":"Patient"}', FHIR, 400),
        (b'{"resourceType":"Bundle","a":1,"a":2}', FHIR, 400),
        (b"[]", FHIR, 400),
        (b"\xff", FHIR, 400),
        (b"{}", {"Content-Type": "application/xml"}, 415),
        (b'{"resourceType":"Bundle"}', {}, 415),
        (b" " * 1001, FHIR, 413),
    ],
)
def test_a_body_is_one_resource_of_the_type_or_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    answer = ask(read, "POST", content=body, headers=headers)
    assert answer.status_code == status


def test_a_search_may_be_posted_as_a_form_so_that_no_identity_stands_in_an_address() -> None:
    seen: list[list[tuple[str, str]]] = []

    def search(request: Request) -> Any:
        async def resource() -> dict[str, Any]:
            seen.append(await web.query_pairs(request, LIMITS))
            return {"resourceType": "Bundle"}

        return resource()

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(search, "POST", content=b"a=1%2B2&b=", headers=form, params={"c": "3"}).status_code == 200
    assert seen == [[("c", "3"), ("a", "1+2"), ("b", "")]]
    assert ask(search, "POST", content=b"a=%ff", headers=form).status_code in (200, 400)
    assert ask(search, "POST", content=b"{}", headers=FHIR).status_code == 415


def test_a_page_says_where_the_next_one_is_and_an_empty_one_has_no_entry() -> None:
    found = [web.Found("http://h/Patient/1", {"resourceType": "Patient"})]
    page = web.searchset(found, self_url="http://h/s", next_url="http://h/n", total=9, ignored=("_elements",))
    assert [link["relation"] for link in page["link"]] == ["self", "next"]
    assert [entry["search"]["mode"] for entry in page["entry"]] == ["match", "outcome"]
    assert "entry" not in web.searchset([], self_url="http://h/s")


def test_a_caller_who_asks_too_often_is_told_when_to_come_back() -> None:
    now = [0.0]
    limit = web.RateLimit(60, lambda: now[0])
    for _ in range(60):
        limit.take("a")
    limit.take("b")
    with pytest.raises(web.FhirRefusal) as error:
        limit.take("a")
    assert (error.value.status, error.value.headers) == (HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"})
    now[0] = 1.0
    limit.take("a")


@pytest.mark.parametrize(
    ("prefer", "strict", "form"),
    [
        ("handling=strict", True, "representation"),
        ("return=minimal, handling=strict", True, "minimal"),
        ("return=OperationOutcome; handling=lenient", False, "OperationOutcome"),
        ("", False, "representation"),
    ],
)
def test_preferences_are_heard(prefer: str, strict: bool, form: str) -> None:
    def check(request: Request) -> Response:
        assert (web.wants_strict(request), web.preferred_return(request)) == (strict, form)
        return a_patient(request)

    assert ask(check, headers={"Prefer": prefer}).status_code == 200


def test_links_start_with_what_the_operator_wrote() -> None:
    def check(request: Request) -> Response:
        assert web.base_of(request, "/record/fhir") == "http://testserver/record/fhir"
        assert web.base_of(request, "/record/fhir", "https://dossier.example/fhir/") == "https://dossier.example/fhir"
        return a_patient(request)

    assert ask(check).status_code == 200
