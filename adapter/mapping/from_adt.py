"""Understands the ADT messages of PAM-FR: what to answer at once, and what each says to the patient index.

Sources: PAM-FR 2.11 (events and segments, as data in `mappings/hl7v2/adt.toml`); blueprint seams 1, 13, 14. An event that we have
no use for is acknowledged and left aside with its reason; one that is not in the table is refused (201). A wrong INS key does
not refuse a whole message here, which may tell of a death: it is told, kept as it came, and never used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from adapter.errors import InputError
from adapter.formats.hl7v2 import Message, read_message
from adapter.mapping.account import Account
from adapter.mapping.from_hl7v2 import LONGEST_MSH, control_of, fingerprint, read_control
from adapter.mapping.hl7.adt_bundle import bundle_of
from adapter.mapping.hl7.adt_message import AdtMessage
from adapter.mapping.hl7.adt_profile import AdtEvent, adt_events, adt_rules
from adapter.mapping.hl7.adt_reading import AdtPatient, AdtReading, Former, all_facts, read_adt
from adapter.mapping.hl7.checks import LONGEST_CONTROL, check_size
from adapter.model.confidential import Confidential
from adapter.model.effects import Effect, Ignored, UnreadNode
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.identity import LocalIdentifier, ins_is_valid
from adapter.model.patient import IdentityAct, IdentityUpdate
from adapter.model.receipt import Arrival, ContentKind, Inspection, Verdict
from adapter.model.submission import Submission

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_PROCESSING = frozenset({"P", "T", "D"})
_REQUIRED = ((3, "MSH-3"), (7, "MSH-7"), (10, "MSH-10"), (11, "MSH-11"), (12, "MSH-12"))
# An act on two identities, and where the second one stands.
_SECOND = {IdentityAct.LINK: "PID[2]", IdentityAct.UNLINK: "PID[2]"}
_TAKES_OVER = frozenset({IdentityAct.MERGE, IdentityAct.CHANGE_NUMBER, IdentityAct.MOVE_ACCOUNT})


@dataclass(frozen=True, repr=False)
class AdtTranslation(Confidential):
    """A message as FHIR, and what became of its values."""

    bundle: dict[str, object]
    account: Account
    findings: tuple[Finding, ...]
    mapping_revision: str
    event: str

    @property
    def unread(self) -> tuple[UnreadNode, ...]:
        """What of the message nobody took."""
        return self.account.unread


def is_adt(content: bytes) -> bool:
    """True for an ADT message, told from its first line; False for what cannot be read."""
    start = content[:LONGEST_MSH]
    return b"ADT" in start and read_control(start).event.startswith("ADT")


def inspect_adt(arrival: Arrival) -> Inspection:
    """What is known at once of an ADT message. Pure."""
    try:
        message = read_message(arrival.content)
    except InputError as error:
        finding = Finding(_ERROR, error.code, error.message, error.where, error.remedy, hl7_code="100")
        digest = hashlib.sha256(arrival.content).hexdigest()
        return Inspection(ContentKind.HL7V2, Verdict.REFUSED, read_control(arrival.content), digest, (finding,))
    findings, authorities = message.findings, tuple[str, ...]()
    if too_big := check_size(message):
        findings += too_big
    else:
        said, authorities = _check(message, arrival)
        findings += said
    verdict = Verdict.REFUSED if errors_of(findings) else Verdict.ACCEPTED
    control = control_of(message)
    return Inspection(ContentKind.HL7V2, verdict, control, fingerprint(message), findings, ins_authorities=authorities)


def envelope_adt(arrival: Arrival, receipt_id: str) -> tuple[Submission, ...]:
    """An ADT message sends nothing."""
    del arrival, receipt_id
    return ()


def understand_adt(arrival: Arrival, receipt_id: str) -> tuple[Effect, ...]:
    """The words on a patient's identity, or why there are none. Raises InputError when the message cannot be taken."""
    del receipt_id
    message = read_message(arrival.content)
    cut, event, findings = _opened(message)
    if event is None or errors_of(findings):
        refused = errors_of(findings)[0]
        raise InputError(refused.code, refused.text, where=refused.location)
    if event.act is None:
        return (Ignored(f"adt-{event.code} {event.reason}"),)
    return tuple(_updates(read_adt(cut, event, arrival.received_at, arrival.zone)))


def translate_adt(arrival: Arrival) -> AdtTranslation:
    """The message as a FHIR collection, with the account of its values. Raises InputError when it cannot be taken."""
    message = read_message(arrival.content)
    cut, event, findings = _opened(message)
    refused = errors_of(findings)
    if event is None or refused:
        raise InputError(refused[0].code, refused[0].text, where=refused[0].location)
    reading = read_adt(cut, event, arrival.received_at, arrival.zone)
    if not reading.patients:
        raise InputError("adt.no-patient", f"This event is about no patient: {event.reason or event.label}.", where="PID")
    bundle, account = bundle_of(cut, reading, arrival.zone, event.label)
    said = (*message.findings, *findings, *reading.findings)
    return AdtTranslation(bundle, account, said, adt_rules().revision, event.code)


# -- what a door says ---------------------------------------------------------------------------------------------------------


def _opened(message: Message) -> tuple[AdtMessage, AdtEvent | None, tuple[Finding, ...]]:
    """The message cut, its event, and what is wrong with its parts."""
    cut = AdtMessage(message)
    event = adt_events().get(message.value("MSH", 9, 2).strip())
    if event is None:
        text = "This event is not one of those that PAM-FR defines and we understand."
        return cut, None, (_finding(_ERROR, "hl7.unknown-event", text, "MSH-9.2", "201"),)
    if event.act is None:
        return cut, event, ()
    return cut, event, (*_segments(cut, event), *_numbers(cut, event))


def _check(message: Message, arrival: Arrival) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """All findings, and the authorities of the matricules named: an instance may refuse test ones."""
    cut, event, said = _opened(message)
    findings = (*_header(message), *said)
    if event is None or event.act is None or errors_of(findings):
        return findings, ()
    reading = read_adt(cut, event, arrival.received_at, arrival.zone)
    named = [cx for patient in reading.patients for cx in patient.numbers if cx.is_ins]
    for cx in named:
        if not ins_is_valid(cx.number.value):
            text = "The INS of PID-3 has not the right form or check key: it is kept as it came, and never used."
            findings += (Finding(_WARNING, "ins.wrong-key", text, "PID-3", hl7_code="207", app_code="906"),)
    if not reading.recorded_at:
        text = "EVN-2 is no instant: the message is placed by ZBE-2 or MSH-7."
        findings += (_finding(_WARNING, "adt.no-instant", text, "EVN-2", "101"),)
    return findings + reading.findings, tuple(sorted({cx.oid for cx in named}))


def _header(message: Message) -> Iterable[Finding]:
    msh, data = message.header, adt_rules().data
    for number, place in _REQUIRED:
        if not msh.value(number).strip():
            yield _finding(_ERROR, "hl7.required-field", f"{place} is required.", place, "101")
    version = msh.value(12).strip()
    if version and version not in data["versions"]:
        known = version in data["other_versions"]
        text = "Version 2.5 is expected for this message."
        yield _finding(_WARNING if known else _ERROR, "hl7.version", text, "MSH-12", "203")
    if len(msh.value(10).strip()) > LONGEST_CONTROL:
        yield _finding(_ERROR, "hl7.control-id-too-long", "MSH-10 is too long.", "MSH-10", "102")
    processing = msh.value(11).strip()
    if processing and processing not in _PROCESSING:
        yield _finding(_ERROR, "hl7.processing-id", "MSH-11 must be P, T or D.", "MSH-11", "202")
    if not msh.value(21, 2).strip().startswith(data["profiles"]):
        yield _finding(_WARNING, "hl7.unknown-profile", "MSH-21 does not name PAM-FR: it is read as such.", "MSH-21", "103")


def _segments(cut: AdtMessage, event: AdtEvent) -> Iterable[Finding]:
    """Segments without which the event says nothing (100)."""
    for name in ("EVN", "PID", *event.needs):
        if not cut.has(name):
            yield _finding(_ERROR, "hl7.segment-missing", f"The segment {name} is required.", name, "100")
    if event.act in _SECOND and len(cut.all("PID")) != 2:
        yield _finding(_ERROR, "hl7.segment-missing", "This event is about two patients.", "PID", "100")
    if event.act in _TAKES_OVER and cut.has("MRG") and len(cut.all("PID")) != len(cut.all("MRG")):
        yield _finding(_ERROR, "hl7.segment-missing", "Each PID of this event has its MRG.", "MRG", "100")
    if event.act in (IdentityAct.UPDATE, IdentityAct.CHANGE_NUMBER) and len(cut.all("PID")) > 1:
        yield _finding(_ERROR, "hl7.segment-repeated", "This event is about one patient.", "PID", "198")


def _numbers(cut: AdtMessage, event: AdtEvent) -> Iterable[Finding]:
    """Whom the event is about: a number in each PID-3 and MRG-1 (101)."""
    for pid in cut.all("PID"):
        if not any(pid.look(3, 1, r) for r in range(1, pid.count(3) + 1)):
            yield _finding(_ERROR, "hl7.required-field", "PID-3 is required.", "PID-3", "101")
        elif not any(pid.look(3, 5, r) in ("PI", "INS") or pid.look(3, 4, r, 2) for r in range(1, pid.count(3) + 1)):
            text = "PID-3 holds neither a patient number (PI) nor an INS."
            yield _finding(_ERROR, "hl7.required-field", text, "PID-3.5", "101")
        if not pid.says(5):
            yield _finding(_WARNING, "hl7.required-field", "PID-5 is required.", "PID-5", "101")
    for mrg in cut.all("MRG"):
        if not mrg.look(1):
            yield _finding(_ERROR, "hl7.required-field", "MRG-1 is required.", "MRG-1", "101")
        elif event.act is IdentityAct.MOVE_ACCOUNT and not mrg.look(3):
            yield _finding(_ERROR, "hl7.required-field", "MRG-3 is required by this event.", "MRG-3", "101")


def _finding(severity: Severity, code: str, text: str, place: str, hl7_code: str) -> Finding:
    return Finding(severity, code, text, place, hl7_code=hl7_code)


# -- what the index is told ---------------------------------------------------------------------------------------------------


def _updates(reading: AdtReading) -> Iterable[IdentityUpdate]:
    act = reading.event.act
    if act in _SECOND:
        one, other = reading.patients
        yield _update(reading, one, others=other.keys)
        yield _update(reading, other, others=one.keys)
    elif act in _TAKES_OVER:
        for patient, former in zip(reading.patients, reading.formers, strict=True):
            yield _update(reading, patient, others=former.keys, former=former)
    else:
        yield _update(reading, reading.patients[0])


def _update(
    reading: AdtReading, patient: AdtPatient, others: tuple[LocalIdentifier, ...] = (), former: Former | None = None
) -> IdentityUpdate:
    facts, said = all_facts(patient, reading)
    accounts = tuple(cx.number for cx in former.accounts) if former else ()
    act = reading.event.act or IdentityAct.UPDATE
    return IdentityUpdate(
        act=act,
        event=f"ADT^{reading.event.code}",
        told_at=reading.told_at,
        stamp=reading.stamp,
        numbers=patient.keys,
        facts=facts,
        said=said,
        others=others,
        accounts=accounts,
        revives=reading.event.revives,
    )
