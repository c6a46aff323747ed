"""Mailboxes that a partner said are nobody's any more: asked when a route is chosen, and again just before each send."""

from __future__ import annotations

from adapter.ledger.ledger import Ledger
from adapter.model.delivery import Delivery
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import Submission


def suspended_in(ledger: Ledger, submission: Submission, plan: RoutePlan) -> frozenset[str]:
    """Which addresses of a plan nobody is to write to."""
    legs = (leg for recipient in plan.recipients for leg in recipient.legs)
    addresses = [leg.intended or leg.address for leg in legs if leg.channel is ChannelName.SECURE_MAIL]
    return ledger.suspended_among(addresses, legal_entity=submission.legal_entity) if addresses else frozenset()


def suspended_leg(ledger: Ledger, delivery: Delivery, recipient: RecipientPlan) -> bool:
    """Whether this delivery's own address was suspended since its route was chosen."""
    if delivery.channel is not ChannelName.SECURE_MAIL:
        return False
    mine = (leg for leg in recipient.legs if leg.channel is delivery.channel and leg.order == delivery.leg)
    addresses = [leg.intended or leg.address for leg in mine]
    return bool(ledger.suspended_among(addresses, legal_entity=delivery.legal_entity))
