"""A parcel: what one delivery hands to one channel, complete and byte-reproducible.

Everything that travels (instants, ids, boundaries) comes from the stored delivery, so a resend is byte-identical.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.formats.detached_jws import SigningKey
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState


@dataclass(frozen=True, repr=False)
class MailContent(Confidential):
    """An RFC 5322 message ready for SMTP, and its envelope. `wants_dsn` asks for delivery notifications (RFC 3461).

    `envelope_from` is empty for an MDN: nothing may come back about it.
    """

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
class RecordChange(Confidential):
    """A change of metadata of a document that a record holds, in all its forms (`master_identifiers`, the document's own first).

    `way` is how the partner takes it: `patch` (HTTP PATCH by identifier) or `transaction` (PATCH entries, a submission set).
    `status` empty, `archived` None, `labels` empty: left as they are. `labels` is JSON, `{"securityLabel": […]}`.
    """

    master_identifiers: tuple[str, ...]
    way: str
    status: str = ""
    archived: bool | None = None
    labels: bytes = b""
    submission_set: bytes = b""


@dataclass(frozen=True, repr=False)
class FaxContent(Confidential):
    """Pages as TIFF-F (G4, 1728 columns, 204×196 dpi) and how many they are. `note` is what the trace tells of them. Not `fine`:
    98 rows an inch, for a machine that takes no more.
    """

    tiff: bytes
    pages: int
    note: str = ""
    fine: bool = True


@dataclass(frozen=True, repr=False)
class FaxPdfContent(Confidential):
    """The same pages as one PDF, for a provider that rasterises them itself. `attempt` grows with each send and travels, so that
    an answer to an earlier try is not taken for one to this.
    """

    pdf: bytes
    pages: int
    attempt: int
    note: str = ""


class FaxForm(StrEnum):
    """What the way out of the fax takes: pages ready for the line, or a PDF."""

    TIFF = "tiff"
    PDF = "pdf"


@dataclass(frozen=True, repr=False)
class Hl7Content(Confidential):
    """An HL7 v2 message and its MSH-10, which the partner's answer must name. `proves` is what its AA proves."""

    message: bytes
    control_id: str
    proves: DeliveryState = DeliveryState.INTEGRATED


@dataclass(frozen=True, repr=False)
class Fetchable(Confidential):
    """One form of a document that a practice may fetch. `is_source`: the very bytes that came in."""

    form: str
    media_type: str
    content: bytes
    is_source: bool = False


@dataclass(frozen=True, repr=False)
class InboxContent(Confidential):
    """A document put at a practice's disposal, in its forms; none for a cancellation. `names`: what it is asked for under."""

    forms: tuple[Fetchable, ...]
    names: tuple[str, ...] = ()


Content = MailContent | RecordContent | RecordChange | FaxContent | FaxPdfContent | Hl7Content | InboxContent


@dataclass(frozen=True, repr=False)
class Parcel(Confidential):
    """What goes out for one delivery. `address` is where it really goes (a test instance has replaced it)."""

    delivery_id: str
    reference: str
    address: str
    urgent: bool
    content: Content


def size_of(parcel: Parcel) -> int:
    """Bytes of a mail as it travels; 0 for what is no mail."""
    return len(parcel.content.message) if isinstance(parcel.content, MailContent) else 0


@dataclass(frozen=True)
class Hl7Partner:
    """How a partner's software is addressed in MSH-5 and MSH-6, and the character set that it reads (MSH-18)."""

    name: str
    application: str
    facility: str
    charset: str = "UNICODE UTF-8"


@dataclass(frozen=True)
class Hl7Sender:
    """How we name ourselves in MSH, the partners that this legal entity may write to, and who gets whose acknowledgements.

    `processing` is MSH-11. `acks_to` leads from a principal of the MLLP door to a partner's name.
    """

    application: str = "TRAITDUNION"
    facility: str = ""
    processing: str = "P"
    partners: tuple[Hl7Partner, ...] = ()
    acks_to: tuple[tuple[str, str], ...] = ()

    def partner(self, name: str) -> Hl7Partner | None:
        """A partner by its name."""
        return next((one for one in self.partners if one.name == name), None)


@dataclass(frozen=True)
class SenderProfile:
    """How one legal entity presents itself on a channel.

    `mailbox` is its application box, `mail_label` the RFC 5322 display name, `source_oid` the OID of the sending system
    (XDM/MHD sourceId), `product_reference` the Convergence NIL (X-MSS-NIL), `phone` the call-back number of cover sheets,
    `fax_number` our own line, `reply_to` a human mailbox or empty. `stamp` is printed on every page of a test instance.
    `fax_key` signs the machine-readable annex of a fax, None: there is none; `fax_form`: what the fax's way out takes.
    `hl7` is how it speaks to local software. `legacy_receipts`: mailboxes, in lower case, whose MDN are written in the old form.
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
    legacy_receipts: frozenset[str] = frozenset()
    hl7: Hl7Sender = field(default_factory=Hl7Sender)
    fax_key: SigningKey | None = None
    fax_form: FaxForm = FaxForm.TIFF
