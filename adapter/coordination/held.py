"""What the projections read: the documents that are kept of one patient, each as it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapter.model.confidential import Confidential
from adapter.model.plan import RecipientPlan
from adapter.model.request import RequestStep
from adapter.model.submission import Submission

Resource = dict[str, Any]


@dataclass(frozen=True, repr=False)
class HeldDocument(Confidential):
    """One document in its newest version: its envelope, its FHIR document, whom it was sent to, what became of its request.

    `steps` are those of the request that it holds, oldest first; empty for a letter.
    """

    submission: Submission
    bundle: Resource
    recipients: tuple[RecipientPlan, ...] = ()
    steps: tuple[RequestStep, ...] = ()
