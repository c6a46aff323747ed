"""The envelope of one document: who sends it, to whom, with which intent, visibility and proofs wanted.

Sources: CI-SIS volet 2.1 (MetaDMPMSS flags, PRT, NTE FIN); blueprint seams 3, 6, 13, 15.
The clinical content is *not* here: it lives once, as a FHIR document Bundle, beside the kept original.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.parties import Party, Recipient


class Intent(StrEnum):
    """What the sender asks for this document version."""

    NEW = "new"
    REPLACE = "replace"
    CANCEL = "cancel"
    # A person changed who may see a document that was sent: nothing of its content travels.
    METADATA = "metadata"


class Urgency(StrEnum):
    """The sender's own word, carried to every page and screen, never translated to a FHIR display."""

    URGENT = "urgent"
    SEMI_URGENT = "semi-urgent"
    NOT_URGENT = "non urgent"
    AS_SOON_AS_POSSIBLE = "dès que possible"
    NONE = ""


@dataclass(frozen=True)
class Visibility:
    """Who may see the document (MetaDMPMSS)."""

    hidden_from_professionals: bool = False
    hidden_from_patient: bool = False
    hidden_from_representatives: bool = False
    secret_connection: bool = False
    changes_confidentiality: bool = False


@dataclass(frozen=True)
class Destinations:
    """Which destinations the sender opens (MetaDMPMSS DESTDMP, DESTMSSANTEPS, DESTMSSANTEPAT)."""

    record: bool = False
    professionals: bool = False
    patient: bool = False
    patient_may_reply: bool = True


@dataclass(frozen=True, repr=False)
class AcksWanted(Confidential):
    """Business acknowledgements owed to the sender (Z01/Z02 on reception, Z03 on reading, an MDN for what came by mail).

    `reply_*` are the MSH-3 and MSH-4 of the request. By mail: `notify_address` is Disposition-Notification-To (empty: none was
    asked), `message_id` the original Message-ID, `final_recipient` the mailbox that took it (it may hold an INS).
    `failure_address`: a box that is told of refusals by an ordinary mail, for want of a receipt that may be sent.
    """

    reception: bool = False
    reading: bool = False
    reply_application: str = ""
    reply_facility: str = ""
    notify_address: str = ""
    message_id: str = ""
    final_recipient: str = ""
    failure_address: str = ""

    @property
    def any(self) -> bool:
        """True when somebody waits for an answer."""
        return self.reception or self.reading or bool(self.notify_address or self.failure_address)


@dataclass(frozen=True, repr=False)
class MailOrigin(Confidential):
    """The mail that a document came by: what flow 6 tells local software. `received_at` is ISO 8601 with zone."""

    message_id: str
    subject: str
    body: str
    sender_address: str
    recipient_address: str = ""
    received_at: str = ""


@dataclass(frozen=True, repr=False)
class MailBodies(Confidential):
    """Mail texts given by the sender (CORPSMAIL_PS, CORPSMAIL_PATIENT); empty means our default text."""

    professionals: str = ""
    patient: str = ""


@dataclass(frozen=True, repr=False)
class Submission:
    """One document on its way. `id` is a UUIDv5 of the receipt and the document, so preparing again gives the same.

    `content_kind` names the kept original (`cda`, `form`, …). `control_id` is the source's own reference (MSH-10).
    `encounter_class` is PV1-2 (I E O R N) or empty. `unit_codes` are the units named by the source, most precise first,
    as (`medical`|`care`|`location`, code). `mail` is set when the document came by mail.
    """

    id: str
    receipt_id: str
    legal_entity: str
    document: DocumentHeader
    intent: Intent = Intent.NEW
    recipients: tuple[Recipient, ...] = ()
    sender: Party | None = None
    reply_to_address: str = ""
    visibility: Visibility = field(default_factory=Visibility)
    destinations: Destinations = field(default_factory=Destinations)
    acks: AcksWanted = field(default_factory=AcksWanted)
    bodies: MailBodies = field(default_factory=MailBodies)
    urgency: Urgency = Urgency.NONE
    encounter_class: str = ""
    unit_codes: tuple[tuple[str, str], ...] = ()
    control_id: str = ""
    in_reply_to: str = ""
    content_kind: str = "cda"
    revision: int = 1
    mail: MailOrigin | None = None

    def __repr__(self) -> str:
        return f"<Submission {self.id} {self.intent} of {self.document.unique_id}>"
