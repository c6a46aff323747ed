"""Faxes take long to read: nobody takes one away meanwhile, and letters do not wait behind them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.model.receipt import ContentKind, Principal, ReceiptState
from adapter.pipeline import verbs
from tests.builders.cda import build_ldl_ses
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import build_mdm
from tests.builders.instance import LEASE, Instance
from tests.builders.sent_fax import DOOR, doors, side_car

LINE = Principal("accueil", "fax", APHP_EJ)


def _fax(house: Instance, number: int) -> str:
    values: dict[str, Any] = {"door": DOOR, "principal": LINE, "reference": f"call-{number}", "side_car": side_car()}
    return house.accept(b"no pages %d" % number, **values).receipt_id


def test_a_fax_that_takes_longer_to_read_than_a_lease_stays_its_reader_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house, extended, taken = Instance(tmp_path, fax_doors=doors()), threading.Event(), []
    house.pipeline._settings = replace(house.pipeline._settings, lease=timedelta(seconds=0.3))
    receipt = _fax(house, 1)
    understand, extend = verbs.understand_fax, house.ledger.extend_claim

    def told(*arguments: Any) -> None:
        extend(*arguments)
        extended.set()

    def slow(*arguments: Any) -> Any:
        house.clock.advance(seconds=0.2)
        extended.clear()
        assert extended.wait(10)
        house.clock.advance(seconds=0.2)
        taken.append(len(house.ledger.claim_receipts("another", 8, LEASE)))
        return understand(*arguments)

    monkeypatch.setattr(house.ledger, "extend_claim", told)
    monkeypatch.setattr(verbs, "understand_fax", slow)
    house.prepare()
    assert taken == [0]
    assert house.timeline(receipt).receipt.state is ReceiptState.PARKED


def test_letters_do_not_wait_behind_many_faxes_nor_a_fax_behind_letters(tmp_path: Path) -> None:
    house = Instance(tmp_path, fax_doors=doors())
    faxes = [_fax(house, number) for number in range(12)]
    house.clock.advance(seconds=1)
    letter = house.accept(build_mdm(build_ldl_ses())).receipt_id
    claimed = house.ledger.claim_receipts("w", 8, LEASE)
    assert letter in [one.receipt.id for one in claimed]
    assert [one.receipt.kind for one in claimed].count(ContentKind.FAX) == 1
    assert len(faxes) == 12 and len(house.ledger.claim_receipts("w", 1, LEASE)) == 1
