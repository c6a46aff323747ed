"""What stands beside an order: the filled questionnaire, conditions, allergies, measures and treatments that it told of.

Source: fhir-profiles §5. Law: the questionnaire's full answers (No and Unknown included) are the truth; each Yes is *also* a
coded resource, never more certain than the form: no type of diabetes, no stage of renal failure, an allergy unconfirmed.
A No makes no resource: absence of an answer and absence of a disease must not look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.narrative import generated
from adapter.model.confidential import Confidential
from adapter.model.document import Code

Resource = dict[str, Any]

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_CREATININE_MOLES = Code("14682-9", p.LOINC, "Creatinine [Moles/volume] in Serum or Plasma")
_CREATININE_MASS = Code("2160-0", p.LOINC, "Creatinine [Mass/volume] in Serum or Plasma")
_BODY_WEIGHT = Code("29463-7", p.LOINC, "Body weight")
_GESTATIONAL_AGE = Code("76516-4", p.LOINC, "Gestational age--at birth")
MICROMOLES_PER_MG_PER_LITRE = Decimal("8.84")


@dataclass(frozen=True, repr=False)
class ResponseItem(Confidential):
    """One item of a filled questionnaire: `values` are FHIR `value[x]` pairs (`("valueDate", "1979-03")`)."""

    link_id: str
    text: str
    values: tuple[tuple[str, Any], ...] = ()
    items: tuple[ResponseItem, ...] = ()


@dataclass(frozen=True, repr=False)
class Creatinine(Confidential):
    """A creatinine as written: `unit` is `umol/L`, `mg/L` or empty, `on` an ISO date (any precision) or empty."""

    value: Decimal
    unit: str = ""
    on: str = ""


def questionnaire_response(
    *,
    resource_id: str,
    canonical: str,
    items: tuple[ResponseItem, ...],
    subject: Resource,
    author: Resource,
    authored: str,
    identifier: Resource,
) -> Resource:
    """The whole filled form, completed."""
    return {
        "resourceType": "QuestionnaireResponse",
        "id": resource_id,
        "text": generated("Formulaire rempli par le prescripteur"),
        "identifier": identifier,
        "questionnaire": canonical,
        "status": "completed",
        "subject": subject,
        "authored": authored,
        "author": author,
        "item": [_item(item) for item in items],
    }


def _item(item: ResponseItem) -> Resource:
    result: Resource = {"linkId": item.link_id, "text": item.text}
    if item.values:
        result["answer"] = [{name: value} for name, value in item.values]
    if item.items:
        result["item"] = [_item(below) for below in item.items]
    return result


def condition(*, resource_id: str, subject: Resource, codes: tuple[Code, ...], text: str) -> Resource:
    """A disease that the prescriber answered yes to."""
    return {
        "resourceType": "Condition",
        "id": resource_id,
        "text": generated(text),
        "clinicalStatus": _status("condition-clinical", "active"),
        "verificationStatus": _status("condition-ver-status", "confirmed"),
        "category": [_status("condition-category", "problem-list-item")],
        "code": {"coding": [_coding(code) for code in codes], "text": text},
        "subject": subject,
    }


def iodine_allergy(*, resource_id: str, subject: Resource, text: str) -> Resource:
    """The allergy that the form names as a contra-indication to iodine; unconfirmed, since the form only ticks it."""
    return {
        "resourceType": "AllergyIntolerance",
        "id": resource_id,
        "text": generated(text),
        "clinicalStatus": _status("allergyintolerance-clinical", "active"),
        "verificationStatus": _status("allergyintolerance-verification", "unconfirmed"),
        "category": ["medication"],
        "criticality": "unable-to-assess",
        "code": {"coding": [_coding(Code("MED-1105", p.CISIS, "Hypersensibilité au PDC iodé"))], "text": text},
        "patient": subject,
    }


def medication_statement(*, resource_id: str, subject: Resource, text: str, asserted: str, source: Resource) -> Resource:
    """A current treatment, in the prescriber's own words: free text is never guessed into a drug code here."""
    return {
        "resourceType": "MedicationStatement",
        "id": resource_id,
        "text": generated(text),
        "status": "active",
        "medicationCodeableConcept": {"text": text},
        "subject": subject,
        "dateAsserted": asserted,
        "informationSource": source,
    }


def creatinine_observations(
    creatinine: Creatinine, *, ids: tuple[str, str], subject: Resource, no_unit: str, converted: str
) -> list[Resource]:
    """The creatinine as written; in mg/L, a second observation in µmol/L derived from it. Without a unit it stays text."""
    written = decimal_text(creatinine.value)
    if creatinine.unit == "umol/L":
        return [_laboratory(ids[0], subject, _CREATININE_MOLES, creatinine, _quantity(creatinine.value, "umol/L"))]
    if creatinine.unit != "mg/L":
        text = f"{written} ({no_unit})"
        resource = _laboratory(ids[0], subject, Code(label="Créatinine"), creatinine, None)
        return [resource | {"text": generated(f"Créatinine {text}"), "valueString": text}]
    first = _laboratory(ids[0], subject, _CREATININE_MASS, creatinine, _quantity(creatinine.value, "mg/L"))
    moles = (creatinine.value * MICROMOLES_PER_MG_PER_LITRE).quantize(Decimal("0.1"))
    second = _laboratory(ids[1], subject, _CREATININE_MOLES, creatinine, _quantity(moles, "umol/L"))
    second |= {"note": [{"text": converted}], "derivedFrom": [{"reference": f"urn:uuid:{ids[0]}"}]}
    return [first, second]


def _laboratory(resource_id: str, subject: Resource, code: Code, measured: Creatinine, quantity: Resource | None) -> Resource:
    caption = f"Créatinine {quantity['value']} {quantity['unit']}".replace(".", ",") if quantity else "Créatinine"
    resource: Resource = {
        "resourceType": "Observation",
        "id": resource_id,
        "text": generated(caption),
        "status": "final",
        "category": [_status("observation-category", "laboratory")],
        "code": {"coding": [_coding(code)], "text": "Créatinine"} if code.code else {"text": code.label},
        "subject": subject,
    }
    if measured.on:
        resource["effectiveDateTime"] = measured.on
    if quantity:
        resource["valueQuantity"] = quantity
    return resource


def body_weight(*, resource_id: str, subject: Resource, kilograms: Decimal, on: str) -> Resource:
    """The weight written on the form, taken as that of the request's day (the vital-signs profile wants a time)."""
    return {
        "resourceType": "Observation",
        "id": resource_id,
        "meta": {"profile": [p.BODY_WEIGHT]},
        "text": generated(f"Poids {decimal_text(kilograms)} kg"),
        "status": "final",
        "category": [_status("observation-category", "vital-signs")],
        "code": {"coding": [_coding(_BODY_WEIGHT)], "text": "Poids"},
        "subject": subject,
        "effectiveDateTime": on,
        "valueQuantity": _quantity(kilograms, "kg"),
    }


def gestational_age(*, resource_id: str, subject: Resource, text: str, weeks: int | None, days: int = 0) -> Resource:
    """The term of birth: weeks as `wk`, weeks and days exactly as days, anything else as the text written."""
    resource: Resource = {
        "resourceType": "Observation",
        "id": resource_id,
        "text": generated(f"Terme de naissance : {text}"),
        "status": "final",
        "category": [_status("observation-category", "exam")],
        "code": {"coding": [_coding(_GESTATIONAL_AGE)], "text": "Terme de naissance"},
        "subject": subject,
    }
    if weeks is None:
        return resource | {"valueString": text}
    quantity = _quantity(Decimal(weeks * 7 + days), "d") if days else _quantity(Decimal(weeks), "wk")
    return resource | {"valueQuantity": quantity, "note": [{"text": text}]}


def patient_informed(*, resource_id: str, subject: Resource, informed: bool) -> Resource:
    """Whether the patient was told of the exam's risks (MED-1130 of the imaging request volet)."""
    return {
        "resourceType": "Observation",
        "id": resource_id,
        "text": generated(f"Patient informé des risques de l’examen : {'oui' if informed else 'non'}"),
        "status": "final",
        "code": {"coding": [{"system": p.CISIS, "code": "MED-1130"}], "text": "Patient informé des risques de l’examen"},
        "subject": subject,
        "valueBoolean": informed,
    }


def detected_issue(
    *,
    resource_id: str,
    subject: Resource,
    code: Code,
    title: str,
    detail: tuple[str, ...],
    implicated: tuple[Resource, ...],
    evidence: Resource,
    author: Resource,
    identified: str,
) -> Resource:
    """A risk that software points at, for a person to decide: preliminary, without a severity of its own.

    `code` is ours, beside the category of HL7 (therapeutic product alert).
    """
    category = {"system": p.V3_ACT_CODE, "code": "TPROD", "display": "Therapeutic Product Alert"}
    return {
        "resourceType": "DetectedIssue",
        "id": resource_id,
        "text": generated(" ".join((title, *detail))),
        "status": "preliminary",
        "code": {"coding": [category, _coding(code)], "text": title},
        "patient": subject,
        "identifiedDateTime": identified,
        "author": author,
        "implicated": list(implicated),
        "evidence": [{"detail": [evidence]}],
        "detail": " ".join(detail),
    }


def decimal_text(value: Decimal) -> str:
    """A number as a French reader writes it."""
    return format(value, "f").replace(".", ",")


def json_number(value: Decimal) -> int | float:
    """A number for JSON: whole numbers without a point."""
    return int(value) if value == value.to_integral_value() else float(value)


_UNIT_WORDS = {"umol/L": "µmol/L", "wk": "semaines", "d": "jours"}


def _quantity(value: Decimal, unit: str) -> Resource:
    return {"value": json_number(value), "unit": _UNIT_WORDS.get(unit, unit), "system": p.UCUM, "code": unit}


def _coding(code: Code) -> Resource:
    coding: Resource = {"system": code.system, "code": code.code}
    if code.label:
        coding["display"] = code.label
    return coding


def _status(system: str, code: str) -> Resource:
    return {"coding": [{"system": f"{_TERMINOLOGY}{system}", "code": code}]}
