"""Fax numbers just before they are dialled: are they still the recipient's, and did somebody vouch for them.

Law: CNIL on faxing health data; blueprint seams 3 and 12. Partners change numbers and software dials what it was given: a number
that today's directory does not give to this recipient is not dialled, whatever yesterday's plan says. A test instance dials its
sandbox; the number meant is looked at all the same, so that what a production instance would do can be rehearsed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from adapter.errors import RenditionError
from adapter.formats.phone_number import e164
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Claimed, ClaimedAck, ClaimedDelivery
from adapter.model.delivery import Delivery, Purpose
from adapter.model.fax_number import FirstFax, NumberUse
from adapter.model.plan import ChannelName, RecipientPlan
from adapter.model.submission import Urgency
from adapter.model.work_item import FAX_NUMBER_CHANGED
from adapter.packaging.build import build_number_check_parcel
from adapter.packaging.parcel import Parcel, SenderProfile
from adapter.pipeline.bundles import recipient_of
from adapter.routing.directory import Directory
from adapter.routing.entries import Role


def number_withdrawn(directory: Directory, delivery: Delivery, recipient: RecipientPlan, today: date) -> bool:
    """Whether the directory no longer gives this recipient the number that the plan names."""
    if delivery.channel is not ChannelName.FAX:
        return False
    holders = directory.holders_of_fax(_number_of(delivery, recipient), today)
    return all(role.id != recipient.role_id for role in holders)


def redirected(ledger: Ledger, directory: Directory, claim: Claimed, today: date) -> Claimed:
    """A fax whose number changed, once a person sends it again: to the number that its recipient has today, if there is one."""
    delivery = claim.delivery
    if isinstance(claim, ClaimedAck) or delivery.cause != FAX_NUMBER_CHANGED or delivery.purpose is not Purpose.DOCUMENT:
        return claim
    recipient = next((one for one in claim.plan.recipients if one.role_id == delivery.role_id), None)
    number = directory.fax_of(delivery.role_id, today)
    if recipient is None or not number or not number_withdrawn(directory, delivery, recipient, today):
        return claim
    return replace(claim, plan=ledger.fax_numbers.redirect(delivery.id, delivery.fence, claim.submission, number))


def may_be_dialled(ledger: Ledger, directory: Directory, claim: Claimed, policy: FirstFax, today: date) -> bool:
    """Whether somebody vouched for the number; else the delivery is parked behind the one question on it."""
    delivery = claim.delivery
    if isinstance(claim, ClaimedAck) or delivery.channel is not ChannelName.FAX or delivery.purpose is not Purpose.DOCUMENT:
        return True
    recipient = recipient_of(delivery, claim.plan)
    number = _number_of(delivery, recipient)
    use = NumberUse(
        legal_entity=delivery.legal_entity,
        number=number,
        holders=holders_today(directory, number, today),
        display=recipient.display,
        phone_line=recipient.phone_line,
        urgent=claim.submission.urgency is Urgency.URGENT,
    )
    return ledger.fax_numbers.admit(delivery.id, delivery.fence, use, policy)


def number_check_parcel(ledger: Ledger, claim: ClaimedDelivery, sender: SenderProfile, sent_at: datetime) -> Parcel:
    """The page that asks who is behind a number; RenditionError when that is answered by now."""
    delivery, recipient = claim.delivery, recipient_of(claim.delivery, claim.plan)
    code = ledger.fax_numbers.test_page_code(_number_of(delivery, recipient), legal_entity=delivery.legal_entity)
    if not code:
        raise RenditionError("fax.number-answered", "this number is not asked about any more", where=delivery.id)
    urgent = claim.submission.urgency is Urgency.URGENT
    return build_number_check_parcel(delivery, recipient, sender, sent_at, code, urgent=urgent)


def holders_today(directory: Directory, number: str, today: date) -> frozenset[str]:
    """Who has a number: structures and services by key. A colleague more or less in one of them makes it nobody else's."""
    return frozenset(map(_place_of, directory.holders_of_fax(number, today)))


def _place_of(role: Role) -> str:
    return f"{role.organisation}/{role.department}"


def _number_of(delivery: Delivery, recipient: RecipientPlan) -> str:
    mine = (leg for leg in recipient.legs if leg.channel is delivery.channel and leg.order == delivery.leg)
    return next((e164(leg.intended or leg.address) for leg in mine), "")
