"""The acts inside an act: each becomes what it is, and the outer one says how they are related; what is left over is kept.

FHIR's own link is used where there is one (hasMember, reasonReference, supportingInfo, result); else an extension of ours.
Either bears the HL7 v3 relation, so that the way back knows it.
"""

from __future__ import annotations

from adapter.fhir import profiles as p
from adapter.mapping.cda.context import Built, EntryContext, Fhir, has_template
from adapter.mapping.cda.keep import keep_rest, keep_whole
from adapter.mapping.cda.subject import read_subject
from adapter.mapping.xml_source import XmlNode

ACTS = frozenset({
    "act", "encounter", "observation", "observationMedia", "organizer", "procedure", "regionOfInterest",
    "substanceAdministration", "supply",
})  # fmt: skip
_LINKS = ("entryRelationship", "component")

# They only qualify the act they are in: no resources, but kept with all that they say.
_QUALIFIERS = (
    "1.2.250.1.213.1.1.3.29",  # FR-Severite
    "1.3.6.1.4.1.19376.1.5.3.1.4.1",
    "1.2.250.1.213.1.1.3.30",  # FR-Statut-du-probleme
    "1.2.250.1.213.1.1.3.33",  # FR-Instructions-au-patient
    "1.2.250.1.213.1.1.3.34",  # FR-Instructions-au-dispensateur
    "1.2.250.1.213.1.1.3.36",  # FR-Reference-interne
    "1.2.250.1.213.1.1.3.171",  # FR-Certitude
)
_SOMEBODY_ELSE = {"display": "Autre personne que le patient"}
_COMMENT = "1.2.250.1.213.1.1.3.32"

_REASONED = frozenset({
    "Appointment", "DeviceUseStatement", "Encounter", "Immunization", "MedicationAdministration", "MedicationRequest",
    "MedicationStatement", "Procedure", "ServiceRequest",
})  # fmt: skip


def complete(node: XmlNode, at: EntryContext, built: Built) -> Built:
    """The act with all that its builder did not take: nested acts linked, the rest kept. Nothing of it stays unread."""
    main = built.entries[0] if built.entries else None
    if main is None or node.is_taken:
        return built
    # A family history names the relative itself.
    about, persons = about_whom(node, at) if main["resourceType"] != "FamilyMemberHistory" else ("", [])
    if about:
        _tell_of(built.entries, about, at.subject)
    others: list[Fhir] = [*built.others, *persons]
    for name in _LINKS:
        for number, link in enumerate(node.children(name)):
            for act in link.children():
                if act.name in ACTS:
                    others += _relate(main, link, act, at.below(name, str(number)))
    rest = keep_rest(node, at)
    mood = node.get("moodCode")
    if mood and mood != "EVN" and not any(e["url"] == p.EXT_MOOD for e in main.get("extension", ())):
        rest.append({"url": p.EXT_MOOD, "valueCode": mood})
    _extend(main, rest)
    node.consume()
    return Built(built.entries, tuple(others))


def about_whom(node: XmlNode, at: EntryContext) -> tuple[str, list[Fhir]]:
    """Whom an act is about when it is not the patient (a newborn, the mother), and that person if the act names them."""
    subject = node.first("subject")
    person = read_subject(subject, at) if subject is not None and subject.first("relatedSubject") is not None else None
    if person is None:
        return at.options.get("focus", ""), []
    return f"urn:uuid:{person['id']}", [person]


def _tell_of(resources: tuple[Fhir, ...], url: str, patient: str) -> None:
    """An Observation has a focus; anything else is no longer tied to the patient, who has neither that act nor that treatment."""
    for resource in resources:
        if resource["resourceType"] == "Observation":
            resource["focus"] = [{"reference": url}]
        else:
            for name in ("subject", "patient"):
                if name in resource:
                    resource[name] = dict(_SOMEBODY_ELSE)
            for participant in resource.get("participant", ()):  # of an Appointment
                if participant.get("actor", {}).get("reference") == patient:
                    participant["actor"] = dict(_SOMEBODY_ELSE)
            _extend(resource, [{"url": p.EXT_FOCUS, "valueReference": {"reference": url}}])


def _relate(main: Fhir, link: XmlNode, act: XmlNode, at: EntryContext) -> list[Fhir]:
    """The resources of a nested act, linked to the outer one; none for what only qualifies it."""
    touched = act.was_touched()
    if act.name == "observationMedia":  # the files were read as Binaries beforehand: only an attachment says what they are
        touched = main["resourceType"] == "DocumentReference"
    if has_template(act, *_QUALIFIERS) or (not touched and has_template(act, _COMMENT)):
        parts = [*_relation(link), {"url": act.name, "extension": keep_whole(act, at)}]
        _extend(main, [{"url": f"{p.OURS}cda-{link.name}", "extension": parts}])
        link.consume()
        return []
    if touched or at.build is None:  # its builder took it: what it left is kept with the rest
        return []
    built = at.build(act, at)
    for resource in built.entries:
        link_to(main, resource, _relation(link))
    return [*built.entries, *built.others]


def link_to(main: Fhir, other: Fhir, relation: list[Fhir]) -> None:
    """Say that a resource is related to another, in FHIR's own way if there is one."""
    kind = next((part["valueCode"] for part in relation if part["url"] == "typeCode"), "COMP")
    bearer = [{"url": p.EXT_RELATION, "extension": relation}] if relation else []
    reference = ({"extension": bearer} if bearer else {}) | {"reference": f"urn:uuid:{other['id']}"}
    place = _place(str(main.get("resourceType", "")), str(other["resourceType"]), kind)
    if place:
        main.setdefault(place, []).append(reference)
    else:
        _extend(main, [{"url": p.EXT_RELATED, "valueReference": reference}])


def _place(main: str, other: str, kind: str) -> str:
    if main == "Observation" and other == "Observation":
        return "hasMember"
    if main == "DiagnosticReport" and other in ("Observation", "ImagingStudy"):
        return "result" if other == "Observation" else "imagingStudy"
    if kind == "RSON" and main in _REASONED and other in ("Condition", "Observation"):
        return "reasonReference"
    return "supportingInfo" if main == "ServiceRequest" else ""


def _relation(link: XmlNode) -> list[Fhir]:
    """The kind of a relation, its direction and its rank."""
    parts: list[Fhir] = []
    kind = link.get("typeCode")
    if kind:
        parts.append({"url": "typeCode", "valueCode": kind})
    if link.get("inversionInd"):
        parts.append({"url": "inversionInd", "valueBoolean": link.get("inversionInd") == "true"})
    rank = link.value_at("sequenceNumber/@value")
    if rank.isdigit():
        parts.append({"url": "sequenceNumber", "valueInteger": int(rank)})
    return parts


def _extend(main: Fhir, extensions: list[Fhir]) -> None:
    if extensions:
        main["extension"] = [*main.get("extension", ()), *extensions]
