"""What the patient's wishes, age and state forbid: pure decisions, gravest first, each with its code and sentence.

Law: blueprint seam 16; CI-SIS volet 2.1 (INVISIBLE_PATIENT, INVISIBLE_REP_LEGAUX); Mon espace santé: a patient is written to
only with a qualified INS. Unknown is never taken for a yes where the law asks for an agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from adapter.model.submission import Submission
from adapter.routing.policy import Objection

MAJORITY_YEARS = 18


class Wish(StrEnum):
    """What a patient said of one use."""

    AGREED = "agreed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PatientWishes:
    """What is known of the patient beside the document."""

    record: Wish = Wish.UNKNOWN
    mail: Wish = Wish.UNKNOWN
    has_guardian: bool = False
    is_deceased: bool = False


NOTHING_KNOWN = PatientWishes()


def patient_mail_objection(submission: Submission, wishes: PatientWishes, on: date) -> Objection | None:
    """Why this document may not be sent to the patient, or None."""
    patient = submission.document.patient
    if wishes.is_deceased:
        return Objection("patient-deceased", "le patient est décédé")
    if submission.visibility.hidden_from_patient:
        return Objection("hidden-from-patient", "l'émetteur demande que le document reste invisible au patient")
    if submission.visibility.hidden_from_representatives and (wishes.has_guardian or not is_of_age(patient.birth_date, on)):
        return Objection(
            "hidden-from-representatives", "patient mineur ou protégé, et document invisible à ses représentants légaux"
        )
    if not patient.is_qualified:
        return Objection("patient-identity-provisional", "l'identité du patient n'est pas qualifiée (INS)")
    if wishes.mail is Wish.REFUSED:
        return Objection("patient-refuses", "le patient refuse la messagerie")
    return None


def record_objection(submission: Submission, wishes: PatientWishes) -> Objection | None:
    """Why this document may not feed the shared record. The sender's DESTDMP answers for an agreement we do not know."""
    if not submission.document.patient.is_qualified:
        return Objection("patient-identity-provisional", "l'identité du patient n'est pas qualifiée (INS)")
    if wishes.record is Wish.REFUSED:
        return Objection("patient-refuses", "le patient s'oppose à l'alimentation du dossier partagé")
    if wishes.record is Wish.UNKNOWN and not submission.destinations.record:
        return Objection("record-consent-unknown", "l'accord du patient pour le dossier partagé n'est pas connu")
    return None


def is_of_age(birth_date: str, on: date) -> bool:
    """True only when 18 are surely past: a missing day or month counts as the last one, a missing date as a child."""
    parts = birth_date.split("-")
    if not all(part.isascii() and part.isdigit() for part in parts) or len(birth_date) > 10:
        return False
    year, month, day = (int(parts[i]) if i < len(parts) else last for i, last in enumerate((0, 12, 31)))
    return (year + MAJORITY_YEARS, month, day) <= (on.year, on.month, on.day)
