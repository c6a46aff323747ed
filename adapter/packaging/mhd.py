"""Makes the ITI-65 transaction that feeds a shared record: one submission set, one document, one patient, once whatever happens.

Law: PDSm 3.1.1 (`pdsm-comprehensive-provide-document-bundle`) on IHE MHD 4.2.3. Author, authenticator, custodian and
sourcePatientInfo are contained resources; size and SHA-1 are those of the bytes. Identifiers carry both `use` (4.2.3) and
`type` (the 4.2.4 draft slices on it). Everything minted comes from the delivery: a resend is byte-identical, and conditional
creates (`ifNoneExist`) with a PUT of the Binary under its own id leave one copy on the server.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapter.errors import RenditionError
from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, write_json
from adapter.fhir.identity import carries_ins, patient_resource
from adapter.fhir.narrative import generated
from adapter.fhir.parties import device_resource, organization_resource, practitioner_resource, practitioner_role_resource
from adapter.model.delivery import Delivery
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.parties import Organisation, Party
from adapter.model.submission import Intent, Submission, Visibility
from adapter.packaging.code_tables import PDF_FORMAT, activity_of, class_of, format_of, load_codes
from adapter.packaging.parcel import RecordContent, SenderProfile

Resource = dict[str, Any]

_PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
_MHD = "https://profiles.ihe.net/ITI/MHD/"
_NOS = "https://mos.esante.gouv.fr/NOS/"
BUNDLE_PROFILE = _PDSM + "pdsm-comprehensive-provide-document-bundle"
SUBMISSION_SET_PROFILE = _PDSM + "pdsm-submissionset-comprehensive"
DOCUMENT_REFERENCE_PROFILE = _PDSM + "pdsm-comprehensive-document-reference"
_IDENTIFIER_TYPES = _MHD + "CodeSystem/IHE.MHD.MHDIdentifierType"
SUBMISSION_TAGS = p.OUR_CODES + "submission-set"
_LIST_TYPES = _MHD + "CodeSystem/MHDlistTypes"
_ACTIVITIES = _NOS + "TRE_R209-TypeActivite/FHIR/TRE-R209-TypeActivite"
_VISIBILITY = _NOS + "TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
_ANS_FORMATS = _NOS + "TRE_A06-FormatCodeComplementaire/FHIR/TRE-A06-FormatCodeComplementaire"
_IHE_FORMATS = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
_ANY_FORMAT = Code("urn:ihe:iti:xds:2017:mimeTypeSufficient", _IHE_FORMATS, "mimeType Sufficient")
_PARIS = ZoneInfo("Europe/Paris")
_CONTAINED_DROPS = ("text", "meta")


def build_iti65(
    delivery: Delivery,
    submission: Submission,
    bundle: Resource,
    source: bytes,
    media_type: str,
    sender: SenderProfile,
    sent_at: datetime,
) -> RecordContent:
    """The transaction and the master identifier to search for; RenditionError when the norm cannot be met."""
    if submission.intent is Intent.CANCEL:
        raise RenditionError(
            "mhd.cancel-unsupported",
            "a cancellation is no ITI-65 transaction",
            where=delivery.id,
            remedy="Delete the document in the record.",
        )
    header = submission.document
    if not carries_ins(header.patient):
        raise RenditionError(
            "mhd.identity-not-qualified",
            "a shared record is fed with a qualified INS and all its traits only",
            where=delivery.id,
            remedy="Qualify the identity, then send again.",
        )
    ids = Ids(f"iti65:{delivery.id}")
    master = master_identifier(header.unique_id)
    content, content_type = _deposited(header, bundle, source, media_type)
    patient = {k: v for k, v in patient_resource(header.patient, id="patient").items() if k != "id"}
    binary = {"resourceType": "Binary", "id": ids.mint("Binary"), "contentType": content_type, "data": _base64(content)}
    transaction = {
        "resourceType": "Bundle",
        "meta": {"profile": [BUNDLE_PROFILE]},
        "type": "transaction",
        "entry": [
            _created(_submission_set(submission, sender, sent_at, ids), ids),
            _created(_document_reference(submission, patient, binary, content, sent_at, ids), ids),
            _put_entry(binary),
            _created(patient, ids),
        ],
    }
    return RecordContent(write_json(transaction), master)


def _deposited(header: DocumentHeader, bundle: Resource, source: bytes, media_type: str) -> tuple[bytes, str]:
    """The source as it came; but a form's answers mean nothing outside our door: its FHIR document is deposited instead."""
    if header.body is BodyKind.FORM:
        return write_json(bundle), "application/fhir+json"
    return source, media_type


def master_identifier(unique_id: str) -> str:
    """The XDS unique id as a URI: `urn:oid:` (root, or root and a numeric extension) or `urn:uuid:`.

    An extension that is no number has no OID form, and the rule wants a URI: such a document gets a UUIDv5 of its id, always
    the same; the id itself stays in the document.
    """
    root, _, extension = unique_id.partition("^")
    oid = f"{root}.{extension}" if extension else root
    if all(part.isdigit() and (part == "0" or part[0] != "0") for part in oid.split(".")):
        return f"urn:oid:{oid}"
    try:
        return f"urn:uuid:{uuid.UUID(unique_id)}"
    except ValueError:
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, unique_id)}"


# ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _created(resource: Resource, ids: Ids) -> Resource:
    """A conditional create: by the master identifier of a document, by the INS of a patient, by our tag for the set.

    A set is searched by `_tag` because some servers index no identifier of List.
    """
    kind = resource["resourceType"]
    if "tag" in resource["meta"]:
        tag = resource["meta"]["tag"][0]
        search = f"_tag={tag['system']}|{tag['code']}"
    else:
        identifier = resource.get("masterIdentifier") or resource["identifier"][0]
        search = f"identifier={identifier['system']}|{identifier['value']}"
    request = {"method": "POST", "url": kind, "ifNoneExist": search}
    return {"fullUrl": f"urn:uuid:{ids.mint(kind)}", "resource": resource, "request": request}


def _put_entry(binary: Resource) -> Resource:
    """A Binary has no identifier to search by, so it is put under its own id; MHD leaves the method of documents free."""
    return {
        "fullUrl": f"urn:uuid:{binary['id']}",
        "resource": binary,
        "request": {"method": "PUT", "url": f"Binary/{binary['id']}"},
    }


def _submission_set(submission: Submission, sender: SenderProfile, sent_at: datetime, ids: Ids) -> Resource:
    header = submission.document
    party = submission.sender or Party(organisation=Organisation(name=sender.name, finess=sender.finess))
    contained = _Contained()
    source = contained.actor(party)
    activity = activity_of(submission.encounter_class, header.stay.class_code if header.stay else "")
    return {
        "resourceType": "List",
        "meta": {
            "profile": [SUBMISSION_SET_PROFILE],
            "tag": [{"system": SUBMISSION_TAGS, "code": ids.mint("submission-set")}],
        },
        "text": generated("Lot de soumission"),
        "contained": contained.resources,
        "extension": [
            {
                "url": f"{_MHD}StructureDefinition/ihe-designationType",
                "valueCodeableConcept": _concept(_ACTIVITIES, activity.code, activity.label),
            },
            {
                "url": f"{_MHD}StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": p.URI_SYSTEM, "value": f"urn:oid:{sender.source_oid}"},
            },
        ],
        "identifier": [
            _identifier("usual", "uniqueId", f"urn:oid:2.25.{uuid.UUID(ids.mint('submission-set')).int}"),
            _identifier("official", "entryUUID", f"urn:uuid:{ids.mint('List')}"),
        ],
        "status": "current",
        "mode": "working",
        "title": header.type.label or header.title,
        "code": {"coding": [{"system": _LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": f"urn:uuid:{ids.mint('Patient')}"},
        "date": _instant(sent_at),
        "source": source,
        "entry": [{"item": {"reference": f"urn:uuid:{ids.mint('DocumentReference')}"}}],
    }


def _document_reference(
    submission: Submission, patient: Resource, binary: Resource, content: bytes, sent_at: datetime, ids: Ids
) -> Resource:
    header = submission.document
    contained = _Contained()
    source_patient = contained.patient(patient)
    # The profile wants a person, a role or a device: a structure that wrote alone is a role without a person.
    authors = [contained.actor(party) for party in header.authors or (Party(organisation=header.custodian),)]
    authenticator = contained.actor(header.legal_authenticator) if header.legal_authenticator else None
    custodian = contained.organisation(header.custodian)
    resource: Resource = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [DOCUMENT_REFERENCE_PROFILE]},
        "text": generated(header.title or header.type.label or "Document"),
        "contained": contained.resources,
        "masterIdentifier": _identifier("usual", "uniqueId", master_identifier(header.unique_id)),
        "identifier": [
            _identifier("official", "entryUUID", f"urn:uuid:{ids.mint('DocumentReference')}"),
            # A copy of the master identifier: some servers search in `identifier` alone, and would double the document.
            {"use": "secondary", "system": p.URI_SYSTEM, "value": master_identifier(header.unique_id)},
        ],
        "status": "current",
        "type": _type(header.type),
        "category": [_class(header.type.code)],
        "subject": {"reference": f"urn:uuid:{ids.mint('Patient')}"},
        "date": _instant_of(header.created, sent_at),
        "author": authors,
    }
    if authenticator is not None:
        resource["authenticator"] = authenticator
    resource["custodian"] = custodian
    if header.replaces:
        # By identifier: the record may not hold the original, and an unknown original is sent all the same.
        target = {"identifier": {"system": p.URI_SYSTEM, "value": master_identifier(header.replaces)}}
        resource["relatesTo"] = [{"code": "replaces", "target": target}]
    resource["securityLabel"] = _security(header, submission.visibility)
    resource["content"] = [{"attachment": _attachment(header, binary, content, sent_at), "format": _format(header)}]
    resource["context"] = _context(header, source_patient, sent_at)
    return resource


def _attachment(header: DocumentHeader, binary: Resource, content: bytes, sent_at: datetime) -> Resource:
    return {
        "contentType": binary["contentType"],
        "language": header.language or "fr-FR",
        "url": f"urn:uuid:{binary['id']}",
        "size": len(content),
        # The norm asks for SHA-1: it finds accidents, it is no seal.
        "hash": _base64(hashlib.sha1(content, usedforsecurity=False).digest()),
        "title": header.title or header.type.label or "Document",
        "creation": _date_time(header.created) or _instant(sent_at),
    }


def _context(header: DocumentHeader, source_patient: Resource, sent_at: datetime) -> Resource:
    start, end = _span(header)
    context: Resource = {}
    codes = [_concept(_uri(e.code.system), e.code.code, e.code.label) for e in header.service_events if e.code.code]
    if codes:
        context["event"] = codes
    context["period"] = {"start": _date_time(start) or _instant(sent_at)}
    if _date_time(end):
        context["period"]["end"] = _date_time(end)
    context["facilityType"] = _facility(header)
    context["practiceSetting"] = _setting(header)
    context["sourcePatientInfo"] = source_patient
    return context


def _span(header: DocumentHeader) -> tuple[str, str]:
    """When the act took place: the principal act, else the stay, else the day of the document."""
    for span in (*header.service_events[:1], header.stay):
        if span is not None and span.start:
            return span.start, span.end
    return header.created, ""


# ── contained actors ───────────────────────────────────────────────────────────────────────────────────────────────


class _Contained:
    """The resources that one resource contains; each distinct actor once, under a short id."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self._known: dict[object, Resource] = {}

    def patient(self, patient: Resource) -> Resource:
        """A copy of the patient as the source knows it."""
        return self._add(("patient",), {"resourceType": "Patient", "id": "patient", **patient})

    def organisation(self, organisation: Organisation) -> Resource:
        """A structure."""
        return self._add(organisation, organization_resource(organisation, self._next("org")))

    def actor(self, party: Party) -> Resource:
        """Software alone is a Device; else a PractitionerRole, of a person or of a structure."""
        if party.device is not None and party.professional is None:
            return self._add(party.device, device_resource(party.device, self._next("device")))
        person = None
        if party.professional is not None:
            person = self._add(party.professional, practitioner_resource(party.professional, self._next("ps")))
        place = self.organisation(party.organisation) if party.organisation is not None else None
        role = practitioner_role_resource(party, self._next("role"))
        if person is not None:
            role["practitioner"] = person
        if place is not None:
            role["organization"] = place
        return self._add((party.professional, party.organisation), role)

    def _next(self, prefix: str) -> str:
        return f"{prefix}{len(self.resources) + 1}"

    def _add(self, key: object, resource: Resource) -> Resource:
        if key not in self._known:
            self.resources.append({k: v for k, v in resource.items() if k not in _CONTAINED_DROPS})
            self._known[key] = {"reference": f"#{resource['id']}"}
        return dict(self._known[key])


# ── codes, dates, forms ────────────────────────────────────────────────────────────────────────────────────────────


def _identifier(use: str, kind: str, value: str) -> Resource:
    return {
        "use": use,
        "type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": kind}]},
        "system": p.URI_SYSTEM,
        "value": value,
    }


def _concept(system: str, code: str, label: str) -> Resource:
    coding: Resource = {"system": system, "code": code} if system else {"code": code}
    return {"coding": [coding | {"display": label} if label else coding]}


def _type(code: Code) -> Resource:
    number, dash, check = code.code.partition("-")
    is_loinc = bool(dash) and number.isdigit() and check.isdigit()
    return _concept(p.LOINC if is_loinc else p.TRE_DOCUMENT_TYPE, code.code, code.label)


def _class(type_code: str) -> Resource:
    found = class_of(type_code)
    return _concept(p.TRE_DOCUMENT_CLASS, found.code, found.label)


def _format(header: DocumentHeader) -> Resource:
    match header.body:
        case BodyKind.STRUCTURED_CDA:
            code = format_of(header.template_ids)
        case BodyKind.PDF_IN_CDA:
            code = PDF_FORMAT
        case BodyKind.FORM | BodyKind.PDF | BodyKind.FHIR:
            code = _ANY_FORMAT
    system = _IHE_FORMATS if code.code.startswith("urn:ihe:") else _ANS_FORMATS
    return {"system": system, "code": code.code, "display": code.label}


def _security(header: DocumentHeader, visibility: Visibility) -> list[Resource]:
    labels = [_concept(p.V3_CONFIDENTIALITY, header.confidentiality or "N", "")]
    wishes = (
        (visibility.hidden_from_professionals, "MASQUE_PS", "Masqué aux professionnels de santé"),
        (visibility.hidden_from_patient, "INVISIBLE_PATIENT", "Non visible par le patient"),
        (visibility.hidden_from_representatives, "INVISIBLE_REPRESENTANTS_LEGAUX", "Non visible par les représentants légaux"),
    )
    return labels + [_concept(_VISIBILITY, code, label) for wanted, code, label in wishes if wanted]


def _facility(header: DocumentHeader) -> Resource:
    given = header.stay.facility_type if header.stay else Code()
    # A form has no encounter: forms come from health centres (SA05), all else from hospitals (SA01), as in our XDM metadata.
    code = given.code or ("SA05" if header.body is BodyKind.FORM else "SA01")
    known = load_codes("facility-types").get(code)
    return _concept(p.TRE_FACILITY, code, given.label or (known.label if known else ""))


def _setting(header: DocumentHeader) -> Resource:
    performers = [event.performer.organisation for event in header.service_events if event.performer]
    places = [*performers, header.stay.organisation if header.stay else None, header.custodian]
    named = next((place for place in places if place is not None and place.setting_code), None)
    code = named.setting_code if named else ("AMBULATOIRE" if header.body is BodyKind.FORM else "ETABLISSEMENT")
    known = load_codes("practice-settings").get(code)
    return _concept(p.TRE_SETTING, code, (named.setting_label if named else "") or (known.label if known else ""))


def _uri(system: str) -> str:
    return f"urn:oid:{system}" if system and system[0].isdigit() else system


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _instant(value: datetime) -> str:
    return value.isoformat(timespec="seconds")


def _instant_of(created: str, sent_at: datetime) -> str:
    """A full instant: the document's, or that of sending when the source gives a day only."""
    given = _date_time(created)
    return given if "T" in given else _instant(sent_at)


def _date_time(value: str) -> str:
    """A FHIR dateTime: a time has seconds and a zone (French civil time when none is said); anything else is left out."""
    if "T" not in value:
        parts = value.split("-")
        return value if value and len(parts) <= 3 and all(part.isdigit() for part in parts) else ""
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return ""
    return _instant(instant if instant.tzinfo else instant.replace(tzinfo=_PARIS))
