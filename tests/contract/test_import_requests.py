"""Requests by the Import API: a ward's software reads a request, and what it says becomes the request's life. On both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.model.receipt import Principal
from adapter.requests.transitions import OUTCOME_CODES
from tests.builders.directory import APHP_EJ
from tests.builders.form import form_bytes
from tests.builders.import_client import WARD, ImportApi, issue_of, ward_house
from tests.builders.instance import Instance
from tests.builders.ledger import World
from tests.builders.practices import INBOX
from tests.builders.stay import build_stay_request

pytestmark = pytest.mark.contract
OUTPUT = "https://traitdunion.example/fhir/CodeSystem/request-output"


@pytest.fixture
def house(world: World, tmp_path: Path) -> Instance:
    return ward_house(tmp_path, world)


@pytest.fixture
def api(house: Instance, tmp_path: Path) -> ImportApi:
    return ImportApi(house, tmp_path, practices=(WARD,))


@pytest.fixture
def receipt(house: Instance) -> str:
    form = build_stay_request()
    answer = house.accept(form_bytes(form), door="http", principal=Principal("cms", "token", APHP_EJ), form=form["formulaire"])
    assert answer.verdict.value == "accepted", answer.findings
    house.prepare()
    while house.dispatch(INBOX):
        house.clock.advance(seconds=1)
    return answer.receipt_id


def the_task(api: ImportApi) -> dict[str, Any]:
    page = api.get("Task").json()
    assert len(page["entry"]) == 1, page
    task: dict[str, Any] = page["entry"][0]["resource"]
    return task


def change(api: ImportApi, task: dict[str, Any], **changes: Any) -> Any:
    held = {"If-Match": f'W/"{task["meta"]["versionId"]}"'}
    return api.put(f"Task/{task['id']}", {**task, **changes}, headers=held)


def period(start: str, end: str = "", code: str = "scheduled-period") -> list[dict[str, Any]]:
    told = {"start": start} | ({"end": end} if end else {})
    return [{"type": {"coding": [{"system": OUTPUT, "code": code}]}, "valuePeriod": told}]


def why(text: str, code: str = "") -> dict[str, Any]:
    return {"text": text} | ({"coding": [{"system": OUTCOME_CODES, "code": code}]} if code else {})


def test_a_request_and_its_task_are_found_and_read(api: ImportApi, receipt: str) -> None:
    task = the_task(api)
    assert task["status"] == "requested" and task["code"]["coding"][0]["code"] == "fulfill"
    order = api.get(task["focus"]["reference"]).json()
    assert order["resourceType"] == "ServiceRequest" and f"ServiceRequest/{order['id']}" == task["focus"]["reference"]
    assert api.get(f"Task/{task['id']}").json() == task
    found = api.get("ServiceRequest", params={"requisition": order["requisition"]["value"]}).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [order["id"]]
    for parameters in (
        {"status": "requested"}, {"based-on": task["focus"]["reference"]}, {"_id": task["id"]}, {"authored-on": "ge2026-11-21"}
    ):  # fmt: skip
        assert len(api.get("Task", params=parameters).json()["entry"]) == 1, parameters
    assert "entry" not in api.get("Task", params={"status": "accepted"}).json()


def test_the_document_its_transaction_and_the_task_are_one_request(api: ImportApi, receipt: str) -> None:
    (reference,), _ = api.sync()
    related = [one["reference"] for one in reference["context"]["related"]]
    bundles = [api.get(one).json() for one in related if one.startswith("Bundle/")]
    transaction = next(one for one in bundles if one["type"] == "transaction")
    kinds = [entry["resource"]["resourceType"] for entry in transaction["entry"]]
    assert kinds.count("Task") == 1 and "ServiceRequest" in kinds
    patient = next(entry for entry in transaction["entry"] if entry["resource"]["resourceType"] == "Patient")
    assert "ifNoneExist" not in patient["request"], "a form's identity is provisional: a person links it"
    assert transaction["entry"][-1]["resource"]["id"] == the_task(api)["id"]


def test_a_request_is_accepted_then_scheduled_and_somebody_tells_the_requester(
    api: ImportApi, house: Instance, receipt: str
) -> None:
    accepted = change(api, the_task(api), status="accepted")
    assert accepted.status_code == 200 and accepted.json()["status"] == "accepted"
    task = accepted.json()
    scheduled = change(api, task, status="accepted", output=period("2026-12-10T09:00:00+01:00", "2026-12-10T17:00:00+01:00"))
    assert scheduled.json()["businessStatus"]["coding"][0]["code"] == "scheduled"
    assert scheduled.json()["output"][0]["valuePeriod"]["start"] == "2026-12-10T09:00:00+01:00"
    assert int(scheduled.json()["meta"]["versionId"]) == int(task["meta"]["versionId"]) + 1
    assert house.reasons() == ["answered-accepted", "answered-scheduled"]
    assert "answered" in [event.kind for event in house.timeline(receipt).events]


@pytest.mark.parametrize(
    ("status", "reason", "said", "step"),
    [
        ("rejected", "Pas d’indication", "rejected", "rejected"),
        ("on-hold", "Quel traitement ?", "on-hold", "more-information"),
        ("in-progress", "", "in-progress", "orientation"),
    ],
)
def test_a_request_is_refused_asked_about_or_sent_to_a_consultation(
    api: ImportApi, house: Instance, receipt: str, status: str, reason: str, said: str, step: str
) -> None:
    changes = {"statusReason": why(reason)} if reason else {}
    task = change(api, the_task(api), status=status, **changes).json()
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == (said, step)
    assert house.reasons() == [f"answered-{step}"]


def test_received_is_the_deliverys_proof_and_no_answer(api: ImportApi, house: Instance, receipt: str) -> None:
    task = change(api, the_task(api), status="received").json()
    assert task["status"] == "received" and house.states(receipt)["inbox"] == "integrated"
    assert house.reasons() == []
    assert change(api, task, status="accepted").json()["status"] == "accepted"


def test_failed_says_which_failure(api: ImportApi, house: Instance, receipt: str) -> None:
    task = change(api, the_task(api), status="failed", statusReason=why("", "not-our-patient")).json()
    assert task["status"] == "failed" and task["statusReason"]["coding"][0]["code"] == "not-our-patient"
    assert house.states(receipt)["inbox"] == "refused" and "identity-902" in house.reasons()
    again = change(api, task, status="received")
    assert issue_of(again) == (409, "conflict", "import.other-outcome")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": "completed"}, "task.bad-status"),
        ({"status": "requested"}, "task.bad-status"),
        ({"status": 12}, "task.bad-status"),
        ({"status": "rejected"}, "task.no-reason"),
        ({"status": "rejected", "statusReason": {"text": "  "}}, "task.no-reason"),
        ({"status": "rejected", "statusReason": {"text": "x" * 2001}}, "task.too-long"),
        ({"status": "failed"}, "task.no-outcome"),
        ({"status": "failed", "statusReason": "x"}, "task.no-outcome"),
        ({"status": "failed", "statusReason": {"coding": [{"system": OUTCOME_CODES, "code": "eaten"}]}}, "import.bad-outcome"),
        (
            {"status": "failed", "statusReason": {"coding": [{"system": OUTCOME_CODES, "code": "already-held"}]}},
            "import.bad-outcome",
        ),
        ({"status": "accepted", "output": period("2026-13-45")}, "task.bad-period"),
        ({"status": "accepted", "output": period("2026-12-10", "2026-12-09")}, "task.bad-period"),
        ({"status": "accepted", "output": period("9999-01-01")}, "task.bad-period"),
        ({"status": "accepted", "focus": {"reference": "ServiceRequest/other"}}, "task.fixed"),
        ({"status": "accepted", "for": {"display": "Somebody else"}}, "task.fixed"),
    ],
)
def test_what_a_task_may_not_ask_is_refused_and_changes_nothing(
    api: ImportApi, house: Instance, receipt: str, changes: dict[str, Any], code: str
) -> None:
    before = the_task(api)
    answer = change(api, before, **changes)
    assert issue_of(answer)[0] == 422 and issue_of(answer)[2] == code
    assert the_task(api) == before and house.reasons() == []


def test_a_refusal_is_the_last_word(api: ImportApi, receipt: str) -> None:
    refused = change(api, the_task(api), status="rejected", statusReason=why("Pas d’indication")).json()
    answer = change(api, refused, status="accepted")
    assert issue_of(answer) == (422, "invalid", "task.illegal-transition")
    assert "refaire une demande" in answer.json()["issue"][0]["diagnostics"]
    again = change(api, refused, status="rejected", statusReason=why("Pas d’indication"))
    assert again.status_code == 200 and again.json() == refused, "said again: nothing new"


def test_two_who_answer_at_once_do_not_overwrite_each_other(api: ImportApi, receipt: str) -> None:
    task = the_task(api)
    assert change(api, task, status="accepted").status_code == 200
    assert issue_of(change(api, task, status="rejected", statusReason=why("Non")))[:2] == (412, "conflict")
    bare = api.put(f"Task/{task['id']}", {**task, "status": "accepted"})
    assert issue_of(bare) == (428, "required", "task.no-if-match")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resourceType": "Patient"}, 400),
        ({"resourceType": "Task", "id": "other", "status": "accepted"}, 400),
    ],
)
def test_another_resource_or_another_task_is_refused(api: ImportApi, receipt: str, body: dict[str, Any], status: int) -> None:
    assert issue_of(api.put(f"Task/{the_task(api)['id']}", body, headers={"If-Match": "*"}))[0] == status


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"resourceType":"Task","resourceType":"Task"}', b"\xff", b"[" * 5000])
def test_what_is_no_resource_is_refused(api: ImportApi, receipt: str, content: bytes) -> None:
    headers = {"Content-Type": "application/fhir+json", "If-Match": "*"}
    assert issue_of(api.call("PUT", f"Task/{the_task(api)['id']}", content=content, headers=headers))[0] == 400


def test_a_request_of_another_practice_is_not_there(house: Instance, api: ImportApi, receipt: str, tmp_path: Path) -> None:
    task = the_task(api)
    stranger = ImportApi(house, tmp_path, "stranger", practices=("cab-9",))
    assert stranger.get(f"Task/{task['id']}", by="stranger").status_code == 404
    assert stranger.get(task["focus"]["reference"], by="stranger").status_code == 404
    held = {"If-Match": "*"}
    assert stranger.put(f"Task/{task['id']}", {**task, "status": "accepted"}, by="stranger", headers=held).status_code == 404
