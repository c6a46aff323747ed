"""The status of a submission: one pure function over its deliveries and what waits for a person.

Law: blueprint §1. Only documents count. Final is the best state that was proved; a fallback leg that waits behind a leg which
served is not open.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from adapter.ledger.records import Phase, RecipientStatus, SubmissionStatus
from adapter.model.delivery import Delivery, DeliveryState, Purpose

S = DeliveryState

SERVED = (S.INTEGRATED, S.READ, S.DELIVERED, S.ACCEPTED)
MOVING = frozenset({S.QUEUED, S.CLAIMED, S.ON_WIRE, S.UNCLEAR})

# From best to least: which of a role's deliveries tells how the role stands.
_BEST_FIRST = (
    *SERVED,
    S.ON_WIRE,
    S.UNCLEAR,
    S.CLAIMED,
    S.QUEUED,
    S.PARKED,
    S.REFUSED,
    S.WAITING,
    S.SUPERSEDED,
    S.CANCELLED,
)


def status_of(deliveries: Sequence[Delivery], waits_for_person: bool) -> SubmissionStatus:
    """The status; `waits_for_person`: an item is open on the submission or on one of its deliveries."""
    documents = sorted((d for d in deliveries if d.purpose is Purpose.DOCUMENT), key=lambda d: (d.role_id, d.leg))
    recipients = tuple(_recipient(role, list(legs)) for role, legs in groupby(documents, key=lambda d: d.role_id))
    phases = {recipient.phase for recipient in recipients}
    if Phase.OPEN in phases:
        phase = Phase.OPEN
    elif waits_for_person or Phase.PARKED in phases:
        phase = Phase.PARKED
    else:
        phase = Phase.FINAL
    least = max((recipient.state for recipient in recipients), key=_BEST_FIRST.index, default=None)
    return SubmissionStatus(phase, least.value if least else "no-delivery", recipients)


def _recipient(role_id: str, legs: list[Delivery]) -> RecipientStatus:
    best = min(legs, key=lambda leg: _BEST_FIRST.index(leg.state))
    states = {leg.state for leg in legs}
    if states & MOVING:
        phase = Phase.OPEN
    elif best.state in SERVED:
        phase = Phase.FINAL
    elif S.PARKED in states:
        phase = Phase.PARKED
    else:
        phase = Phase.OPEN if S.WAITING in states and S.REFUSED not in states else Phase.FINAL
    return RecipientStatus(role_id, best.state, best.channel, phase)
