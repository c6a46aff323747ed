"""What preparing a receipt leaves behind: the sum type that the ledger commits in one transaction.

Source: blueprint §1, verb *prepare*. A receipt gives 0..n effects: documents, proofs of what was sent, words on a patient's
identity, or the reason why it asks for nothing, or waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adapter.model.confidential import Confidential
from adapter.model.evidence import Evidence
from adapter.model.finding import Finding
from adapter.model.patient import IdentityUpdate
from adapter.model.request import RequestAnswer, RequestStep
from adapter.model.submission import AcksWanted, Submission


@dataclass(frozen=True, repr=False)
class UnreadNode(Confidential):
    """A source node that holds a value which nothing read. `path` names it; `excerpt` may hold content.

    `kind` says what sort of value it is (code, date, quantity, identifier, text…), `reason` why it was left.
    """

    path: str
    excerpt: str = ""
    kind: str = "text"
    reason: str = "no rule reads it"


@dataclass(frozen=True)
class IgnoredPattern:
    """What the mapping files leave aside on purpose: the pattern, why, and how many values it covered."""

    pattern: str
    reason: str
    count: int


@dataclass(frozen=True)
class LegalItem:
    """One item that the law wants in a letter, and whether it is `present`, `negative` (said not to be) or `missing`."""

    code: str
    label: str
    state: str
    law: str = ""


@dataclass(frozen=True, repr=False)
class Translation(Confidential):
    """One source understood: its envelope, its FHIR document, what was not read, what was said on the way.

    `bundle` is the document Bundle as plain JSON data, ready to be written. `source_document` is the byte-exact document
    that travels (the CDA of OBX-5, the form as received). `mapping_revision` names the mapping files used.
    `read_count` and `ignored` complete the account of the source's values; `legal` lists what the law wants of such a letter;
    `source_map` says for a resource id where in the source it comes from. `answer`: what it tells of an earlier request.
    """

    submission: Submission
    bundle: dict[str, object]
    source_document: bytes
    source_media_type: str
    unread: tuple[UnreadNode, ...] = ()
    findings: tuple[Finding, ...] = ()
    steps: tuple[RequestStep, ...] = ()
    mapping_revision: str = ""
    read_count: int = 0
    ignored: tuple[IgnoredPattern, ...] = ()
    legal: tuple[LegalItem, ...] = ()
    source_map: Mapping[str, str] = field(default_factory=dict)
    answer: RequestAnswer | None = None


@dataclass(frozen=True)
class Ignored:
    """The receipt asks for nothing that we do, and says why."""

    reason: str


@dataclass(frozen=True, repr=False)
class Refusal(Confidential):
    """What the sender of a mail that waits for a person is told at once: whom to tell, and the cause (`mappings/acks.csv`)."""

    asked: AcksWanted
    cause: str


@dataclass(frozen=True)
class Parked:
    """The receipt waits for a person: why and what to do.

    `answers`: references of ours that it answers, surest first (a person's mail about a letter): noted on that delivery.
    `refusal`: what its sender is told meanwhile, if they asked.
    """

    reason: str
    advice: str
    urgent: bool = False
    phone_line: str = ""
    answers: tuple[str, ...] = ()
    refusal: Refusal | None = None


# What a reader gives for one arrival, in the source's order; the pipeline sorts them and the ledger commits them together.
Effect = Translation | Evidence | IdentityUpdate | Ignored | Parked
