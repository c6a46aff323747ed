"""Entries of a CDA body as FHIR resources: observations, acts, meetings, devices. One builder a kind of entry.

Source: digest cda-models §3.2, §3.8, §6. A builder reads what it understands; the rest stays unread and is listed.
The kinds that are long have a module of their own: `cda_medication`, `cda_allergy`.
"""

from __future__ import annotations

from adapter.fhir import clinical
from adapter.fhir import profiles as p
from adapter.fhir.bundle import full_url
from adapter.mapping.cda.allergy import build_allergy_concern
from adapter.mapping.cda.context import (
    Basics,
    Builder,
    Built,
    EntryContext,
    Fhir,
    authors,
    comments,
    is_negated,
    performers,
    read_basics,
)
from adapter.mapping.cda.family import build_family_history
from adapter.mapping.cda.imaging import build_imaging_study
from adapter.mapping.cda.keep import keep_whole
from adapter.mapping.cda.links import complete
from adapter.mapping.cda.medication import build_administration, build_medication, build_prescription
from adapter.mapping.cda.observation import build_observation, request_status
from adapter.mapping.cda.observation import priority_elements as _priority
from adapter.mapping.cda.panel import build_attachment, build_external_document, build_media, build_panel, build_report
from adapter.mapping.cda.problem import build_problem, build_problem_concern
from adapter.mapping.cda.supply import build_supply
from adapter.mapping.cda.vaccine import build_immunization
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.xml_source import XmlNode
from adapter.model.finding import Severity

_DONE = {"completed": "completed", "active": "in-progress", "cancelled": "not-done", "aborted": "stopped", "held": "on-hold"}
_INTENTS = {"INT": "plan", "PRMS": "plan", "RQO": "order", "PRP": "proposal", "ARQ": "proposal", "APT": "plan"}


def build_procedure(node: XmlNode, at: EntryContext) -> Built:
    """FR-Acte: done (EVN) is a Procedure, anything else a ServiceRequest. Either may be told as not (to be) done."""
    basics = read_basics(node, at)
    mood = node.get("moodCode")
    code = at.values.concept(node.first("code")) or {"text": basics.text or "Acte"}
    if mood == "EVN":
        return Built((_done(node, at, basics, code),))
    return Built((_planned(node, at, basics, code, mood),))


def _done(node: XmlNode, at: EntryContext, basics: Basics, code: Fhir) -> Fhir:
    status = _DONE.get(node.value_at("statusCode/@code"), "unknown")
    wrote = authors(node, at)
    return clinical.procedure(
        at.mint("Procedure"), ("Non fait : " if is_negated(node) else "") + (basics.text or _label(code) or "Acte"),
        status="not-done" if node.get("negationInd") == "true" else status, code=code, subject=at.subject,
        extension=basics.extension + _kept_priority(node, at), identifier=basics.identifier, encounter=at.encounter,
        **at.values.when(node.first("effectiveTime"), "performed"), recorder=wrote[0] if wrote else None,
        performer=[{"actor": actor} for actor in performers(node, at)],
        bodySite=at.values.concepts(node.children("targetSiteCode")), note=comments(node, at),
    )  # fmt: skip


def _planned(node: XmlNode, at: EntryContext, basics: Basics, code: Fhir, mood: str) -> Fhir:
    priority, kept = _priority(node, at)
    wrote = authors(node, at)
    return clinical.service_request(
        at.mint("ServiceRequest"), ("Ne pas faire : " if is_negated(node) else "") + (basics.text or _label(code) or "Acte"),
        status=request_status(node.value_at("statusCode/@code")), intent=_INTENTS.get(mood, "plan"), code=code,
        subject=at.subject, extension=basics.extension + kept, identifier=basics.identifier, priority=priority,
        doNotPerform=True if node.get("negationInd") == "true" else None, encounter=at.encounter,
        **at.values.when(node.first("effectiveTime"), "occurrence"), requester=wrote[0] if wrote else None,
        performer=performers(node, at), bodySite=at.values.concepts(node.children("targetSiteCode")), note=comments(node, at),
    )  # fmt: skip


def _kept_priority(node: XmlNode, at: EntryContext) -> list[Fhir]:
    """A Procedure has no priority: the code is kept as it came."""
    return _priority(node, at)[1]


def _label(code: Fhir) -> str:
    coding = (code.get("coding") or [{}])[0]
    return str(code.get("text") or coding.get("display") or coding.get("code") or "")


# -- meetings ----------------------------------------------------------------------------------------------------


def build_encounter(node: XmlNode, at: EntryContext) -> Built:
    """FR-Rencontre: wished or promised is an Appointment, intended a ServiceRequest, past an Encounter."""
    mood = node.get("moodCode")
    if mood == "EVN":
        return Built((_past_encounter(node, at),))
    if mood == "INT":
        return build_procedure(node, at)
    return Built((_appointment(node, at, mood),))


def _appointment(node: XmlNode, at: EntryContext, mood: str) -> Fhir:
    basics = read_basics(node, at)
    kind = at.values.concept(node.first("code"))
    _, kept = _priority(node, at)
    node.value_at("statusCode/@code")
    people = [{"actor": {"reference": at.subject}, "status": "needs-action"}]
    people += [{"actor": actor, "status": "needs-action"} for actor in [*performers(node, at), *authors(node, at)]]
    period = at.values.period(node.first("effectiveTime"))
    time = node.first("effectiveTime")
    if not period and time is not None:
        at.values.absent_reason(time)
    # A booked appointment needs both hours (app-3); a letter gives a day or an hour: what it asks stays a proposal.
    return clinical.appointment(
        at.mint("Appointment"), basics.text or _label(kind) or "Rendez-vous", status="proposed", participants=people,
        extension=[*basics.extension, {"url": p.EXT_MOOD, "valueCode": mood}, *kept], identifier=basics.identifier,
        serviceType=[kind] if kind else [], requestedPeriod=[period] if period else [],
        comment=" ".join(note["text"] for note in comments(node, at)),
    )  # fmt: skip


def _past_encounter(node: XmlNode, at: EntryContext) -> Fhir:
    basics = read_basics(node, at)
    kind = at.values.concept(node.first("code"))
    coding = (kind.get("coding") or [{"system": p.V3_NULL_FLAVOR, "code": "UNK"}])[0]
    visit = {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": "VN"}]}
    people = [{"individual": actor} for actor in performers(node, at)]
    _, kept = _priority(node, at)
    node.value_at("statusCode/@code")
    unknown = {"_start": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}}
    return clinical.past_encounter(
        at.mint("Encounter"), basics.text or _label(kind) or "Rencontre", class_coding=coding, subject=at.subject,
        period=at.values.period(node.first("effectiveTime")) or unknown, extension=basics.extension + kept,
        identifier=[{"type": visit, **identifier} for identifier in basics.identifier or [_own_number(at)]], participant=people,
    )  # fmt: skip


def _own_number(at: EntryContext) -> Fhir:
    """The French profile wants a number of every meeting: one of ours, marked as temporary."""
    return {"use": "temp", "system": p.URI_SYSTEM, "value": f"urn:uuid:{at.mint('Encounter')}"}


# -- devices ----------------------------------------------------------------------------------------------------


def build_device(node: XmlNode, at: EntryContext) -> Built:
    """FR-Dispositif-medical: the device (with its UDI) and the statement that the patient uses it."""
    basics = read_basics(node, at)
    role = node.first("participant[@typeCode=DEV]/participantRole")
    code = at.values.concept(role.first("playingDevice/code")) if role is not None else {}
    name = role.value_at("playingDevice/manufacturerModelName") if role is not None else ""
    caption = _label(code) or basics.text or "Dispositif médical"
    udi = role.value_at("id/@extension") if role is not None else ""
    thing = clinical.device(
        at.mint("Device"), caption, patient=at.subject, identifier=at.values.identifiers(role) if role is not None else [],
        **(clinical.udi_elements(udi) if udi else {}),
        deviceName=[{"name": name, "type": "model-name"}] if name else [], type=code,
    )  # fmt: skip
    wrote = authors(node, at)
    use = clinical.device_use_statement(
        at.mint("DeviceUseStatement"), caption, status=_use_status(node), subject=at.subject, device_url=full_url(thing),
        extension=basics.extension, identifier=basics.identifier,
        **at.values.when(node.first("effectiveTime"), "timing"), source=wrote[0] if wrote else None, note=comments(node, at),
    )  # fmt: skip
    return Built((use,), (thing,))


def _use_status(node: XmlNode) -> str:
    """Worn still, unless the source says until when or that it is over."""
    ended = node.first("effectiveTime/high")
    if node.value_at("statusCode/@code") == "completed" and ended is not None and ended.get("value"):
        return "completed"
    return "intended" if node.get("moodCode") in ("INT", "RQO", "PRMS") else "active"


# -- anything else -----------------------------------------------------------------------------------------------------


def build_act(node: XmlNode, at: EntryContext) -> Built:
    """An act of no known kind: asked, it is a ServiceRequest; told, FHIR's resource for what it has no name for."""
    mood = node.look("moodCode")
    if mood in _INTENTS:
        return build_procedure(node, at)
    basics = read_basics(node, at)
    code = at.values.concept(node.first("code"))
    label = _label(code) or basics.text or "Information"
    found = clinical.about_patient(
        "Basic", at.mint("Basic"), f"Nié par la source : {label}" if is_negated(node) else label, subject=at.subject,
        code=code if code and not is_negated(node) else {"text": label},
        extension=[*basics.extension, *_negation(node, at)], identifier=basics.identifier,
    )  # fmt: skip
    return Built((found,))


def _negation(node: XmlNode, at: EntryContext) -> list[Fhir]:
    if not is_negated(node):
        return []
    at.values.warn("cda.negated-entry", "A negated fact was not coded: it is told in words.", node.path)
    return [{"url": p.EXT_NEGATED, "extension": keep_whole(node, at, without=frozenset({"entryRelationship", "templateId"}))}]


def build_device_or_supply(node: XmlNode, at: EntryContext) -> Built:
    """A supply: of a device that the patient has, or of anything else."""
    if node.first("participant[@typeCode=DEV]/participantRole") is not None and node.first("quantity") is None:
        return build_device(node, at)
    return build_supply(node, at)


BUILDERS: dict[str, Builder] = {
    "act": build_act,
    "administration": build_administration,
    "allergy_concern": build_allergy_concern,
    "attachment": build_attachment,
    "device": build_device,
    "encounter": build_encounter,
    "external_document": build_external_document,
    "family_history": build_family_history,
    "imaging_study": build_imaging_study,
    "immunization": build_immunization,
    "media": build_media,
    "medication": build_medication,
    "observation": build_observation,
    "panel": build_panel,
    "prescription": build_prescription,
    "problem": build_problem,
    "problem_concern": build_problem_concern,
    "procedure": build_procedure,
    "report": build_report,
    "supply": build_device_or_supply,
}


def build_entry(node: XmlNode, at: EntryContext) -> Built:
    """Any act: by the builder that its template names, else by the one of its class; nothing of it is left out."""
    name, known = _builder_name(node)
    if name not in BUILDERS:
        return Built(())
    if not known:
        at.values.warn("cda.generic-entry", "No rule names this kind of entry: it was understood by its class.", node.path,
                       Severity.INFORMATION)  # fmt: skip
    return complete(node, at, BUILDERS[name](node, at))


def entry_rules() -> RuleFile:
    """Which builder understands which entry."""
    return load_rules("documents/cda-entries")


def _builder_name(node: XmlNode) -> tuple[str, bool]:
    """The builder of an entry, and whether a rule names it. The most specific templates come last: they are tried first."""
    rules = entry_rules().data
    table: dict[str, str] = rules["builders"]
    for template in reversed(node.children("templateId")):
        name = table.get(template.look("root"))
        if name:
            return name, True
    classes: dict[str, str] = rules["classes"]
    return classes.get(node.name, ""), node.name in ("observation", "observationMedia", "organizer")
