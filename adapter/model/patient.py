"""What the patient index holds: what a message said of a patient, and the record that all messages make, in any order.

Sources: PAM-FR 2.11 (update mode: what is absent says nothing, `""` erases); RNIV; blueprint seams 14, 15, 16.
Each fact of a record remembers when the message that told it was told: the newest telling of each fact rules, so an older
message that arrives late changes nothing newer, and any order of arrival ends in the same record. Nothing is repaired here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from adapter.model.confidential import Confidential
from adapter.model.identity import Address, Ins, LocalIdentifier, Reliability, Telecom, ins_is_valid
from adapter.model.parties import Professional

# Kinds of a local number that name a patient (not a stay nor a case).
PATIENT_NUMBER = "PI"
# The pseudo kind of an entry that has no IPP: its number is the matricule.
INS_NUMBER = "INS"

# When a message was told: its event's instant, when it was sent, its control id. UTC ISO text: compared as text.
Stamp = tuple[str, str, str]
NEVER: Stamp = ("", "", "")


class IdentityAct(StrEnum):
    """What a message asks of the index. Values stand in `mappings/hl7v2/adt.toml` and in sealed history: never rename."""

    UPDATE = "update"
    MERGE = "merge"
    CHANGE_NUMBER = "change-number"
    LINK = "link"
    UNLINK = "unlink"
    MOVE_ACCOUNT = "move-account"


class Feeding(StrEnum):
    """ZFA-9: what the patient said of feeding the shared record."""

    NOT_OPPOSED = "INO"
    OPPOSED = "IO"
    NOT_ASKED = "NA"
    UNTOLD = ""


class Consultation(StrEnum):
    """ZFA-11: what the patient said of consulting it."""

    AGREED = "IC"
    REFUSED = "INC"
    NOT_ASKED = "NA"
    UNTOLD = ""


@dataclass(frozen=True, repr=False)
class Contact(Confidential):
    """Somebody close to the patient (NK1). `is_guardian`: acts for them in law; `until` ends it (ISO date)."""

    family: str = ""
    given: str = ""
    relationship: str = ""
    relationship_label: str = ""
    role: str = ""
    role_label: str = ""
    is_guardian: bool = False
    until: str = ""
    telecoms: tuple[Telecom, ...] = ()
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, repr=False)
class PatientFacts(Confidential):
    """All that a message may say of a patient; what it says nothing of has the default. `statuses`: PID-32, each repetition.

    `doctor` is the declared treating doctor (ROL ODRP): told and None is a *stated* absence, which only suggests.
    """

    ins: Ins | None = None
    statuses: tuple[str, ...] = ()
    birth_name: str = ""
    first_given: str = ""
    given_names: str = ""
    used_name: str = ""
    used_given: str = ""
    birth_date: str = ""
    sex: str = ""
    birth_insee: str = ""
    is_deceased: bool = False
    deceased_at: str = ""
    contacts: tuple[Contact, ...] = ()
    doctor: Professional | None = None
    record_status: str = ""
    feeding: Feeding = Feeding.UNTOLD
    feeding_at: str = ""
    consultation: Consultation = Consultation.UNTOLD
    consultation_at: str = ""
    agrees_to_sms: bool | None = None
    addresses: tuple[Address, ...] = ()
    telecoms: tuple[Telecom, ...] = ()


@dataclass(frozen=True, repr=False)
class IdentityUpdate(Confidential):
    """One message's word on one or two local identities.

    `numbers` are the patient's own (PID-3; of several authorities when the message names several), `others` those of the second
    identity (MRG-1, the second PID of a link). `said` names the facts that the message tells, erased ones included.
    `revives`: the event says that this number lives (again), even if it was merged before.
    """

    act: IdentityAct
    event: str
    told_at: datetime
    stamp: Stamp
    numbers: tuple[LocalIdentifier, ...]
    facts: PatientFacts = field(default_factory=PatientFacts)
    said: tuple[str, ...] = ()
    others: tuple[LocalIdentifier, ...] = ()
    accounts: tuple[LocalIdentifier, ...] = ()
    revives: bool = False


class RelationKind(StrEnum):
    """How two entries are tied. Values are stored: never rename."""

    MERGED_INTO = "merged-into"
    ABSORBED = "absorbed"
    LINKED = "linked"


@dataclass(frozen=True, repr=False)
class Relation(Confidential):
    """A tie with another entry, as last told: it stands or was undone."""

    kind: RelationKind
    other: LocalIdentifier
    stands: bool
    stamp: Stamp


# Statuses under which a matricule may be used; the samples write VALI for a qualified one (INS + VALI).
_QUALIFYING = frozenset({"QUAL", "VALI"})


@dataclass(frozen=True, repr=False)
class PatientRecord(Confidential):
    """One entry of the index: a local number, the facts as last told, when each was told, its ties.

    `former_ins` are all matricules that were ever told of it. `doubtful` statuses (PID-32) come from the mapping's table.
    """

    number: LocalIdentifier
    facts: PatientFacts = field(default_factory=PatientFacts)
    stamps: dict[str, Stamp] = field(default_factory=dict)
    relations: tuple[Relation, ...] = ()
    alive_at: Stamp = NEVER
    former_ins: tuple[Ins, ...] = ()
    doubtful: bool = False

    @property
    def reliability(self) -> Reliability:
        """How far this identity can be trusted: qualified is QUAL, or VALI with a matricule, unless it is doubtful."""
        statuses = set(self.facts.statuses)
        if self.doubtful or not statuses & _QUALIFYING:
            return Reliability.PROVISIONAL
        usable = self.facts.ins is not None and ins_is_valid(self.facts.ins.value)
        return Reliability.QUALIFIED if usable else Reliability.VALIDATED

    @property
    def usable_ins(self) -> Ins | None:
        """The matricule that may be used now: told, with a right key, and with no status that says otherwise."""
        ins = self.facts.ins
        if ins is None or not ins_is_valid(ins.value):
            return None
        return ins if not self.facts.statuses or self.reliability is Reliability.QUALIFIED else None

    @property
    def merged_into(self) -> LocalIdentifier | None:
        """The entry that took this one over, if the newest merge stands and the number was not told alive since."""
        merges = [r for r in self.relations if r.kind is RelationKind.MERGED_INTO and r.stands and r.stamp > self.alive_at]
        return max(merges, key=lambda r: r.stamp).other if merges else None

    def told(self, name: str) -> bool:
        """True when some message told this fact, be it to erase it."""
        return name in self.stamps


def with_update(record: PatientRecord, update: IdentityUpdate, doubtful_statuses: frozenset[str]) -> PatientRecord:
    """The record after a message about it: each fact keeps its newest telling. The same in any order, and when told again."""
    newer = [name for name in update.said if update.stamp >= record.stamps.get(name, NEVER)]
    changes = {name: getattr(update.facts, name) for name in newer}
    facts = replace(record.facts, **changes) if changes else record.facts
    ins = update.facts.ins
    former = record.former_ins
    if "ins" in update.said and ins is not None and ins not in former:
        former = tuple(sorted((*former, ins), key=lambda one: (one.oid, one.value)))
    return replace(
        record,
        facts=facts,
        stamps=record.stamps | dict.fromkeys(newer, update.stamp),
        alive_at=max(record.alive_at, update.stamp) if update.revives else record.alive_at,
        former_ins=former,
        doubtful=bool(set(facts.statuses) & doubtful_statuses),
    )


def with_relation(record: PatientRecord, relation: Relation) -> PatientRecord:
    """The record with a tie, if nothing newer was told of the same tie."""
    key = (relation.kind, relation.other)
    known = next((r for r in record.relations if (r.kind, r.other) == key), None)
    if known is not None and known.stamp >= relation.stamp:
        return record
    others = [r for r in record.relations if (r.kind, r.other) != key]
    ordered = sorted((*others, relation), key=lambda r: (r.kind.value, r.other.authority, r.other.value))
    return replace(record, relations=tuple(ordered))


def strict_traits(facts: PatientFacts) -> tuple[str, str, str]:
    """What must agree between two identities that bear one matricule, as far as both tell it."""
    return facts.birth_name.upper(), facts.birth_date, facts.sex


def traits_differ(one: PatientFacts, other: PatientFacts) -> bool:
    """True when a strict trait is told on both sides and is not the same."""
    pairs = zip(strict_traits(one), strict_traits(other), strict=True)
    return any(a and b and a != b for a, b in pairs)


# -- what decisions read -----------------------------------------------------------------------------------------------------


class InsStanding(StrEnum):
    """What the index says today of the matricule that a document bears."""

    UNTOLD = "untold"
    STANDS = "stands"
    WITHDRAWN = "ins-withdrawn"
    CHANGED = "ins-changed"
    DOUBTFUL = "ins-doubtful"


@dataclass(frozen=True, repr=False)
class PatientView(Confidential):
    """What the index knows, now, of a document's patient: `current` is the entry that lives, `facts` of all the person's entries.

    `flags` are what is doubtful about the current entry (`ins-shared`, `ins-other-traits`, `ins-wrong-key`).
    """

    current: PatientRecord
    entries: tuple[PatientRecord, ...]
    facts: PatientFacts
    flags: frozenset[str] = frozenset()

    def standing_of(self, ins: Ins | None) -> InsStanding:
        """Whether a matricule is still this patient's, and may be used."""
        if ins is None:
            return InsStanding.UNTOLD
        known = self.current.facts.ins
        if known is None:
            ever = any(ins in entry.former_ins for entry in self.entries)
            return InsStanding.WITHDRAWN if ever else InsStanding.UNTOLD
        if known != ins:
            return InsStanding.CHANGED
        if self.current.usable_ins is None:
            return InsStanding.WITHDRAWN
        return InsStanding.DOUBTFUL if self.flags & INS_DOUBTS else InsStanding.STANDS


# Flags that make a matricule unusable: one bearer too many, or a key that is wrong. A mere duplicate (`ins-shared`) does not.
SHARED_INS = "ins-shared"
OTHER_TRAITS = "ins-other-traits"
WRONG_KEY = "ins-wrong-key"
INS_DOUBTS = frozenset({OTHER_TRAITS, WRONG_KEY})


def facts_of_all(entries: Sequence[PatientRecord]) -> PatientFacts:
    """The facts of one person's entries together: the newest telling of each."""
    newest: dict[str, tuple[Stamp, Any]] = {}
    for entry in entries:
        for name, stamp in entry.stamps.items():
            if name not in newest or stamp > newest[name][0]:
                newest[name] = (stamp, getattr(entry.facts, name))
    return PatientFacts(**{name: value for name, (_, value) in newest.items()})


@dataclass(frozen=True, repr=False)
class PatientKeys(Confidential):
    """The numbers by which one source names a patient."""

    ins: Ins | None = None
    numbers: tuple[LocalIdentifier, ...] = ()


# (legal entity, one source's numbers, the other's) → true when the index knows that both are one person.
SamePerson = Callable[[str, PatientKeys, PatientKeys], bool]


def patient_numbers(numbers: Iterable[LocalIdentifier]) -> tuple[LocalIdentifier, ...]:
    """Those that name a patient, of an authority that can be told."""
    return tuple(n for n in numbers if n.kind == PATIENT_NUMBER and n.value and n.authority)


def ins_number(ins: Ins) -> LocalIdentifier:
    """A matricule as the number of an entry that has no IPP."""
    return LocalIdentifier(ins.value, ins.oid, INS_NUMBER)


@dataclass(frozen=True, repr=False)
class KeptUpdate(Confidential):
    """One line of an entry's history: which receipt told what, and when."""

    receipt_id: str
    event: str
    told_at: datetime
    update: IdentityUpdate


@dataclass(frozen=True, repr=False)
class PatientEntry(Confidential):
    """One entry with its row: for those who look at it (`tdu trace`)."""

    id: str
    state: str
    flags: tuple[str, ...]
    record: PatientRecord
    history: tuple[KeptUpdate, ...] = ()
