"""What an entry letter lists: treatments, allergies, past illnesses, operations, each in its writer's words.

A code is carried only when the writer gave it; nothing is guessed from words, and a status that was not said is not written.
"""

from __future__ import annotations

import re
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated

Resource = dict[str, Any]

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_CODE = re.compile(r"[A-Z0-9][A-Z0-9.+\-]{0,19}")
_SEVERITIES = {"legere": "mild", "moderee": "moderate", "grave": "severe"}


def _resource(kind: str, resource_id: str, caption: str, **elements: Any) -> Resource:
    said = {key: value for key, value in elements.items() if value not in ("", None, [], {})}
    return {"resourceType": kind, "id": resource_id, "text": generated(caption), **said}


def admission_treatment(
    *, resource_id: str, subject: Resource, source: Resource, asserted: str, name: str, dosage: str, note: str
) -> Resource:
    """A treatment that the patient has when coming in."""
    return _resource(
        "MedicationStatement",
        resource_id,
        " – ".join(part for part in (name, dosage, note) if part),
        status="active",
        medicationCodeableConcept={"text": name},
        subject=subject,
        dateAsserted=asserted,
        informationSource=source,
        note=[{"text": note}] if note else [],
        dosage=[{"text": dosage}] if dosage else [],
    )


def known_allergy(*, resource_id: str, subject: Resource, product: str, reaction: str, severity: str) -> Resource:
    """An allergy or intolerance that the writer knows of."""
    told: Resource = {"manifestation": [{"text": reaction or "Réaction non précisée"}]}
    if severity:
        told["severity"] = _SEVERITIES[severity]
    return _resource(
        "AllergyIntolerance",
        resource_id,
        " – ".join(part for part in (product, reaction) if part),
        clinicalStatus={"coding": [{"system": f"{_TERMINOLOGY}allergyintolerance-clinical", "code": "active"}]},
        verificationStatus={"coding": [{"system": f"{_TERMINOLOGY}allergyintolerance-verification", "code": "unconfirmed"}]},
        code={"text": product},
        patient=subject,
        reaction=[told] if reaction or severity else [],
    )


def past_illness(*, resource_id: str, subject: Resource, name: str, code: str, since: str, active: str) -> Resource:
    """An illness of the past or of today: `active` is true, false or unsaid."""
    status = {"true": "active", "false": "inactive"}.get(active, "")
    return _resource(
        "Condition",
        resource_id,
        name,
        clinicalStatus={"coding": [{"system": f"{_TERMINOLOGY}condition-clinical", "code": status}]} if status else {},
        code=_concept(name, p.CIM10, code),
        subject=subject,
        onsetDateTime=since,
    )


def past_operation(*, resource_id: str, subject: Resource, name: str, code: str, on: str) -> Resource:
    """An operation that was done."""
    return _resource(
        "Procedure",
        resource_id,
        name,
        status="completed",
        code=_concept(name, p.CCAM, code),
        subject=subject,
        performedDateTime=on,
    )


def _concept(text: str, system: str, code: str) -> Resource:
    """The words, and the code when it can be one: what only looks like a code stays in the filled form."""
    written = code.strip().upper()
    return {"coding": [{"system": system, "code": written}], "text": text} if _CODE.fullmatch(written) else {"text": text}
