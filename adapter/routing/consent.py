"""What the patient's wishes, age and state forbid: pure decisions, gravest first, each with its code and sentence.

Law: blueprint seam 16; CI-SIS volet 2.1 (INVISIBLE_PATIENT, INVISIBLE_REP_LEGAUX); Mon espace santé: a patient is written to
only with a qualified INS. Unknown is never taken for a yes where the law asks for an agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date
from enum import StrEnum

from adapter.model.identity import Ins
from adapter.model.patient import NEVER, Contact, Feeding, InsStanding, PatientView
from adapter.model.submission import Intent, Submission
from adapter.model.wish import PatientWord, WishFor, Word
from adapter.routing.policy import Objection

MAJORITY_YEARS = 18


class Wish(StrEnum):
    """What a patient said of one use."""

    AGREED = "agreed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PatientWishes:
    """What is known of the patient beside the document. `ins` is what the patient index says of the document's matricule.

    `account` says that the record answered that it has none for this patient (`none`), or that it is closed (`closed`).
    """

    record: Wish = Wish.UNKNOWN
    mail: Wish = Wish.UNKNOWN
    account: Word | None = None
    has_guardian: bool = False
    is_deceased: bool = False
    ins: InsStanding = InsStanding.UNTOLD


NOTHING_KNOWN = PatientWishes()

_RECORD_WISHES = {Feeding.NOT_OPPOSED: Wish.AGREED, Feeding.OPPOSED: Wish.REFUSED}
_DOUBTS = {
    InsStanding.WITHDRAWN: "le matricule INS du document a été retiré, ou n'est plus qualifié",
    InsStanding.CHANGED: "le matricule INS du document n'est plus celui du patient",
    InsStanding.DOUBTFUL: "le matricule INS du document est aussi celui d'un autre dossier, ou sa clé est fausse",
}


_WORDS = {Word.AGREED: Wish.AGREED, Word.REFUSED: Wish.REFUSED}


def wishes_of(view: PatientView | None, ins: Ins | None, on: date, words: Sequence[PatientWord] = ()) -> PatientWishes:
    """The wishes and state of a document's patient, as the index tells them on a day; `ins` is the document's matricule.

    `words` were said otherwise, at the desk or by the record: of them and of ZFA, the newest rules. Not asked (NA) is not known.
    The consent to SMS says nothing of secure mail. A guardianship counts until its end.
    """
    record = _newest(words, WishFor.RECORD)
    mail = _newest(words, WishFor.MAIL)
    known = PatientWishes(mail=_WORDS.get(mail.said, Wish.UNKNOWN) if mail else Wish.UNKNOWN)
    if record is not None and not _told_since(view, record):
        account = record.said if record.said in (Word.NONE, Word.CLOSED) else None
        known = replace(known, record=_WORDS.get(record.said, Wish.UNKNOWN), account=account)
    elif view is not None:
        known = replace(known, record=_RECORD_WISHES.get(view.facts.feeding, Wish.UNKNOWN))
    if view is None:
        return known
    return replace(
        known,
        has_guardian=any(_acts_on(contact, on) for contact in view.facts.contacts),
        is_deceased=view.facts.is_deceased,
        ins=view.standing_of(ins),
    )


def _newest(words: Sequence[PatientWord], about: WishFor) -> PatientWord | None:
    """Of two words of one instant, the one that forbids."""
    about_it = (word for word in words if word.about is about)
    return max(about_it, key=lambda word: (word.at, word.said is not Word.AGREED), default=None)


def _told_since(view: PatientView | None, word: PatientWord) -> bool:
    """True when a message said something of the feeding after this word: not asked (NA) takes nothing back."""
    if view is None or view.facts.feeding not in _RECORD_WISHES:
        return False
    told = max((entry.stamps.get("feeding", NEVER) for entry in view.entries), default=NEVER)
    return told[0] > word.at.astimezone(UTC).isoformat()


def _acts_on(contact: Contact, on: date) -> bool:
    return contact.is_guardian and (not contact.until or contact.until >= on.isoformat()[: len(contact.until)])


def _identity_objection(submission: Submission, wishes: PatientWishes) -> Objection | None:
    """A matricule is used only when it is qualified, and still the patient's (seam 14)."""
    if wishes.ins in _DOUBTS:
        return Objection(wishes.ins.value, _DOUBTS[wishes.ins])
    if not submission.document.patient.is_qualified:
        return Objection("patient-identity-provisional", "l'identité du patient n'est pas qualifiée (INS)")
    return None


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
    if objection := _identity_objection(submission, wishes):
        return objection
    if wishes.mail is Wish.REFUSED:
        return Objection("patient-refuses", "le patient refuse la messagerie")
    return None


_NO_ACCOUNT = {
    Word.NONE: Objection("record-none", "le dossier partagé a répondu que ce patient n'y a pas de dossier"),
    Word.CLOSED: Objection("record-closed", "le dossier partagé a répondu que le dossier de ce patient est fermé"),
}


def record_objection(submission: Submission, wishes: PatientWishes) -> Objection | None:
    """Why this document may not feed the shared record. The sender's DESTDMP answers for an agreement we do not know."""
    if objection := _identity_objection(submission, wishes):
        return objection
    if submission.visibility.secret_connection and submission.intent is not Intent.CANCEL:
        # What we feed has no secret connection: its trace in the record would tell a minor's parents.
        return Objection("secret-connection", "l'émetteur demande une connexion secrète, que ce dossier partagé ne permet pas")
    if wishes.account is not None:
        return _NO_ACCOUNT[wishes.account]
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
