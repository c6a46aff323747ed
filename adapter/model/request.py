"""A request's living state: append-only steps, from which the FHIR Task is projected. The order itself never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class StepKind(StrEnum):
    """What happened to a request. Later parts add answers; values are stored."""

    REQUESTED = "requested"


@dataclass(frozen=True)
class RequestStep:
    """One step. `answer_due` is the instant by which an answer is owed (agreement, default 48 h elapsed)."""

    request_id: str
    kind: StepKind
    at: datetime
    by: str
    answer_due: datetime | None = None
    note: str = ""
