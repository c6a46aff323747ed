"""A request's living state: append-only steps, from which the FHIR Task is projected. The order itself never changes.

Sources: domain §2 row 7 (accepted, refused, more information, scheduled), §5 (pathways), §3 (delays by agreement).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from adapter.model.confidential import Confidential
from adapter.model.identity import PatientIdentity


class StepKind(StrEnum):
    """What happened to a request. Values are stored: never rename."""

    REQUESTED = "requested"
    MORE_INFORMATION = "more-information"
    ORIENTATION = "orientation"
    ACCEPTED = "accepted"
    SCHEDULED = "scheduled"
    REJECTED = "rejected"


@dataclass(frozen=True, repr=False)
class RequestStep(Confidential):
    """One step. `answer_due` is the instant by which an answer is owed (agreement, default 48 h elapsed).

    `planned_start` and `planned_end` are ISO days or instants as written: the stay or the consultation that an answer gives.
    `note` is said by a person. `answer_document` names the document that told of the step, empty for the request's own.
    """

    request_id: str
    kind: StepKind
    at: datetime
    by: str
    answer_due: datetime | None = None
    note: str = ""
    planned_start: str = ""
    planned_end: str = ""
    answer_document: str = ""


@dataclass(frozen=True, repr=False)
class RequestAnswer(Confidential):
    """What an answer says of a request that it knows by its number only: `step` has no request id until one is found."""

    number: str
    step: RequestStep


@dataclass(frozen=True, repr=False)
class KnownRequest(Confidential):
    """A request that the ledger keeps, as an answer must recognise it: whose, about whom, sent to which roles."""

    submission_id: str
    legal_entity: str
    request_id: str
    patient: PatientIdentity
    requester_finess: str
    role_ids: tuple[str, ...]
    asked_at: datetime


@dataclass(frozen=True, repr=False)
class AnsweredRequest(Confidential):
    """A request found for an answer, and the step to append to it."""

    submission_id: str
    legal_entity: str
    step: RequestStep


@dataclass(frozen=True)
class Asked:
    """Which form is sent to whom, by whom and on which civil day: what the directory is asked about."""

    form: str
    target: str
    requester_finess: str
    legal_entity: str
    on: date


@dataclass(frozen=True)
class Terms:
    """What the directory says of a request: how the service takes it, and the delays of the agreement in force, by their names.

    Empty where it says nothing: the form's own defaults hold. `switched_off`: the form's alerts that the target will not have.
    """

    pathway: str = ""
    agreed: Mapping[str, int] = field(default_factory=dict)
    switched_off: frozenset[str] = frozenset()


TermsOf = Callable[[Asked], Terms]


def no_terms(_asked: Asked) -> Terms:
    """Without a directory: the form's defaults."""
    return Terms()
