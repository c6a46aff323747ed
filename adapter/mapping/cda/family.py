"""Family history (FR-Antecedents-familiaux): one FamilyMemberHistory a relative, with what each had."""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.mapping.cda.context import Built, EntryContext, Fhir, comments, is_negated, read_basics
from adapter.mapping.cda.keep import keep_rest, keep_whole
from adapter.mapping.cda.observation import value_element
from adapter.mapping.xml_source import XmlNode

_GENDERS = {"F": "female", "M": "male", "UN": "unknown"}


def build_family_history(node: XmlNode, at: EntryContext) -> Built:
    """A relative and the problems that are known of them; a negated one is words, never a condition."""
    basics = read_basics(node, at)
    role = node.first("subject/relatedSubject")
    relation = at.values.concept(role.first("code")) if role is not None else {}
    node.value_at("statusCode/@code")
    conditions, denied = [], []
    for act in node.select("component/observation"):
        if is_negated(act):
            denied.append(_denied(act, at))
        else:
            conditions.append(_condition(act, at))
    label = str(relation.get("text") or (relation.get("coding") or [{}])[0].get("display") or "Membre de la famille")
    found = clinical.of_patient(
        "FamilyMemberHistory", at.mint("FamilyMemberHistory"), f"Antécédent familial : {label}", patient=at.subject,
        status="completed", relationship=relation or {"text": label}, extension=[*basics.extension, *denied],
        identifier=basics.identifier, **(_person(role, at) if role is not None else {}),
        **_date(node, at), condition=conditions,
    )  # fmt: skip
    return Built((found,))


def _person(role: XmlNode, at: EntryContext) -> Fhir:
    subject = role.first("subject")
    if subject is None:
        return {}
    found = at.values.day(subject.first("birthTime"), "bornDate")
    gender = at.values.concept(subject.first("administrativeGenderCode"))
    code = (gender.get("coding") or [{}])[0].get("code", "")
    if gender:
        found["sex"] = gender | {"coding": [*gender.get("coding", ()), _gender(code)]}
    name = " ".join(subject.value_at("name").split())
    deceased = subject.value_at("sdtc:deceasedInd/@value")
    if name:
        found["name"] = name
    if deceased:
        found["deceasedBoolean"] = deceased == "true"
    return found


def _gender(code: str) -> Fhir:
    return {"system": "http://hl7.org/fhir/administrative-gender", "code": _GENDERS.get(code, "unknown")}


def _date(node: XmlNode, at: EntryContext) -> Fhir:
    time = node.first("effectiveTime")
    return at.values.time(time, "date") if time is not None and time.look("value") else {}


def _condition(act: XmlNode, at: EntryContext) -> Fhir:
    basics = read_basics(act, at)
    value = act.first("value")
    element = value_element(value, at) if value is not None else {}
    kind = at.values.concept(act.first("code"))
    code: Fhir = element.get("valueCodeableConcept") or {"text": element.get("valueString") or basics.text or "Non précisé"}
    extension = [*basics.extension, *({"url": p.EXT_ACT_IDENTIFIER, "valueIdentifier": one} for one in basics.identifier)]
    if kind:
        extension.append({"url": p.EXT_PROBLEM_KIND, "valueCodeableConcept": kind})
    time = act.first("effectiveTime")
    start = time.first("low") if time is not None and time.first("low") is not None else time
    onset = at.values.time(start, "value").get("value", "") if start is not None and start.look("value") else ""
    if onset:
        extension.append({"url": p.EXT_ONSET, "valueDateTime": onset})
    act.value_at("statusCode/@code")
    found: Fhir = {"code": code, "note": comments(act, at)}
    extension += keep_rest(act, at)
    act.consume()
    return {"extension": extension} | {key: part for key, part in found.items() if part}


def _denied(act: XmlNode, at: EntryContext) -> Fhir:
    at.values.warn("cda.negated-entry", "A negated fact was not coded: it is kept as such.", act.path)
    kept = keep_whole(act, at)
    act.consume()
    return {"url": p.EXT_NEGATED, "extension": kept}
