"""The record as its clients meet it: provide, publish, amend, read, search, consent; each deed allowed, done and traced.

Law: MHD 4.2.3 (Document Recipient and Responder), blueprint seams 13 and 20. A read is answered once its audit row is durable; a
write and its rows are one transaction. What a client may not see does not exist for it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from adapter.audit.audit_event import Telling
from adapter.fhir.search import PageTokens, Query, read_query
from adapter.formats.fhir import FhirLimits
from adapter.ledger.lookup import normalise_ins
from adapter.ledger.record_rows import InStates, NewResource, OfPatients, Row, Sight
from adapter.ledger.record_store import RecordChanges, RecordRows, RecordStore
from adapter.model.audit import AuditEntry, AuditRow
from adapter.model.confidential import Confidential
from adapter.record import searching
from adapter.record.amending import amend, check_version, document_of
from adapter.record.amendment import amended_by_json_patch, amended_by_parameters
from adapter.record.consent import check_reading, consent_faults, wishes_of
from adapter.record.deposit import Outcome, Policy, deposit
from adapter.record.entries import Entry
from adapter.record.parameters import indexes_of
from adapter.record.patients import add_patient, check_matricule, find_patient, lock_name
from adapter.record.profile_rules import shape_faults
from adapter.record.refusals import RecordRefusal, refused
from adapter.record.rights import Client, ClientKind, Deed, check_may, is_minor, must_name_patient, sight_of
from adapter.record.submission import official_ins, read_simple, read_submission

Resource = dict[str, Any]

DOCUMENT_KINDS = frozenset({"DocumentReference", "List", "Binary", "Bundle"})
_TRANSACTIONS = {"DocumentReference": "ITI-67", "List": "ITI-66", "Binary": "ITI-68", "Bundle": "ITI-68"}


@dataclass(frozen=True, repr=False)
class Held(Confidential):
    """A resource with its content: metadata as FHIR, or a document's bytes."""

    row: Row
    data: bytes

    def resource(self) -> Resource:
        """As FHIR, with its version. A Binary is made around its bytes; a document Bundle is given back as it came."""
        if self.row.kind == "Binary":
            made: Resource = {
                "resourceType": "Binary",
                "id": self.row.id,
                "contentType": self.row.media_type,
                "data": base64.b64encode(self.data).decode(),
            }
        else:
            made = json.loads(self.data)
        changed = self.row.changed_at.isoformat(timespec="milliseconds")
        made["meta"] = made.get("meta", {}) | {"versionId": str(self.row.version), "lastUpdated": changed}
        return made


@dataclass(frozen=True, repr=False)
class Page(Confidential):
    """One page of a search; `next_token` is empty on the last."""

    found: tuple[Held, ...]
    total: int
    next_token: str
    ignored: tuple[str, ...]


class Shelf:
    """One record on a ledger. Safe between threads: it holds nothing of a request."""

    def __init__(self, store: RecordStore, tokens: PageTokens, policy: Policy, limits: FhirLimits) -> None:
        self._store = store
        self._tokens = tokens
        self._policy = policy
        self._limits = limits

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────

    def provide(self, client: Client, body: bytes) -> Resource:
        """ITI-65: the transaction's response."""
        check_may(client, Deed.FEED)
        submission = read_submission(body, self._limits)
        outcomes = self._store.write(client.legal_entity, lambda changes: deposit(changes, client, submission, self._policy))
        entries = [_answered(outcomes[entry.rank]) for entry in submission.entries]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": entries}

    def publish(self, client: Client, document: Resource, condition: str) -> tuple[Held, bool]:
        """ITI-105: the metadata as they are held, and whether they are new."""
        check_may(client, Deed.FEED)
        submission = read_simple(document, Entry(0, "", "POST", "DocumentReference", condition, "", document, b""))

        outcome = self._store.write(client.legal_entity, lambda changes: deposit(changes, client, submission, self._policy)[0])
        return self._again(client, Held(outcome.row, b"")), outcome.status == 201

    def _again(self, client: Client, held: Held) -> Held:
        """The content as it is after the transaction: chunks are written at its end."""
        return self._store.read(client.legal_entity, lambda rows: Held(held.row, rows.content(held.row.id)))

    def amend_where(self, client: Client, pairs: Sequence[tuple[str, str]], patch: Any, if_match: str) -> Held:
        """Conditional PATCH: exactly one document of this client's organisation."""

        def chosen(rows: RecordRows) -> Row:
            query = read_query(pairs, searching.RULES["DocumentReference"])
            plan = searching.plan_of("DocumentReference", query, self._policy.base, lambda c: rows.find("Patient", c))
            if not plan.conditions:
                raise refused("record.condition")
            found = rows.find("DocumentReference", plan.conditions, sight_of(client, is_minor=False))
            if len(found) > 1:
                raise refused("record.several")
            return found[0] if found else _nothing()

        return self._amend(client, chosen, patch, if_match)

    def amend_one(self, client: Client, resource_id: str, patch: Any, if_match: str) -> Held:
        """PATCH of one document."""

        def chosen(rows: RecordRows) -> Row:
            return rows.get("DocumentReference", resource_id, sight_of(client, is_minor=False)) or _nothing()

        return self._amend(client, chosen, patch, if_match)

    def _amend(self, client: Client, choose: Any, patch: Any, if_match: str) -> Held:
        check_may(client, Deed.FEED)

        def work(changes: RecordChanges) -> Held:
            row = choose(changes)
            check_version(row, if_match)
            before = document_of(changes, row)
            made = amended_by_parameters(before, patch) if isinstance(patch, dict) else amended_by_json_patch(before, patch)
            changed = amend(changes, row, made)
            changes.audit(client.name, "record.update", row.kind, row.id, Telling("", patient_id=row.patient_id).written())
            return Held(changed, b"")

        return self._again(client, self._store.write(client.legal_entity, work))

    def open_patient(self, client: Client, patient: Resource) -> tuple[Held, bool]:
        """A patient by their matricule, made when there is none yet; what is held is not changed."""
        if client.kind not in (ClientKind.FEEDER, ClientKind.ADMINISTRATOR):
            raise refused("record.role")
        faults = list(shape_faults(patient, "Patient"))
        if faults:
            raise RecordRefusal(faults)
        system, matricule = official_ins(patient)
        check_matricule(system, matricule, "Patient.identifier", is_production=self._policy.is_production)

        def work(changes: RecordChanges) -> tuple[Row, bool]:
            changes.lock(lock_name(matricule))
            row = find_patient(changes, matricule)
            if row is not None:
                return row, False
            row = add_patient(changes, patient, matricule, client.name)
            changes.audit(client.name, "record.create", "Patient", row.id, Telling("", patient_id=row.id).written())
            return row, True

        row, is_new = self._store.write(client.legal_entity, work)
        return self._again(client, Held(row, b"")), is_new

    def set_consent(self, client: Client, consent: Resource) -> Held:
        """What a patient wishes from now on: the Consent before it ends."""
        check_may(client, Deed.ADMINISTER)
        faults = list(consent_faults(consent))
        if faults:
            raise RecordRefusal(faults)

        def work(changes: RecordChanges) -> Row:
            patient = _consenting(changes, consent)
            changes.lock(f"Consent:{patient.id}")
            for before in changes.find("Consent", [OfPatients((patient.id,)), InStates(("active",))]):
                ended = json.loads(changes.content(before.id)) | {"status": "inactive"}
                changes.change(
                    before, json.dumps(ended, ensure_ascii=False).encode(), "inactive", before.openness, indexes_of(ended)
                )
            new_id = changes.new_id()
            kept = consent | {"id": new_id, "patient": {"reference": f"Patient/{patient.id}"}}
            content = json.dumps(kept, ensure_ascii=False).encode()
            row = changes.add(
                NewResource(new_id, "Consent", content, "active", patient.id, feeder=client.name, indexes=indexes_of(kept))
            )
            changes.audit(client.name, "record.create", "Consent", new_id, Telling("", patient_id=patient.id).written())
            return row

        return self._again(client, Held(self._store.write(client.legal_entity, work), b""))

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, client: Client, kind: str, resource_id: str) -> Held:
        """One resource, if this client sees it."""
        check_may(client, _deed_of(kind))

        def work(rows: RecordRows) -> Held:
            row = rows.get(kind, resource_id)
            if row is None:
                return _nothing()
            if kind in DOCUMENT_KINDS:
                row = rows.get(kind, resource_id, self._sight(rows, client, (row.patient_id,))) or _nothing()
                check_reading(wishes_of(rows, row.patient_id), client)
            return Held(row, rows.content(row.id))

        held = self._store.read(client.legal_entity, work)
        self._tell(client, "record.read", kind, resource_id, Telling(_TRANSACTIONS.get(kind, ""), patient_id=held.row.patient_id))
        return held

    def search(self, client: Client, kind: str, pairs: Sequence[tuple[str, str]], *, strict: bool) -> Page:
        """ITI-66, ITI-67, and the patients and consents."""
        check_may(client, _deed_of(kind))
        rules = searching.RULES[kind]
        query = read_query(pairs, rules, strict=strict)
        after = None
        scope = f"record:{client.legal_entity}:{client.name}:{kind}"
        if query.page:
            if query.criteria:
                raise refused("record.condition", rules.page_name)
            told = self._tokens.read(scope, query.page)
            after = searching.position_from(told["after"])
            pairs = [(str(name), str(value)) for name, value in told["pairs"]]
            query = read_query(pairs, rules)

        found, total, patient_ids = self._store.read(
            client.legal_entity, lambda rows: self._find(rows, client, kind, query, after)
        )
        part = searching.slice_of(query)
        shown = found[: query.count]
        token = ""
        if len(found) > query.count > 0:
            position = searching.position_of(shown[-1].row, part.order)
            token = self._tokens.issue(scope, {"pairs": [list(pair) for pair in pairs], "after": position})
        patient_id = patient_ids[0] if patient_ids and len(patient_ids) == 1 else ""
        self._tell(client, "record.search", kind, "", Telling(_TRANSACTIONS.get(kind, ""), patient_id=patient_id))
        return Page(tuple(shown), total, token, query.ignored)

    def _find(
        self, rows: RecordRows, client: Client, kind: str, query: Query, after: tuple[datetime, str] | None
    ) -> tuple[list[Held], int, tuple[str, ...] | None]:
        plan = searching.plan_of(kind, query, self._policy.base, lambda c: rows.find("Patient", c))
        sight = None
        if kind in DOCUMENT_KINDS:
            if not plan.names_patient and not plan.names_resource and must_name_patient(client):
                raise refused("record.patient-wanted", "patient")
            sight = self._sight(rows, client, plan.patient_ids or ())
            for patient_id in plan.patient_ids or ():
                check_reading(wishes_of(rows, patient_id), client)
        elif kind == "Patient" and not plan.names_resource and client.kind is not ClientKind.ADMINISTRATOR:
            raise refused("record.patient-wanted", "identifier")
        part = searching.slice_of(query, after)
        found = rows.find(kind, plan.conditions, sight, part)
        total = rows.count(kind, plan.conditions, sight)
        if kind in DOCUMENT_KINDS and plan.patient_ids is None:
            found = [row for row in found if _is_open(rows, row, client)]
            total = min(total, len(found)) if len(found) <= query.count else total
        patients = plan.patient_ids
        return [Held(row, rows.content(row.id)) for row in found], total, patients

    def _sight(self, rows: RecordRows, client: Client, patient_ids: Sequence[str]) -> Sight:
        """A patient's reader is a minor's until one adult is named."""
        minor = True
        if client.kind is ClientKind.PATIENT and len(patient_ids) == 1:
            patient = rows.get("Patient", patient_ids[0])
            today = self._store.now().date()
            minor = patient is None or is_minor(json.loads(rows.content(patient.id)), today)
        return sight_of(client, is_minor=minor)

    # ── traces ────────────────────────────────────────────────────────────────────────────────────────────────

    def tell_refusal(self, client: Client, code: str, kind: str) -> None:
        """A refusal is a trace too."""
        self._tell(client, "record.refused", kind, "", Telling("", outcome="4", reason=code))

    def audited(self, client: Client, conditions: Mapping[str, str], between: Any, after: int, limit: int) -> list[AuditRow]:
        """Traces of this record, newest first, for who administers it."""
        check_may(client, Deed.ADMINISTER)
        return self._store.read(client.legal_entity, lambda rows: rows.audited("record.", conditions, between, after, limit))

    def page_tokens(self) -> PageTokens:
        """For the traces' pages."""
        return self._tokens

    def _tell(self, client: Client, action: str, about: str, about_id: str, telling: Telling) -> None:
        now = self._store.now()
        self._store.write_audit([AuditEntry(client.legal_entity, now, client.name, action, about, about_id, telling.written())])


def _deed_of(kind: str) -> Deed:
    if kind in DOCUMENT_KINDS:
        return Deed.READ_DOCUMENTS
    return Deed.READ_PATIENTS if kind == "Patient" else Deed.ADMINISTER


def _is_open(rows: RecordRows, row: Row, client: Client) -> bool:
    try:
        check_reading(wishes_of(rows, row.patient_id), client)
    except RecordRefusal:
        return False
    return True


def _consenting(changes: RecordChanges, consent: Resource) -> Row:
    subject = consent.get("patient") or {}
    kind, _, held_id = str(subject.get("reference", "")).rpartition("/")
    identifier = subject.get("identifier") or {}
    row = None
    if kind.endswith("Patient"):
        row = changes.get("Patient", held_id)
    elif normalise_ins(str(identifier.get("value", ""))):
        row = find_patient(changes, str(identifier["value"]))
    if row is None:
        raise refused("record.patient-unknown", "Consent.patient")
    return row


def _answered(outcome: Outcome) -> Resource:
    status = "201 Created" if outcome.status == 201 else "200 OK"
    changed = outcome.row.changed_at.isoformat(timespec="milliseconds")
    etag = f'W/"{outcome.row.version}"'
    return {"response": {"status": status, "location": outcome.location, "etag": etag, "lastModified": changed}}


def _nothing() -> NoReturn:
    raise refused("record.not-found")
