"""What the ledger takes and gives: values that cross its door, without SQL. Those that hold content are confidential."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from adapter.model.ack import BusinessAck
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.effects import Ignored, Parked, Translation
from adapter.model.evidence import Evidence
from adapter.model.fax_call import FaxCall
from adapter.model.fax_news import FaxNews
from adapter.model.finding import Finding
from adapter.model.patient import IdentityUpdate, PatientView
from adapter.model.plan import ChannelName, RoutePlan
from adapter.model.receipt import Arrival, Kept, Principal, Receipt
from adapter.model.request import AnsweredRequest
from adapter.model.submission import AcksWanted, Submission
from adapter.model.work_item import WorkAbout, WorkItem

REPEAT_WINDOW = timedelta(days=7)


@dataclass(frozen=True, repr=False)
class NewReceipt(Confidential):
    """An arrival judged, to be made durable with the very bytes of its answer.

    `conflict_answer` is sent instead when the key is known with another fingerprint; then `conflict_item` is opened.
    `lookups` are (kind, clear value) pairs: only their keyed HMAC is stored.
    """

    receipt: Receipt
    content: bytes
    answer: bytes
    conflict_answer: bytes = b""
    side_car: bytes = b""
    findings: tuple[Finding, ...] = ()
    lookups: tuple[tuple[str, str], ...] = ()
    repeat_window: timedelta = REPEAT_WINDOW
    work_item: WorkItem | None = None
    conflict_item: WorkItem | None = None


@dataclass(frozen=True, repr=False)
class CommittedReceipt(Confidential):
    """What to send back. For a repeat, `receipt_id` is the first receipt's and `answer` its very bytes."""

    receipt_id: str
    answer: bytes
    outcome: Kept


@dataclass(frozen=True, repr=False)
class ClaimedReceipt(Confidential):
    """A receipt held by one worker until its lease runs out. `attempts` counts the claims, this one included."""

    receipt: Receipt
    content: bytes
    side_car: bytes
    fence: int
    attempts: int

    def arrival(self) -> Arrival:
        """The arrival as the door gave it, to be understood (again)."""
        receipt = self.receipt
        return Arrival(
            content=self.content,
            door=receipt.door,
            principal=Principal(receipt.principal, "ledger", receipt.legal_entity),
            received_at=receipt.received_at,
            reference=receipt.reference,
            side_car=self.side_car,
            form=receipt.form,
            zone=receipt.zone,
        )


@dataclass(frozen=True, repr=False)
class SeenPatient(Confidential):
    """What the patient index said of a document's patient when its route was chosen; nothing, when it knew nobody."""

    view: PatientView | None = None


@dataclass(frozen=True, repr=False)
class StoredSubmission(Confidential):
    """One translation with its plan and the deliveries to make; addresses stay inside the plan's legs, sealed.

    `answered`: the request that it answers, to which a step is appended. `seen`: what the patient index said when the route was
    chosen; None when it was not asked. `is_archived`: it was brought to be kept, and goes nowhere, ever. `likeness`: what
    a double of a request would have in common with it.
    """

    translation: Translation
    plan: RoutePlan
    deliveries: tuple[Delivery, ...] = ()
    answered: AnsweredRequest | None = None
    seen: SeenPatient | None = None
    is_archived: bool = False
    likeness: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class StoredEffects(Confidential):
    """All that preparing one receipt leaves. `outcome` is set when it gives nothing to send, or waits for a person.

    `calls`: the fax calls that brought it. `fax`: what it tells of its codes and of other faxes.
    """

    submissions: tuple[StoredSubmission, ...] = ()
    work_items: tuple[WorkItem, ...] = ()
    outcome: Ignored | Parked | None = None
    evidences: tuple[Evidence, ...] = ()
    identity_updates: tuple[IdentityUpdate, ...] = ()
    calls: tuple[FaxCall, ...] = ()
    fax: FaxNews | None = None


@dataclass(frozen=True)
class EffectsResult:
    """What the commit did. `queued` deliveries may be claimed now; `already_committed`: a run before this one did it."""

    submission_ids: tuple[str, ...] = ()
    queued: int = 0
    already_served: int = 0
    superseded: int = 0
    already_committed: bool = False


@dataclass(frozen=True, repr=False)
class ClaimedDelivery(Confidential):
    """A document's delivery held by one worker, with everything its parcel is made of. Its fence is `delivery.fence`.

    `earlier_references`: what travelled with older versions of the document to the same role by the same channel, oldest first.
    `earlier_pages`: how many pages of the last of them a fax machine confirmed.
    `companions`: claimed with it, to leave in the same mail.
    """

    delivery: Delivery
    submission: Submission
    plan: RoutePlan
    bundle: dict[str, object]
    source_document: bytes
    source_media_type: str
    earlier_references: tuple[str, ...] = ()
    earlier_pages: int = 0
    companions: tuple[ClaimedDelivery, ...] = ()


@dataclass(frozen=True, repr=False)
class ClaimedAck(Confidential):
    """An acknowledgement held by one worker: no plan, no document. `original` is the mail that it answers."""

    delivery: Delivery
    ack: BusinessAck
    asked: AcksWanted
    original: bytes = b""


Claimed = ClaimedDelivery | ClaimedAck


@dataclass(frozen=True)
class PartnerChoice:
    """Which HL7 partners' deliveries to claim: one's only, or all but those that have a lane of their own."""

    only: str = ""
    others_than: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settlement:
    """What a send led to, as `tracking` decided it.

    `not_before` is set for `queued` (retry) and `unclear` (wait). `open_next_leg` opens the waiting leg of the same role.
    `work_item` is opened at once, or only when no leg is left if `work_item_only_if_last`. `detail` holds no patient content.
    `suspends_address`: the cause says that nobody is to write there any more. `ends_quietly`: without another leg none is asked.
    """

    state: DeliveryState
    cause: str = ""
    detail: str = ""
    partner_reference: str = ""
    not_before: datetime | None = None
    open_next_leg: bool = False
    work_item: WorkItem | None = None
    work_item_only_if_last: bool = False
    unclear: bool = False
    suspends_address: bool = False
    ends_quietly: bool = False


class Decision(StrEnum):
    """What a person may decide about a work item. Values are stored: never rename."""

    RETRY = "retry"
    HAND_OVER = "hand-over"
    CANCEL = "cancel"
    CLOSE = "close"
    # A document that left under another identity: sent again under today's, as a replacement.
    CORRECT = "correct"


@dataclass(frozen=True)
class WorkFilter:
    """Which work items to list; the default is every open one.

    `parked_only`: what stands still until somebody decides. `unclear_only`: sends that may have arrived.
    """

    open_only: bool = True
    urgent_only: bool = False
    parked_only: bool = False
    unclear_only: bool = False
    reason: str = ""
    about: WorkAbout | None = None
    about_id: str = ""
    limit: int = 200


class Phase(StrEnum):
    """Where a submission or a receipt stands as a whole: one of three, so that conservation can be counted."""

    OPEN = "open"
    PARKED = "parked"
    FINAL = "final"


@dataclass(frozen=True)
class RecipientStatus:
    """One role's best state, the channel that reached it, and whether something is still on its way."""

    role_id: str
    state: DeliveryState
    channel: ChannelName
    phase: Phase


@dataclass(frozen=True)
class SubmissionStatus:
    """A submission's status: computed by `status.status_of` only, cached in the transaction that changes it.

    `summary` is the least advanced of the recipients' best states, or `no-delivery`.
    """

    phase: Phase
    summary: str
    recipients: tuple[RecipientStatus, ...] = ()


@dataclass(frozen=True)
class LoggedEvent:
    """One line of the append-only log."""

    at: datetime
    about: WorkAbout
    about_id: str
    kind: str
    detail: str = ""


@dataclass(frozen=True)
class SubmissionTrace:
    """A submission as a timeline shows it, with its deliveries."""

    submission: Submission
    status: SubmissionStatus
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True)
class KeptCall:
    """A fax call under its row's id, and the delivery or receipt that it is about. `is_purged`: its proofs and log are gone."""

    id: str
    about_id: str
    call: FaxCall
    is_purged: bool = False


@dataclass(frozen=True)
class Timeline:
    """Everything the ledger knows of one receipt, its events in time order.

    `answers`: what its sender was told of the receipt itself, for want of a document. `calls`: the fax calls of its deliveries,
    or those that brought it.
    """

    receipt: Receipt
    findings: tuple[Finding, ...] = ()
    submissions: tuple[SubmissionTrace, ...] = ()
    events: tuple[LoggedEvent, ...] = ()
    work_items: tuple[WorkItem, ...] = ()
    answers: tuple[Delivery, ...] = ()
    calls: tuple[KeptCall, ...] = ()


@dataclass(frozen=True)
class Conservation:
    """Accepted receipts by phase, and what no rule accounts for. `holds` is the promise: nothing is lost."""

    received: int
    final: int
    open: int
    parked: int
    refused: int = 0
    lost: tuple[str, ...] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        """True when every accepted receipt is final, open or parked, and none fell through."""
        return self.received == self.final + self.open + self.parked and not self.lost


class PayloadKind(StrEnum):
    """Which sealed bytes of a row. Values are stored: never rename."""

    CONTENT = "content"
    SIDE_CAR = "side-car"
    PARTICULARS = "particulars"
    ANSWER = "answer"
    SUBMISSION = "submission"
    BUNDLE = "bundle"
    PLAN = "plan"
    SOURCE = "source"
    UNREAD = "unread"
    NOTE = "note"
    ACK = "ack"
    ASKED = "asked"
    PLANNED = "planned"
    PATIENT = "patient"
    IDENTITY = "identity"
    ADDRESS = "address"
    PUBLISHED_CDA = "published-cda"
    PUBLISHED_PDF = "published-pdf"
    EXPORT_PART = "export-part"
    RECORD = "record"
    FAX_CODES = "fax-codes"
    FAX_CALL = "fax-call"
    FAX_LOG = "fax-log"
