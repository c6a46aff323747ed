"""One data table gives each cause its reaction: retry, next leg, work item, unclear, nothing (seam 4).

`mappings/causes.csv` is the law; an unknown cause is a work item, never a silent retry. Delays grow by two with each try,
capped at an hour, with ±20 % jitter (passed in) so that partners who come back are not stormed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from adapter.data import mappings_root, read_table
from adapter.errors import MappingError, TduError
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome

LONGEST_DELAY_SECONDS = 3600.0
OUTSIDE_HOURS = "outside-hours"


class Reaction(StrEnum):
    """What a cause leads to."""

    RETRY = "retry"
    NEXT_LEG = "next-leg"
    WORK_ITEM = "work-item"
    UNCLEAR = "unclear"
    # The next leg, if there is one; else it ends there, and nobody is asked.
    NOTHING = "nothing"


@dataclass(frozen=True)
class CauseRule:
    """One row of the table. `advice` is French, for the person at the queue. `suspends`: nobody is to write there any more."""

    cause: str
    reaction: Reaction
    first_delay_seconds: float
    max_attempts: int
    advice: str
    suspends: bool = False


# Forms that a channel cannot have yet, with an advice of their own.
_CAUSES_OF_RENDITIONS = {
    "mhd.cancel-unsupported": "record-cancel",
    "mhd.change-unsupported": "record-change",
    "hl7.unknown-partner": "partner-unknown",
    "ack.no-partner": "no-ack-partner",
}

UNKNOWN_CAUSE = CauseRule("unknown", Reaction.WORK_ITEM, 0, 1, "Cause inconnue : à examiner par une personne.")


@lru_cache(maxsize=1)
def load_causes() -> Mapping[str, CauseRule]:
    """The causes table; MappingError when it is missing or wrong."""
    try:
        return {
            row["cause"]: CauseRule(
                row["cause"],
                Reaction(row["reaction"]),
                float(row["first_delay_seconds"]),
                int(row["max_attempts"]),
                row["advice_fr"],
                row["suspends"] == "yes",
            )
            for row in read_table(mappings_root() / "causes.csv").rows
        }
    except (OSError, KeyError, ValueError) as error:
        raise MappingError("causes.unreadable", f"{type(error).__name__} in the causes table", where="causes.csv") from error


@dataclass(frozen=True)
class Decision:
    """What becomes of a delivery after a send.

    `delay` is set when it is queued again or waits as unclear. `opens_next_leg` asks for the fallback;
    `needs_person` opens a work item in any case, `person_if_last` only when no leg is left, `ends_quietly` none even then.
    """

    state: DeliveryState
    cause: str = ""
    delay: timedelta | None = None
    opens_next_leg: bool = False
    needs_person: bool = False
    person_if_last: bool = False
    advice: str = ""
    ends_quietly: bool = False


def cause_of_rendition(error: Exception) -> str:
    """Why the form that a channel needs could not be made."""
    return _CAUSES_OF_RENDITIONS.get(error.code if isinstance(error, TduError) else "", "rendition-impossible")


def opens_next_leg(cause: str) -> bool:
    """Whether a refusal for this cause may go on to another channel; 900 to 906 never may (seam 4)."""
    return load_causes().get(cause, UNKNOWN_CAUSE).reaction is not Reaction.WORK_ITEM


def suspends_address(cause: str) -> bool:
    """Whether a refusal for this cause says that the mailbox is no longer anybody's: no other document goes there."""
    return load_causes().get(cause, UNKNOWN_CAUSE).suspends


def retry_after_proof(cause: str, attempts: int, jitter: float) -> timedelta | None:
    """How long to wait before sending again what a proof refused, or None when this cause asks for no further try."""
    rule = load_causes().get(cause, UNKNOWN_CAUSE)
    if rule.reaction is not Reaction.RETRY or attempts >= rule.max_attempts:
        return None
    return _delay(SendOutcome(OutcomeKind.REFUSED, cause), rule, attempts, jitter)


def decide_after_send(
    outcome: SendOutcome, attempts: int, unclear_count: int, unclear_wait: timedelta, jitter: float
) -> Decision:
    """The reaction to a channel's answer.

    `attempts` counts this send; `jitter` is a number in [0, 1). A second unclear is a person's (seam 5).
    """
    if outcome.kind is OutcomeKind.ACCEPTED:
        return Decision(outcome.proves)
    rule = load_causes().get(outcome.cause, UNKNOWN_CAUSE)
    if outcome.kind is OutcomeKind.UNCLEAR or rule.reaction is Reaction.UNCLEAR:
        return _unclear(outcome, rule, unclear_count, unclear_wait)
    if rule.reaction is Reaction.RETRY and attempts < rule.max_attempts:
        return Decision(DeliveryState.QUEUED, outcome.cause, _delay(outcome, rule, attempts, jitter), advice=rule.advice)
    if rule.reaction is Reaction.WORK_ITEM or (unclear_count and outcome.kind is OutcomeKind.DEFERRED):
        # After an unclear send only a partner's plain no is a no: another channel might double what arrived.
        return Decision(DeliveryState.PARKED, outcome.cause, needs_person=True, advice=rule.advice)
    if rule.reaction is Reaction.NOTHING:
        return Decision(DeliveryState.REFUSED, outcome.cause, opens_next_leg=True, ends_quietly=True, advice=rule.advice)
    return Decision(DeliveryState.REFUSED, outcome.cause, opens_next_leg=True, person_if_last=True, advice=rule.advice)


def _unclear(outcome: SendOutcome, rule: CauseRule, unclear_count: int, wait: timedelta) -> Decision:
    if unclear_count >= 1:
        return Decision(DeliveryState.PARKED, outcome.cause, needs_person=True, advice=rule.advice)
    return Decision(DeliveryState.UNCLEAR, outcome.cause, delay=wait, advice=rule.advice)


def _delay(outcome: SendOutcome, rule: CauseRule, attempts: int, jitter: float) -> timedelta:
    if outcome.cause == OUTSIDE_HOURS and outcome.retry_after_seconds is not None:
        return timedelta(seconds=outcome.retry_after_seconds)  # our own rule, known to the minute: a night costs one try
    if outcome.retry_after_seconds is not None:
        return timedelta(seconds=min(outcome.retry_after_seconds, LONGEST_DELAY_SECONDS))
    seconds = min(rule.first_delay_seconds * 2 ** (attempts - 1), LONGEST_DELAY_SECONDS)
    return timedelta(seconds=seconds * (0.8 + 0.4 * jitter))
