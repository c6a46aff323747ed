"""The header of any CDA that we write, from the submission's document and the sender's legal entity.

Source: CI-SIS structuration minimale 1.16. Law: nothing is invented. What
the source does not say is left out, or a nullFlavor where the norm takes one. Where the norm demands a value:
- a patient without any number gets one of ours: root = a UUID of the legal entity, extension = the document's own number, so that
  it can never be taken for an IPP nor for another patient's; an author without RPPS likewise, from name and place;
- a custodian without FINESS bears the legal entity's, which keeps the document here; a sex not told is `UN` (unknown);
- a document dated by day alone is dated 00:00 of that day, French time: its effectiveTime must have a zone;
- facility and practice setting follow the kind of document, as in its XDM metadata (`xdm.document_entry`).
The INS is written only when the identity is qualified and complete (Référentiel INS).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import replace

from lxml import etree

from adapter.errors import RenditionError
from adapter.fhir.identity import carries_ins
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.identity import Address, PatientIdentity
from adapter.model.parties import Device, Organisation, Party, Professional
from adapter.model.submission import Submission
from adapter.packaging.cda_out.xml import (
    V3,
    XSI,
    Element,
    add,
    add_address,
    add_code,
    add_identifier,
    add_interval,
    add_moment,
    add_reach,
    add_telecoms,
    add_text,
    add_time,
    system_oid,
)
from adapter.packaging.code_tables import load_codes

_IDNPS = "1.2.250.1.71.4.2.1"
_STRUCTURE = "1.2.250.1.71.4.2.2"
_GENDERS = "2.16.840.1.113883.5.1"
_CONFIDENTIALITIES = "2.16.840.1.113883.5.25"
_FUNCTIONS = "2.16.840.1.113883.5.88"
_FRENCH_FUNCTIONS = "1.2.250.1.213.1.1.4.2.280"
_FACILITIES = "1.2.250.1.71.4.2.4"
_SETTINGS = "1.2.250.1.213.1.1.4.9"
_MINIMAL = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1")
_OURS = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/cda")

_CONFIDENTIALITY_LABELS = {"N": "Normal", "R": "Restreint", "V": "Très restreint"}
_GENDER_LABELS = {"F": "Féminin", "M": "Masculin", "UN": "Inconnu"}
_HL7_FUNCTIONS = {
    "PCP": "Médecin traitant",
    "ADMPHYS": "Médecin ayant pris la décision de l'admission",
    "ATTPHYS": "Médecin responsable du patient dans la structure de soins",
    "DISPHYS": "Médecin ayant pris la décision de la sortie du patient de la structure de soins",
}


def write_header(submission: Submission, templates: tuple[str, ...]) -> Element:
    """A ClinicalDocument with its header, to which a body is added. RenditionError when what no nullFlavor replaces is missing.

    `templates` are those of the document's kind, after the two that any French document bears.
    """
    header = submission.document
    _check(header)
    nsmap: dict[str | None, str] = {None: V3, "xsi": XSI}
    root = etree.Element(f"{{{V3}}}ClinicalDocument", nsmap=nsmap)  # type: ignore[arg-type]
    _identification(root, header, templates)
    _record_target(root, submission)
    for author in header.authors:
        _author(root, author, header)
    _custodian(root, header.custodian, submission.legal_entity)
    _legal_authenticator(root, header)
    for participant in header.participants:
        _participant(root, participant)
    _service_events(root, header)
    if header.replaces:
        related = add(root, "relatedDocument", typeCode="RPLC")
        add_identifier(add(related, "parentDocument"), header.replaces)
    _encounter(root, header)
    return root


def _check(header: DocumentHeader) -> None:
    needed = {
        "document.id": header.unique_id,
        "document.type": header.type.code,
        "document.created": header.created,
        "document.author": header.authors,
        "patient.name": header.patient.birth_name or header.patient.used_name,
    }
    for place, value in needed.items():
        if not value:
            raise RenditionError("cda.header-incomplete", "a CDA cannot be made without it", where=place)


# -- who and what ---------------------------------------------------------------------------------------------------------


def _identification(root: Element, header: DocumentHeader, templates: tuple[str, ...]) -> None:
    add(root, "realmCode", code="FR")
    add(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    for template in (*_MINIMAL, *templates):
        root_oid, _, version = template.partition("|")
        add(root, "templateId", root=root_oid, extension=version)
    add_identifier(root, header.unique_id)
    add_code(root, "code", header.type, label=header.title)
    add_text(root, "title", header.title or header.type.label or header.type.code)
    add_moment(root, "effectiveTime", header.created)
    level = header.confidentiality or "N"
    label = _CONFIDENTIALITY_LABELS.get(level, header.confidentiality_label or level)
    add_code(root, "confidentialityCode", Code(level, _CONFIDENTIALITIES, label))
    add(root, "languageCode", code=header.language or "fr-FR")
    add_identifier(root, header.set_id or header.unique_id, "setId")
    add(root, "versionNumber", value=str(header.version))


def _record_target(root: Element, submission: Submission) -> None:
    identity = submission.document.patient
    role = add(add(root, "recordTarget"), "patientRole")
    for root_oid, extension in _patient_numbers(submission):
        add(role, "id", root=root_oid, extension=extension)
    add_reach(role, identity.addresses, identity.telecoms)
    patient = add(role, "patient", classCode="PSN")
    _patient_name(add(patient, "name"), identity)
    sex = identity.sex if identity.sex in _GENDER_LABELS else "UN"
    add_code(patient, "administrativeGenderCode", Code(sex, _GENDERS, _GENDER_LABELS[sex]))
    add_time(patient, "birthTime", identity.birth_date)
    if identity.birth_place_insee or identity.birth_place_city:
        place = add(add(add(patient, "birthplace"), "place"), "addr")
        add_text(place, "county", identity.birth_place_insee)
        add_text(place, "city", identity.birth_place_city)


def patient_number(submission: Submission) -> tuple[str, str]:
    """Root and extension under which the N1 knows its patient first: the metadata around it must say the same."""
    return _patient_numbers(submission)[0]


def _patient_numbers(submission: Submission) -> list[tuple[str, str]]:
    identity = submission.document.patient
    numbers = [(identity.ins.oid, identity.ins.value)] if identity.ins and carries_ins(identity) else []
    numbers += [(local.authority, local.value) for local in identity.local_ids if _is_root(local.authority)]
    return numbers or [(_our_root("patient", submission.legal_entity), submission.document.unique_id)]


def _our_root(kind: str, name: str) -> str:
    return str(uuid.uuid5(_OURS, f"{kind}\x1f{name}"))


def _is_root(text: str) -> bool:
    return re.fullmatch(r"[0-2](\.(0|[1-9]\d*))+", text) is not None


def _patient_name(name: Element, identity: PatientIdentity) -> None:
    """BR = birth certificate, CL = used in daily life; the list of given names has no qualifier (RNIV)."""
    add_text(name, "family", identity.birth_name, qualifier="BR")
    add_text(name, "given", identity.birth_given_names)
    add_text(name, "given", identity.first_given, qualifier="BR")
    add_text(name, "family", identity.used_name, qualifier="CL")
    add_text(name, "given", identity.used_given, qualifier="CL")


def _author(root: Element, party: Party, header: DocumentHeader) -> None:
    author = add(root, "author")
    _function(author, party.function_code, party.function_label)
    add_moment(author, "time", party.time.partition("/")[0] or header.created)
    write_author(author, party)


def write_author(author: Element, party: Party) -> None:
    """The assignedAuthor of an author: a person, or software, and the structure."""
    assigned = add(author, "assignedAuthor")
    _person_number(assigned, party)
    pro = party.professional or Professional()
    _specialty(assigned, pro)
    add_reach(assigned, pro.addresses, pro.telecoms)
    if party.professional is not None:
        _person(add(assigned, "assignedPerson"), pro)
    elif party.device is not None:
        _device(add(assigned, "assignedAuthoringDevice"), party.device)
    if party.organisation is not None:
        _organisation(add(assigned, "representedOrganization"), party.organisation)


def _function(parent: Element, code: str, label: str) -> None:
    if code in _HL7_FUNCTIONS:
        add_code(parent, "functionCode", Code(code, _FUNCTIONS, label or _HL7_FUNCTIONS[code]))
    elif code:
        add_code(parent, "functionCode", Code(code, _FRENCH_FUNCTIONS, label))


def _person_number(parent: Element, party: Party) -> None:
    pro, device = party.professional, party.device
    number = (f"8{pro.rpps}" if pro.rpps else pro.national_id) if pro else ""
    if number:
        add(parent, "id", root=_IDNPS, extension=number)
    elif pro is None and device is not None and device.identifier:
        add_identifier(parent, device.identifier)
    else:
        place = party.organisation.name if party.organisation else ""
        who = f"{pro.family}\x1f{pro.given}\x1f{place}" if pro else place
        add(parent, "id", root=_our_root("author", place), extension=_our_root("person", who))


def _specialty(parent: Element, pro: Professional) -> None:
    if pro.specialty_code and system_oid(pro.specialty_system):
        add_code(parent, "code", Code(pro.specialty_code, pro.specialty_system, pro.specialty_label))


def _person(parent: Element, pro: Professional) -> None:
    name = add(parent, "name")
    add_text(name, "prefix", pro.civility)
    add_text(name, "family", pro.family or "Non précisé")
    add_text(name, "given", pro.given)
    add_text(name, "suffix", pro.title)


def _device(parent: Element, device: Device) -> None:
    add_text(parent, "manufacturerModelName", device.model or device.software)
    add_text(parent, "softwareName", device.software or device.model)


def _organisation(parent: Element, organisation: Organisation, *, setting: Code | None = None) -> None:
    _structure_number(parent, organisation)
    add_text(parent, "name", organisation.name)
    add_reach(parent, organisation.addresses, organisation.telecoms, telecom_first=True)
    if setting is not None:
        add_code(parent, "standardIndustryClassCode", setting)


def _structure_number(parent: Element, organisation: Organisation) -> None:
    number = f"1{organisation.finess}" if organisation.finess else organisation.national_id
    if number:
        add(parent, "id", root=_STRUCTURE, extension=number)


def _custodian(root: Element, organisation: Organisation, legal_entity: str) -> None:
    assigned = add(add(root, "custodian"), "assignedCustodian")
    place = add(assigned, "representedCustodianOrganization")
    if not organisation.finess and not organisation.national_id:
        if not re.fullmatch(r"\w{9}", legal_entity):
            raise RenditionError("cda.header-incomplete", "a CDA needs the number of who keeps it", where="document.custodian")
        organisation = replace(organisation, finess=legal_entity)
    _structure_number(place, organisation)
    add_text(place, "name", organisation.name)
    add_telecoms(place, organisation.telecoms[:1])
    add_address(place, organisation.addresses[0] if organisation.addresses else Address())


def _legal_authenticator(root: Element, header: DocumentHeader) -> None:
    """Who answers for the document: the named one, else the first author who is a person."""
    people = (party for party in header.authors if party.professional is not None)
    party = header.legal_authenticator or next(people, None)
    if party is None:
        raise RenditionError("cda.header-incomplete", "a CDA needs a person who answers for it", where="document.author")
    element = add(root, "legalAuthenticator")
    add_moment(element, "time", party.time.partition("/")[0] or header.created)
    add(element, "signatureCode", code="S")
    write_assigned(add(element, "assignedEntity"), party)


def write_assigned(entity: Element, party: Party, *, setting: Code | None = None) -> None:
    """The content of an assignedEntity: number, speciality, addresses, person, structure."""
    pro = party.professional or Professional()
    _person_number(entity, party)
    _specialty(entity, pro)
    add_reach(entity, pro.addresses, pro.telecoms)
    _person(add(entity, "assignedPerson"), pro)
    if party.organisation is not None or setting is not None:
        _organisation(add(entity, "representedOrganization"), party.organisation or Organisation(), setting=setting)


def _participant(root: Element, participant: ReferringParty) -> None:
    party = participant.party
    pro = party.professional or Professional()
    element = add(root, "participant", typeCode=participant.type_code)
    _function(element, participant.function_code or party.function_code, party.function_label)
    start, _, end = party.time.partition("/")
    add_interval(element, "time", start, end, absent="NA")
    entity = add(element, "associatedEntity", classCode="PROV")
    _person_number(entity, party)
    _specialty(entity, pro)
    add_reach(entity, pro.addresses, pro.telecoms)
    if party.professional is not None:
        _person(add(entity, "associatedPerson"), pro)
    if party.organisation is not None:
        _organisation(add(entity, "scopingOrganization"), party.organisation)


# -- circumstances --------------------------------------------------------------------------------------------------------


def _service_events(root: Element, header: DocumentHeader) -> None:
    """The principal act first, done by somebody somewhere; a header without acts tells of the document's own making."""
    events = header.service_events or (ServiceEvent(code=header.type, start=header.created),)
    for number, event in enumerate(events):
        element = add(add(root, "documentationOf"), "serviceEvent")
        if event.identifier:
            add_identifier(element, event.identifier)
        if event.code.code and system_oid(event.code.system):
            add_code(element, "code", event.code, label=header.title)
        if number == 0 or event.start or event.end:
            start = event.start or ("" if event.end and number else event.end or header.created)
            add_interval(element, "effectiveTime", start, event.end, absent="UNK")
        performer = event.performer or (header.authors[0] if number == 0 else None)
        if performer is not None:
            assigned = add(add(element, "performer", typeCode="PRF"), "assignedEntity")
            write_assigned(assigned, performer, setting=_setting(header, performer))


def _setting(header: DocumentHeader, performer: Party) -> Code:
    place = performer.organisation or Organisation()
    known = place.setting_code or header.custodian.setting_code
    code = known or ("AMBULATOIRE" if header.body is BodyKind.FORM else "ETABLISSEMENT")
    return Code(code, _SETTINGS, _label("practice-settings", code, place.setting_label if place.setting_code else ""))


def _encounter(root: Element, header: DocumentHeader) -> None:
    stay = header.stay or Stay()
    encounter = add(add(root, "componentOf"), "encompassingEncounter")
    for number_root, extension in stay.identifiers:
        if _is_root(number_root):
            add(encounter, "id", root=number_root, extension=extension)
    if stay.class_code and system_oid(stay.class_system):
        add_code(encounter, "code", Code(stay.class_code, stay.class_system, stay.class_label))
    event = header.service_events[0] if header.service_events else ServiceEvent()
    add_interval(encounter, "effectiveTime", stay.start or event.start or header.created, stay.end, absent="UNK")
    facility = add(add(encounter, "location"), "healthCareFacility")
    _structure_number(facility, stay.organisation or header.custodian)
    code = stay.facility_type.code or ("SA05" if header.body is BodyKind.FORM else "SA01")
    add_code(facility, "code", Code(code, _FACILITIES, _label("facility-types", code, stay.facility_type.label)))


def _label(table: str, code: str, given: str) -> str:
    known = load_codes(table).get(code)
    return given or (known.label if known else code)
