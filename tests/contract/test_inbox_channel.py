"""The inbox as a channel: publishing is accepting; what cannot be published is a person's, and a ledger away is unclear."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adapter.channels.inbox import InboxChannel, InboxSettings
from adapter.errors import LedgerError
from adapter.ledger.import_records import Carried
from adapter.model.delivery import DeliveryState, OutcomeKind
from adapter.model.publication import Practice, Publication
from adapter.packaging.parcel import FaxContent, Fetchable, InboxContent, Parcel
from tests.builders.practices import HOUR, INBOX, Town

pytestmark = pytest.mark.contract
PRACTICE = Practice("ivry", "750712184", HOUR, HOUR, HOUR)
PARCEL = Parcel("d-1", "d-1", "ivry", False, InboxContent((Fetchable("pdf", "application/pdf", b"%PDF"),), ("urn:oid:1.2",)))


def channel(published: object = None) -> tuple[InboxChannel, list[tuple[str, list[Carried], tuple[str, ...]]]]:
    seen: list[tuple[str, list[Carried], tuple[str, ...]]] = []

    def publish(delivery_id: str, _practice: Practice, carried: object, names: object) -> Publication | None:
        seen.append((delivery_id, list(carried), tuple(names)))  # type: ignore[call-overload]
        if isinstance(published, Exception):
            raise published
        return published  # type: ignore[return-value]

    return InboxChannel(InboxSettings([PRACTICE], publish)), seen


@pytest.mark.parametrize("address", ["nobody", ""])
def test_a_practice_that_is_not_configured_is_a_persons(address: str) -> None:
    outcome = channel()[0].send(replace(PARCEL, address=address))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "practice-unknown")


def test_a_practice_of_another_entity_is_a_persons() -> None:
    made, seen = channel()
    assert made.send(PARCEL).cause == "practice-unknown"
    ((delivery_id, (carried,), names),) = seen
    assert (delivery_id, carried.content, carried.rendition.size, names) == ("d-1", b"%PDF", 4, ("urn:oid:1.2",))


def test_another_content_is_no_document_to_fetch() -> None:
    outcome = channel()[0].send(replace(PARCEL, content=FaxContent(b"", 1)))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, "rendition-impossible")


def test_a_ledger_that_is_away_is_not_taken_for_an_answer() -> None:
    with pytest.raises(LedgerError):
        channel(LedgerError("ledger.unavailable", "away"))[0].send(PARCEL)


def test_it_asks_nobody_and_polls_nothing() -> None:
    made, _ = channel()
    assert (made.find(PARCEL), made.collect("7"), made.check()) == (None, ((), "7"), "")
    assert made.capabilities.final_state is DeliveryState.INTEGRATED and made.capabilities.resend_is_safe


def test_published_but_not_settled_is_published_again_as_one(tmp_path: Path) -> None:
    """The worker dies between the two: the delivery is unclear, goes again, and the practice sees one document."""
    town = Town(tmp_path)
    real = town.inbox._settings.publish
    died = []

    def dies_once(*told: object) -> Publication | None:
        found = real(*told)  # type: ignore[arg-type]
        if not died:
            died.append(found)
            raise LedgerError("ledger.unavailable", "the line broke after the commit")
        return found

    town.inbox._settings = replace(town.inbox._settings, publish=dies_once)
    receipt = town.write(1)
    assert town.house.states(receipt)["inbox"] == "unclear"
    town.house.clock.advance(minutes=16)
    town.house.pipeline.settle_some()
    town.house.dispatch(INBOX)
    assert town.house.states(receipt)["inbox"] == "accepted"
    assert town.house.ledger.feed_head("cab-1", legal_entity="750712184") == 1
