"""A ledger to try things on: a clock that is moved by hand, ids that count, invented documents and plans.

Patients are invented; their INS is under the test OID.
"""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedDelivery, EffectsResult, NewReceipt, Settlement, StoredEffects, StoredSubmission
from adapter.ledger.vault import Vault
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.effects import Translation
from adapter.model.evidence import Evidence
from adapter.model.identity import INS_TEST, Ins, LocalIdentifier, PatientIdentity
from adapter.model.parties import Organisation, Party, Professional, RecipientKind
from adapter.model.plan import ChannelName, Leg, RecipientPlan, RoutePlan
from adapter.model.receipt import ContentKind, Receipt, ReceiptState, Verdict
from adapter.model.submission import Intent, Submission
from adapter.model.work_item import WorkAbout, WorkItem

ENTITY = "750000001"
OTHER_ENTITY = "920000002"
START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
MAIL, FAX, RECORD = ChannelName.SECURE_MAIL, ChannelName.FAX, ChannelName.SHARED_RECORD
KEY = bytes(range(32))
PHONE_LINE = "+33199001122"
PATIENT_NAME = "ZEBULONNE"
INS_VALUE = "279035121518989"


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        """Move on."""
        self.now += timedelta(**delta)


def counting_ids() -> itertools.count[int]:
    """Where ids come from."""
    return itertools.count(1)


class World:
    """A ledger with its clock, and the short ways tests take through the verbs."""

    def __init__(self, url: str, vault: Vault | None = None) -> None:
        self.clock = Clock()
        self.url = url
        self.vault = vault or Vault([KEY])
        self.ledger = Ledger(url, self.vault, clock=self.clock, new_id=lambda: str(uuid.uuid4()))
        self._numbers = counting_ids()

    def second_ledger(self) -> Ledger:
        """Another process's view of the same database."""
        return Ledger(self.url, self.vault, clock=self.clock, new_id=lambda: str(uuid.uuid4()))

    # ── accept ────────────────────────────────────────────────────────────────────────────────────────────────

    def new_receipt(self, key: str = "", *, content: bytes = b"content", entity: str = ENTITY, **changes: object) -> NewReceipt:
        """An accepted arrival."""
        number = next(self._numbers)
        receipt = Receipt(
            id=str(uuid.UUID(int=number)),
            legal_entity=entity,
            door="mllp",
            principal="dpi",
            key=key or f"key-{number}",
            fingerprint=content.hex()[:64],
            kind=ContentKind.HL7V2,
            state=ReceiptState.RECEIVED,
            verdict=Verdict.ACCEPTED,
            received_at=self.clock(),
            control_id=f"MSG{number}",
            reference=f"{PATIENT_NAME}-{number}.hl7",
        )
        receipt = replace(receipt, **{k: v for k, v in changes.items() if hasattr(receipt, k)})  # type: ignore[arg-type]
        rest = {k: v for k, v in changes.items() if not hasattr(receipt, k)}
        answer = f"AA {receipt.id}".encode()
        return NewReceipt(receipt, content, answer, conflict_answer=b"AE 199", **rest)  # type: ignore[arg-type]

    def refused(self, key: str = "") -> NewReceipt:
        """A refused arrival."""
        return self.new_receipt(key, state=ReceiptState.REFUSED, verdict=Verdict.REFUSED, reason="hl7.unknown-event")

    def receive(self, key: str = "", **changes: object) -> str:
        """Keep one accepted receipt; returns its id."""
        return self.ledger.commit_receipts([self.new_receipt(key, **changes)])[0].receipt_id  # type: ignore[arg-type]

    # ── prepare ───────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(
        self, *submissions: StoredSubmission, items: tuple[WorkItem, ...] = (), receipt_id: str = "", entity: str = ENTITY
    ) -> EffectsResult:
        """Receive, claim and commit effects."""
        receipt_id = receipt_id or self.receive(entity=entity)
        claim = next(c for c in self.ledger.claim_receipts("w1", 50, LEASE) if c.receipt.id == receipt_id)
        return self.ledger.commit_effects(receipt_id, claim.fence, StoredEffects(submissions, items))

    def send(self, document: str = "doc-1", **kwargs: object) -> Submission:
        """Receive and plan one document; returns its submission."""
        entity = str(kwargs.get("entity", ENTITY))
        receipt_id = self.receive(entity=entity)
        stored = stored_submission(document, receipt_id, **kwargs)  # type: ignore[arg-type]
        self.prepare(stored, receipt_id=receipt_id)
        return stored.translation.submission

    # ── dispatch ──────────────────────────────────────────────────────────────────────────────────────────────

    def claim(self, channel: ChannelName = MAIL, limit: int = 10) -> list[ClaimedDelivery]:
        """Claim what is due."""
        return self.ledger.claim_deliveries("w1", channel, limit, LEASE)

    def claim_one(self, channel: ChannelName = MAIL) -> Delivery:
        """Claim exactly one."""
        (claim,) = self.claim(channel)
        return claim.delivery

    def on_wire(self, channel: ChannelName = MAIL) -> Delivery:
        """Claim one and put it on the wire."""
        delivery = self.claim_one(channel)
        self.ledger.mark_on_wire(delivery.id, delivery.fence, self.clock())
        return delivery

    def settle(self, delivery: Delivery, state: DeliveryState, **kwargs: object) -> None:
        """Settle a send."""
        self.ledger.settle_send(delivery.id, delivery.fence, Settlement(state, **kwargs))  # type: ignore[arg-type]

    def accepted(self, channel: ChannelName = MAIL) -> Delivery:
        """Claim, send, accepted."""
        delivery = self.on_wire(channel)
        self.settle(delivery, DeliveryState.ACCEPTED)
        return delivery

    def prove(self, delivery: Delivery, proves: DeliveryState, cause: str = "", **kwargs: object) -> int:
        """One proof."""
        evidence = Evidence(delivery.reference, proves, self.clock(), "dsn", cause)
        return self.ledger.record_evidence([evidence], "mailbox", "1", **kwargs)  # type: ignore[arg-type]

    # ── look ──────────────────────────────────────────────────────────────────────────────────────────────────

    def deliveries(self, reference: str, entity: str = ENTITY) -> list[Delivery]:
        """All deliveries of the receipt that a reference finds, by role and leg."""
        timeline = self.ledger.timeline(reference, legal_entity=entity)
        assert timeline is not None
        return [delivery for trace in timeline.submissions for delivery in trace.deliveries]

    def states(self, submission: Submission) -> dict[str, str]:
        """`role/leg` → state of one submission's deliveries."""
        timeline = self.ledger.timeline(submission.id, legal_entity=submission.legal_entity)
        assert timeline is not None
        found = [trace.deliveries for trace in timeline.submissions if trace.submission.id == submission.id]
        return {f"{d.role_id}/{d.channel.value}": d.state.value for d in found[0]}

    def events(self, reference: str, entity: str = ENTITY) -> list[str]:
        """Kinds of a timeline's events, in order."""
        timeline = self.ledger.timeline(reference, legal_entity=entity)
        assert timeline is not None
        return [event.kind for event in timeline.events]

    def items(self, entity: str = ENTITY) -> list[WorkItem]:
        """Open work items."""
        return self.ledger.list_work_items(legal_entity=entity)


def patient(ins: str = INS_VALUE) -> PatientIdentity:
    """An invented patient."""
    return PatientIdentity(
        birth_name=PATIENT_NAME,
        birth_given_names="Aline",
        birth_date="1979-03-28",
        sex="F",
        ins=Ins(ins, INS_TEST),
        local_ids=(LocalIdentifier("IPP-4711", "1.2.3"),),
    )


def header(unique_id: str, *, version: int = 1, set_id: str = "", replaces: str = "") -> DocumentHeader:
    """A discharge letter."""
    author = Party(Professional("Ibn-Sina", "Lou", rpps="10003456789"), Organisation("Hôpital d'essai", finess="750000001"))
    return DocumentHeader(
        unique_id=unique_id,
        type=Code("34105-7", "2.16.840.1.113883.6.1", "CR d'hospitalisation"),
        title="Compte rendu",
        created="2026-11-21T08:00:00+01:00",
        patient=patient(),
        authors=(author,),
        custodian=Organisation("Hôpital d'essai", finess="750000001"),
        body=BodyKind.STRUCTURED_CDA,
        set_id=set_id,
        version=version,
        replaces=replaces,
    )


def stored_submission(
    document: str,
    receipt_id: str,
    *,
    roles: tuple[str, ...] = ("role:a",),
    channels: tuple[ChannelName, ...] = (MAIL, FAX),
    version: int = 1,
    intent: Intent = Intent.NEW,
    set_id: str = "",
    replaces: str = "",
    entity: str = ENTITY,
    priority: int = 100,
    bundle: dict[str, object] | None = None,
) -> StoredSubmission:
    """A document for some roles, the same legs for each: the first queued, the others waiting."""
    submission = Submission(
        id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{receipt_id}/{document}/{version}/{intent}")),
        receipt_id=receipt_id,
        legal_entity=entity,
        document=header(document, version=version, set_id=set_id, replaces=replaces),
        intent=intent,
        control_id="MSG-SOURCE",
    )
    source = f"<ClinicalDocument {document}/>".encode()
    translation = Translation(submission, bundle or {"resourceType": "Bundle", "type": "document"}, source, "text/xml")
    plan = RoutePlan("2026-11-21", "rev-1", tuple(_recipient(role, channels) for role in roles))
    deliveries = tuple(_delivery(submission, one, leg, priority) for one in plan.recipients for leg in one.legs)
    return StoredSubmission(translation, plan, deliveries)


def _recipient(role: str, channels: tuple[ChannelName, ...]) -> RecipientPlan:
    legs = tuple(Leg(channel, f"{role}@{channel.value}.example", order, "test") for order, channel in enumerate(channels, 1))
    return RecipientPlan(role, RecipientKind.PROFESSIONAL, "Dr Essai", legs, phone_line=PHONE_LINE)


def _delivery(submission: Submission, recipient: RecipientPlan, leg: Leg, priority: int) -> Delivery:
    delivery_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{submission.id}/{recipient.role_id}/{leg.channel}/{leg.order}"))
    return Delivery(
        id=delivery_id,
        submission_id=submission.id,
        legal_entity=submission.legal_entity,
        document_id=submission.document.unique_id,
        version=submission.document.version,
        intent=submission.intent.value,
        role_id=recipient.role_id,
        channel=leg.channel,
        leg=leg.order,
        state=DeliveryState.QUEUED if leg.order == 1 else DeliveryState.WAITING,
        reference=f"<{delivery_id}@test.example>",
        priority=priority,
    )


def work_item(world: World, about: WorkAbout, about_id: str, reason: str = "look", **changes: object) -> WorkItem:
    """An item to open."""
    item = WorkItem(str(uuid.uuid4()), ENTITY, about, about_id, reason, "Regarder.", world.clock())
    return replace(item, **changes)  # type: ignore[arg-type]
