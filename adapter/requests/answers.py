"""Which request an answer is about: a number alone is not trusted, since two structures may give the same one.

Law: domain §4-§5 (homonyms, twins), blueprint seams 3, 13, 14. The request was sent to the structure that answers, by the one to
whom the answer goes, about the same person; of several such, the last one sent. Identity is never matched by software alone: this
only refuses what contradicts itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from adapter.ledger.lookup import normalise_name
from adapter.model.confidential import Confidential
from adapter.model.identity import PatientIdentity
from adapter.model.request import KnownRequest


class Unmatched(StrEnum):
    """Why no request is found. `UNKNOWN` leaves and is flagged; the others contradict a request that is known, and wait."""

    UNKNOWN = "unknown-request"
    OTHER_REQUESTER = "answer-other-requester"
    OTHER_PATIENT = "answer-other-patient"


ADVICE = {
    Unmatched.UNKNOWN: "Aucune demande reçue ne porte ce numéro : la réponse part, sans suivi. "
    "Vérifier le numéro avec le demandeur.",
    Unmatched.OTHER_REQUESTER: "La demande de ce numéro vient d'une autre structure que celle à qui la réponse est adressée : "
    "rien ne part. Renvoyer une réponse corrigée, ou appeler le demandeur.",
    Unmatched.OTHER_PATIENT: "La demande de ce numéro concerne une autre identité que celle de la réponse : rien ne part. "
    "Vérifier le patient et le numéro, puis renvoyer une réponse corrigée.",
}


@dataclass(frozen=True, repr=False)
class Candidate(Confidential):
    """A request of that number: whether it was sent to the structure that answers, and by the one that the answer goes to."""

    request: KnownRequest
    was_sent_to_us: bool
    comes_from_recipient: bool


def choose_request(patient: PatientIdentity, candidates: Sequence[Candidate]) -> KnownRequest | Unmatched:
    """The request answered, or why there is none. `candidates` come newest first."""
    ours = [one for one in candidates if one.was_sent_to_us]
    if not ours:
        return Unmatched.UNKNOWN
    theirs = [one for one in ours if one.comes_from_recipient]
    if not theirs:
        return Unmatched.OTHER_REQUESTER
    same = [one.request for one in theirs if may_be_same_person(one.request.patient, patient)]
    return same[0] if same else Unmatched.OTHER_PATIENT


def may_be_same_person(one: PatientIdentity, other: PatientIdentity) -> bool:
    """True unless birth dates, family names or first given names contradict each other."""
    births = (one.birth_date, other.birth_date)
    if not (births[0].startswith(births[1]) or births[1].startswith(births[0])):
        return False
    if not _meet(_family_names(one), _family_names(other)):
        return False
    return _meet(_given_names(one), _given_names(other))


def _family_names(patient: PatientIdentity) -> set[str]:
    return {normalise_name(name) for name in (patient.birth_name, patient.used_name)} - {""}


def _given_names(patient: PatientIdentity) -> set[str]:
    """The first of each list: twins differ by it."""
    return {normalise_name(name).partition(" ")[0] for name in (patient.first_given, patient.used_given)} - {""}


def _meet(one: set[str], other: set[str]) -> bool:
    return not one or not other or bool(one & other)
