"""Which request an answer is about, and which Task follows: a number alone never moves another person's request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fhir.resources.R4B.task import Task

from adapter.mapping.from_form import understand_form
from adapter.model.effects import Translation
from adapter.model.identity import PatientIdentity
from adapter.model.receipt import Arrival, Principal
from adapter.model.request import KnownRequest, RequestStep, StepKind
from adapter.requests.answers import ADVICE, Candidate, Unmatched, choose_request, may_be_same_person
from adapter.requests.steps import project_task
from tests.builders.form import form_bytes
from tests.builders.stay import build_stay_answer, build_stay_request

AT = datetime(2026, 11, 21, 9, tzinfo=UTC)
PERSON = PatientIdentity("EXEMPLE", "Andrée", birth_date="1938-02-17")


def known(name: str = "r1", **changes: object) -> KnownRequest:
    request = KnownRequest(f"s-{name}", "town", name, PERSON, "940000003", ("role:dep:x",), AT)
    return replace(request, **changes)  # type: ignore[arg-type]


def candidate(request: KnownRequest, *, ours: bool = True, theirs: bool = True) -> Candidate:
    return Candidate(request, ours, theirs)


def test_the_request_of_that_number_is_the_one_answered() -> None:
    assert choose_request(PERSON, [candidate(known())]) == known()


def test_no_request_or_one_that_was_not_sent_to_us_is_unknown_alike() -> None:
    assert choose_request(PERSON, []) is Unmatched.UNKNOWN
    assert choose_request(PERSON, [candidate(known(), ours=False)]) is Unmatched.UNKNOWN


def test_the_same_number_of_another_centre_is_not_taken() -> None:
    assert choose_request(PERSON, [candidate(known(), theirs=False)]) is Unmatched.OTHER_REQUESTER
    other = known("r2", patient=replace(PERSON, birth_name="AUTRE"))
    assert choose_request(PERSON, [candidate(other, theirs=False), candidate(known())]) == known()


def test_a_number_of_somebody_else_never_moves_their_request() -> None:
    other = candidate(known(patient=replace(PERSON, birth_date="1938-02-18")))
    assert choose_request(PERSON, [other]) is Unmatched.OTHER_PATIENT


def test_of_two_requests_of_one_number_the_last_sent_is_answered() -> None:
    later, earlier = known("r2", asked_at=AT + timedelta(hours=1)), known()
    assert choose_request(PERSON, [candidate(later), candidate(earlier)]) == later


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"birth_name": "Exemple", "first_given": "ANDREE"}, True),
        ({"birth_name": "MARTIN", "used_name": "EXEMPLE"}, True),
        ({"first_given": "Andrée Marie"}, True),
        ({"birth_date": "1938"}, True),
        ({"birth_name": "EXEMPLAIRE"}, False),
        ({"first_given": "Suzanne"}, False),
        ({"birth_date": "1938-02-18"}, False),
        ({"birth_date": "1939"}, False),
    ],
)
def test_twins_homonyms_and_spellings_are_told_apart(changes: dict[str, str], same: bool) -> None:
    other = replace(PERSON, **changes)  # type: ignore[arg-type]
    assert may_be_same_person(PERSON, other) is same
    assert may_be_same_person(other, PERSON) is same


def test_each_reason_says_what_to_do() -> None:
    assert set(ADVICE) == set(Unmatched)


# -- the Task that follows -----------------------------------------------------------------------------------------------


def request() -> Translation:
    arrival = Arrival(form_bytes(build_stay_request()), "http", Principal("cms", "token", "940000003"), AT)
    return understand_form(arrival, "receipt")[0]


def answered(**changes: object) -> RequestStep:
    form = build_stay_answer(**{"validation.motif": None, **changes})
    arrival = Arrival(form_bytes(form), "http", Principal("dpi", "token", "750712184"), AT + timedelta(hours=5))
    (translation,) = understand_form(arrival, "receipt-2")
    assert translation.answer is not None
    assert translation.answer.number == "CMS-2026-H100"
    assert translation.steps == ()
    return translation.answer.step


NO_DATE = {"validation.sejour-debut": None, "validation.sejour-fin": None}


@pytest.mark.parametrize(
    ("decision", "rest", "status", "business", "why"),
    [
        ("accord", {}, "accepted", "scheduled", ""),
        ("accord-date-a-fixer", NO_DATE, "accepted", "accepted", ""),
        ("refus", {**NO_DATE, "validation.motif": "Pas d’indication."}, "rejected", "rejected", "Pas d’indication."),
        ("complement", {**NO_DATE, "validation.motif": "Poids ?"}, "on-hold", "more-information", "Poids ?"),
        ("orientation", {"validation.motif": "Bilan d’abord."}, "in-progress", "orientation", "Bilan d’abord."),
    ],
)
def test_each_decision_moves_the_task(decision: str, rest: dict[str, object], status: str, business: str, why: str) -> None:
    translation = request()
    step = answered(**{"validation.avis": decision, **rest})
    task = project_task((*translation.steps, step), translation.bundle)
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == (status, business)
    assert task.get("statusReason", {}).get("text", "") == why
    assert task["lastModified"] == "2026-11-21T15:00:00+01:00"
    assert ("output" in task) == ("validation.sejour-debut" not in rest)
    Task.model_validate(task)


def test_a_date_given_is_the_tasks_output_with_the_precision_that_it_was_given_with() -> None:
    translation = request()
    task = project_task((*translation.steps, answered()), translation.bundle)
    period = {"start": "2026-12-10T09:00:00+01:00", "end": "2026-12-10T17:00:00+01:00"}
    assert [o["valuePeriod"] for o in task["output"]] == [period]
    day = answered(**{"validation.sejour-debut": "2026-12-10", "validation.sejour-fin": None})
    task = project_task((*translation.steps, day), translation.bundle)
    assert [o["valuePeriod"] for o in task["output"]] == [{"start": "2026-12-10"}]


def test_a_later_answer_takes_the_place_of_an_earlier_one() -> None:
    translation = request()
    refusal = replace(answered(**{"validation.avis": "refus", **NO_DATE, "validation.motif": "Non."}), at=AT + timedelta(days=1))
    task = project_task((*translation.steps, answered(), refusal), translation.bundle)
    assert (task["status"], "output" in task) == ("rejected", False)


def test_steps_never_show_what_a_person_wrote() -> None:
    step = answered(**{"validation.avis": "refus", **NO_DATE, "validation.motif": "SECRET"})
    assert "SECRET" not in repr(step) and step.kind is StepKind.REJECTED
