"""Each cause has its reaction, and no reaction loses a document."""

from __future__ import annotations

from datetime import timedelta

import pytest

from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.tracking.causes import Reaction, decide_after_send, load_causes, retry_after_proof

WAIT = timedelta(minutes=15)


def _decide(kind: OutcomeKind, cause: str, attempts: int = 1, unclear: int = 0, **more: object) -> object:
    return decide_after_send(SendOutcome(kind, cause, **more), attempts, unclear, WAIT, 0.5)  # type: ignore[arg-type]


def test_an_acceptance_takes_the_state_that_the_channel_proves() -> None:
    decision = decide_after_send(SendOutcome(OutcomeKind.ACCEPTED, proves=DeliveryState.INTEGRATED), 1, 0, WAIT, 0.5)
    assert decision.state is DeliveryState.INTEGRATED


def test_a_busy_partner_is_tried_again_later_and_later() -> None:
    delays = [_decide(OutcomeKind.DEFERRED, "partner-busy", n).delay for n in (1, 2, 3)]  # type: ignore[attr-defined]
    assert delays == [timedelta(seconds=30), timedelta(seconds=60), timedelta(seconds=120)]


def test_the_partner_s_own_wish_for_a_delay_is_kept() -> None:
    decision = decide_after_send(SendOutcome(OutcomeKind.DEFERRED, "partner-busy", retry_after_seconds=7), 1, 0, WAIT, 0.9)
    assert decision.delay == timedelta(seconds=7)


def test_retries_end_in_the_next_leg_or_a_person() -> None:
    decision = _decide(OutcomeKind.DEFERRED, "connect-failed", attempts=8)
    assert (decision.state, decision.opens_next_leg, decision.person_if_last) == (DeliveryState.REFUSED, True, True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", ["900", "901", "902", "903", "904", "905", "906"])
def test_identity_refusals_are_a_person_s_and_never_another_channel_s(code: str) -> None:
    decision = _decide(OutcomeKind.REFUSED, f"identity-{code}")
    assert (decision.needs_person, decision.opens_next_leg) == (True, False)  # type: ignore[attr-defined]


def test_the_first_unclear_waits_and_the_second_is_a_person_s() -> None:
    first = _decide(OutcomeKind.UNCLEAR, "no-answer")
    second = _decide(OutcomeKind.UNCLEAR, "no-answer", attempts=2, unclear=1)
    assert (first.state, first.delay) == (DeliveryState.UNCLEAR, WAIT)  # type: ignore[attr-defined]
    assert (second.state, second.needs_person) == (DeliveryState.PARKED, True)  # type: ignore[attr-defined]


def test_an_unknown_cause_is_a_person_s() -> None:
    assert _decide(OutcomeKind.REFUSED, "never-heard-of").needs_person  # type: ignore[attr-defined]


def test_every_cause_has_an_advice_and_a_bounded_number_of_tries() -> None:
    for rule in load_causes().values():
        assert rule.advice and rule.max_attempts >= 1
        assert rule.reaction is not Reaction.RETRY or rule.first_delay_seconds > 0


def test_a_proof_that_refuses_is_tried_again_as_often_as_its_cause_allows() -> None:
    assert [retry_after_proof("line-busy", n, 0.5) is not None for n in (1, 5, 6)] == [True, True, False]


@pytest.mark.parametrize("cause", ["mailbox-unknown", "no-such-number", "identity-904", "no-answer", "never-heard-of", ""])
def test_a_proof_for_another_channel_or_a_person_is_not_tried_again(cause: str) -> None:
    assert retry_after_proof(cause, 1, 0.5) is None


def test_after_an_unclear_send_only_a_plain_no_opens_another_channel() -> None:
    exhausted = _decide(OutcomeKind.DEFERRED, "connect-failed", attempts=8, unclear=1)
    asked = _decide(OutcomeKind.DEFERRED, "content-refused", attempts=2, unclear=1)
    plain = _decide(OutcomeKind.REFUSED, "content-refused", attempts=2, unclear=1)
    assert [d.opens_next_leg for d in (exhausted, asked, plain)] == [False, False, True]  # type: ignore[attr-defined]
    assert [d.needs_person for d in (exhausted, asked)] == [True, True]  # type: ignore[attr-defined]
