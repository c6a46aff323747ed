"""What a CDA header says that only the FHIR document needs: contacts, recipients, orders, consents, those who took part.

Source: digest cda-models §6. A mere contact person is a `Patient.contact`: the French RelatedPerson wants an identifier
that no document gives.
"""

from __future__ import annotations

from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, reference_to
from adapter.fhir.document import DocumentExtras, EncounterDetails, patient_url, source_code
from adapter.fhir.identity import address, addresses, telecoms
from adapter.fhir.narrative import generated
from adapter.fhir.parties import Parties
from adapter.mapping.cda.header import header_rules, interval_text, template_of
from adapter.mapping.cda.people import read_address, read_addresses, read_name, read_organisation, read_party, read_telecoms
from adapter.mapping.cda.time import as_instant
from adapter.mapping.cda.values import CdaValues
from adapter.mapping.terminology import load_table
from adapter.mapping.xml_source import XmlNode
from adapter.model.document import Code, DocumentHeader, ReferringParty
from adapter.model.identity import INS_OIDS, ins_is_valid
from adapter.model.parties import Party

Fhir = dict[str, Any]

_LABORATORY_STATUS = "documentationOf/serviceEvent/lab:statusCode/@code"
_INFORMANT_ROLES = {
    "ECON": "Personne à prévenir en cas d'urgence",
    "NOK": "Personne de confiance",
    "CAREGIVER": "Aidant",
    "CON": "Contact",
    "GUARD": "Représentant du patient",
}


def read_extras(root: XmlNode, header: DocumentHeader, values: CdaValues, ids: Ids, actors: Parties, zone: str) -> DocumentExtras:
    """All of it, as FHIR fragments ready to be placed by `fhir.document`."""
    rules = header_rules()
    enterer = root.first("dataEnterer")
    return DocumentExtras(
        status=_status(root, values),
        category=_category(header, values),
        type_translations=tuple(c for node in root.select("code/translation") if (c := values.coding(node)) is not None),
        authenticators=tuple(
            read_party(rules, values, node.first("assignedEntity"), time=values.plain_time(node.first("time")), acting=node)
            for node in _templated(root, "authenticator")
        ),
        data_enterer=_timed(values, enterer, "assignedEntity") if enterer is not None else None,
        informants=tuple(
            _timed(values, node, "assignedEntity")
            for node in root.children("informant")
            if node.first("assignedEntity") is not None
        ),
        recipients=_recipients(root, values),
        based_on=_orders(root, values, ids),
        consents=_consents(root, values, ids),
        encounter=_encounter(root, values),
        event_extensions=tuple(_event_extensions(node, values) for node in root.select("documentationOf/serviceEvent")),
        patient=_patient(root, values, actors),
        confidentiality=_coding(root.first("confidentialityCode"), values),
        replaced=_replaced(root, values),
        realm=root.value_at("realmCode/@code"),
        timestamp=as_instant(header.created, zone),
        date_literal=_date_literal(root, values),
    )


def _replaced(root: XmlNode, values: CdaValues) -> tuple[Fhir, ...]:
    """Which set and version the replaced document was."""
    node = root.first("relatedDocument[@typeCode=RPLC]/parentDocument")
    if node is None:
        return ()
    whole = values.identifier(node.first("setId"))
    version = node.value_at("versionNumber/@value")
    found = [{"url": p.EXT_PARENT_SET, "valueIdentifier": whole}] if whole else []
    return (*found, *([{"url": p.EXT_PARENT_VERSION, "valueString": version}] if version else []))


def _coding(node: XmlNode | None, values: CdaValues) -> Fhir:
    """A code as the source gives it; empty when there is none."""
    return (values.coding(node) if node is not None else None) or {}


def _date_literal(root: XmlNode, values: CdaValues) -> str:
    """The document's date as written, when a zone had to be added or understood."""
    found = values.time(root.first("effectiveTime"), "date").get("_date", {})
    return str(found["extension"][0].get("valueString", "")) if found else ""


def _templated(root: XmlNode, name: str) -> list[XmlNode]:
    """Children of a name, their templateIds read: participations declare them, nothing depends on them."""
    found = root.children(name)
    for node in found:
        for template in node.children("templateId"):
            template.get("root")
            template.get("extension")
    return found


def _timed(values: CdaValues, node: XmlNode, entity: str) -> Party:
    return read_party(header_rules(), values, node.first(entity), time=interval_text(values, node.first("time")), acting=node)


def _status(root: XmlNode, values: CdaValues) -> str:
    """lab:statusCode tells a provisional laboratory report; a status section is looked at later."""
    told = [values.translated("document-status", node.read(), node) for node in root.select(_LABORATORY_STATUS)]
    return next(filter(None, told), "final")


def _category(header: DocumentHeader, values: CdaValues) -> Code:
    values.translated("document-classes", header.type.code, None)
    row = load_table("document-classes").get(header.type.code)
    return Code(row["target"], p.TRE_DOCUMENT_CLASS, row["label"]) if row else Code()


def _recipients(root: XmlNode, values: CdaValues) -> tuple[ReferringParty, ...]:
    """Copies of courtesy: they say who was told, never where to send (seam 3)."""
    found = []
    for node in root.children("informationRecipient"):
        for template in node.select("intendedRecipient/templateId"):
            template_of(template)
        party = read_party(header_rules(), values, node.first("intendedRecipient"))
        found.append(ReferringParty(node.get("typeCode") or "PRCP", "", party))
    return tuple(found)


# -- patient ----------------------------------------------------------------------------------------------------


def _patient(root: XmlNode, values: CdaValues, actors: Parties) -> Fhir:
    role = root.first("recordTarget/patientRole")
    if role is None:
        return {}
    found: Fhir = {}
    patient = role.first("patient")
    if patient is not None:
        found |= _civil_status(patient, values)
    contacts = [_contact(node, "GUARD", values) for node in role.select("patient/guardian")]
    contacts += [_contact(n, n.get("classCode"), values) for n in root.select("informant/relatedEntity")]
    if contacts:
        found["contact"] = contacts
    provider = role.first("providerOrganization")
    if provider is not None:
        found["managingOrganization"] = reference_to(actors.organization(read_organisation(header_rules(), provider)))
    return found


def _civil_status(patient: XmlNode, values: CdaValues) -> Fhir:
    found: Fhir = {}
    gender = _coding(patient.first("administrativeGenderCode"), values)
    if gender:
        found["_gender"] = {"extension": [source_code(gender)]}
    deceased = patient.value_at("sdtc:deceasedInd/@value")
    died = values.time(patient.first("sdtc:deceasedTime"), "deceasedDateTime")
    if died:
        found |= died
    elif deceased:
        found["deceasedBoolean"] = deceased == "true"
    marital = values.concept(patient.first("maritalStatusCode"))
    if marital:
        found["maritalStatus"] = marital
    order = patient.value_at("sdtc:multipleBirthOrderNumber/@value")
    multiple = patient.value_at("sdtc:multipleBirthInd/@value")
    if order.isascii() and order.isdigit() and len(order) < 3:
        found["multipleBirthInteger"] = int(order)
    elif multiple:
        found["multipleBirthBoolean"] = multiple == "true"
    spoken = [node.value_at("languageCode/@code") for node in patient.children("languageCommunication")]
    languages = [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": code}]}} for code in spoken if code]
    if languages:
        found["communication"] = languages
    return found


def _contact(node: XmlNode, role: str, values: CdaValues) -> Fhir:
    """A guardian, or the informant that a document calls emergency contact or person of trust."""
    found: Fhir = {"relationship": _relationships(node, role, values)}
    person = next((n for name in ("guardianPerson", "relatedPerson") if (n := node.first(name)) is not None), None)
    name = _human_name(person.first("name") if person is not None else None)
    if name:
        found["name"] = name
    points = telecoms(read_telecoms(node))
    if points:
        found["telecom"] = points
    places = addresses(read_addresses(node))
    if places:
        found["address"] = places[0]
    kept = [{"url": p.EXT_ADDRESS, "valueAddress": place} for place in places[1:]]
    kept += [{"url": p.EXT_CONTACT_IDENTIFIER, "valueIdentifier": i} for i in _contact_numbers(node, values)]
    if kept:
        found["extension"] = kept
    period = values.period(node.first("effectiveTime"))
    if period:
        found["period"] = period
    organisation = node.first("guardianOrganization")
    if organisation is not None and "name" not in found:
        found["name"] = {"text": read_organisation(header_rules(), organisation).name}
    return found


def _contact_numbers(node: XmlNode, values: CdaValues) -> list[Fhir]:
    """Their ids; a matricule whose key is wrong stays where it is, unread."""
    return [
        values.identifier(child)
        for child in node.children("id")
        if child.look("root") not in INS_OIDS or ins_is_valid(child.look("extension"))
    ]


def _relationships(node: XmlNode, role: str, values: CdaValues) -> list[Fhir]:
    coding: Fhir = {"system": p.TRE_CONTACT_ROLE, "code": role or "CON"}
    if role in _INFORMANT_ROLES:
        coding["display"] = _INFORMANT_ROLES[role]
    found = [{"extension": [_contact_category("role")], "coding": [coding]}]
    relation = values.concept(node.first("code"))
    if relation:
        found.append({"extension": [_contact_category("relationType")], **relation})
    return found


def _contact_category(code: str) -> Fhir:
    return {"url": p.EXT_CONTACT_CATEGORY, "valueCode": code}


def _human_name(node: XmlNode | None) -> Fhir:
    family, given, civility, title = read_name(node)
    parts = (("family", family), ("given", [given] if given else []), ("prefix", [civility] if civility else []),
             ("suffix", [title] if title else []))  # fmt: skip
    return {key: value for key, value in parts if value}


# -- acts and stay ----------------------------------------------------------------------------------------------------


def _event_extensions(node: XmlNode, values: CdaValues) -> tuple[Fhir, ...]:
    """The act's code with what a bare Coding cannot hold (translations, qualifiers, original text), where there is any."""
    code = node.first("code")
    concept = values.concept(code)
    coding = concept.get("coding", [])
    if len(coding) < 2 and "text" not in concept and not any("extension" in c for c in coding):
        return ()
    return ({"url": p.OURS + "event-code", "valueCodeableConcept": concept},)


def _encounter(root: XmlNode, values: CdaValues) -> EncounterDetails:
    node = root.first("componentOf/encompassingEncounter")
    if node is None:
        return EncounterDetails()
    where = node.first("location/healthCareFacility/location")
    place = read_address(found) if where is not None and (found := where.first("addr")) is not None else None
    time = node.first("effectiveTime")
    return EncounterDetails(
        period_absent=(values.absent_reason(time) if time is not None else "") or "unknown",
        participants=_encounter_participants(node, values),
        discharge_disposition=values.concept(node.first("dischargeDispositionCode")),
        location_name=" ".join(where.value_at("name").split()) if where is not None else "",
        location_address=address(place) if place is not None else {},
        location_identifiers=tuple(_typed(i, "FI") for i in _location_identifiers(node, values)),
    )


def _location_identifiers(encounter: XmlNode, values: CdaValues) -> list[Fhir]:
    facility = encounter.first("location/healthCareFacility")
    return values.identifiers(facility) if facility is not None else []


def _encounter_participants(node: XmlNode, values: CdaValues) -> tuple[tuple[Code, Party], ...]:
    found = []
    for child in node.children("encounterParticipant"):
        code = Code(child.get("typeCode") or "ATND", p.V3_PARTICIPATION_TYPE)
        found.append((code, _timed(values, child, "assignedEntity")))
    responsible = node.first("responsibleParty/assignedEntity")
    if responsible is not None:
        found.append((Code("RESP", p.V3_PARTICIPATION_TYPE), read_party(header_rules(), values, responsible)))
    return tuple(found)


def _orders(root: XmlNode, values: CdaValues, ids: Ids) -> tuple[Fhir, ...]:
    """The orders that the document answers: numbers, nothing more is known of them here."""
    found = []
    for number, node in enumerate(root.select("inFulfillmentOf/order")):
        identifiers = [_typed(values.identifier(child), "PLAC") for child in node.children("id")]
        identifiers += [_typed(values.identifier(child), "ACSN") for child in node.children("ps3-20:accessionNumber")]
        order: Fhir = {
            "resourceType": "ServiceRequest",
            "id": ids.mint("ServiceRequest", "answered", str(number)),
            "text": generated("Demande à laquelle ce document répond"),
            "identifier": [i for i in identifiers if i],
            "status": "completed",
            "intent": "order",
            "code": values.concept(node.first("code")) or {"text": "Demande"},
            "subject": {"reference": patient_url(ids)},
        }
        priority = values.concept(node.first("priorityCode")).get("coding", [{}])[0].get("code", "")
        if known := values.translated("act-priority", priority, node):
            order["priority"] = known
        if not order["identifier"]:
            del order["identifier"]
        found.append(order)
    return tuple(found)


def _typed(identifier: Fhir, kind: str) -> Fhir:
    return {"type": {"coding": [{"system": p.V2_IDENTIFIER_TYPES, "code": kind}]}, **identifier} if identifier else {}


def _consents(root: XmlNode, values: CdaValues, ids: Ids) -> tuple[Fhir, ...]:
    found = []
    for number, node in enumerate(root.select("authorization/consent")):
        status = node.first("statusCode")
        told = _coding(status, values)
        consent: Fhir = {
            "resourceType": "Consent",
            "id": ids.mint("Consent", str(number)),
            "text": generated("Consentement mentionné par le document"),
            "status": "active" if told.get("code") == "completed" else "proposed",
            **({"_status": {"extension": [source_code(told)]}} if told else {}),
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [values.concept(node.first("code")) or {"text": "Consentement"}],
            "patient": {"reference": patient_url(ids)},
            "policyRule": {"text": "Tel que mentionné dans le document source"},
        }
        identifiers = values.identifiers(node)
        if identifiers:
            consent["identifier"] = identifiers
        found.append(consent)
    return tuple(found)
