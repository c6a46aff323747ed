"""What a recipient is told of a version that replaces or cancels an earlier one, in a mail and on a fax cover.

Sources: Référentiel socle MSSanté #2 (AMBU.MSS/va1.02, « Annule et remplace »); blueprint seam 6: a fax gets a follow-up page.
No patient, no title: a cover lies open in a tray. Dates are civil days of Paris.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.model.delivery import Delivery
from adapter.model.submission import Intent, Submission

_PARIS = ZoneInfo("Europe/Paris")
# Fax covers bear the beginning of a delivery's id: enough to find the sheet in a binder.
_SHOWN = 8


def replaces_earlier(delivery: Delivery, submission: Submission) -> bool:
    """True when the recipient must put aside what they had: asked by the sender, or an older version left before."""
    return submission.intent is Intent.REPLACE or (submission.intent is Intent.NEW and bool(delivery.replaces_sent_on))


def follow_up_sentence(delivery: Delivery, submission: Submission) -> str:
    """The sentence in a mail; empty for a document that follows nothing."""
    day = civil_day(delivery.replaces_sent_on)
    sent = f" transmis le {day}" if day else ""
    if submission.intent is Intent.CANCEL:
        return f"Le document{sent} est annulé par son auteur : merci de ne plus en tenir compte."
    if not replaces_earlier(delivery, submission):
        return ""
    older = f"celui{sent}" if sent else "la version précédente"
    return f"Ce document annule et remplace {older}."


def copy_sentence(copy_of: str) -> str:
    """What is said of a document that was faxed and comes again electronically; empty when it is no copy."""
    day = civil_day(copy_of)
    return f"Copie électronique : ce document vous a déjà été transmis par télécopie le {day}." if day else ""


def civil_day(instant: str) -> str:
    """`2026-11-20T23:30:00+00:00` as `21/11/2026`; empty when there is none."""
    try:
        moment = datetime.fromisoformat(instant)
    except ValueError:
        return ""
    return f"{moment.astimezone(_PARIS) if moment.tzinfo else moment:%d/%m/%Y}"


def fax_follow_up(delivery: Delivery, submission: Submission, earlier: tuple[str, ...] = (), pages: int = 0) -> str:
    """What a fax's first page says of the fax that it takes the place of: which, and what becomes of its sheets. Empty for none.

    `pages`: how many sheets of it were confirmed, 0 when nobody knows.
    """
    if submission.intent is Intent.CANCEL or not replaces_earlier(delivery, submission):
        return ""
    day = civil_day(delivery.replaces_sent_on)
    facts = (f"référence {earlier[-1][:_SHOWN]}" if earlier else "", f"{pages} page{'s' if pages > 1 else ''}" if pages else "")
    known = ", ".join(filter(None, facts))
    which = f"celui télécopié le {day}{f' ({known})' if known else ''}" if day else "la version précédente"
    return f"Ce document annule et remplace {which}. Merci de détruire l'ancienne version, ou d'y porter «\u00a0REMPLACÉ\u00a0»."


def shown_reference(reference: str) -> str:
    """A delivery as fax covers name it."""
    return reference[:_SHOWN]
