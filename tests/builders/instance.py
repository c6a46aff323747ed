"""A whole instance without its doors and its network: real SQLite ledger, real judge, the reference directory, scripted channels.

house = Instance(tmp_path)
receipt = house.accept(build_mdm(build_ldl_ses())).receipt_id
house.prepare()
house.mail.script(refused("mailbox-unknown"))
house.dispatch()                       # the mail is refused
house.states(receipt)                  # {"role:…/mssante": "refused", "role:…/fax": "queued"}
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from adapter.channels.base import Capabilities
from adapter.fhir.validate import Level
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import Conservation, Decision, Timeline
from adapter.ledger.vault import Vault
from adapter.mapping.kinds import ENVELOPES
from adapter.mapping.mail.asked import asked_by_arrival
from adapter.model.delivery import DeliveryState, OutcomeKind, SendOutcome
from adapter.model.evidence import Evidence
from adapter.model.fax_call import FaxCall
from adapter.model.fax_in import NO_FAX_DOORS, FaxDoors
from adapter.model.fax_number import FirstFax
from adapter.model.inbox import NO_INBOXES, Inboxes
from adapter.model.plan import ChannelName
from adapter.model.receipt import Answer, Arrival, Principal
from adapter.model.work_item import WorkItem
from adapter.packaging.parcel import FaxForm, Hl7Sender, Parcel, SenderProfile
from adapter.pipeline.judge import InstanceRules, Judge
from adapter.pipeline.readers import inspectors_with, readers_with
from adapter.pipeline.verbs import Pipeline, PipelineSettings
from adapter.routing.choose import RouteSettings
from adapter.routing.directory import Directory
from tests.builders.directory import APHP_EJ, rehearsal, territory
from tests.builders.ledger import KEY, Clock, World

NOON = datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
UNCLEAR_WAIT = timedelta(minutes=15)
HOSPITAL = Principal("dpi-bicetre", "application", APHP_EJ)
SENDER = SenderProfile(
    APHP_EJ, "Hôpital d'essai", APHP_EJ, "tdu@aphp.formation.mssante.fr", "Hôpital d'essai", "1.2.250.1.999.94.1", "TDU-TEST"
)

Step = SendOutcome | Exception | Callable[[Parcel], SendOutcome]


def accepted(proves: DeliveryState = DeliveryState.ACCEPTED) -> SendOutcome:
    """The partner took it."""
    return SendOutcome(OutcomeKind.ACCEPTED, proves=proves)


def refused(cause: str) -> SendOutcome:
    """The partner will not have it."""
    return SendOutcome(OutcomeKind.REFUSED, cause)


def deferred(cause: str) -> SendOutcome:
    """Not now."""
    return SendOutcome(OutcomeKind.DEFERRED, cause)


def unclear() -> SendOutcome:
    """It may have arrived."""
    return SendOutcome(OutcomeKind.UNCLEAR, "no-answer")


class ScriptedChannel:
    """Answers what it was told to, then accepts; keeps every parcel that reached it."""

    def __init__(self, name: ChannelName) -> None:
        self.name = name
        self.parcels: list[Parcel] = []
        self.asked: list[Parcel] = []
        self.steps: list[Step] = []
        self.found: SendOutcome | None = None
        self.reports: list[Evidence] = []
        self.collecting: Exception | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Whatever is asked."""
        return Capabilities(self.name, (), (), DeliveryState.ACCEPTED, 1 << 30, True)

    def script(self, *steps: Step) -> None:
        """The next answers."""
        self.steps += steps

    def send(self, parcel: Parcel) -> SendOutcome:
        """The next answer, or an acceptance."""
        self.parcels.append(parcel)
        step = self.steps.pop(0) if self.steps else accepted()
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, SendOutcome) else step(parcel)

    def find(self, parcel: Parcel) -> SendOutcome | None:
        """What the partner says it has."""
        self.asked.append(parcel)
        return self.found

    def collect(self, cursor: str) -> tuple[tuple[Evidence, ...], str]:
        """The proofs waiting, once."""
        if self.collecting is not None:
            raise self.collecting
        reports, self.reports = tuple(self.reports), []
        return reports, str(int(cursor or 0) + len(reports))

    def check(self) -> str:
        """Fine."""
        return ""


class Instance:
    """The four verbs over one ledger, with a clock that is moved by hand."""

    def __init__(
        self,
        folder: Path,
        *,
        directory: Directory | None = None,
        routes: RouteSettings | None = None,
        production: bool = False,
        channels: Mapping[ChannelName, ScriptedChannel] | None = None,
        world: World | None = None,
        entities: Sequence[str] = (APHP_EJ,),
        hl7: Hl7Sender = Hl7Sender(processing="T"),  # noqa: B008 - frozen
        inboxes: Inboxes = NO_INBOXES,
        legacy_receipts: frozenset[str] = frozenset(),
        first_fax: FirstFax = FirstFax.SEND,
        fax_form: FaxForm = FaxForm.TIFF,
        fax_doors: FaxDoors = NO_FAX_DOORS,
    ) -> None:
        """`world`: a ledger that exists already, with its clock; `entities`: the legal entities served."""
        self.clock = world.clock if world else Clock(NOON)
        self.directory = directory or territory()
        self.pauses: list[float] = []
        own = None if world else Ledger(f"sqlite:///{folder}/ledger.db", Vault([KEY]), clock=self.clock, new_id=_new_id)
        self.ledger = world.ledger if world else cast(Ledger, own)
        if own:
            own.migrate()
        self.channels = dict(channels) if channels is not None else {name: ScriptedChannel(name) for name in ChannelName}
        rules = InstanceRules(production, timedelta(days=7))
        inspectors = inspectors_with(self.ledger.same_person, lambda: self.directory)
        judge = Judge(inspectors, ENVELOPES, lambda: self.directory, rules, clock=self.clock, new_id=_new_id)
        waits = dict.fromkeys(ChannelName, UNCLEAR_WAIT)
        settings = PipelineSettings(LEASE, waits, routes or rehearsal(), Level.FULL, first_fax)
        self.calls: list[FaxCall] = []
        self.pipeline = Pipeline(
            self.ledger,
            judge,
            readers_with(lambda: self.directory, inboxes),
            lambda: self.directory,
            self.channels,
            {
                entity: replace(
                    SENDER, legal_entity=entity, finess=entity, hl7=hl7, legacy_receipts=legacy_receipts, fax_form=fax_form
                )
                for entity in entities
            },
            settings,
            clock=self.clock,
            jitter=lambda: 0.5,
            new_id=_new_id,
            pause=self.pauses.append,
            asked_by=partial(asked_by_arrival, inboxes=inboxes),
            tell_calls=self.calls.extend,
            fax_doors=fax_doors,
        )

    @property
    def mail(self) -> ScriptedChannel:
        """The secure mail's double."""
        return self.channels[ChannelName.SECURE_MAIL]

    @property
    def fax(self) -> ScriptedChannel:
        """The fax's double."""
        return self.channels[ChannelName.FAX]

    @property
    def software(self) -> ScriptedChannel:
        """The double of local software, and of senders who receive acknowledgements."""
        return self.channels[ChannelName.HL7_PUSH]

    @property
    def record(self) -> ScriptedChannel:
        """The shared record's double."""
        return self.channels[ChannelName.SHARED_RECORD]

    # ── the verbs ─────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, content: bytes, **changes: Any) -> Answer:
        """One arrival, judged and made durable."""
        values: dict[str, Any] = {"door": "mllp", "principal": HOSPITAL, "received_at": self.clock(), **changes}
        judged = self.pipeline.judge(Arrival(content, **values))
        return self.pipeline.commit([judged])[0]

    def prepare(self) -> int:
        """Everything received."""
        taken = 0
        while moved := self.pipeline.prepare_some("w1"):
            taken += moved
        return taken

    def dispatch(self, channel: ChannelName = ChannelName.SECURE_MAIL) -> int:
        """What is due on one channel, once."""
        return self.pipeline.dispatch_some("w1", channel)

    def letter(self, content: bytes, **changes: Any) -> str:
        """Accepted and prepared; its receipt's id."""
        answer = self.accept(content, **changes)
        self.prepare()
        return answer.receipt_id

    def resolve(self, decision: str, number: int = 0) -> None:
        """A person decides on an open item."""
        self.ledger.resolve(self.items()[number].id, Decision(decision), "operator", legal_entity=APHP_EJ)

    # ── what can be seen ──────────────────────────────────────────────────────────────────────────────────────

    def timeline(self, reference: str) -> Timeline:
        """Of one receipt."""
        timeline = self.ledger.timeline(reference, legal_entity=APHP_EJ)
        assert timeline is not None
        return timeline

    def states(self, reference: str) -> dict[str, str]:
        """`channel` or `role/channel` → state."""
        legs = [d for trace in self.timeline(reference).submissions for d in trace.deliveries]
        several = len({leg.role_id for leg in legs}) > 1
        return {(f"{leg.role_id}/" if several else "") + leg.channel.value: leg.state.value for leg in legs}

    def items(self) -> list[WorkItem]:
        """Open work items."""
        return self.ledger.list_work_items(legal_entity=APHP_EJ)

    def reasons(self) -> list[str]:
        """Of the open work items."""
        return sorted(item.reason for item in self.items())

    def conservation(self) -> Conservation:
        """Nothing lost?"""
        return self.ledger.conservation(legal_entity=APHP_EJ)

    def prove(self, channel: ScriptedChannel, proves: DeliveryState, cause: str = "") -> None:
        """The partner's proof about the last parcel, collected."""
        channel.reports.append(Evidence(channel.parcels[-1].reference, proves, self.clock(), channel.name.value, cause))
        self.pipeline.settle_some()


def _new_id() -> str:
    return str(uuid.uuid4())
