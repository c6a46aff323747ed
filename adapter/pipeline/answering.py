"""An answer finds its request: the ledger's requests of that number, told apart by the directory. Part of *prepare*.

Law: blueprint §1 (`RequestStep` is an effect of a receipt) and seam 13: a request of another legal entity is seen here only
when it was sent to the entity that answers, and only to append what the answer says of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime

from adapter.ledger.ledger import Ledger
from adapter.model.confidential import Confidential
from adapter.model.effects import Parked, Translation
from adapter.model.request import AnsweredRequest, KnownRequest
from adapter.model.submission import Submission, Urgency
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.pipeline.plan import stable_id
from adapter.requests.answers import ADVICE, Candidate, Unmatched, choose_request
from adapter.routing.directory import Directory
from adapter.routing.entries import Role


@dataclass(frozen=True, repr=False)
class Answering(Confidential):
    """What became of an answer: its translation (naming its request), the step to append, a question, or why it waits."""

    translation: Translation
    answered: AnsweredRequest | None = None
    item: WorkItem | None = None
    parked: Parked | None = None


def answer_request(
    translation: Translation, ledger: Ledger, directory: Directory, legal_entities: Iterable[str], on: date, now: datetime
) -> Answering:
    """A translation that answers nothing is left as it is."""
    answer, submission = translation.answer, translation.submission
    if answer is None:
        return Answering(translation)
    known = [one for entity in legal_entities for one in ledger.requests_numbered(answer.number, legal_entity=entity)]
    known.sort(key=lambda one: one.asked_at, reverse=True)
    recipient = _recipient(submission, directory, on)
    ours = submission.legal_entity
    candidates = [
        Candidate(one, _was_sent_to(ours, one, directory), _comes_from(one, recipient, ours, directory)) for one in known
    ]
    found = choose_request(submission.document.patient, candidates)
    if isinstance(found, KnownRequest):
        step = replace(answer.step, request_id=found.request_id)
        told = replace(translation, submission=replace(submission, in_reply_to=found.request_id))
        return Answering(told, AnsweredRequest(found.submission_id, found.legal_entity, step))
    urgent = submission.urgency is Urgency.URGENT
    if found is not Unmatched.UNKNOWN:
        return Answering(translation, parked=Parked(found.value, ADVICE[found], urgent))
    return Answering(translation, item=_question(submission, found, urgent, now))


def _recipient(submission: Submission, directory: Directory, on: date) -> Role | None:
    """Whom the answer goes to: a form names one structure."""
    finess = submission.sender.organisation.finess if submission.sender and submission.sender.organisation else ""
    for recipient in submission.recipients:
        found = directory.resolve(recipient, sender_finess=finess, on=on, legal_entity=submission.legal_entity)
        if found.role is not None:
            return found.role
    return None


def _was_sent_to(legal_entity: str, request: KnownRequest, directory: Directory) -> bool:
    """A request kept by the very entity that answers, or that left for one of its roles."""
    if request.legal_entity == legal_entity:
        return True
    roles = (directory.role(role_id) for role_id in request.role_ids)
    return any(role is not None and legal_entity in directory.finess_of(role) for role in roles)


def _comes_from(request: KnownRequest, recipient: Role | None, ours: str, directory: Directory) -> bool:
    """The structure that the request names as its own, else the entity that sent it; what nobody said contradicts nothing."""
    if recipient is None or (not request.requester_finess and request.legal_entity == ours):
        return True
    return (request.requester_finess or request.legal_entity) in directory.finess_of(recipient)


def _question(submission: Submission, reason: Unmatched, urgent: bool, now: datetime) -> WorkItem:
    return WorkItem(
        id=stable_id(submission.id, "answer", reason.value),
        legal_entity=submission.legal_entity,
        about=WorkAbout.SUBMISSION,
        about_id=submission.id,
        reason=reason.value,
        advice=ADVICE[reason],
        opened_at=now,
        urgent=urgent,
    )
