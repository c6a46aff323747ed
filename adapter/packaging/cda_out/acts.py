"""Observations, acts done or asked, meetings, devices and files as CDA entries; the registry of all kinds that we write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import extension
from adapter.packaging.cda_out.context import (
    SIMPLE_OBSERVATION,
    EntryWriter,
    Fhir,
    Write,
    add_author,
    add_comments,
    add_performers,
    add_text_reference,
    caption_of,
    cisis,
    kept_templates,
    loinc,
    snomed,
    start,
)
from adapter.packaging.cda_out.drugs import write_medication
from adapter.packaging.cda_out.problems import write_allergy, write_condition
from adapter.packaging.cda_out.values import (
    XSI_TYPE,
    add_concept,
    add_ids,
    add_ii,
    add_period,
    add_value,
    add_when,
    concept_words,
)
from adapter.packaging.cda_out.xml import Element, add

_STATUSES = {"final": "completed", "amended": "completed", "corrected": "completed", "preliminary": "completed"}
_DONE = {"completed": "completed", "in-progress": "active", "not-done": "cancelled", "stopped": "aborted", "on-hold": "held"}
_REQUEST_STATUSES = {"active": "active", "draft": "new", "completed": "completed", "revoked": "aborted", "on-hold": "held"}
_REQUEST_MOODS = {"proposal": "PRP"}
_PRIORITIES = {
    "routine": ("R", "Routine"),
    "urgent": ("UR", "Urgent"),
    "asap": ("A", "Dès que possible"),
    "stat": ("S", "Immédiat"),
}
_PRIORITY_SYSTEM = "2.16.840.1.113883.5.7"
_REQUEST = ("1.3.6.1.4.1.19376.1.5.3.1.1.20.3.1", "2.16.840.1.113883.10.20.1.25", "1.2.250.1.213.1.1.3.27")
_IMAGING_REQUEST = "1.2.250.1.213.1.1.3.27.3"
_PROCEDURE = ("1.3.6.1.4.1.19376.1.5.3.1.4.19", "1.2.250.1.213.1.1.3.62")
_ENCOUNTER = ("1.3.6.1.4.1.19376.1.5.3.1.4.14", "1.2.250.1.213.1.1.3.58")
_DEVICE = ("2.16.840.1.113883.10.20.1.34", "1.2.250.1.213.1.1.3.20")
_DICOM_OBSERVATION = ("2.16.840.1.113883.10.20.6.2.13", "1.2.250.1.213.1.1.3.150")
_CONTRAINDICATION = loinc("64100-1", "Contre-indications")
_PROBLEM = snomed("55607006", "problème")


# -- observations ----------------------------------------------------------------------------------------------------------------


def write_observation(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """FR-Simple-Observation, with the more exact templates that its source gave it; inside a history, FR-DICOM-Observation."""
    if at.kind == "history":
        write_history(entry, resource, at)
        return
    kept = tuple(t for t in kept_templates(resource) if t.startswith("1.2.250.1.213.1.1.3.48.")) or _exact_template(resource)
    made = start(entry, "observation", "OBS", "EVN", (*SIMPLE_OBSERVATION, *kept))
    add_ids(made, resource)
    code: Fhir = resource.get("code") or {}
    add_concept(made, "code", code, words=_own_words(code, at))
    add_text_reference(made, at.reference(resource, observation_words(resource)))
    add(made, "statusCode", code=_STATUSES.get(str(resource.get("status")), "completed"))
    add_when(made, resource, "effective", absent="UNK")
    for holder in resource.get("component") or [resource]:
        _add_value(made, holder, at)
    for concept in (resource.get("interpretation") or ())[:1]:
        add_concept(made, "interpretationCode", concept)
    for key, name in (("method", "methodCode"), ("bodySite", "targetSiteCode")):
        if isinstance(resource.get(key), dict):
            add_concept(made, name, resource[key])
    add_performers(made, resource.get("performer"), at)
    add_comments(made, resource.get("note"), at)


# The stay's facts (LDL-SES, section 42545-4) and the document's state have a template each.
_TEMPLATE_OF = {
    "ORG-070": "6", "ORG-074": "7", "MED-142": "9", "MED-143": "3", "MED-309": "8", "MED-144": "5", "MED-145": "10",
    "MED-146": "1", "MED-147": "2", "MED-148": "4",
}  # fmt: skip


def _exact_template(resource: Fhir) -> tuple[str, ...]:
    code = _first_code(resource.get("code"))
    if code == "GEN-065":
        return ("1.2.250.1.213.1.1.3.48.16", "1.2.250.1.213.1.1.3.48.16.1")
    return (f"1.2.250.1.213.1.1.3.48.{_TEMPLATE_OF[code]}",) if code in _TEMPLATE_OF else ()


def _own_words(concept: Fhir, at: EntryWriter) -> str:
    """The reference of a concept's own text; empty when it has none."""
    words = str(concept.get("text") or "")
    return at.narrative.anchor(words) if words else ""


def _add_value(made: Element, holder: Fhir, at: EntryWriter) -> None:
    concept = holder.get("valueCodeableConcept")
    text = str(concept.get("text", "")) if isinstance(concept, dict) else ""
    add_value(made, holder, at.narrative.anchor(text) if text else "")
    if text and made[-1].get("code") is None and isinstance(concept, dict) and concept.get("coding"):
        made[-1].set("nullFlavor", "OTH")


def observation_words(resource: Fhir) -> str:
    """Label and value, as a reader says them."""
    label = concept_words(resource.get("code") or {})
    value = " ; ".join(filter(None, (_value_words(holder) for holder in resource.get("component") or [resource])))
    return " : ".join(part for part in (label, value) if part) or caption_of(resource)


def _value_words(holder: Fhir) -> str:
    if "valueQuantity" in holder:
        quantity = holder["valueQuantity"]
        parts = (quantity.get("comparator"), quantity.get("value"), quantity.get("unit") or quantity.get("code"))
        return " ".join(str(part) for part in parts if part is not None)
    if "valueCodeableConcept" in holder:
        return concept_words(holder["valueCodeableConcept"])
    if "valueBoolean" in holder:
        return "oui" if holder["valueBoolean"] else "non"
    return str(next((holder[key] for key in ("valueString", "valueInteger", "valueDateTime") if key in holder), ""))


def write_history(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """What an imaging request's history tells, of any kind: one value and one site each.

    A diagnosis or allergy that the volet lists is a contra-indication; another is a problem; a measure keeps its own code.
    """
    made = start(entry, "observation", "OBS", "EVN", _DICOM_OBSERVATION)
    add_ids(made, resource, most=1)
    code: Fhir = resource.get("code") or {}
    is_fact = resource.get("resourceType") == "Observation"
    listed = any(coding.get("code") in at.accepts for coding in code.get("coding") or ())
    add_concept(made, "code", code if is_fact else _CONTRAINDICATION if listed else _PROBLEM)
    words = observation_words(resource) if is_fact else concept_words(code) or caption_of(resource)
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code="completed")
    add_when(made, resource, "effective" if is_fact else "onset")
    concept = resource.get("valueCodeableConcept") if is_fact else code
    if isinstance(concept, dict) or not add_value(made, resource):
        shown: Fhir = concept if isinstance(concept, dict) else {}
        add_concept(made, "value", shown, words=at.narrative.anchor(concept_words(shown) or words), typed="CD", flavor="")
    site = resource.get("bodySite")
    add_concept(made, "targetSiteCode", site if isinstance(site, dict) else {}, flavor="MSK")
    add_comments(made, resource.get("note"), at)


# -- acts ------------------------------------------------------------------------------------------------------------------------


def write_procedure(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """An act that was done, or not."""
    made = start(entry, "procedure", "PROC", "EVN", ("2.16.840.1.113883.10.20.1.29", *_PROCEDURE))
    if resource.get("status") == "not-done":
        made.set("negationInd", "true")
    _add_act(made, resource, at, _DONE.get(str(resource.get("status")), "completed"), "performed")
    performers = [found.get("actor") for found in resource.get("performer") or () if isinstance(found, dict)]
    add_performers(made, performers, at)
    add_author(made, resource.get("recorder"), at)
    add_comments(made, resource.get("note"), at)


def write_request(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """What is asked: an imaging act, an act coded as such, a meeting, else an exam or follow-up in words."""
    kept = kept_templates(resource)
    if at.kind == "imaging":
        _write_imaging_request(entry, resource, at)
    elif _ENCOUNTER[-1] in kept:
        made = start(entry, "encounter", "ENC", "INT", ("2.16.840.1.113883.10.20.1.21", *_ENCOUNTER))
        _finish_request(made, resource, at)
    elif _PROCEDURE[-1] in kept or (_REQUEST[-1] not in kept and _has_system(resource.get("code"), p.CCAM)):
        made = start(entry, "procedure", "PROC", "INT", ("2.16.840.1.113883.10.20.1.25", *_PROCEDURE))
        _finish_request(made, resource, at)
    else:
        _write_asked(entry, resource, at)


def _finish_request(made: Element, resource: Fhir, at: EntryWriter) -> None:
    if resource.get("doNotPerform"):
        made.set("negationInd", "true")
    _add_act(made, resource, at, _request_status(resource), "occurrence")
    _add_people(made, resource, at)
    add_comments(made, resource.get("note"), at)


def _request_status(resource: Fhir) -> str:
    return _REQUEST_STATUSES.get(str(resource.get("status")), "active")


def _add_people(made: Element, resource: Fhir, at: EntryWriter, *, most: int = 0) -> None:
    add_performers(made, resource.get("performer"), at, most=most)
    add_author(made, resource.get("requester"), at, {"time": resource.get("authoredOn", "")})


def _add_act(made: Element, resource: Fhir, at: EntryWriter, status: str, when: str) -> None:
    """From the id to the site: what a procedure or an encounter has, done or asked."""
    code: Fhir = resource.get("code") or {}
    add_ids(made, resource)
    add_concept(made, "code", code, words=_own_words(code, at))
    add_text_reference(made, at.reference(resource, concept_words(code) or caption_of(resource)))
    add(made, "statusCode", code=status)
    add_when(made, resource, when)
    _add_priority(made, resource, at)
    for site in _concepts(resource.get("bodySite")):
        add_concept(made, "targetSiteCode", site, words=_own_words(site, at), flavor="OTH")


def _add_priority(made: Element, resource: Fhir, at: EntryWriter) -> None:
    kept = extension(resource, p.EXT_PRIORITY).get("valueCodeableConcept")
    known = _PRIORITIES.get(str(resource.get("priority")))
    if isinstance(kept, dict):
        add_concept(made, "priorityCode", kept, words=_own_words(kept, at))
    elif known is not None:
        add(made, "priorityCode", code=known[0], displayName=known[1], codeSystem=_PRIORITY_SYSTEM)


def _write_asked(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    code: Fhir = resource.get("code") or {}
    mood = _REQUEST_MOODS.get(str(resource.get("intent")), "INT")
    made = start(entry, "observation", "OBS", mood, _REQUEST)
    if resource.get("doNotPerform"):
        made.set("negationInd", "true")
    add_ids(made, resource)
    words = concept_words(code) or caption_of(resource)
    add_concept(made, "code", code if code.get("coding") else cisis("ORG-064", "Demande d'examen ou de suivi"))
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code=_request_status(resource))
    add_when(made, resource, "occurrence", absent="UNK")
    _add_priority(made, resource, at)
    value = add(made, "value")
    value.set(XSI_TYPE, "ST")
    value.text = words
    for site in _concepts(resource.get("bodySite")):
        add_concept(made, "targetSiteCode", site)
    _add_people(made, resource, at)
    add_comments(made, resource.get("note"), at)


def _write_imaging_request(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """FR-Demande-d-examen-IMG-DA: the modality is the code; urgent needs its reason in words, which the notes hold."""
    made = start(entry, "observation", "OBS", "INT", (*_REQUEST, _IMAGING_REQUEST))
    for identifier in [*(resource.get("identifier") or ()), resource.get("requisition")]:
        if isinstance(identifier, dict) and identifier.get("value"):
            add_ii(made, identifier)
    if made.find("{*}id") is None:
        add_ids(made, resource)
    code: Fhir = resource.get("code") or {}
    words = concept_words(code) or caption_of(resource)
    add_concept(made, "code", modality_of(resource), words=at.narrative.anchor(words))
    add_text_reference(made, at.reference(resource, words))
    add(made, "statusCode", code=_request_status(resource))
    add_when(made, resource, "occurrence", absent="UNK")
    notes = [str(note.get("text", "")) for note in resource.get("note") or () if isinstance(note, dict)]
    kept = extension(resource, p.EXT_PRIORITY).get("valueCodeableConcept")
    if resource.get("priority") in ("asap", "stat") or _first_code(kept) == "UR":
        reason = str(kept.get("text", "")) if isinstance(kept, dict) else ""
        priority = add(made, "priorityCode", code="UR", displayName="Urgent", codeSystem=_PRIORITY_SYSTEM)
        reference = at.narrative.anchor(reason or next(iter(notes), "Demande urgente"))
        add(add(priority, "originalText"), "reference", value=reference)
    for site in _concepts(resource.get("bodySite")):
        said = at.narrative.anchor(concept_words(site))
        target = add_concept(made, "targetSiteCode", site, words=said)
        if target.get("code") is None:
            target.set("nullFlavor", "OTH")
        target.set(XSI_TYPE, "CD")
    _add_people(made, resource, at, most=1)
    add_comments(made, resource.get("note"), at)


def modality_of(resource: Fhir) -> Fhir:
    """The modality: the category that is none of SNOMED's « imaging », else the code itself."""
    told = (category for category in _concepts(resource.get("category")) if _first_code(category) != "363679005")
    found: Fhir = next(told, resource.get("code") or {})
    return found


# -- meetings --------------------------------------------------------------------------------------------------------------------


def write_appointment(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """A meeting wished or promised."""
    mood = str(extension(resource, p.EXT_MOOD).get("valueCode") or "ARQ")
    made = start(entry, "encounter", "ENC", mood, ("2.16.840.1.113883.10.20.1.21", "2.16.840.1.113883.10.20.1.25", *_ENCOUNTER))
    kind: Fhir = next(iter(_concepts(resource.get("serviceType"))), {})
    add_ids(made, resource)
    add_concept(made, "code", kind)
    add_text_reference(made, at.reference(resource, str(resource.get("description") or concept_words(kind) or "Rendez-vous")))
    periods = [found for found in resource.get("requestedPeriod") or () if isinstance(found, dict)]
    period: Fhir = periods[0] if periods else {key: resource[key] for key in ("start", "end") if key in resource}
    if period and period.get("start") == period.get("end"):
        add_when(made, {"atDateTime": period.get("start"), "_atDateTime": period.get("_start")}, "at", absent="UNK")
    elif period:
        add_period(made, "effectiveTime", period)
    _add_priority(made, resource, at)
    actors = [found.get("actor") for found in resource.get("participant") or () if isinstance(found, dict)]
    add_performers(made, actors, at)
    comment = str(resource.get("comment") or "")
    add_comments(made, [{"text": comment}] if comment else [], at)


def write_encounter(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """A meeting that took place."""
    made = start(entry, "encounter", "ENC", "EVN", ("2.16.840.1.113883.10.20.1.21", *_ENCOUNTER))
    add_ids(made, resource)
    add_concept(made, "code", {"coding": [resource.get("class") or {}]})
    add_text_reference(made, at.reference(resource, caption_of(resource) or "Rencontre"))
    period = resource.get("period")
    if isinstance(period, dict) and period:
        add_period(made, "effectiveTime", period)
    people = [found.get("individual") for found in resource.get("participant") or () if isinstance(found, dict)]
    add_performers(made, people, at)


# -- devices ---------------------------------------------------------------------------------------------------------------------


def write_device(entry: Element, resource: Fhir, at: EntryWriter) -> None:
    """DeviceUseStatement with its Device, and the UDI as printed."""
    device = at.entries.at(resource.get("device"))
    kind: Fhir = device.get("type") or {}
    made = start(entry, "supply", "SPLY", "EVN", _DEVICE)
    add_ids(made, resource)
    names = [str(name.get("name")) for name in device.get("deviceName") or () if isinstance(name, dict)]
    words = concept_words(kind) or next(iter(names), "") or caption_of(device)
    add_when(made, resource, "timing", interval=True)
    role = add(add(made, "participant", typeCode="DEV"), "participantRole", classCode="MANU")
    udi = next(
        (str(c.get("carrierHRF")) for c in device.get("udiCarrier") or () if isinstance(c, dict) and c.get("carrierHRF")), ""
    )
    identifiers = [i for i in device.get("identifier") or () if isinstance(i, dict) and i.get("value")]
    for identifier in identifiers:
        add_ii(role, identifier)
    if udi and not identifiers:
        add_ii(role, {"system": f"{p.OURS}udi", "value": udi})
    playing = add(role, "playingDevice", classCode="DEV", determinerCode="INSTANCE")
    add_concept(playing, "code", kind, words=at.reference(resource, words))
    if names:
        add(playing, "manufacturerModelName").text = names[0]
    add_author(made, resource.get("source"), at)
    add_comments(made, resource.get("note"), at)


# -- files -----------------------------------------------------------------------------------------------------------------------


def add_file(entry: Element, file_id: str, media_type: str, data: str, caption: str, at: EntryWriter) -> None:
    """FR-Document-attache: an organizer with what the file is and its bytes; the narrative shows it."""
    organizer = start(entry, "organizer", "CLUSTER", "EVN", ("1.2.250.1.213.1.1.3.18",))
    add_ids(organizer, {"id": f"{file_id}/organizer/{len(data)}"})
    add_concept(organizer, "code", loinc("55107-7", "Document attaché"))
    add(organizer, "statusCode", code="completed")
    told = start(add(organizer, "component"), "observation", "OBS", "EVN", (*SIMPLE_OBSERVATION, "1.2.250.1.213.1.1.3.48.18"))
    add_ids(told, {"id": f"{file_id}/type/{len(data)}"})
    add_concept(told, "code", loinc("69764-9", "Type de document"))
    reference = at.narrative.anchor(caption)
    add_text_reference(told, reference)
    add(told, "statusCode", code="completed")
    add(told, "effectiveTime", nullFlavor="NA")
    add_concept(told, "value", {}, words=reference, typed="CD", flavor="")
    media = add(add(organizer, "component"), "observationMedia", classCode="OBS", moodCode="EVN", ID=file_id)
    value = add(media, "value", mediaType=media_type, representation="B64")
    value.text = data


def _concepts(value: object) -> list[Any]:
    return [found for found in value if isinstance(found, dict)] if isinstance(value, list) else []


def _first_code(concept: object) -> str:
    coding: Fhir = next(iter(concept.get("coding") or ()), {}) if isinstance(concept, dict) else {}
    return str(coding.get("code", ""))


def _has_system(concept: object, system: str) -> bool:
    codings = concept.get("coding") or () if isinstance(concept, dict) else ()
    return any(coding.get("system") == system for coding in codings)


WRITERS: Mapping[str, Write] = {
    "Observation": write_observation,
    "Procedure": write_procedure,
    "ServiceRequest": write_request,
    "MedicationStatement": write_medication,
    "AllergyIntolerance": write_allergy,
    "Condition": write_condition,
    "Appointment": write_appointment,
    "Encounter": write_encounter,
    "DeviceUseStatement": write_device,
}
HISTORY = frozenset({"Observation", "Condition", "AllergyIntolerance"})
