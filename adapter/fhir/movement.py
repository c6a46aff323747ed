"""What a hospital tells of a patient beside their documents: the stay, who is close to them, what they agreed to.

Source: FR Core 2.2.0 (Encounter, RelatedPerson), R4 (Consent). FR Core's RelatedPerson wants an identifier, which NK1 has not:
it gets a temporary one of ours.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.identity import addresses, telecoms
from adapter.fhir.narrative import clean_text, generated
from adapter.model.document import Code
from adapter.model.patient import Contact

Resource = dict[str, Any]

_V2 = "http://terminology.hl7.org/CodeSystem/v2-"
EXT_HL7_VALUE = p.OURS + "hl7v2-value"  # a value of a message that FHIR has no element for, with its place
_CONSENT_SCOPE = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]}
_CONSENT_RULE = {"text": "Tel que recueilli par l'établissement"}


def v2_concept(table: str, code: Code) -> Resource:
    """A code of an HL7 v2 table; its own system when the source names one."""
    coding: Resource = {"system": f"{_V2}{table}"}
    if code.system and not code.system.startswith("HL7"):
        coding = {"system": f"{p.OUR_CODES}{code.system}"} if " " not in code.system else {}
    if code.code:
        coding["code"] = code.code
    if code.label:
        coding["display"] = code.label
    return {"coding": [coding]} if code.code else {"text": code.label}


def related_person(contact: Contact, resource_id: str, patient: Resource) -> Resource:
    """Somebody close to the patient."""
    name = {
        key: value for key, value in (("family", contact.family), ("given", [contact.given] if contact.given else [])) if value
    }
    caption = " ".join(part for part in (contact.given, contact.family) if part) or "Proche"
    told = (("0063", contact.relationship, contact.relationship_label), ("0131", contact.role, contact.role_label))
    relations = [v2_concept(table, Code(code, label=label)) for table, code, label in told if code or label]
    resource: Resource = {
        "resourceType": "RelatedPerson",
        "id": resource_id,
        "text": generated(caption),
        "identifier": [{"use": "temp", "system": p.URI_SYSTEM, "value": f"urn:uuid:{resource_id}"}],
        "patient": patient,
    }
    return resource | _filled(
        relationship=relations,
        name=[name] if name else [],
        telecom=telecoms(contact.telecoms),
        address=addresses(contact.addresses),
        period={"end": contact.until} if contact.until else {},
    )


def consent(resource_id: str, patient: Resource, *, topic: str, code: str, label: str, permits: bool | None, at: str) -> Resource:
    """What the patient said of one use; not asked is a proposal, never an agreement."""
    resource: Resource = {
        "resourceType": "Consent",
        "id": resource_id,
        "text": generated(f"{topic} : {label}"),
        "status": "proposed" if permits is None else "active",
        "scope": _CONSENT_SCOPE,
        "category": [{"coding": [{"system": p.OUR_CODES + "consent", "code": code, "display": label}], "text": topic}],
        "patient": patient,
    }
    if at:
        resource["dateTime"] = at
    resource["policyRule"] = _CONSENT_RULE
    if permits is not None:
        resource["provision"] = {"type": "permit" if permits else "deny"}
    return resource


def encounter(resource_id: str, patient: Resource, *, caption: str, status: str, stay_class: Resource, **more: Any) -> Resource:
    """A stay or a movement of it. The profile is claimed only with the number that it demands."""
    resource: Resource = {"resourceType": "Encounter", "id": resource_id, "text": generated(caption)}
    if more.get("identifier"):
        resource["meta"] = {"profile": [p.ENCOUNTER]}
    resource |= {"status": status, "class": stay_class, "subject": patient}
    return resource | _filled(**more)


def carried(place: str, value: str) -> Resource:
    """A value kept with its place in the message."""
    return {"url": EXT_HL7_VALUE, "extension": [_text("place", place), _text("value", clean_text(value))]}


def _text(url: str, value: str) -> Resource:
    return {"url": url, "valueString": value}


def marital_status(code: Code) -> Resource:
    """PID-16: the codes that HL7 v3 shares with table 0002, else the table's own."""
    if code.code in ("M", "S", "D", "W", "A", "P"):
        shared = {"S": "S", "M": "M", "D": "D", "W": "W", "A": "L", "P": "T"}[code.code]
        return {"coding": [{"system": p.V3 + "MaritalStatus", "code": shared}, {"system": f"{_V2}0002", "code": code.code}]}
    return v2_concept("0002", code)


def _filled(**elements: Any) -> Resource:
    return {key: value for key, value in elements.items() if value not in ("", None, [], {})}
