"""Allergies and problems: the list entry (an act), the fact in it, what qualifies it (severity, certainty), reactions."""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import extension
from adapter.packaging.cda_out.context import (
    EntryWriter,
    Fhir,
    add_author,
    add_comments,
    add_text_reference,
    caption_of,
    loinc,
    related,
    seed_of,
    snomed,
    start,
)
from adapter.packaging.cda_out.values import (
    XSI_TYPE,
    absent_flavor,
    add_concept,
    add_ids,
    add_ii,
    add_ts,
    concept_words,
    time_text,
    unwritten_codes,
)
from adapter.packaging.cda_out.xml import Element, add

_CONCERN = ("2.16.840.1.113883.10.20.1.27", "1.3.6.1.4.1.19376.1.5.3.1.4.5.1")
ALLERGY_LIST = (*_CONCERN, "1.3.6.1.4.1.19376.1.5.3.1.4.5.3", "1.2.250.1.213.1.1.3.40")
_PROBLEM_LIST = (*_CONCERN, "1.3.6.1.4.1.19376.1.5.3.1.4.5.2", "1.2.250.1.213.1.1.3.39")
ALLERGY = (
    "2.16.840.1.113883.10.20.1.28", "2.16.840.1.113883.10.20.1.18", "1.3.6.1.4.1.19376.1.5.3.1.4.5",
    "1.3.6.1.4.1.19376.1.5.3.1.4.6", "1.2.250.1.213.1.1.3.41",
)  # fmt: skip
_PROBLEM = ("2.16.840.1.113883.10.20.1.28", "1.3.6.1.4.1.19376.1.5.3.1.4.5", "1.2.250.1.213.1.1.3.37")
_REACTION = (
    "2.16.840.1.113883.10.20.1.28", "2.16.840.1.113883.10.20.1.54", "1.3.6.1.4.1.19376.1.5.3.1.4.5", "1.2.250.1.213.1.1.3.37",
)  # fmt: skip
_SEVERITY = ("2.16.840.1.113883.10.20.1.55", "1.3.6.1.4.1.19376.1.5.3.1.4.1", "1.2.250.1.213.1.1.3.29")
_CERTAINTY = ("1.2.250.1.213.1.1.3.171",)

_KINDS = {
    ("allergy", "medication"): ("416098002", "allergie médicamenteuse"),
    ("allergy", "food"): ("414285001", "allergie alimentaire"),
    ("allergy", "environment"): ("426232007", "allergie environnementale"),
    ("allergy", ""): ("419199007", "allergie à une substance"),
    ("intolerance", "medication"): ("59037007", "intolérance médicamenteuse"),
    ("intolerance", "food"): ("235719002", "intolérance alimentaire"),
    ("", "medication"): ("419511003", "propension à des réactions indésirables à un médicament"),
    ("", "food"): ("418471000", "propension à des réactions indésirables à un aliment"),
}
_ANY_KIND = ("420134006", "propension à des réactions indésirables")
_SEVERITIES = {"mild": ("255604002", "léger"), "moderate": ("6736007", "modéré"), "severe": ("24484000", "sévère")}
_CERTAINTIES = {
    "confirmed": ("410605003", "confirmé présent"), "unconfirmed": ("415684004", "suspecté"),
    "provisional": ("410592001", "probablement présent"), "differential": ("410592001", "probablement présent"),
    "presumed": ("410592001", "probablement présent"), "refuted": ("410594000", "écarté"),
}  # fmt: skip
_STATES = {"inactive": "completed", "resolved": "completed", "remission": "completed"}


def write_allergy(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """AllergyIntolerance. A code without an agent's coding stays words: nothing is deduced from them."""
    told: Fhir = resource.get("code") or {}
    onset = _low(resource, "onset")
    period = extension(resource, f"{p.OURS}concern-period").get("valuePeriod")
    act = _concern(entry, resource, ALLERGY_LIST, period if isinstance(period, dict) else {"start": onset})
    link = related(act, "SUBJ", inverted=False)
    made = start(link, "observation", "OBS", "EVN", ALLERGY)
    add_ids(made, resource, most=1)
    add_concept(made, "code", extension(resource, f"{p.OURS}allergy-kind").get("valueCodeableConcept") or _kind(resource))
    words = concept_words(told) or caption_of(resource)
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code="completed")
    _add_interval(made, resource, "onset")
    coded = bool(told.get("coding"))
    value = extension(resource, f"{p.OURS}allergy-value").get("valueCodeableConcept")
    shown: Fhir = value if isinstance(value, dict) else {}
    said = concept_words(shown) or ("" if coded else words)
    add_concept(made, "value", shown, words=at.narrative.anchor(said or words), typed="CD", flavor="")
    add_author(made, resource.get("recorder") or resource.get("asserter"), at, {"time": resource.get("recordedDate", "")})
    if coded:
        _add_agent(made, told, words, at)
    _add_reactions(made, resource, at)
    _add_qualifiers(made, resource, at)
    add_comments(made, resource.get("note"), at)


def _kind(resource: Fhir) -> Fhir:
    category = next(iter(resource.get("category") or ()), "")
    kind = str(resource.get("type", ""))
    return snomed(*(_KINDS.get((kind, category)) or _KINDS.get((kind, "")) or _ANY_KIND))


def _add_agent(made: Element, told: Fhir, words: str, at: EntryWriter) -> None:
    participant = add(made, "participant", typeCode="CSM")
    entity = add(add(participant, "participantRole", classCode="MANU"), "playingEntity", classCode="MMAT")
    code = add_concept(entity, "code", told, words=at.narrative.anchor(words))
    if not code.get("code"):
        code.set("nullFlavor", "OTH")
    name = str(extension(told, p.EXT_PRODUCT_NAME).get("valueString") or words)
    add(entity, "name").text = " · ".join(part for part in (name, unwritten_codes(told)) if part)


def _add_reactions(made: Element, resource: Fhir, at: EntryWriter) -> None:
    for number, reaction in enumerate(resource.get("reaction") or ()):
        for index, manifestation in enumerate(reaction.get("manifestation") or ()):
            words = concept_words(manifestation)
            act = start(related(made, "MFST", inverted=False), "observation", "OBS", "EVN", _REACTION)
            kept = [e["valueIdentifier"] for e in reaction.get("extension") or () if e.get("url") == p.EXT_ACT_IDENTIFIER]
            add_ids(act, {"id": f"{seed_of(resource)}/reaction/{number}/{index}", "identifier": kept})
            add_concept(act, "code", snomed("404684003", "constatation clinique"))
            add_text_reference(act, at.reference(reaction, str(reaction.get("description") or words)))
            add(act, "statusCode", code="completed")
            add_ts(add(act, "effectiveTime"), "low", reaction, "onset", absent="UNK")
            add_concept(act, "value", manifestation, words=at.narrative.anchor(words), typed="CD", flavor="")
            if reaction.get("severity") and not _own_severity(resource):
                _add_severity(act, snomed(*_SEVERITIES[str(reaction["severity"])]), at)


def _own_severity(resource: Fhir) -> Any:
    return extension(resource, f"{p.OURS}allergy-severity").get("valueCodeableConcept")


def _add_qualifiers(made: Element, resource: Fhir, at: EntryWriter) -> None:
    """Severity, certainty, and the state where the list entry cannot say it."""
    severity = _own_severity(resource)
    if isinstance(severity, dict):
        _add_severity(made, severity, at)
    if _state(resource) == "resolved":
        _add_resolved(made, at)
    certainty = _CERTAINTIES.get(_code(resource.get("verificationStatus")))
    if certainty is not None:
        concept = snomed(*certainty)
        act = start(related(made, "SUBJ", inverted=True), "observation", "OBS", "EVN", _CERTAINTY)
        add_ids(act, {"id": f"{resource.get('id')}/certainty"})
        add_concept(act, "code", loinc("66455-7", "Certitude"))
        _add_rest(act, concept, at, "CD")


def _add_severity(parent: Element, concept: Fhir, at: EntryWriter) -> None:
    act = start(related(parent, "SUBJ", inverted=True), "observation", "OBS", "EVN", _SEVERITY)
    add(act, "code", code="SEV", displayName="Sévérité", codeSystem="2.16.840.1.113883.5.4")
    _add_rest(act, concept, at, "CD")


def _add_resolved(parent: Element, at: EntryWriter) -> None:
    templates = ("2.16.840.1.113883.10.20.1.57", "2.16.840.1.113883.10.20.1.50", "1.3.6.1.4.1.19376.1.5.3.1.4.1.1",
                 "1.2.250.1.213.1.1.3.30")  # fmt: skip
    act = start(related(parent, "REFR", inverted=False), "observation", "OBS", "EVN", templates)
    add_concept(act, "code", loinc("33999-4", "Statut"))
    add_text_reference(act, at.narrative.anchor("résolu"))
    add(act, "statusCode", code="completed")
    value = add(act, "value", code="resolved", displayName="résolu", codeSystem="2.16.840.1.113883.4.642.3.164")
    value.set(XSI_TYPE, "CE")


def _add_rest(act: Element, concept: Fhir, at: EntryWriter, kind: str) -> None:
    add_text_reference(act, at.narrative.anchor(concept_words(concept)))
    add(act, "statusCode", code="completed")
    if act.get("classCode") == "OBS" and act.find("{*}id") is not None:
        add(act, "effectiveTime", nullFlavor="UNK")
    add_concept(act, "value", concept, typed=kind)


# -- problems --------------------------------------------------------------------------------------------------------------------


def write_condition(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """Condition to FR-Probleme."""
    concept: Fhir = resource.get("code") or {}
    act = _concern(entry, resource, _PROBLEM_LIST, {"start": _low(resource, "onset"), "end": _low(resource, "abatement")})
    made = start(related(act, "SUBJ", inverted=False), "observation", "OBS", "EVN", _PROBLEM)
    add_ids(made, resource, most=1)
    add_concept(made, "code", snomed("55607006", "problème"))
    words = concept_words(concept) or caption_of(resource)
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code="completed")
    _add_interval(made, resource, "onset", "abatement")
    add_concept(made, "value", concept, words=at.narrative.anchor(words), typed="CD", flavor="")
    add_author(made, resource.get("recorder") or resource.get("asserter"), at, {"time": resource.get("recordedDate", "")})
    severity = resource.get("severity")
    if isinstance(severity, dict) and severity.get("coding"):
        _add_severity(made, severity, at)
    _add_qualifiers(made, resource, at)
    add_comments(made, resource.get("note"), at)


def _concern(entry: Element, resource: Fhir, templates: tuple[str, ...], period: Fhir) -> Element:
    act = start(entry, "act", "ACT", "EVN", templates)
    further = [found for found in (resource.get("identifier") or ())[1:] if isinstance(found, dict) and found.get("value")]
    if further:
        add_ii(act, further[0])
    else:
        add_ids(act, {"id": f"{resource.get('id')}/list"})
    add(act, "code", nullFlavor="NA")
    status = _STATES.get(_state(resource), "active")
    add(act, "statusCode", code=status)
    time = add(act, "effectiveTime")
    add_ts(time, "low", period, "start", absent="UNK")
    if status == "completed":
        add_ts(time, "high", period, "end", absent="UNK")
    return act


def _state(resource: Fhir) -> str:
    return _code(resource.get("clinicalStatus"))


def _code(concept: object) -> str:
    coding: Fhir = next(iter(concept.get("coding") or ()), {}) if isinstance(concept, dict) else {}
    return str(coding.get("code", ""))


def _low(resource: Fhir, name: str) -> str:
    """The first moment of `name[x]`."""
    period = resource.get(f"{name}Period")
    start_of = period.get("start") if isinstance(period, dict) else None
    return str(resource.get(f"{name}DateTime") or start_of or "")


def _add_interval(made: Element, resource: Fhir, began: str, ended: str = "") -> None:
    """An IVL_TS: its start is wanted, its end is written when known."""
    time = add(made, "effectiveTime")
    time.set(XSI_TYPE, "IVL_TS")
    period = resource.get(f"{began}Period")
    if isinstance(period, dict):
        add_ts(time, "low", period, "start", absent="UNK")
        add_ts(time, "high", period, "end")
        return
    holder, key = resource, f"{began}DateTime"
    add_ts(time, "low", holder, key, absent=absent_flavor(holder, key) or "UNK")
    if ended and time_text(resource, f"{ended}DateTime"):
        add_ts(time, "high", resource, f"{ended}DateTime")
