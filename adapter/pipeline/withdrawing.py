"""Asks a channel back what must not leave any more; asked in every round until the channel has said something final."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from adapter.channels.base import Channel, Withdraws
from adapter.ledger.ledger import Ledger
from adapter.model.plan import ChannelName
from adapter.model.withdrawal import Withdrawn

log = structlog.get_logger()


def withdraw_asked(ledger: Ledger, name: ChannelName, channel: Channel | None, goes_on: Callable[[], bool]) -> int:
    """Ask one channel, before it is asked for its proofs: what it gives back is no failure. Returns how many questions ended.

    A closed channel (None) gives nothing back. Not gone on with, the rest is asked in the next round.
    """
    settled = 0
    for asked in ledger.withdrawals(name):
        if not goes_on():
            break
        found = _withdrawn(channel, asked.reference)
        log.info("delivery.withdrawal", delivery=asked.delivery_id, reason=asked.reason, found=found.value)
        settled += ledger.settle_withdrawal(asked.delivery_id, found)
    return settled


def _withdrawn(channel: object, reference: str) -> Withdrawn:
    """What a channel gives back; one that has no such verb gives back nothing."""
    if not isinstance(channel, Withdraws):
        return Withdrawn.TOO_LATE
    try:
        return channel.withdraw(reference)
    except Exception as error:  # a channel's own defect: it is asked again
        log.error("channel.withdraw-failed", error=type(error).__name__)
        return Withdrawn.NOT_YET
