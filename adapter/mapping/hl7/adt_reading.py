"""An ADT message as values: who it is about, what it says of them, of their stay, of their choices; and who is named beside.

Sources: PAM-FR 2.11 (PID, PD1, ROL, NK1, PV1, PV2, ZBE, ZFA, ZFM, ZFD, MRG), HL7 2.5; `specs/hl7v2-pfi` §2 and §9. What a message
says is kept apart from what it does not: an absent field says nothing, `""` erases (update mode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from adapter.mapping.cda.time import as_instant, read_time
from adapter.mapping.hl7.adt_message import NULL, AdtMessage, AdtSegment
from adapter.mapping.hl7.adt_profile import AdtEvent, AdtWords, adt_words
from adapter.mapping.hl7.adt_values import (
    BIRTH_PLACE,
    Cx,
    address_of,
    addresses_of,
    code_of,
    day_of,
    identifiers,
    person_of,
    telecoms_of,
    time_of,
)
from adapter.model.confidential import Confidential
from adapter.model.document import Code
from adapter.model.finding import Finding, Severity
from adapter.model.identity import Address, Ins, LocalIdentifier, PatientIdentity, Reliability, Telecom
from adapter.model.parties import Professional
from adapter.model.patient import (
    PATIENT_NUMBER,
    Consultation,
    Contact,
    Feeding,
    PatientFacts,
    PatientRecord,
    Stamp,
    ins_number,
)

_SEXES = {"F": "F", "M": "M", "U": "UN", "O": "UN", "A": "UN", "N": "UN"}


@dataclass(frozen=True, repr=False)
class AdtPatient(Confidential):
    """One PID: its numbers, the identity as it is written, and the facts that it tells (names in `said`)."""

    numbers: tuple[Cx, ...]
    identity: PatientIdentity
    facts: PatientFacts
    said: tuple[str, ...]
    accounts: tuple[Cx, ...] = ()
    marital: Code = field(default_factory=Code)
    updated_at: str = ""
    birth_rank: str = ""
    is_multiple: str = ""
    deceased: str = ""

    @property
    def keys(self) -> tuple[LocalIdentifier, ...]:
        """The numbers under which the index keeps this patient: IPPs, or the matricule when there is none."""
        own = tuple(cx.number for cx in self.numbers if not cx.is_ins and cx.number.kind == PATIENT_NUMBER)
        if own:
            return own
        return tuple(ins_number(Ins(cx.number.value, cx.oid)) for cx in self.numbers if cx.is_ins)


@dataclass(frozen=True, repr=False)
class Former(Confidential):
    """MRG: the numbers that give way, the former account, the former name, the visit."""

    numbers: tuple[Cx, ...]
    accounts: tuple[Cx, ...]
    name: tuple[str, str] = ("", "")

    @property
    def keys(self) -> tuple[LocalIdentifier, ...]:
        """The index's numbers."""
        own = tuple(cx.number for cx in self.numbers if not cx.is_ins and cx.number.kind == PATIENT_NUMBER)
        return own or tuple(ins_number(Ins(cx.number.value, cx.oid)) for cx in self.numbers if cx.is_ins)


@dataclass(frozen=True, repr=False)
class AdtReading(Confidential):
    """A whole message. `patients` and `formers` go by pairs for a merge; a link has two patients."""

    event: AdtEvent
    control_id: str
    sent_at: str
    recorded_at: str
    occurred_at: str
    stamp: Stamp
    told_at: datetime
    patients: tuple[AdtPatient, ...]
    formers: tuple[Former, ...]
    facts: PatientFacts
    said: tuple[str, ...]
    roles: tuple[tuple[str, Professional], ...]
    consent_at: str = ""
    findings: tuple[Finding, ...] = ()


def read_adt(message: AdtMessage, event: AdtEvent, received_at: datetime, zone: str) -> AdtReading:
    """What the message says; what was taken leaves the message."""
    msh, evn, zbe = message.first("MSH"), message.first("EVN"), message.first("ZBE")
    sent, recorded, occurred = (time_of(segment.look(n), zone) for segment, n in ((msh, 7), (evn, 2), (evn, 6)))
    moved = time_of(zbe.look(2), zone)
    control = msh.look(10)
    told = _instant(recorded or moved or sent, received_at, zone)
    stamp = (_text(told), _text(_instant(sent, told, zone)), control)
    words = adt_words()
    patients = tuple(_patient(segment, event, zone) for segment in message.all("PID"))
    facts, said, roles, findings = _beside(message, words, zone)
    return AdtReading(
        event=event,
        control_id=control,
        sent_at=sent,
        recorded_at=recorded,
        occurred_at=occurred,
        stamp=stamp,
        told_at=told,
        patients=patients,
        formers=tuple(_former(segment) for segment in message.all("MRG")),
        facts=facts,
        said=said,
        roles=roles,
        findings=findings,
    )


def all_facts(patient: AdtPatient, reading: AdtReading) -> tuple[PatientFacts, tuple[str, ...]]:
    """What the message says of its patient: PID and the segments beside it."""
    changes = {name: getattr(reading.facts, name) for name in reading.said}
    return replace(patient.facts, **changes), (*patient.said, *reading.said)


def _instant(value: str, otherwise: datetime, zone: str) -> datetime:
    return datetime.fromisoformat(as_instant(value, zone)) if value else otherwise


def _text(moment: datetime) -> str:
    """UTC, to the microsecond: such texts compare as instants do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


# -- PID ----------------------------------------------------------------------------------------------------------------------


class _Told:
    """What a segment tells, gathered: facts by name, and the names."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def tell(self, name: str, value: object, *, when: bool) -> None:
        """Remember a fact if it is said."""
        if when:
            self.values[name] = value

    def facts(self) -> tuple[PatientFacts, tuple[str, ...]]:
        """The facts and their names, in a fixed order."""
        return PatientFacts(**self.values), tuple(sorted(self.values))  # type: ignore[arg-type]


def _patient(pid: AdtSegment, event: AdtEvent, zone: str) -> AdtPatient:
    told = _Told()
    says_numbers = pid.says(3)
    numbers = tuple(identifiers(pid, 3))
    ins = next((Ins(cx.number.value, cx.oid) for cx in numbers if cx.is_ins), None)
    told.tell("ins", ins, when=ins is not None or (says_numbers and event.whole))
    statuses = _statuses(pid, told)
    names = _names(pid, told)
    birth = pid.look(7)
    told.tell("birth_date", day_of(pid.take(7)), when=bool(birth))
    written = pid.look(8)
    sex = _SEXES.get(pid.take(8).upper(), "")
    told.tell("sex", sex, when=bool(written))
    addresses, birth_place = _addresses(pid, told)
    telecoms = _telecoms(pid, told)
    deceased = _death(pid, told, zone)
    facts, said = told.facts()
    identity = PatientIdentity(
        birth_name=names["birth_name"],
        first_given=names["first_given"],
        birth_given_names=names["given_names"],
        used_name=names["used_name"],
        used_given=names["used_given"],
        birth_date=facts.birth_date,
        sex=sex or "UN",
        birth_place_insee=birth_place.insee,
        birth_place_city=birth_place.city,
        birth_place_name=pid.take(23),
        birth_place_address=replace(birth_place, insee="") if birth_place.country or birth_place.postal_code else None,
        ins=ins,
        local_ids=tuple(cx.number for cx in numbers if not cx.is_ins),
        addresses=addresses,
        telecoms=telecoms,
        reliability=_reliability(facts, statuses, numbers),
    )
    return AdtPatient(
        numbers,
        identity,
        facts,
        said,
        accounts=tuple(identifiers(pid, 18, "AN")),
        marital=code_of(pid, 16),
        updated_at=time_of(pid.take(33), zone),
        birth_rank=pid.take(25),
        is_multiple=pid.take(24),
        deceased=deceased,
    )


def _reliability(facts: PatientFacts, statuses: Sequence[str], numbers: Sequence[Cx]) -> Reliability:
    """As the index would read this message alone."""
    if not statuses or not numbers:
        return Reliability.PROVISIONAL
    alone = PatientRecord(numbers[0].number, facts, doubtful=bool(set(statuses) & adt_words().doubtful))
    return alone.reliability


def _statuses(pid: AdtSegment, told: _Told) -> tuple[str, ...]:
    says = pid.says(32)
    found = tuple(filter(None, (pid.take(32, 1, r).upper() for r in range(1, pid.count(32) + 1))))
    told.tell("statuses", found, when=says)
    return found


def _names(pid: AdtSegment, told: _Told) -> dict[str, str]:
    """PID-5: the birth name (L), or the first one without type; the name in use (D)."""
    found = dict.fromkeys(("birth_name", "first_given", "given_names", "used_name", "used_given"), "")
    for r in range(1, pid.count(5) + 1):
        kind = pid.take(5, 7, r).upper()
        if kind in ("L", "M", "N", "") and not found["birth_name"]:
            places = {"birth_name": 1, "first_given": 2, "given_names": 3}
        elif kind in ("D", "U") and not found["used_name"]:
            places = {"used_name": 1, "used_given": 2}
        else:
            continue
        for name, component in places.items():
            says = bool(pid.look(5, component, r))
            value = pid.take(5, component, r)
            found[name] = value
            told.tell(name, value, when=says)
    return found


def _addresses(pid: AdtSegment, told: _Told) -> tuple[tuple[Address, ...], Address]:
    """PID-11: where the patient lives, and where they were born (BDL: the commune's INSEE code)."""
    homes: list[Address] = []
    birth = Address()
    says = pid.says(11)
    for r in range(1, pid.count(11) + 1):
        address, kind = address_of(pid, 11, r)
        if kind == BIRTH_PLACE:
            birth = replace(address, use_words="")
        elif address.lines or address.city or address.postal_code or address.country or address.insee:
            homes.append(address)
    told.tell("birth_insee", birth.insee, when=bool(birth.insee))
    told.tell("addresses", tuple(homes), when=says and (bool(homes) or pid.erases(11)))
    return tuple(homes), birth


def _telecoms(pid: AdtSegment, told: _Told) -> tuple[Telecom, ...]:
    says = any(pid.says(n) for n in (13, 14, 40))
    found = tuple(dict.fromkeys((*telecoms_of(pid, 13, "home"), *telecoms_of(pid, 14, "work"), *telecoms_of(pid, 40))))
    told.tell("telecoms", found, when=says)
    return found


def _death(pid: AdtSegment, told: _Told, zone: str) -> str:
    """PID-30 says whether, PID-29 since when; a date alone says it too. Returns what FHIR writes."""
    says_when, says_if = pid.says(29), pid.says(30)
    moment, answer = time_of(pid.take(29), zone), pid.take(30).upper()
    is_dead = answer == "Y" or (not says_if and bool(moment))
    told.tell("is_deceased", is_dead, when=says_if or says_when)
    told.tell("deceased_at", moment, when=says_when)
    if is_dead and moment:
        return moment
    return {True: "true", False: "false"}[is_dead] if says_if and answer else ""


def _former(mrg: AdtSegment) -> Former:
    numbers, accounts = tuple(identifiers(mrg, 1, PATIENT_NUMBER)), tuple(identifiers(mrg, 3, "AN"))
    name = mrg.take(7, 1), mrg.take(7, 2)
    mrg.take(7, 7)
    return Former(numbers, accounts, name)


# -- what stands beside PID -----------------------------------------------------------------------------------------------------


def _beside(
    message: AdtMessage, words: AdtWords, zone: str
) -> tuple[PatientFacts, tuple[str, ...], tuple[tuple[str, Professional], ...], tuple[Finding, ...]]:
    told, findings = _Told(), list[Finding]()
    roles = _roles(message, words, told)
    contacts = message.all("NK1")
    told.tell("contacts", tuple(_contact(nk1, words) for nk1 in contacts), when=bool(contacts))
    _choices(message.first("ZFA"), told, findings, zone)
    zfd = message.first("ZFD")
    if zfd.says(3):
        answer = zfd.take(3).upper()
        told.tell("agrees_to_sms", {"Y": True, "N": False}.get(answer), when=True)
        if answer not in ("Y", "N", ""):
            findings.append(_unknown("ZFD-3"))
    facts, said = told.facts()
    return facts, said, roles, tuple(findings)


def _roles(message: AdtMessage, words: AdtWords, told: _Told) -> tuple[tuple[str, Professional], ...]:
    """ROL: the treating doctor is a fact, told absent by a withdrawal or a null; the others act in this stay only."""
    found: list[tuple[str, Professional]] = []
    for rol in message.all("ROL"):
        action, role = rol.take(2).upper(), rol.take(3)
        says, person = rol.says(4), person_of(rol, 4)
        if person is not None:
            mails = telecoms_of(rol, 12, "work")
            person = replace(person, addresses=addresses_of(rol, 11), telecoms=mails)
        if role == words.treating_doctor:
            is_gone = action in words.withdrawn_roles or (says and person is None)
            told.tell("doctor", None if is_gone else person, when=says or is_gone)
        if person is not None and action not in words.withdrawn_roles:
            found.append((role, person))
    return tuple(found)


def _contact(nk1: AdtSegment, words: AdtWords) -> Contact:
    relationship, role = code_of(nk1, 3), code_of(nk1, 7)
    nk1.take(2, 7)
    return Contact(
        family=nk1.take(2, 1),
        given=nk1.take(2, 2),
        relationship=relationship.code,
        relationship_label=relationship.label,
        role=role.code,
        role_label=role.label,
        is_guardian=bool({relationship.code.upper(), role.code.upper()} & words.guardians),
        until=day_of(nk1.take(9)),
        telecoms=tuple(dict.fromkeys((*telecoms_of(nk1, 5, "home"), *telecoms_of(nk1, 6, "work")))),
        addresses=addresses_of(nk1, 4),
    )


def _choices(zfa: AdtSegment, told: _Told, findings: list[Finding], zone: str) -> None:
    """ZFA: the state of the shared record, what the patient said of feeding it (9, 10) and of consulting it (11, 12)."""
    told.tell("record_status", zfa.look(1).replace(NULL, ""), when=zfa.says(1))
    zfa.take(1)
    for name, number, known in (("feeding", 9, Feeding), ("consultation", 11, Consultation)):
        if zfa.says(number):
            answer = zfa.take(number).upper()
            if answer not in {one.value for one in known}:
                findings.append(_unknown(f"ZFA-{number}"))
                answer = ""
            told.tell(name, known(answer), when=True)
            told.tell(f"{name}_at", read_time(zfa.take(number + 1), zone).value, when=True)


def _unknown(place: str) -> Finding:
    text = "This value is not of the profile's table: it is taken as not said."
    return Finding(Severity.WARNING, "adt.unknown-value", text, place, hl7_code="103")
