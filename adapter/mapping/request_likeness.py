"""What two requests have in common when they may be one asked twice: patient, exam, requester. Pure.

Each value is kept as a keyed HMAC only. A form on paper has no matricule: names and birth date tell its patient as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapter.fhir.reading import Entries, party_of
from adapter.ledger.lookup import normalise_ins, normalise_name, normalise_name_and_birth
from adapter.model.document import DocumentHeader
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Party, Professional

Fhir = Mapping[str, Any]
_SEPARATOR = "|"


def likeness_of(bundle: Fhir, header: DocumentHeader) -> tuple[str, ...]:
    """One value for each way in which another request may be like one of this document's orders; none without an order."""
    entries = Entries(bundle)
    orders = [entry["resource"] for entry in bundle.get("entry", ()) if entry["resource"].get("resourceType") == "ServiceRequest"]
    found: dict[str, None] = {}
    for order in orders:
        for patient in _patients(header.patient):
            for requester in _requesters(party_of(order.get("requester"), entries)):
                if exam := _exam(order):
                    found[_SEPARATOR.join((patient, exam, requester))] = None
    return tuple(found)


def _patients(patient: PatientIdentity) -> Iterator[str]:
    if patient.ins is not None and normalise_ins(patient.ins.value):
        yield normalise_ins(patient.ins.value)
    for name in dict.fromkeys((patient.birth_name, patient.used_name)):
        if told := normalise_name_and_birth(f"{name}{_SEPARATOR}{patient.birth_date}"):
            yield told.replace(_SEPARATOR, "/")


def _requesters(party: Party | None) -> Iterator[str]:
    """By number and by name: a doctor writes the second on paper."""
    professional = (party.professional if party is not None else None) or Professional()
    if professional.rpps:
        yield professional.rpps
    if name := normalise_name(professional.family):
        yield name


def _exam(order: Fhir) -> str:
    """Kind and place by their codes, else by their words."""
    concepts = [*order.get("category", ()), *order.get("bodySite", ())]
    codes = sorted(str(coding["code"]) for concept in concepts for coding in concept.get("coding", ()) if coding.get("code"))
    codes += sorted(str(coding["code"]) for coding in order.get("code", {}).get("coding", ()) if coding.get("code"))
    has_place = any(concept.get("coding") for concept in order.get("bodySite", ()))
    words = "" if has_place else normalise_name(str(order.get("code", {}).get("text", "")))
    return "+".join([*codes, *([words] if words else [])])
