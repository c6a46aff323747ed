"""Advice, support platform, GP proposal: who receives them, what is asked of whom, and what the page tells."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.data import partners_root
from adapter.fhir.bundle import resources_of
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import errors_of
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.submission import Urgency
from adapter.requests.steps import project_task
from adapter.routing.choose import can_resolve_any
from adapter.routing.directory import Directory, load_directory

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
TODAY = date(2026, 11, 21)
TOWN, HOSPITAL = "949990220", "750712184"


def _case(name: str) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((CASES / name / "source.json").read_bytes())
    return copy.deepcopy(answers)


def _arrival(answers: dict[str, Any], entity: str = TOWN) -> Arrival:
    return Arrival(json.dumps(answers).encode(), "http", Principal("a", "token", entity), datetime(2026, 11, 21, 9, tzinfo=UTC))


def _understood(answers: dict[str, Any], entity: str = TOWN) -> Translation:
    (translation,) = understand_form(_arrival(answers, entity), "r")
    return translation


@pytest.fixture(scope="module")
def territory() -> Directory:
    return load_directory({path.name: path.read_bytes() for path in partners_root().iterdir()})


@pytest.mark.parametrize("slug", ["demande-avis", "demande-pta"])
def test_every_recipient_that_the_form_offers_is_in_the_reference_territory(slug: str, territory: Directory) -> None:
    case, place = {
        "demande-avis": ("avis-pediatrie-messagerie", "avis.specialite"),
        "demande-pta": ("pta-information", "appui.plateforme"),
    }[slug]
    group, key = place.split(".")
    for option in load_questionnaire(slug).question(place).options:
        answers = _case(case)
        answers[group][key] = option.code
        assert can_resolve_any(_understood(answers).submission, territory, TODAY) == ()


def test_a_proposal_goes_to_the_centre_of_the_commune_and_comes_from_hospitals_only(territory: Directory) -> None:
    for option in load_questionnaire("proposition-medecin-traitant").question("patient.commune").options:
        answers = _case("medecin-traitant-ivry")
        answers["patient"]["commune"] = option.code
        if option.code == "92046":
            answers["patient"]["centre"] = "malakoff-nord"
        assert can_resolve_any(_understood(answers, HOSPITAL).submission, territory, TODAY) == ()
    (refused,) = can_resolve_any(_understood(_case("medecin-traitant-ivry")).submission, territory, TODAY)
    assert refused.code == "route.no-recipient-resolved"


def test_who_asks_urgently_is_told_the_senior_s_line(territory: Directory) -> None:
    urgent = _understood(_case("avis-tele-expertise-urgente")).submission
    (told,) = can_resolve_any(urgent, territory, TODAY)
    assert (told.code, told.severity.value) == ("route.urgent-line", "warning")
    assert "01 99 00 24 10" in told.text
    assert urgent.urgency is Urgency.URGENT


def test_an_advice_is_answered_within_two_days_and_the_page_says_to_call_when_urgent() -> None:
    translation = _understood(_case("avis-tele-expertise-urgente"))
    (order,) = resources_of(translation.bundle, "ServiceRequest")
    task = project_task(translation.steps, translation.bundle)
    assert order["occurrencePeriod"] == {"start": "2026-11-20T16:40:00+01:00", "end": "2026-11-22T16:40:00+01:00"}
    assert task["restriction"]["period"]["end"] == "2026-11-23T10:00:00+01:00"
    assert order["note"][0]["text"] == "Degré d’urgence écrit par le demandeur : urgent."
    assert "appeler la ligne du senior" in json.dumps(translation.bundle["entry"][0], ensure_ascii=False)


def test_files_travel_whole_and_those_only_announced_are_told() -> None:
    answers = _case("avis-pieces-jointes")
    bundle = _understood(answers).bundle
    binaries = [r["data"] for r in resources_of(bundle, "Binary") if r["contentType"] == "application/pdf"]
    assert binaries == [answers["pieces"][0]["fichier"]["contenu"]]
    (reference,) = resources_of(bundle, "DocumentReference")
    (order,) = resources_of(bundle, "ServiceRequest")
    assert {"reference": f"urn:uuid:{reference['id']}"} in [{"reference": r["reference"]} for r in order["supportingInfo"]]
    assert "Pièce annoncée, non jointe" in json.dumps(bundle["entry"][0], ensure_ascii=False)


def test_an_information_asks_no_agreement_and_a_file_opened_against_it_is_refused() -> None:
    answers = _case("pta-information")
    answers["accord"] = {"patient": False}
    assert inspect_form(_arrival(answers)).verdict is Verdict.ACCEPTED
    answers["appui"]["type"] = "coordination"
    found = errors_of(inspect_form(_arrival(answers)).findings)
    assert [(f.code, f.location) for f in found] == [("form.not-allowed", "accord.patient")]


def test_a_proposal_is_a_proposal_and_tells_commune_and_stay() -> None:
    translation = _understood(_case("medecin-traitant-malakoff"), HOSPITAL)
    (order,) = resources_of(translation.bundle, "ServiceRequest")
    (patient,) = resources_of(translation.bundle, "Patient")
    (encounter,) = resources_of(translation.bundle, "Encounter")
    assert (order["intent"], order["priority"]) == ("proposal", "routine")
    assert patient["address"][0]["extension"][0]["valueCoding"]["code"] == "92046"
    assert encounter["period"] == {"start": "2026-11-12", "end": "2026-11-23"}
    assert "restriction" not in project_task(translation.steps, translation.bundle)
    assert translation.submission.recipients[0].name == "malakoff-sud"


@pytest.mark.parametrize("name", ["avis-pieces-jointes", "pta-coordination-complexe", "medecin-traitant-malakoff"])
def test_nothing_that_was_answered_is_left_unread(name: str) -> None:
    assert _understood(_case(name)).unread == ()


@pytest.mark.parametrize("name", ["avis-pieces-jointes", "pta-coordination-complexe", "medecin-traitant-malakoff"])
def test_the_same_form_gives_the_same_document(name: str) -> None:
    assert _understood(_case(name)).bundle == _understood(_case(name)).bundle
