"""A CDA R2 N1 around a PDF, for documents that were not born as one (a form): what secure mail and records demand.

Source: CI-SIS structuration minimale 1.16 (header), IHE XDS-SD (N1 = three templateIds, no model). Law: nothing is invented. What
the source does not say is left out, or a nullFlavor where the norm takes one. Where the norm demands a value:
- a patient without any number gets one of ours: root = a UUID of the legal entity, extension = the document's own number, so that
  it can never be taken for an IPP nor for another patient's; an author without RPPS likewise, from name and place;
- a custodian without FINESS bears the legal entity's, which keeps the document here; a sex not told is `UN` (unknown);
- a document dated by day alone is dated 00:00 of that day, French time: its effectiveTime must have a zone;
- facility and practice setting follow the kind of document, as in its XDM metadata (`xdm.document_entry`).
The INS is written only when the identity is qualified and complete (Référentiel INS).
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from lxml import etree

from adapter.errors import RenditionError
from adapter.fhir import profiles as p
from adapter.fhir.identity import carries_ins
from adapter.model.document import BodyKind, Code, DocumentHeader, ReferringParty, ServiceEvent, Stay
from adapter.model.identity import Address, PatientIdentity, Telecom
from adapter.model.parties import Device, Organisation, Party, Professional
from adapter.model.submission import Submission
from adapter.packaging.code_tables import load_codes

_V3 = "urn:hl7-org:v3"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_IDNPS = "1.2.250.1.71.4.2.1"
_STRUCTURE = "1.2.250.1.71.4.2.2"
_GENDERS = "2.16.840.1.113883.5.1"
_CONFIDENTIALITIES = "2.16.840.1.113883.5.25"
_FUNCTIONS = "2.16.840.1.113883.5.88"
_FRENCH_FUNCTIONS = "1.2.250.1.213.1.1.4.2.280"
_FACILITIES = "1.2.250.1.71.4.2.4"
_SETTINGS = "1.2.250.1.213.1.1.4.9"
_TEMPLATES = ("2.16.840.1.113883.2.8.2.1", "1.2.250.1.213.1.1.1.1", "1.3.6.1.4.1.19376.1.2.20")
_OURS = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/cda")
# What XML 1.0 cannot hold: a form's JSON can.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PARIS = ZoneInfo("Europe/Paris")

_CONFIDENTIALITY_LABELS = {"N": "Normal", "R": "Restreint", "V": "Très restreint"}
_GENDER_LABELS = {"F": "Féminin", "M": "Masculin", "UN": "Inconnu"}
# The systems that a header names, for holders that speak FHIR: LOINC, v3 ActCode, TRE A02, A05, R305, TA_ASIP, CCAM.
_HEADER_SYSTEMS = (
    "2.16.840.1.113883.6.1",
    "2.16.840.1.113883.5.4",
    "1.2.250.1.213.1.1.4.5",
    "1.2.250.1.213.1.1.4.12",
    "1.2.250.1.213.1.1.4.2.291",
    "1.2.250.1.213.1.1.4.322",
    "1.2.250.1.215.300.1",
    _FACILITIES,
    _SETTINGS,
)
_CODE_SYSTEM_NAMES = {"2.16.840.1.113883.6.1": "LOINC"}
_HL7_FUNCTIONS = {
    "PCP": "Médecin traitant",
    "ADMPHYS": "Médecin ayant pris la décision de l'admission",
    "ATTPHYS": "Médecin responsable du patient dans la structure de soins",
    "DISPHYS": "Médecin ayant pris la décision de la sortie du patient de la structure de soins",
}
_TELECOM_SCHEMES = {"phone": "tel", "fax": "fax", "email": "mailto"}
_TELECOM_USES = {"home": "H", "work": "WP", "mobile": "MC"}
_ADDRESS_USES = {"home": "H", "work": "WP", "temp": "TMP"}

_Element = etree._Element


def wrap_as_n1(submission: Submission, pdf: bytes) -> bytes:
    """The CDA N1 of a submission's document. RenditionError when the header lacks what no nullFlavor can stand for."""
    header = submission.document
    _check(header)
    nsmap: dict[str | None, str] = {None: _V3, "xsi": _XSI}
    root = etree.Element(f"{{{_V3}}}ClinicalDocument", nsmap=nsmap)  # type: ignore[arg-type]
    _identification(root, header)
    _record_target(root, submission)
    for author in header.authors:
        _author(root, author, header)
    _custodian(root, header.custodian, submission.legal_entity)
    _legal_authenticator(root, header)
    for participant in header.participants:
        _participant(root, participant)
    _service_events(root, header)
    if header.replaces:
        related = _add(root, "relatedDocument", typeCode="RPLC")
        _identifier(_add(related, "parentDocument"), header.replaces)
    _encounter(root, header)
    body = _add(_add(root, "component"), "nonXMLBody")
    _add(body, "text", mediaType="application/pdf", representation="B64").text = base64.b64encode(pdf).decode("ascii")
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


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


# -- building blocks ------------------------------------------------------------------------------------------------------


def _add(parent: _Element, name: str, **attributes: str) -> _Element:
    clean = {key: _NOT_XML.sub("", value).strip() for key, value in attributes.items()}
    return etree.SubElement(parent, f"{{{_V3}}}{name}", {key: value for key, value in clean.items() if value})


def _text(parent: _Element, name: str, words: str, **attributes: str) -> None:
    clean = _NOT_XML.sub("", words).strip()
    if clean:
        _add(parent, name, **attributes).text = clean


def _identifier(parent: _Element, value: str, name: str = "id") -> None:
    root, _, extension = value.partition("^")
    _add(parent, name, root=root, extension=extension)


def _coded(parent: _Element, name: str, code: Code, **defaults: str) -> None:
    system = system_oid(code.system)
    _add(
        parent,
        name,
        code=code.code,
        displayName=code.label or defaults.get("label", code.code),
        codeSystem=system,
        codeSystemName=_CODE_SYSTEM_NAMES.get(system, ""),
    )


def system_oid(system: str) -> str:
    """The OID of a code system that its holder names by OID or by URI; empty when it has none."""
    bare = system.removeprefix("urn:oid:")
    if bare[:1].isdigit():
        return bare
    return next((oid for oid in _HEADER_SYSTEMS if p.system_uri(oid) == bare), "")


def cda_time(value: str) -> str:
    """`2026-11-21T09:30:00+01:00` → `20261121093000+0100`, with the precision of the source."""
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?)?", value)
    if match is None:
        return ""
    *digits, zone = match.groups()
    return "".join(part for part in digits if part) + ("+0000" if zone == "Z" else (zone or "").replace(":", ""))


def _moment(parent: _Element, name: str, value: str) -> None:
    """A TS that must have a time and a zone."""
    shown = cda_time(value)
    if len(shown) == 8:
        midnight = datetime.fromisoformat(value).replace(tzinfo=_PARIS)
        shown = cda_time(midnight.isoformat())
    if len(shown) < 17:
        raise RenditionError("cda.time-incomplete", "a CDA needs a day, a time and a zone here", where=name)
    _add(parent, name, value=shown)


def _time(parent: _Element, name: str, value: str, *, absent: str = "UNK") -> None:
    shown = cda_time(value)
    _add(parent, name, **({"value": shown} if shown else {"nullFlavor": absent}))


def _interval(parent: _Element, name: str, start: str, end: str, *, absent: str) -> None:
    """An IVL_TS; the norm wants a low bound where it wants the interval."""
    if not cda_time(start) and not cda_time(end):
        _add(parent, name, nullFlavor=absent)
        return
    interval = _add(parent, name)
    if cda_time(start):
        _time(interval, "low", start)
    if cda_time(end):
        _time(interval, "high", end)


def _reach(
    parent: _Element, addresses: tuple[Address, ...], telecoms: tuple[Telecom, ...], *, telecom_first: bool = False
) -> None:
    if telecom_first:
        _telecoms(parent, telecoms)
    for address in addresses or (Address(),):
        _address(parent, address)
    if not telecom_first:
        _telecoms(parent, telecoms)


def _address(parent: _Element, address: Address) -> None:
    town = " ".join(part for part in (address.postal_code, address.city) if part)
    lines = [line for line in (*address.lines, town, address.country) if line][:7]
    if not lines:
        _add(parent, "addr", nullFlavor="NASK")
        return
    element = _add(parent, "addr", use=_ADDRESS_USES.get(address.use, ""))
    for line in lines:
        _text(element, "streetAddressLine", line)


def _telecoms(parent: _Element, telecoms: tuple[Telecom, ...]) -> None:
    shown = [(telecom, _telecom_value(telecom)) for telecom in telecoms if _telecom_value(telecom)]
    for telecom, value in shown:
        _add(parent, "telecom", value=value, use=_TELECOM_USES.get(telecom.use, ""))
    if not shown:
        _add(parent, "telecom", nullFlavor="NASK")


def _telecom_value(telecom: Telecom) -> str:
    scheme = _TELECOM_SCHEMES.get(telecom.system)
    value = telecom.value.strip()
    if scheme is None:
        return value if re.match(r"(https?|ftp|mllp|tel|fax|mailto):", value) else ""
    return f"{scheme}:{value if scheme == 'mailto' else re.sub(r'[^0-9+]', '', value)}" if value else ""


# -- who and what ---------------------------------------------------------------------------------------------------------


def _identification(root: _Element, header: DocumentHeader) -> None:
    _add(root, "realmCode", code="FR")
    _add(root, "typeId", root="2.16.840.1.113883.1.3", extension="POCD_HD000040")
    for template in _TEMPLATES:
        _add(root, "templateId", root=template)
    _identifier(root, header.unique_id)
    _coded(root, "code", header.type, label=header.title)
    _text(root, "title", header.title or header.type.label or header.type.code)
    _moment(root, "effectiveTime", header.created)
    level = header.confidentiality or "N"
    label = _CONFIDENTIALITY_LABELS.get(level, header.confidentiality_label or level)
    _coded(root, "confidentialityCode", Code(level, _CONFIDENTIALITIES, label))
    _add(root, "languageCode", code=header.language or "fr-FR")
    _identifier(root, header.set_id or header.unique_id, "setId")
    _add(root, "versionNumber", value=str(header.version))


def _record_target(root: _Element, submission: Submission) -> None:
    identity = submission.document.patient
    role = _add(_add(root, "recordTarget"), "patientRole")
    for root_oid, extension in _patient_numbers(submission):
        _add(role, "id", root=root_oid, extension=extension)
    _reach(role, identity.addresses, identity.telecoms)
    patient = _add(role, "patient", classCode="PSN")
    _patient_name(_add(patient, "name"), identity)
    sex = identity.sex if identity.sex in _GENDER_LABELS else "UN"
    _coded(patient, "administrativeGenderCode", Code(sex, _GENDERS, _GENDER_LABELS[sex]))
    _time(patient, "birthTime", identity.birth_date)
    if identity.birth_place_insee or identity.birth_place_city:
        place = _add(_add(_add(patient, "birthplace"), "place"), "addr")
        _text(place, "county", identity.birth_place_insee)
        _text(place, "city", identity.birth_place_city)


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


def _patient_name(name: _Element, identity: PatientIdentity) -> None:
    """BR = birth certificate, CL = used in daily life; the list of given names has no qualifier (RNIV)."""
    _text(name, "family", identity.birth_name, qualifier="BR")
    _text(name, "given", identity.birth_given_names)
    _text(name, "given", identity.first_given, qualifier="BR")
    _text(name, "family", identity.used_name, qualifier="CL")
    _text(name, "given", identity.used_given, qualifier="CL")


def _author(root: _Element, party: Party, header: DocumentHeader) -> None:
    author = _add(root, "author")
    _function(author, party.function_code, party.function_label)
    _moment(author, "time", party.time.partition("/")[0] or header.created)
    assigned = _add(author, "assignedAuthor")
    _person_number(assigned, party)
    pro = party.professional or Professional()
    _specialty(assigned, pro)
    _reach(assigned, pro.addresses, pro.telecoms)
    if party.professional is not None:
        _person(_add(assigned, "assignedPerson"), pro)
    elif party.device is not None:
        _device(_add(assigned, "assignedAuthoringDevice"), party.device)
    if party.organisation is not None:
        _organisation(_add(assigned, "representedOrganization"), party.organisation)


def _function(parent: _Element, code: str, label: str) -> None:
    if code in _HL7_FUNCTIONS:
        _coded(parent, "functionCode", Code(code, _FUNCTIONS, label or _HL7_FUNCTIONS[code]))
    elif code:
        _coded(parent, "functionCode", Code(code, _FRENCH_FUNCTIONS, label))


def _person_number(parent: _Element, party: Party) -> None:
    pro, device = party.professional, party.device
    number = (f"8{pro.rpps}" if pro.rpps else pro.national_id) if pro else ""
    if number:
        _add(parent, "id", root=_IDNPS, extension=number)
    elif pro is None and device is not None and device.identifier:
        _identifier(parent, device.identifier)
    else:
        place = party.organisation.name if party.organisation else ""
        who = f"{pro.family}\x1f{pro.given}\x1f{place}" if pro else place
        _add(parent, "id", root=_our_root("author", place), extension=_our_root("person", who))


def _specialty(parent: _Element, pro: Professional) -> None:
    if pro.specialty_code and system_oid(pro.specialty_system):
        _coded(parent, "code", Code(pro.specialty_code, pro.specialty_system, pro.specialty_label))


def _person(parent: _Element, pro: Professional) -> None:
    name = _add(parent, "name")
    _text(name, "prefix", pro.civility)
    _text(name, "family", pro.family or "Non précisé")
    _text(name, "given", pro.given)
    _text(name, "suffix", pro.title)


def _device(parent: _Element, device: Device) -> None:
    _text(parent, "manufacturerModelName", device.model or device.software)
    _text(parent, "softwareName", device.software or device.model)


def _organisation(parent: _Element, organisation: Organisation, *, setting: Code | None = None) -> None:
    _structure_number(parent, organisation)
    _text(parent, "name", organisation.name)
    _reach(parent, organisation.addresses, organisation.telecoms, telecom_first=True)
    if setting is not None:
        _coded(parent, "standardIndustryClassCode", setting)


def _structure_number(parent: _Element, organisation: Organisation) -> None:
    number = f"1{organisation.finess}" if organisation.finess else organisation.national_id
    if number:
        _add(parent, "id", root=_STRUCTURE, extension=number)


def _custodian(root: _Element, organisation: Organisation, legal_entity: str) -> None:
    assigned = _add(_add(root, "custodian"), "assignedCustodian")
    place = _add(assigned, "representedCustodianOrganization")
    if not organisation.finess and not organisation.national_id:
        if not re.fullmatch(r"\w{9}", legal_entity):
            raise RenditionError("cda.header-incomplete", "a CDA needs the number of who keeps it", where="document.custodian")
        organisation = replace(organisation, finess=legal_entity)
    _structure_number(place, organisation)
    _text(place, "name", organisation.name)
    _telecoms(place, organisation.telecoms[:1])
    _address(place, organisation.addresses[0] if organisation.addresses else Address())


def _legal_authenticator(root: _Element, header: DocumentHeader) -> None:
    """Who answers for the document: the named one, else the first author who is a person."""
    people = (party for party in header.authors if party.professional is not None)
    party = header.legal_authenticator or next(people, None)
    if party is None:
        raise RenditionError("cda.header-incomplete", "a CDA needs a person who answers for it", where="document.author")
    element = _add(root, "legalAuthenticator")
    _moment(element, "time", party.time.partition("/")[0] or header.created)
    _add(element, "signatureCode", code="S")
    _assigned(_add(element, "assignedEntity"), party)


def _assigned(entity: _Element, party: Party, *, setting: Code | None = None) -> None:
    pro = party.professional or Professional()
    _person_number(entity, party)
    _specialty(entity, pro)
    _reach(entity, pro.addresses, pro.telecoms)
    _person(_add(entity, "assignedPerson"), pro)
    if party.organisation is not None or setting is not None:
        _organisation(_add(entity, "representedOrganization"), party.organisation or Organisation(), setting=setting)


def _participant(root: _Element, participant: ReferringParty) -> None:
    party = participant.party
    pro = party.professional or Professional()
    element = _add(root, "participant", typeCode=participant.type_code)
    _function(element, participant.function_code or party.function_code, party.function_label)
    start, _, end = party.time.partition("/")
    _interval(element, "time", start, end, absent="NA")
    entity = _add(element, "associatedEntity", classCode="PROV")
    _person_number(entity, party)
    _specialty(entity, pro)
    _reach(entity, pro.addresses, pro.telecoms)
    if party.professional is not None:
        _person(_add(entity, "associatedPerson"), pro)
    if party.organisation is not None:
        _organisation(_add(entity, "scopingOrganization"), party.organisation)


# -- circumstances --------------------------------------------------------------------------------------------------------


def _service_events(root: _Element, header: DocumentHeader) -> None:
    """The principal act first, done by somebody somewhere; a header without acts tells of the document's own making."""
    events = header.service_events or (ServiceEvent(code=header.type, start=header.created),)
    for number, event in enumerate(events):
        element = _add(_add(root, "documentationOf"), "serviceEvent")
        if event.identifier:
            _identifier(element, event.identifier)
        if event.code.code and system_oid(event.code.system):
            _coded(element, "code", event.code, label=header.title)
        if number == 0 or event.start or event.end:
            start = event.start or ("" if event.end and number else event.end or header.created)
            _interval(element, "effectiveTime", start, event.end, absent="UNK")
        performer = event.performer or (header.authors[0] if number == 0 else None)
        if performer is not None:
            assigned = _add(_add(element, "performer", typeCode="PRF"), "assignedEntity")
            _assigned(assigned, performer, setting=_setting(header, performer))


def _setting(header: DocumentHeader, performer: Party) -> Code:
    place = performer.organisation or Organisation()
    known = place.setting_code or header.custodian.setting_code
    code = known or ("AMBULATOIRE" if header.body is BodyKind.FORM else "ETABLISSEMENT")
    return Code(code, _SETTINGS, _label("practice-settings", code, place.setting_label if place.setting_code else ""))


def _encounter(root: _Element, header: DocumentHeader) -> None:
    stay = header.stay or Stay()
    encounter = _add(_add(root, "componentOf"), "encompassingEncounter")
    for number_root, extension in stay.identifiers:
        if _is_root(number_root):
            _add(encounter, "id", root=number_root, extension=extension)
    if stay.class_code and system_oid(stay.class_system):
        _coded(encounter, "code", Code(stay.class_code, stay.class_system, stay.class_label))
    event = header.service_events[0] if header.service_events else ServiceEvent()
    _interval(encounter, "effectiveTime", stay.start or event.start or header.created, stay.end, absent="UNK")
    facility = _add(_add(encounter, "location"), "healthCareFacility")
    _structure_number(facility, stay.organisation or header.custodian)
    code = stay.facility_type.code or ("SA05" if header.body is BodyKind.FORM else "SA01")
    _coded(facility, "code", Code(code, _FACILITIES, _label("facility-types", code, stay.facility_type.label)))


def _label(table: str, code: str, given: str) -> str:
    known = load_codes(table).get(code)
    return given or (known.label if known else code)
