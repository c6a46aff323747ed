"""The Task of a request: what it follows, when an answer is due, and that it is the same each time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.task import Task

from adapter.errors import InputError
from adapter.fhir.bundle import full_url, resources_of, write_json
from adapter.mapping.from_form import understand_form
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, Principal
from adapter.requests.steps import order_transaction, project_task
from tests.builders.form import build_imaging_request, form_bytes

RECEIVED = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)  # the night in which summer time ends in Paris
EXAMS = [{"modalite": "TDM", "region": "thorax"}, {"modalite": "IRM", "region": "genou"}]


def request(**changes: Any) -> Translation:
    form = build_imaging_request(**{"demande.date": "2026-10-24", "demande.resultats-anterieurs": None, **changes})
    arrival = Arrival(form_bytes(form), "http", Principal("cms", "token", "940000003"), RECEIVED)
    return understand_form(arrival, "receipt")[0]


def test_a_new_request_is_a_requested_task_on_its_first_order() -> None:
    translation = request(examens=EXAMS)
    orders = resources_of(translation.bundle, "ServiceRequest")
    task = project_task(translation.steps, translation.bundle)
    assert (task["status"], task["intent"], task["code"]["coding"][0]["code"]) == ("requested", "order", "fulfill")
    assert task["focus"] == {"reference": full_url(orders[0])}
    assert task["basedOn"] == [{"reference": full_url(order)} for order in orders]
    assert task["groupIdentifier"] == orders[0]["requisition"]
    assert (task["for"], task["requester"]) == (orders[0]["subject"], orders[0]["requester"])
    assert task["owner"] == orders[0]["performer"][0]


def test_the_answer_is_due_48_elapsed_hours_later_even_over_a_change_of_clock() -> None:
    translation = request()
    task = project_task(translation.steps, translation.bundle)
    assert task["authoredOn"] == "2026-10-25T00:30:00+02:00"
    assert task["restriction"]["period"]["end"] == "2026-10-26T23:30:00+01:00"


@pytest.mark.parametrize(("urgency", "priority"), [("urgent", "asap"), ("semi-urgent", "urgent"), ("non urgent", "routine")])
def test_the_task_has_the_priority_of_the_order(urgency: str, priority: str) -> None:
    translation = request(**{"demande.urgence": urgency})
    assert project_task(translation.steps, translation.bundle)["priority"] == priority


def test_the_task_stands_outside_the_document() -> None:
    translation = request()
    before = write_json(translation.bundle)
    project_task(translation.steps, translation.bundle)
    assert write_json(translation.bundle) == before
    assert resources_of(translation.bundle, "Task") == []


def test_the_same_steps_give_the_same_task_and_another_request_another() -> None:
    first, same, other = request(), request(), request(numero="2")
    tasks = [project_task(t.steps, t.bundle) for t in (first, same, other)]
    assert write_json(tasks[0]) == write_json(tasks[1])
    assert tasks[0]["id"] != tasks[2]["id"]


def test_notes_of_steps_are_kept_with_their_time() -> None:
    translation = request()
    step = replace(translation.steps[0], note="Appel du secrétariat", answer_due=None)
    task = project_task((*translation.steps, replace(step, at=RECEIVED + timedelta(hours=1))), translation.bundle)
    assert task["note"] == [{"time": "2026-10-25T01:30:00+02:00", "text": "Appel du secrétariat"}]
    assert task["lastModified"] == "2026-10-25T01:30:00+02:00"
    assert task["restriction"]["period"]["end"] == "2026-10-26T23:30:00+01:00"


def test_the_latest_promise_is_the_one_that_counts() -> None:
    translation = request()
    later = replace(translation.steps[0], answer_due=RECEIVED + timedelta(hours=72))
    task = project_task((*translation.steps, later), translation.bundle)
    assert task["restriction"]["period"]["end"] == "2026-10-27T23:30:00+01:00"


def test_a_request_without_step_or_order_has_no_task() -> None:
    translation = request()
    with pytest.raises(InputError):
        project_task((), translation.bundle)
    empty = {**translation.bundle, "entry": translation.bundle["entry"][:1]}  # type: ignore[index]
    with pytest.raises(InputError):
        project_task(translation.steps, empty)


def test_task_and_transaction_meet_the_r4_models_and_every_reference_resolves() -> None:
    translation = request(examens=EXAMS)
    task = project_task(translation.steps, translation.bundle)
    Task.model_validate(task)
    transaction = order_transaction(translation.bundle, task)
    Bundle.model_validate(transaction)
    known = {entry["fullUrl"] for entry in transaction["entry"]}
    text = json.dumps(transaction)
    assert all(f"urn:uuid:{part[:36]}" in known for part in text.split('"reference": "urn:uuid:')[1:])
    assert "Composition" not in {entry["request"]["url"] for entry in transaction["entry"]}
    assert transaction["entry"][-1]["request"] == {"method": "POST", "url": "Task"}


def test_only_national_numbers_make_a_creation_conditional_and_never_a_provisional_patient() -> None:
    translation = request()
    transaction = order_transaction(translation.bundle, project_task(translation.steps, translation.bundle))
    conditions = {e["request"]["url"]: e["request"].get("ifNoneExist") for e in transaction["entry"]}
    assert conditions["Practitioner"] == "identifier=https://rpps.esante.gouv.fr|99700000013"
    assert conditions["Patient"] is None and conditions["ServiceRequest"] is None
