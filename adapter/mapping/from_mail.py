"""Secure mail in, understood: its documents for local software, the proofs that it brings, or why a person must look at it. Pure.

Law: blueprint seams 3, 8, 14, 15; Référentiel socle #2; CI-SIS volet LPS. A wrong mail is not refused at a mailbox: nobody
waits there for an answer, so it is kept, and parked with its reason; its sender is told by mail, if they asked. ADR 0011: this
reader knows the library `mssante`.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.errors import InputError
from adapter.mapping.from_cda import MEDIA_TYPE, CdaTranslation, mapping_revision, translate_cda
from adapter.mapping.mail.advice import ADVICE, advice_on, cause_of
from adapter.mapping.mail.asked import MAIL_LIMITS, address_of, asked_by_arrival, asked_of
from adapter.mapping.mail.documents import Contents, MailedDocument, Obstacle, open_mail
from adapter.mapping.mail.identity import identity_doubts
from adapter.mapping.mail.proofs import answered_by, departure_of, proofs_of
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.effects import Effect, Ignored, Parked, Refusal, Translation
from adapter.model.finding import Finding, Severity
from adapter.model.identity import INS_TEST_OIDS
from adapter.model.inbox import DOOR, LOCAL_SOFTWARE, NO_INBOXES, Inbox, Inboxes, Ward
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.submission import Destinations, Intent, MailBodies, MailOrigin, Submission, Visibility
from mssante.entries import Action, DocumentEntry
from mssante.errors import MailError
from mssante.incoming import IncomingMail, MailKind, read_mail
from mssante.receipts import read_receipt

_MOST_HOPS = 50
_PRINTABLE = re.compile(r"[!-~]+")
_BULK = ("bulk", "junk", "list")


def inspect_mail(arrival: Arrival) -> Inspection:
    """What is known at once: that it is a mail, and which one. The same mail on another path has other trace fields only."""
    fingerprint = hashlib.sha256(_without_head(arrival.content)).hexdigest()
    try:
        mail = read_mail(arrival.content, MAIL_LIMITS)
    except MailError as error:
        finding = Finding(Severity.ERROR, error.code, "Ce courriel ne peut pas être lu.", error.where, "Le renvoyer entier.")
        if not arrival.door.startswith(DOOR):
            return Inspection(ContentKind.MAIL, Verdict.REFUSED, fingerprint=fingerprint, findings=(finding,))
        kept = MessageControl(event="mail", control_id=arrival.reference)
        warning = replace(finding, severity=Severity.WARNING)
        return Inspection(ContentKind.MAIL, Verdict.ACCEPTED, kept, fingerprint, (warning,))
    control = MessageControl(event="mail", control_id=_name_of(mail, arrival))
    named = hashlib.sha256(f"{mail.headers.message_id}\n{mail.headers.subject}\n{fingerprint}".encode(errors="replace"))
    return Inspection(ContentKind.MAIL, Verdict.ACCEPTED, control, named.hexdigest())


def understand_mail(arrival: Arrival, receipt_id: str, *, inboxes: Inboxes = NO_INBOXES) -> tuple[Effect, ...]:
    """All that a mail leaves. Pure: the same receipt and the same settings give the same values."""
    inbox = inboxes.of(arrival.door)
    if (unread := _withheld(arrival)) is not None:
        asked = asked_by_arrival(arrival, inboxes=inboxes)
        return (replace(unread, refusal=Refusal(asked, cause_of(unread.reason)) if asked.any else None),)
    try:
        mail = read_mail(arrival.content, MAIL_LIMITS, patient_domains=inbox.patient_domains)
    except MailError as error:
        return (_parked(error.code),)
    if len(mail.headers.fields.all("Received")) > _MOST_HOPS:
        return (_parked("mail.in-circles"),)
    match mail.kind:
        case MailKind.DELIVERY_REPORT | MailKind.READ_REPORT | MailKind.FAILURE_NOTICE:
            receipt = read_receipt(mail)
            return (proofs_of(receipt, mail, arrival.received_at) if receipt else ()) or (_parked("mail.receipt-unusable"),)
        case MailKind.AUTO_REPLY:
            return departure_of(mail, arrival.received_at) or (Ignored("auto-reply"),)
        case MailKind.CITIZEN:
            return (_from_person(mail, "citizen-answer", "citizen-mail"),)
        case MailKind.DOCUMENT:
            return _Reading(arrival, receipt_id, inbox, mail).effects()
        case MailKind.ORDINARY:
            return (_ordinary(mail),)


def _name_of(mail: IncomingMail, arrival: Arrival) -> str:
    """The Message-ID, in printable ASCII as the norm has it; else what the door calls it."""
    named = mail.headers.message_id
    return named if _PRINTABLE.fullmatch(named) else arrival.reference


def _without_head(content: bytes) -> bytes:
    """The body: relays write their trace above it."""
    found = [place for place in (content.find(b"\r\n\r\n"), content.find(b"\n\n")) if place >= 0]
    return content[min(found) :].replace(b"\r\n", b"\n") if found else content


def _withheld(arrival: Arrival) -> Parked | None:
    """What the door could not bring in whole says so in its side-car."""
    if not arrival.side_car:
        return None
    try:
        reason = json.loads(arrival.side_car).get("withheld", "")
    except (ValueError, AttributeError):
        return None
    return _parked(reason) if reason in ADVICE else None


# ── mail from people ──────────────────────────────────────────────────────────────────────────────────────────


def _from_person(mail: IncomingMail, answer: str, other: str) -> Parked:
    ours = answered_by(mail)
    return replace(_parked(answer if ours else other), answers=ours)


def _ordinary(mail: IncomingMail) -> Ignored | Parked:
    if answered_by(mail):
        return _from_person(mail, "human-answer", "human-answer")
    fields = mail.headers.fields
    if fields.has("List-Id") or fields.get("Precedence").strip().lower() in _BULK:
        return Ignored("bulk-mail")
    if mail.pdfs:
        return _parked("mail.pdf-only")
    return Ignored("automatic-mail") if mail.forbids_answers else _parked("ordinary-mail")


def _parked(reason: str, *more: str) -> Parked:
    told = f" ({' ; '.join(more)})" if more else ""
    return Parked(reason, f"{advice_on(reason)}{told}")


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, repr=False)
class _Read(Confidential):
    """One document of a mail, understood."""

    mailed: MailedDocument
    made: CdaTranslation


@dataclass(frozen=True, repr=False)
class _Reading(Confidential):
    """One document mail on its way to effects."""

    arrival: Arrival
    receipt_id: str
    inbox: Inbox
    mail: IncomingMail

    def effects(self) -> tuple[Effect, ...]:
        contents = open_mail(self.mail)
        read: list[_Read] = []
        obstacles = list(contents.obstacles)
        for one in contents.documents:
            try:
                read.append(_Read(one, translate_cda(one.content, self.arrival.zone)))
            except InputError as error:
                obstacles.append(Obstacle("mail.document-unreadable", f"{one.place}, {error.code}"))
        sound = [one for one in read if not self._hindered(one, read, obstacles)]
        if not read and not obstacles:
            obstacles.append(Obstacle("mail.no-document", ""))
        translations = tuple(self._translation(one, contents) for one in sound)
        if not obstacles:
            return translations
        parked = _parked(obstacles[0].code, *map(str, obstacles))
        asked = asked_of(self.mail, self.inbox)
        refusal = Refusal(asked, cause_of(parked.reason)) if asked.any else None
        return (*translations, replace(parked, refusal=refusal))

    def _hindered(self, one: _Read, all_read: Sequence[_Read], obstacles: list[Obstacle]) -> bool:
        """Whether a document must wait; why is noted."""
        codes = tuple(self._reasons_to_wait(one, all_read))
        obstacles.extend(Obstacle(code, one.mailed.place) for code in codes)
        return bool(codes)

    def _reasons_to_wait(self, one: _Read, all_read: Sequence[_Read]) -> Iterator[str]:
        header, mailed = one.made.header, one.mailed
        ins = header.patient.ins
        for doubt in identity_doubts(header, self.mail, mailed.entry, mailed.submission_set):
            if doubt != "mail.identity-unqualified" or not self.inbox.takes_unqualified:
                yield doubt
        if any(_are_two_people(header, other.made.header) for other in all_read):
            yield "mail.several-patients"
        if any(_is_same_version(header, other.made.header) and other is not one for other in all_read):
            yield "mail.same-id-other-content"
        if ins is not None and ins.oid in INS_TEST_OIDS and not self.inbox.takes_test_identities:
            yield "instance.test-identity"
        if visibility_of(mailed.entry).hidden_from_professionals and not self.inbox.takes_masked:
            yield "mail.masked"

    def _translation(self, one: _Read, contents: Contents) -> Translation:
        made = one.made
        return Translation(
            submission=self._submission(one),
            bundle=made.bundle,
            source_document=one.mailed.content,
            source_media_type=MEDIA_TYPE,
            unread=made.unread,
            findings=made.findings + contents.findings,
            mapping_revision=mapping_revision(),
            read_count=made.read_count,
            ignored=made.ignored,
            legal=made.legal,
            source_map=made.source_map,
        )

    def _submission(self, one: _Read) -> Submission:
        header, mailed, mail = one.made.header, one.mailed, self.mail
        named = f"urn:traitdunion:mail:{self.receipt_id}:{header.unique_id}:{header.version}"
        return Submission(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, named)),
            receipt_id=self.receipt_id,
            legal_entity=self.arrival.principal.legal_entity,
            document=header,
            intent=_intent(mailed.action, header),
            recipients=(self._recipient(one),),
            sender=header.authors[0] if header.authors else None,
            reply_to_address=mail.headers.reply_to[0].address if mail.headers.reply_to else "",
            visibility=visibility_of(mailed.entry),
            destinations=Destinations(professionals=True),
            acks=asked_of(self.mail, self.inbox),
            bodies=MailBodies(professionals=mail.text),
            control_id=_name_of(mail, self.arrival),
            in_reply_to=mail.headers.in_reply_to[0] if mail.headers.in_reply_to else "",
            content_kind="cda",
            mail=MailOrigin(
                message_id=_name_of(mail, self.arrival),
                subject=mail.subject.title or header.title,
                body=mail.text,
                sender_address=mail.headers.sender.address if mail.headers.sender else "",
                recipient_address=address_of(self.mail, self.inbox),
                received_at=_civil(self.arrival.received_at, self.arrival.zone),
            ),
        )

    def _recipient(self, one: _Read) -> Recipient:
        """Local software: the ward that the address or the archive names, else the mailbox's own."""
        ward = _ward_of(self.inbox, self.mail, one.mailed)
        hint = ward.deliver_to or self.inbox.deliver_to
        kind = RecipientKind.APPLICATION if hint.startswith(LOCAL_SOFTWARE) else RecipientKind.ORGANISATION
        address = ward.address or address_of(self.mail, self.inbox)
        return Recipient(kind, address=address, finess=ward.finess, unit=ward.unit, role_hint=hint or "mailbox")


def _ward_of(inbox: Inbox, mail: IncomingMail, mailed: MailedDocument) -> Ward:
    headers = mail.headers
    written = {one.address.lower() for one in headers.recipients} | {one.lower() for one in headers.delivered_to}
    intended = mailed.submission_set.intended_recipients if mailed.submission_set is not None else ()
    units = {number for one in intended if (number := _organisation_number(one))}
    for ward in inbox.wards:
        if (ward.address and ward.address.lower() in written) or (ward.unit and ward.unit in units):
            return ward
    return Ward()


def _organisation_number(intended: str) -> str:
    """XON-10 of `XON|XCN|XTN`: the number of the unit or structure that a sender names."""
    components = intended.partition("|")[0].split("^")
    return components[9].strip() if len(components) > 9 else ""


def _intent(action: Action | None, header: DocumentHeader) -> Intent:
    match action:
        case Action.DELETE:
            return Intent.CANCEL
        case Action.REPLACE:
            return Intent.REPLACE
        case None:
            return Intent.REPLACE if header.replaces else Intent.NEW


def visibility_of(entry: DocumentEntry | None) -> Visibility:
    """Who may see a document, from the confidentiality codes of METADATA.XML."""
    codes = {code.code for code in entry.confidentiality} if entry is not None else set()
    return Visibility(
        hidden_from_professionals="MASQUE_PS" in codes,
        hidden_from_patient="INVISIBLE_PATIENT" in codes,
        hidden_from_representatives="INVISIBLE_REPRESENTANTS_LEGAUX" in codes,
    )


def _are_two_people(one: DocumentHeader, other: DocumentHeader) -> bool:
    """A mail is about one patient (ECO 2.1.1)."""
    ours, theirs = one.patient, other.patient
    if ours.ins is not None and theirs.ins is not None:
        return ours.ins.value != theirs.ins.value
    return (ours.birth_name.casefold(), ours.birth_date) != (theirs.birth_name.casefold(), theirs.birth_date)


def _is_same_version(one: DocumentHeader, other: DocumentHeader) -> bool:
    return (one.unique_id, one.version) == (other.unique_id, other.version)


def _civil(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
