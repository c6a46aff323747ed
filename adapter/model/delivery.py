"""The life of one delivery: states, the transition table, what a send can answer. Data first, one function to apply it.

Source: blueprint §1. A late proof may still refuse what was accepted, delivered or read.
A lease that runs out sends `claimed` back to `queued`, but `on_wire` to `unclear`: it may have arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.errors import IllegalTransitionError
from adapter.model.plan import ChannelName


class DeliveryState(StrEnum):
    """Where a delivery stands. Values are stored: never rename."""

    WAITING = "waiting"
    QUEUED = "queued"
    CLAIMED = "claimed"
    ON_WIRE = "on_wire"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    READ = "read"
    INTEGRATED = "integrated"
    UNCLEAR = "unclear"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    PARKED = "parked"


S = DeliveryState

# What a partner's word can prove.
PROOFS = frozenset({S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED, S.REFUSED})

# From each state, the states that may follow. Proofs come in any order, so the ladder may be climbed in jumps. A proof of an
# earlier send may also find the delivery queued or claimed to go again after an unclear send, or parked: it counts all the same.
TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    S.WAITING: frozenset({S.QUEUED, S.CANCELLED, S.SUPERSEDED, S.PARKED}),
    # Back to waiting: a better channel opened before it left, and it becomes the fallback.
    S.QUEUED: frozenset({S.CLAIMED, S.WAITING, S.CANCELLED, S.SUPERSEDED, S.PARKED}) | PROOFS,
    S.CLAIMED: frozenset({S.ON_WIRE, S.QUEUED, S.PARKED, S.SUPERSEDED, S.CANCELLED}) | PROOFS,
    S.ON_WIRE: frozenset({S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED, S.QUEUED, S.REFUSED, S.UNCLEAR, S.PARKED}),
    S.UNCLEAR: frozenset(
        {S.QUEUED, S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED, S.REFUSED, S.PARKED, S.CANCELLED, S.SUPERSEDED}
    ),
    # Cancelled, superseded: taken back out of the partner's queue before it left. Parked: who took it to pass it on never said
    # that it was, and a person must find out.
    S.ACCEPTED: frozenset({S.DELIVERED, S.READ, S.INTEGRATED, S.REFUSED, S.PARKED, S.CANCELLED, S.SUPERSEDED}),
    S.DELIVERED: frozenset({S.READ, S.INTEGRATED, S.REFUSED}),
    S.READ: frozenset({S.INTEGRATED, S.REFUSED}),
    S.INTEGRATED: frozenset(),
    S.REFUSED: frozenset({S.DELIVERED, S.READ, S.INTEGRATED, S.QUEUED}),
    S.CANCELLED: frozenset(),
    S.SUPERSEDED: frozenset(),
    S.PARKED: frozenset({S.QUEUED, S.CANCELLED, S.SUPERSEDED}) | PROOFS,
}

# How far a proof reaches: a proof lower on the ladder than the state changes nothing (never regress).
LADDER = (S.QUEUED, S.CLAIMED, S.ON_WIRE, S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED)

# States in which the document is still on its way; the others are final, parked or failed.
OPEN_STATES = frozenset({S.WAITING, S.QUEUED, S.CLAIMED, S.ON_WIRE, S.UNCLEAR})


def check_transition(before: DeliveryState, after: DeliveryState) -> None:
    """Raise `IllegalTransitionError` when the table does not allow this change."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransitionError("delivery.illegal-transition", f"{before} may not become {after}")


class Purpose(StrEnum):
    """Why something is sent: only documents count in a status and in conservation."""

    DOCUMENT = "document"
    ACK = "ack"
    NOTICE = "notice"


@dataclass(frozen=True)
class Delivery:
    """One delivery row. `reference` is what travels (Message-ID, uniqueId, JOBINFO): stored before the wire is touched.

    `fence` grows with each claim: a write with an old fence is refused. `replaces_sent_on` tells a newer version
    that the older one left (or may have left) on that date. `partner` is the HL7 partner it goes to, so that a slow one holds
    its own messages only; deliveries of one `sequence` leave one after the other. Those of one `bundle` leave together while they
    can, in one mail: then they bear one `reference`. `superseded_by`: the delivery, or submission, of the newer version that took
    its place for this role, whether or not this one had left.
    """

    id: str
    submission_id: str
    legal_entity: str
    document_id: str
    version: int
    intent: str
    role_id: str
    channel: ChannelName
    leg: int
    state: DeliveryState
    reference: str
    purpose: Purpose = Purpose.DOCUMENT
    attempts: int = 0
    fence: int = 0
    priority: int = 100
    not_before: datetime | None = None
    cause: str = ""
    unclear_count: int = 0
    sent_at: datetime | None = None
    replaces_sent_on: str = ""
    partner: str = ""
    sequence: str = ""
    bundle: str = ""
    superseded_by: str = ""


class OutcomeKind(StrEnum):
    """What a channel can say after a send."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class SendOutcome:
    """A channel's answer. `cause` is a code of the causes table (`mappings/causes.csv`), empty when accepted.

    `proves` is the state that an acceptance proves (accepted, or integrated for a record). `partner_reference` is what
    the partner gave back (queue id, Location). `detail` holds no patient content. `retry_after_seconds` is the
    partner's wish, if any.
    """

    kind: OutcomeKind
    cause: str = ""
    proves: DeliveryState = DeliveryState.ACCEPTED
    partner_reference: str = ""
    detail: str = ""
    retry_after_seconds: float | None = None
