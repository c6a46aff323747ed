"""An ADT message as a FHIR collection: the patient, those close to them, their doctor, the stay, what they agreed to.

Each value of the message is mapped, carried with its place (extension `hl7v2-value`), left aside for the reason that the mapping
file says, or listed as unread. A matricule that is not qualified is listed, never written (Référentiel INS). Ids derive from the
message.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, entry_of, reference_to
from adapter.fhir.identity import carries_ins, local_identifier, patient_resource
from adapter.fhir.movement import carried, consent, encounter, marital_status, related_person, v2_concept
from adapter.fhir.narrative import generated
from adapter.fhir.parties import Parties
from adapter.mapping.account import Account
from adapter.mapping.cda.time import as_instant
from adapter.mapping.hl7.adt_message import AdtMessage, AdtSegment
from adapter.mapping.hl7.adt_profile import adt_rules
from adapter.mapping.hl7.adt_reading import AdtPatient, AdtReading, Former
from adapter.mapping.hl7.adt_values import Cx, code_of, identifiers, people_of, time_of
from adapter.model.document import Code
from adapter.model.effects import UnreadNode
from adapter.model.parties import Party, Professional
from adapter.model.patient import Consultation, Feeding, IdentityAct

Resource = dict[str, Any]

_CLASSES = {"I": ("IMP", "inpatient encounter"), "O": ("AMB", "ambulatory"), "E": ("EMER", "emergency")}
_UNKNOWN_CLASS = {"system": p.V3_NULL_FLAVOR, "code": "UNK", "display": "unknown"}
# PV1 fields of people, with what they are there for.
_PEOPLE = ((7, "ATND", "attender"), (8, "REF", "referrer"), (9, "CON", "consultant"), (17, "ADM", "admitter"))
_FEEDING = {Feeding.NOT_OPPOSED: (True, "informé, non opposé"), Feeding.OPPOSED: (False, "informé, opposé")}
_CONSULTATION = {Consultation.AGREED: (True, "consent"), Consultation.REFUSED: (False, "refuse")}
# What of these segments has no element of its own is carried: on the patient, or on the stay.
_OF_PATIENT = frozenset({"PID", "PD1", "ROL", "NK1", "ZFA", "ZFD", "ZFP", "MRG"})
_OF_STAY = frozenset({"EVN", "PV1", "PV2", "ZBE", "ZFM", "ZFV", "ZFS"})
# The profile wants a period: a message that tells none says so.
_NO_PERIOD = {"_start": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}}
_HELD_BACK = "a matricule travels only with a qualified identity and all its traits"


@lru_cache(maxsize=1)
def _ignored_places() -> dict[str, tuple[tuple[int, str], ...]]:
    """By segment: fields (0: all of them) and their patterns."""
    found: dict[str, list[tuple[int, str]]] = {}
    for pattern in adt_rules().ignored:
        name, _, field = pattern.partition("-")
        found.setdefault(name, []).append((int(field or 0), pattern))
    return {name: tuple(places) for name, places in found.items()}


def bundle_of(message: AdtMessage, reading: AdtReading, zone: str, label: str) -> tuple[Resource, Account]:
    """The collection of a message that was read, and the account of the message's values."""
    ids = Ids(f"adt:{message.first('MSH').look(3)}:{reading.control_id}:{reading.stamp[0]}")
    builder = _Builder(message, reading, ids, zone, label)
    bundle = builder.build()
    ignored = _ignore(message)
    builder.carry()
    unread = (*builder.held_back, *message.unread(_OF_PATIENT | _OF_STAY))
    read = message.value_count - len(unread) - sum(ignored.values())
    return bundle, Account(unread, max(0, read), ignored)


def _ignore(message: AdtMessage) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, places in _ignored_places().items():
        for segment in message.all(name):
            for field, pattern in places:
                if field and not segment.says(field):
                    continue
                for number in (field,) if field else sorted({leaf[0] for leaf in segment.left()}):
                    if segment.says(number):
                        counts[pattern] = counts.get(pattern, 0) + _count(segment, number)
                        segment.take_whole(number)
    return {pattern: count for pattern, count in counts.items() if count}


def _count(segment: AdtSegment, number: int) -> int:
    return sum(1 for r in segment.field(number) for c in r for value in c if value.strip() and value.strip() != '""')


class _Builder:
    """One message's resources."""

    def __init__(self, message: AdtMessage, reading: AdtReading, ids: Ids, zone: str, label: str) -> None:
        self._message = message
        self._reading = reading
        self._ids = ids
        self._zone = zone
        self._label = label
        self._parties = Parties(ids)
        self._patients: list[Resource] = []
        self._encounter: Resource | None = None
        self.held_back: list[UnreadNode] = []

    def build(self) -> Resource:
        """All resources, the patient first."""
        reading = self._reading
        for rank, patient in enumerate(reading.patients, 1):
            self._patients.append(self._patient(patient, rank))
        subject = self._patients[0]
        formers = [self._former(former, rank) for rank, former in enumerate(reading.formers, 1)]
        self._link(formers)
        doctors = self._doctors(subject)
        self._encounter = self._stay(subject)
        close = [
            related_person(contact, self._ids.mint("RelatedPerson", str(rank)), reference_to(subject))
            for rank, contact in enumerate(reading.facts.contacts, 1)
        ]
        made = [*self._patients, *formers, *([self._encounter] if self._encounter else []), *doctors, *close]
        made += [*self._parties.resources, *self._consents(subject), self._provenance(subject)]
        seen: set[str] = set()
        entries = [entry_of(r) for r in made if not (r["id"] in seen or seen.add(r["id"]))]  # type: ignore[func-returns-value]
        msh = self._message.first("MSH")
        identifier = {"system": f"{p.OURS}message/{_slug(msh.take(3))}", "value": msh.take(10)}
        for number in (7, 9):
            msh.take_whole(number)
        instant = as_instant(reading.sent_at or reading.recorded_at, self._zone) if reading.sent_at or reading.recorded_at else ""
        stamp = {"timestamp": instant} if instant else {}
        return {
            "resourceType": "Bundle",
            "id": self._ids.mint("Bundle"),
            "identifier": identifier,
            "type": "collection",
            **stamp,
            "entry": entries,
        }

    # -- people

    def _patient(self, patient: AdtPatient, rank: int) -> Resource:
        identity = patient.identity
        resource = patient_resource(identity, id=self._ids.mint("Patient", str(rank)))
        if identity.ins is not None and not carries_ins(identity):
            self.held_back.append(UnreadNode("PID-3", identity.ins.value, "identifier", _HELD_BACK))
        told = {cx.number.value: cx for cx in patient.numbers}
        for identifier in resource.get("identifier", ()):
            identifier |= _beside(told[identifier["value"]])
        for status in patient.facts.statuses:
            coding = {"system": p.OUR_CODES + "pid-32", "code": status}  # the French table is larger than HL7's 0445
            resource["extension"].append({"url": p.EXT_SOURCE_CODE, "valueCoding": coding})
        resource |= _state_of(patient)
        for place, value in (("PID-33", patient.updated_at), ("PID-24", patient.is_multiple if patient.birth_rank else "")):
            if value:
                resource["extension"].append(carried(place, value))
        return resource

    def _former(self, former: Former, rank: int) -> Resource:
        """The identity that gave way: its numbers, and nothing that is not told."""
        family, given = former.name
        name = {k: v for k, v in (("family", family), ("given", [given] if given else [])) if v}
        resource: Resource = {
            "resourceType": "Patient",
            "id": self._ids.mint("Patient", "former", str(rank)),
            "text": generated("Identité remplacée"),
            "identifier": [_dated(cx) for cx in (*former.numbers, *former.accounts) if not cx.is_ins],
            "active": False,
        }
        for cx in former.numbers:
            if cx.is_ins:
                self.held_back.append(UnreadNode("MRG-1", cx.number.value, "identifier", _HELD_BACK))
        return resource | ({"name": [name]} if name else {})

    def _link(self, formers: list[Resource]) -> None:
        """A merge replaces, a link sees also; what was undone is not written as standing."""
        act = self._reading.event.act
        if act in (IdentityAct.MERGE, IdentityAct.CHANGE_NUMBER):
            for survivor, former in zip(self._patients, formers, strict=True):
                survivor["link"] = [{"other": reference_to(former), "type": "replaces"}]
                former["link"] = [{"other": reference_to(survivor), "type": "replaced-by"}]
        elif act is IdentityAct.LINK:
            one, other = self._patients
            one["link"] = [{"other": reference_to(other), "type": "seealso"}]
            other["link"] = [{"other": reference_to(one), "type": "seealso"}]

    def _doctors(self, patient: Resource) -> list[Resource]:
        """The treating doctor's role; the others of ROL act in the stay."""
        doctor = self._reading.facts.doctor
        if doctor is None:
            return []
        role = self._parties.role(Party(professional=doctor))
        patient["generalPractitioner"] = [reference_to(role)]
        return []

    # -- the stay

    def _stay(self, patient: Resource) -> Resource | None:
        pv1 = self._message.first("PV1")
        numbers = [*identifiers(pv1, 19, "VN"), *(cx for one in self._reading.patients for cx in one.accounts)]
        zbe = self._message.first("ZBE")
        if not numbers and not self._message.has("PV1") and not self._message.has("ZBE"):
            return None
        pv2 = self._message.first("PV2")
        written = pv1.take(2)
        reasons = [v2_concept("0043", code) for code in (code_of(pv2, 3),) if code.code or code.label]
        reasons += [{"text": text} for text in (pv2.take(12),) if text]
        kind, admission, service = pv1.take(4), pv1.take(14), pv1.take(10)
        discharge = pv1.take(36)
        preadmission = next(identifiers(pv1, 5, "VN"), None)
        hospitalization = {
            "preAdmissionIdentifier": local_identifier(preadmission.number) if preadmission else None,
            "admitSource": v2_concept("0023", Code(admission)) if admission else None,
            "dischargeDisposition": v2_concept("0112", Code(discharge)) if discharge else None,
        }
        return encounter(
            self._ids.mint("Encounter"),
            reference_to(patient),
            caption=self._label.capitalize(),
            status=self._reading.event.stay,
            stay_class=_class(written),
            extension=[{"url": p.EXT_SOURCE_CODE, "valueCoding": {"system": f"{_V2}0004", "code": written}}] if written else [],
            identifier=[_dated(cx) for cx in numbers],
            priority=v2_concept("0007", Code(kind)) if kind else {},
            serviceType=v2_concept("0069", Code(service)) if service else {},
            participant=self._participants(pv1),
            period=_period(time_of(pv1.take(44), self._zone), time_of(pv1.take(45), self._zone)) or dict(_NO_PERIOD),
            reasonCode=reasons,
            hospitalization={key: value for key, value in hospitalization.items() if value},
            location=[*_location(pv1, 3, "active"), *_location(pv1, 6, "completed"), *_unit(zbe)],
        )

    def _participants(self, pv1: AdtSegment) -> list[Resource]:
        found = [
            self._participant(person, {"coding": [{"system": p.V3_PARTICIPATION_TYPE, "code": code, "display": label}]})
            for field, code, label in _PEOPLE
            for person in people_of(pv1, field)
        ]
        doctor = self._reading.facts.doctor
        others = [(role, person) for role, person in self._reading.roles if person != doctor]
        return found + [self._participant(person, v2_concept("0443", Code(role))) for role, person in others]

    def _participant(self, person: Professional, kind: Resource) -> Resource:
        return {"type": [kind], "individual": reference_to(self._parties.role(Party(professional=person)))}

    # -- choices and account

    def _consents(self, patient: Resource) -> list[Resource]:
        facts, said, subject = self._reading.facts, self._reading.said, reference_to(patient)
        found = []
        if "feeding" in said and facts.feeding is not Feeding.UNTOLD:
            permits, label = _FEEDING.get(facts.feeding, (None, "non recueilli"))
            topic = "Alimentation du dossier partagé"
            made = self._ids.mint("Consent", "feeding")
            code = facts.feeding.value
            found.append(consent(made, subject, topic=topic, code=code, label=label, permits=permits, at=facts.feeding_at))
        if "consultation" in said and facts.consultation is not Consultation.UNTOLD:
            permits, label = _CONSULTATION.get(facts.consultation, (None, "non recueilli"))
            topic = "Consultation du dossier partagé"
            made = self._ids.mint("Consent", "consultation")
            code, at = facts.consultation.value, facts.consultation_at
            found.append(consent(made, subject, topic=topic, code=code, label=label, permits=permits, at=at))
        if facts.agrees_to_sms is not None:
            code, label = ("Y", "consent") if facts.agrees_to_sms else ("N", "refuse")
            made = self._ids.mint("Consent", "sms")
            topic = "Envoi de SMS"
            found.append(consent(made, subject, topic=topic, code=code, label=label, permits=facts.agrees_to_sms, at=""))
        if facts.record_status and found:
            found[0].setdefault("extension", []).append(carried("ZFA-1", facts.record_status))
        elif facts.record_status:
            patient["extension"].append(carried("ZFA-1", facts.record_status))
        return found

    def _provenance(self, patient: Resource) -> Resource:
        """Who told what, when: the event itself."""
        evn, reading = self._message.first("EVN"), self._reading
        operator = " ".join(filter(None, (evn.take(5, 3), evn.take(5, 2), evn.take(5, 1))))
        application = self._message.first("MSH").look(3)
        for number in (2, 6):
            evn.take_whole(number)
        code = {"system": f"{_V2}0003", "code": reading.event.code, "display": self._label}
        resource: Resource = {
            "resourceType": "Provenance",
            "id": self._ids.mint("Provenance"),
            "text": generated(self._label.capitalize()),
            "target": [reference_to(patient)],
        }
        if reading.occurred_at:
            resource["occurredDateTime"] = reading.occurred_at
        resource["recorded"] = as_instant(reading.recorded_at, self._zone) if reading.recorded_at else reading.told_at.isoformat()
        resource["activity"] = {"coding": [code]}
        agents = [{"who": {"display": who}} for who in dict.fromkeys((operator, application)) if who]
        resource["agent"] = agents or [{"who": {"display": "inconnu"}}]
        return resource

    def carry(self) -> None:
        """What the profile's segments still hold goes with the patient or with the stay, each with its place."""
        patient = self._patients[0]
        stay = self._encounter if self._encounter is not None else patient
        for segment in self._message.segments:
            if segment.name not in _OF_PATIENT and segment.name not in _OF_STAY:
                continue
            target = stay if segment.name in _OF_STAY else patient
            kept = [carried(self._message.place(segment, *leaf[:4]), leaf[4].strip()) for leaf in segment.left()]
            if kept:
                target.setdefault("extension", []).extend(kept)


_V2 = "http://terminology.hl7.org/CodeSystem/v2-"


def _state_of(patient: AdtPatient) -> Resource:
    """Death, marital status, multiple birth."""
    found: Resource = {}
    if patient.deceased in ("true", "false"):
        found["deceasedBoolean"] = patient.deceased == "true"
    elif patient.deceased:
        found["deceasedDateTime"] = patient.deceased
    if patient.marital.code or patient.marital.label:
        found["maritalStatus"] = marital_status(patient.marital)
    if patient.birth_rank.isdigit():
        found["multipleBirthInteger"] = int(patient.birth_rank)
    elif patient.is_multiple in ("Y", "N"):
        found["multipleBirthBoolean"] = patient.is_multiple == "Y"
    return found


def _class(written: str) -> Resource:
    known = _CLASSES.get(written.upper())
    return {"system": p.V3_ACT_CODE, "code": known[0], "display": known[1]} if known else dict(_UNKNOWN_CLASS)


def _dated(cx: Cx) -> Resource:
    return local_identifier(cx.number) | _beside(cx)


def _beside(cx: Cx) -> Resource:
    """When an identifier is valid, and who gave it by name."""
    period = _period(cx.since, cx.until)
    return ({"period": period} if period else {}) | ({"assigner": {"display": cx.name}} if cx.name else {})


def _period(start: str, end: str) -> Resource:
    return {key: value for key, value in (("start", start), ("end", end)) if value}


def _location(pv1: AdtSegment, field: int, status: str) -> list[Resource]:
    """Where the patient is, or was: unit, room and bed on one line."""
    parts = [pv1.take(field, component) for component in (1, 2, 3)]
    place = pv1.take(field, 4)
    words = " · ".join(part for part in (*parts, place) if part)
    return [{"location": {"display": words}, "status": status}] if words else []


def _unit(zbe: AdtSegment) -> list[Resource]:
    """The unit in charge of medical care, then of nursing (ZBE-7, ZBE-8)."""
    found = []
    for field, kind in ((7, "UF médicale"), (8, "UF de soins")):
        label, code = zbe.take(field, 1), zbe.take(field, 10)
        words = " · ".join(part for part in (kind, code, label) if part)
        if label or code:
            found.append({"location": {"display": words}})
    return found


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in text).lower() or "unknown"
