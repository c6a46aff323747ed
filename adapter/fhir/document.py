"""The document Bundle of any source: header and sections in, Composition, Patient, actors, Encounter, Binary out.

Source: FR Document Core 0.1.0 (draft) over HL7 UV clinical-document. Choices of ours, each for a reason:
- templateIds are kept in an extension, not in `meta`: a server may rewrite `meta`, and the way back to CDA needs them;
- a sub-section keeps its narrative (the draft puts it at the top level only): words are never lost;
- the source travels in a Binary, byte for byte, whatever was understood of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pybase64

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, document_bundle, reference_to, uri_identifier
from adapter.fhir.identity import patient_resource
from adapter.fhir.narrative import div_of, generated
from adapter.fhir.parties import Parties
from adapter.fhir.period import sound_period
from adapter.model.document import Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.parties import Organisation, Party

Resource = dict[str, Any]

# An HL7 v3 encounter that nobody classified: the class is mandatory in FHIR.
_UNKNOWN_CLASS = {"system": p.V3_NULL_FLAVOR, "code": "UNK", "display": "unknown"}
# The UV extension refuses these types: each has an extension of its own.
# FHIR wants one: a source without an author is told as such, never given one.
_UNKNOWN_AUTHOR = {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}], "display": "Auteur non renseigné"}
_OWN_EXTENSION = {"INF": p.EXT_INFORMANT, "ENT": p.EXT_DATA_ENTERER}
_TYPE_LABELS = {"INF": "informant", "ENT": "data entry person", "PRCP": "primary information recipient", "TRC": "tracker"}


@dataclass(frozen=True)
class Section:
    """One section. `code` is a Code or a ready CodeableConcept; `entries` are fullUrls; `div` is XHTML.

    `narrative_status`: `generated` when the entries say it all, `additional` when a person wrote the words.
    """

    code: Code | Resource
    title: str
    div: str = ""
    entries: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    authors: tuple[Resource, ...] = ()
    focus: str = ""
    empty_reason: str = ""
    narrative_status: str = "generated"
    extensions: tuple[Resource, ...] = ()


@dataclass(frozen=True)
class EncounterDetails:
    """What a source says of the stay beyond `Stay`: FHIR fragments ready to be placed."""

    participants: tuple[tuple[Code, Party], ...] = ()
    admit_source: Resource = field(default_factory=dict)
    discharge_disposition: Resource = field(default_factory=dict)
    location_name: str = ""
    location_address: Resource = field(default_factory=dict)
    location_identifiers: tuple[Resource, ...] = ()
    period_absent: str = "unknown"


@dataclass(frozen=True)
class DocumentExtras:
    """What a source says of the document beyond its header. All optional: a form has none of it.

    `patient` holds elements merged into the Patient; `confidentiality` is the source's own coding;
    `date_literal` is the date as written, when FHIR had to change it.
    """

    status: str = "final"
    category: Code = field(default_factory=Code)
    type_translations: tuple[Resource, ...] = ()
    authenticators: tuple[Party, ...] = ()
    data_enterer: Party | None = None
    informants: tuple[Party, ...] = ()
    recipients: tuple[ReferringParty, ...] = ()
    based_on: tuple[Resource, ...] = ()
    consents: tuple[Resource, ...] = ()
    encounter: EncounterDetails = field(default_factory=EncounterDetails)
    event_extensions: tuple[tuple[Resource, ...], ...] = ()
    patient: Resource = field(default_factory=dict)
    confidentiality: Resource = field(default_factory=dict)
    replaced: tuple[Resource, ...] = ()
    realm: str = ""
    timestamp: str = ""
    date_literal: str = ""


def document_ids(header: DocumentHeader, source: bytes) -> Ids:
    """The ids of a document: its unique id and its very content, so two contents under one id never share a resource."""
    return Ids(f"{header.unique_id}|{hashlib.sha256(source).hexdigest()}")


def patient_url(ids: Ids) -> str:
    """The fullUrl that the document's Patient will have: entries name it before it is built."""
    return f"urn:uuid:{ids.mint('Patient')}"


def encounter_url(ids: Ids) -> str:
    """The fullUrl that the Encounter will have."""
    return f"urn:uuid:{ids.mint('Encounter')}"


def document_bundle_from(
    header: DocumentHeader,
    sections: Sequence[Section],
    resources: Sequence[Resource],
    source: bytes,
    media_type: str,
    *,
    extras: DocumentExtras | None = None,
    parties: Parties | None = None,
) -> Resource:
    """The document Bundle. `resources` are the entries of the sections; pass `parties` when they already name actors."""
    more = extras or DocumentExtras()
    actors = parties or Parties(document_ids(header, source))
    ids = actors.ids
    patient = patient_resource(header.patient, id=ids.mint("Patient")) | more.patient
    encounter, location = _encounter(header, more, actors, ids, patient)
    original = binary_resource(source, media_type, ids.mint("Binary", "source"))
    composition = _composition(header, sections, more, actors, ids, patient, encounter)
    composition["extension"].append({"url": p.OURS + "source-document", "valueReference": reference_to(original)})
    everything = [patient, encounter, location, *actors.resources, *more.based_on, *more.consents, *resources, original]
    return document_bundle(
        composition,
        everything,
        id=ids.mint("Bundle"),
        identifier=uri_identifier(header.unique_id),
        timestamp=more.timestamp or header.created,
    )


def binary_resource(content: bytes, media_type: str, id: str) -> Resource:  # noqa: A002 - FHIR's word
    """A file, byte for byte."""
    data = pybase64.b64encode_as_string(content)  # a hundred times faster than base64: half of a document is its files
    return {"resourceType": "Binary", "id": id, "contentType": media_type, "data": data}


# -- Composition ---------------------------------------------------------------------------------------------------------------


def _composition(
    header: DocumentHeader,
    sections: Sequence[Section],
    more: DocumentExtras,
    actors: Parties,
    ids: Ids,
    patient: Resource,
    encounter: Resource,
) -> Resource:
    resource: Resource = {
        "resourceType": "Composition",
        "id": ids.mint("Composition"),
        "meta": {"profile": [p.COMPOSITION_DOCUMENT]},
        "language": header.language or "fr-FR",
        "text": generated(header.title or header.type.label or "Document"),
        "extension": _composition_extensions(header, more, actors),
        "identifier": uri_identifier(header.set_id or header.unique_id),
        "status": more.status,
        "type": {"coding": [coding_of(header.type), *more.type_translations]},
    }
    if more.category.code:
        resource["category"] = [{"coding": [coding_of(more.category)]}]
    resource |= {
        "subject": reference_to(patient),
        "encounter": reference_to(encounter),
        "date": header.created,
        **(
            {"_date": {"extension": [{"url": p.EXT_ORIGINAL_LITERAL, "valueString": more.date_literal}]}}
            if more.date_literal
            else {}
        ),
        "author": [_author(author, actors) for author in header.authors] or [_UNKNOWN_AUTHOR],
        "title": header.title or header.type.label or "Document",
        "confidentiality": header.confidentiality or "N",
    }
    if more.confidentiality:
        resource["_confidentiality"] = {"extension": [source_code(more.confidentiality)]}
    attesters = _attesters(header, more, actors)
    if attesters:
        resource["attester"] = attesters
    resource["custodian"] = reference_to(actors.organization(header.custodian))
    if header.replaces:
        replaced = {"code": "replaces", "targetIdentifier": uri_identifier(header.replaces)}
        resource["relatesTo"] = [({"extension": list(more.replaced)} if more.replaced else {}) | replaced]
    resource["event"] = _events(header, more, actors)
    if sections:
        resource["section"] = [_section(section) for section in sections]
    return resource


def _composition_extensions(header: DocumentHeader, more: DocumentExtras, actors: Parties) -> list[Resource]:
    found: list[Resource] = [{"url": p.EXT_COMPOSITION_VERSION, "valueString": str(header.version)}]
    if more.realm:
        found.append({"url": p.EXT_REALM, "valueCode": more.realm})
    found += [template_extension(template) for template in header.template_ids]
    if more.data_enterer is not None:
        found.append(_participation(p.EXT_DATA_ENTERER, "ENT", more.data_enterer, actors))
    found += [_participation(p.EXT_INFORMANT, "INF", informant, actors) for informant in more.informants]
    found += [_participation(p.EXT_INFORMATION_RECIPIENT, r.type_code, r.party, actors) for r in more.recipients]
    found += [
        # A French médecin traitant is an INF participant with function PCP: UV has no other place for INF.
        _participation(_OWN_EXTENSION.get(r.type_code, p.EXT_PARTICIPANT), r.type_code, r.party, actors, r.function_code)
        for r in header.participants
    ]
    found += [{"url": p.EXT_BASED_ON, "valueReference": reference_to(order)} for order in more.based_on]
    found += [{"url": p.EXT_CONSENT, "valueReference": reference_to(consent)} for consent in more.consents]
    return found


def source_code(coding: Resource) -> Resource:
    """The source's coding, kept beside the FHIR code that it was translated to."""
    return {"url": p.EXT_SOURCE_CODE, "valueCoding": coding}


def template_extension(template: str) -> Resource:
    """A CDA templateId (`root` or `root|version`) kept for the way back."""
    return {"url": p.EXT_TEMPLATE_ID, "valueString": template}


def _participation(url: str, type_code: str, party: Party, actors: Parties, function_code: str = "") -> Resource:
    type_coding = {"system": p.V3_PARTICIPATION_TYPE, "code": type_code}
    if type_code in _TYPE_LABELS:
        type_coding["display"] = _TYPE_LABELS[type_code]
    kind: Resource = {"coding": [type_coding]} if type_code else {"text": "participation non précisée"}
    parts: list[Resource] = [{"url": "type", "valueCodeableConcept": kind}]
    concept = _function_concept(party, function_code or party.function_code)
    if concept:
        parts.append({"url": "function", "valueCodeableConcept": concept})
    if party.time:
        start, slash, end = party.time.partition("/")
        period: Resource = {"start": start} if not slash else {k: v for k, v in (("start", start), ("end", end)) if v}
        if party.time_literal:
            period["_start"] = _literal(party.time_literal)
        parts.append({"url": "time", "valuePeriod": period})
    parts.append({"url": "party", "valueReference": reference_to(actors.actor(party))})
    return {"url": url, "extension": parts}


def _function_concept(party: Party, code: str) -> Resource:
    """A function with the codings and the words that came with it."""
    words = party.function_words
    codings: list[Resource] = []
    if code:
        codings.append(coding_of(Code(code, words.system or _function_system(code), party.function_label)))
    codings += [coding_of(Code(*other)) for other in words.translations]
    return {key: value for key, value in (("coding", codings), ("text", words.text)) if value}


def _literal(text: str) -> Resource:
    """A primitive's extension that keeps what the source wrote."""
    return {"extension": [{"url": p.EXT_ORIGINAL_LITERAL, "valueString": text}]}


_FRENCH_FUNCTIONS = frozenset({"CORRE", "PRELV", "ES-REF", "ES-PREF", "330", "353"})


def _function_system(code: str) -> str:
    """Functions are HL7's (PCP, ATTPHYS…) but for a few French ones."""
    return p.TRE_FUNCTION if code in _FRENCH_FUNCTIONS else p.V3_PARTICIPATION_FUNCTION


def _author(party: Party, actors: Parties) -> Resource:
    return timed_reference(party, actors.actor(party))


def timed_reference(party: Party, actor: Resource) -> Resource:
    """A reference to an actor that tells when and as what they took part: R4 has no element for either."""
    reference = reference_to(actor)
    extensions: list[Resource] = []
    start, interval, end = party.time.partition("/")
    if interval:
        extensions.append({"url": p.EXT_AUTHOR_TIME, "valuePeriod": _period(start, end)})
    elif start:
        extensions.append({"url": p.EXT_AUTHOR_TIME, "valueDateTime": start})
        if party.time_literal:  # beside it: the models know no `_valueDateTime` in an Extension
            extensions += _literal(party.time_literal)["extension"]
    function = _function_concept(party, party.function_code)
    if set(function) == {"coding"} and len(function["coding"]) == 1:
        extensions.append({"url": p.EXT_FUNCTION, "valueCoding": function["coding"][0]})
    elif function:
        extensions.append({"url": p.EXT_FUNCTION, "valueCodeableConcept": function})
    return ({"extension": extensions} if extensions else {}) | reference


def _attesters(header: DocumentHeader, more: DocumentExtras, actors: Parties) -> list[Resource]:
    signed = [("legal", header.legal_authenticator)] if header.legal_authenticator else []
    signed += [("professional", party) for party in more.authenticators]
    found = []
    for mode, party in signed:
        attester: Resource = {"mode": mode}
        if party.time:
            attester["time"] = party.time
            if party.time_literal:
                attester["_time"] = _literal(party.time_literal)
        found.append(attester | {"party": reference_to(actors.role(party))})
    return found


def _events(header: DocumentHeader, more: DocumentExtras, actors: Parties) -> list[Resource]:
    """At least one: a document that names no act tells of the stay itself."""
    if not header.service_events:
        return [{"period": _period(header.created, "")}]
    events = []
    for number, event in enumerate(header.service_events):
        extensions = more.event_extensions[number] if number < len(more.event_extensions) else ()
        events.append(_event(event, extensions, actors))
    return events


def _event(event: ServiceEvent, extensions: Sequence[Resource], actors: Parties) -> Resource:
    found: Resource = {}
    kept = list(extensions)
    if event.performer is not None:
        kept.append(
            {"url": p.EXT_EVENT_PERFORMER, "valueReference": timed_reference(event.performer, actors.role(event.performer))}
        )
    if event.identifier:
        kept.append({"url": p.EXT_EVENT_IDENTIFIER, "valueIdentifier": uri_identifier(event.identifier)})
    if kept:
        found["extension"] = kept
    if event.code.code:
        found["code"] = [{"coding": [coding_of(event.code)]}]
    period = _period(event.start, event.end)
    if period:
        found["period"] = period
    return found or {"period": {"_start": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": "unknown"}]}}}


def _period(start: str, end: str) -> Resource:
    return sound_period({key: value for key, value in (("start", start), ("end", end)) if value})


def _section(section: Section) -> Resource:
    found: Resource = {}
    if section.extensions:
        found["extension"] = list(section.extensions)
    found["title"] = section.title or _concept(section.code).get("text") or _display(section.code) or "Section"
    code = _concept(section.code)
    if code:
        found["code"] = code
    if section.authors:
        found["author"] = list(section.authors)
    if section.focus:
        found["focus"] = {"reference": section.focus}
    found["text"] = {"status": section.narrative_status, "div": section.div or div_of(found["title"])}
    if section.sections:
        # FHIR (comp-4 of the French profile): entries or sub-sections, so the entries get a sub-section of their own.
        own = (Section(section.code, found["title"], section.div, section.entries),) if section.entries else ()
        found["section"] = [_section(child) for child in (*own, *section.sections)]
        return found
    if section.entries:
        found["entry"] = [{"reference": url} for url in section.entries]
    elif section.empty_reason:
        system = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
        found["emptyReason"] = {"coding": [{"system": system, "code": section.empty_reason}]}
    return found


def _concept(code: Code | Resource) -> Resource:
    if isinstance(code, Code):
        return {"coding": [coding_of(code)]} if code.code else {}
    return code


def _display(code: Code | Resource) -> str:
    codings = _concept(code).get("coding") or [{}]
    return str(codings[0].get("display", ""))


def coding_of(code: Code) -> Resource:
    """A model's Code as a Coding."""
    coding: Resource = {"system": p.system_uri(code.system)} if code.system else {}
    coding["code"] = code.code
    if code.label:
        coding["display"] = code.label
    return coding


# -- Encounter -------------------------------------------------------------------------------------------------------------------


def _encounter(
    header: DocumentHeader, more: DocumentExtras, actors: Parties, ids: Ids, patient: Resource
) -> tuple[Resource, Resource]:
    stay = header.stay or Stay()
    provider = actors.organization(stay.organisation or header.custodian)
    location = _location(stay, more.encounter, stay.organisation or header.custodian, provider, ids)
    start, end = _bounds(header, stay)
    resource: Resource = {
        "resourceType": "Encounter",
        "id": ids.mint("Encounter"),
        "meta": {"profile": [p.ENCOUNTER]},
        "text": generated(stay.class_label or "Prise en charge"),
        "identifier": _encounter_identifiers(stay, ids),
        "status": "finished" if end else "unknown",  # no end written does not mean that the stay goes on
        "class": _class(header, stay),
        "subject": reference_to(patient),
    }
    participants = [_encounter_participant(code, party, actors) for code, party in more.encounter.participants]
    if participants:
        resource["participant"] = participants
    absent = {"_start": {"extension": [{"url": p.EXT_DATA_ABSENT, "valueCode": more.encounter.period_absent}]}}
    resource["period"] = _period(start, end) or absent
    hospitalization: Resource = {}
    if more.encounter.admit_source:
        hospitalization["admitSource"] = more.encounter.admit_source
    if more.encounter.discharge_disposition:
        hospitalization["dischargeDisposition"] = more.encounter.discharge_disposition
    if hospitalization:
        resource["hospitalization"] = hospitalization
    resource["location"] = [{"location": reference_to(location)}]
    resource["serviceProvider"] = reference_to(provider)
    return resource, location


def _bounds(header: DocumentHeader, stay: Stay) -> tuple[str, str]:
    """The period is mandatory: the stay's own, else that of the principal act."""
    if stay.start or stay.end:
        return stay.start, stay.end
    act = header.service_events[0] if header.service_events else ServiceEvent()
    return act.start, act.end


def _encounter_identifiers(stay: Stay, ids: Ids) -> list[Resource]:
    kind = {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": "VN"}]}
    given = [
        {"type": kind, **uri_identifier(f"{root}^{value}" if value else root)}
        for root, value in stay.identifiers
        if root or value
    ]
    # The profile wants an identifier; a source without one gets ours, marked as temporary.
    return given or [{"use": "temp", "type": kind, "system": p.URI_SYSTEM, "value": encounter_url(ids)}]


def _class(header: DocumentHeader, stay: Stay) -> Resource:
    if stay.class_code:
        return coding_of(Code(stay.class_code, stay.class_system or p.V3_ACT_CODE, stay.class_label))
    principal = header.service_events[0].code if header.service_events else Code()
    # A discharge letter names the class as its principal act (IMP).
    if p.system_uri(principal.system) == p.V3_ACT_CODE:
        return coding_of(principal)
    return dict(_UNKNOWN_CLASS)


def _encounter_participant(code: Code, party: Party, actors: Parties) -> Resource:
    found: Resource = {"type": [{"coding": [coding_of(code)]}]}
    if party.time:
        start, _, end = party.time.partition("/")
        found["period"] = _period(start, end)
    return found | {"individual": reference_to(actors.role(party))}


def _location(stay: Stay, details: EncounterDetails, organisation: Organisation, provider: Resource, ids: Ids) -> Resource:
    name = details.location_name or organisation.name or stay.facility_type.label or "Lieu non précisé"
    resource: Resource = {
        "resourceType": "Location",
        "id": ids.mint("Location"),
        "meta": {"profile": [p.LOCATION]},
        "text": generated(name),
        **({"identifier": list(details.location_identifiers)} if details.location_identifiers else {}),
        "name": name,
    }
    if stay.facility_type.code:
        resource["type"] = [{"coding": [coding_of(stay.facility_type)]}]
    if details.location_address:
        resource["address"] = details.location_address
    resource["managingOrganization"] = reference_to(provider)
    return resource
