"""A machine that takes no fine pages gets them at standard resolution: at once, and from then on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapter.ledger.fax_abilities import HOLDS
from adapter.model.delivery import DeliveryState
from adapter.model.evidence import Evidence
from adapter.model.fax_call import CallDirection, FaxCall
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import FaxContent
from adapter.routing.directory import Directory, load_directory
from tests.builders.cda import build_ldl_ses
from tests.builders.hl7 import FAX_DOCTOR, build_mdm
from tests.builders.instance import Instance

FAX = ChannelName.FAX
S = DeliveryState


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def _letter(number: int = 1) -> bytes:
    cda = build_ldl_ses(document_id=f"1.2.250.1.213.1.1.9.70{number}")
    return build_mdm(cda, control_id=f"R{number}", recipients=(FAX_DOCTOR,))


def _is_fine(house: Instance) -> bool:
    content = house.fax.parcels[-1].content
    assert isinstance(content, FaxContent)
    return content.fine


def test_pages_that_were_too_fine_go_again_at_once_at_standard_resolution_and_so_do_the_next(house: Instance) -> None:
    receipt = house.letter(_letter())
    house.dispatch(FAX)
    assert _is_fine(house)
    house.prove(house.fax, S.REFUSED, "fine-not-taken")
    house.clock.advance(seconds=3)
    house.dispatch(FAX)
    assert not _is_fine(house)
    house.prove(house.fax, S.DELIVERED)
    assert house.states(receipt) == {"fax": "delivered"} and house.reasons() == []
    house.letter(_letter(2))
    house.dispatch(FAX)
    assert not _is_fine(house)


def test_pages_that_a_server_drew_anew_teach_it_for_the_next_fax(house: Instance) -> None:
    house.letter(_letter())
    house.dispatch(FAX)
    call = FaxCall("", CallDirection.OUT, house.clock(), "1", pages=2, resolution=98)
    reference = house.fax.parcels[-1].reference
    house.fax.reports.append(Evidence(reference, S.DELIVERED, house.clock(), "fax", calls=(replace(call, reference=reference),)))
    house.pipeline.settle_some()
    house.letter(_letter(2))
    house.dispatch(FAX)
    assert not _is_fine(house)


def test_after_half_a_year_fine_pages_are_tried_again(house: Instance) -> None:
    house.letter(_letter())
    house.dispatch(FAX)
    house.prove(house.fax, S.REFUSED, "fine-not-taken")
    house.clock.advance(days=HOLDS.days + 1)
    house.letter(_letter(2))
    house.dispatch(FAX)
    assert _is_fine(house)


def test_another_refusal_teaches_nothing(house: Instance) -> None:
    house.letter(_letter())
    house.dispatch(FAX)
    house.prove(house.fax, S.REFUSED, "line-busy")
    house.clock.advance(minutes=10)
    house.dispatch(FAX)
    assert _is_fine(house)


def test_the_partners_file_forces_standard_resolution_on_a_number() -> None:
    line = b'[[fax_line]]\nnumber = "01 99 00 00 01"\nresolution = "standard"\n'
    directory: Directory = load_directory({"partners.toml": b'name = "essai"\n' + line})
    assert directory.is_standard_only("+33199000001") and not directory.is_standard_only("+33199000002")
