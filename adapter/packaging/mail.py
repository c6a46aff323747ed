"""Makes a secure mail, of one delivery or of those that leave together: headers, words, attachments; the archive is `xdm`'s.

Sources: CI-SIS volet 2.1 §8 (From, Reply-To, bodies, FIN); Référentiel socle MSSanté #2; the library `mssante` writes the bytes.
Instants and ids come from the stored delivery: the same delivery gives the same bytes, whenever it is sent again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery
from adapter.model.document import DocumentHeader
from adapter.model.submission import Intent, Submission
from adapter.packaging.follow_up import copy_sentence, follow_up_sentence, replaces_earlier
from adapter.packaging.parcel import MailContent, SenderProfile
from adapter.packaging.xdm import Entered, build_xdm_zip, rendition_error
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


@dataclass(frozen=True, repr=False)
class Enclosed(Confidential):
    """One document as a mail carries it.

    `cda` is empty for a recipient who wants the readable PDF alone. `templates`: those of a structured CDA that we wrote; the
    header tells those of a CDA that came in. `thread`: Message-IDs of the older versions that this recipient was sent, oldest
    first. `copy_of`: the instant at which the same document left by fax, when it comes again.
    """

    delivery: Delivery
    submission: Submission
    cda: bytes
    pdf: bytes
    templates: tuple[str, ...] = ()
    thread: tuple[str, ...] = ()
    copy_of: str = ""


def build_mail(enclosed: Sequence[Enclosed], sender: SenderProfile, address: str, sent_at: datetime) -> MailContent:
    """The whole mail and its envelope; RenditionError when a header lacks what the norm wants.

    Several documents are of one message, for one recipient, with one intent: one archive, one submission set. Without any CDA
    there is no archive, so neither its subject prefix nor its headers.
    """
    first = enclosed[0]
    submission, delivery = first.submission, first.delivery
    has_archive = any(one.cda for one in enclosed)
    # At the end: software finds its mails by how their subject begins.
    subject = _subject(enclosed) + (" (copie)" if all(one.copy_of for one in enclosed) else "")
    thread = tuple(dict.fromkeys(reference for one in enclosed for reference in one.thread))
    mail = DocumentMail(
        sender=Mailbox(sender.mailbox, sender.mail_label),
        recipient=Mailbox(address),
        subject=subject if has_archive else subject.replace(SUBJECT_PREFIX, "", 1),
        sent_at=sent_at,
        message_id=delivery.reference,
        text=_text(enclosed, sender, has_archive=has_archive),
        attachments=(*_archive(enclosed, sender, sent_at), *_readable(enclosed)),
        product_reference=sender.product_reference,
        document_codes=tuple(one.submission.document.type.code for one in enclosed) if has_archive else (),
        holds_qualified_ins=submission.document.patient.is_qualified,
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


def _archive(enclosed: Sequence[Enclosed], sender: SenderProfile, sent_at: datetime) -> tuple[Attachment, ...]:
    entered = [Entered(one.delivery, one.submission, one.cda, one.templates) for one in enclosed if one.cda]
    return (Attachment(ARCHIVE_NAME, "application/zip", build_xdm_zip(entered, sender, sent_at)),) if entered else ()


def _readable(enclosed: Sequence[Enclosed]) -> Iterator[Attachment]:
    """The PDFs, each under a name of its own: two documents of one type and day would have the same."""
    taken: Counter[str] = Counter()
    for one in enclosed:
        name = _pdf_name(one.submission.document)
        taken[name] += 1
        told = name if taken[name] == 1 else f"{name.removesuffix('.pdf')}_{taken[name]}.pdf"
        yield Attachment(told, "application/pdf", one.pdf)


# ── the mail's words ────────────────────────────────────────────────────────────────────────────────────────────────


def _subject(enclosed: Sequence[Enclosed]) -> str:
    # Only the document type is named: never a service or unit, which might tell of sensitive care.
    headers = [one.submission.document for one in enclosed]
    patient = headers[0].patient
    return document_subject(
        [header.type.label or header.title for header in headers],
        patient.birth_name,
        patient.first_given or patient.used_given,
        patient.birth_date,
        replaces=any(replaces_earlier(one.delivery, one.submission) for one in enclosed),
        cancels=any(one.submission.intent is Intent.CANCEL for one in enclosed),
    )


def _pdf_name(header: DocumentHeader) -> str:
    event = header.service_events[0] if header.service_events else None
    served_on = (event.start if event else "") or header.created
    patient = header.patient
    given = patient.first_given or patient.used_given
    return pdf_name(served_on, header.type.label or header.title, patient.birth_name, given)


def _text(enclosed: Sequence[Enclosed], sender: SenderProfile, *, has_archive: bool) -> str:
    bodies = enclosed[0].submission.bodies
    given = bodies.patient if _is_for_patient(enclosed[0].delivery) else bodies.professionals
    body = given.strip() or _default_text(enclosed, sender, has_archive=has_archive)
    return "\n\n".join([*_notes(enclosed, sender), body])


def _notes(enclosed: Sequence[Enclosed], sender: SenderProfile) -> list[str]:
    notes = [sender.stamp] if sender.stamp else []
    told = [(one, follow_up_sentence(one.delivery, one.submission)) for one in enclosed]
    told += [(one, copy_sentence(one.copy_of)) for one in enclosed]
    notes += [words if len(enclosed) == 1 else f"{_title(one)} : {words}" for one, words in told if words]
    urgency = enclosed[0].submission.urgency
    if urgency:
        notes.append(f"Urgence indiquée par le demandeur : {urgency.value}.")
    return notes


def _title(one: Enclosed) -> str:
    header = one.submission.document
    return header.title or header.type.label


_ENCLOSED = f"Le fichier {ARCHIVE_NAME} est destiné à votre logiciel ; le PDF joint est le même document, prêt à lire."
_ENCLOSED_PDF = "Le PDF joint est le document, prêt à lire."
_SEVERAL_ENCLOSED = (
    f"Le fichier {ARCHIVE_NAME} est destiné à votre logiciel ; les PDF joints sont les mêmes documents, prêts à lire."
)
_SEVERAL_PDF = "Les PDF joints sont les documents, prêts à lire."


def _default_text(enclosed: Sequence[Enclosed], sender: SenderProfile, *, has_archive: bool) -> str:
    patient = enclosed[0].submission.document.patient
    name = " ".join(part for part in (patient.birth_name, patient.first_given or patient.used_given) if part)
    born = french_date(patient.birth_date)
    lines = ["Bonjour,", "", _opening(enclosed, sender), ""]
    for one in enclosed:
        lines += [f"Document : {_title(one)}", f"Date : {french_date(one.submission.document.created)}"]
    lines += [f"Patient : {name}" + (f" (date de naissance : {born})" if born else ""), "", _beside(enclosed, has_archive)]
    if sender.phone:
        lines += ["", f"Pour nous joindre : {sender.phone}"]
    return "\n".join(lines)


def _beside(enclosed: Sequence[Enclosed], has_archive: bool) -> str:
    if len(enclosed) == 1:
        return _ENCLOSED if has_archive else _ENCLOSED_PDF
    return _SEVERAL_ENCLOSED if has_archive else _SEVERAL_PDF


def _opening(enclosed: Sequence[Enclosed], sender: SenderProfile) -> str:
    cancels = enclosed[0].submission.intent is Intent.CANCEL
    if len(enclosed) > 1:
        several = f"{len(enclosed)} documents de santé"
        if cancels:
            return f"{sender.name} vous informe de l'annulation de {several}, rappelés ci-joint pour identification."
        return f"Vous trouverez ci-joint {several} transmis par {sender.name}."
    if cancels:
        return f"{sender.name} vous informe de l'annulation d'un document de santé, rappelé ci-joint pour identification."
    return f"Vous trouverez ci-joint un document de santé transmis par {sender.name}."


def _is_for_patient(delivery: Delivery) -> bool:
    return delivery.role_id == "patient" or delivery.role_id.startswith("patient:")
