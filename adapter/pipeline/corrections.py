"""A document that left under another identity: sent again under today's as a replacement, or cancelled with those who had it.

Part of *prepare*: the order is a receipt of our own (`ledger.identity_decisions`), the result a submission in the document's own
line of versions. The author's CDA is never altered: what changes is what we say around it (METADATA, FHIR, what we write).
What cannot be corrected so is asked: a record that holds the author's CDA, a patient's mailbox that was somebody else's.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from adapter.fhir.bundle import uri_identifier
from adapter.fhir.identity import patient_resource
from adapter.fhir.validate import Level, validate_bundle
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import ClaimedReceipt, Decision, StoredEffects, StoredSubmission
from adapter.ledger.work_items import STOPPED_BY_PERSON
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState, Purpose
from adapter.model.document import DocumentHeader
from adapter.model.effects import Ignored, Parked
from adapter.model.finding import errors_of
from adapter.model.identity import LocalIdentifier, PatientIdentity, Reliability
from adapter.model.parties import RecipientKind
from adapter.model.patient import PATIENT_NUMBER, PatientRecord, patient_numbers
from adapter.model.plan import RecipientPlan, RoutePlan
from adapter.model.submission import AcksWanted, Intent, Submission
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.packaging.parcel import SenderProfile
from adapter.pipeline.patients import Routed
from adapter.pipeline.plan import deliveries_of, open_questions, stable_id
from adapter.pipeline.visibility import seen_now

S = DeliveryState
Resource = dict[str, Any]
_NAMESPACE = uuid.UUID("2f0f7a55-3f2c-5f39-8a1e-4d3b8a7c1e02")
_SERVED = frozenset({S.ACCEPTED, S.DELIVERED, S.READ, S.INTEGRATED})
_REACHED = _SERVED | {S.ON_WIRE, S.UNCLEAR}
_RECORD_ADVICE = (
    "Le dossier partagé détient ce document sous l'ancienne identité : faire émettre une version corrigée par son auteur, "
    "ou le faire supprimer."
)
_BOX_ADVICE = (
    "La boîte du patient de l'ancienne identité a reçu ce document : l'annuler (cancel), puis l'adresser au bon patient."
)
_HELD_ADVICE = (
    "Retenu sous l'ancienne identité, et la correction ne peut pas prendre sa place : retry le laisse partir tel quel, cancel "
    "l'arrête."
)
_INCOMPLETE_ADVICE = (
    "L'index ne connaît ni le nom ni la date de naissance de ce patient, qui est un autre que celui du document : compléter "
    "l'identité à la source, puis relancer."
)


@dataclass(frozen=True)
class Order:
    """What a person decided: of which submission, and of which patient's entry it really is."""

    submission_id: str
    act: Decision
    patient_id: str


def read_order(content: bytes) -> Order:
    """An order as the ledger wrote it."""
    told = json.loads(content)
    return Order(told["submission"], Decision(told["act"]), told.get("patient", ""))


Route = Callable[[Submission], Routed]


@dataclass(frozen=True, repr=False)
class _Today(Confidential):
    """Whose document it really is, and everything that names this person now."""

    record: PatientRecord
    entries: tuple[PatientRecord, ...]

    def is_of(self, identity: PatientIdentity) -> bool:
        """True when a document's numbers are this person's: what else it says of them is theirs too."""
        numbers = {entry.number for entry in self.entries}
        named = patient_numbers(identity.local_ids)
        if named:
            return not numbers.isdisjoint(named)
        return identity.ins is not None and any(identity.ins in entry.former_ins for entry in self.entries)


class Corrector:
    """Turns orders into submissions; keeps no state."""

    def __init__(self, ledger: Ledger, route: Route, validation: Level, now: datetime) -> None:
        self._ledger = ledger
        self._route = route
        self._validation = validation
        self._now = now

    def effects_of(self, claim: ClaimedReceipt, sender: SenderProfile) -> StoredEffects:
        """All that an order leaves. Pure but for what it reads of the ledger: run again, the same rows."""
        order, receipt = read_order(claim.content), claim.receipt
        kept = self._ledger.kept_submission(order.submission_id, legal_entity=receipt.legal_entity)
        if order.act is Decision.CANCEL:
            return self._cancelled(kept, receipt.id, sender)
        if self._ledger.is_cancelled(order.submission_id, legal_entity=receipt.legal_entity):
            return StoredEffects(outcome=Ignored("cancelled-by-sender"))  # its readers were told: it must not come back
        current = self._current(order.patient_id, receipt.legal_entity)
        if current is None:
            return StoredEffects(outcome=Parked("patient-unknown", "L'index ne connaît plus ce patient : corriger à la source."))
        return self._corrected(kept, current, receipt.id, sender)

    def _current(self, patient_id: str, legal_entity: str) -> _Today | None:
        entries = self._ledger.find_patients(patient_id, legal_entity=legal_entity)
        if not entries:
            return None
        named = PatientIdentity("", local_ids=(entries[0].record.number,))
        view = self._ledger.patient_view(named, legal_entity=legal_entity)
        return _Today(view.current, view.entries) if view is not None else _Today(entries[0].record, (entries[0].record,))

    # -- cancel

    def _cancelled(self, kept: StoredSubmission, receipt_id: str, sender: SenderProfile) -> StoredEffects:
        submission = replace(
            kept.translation.submission,
            id=_submission_id(receipt_id),
            receipt_id=receipt_id,
            intent=Intent.CANCEL,
            acks=AcksWanted(),
        )
        reached = {d.role_id: d for d in sorted(kept.deliveries, key=_is_surely_there) if _has_it(d)}
        recipients = tuple(_by_the_same_way(r, reached[r.role_id]) for r in kept.plan.recipients if r.role_id in reached)
        plan = replace(kept.plan, recipients=recipients)
        deliveries = deliveries_of(submission, plan, sender)
        translation = replace(kept.translation, submission=submission, steps=())
        return StoredEffects((StoredSubmission(translation, plan, deliveries),))

    # -- correct

    def _corrected(self, kept: StoredSubmission, current: _Today, receipt_id: str, sender: SenderProfile) -> StoredEffects:
        before = kept.translation.submission
        is_same = current.is_of(before.document.patient)
        patient = identity_of(current.record, before.document.patient, is_same_person=is_same)
        if not (patient.birth_name and patient.birth_date):
            return StoredEffects(outcome=Parked("identity-incomplete", _INCOMPLETE_ADVICE))
        document = _next_version(before, patient, receipt_id)
        submission = replace(
            before,
            # A change of visibility names the former number: what a person hid must not be seen again under the new one.
            visibility=seen_now(self._ledger, before).visibility,
            id=_submission_id(receipt_id),
            receipt_id=receipt_id,
            intent=Intent.REPLACE,
            document=document,
            acks=AcksWanted(),
            revision=before.revision + 1,
        )
        bundle = _bundle_under(kept.translation.bundle, before.document, document, is_same_person=is_same)
        if errors := errors_of(validate_bundle(bundle, self._validation)):
            advice = f"La correction FHIR n'est pas valide ({errors[0].code}, {errors[0].location}) : rien n'est parti."
            return StoredEffects(outcome=Parked("invalid-output", advice))
        roles = {d.role_id for d in kept.deliveries} - _stopped_by_person(kept.deliveries)
        routed = self._route(submission)
        named = [r for r in routed.plan.recipients if r.role_id in roles]
        held_back = [r for r in named if _cannot_follow(r, before, patient)]
        plan = replace(routed.plan, recipients=tuple(r for r in named if r not in held_back))
        questions = [self._question(submission, r) for r in held_back if _was_reached(r, kept.deliveries)]
        questions += self._left_behind(kept.deliveries, plan)
        asked = questions if questions and not plan.recipients else [*questions, *open_questions(submission, plan, self._now)]
        translation = replace(kept.translation, submission=submission, bundle=bundle, steps=())
        deliveries = deliveries_of(submission, plan, sender)
        return StoredEffects((StoredSubmission(translation, plan, deliveries, seen=routed.seen),), tuple(asked))

    def _left_behind(self, deliveries: tuple[Delivery, ...], plan: RoutePlan) -> list[WorkItem]:
        """What was held and no correction takes the place of: nobody would ask about it again."""
        replaced = {recipient.role_id for recipient in plan.recipients if recipient.legs}
        held = [d for d in deliveries if d.state is S.PARKED and d.purpose is Purpose.DOCUMENT and d.role_id not in replaced]
        return [
            WorkItem(
                stable_id(d.id, "not-corrected"),
                d.legal_entity,
                WorkAbout.DELIVERY,
                d.id,
                "not-corrected",
                _HELD_ADVICE,
                self._now,
            )
            for d in held
        ]

    def _question(self, submission: Submission, recipient: RecipientPlan) -> WorkItem:
        is_patient = recipient.kind is RecipientKind.PATIENT
        reason, advice = ("patient-box", _BOX_ADVICE) if is_patient else ("record-correction", _RECORD_ADVICE)
        made = stable_id(submission.id, recipient.role_id, reason)
        return WorkItem(made, submission.legal_entity, WorkAbout.SUBMISSION, submission.id, reason, advice, self._now)


def _submission_id(receipt_id: str) -> str:
    return stable_id("correction", receipt_id)


def _has_it(delivery: Delivery) -> bool:
    if delivery.purpose is not Purpose.DOCUMENT:
        return False
    return delivery.state in _REACHED or delivery.unclear_count > 0


def _is_surely_there(delivery: Delivery) -> bool:
    """Served, as opposed to perhaps arrived: of two legs, the one that a cancellation follows."""
    return delivery.state in _SERVED


def _stopped_by_person(deliveries: tuple[Delivery, ...]) -> set[str]:
    """Roles that a person decided not to send to, and that have nothing: a correction is no reason to write to them."""
    stopped = {d.role_id for d in deliveries if d.state is S.CANCELLED and d.cause in STOPPED_BY_PERSON}
    return stopped - {d.role_id for d in deliveries if _has_it(d)}


def _was_reached(recipient: RecipientPlan, deliveries: tuple[Delivery, ...]) -> bool:
    return any(d.role_id == recipient.role_id and _has_it(d) for d in deliveries)


def _by_the_same_way(recipient: RecipientPlan, delivery: Delivery) -> RecipientPlan:
    """A cancellation goes where the document went, and by no other channel."""
    legs = tuple(replace(leg, order=1) for leg in recipient.legs if leg.order == delivery.leg and leg.channel is delivery.channel)
    return replace(recipient, legs=legs, rejected=())


def _cannot_follow(recipient: RecipientPlan, before: Submission, patient: PatientIdentity) -> bool:
    """The author's CDA in a record bears the former identity for ever; a patient's box is that of one INS."""
    if recipient.kind is RecipientKind.RECORD:
        return before.content_kind == "cda"
    return recipient.kind is RecipientKind.PATIENT and patient.ins != before.document.patient.ins


def identity_of(record: PatientRecord, before: PatientIdentity, *, is_same_person: bool = True) -> PatientIdentity:
    """A document's patient as the index knows them now: numbers and told traits; what the index was never told stays, unless
    the document named somebody else: then nothing of that person may be said of this one.
    """
    facts = record.facts
    if not is_same_person:
        before = PatientIdentity(
            "",
            local_ids=before.local_ids,
            used_name=facts.used_name,
            used_given=facts.used_given,
            addresses=facts.addresses,
            telecoms=facts.telecoms,
        )
    other = tuple(n for n in before.local_ids if n.kind != PATIENT_NUMBER)
    numbers: tuple[LocalIdentifier, ...] = (record.number,) if record.number.kind == PATIENT_NUMBER else ()
    ins = record.usable_ins
    return replace(
        before,
        ins=ins,
        local_ids=(*numbers, *other),
        birth_name=facts.birth_name or before.birth_name,
        first_given=facts.first_given or before.first_given,
        birth_given_names=facts.given_names or before.birth_given_names,
        birth_date=facts.birth_date or before.birth_date,
        sex=facts.sex or before.sex,
        birth_place_insee=facts.birth_insee or before.birth_place_insee,
        reliability=record.reliability if ins is not None else _without_ins(record.reliability),
    )


def _without_ins(told: Reliability) -> Reliability:
    """Without a matricule nobody is qualified."""
    return Reliability.VALIDATED if told is Reliability.QUALIFIED else told


def _next_version(before: Submission, patient: PatientIdentity, receipt_id: str) -> DocumentHeader:
    """The author's CDA keeps its number; what we write ourselves gets one of its own, and names what it replaces."""
    document = before.document
    if before.content_kind == "cda":
        number = document.unique_id
    else:
        number = f"2.25.{uuid.uuid5(_NAMESPACE, f'{receipt_id}/{document.unique_id}').int}"
    return replace(document, patient=patient, version=document.version + 1, unique_id=number, replaces=document.unique_id)


def _bundle_under(
    bundle: dict[str, object], before: DocumentHeader, after: DocumentHeader, *, is_same_person: bool
) -> dict[str, object]:
    """The FHIR document with the identity of today, and its own number when it has a new one."""
    entries: Any = bundle.get("entry", [])
    changed = [{**entry, "resource": _resource_under(entry["resource"], before, after, is_same_person)} for entry in entries]
    number = {"identifier": uri_identifier(after.unique_id)} if "identifier" in bundle else {}
    return {**bundle, **number, "entry": changed} if entries else bundle


def _resource_under(resource: Resource, before: DocumentHeader, after: DocumentHeader, is_same_person: bool) -> Resource:
    match resource.get("resourceType"):
        case "Patient" if not is_same_person:
            return patient_resource(after.patient, id=resource["id"])
        case "Patient":
            return _patient_under(resource, before.patient, after.patient)
        case "Composition" if resource.get("identifier") == uri_identifier(before.unique_id):
            replaced = {"code": "replaces", "targetIdentifier": uri_identifier(before.unique_id)}
            others = [r for r in resource.get("relatesTo", []) if r.get("code") != "replaces"]
            same = before.unique_id == after.unique_id
            more = {} if same else {"relatesTo": [*others, replaced]}
            return {**resource, "identifier": uri_identifier(after.unique_id), **more}
    return resource


def _patient_under(resource: Resource, before: PatientIdentity, after: PatientIdentity) -> Resource:
    """What the identity says is said anew; what stood beside it (contacts, doctor) stays."""
    fresh, plain = patient_resource(after, id=resource["id"]), patient_resource(before, id=resource["id"])
    return fresh | {key: value for key, value in resource.items() if key not in plain}
