"""What becomes of an acknowledgement after a send: it goes again until it is taken; only a plain no stops it. Pure.

Law: retries until acknowledged; complaints 2, 3 and 26: the same id again, with growing pauses; what a partner refuses is parked
with its reason and holds up nothing; a partner that does not answer is one question, whatever waits for it.
"""

from __future__ import annotations

from datetime import timedelta

from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.tracking.causes import UNKNOWN_CAUSE, Decision, Reaction, load_causes

_FIRST_DELAY_SECONDS = 5.0
_LONGEST_DELAY_SECONDS = 900.0
# After so many tries without an answer, somebody is told once.
TRIES_BEFORE_ALARM = 3
# Who is not there, as opposed to who says no.
_ABSENT = frozenset({"connect-failed", "connect-timeout", "tls-failed", "no-answer", "partner-busy"})
# The same of a door that many recipients share: no answer, or "later", may be about one of them.
_CLOSED_TO_ALL = frozenset({"connect-failed", "connect-timeout", "tls-failed", "auth-refused"})
# Fewer: everything waits behind that door, and a refused login is not tried often.
_TRIES_AT_A_DOOR = 2


def decide_after_ack(outcome: SendOutcome, attempts: int, jitter: float) -> Decision:
    """The reaction to a channel's answer. `attempts` counts this send; `jitter` is a number in [0, 1)."""
    if outcome.kind is OutcomeKind.ACCEPTED:
        return Decision(outcome.proves)
    rule = load_causes().get(outcome.cause, UNKNOWN_CAUSE)
    goes_again = outcome.kind is not OutcomeKind.REFUSED or rule.reaction in (Reaction.RETRY, Reaction.UNCLEAR)
    if goes_again:
        return Decision(DeliveryState.QUEUED, outcome.cause, _delay(attempts, jitter), advice=rule.advice)
    return Decision(DeliveryState.PARKED, outcome.cause, needs_person=True, advice=rule.advice)


def is_absent(outcome: SendOutcome, attempts: int) -> bool:
    """True when a partner has not answered for long enough that somebody should know."""
    is_unanswered = outcome.kind in (OutcomeKind.DEFERRED, OutcomeKind.UNCLEAR) and outcome.cause in _ABSENT
    return is_unanswered and attempts >= TRIES_BEFORE_ALARM


def is_door_closed(outcome: SendOutcome, attempts: int) -> bool:
    """True when a mail operator or a record lets nobody in, for long enough that somebody should know."""
    is_shut = outcome.kind is not OutcomeKind.ACCEPTED and outcome.cause in _CLOSED_TO_ALL
    return is_shut and attempts >= _TRIES_AT_A_DOOR


def _delay(attempts: int, jitter: float) -> timedelta:
    seconds = min(_FIRST_DELAY_SECONDS * 2 ** min(attempts - 1, 12), _LONGEST_DELAY_SECONDS)
    return timedelta(seconds=seconds * (0.8 + 0.4 * jitter))
