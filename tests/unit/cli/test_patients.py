"""`tdu trace` under an INS or an IPP, `tdu translate` and `tdu validate` of an ADT message: states and places, never a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.audit.trail import seal_audit
from adapter.cli.options import read_config
from tests.builders.adt import DOCTOR, build_adt, consent, guardian
from tests.builders.cda import PATIENT
from tests.unit.cli.conftest import Terminal

ADMISSION = build_adt("A01", add=(DOCTOR, consent("IO"), guardian(), "ZZZ|1"))


@pytest.fixture
def admission(tmp_path: Path) -> Path:
    path = tmp_path / "admission.hl7"
    path.write_bytes(ADMISSION)
    return path


def prepare(instance: Path) -> None:
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
    finally:
        house.ledger.close()


def test_an_entry_is_found_by_ins_and_by_ipp_and_names_nobody(
    instance: Path, admission: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    assert tdu("submit", admission).exit_code == 0
    prepare(instance)
    for reference in (PATIENT.ins, PATIENT.ipp):
        [found] = told("trace", reference)
        assert (found["ins"], found["statuses"], found["guardian"]) == ("usable", ["VALI"], True)
        assert (found["record_feeding"], found["treating_doctor"]) == ("IO", "declared")
        assert [line["event"] for line in found["history"]] == ["ADT^A01"]
        shown = tdu("trace", reference).output
        assert "ADT^A01" in shown
        for secret in (PATIENT.birth_name, PATIENT.ins, PATIENT.ipp, PATIENT.birth_date, "PARIS", "TUTEUR-EXEMPLE"):
            assert secret not in shown + json.dumps(found)


def test_who_looked_a_patient_up_is_audited(instance: Path, admission: Path, tdu: Terminal) -> None:
    tdu("submit", admission)
    prepare(instance)
    tdu("trace", PATIENT.ins)
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        seal_audit(house.ledger)
        entity = house.config.legal_entities[0].finess_ej
        actions = [row.entry.action for row in house.ledger.read_audit(0, 100, legal_entity=entity)]
    finally:
        house.ledger.close()
    assert actions[-1] == "patient.read"


def test_nobody_known_is_said(instance: Path, admission: Path, tdu: Terminal) -> None:
    tdu("submit", admission)
    assert tdu("trace", PATIENT.ins).exit_code == 1


def test_an_admission_is_translated_to_a_collection_with_its_report(admission: Path, tdu: Terminal, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = tdu("translate", admission, "--to", "fhir", "--report", report)
    assert json.loads(result.stdout)["type"] == "collection"
    [told] = json.loads(report.read_bytes())
    assert [node["path"] for node in told["unread"]] == ["ZZZ-1.1"]
    assert (told["event"], told["warnings"]) == ("A01", [])
    assert all(ignored["why"] for ignored in told["ignored"])


def test_an_admission_has_no_other_form(admission: Path, tdu: Terminal) -> None:
    result = tdu("translate", admission, "--to", "cda")
    assert result.exit_code == 1
    assert "adt.only-fhir" in result.output


def test_an_admission_is_validated_and_its_coverage_told(admission: Path, tdu: Terminal) -> None:
    assert "ok (HL7 v2)" in tdu("validate", admission).output
    assert "1 unread" in tdu("coverage", admission).output


def test_a_merge_that_says_nothing_is_refused_here_as_at_the_door(tdu: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "fusion.hl7"
    path.write_bytes(build_adt("A40"))
    assert tdu("translate", path).exit_code == 1
    assert "hl7.segment-missing" in tdu("validate", path).output
