"""What the sender of a form is answered, by the real judge over the reference directory: alerts, targets, who may send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.ledger.records import PayloadKind
from adapter.model.finding import Severity
from adapter.model.receipt import Answer, Principal, Verdict
from adapter.routing.directory import load_directory
from tests.builders.directory import APHP_EJ, territory, territory_files
from tests.builders.form import build_imaging_request, form_bytes
from tests.builders.instance import Instance
from tests.builders.letter import build_entry_letter
from tests.builders.stay import build_stay_answer, build_stay_request

CENTRE = Principal("cms-fictif", "token", "940000003")


def answered(folder: Path, **changes: Any) -> dict[str, Any]:
    content = form_bytes(build_imaging_request(**changes))
    answer = Instance(folder).accept(content, door="http", principal=CENTRE, form="demande-imagerie")
    told: dict[str, Any] = json.loads(answer.body)
    return told


@pytest.mark.parametrize(
    ("treatment", "code", "severity"),
    [
        ("METFORMINE 1000", "safety.metformin", "warning"),
        ("comprimé blanc", "safety.metformin-to-verify", "warning"),
        ("Lantus", "safety.metformin-not-found", "information"),
    ],
)
def test_the_answer_lists_what_the_search_came_to(tmp_path: Path, treatment: str, code: str, severity: str) -> None:
    told = answered(tmp_path, **{"contre-indications.diabete-traitement": treatment})
    (alert,) = told["alerts"]
    assert (alert["code"], alert["severity"]) == (code, severity)
    assert "scanner" in alert["text"] or "Cela ne vaut pas absence de contre-indication" in alert["text"]
    assert [w["code"] for w in told["warnings"]] == ([code] if severity == "warning" else [])


def test_a_site_that_switched_the_search_off_is_answered_that_nothing_was_searched(tmp_path: Path) -> None:
    files = territory_files()
    name, target = "reference-territory.toml", b'form = "demande-imagerie"\nsite = "bct"\n'
    off = load_directory(files | {name: files[name].replace(target, target + b'switched_off = ["metformin"]\n')})
    house = Instance(tmp_path, directory=off)
    content = form_bytes(build_imaging_request())
    answer = house.accept(content, door="http", principal=Principal("x", "token", APHP_EJ), form="demande-imagerie")
    (alert,) = json.loads(answer.body)["alerts"]
    assert alert["code"] == "safety.metformin-off" and "aucune recherche n’a été faite" in alert["text"]
    house.prepare()
    (trace,) = house.timeline(answer.receipt_id).submissions
    bundle = house.ledger.read_payload(PayloadKind.BUNDLE, trace.submission.id, legal_entity=APHP_EJ).decode()
    assert "DetectedIssue" not in bundle and "désactivée par le site" in bundle


def test_a_request_without_an_injected_ct_has_no_alert(tmp_path: Path) -> None:
    assert answered(tmp_path, examens=[{"modalite": "ECHO", "region": "abdomen"}])["alerts"] == []


# -- the hospitalisation request and the hospital's half ------------------------------------------------------------------


def commune() -> str:
    """The legal entity of a health centre of the reference territory."""
    return next(e.finess for e in territory().entries.legal_entities if e.key == "commune-ivry")


def taken(house: Instance, form: dict[str, Any], legal_entity: str) -> Answer:
    return house.accept(form_bytes(form), door="http", principal=Principal("x", "token", legal_entity), form=form["formulaire"])


def test_a_stay_request_is_taken_and_goes_to_the_service_that_it_names(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    answer = taken(house, build_stay_request(), APHP_EJ)  # the house's own entity: the one that it has a mailbox for
    house.prepare()
    assert house.states(answer.receipt_id) == {"mssante": "queued", "fax": "waiting"}
    assert house.dispatch()
    assert len(house.mail.parcels) == 1


def test_the_hospitals_half_is_taken_from_a_hospital_and_refused_from_town(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    assert taken(house, build_stay_answer(), APHP_EJ).verdict is Verdict.ACCEPTED
    pretended = build_stay_answer(**{"numero": "X-1", "medecin.finess": "940000003"})
    answer = taken(house, pretended, commune())
    assert answer.verdict is Verdict.REFUSED
    assert [f.code for f in answer.findings if f.severity is Severity.ERROR] == ["route.no-recipient-resolved"]


def test_an_entry_letter_is_taken_and_owes_no_answer(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    answer = taken(house, build_entry_letter(), APHP_EJ)
    house.prepare()
    assert house.states(answer.receipt_id) == {"mssante": "queued", "fax": "waiting"}


def test_a_service_that_takes_no_stay_request_is_refused_at_the_door(tmp_path: Path) -> None:
    answer = taken(Instance(tmp_path), build_stay_request(**{"sejour.service": "pbr-imagerie"}), commune())
    assert [f.code for f in answer.findings] == ["form.unknown-choice"]
