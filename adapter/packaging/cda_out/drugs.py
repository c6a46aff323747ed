"""MedicationStatement to FR-Traitement: product, how much, how often, by which way, why, why stopped.

What HL7 v3 times cannot say exactly (« trois fois par jour ») is said in words inside the frequency, never approximated.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import extension
from adapter.packaging.cda_out.context import (
    EntryWriter,
    Fhir,
    add_author,
    add_comments,
    add_simple_observation,
    add_text_reference,
    caption_of,
    cisis,
    related,
    start,
)
from adapter.packaging.cda_out.values import (
    XSI_TYPE,
    add_concept,
    add_ids,
    add_period,
    add_quantity,
    add_range,
    add_ratio,
    add_ts,
    concept_words,
    number_text,
    time_text,
    unwritten_codes,
)
from adapter.packaging.cda_out.xml import Element, add

_TREATMENT = ("1.2.250.1.213.1.1.3.42", "2.16.840.1.113883.10.20.1.24", "1.3.6.1.4.1.19376.1.5.3.1.4.7")
_NORMAL, _SPLIT = "1.3.6.1.4.1.19376.1.5.3.1.4.7.1", "1.3.6.1.4.1.19376.1.5.3.1.4.9"
NORMAL_TREATMENT = (*_TREATMENT, _NORMAL)
PRODUCT = ("1.2.250.1.213.1.1.3.43", "2.16.840.1.113883.10.20.1.53", "1.3.6.1.4.1.19376.1.5.3.1.4.7.2")
_REASON = ("2.16.840.1.113883.10.22.4.31", "1.3.6.1.4.1.19376.1.5.3.1.4.4.1", "1.2.250.1.213.1.1.3.36")
_INSTRUCTION = ("2.16.840.1.113883.10.20.1.49", "1.3.6.1.4.1.19376.1.5.3.1.4.3", "1.2.250.1.213.1.1.3.33")
_DRUG = {"coding": [{"system": "urn:oid:2.16.840.1.113883.5.4", "code": "DRUG", "display": "Médicament"}]}
_TIMES = {"s": "seconde", "min": "minute", "h": "heure", "d": "jour", "wk": "semaine", "mo": "mois", "a": "an"}
_EVENTS = "2.16.840.1.113883.5.139"


def write_medication(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """One treatment; several dosages become subordinate administrations."""
    dosages = [found for found in resource.get("dosage") or () if isinstance(found, dict)]
    concept = _medication(resource, at)
    words = caption_of(resource) or concept_words(concept)
    mood = "INT" if resource.get("status") == "intended" else "EVN"
    made = start(entry, "substanceAdministration", "SBADM", mood, (*_TREATMENT, _SPLIT if len(dosages) > 1 else _NORMAL))
    if resource.get("status") == "not-taken":
        made.set("negationInd", "true")
    add_ids(made, resource, most=1)
    add_concept(made, "code", _DRUG)
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code="completed")
    dosage: Fhir = dosages[0] if len(dosages) == 1 else {}
    _add_times(made, resource, dosage)
    _add_amounts(made, dosage)
    _add_product(made, resource, concept, at)
    add_author(made, resource.get("informationSource"), at, {"time": resource.get("dateAsserted", "")})
    _add_relations(made, resource, at)
    _add_instruction(made, dosage, at)
    for number, one in enumerate(dosages if len(dosages) > 1 else (), start=1):
        _add_subordinate(made, number, one, at)
    add_comments(made, resource.get("note"), at)
    _add_condition(made, dosage)


def _medication(resource: Fhir, at: EntryWriter) -> Fhir:
    concept = resource.get("medicationCodeableConcept")
    if isinstance(concept, dict):
        return concept
    found = at.entries.at(resource.get("medicationReference")).get("code")
    return found if isinstance(found, dict) else {}


def _add_product(made: Element, resource: Fhir, concept: Fhir, at: EntryWriter) -> None:
    product = add(add(made, "consumable"), "manufacturedProduct")
    for template in PRODUCT:
        add(product, "templateId", root=template)
    material = add(product, "manufacturedMaterial")
    words = concept_words(concept) or caption_of(resource)
    code = add_concept(material, "code", concept, words=at.narrative.anchor(words))
    if not code.get("code"):
        code.set("nullFlavor", "OTH")
    name = str(extension(resource, p.EXT_PRODUCT_NAME).get("valueString") or words)
    add(material, "name").text = " · ".join(part for part in (name, unwritten_codes(concept)) if part)


# -- times -----------------------------------------------------------------------------------------------------------------------


def _add_times(made: Element, resource: Fhir, dosage: Fhir) -> None:
    """How long first (an interval of two bounds, or a length), then how often."""
    timing = dosage.get("timing") or {}
    repeat = timing.get("repeat") or {}
    period = resource.get("effectivePeriod")
    moment = {"start": resource.get("effectiveDateTime"), "_start": resource.get("_effectiveDateTime")}
    has_times = bool(timing)
    if isinstance(period, dict) or time_text(moment, "start"):
        add_period(made, "effectiveTime", period if isinstance(period, dict) else moment, both=True, typed=True)
    elif isinstance(repeat.get("boundsDuration"), dict):
        _add_width(made, repeat["boundsDuration"])
        repeat = {key: value for key, value in repeat.items() if key != "boundsDuration"}
    elif has_times or moment["_start"]:
        add_period(made, "effectiveTime", {}, both=True, typed=True)
    _add_frequencies(made, timing, repeat)


def _add_width(made: Element, duration: Fhir, **attributes: str) -> None:
    time = add(made, "effectiveTime", **attributes)
    time.set(XSI_TYPE, "IVL_TS")
    add_quantity(time, "width", duration)


def _add_frequencies(made: Element, timing: Fhir, repeat: Fhir) -> None:
    words = [concept_words(timing["code"])] if timing.get("code") else []
    every = _exact_period(repeat)
    if every is None and repeat.get("period"):
        words.append(_said(repeat))
    if every is not None or any(words):
        time = add(made, "effectiveTime", operator="A")
        time.set(XSI_TYPE, "PIVL_TS")
        found = add(time, "period", **(every or {"nullFlavor": "OTH"}))
        for said in filter(None, words):
            add(add(found, "translation"), "originalText").text = said
    for event in repeat.get("when") or ():
        _add_event(made, str(event), repeat)
    if isinstance(repeat.get("boundsPeriod"), dict):
        add_period(made, "effectiveTime", repeat["boundsPeriod"], both=True, typed=True).set("operator", "A")
    if isinstance(repeat.get("boundsDuration"), dict):
        _add_width(made, repeat["boundsDuration"], operator="A")
    for index, _ in enumerate(timing.get("event") or ()):
        holder = {"event": timing["event"][index]}
        add_ts(made, "effectiveTime", holder, "event")
        made[-1].set(XSI_TYPE, "TS")
        made[-1].set("operator", "A")


def _exact_period(repeat: Fhir) -> dict[str, str] | None:
    """Once each period: that alone is what a PIVL_TS says."""
    simple = repeat.get("frequency", 1) == 1 and not {"frequencyMax", "periodMax", "dayOfWeek", "timeOfDay"} & set(repeat)
    if not simple or repeat.get("period") is None or not repeat.get("periodUnit"):
        return None
    return {"value": number_text(repeat, "period"), "unit": str(repeat["periodUnit"])}


def _said(repeat: Fhir) -> str:
    times = "-".join(str(repeat[key]) for key in ("frequency", "frequencyMax") if key in repeat) or "1"
    spans = "-".join(number_text(repeat, key) for key in ("period", "periodMax") if key in repeat)
    unit = _TIMES.get(str(repeat.get("periodUnit")), str(repeat.get("periodUnit", "")))
    more = " ".join(str(word) for key in ("dayOfWeek", "timeOfDay") for word in repeat.get(key) or ())
    return f"{times} fois par {spans} {unit} {more}".strip()


def _add_event(made: Element, event: str, repeat: Fhir) -> None:
    time = add(made, "effectiveTime", operator="A")
    time.set(XSI_TYPE, "EIVL_TS")
    add(time, "event", code=event)
    if repeat.get("offset"):
        add(time, "offset", value=str(repeat["offset"]), unit="min")


# -- amounts ---------------------------------------------------------------------------------------------------------------------


def _add_amounts(made: Element, dosage: Fhir) -> None:
    if isinstance(dosage.get("route"), dict):
        add_concept(made, "routeCode", dosage["route"])
    if isinstance(dosage.get("site"), dict):
        add_concept(made, "approachSiteCode", dosage["site"])
    dose: Fhir = next(iter(dosage.get("doseAndRate") or ()), {})
    add_range(made, "doseQuantity", dose, "dose")
    add_range(made, "rateQuantity", dose, "rate")
    if isinstance(dosage.get("maxDosePerPeriod"), dict):
        add_ratio(made, "maxDoseQuantity", dosage["maxDosePerPeriod"])


def _add_subordinate(made: Element, number: int, dosage: Fhir, at: EntryWriter) -> None:
    link = related(made, "COMP")
    add(link, "sequenceNumber", value=str(number))
    inner = add(link, "substanceAdministration", classCode="SBADM", moodCode=made.get("moodCode") or "EVN")
    add(inner, "statusCode", code="completed")
    _add_times(inner, {}, dosage)
    _add_amounts(inner, dosage)
    material = add(add(add(inner, "consumable"), "manufacturedProduct"), "manufacturedMaterial")
    add(material, "name", nullFlavor="NA")
    _add_instruction(inner, dosage, at)
    _add_condition(inner, dosage)


# -- why and how -----------------------------------------------------------------------------------------------------------------


def _add_relations(made: Element, resource: Fhir, at: EntryWriter) -> None:
    for index, concept in enumerate(_concepts(resource, "reasonCode")):
        act = start(related(made, "RSON"), "act", "ACT", "EVN", _REASON)
        add_ids(act, {"id": f"{resource.get('id')}/reason/{index}"})
        add_concept(act, "code", concept, words=at.narrative.anchor(concept_words(concept)))
    for concept in _concepts(resource, "statusReason"):
        words = concept_words(concept)
        link = related(made, "COMP")
        stop = add_simple_observation(
            link, cisis("MED-052", "Motif d'arrêt du traitement"), words, at, "1.2.250.1.213.1.1.3.48.17", holder=resource
        )
        if concept.get("coding"):
            add_concept(stop, "value", concept, words=at.narrative.anchor(words), typed="CD")
        else:
            value = add(stop, "value")
            value.text = words
            value.set(XSI_TYPE, "ST")


def _concepts(resource: Fhir, key: str) -> list[Any]:
    return [found for found in resource.get(key) or () if isinstance(found, dict)]


def _add_instruction(made: Element, dosage: Fhir, at: EntryWriter) -> None:
    for words in dict.fromkeys(str(dosage.get(key) or "") for key in ("patientInstruction", "text")):
        if words:
            act = start(related(made, "SUBJ", inverted=True), "act", "ACT", "INT", _INSTRUCTION)
            add(act, "code", code="PINSTRUCT", codeSystem="1.3.6.1.4.1.19376.1.5.3.2", codeSystemName="IHEActCode")
            add_text_reference(act, at.narrative.anchor(words))
            add(act, "statusCode", code="completed")


def _add_condition(made: Element, dosage: Fhir) -> None:
    condition = dosage.get("asNeededCodeableConcept")
    words = concept_words(condition) if isinstance(condition, dict) else "si besoin" if dosage.get("asNeededBoolean") else ""
    if words:
        add(add(add(made, "precondition"), "criterion"), "text").text = words
