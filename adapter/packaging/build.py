"""Chooses and makes the rendition that a delivery's channel carries: mail, record transaction or fax pages.

A CDA that came in travels byte-identical; a document born otherwise leaves as CDA N3 when its content meets a volet that we
write, else as N1 around its PDF. The PDF beside is the embedded one (ECO 2.1.5), else our own rendition of the FHIR document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from typing import assert_never

from adapter.errors import RenditionError
from adapter.fhir.bundle import write_json
from adapter.formats.cda import embedded_pdf, open_cda
from adapter.model.ack import BusinessAck
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery
from adapter.model.document import BodyKind, Code
from adapter.model.plan import ChannelName, Leg, RecipientPlan
from adapter.model.submission import AcksWanted, Intent, Submission, Urgency
from adapter.packaging.cda import wrap_as_n1
from adapter.packaging.cda_out.structured import structured_model, write_as_n3
from adapter.packaging.code_tables import PDF_FORMAT, class_of, format_of
from adapter.packaging.fax_annex import annex_of
from adapter.packaging.fax_cancellation import CancelledFax, build_cancellation, cancellation_sheet
from adapter.packaging.fax_number_check import NumberCheck, build_number_check, number_check_sheet
from adapter.packaging.fax_page import FaxCover, RowsPerDot, annex_sheets, build_fax, sheet_prints
from adapter.packaging.fax_pdf import build_fax_pdf, sheet_as_pdf
from adapter.packaging.follow_up import civil_day, fax_follow_up, shown_reference
from adapter.packaging.hl7.mdm import LocalDocument
from adapter.packaging.hl7.messages import ack_message, document_message
from adapter.packaging.mail import Enclosed, build_mail
from adapter.packaging.mail_receipt import build_mail_receipt
from adapter.packaging.mhd import Rendition, build_iti65
from adapter.packaging.mhd_change import build_change
from adapter.packaging.mhd_values import ANY_FORMAT, format_of_source
from adapter.packaging.names import names_of
from adapter.packaging.parcel import Content, FaxForm, Fetchable, InboxContent, Parcel, SenderProfile
from adapter.packaging.pdf import render_pdf, stamp_pdf

# How a peer whose acknowledgements nobody receives stands in the place of a partner.
UNKNOWN_PEER = "peer:"


@dataclass(frozen=True, repr=False)
class Document(Confidential):
    """One document with everything a rendition is made from.

    `earlier_references`: what travelled with older versions to the same recipient by the same channel, oldest first.
    `earlier_pages`: how many pages of the last of them a fax machine confirmed.
    `standard_fax`: the other end takes no fine pages.
    """

    submission: Submission
    bundle: dict[str, object]
    source: bytes
    media_type: str
    earlier_references: tuple[str, ...] = ()
    earlier_pages: int = 0
    standard_fax: bool = False


def build_parcel(
    delivery: Delivery, document: Document, recipient: RecipientPlan, sender: SenderProfile, sent_at: datetime
) -> Parcel:
    """The parcel of one delivery; RenditionError when the channel's form cannot be made."""
    leg = leg_of(delivery, recipient)
    return Parcel(
        delivery_id=delivery.id,
        reference=delivery.reference,
        address=leg.address,
        urgent=document.submission.urgency is Urgency.URGENT,
        content=_content(delivery, document, recipient, leg, sender, sent_at),
    )


def build_number_check_parcel(
    delivery: Delivery, recipient: RecipientPlan, sender: SenderProfile, sent_at: datetime, code: str, *, urgent: bool
) -> Parcel:
    """The page that goes before the first document to a fax number, as urgent as that one: no patient, no document is named."""
    leg = leg_of(delivery, recipient)
    parcel = partial(Parcel, delivery.id, delivery.reference, leg.address, urgent)
    cover = FaxCover(
        sender=sender.name,
        recipient=recipient.display,
        fax_number=leg.address,
        callback_number=sender.phone,
        sender_fax=sender.fax_number,
        date=civil_day(sent_at.isoformat()),
    )
    check = NumberCheck(cover, code)
    if sender.fax_form is FaxForm.PDF:
        return parcel(sheet_as_pdf(number_check_sheet(check, sender.stamp), delivery.fence))
    return parcel(build_number_check(check, sender.stamp))


def build_joint_parcel(
    parts: Sequence[tuple[Delivery, Document]], recipient: RecipientPlan, sender: SenderProfile, sent_at: datetime
) -> Parcel:
    """One mail for the documents of one message that leave together; RenditionError when it cannot be made."""
    first, document = parts[0]
    leg = leg_of(first, recipient)
    mail = build_mail([_enclosed(*part, leg, sender) for part in parts], sender, leg.address, sent_at)
    is_urgent = document.submission.urgency is Urgency.URGENT
    return Parcel(first.id, first.reference, leg.address, urgent=is_urgent, content=mail)


def build_ack_parcel(
    delivery: Delivery, ack: BusinessAck, asked: AcksWanted, sender: SenderProfile, sent_at: datetime, original: bytes = b""
) -> Parcel:
    """The parcel of an acknowledgement owed to a sender; RenditionError when its channel has no form for one.

    `original` is the mail that an answer by mail returns.
    """
    if delivery.channel is ChannelName.SECURE_MAIL:
        mail = build_mail_receipt(delivery, ack, asked, original, sender, sent_at)
        return Parcel(delivery.id, delivery.reference, mail.envelope_to, urgent=False, content=mail)
    if delivery.channel is not ChannelName.HL7_PUSH:
        raise RenditionError("ack.no-form", "no acknowledgement travels by this channel", where=delivery.channel.value)
    # A peer that had no partner when this was owed may have one by now.
    partner = dict(sender.hl7.acks_to).get(ack.peer, delivery.partner)
    if partner.startswith(UNKNOWN_PEER):
        raise RenditionError("ack.no-partner", "nobody is configured to receive this peer's acknowledgements", where=ack.peer)
    content = ack_message(delivery, ack, asked, partner, sender, sent_at)
    return Parcel(delivery.id, delivery.reference, partner, urgent=False, content=content)


def leg_of(delivery: Delivery, recipient: RecipientPlan) -> Leg:
    """The leg that this delivery is; RenditionError when the stored plan does not hold it."""
    for leg in recipient.legs:
        if leg.order == delivery.leg and leg.channel is delivery.channel:
            return leg
    raise RenditionError("parcel.no-leg", "the stored plan holds no such leg", where=delivery.id)


def readable_pdf(document: Document, stamp: str) -> bytes:
    """The PDF a person reads: the one embedded in a CDA N1, the one that came in, else our rendition."""
    if document.submission.document.body is BodyKind.PDF_IN_CDA:
        embedded = embedded_pdf(open_cda(document.source))
        if embedded is not None:
            return stamp_pdf(embedded, stamp) if stamp else embedded
    if document.submission.document.body is BodyKind.PDF:
        return stamp_pdf(document.source, stamp) if stamp else document.source
    return render_pdf(document.bundle, stamp=stamp, urgency=document.submission.urgency.value)


def travelling_cda(document: Document, pdf: bytes) -> bytes:
    """The CDA that travels: the source itself, an N3 when the content is structured enough, or an N1 around the PDF."""
    if document.submission.content_kind == "cda":
        return document.source
    model = structured_model(document.submission, document.bundle)
    if model is None:
        is_page = document.submission.document.body is BodyKind.PDF
        return wrap_as_n1(document.submission, document.source if is_page else pdf)
    return write_as_n3(document.submission, document.bundle, model, pdf)


def written_templates(document: Document) -> tuple[str, ...]:
    """The templates of the model under which we write a document; none for a CDA that came in, or an N1."""
    if document.submission.content_kind == "cda":
        return ()
    model = structured_model(document.submission, document.bundle)
    return model.templates if model is not None else ()


def _content(
    delivery: Delivery, document: Document, recipient: RecipientPlan, leg: Leg, sender: SenderProfile, sent_at: datetime
) -> Content:
    match delivery.channel:
        case ChannelName.SECURE_MAIL:
            return build_mail([_enclosed(delivery, document, leg, sender)], sender, leg.address, sent_at)
        case ChannelName.SHARED_RECORD:
            return _for_record(delivery, document, leg, sender, sent_at)
        case ChannelName.FAX:
            return _fax(delivery, document, fax_cover(document, recipient, leg, sender, delivery, sent_at), sender)
        case ChannelName.HL7_PUSH:
            cda = travelling_cda(document, readable_pdf(document, sender.stamp))
            carried = LocalDocument(document.submission, cda, sender.mailbox)
            return document_message(delivery, carried, leg.address, sender, sent_at)
        case ChannelName.INBOX:
            return _fetchable(document, sender)
        case _:
            assert_never(delivery.channel)


def _fax(delivery: Delivery, document: Document, cover: FaxCover, sender: SenderProfile) -> Content:
    """Pages for a line, or a PDF for a provider that draws them again: then each send is told apart from the one before."""
    if document.submission.intent is Intent.CANCEL:
        what = _cancelled(delivery, document)
        if sender.fax_form is FaxForm.PDF:
            return sheet_as_pdf(cancellation_sheet(cover, what, sender.stamp), delivery.fence)
        return build_cancellation(cover, what, sender.stamp, _rows(document))
    if sender.fax_form is FaxForm.PDF:
        pdf, annex = readable_pdf(document, sender.stamp), annex_of(document.submission, document.bundle, sender.fax_key)
        pages = build_fax_pdf(pdf, cover, delivery.fence, sender.stamp, annex.codes)
        return replace(pages, note=pages.note or annex.note)
    pdf, rows = readable_pdf(document, ""), _rows(document)

    @lru_cache(maxsize=4)
    def prints(annexes: int) -> tuple[bytes, ...]:
        return sheet_prints(pdf, cover, annexes, sender.stamp, rows)

    annex = annex_of(document.submission, document.bundle, sender.fax_key, lambda codes: prints(annex_sheets(codes, rows)))
    return replace(build_fax(pdf, cover, sender.stamp, annex.codes, rows), note=annex.note)


def _rows(document: Document) -> RowsPerDot:
    return RowsPerDot.STANDARD if document.standard_fax else RowsPerDot.FINE


def _cancelled(delivery: Delivery, document: Document) -> CancelledFax:
    header, earlier = document.submission.document, document.earlier_references
    return CancelledFax(
        kind=class_of(header.type.code).label,
        document_date=civil_day(header.created),
        document_id=header.unique_id,
        faxed_on=civil_day(delivery.replaces_sent_on),
        reference=shown_reference(earlier[-1]) if earlier else "",
        pages=document.earlier_pages,
    )


def _fetchable(document: Document, sender: SenderProfile) -> InboxContent:
    """The CDA and the readable PDF, as a mail would carry them; the FHIR document is the submission's own."""
    names = names_of(document.submission.document, document.bundle)
    if document.submission.intent is Intent.CANCEL:
        return InboxContent((), names)
    pdf = readable_pdf(document, sender.stamp)
    cda = travelling_cda(document, pdf)
    is_source = cda == document.source
    forms = (
        Fetchable("cda", "application/xml", cda, is_source),
        Fetchable("pdf", "application/pdf", pdf, pdf == document.source),
    )
    return InboxContent(forms, names)


def _enclosed(delivery: Delivery, document: Document, leg: Leg, sender: SenderProfile) -> Enclosed:
    """What a mail carries of one document."""
    pdf, submission = readable_pdf(document, sender.stamp), document.submission
    if leg.pdf_only:
        return Enclosed(delivery, submission, b"", pdf, thread=document.earlier_references, copy_of=leg.copy_of)
    cda = travelling_cda(document, pdf)
    templates, thread = written_templates(document), document.earlier_references
    return Enclosed(delivery, submission, cda, pdf, templates, thread, leg.copy_of)


def _for_record(delivery: Delivery, document: Document, leg: Leg, sender: SenderProfile, sent_at: datetime) -> Content:
    """The document in the forms that the record wants, or the change that it is asked for."""
    submission = document.submission
    if submission.intent in (Intent.CANCEL, Intent.METADATA):
        return build_change(delivery, submission, leg.changes, sender, sent_at)
    forms = tuple(_rendition(kind, document, sender.stamp) for kind in leg.renditions)
    kept = (document.bundle, document.source, document.media_type)
    return build_iti65(delivery, submission, *kept, sender, sent_at, renditions=forms)


def _rendition(kind: str, document: Document, stamp: str) -> Rendition:
    """One form that a record declares."""
    match kind:
        case "fhir":
            return Rendition(kind, write_json(document.bundle), "application/fhir+json", ANY_FORMAT)
        case "pdf":
            return Rendition(kind, readable_pdf(document, stamp), "application/pdf", ANY_FORMAT)
        case _:
            return Rendition("cda", travelling_cda(document, readable_pdf(document, stamp)), "text/xml", _cda_format(document))


def _cda_format(document: Document) -> Code:
    if document.submission.content_kind == "cda":
        return format_of_source(document.submission.document)
    templates = written_templates(document)
    return format_of(templates) if templates else PDF_FORMAT


def fax_cover(
    document: Document, recipient: RecipientPlan, leg: Leg, sender: SenderProfile, delivery: Delivery, sent_at: datetime
) -> FaxCover:
    """What lies open in a tray: nothing of the patient, nor the document's title."""
    return FaxCover(
        sender=sender.name,
        recipient=recipient.display,
        fax_number=leg.address,
        callback_number=sender.phone,
        sender_fax=sender.fax_number,
        urgency=document.submission.urgency.value,
        reference=shown_reference(delivery.id),
        date=civil_day(sent_at.isoformat()),
        follow_up=fax_follow_up(delivery, document.submission, document.earlier_references, document.earlier_pages),
    )
