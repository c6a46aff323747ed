"""The closed list of outcomes: each leads to a known state, cause and acknowledgement; senders are told what the list says."""

from __future__ import annotations

import pytest

from adapter.model.delivery import DeliveryState as S
from adapter.model.submission import AcksWanted
from adapter.tracking.business_ack import owed_answers
from adapter.tracking.causes import load_causes, opens_next_leg
from adapter.tracking.import_outcomes import final_outcomes, import_outcomes
from tests.unit.tracking.test_business_ack import BOTH, BY_MAIL, READING, RECEPTION, one_by_one, proof

FETCHED = ("delivered", "", "import", "import")
TAKEN = ("integrated", "", "import", "import integrated")
LEFT_LYING = ("refused", "not-fetched", "import", "import not-fetched")


def no(cause: str) -> tuple[str, str, str, str]:
    return ("refused", cause, "import", f"import {cause}")


def test_the_list_is_closed_and_every_word_leads_somewhere() -> None:
    outcomes = import_outcomes()
    assert list(outcomes) == [
        "integrated", "already-held", "waiting-for-matching", "not-our-patient", "unreadable", "stale-version"
    ]  # fmt: skip
    for one in outcomes.values():
        assert one.label and one.next_step and one.issue_type
        assert one.proves in (S.DELIVERED, S.INTEGRATED, S.REFUSED)
        assert (one.proves is S.REFUSED) == bool(one.cause)
        assert not one.cause or one.cause in load_causes()
    assert final_outcomes() == {"integrated", "already-held", "not-our-patient", "stale-version"}


@pytest.mark.parametrize(("outcome", "goes_on"), [("not-our-patient", False), ("stale-version", False), ("unreadable", True)])
def test_only_what_cannot_be_read_goes_on_to_another_channel(outcome: str, goes_on: bool) -> None:
    assert opens_next_leg(import_outcomes()[outcome].cause) is goes_on


@pytest.mark.parametrize(
    ("wanted", "proofs", "messages"),
    [
        (BOTH, [FETCHED], ["Z02 Y"]),
        (BOTH, [FETCHED, TAKEN], ["Z02 Y", "Z03 Y"]),
        (BOTH, [TAKEN], ["Z02 Y", "Z03 Y"]),
        (BOTH, [FETCHED, no("identity-902")], ["Z02 Y", "Z03 N 902"]),
        (BOTH, [no("identity-900")], ["Z02 Y", "Z03 N 900"]),
        (BOTH, [no("import-unreadable")], ["Z02 Y", "Z03 N 906"]),
        (BOTH, [LEFT_LYING], ["Z02 N 554"]),
        (BOTH, [LEFT_LYING, FETCHED, TAKEN], ["Z02 N 554", "Z02 Y", "Z03 Y"]),
        (RECEPTION, [FETCHED, TAKEN], ["Z02 Y"]),
        (READING, [FETCHED, LEFT_LYING], []),
        (BY_MAIL, [FETCHED], []),
        (BY_MAIL, [TAKEN], ["MDN Y"]),
        (BY_MAIL, [no("identity-902")], ["MDN N 902"]),
        (BY_MAIL, [LEFT_LYING, TAKEN], ["MDN Y"]),
    ],
)
def test_what_a_practice_does_is_told_to_who_asked(
    wanted: AcksWanted, proofs: list[tuple[str, str, str, str]], messages: list[str]
) -> None:
    assert one_by_one(wanted, *proofs, channel="inbox") == messages


def test_nobody_is_told_who_did_not_ask() -> None:
    assert owed_answers(AcksWanted(), [proof(TAKEN, channel="inbox")], ()) == ()
