"""Patients of the record: one a matricule, whoever names them; found by INS, made from joined traits.

Law: référentiel INS; blueprint seams 12 and 14 (a wrong key is refused, an identity is never repaired; real matricules and test
ones never share an instance).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from adapter.ledger.lookup import normalise_ins
from adapter.ledger.record_rows import NewResource, Row
from adapter.ledger.record_store import RecordChanges, RecordRows
from adapter.model.identity import INS_TEST_OIDS, ins_is_valid
from adapter.record.content import matricules_of
from adapter.record.parameters import indexes_of
from adapter.record.refusals import refused
from adapter.record.submission import Subject, official_ins

Resource = dict[str, Any]


def lock_name(matricule: str) -> str:
    """The name under which a patient is held while looked for."""
    return f"Patient:{normalise_ins(matricule)}"


def check_matricule(system: str, matricule: str, place: str, *, is_production: bool) -> None:
    """RecordRefusal for a matricule that this instance does not take."""
    if not normalise_ins(matricule):
        raise refused("record.patient-missing", place)
    if not ins_is_valid(matricule):
        raise refused("record.ins-key", place)
    is_test = system.removeprefix("urn:oid:") in INS_TEST_OIDS
    if is_test is is_production:
        raise refused("record.ins-domain", place)


def find_patient(rows: RecordRows, matricule: str) -> Row | None:
    """The patient of a matricule."""
    return rows.find_unique("Patient", normalise_ins(matricule))


def settle_patient(changes: RecordChanges, subject: Subject, feeder: str, *, is_production: bool) -> tuple[Row, bool]:
    """The patient that a submission is about, and whether it is new here. Its lock must be held."""
    place = f"{subject.place}.subject"
    if subject.held_id:
        row = changes.get("Patient", subject.held_id)
        if row is None:
            raise refused("record.reference", place)
        return row, False
    if subject.traits is None:
        row = find_patient(changes, subject.matricule)
        if row is None:
            raise refused("record.patient-unknown", place)
        return row, False
    system, matricule = official_ins(subject.traits)
    check_matricule(system, matricule, place, is_production=is_production)
    row = find_patient(changes, matricule)
    return (row, False) if row else (add_patient(changes, subject.traits, matricule, feeder), True)


def add_patient(changes: RecordChanges, traits: Resource, matricule: str, feeder: str) -> Row:
    """Hold a patient."""
    new_id = changes.new_id()
    kept = {key: value for key, value in traits.items() if key != "id"} | {"resourceType": "Patient", "id": new_id}
    return changes.add(
        NewResource(
            new_id,
            "Patient",
            json.dumps(kept, ensure_ascii=False).encode(),
            "active",
            patient_id=new_id,
            unique=normalise_ins(matricule),
            feeder=feeder,
            indexes=indexes_of(kept),
        )
    )


def check_same_patient(patient: Resource, told: Iterable[tuple[str, str]]) -> None:
    """RecordRefusal when a part names another matricule than those of the patient."""
    own = {normalise_ins(one) for one in matricules_of(patient)}
    for place, matricule in told:
        if normalise_ins(matricule) not in own:
            raise refused("record.other-patient", place)
