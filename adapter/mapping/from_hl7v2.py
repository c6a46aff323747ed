"""Understands MDM and ORU messages of the CI-SIS volet: what to answer at once, the envelope, and one translation a document.

Sources: CI-SIS volet 2.1 and its tables (`mappings/hl7v2`); blueprint seams 1, 2, 3, 13, 14. The document itself is understood by
`from_cda`; the message adds who sends it, to whom, with which visibility, and how far the identity can be trusted.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from adapter.errors import InputError
from adapter.fhir.account import with_message_left
from adapter.fhir.identity import local_identifier, patient_resource
from adapter.formats.hl7v2 import STANDARD, Message, Segment, read_message
from adapter.formats.pdf import MEDIA_TYPE as PDF
from adapter.formats.pdf import inspect_pdf
from adapter.mapping import from_cda
from adapter.mapping.account import Account, ignored_patterns
from adapter.mapping.engine import Extraction, extract
from adapter.mapping.from_pdf import pdf_places, pdf_revision, translate_pdf
from adapter.mapping.hl7.checks import (
    LONGEST_CONTROL,
    check_cardinality,
    check_decision,
    check_document_types,
    check_flags,
    check_header,
    check_order,
    check_recipients,
    check_required,
    check_size,
    check_unique_ids,
    choose_profile,
    find_action,
    tell_decisions,
)
from adapter.mapping.hl7.documents import (
    CarriedDocument,
    HeaderOfPdf,
    document_bytes,
    document_segments,
    is_pdf_document,
    open_documents,
    pdf_warning,
)
from adapter.mapping.hl7.envelope import Envelope, read_envelope
from adapter.mapping.hl7.identity import PidIdentity, check_ins_key, check_same_patient, enriched, pid_identity
from adapter.mapping.hl7.lineage import (
    check_document_record,
    check_lineage,
    check_requester,
    check_visibility_change,
    is_oid,
    parent_in_message,
)
from adapter.mapping.hl7.pdf import pdf_header
from adapter.mapping.hl7.profile import Profile, default_policy
from adapter.mapping.hl7.source import Hl7Source
from adapter.model.confidential import Confidential
from adapter.model.document import BodyKind, DocumentHeader, Stay
from adapter.model.effects import IgnoredPattern, Translation
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.identity import LocalIdentifier, PatientIdentity
from adapter.model.patient import SamePerson
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.submission import Intent, Submission

Resource = dict[str, Any]
_MOST_FINDINGS = 200
# An MSH is a few hundred bytes; reading no further keeps `read_control` free of the message's size.
LONGEST_MSH = 8192
# Which field tells a PDF's document what a CDA's header would.
_PDF_PLACES = {
    "patient.birth_name": "PID-5",
    "patient.birth_date": "PID-7",
    "patient.sex": "PID-8",
    "patient.ins": "PID-3",
    "document.type": "OBX-3",
    "document.title": "OBX-3.2",
    "document.date": "TXA-4",
    "document.id": "TXA-12",
    "author.family": "PRT SB",
    "author.organisation": "PRT SB",
    "author.rpps": "PRT-5",
    "author.finess": "PRT-8",
}


@dataclass(frozen=True, repr=False)
class _Reading(Confidential):
    """A message read by its profile."""

    source: Hl7Source
    profile: Profile
    extraction: Extraction
    envelope: Envelope
    pid: PidIdentity
    intent: Intent
    findings: tuple[Finding, ...]


def inspect_hl7v2(arrival: Arrival, *, same_person: SamePerson | None = None) -> Inspection:
    """What the norm wants known at once, by the decision profile of the door.

    Pure but for `same_person`, asked when PID and the document name the patient by numbers that differ.
    """
    try:
        message = read_message(arrival.content)
    except InputError as error:
        return _unreadable(arrival, error)
    policy = arrival.decision_policy or default_policy()
    found, envelope = _check(message, arrival, policy, same_person)
    findings = message.findings + found
    verdict = Verdict.REFUSED if errors_of(findings) else Verdict.ACCEPTED
    told = envelope if verdict is Verdict.ACCEPTED else None
    return Inspection(ContentKind.HL7V2, verdict, control_of(message), fingerprint(message), _bounded(findings), envelope=told)


def envelope_hl7v2(arrival: Arrival, receipt_id: str) -> tuple[Submission, ...]:
    """The envelope of each document, without translating it. Raises InputError when the message cannot be taken."""
    reading = _read(arrival)
    return _submissions(arrival, receipt_id, reading, _documents(reading, arrival.zone))


def _submissions(
    arrival: Arrival, receipt_id: str, reading: _Reading, documents: tuple[CarriedDocument, ...]
) -> tuple[Submission, ...]:
    return tuple(_submission(arrival, receipt_id, reading, document.header) for document in documents)


def understand_hl7v2(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    """One translation a document: 1, or 2 in an ORU (N1 and N3). Raises InputError when the message cannot be taken."""
    reading = _read(arrival)
    documents = _carried(reading)
    reading.source.ignore_all(reading.profile.ignored)
    return tuple(_translation(arrival, receipt_id, reading, segment, content) for segment, content in documents)


def _unreadable(arrival: Arrival, error: InputError) -> Inspection:
    """A message that cannot be cut is refused with what its first line tells."""
    code = "198" if error.code == "hl7.too-many-parts" else "100"
    finding = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy, hl7_code=code)
    digest = hashlib.sha256(arrival.content).hexdigest()
    return Inspection(ContentKind.HL7V2, Verdict.REFUSED, read_control(arrival.content), digest, (finding,))


def read_control(content: bytes) -> MessageControl:
    """What MSH says, read from the first bytes of a message that may be incomplete or too long; empty when there is no MSH."""
    lines = content[:LONGEST_MSH].lstrip(b"\x0b\xef\xbb\xbf \t\r\n").splitlines()
    try:
        return control_of(read_message(lines[0] if lines else b""))
    except InputError:
        return MessageControl()


def control_of(message: Message) -> MessageControl:
    """MSH as a value. Application and facility are in standard ER7 form, whatever the message's own separators."""
    msh = message.header
    return MessageControl(
        application=_standard(msh, 3),
        facility=_standard(msh, 4),
        to_application=_standard(msh, 5),
        to_facility=_standard(msh, 6),
        event=_standard(msh, 9),
        control_id=msh.value(10).strip()[:LONGEST_CONTROL],
        version=msh.value(12).strip()[:LONGEST_CONTROL],
        processing=msh.value(11).strip()[:LONGEST_CONTROL],
        charset=message.charset[:LONGEST_CONTROL],
        sent_at=msh.value(7).strip()[:LONGEST_CONTROL],
        accept_ack=msh.value(15).strip().upper()[:2],
        application_ack=msh.value(16).strip().upper()[:2],
    )


def fingerprint(message: Message) -> str:
    """SHA-256 of the message without MSH-7, which a resend may change."""
    start, end = message.header.field_span(7)
    digest = hashlib.sha256(message.lines[0][:start])
    digest.update(message.lines[0][end:])
    for line in message.lines[1:]:
        digest.update(line)
    return digest.hexdigest()


def _bounded(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Errors first when there are too many: a hostile message makes no endless report."""
    if len(findings) <= _MOST_FINDINGS:
        return findings
    return tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR))[:_MOST_FINDINGS]


def _standard(segment: Segment, field: int) -> str:
    """A field with the usual separators, its escapes kept: samples exist whose repetition sign is U+02DC."""
    text, own = segment.text(field), segment.message.separators
    table = {own.component: STANDARD.component, own.subcomponent: STANDARD.subcomponent, own.escape: STANDARD.escape}
    return "".join(table.get(sign, sign) for sign in text.split(own.repetition)[0]).strip()[:LONGEST_CONTROL]


_TellEnvelope = Callable[[str], tuple[Submission, ...]]


def _check(
    message: Message, arrival: Arrival, policy: str, same_person: SamePerson | None
) -> tuple[tuple[Finding, ...], _TellEnvelope | None]:
    """All that is said of a message, and its envelope under a receipt's id: a door reads neither message nor document twice."""
    zone = arrival.zone
    if too_big := check_size(message):
        return too_big, None
    profile, findings = choose_profile(message)
    if profile is None or errors_of(findings):
        return findings, None
    reading = _reading(message, profile)
    documents, said = open_documents(message, zone, _header_of_pdf(reading, zone))
    findings += check_header(message, profile)
    findings += check_order(message, profile)
    findings += check_required(reading.source, profile)
    findings += check_cardinality(message, profile)
    findings += check_flags(reading.source, profile)
    findings += reading.findings
    findings += check_decision(reading.source, profile, reading.envelope.flags, policy)
    findings += tell_decisions(reading.envelope.flags)
    findings += check_recipients(reading.envelope.flags, reading.envelope.recipients)
    findings += check_ins_key(reading.pid) + said
    findings += check_unique_ids(document.header.unique_id for document in documents)
    findings += check_document_types(message, (document.segment for document in documents))
    findings += check_visibility_change(reading.intent, reading.envelope.visibility.changes_confidentiality)
    for document in documents:
        place = f"{document.segment.place}-5"
        known = partial(same_person, arrival.principal.legal_entity) if same_person else None
        findings += check_same_patient(reading.pid, document.header, reading.envelope.destinations, place, known)
        findings += _lineage_findings(reading, document)
    return findings, lambda receipt_id: _submissions(arrival, receipt_id, reading, documents)


def _lineage_findings(reading: _Reading, document: CarriedDocument) -> tuple[Finding, ...]:
    """What is said of the document's own number, of the version it replaces, and of who asks."""
    header, found = document.header, reading.extraction
    place = f"{document.segment.place}-5"
    return (
        *check_document_record(found, header),
        *check_lineage(reading.profile, found, reading.intent, header, place),
        *check_requester(reading.intent, reading.envelope.sender, header),
    )


def _read(arrival: Arrival) -> _Reading:
    message = read_message(arrival.content)
    profile, findings = choose_profile(message)
    refused = check_size(message) or errors_of(findings)
    if profile is None or refused:
        raise InputError(refused[0].code, refused[0].text, where=refused[0].location)
    reading = _reading(message, profile)
    if refusals := errors_of(reading.findings):
        raise InputError(refusals[0].code, refusals[0].text, where=refusals[0].location)
    return replace(reading, findings=message.findings + findings + reading.findings)


def _reading(message: Message, profile: Profile) -> _Reading:
    source = Hl7Source(message)
    extraction = Extraction({}, ())
    for rules in (profile.shared, profile.own):  # groups only: what is ignored matters to a translation, not to a door
        found = extract(rules, source, only=tuple(rules.groups) or ("",))
        extraction = Extraction({**extraction.groups, **found.groups}, extraction.findings + found.findings)
    envelope = read_envelope(source, extraction)
    action, said = find_action(message, profile)
    intent = action.intent if action else Intent.NEW
    _give_back_record(source, intent)
    return _Reading(source, profile, extraction, envelope, pid_identity(extraction), intent, envelope.findings + said)


def _give_back_record(source: Hl7Source, intent: Intent) -> None:
    """TXA-13 serves replacements only, and a component 3 that is no OID serves nothing."""
    record = source.message.first("TXA")
    if record is None:
        return
    for field in (12, 13):
        if not is_oid(record.value(field, 3).strip()):
            source.give_back(record, field, 3)
    if intent is not Intent.REPLACE:
        source.give_back(record, 13)
        source.give_back(record, 13, 3)


def _header_of_pdf(reading: _Reading, zone: str) -> HeaderOfPdf:
    """What the message gives a PDF in place of a header, once the file is proved to be one. Raises InputError `pdf.*` too."""

    def header(segment: Segment, content: bytes) -> DocumentHeader:
        inspect_pdf(content)
        return _pdf_header(reading, zone, segment, content)

    return header


def _pdf_header(reading: _Reading, zone: str, segment: Segment, content: bytes) -> DocumentHeader:
    patient = reading.extraction.one("patient")
    return pdf_header(segment, content, patient, reading.pid, reading.envelope.sender, zone)


def _documents(reading: _Reading, zone: str) -> tuple[CarriedDocument, ...]:
    documents, findings = open_documents(reading.source.message, zone, _header_of_pdf(reading, zone))
    if refusals := errors_of(findings):
        first = refusals[0]
        raise InputError(first.code, first.text, where=first.location, remedy=first.remedy)
    if not documents:
        raise InputError("hl7.no-document", "No OBX holds a document.", where="OBX-5")
    for document in documents:
        reading.source.mark_payload(document.segment)
    return documents


def _carried(reading: _Reading) -> list[tuple[Segment, bytes]]:
    """The bytes of each document: whoever translates it reads its header anyway."""
    segments = document_segments(reading.source.message)
    if not segments:
        raise InputError("hl7.no-document", "No OBX holds a document.", where="OBX-5")
    for segment in segments:
        reading.source.mark_payload(segment)
    return [(segment, document_bytes(segment)[0]) for segment in segments]


def _submission(arrival: Arrival, receipt_id: str, reading: _Reading, header: DocumentHeader) -> Submission:
    envelope = reading.envelope
    kind = "pdf" if header.body is BodyKind.PDF else "cda"
    return Submission(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:traitdunion:submission:{receipt_id}:{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=_document(reading, header),
        intent=reading.intent,
        recipients=envelope.recipients,
        sender=envelope.sender,
        reply_to_address=envelope.reply_to_address,
        visibility=envelope.visibility,
        destinations=envelope.destinations,
        acks=envelope.acks,
        bodies=envelope.bodies,
        encounter_class=envelope.encounter_class,
        unit_codes=envelope.unit_codes,
        control_id=reading.source.message.header.value(10).strip()[:LONGEST_CONTROL],
        content_kind=kind,
    )


def _document(reading: _Reading, header: DocumentHeader) -> DocumentHeader:
    """The document's own header; PID adds the identity's reliability and local numbers, PV1-19 the visit's number, TXA-13 what a
    replacement replaces where the document forgot it.
    """
    patient = enriched(header.patient, reading.pid)
    if reading.intent is Intent.REPLACE and not header.replaces:
        header = replace(header, replaces=parent_in_message(reading.extraction))
    stay, visit = header.stay or Stay(), reading.envelope.visit_number
    if not visit[1] or visit[1] in {number for _, number in stay.identifiers}:
        return replace(header, patient=patient)
    return replace(header, patient=patient, stay=replace(stay, identifiers=(*stay.identifiers, visit)))


def _pdf_translation(arrival: Arrival, receipt_id: str, reading: _Reading, segment: Segment, content: bytes) -> Translation:
    """A PDF that the message describes: its document holds the file as it came."""
    facts = inspect_pdf(content)
    submission = _submission(arrival, receipt_id, reading, _pdf_header(reading, arrival.zone, segment, content))
    revision = f"{reading.profile.revision}+{pdf_revision()}"
    made = translate_pdf(submission.document, content, facts, arrival.zone, revision)
    message = reading.source.account()
    account = message + made.account
    return Translation(
        submission=submission,
        bundle=with_message_left(made.bundle, message.unread),
        source_document=content,
        source_media_type=PDF,
        unread=account.unread,
        findings=(*reading.findings, pdf_warning(segment), *made.findings),
        mapping_revision=revision,
        read_count=account.read_count,
        ignored=_ignored(reading, message) + made.ignored,
        legal=made.legal,
        source_map=pdf_places(made.bundle, _PDF_PLACES),
    )


def _ignored(reading: _Reading, message: Account) -> tuple[IgnoredPattern, ...]:
    """What the profile leaves aside of a message, with why."""
    return ignored_patterns(reading.profile.ignored, message.ignored)


def _translation(arrival: Arrival, receipt_id: str, reading: _Reading, segment: Segment, content: bytes) -> Translation:
    if is_pdf_document(content):
        return _pdf_translation(arrival, receipt_id, reading, segment, content)
    translated = from_cda.translate_cda(content, arrival.zone)
    document = CarriedDocument(segment, content, translated.header)
    submission = _submission(arrival, receipt_id, reading, translated.header)
    bundle = _with_message_identity(translated.bundle, translated.header, submission.document)
    lineage = _lineage_findings(reading, document)
    if any(finding.code == "hl7.other-document-id" for finding in lineage):
        reading.source.give_back(reading.source.message.segments("TXA")[0], 12)
    findings = reading.findings + lineage + translated.findings
    message = reading.source.account()
    return Translation(
        submission=submission,
        bundle=with_message_left(bundle, message.unread),
        source_document=document.content,
        source_media_type="text/xml",
        unread=message.unread + translated.unread,
        findings=findings,
        mapping_revision=f"{reading.profile.revision}+{from_cda.mapping_revision()}",
        read_count=message.read_count + translated.read_count,
        ignored=_ignored(reading, message) + translated.ignored,
        legal=translated.legal,
        source_map=_map_through_message(translated.source_map, bundle),
    )


def _map_through_message(places: Mapping[str, str], bundle: Mapping[str, Any]) -> dict[str, str]:
    """Where a resource comes from, through the message: the identity is PID's, all else stands in the document of OBX-5."""
    patients = {e["resource"]["id"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"}
    return {made: "PID" if made in patients else f"OBX-5 > {place}" for made, place in places.items()}


def _with_message_identity(bundle: dict[str, object], before: DocumentHeader, after: DocumentHeader) -> dict[str, object]:
    """The bundle with the Patient that PID qualifies and the Encounter that PV1-19 numbers; nothing else is touched."""
    entries: Any = bundle.get("entry")
    if not isinstance(entries, list):
        return bundle
    numbered = _visit_of(before, after)
    changed = []
    for entry in entries:
        resource = entry.get("resource", {})
        match resource.get("resourceType"):
            case "Patient":
                entry = {**entry, "resource": _patient(resource, before.patient, after.patient)}
            case "Encounter" if numbered:
                entry = {**entry, "resource": {**resource, "identifier": [*resource.get("identifier", ()), numbered]}}
        changed.append(entry)
    return {**bundle, "entry": changed}


def _patient(resource: Resource, before: PatientIdentity, after: PatientIdentity) -> Resource:
    """The Patient of the whole identity; what `from_cda` added beside the identity (contacts…) stays."""
    if before == after:
        return resource
    fresh, plain = patient_resource(after, id=resource["id"]), patient_resource(before, id=resource["id"])
    for key, value in resource.items():
        if key not in plain:
            fresh[key] = value
        elif isinstance(value, list):
            known = [*plain[key], *fresh.get(key, ())]
            fresh[key] = [*fresh.get(key, ()), *(item for item in value if item not in known)]
    return fresh


def _visit_of(before: DocumentHeader, after: DocumentHeader) -> Resource | None:
    known = before.stay.identifiers if before.stay is not None else ()
    added = after.stay.identifiers[len(known) :] if after.stay is not None else ()
    if not added:
        return None
    authority, number = added[0]
    return local_identifier(LocalIdentifier(number, authority, "VN"))
