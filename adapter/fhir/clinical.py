"""Clinical resources of a document: each function gives one, with what FHIR makes mandatory as named arguments.

Values come ready as FHIR data types; empty ones are left out. A resource carries a caption, so that it can be shown alone.
"""

from __future__ import annotations

import re
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated

Resource = dict[str, Any]

_CLINICAL_STATUS = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
_CONDITION_STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_CONDITION_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_CONDITION_CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
_OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def _resource(kind: str, id_: str, caption: str, elements: Resource) -> Resource:
    found: Resource = {"resourceType": kind, "id": id_, "text": generated(caption)}
    found.update((key, value) for key, value in elements.items() if value or value is False or value == 0)
    return found


def observation(id_: str, caption: str, *, status: str, code: Resource, subject: str, **more: Any) -> Resource:
    """A finding or a fact of the stay."""
    return _resource("Observation", id_, caption, {"status": status, "code": code, "subject": {"reference": subject}, **more})


def medication_statement(id_: str, caption: str, *, status: str, medication: Resource, subject: str, **more: Any) -> Resource:
    """A treatment that the patient has, had, or is to have."""
    fixed = {"status": status, "medicationCodeableConcept": medication, "subject": {"reference": subject}}
    return _resource("MedicationStatement", id_, caption, fixed | more)


def procedure(id_: str, caption: str, *, status: str, code: Resource, subject: str, **more: Any) -> Resource:
    """An act that was done."""
    return _resource("Procedure", id_, caption, {"status": status, "code": code, "subject": {"reference": subject}, **more})


def service_request(id_: str, caption: str, *, status: str, intent: str, code: Resource, subject: str, **more: Any) -> Resource:
    """An act or a follow-up that is asked or planned."""
    fixed = {"status": status, "intent": intent, "code": code, "subject": {"reference": subject}}
    return _resource("ServiceRequest", id_, caption, fixed | more)


def appointment(id_: str, caption: str, *, status: str, participants: list[Resource], **more: Any) -> Resource:
    """A meeting wished or fixed."""
    return _resource("Appointment", id_, caption, {"status": status, "description": caption, "participant": participants, **more})


def allergy_intolerance(id_: str, caption: str, *, clinical_status: str, code: Resource, patient: str, **more: Any) -> Resource:
    """An allergy or intolerance."""
    status = {"coding": [{"system": _CLINICAL_STATUS, "code": clinical_status}]}
    return _resource(
        "AllergyIntolerance", id_, caption, {"clinicalStatus": status, "code": code, "patient": {"reference": patient}, **more}
    )


def condition(
    id_: str, caption: str, *, clinical_status: str, verification: str, category: str, code: Resource, subject: str, **more: Any
) -> Resource:
    """A problem, a diagnosis, something in the past."""
    fixed = {
        "clinicalStatus": {"coding": [{"system": _CONDITION_STATUS, "code": clinical_status}]},
        "verificationStatus": {"coding": [{"system": _CONDITION_VERIFICATION, "code": verification}]} if verification else {},
        "category": [{"coding": [{"system": _CONDITION_CATEGORY, "code": category}]}, *more.pop("kinds", ())],
        "code": code,
        "subject": {"reference": subject},
    }
    return _resource("Condition", id_, caption, fixed | more)


def observation_category(code: str) -> list[Resource]:
    """The category of an observation, as a list; none when nothing says it."""
    return [{"coding": [{"system": _OBSERVATION_CATEGORY, "code": code}]}] if code else []


def resource(kind: str, id_: str, caption: str, **elements: Any) -> Resource:
    """Any resource that FHIR ties to no patient."""
    return _resource(kind, id_, caption, elements)


def about_patient(kind: str, id_: str, caption: str, *, subject: str, **more: Any) -> Resource:
    """Any resource whose `subject` is the patient."""
    return _resource(kind, id_, caption, {**more, "subject": {"reference": subject}})


def of_patient(kind: str, id_: str, caption: str, *, patient: str, **more: Any) -> Resource:
    """Any resource whose `patient` is the patient."""
    return _resource(kind, id_, caption, {**more, "patient": {"reference": patient}})


def device(id_: str, caption: str, *, patient: str, **more: Any) -> Resource:
    """A medical device of the patient."""
    return _resource("Device", id_, caption, {"patient": {"reference": patient}, **more})


def device_use_statement(id_: str, caption: str, *, status: str, subject: str, device_url: str, **more: Any) -> Resource:
    """The use of a device by the patient."""
    fixed = {"status": status, "subject": {"reference": subject}, "device": {"reference": device_url}}
    return _resource("DeviceUseStatement", id_, caption, fixed | more)


def past_encounter(id_: str, caption: str, *, class_coding: Resource, subject: str, period: Resource, **more: Any) -> Resource:
    """A meeting that took place, told by the document."""
    fixed = {
        "meta": {"profile": [p.ENCOUNTER]},
        "status": "finished",
        "class": class_coding,
        "subject": {"reference": subject},
        "period": period,
    }
    return _resource("Encounter", id_, caption, fixed | more)


# GS1 application identifiers of a UDI, written in parentheses or, in CI-SIS examples, in braces.
_UDI_PART = re.compile(r"[({](\d{2,3})[)}]([^({]*)")


def read_udi(text: str) -> dict[str, str]:
    """The parts of a GS1 UDI: `01` device, `17` expiry (YYMMDD), `11` making, `10` lot, `21` serial; empty if it is no GS1."""
    return {key: value.strip() for key, value in _UDI_PART.findall(text)}


def udi_elements(text: str) -> Resource:
    """What a UDI says of a Device. Expiry years are of this century: no UDI is older than 2007."""
    parts = read_udi(text)
    carrier: Resource = {"deviceIdentifier": parts["01"]} if parts.get("01") else {}
    found: Resource = {"udiCarrier": [carrier | {"carrierHRF": text}]}
    for key, name in (("11", "manufactureDate"), ("17", "expirationDate")):
        day = _gs1_day(parts.get(key, ""))
        if day:
            found[name] = day
    if parts.get("10"):
        found["lotNumber"] = parts["10"]
    if parts.get("21"):
        found["serialNumber"] = parts["21"]
    return found


def _gs1_day(text: str) -> str:
    """`301231` → 2030-12-31; day 00 means the month only."""
    if not re.fullmatch(r"\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])", text):
        return ""
    month = f"20{text[:2]}-{text[2:4]}"
    return month if text[4:] == "00" else f"{month}-{text[4:]}"
