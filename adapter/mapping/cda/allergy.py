"""Allergies (FR-Liste-des-allergies) as AllergyIntolerance: agent, kind, state, severity, reactions.

In real letters "no known allergy" is an entry without agent and a sentence. Software must not turn that into a coded
negative: the words become the text of the code, and a remark says so.
"""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda.context import (
    Basics,
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
from adapter.mapping.terminology import load_table
from adapter.mapping.xml_source import XmlNode
from adapter.model.finding import Severity

_ALLERGY = "1.2.250.1.213.1.1.3.41"
_SEVERITY = ("1.2.250.1.213.1.1.3.29", "1.3.6.1.4.1.19376.1.5.3.1.4.1")
_STATUS = ("1.2.250.1.213.1.1.3.30", "1.3.6.1.4.1.19376.1.5.3.1.4.1.1")
_CERTAINTY = ("1.2.250.1.213.1.1.3.171",)
_CONCERN_STATES = {"active": "active", "suspended": "inactive", "aborted": "inactive", "completed": "inactive"}
_CRITICALITY = {"severe": "high", "mild": "low"}


def build_allergy_concern(node: XmlNode, at: EntryContext) -> Built:
    """The list entry (an act) and each allergy in it."""
    concern = read_basics(node, at)
    at.values.concept(node.first("code"))
    state = _CONCERN_STATES.get(node.value_at("statusCode/@code"), "active")
    at.values.period(node.first("effectiveTime"))
    kept = {"url": p.EXT_CONCERN, "extension": keep_whole(node, at, without=frozenset({"entryRelationship"}))}
    found: list[Fhir] = []
    others: list[Fhir] = []
    for number, link in enumerate(node.children("entryRelationship")):
        for act in link.children("observation"):
            if not has_template(act, _ALLERGY):
                continue
            below = at.below(str(number))
            built = complete(act, below, Built((_allergy(act, below, concern, state, kept),)))
            found += built.entries
            others += built.others
    return Built(tuple(found), tuple(others))


def _allergy(node: XmlNode, at: EntryContext, concern: Basics, state: str, kept: Fhir) -> Fhir:
    basics = read_basics(node, at)
    kind = at.values.concept(node.first("code"))
    at.values.translated("allergy-type", _code_of(kind), node)
    table = load_table("allergy-type").get(_code_of(kind), {})
    agent, value = _agent(node, at), at.values.concept(node.first("value"))
    severity, severity_concept = _severity(node, at)
    wrote = authors(node, at)
    node.value_at("statusCode/@code")
    extension = [*basics.extension, kept]
    extension += [{"url": f"{p.OURS}{name}", "valueCodeableConcept": concept}
                  for name, concept in (("allergy-kind", kind), ("allergy-value", value if agent else {}),
                                        ("allergy-severity", severity_concept)) if concept]  # fmt: skip
    told = agent or value
    refuted = is_negated(node)
    caption = str(basics.text or (told.get("text") if told else "") or _display(told) or at.section_text or "Allergie")
    coded = bool(told.get("coding"))
    if not coded:
        at.values.warn(
            "cda.allergy-without-agent",
            "An allergy entry codes no agent: only its words were kept, nothing was deduced from them.",
            node.path,
            Severity.INFORMATION,
        )
    status = "inactive" if refuted else _clinical_status(node, at) or state
    return clinical.allergy_intolerance(
        at.mint("AllergyIntolerance"), f"Écartée ou niée : {caption}" if refuted else caption, clinical_status=status,
        patient=at.subject,
        code=told if coded else {"text": str(told.get("text") or caption)}, extension=extension,
        identifier=[*basics.identifier, *concern.identifier],
        verificationStatus=_coded_verification("refuted") if refuted else _verification(node, at),
        type=table.get("target", "") if coded else "",
        category=[table["category"]] if coded and table.get("category") else [],
        criticality=_CRITICALITY.get(severity, ""), encounter=at.encounter, **_onset(node, at),
        recorder=wrote[0] if wrote else None, note=comments(node, at), reaction=_reactions(node, at, severity),
    )  # fmt: skip


def _onset(node: XmlNode, at: EntryContext) -> Fhir:
    """When it began: the start of an open interval is a date."""
    time = node.first("effectiveTime")
    low = time.first("low") if time is not None else None
    if time is None or low is None or time.first("high") is not None:
        return at.values.when(time, "onset")
    time.get("xsi:type")
    return at.values.time(low, "onsetDateTime")


def _agent(node: XmlNode, at: EntryContext) -> Fhir:
    """The substance: its code and, where no words come with it, its name."""
    for role in node.select("participant[@typeCode=CSM]/participantRole"):
        entity = role.first("playingEntity")
        if entity is None:
            continue
        concept = at.values.concept(entity.first("code"))
        name = at.values.text(entity.first("name"))
        if name and not concept.get("text"):
            concept = concept | {"text": name}
        elif name and name != concept.get("text"):
            concept = {"extension": [{"url": p.EXT_PRODUCT_NAME, "valueString": name}], **concept}
        if concept:
            return concept
    return {}


def _severity(node: XmlNode, at: EntryContext) -> tuple[str, Fhir]:
    for _, act in related(node):
        if has_template(act, *_SEVERITY):
            concept = _qualifier(act, at)
            return at.values.translated("severity", _code_of(concept), act), concept
    return "", {}


def _qualifier(act: XmlNode, at: EntryContext) -> Fhir:
    """The value of an observation that only qualifies another (severity, status, certainty): its link keeps it whole."""
    return at.values.concept(act.first("value"))


def _clinical_status(node: XmlNode, at: EntryContext) -> str:
    for _, act in related(node):
        if has_template(act, *_STATUS):
            return at.values.translated("clinical-status", _code_of(_qualifier(act, at)), act)
    return ""


def _verification(node: XmlNode, at: EntryContext) -> Fhir:
    for _, act in related(node):
        if has_template(act, *_CERTAINTY):
            return _coded_verification(at.values.translated("certainty", _code_of(_qualifier(act, at)), act))
    return {}


def _coded_verification(code: str) -> Fhir:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    return {"coding": [{"system": system, "code": code}]} if code else {}


def _reactions(node: XmlNode, at: EntryContext, severity: str) -> list[Fhir]:
    found = []
    for kind, act in related(node):
        if kind != "MFST":
            continue
        basics = read_basics(act, at)
        act.value_at("statusCode/@code")
        manifestation = at.values.concept(act.first("value"))
        own, severity_concept = _severity(act, at)
        reaction: Fhir = {"manifestation": [manifestation or {"text": basics.text or "Réaction non précisée"}]}
        if basics.text:
            reaction["description"] = basics.text
        onset = act.first("effectiveTime")
        reaction |= at.values.time(onset.first("low") or onset, "onset") if onset is not None else {}
        if own or severity:
            reaction["severity"] = own or severity
        kept = [*basics.extension, *({"url": p.EXT_ACT_IDENTIFIER, "valueIdentifier": one} for one in basics.identifier)]
        if severity_concept:
            kept.append({"url": f"{p.OURS}allergy-severity", "valueCodeableConcept": severity_concept})
        found.append(({"extension": kept} if kept else {}) | reaction)
    return found


def _code_of(concept: Fhir) -> str:
    return str((concept.get("coding") or [{}])[0].get("code", ""))


def _display(concept: Fhir) -> str:
    return str((concept.get("coding") or [{}])[0].get("display", ""))
