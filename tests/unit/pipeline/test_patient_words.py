"""What a patient, or the record, said of the record and of secure mail: the newest word rules what leaves, whoever said it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adapter.formats.hl7v2 import read_message
from adapter.ledger.patient_wishes import names_of_document
from adapter.model.delivery import DeliveryState
from adapter.model.identity import PatientIdentity
from adapter.model.plan import ChannelName
from adapter.model.wish import PatientWord, WishFor, Word
from adapter.packaging.parcel import Hl7Content, Hl7Partner, Hl7Sender
from tests.builders.adt import build_adt, consent
from tests.builders.cda import PATIENT, build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import build_mdm, to_patient
from tests.builders.instance import HOSPITAL, Instance, accepted, refused

RECORD = ChannelName.SHARED_RECORD
TO_RECORD = {"DESTDMP": "Y", "DESTMSSANTEPS": "N"}
TO_PATIENT = {"DESTMSSANTEPS": "N", "DESTMSSANTEPAT": "Y"}


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def letter(number: int = 1, *, to_record: bool = True) -> bytes:
    cda = build_ldl_ses(document_id=f"1.2.250.1.213.1.1.9.501.{number}", set_id=f"1.2.250.1.213.1.1.9.50{number}")
    recipients = () if to_record else (to_patient(),)
    return build_mdm(cda, control_id=f"MDM{number}", recipients=recipients, flags=TO_RECORD if to_record else TO_PATIENT)


def patient_of(house: Instance, receipt: str) -> PatientIdentity:
    return house.timeline(receipt).submissions[0].submission.document.patient


def say(house: Instance, receipt: str, about: WishFor, said: Word, *, entity: str = APHP_EJ) -> None:
    names = names_of_document(patient_of(house, receipt))
    house.ledger.keep_patient_word(names, PatientWord(about, said, "accueil", house.clock()), legal_entity=entity)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("record-none", "record-none"), ("record-closed", "record-closed"), ("record-opposed", "patient-refuses")],
)
def test_what_the_record_answers_of_a_patient_is_remembered(house: Instance, cause: str, reason: str) -> None:
    house.record.script(refused(cause))
    first = house.letter(letter(1))
    house.dispatch(RECORD)
    assert house.states(first) == {"shared_record": "refused"}
    assert house.reasons() == []  # there is nothing to do about it, and nobody is asked
    assert house.conservation().holds
    second = house.letter(letter(2))
    assert house.states(second) == {}
    assert house.reasons() == [reason]
    assert len(house.record.parcels) == 1


@pytest.mark.parametrize("cause", ["record-none", "record-closed", "record-opposed", "record-partial"])
def test_the_sender_is_told_by_z01_what_the_record_said(tmp_path: Path, cause: str) -> None:
    sender = Hl7Sender(processing="T", partners=(Hl7Partner("dpi", "EAI", "CENTRAL"),), acks_to=((HOSPITAL.name, "dpi"),))
    house = Instance(tmp_path, hl7=sender)
    house.record.script(refused(cause))
    asked = TO_RECORD | {"ACK_RECEPTION": "Y"}
    house.letter(build_mdm(build_ldl_ses(), control_id="MDM1", recipients=(), flags=asked))
    house.dispatch(RECORD)
    if cause == "record-partial":
        house.resolve("hand-over")
    house.pipeline.settle_some()
    house.dispatch(ChannelName.HL7_PUSH)
    (content,) = [parcel.content for parcel in house.software.parcels]
    assert isinstance(content, Hl7Content)
    message = read_message(content.message)
    assert (message.value("MSH", 9, 2), message.segments("OBX")[0].value(5)) == ("Z01", "N")
    told = "handed-over" if cause == "record-partial" else cause
    assert (message.value("ERR", 5, 1), message.value("ERR", 5, 3)) == (told, "DMP_ERROR_CODE")


def test_what_waits_for_the_record_follows_its_word(house: Instance) -> None:
    first, second = house.letter(letter(1)), house.letter(letter(2))
    house.record.script(refused("record-none"))
    house.dispatch(RECORD)
    assert [house.states(one)["shared_record"] for one in (first, second)] == ["refused", "refused"]
    assert len(house.record.parcels) == 1


def test_a_person_who_heard_otherwise_opens_it_again(house: Instance) -> None:
    house.record.script(refused("record-none"))
    first = house.letter(letter(1))
    house.dispatch(RECORD)
    house.clock.advance(hours=1)
    say(house, first, WishFor.RECORD, Word.AGREED)
    house.record.script(accepted(DeliveryState.INTEGRATED))
    second = house.letter(letter(2))
    house.dispatch(RECORD)
    assert house.states(second) == {"shared_record": "integrated"}


def test_a_refusal_at_the_desk_stops_what_is_queued(house: Instance) -> None:
    receipt = house.letter(letter())
    say(house, receipt, WishFor.RECORD, Word.REFUSED)
    house.dispatch(RECORD)
    assert house.record.parcels == []
    assert house.states(receipt) == {"shared_record": "refused"}


def test_a_patient_who_refuses_mail_gets_none(house: Instance) -> None:
    receipt = house.letter(letter(to_record=False))
    say(house, receipt, WishFor.MAIL, Word.REFUSED)
    house.dispatch()
    assert house.mail.parcels == []
    house.clock.advance(minutes=1)
    say(house, receipt, WishFor.MAIL, Word.AGREED)
    second = house.letter(letter(2, to_record=False))
    assert "queued" in house.states(second).values()


@pytest.mark.parametrize(("told_at", "state"), [("20261121130000", {}), ("20261121110000", {"shared_record": "queued"})])
def test_of_the_desk_and_of_adt_the_newest_word_rules(house: Instance, told_at: str, state: dict[str, str]) -> None:
    """The desk hears an agreement at 11:00 UTC (12:00 in Paris); ADT told an opposition one hour later, or one hour before."""
    say(house, house.letter(letter(1)), WishFor.RECORD, Word.AGREED)
    house.letter(build_adt("A31", at=told_at, add=(consent("IO", at=told_at),)))
    assert house.states(house.letter(letter(2))) == state


def test_not_asked_takes_nothing_back(house: Instance) -> None:
    say(house, house.letter(letter(1)), WishFor.RECORD, Word.REFUSED)
    later = "20261121150000"
    house.letter(build_adt("A31", at=later, add=(consent("NA", at=later),)))
    assert house.states(house.letter(letter(2))) == {}


def test_a_word_counts_for_the_entity_that_heard_it(house: Instance) -> None:
    receipt = house.letter(letter(1))
    say(house, receipt, WishFor.RECORD, Word.REFUSED, entity="940000003")
    house.dispatch(RECORD)
    assert house.states(receipt) == {"shared_record": "accepted"}


def test_a_word_follows_the_patient_under_every_number(house: Instance) -> None:
    """Said of the matricule alone, it holds for a document that bears the IPP, once the index knows both as one."""
    house.letter(build_adt("A28"))
    mine = PatientIdentity("", ins=patient_of(house, house.letter(letter(1))).ins)
    said = PatientWord(WishFor.RECORD, Word.REFUSED, "accueil", house.clock() + timedelta(minutes=1))
    house.ledger.keep_patient_word(names_of_document(mine), said, legal_entity=APHP_EJ)
    assert house.states(house.letter(letter(2))) == {}
    assert PATIENT.ins not in "".join(repr(one) for one in (mine, said))
