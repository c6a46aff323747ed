"""The plan of one document today: what the directory, the patient index and the suspended addresses say now.

Made when a receipt is prepared, and again by the night round for what has not left yet.
"""

from __future__ import annotations

from datetime import date

from adapter.ledger.ledger import Ledger
from adapter.model.submission import Submission
from adapter.pipeline.addresses import suspended_in
from adapter.pipeline.patients import Routed, patient_now, words_on
from adapter.routing.choose import RouteSettings, choose_route
from adapter.routing.consent import wishes_of
from adapter.routing.directory import Directory


def route_now(ledger: Ledger, submission: Submission, directory: Directory, settings: RouteSettings, today: date) -> Routed:
    """The plan of a civil day, with what the patient index said when it was made."""
    seen = patient_now(ledger, submission)
    wishes = wishes_of(seen.view, submission.document.patient.ins, today, words_on(ledger, submission, seen))
    plan = choose_route(submission, directory, today, settings, wishes)
    suspended = suspended_in(ledger, submission, plan)
    if suspended:
        plan = choose_route(submission, directory, today, settings, wishes, suspended)
    return Routed(plan, seen)
