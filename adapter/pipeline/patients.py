"""What the patient index says today of a document's patient, turned into what routing decides with.

Read when a route is chosen, and again just before each send: a death, a refusal or a withdrawn INS may have come in between.
"""

from __future__ import annotations

from datetime import date

from adapter.ledger.ledger import Ledger
from adapter.model.delivery import Delivery, Purpose
from adapter.model.parties import RecipientKind
from adapter.model.plan import ChannelName, RecipientPlan
from adapter.model.submission import Intent, Submission
from adapter.routing.consent import PatientWishes, patient_mail_objection, record_objection, wishes_of


def wishes_now(ledger: Ledger, submission: Submission, on: date) -> PatientWishes:
    """The patient's wishes and state as the index tells them now."""
    view = ledger.patient_view(submission.document.patient, legal_entity=submission.legal_entity)
    return wishes_of(view, submission.document.patient.ins, on)


def objection_now(ledger: Ledger, submission: Submission, delivery: Delivery, recipient: RecipientPlan, on: date) -> str:
    """Why this delivery may not leave any more, as a cause; empty when it may.

    A cancellation goes to whoever had the document: it takes back, and tells nothing new.
    """
    if submission.intent is Intent.CANCEL or delivery.purpose is not Purpose.DOCUMENT:
        return ""
    if recipient.kind is RecipientKind.PATIENT:
        objection = patient_mail_objection(submission, wishes_now(ledger, submission, on), on)
    elif delivery.channel is ChannelName.SHARED_RECORD:
        objection = record_objection(submission, wishes_now(ledger, submission, on))
    else:
        return ""
    return objection.code if objection is not None else ""
