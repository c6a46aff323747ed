"""Makes the secure mail of one delivery: headers, words and attachments; the archive is made by `xdm`.

Sources: CI-SIS volet 2.1 §8 (From, Reply-To, bodies, FIN); Référentiel socle MSSanté #2; the library `mssante` writes the bytes.
Instants and ids come from the stored delivery: the same delivery gives the same bytes, whenever it is sent again.
"""

from __future__ import annotations

from datetime import datetime

from adapter.model.delivery import Delivery
from adapter.model.document import DocumentHeader
from adapter.model.submission import Intent, Submission
from adapter.packaging.follow_up import follow_up_sentence, replaces_earlier
from adapter.packaging.parcel import MailContent, SenderProfile
from adapter.packaging.xdm import build_xdm_zip, rendition_error
from mssante.errors import MssanteError
from mssante.message import (
    ARCHIVE_NAME,
    SUBJECT_PREFIX,
    Attachment,
    DocumentMail,
    Mailbox,
    document_subject,
    french_date,
    pdf_name,
    write_message,
)


def build_mail(
    delivery: Delivery,
    submission: Submission,
    cda: bytes,
    pdf: bytes,
    sender: SenderProfile,
    address: str,
    sent_at: datetime,
    *,
    templates: tuple[str, ...] = (),
    thread: tuple[str, ...] = (),
) -> MailContent:
    """The whole mail and its envelope; RenditionError when the header lacks what the norm wants.

    `templates`: those of a structured CDA that we wrote; the header tells those of a CDA that came in. `thread`: Message-IDs of
    the older versions that this recipient was sent, oldest first.
    """
    archive = build_xdm_zip(delivery, submission, cda, sender, sent_at, templates=templates)
    header = submission.document
    return _mail(
        delivery,
        submission,
        sender,
        address,
        sent_at,
        attachments=(Attachment(ARCHIVE_NAME, "application/zip", archive), _readable(header, pdf)),
        subject=_subject(submission, delivery),
        codes=(header.type.code,),
        thread=thread,
    )


def build_pdf_mail(
    delivery: Delivery,
    submission: Submission,
    pdf: bytes,
    sender: SenderProfile,
    address: str,
    sent_at: datetime,
    *,
    thread: tuple[str, ...] = (),
) -> MailContent:
    """The mail of a recipient who wants the readable PDF alone: no archive, so neither its subject prefix nor its headers."""
    return _mail(
        delivery,
        submission,
        sender,
        address,
        sent_at,
        attachments=(_readable(submission.document, pdf),),
        subject=_subject(submission, delivery).replace(SUBJECT_PREFIX, "", 1),
        codes=(),
        thread=thread,
    )


def _readable(header: DocumentHeader, pdf: bytes) -> Attachment:
    return Attachment(_pdf_name(header), "application/pdf", pdf)


def _mail(
    delivery: Delivery,
    submission: Submission,
    sender: SenderProfile,
    address: str,
    sent_at: datetime,
    *,
    attachments: tuple[Attachment, ...],
    subject: str,
    codes: tuple[str, ...],
    thread: tuple[str, ...],
) -> MailContent:
    header = submission.document
    mail = DocumentMail(
        sender=Mailbox(sender.mailbox, sender.mail_label),
        recipient=Mailbox(address),
        subject=subject,
        sent_at=sent_at,
        message_id=delivery.reference,
        text=_text(delivery, submission, sender, has_archive=bool(codes)),
        attachments=attachments,
        product_reference=sender.product_reference,
        document_codes=codes,
        holds_qualified_ins=header.patient.is_qualified,
        reply_to=submission.reply_to_address or sender.reply_to,
        receipt_to=sender.mailbox if submission.acks.reading else "",
        ends_exchange=_is_for_patient(delivery) and not submission.destinations.patient_may_reply,
        in_reply_to=thread[-1] if thread else submission.in_reply_to if submission.in_reply_to.startswith("<") else "",
        references=thread,
    )
    try:
        message = write_message(mail)
    except MssanteError as error:
        raise rendition_error(error) from error
    return MailContent(message, sender.mailbox, address, delivery.id, wants_dsn=True)


# ── the mail's words ────────────────────────────────────────────────────────────────────────────────────────────────


def _subject(submission: Submission, delivery: Delivery) -> str:
    # Only the document type is named: never a service or unit, which might tell of sensitive care.
    header = submission.document
    patient = header.patient
    return document_subject(
        [header.type.label or header.title],
        patient.birth_name,
        patient.first_given or patient.used_given,
        patient.birth_date,
        replaces=replaces_earlier(delivery, submission),
        cancels=submission.intent is Intent.CANCEL,
    )


def _pdf_name(header: DocumentHeader) -> str:
    event = header.service_events[0] if header.service_events else None
    served_on = (event.start if event else "") or header.created
    patient = header.patient
    given = patient.first_given or patient.used_given
    return pdf_name(served_on, header.type.label or header.title, patient.birth_name, given)


def _text(delivery: Delivery, submission: Submission, sender: SenderProfile, *, has_archive: bool) -> str:
    notes = _notes(delivery, submission, sender)
    bodies = submission.bodies
    given = bodies.patient if _is_for_patient(delivery) else bodies.professionals
    body = given.strip() or _default_text(submission, sender, _ENCLOSED if has_archive else _ENCLOSED_PDF)
    return "\n\n".join([*notes, body])


def _notes(delivery: Delivery, submission: Submission, sender: SenderProfile) -> list[str]:
    notes = [sender.stamp] if sender.stamp else []
    if told := follow_up_sentence(delivery, submission):
        notes.append(told)
    if submission.urgency:
        notes.append(f"Urgence indiquée par le demandeur : {submission.urgency.value}.")
    return notes


_ENCLOSED = f"Le fichier {ARCHIVE_NAME} est destiné à votre logiciel ; le PDF joint est le même document, prêt à lire."
_ENCLOSED_PDF = "Le PDF joint est le document, prêt à lire."


def _default_text(submission: Submission, sender: SenderProfile, enclosed: str) -> str:
    header = submission.document
    patient = header.patient
    name = " ".join(part for part in (patient.birth_name, patient.first_given or patient.used_given) if part)
    born = french_date(patient.birth_date)
    lines = [
        "Bonjour,",
        "",
        _opening(submission, sender),
        "",
        f"Document : {header.title or header.type.label}",
        f"Date : {french_date(header.created)}",
        f"Patient : {name}" + (f" (date de naissance : {born})" if born else ""),
        "",
        enclosed,
    ]
    if sender.phone:
        lines += ["", f"Pour nous joindre : {sender.phone}"]
    return "\n".join(lines)


def _opening(submission: Submission, sender: SenderProfile) -> str:
    if submission.intent is Intent.CANCEL:
        return f"{sender.name} vous informe de l'annulation d'un document de santé, rappelé ci-joint pour identification."
    return f"Vous trouverez ci-joint un document de santé transmis par {sender.name}."


def _is_for_patient(delivery: Delivery) -> bool:
    return delivery.role_id == "patient" or delivery.role_id.startswith("patient:")
