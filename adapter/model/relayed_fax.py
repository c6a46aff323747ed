"""A fax that somebody else dials for us: what we handed over and to which number, to know their answers again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState


@dataclass(frozen=True, repr=False)
class RelayedFax(Confidential):
    """One fax of the last days. `number` is as the plan has it, and may be a person's. `attempt` grows with each try to send;
    `sent_at` is the latest try.
    """

    reference: str
    number: str
    attempt: int
    state: DeliveryState
    sent_at: datetime
