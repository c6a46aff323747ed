"""Which deliveries of one message leave together: its documents for one mailbox make one mail. Pure.

Sources: CI-SIS volet 2.1 (flows 1 and 2: one mail a recipient); Référentiel socle MSSanté #2, ECO.2.1.1 (one patient a mail).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from adapter.errors import TduError
from adapter.ledger.deliveries import Hold
from adapter.ledger.records import Claimed, ClaimedDelivery, StoredSubmission
from adapter.model.delivery import Delivery, Purpose
from adapter.model.plan import ChannelName, Leg, RecipientPlan, RoutePlan
from adapter.model.submission import Submission
from adapter.packaging.build import Document, build_joint_parcel
from adapter.packaging.parcel import Parcel, SenderProfile
from adapter.pipeline.plan import stable_id


def bundled(stored: Sequence[StoredSubmission]) -> tuple[StoredSubmission, ...]:
    """The same, each delivery that has company with the name of its bundle."""
    if len(stored) < 2:
        return tuple(stored)
    keys = [[_key(one.translation.submission, one.plan, delivery) for delivery in one.deliveries] for one in stored]
    shared = {key for key, times in Counter(key for each in keys for key in set(each)).items() if key and times > 1}
    return tuple(
        replace(one, deliveries=tuple(_named(delivery, key, shared) for delivery, key in zip(one.deliveries, each, strict=True)))
        for one, each in zip(stored, keys, strict=True)
    )


def _named(delivery: Delivery, key: str, shared: set[str]) -> Delivery:
    return replace(delivery, bundle=key) if key in shared else delivery


def _key(submission: Submission, plan: RoutePlan, delivery: Delivery) -> str:
    """What two deliveries must have in common to be one mail; empty for what never shares one."""
    leg = _leg(plan, delivery)
    if leg is None or delivery.channel is not ChannelName.SECURE_MAIL or delivery.purpose is not Purpose.DOCUMENT:
        return ""
    patient = submission.document.patient
    number = patient.ins.value if patient.ins else ""
    who = (number, patient.birth_name, patient.first_given, patient.birth_date)
    how = (delivery.role_id, leg.address.lower(), submission.intent.value, "pdf" if leg.pdf_only else "xdm")
    return stable_id("bundle", submission.legal_entity, submission.receipt_id, *how, *who)


# ── what was claimed to leave together ──────────────────────────────────────────────────────────────────────────────────


def of_one_mail(claim: Claimed) -> tuple[Claimed, ...]:
    """A claim with its companions: what leaves in one mail; nearly always one delivery."""
    return (claim, *claim.companions) if isinstance(claim, ClaimedDelivery) else (claim,)


def hold_of(claim: Claimed) -> Hold:
    """Under which fence a delivery is held."""
    return claim.delivery.id, claim.delivery.fence


def document_of(claim: ClaimedDelivery) -> Document:
    """What its rendition is made from."""
    earlier = (claim.earlier_references, claim.earlier_pages)
    return Document(claim.submission, claim.bundle, claim.source_document, claim.source_media_type, *earlier)


def recipient_of(delivery: Delivery, plan: RoutePlan) -> RecipientPlan:
    """Whom a delivery is for; TduError when the stored plan does not say it."""
    for recipient in plan.recipients:
        if recipient.role_id == delivery.role_id:
            return recipient
    raise TduError("delivery.no-recipient", "the stored plan names no such role", where=delivery.id)


def joined(claims: Sequence[Claimed], sender: SenderProfile, sent_at: datetime) -> Parcel | None:
    """The one mail of several claims, each of which could leave alone; None when they cannot leave together."""
    documents = [claim for claim in claims if isinstance(claim, ClaimedDelivery)]
    recipient = recipient_of(documents[0].delivery, documents[0].plan)
    try:
        return build_joint_parcel([(one.delivery, document_of(one)) for one in documents], recipient, sender, sent_at)
    except TduError:
        return None


def _leg(plan: RoutePlan, delivery: Delivery) -> Leg | None:
    legs = (leg for one in plan.recipients if one.role_id == delivery.role_id for leg in one.legs)
    return next((leg for leg in legs if leg.order == delivery.leg and leg.channel is delivery.channel), None)
