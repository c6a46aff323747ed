"""Treatments (FR-Traitement) as MedicationStatements: what, how much, how often, by which way, why it was stopped.

Source: digest cda-models §3.8. A treatment on discharge is a statement, not a prescription: only a prescriber orders.
"""

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
from adapter.mapping.cda.observation import value_element
from adapter.mapping.xml_source import XmlNode

_UNITS = {"s", "min", "h", "d", "wk", "mo", "a"}
_REASON = "1.2.250.1.213.1.1.3.36"  # FR-Reference-interne: why the treatment is given
_INSTRUCTIONS = ("1.2.250.1.213.1.1.3.33", "1.3.6.1.4.1.19376.1.5.3.1.4.3")  # FR-Instructions-au-patient
_NO_DOSE = {"dose": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}}  # FHIR mad-1 wants one beside a route
_STOP_REASON = "MED-052"


def build_medication(node: XmlNode, at: EntryContext) -> Built:
    """A treatment, its sub-treatments (tapered, split doses) becoming further dosages."""
    basics = read_basics(node, at)
    medication, names, lot = read_product(node, at)
    names += [{"url": p.EXT_LOT, "valueString": lot}] if lot else []
    kind = at.values.concept(node.first("code"))  # DRUG, or what a summary says of having none: « no-known-medications »
    names += [{"url": p.EXT_ACT_CODE, "valueCodeableConcept": kind}] if kind else []
    said = kind if not medication and not any(c["code"] == "DRUG" for c in kind.get("coding", ())) else {}
    caption = basics.text or str(medication.get("text") or (said.get("coding") or [{}])[0].get("display") or "Traitement")
    status = _status(node, at)
    wrote = authors(node, at)
    statement = clinical.medication_statement(
        at.mint("MedicationStatement"), f"Non pris : {caption}" if is_negated(node) else caption, status=status,
        medication=medication or said or {"text": caption},
        subject=at.subject, extension=basics.extension + names, identifier=basics.identifier,
        statusReason=_stop_reasons(node, at), context=at.encounter, **_effective(node, at),
        informationSource=wrote[0] if wrote else None, reasonCode=_reasons(node, at), note=comments(node, at),
        dosage=_dosages(node, at),
    )  # fmt: skip
    return Built((statement,))


def build_prescription(node: XmlNode, at: EntryContext) -> Built:
    """FR-Prescription: a prescriber asks for it, so that it is a MedicationRequest. Its state is always written completed."""
    basics = read_basics(node, at)
    medication, names, _ = read_product(node, at)
    kind = at.values.concept(node.first("code"))
    names += [{"url": p.EXT_ACT_CODE, "valueCodeableConcept": kind}] if kind else []
    caption = basics.text or str(medication.get("text") or "Prescription")
    wrote = authors(node, at)
    found = clinical.about_patient(
        "MedicationRequest", at.mint("MedicationRequest"), f"Ne pas donner : {caption}" if is_negated(node) else caption,
        subject=at.subject, status="active", intent="order", doNotPerform=True if is_negated(node) else None,
        medicationCodeableConcept=medication or {"text": caption}, extension=basics.extension + names,
        identifier=basics.identifier, encounter=at.encounter, requester=wrote[0] if wrote else None,
        reasonCode=_reasons(node, at), note=comments(node, at), dosageInstruction=_dosages(node, at),
    )  # fmt: skip
    return Built((found,))


def _status(node: XmlNode, at: EntryContext) -> str:
    if node.get("negationInd") == "true":
        return "not-taken"
    if node.get("moodCode") not in ("", "EVN"):
        return "intended"
    return at.options.get("medication_status", "unknown")


def read_product(node: XmlNode, at: EntryContext) -> tuple[Fhir, list[Fhir], str]:
    """The product's code, its name where the code's own words differ from it, its lot."""
    material = node.first("consumable/manufacturedProduct/manufacturedMaterial")
    if material is None:
        return {}, [], ""
    concept = at.values.concept(material.first("code"))
    name = at.values.text(material.first("name"))
    lot = at.values.text(material.first("lotNumberText"))
    if not concept.get("text") and name:
        return concept | {"text": name}, [], lot
    different = name and name != concept.get("text")
    return concept, [{"url": p.EXT_PRODUCT_NAME, "valueString": name}] if different else [], lot


def build_administration(node: XmlNode, at: EntryContext) -> Built:
    """A product given during an act (contrast agent, radiopharmaceutical, fluid)."""
    if node.look("moodCode") not in (None, "", "EVN"):
        return build_medication(node, at)
    basics = read_basics(node, at)
    product, names, lot = read_product(node, at)
    caption = basics.text or str(product.get("text") or "Produit administré")
    kind = at.values.concept(node.first("code"))
    node.value_at("statusCode/@code")
    dose, rate = at.values.range_or_quantity(node.first("doseQuantity")), at.values.range_or_quantity(node.first("rateQuantity"))
    amounts = [("dose", *dose), ("rateQuantity", *rate)]
    names += [{"url": p.EXT_LOT, "valueString": lot}] if lot else []
    names += [{"url": f"{p.OURS}administered-{key}", "valueRange": amount} for key, form, amount in amounts if form == "Range"]
    dosage = {"route": at.values.concept(node.first("routeCode")), "site": at.values.concept(node.first("approachSiteCode")),
              **{key: amount for key, form, amount in amounts if form == "Quantity"}}  # fmt: skip
    dosage = {key: value for key, value in dosage.items() if value}
    when = at.values.when(node.first("effectiveTime"), "effective")
    absent = when.get("_effectiveDateTime") or {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}
    when = when if {"effectiveDateTime", "effectivePeriod"} & set(when) else {"effectivePeriod": absent}
    found = clinical.about_patient(
        "MedicationAdministration", at.mint("MedicationAdministration"),
        f"Non fait : {caption}" if is_negated(node) else caption, subject=at.subject,
        status="not-done" if is_negated(node) else "completed", medicationCodeableConcept=product or {"text": caption},
        category=kind, extension=[*basics.extension, *names], identifier=basics.identifier, context=at.encounter,
        **when,
        performer=[{"actor": actor} for actor in performers(node, at)], note=comments(node, at),
        dosage=dosage if {"dose", "rateQuantity"} & set(dosage) or not dosage else dosage | _NO_DOSE,
    )  # fmt: skip
    return Built((found,))


def _duration(node: XmlNode) -> XmlNode | None:
    """The first effectiveTime, when it is no frequency: how long the treatment runs."""
    first = node.first("effectiveTime")
    if first is None or first.look("operator") or _kind(first) in ("PIVL_TS", "EIVL_TS", "SXPR_TS"):
        return None
    return first


def _frequencies(node: XmlNode) -> list[XmlNode]:
    duration = _duration(node)
    skip = 1 if duration is not None else 0
    found = node.children("effectiveTime")[skip:]
    parts = [part for time in found for part in (time.children("comp") if _kind(time) == "SXPR_TS" else [time])]
    # What is excluded from a set of times (operator E) must not be told as included: it stays unread.
    return [part for part in parts if part.look("operator") != "E"]


def _kind(node: XmlNode) -> str:
    return node.get("xsi:type").rpartition(":")[2]


def _effective(node: XmlNode, at: EntryContext) -> Fhir:
    duration = _duration(node)
    if duration is None or duration.first("width") is not None:
        return {}
    return at.values.when(duration, "effective")


# -- dosage ----------------------------------------------------------------------------------------------------


def _dosages(node: XmlNode, at: EntryContext) -> list[Fhir]:
    whole = _dosage(node, at)
    parts = [_dosage(act, at) for kind, act in related(node) if act.name == "substanceAdministration" and kind == "COMP"]
    found = [dosage for dosage in (whole, *parts) if dosage]
    if len(found) > 1:
        found = [{"sequence": number, **dosage} for number, dosage in enumerate(found, start=1)]
    return found


def _dosage(node: XmlNode, at: EntryContext) -> Fhir:
    found: Fhir = {
        "patientInstruction": " ".join(_instructions(node, at)),
        "timing": _timing(node, at),
        "asNeededCodeableConcept": _condition(node, at),
        "site": next(iter(at.values.concepts(node.children("approachSiteCode"))), None),
        "route": at.values.concept(node.first("routeCode")),
        "doseAndRate": _dose_and_rate(node, at),
        "maxDosePerPeriod": at.values.ratio(node.first("maxDoseQuantity")),
    }
    return {key: value for key, value in found.items() if value}


def _dose_and_rate(node: XmlNode, at: EntryContext) -> list[Fhir]:
    found: Fhir = {}
    for name, key in (("doseQuantity", "dose"), ("rateQuantity", "rate")):
        kind, value = at.values.range_or_quantity(node.first(name))
        if value:
            found[f"{key}{kind}"] = value
    return [found] if found else []


def _condition(node: XmlNode, at: EntryContext) -> Fhir:
    """A treatment taken under a condition (« si douleur »)."""
    words = [at.values.text(text) for text in node.select("precondition/criterion/text")]
    return {"text": " ; ".join(words)} if any(words) else {}


def _instructions(node: XmlNode, at: EntryContext) -> list[str]:
    found = []
    for _, act in related(node):
        if has_template(act, *_INSTRUCTIONS):
            found.append(read_basics(act, at).text)
    return [text for text in found if text]


def _timing(node: XmlNode, at: EntryContext) -> Fhir:
    """Frequencies as one Timing. What FHIR's `repeat` cannot say is said in words, with the literal."""
    repeat: Fhir = {}
    words: list[str] = []
    moments: list[str] = []
    for time in _frequencies(node):
        match _kind(time):
            case "PIVL_TS":
                _add_period(time, at, repeat, words)
            case "EIVL_TS":
                _add_event(time, at, repeat, words)
            case "IVL_TS":
                bounds = at.values.period(time)
                if bounds:
                    repeat["boundsPeriod"] = bounds
                _add_width(time, at, repeat)
            case _:
                moment = at.values.plain_time(time)
                moments += [moment] if moment else []
    duration = _duration(node)
    if duration is not None:
        _add_width(duration, at, repeat)
    found: Fhir = {"event": moments, "repeat": repeat, "code": {"text": " ; ".join(words)} if words else {}}
    return {key: value for key, value in found.items() if value}


def _add_period(time: XmlNode, at: EntryContext, repeat: Fhir, words: list[str]) -> None:
    node = time.first("period")
    time.get("institutionSpecified")
    if node is None:
        return
    literal, unit = node.get("value"), node.get("unit")
    said = [text for t in node.select("translation") if (text := at.values.text(t.first("originalText")))]
    words += said
    phase = time.first("phase")
    if phase is not None and "boundsPeriod" not in repeat and (bounds := at.values.period(phase)):
        repeat["boundsPeriod"] = bounds
    number = at.values.number(literal, "period", node) if literal else {}
    if unit in _UNITS and number and "period" not in repeat:
        repeat |= {"frequency": 1, **number, "periodUnit": unit}
    elif literal and not said:
        words.append(f"toutes les {literal} {unit}".strip())


def _add_event(time: XmlNode, at: EntryContext, repeat: Fhir, words: list[str]) -> None:
    event = time.first("event")
    coding = at.values.coding(event) if event is not None else None
    if coding is None:
        return
    known = at.values.translated("timing-event", coding["code"], event)
    if known:
        repeat.setdefault("when", []).append(known)
    else:
        words.append(str(coding.get("display") or coding["code"]))
    offset = at.values.quantity(time.first("offset")) or at.values.range_or_quantity(time.first("offset"))[1]
    minutes = {"min": 1, "h": 60}.get(str(offset.get("code", "")), 0)
    if minutes and known and isinstance(offset.get("value"), int):
        repeat["offset"] = abs(offset["value"]) * minutes


def _add_width(time: XmlNode, at: EntryContext, repeat: Fhir) -> None:
    """A treatment known by its length only."""
    width = at.values.quantity(time.first("width"))
    if width and "boundsPeriod" not in repeat:
        repeat["boundsDuration"] = width


# -- why ----------------------------------------------------------------------------------------------------


def _reasons(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """Internal references to the problem treated: its code says it."""
    found = []
    for _, act in related(node):
        if has_template(act, _REASON):
            found.append(at.values.concept(act.first("code")))
    return [concept for concept in found if concept]


def _stop_reasons(node: XmlNode, at: EntryContext) -> list[Fhir]:
    found: list[Fhir] = []
    for _, act in related(node):
        code = act.first("code")
        if code is None or code.look("code") != _STOP_REASON:
            continue
        act.value_at("statusCode/@code")
        found += [concept for value in act.children("value") if (concept := _as_concept(value_element(value, at)))]
    return found


def _as_concept(element: Fhir) -> Fhir:
    if "valueString" in element:
        return {"text": element["valueString"]}
    concept: Fhir = element.get("valueCodeableConcept", {})
    return concept
