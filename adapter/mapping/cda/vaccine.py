"""Vaccines (FR-Vaccination) as Immunizations, those advised (FR-Vaccin-recommande) as ImmunizationRecommendations."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda.context import (
    Built,
    EntryContext,
    Fhir,
    authors,
    comments,
    has_template,
    is_negated,
    performers,
    read_basics,
    related,
)
from adapter.mapping.cda.medication import read_product
from adapter.mapping.xml_source import XmlNode

_RANK = ("1.2.250.1.213.1.1.3.82", "1.3.6.1.4.1.19376.1.5.3.1.4.13.6")
_DUE = {"coding": [{"system": "http://loinc.org", "code": "30980-7", "display": "Date vaccine due"}]}
_FORECAST = {"system": "http://terminology.hl7.org/CodeSystem/immunization-recommendation-status", "code": "due"}
_UNKNOWN = {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}


def build_immunization(node: XmlNode, at: EntryContext) -> Built:
    """A vaccine given, or told as not given; one that is only advised is a recommendation."""
    if node.look("moodCode") in ("INT", "PRP", "RQO"):
        return build_recommendation(node, at)
    basics = read_basics(node, at)
    vaccine, names, lot = read_product(node, at)
    label = str(vaccine.get("text") or basics.text or "Vaccin")
    kind = at.values.concept(node.first("code"))
    node.value_at("statusCode/@code")
    extension = [*basics.extension, *names]
    if kind:
        extension.append({"url": p.EXT_ACT_CODE, "valueCodeableConcept": kind})
    dose = at.values.range_or_quantity(node.first("doseQuantity"))
    found = clinical.of_patient(
        "Immunization", at.mint("Immunization"), f"Non fait : {label}" if is_negated(node) else label, patient=at.subject,
        status="not-done" if is_negated(node) else "completed", vaccineCode=vaccine or {"text": label},
        extension=extension, identifier=basics.identifier, encounter=at.encounter, **_given(node, at), lotNumber=lot,
        site=at.values.concept(node.first("approachSiteCode")), route=at.values.concept(node.first("routeCode")),
        doseQuantity=dose[1] if dose[0] == "Quantity" else None,
        performer=[{"actor": actor} for actor in performers(node, at)], note=comments(node, at),
        protocolApplied=_rank(node),
    )  # fmt: skip
    return Built((found,))


def _given(node: XmlNode, at: EntryContext) -> Fhir:
    """When: mandatory, so that an unknown date is told as unknown."""
    time = node.first("effectiveTime")
    if time is not None:
        time.get("xsi:type")
    if time is not None and not time.look("value") and time.first("low") is not None:
        time = time.first("low")
    found = at.values.time(time, "occurrenceDateTime")
    if "occurrenceDateTime" in found:
        return found
    return {"occurrenceString": "Date non précisée", "_occurrenceString": found.get("_occurrenceDateTime") or _UNKNOWN}


def _rank(node: XmlNode) -> list[Fhir]:
    """Which dose of its series it was. The observation itself is kept whole by its link."""
    for _, act in related(node):
        value = act.first("value")
        number = value.look("value") if value is not None and has_template(act, *_RANK) else ""
        if number.isdigit() and int(number) > 0:
            return [{"doseNumberPositiveInt": int(number)}]
    return []


def build_recommendation(node: XmlNode, at: EntryContext) -> Built:
    """A vaccine that is advised, and until when."""
    basics = read_basics(node, at)
    vaccine, names, _ = read_product(node, at)
    label = str(vaccine.get("text") or basics.text or "Vaccin recommandé")
    node.value_at("statusCode/@code")
    time = node.first("effectiveTime")
    point = time.first("low") if time is not None and time.first("low") is not None else time
    due = at.values.time(point, "value")
    advice: Fhir = {"vaccineCode": [vaccine or {"text": label}], "forecastStatus": {"coding": [_FORECAST]}}
    if "value" in due:
        advice["dateCriterion"] = [{"code": _DUE} | due]
    wrote = authors(node, at)
    when = next((part["valueDateTime"] for actor in wrote for part in actor.get("extension", ()) if "valueDateTime" in part), "")
    found = clinical.of_patient(
        "ImmunizationRecommendation", at.mint("ImmunizationRecommendation"), label, patient=at.subject,
        extension=[*basics.extension, *names], identifier=basics.identifier,
        **({"date": when} if when else {"_date": _UNKNOWN}), recommendation=[advice],
    )  # fmt: skip
    return Built((found,))
