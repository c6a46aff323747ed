"""Order of the record and the mail: both at once, or, when the agreement says so, the mail when the record has answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.model.delivery import DeliveryState, SendOutcome
from adapter.model.plan import ChannelName
from tests.builders.cda import build_ldl_ses, build_n1
from tests.builders.hl7 import DOCTOR, build_mdm, build_oru
from tests.builders.instance import UNCLEAR_WAIT, Instance, accepted, deferred, refused, unclear
from tests.builders.record_territory import record_territory

RECORD = ChannelName.SHARED_RECORD
IVRY_DOCTOR = DOCTOR
TAKEN = accepted(DeliveryState.INTEGRATED)


def house(folder: Path, *, first: bool = True) -> Instance:
    return Instance(folder, directory=record_territory(first=first))


def letter(control_id: str = "M1") -> bytes:
    return build_mdm(build_ldl_ses(), control_id=control_id, recipients=(IVRY_DOCTOR,), flags={"DESTDMP": "Y"})


def test_without_a_word_of_the_agreement_both_leave_at_once(tmp_path: Path) -> None:
    instance = house(tmp_path, first=False)
    instance.letter(letter())
    assert instance.dispatch() == 1


@pytest.mark.parametrize(
    ("outcome", "mails"),
    [
        (TAKEN, 1),
        (refused("content-refused"), 1),
        (refused("record-none"), 1),
        (refused("conflict"), 1),
        (deferred("partner-busy"), 0),
    ],
)
def test_the_mail_leaves_when_the_record_answered_whatever_it_said(tmp_path: Path, outcome: SendOutcome, mails: int) -> None:
    instance = house(tmp_path)
    receipt = instance.letter(letter())
    assert instance.dispatch() == 0
    instance.record.script(outcome)
    assert instance.dispatch(RECORD) == 1
    assert instance.dispatch() == mails
    assert "après la réponse du dossier partagé" in str(
        [leg.reason for leg in _legs(instance, receipt) if leg.channel is ChannelName.SECURE_MAIL]
    )
    assert instance.conservation().holds


def test_a_record_that_may_have_it_is_waited_for(tmp_path: Path) -> None:
    instance = house(tmp_path)
    instance.letter(letter())
    instance.record.script(unclear(), TAKEN)
    instance.dispatch(RECORD)
    assert instance.dispatch() == 0
    instance.clock.advance(seconds=UNCLEAR_WAIT.total_seconds())
    instance.pipeline.settle_some()
    instance.dispatch(RECORD)
    assert instance.dispatch() == 1


def test_a_mail_that_is_refused_goes_on_by_fax_as_ever(tmp_path: Path) -> None:
    instance = house(tmp_path)
    receipt = instance.letter(letter())
    instance.dispatch(RECORD)
    instance.mail.script(refused("mailbox-unknown"))
    assert instance.dispatch() == 1
    fax = [state for name, state in instance.states(receipt).items() if name.endswith("/fax")]
    assert fax in ([], ["queued"])
    assert instance.conservation().holds


def test_another_letter_does_not_wait_for_this_ones_record(tmp_path: Path) -> None:
    instance = house(tmp_path)
    instance.letter(letter())
    instance.letter(
        build_mdm(build_ldl_ses(document_id="1.2.3.4.5", set_id="1.2.3.4"), control_id="M2", recipients=(IVRY_DOCTOR,))
    )
    assert instance.dispatch() == 1


@pytest.mark.parametrize("answers", [(TAKEN, deferred("partner-busy")), (deferred("partner-busy"), TAKEN)])
def test_a_mail_of_two_documents_waits_for_both_records_answers(tmp_path: Path, answers: tuple[SendOutcome, ...]) -> None:
    instance = house(tmp_path)
    two = (build_n1(document_id="1.2.3.4.6"), build_ldl_ses(document_id="1.2.3.4.5", set_id="1.2.3.4"))
    instance.letter(build_oru(*two, control_id="ORU1", recipients=(IVRY_DOCTOR,), flags={"DESTDMP": "Y"}))
    instance.record.script(*answers)
    assert instance.dispatch(RECORD) == 2
    assert (instance.dispatch(), instance.mail.parcels) == (0, [])
    instance.clock.advance(minutes=5)
    instance.record.script(TAKEN)
    assert instance.dispatch(RECORD) == 1
    assert instance.dispatch() == 1
    assert len(instance.mail.parcels) == 1
    assert instance.conservation().holds


def _legs(instance: Instance, receipt: str) -> list:  # type: ignore[type-arg]
    (trace,) = instance.timeline(receipt).submissions
    kept = instance.ledger.kept_submission(trace.submission.id, legal_entity=trace.submission.legal_entity)
    return [leg for one in kept.plan.recipients for leg in one.legs]
