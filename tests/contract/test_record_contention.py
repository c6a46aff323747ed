"""Sixteen clients at once: one resource, whoever comes first, on both engines; and what the database alone would still hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from adapter.ledger.record_store import RecordChanges
from tests.builders import record as r
from tests.builders.ledger import ENTITY, World
from tests.servers.record import record_server

pytestmark = pytest.mark.contract

CLIENTS = 16
HEADERS = {"Content-Type": "application/fhir+json", "Authorization": f"Bearer {r.secret_of(r.FEEDER)}"}


@pytest.fixture
def base(world: World) -> Iterator[str]:
    with record_server(world.ledger) as address:
        yield address


def at_once(act: Callable[[int], Any], count: int = CLIENTS) -> list[Any]:
    """The same act by so many threads that start together."""
    gate = threading.Barrier(count)

    def one(number: int) -> Any:
        gate.wait(20)
        return act(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def held(world: World) -> dict[str, int]:
    kinds = ("DocumentReference", "List", "Binary", "Patient")
    return world.ledger.record.read(ENTITY, lambda rows: {kind: rows.count(kind, []) for kind in kinds})


ONE_EACH = {"DocumentReference": 1, "List": 1, "Binary": 1, "Patient": 1}


def test_sixteen_clients_that_post_the_same_conditional_create_leave_one_resource(base: str, world: World) -> None:
    body = r.written(r.transaction(1))

    def post(_: int) -> tuple[int, tuple[str, ...]]:
        answer = requests.post(base, data=body, headers=HEADERS, timeout=60)
        return answer.status_code, tuple(entry["response"]["status"] for entry in answer.json().get("entry", ()))

    answers = Counter(at_once(post))
    assert answers == {(200, ("201 Created",) * 4): 1, (200, ("200 OK",) * 4): CLIENTS - 1}
    assert held(world) == ONE_EACH


def test_of_sixteen_who_create_the_same_document_without_condition_one_succeeds(base: str, world: World) -> None:
    body = r.written(r.transaction(1, conditional=False))
    codes = Counter(at_once(lambda _: requests.post(base, data=body, headers=HEADERS, timeout=60).status_code))
    assert codes == {200: 1, 409: CLIENTS - 1}
    assert held(world) == ONE_EACH


def test_sixteen_documents_of_a_new_patient_leave_one_patient(base: str, world: World) -> None:
    def post(number: int) -> int:
        return requests.post(base, data=r.written(r.transaction(number)), headers=HEADERS, timeout=60).status_code

    assert Counter(at_once(post)) == {200: CLIENTS}
    assert held(world) == {"DocumentReference": CLIENTS, "List": CLIENTS, "Binary": CLIENTS, "Patient": 1}


def test_of_sixteen_who_replace_the_same_document_one_succeeds(base: str, world: World) -> None:
    requests.post(base, data=r.written(r.transaction(900)), headers=HEADERS, timeout=60)

    def post(number: int) -> int:
        bundle = r.transaction(number, replaces=r.unique_of(900))
        return requests.post(base, data=r.written(bundle), headers=HEADERS, timeout=60).status_code

    assert Counter(at_once(post)) == {200: 1, 422: CLIENTS - 1}


def test_sixteen_changes_of_one_document_are_each_made_or_refused_and_none_is_lost(base: str, world: World) -> None:
    requests.post(base, data=r.written(r.transaction(1)), headers=HEADERS, timeout=60)
    path = f"{base}/DocumentReference?identifier={r.URI}|{r.unique_of(1)}"

    def patch(number: int) -> int:
        body = r.written([{"op": "add", "path": "/securityLabel/-", "value": r.coded("urn:test", f"mark-{number}")}])
        headers = {**HEADERS, "Content-Type": "application/json-patch+json"}
        return requests.patch(path, data=body, headers=headers, timeout=60).status_code

    codes = Counter(at_once(patch))
    made = requests.get(path, headers=HEADERS, timeout=20).json()["entry"][0]["resource"]
    assert set(codes) <= {200, 503}  # 503: somebody was first, nothing was kept, try again
    assert len(made["securityLabel"]) == 1 + codes[200]
    assert made["meta"]["versionId"] == str(1 + codes[200])


def test_without_locks_the_unique_constraint_still_leaves_one(base: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordChanges, "lock", lambda *_: None)
    body = r.written(r.transaction(1))
    codes = Counter(at_once(lambda _: requests.post(base, data=body, headers=HEADERS, timeout=60).status_code))
    assert codes[200] >= 1
    assert set(codes) <= {200, 503}
    assert held(world) == ONE_EACH
