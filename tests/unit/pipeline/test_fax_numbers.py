"""No document is dialled to a number that nobody vouched for, nor to one that the directory no longer gives to its recipient."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import cast

import pytest

from adapter.channels.fax import FaxSpoolChannel, FaxSpoolSettings
from adapter.demo.fax_partner import FaxSink
from adapter.errors import StaleClaimError
from adapter.ledger.records import Decision, Phase
from adapter.model.delivery import DeliveryState, Purpose
from adapter.model.fax_number import FirstFax, NumberState
from adapter.model.plan import ChannelName
from adapter.model.work_item import FAX_NUMBER_CHANGED, FIRST_FAX, WRONG_FAX_NUMBER, WorkAbout
from adapter.packaging.parcel import FaxContent, Parcel
from adapter.pipeline.fax_numbers import holders_today
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory, load_directory
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ, SANDBOX, territory_files
from tests.builders.hl7 import FAX_DOCTOR, build_mdm
from tests.builders.instance import LEASE, NOON, Instance, ScriptedChannel, refused

FAX = ChannelName.FAX
NUMBER, OTHER_NUMBER = "+33199004641", "+33261911234"
TODAY = date(2026, 11, 21)


def letter(n: int = 1) -> bytes:
    document = build_ldl_ses(document_id=f"1.2.250.1.999.94.1.{n}", set_id=f"1.2.250.1.999.94.2.{n}")
    return build_mdm(document, control_id=f"M{n}", recipients=(FAX_DOCTOR,))


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path, routes=RouteSettings(production=True), first_fax=FirstFax.ASK)


def with_number(written: str) -> Directory:
    """The territory of tomorrow, where this doctor's fax is another one."""
    files = territory_files()
    text = files["reference-territory.toml"].decode()
    assert 'fax = "01 99 00 46 41"' in text
    files["reference-territory.toml"] = text.replace('fax = "01 99 00 46 41"', written).encode()
    return load_directory(files)


def test_the_first_fax_waits_and_the_next_ones_wait_with_it(house: Instance) -> None:
    receipts = [house.letter(letter(n)) for n in (1, 2)]
    house.dispatch(FAX)
    assert house.fax.parcels == []
    assert [house.states(receipt) for receipt in receipts] == [{"fax": "parked"}] * 2
    (item,) = house.items()
    assert (item.reason, item.about, item.about_id) == (FIRST_FAX, WorkAbout.FAX_NUMBER, NUMBER)
    assert "FICTIF" in item.advice and house.conservation().holds


def test_a_persons_word_sends_them_all_and_the_next_one_asks_nobody(house: Instance) -> None:
    for n in (1, 2):
        house.letter(letter(n))
    house.dispatch(FAX)
    house.resolve("retry")
    house.letter(letter(3))
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [NUMBER] * 3
    assert house.items() == []


def test_a_refusal_to_confirm_ends_the_documents_and_loses_none(house: Instance) -> None:
    receipt = house.letter(letter())
    house.dispatch(FAX)
    house.resolve("hand-over")
    assert (house.states(receipt), house.items(), house.conservation().holds) == ({"fax": "cancelled"}, [], True)


def test_without_a_guard_a_first_fax_leaves(tmp_path: Path) -> None:
    house = Instance(tmp_path, routes=RouteSettings(production=True), first_fax=FirstFax.SEND)
    house.letter(letter())
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [NUMBER]


def test_a_test_instance_rehearses_the_question_on_the_number_that_was_meant(tmp_path: Path) -> None:
    house = Instance(tmp_path, first_fax=FirstFax.ASK)
    house.letter(letter())
    house.dispatch(FAX)
    assert [item.about_id for item in house.items()] == [NUMBER]
    house.resolve("retry")
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [SANDBOX[FAX]]


@pytest.mark.parametrize("written", ['fax = "02 61 91 12 34"', ""])
def test_a_number_changed_or_removed_since_the_plan_is_not_dialled(house: Instance, written: str) -> None:
    receipt = house.letter(letter())
    house.directory = with_number(written)
    house.dispatch(FAX)
    assert house.fax.parcels == []
    assert (house.states(receipt), house.reasons()) == ({"fax": "refused"}, [FAX_NUMBER_CHANGED])
    assert house.ledger.fax_numbers.all(legal_entity=APHP_EJ) == ()


def test_a_change_of_number_is_seen_again_after_a_confirmation(house: Instance) -> None:
    house.letter(letter())
    house.dispatch(FAX)
    house.directory = with_number('fax = "02 61 91 12 34"')
    house.resolve("retry")
    house.dispatch(FAX)
    assert house.fax.parcels == [] and house.reasons() == [FAX_NUMBER_CHANGED]
    house.letter(letter(2))
    house.dispatch(FAX)
    assert {item.about_id for item in house.items() if item.reason == FIRST_FAX} == {OTHER_NUMBER}


def test_sent_again_by_a_person_a_fax_goes_to_the_number_of_today_once_somebody_vouched_for_it(house: Instance) -> None:
    receipt = house.letter(letter())
    house.directory = with_number('fax = "02 61 91 12 34"')
    house.dispatch(FAX)
    house.resolve("retry")
    house.dispatch(FAX)
    assert (house.fax.parcels, [item.about_id for item in house.items()]) == ([], [OTHER_NUMBER])
    house.resolve("retry")
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [OTHER_NUMBER]
    assert (house.states(receipt), house.items()) == ({"fax": "accepted"}, [])


def test_sent_again_to_who_has_no_number_any_more_a_fax_is_a_persons_again(house: Instance) -> None:
    receipt = house.letter(letter())
    house.directory = with_number("")
    house.dispatch(FAX)
    house.resolve("retry")
    house.dispatch(FAX)
    assert (house.states(receipt), house.reasons(), house.fax.parcels) == ({"fax": "refused"}, [FAX_NUMBER_CHANGED], [])


def test_a_test_instance_sends_again_to_its_sandbox_whatever_the_number_of_today(tmp_path: Path) -> None:
    house = Instance(tmp_path, first_fax=FirstFax.SEND)
    house.letter(letter())
    house.directory = with_number('fax = "02 61 91 12 34"')
    house.dispatch(FAX)
    house.resolve("retry")
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [SANDBOX[FAX]]


def test_what_may_still_wait_to_be_dialled_at_the_old_number_is_asked_back_and_then_goes_to_the_new_one(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    channel = FaxSpoolChannel(FaxSpoolSettings(spool))
    house = Instance(
        tmp_path,
        routes=RouteSettings(production=True),
        channels={FAX: cast(ScriptedChannel, channel)},
        first_fax=FirstFax.SEND,
    )
    receipt = house.letter(letter())
    (claim,) = house.ledger.claim_deliveries("w", FAX, 1, LEASE)
    (_, parcel) = house.pipeline._ready(claim, NOON) or (None, None)
    assert isinstance(parcel, Parcel)
    house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, NOON)
    channel.send(parcel)  # and the worker dies before it can say so
    house.directory = with_number('fax = "02 61 91 12 34"')
    house.clock.advance(hours=1)
    house.pipeline.settle_some()
    house.clock.advance(hours=1)
    house.pipeline.settle_some()
    house.dispatch(FAX)
    assert (house.states(receipt), house.reasons()) == ({"fax": "refused"}, [FAX_NUMBER_CHANGED])
    house.resolve("retry")
    assert house.dispatch(FAX) == 0, "first the engine says what became of the old one"
    house.pipeline.settle_some()
    assert list(spool.glob("*.json")) == []
    house.dispatch(FAX)
    (job,) = spool.glob("*.json")
    assert json.loads(job.read_bytes())["number"] == OTHER_NUMBER


def test_a_number_that_went_to_another_practice_is_asked_about_again(house: Instance) -> None:
    house.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=APHP_EJ, holders=frozenset({"ailleurs/"}))
    receipt = house.letter(letter())
    house.dispatch(FAX)
    assert (house.states(receipt), house.reasons()) == ({"fax": "parked"}, [FIRST_FAX])


def test_holders_are_places_and_not_people() -> None:
    assert holders_today(with_number('fax = "01 99 00 46 41"'), NUMBER, TODAY) == frozenset({"fontenay/"})
    assert holders_today(with_number('fax = "01 99 00 46 41"'), "+33199009999", TODAY) == frozenset()


def test_a_wrong_number_stops_what_comes_after_too(house: Instance) -> None:
    house.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=APHP_EJ, holders=frozenset({"fontenay/"}))
    house.letter(letter(1))
    house.dispatch(FAX)
    gone = house.fax.parcels[0].delivery_id
    house.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=APHP_EJ)
    receipt = house.letter(letter(2))
    house.dispatch(FAX)
    assert len(house.fax.parcels) == 1 and house.states(receipt) == {"fax": "parked"}
    (item,) = house.items()
    assert (item.reason, item.urgent, gone in item.advice) == (WRONG_FAX_NUMBER, True, True)


def test_pages_reach_the_spool_only_once_the_number_is_confirmed(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    channel = cast(ScriptedChannel, FaxSpoolChannel(FaxSpoolSettings(spool)))
    sink = FaxSink(spool, tmp_path / "received", now=lambda: NOON)
    house = Instance(tmp_path, routes=RouteSettings(production=True), channels={FAX: channel}, first_fax=FirstFax.ASK)
    receipts = [house.letter(letter(n)) for n in (1, 2)]
    house.dispatch(FAX)
    assert list(spool.iterdir()) == []
    house.ledger.resolve(house.items()[0].id, Decision.RETRY, "alice", legal_entity=APHP_EJ)
    house.dispatch(FAX)
    sink.run_once()
    house.pipeline.settle_some()
    assert [house.states(receipt) for receipt in receipts] == [{"fax": "delivered"}] * 2
    assert sink.numbers() == [NUMBER] * 2
    (known,) = house.ledger.fax_numbers.all(legal_entity=APHP_EJ)
    assert (known.state, len(known.sent)) == (NumberState.CONFIRMED, 2)


def test_a_test_page_leaves_first_and_its_code_lets_the_document_follow(tmp_path: Path) -> None:
    house = Instance(tmp_path, routes=RouteSettings(production=True), first_fax=FirstFax.TEST_PAGE)
    receipt = house.letter(letter())
    house.dispatch(FAX)
    house.dispatch(FAX)
    (page,) = house.fax.parcels
    assert page.address == NUMBER and isinstance(page.content, FaxContent) and page.content.pages == 1
    house.prove(house.fax, DeliveryState.DELIVERED)
    assert house.reasons() == [FIRST_FAX]
    code = house.ledger.fax_numbers.test_page_code(NUMBER, legal_entity=APHP_EJ)
    house.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=APHP_EJ, code=code)
    house.dispatch(FAX)
    assert [parcel.address for parcel in house.fax.parcels] == [NUMBER] * 2
    assert house.items() == [] and house.conservation().holds
    document = [
        one for trace in house.timeline(receipt).submissions for one in trace.deliveries if one.purpose is Purpose.DOCUMENT
    ]
    assert [one.state for one in document] == [DeliveryState.ACCEPTED]


def test_a_test_page_whose_question_is_answered_while_it_is_claimed_never_leaves(tmp_path: Path) -> None:
    house = Instance(tmp_path, routes=RouteSettings(production=True), first_fax=FirstFax.TEST_PAGE)
    house.letter(letter())
    house.dispatch(FAX)
    (claim,) = house.ledger.claim_deliveries("w2", FAX, 5, LEASE)
    house.ledger.fax_numbers.confirm(NUMBER, "alice", legal_entity=APHP_EJ)
    with pytest.raises(StaleClaimError):
        house.pipeline._dispatch(claim)
    assert house.fax.parcels == []
    house.dispatch(FAX)
    assert len(house.fax.parcels) == 1


def test_a_test_page_that_finds_no_fax_is_a_persons(tmp_path: Path) -> None:
    house = Instance(tmp_path, routes=RouteSettings(production=True), first_fax=FirstFax.TEST_PAGE)
    receipt = house.letter(letter())
    house.dispatch(FAX)
    house.fax.script(refused("no-such-number"))
    house.dispatch(FAX)
    assert house.reasons() == sorted([FIRST_FAX, "no-such-number"])
    assert house.timeline(receipt).submissions[0].status.phase is Phase.PARKED
    assert house.conservation().holds


def test_what_still_lies_in_the_engines_queue_is_asked_back_from_a_wrong_number(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    channel = cast(ScriptedChannel, FaxSpoolChannel(FaxSpoolSettings(spool)))
    house = Instance(tmp_path, routes=RouteSettings(production=True), channels={FAX: channel})
    receipt = house.letter(letter())
    house.dispatch(FAX)
    assert len(list(spool.glob("*.tiff"))) == 1
    known = house.ledger.fax_numbers.report_wrong(NUMBER, "alice", legal_entity=APHP_EJ)
    assert len(known.sent) == 1
    house.pipeline.settle_some()
    assert list(spool.glob("*.tiff")) == []
    assert house.states(receipt) == {"fax": "cancelled"}
    assert house.ledger.fax_numbers.all(legal_entity=APHP_EJ)[0].sent == ()
    assert [(item.about, item.reason) for item in house.items()] == [
        (WorkAbout.FAX_NUMBER, WRONG_FAX_NUMBER),
        (WorkAbout.DELIVERY, WRONG_FAX_NUMBER),
    ]
