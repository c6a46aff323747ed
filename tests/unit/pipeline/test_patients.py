"""The patient index at work on a real ledger: at the door, when a route is chosen, before each send, after a correction."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import LedgerError, UnavailableError
from adapter.ledger.records import Decision
from adapter.model.plan import ChannelName
from adapter.model.receipt import Kept, Verdict
from adapter.model.work_item import WorkAbout
from adapter.packaging.parcel import MailContent, Parcel
from tests.builders.adt import build_adt, consent, guardian
from tests.builders.cda import PATIENT, SamplePatient, build_ldl_ses, matricule
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, build_mdm, to_patient
from tests.builders.instance import HOSPITAL, Instance

MAIL, FAX, RECORD = ChannelName.SECURE_MAIL, ChannelName.FAX, ChannelName.SHARED_RECORD
TO_PATIENT = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}
LATER = "20261121090000"
MINOR = replace(PATIENT, birth_date="20150918")


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def letter(patient: SamplePatient = PATIENT, *, about: SamplePatient | None = None, number: str = "1", **options: Any) -> bytes:
    """A discharge letter; `about` is the patient of PID when the document bears an older identity."""
    cda = build_ldl_ses(
        patient=patient, document_id=f"1.2.250.1.213.1.1.9.501.{number}", set_id=f"1.2.250.1.213.1.1.9.50{number}"
    )
    return build_mdm(cda, patient=about or patient, control_id=f"MDM{number}", **options)


def to_the_patient(**options: Any) -> bytes:
    flags: Mapping[str, str] = TO_PATIENT | options.pop("flags", {})
    return letter(recipients=(to_patient(),), flags=flags, **options)


def to_the_record(**options: Any) -> bytes:
    return letter(flags={"DESTDMP": "Y", "DESTMSSANTEPS": "N"}, recipients=(), **options)


# -- at the door ------------------------------------------------------------------------------------------------------------


def test_an_adt_message_is_acknowledged_as_pam_fr_wants_and_feeds_the_index(house: Instance) -> None:
    answer = house.accept(build_adt("A01", add=(consent(),)))
    msh = answer.body.decode().split("\r")[0].split("|")
    assert answer.verdict is Verdict.ACCEPTED
    assert (msh[8], msh[11], msh[18], msh[20]) == ("ACK^A01^ACK", "2.5^FRA^2.11", "FR", "2.11^IHE_FRANCE-2.11-PAM")
    house.prepare()
    assert len(house.ledger.find_patients(PATIENT.ins, legal_entity=APHP_EJ)) == 1
    assert house.timeline(answer.receipt_id).receipt.reason == "patient-index"
    assert house.conservation().holds


def test_an_adt_message_said_twice_gets_the_same_answer(house: Instance) -> None:
    first, again = house.accept(build_adt("A01")), house.accept(build_adt("A01"))
    assert (again.kept, again.body) == (Kept.REPEAT, first.body)
    other = house.accept(build_adt("A01", ipp="ANOTHER"))
    assert other.kept is Kept.CONFLICT


def test_an_event_of_no_use_is_acknowledged_and_keeps_its_reason(house: Instance) -> None:
    receipt = house.letter(build_adt("A10"))
    assert house.timeline(receipt).receipt.reason.startswith("adt-A10 le patient se déplace")
    assert house.conservation().holds


def test_a_production_instance_refuses_test_messages_and_test_identities(tmp_path: Path) -> None:
    house = Instance(tmp_path, production=True)
    assert house.accept(build_adt("A01")).verdict is Verdict.REFUSED
    refused = house.accept(build_adt("A01", control_id="2", mode="P"))
    assert {finding.code for finding in refused.findings} >= {"instance.test-identity"}
    assert house.accept(build_adt("A01", control_id="3", mode="P", ins="")).verdict is Verdict.ACCEPTED


def test_a_document_signed_before_a_merge_is_the_same_patients(house: Instance) -> None:
    old, new = replace(PATIENT, ipp="OLD", ins=""), replace(PATIENT, ipp="NEW", ins="")
    assert house.accept(letter(old, about=new)).verdict is Verdict.REFUSED
    house.letter(build_adt("A40", ipp="NEW", ins="", status="PROV", merged=("OLD",)))
    answer = house.accept(letter(old, about=new))
    assert answer.verdict is Verdict.ACCEPTED
    assert "hl7.patient-by-index" in {finding.code for finding in answer.findings}


def test_a_document_under_a_former_ins_is_accepted_but_opens_neither_record_nor_mailbox(house: Instance) -> None:
    other = matricule("1850775012012")
    house.letter(build_adt("A28", control_id="1"))
    house.letter(build_adt("A31", ins=other, control_id="2", at=LATER))
    about = replace(PATIENT, ins=other)
    receipt = house.letter(letter(PATIENT, about=about, recipients=(DOCTOR, to_patient(about)), flags={"DESTMSSANTEPAT": "Y"}))
    assert "patient/mssante" not in house.states(receipt)
    assert "ins-changed" in house.reasons()


def test_another_patient_stays_another_patient(house: Instance) -> None:
    house.letter(build_adt("A28", ipp="OLD", ins="", control_id="1"))
    house.letter(build_adt("A28", ipp="NEW", ins="", control_id="2"))
    old, new = replace(PATIENT, ipp="OLD", ins=""), replace(PATIENT, ipp="NEW", ins="")
    assert house.accept(letter(old, about=new)).verdict is Verdict.REFUSED


def test_an_index_that_cannot_be_read_asks_the_sender_to_come_back(house: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> bool:
        raise LedgerError("ledger.unavailable", "away")

    monkeypatch.setattr("adapter.ledger.patient_reading.same_person", away)
    old, new = replace(PATIENT, ipp="OLD", ins=""), replace(PATIENT, ipp="NEW", ins="")
    with pytest.raises(UnavailableError):
        house.accept(letter(old, about=new))


# -- when a route is chosen -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"change": {"PID-30": "Y"}}, "patient-deceased"),
        ({"ins": "", "status": "PROV"}, "ins-withdrawn"),
        ({"ins": matricule("1850775012012")}, "ins-changed"),
    ],
)
def test_what_the_index_knows_closes_the_patients_leg_from_the_start(house: Instance, told: dict[str, Any], reason: str) -> None:
    house.letter(build_adt("A28", control_id="1"))
    house.letter(build_adt("A31", control_id="2", at=LATER, **told))
    receipt = house.letter(to_the_patient())
    assert house.states(receipt) == {}
    assert reason in house.reasons()


def test_a_known_opposition_closes_the_record_whatever_the_sender_asks(house: Instance) -> None:
    house.letter(build_adt("A01", add=(consent("IO"),)))
    house.letter(to_the_record())
    assert house.reasons() == ["patient-refuses"]


def test_what_the_sender_asks_rules_when_the_patient_was_not_asked(house: Instance) -> None:
    house.letter(build_adt("A01", add=(consent("NA", "NA"),)))
    receipt = house.letter(to_the_record())
    assert house.states(receipt) == {"shared_record": "queued"}


# -- just before each send --------------------------------------------------------------------------------------------------


def test_a_death_told_after_the_plan_stops_the_patients_leg(house: Instance) -> None:
    house.letter(build_adt("A28", control_id="1"))
    receipt = house.letter(to_the_patient())
    assert house.states(receipt) == {"mssante": "queued"}
    house.letter(build_adt("A31", control_id="2", at=LATER, change={"PID-30": "Y", "PID-29": "20261121"}))
    house.dispatch()
    assert house.mail.parcels == []
    assert house.states(receipt) == {"mssante": "parked"}
    assert house.reasons() == ["patient-deceased"]


def test_a_death_does_not_stop_a_doctors_leg(house: Instance) -> None:
    house.letter(build_adt("A31", change={"PID-30": "Y"}))
    house.letter(letter())
    house.dispatch()
    assert len(house.mail.parcels) == 1


def test_an_opposition_told_after_the_plan_refuses_the_record_with_its_cause(house: Instance) -> None:
    house.letter(build_adt("A01", control_id="1", add=(consent("INO"),)))
    receipt = house.letter(to_the_record())
    house.letter(build_adt("A31", control_id="2", at=LATER, add=(consent("IO", at=LATER),)))
    house.dispatch(RECORD)
    assert house.record.parcels == []
    assert house.states(receipt) == {"shared_record": "refused"}
    assert house.reasons() == ["patient-refuses"]
    assert house.conservation().holds


@pytest.mark.parametrize("message", [to_the_patient, to_the_record])
def test_an_ins_withdrawn_after_the_plan_lets_nothing_of_it_leave(house: Instance, message: Any) -> None:
    house.letter(build_adt("A28", control_id="1"))
    receipt = house.letter(message())
    house.letter(build_adt("A31", control_id="2", at=LATER, ins="", status="PROV"))
    channel = RECORD if message is to_the_record else MAIL
    assert set(house.states(receipt).values()) == {"parked"}
    [item] = [i for i in house.items() if i.about is WorkAbout.SUBMISSION]
    house.ledger.resolve(item.id, Decision("retry"), "agent", legal_entity=APHP_EJ)
    house.dispatch(channel)
    assert house.channels[channel].parcels == []
    assert house.reasons() == ["ins-withdrawn", "ins-withdrawn"]


def test_a_guardian_told_after_the_plan_stops_what_representatives_may_not_see(house: Instance) -> None:
    receipt = house.letter(to_the_patient(flags={"INVISIBLE_REP_LEGAUX": "Y"}))
    house.letter(build_adt("A31", add=(guardian(),)))
    house.dispatch()
    assert house.states(receipt) == {"mssante": "parked"}
    assert house.reasons() == ["hidden-from-representatives"]


def test_a_guardianship_that_has_ended_stops_nothing(house: Instance) -> None:
    house.letter(to_the_patient(flags={"INVISIBLE_REP_LEGAUX": "Y"}))
    house.letter(build_adt("A31", add=(guardian(until="20261001"),)))
    house.dispatch()
    assert len(house.mail.parcels) == 1


def test_a_person_of_trust_is_no_guardian(house: Instance) -> None:
    house.letter(to_the_patient(flags={"INVISIBLE_REP_LEGAUX": "Y"}))
    house.letter(build_adt("A31", add=(guardian("K"),)))
    house.dispatch()
    assert len(house.mail.parcels) == 1


def test_what_representatives_may_not_see_never_goes_to_a_minor(house: Instance) -> None:
    receipt = house.letter(letter(MINOR, recipients=(to_patient(MINOR),), flags=TO_PATIENT | {"INVISIBLE_REP_LEGAUX": "Y"}))
    assert house.states(receipt) == {}
    assert house.reasons() == ["hidden-from-representatives"]


# -- corrections ------------------------------------------------------------------------------------------------------------


def metadata_of(parcel: Parcel) -> str:
    """METADATA.XML of the archive that a mail carries."""
    assert isinstance(parcel.content, MailContent)
    mail = message_from_bytes(parcel.content.message)
    archive = next(part for part in mail.walk() if part.get_filename() == "IHE_XDM.zip")
    with zipfile.ZipFile(io.BytesIO(archive.get_payload(decode=True))) as held:  # type: ignore[arg-type]
        name = next(name for name in held.namelist() if name.endswith("METADATA.XML"))
        return held.read(name).decode()


def decide(house: Instance, word: str, about: WorkAbout = WorkAbout.PATIENT) -> None:
    """A person answers the first open item of this kind."""
    item = next(item for item in house.items() if item.about is about)
    house.ledger.resolve(item.id, Decision(word), "agent", legal_entity=APHP_EJ)
    house.prepare()


def test_a_merged_patients_letter_is_corrected_by_a_replacement_under_the_identity_of_today(house: Instance) -> None:
    sent = house.letter(letter(replace(PATIENT, ipp="OLD")))
    house.dispatch()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    decide(house, "correct")
    assert house.dispatch() == 1
    first, second = house.mail.parcels
    assert "OLD^^^" in metadata_of(first)
    assert "OLD^^^" not in metadata_of(second)
    assert "NEW^^^" in metadata_of(second)
    assert ">C<" in metadata_of(second)
    timelines = [house.timeline(r) for r in house.ledger.find("NEW", legal_entity=APHP_EJ)]
    (corrected,) = [trace for t in timelines for trace in t.submissions if trace.submission.intent.value == "replace"]
    assert corrected.submission.document.version == 2
    numbers = {n.value for n in corrected.submission.document.patient.local_ids}
    assert "NEW" in numbers
    assert "OLD" not in numbers
    assert house.states(sent)["mssante"] == "accepted"
    assert house.conservation().holds


def test_a_correction_takes_the_place_of_what_had_not_left(house: Instance) -> None:
    waiting = house.letter(letter(replace(PATIENT, ipp="OLD")))
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    assert house.states(waiting)["mssante"] == "parked"
    decide(house, "correct")
    house.dispatch()
    assert len(house.mail.parcels) == 1
    assert house.states(waiting) == {"mssante": "superseded", "fax": "superseded"}


def test_a_cancellation_goes_to_those_who_had_it_even_when_the_ins_was_withdrawn(house: Instance) -> None:
    house.letter(build_adt("A28", control_id="1"))
    house.letter(to_the_patient())
    house.dispatch()
    house.letter(build_adt("A31", control_id="2", at=LATER, ins="", status="PROV"))
    decide(house, "cancel")
    assert house.dispatch() == 1
    sent, cancelled = house.mail.parcels
    assert cancelled.address == sent.address
    assert house.conservation().holds


def test_a_patients_box_of_another_ins_is_asked_about_and_not_written_to(house: Instance) -> None:
    other = matricule("1850775012012")
    house.letter(build_adt("A28", control_id="1"))
    house.letter(letter(recipients=(DOCTOR, to_patient()), flags={"DESTMSSANTEPAT": "Y"}))
    house.dispatch()
    house.letter(build_adt("A31", control_id="2", at=LATER, ins=other))
    decide(house, "correct")
    house.dispatch()
    assert len(house.mail.parcels) == 3
    assert "patient-box" in house.reasons()


def test_a_correction_prepared_again_after_a_crash_is_one_correction(house: Instance) -> None:
    house.letter(letter(replace(PATIENT, ipp="OLD")))
    house.dispatch()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    item = next(item for item in house.items() if item.about is WorkAbout.PATIENT)
    house.ledger.resolve(item.id, Decision("correct"), "agent", legal_entity=APHP_EJ)
    commit = house.ledger.commit_effects

    def dies(*_: Any, **__: Any) -> Any:
        raise LedgerError("ledger.unavailable", "the power is gone")

    house.ledger.commit_effects = dies  # type: ignore[method-assign]
    with pytest.raises(LedgerError):
        house.prepare()
    house.ledger.commit_effects = commit  # type: ignore[method-assign]
    house.clock.advance(minutes=5)
    house.prepare()
    house.prepare()
    assert house.dispatch() == 1
    assert len(house.mail.parcels) == 2


def test_no_patient_content_reaches_a_work_item(house: Instance) -> None:
    house.letter(build_adt("A28", control_id="1"))
    house.letter(to_the_patient())
    house.dispatch()
    house.letter(build_adt("A31", control_id="2", at=LATER, ins="", status="PROV"))
    told = json.dumps([item.advice for item in house.items()])
    for secret in (PATIENT.ins[:13], PATIENT.birth_name, PATIENT.ipp):
        assert secret not in told


def test_another_entitys_index_says_nothing_of_ours(tmp_path: Path) -> None:
    house = Instance(tmp_path, entities=(APHP_EJ, "940000002"))
    theirs = replace(HOSPITAL, name="autre", legal_entity="940000002")
    house.letter(build_adt("A31", change={"PID-30": "Y"}), principal=theirs)
    house.letter(to_the_patient())
    house.dispatch()
    assert len(house.mail.parcels) == 1
