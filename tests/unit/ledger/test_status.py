"""The status function, state by state: what is open, what waits for a person, what is final, and what is told of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapter.ledger.records import Phase
from adapter.ledger.status import status_of
from adapter.model.delivery import Delivery, Purpose
from adapter.model.delivery import DeliveryState as S
from adapter.model.plan import ChannelName

LEG = Delivery("d", "s", "e", "doc", 1, "new", "role:a", ChannelName.SECURE_MAIL, 1, S.QUEUED, "ref")


def legs(*states: S, role: str = "role:a") -> list[Delivery]:
    """One role's legs, in order."""
    return [replace(LEG, id=f"{role}{n}", role_id=role, leg=n, state=state) for n, state in enumerate(states, 1)]


@pytest.mark.parametrize(
    ("states", "phase", "summary"),
    [
        ((S.QUEUED, S.WAITING), Phase.OPEN, "queued"),
        ((S.CLAIMED,), Phase.OPEN, "claimed"),
        ((S.ON_WIRE,), Phase.OPEN, "on_wire"),
        ((S.UNCLEAR, S.WAITING), Phase.OPEN, "unclear"),
        ((S.ACCEPTED, S.WAITING), Phase.FINAL, "accepted"),
        ((S.DELIVERED,), Phase.FINAL, "delivered"),
        ((S.READ,), Phase.FINAL, "read"),
        ((S.INTEGRATED,), Phase.FINAL, "integrated"),
        ((S.REFUSED, S.QUEUED), Phase.OPEN, "queued"),
        ((S.REFUSED, S.ACCEPTED), Phase.FINAL, "accepted"),
        ((S.REFUSED, S.REFUSED), Phase.FINAL, "refused"),
        ((S.REFUSED, S.WAITING), Phase.FINAL, "refused"),
        ((S.PARKED, S.WAITING), Phase.PARKED, "parked"),
        ((S.REFUSED, S.PARKED), Phase.PARKED, "parked"),
        ((S.SUPERSEDED, S.SUPERSEDED), Phase.FINAL, "superseded"),
        ((S.CANCELLED,), Phase.FINAL, "cancelled"),
        ((S.DELIVERED, S.ON_WIRE), Phase.OPEN, "delivered"),
    ],
)
def test_one_role(states: tuple[S, ...], phase: Phase, summary: str) -> None:
    status = status_of(legs(*states), waits_for_person=False)
    assert (status.phase, status.summary) == (phase, summary)


def test_an_open_question_parks_what_is_not_moving() -> None:
    assert status_of(legs(S.REFUSED), waits_for_person=True).phase is Phase.PARKED
    assert status_of([], waits_for_person=True).phase is Phase.PARKED
    assert status_of(legs(S.QUEUED), waits_for_person=True).phase is Phase.OPEN


def test_the_least_advanced_recipient_tells_the_summary() -> None:
    status = status_of(legs(S.READ) + legs(S.ACCEPTED, role="role:b"), waits_for_person=False)
    assert status.summary == "accepted"
    assert {r.role_id: r.state for r in status.recipients} == {"role:a": S.READ, "role:b": S.ACCEPTED}


def test_acks_and_notices_do_not_count() -> None:
    ack = replace(LEG, purpose=Purpose.ACK, state=S.QUEUED)
    assert status_of([*legs(S.DELIVERED), ack], waits_for_person=False).phase is Phase.FINAL


def test_nothing_to_send_is_final() -> None:
    status = status_of([], waits_for_person=False)
    assert (status.phase, status.summary) == (Phase.FINAL, "no-delivery")


def test_one_role_open_keeps_the_whole_open() -> None:
    assert status_of(legs(S.PARKED) + legs(S.QUEUED, role="role:b"), waits_for_person=True).phase is Phase.OPEN
