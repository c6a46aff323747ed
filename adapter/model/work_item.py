"""What waits for a person: an id, what it is about, a stable reason and what to do. No patient content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# A patient without an open box: nothing else may carry the letter (seam 16).
NO_BOX_REASON = "hand-over-or-post"
NO_BOX_ADVICE = "Le patient n'a pas de boîte ouverte : remettre le document en main propre ou par la poste."

# A partner that does not answer: one question for all that waits for it.
PARTNER_DOWN = "partner-down"
PARTNER_DOWN_ADVICE = "Ce partenaire HL7 ne répond plus : vérifier son logiciel et le réseau. Les envois reprendront d'eux-mêmes."
OPERATOR_DOWN_ADVICE = (
    "L'opérateur de messagerie ne laisse plus entrer : vérifier le réseau, l'opérateur et notre certificat. "
    "Les envois reprendront d'eux-mêmes."
)
RECORD_DOWN_ADVICE = (
    "Le dossier partagé ne laisse plus entrer : vérifier le réseau, son service et notre accès. "
    "Les envois reprendront d'eux-mêmes."
)

# Reasons that ask about a document sent under another identity: while one is open, nothing of that document leaves.
IDENTITY_REASONS = frozenset(
    {"identity-merged", "identifier-changed", "identity-unmerged", "ins-withdrawn", "ins-changed", "account-moved"}
)

# A certificate, authority or revocation list: its end stops a door or a channel. `about_id` is its place in the configuration;
# the item closes by itself once what ends was replaced.
TRUST_ENDS = "trust-ends"
TRUST_ENDS_ADVICE = "Un certificat ou une liste de révocation expire bientôt ou a expiré : le remplacer (`tdu check` dit lequel)."

# A fax number: one question for all that waits for it; `about_id` is the number.
FIRST_FAX = "first-fax-to-number"
FIRST_FAX_ADVICE = (
    "Premier fax vers ce numéro ({display}) : vérifier par téléphone ou par une source sûre qu'il est bien le sien, puis "
    "`tdu fax confirm-number` (ou `tdu resolve … retry`). Les suivants attendent avec lui."
)
TEST_PAGE_ADVICE = (
    "Premier fax vers ce numéro ({display}) : une page d'essai sans patient lui part, avec un code. Quand il le donne par "
    "téléphone : `tdu fax confirm-number` avec ce code. Les documents attendent."
)
WRONG_FAX_NUMBER = "fax-number-wrong"
WRONG_FAX_ADVICE = (
    "Numéro signalé comme faux : plus rien n'y part. Corriger l'annuaire, prévenir le référent de la protection des données, "
    "joindre autrement les destinataires."
)

# The directory no longer gives the number to this recipient. It stays the cause of what a person sends again: to today's number.
FAX_NUMBER_CHANGED = "fax-number-changed"


class WorkAbout(StrEnum):
    """What a work item is on."""

    RECEIPT = "receipt"
    SUBMISSION = "submission"
    DELIVERY = "delivery"
    PARTNER = "partner"
    PATIENT = "patient"
    CERTIFICATE = "certificate"
    FAX_NUMBER = "fax-number"


@dataclass(frozen=True)
class WorkItem:
    """One line of the queue. `reason` is a stable code, `advice` a sentence, `phone_line` whom to call when urgent.

    `decision` is empty while open; then what the person decided (`retry`, `hand-over`, `cancel`, `close`, `correct`).
    """

    id: str
    legal_entity: str
    about: WorkAbout
    about_id: str
    reason: str
    advice: str
    opened_at: datetime
    urgent: bool = False
    phone_line: str = ""
    decision: str = ""
    decided_by: str = ""
    decided_at: datetime | None = None
