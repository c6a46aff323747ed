"""Observations of a CDA body: a fact is an Observation, something asked is a ServiceRequest. Values keep their type."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda_context import Basics, Built, EntryContext, Fhir, authors, comments, performers, read_basics
from adapter.mapping.cda_values import absent_concept
from adapter.mapping.sources import XmlNode
from adapter.mapping.terminology import translate_code

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
    return translate_code("act-priority", code), [{"url": p.EXT_PRIORITY, "valueCodeableConcept": concept}]


def build_observation(node: XmlNode, at: EntryContext) -> Built:
    """FR-Simple-Observation (EVN), FR-Demande-d-examen-ou-de-suivi (INT)."""
    basics = read_basics(node, at)
    mood = node.get("moodCode")
    code = at.values.concept(node.first("code")) or {"text": basics.text or "Observation"}
    if mood and mood != "EVN":
        return Built((_request(node, at, mood, basics, code),))
    return Built((_observation(node, at, basics, code),))


def _observation(node: XmlNode, at: EntryContext, basics: Basics, code: Fhir) -> Fhir:
    label = str((code.get("coding") or [{}])[0].get("display") or code.get("text") or "Observation")
    caption = f"{label} : {basics.text}" if basics.text else label
    sites = at.values.concepts(node.children("targetSiteCode"))
    methods = at.values.concepts(node.children("methodCode"))
    return clinical.observation(
        at.mint("Observation"), caption, status=_STATUSES.get(node.value_at("statusCode/@code"), "final"), code=code,
        subject=at.subject, extension=basics.extension, identifier=basics.identifier, encounter=at.encounter,
        **at.values.when(node.first("effectiveTime"), "effective"), performer=[*authors(node, at), *performers(node, at)],
        **_value_elements(node, at, code), interpretation=at.values.concepts(node.children("interpretationCode")),
        bodySite=sites[0] if sites else None, method=methods[0] if methods else None, note=comments(node, at),
    )  # fmt: skip


def _value_elements(node: XmlNode, at: EntryContext, code: Fhir) -> Fhir:
    found = [value_element(value, at) for value in node.children("value")]
    if len(found) <= 1:
        return found[0] if found else {}
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
        at.mint("ServiceRequest"), words or "Demande", status=request_status(node.value_at("statusCode/@code")),
        intent=_INTENTS.get(mood, "plan"), code=code | {"text": words} if words else code, subject=at.subject,
        extension=basics.extension + kept, identifier=basics.identifier, priority=priority, orderDetail=details,
        encounter=at.encounter, **at.values.when(node.first("effectiveTime"), "occurrence"),
        requester=wrote[0] if wrote else None, performer=performers(node, at),
        bodySite=at.values.concepts(node.children("targetSiteCode")), note=comments(node, at),
    )  # fmt: skip


def _asked(node: XmlNode, at: EntryContext) -> tuple[str, list[Fhir]]:
    words, details = [], []
    for value in node.children("value"):
        element = value_element(value, at)
        if "valueString" in element:
            words.append(element["valueString"])
        elif "valueCodeableConcept" in element:
            details.append(element["valueCodeableConcept"])
    return " ; ".join(words), details
