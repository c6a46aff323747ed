"""What the shared record's store takes and gives: rows, new resources, conditions of a search, a reader's sight. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from adapter.model.confidential import Confidential


@dataclass(frozen=True)
class Openness:
    """Who may see a document: R4's confidentiality code, and the French marks of visibility."""

    confidentiality: str = "N"
    masked: bool = False
    hidden_from_patient: bool = False
    hidden_from_family: bool = False


@dataclass(frozen=True)
class Row:
    """A resource as it is held, without its content. `state` is the FHIR status, where the type has one."""

    id: str
    kind: str
    version: int
    state: str
    patient_id: str
    feeder: str
    organisation: str
    media_type: str
    openness: Openness
    dated_at: datetime
    changed_at: datetime


@dataclass(frozen=True, repr=False)
class Indexes(Confidential):
    """By what a resource is found: (parameter, text) pairs, and (parameter, start, end) stretches of time, each once."""

    tokens: tuple[tuple[str, str], ...] = ()
    spans: tuple[tuple[str, datetime, datetime], ...] = ()


@dataclass(frozen=True, repr=False)
class NewResource(Confidential):
    """A resource to hold. `unique` is what may exist once in a legal entity for this type; empty: nothing."""

    id: str
    kind: str
    content: bytes
    state: str
    patient_id: str = ""
    unique: str = ""
    feeder: str = ""
    organisation: str = ""
    media_type: str = ""
    openness: Openness = field(default_factory=Openness)
    dated_at: datetime | None = None
    indexes: Indexes = field(default_factory=Indexes)
    links: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class AnyToken(Confidential):
    """One of these texts is indexed under the parameter."""

    parameter: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A FHIR date prefix and the stretch of time that it compares with."""

    prefix: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class AnySpan:
    """A stretch of time of the parameter holds against one of these; `changed` compares with the last change."""

    parameter: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class OfPatients:
    """About one of these patients."""

    patient_ids: tuple[str, ...]


@dataclass(frozen=True)
class InStates:
    """In one of these states."""

    states: tuple[str, ...]


@dataclass(frozen=True)
class WithIds:
    """One of these resources."""

    ids: tuple[str, ...]


Condition = AnyToken | AnySpan | OfPatients | InStates | WithIds


@dataclass(frozen=True)
class Sight:
    """Which documents a caller sees; sets, folders and bytes follow their documents.

    `levels`: confidentiality codes; `unmasks_for`: the organisation whose own documents stay visible when masked (empty: none);
    `fed_by`: only what this organisation fed.
    """

    levels: frozenset[str] = frozenset()
    sees_masked: bool = False
    unmasks_for: str = ""
    hides_from_patient: bool = False
    hides_from_family: bool = False
    fed_by: str | None = None


class Order(StrEnum):
    """By what results are ordered; ids decide between equals."""

    DATED = "dated"
    CHANGED = "changed"


@dataclass(frozen=True)
class Slice:
    """Which part of an ordered result: `count` rows after the one that `after` (instant, id) names."""

    order: Order = Order.DATED
    descending: bool = True
    count: int = 50
    after: tuple[datetime, str] | None = None


# The token under which a document's author organisations are kept, for `Sight.unmasks_for`.
AUTHOR_ORGANISATION = "author-organisation"
