"""The document of a claim as its channel will carry it: at standard resolution where the other end takes no fine pages."""

from __future__ import annotations

from dataclasses import replace

from adapter.formats.phone_number import e164
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedDelivery
from adapter.model.plan import ChannelName
from adapter.packaging.build import Document, leg_of
from adapter.pipeline.bundles import document_of, recipient_of
from adapter.routing.directory import Directory


def document_for(ledger: Ledger, directory: Directory, claim: ClaimedDelivery) -> Document:
    """What its rendition is made from. The partners file forces standard resolution on a number, its machine teaches it."""
    document = document_of(claim)
    if claim.delivery.channel is not ChannelName.FAX:
        return document
    leg = leg_of(claim.delivery, recipient_of(claim.delivery, claim.plan))
    forced = directory.is_standard_only(e164(leg.intended or leg.address))
    return replace(document, standard_fax=forced or ledger.is_standard_only(leg.address))
