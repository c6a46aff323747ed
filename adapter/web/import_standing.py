"""Published documents as the Import API reads them: from the ledger to how each stands, with its content opened once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.ledger.ledger import Ledger
from adapter.model.confidential import Confidential
from adapter.model.plan import RecipientPlan
from adapter.model.publication import Publication, Readers
from adapter.model.request import RequestStep
from adapter.model.submission import Submission
from adapter.packaging.published import Standing, document_reference, standings
from adapter.pipeline.visibility import seen_now
from adapter.web.fhir_http import gone, not_found

Resource = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Shown(Confidential):
    """One document: how it stands, its envelope, its FHIR document, its DocumentReference, whom it was planned for."""

    standing: Standing
    submission: Submission
    bundle: Resource
    reference: Resource
    recipients: tuple[RecipientPlan, ...]


def shown_of(ledger: Ledger, readers: Readers, keys: list[str]) -> list[Shown]:
    """These documents, in this order, each once; one that the reader does not see is left out."""
    found = standings(ledger.publications_of(readers, keys))
    return [_shown(ledger, readers, found[key]) for key in dict.fromkeys(keys) if key in found]


def one_shown(ledger: Ledger, readers: Readers, key: str) -> Shown:
    """One document; 404 when the reader sees none of this id."""
    found = shown_of(ledger, readers, [key])
    if not found:
        raise not_found()
    return found[0]


def shown_named(ledger: Ledger, readers: Readers, name: str) -> Shown:
    """The current document that bears a name, or of which a part does; 404 when there is none, 410 when it stands no more."""
    named = ledger.named_publications(readers, name)
    if not named:
        raise not_found()
    shown = shown_of(ledger, readers, [one.document_key for one in named])
    current = [one for one in shown if one.standing.has_content]
    if not current:
        raise gone()
    return current[-1]


def steps_of(ledger: Ledger, shown: Shown) -> list[RequestStep]:
    """What happened to the request that a document holds, oldest first; none for a letter.

    A request sent again under another identity has a new number: its life goes on under the first one.
    """
    header, entity = shown.submission.document, shown.submission.legal_entity
    of_either = (ledger.request_steps(one, legal_entity=entity) for one in (header.unique_id, header.replaces) if one)
    return next(filter(None, of_either), [])


def publication_of(standing: Standing, publication_id: str) -> Publication | None:
    """One publication among those of a document."""
    return next((one for one in standing.publications if one.id == publication_id), None)


def _shown(ledger: Ledger, readers: Readers, standing: Standing) -> Shown:
    kept = ledger.kept_submission(standing.head.submission_id, legal_entity=readers.legal_entity)
    bundle: Resource = dict(kept.translation.bundle)
    submission = seen_now(ledger, kept.translation.submission)
    reference = document_reference(standing, submission, bundle)
    return Shown(standing, submission, bundle, reference, kept.plan.recipients)
