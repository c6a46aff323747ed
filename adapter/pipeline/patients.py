"""What the patient index says today of a document's patient, turned into what routing decides with.

Read when a route is chosen, and again just before each send: a death, a refusal or a withdrawn INS may have come in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from adapter.ledger.ledger import Ledger
from adapter.ledger.records import SeenPatient
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, Purpose
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import Intent, Submission
from adapter.model.wish import PatientWord
from adapter.routing.consent import PatientWishes, patient_mail_objection, record_objection, wishes_of


@dataclass(frozen=True, repr=False)
class Routed(Confidential):
    """A plan, and what the patient index said when it was made: committed together, or made again."""

    plan: RoutePlan
    seen: SeenPatient


def patient_now(ledger: Ledger, submission: Submission) -> SeenPatient:
    """What the index says now of a document's patient."""
    return SeenPatient(ledger.patient_view(submission.document.patient, legal_entity=submission.legal_entity))


def words_on(ledger: Ledger, submission: Submission, seen: SeenPatient) -> tuple[PatientWord, ...]:
    """What was said of a document's patient at the desk, or by the record."""
    return ledger.patient_words(submission.document.patient, seen.view, legal_entity=submission.legal_entity)


def _wishes_now(ledger: Ledger, submission: Submission, on: date) -> PatientWishes:
    seen = patient_now(ledger, submission)
    return wishes_of(seen.view, submission.document.patient.ins, on, words_on(ledger, submission, seen))


def objection_now(ledger: Ledger, submission: Submission, delivery: Delivery, recipient: RecipientPlan, on: date) -> str:
    """Why this delivery may not leave any more, as a cause; empty when it may.

    A cancellation, or a change of visibility, goes to whoever had the document: it takes back, and tells nothing new.
    """
    if submission.intent in (Intent.CANCEL, Intent.METADATA) or delivery.purpose is not Purpose.DOCUMENT:
        return ""
    if recipient.kind is RecipientKind.PATIENT:
        objection = patient_mail_objection(submission, _wishes_now(ledger, submission, on), on)
    elif delivery.channel is ChannelName.SHARED_RECORD:
        objection = record_objection(submission, _wishes_now(ledger, submission, on))
    else:
        return ""
    return objection.code if objection is not None else ""
