"""Corrections after an identity changed: to the right people only, of the right person only, valid, and nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.ledger.records import Decision
from adapter.model.identity import LocalIdentifier, PatientIdentity, Telecom
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.pipeline import corrections
from adapter.pipeline.corrections import identity_of
from adapter.routing.directory import load_directory
from tests.builders.adt import build_adt
from tests.builders.cda import PATIENT, SamplePatient, build_ldl_ses
from tests.builders.directory import APHP_EJ, territory_files
from tests.builders.hl7 import CANCELS, DOCTOR, build_mdm, to_patient, to_professional
from tests.builders.instance import Instance
from tests.unit.pipeline.test_patients import TO_PATIENT, decide, letter, to_the_record

NOBODY = to_professional(rpps="99900009012", family="INCONNU", given="Un")
NOW_KNOWN = b"""
[[practitioner]]
rpps = "99900009012"
given = "Un"
family = "INCONNU"

[[practitioner.role]]
key = "inconnu-ivry"
organisation = "ivry"
mailbox = "un.inconnu@cms-ivry.formation.mssante.fr"
valid_from = 2018-01-02
"""
LATER = "20261121090000"
OLD = replace(PATIENT, ipp="OLD")


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def test_a_recipient_whom_a_person_had_stopped_gets_no_correction(house: Instance) -> None:
    """Stopped because it was the wrong doctor, perhaps: a correction is no reason to write to them after all."""
    receipt = house.letter(letter(OLD))
    (first, *_) = [d for trace in house.timeline(receipt).submissions for d in trace.deliveries if d.channel is house.mail.name]
    advice = "Mauvais destinataire ?"
    house.ledger.open_work_item(WorkItem("i", APHP_EJ, WorkAbout.DELIVERY, first.id, "look", advice, house.clock()))
    house.ledger.resolve("i", Decision.CANCEL, "agent", legal_entity=APHP_EJ)
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    decide(house, "correct")
    assert (house.dispatch(), house.dispatch(house.fax.name)) == (0, 0)
    assert house.mail.parcels == [] and house.fax.parcels == []


def test_what_was_held_and_cannot_be_corrected_is_asked_about(house: Instance) -> None:
    """The author's CDA cannot follow into a record: unsent and uncorrected, it would lie there and nobody would know."""
    receipt = house.letter(to_the_record(patient=OLD))
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    assert set(house.states(receipt).values()) == {"parked"}
    decide(house, "correct")
    open_items = {item.reason: item for item in house.items()}
    assert "not-corrected" in open_items
    assert open_items["not-corrected"].about is WorkAbout.DELIVERY
    house.ledger.resolve(open_items["not-corrected"].id, Decision.RETRY, "agent", legal_entity=APHP_EJ)
    assert set(house.states(receipt).values()) == {"queued"}


def taken_back(patient: SamplePatient) -> bytes:
    """The hospital's T04 for `letter(patient)`."""
    cda = build_ldl_ses(patient=patient, document_id="1.2.250.1.213.1.1.9.501.1", set_id="1.2.250.1.213.1.1.9.501")
    return build_mdm(cda, patient=patient, control_id="MDM2", **CANCELS)


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_letter_that_the_hospital_took_back_does_not_come_back_as_a_correction(
    house: Instance, *, cancelled_first: bool
) -> None:
    """It is not asked about, or it is taken back while the question is open: its reader was told that it is cancelled."""
    merge, cancel = build_adt("A40", ipp="NEW", merged=("OLD",)), taken_back(OLD)
    house.letter(letter(OLD))
    house.dispatch()
    for message in (cancel, merge) if cancelled_first else (merge, cancel):
        house.letter(message)
        house.dispatch()
    assert len(house.mail.parcels) == 2
    if cancelled_first:
        assert house.items() == []
    else:
        decide(house, "correct")
    assert (house.dispatch(), len(house.mail.parcels)) == (0, 2)
    assert house.conservation().holds


def test_of_an_authors_cda_it_is_said_that_cancelling_is_safer(house: Instance) -> None:
    """It keeps the other identity inside, whatever its envelope says."""
    house.letter(letter(OLD))
    house.dispatch()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    (document,) = [item for item in house.items() if item.about is WorkAbout.SUBMISSION]
    assert "préférer cancel" in document.advice


def test_prepared_again_while_its_patient_is_in_question_a_document_queues_no_new_leg(house: Instance) -> None:
    receipt = house.letter(letter(OLD, recipients=(DOCTOR, NOBODY)))
    house.dispatch()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    unknown = next(item for item in house.items() if item.reason == "unknown-recipient")
    files = territory_files()
    files["reference-territory.toml"] += NOW_KNOWN
    house.directory = load_directory(files)
    house.ledger.resolve(unknown.id, Decision.RETRY, "agent", legal_entity=APHP_EJ)
    house.prepare()
    assert house.states(receipt)["role:inconnu-ivry/mssante"] == "parked" and house.dispatch() == 0
    decide(house, "retry")
    assert house.dispatch() == 1 and house.conservation().holds


def test_a_correction_that_does_not_validate_is_parked_and_nothing_of_it_leaves(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.letter(letter(OLD))
    house.dispatch()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    made = corrections.patient_resource

    def spoilt(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return made(*args, **kwargs) | {"gender": "not-a-gender"}

    monkeypatch.setattr(corrections, "patient_resource", spoilt)
    decide(house, "correct")
    assert house.dispatch() == 0
    assert "invalid-output" in house.reasons()
    monkeypatch.undo()
    (item,) = [item for item in house.items() if item.reason == "invalid-output"]
    house.ledger.resolve(item.id, Decision.RETRY, "agent", legal_entity=APHP_EJ)
    house.prepare()
    assert house.dispatch() == 1


def test_a_document_of_somebody_else_keeps_nothing_of_them_once_corrected(house: Instance) -> None:
    """After an un-merge, what the index was never told of the right patient must not be filled from the other one."""
    wrong = PatientIdentity(
        "MARTIN",
        "PAUL",
        used_name="DURAND",
        birth_date="1950-01-01",
        birth_place_city="BREST",
        telecoms=(Telecom("phone", "0600000000"),),
        local_ids=(LocalIdentifier("NEW", "1.2.3"), LocalIdentifier("STAY-1", "1.2.4", "VN")),
    )
    house.letter(build_adt("A28"))
    (entry,) = house.ledger.find_patients(PATIENT.ipp, legal_entity=APHP_EJ)
    patient = identity_of(entry.record, wrong, is_same_person=False)
    assert patient.birth_name == PATIENT.birth_name
    assert (patient.used_name, patient.birth_place_city) == (entry.record.facts.used_name, "")
    assert patient.telecoms == entry.record.facts.telecoms
    assert {n.value for n in patient.local_ids} == {PATIENT.ipp, "STAY-1"}


def test_a_patient_of_whom_the_index_knows_nothing_is_no_ones_document(house: Instance) -> None:
    house.letter(letter(replace(PATIENT, ipp="NEW"), number="1"))
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",), control_id="1"))
    house.letter(letter(replace(PATIENT, ipp="NEW"), number="2"))
    house.dispatch()
    nothing = {f"PID-{n}": "" for n in (5, 7, 8)}
    house.letter(build_adt("A28", ipp="OLD", ins="", status="PROV", control_id="2", at=LATER, change=nothing))
    item = next(i for i in house.items() if i.about is WorkAbout.SUBMISSION and i.reason == "identity-unmerged")
    sent = len(house.mail.parcels)
    house.ledger.resolve(item.id, Decision.CORRECT, "agent", legal_entity=APHP_EJ)
    house.prepare()
    house.dispatch()
    assert "identity-incomplete" in house.reasons()
    assert len(house.mail.parcels) == sent


def test_a_route_chosen_at_the_instant_of_an_identity_change_is_chosen_again(
    house: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matricule withdrawn between the plan and its commit: the plan that is committed knows it, and nothing is queued."""
    house.letter(build_adt("A28", control_id="1"))
    receipt = house.accept(to_the_record()).receipt_id
    view, told = house.ledger.patient_view, []

    def slowly(*args: Any, **kwargs: Any) -> Any:
        seen = view(*args, **kwargs)
        if not told:
            told.append(True)
            house.accept(build_adt("A31", control_id="2", at=LATER, ins="", status="PROV"))
            house.pipeline.prepare_some("w2")
        return seen

    monkeypatch.setattr(house.ledger, "patient_view", slowly)
    house.prepare()
    assert told == [True]
    assert house.states(receipt) == {}
    assert house.reasons() == ["ins-withdrawn"]


# -- what a sender takes back, and what may not be seen -------------------------------------------------------------------------


def cancelled(**options: Any) -> bytes:
    """The sender's own deletion of the letter."""
    cda = build_ldl_ses(patient=PATIENT, document_id="1.2.250.1.213.1.1.9.501.1", set_id="1.2.250.1.213.1.1.9.501")
    return build_mdm(cda, control_id="MDM9", event="T04", order="CA", status="D", **options)


@pytest.mark.parametrize("since", [{"change": {"PID-30": "Y"}}, {"ins": "", "status": "PROV"}], ids=["death", "ins-withdrawn"])
def test_a_senders_cancellation_reaches_the_patient_whatever_was_learnt_since(house: Instance, since: dict[str, Any]) -> None:
    options: dict[str, Any] = {"recipients": (to_patient(),), "flags": TO_PATIENT}
    house.letter(build_adt("A28", control_id="1"))
    house.letter(letter(**options))
    house.dispatch()
    house.letter(build_adt("A31", control_id="2", at=LATER, **since))
    house.letter(cancelled(**options))
    house.dispatch()
    assert len(house.mail.parcels) == 2
    assert house.mail.parcels[0].address == house.mail.parcels[1].address


def test_a_secret_connection_that_the_record_cannot_give_is_asked_about(house: Instance) -> None:
    receipt = house.letter(letter(flags={"DESTDMP": "Y", "DESTMSSANTEPS": "N", "CONNEXION_SECRETE": "Y"}, recipients=()))
    assert house.states(receipt) == {}
    assert house.reasons() == ["secret-connection"]
