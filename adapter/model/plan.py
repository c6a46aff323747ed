"""The plan: for each recipient, the legs to try in order, each with its reason. Pure data, stored with the document.

Sources: blueprint seams 3, 7, 15–17, 22; domain §6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.parties import RecipientKind


class ChannelName(StrEnum):
    """The ways out. Values are stored: never rename."""

    SECURE_MAIL = "mssante"
    SHARED_RECORD = "shared_record"
    FAX = "fax"
    HL7_PUSH = "hl7_push"
    INBOX = "inbox"


@dataclass(frozen=True, repr=False)
class Leg(Confidential):
    """One try: a channel, an address on it, why it was chosen. `opened_since` is the later of both ends' dates (ISO).

    `order` starts at 1; leg n+1 waits until leg n is refused. `parallel` legs (the shared record) wait for nobody.
    `intended` is the address that a test instance replaced by its sandbox. `pdf_only`: the mail carries no archive.
    `copy_of`: the ISO instant at which the same document left by fax; this leg carries it again, electronically.
    Of a record: `renditions` are the forms that it wants, `changes` how it takes a cancellation or a change of visibility.
    `after_record`: this mail waits for the record's answer.
    """

    channel: ChannelName
    address: str
    order: int
    reason: str
    opened_since: str = ""
    intended: str = ""
    pdf_only: bool = False
    copy_of: str = ""
    renditions: tuple[str, ...] = ()
    changes: str = ""
    after_record: bool = False


@dataclass(frozen=True)
class Rejected:
    """A channel that was looked at and left out, with the reason."""

    channel: ChannelName
    reason: str


@dataclass(frozen=True, repr=False)
class RecipientPlan(Confidential):
    """What will be tried for one recipient role.

    `role_id` is the directory's role (`role:…`), `address:…`, `patient` or `record:…`: it makes a Delivery unique.
    `parked_because` is a stable code when nothing can be tried now (`unknown-recipient`, `closed-unit`, `no-channel`,
    `masked`, `patient-identity-provisional`, `no-record`, `address-conflict`…); then `legs` is empty.
    """

    role_id: str
    kind: RecipientKind
    display: str
    legs: tuple[Leg, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    parked_because: str = ""
    explanation: str = ""
    phone_line: str = ""
    rpps: str = ""


@dataclass(frozen=True)
class RoutePlan:
    """The whole plan of a submission, made with one directory revision for one civil day (ISO date)."""

    on: str
    directory_revision: str
    recipients: tuple[RecipientPlan, ...] = field(default_factory=tuple)
