"""A hospital's answer moves the request that it answers, from two doors to the ledger and back, on both engines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapter.ledger.records import PayloadKind
from adapter.ledger.rows import read_bundle
from adapter.model.delivery import Purpose
from adapter.model.plan import ChannelName
from adapter.model.receipt import Principal, ReceiptState
from adapter.model.request import StepKind
from adapter.requests.steps import project_task
from tests.builders.directory import APHP_EJ, territory
from tests.builders.form import form_bytes
from tests.builders.instance import Instance
from tests.builders.ledger import World
from tests.builders.stay import build_stay_answer, build_stay_request

pytestmark = pytest.mark.contract

IVRY = next(e.finess for e in territory().entries.legal_entities if e.key == "commune-ivry")
ARCUEIL = next(e.finess for e in territory().entries.legal_entities if e.key == "commune-arcueil")


@pytest.fixture
def house(world: World, tmp_path: Path) -> Instance:
    return Instance(tmp_path, world=world, entities=(APHP_EJ, IVRY, ARCUEIL))


def sent(house: Instance, form: dict[str, Any], entity: str) -> str:
    """Accepted and prepared; its receipt's id."""
    principal = Principal("somebody", "token", entity)
    answer = house.accept(form_bytes(form), door="http", principal=principal, form=form["formulaire"])
    assert answer.verdict.value == "accepted", answer.findings
    house.prepare()
    return answer.receipt_id


def task_of(house: Instance, receipt: str, entity: str) -> dict[str, Any]:
    """The Task of a kept request, from the ledger alone."""
    timeline = house.ledger.timeline(receipt, legal_entity=entity)
    assert timeline is not None
    submission = timeline.submissions[0].submission
    bundle = read_bundle(house.ledger.read_payload(PayloadKind.BUNDLE, submission.id, legal_entity=entity))
    steps = house.ledger.request_steps(submission.document.unique_id, legal_entity=entity)
    return project_task(steps, bundle)


def reasons(house: Instance, entity: str = APHP_EJ) -> list[str]:
    return [item.reason for item in house.ledger.list_work_items(legal_entity=entity)]


def refusal(**changes: Any) -> dict[str, Any]:
    rest = {"validation.sejour-debut": None, "validation.sejour-fin": None, "validation.motif": "Pas d’indication."}
    return build_stay_answer(**{"validation.avis": "refus", **rest, **changes})


def test_an_answer_of_the_hospital_moves_the_centres_request_and_travels_to_it(house: Instance) -> None:
    request = sent(house, build_stay_request(), IVRY)
    assert task_of(house, request, IVRY)["status"] == "requested"
    house.clock.advance(hours=5)
    answer = sent(house, build_stay_answer(), APHP_EJ)
    task = task_of(house, request, IVRY)
    assert (task["status"], task["businessStatus"]["coding"][0]["code"]) == ("accepted", "scheduled")
    assert task["output"][0]["valuePeriod"]["start"] == "2026-12-10T09:00:00+01:00"
    timeline = house.ledger.timeline(answer, legal_entity=APHP_EJ)
    assert timeline is not None
    (trace,) = timeline.submissions
    original = house.ledger.timeline(request, legal_entity=IVRY)
    assert original is not None
    assert trace.submission.in_reply_to == original.submissions[0].submission.document.unique_id
    assert {(d.role_id, d.purpose) for d in trace.deliveries} == {("role:org:ivry", Purpose.DOCUMENT)}
    assert house.dispatch(ChannelName.SECURE_MAIL) == 2
    assert [event.kind for event in original.events].count("answered") == 1
    assert reasons(house) == reasons(house, IVRY) == []
    assert house.ledger.conservation(legal_entity=APHP_EJ).holds and house.ledger.conservation(legal_entity=IVRY).holds


def test_the_pathway_and_the_agreements_delay_are_those_of_the_directory(house: Instance) -> None:
    request = sent(house, build_stay_request(**{"sejour.service": "bct-neurologie"}), IVRY)
    task = task_of(house, request, IVRY)
    assert task["input"][0]["valueCodeableConcept"]["coding"][0]["code"] == "complex"
    due = (house.clock() + timedelta(hours=48)).astimezone(ZoneInfo("Europe/Paris"))
    assert task["restriction"]["period"]["end"] == due.isoformat(timespec="seconds")


@pytest.mark.parametrize("written", ["cms-2026-h100", " CMS-2026-H100 "])
def test_the_number_is_recognised_whatever_its_case_and_blanks(house: Instance, written: str) -> None:
    request = sent(house, build_stay_request(), IVRY)
    sent(house, refusal(**{"demande.numero": written}), APHP_EJ)
    assert task_of(house, request, IVRY)["status"] == "rejected"


def test_a_request_without_a_number_is_answered_by_the_id_that_its_pages_bear(house: Instance) -> None:
    request = sent(house, build_stay_request(numero=None), IVRY)
    timeline = house.ledger.timeline(request, legal_entity=IVRY)
    assert timeline is not None
    number = timeline.submissions[0].submission.document.unique_id
    sent(house, refusal(**{"demande.numero": number}), APHP_EJ)
    assert task_of(house, request, IVRY)["status"] == "rejected"


def test_an_unknown_number_is_flagged_kept_and_leaves(house: Instance) -> None:
    answer = sent(house, build_stay_answer(), APHP_EJ)
    timeline = house.ledger.timeline(answer, legal_entity=APHP_EJ)
    assert timeline is not None and timeline.receipt.state is ReceiptState.PREPARED
    assert timeline.submissions[0].submission.in_reply_to == ""
    assert reasons(house) == ["unknown-request"]
    assert house.dispatch(ChannelName.SECURE_MAIL) == 1
    assert house.ledger.conservation(legal_entity=APHP_EJ).holds


def test_an_answer_that_came_first_finds_its_request_when_it_is_prepared_again(house: Instance) -> None:
    answer = sent(house, build_stay_answer(), APHP_EJ)
    request = sent(house, build_stay_request(), IVRY)
    assert task_of(house, request, IVRY)["status"] == "requested"
    house.resolve("retry")
    house.prepare()
    assert task_of(house, request, IVRY)["businessStatus"]["coding"][0]["code"] == "scheduled"
    timeline = house.ledger.timeline(answer, legal_entity=APHP_EJ)
    assert timeline is not None and timeline.submissions[0].submission.in_reply_to
    assert reasons(house) == []


def test_another_patients_number_parks_the_answer_and_moves_nothing(house: Instance) -> None:
    request = sent(house, build_stay_request(), IVRY)
    answer = sent(house, build_stay_answer(**{"patient.prenom": "Suzanne"}), APHP_EJ)
    timeline = house.ledger.timeline(answer, legal_entity=APHP_EJ)
    assert timeline is not None and timeline.receipt.state is ReceiptState.PARKED
    assert reasons(house) == ["answer-other-patient"]
    assert task_of(house, request, IVRY)["status"] == "requested"
    assert house.dispatch(ChannelName.SECURE_MAIL) == 1  # the request itself


def test_an_answer_addressed_to_another_centre_parks(house: Instance) -> None:
    sent(house, build_stay_request(), IVRY)
    sent(house, build_stay_answer(**{"demande.destinataire": "arcueil"}), APHP_EJ)
    assert reasons(house) == ["answer-other-requester"]


def test_one_number_of_two_centres_is_told_apart_by_whom_the_answer_goes_to(house: Instance) -> None:
    mine = sent(house, build_stay_request(), IVRY)
    other = sent(house, build_stay_request(**{"demandeur.finess": "949990311"}), ARCUEIL)
    sent(house, refusal(**{"demande.destinataire": "arcueil"}), APHP_EJ)
    assert task_of(house, other, ARCUEIL)["status"] == "rejected"
    assert task_of(house, mine, IVRY)["status"] == "requested"


def test_the_same_answer_again_is_one_step(house: Instance) -> None:
    request = sent(house, build_stay_request(), IVRY)
    sent(house, build_stay_answer(), APHP_EJ)
    house.clock.advance(days=8)  # the window of repeats is over: a receipt of its own
    sent(house, build_stay_answer(), APHP_EJ)
    timeline = house.ledger.timeline(request, legal_entity=IVRY)
    assert timeline is not None
    steps = house.ledger.request_steps(timeline.submissions[0].submission.document.unique_id, legal_entity=IVRY)
    assert [step.kind for step in steps] == [StepKind.REQUESTED, StepKind.SCHEDULED]


def test_a_corrected_answer_is_a_step_more(house: Instance) -> None:
    request = sent(house, build_stay_request(), IVRY)
    sent(house, refusal(), APHP_EJ)
    house.clock.advance(hours=1)
    sent(house, build_stay_answer(numero="PBR-2"), APHP_EJ)
    assert task_of(house, request, IVRY)["status"] == "accepted"


def test_what_was_written_and_planned_is_sealed_and_never_crosses_to_another_entity(house: Instance) -> None:
    sent(house, build_stay_request(), IVRY)
    sent(house, refusal(), APHP_EJ)
    assert house.ledger.requests_numbered("CMS-2026-H100", legal_entity=APHP_EJ) == []
    (known,) = house.ledger.requests_numbered("CMS-2026-H100", legal_entity=IVRY)
    assert house.ledger.request_steps(known.request_id, legal_entity=APHP_EJ) == []
    (_, step) = house.ledger.request_steps(known.request_id, legal_entity=IVRY)
    assert (step.note, step.answer_document != "") == ("Pas d’indication.", True)
