"""A document that came by fax and otherwise: recognised in either order, sent once, and asked about when the two differ.

Law: blueprint seam 2 (a known document by another door goes only to recipients not yet served); issue 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from adapter.errors import TduError
from adapter.ledger.ledger import Ledger
from adapter.ledger.records import StoredEffects, StoredSubmission
from adapter.mapping.fax.advice import advice_on
from adapter.mapping.fax.document import CONTENT_KIND, HeldCopy, is_same_content
from adapter.model.confidential import Confidential
from adapter.model.delivery import DeliveryState
from adapter.model.effects import Ignored, Parked
from adapter.model.submission import Urgency
from adapter.model.work_item import WorkAbout, WorkItem
from adapter.pipeline.bundles import bundled
from adapter.pipeline.plan import stable_id

ALREADY_HELD = "fax-already-held"
OTHER_CONTENT = "fax-other-content"
_FAILED = (DeliveryState.REFUSED, DeliveryState.SUPERSEDED, DeliveryState.CANCELLED)
_COMPARABLE = ("cda", "fhir", CONTENT_KIND)


@dataclass(frozen=True, repr=False)
class Unheld(Confidential):
    """What is new of a fax's documents, none that is at odds with what is held; `outcome` when there is such a one, or nothing is
    new. `events`: for its log.
    """

    submissions: tuple[StoredSubmission, ...]
    outcome: Ignored | Parked | None = None
    events: tuple[tuple[str, str], ...] = ()


def unless_held(ledger: Ledger, made: Sequence[StoredSubmission]) -> Unheld:
    """The documents of one fax, without those that every recipient has, or is about to have."""
    new: list[StoredSubmission] = []
    events: list[tuple[str, str]] = []
    at_odds: list[StoredSubmission] = []
    for one in made:
        held = list(_held(ledger, one))
        if any(not _is_same(one, other) for other in held):
            at_odds.append(one)
            continue
        served = {role_id for other in held for role_id in _served(other)}
        events += [(ALREADY_HELD, other.translation.submission.id) for other in held[:1]]
        if not held or {recipient.role_id for recipient in one.plan.recipients} - served:
            new.append(one)
    if at_odds:
        urgent = any(one.translation.submission.urgency is Urgency.URGENT for one in at_odds)
        return Unheld(tuple(new), Parked(OTHER_CONTENT, advice_on(OTHER_CONTENT, ""), urgent), tuple(events))
    return Unheld(tuple(new), Ignored(ALREADY_HELD) if made and not new else None, tuple(events))


def without_held(
    ledger: Ledger, told: StoredEffects, made: Sequence[StoredSubmission], items: Sequence[WorkItem]
) -> StoredEffects:
    """What a fax leaves, without what is held; a question about a recipient goes with its document."""
    unheld = unless_held(ledger, made)
    kept = {one.translation.submission.id for one in unheld.submissions}
    news = replace(told.fax, events=(*told.fax.events, *unheld.events)) if told.fax is not None else None
    asked = tuple(item for item in items if item.about_id in kept)
    outcome = told.outcome or unheld.outcome
    if isinstance(unheld.outcome, Parked):  # whatever else waits, and may be answered or close by itself, hides it never
        outcome = _both(unheld.outcome, told.outcome)
        news = replace(news, joined=()) if news is not None else None
    return replace(told, submissions=bundled(unheld.submissions), work_items=asked, outcome=outcome, fax=news)


def stopped(told: StoredEffects, problem: Parked) -> StoredEffects:
    """Nothing of it is taken. What a fax would have answered goes on being asked, and what else waits of it is told too."""
    if told.fax is None:
        return replace(told, outcome=problem)
    return replace(told, outcome=_both(problem, told.outcome), fax=replace(told.fax, joined=()))


def _both(first: Parked, other: Ignored | Parked | None) -> Parked:
    if not isinstance(other, Parked):
        return first
    advice = f"{first.advice} {other.advice}"
    return replace(first, advice=advice, urgent=first.urgent or other.urgent, phone_line=other.phone_line)


def at_odds_with_fax(ledger: Ledger, made: Sequence[StoredSubmission], now: datetime) -> Iterator[WorkItem]:
    """One question for each document of another door that came by fax before, with other content."""
    for one in made:
        submission = one.translation.submission
        if submission.content_kind not in _COMPARABLE:
            continue
        faxed = [other for other in _held(ledger, one) if other.translation.submission.content_kind == CONTENT_KIND]
        if any(not _is_same(other, one) for other in faxed):
            reason, about = "same-id-other-content", WorkAbout.SUBMISSION
            urgent = submission.urgency is Urgency.URGENT
            named, advice = stable_id(submission.id, "", reason), advice_on(OTHER_CONTENT, "")
            yield WorkItem(named, submission.legal_entity, about, submission.id, reason, advice, now, urgent)


def _held(ledger: Ledger, one: StoredSubmission) -> Iterator[StoredSubmission]:
    """Other submissions of the very document, version and intent; what was purged tells nothing any more."""
    submission = one.translation.submission
    for other_id in ledger.submissions_of(submission.document.unique_id, legal_entity=submission.legal_entity):
        if other_id == submission.id:
            continue
        try:
            other = ledger.kept_submission(other_id, legal_entity=submission.legal_entity)
        except TduError:
            continue
        theirs = other.translation.submission
        if (theirs.document.version, theirs.intent) == (submission.document.version, submission.intent):
            yield other


def _served(held: StoredSubmission) -> Iterator[str]:
    """Roles that have it, are about to, or whose question is a person's; not those whom every way failed."""
    for recipient in held.plan.recipients:
        legs = [delivery for delivery in held.deliveries if delivery.role_id == recipient.role_id]
        if not legs or any(delivery.state not in _FAILED for delivery in legs):
            yield recipient.role_id


def _is_same(faxed: StoredSubmission, other: StoredSubmission) -> bool:
    ours, theirs = faxed.translation, other.translation
    copy = HeldCopy(theirs.submission.document, theirs.submission.content_kind, theirs.source_media_type, theirs.source_document)
    return is_same_content(ours.source_document, ours.submission.document, copy)
