"""A person changes who may see a document: who can be told is told once, what leaves later leaves so, versions stay in line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapter.model.delivery import DeliveryState
from adapter.model.identity import LocalIdentifier
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import Parcel, RecordChange, RecordContent
from adapter.pipeline.visibility import PATIENT, PROFESSIONALS, state_of
from tests.builders.adt import build_adt
from tests.builders.cda import CUSTODIAN_IPP_OID, build_ldl_ses
from tests.builders.directory import APHP_EJ, letter_header
from tests.builders.fhir_document import ENTRY_LETTER, build_entry_letter, header_of, send
from tests.builders.hl7 import CANCELS, DOCTOR, FAX_DOCTOR, REPLACES, build_mdm
from tests.builders.instance import Instance, accepted
from tests.builders.record_territory import record_territory
from tests.unit.pipeline.test_new_sources import DROPPED
from tests.unit.pipeline.test_patients import decide, metadata_of

RECORD, FAX = ChannelName.SHARED_RECORD, ChannelName.FAX
ROOT = "1.2.250.1.213.1.1.9.501"
UID = f"{ROOT}.1"
TAKEN = accepted(DeliveryState.INTEGRATED)
TO_RECORD = {"DESTDMP": "Y"}


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, directory=record_territory('changes = "patch"'))


def letter(version: int = 1, control_id: str = "M1", **options: object) -> bytes:
    replaces = f"{ROOT}.{version - 1}" if version > 1 else ""
    cda = build_ldl_ses(document_id=f"{ROOT}.{version}", version=version, replaces=replaces)
    return build_mdm(cda, control_id=control_id, recipients=(DOCTOR,), flags=TO_RECORD, **options)  # type: ignore[arg-type]


def sent(house: Instance) -> str:
    """Mailed to the doctor, deposited in the record."""
    receipt = house.letter(letter())
    house.record.script(TAKEN)
    house.dispatch()
    house.dispatch(RECORD)
    return receipt


def hide(house: Instance, *audiences: str) -> str:
    """Hidden from exactly these; the order prepared and the record told."""
    order = house.ledger.order_visibility(UID, frozenset(audiences), "dr-martin", legal_entity=APHP_EJ)
    house.prepare()
    house.record.script(TAKEN)
    house.dispatch(RECORD)
    return order


def labels(parcel: Parcel) -> str:
    assert isinstance(parcel.content, RecordChange)
    return parcel.content.labels.decode()


def test_the_record_is_told_by_patch_and_the_mail_that_left_is_named(house: Instance) -> None:
    sent(house)
    state = state_of(house.ledger, UID, APHP_EJ)
    assert state is not None
    assert [(one.delivery.channel, one.can_be_changed) for one in state.holders if one.can_be_changed] == [(RECORD, True)]
    assert [one.delivery.channel for one in state.holders if not one.can_be_changed] == [ChannelName.SECURE_MAIL]
    order = hide(house, PATIENT)
    assert house.states(order) == {"shared_record": "integrated"}
    assert "INVISIBLE_PATIENT" in labels(house.record.parcels[-1])
    assert len(house.mail.parcels) == 1
    assert house.conservation().holds
    assert house.reasons() == []


def test_said_twice_it_is_done_once_and_back_and_forth_three_times(house: Instance) -> None:
    sent(house)
    assert hide(house, PATIENT)
    assert hide(house, PATIENT) == ""
    assert hide(house)
    assert hide(house, PATIENT)
    assert ["INVISIBLE_PATIENT" in labels(one) for one in house.record.parcels[1:]] == [True, False, True]
    assert house.conservation().holds


def test_an_older_change_that_did_not_leave_gives_way_to_the_newer(house: Instance) -> None:
    sent(house)
    first = house.ledger.order_visibility(UID, frozenset({PATIENT}), "dr-martin", legal_entity=APHP_EJ)
    house.prepare()
    second = hide(house)
    assert house.states(first) == {"shared_record": "superseded"}
    assert house.states(second) == {"shared_record": "integrated"}
    assert len(house.record.parcels) == 2


def test_what_has_not_left_leaves_as_it_may_be_seen_then(house: Instance) -> None:
    house.letter(letter())
    order = house.ledger.order_visibility(UID, frozenset({PATIENT}), "dr-martin", legal_entity=APHP_EJ)
    house.prepare()
    assert house.timeline(order).receipt.reason == "visibility-kept"
    house.dispatch(RECORD)
    (parcel,) = house.record.parcels
    assert isinstance(parcel.content, RecordContent)
    assert b"INVISIBLE_PATIENT" in parcel.content.transaction


def test_a_document_masked_before_it_left_goes_by_no_fax(house: Instance) -> None:
    receipt = house.letter(build_mdm(build_ldl_ses(document_id=UID), control_id="FAX1", recipients=(FAX_DOCTOR,)))
    hide(house, PROFESSIONALS)
    house.dispatch(FAX)
    assert house.fax.parcels == []
    assert house.states(receipt) == {"fax": "parked"}
    assert house.reasons() == ["masked"]
    assert house.conservation().holds


def test_a_cancellation_still_reaches_who_was_told_of_a_change(house: Instance) -> None:
    sent(house)
    hide(house, PATIENT)
    cancel = house.letter(letter(control_id="DEL1", **CANCELS))
    house.dispatch()
    house.record.script(TAKEN)
    house.dispatch(RECORD)
    change = house.record.parcels[-1].content
    assert isinstance(change, RecordChange)
    assert (change.status, change.archived, change.way) == ("superseded", True, "patch")
    assert house.states(cancel)["record:terr-esante/shared_record"] == "integrated"
    assert len(house.mail.parcels) == 2


def test_a_cancelled_document_is_changed_no_more(house: Instance) -> None:
    sent(house)
    house.letter(letter(control_id="DEL1", **CANCELS))
    assert state_of(house.ledger, UID, APHP_EJ) is None
    order = house.ledger.order_visibility(UID, frozenset({PATIENT}), "dr-martin", legal_entity=APHP_EJ)
    house.prepare()
    assert house.timeline(order).receipt.reason == "cancelled-by-sender"


def test_the_next_version_is_the_authors_and_leaves_as_they_say(house: Instance) -> None:
    sent(house)
    hide(house, PATIENT)
    house.letter(letter(2, "RPL2", **REPLACES))
    house.record.script(TAKEN)
    house.dispatch(RECORD)
    replaced = house.record.parcels[-1].content
    assert isinstance(replaced, RecordContent)
    assert b'"replaces"' in replaced.transaction
    assert b"INVISIBLE_PATIENT" not in replaced.transaction


def test_who_has_a_newer_version_is_not_promised_a_change_of_the_older(house: Instance) -> None:
    """The order would be superseded and nobody told: whoever hides must name the newer one."""
    sent(house)
    house.letter(letter(2, "RPL2", **REPLACES))
    house.record.script(TAKEN)
    house.dispatch(RECORD)
    state = state_of(house.ledger, UID, APHP_EJ)
    assert state is not None
    (record,) = [one for one in state.holders if one.delivery.channel is RECORD]
    assert (record.has_newer, record.can_be_changed) == (True, False)
    newest = state_of(house.ledger, f"{ROOT}.2", APHP_EJ)
    assert newest is not None and any(one.can_be_changed for one in newest.holders)


def test_a_record_that_takes_no_change_is_a_persons_work(tmp_path: Path) -> None:
    house = Instance(tmp_path)
    sent(house)
    order = hide(house, PATIENT)
    assert house.states(order) == {"shared_record": "parked"}
    assert house.reasons() == ["record-change"]


def test_another_entity_changes_nothing(house: Instance) -> None:
    sent(house)
    assert state_of(house.ledger, UID, "940000003") is None


def test_who_decided_is_in_the_audit(house: Instance) -> None:
    from adapter.audit.trail import seal_audit

    sent(house)
    order = hide(house, PATIENT)
    seal_audit(house.ledger)
    entries = [one.entry for one in house.ledger.read_audit(0, 1000, legal_entity=APHP_EJ)]
    rows = [one for one in entries if one.action == "document.visibility"]
    assert [(one.actor, one.about_id, one.detail) for one in rows] == [("dr-martin", order, "patient")]


def test_what_a_person_hid_stays_hidden_when_its_identity_is_corrected_under_a_new_number(house: Instance) -> None:
    """What we write ourselves is sent again as another document: the order names the former one."""
    old = replace(letter_header().patient, local_ids=(LocalIdentifier("OLD", CUSTODIAN_IPP_OID, "PI"),))
    content = send(build_entry_letter(header=replace(header_of(ENTRY_LETTER), patient=old)))
    receipt = house.letter(content, side_car=json.dumps({"recipients": [{"rpps": "99700000013"}]}).encode(), **DROPPED)
    house.dispatch()
    (trace,) = house.timeline(receipt).submissions
    document_id = trace.submission.document.unique_id
    house.ledger.order_visibility(document_id, frozenset({PATIENT}), "dr-martin", legal_entity=APHP_EJ)
    house.prepare()
    house.letter(build_adt("A40", ipp="NEW", merged=("OLD",)))
    decide(house, "correct")
    house.dispatch()
    first, corrected = (metadata_of(parcel) for parcel in house.mail.parcels)
    assert "INVISIBLE_PATIENT" not in first
    assert "INVISIBLE_PATIENT" in corrected
