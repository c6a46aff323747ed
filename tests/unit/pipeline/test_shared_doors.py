"""A mail operator or a record that lets nobody in is one question for all that waits behind it, and its return closes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.ledger.records import Decision
from adapter.model.plan import ChannelName
from adapter.model.receipt import Principal
from adapter.model.work_item import WorkAbout
from tests.builders.cda import build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import DOCTOR, build_mdm
from tests.builders.instance import Instance, deferred

IVRY_EJ = "949990220"


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, entities=(APHP_EJ, IVRY_EJ))


def letters(house: Instance, count: int, **flags: str) -> list[str]:
    sent = []
    for number in range(count):
        cda = build_n1(document_id=f"1.2.250.1.999.94.5.{number}", set_id=f"1.2.250.1.999.94.50.{number}")
        sent.append(house.letter(build_mdm(cda, control_id=f"M{number}", recipients=(DOCTOR,), flags=flags)))
    return sent


def rounds(house: Instance, count: int, channel: ChannelName = ChannelName.SECURE_MAIL) -> None:
    for _ in range(count):
        while house.dispatch(channel):
            pass
        house.clock.advance(minutes=5)


@pytest.mark.parametrize("cause", ["connect-failed", "connect-timeout", "tls-failed", "auth-refused"])
def test_an_operator_that_lets_nobody_in_is_one_question_whatever_waits(house: Instance, cause: str) -> None:
    """Complaint 26."""
    letters(house, 5)
    house.mail.script(*[deferred(cause)] * 10)
    rounds(house, 2)
    (item,) = house.items()
    assert (item.about, item.about_id, item.reason) == (WorkAbout.PARTNER, "mssante", "partner-down")
    assert "opérateur" in item.advice
    rounds(house, 1)
    assert house.items() == []
    assert len(house.mail.parcels) == 15


def test_a_short_absence_is_told_to_nobody(house: Instance) -> None:
    letters(house, 5)
    house.mail.script(*[deferred("connect-failed")] * 5)
    rounds(house, 1)
    assert house.items() == []


@pytest.mark.parametrize("cause", ["mailbox-full", "partner-busy"])
def test_one_mailbox_that_takes_nothing_says_nothing_of_the_operator(house: Instance, cause: str) -> None:
    letters(house, 1)
    house.mail.script(*[deferred(cause)] * 3)
    rounds(house, 3)
    assert "partner-down" not in house.reasons()


def test_a_record_is_a_door_of_its_own(house: Instance) -> None:
    letters(house, 3, DESTDMP="Y")
    house.record.script(*[deferred("connect-failed")] * 6)
    rounds(house, 2, ChannelName.SHARED_RECORD)
    (item,) = house.items()
    assert (item.about_id, item.reason) == ("shared_record", "partner-down")
    rounds(house, 1)
    assert len(house.items()) == 1, "a mail that leaves says nothing of the record"


def test_a_person_who_knows_that_it_is_back_has_all_sent_at_once(house: Instance) -> None:
    letters(house, 3)
    house.mail.script(*[deferred("connect-failed")] * 6)
    house.dispatch()
    house.clock.advance(minutes=5)
    house.dispatch()
    assert house.dispatch() == 0
    house.resolve(Decision.RETRY.value)
    assert house.dispatch() == 3


def test_each_legal_entity_is_asked_for_itself(house: Instance) -> None:
    """One operator may serve several: no operator of one sees the questions of another (seam 13)."""
    letters(house, 1)
    cda = build_n1(document_id="1.2.250.1.999.94.5.9", set_id="1.2.250.1.999.94.50.9")
    other = build_mdm(cda, control_id="IVRY", recipients=(DOCTOR,))
    house.letter(other, principal=Principal("dpi-ivry", "application", IVRY_EJ))
    house.mail.script(*[deferred("connect-failed")] * 4)
    rounds(house, 2)
    for entity in (APHP_EJ, IVRY_EJ):
        (item,) = house.ledger.list_work_items(legal_entity=entity)
        assert (item.legal_entity, item.about_id) == (entity, "mssante")
