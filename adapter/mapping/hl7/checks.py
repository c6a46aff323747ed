"""Checks a message against the volet, all at once, before it is acknowledged: findings only, never an exception.

Source: CI-SIS volet 2.1 §3 (structures), §6 (codes of table 0357 and 0533); `specs/hl7v2-pfi`. Data: `mappings/hl7v2`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from adapter.formats.hl7v2 import Message, Segment
from adapter.mapping.hl7.documents import BODY_CODES, document_segments, is_document
from adapter.mapping.hl7.profile import (
    Action,
    Profile,
    actions_of,
    decisions,
    dialect_of,
    kinds_taken,
    older_says_nothing,
    policies,
    profile_of,
)
from adapter.mapping.hl7.source import Hl7Source
from adapter.mapping.terminology import load_table
from adapter.model.finding import Finding, Severity
from adapter.model.parties import Recipient, RecipientKind

# The finding that says what every decision profile thinks; doors log it.
DECISIONS = "hl7.decisions"
# Table 0155: when an answer is wanted.
_ACK_CONDITIONS = frozenset({"", "AL", "NE", "ER", "SU"})
_PROCESSING = frozenset({"P", "T", "D"})
_PARTICIPATIONS = frozenset({"SB", "RCT", "REPLY"})
_AFTER_FIRST_OBX = frozenset({"OBX", "PRT", "NTE"})
# Real messages have some thirty segments; payloads hold no separator.
_MOST_SEGMENTS, _MOST_REPETITIONS, _MOST_PARTS = 2_000, 2_000, 100_000
# MSH values are written back in the answer: 250 signs hold the longest that the norm allows (HD 227, ST 199).
LONGEST_CONTROL = 250
_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


def check_size(message: Message) -> tuple[Finding, ...]:
    """A message of more parts than any real one is not looked into (198): the door must answer everybody soon."""
    if len(message.lines) <= _MOST_SEGMENTS:
        field, repetition, component, subcomponent = message.separators.as_bytes
        repetitions = _count(message, repetition)
        size = sum(map(len, message.lines))  # a message has no more parts than bytes
        if repetitions <= _MOST_REPETITIONS and (size <= _MOST_PARTS or _has_few_parts(message, field, component, subcomponent)):
            return ()
    text = "The message has more segments, fields or repetitions than any real one."
    return (_finding(_ERROR, "hl7.too-many-parts", text, "MSH", "198"),)


def _has_few_parts(message: Message, *signs: bytes) -> bool:
    """True for no more parts than real messages have."""
    return sum(_count(message, sign) for sign in signs) <= _MOST_PARTS


def _count(message: Message, sign: bytes) -> int:
    return sum([segment.count(sign) for segment in message.segments()])


def choose_profile(message: Message) -> tuple[Profile | None, tuple[Finding, ...]]:
    """The profile of the message's event, or why there is none: unknown type (200), unknown event (201)."""
    kind, event = message.value("MSH", 9, 1).strip(), message.value("MSH", 9, 2).strip()
    if not kind:
        return None, (_finding(_ERROR, "hl7.required-field", "MSH-9 is required.", "MSH-9", "101"),)
    if kind not in kinds_taken():
        return None, (_finding(_ERROR, "hl7.unknown-type", "This message type is not taken here.", "MSH-9.1", "200"),)
    known = actions_of(f"{kind}^{event}")
    if not known:
        return None, (_finding(_ERROR, "hl7.unknown-event", "This event is not taken here.", "MSH-9.2", "201"),)
    dialect = dialect_of(message)
    profile = profile_of(known[0].rules, dialect in ("older", "missing"))
    return profile, _check_dialect(dialect)


def _check_dialect(dialect: str) -> tuple[Finding, ...]:
    match dialect:
        case "current":
            return ()
        case "other-way":
            text = "This profile is what a platform sends to software, not what it takes."
            return (_finding(_ERROR, "hl7.other-way", text, "MSH-21", "199"),)
        case "older":
            text = "The message follows an older profile: what it lacks is taken as not asked."
            return (_finding(_WARNING, "hl7.older-profile", text, "MSH-21", "199"),)
        case _:
            text = "MSH-21 names no profile known here: the current one is taken."
            return (_finding(_WARNING, "hl7.unknown-profile", text, "MSH-21", "103"),)


def check_header(message: Message, profile: Profile) -> tuple[Finding, ...]:
    """MSH: version (203), structure (200), processing id (202). Whether this instance takes tests is not decided here."""
    findings: list[Finding] = []
    version = message.value("MSH", 12).strip()
    if version and version != profile.version:
        text = f"Version {profile.version} is expected for this message."
        findings.append(_finding(_ERROR, "hl7.version", text, "MSH-12", "203"))
    structure = message.value("MSH", 9, 3).strip()
    if structure and structure != profile.message_structure:
        text = f"The structure {profile.message_structure} is expected for this event."
        findings.append(_finding(_WARNING, "hl7.structure-name", text, "MSH-9.3", "200"))
    if len(message.value("MSH", 10).strip()) > LONGEST_CONTROL:
        findings.append(_finding(_ERROR, "hl7.control-id-too-long", "MSH-10 is too long.", "MSH-10", "102"))
    processing = message.value("MSH", 11).strip()
    if processing and processing not in _PROCESSING:
        findings.append(_finding(_ERROR, "hl7.processing-id", "MSH-11 must be P, T or D.", "MSH-11", "202"))
    for field in (15, 16):
        if message.value("MSH", field).strip().upper() not in _ACK_CONDITIONS:
            text = "When to answer must be AL, NE, ER or SU: the answer is given."
            findings.append(_finding(_WARNING, "hl7.ack-condition", text, f"MSH-{field}", "103"))
    return tuple(findings)


def check_order(message: Message, profile: Profile) -> tuple[Finding, ...]:
    """Segments: missing (100), out of order (100), repeated (198). Z segments may be anywhere; the unknown is told."""
    findings: list[Finding] = []
    present = {segment.name for segment in message.segments()}
    for slot in profile.slots:
        if slot.required and slot.name not in present:
            told = _WARNING if profile.is_older and slot.name in profile.missing_in_older else _ERROR
            findings.append(_finding(told, "hl7.segment-missing", f"The segment {slot.name} is required.", slot.name, "100"))
    place, in_tail = 0, False
    for segment in message.segments():
        in_tail = in_tail or segment.name == "OBX"
        allowed = in_tail and segment.name in _AFTER_FIRST_OBX
        if allowed or segment.name.startswith("Z"):
            continue
        at = -1 if in_tail else _slot_from(profile, segment.name, place)
        if at < 0:
            findings.append(_misplaced(segment, profile, place, in_tail))
        else:
            place = at if profile.slots[at].repeats else at + 1
    return tuple(findings)


def _slot_from(profile: Profile, name: str, place: int) -> int:
    return next((at for at in range(place, len(profile.slots)) if profile.slots[at].name == name), -1)


def _misplaced(segment: Segment, profile: Profile, place: int, in_tail: bool) -> Finding:
    if not segment.name:
        return _finding(_ERROR, "hl7.not-a-segment", "This line is no segment.", segment.place, "100")
    known = _slot_from(profile, segment.name, 0) >= 0
    if known and not in_tail and place and profile.slots[place - 1].name == segment.name:
        return _finding(_ERROR, "hl7.segment-repeated", "This segment may occur once only.", segment.place, "198")
    if known or segment.name in _AFTER_FIRST_OBX:
        return _finding(_ERROR, "hl7.segment-order", "This segment is not in its place.", segment.place, "100")
    return _finding(_WARNING, "hl7.unexpected-segment", "The volet does not foresee this segment.", segment.place, "100")


def check_required(source: Hl7Source, profile: Profile) -> tuple[Finding, ...]:
    """Required fields (101). A segment that is missing altogether is told once, by `check_order`."""
    findings: list[Finding] = []
    present = {segment.name for segment in source.message.segments()}
    for required in profile.required:
        name, _, number = required.at.partition("-")
        if number and name not in present:
            continue
        if number and _holds_value(source.message.first(name), int(number)):
            continue
        if not number and name in present:
            continue
        text = f"{required.at} is required."
        findings.append(_finding(required.severity, "hl7.required-field", text, required.at, "101"))
    visit_class = source.message.value("PV1", 2).strip().upper()
    if visit_class in profile.visit_number_classes and not source.message.value("PV1", 19).strip():
        text = "A visit number is required for this class of encounter."
        findings.append(_finding(_WARNING, "hl7.required-field", text, "PV1-19", "101"))
    return tuple(findings)


def _holds_value(segment: Segment | None, field: int) -> bool:
    return segment is not None and segment.field(field).strip() not in (b"", b'""')


def check_cardinality(message: Message, profile: Profile) -> tuple[Finding, ...]:
    """Documents, participations (198, 103)."""
    findings: list[Finding] = []
    documents = document_segments(message)
    if not documents:
        findings.append(_finding(_ERROR, "hl7.no-document", "No OBX of type ED holds a document.", "OBX", "198"))
    for extra in documents[profile.most_documents :]:
        text = f"At most {profile.most_documents} document(s) may travel in this message."
        findings.append(_finding(_ERROR, "hl7.too-many-documents", text, extra.place, "198"))
    participations = message.segments("PRT")
    if not participations:
        findings.append(_finding(_ERROR, "hl7.no-participation", "At least one PRT is required.", "PRT", "198"))
    for participation in participations:
        if sum(bool(participation.value(15, 4, turn).strip()) for turn in range(1, participation.repetitions(15) + 1)) > 1:
            text = "A participation is one recipient: of several addresses the first is used."
            findings.append(_finding(_WARNING, "hl7.several-addresses", text, f"{participation.place}-15", "198"))
        if participation.value(4).strip() not in _PARTICIPATIONS:
            text = "This participation is neither SB, nor RCT, nor REPLY."
            findings.append(_finding(_WARNING, "hl7.unknown-participation", text, f"{participation.place}-4", "103"))
    return tuple(findings)


def check_flags(source: Hl7Source, profile: Profile) -> tuple[Finding, ...]:
    """The ten MetaDMPMSS rows: each once (198), Y or N (103). An OBX that is none of them is told, since nothing reads it."""
    findings: list[Finding] = []
    told: set[int] = set()
    for name, rule in profile.shared.groups["flags"].fields.items():
        segments = [node.segment for node in source.root.select(rule.paths[0].removesuffix("-5"))]
        told |= {segment.index for segment in segments}
        if not segments:
            severity = _WARNING if profile.is_older else _ERROR
            findings.append(_finding(severity, "hl7.flag-missing", f"The row {name} is required.", "OBX", "198"))
        for extra in segments[1:]:
            text = f"The row {name} may occur once only."
            findings.append(_finding(_ERROR, "hl7.flag-repeated", text, extra.place, "198"))
        if segments and segments[0].value(5).strip().upper() not in ("Y", "N"):
            text = f"The value of {name} must be Y or N."
            findings.append(_finding(_ERROR, "hl7.flag-value", text, f"{segments[0].place}-5", "103"))
    for segment in source.message.segments("OBX"):
        known = segment.index in told or is_document(segment) or segment.value(3).strip() in BODY_CODES
        if not known:
            text = "This observation is neither a document, nor a known flag, nor a mail body: it is not read."
            findings.append(_finding(_WARNING, "hl7.unexpected-observation", text, segment.place, "103"))
    return tuple(findings)


def find_action(message: Message, profile: Profile) -> tuple[Action | None, tuple[Finding, ...]]:
    """The one action that the event, ORC-1 and every document's OBX-11 agree on; 199 when they do not.

    Where ORC-1 says nothing (older profiles), two documents of one message must still ask for the same thing.
    """
    kind, event = message.value("MSH", 9, 1).strip(), message.value("MSH", 9, 2).strip()
    order = message.value("ORC", 1).strip()
    any_order = profile.is_older and older_says_nothing(order)
    found: Action | None = None
    findings: list[Finding] = []
    for segment in document_segments(message):
        status = segment.value(11).strip()
        rows = [a for a in actions_of(f"{kind}^{event}") if a.document == status and (any_order or a.order == order)]
        if not rows:
            text = "OBX-11, ORC-1 and the event do not ask for the same thing."
            findings.append(_finding(_ERROR, "hl7.action-incoherent", text, f"{segment.place}-11", "199"))
        elif found is not None and rows[0].intent is not found.intent:
            text = "Two documents of one message must be created, replaced or deleted together."
            findings.append(_finding(_ERROR, "hl7.action-incoherent", text, f"{segment.place}-11", "199"))
        else:
            found = rows[0]
    return found, tuple(findings)


def check_decision(source: Hl7Source, profile: Profile, flags: Mapping[str, str], policy: str) -> tuple[Finding, ...]:
    """The combination of flags, by the decision profile of the instance (207/906)."""
    values = {name: value or "N" for name, value in flags.items()}
    refused, accepted, otherwise = decisions(policy)
    findings = [
        _application(rule.code, rule.text, _place_of_flag(source, profile, rule.at)) for rule in refused if rule.holds(values)
    ]
    # A value that is neither Y nor N has its own finding: whether a row of the matrix fits cannot be told.
    if accepted and set(values.values()) <= {"Y", "N"} and not any(rule.holds(values) for rule in accepted):
        findings.append(_application(otherwise.code, otherwise.text, "OBX"))
    return tuple(findings)


def tell_decisions(flags: Mapping[str, str]) -> tuple[Finding, ...]:
    """What each decision profile says of the combination, for the log: the published matrix contradicts the official samples."""
    values = {name: value or "N" for name, value in flags.items()}
    if not set(values.values()) <= {"Y", "N"}:
        return ()
    said = " · ".join(f"{name}: {'accepts' if _accepts(name, values) else 'refuses'}" for name in policies())
    return (Finding(Severity.INFORMATION, DECISIONS, said, "OBX"),)


def _accepts(policy: str, values: Mapping[str, str]) -> bool:
    refused, accepted, _ = decisions(policy)
    return not any(rule.holds(values) for rule in refused) and (not accepted or any(rule.holds(values) for rule in accepted))


def _place_of_flag(source: Hl7Source, profile: Profile, name: str) -> str:
    path = profile.shared.groups["flags"].fields[name].paths[0].removesuffix("-5")
    found = source.root.select(path)
    return f"{found[0].segment.place}-5" if found else "OBX"


def check_recipients(flags: Mapping[str, str], recipients: Iterable[Recipient]) -> tuple[Finding, ...]:
    """DESTMSSANTEPS = Y needs somebody to send to: an address, or a number that a directory can resolve (101)."""
    if flags["DESTMSSANTEPS"] != "Y":
        return ()
    people = [r for r in recipients if r.kind not in (RecipientKind.PATIENT, RecipientKind.RECORD)]
    if any(r.address or r.rpps or r.finess or r.unit for r in people):
        return ()
    text = "A mail to professionals is asked for, but no recipient has an address or an identifier."
    return (_finding(_ERROR, "hl7.no-recipient", text, "PRT", "101"),)


def check_unique_ids(unique_ids: Iterable[str]) -> tuple[Finding, ...]:
    """Two documents of one message are two documents: each its own id (199)."""
    if all(times == 1 for times in Counter(unique_ids).values()):
        return ()
    return (_finding(_ERROR, "hl7.same-document-twice", "Two documents of this message bear the same id.", "OBX", "199"),)


def check_document_types(message: Message, documents: Iterable[Segment]) -> tuple[Finding, ...]:
    """The type that the message gives a document (OBR-4, TXA-2, OBX-3) is of JDV_J07. Another one is told, and taken: the list
    changes faster than software, and the volet names no code to refuse it with.
    """
    told = [(message.value("OBR", 4), "OBR-4"), (message.value("TXA", 2), "TXA-2")]
    told += [(segment.value(3), f"{segment.place}-3") for segment in documents]
    unknown: dict[str, str] = {}
    for code, place in told:
        if code.strip() and code.strip() not in load_table("document-types"):
            unknown.setdefault(code.strip(), place)
    text = "This document type is not in JDV_J07: recipients may not know it."
    return tuple(_finding(_WARNING, "hl7.unknown-document-type", text, place, "103") for place in unknown.values())


def _application(code: str, text: str, place: str) -> Finding:
    return Finding(_ERROR, code, text, place, hl7_code="207", app_code="906")


def _finding(severity: Severity, code: str, text: str, place: str, hl7_code: str) -> Finding:
    return Finding(severity, code, text, place, hl7_code=hl7_code)
