"""What a document is, whatever its format: identity, version, type, people, dates, confidentiality, body kind.

Source: CI-SIS structuration minimale (CDA header) and XDS DocumentEntry, which everything else is derived from.
Times are ISO 8601 with zone, or shorter when the source is (`2019-12-03`); `literal` forms stay in the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation, Party


class BodyKind(StrEnum):
    """How structured the source's body is."""

    PDF_IN_CDA = "cda-n1"
    STRUCTURED_CDA = "cda-n3"
    FORM = "form"
    PDF = "pdf"
    FHIR = "fhir"


@dataclass(frozen=True)
class Code:
    """A code with its system (OID or FHIR URI, as the holder says) and label."""

    code: str = ""
    system: str = ""
    label: str = ""


@dataclass(frozen=True)
class ServiceEvent:
    """An act that the document tells of (documentationOf): the first one is the principal act."""

    code: Code = field(default_factory=Code)
    start: str = ""
    end: str = ""
    performer: Party | None = None
    identifier: str = ""


@dataclass(frozen=True)
class Stay:
    """The encounter during which the document was made (componentOf)."""

    class_code: str = ""
    class_system: str = ""
    class_label: str = ""
    start: str = ""
    end: str = ""
    facility_type: Code = field(default_factory=Code)
    identifiers: tuple[tuple[str, str], ...] = ()
    organisation: Organisation | None = None


@dataclass(frozen=True)
class ReferringParty:
    """A participant of the document: médecin traitant (INF + PCP), referrer (REF, REFB)…"""

    type_code: str
    function_code: str
    party: Party


@dataclass(frozen=True, repr=False)
class DocumentHeader:
    """Everything about a document but its clinical content.

    `unique_id`: the document's own id, `root` or `root^extension` (OID or UUID). `set_id`: common to all versions.
    `replaces`: unique id of the parent document (relatedDocument RPLC) or empty.
    `confidentiality`: N, R or V. `language`: `fr-FR`. `template_ids`: CDA templates, in source order.
    """

    unique_id: str
    type: Code
    title: str
    created: str
    patient: PatientIdentity
    authors: tuple[Party, ...]
    custodian: Organisation
    body: BodyKind
    set_id: str = ""
    version: int = 1
    replaces: str = ""
    confidentiality: str = "N"
    confidentiality_label: str = "Normal"
    language: str = "fr-FR"
    legal_authenticator: Party | None = None
    participants: tuple[ReferringParty, ...] = ()
    service_events: tuple[ServiceEvent, ...] = ()
    stay: Stay | None = None
    template_ids: tuple[str, ...] = ()
    model: str = ""

    def __repr__(self) -> str:
        return f"<DocumentHeader {self.unique_id} type={self.type.code} version={self.version}>"
