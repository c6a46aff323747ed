"""A business acknowledgement: what becomes of a document, told to who sent it. Its words are stored: never rename.

Source: CI-SIS volet 2.1, flows 3 to 5 (ZAM^Z01, Z02, Z03); a document that came by mail is answered by mail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.submission import AcksWanted

# Causes of what a person stopped, as the ledger writes them: nothing more will come of itself, which is a no.
DECIDED = frozenset({"cancelled", "closed", "handed-over"})


class AckKind(StrEnum):
    """What is acknowledged: fed to the record, delivered to a mailbox, read there; or a mail that software took."""

    RECORD = "Z01"
    DELIVERY = "Z02"
    READING = "Z03"
    MAIL = "MDN"


@dataclass(frozen=True)
class AckReason:
    """Why not: a code of the kind's own table (DMP, SMTP, 0533) and its French label."""

    code: str
    label: str


@dataclass(frozen=True, repr=False)
class BusinessAck(Confidential):
    """One acknowledgement, complete but for what travels with each message.

    `role_id` is the recipient it is about, `address` and `person_id` how the sender named them (a patient's address holds an
    INS). `control_id` is the first MSH-10 of the request; `peer` the principal who sent it. `happened_at` is when what it
    tells of happened, not when it is told.
    """

    kind: AckKind
    role_id: str
    positive: bool
    happened_at: datetime
    reason: AckReason | None = None
    control_id: str = ""
    address: str = ""
    person_id: str = ""
    peer: str = ""


@dataclass(frozen=True, repr=False)
class Asker(Confidential):
    """Who waits for answers: the sender of a submission, or of a mail that waits for a person.

    `id` is the submission's, else the receipt's. `patient_address` is how the sender named the patient (it may hold an INS).
    """

    id: str
    receipt_id: str
    legal_entity: str
    acks: AcksWanted
    control_id: str = ""
    version: int = 1
    intent: str = ""
    patient_address: str = ""


@dataclass(frozen=True)
class Proof:
    """A state that a delivery reached, as it was marked for its sender; or a recipient that no channel can serve.

    `channel` is empty for what was refused before any was chosen.
    `state` is a delivery state's value. `source` names who said so (`dsn`, `mdn`, a worker); `detail` holds codes, no content.
    """

    role_id: str
    channel: str
    state: str
    happened_at: datetime
    cause: str = ""
    source: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Told:
    """What the sender was told last of one recipient, and how often it was told of them under this kind.

    A mail is answered as a whole: of it, `role_id` names nobody.
    """

    kind: AckKind
    role_id: str
    positive: bool
    times: int = field(default=1)


def told_about(kind: AckKind, role_id: str) -> tuple[AckKind, str]:
    """What one answer is the last word on: one recipient, or a whole mail."""
    return kind, "" if kind is AckKind.MAIL else role_id
