"""What came in by a door, and what was answered: the Receipt is the first durable thing and never changes its answer.

Sources: blueprint seams 1, 2, 11, 12, 18.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.finding import Finding
from adapter.model.submission import Submission

# Doors of `tdu import`. What came by the second is prepared and kept, and never goes anywhere.
IMPORT_DOOR = "import"
ARCHIVE_DOOR = "archive"


class ContentKind(StrEnum):
    """What the bytes are, as `formats.detect` sees them."""

    HL7V2 = "hl7v2"
    CDA = "cda"
    FORM = "form"
    FHIR = "fhir"
    PDF = "pdf"
    MAIL = "mail"
    # Pages as a fax line brought them, or a TIFF.
    FAX = "fax"
    # An order of ours: what a person decided about a document that left under another identity.
    CORRECTION = "correction"
    UNKNOWN = "unknown"


class ReceiptState(StrEnum):
    """Life of a receipt: received → prepared | parked; or refused at once."""

    RECEIVED = "received"
    REFUSED = "refused"
    PREPARED = "prepared"
    PARKED = "parked"


@dataclass(frozen=True)
class Principal:
    """Who speaks at a door: a name that is unique in the instance, and the legal entity (FINESS EJ) it belongs to.

    `kind` is certificate, application, token, loopback, folder, mailbox or operator.
    """

    name: str
    kind: str
    legal_entity: str


@dataclass(frozen=True, repr=False)
class Arrival(Confidential):
    """Raw bytes at a door, before anything is known. `reference` is the door's own (file name, Idempotency-Key).

    `side_car` holds the bytes of the file that says to whom a bare document goes (JSON), when there is one.
    `form` is the slug when the door knows which form it is. `zone` is the IANA zone of times without one.
    `decision_policy` names the door's decision profile for flags of HL7 v2 (`semantic`, `matrix-strict`); empty: the default.
    """

    content: bytes
    door: str
    principal: Principal
    received_at: datetime
    reference: str = ""
    side_car: bytes = b""
    form: str = ""
    zone: str = "Europe/Paris"
    decision_policy: str = ""


@dataclass(frozen=True)
class MessageControl:
    """What identifies a message and lets its answer be written (MSH of HL7 v2, or the like of other doors).

    `processing` is P, T or D. `event` is `MDM^T02^MDM_T02` for HL7, the slug for a form.
    All fields may be empty for a source that has none.
    `accept_ack` and `application_ack` are MSH-15 and MSH-16 (table 0155): which answers the sender waits for.
    """

    application: str = ""
    facility: str = ""
    to_application: str = ""
    to_facility: str = ""
    event: str = ""
    control_id: str = ""
    version: str = ""
    processing: str = ""
    charset: str = ""
    sent_at: str = ""
    accept_ack: str = ""
    application_ack: str = ""


class Verdict(StrEnum):
    """What the door answers: `accepted` (AA, 2xx), `refused` (AE, 4xx) or `try-later` (AR, 503)."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    TRY_LATER = "try-later"


@dataclass(frozen=True)
class Inspection:
    """What is known at once of an arrival: who says it is what, and whether it can be taken. Pure and bounded.

    `fingerprint` is the SHA-256 hex of the content without what changes on a resend (MSH-7). `ins_authorities` are the OIDs of
    the matricules that a message without document names. `envelope` gives the submissions under a receipt's id, out of what was
    understood to inspect: a source is not read twice to be answered. None: somebody else tells the envelope.
    """

    kind: ContentKind
    verdict: Verdict
    control: MessageControl = field(default_factory=MessageControl)
    fingerprint: str = ""
    findings: tuple[Finding, ...] = ()
    ins_authorities: tuple[str, ...] = ()
    envelope: Callable[[str], tuple[Submission, ...]] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Receipt:
    """A receipt as the ledger holds it. `answer` is the very bytes sent back to the door."""

    id: str
    legal_entity: str
    door: str
    principal: str
    key: str
    fingerprint: str
    kind: ContentKind
    state: ReceiptState
    verdict: Verdict
    received_at: datetime
    control_id: str = ""
    reason: str = ""
    zone: str = "Europe/Paris"
    form: str = ""
    reference: str = ""


class Kept(StrEnum):
    """What the ledger did with an arrival: kept it, recognised a repeat, or found the same key on other content."""

    STORED = "stored"
    REPEAT = "repeat"
    CONFLICT = "conflict"


@dataclass(frozen=True, repr=False)
class Answer(Confidential):
    """What a door sends back once the receipt is durable. `body` is the very bytes kept with it (ACK, JSON, OperationOutcome)."""

    receipt_id: str
    verdict: Verdict
    body: bytes
    kept: Kept
    findings: tuple[Finding, ...] = ()
