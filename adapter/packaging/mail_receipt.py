"""Makes the mail that answers a mail: an MDN to whoever asked for one, else a KO mail to the box that is told of refusals. Pure.

Source: CI-SIS volet "Transmission au LPS d'un document CDA provenant d'un courriel MSSanté" 1.1.3 (and 1.1, the old form, by a
switch); RFC 8098: an MDN leaves with an empty envelope sender and returns the original whole, byte for byte.
"""

from __future__ import annotations

from datetime import datetime

from adapter.errors import RenditionError
from adapter.model.ack import BusinessAck
from adapter.model.delivery import Delivery
from adapter.model.submission import AcksWanted
from adapter.packaging.parcel import MailContent, SenderProfile
from mssante.errors import MssanteError
from mssante.integration import IntegrationError
from mssante.message import Mailbox
from mssante.receipts import Answer, write_failure_notice, write_receipt


def build_mail_receipt(
    delivery: Delivery, ack: BusinessAck, asked: AcksWanted, original: bytes, sender: SenderProfile, sent_at: datetime
) -> MailContent:
    """The answer to a mail; RenditionError when the original does not allow one (no usable Message-ID)."""
    mailbox = asked.final_recipient or sender.mailbox
    answer = Answer(
        sender=Mailbox(mailbox, sender.mail_label),
        sent_at=sent_at,
        message_id=delivery.reference,
        product_reference=sender.product_reference,
        agent=f"Trait d'union; {sender.product_reference}",
        error=IntegrationError(ack.reason.code, ack.reason.label) if ack.reason is not None and not ack.positive else None,
    )
    try:
        if asked.notify_address:
            legacy = mailbox.lower() in sender.legacy_receipts
            receipt = write_receipt(original, answer, legacy=legacy)
            return MailContent(receipt, "", asked.notify_address, delivery.id, wants_dsn=False)
        notice = write_failure_notice(original, answer, asked.failure_address)
    except MssanteError as error:
        raise RenditionError(error.code, error.message, where=error.where) from error
    return MailContent(notice, mailbox, asked.failure_address, delivery.id, wants_dsn=False)
