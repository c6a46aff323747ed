"""A fax that waits in an engine's queue is asked back when it must not leave any more, until the engine has answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.ledger.visibility import PROFESSIONALS
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.plan import ChannelName
from adapter.model.receipt import Principal
from adapter.model.withdrawal import Withdrawn
from adapter.model.work_item import WorkAbout, WorkItem
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import CANCELS, FAX_DOCTOR, REPLACES, build_mdm
from tests.builders.instance import Instance

ROOT = "1.2.250.1.213.1.1.9.601"
FAX = ChannelName.FAX
FOLDER = Principal("depot", "folder", APHP_EJ)
URGENT_FAX = b'{"recipients": [{"rpps": "99900000029"}], "urgency": "urgent"}'
S = DeliveryState


class Engine:
    """The queue behind the fax: what it answers when a job is asked back, and what it was asked."""

    def __init__(self, answer: Withdrawn) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def withdraw(self, reference: str) -> Withdrawn:
        self.asked.append(reference)
        return self.answer


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


@pytest.fixture
def engine(house: Instance) -> Engine:
    engine = Engine(Withdrawn.GONE)
    house.fax.withdraw = engine.withdraw  # type: ignore[attr-defined]
    return engine


def _letter(version: int = 1, **action: str) -> bytes:
    replaces = f"{ROOT}.{version - 1}" if version > 1 else ""
    cda = build_ldl_ses(document_id=f"{ROOT}.{version}", version=version, replaces=replaces)
    return build_mdm(cda, control_id=f"W{version}{len(action)}", recipients=(FAX_DOCTOR,), **action)


def _waiting_at_engine(house: Instance) -> str:
    receipt = house.letter(_letter())
    house.dispatch(FAX)
    assert house.states(receipt) == {"fax": "accepted"}
    return receipt


def _cancelled(house: Instance) -> str:
    return house.letter(_letter(**CANCELS))


def test_a_cancelled_fax_that_had_not_left_is_taken_back_and_nobody_hears_of_it(house: Instance, engine: Engine) -> None:
    first = _waiting_at_engine(house)
    cancel = _cancelled(house)
    assert house.dispatch(FAX) == 0, "the cancellation waits for the engine's answer"
    house.pipeline.settle_some()
    assert engine.asked == [house.fax.parcels[0].reference]
    assert house.states(first) == {"fax": "superseded"}
    assert house.states(cancel) == {"fax": "cancelled"}
    house.dispatch(FAX)
    assert len(house.fax.parcels) == 1
    assert house.conservation().holds


def test_a_replaced_fax_that_had_not_left_is_taken_back_and_the_new_one_replaces_nothing(house: Instance, engine: Engine) -> None:
    first = _waiting_at_engine(house)
    second = house.letter(_letter(2, **REPLACES))
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert (house.states(first), house.states(second)) == ({"fax": "superseded"}, {"fax": "accepted"})
    assert house.timeline(second).submissions[0].deliveries[0].replaces_sent_on == ""


@pytest.mark.parametrize("found", [Withdrawn.PARTLY, Withdrawn.TOO_LATE])
def test_pages_that_had_gone_are_cancelled_by_a_page(house: Instance, engine: Engine, found: Withdrawn) -> None:
    engine.answer = found
    first = _waiting_at_engine(house)
    cancel = _cancelled(house)
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert house.states(cancel) == {"fax": "accepted"}
    assert house.states(first) == {"fax": "accepted" if found is Withdrawn.TOO_LATE else "superseded"}
    assert len(house.fax.parcels) == 2


def test_what_had_left_is_delivered_after_all(house: Instance, engine: Engine) -> None:
    engine.answer = Withdrawn.TOO_LATE
    first = _waiting_at_engine(house)
    _cancelled(house)
    house.prove(house.fax, S.DELIVERED)
    assert house.states(first) == {"fax": "delivered"}
    assert engine.asked == [house.fax.parcels[0].reference]


def test_an_engine_that_is_away_is_asked_until_it_answers(house: Instance, engine: Engine) -> None:
    engine.answer = Withdrawn.NOT_YET
    first = _waiting_at_engine(house)
    _cancelled(house)
    for _ in range(3):
        house.pipeline.settle_some()
    assert house.states(first) == {"fax": "accepted"}
    assert house.dispatch(FAX) == 0
    engine.answer = Withdrawn.GONE
    house.pipeline.settle_some()
    house.pipeline.settle_some()
    assert len(engine.asked) == 4, "asked until it answered, and not once more"
    assert house.states(first) == {"fax": "superseded"}


def test_an_engine_s_failure_with_a_withdrawn_fax_is_neither_tried_again_nor_asked_about(house: Instance, engine: Engine) -> None:
    engine.answer = Withdrawn.NOT_YET
    first = _waiting_at_engine(house)
    _cancelled(house)
    house.fax.reports.append(Evidence(house.fax.parcels[0].reference, S.REFUSED, house.clock(), "fax", "fax-removed"))
    house.pipeline.settle_some()
    assert house.reasons() == []
    engine.answer = Withdrawn.GONE
    house.pipeline.settle_some()
    assert house.states(first) == {"fax": "superseded"}


def test_a_document_masked_while_its_fax_waits_is_taken_back_and_a_person_told(house: Instance, engine: Engine) -> None:
    first = _waiting_at_engine(house)
    house.ledger.order_visibility(f"{ROOT}.1", frozenset({PROFESSIONALS}), "dr-martin", legal_entity=APHP_EJ)
    house.pipeline.settle_some()
    assert house.states(first)["fax"] == "cancelled"
    (item,) = [item for item in house.items() if item.reason == "masked"]
    assert "retirée" in item.advice


def test_a_document_masked_too_late_says_so(house: Instance, engine: Engine) -> None:
    engine.answer = Withdrawn.TOO_LATE
    _waiting_at_engine(house)
    house.ledger.order_visibility(f"{ROOT}.1", frozenset({PROFESSIONALS}), "dr-martin", legal_entity=APHP_EJ)
    house.pipeline.settle_some()
    assert [item for item in house.items() if item.reason == "masked" and "déjà partie" in item.advice]


def test_a_channel_that_gives_nothing_back_holds_nothing_up(house: Instance) -> None:
    _waiting_at_engine(house)
    cancel = _cancelled(house)
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert house.states(cancel) == {"fax": "accepted"}


def test_a_channel_s_defect_is_no_answer(house: Instance, engine: Engine) -> None:
    def broken(reference: str) -> Withdrawn:
        raise RuntimeError(reference)

    house.fax.withdraw = broken  # type: ignore[attr-defined]
    first = _waiting_at_engine(house)
    _cancelled(house)
    house.pipeline.settle_some()
    assert house.states(first) == {"fax": "accepted"}


def test_an_urgent_version_held_by_an_engine_that_is_away_is_told_to_somebody_at_once_and_once(
    house: Instance, engine: Engine
) -> None:
    engine.answer = Withdrawn.NOT_YET
    _waiting_at_engine(house)
    urgent = build_ldl_ses(document_id=f"{ROOT}.2", version=2, replaces=f"{ROOT}.1")
    second = house.letter(urgent, side_car=URGENT_FAX, door="folder:depot", principal=FOLDER)
    for _ in range(3):
        house.pipeline.settle_some()
        assert house.dispatch(FAX) == 0
    (item,) = [item for item in house.items() if item.urgent]
    assert item.about_id == house.timeline(second).submissions[0].deliveries[0].id


def test_a_person_who_takes_an_accepted_fax_over_takes_it_back(house: Instance, engine: Engine) -> None:
    first = _waiting_at_engine(house)
    delivery = house.timeline(first).submissions[0].deliveries[0]
    item = WorkItem("i-1", APHP_EJ, WorkAbout.DELIVERY, delivery.id, "asked", "?", house.clock())
    assert house.ledger.open_work_item(item)
    house.resolve("hand-over")
    house.pipeline.settle_some()
    assert engine.asked and house.states(first) == {"fax": "cancelled"}


def test_what_was_masked_before_it_was_sent_never_reaches_the_engine(house: Instance, engine: Engine) -> None:
    first = house.letter(_letter())
    house.ledger.order_visibility(f"{ROOT}.1", frozenset({PROFESSIONALS}), "dr-martin", legal_entity=APHP_EJ)
    house.dispatch(FAX)
    assert house.fax.parcels == [] and house.states(first)["fax"] == "parked"
    house.prepare()
    house.dispatch(FAX)
    assert house.fax.parcels == []


def test_a_version_held_by_a_channel_that_was_closed_meanwhile_goes_its_way(house: Instance, engine: Engine) -> None:
    _waiting_at_engine(house)
    second = house.letter(_letter(2, **REPLACES))
    del house.channels[FAX]
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert house.states(second) == {"fax": "refused"}
    assert [item.about_id for item in house.items()] == [house.timeline(second).submissions[0].deliveries[0].id]


def test_an_engine_that_hangs_holds_up_the_round_for_a_minute_only(house: Instance, engine: Engine) -> None:
    def hanging(reference: str) -> Withdrawn:
        house.clock.advance(seconds=30)
        engine.asked.append(reference)
        return Withdrawn.NOT_YET

    for number in range(4):
        cda = build_ldl_ses(document_id=f"{ROOT}.{number}.1", set_id=f"{ROOT}.{number}")
        house.letter(build_mdm(cda, control_id=f"H{number}", recipients=(FAX_DOCTOR,)))
        house.dispatch(FAX)
        house.letter(build_mdm(cda, control_id=f"C{number}", recipients=(FAX_DOCTOR,), **CANCELS))
    house.fax.withdraw = hanging  # type: ignore[attr-defined]
    house.pipeline.settle_some()
    assert len(engine.asked) == 2
