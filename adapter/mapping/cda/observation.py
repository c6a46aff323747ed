"""Observations of a CDA body: a fact is an Observation, something asked is a ServiceRequest. Values keep their type."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.fhir.vital_signs import as_vital_sign
from adapter.mapping.cda.context import (
    Basics,
    Built,
    EntryContext,
    Fhir,
    authors,
    comments,
    has_template,
    is_negated,
    performers,
    read_basics,
)
from adapter.mapping.cda.keep import keep_whole
from adapter.mapping.cda.values import absent_concept
from adapter.mapping.xml_source import XmlNode

_STATUSES = {"completed": "final", "active": "preliminary", "aborted": "cancelled", "cancelled": "cancelled", "new": "registered"}
_REQUEST_STATUSES = {
    "active": "active", "new": "draft", "completed": "completed", "aborted": "revoked", "cancelled": "revoked",
    "held": "on-hold", "suspended": "on-hold", "": "active",
}  # fmt: skip
_INTENTS = {"INT": "plan", "PRMS": "plan", "RQO": "order", "PRP": "proposal", "GOL": "plan"}


def request_status(status: str) -> str:
    """The state of a CDA act as that of a request; an intention without a state is active."""
    return _REQUEST_STATUSES.get(status, "unknown")


def priority_elements(node: XmlNode, at: EntryContext) -> tuple[str, list[Fhir]]:
    """priorityCode as FHIR's priority, and as it came: its words (« recontacter pour fixer RDV ») are the sender's own."""
    concept = at.values.concept(node.first("priorityCode"))
    if not concept:
        return "", []
    code = (concept.get("coding") or [{}])[0].get("code", "")
    return at.values.translated("act-priority", code, node), [{"url": p.EXT_PRIORITY, "valueCodeableConcept": concept}]


def build_observation(node: XmlNode, at: EntryContext) -> Built:
    """FR-Simple-Observation (EVN), FR-Demande-d-examen-ou-de-suivi (INT)."""
    basics = read_basics(node, at)
    mood = node.get("moodCode")
    asked = bool(mood) and mood != "EVN"
    if is_negated(node) and not asked:
        return Built((_negated(node, at, basics),))
    code = at.values.concept(node.first("code")) or {"text": basics.text or "Observation"}
    if asked:
        return Built((_request(node, at, mood, basics, code),))
    specimens = build_specimens(node, at)
    return Built((_observation(node, at, basics, code, specimens),), tuple(specimens))


def _observation(node: XmlNode, at: EntryContext, basics: Basics, code: Fhir, specimens: list[Fhir]) -> Fhir:
    label = str((code.get("coding") or [{}])[0].get("display") or code.get("text") or "Observation")
    caption = f"{label} : {basics.text}" if basics.text else label
    return as_vital_sign(clinical.observation(
        at.mint("Observation"), caption, status=observation_status(node), code=code,
        category=clinical.observation_category(at.options.get("observation_category", "")),
        subject=at.subject, extension=basics.extension, identifier=basics.identifier,
        encounter=at.encounter, **at.values.when(node.first("effectiveTime"), "effective"),
        performer=[*authors(node, at), *performers(node, at)],
        **_value_elements(node, at, code), interpretation=at.values.concepts(node.children("interpretationCode")),
        bodySite=_only(node, at, "targetSiteCode"), method=_only(node, at, "methodCode"), note=comments(node, at),
        specimen={"reference": f"urn:uuid:{specimens[0]['id']}"} if specimens else None,
        referenceRange=_ranges(node, at),
    ))  # fmt: skip


def observation_status(node: XmlNode) -> str:
    """The state of a CDA act as that of an observation."""
    return _STATUSES.get(node.value_at("statusCode/@code"), "final")


def _only(node: XmlNode, at: EntryContext, name: str) -> Fhir | None:
    """The one code that FHIR has room for; further ones are kept beside."""
    first = node.first(name)
    return at.values.concept(first) if first is not None else None


def _negated(node: XmlNode, at: EntryContext, basics: Basics) -> Fhir:
    """FHIR cannot say that a fact is not so: it is told in words, its codes kept where nobody takes them for a finding."""
    told = [at.values.concept(child) for child in (node.first("code"), node.first("value")) if child is not None]
    labels = [str((c.get("coding") or [{}])[0].get("display") or c.get("text") or "") for c in told]
    words = " : ".join(dict.fromkeys(label for label in labels if label)) or basics.text or "fait non précisé"
    at.values.warn("cda.negated-entry", "A negated fact was not coded: it is told in words.", node.path)
    kept = keep_whole(node, at, without=frozenset({"entryRelationship", "templateId", "id"}))
    found = clinical.observation(
        at.mint("Observation"), f"Nié par la source : {words}", status=observation_status(node),
        code={"text": f"Nié par la source : {words}"}, subject=at.subject, encounter=at.encounter,
        extension=[*basics.extension, {"url": p.EXT_NEGATED, "extension": kept}], identifier=basics.identifier,
        note=comments(node, at),
    )  # fmt: skip
    for child in node.children():
        if child.name != "entryRelationship":
            child.consume()
    return found


# -- of whom, of what --------------------------------------------------------------------------------------------------


def build_specimens(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """What was taken and examined."""
    found = []
    for number, role in enumerate(node.select("specimen/specimenRole")):
        kind = at.values.concept(role.first("specimenPlayingEntity/code"))
        label = str(kind.get("text") or (kind.get("coding") or [{}])[0].get("display") or "Prélèvement")
        found.append(clinical.about_patient("Specimen", at.mint("Specimen", str(number)), label, subject=at.subject,
                                            identifier=at.values.identifiers(role), type=kind))  # fmt: skip
    return found


def _ranges(node: XmlNode, at: EntryContext) -> list[Fhir]:
    found = []
    for range_ in node.select("referenceRange/observationRange"):
        value = range_.first("value")
        one: Fhir = {}
        if value is not None and value_type(value) in ("IVL_PQ", "IVL_REAL", "IVL_INT", ""):
            low, high = at.values.quantity(value.first("low")), at.values.quantity(value.first("high"))
            one |= {key: bound for key, bound in (("low", low), ("high", high)) if "value" in bound}
        kind = at.values.concept(range_.first("interpretationCode"))
        text = at.values.text(range_.first("text"))
        one |= {key: part for key, part in (("type", kind), ("text", text)) if part}
        if one:
            found.append(one if {"low", "high", "text"} & set(one) else one | {"text": "Voir le document source"})
    return found


def _value_elements(node: XmlNode, at: EntryContext, code: Fhir) -> Fhir:
    found = [value_element(value, at) for value in node.children("value")]
    if len(found) <= 1:
        return found[0] if found else {}
    found = [element for element in found if "dataAbsentReason" not in element or len(element) == 1]
    return {"component": [{"code": code, **element} for element in found if element]}


def value_type(node: XmlNode) -> str:
    """The data type of a value: `c:CD` and `CD` are the same, the prefix is the file's own."""
    return node.get("xsi:type").rpartition(":")[2]


def value_element(node: XmlNode, at: EntryContext) -> Fhir:
    """A value as `value[x]`, or why there is none."""
    reason = at.values.absent_reason(node)
    if reason and reason != "unsupported":
        value_type(node)
        return {"dataAbsentReason": absent_concept(reason)}
    found = _typed_value(node, at)
    return found if found or not reason else {"dataAbsentReason": absent_concept(reason)}


def _typed_value(node: XmlNode, at: EntryContext) -> Fhir:
    match value_type(node):
        case "CD" | "CE" | "CV" | "CS" | "CO" | "":
            return _given("valueCodeableConcept", at.values.concept(node))
        case "ST" | "ED":
            return _given("valueString", at.values.text(node))
        case "BL":
            return {"valueBoolean": node.get("value") == "true"} if node.get("value") else {}
        case "INT" | "REAL" | "PQ":
            return _given("valueQuantity", at.values.quantity(node))
        case "IVL_PQ" | "IVL_INT" | "IVL_REAL":
            kind, value = at.values.range_or_quantity(node)
            return {f"value{kind}": value} if value else {}
        case "RTO" | "RTO_PQ_PQ" | "RTO_QTY_QTY":
            return _given("valueRatio", at.values.ratio(node))
        case "TS":
            return at.values.time(node, "valueDateTime")
        case "IVL_TS":
            return _given("valuePeriod", at.values.period(node))
        case _:
            return {}


def _given(key: str, value: object) -> Fhir:
    return {key: value} if value else {}


def _request(node: XmlNode, at: EntryContext, mood: str, basics: Basics, code: Fhir) -> Fhir:
    """What is asked is the value (« Suivi par le psychiatre »): the code only says that something is."""
    asked, details = _asked(node, at)
    priority, kept = priority_elements(node, at)
    wrote = authors(node, at)
    words = asked or basics.text
    return clinical.service_request(
        at.mint("ServiceRequest"), ("Ne pas faire : " if is_negated(node) else "") + (words or "Demande"),
        status=request_status(node.value_at("statusCode/@code")),
        intent=_INTENTS.get(mood, "plan"), code=code | {"text": words} if words else code, subject=at.subject,
        extension=basics.extension + kept, identifier=basics.identifier, priority=priority, orderDetail=details,
        encounter=at.encounter, **at.values.when(node.first("effectiveTime"), "occurrence"),
        requester=wrote[0] if wrote else None, performer=performers(node, at),
        bodySite=at.values.concepts(node.children("targetSiteCode")), note=comments(node, at),
        doNotPerform=True if is_negated(node) else None, category=_request_category(node), reasonCode=_urgency_reason(kept),
    )  # fmt: skip


_IMAGING_REQUEST = "1.2.250.1.213.1.1.3.27.3"
_IMAGING = {"system": p.SNOMED, "code": "363679005", "display": "Imaging (procedure)"}


def _request_category(node: XmlNode) -> list[Fhir]:
    return [{"coding": [_IMAGING]}] if has_template(node, _IMAGING_REQUEST) else []


def _urgency_reason(kept_priority: list[Fhir]) -> list[Fhir]:
    """Why it is urgent: the words that the priority of an imaging request points at."""
    texts = [one["valueCodeableConcept"].get("text", "") for one in kept_priority]
    return [{"text": text} for text in texts if text]


def _asked(node: XmlNode, at: EntryContext) -> tuple[str, list[Fhir]]:
    words, details = [], []
    for value in node.children("value"):
        element = value_element(value, at)
        if "valueString" in element:
            words.append(element["valueString"])
        elif "valueCodeableConcept" in element:
            details.append(element["valueCodeableConcept"])
    return " ; ".join(words), details
