"""Makes the HL7 message of one delivery: addressed to its partner, under the MSH-10 that was stored before the wire. Pure."""

from __future__ import annotations

from datetime import datetime

from adapter.errors import RenditionError
from adapter.model.ack import BusinessAck
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.submission import AcksWanted
from adapter.packaging.hl7.er7 import Header, value
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.hl7.zam import build_zam
from adapter.packaging.parcel import Hl7Content, Hl7Partner, SenderProfile


def document_message(
    delivery: Delivery, document: LocalDocument, partner_name: str, sender: SenderProfile, sent_at: datetime
) -> Hl7Content:
    """Flow 6 towards local software: its AA proves that the document is integrated."""
    partner = _partner(partner_name, sender)
    header = _header(delivery, partner, partner.application, partner.facility, sender, sent_at)
    return Hl7Content(build_mdm(document, header), delivery.reference, DeliveryState.INTEGRATED)


def ack_message(
    delivery: Delivery, ack: BusinessAck, asked: AcksWanted, partner_name: str, sender: SenderProfile, sent_at: datetime
) -> Hl7Content:
    """A business acknowledgement, addressed to the application that asked for it: one partner may stand before several."""
    partner = _partner(partner_name, sender)
    application = asked.reply_application or partner.application
    facility = asked.reply_facility or partner.facility
    header = _header(delivery, partner, application, facility, sender, sent_at)
    return Hl7Content(build_zam(ack, header), delivery.reference, DeliveryState.ACCEPTED)


def _partner(name: str, sender: SenderProfile) -> Hl7Partner:
    partner = sender.hl7.partner(name)
    if partner is None:
        raise RenditionError("hl7.unknown-partner", "this legal entity has no such HL7 partner", where=name)
    return partner


def _header(
    delivery: Delivery, partner: Hl7Partner, application: str, facility: str, sender: SenderProfile, sent_at: datetime
) -> Header:
    ours = sender.hl7
    return Header(
        application=value(ours.application),
        facility=value(ours.facility or sender.finess),
        to_application=application,
        to_facility=facility,
        sent_at=sent_at,
        control_id=delivery.reference,
        processing=ours.processing,
        charset=partner.charset,
    )
