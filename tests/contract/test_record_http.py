"""The record over HTTP: which request is which transaction, and that every refusal is an OperationOutcome with its status."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from adapter.record.parameters import TABLES
from adapter.record.rights import Client
from tests.builders import record as r
from tests.builders.ledger import PATIENT_NAME, World
from tests.contract.test_record_rights import consent
from tests.servers.record import record_app

pytestmark = pytest.mark.contract

BASE = "/record/fhir"
FHIR = "application/fhir+json"
PATIENT = f"patient.identifier={r.INS_TEST_SYSTEM}|{r.INS_ONE}"


class Caller:
    """Calls the record as one client."""

    def __init__(self, http: TestClient) -> None:
        self.http = http

    def __call__(
        self, method: str, path: str = "", body: Any = None, by: Client | None = r.FEEDER, **headers: str
    ) -> httpx.Response:
        """One request; a body is JSON."""
        said = {"Accept": FHIR} | {name.replace("_", "-"): value for name, value in headers.items()}
        if by is not None:
            said["Authorization"] = f"Bearer {r.secret_of(by)}"
        if body is not None:
            said.setdefault("Content-Type", FHIR)
        content = body if isinstance(body, bytes) or body is None else r.written(body)
        return self.http.request(method, BASE + path, content=content, headers=said)


@pytest.fixture
def call(world: World) -> Iterator[Caller]:
    with TestClient(record_app(world.ledger)) as http:
        yield Caller(http)


def outcome(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, FHIR code and our code of a refusal; its words are French and hold nothing of the patient."""
    issue = answer.json()["issue"][0]
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert issue["details"]["text"]
    assert PATIENT_NAME not in answer.text
    assert r.INS_ONE not in answer.text
    return answer.status_code, issue["code"], issue["details"]["coding"][0]["code"]


def places(answer: httpx.Response) -> list[str]:
    return ["/" + "/".join(entry["response"]["location"].split("/")[:2]) for entry in answer.json()["entry"]]


def test_the_record_says_exactly_what_it_does_to_anybody(call: Caller) -> None:
    stated = call("GET", "/metadata", by=None).json()
    assert (stated["resourceType"], stated["fhirVersion"], stated["kind"]) == ("CapabilityStatement", "4.0.1", "instance")
    resources = {one["type"]: one for one in stated["rest"][0]["resource"]}
    for kind, table in TABLES.items():
        assert [one["name"] for one in resources[kind]["searchParam"]] == [one.name for one in table]
    assert stated["rest"][0]["interaction"][0]["code"] == "transaction"


def test_what_the_capability_statement_leaves_out_is_refused(call: Caller) -> None:
    done = call("POST", "", r.transaction(1))
    stated = call("GET", "/metadata", by=None).json()
    methods = {"create": "POST", "search-type": "GET"}
    for one in stated["rest"][0]["resource"]:
        codes = {interaction["code"] for interaction in one["interaction"]}
        for code, method in methods.items():
            path = f"/{one['type']}"
            status = call(method, path, {"resourceType": "x"} if method == "POST" else None, by=r.KEEPER).status_code
            assert (status == 405) is (code not in codes), (one["type"], code)
        held = [place for place in places(done) if place.startswith(f"/{one['type']}/")]
        for place in held:
            assert call("GET", place).status_code == 200
            assert call("PUT", place, {"resourceType": one["type"]}).status_code == 405
            assert call("DELETE", place).status_code == 405


def test_a_transaction_is_answered_entry_by_entry(call: Caller) -> None:
    answer = call("POST", "", r.transaction(1))
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    assert [entry["response"]["status"] for entry in answer.json()["entry"]] == ["201 Created"] * 4
    assert [place.split("/")[1] for place in places(answer)] == ["List", "DocumentReference", "Binary", "Patient"]


def test_a_document_is_given_in_its_own_type_or_as_a_resource(call: Caller) -> None:
    data = b"%PDF-1.7 \x00\xff"
    binary = places(call("POST", "", r.transaction(1, data)))[2]
    for accept in ("application/pdf", "*/*", "text/html, */*;q=0.1"):
        raw = call("GET", binary, Accept=accept)
        assert (raw.content, raw.headers["content-type"]) == (data, "application/pdf")
    assert call("GET", binary, Accept="application/pdf, application/fhir+json;q=0.5").content == data
    resource = call("GET", binary).json()
    assert (resource["resourceType"], base64.b64decode(resource["data"])) == ("Binary", data)
    assert call("GET", binary + "?_format=json", Accept="*/*").json()["resourceType"] == "Binary"


def test_a_read_tells_its_version_and_is_spared_to_who_holds_it(call: Caller) -> None:
    document = places(call("POST", "", r.transaction(1)))[1]
    answer = call("GET", document)
    assert (answer.headers["etag"], answer.headers["cache-control"]) == ('W/"1"', "no-store")
    assert call("GET", document, If_None_Match='W/"1"').status_code == 304
    assert call("GET", document + "/_history/1").status_code == 200
    assert outcome(call("GET", document + "/_history/2")) == (404, "not-found", "fhir.not-found")


def test_a_search_is_a_searchset_whose_pages_hide_the_patient(call: Caller) -> None:
    for number in range(3):
        call("POST", "", r.transaction(number, b"%d" % number))
    first = call("GET", f"/DocumentReference?{PATIENT}&status=current&_count=2", by=r.DOCTOR).json()
    assert (first["type"], first["total"], len(first["entry"])) == ("searchset", 3, 2)
    links = {link["relation"]: link["url"] for link in first["link"]}
    assert r.INS_ONE not in links["next"]
    second = call("GET", links["next"].partition(BASE)[2], by=r.DOCTOR).json()
    ids = [entry["resource"]["id"] for page in (first, second) for entry in page["entry"]]
    assert len(set(ids)) == 3
    assert first["entry"][0]["fullUrl"].endswith(f"/DocumentReference/{ids[0]}")


def test_a_search_may_be_posted(call: Caller) -> None:
    call("POST", "", r.transaction(1))
    form = f"patient.identifier={r.INS_TEST_SYSTEM}%7C{r.INS_ONE}&status=current".encode()
    answer = call("POST", "/DocumentReference/_search", form, Content_Type="application/x-www-form-urlencoded")
    assert answer.json()["total"] == 1


REFUSED: list[tuple[str, str, Any, dict[str, str], tuple[int, str, str]]] = [
    ("GET", "/DocumentReference?colour=red", None, {}, (400, "not-supported", "search.unknown-parameter")),
    ("GET", f"/DocumentReference?{PATIENT}&date=2026-13-45", None, {}, (400, "value", "search.bad-date")),
    ("GET", f"/DocumentReference?{PATIENT}&date=hier", None, {}, (400, "value", "search.bad-date")),
    ("GET", f"/DocumentReference?{PATIENT}&_count=-1", None, {}, (400, "value", "search.bad-count")),
    ("GET", f"/DocumentReference?{PATIENT}&_sort=patient", None, {}, (400, "not-supported", "search.bad-sort")),
    (
        "GET",
        f"/DocumentReference?{PATIENT}&_include=DocumentReference:subject",
        None,
        {},
        (400, "not-supported", "search.unknown-parameter"),
    ),
    ("GET", "/DocumentReference?_page=forged", None, {}, (400, "value", "search.page-forged")),
    ("GET", "/DocumentReference?status=", None, {}, (400, "invalid", "search.empty-value")),
    (
        "GET",
        f"/DocumentReference?{PATIENT}&_elements=id",
        None,
        {"Prefer": "handling=strict"},
        (400, "not-supported", "search.unknown-parameter"),
    ),
    ("GET", "/DocumentReference/unknown", None, {}, (404, "not-found", "record.not-found")),
    ("GET", "/Observation", None, {}, (404, "not-found", "fhir.not-found")),
    ("GET", "/DocumentReference/a/b/c/d", None, {}, (405, "not-supported", "http.method")),
    ("GET", "", None, {}, (405, "not-supported", "http.method")),
    ("PUT", "/Patient/1", {"resourceType": "Patient"}, {}, (405, "not-supported", "http.method")),
    ("GET", "/Binary", None, {}, (405, "not-supported", "http.method")),
    ("POST", "", b"not json", {}, (400, "structure", "fhir.not-json")),
    ("POST", "", b"<Bundle/>", {"Content-Type": "application/fhir+xml"}, (415, "not-supported", "http.media-type")),
    ("POST", "", b" " * 5_000_001, {}, (413, "too-long", "http.too-large")),
    ("POST", "", {"resourceType": "Bundle", "type": "batch"}, {}, (400, "structure", "record.structure")),
    ("POST", "", {"resourceType": "Patient"}, {}, (400, "structure", "record.structure")),
    ("POST", "/DocumentReference", {"resourceType": "Patient"}, {}, (400, "structure", "fhir.other-type")),
    (
        "GET",
        f"/DocumentReference?{PATIENT}",
        None,
        {"Accept": "application/fhir+xml"},
        (406, "not-supported", "http.not-acceptable"),
    ),
    (
        "PATCH",
        "/DocumentReference?identifier=x",
        b"[",
        {"Content-Type": "application/json-patch+json"},
        (400, "structure", "fhir.not-json"),
    ),
    (
        "PATCH",
        "/DocumentReference/unknown",
        [],
        {"Content-Type": "application/json-patch+json"},
        (404, "not-found", "record.not-found"),
    ),
    ("POST", "/Consent", {"resourceType": "Consent"}, {}, (403, "forbidden", "record.role")),
    ("GET", "/AuditEvent", None, {}, (403, "forbidden", "record.role")),
]


@pytest.mark.parametrize(("method", "path", "body", "headers", "expected"), REFUSED, ids=lambda v: str(v)[:60])
def test_what_is_wrong_is_refused_in_fhirs_words(
    call: Caller, method: str, path: str, body: Any, headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    assert outcome(call(method, path, body, **{name.replace("-", "_"): value for name, value in headers.items()})) == expected


def test_a_caller_without_a_good_token_gets_nothing_but_the_capability_statement(call: Caller) -> None:
    for token in ("", "Bearer wrong", "Basic x", "Bearer"):
        answer = call.http.get(f"{BASE}/Patient", headers={"Authorization": token} if token else {})
        assert outcome(answer) == (401, "login", "http.unknown-caller")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_parameters_that_change_nothing_are_named_in_the_answer(call: Caller) -> None:
    call("POST", "", r.transaction(1))
    page = call("GET", f"/DocumentReference?{PATIENT}&_elements=id").json()
    assert [entry["search"]["mode"] for entry in page["entry"]] == ["match", "outcome"]


def test_too_many_calls_are_told_when_to_come_back(world: World) -> None:
    app = record_app(world.ledger, calls_per_minute=2, monotonic=lambda: 0.0)
    with TestClient(app) as http:
        call = Caller(http)
        assert [call("GET", "/Patient/x").status_code for _ in range(3)] == [404, 404, 429]
        answer = call("GET", "/Patient/x")
        assert (answer.headers["retry-after"], outcome(answer)[1]) == ("30", "throttled")
        assert call("GET", "/Patient/x", by=r.DOCTOR).status_code == 404


def test_a_patch_answers_with_what_was_made_in_the_form_preferred(call: Caller) -> None:
    document = places(call("POST", "", r.transaction(1)))[1]
    path = f"/DocumentReference?identifier={r.URI}|{r.unique_of(1)}"
    kind = "application/json-patch+json"
    answer = call("PATCH", path, r.patch_labels("N", "MASQUE_PS"), Content_Type=kind, If_Match='W/"1"')
    assert (answer.status_code, answer.headers["etag"], len(answer.json()["securityLabel"])) == (200, 'W/"2"', 2)
    assert outcome(call("PATCH", path, r.patch_labels("N"), Content_Type=kind, If_Match='W/"1"')) == (
        412,
        "conflict",
        "record.stale",
    )
    minimal = call("PATCH", document, r.patch_labels("N"), Content_Type=kind, Prefer="return=minimal")
    assert (minimal.status_code, minimal.content) == (200, b"")
    told = call("PATCH", document, r.patch_labels("R"), Content_Type=kind, Prefer="return=OperationOutcome").json()
    assert told["issue"][0]["severity"] == "information"


def test_a_simple_publication_is_created_once(call: Caller) -> None:
    made = r.simple(1)
    condition = f"identifier={r.URI}|{r.unique_of(1)}"
    first = call("POST", "/DocumentReference", made, If_None_Exist=condition)
    assert first.status_code == 201
    assert first.headers["location"].endswith("/_history/1")
    assert call("POST", "/DocumentReference", made, If_None_Exist=condition).status_code == 200
    assert outcome(call("POST", "/DocumentReference", made)) == (409, "duplicate", "record.duplicate")


def test_an_administrator_keeps_wishes_and_reads_traces(call: Caller) -> None:
    document = places(call("POST", "", r.transaction(1)))[1]
    assert call("GET", document, by=r.DOCTOR).status_code == 200
    assert call("POST", "/Consent", consent("deny", "access"), by=r.KEEPER).status_code == 201
    assert outcome(call("GET", document, by=r.DOCTOR)) == (403, "forbidden", "record.reading-opposed")
    page = call("GET", f"/AuditEvent?agent=cabinet&_count=1&entity={document[1:]}", by=r.KEEPER).json()
    (entry,) = [one["resource"] for one in page["entry"]]
    assert call("GET", f"/AuditEvent/{entry['id']}", by=r.KEEPER).json() == entry
    everything = call("GET", "/AuditEvent?_count=2", by=r.KEEPER).json()
    links = {link["relation"]: link["url"] for link in everything["link"]}
    following = call("GET", links["next"].partition(BASE)[2], by=r.KEEPER).json()
    ids = [int(one["resource"]["id"]) for bundle in (everything, following) for one in bundle["entry"]]
    assert ids == sorted(ids, reverse=True)
    assert outcome(call("GET", "/AuditEvent/999999", by=r.KEEPER))[0] == 404
    refused = [one["resource"].get("outcomeDesc") for one in call("GET", "/AuditEvent", by=r.KEEPER).json()["entry"]]
    assert "record.reading-opposed" in refused
    assert call("GET", "/AuditEvent?date=lt2026", by=r.KEEPER).json().get("entry", []) == []
    assert json.dumps(page).count(r.INS_ONE) == 0
