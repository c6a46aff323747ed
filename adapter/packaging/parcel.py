"""A parcel: what one delivery hands to one channel, complete and byte-reproducible.

Everything that travels (instants, ids, boundaries) comes from the stored delivery, so a resend is byte-identical.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapter.model.confidential import Confidential


@dataclass(frozen=True, repr=False)
class MailContent(Confidential):
    """An RFC 5322 message ready for SMTP, and its envelope. `wants_dsn` asks for delivery notifications (RFC 3461)."""

    message: bytes
    envelope_from: str
    envelope_to: str
    envelope_id: str
    wants_dsn: bool = True


@dataclass(frozen=True, repr=False)
class RecordContent(Confidential):
    """An ITI-65 transaction Bundle as JSON bytes, and the masterIdentifier value to search for when unsure."""

    transaction: bytes
    master_identifier: str


@dataclass(frozen=True, repr=False)
class FaxContent(Confidential):
    """A page set as multi-page TIFF-F (G4, 1728 columns, 204×196 dpi) and its number of pages."""

    tiff: bytes
    pages: int


Content = MailContent | RecordContent | FaxContent


@dataclass(frozen=True, repr=False)
class Parcel(Confidential):
    """What goes out for one delivery. `address` is where it really goes (a test instance has replaced it)."""

    delivery_id: str
    reference: str
    address: str
    urgent: bool
    content: Content


@dataclass(frozen=True)
class SenderProfile:
    """How one legal entity presents itself on a channel.

    `mailbox` is its application box, `mail_label` the RFC 5322 display name, `source_oid` the OID of the sending system
    (XDM/MHD sourceId), `product_reference` the Convergence NIL (X-MSS-NIL), `phone` the call-back number of cover sheets,
    `fax_number` our own line, `reply_to` a human mailbox or empty. `stamp` is printed on every page of a test instance.
    """

    legal_entity: str
    name: str
    finess: str
    mailbox: str
    mail_label: str
    source_oid: str
    product_reference: str
    phone: str = ""
    fax_number: str = ""
    reply_to: str = ""
    stamp: str = ""
