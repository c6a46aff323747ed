"""Who the record's clients are and what each may do and see: pure decisions.

Law: PDSm 3.1.1 (J08: MASQUE_PS, INVISIBLE_PATIENT, INVISIBLE_REPRESENTANTS_LEGAUX), blueprint seams 13, 15, 16. Under 18, who
reads for a patient may be a parent: what is invisible to representatives is then hidden. A masked document stays visible to the
structure that wrote it. An administrator sees consents and traces, never a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from adapter.fhir import profiles as p
from adapter.ledger.record_rows import Openness, Sight
from adapter.record.refusals import refused

MAJORITY_YEARS = 18
VISIBILITY_CODES = frozenset({"MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"})
# From open to closed (v3-Confidentiality); what a document does not say is normal.
LEVELS = ("U", "L", "M", "N", "R", "V")


class ClientKind(StrEnum):
    """What a client is, and so what it may do."""

    FEEDER = "feeder"
    PROFESSIONAL = "professional"
    PATIENT = "patient"
    ADMINISTRATOR = "administrator"


class Deed(StrEnum):
    """What is done to the record."""

    FEED = "feed"
    READ_DOCUMENTS = "read-documents"
    READ_PATIENTS = "read-patients"
    ADMINISTER = "administer"


_ALLOWED: Mapping[ClientKind, frozenset[Deed]] = {
    ClientKind.FEEDER: frozenset({Deed.FEED, Deed.READ_DOCUMENTS, Deed.READ_PATIENTS}),
    ClientKind.PROFESSIONAL: frozenset({Deed.READ_DOCUMENTS, Deed.READ_PATIENTS}),
    ClientKind.PATIENT: frozenset({Deed.READ_DOCUMENTS, Deed.READ_PATIENTS}),
    ClientKind.ADMINISTRATOR: frozenset({Deed.READ_PATIENTS, Deed.ADMINISTER}),
}


@dataclass(frozen=True)
class Client:
    """A program that speaks to the record, for one legal entity.

    `organisation` is the FINESS that it speaks for; `highest_level` the most confidential documents that it reads.
    """

    name: str
    kind: ClientKind
    legal_entity: str
    organisation: str = ""
    highest_level: str = "N"

    @property
    def speaks_for(self) -> str:
        """Whose documents it feeds: its organisation, else itself."""
        return self.organisation or f"client:{self.name}"


def check_may(client: Client, deed: Deed) -> None:
    """RecordRefusal when this kind of client does no such thing."""
    if deed not in _ALLOWED[client.kind]:
        raise refused("record.role")


def must_name_patient(client: Client) -> bool:
    """Whether a search of documents must say whose: only a feeder, who sees its own, may ask for all."""
    return client.kind is not ClientKind.FEEDER


def sight_of(client: Client, *, is_minor: bool) -> Sight:
    """Which documents a client sees of a patient."""
    match client.kind:
        case ClientKind.FEEDER:
            return Sight(frozenset(LEVELS), sees_masked=True, fed_by=client.speaks_for)
        case ClientKind.PROFESSIONAL:
            levels = frozenset(LEVELS[: LEVELS.index(client.highest_level) + 1])
            return Sight(levels, unmasks_for=client.organisation)
        case ClientKind.PATIENT:
            return Sight(frozenset(LEVELS), sees_masked=True, hides_from_patient=True, hides_from_family=is_minor)
        case ClientKind.ADMINISTRATOR:
            return Sight()


def openness_of(document: Mapping[str, Any]) -> Openness:
    """The marks of a DocumentReference; of several confidentiality codes the gravest counts."""
    codings = [
        coding
        for label in document.get("securityLabel") or ()
        for coding in label.get("coding") or ()
        if isinstance(coding, dict)
    ]
    codes = {str(coding.get("code", "")) for coding in codings}
    levels = [
        LEVELS.index(str(coding["code"]))
        for coding in codings
        if coding.get("system") in (p.V3_CONFIDENTIALITY, None) and coding.get("code") in LEVELS
    ]
    return Openness(
        confidentiality=LEVELS[max(levels)] if levels else "N",
        masked="MASQUE_PS" in codes,
        hidden_from_patient="INVISIBLE_PATIENT" in codes,
        hidden_from_family="INVISIBLE_REPRESENTANTS_LEGAUX" in codes,
    )


def is_minor(patient: Mapping[str, Any], today: date) -> bool:
    """Under 18 today; unknown or unreadable birth dates count as a minor's: hidden is the safer error."""
    try:
        parts = [int(part) for part in str(patient.get("birthDate", "")).split("-")]
        born = date(parts[0], parts[1] if len(parts) > 1 else 12, parts[2] if len(parts) > 2 else 28)
    except (ValueError, IndexError):
        return True
    birthday = (today.month, today.day) >= (born.month, born.day)
    return today.year - born.year - (0 if birthday else 1) < MAJORITY_YEARS
