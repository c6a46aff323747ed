"""An edited mapping shows what it would change in what was kept; nothing is stored nor sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.mapping.kinds import READERS
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, ContentKind
from adapter.replay import compare, replay_all, replay_one
from tests.builders.cda import build_n1
from tests.builders.directory import APHP_EJ
from tests.builders.hl7 import build_mdm
from tests.builders.instance import Instance


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.letter(build_mdm(build_n1()))
    return made


def _kept(house: Instance) -> Any:
    return list(house.ledger.kept_receipts((), 100, legal_entity=APHP_EJ))


def _by_another_revision(entry: Any) -> Any:
    """The Provenance of an edited mapping differs too, and is no difference of the document."""
    if entry["resource"]["resourceType"] != "Provenance":
        return entry
    return {**entry, "resource": {**entry["resource"], "recorded": "2000-01-01T00:00:00Z"}}


def test_the_same_mappings_change_nothing(house: Instance) -> None:
    [replayed] = replay_all(_kept(house), READERS)
    assert (replayed.changes, replayed.problem) == ((), "")
    assert replayed.revision_before == replayed.revision_after


def test_an_edited_mapping_tells_the_place_and_not_the_value(house: Instance) -> None:
    def edited(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
        [translation] = READERS[ContentKind.HL7V2](arrival, receipt_id)
        entries: Any = translation.bundle["entry"]
        composition = {**entries[0]["resource"], "title": "Autre titre"}
        told = [_by_another_revision(entry) for entry in entries[1:]]
        bundle = {**translation.bundle, "entry": [{**entries[0], "resource": composition}, *told]}
        return (replace(translation, bundle=bundle, mapping_revision="edited"),)

    [receipt] = _kept(house)
    [replayed] = replay_one(receipt, {ContentKind.HL7V2: edited})
    assert [(change.kind, change.path) for change in replayed.changes] == [("changed", "Composition[1].title")]
    assert "Autre titre" not in repr(replayed)
    assert replayed.revision_after == "edited"


def test_what_today_s_mappings_refuse_is_said(house: Instance) -> None:
    def refusing(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
        raise InputError("form.answer-required", "no")

    [receipt] = _kept(house)
    [replayed] = replay_one(receipt, {ContentKind.HL7V2: refusing})
    assert replayed.problem == "form.answer-required"


def test_another_legal_entity_s_receipts_are_not_replayed(house: Instance) -> None:
    assert list(house.ledger.kept_receipts((), 100, legal_entity="949990220")) == []


def test_one_more_element_is_one_addition() -> None:
    changes = list(compare({"a": [1, 2], "b": {"c": "x"}}, {"a": [1, 2, 3], "b": {}}))
    assert [(change.kind, change.path) for change in changes] == [("added", "a[2]"), ("removed", "b.c")]
