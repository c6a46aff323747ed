"""First half of accept: what is known of an arrival at once, and the very bytes to answer. Pure but for clock and ids.

Sources: blueprint seams 1, 2, 3, 11, 12; CI-SIS volet 2.1 §ACK.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from adapter.errors import InputError, TduError, UnavailableError
from adapter.fhir.outcome import operation_outcome
from adapter.formats.hl7v2_ack import write_ack
from adapter.ledger.records import CommittedReceipt, NewReceipt
from adapter.mapping.kinds import Envelope, Inspect, kind_of
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.identity import INS_TEST_OIDS
from adapter.model.receipt import (
    Answer,
    Arrival,
    ContentKind,
    Inspection,
    Kept,
    MessageControl,
    Receipt,
    ReceiptState,
    Verdict,
)
from adapter.model.submission import Submission
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.routing.choose import can_resolve_any
from adapter.routing.directory import Directory


@dataclass(frozen=True)
class InstanceRules:
    """What this instance is: production refuses tests; a test instance takes all and sends nothing outside its sandbox."""

    production: bool
    repeat_window: timedelta
    time_zone: str = "Europe/Paris"
    answered: frozenset[str] = frozenset()


@dataclass(frozen=True, repr=False)
class Judged(Confidential):
    """An arrival with its verdict, ready to be made durable."""

    new_receipt: NewReceipt
    inspection: Inspection

    def answer_for(self, committed: CommittedReceipt) -> Answer:
        """The answer once durable: a repeat gets the first answer's bytes, a conflict its refusal."""
        match committed.outcome:
            case Kept.STORED:
                return Answer(
                    committed.receipt_id, self.inspection.verdict, committed.answer, Kept.STORED, self.inspection.findings
                )
            case Kept.REPEAT:
                return Answer(committed.receipt_id, Verdict.ACCEPTED, committed.answer, Kept.REPEAT)
            case Kept.CONFLICT:
                return Answer(committed.receipt_id, Verdict.REFUSED, committed.answer, Kept.CONFLICT, (CONFLICT,))


CONFLICT = Finding(
    Severity.ERROR,
    "repeat.conflict",
    "This reference was already used for another content.",
    "MSH-10",
    "Send the new content under a new message control id.",
    hl7_code="199",
)

TEST_IDENTITY = Finding(
    Severity.ERROR,
    "instance.test-identity",
    "A production instance does not take test identities.",
    "PID-3",
    "Send tests to a test instance.",
    hl7_code="207",
    app_code="906",
)


class Judge:
    """Decides and writes the answer; keeps no state."""

    def __init__(
        self,
        inspectors: Mapping[ContentKind, Inspect],
        envelopes: Mapping[ContentKind, Envelope],
        directory: Callable[[], Directory],
        rules: InstanceRules,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        self._inspectors = inspectors
        self._envelopes = envelopes
        self._directory = directory
        self._rules = rules
        self._clock = clock
        self._new_id = new_id

    def judge(self, arrival: Arrival) -> Judged:
        """Inspect, check against the instance and the directory, and write both possible answers.

        Raises UnavailableError when the directory cannot be read: nothing is known of the recipients, and later it may be.
        """
        receipt_id = self._new_id()
        kind = kind_of(arrival)
        inspection = self._inspect(kind, arrival)
        submissions: tuple[Submission, ...] = ()
        if inspection.verdict is Verdict.ACCEPTED:
            inspection, submissions = self._with_envelope(inspection, arrival, receipt_id)
        return self._judged(arrival, receipt_id, inspection, submissions)

    def _inspect(self, kind: ContentKind, arrival: Arrival) -> Inspection:
        inspector = self._inspectors.get(kind)
        if inspector is None:
            return _unknown_content(arrival)
        try:
            return inspector(arrival)
        except InputError as error:
            return _refused(kind, arrival, error)

    def _with_envelope(
        self, inspection: Inspection, arrival: Arrival, receipt_id: str
    ) -> tuple[Inspection, tuple[Submission, ...]]:
        """Add what only the envelope tells: can any recipient be found, may this instance take it."""
        told = self._envelopes.get(inspection.kind)
        envelope = inspection.envelope or (partial(told, arrival) if told is not None else None)
        findings: tuple[Finding, ...] = production_findings(self._rules, inspection.control)
        if self._rules.production and not INS_TEST_OIDS.isdisjoint(inspection.ins_authorities):
            findings += (TEST_IDENTITY,)
        submissions: tuple[Submission, ...] = ()
        if envelope is not None:
            try:
                submissions = envelope(receipt_id)
            except InputError as error:
                return _refused(inspection.kind, arrival, error, inspection.control), ()
            for submission in submissions:
                findings += self._submission_findings(submission)
                findings += ack_findings(self._rules, arrival.principal.name, submission)
        verdict = Verdict.REFUSED if errors_of(findings) else inspection.verdict
        return replace(inspection, verdict=verdict, findings=inspection.findings + findings), submissions

    def _submission_findings(self, submission: Submission) -> tuple[Finding, ...]:
        today = _civil_date(self._clock(), self._rules.time_zone)
        try:
            directory = self._directory()
        except (OSError, TduError) as error:
            text = f"The directory cannot be read now ({type(error).__name__}): nothing was kept."
            raise UnavailableError("directory.unreadable", text, remedy="Send it again later.") from error
        found = submission_findings(self._rules, submission, directory.training_domains)
        return found + can_resolve_any(submission, directory, today) if submission.recipients else found

    def _judged(self, arrival: Arrival, receipt_id: str, inspection: Inspection, submissions: tuple[Submission, ...]) -> Judged:
        accepted = inspection.verdict is Verdict.ACCEPTED
        errors = errors_of(inspection.findings)
        conflict = replace(inspection, verdict=Verdict.REFUSED, findings=(CONFLICT,))
        now = self._clock()
        receipt = Receipt(
            id=receipt_id,
            legal_entity=arrival.principal.legal_entity,
            door=arrival.door,
            principal=arrival.principal.name,
            key=_repeat_key(arrival, inspection),
            fingerprint=inspection.fingerprint or hashlib.sha256(arrival.content).hexdigest(),
            kind=inspection.kind,
            state=ReceiptState.RECEIVED if accepted else ReceiptState.REFUSED,
            verdict=inspection.verdict,
            received_at=arrival.received_at,
            control_id=inspection.control.control_id,
            reason=errors[0].code if errors else "",
            zone=arrival.zone,
            form=arrival.form,
            reference=arrival.reference,
        )
        return Judged(
            NewReceipt(
                receipt=receipt,
                content=arrival.content,
                side_car=arrival.side_car,
                answer=_write_answer(inspection, receipt_id, submissions, now),
                conflict_answer=_write_answer(conflict, receipt_id, (), now),
                findings=inspection.findings,
                lookups=_lookups(inspection.control, arrival),
                repeat_window=self._rules.repeat_window,
                conflict_item=self._conflict_item(arrival, receipt_id, now),
            ),
            inspection,
        )

    def _conflict_item(self, arrival: Arrival, receipt_id: str, now: datetime) -> WorkItem:
        return WorkItem(
            id=self._new_id(),
            legal_entity=arrival.principal.legal_entity,
            about=WorkAbout.RECEIPT,
            about_id=receipt_id,
            reason=CONFLICT.code,
            advice="Même référence, autre contenu : demander à l'émetteur de renvoyer sous un nouveau numéro de message.",
            opened_at=now,
        )


def production_findings(rules: InstanceRules, control: MessageControl) -> tuple[Finding, ...]:
    """A production instance takes messages marked P only (seam 12)."""
    if not rules.production or control.processing in ("", "P"):
        return ()
    return (
        Finding(
            Severity.ERROR,
            "instance.production",
            "This is a production instance: only messages marked P are taken.",
            "MSH-11",
            "Send tests to a test instance.",
            hl7_code="202",
        ),
    )


def ack_findings(rules: InstanceRules, peer: str, submission: Submission) -> tuple[Finding, ...]:
    """Acknowledgements that nobody would receive are never silence: the sender is warned at once."""
    if not (submission.acks.reception or submission.acks.reading) or peer in rules.answered:
        return ()
    return (
        Finding(
            Severity.WARNING,
            "acks.no-partner",
            "Business acknowledgements are asked, but none can be sent to this sender.",
            "OBX",
            "Ask the operator to say where they go (acks_to).",
            hl7_code="207",
        ),
    )


def submission_findings(rules: InstanceRules, submission: Submission, training: tuple[str, ...]) -> tuple[Finding, ...]:
    """A production instance refuses test identities and training mailboxes (seam 12)."""
    if not rules.production:
        return ()
    found: list[Finding] = []
    ins = submission.document.patient.ins
    if ins is not None and ins.oid in INS_TEST_OIDS:
        found.append(TEST_IDENTITY)
    if any(_is_within(recipient.address, training) for recipient in submission.recipients):
        found.append(
            Finding(
                Severity.ERROR,
                "instance.training-domain",
                "A production instance does not send to training mailboxes.",
                "PRT-15",
                "Send tests to a test instance.",
                hl7_code="207",
                app_code="906",
            )
        )
    return tuple(found)


def _is_within(address: str, domains: tuple[str, ...]) -> bool:
    """True when an address is in one of the domains or below it."""
    host = address.rpartition("@")[2].lower()
    return any(host == domain or host.endswith("." + domain) for domain in domains)


def _civil_date(now: datetime, zone: str) -> date:
    return now.astimezone(ZoneInfo(zone)).date()


def _repeat_key(arrival: Arrival, inspection: Inspection) -> str:
    """Principal + MSH-3/4/9/10, or the door's own reference, or the content itself (seam 2)."""
    control = inspection.control
    parts: tuple[str, ...]
    if inspection.kind is ContentKind.HL7V2:
        parts = (control.application, control.facility, control.event, control.control_id)
    else:
        # The side-car says to whom: the same letter with another one is for somebody else, and no repeat.
        companion = hashlib.sha256(arrival.side_car).hexdigest() if arrival.side_car.strip() else ""
        parts = (arrival.door, arrival.form, control.control_id or arrival.reference or inspection.fingerprint, companion)
    return hashlib.sha256("\x1f".join((arrival.principal.name, *parts)).encode()).hexdigest()


def _lookups(control: MessageControl, arrival: Arrival) -> tuple[tuple[str, str], ...]:
    pairs = (("control-id", control.control_id), ("reference", arrival.reference))
    return tuple((kind, value) for kind, value in pairs if value)


def _write_answer(inspection: Inspection, receipt_id: str, submissions: tuple[Submission, ...], now: datetime) -> bytes:
    """ACK for HL7 v2; JSON for other doors: a summary when accepted, an OperationOutcome when refused."""
    if inspection.kind in (ContentKind.HL7V2, ContentKind.UNKNOWN):
        control_id = "T" + receipt_id.replace("-", "")[:19]
        return write_ack(inspection.control, inspection.verdict, inspection.findings, now=now, control_id=control_id)
    if inspection.verdict is not Verdict.ACCEPTED:
        return json.dumps(operation_outcome(inspection.findings), ensure_ascii=False).encode()
    summary = {
        "receipt": receipt_id,
        "verdict": inspection.verdict.value,
        "documents": [
            {"id": s.document.unique_id, "submission": s.id, "type": s.document.type.code, "urgency": s.urgency.value}
            for s in submissions
        ],
        "warnings": [
            {"code": f.code, "text": f.text, "where": f.location} for f in inspection.findings if f.severity is Severity.WARNING
        ],
        # What a safety search came to, also when it found nothing: silence must not read as "no contra-indication".
        "alerts": [
            {"code": f.code, "severity": f.severity.value, "text": f.text, "where": f.location, "rule": f.remedy}
            for f in inspection.findings
            if f.code.startswith("safety.")
        ],
    }
    return json.dumps(summary, ensure_ascii=False).encode()


def _unknown_content(arrival: Arrival) -> Inspection:
    finding = Finding(
        Severity.ERROR,
        "content.unknown",
        "This is neither an HL7 v2 message, nor a CDA or FHIR document, nor a form, nor a PDF.",
        "MSH",
        "Send one of these formats.",
        hl7_code="100",
    )
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    return Inspection(ContentKind.UNKNOWN, Verdict.REFUSED, fingerprint=fingerprint, findings=(finding,))


def _refused(kind: ContentKind, arrival: Arrival, error: InputError, control: MessageControl | None = None) -> Inspection:
    """An inspector that could not go on: its one error becomes the finding (207/906 for HL7: the content is at fault)."""
    finding = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy, hl7_code="207", app_code="906")
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    return Inspection(kind, Verdict.REFUSED, control or MessageControl(), fingerprint, (finding,))
