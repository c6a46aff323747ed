"""What a patient's documents say together: treatments, appointments, the team around them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.coordination.appointments import appointments_of
from adapter.coordination.held import HeldDocument
from adapter.coordination.team import care_team_of, members_of
from adapter.coordination.treatments import PRESCRIPTIONS, STATEMENTS, treatments_of
from adapter.fhir.models import model_findings
from adapter.mapping.from_cda import understand_cda
from adapter.mapping.from_form import understand_form
from adapter.model.effects import Translation
from adapter.model.parties import Professional, RecipientKind
from adapter.model.plan import RecipientPlan
from adapter.model.receipt import Arrival, Principal
from adapter.model.request import RequestStep, StepKind
from tests.builders.directory import territory

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def _translated(case: str) -> Translation:
    folder = CASES / case
    if (folder / "source.json").is_file():
        arrival = Arrival((folder / "source.json").read_bytes(), "http", Principal("cms-fictif", "token", "940000003"), AT)
        return understand_form(arrival, f"receipt-of-{case}")[0]
    arrival = Arrival((folder / "source.xml").read_bytes(), "folder", Principal("depot", "folder", "750712184"), AT)
    return understand_cda(arrival, f"receipt-of-{case}")[0]


def _held(case: str, *steps: RequestStep, recipients: tuple[RecipientPlan, ...] = ()) -> HeldDocument:
    made = _translated(case)
    return HeldDocument(made.submission, made.bundle, recipients, tuple(steps))


def _step(kind: StepKind, hours: int = 0, **more: str) -> RequestStep:
    return RequestStep("request-1", kind, AT + timedelta(hours=hours), "hospital", **more)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [found for one in value.values() for found in _references(one)]
    return [found for one in value for found in _references(one)] if isinstance(value, list) else []


def _is_whole(resource: dict[str, Any]) -> None:
    names = {f"#{one['id']}" for one in resource.get("contained", ())}
    assert set(_references(resource)) <= names | {"#"}
    assert names <= set(_references(resource))
    assert not any("text" in one or "contained" in one for one in resource.get("contained", ()))
    assert "narrativeLink" not in json.dumps(resource)
    assert list(model_findings(resource, resource["resourceType"])) == []


@pytest.mark.parametrize("case", ["cda-ldl-ses", "cda-tlm-da", "cda-ips-fr", "demande-hospitalisation-jour"])
def test_each_treatment_is_readable_without_its_document_and_names_it(case: str) -> None:
    held = _held(case)
    found = treatments_of([held], STATEMENTS) + treatments_of([held], PRESCRIPTIONS)
    inside = [e["resource"] for e in held.bundle["entry"] if e["resource"]["resourceType"] in (STATEMENTS, PRESCRIPTIONS)]
    assert sorted(one["id"] for one in found) == sorted(one["id"] for one in inside)
    assert found
    for resource in found:
        _is_whole(resource)
        assert resource["meta"]["source"].startswith(("urn:oid:", "urn:uuid:", "https://"))
        assert resource["subject"]["type"] == "Patient"
        assert "dateAsserted" in resource or "authoredOn" in resource


def test_the_document_itself_is_not_changed_by_what_is_taken_out_of_it() -> None:
    held = _held("cda-ldl-ses")
    before = json.dumps(held.bundle)
    treatments_of([held], STATEMENTS)
    assert json.dumps(held.bundle) == before


def test_the_newest_letter_comes_first_whatever_the_order_given() -> None:
    held = _held("cda-ldl-ses")
    older = replace(held.submission.document, created="2020-01-01T08:00:00+01:00", unique_id="1.2.3.4")
    old = HeldDocument(
        replace(held.submission, document=older),
        {**held.bundle, "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3.4"}},
    )
    sources = [one["meta"]["source"] for one in treatments_of([old, held], STATEMENTS)]
    assert sources[0] != "urn:oid:1.2.3.4"
    assert sources[-1] == "urn:oid:1.2.3.4"


def test_a_qualified_patient_is_named_by_the_matricule_and_a_provisional_one_by_name_only() -> None:
    (qualified, *_) = treatments_of([_held("cda-ldl-ses")], STATEMENTS)
    assert qualified["subject"]["identifier"]["system"] == "urn:oid:1.2.250.1.213.1.4.10"
    (provisional, *_) = treatments_of([_held("demande-hospitalisation-jour")], STATEMENTS)
    assert "identifier" not in provisional["subject"]
    assert provisional["subject"]["display"]


def test_an_answer_that_no_known_request_awaits_gives_its_own_appointment() -> None:
    (found,) = appointments_of([_held("reponse-hospitalisation-accord")])
    _is_whole(found)
    assert (found["status"], found["start"]) == ("booked", "2026-12-10T09:00:00+01:00")


def test_a_request_and_its_answer_give_one_appointment() -> None:
    answer = _held("reponse-hospitalisation-accord")
    request = _held(
        "demande-hospitalisation-jour",
        _step(StepKind.REQUESTED),
        _step(
            StepKind.SCHEDULED,
            5,
            planned_start="2026-12-10T09:00:00+01:00",
            planned_end="2026-12-10T17:00:00+01:00",
            answer_document=answer.submission.document.unique_id,
        ),
    )
    (found,) = appointments_of([answer, request])
    _is_whole(found)
    assert found["status"] == "booked"
    assert found["basedOn"][0]["identifier"]["value"] == "CMS-2026-H012"


def test_a_day_without_hours_is_proposed_and_a_new_day_takes_its_place() -> None:
    first = _step(StepKind.SCHEDULED, 1, planned_start="2026-12-10")
    second = _step(StepKind.SCHEDULED, 2, planned_start="2026-12-12")
    (found,) = appointments_of([_held("demande-hospitalisation-jour", _step(StepKind.REQUESTED), first, second)])
    _is_whole(found)
    assert found["status"] == "proposed"
    assert found["requestedPeriod"] == [{"start": "2026-12-12"}]
    assert set(found["participant"][1]["actor"]) == {"display"}  # R4 allows no structure as an actor


def test_what_was_planned_before_a_refusal_is_cancelled_with_the_reason_given() -> None:
    planned = _step(StepKind.SCHEDULED, 1, planned_start="2026-12-10T09:00:00+01:00", planned_end="2026-12-10T10:00:00+01:00")
    refused = _step(StepKind.REJECTED, 2, note="Lit fermé")
    (found,) = appointments_of([_held("demande-hospitalisation-jour", planned, refused)])
    _is_whole(found)
    assert (found["status"], found["cancelationReason"]["text"]) == ("cancelled", "Lit fermé")


def test_a_request_that_nobody_answered_gives_no_appointment() -> None:
    assert appointments_of([_held("demande-hospitalisation-jour", _step(StepKind.REQUESTED))]) == []


def _recipient(role_id: str, kind: RecipientKind) -> RecipientPlan:
    return RecipientPlan(role_id, kind, "as told then")


def test_the_team_holds_each_person_once_with_every_part_and_the_treating_doctor_first() -> None:
    directory = territory()
    person = next(role for role in directory.entries.roles if role.rpps)
    to = (_recipient(f"role:{person.key}", RecipientKind.PROFESSIONAL), _recipient("patient", RecipientKind.PATIENT))
    letters = [_held("cda-ldl-ses", recipients=to), _held("cda-tlm-da", recipients=to)]
    doctor = Professional(family="TRAITANT", given="Alix", rpps="99700000099")
    team = care_team_of(letters, doctor, directory)
    assert team is not None
    _is_whole(team)
    names = [one["member"]["display"] for one in team["participant"]]
    assert len(set(names)) == len(names)
    assert team["participant"][0]["role"] == [{"text": "Médecin traitant"}]
    assert any(person.display.split()[-1] in name for name in names)
    assert not any("as told then" in name for name in names)


def test_without_a_declared_doctor_the_letters_say_who_treats() -> None:
    letter = _held("cda-ldl-ses")
    treating = [one for one in members_of([letter], None, territory()) if "Médecin traitant" in one.parts]
    told = [one for one in letter.submission.document.participants if one.function_code == "PCP"]
    assert len(treating) == len(told)


def test_a_patient_of_whom_nothing_is_kept_has_no_team() -> None:
    assert care_team_of([], None, territory()) is None
