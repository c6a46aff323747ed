"""Problems, diagnoses, past history (FR-Liste-des-problemes, FR-Probleme) as Conditions.

A negated problem is a Condition refuted, never one that the patient has. A problem of somebody else (a newborn in the
mother's document) is no Condition of the patient: it becomes an observation with its own focus.
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
    read_basics,
    related,
)
from adapter.mapping.cda.keep import keep_whole
from adapter.mapping.cda.links import complete
from adapter.mapping.cda.observation import build_observation, value_element
from adapter.mapping.xml_source import XmlNode

_PROBLEM = ("1.2.250.1.213.1.1.3.37", "1.3.6.1.4.1.19376.1.5.3.1.4.5")
_SEVERITY = ("1.2.250.1.213.1.1.3.29", "1.3.6.1.4.1.19376.1.5.3.1.4.1")
_STATUS = ("1.2.250.1.213.1.1.3.30", "1.3.6.1.4.1.19376.1.5.3.1.4.1.1")
_CERTAINTY = ("1.2.250.1.213.1.1.3.171",)
_CONCERN_STATES = {"active": "active", "suspended": "inactive", "aborted": "inactive", "completed": "inactive"}
_LINKS = frozenset({"entryRelationship"})


def build_problem_concern(node: XmlNode, at: EntryContext) -> Built:
    """The act that follows a problem, and each problem in it; what the act itself says goes with each."""
    status = node.first("statusCode")
    state = _CONCERN_STATES.get(status.look("code"), "") if status is not None else ""
    inside = at.within({**at.options, "concern_state": state}, at.section_text)
    entries: list[Fhir] = []
    others: list[Fhir] = []
    for number, link in enumerate(node.children("entryRelationship")):
        for act in link.children("observation"):
            if has_template(act, *_PROBLEM):
                built = complete(act, below := inside.below(str(number)), build_problem(act, below))
                entries += built.entries
                others += built.others
                link.get("inversionInd")
    if entries:
        kept = keep_whole(node, at, without=_LINKS)
        for entry in entries:
            entry["extension"] = [*entry.get("extension", ()), {"url": p.EXT_CONCERN, "extension": kept}]
        for child in node.children():
            if child.name not in _LINKS:
                child.consume()
    return Built(tuple(entries), tuple(others))


def build_problem(node: XmlNode, at: EntryContext) -> Built:
    """One problem."""
    if "focus" in at.options or node.first("subject/relatedSubject") is not None:
        return build_observation(node, at)
    basics = read_basics(node, at)
    kind = at.values.concept(node.first("code"))
    value = _value(node, at)
    label = _label(value) or basics.text or _label(kind) or "Problème"
    dates = _dates(node, at)
    wrote = authors(node, at)
    verification = "refuted" if is_negated(node) else at.values.translated("certainty", _qualifier(node, at, _CERTAINTY)[0], node)
    severity = _qualifier(node, at, _SEVERITY)[1]
    node.value_at("statusCode/@code")
    found = clinical.condition(
        at.mint("Condition"), f"Écarté ou nié : {label}" if verification == "refuted" else label,
        clinical_status=_clinical_status(node, at, dates, verification), verification=verification,
        category=at.options.get("condition_category", "problem-list-item"), kinds=[kind] if kind else [],
        code=value or {"text": label}, subject=at.subject, extension=basics.extension, identifier=basics.identifier,
        severity=severity, bodySite=at.values.concepts(node.children("targetSiteCode")), encounter=at.encounter, **dates,
        recorder=wrote[0] if wrote else None, note=comments(node, at),
    )  # fmt: skip
    return Built((found,))


def _value(node: XmlNode, at: EntryContext) -> Fhir:
    """The problem, as a code or in words. A null value without words says nothing: it is kept beside."""
    value = node.first("value")
    if value is None or (value.look("nullFlavor") and not len(value.element)):
        return {}
    element = value_element(value, at)
    concept: Fhir = element.get("valueCodeableConcept", {})
    return concept or ({"text": element["valueString"]} if "valueString" in element else {})


def _label(concept: Fhir) -> str:
    coding = (concept.get("coding") or [{}])[0]
    return str(concept.get("text") or coding.get("display") or coding.get("code") or "")


def _dates(node: XmlNode, at: EntryContext) -> Fhir:
    """From when to when. An end told as unknown is no end: it stays, kept as it came."""
    time = node.first("effectiveTime")
    if time is None:
        return {}
    time.get("xsi:type")
    if time.look("value") or time.look("nullFlavor"):
        return at.values.time(time, "onsetDateTime")
    found = at.values.time(time.first("low"), "onsetDateTime")
    high = time.first("high")
    if high is not None and high.look("value"):
        found |= at.values.time(high, "abatementDateTime")
    return found


def _qualifier(node: XmlNode, at: EntryContext, templates: tuple[str, ...]) -> tuple[str, Fhir]:
    """The value of a nested observation that only qualifies: its code and all of it. The act itself is kept whole."""
    for _, act in related(node):
        if has_template(act, *templates):
            concept = at.values.concept(act.first("value"))
            return str((concept.get("coding") or [{}])[0].get("code", "")), concept
    return "", {}


def _clinical_status(node: XmlNode, at: EntryContext, dates: Fhir, verification: str) -> str:
    """As the document says; what has ended is not active (FHIR con-4)."""
    said = at.values.translated("clinical-status", _qualifier(node, at, _STATUS)[0], node)
    told = said or at.options.get("concern_state") or "active"
    if verification == "refuted":
        return "inactive"
    return "resolved" if told == "active" and "abatementDateTime" in dates else told
