"""Writes IHE_XDM.zip: the archive (ITI-32) and its METADATA.XML (ebRIM 3.0, ITI-41 French metadata). Pure: bytes in, bytes out.

Sources: IHE ITI TF-2 §3.32, TF-3 §4.2; CI-SIS volets Échange and Partage of health documents; Référentiel socle MSSanté #2.
Law: same input, same bytes. Dates inside the zip are fixed, identifiers come from the caller, symbolic ids count from 1.

    README.TXT  INDEX.HTM  IHE_XDM/SUBSET01/METADATA.XML  IHE_XDM/SUBSET01/DOC00001.XML …

ebRIM order inside each object is Slot, Name, Classification, ExternalIdentifier: the schema refuses any other.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import count

from lxml import etree

from mssante.errors import MetadataError

LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
XHTML = "http://www.w3.org/1999/xhtml"

# Classification schemes and identification schemes of IHE ITI TF-3 §4.2.
SET_AUTHOR = "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d"
SET_CONTENT_TYPE = "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500"
SET_NODE = "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"
SET_PATIENT_ID = "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446"
SET_SOURCE_ID = "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832"
SET_UNIQUE_ID = "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"
DOCUMENT_OBJECT = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
DOCUMENT_AUTHOR = "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d"
DOCUMENT_CLASS = "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a"
DOCUMENT_CONFIDENTIALITY = "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f"
DOCUMENT_EVENT = "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4"
DOCUMENT_FORMAT = "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d"
DOCUMENT_FACILITY = "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1"
DOCUMENT_PRACTICE = "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead"
DOCUMENT_TYPE = "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983"
DOCUMENT_PATIENT_ID = "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"
DOCUMENT_UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
ACTION_SLOT = "urn:action:extraMetadataSlot"

PROFESSIONAL_AUTHORITY = "1.2.250.1.71.4.2.1"
STRUCTURE_AUTHORITY = "1.2.250.1.71.4.2.2"

# The zip format starts in 1980: no entry carries the time at which it was made.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_FILE_NAME = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")
_EXTENSIONS = {"text/xml": "XML", "application/xml": "XML", "application/xslt+xml": "XML", "application/pdf": "PDF"}
_ISO = re.compile(
    r"(?P<date>\d{4}(?:-\d{2}(?:-\d{2})?)?)"
    r"(?:[T ](?P<time>\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_OID_AND_EXTENSION = re.compile(r"\d+(?:\.\d+)+(?:\^[^\^&|]+)?")


class Action(StrEnum):
    """What the archive asks of the receiver (French extra metadata `action`); absent for a new document."""

    REPLACE = "C"
    DELETE = "D"


@dataclass(frozen=True)
class Coded:
    """A code, the OID of its scheme, and its label."""

    code: str
    scheme: str
    label: str


@dataclass(frozen=True)
class Person:
    """A professional (XCN). `identifier` is an IDNPS (`8` + RPPS, `0` + ADELI) or an internal `structure/number`.

    A hand-filled form may name somebody without a number: then `identifier` is empty.
    """

    identifier: str
    family: str
    given: str = ""
    authority: str = PROFESSIONAL_AUTHORITY


@dataclass(frozen=True)
class Software:
    """A device that authored a document (XCN of a machine). `authority` is the OID that numbered it."""

    identifier: str
    software: str
    model: str = ""
    authority: str = STRUCTURE_AUTHORITY


@dataclass(frozen=True)
class Institution:
    """A structure (XON). `identifier` is a Struct_IdNat (`1` + FINESS, `3` + SIRET…) or empty."""

    name: str = ""
    identifier: str = ""
    authority: str = STRUCTURE_AUTHORITY


@dataclass(frozen=True)
class Author:
    """Who made the document or the submission, where, in which role and with which speciality."""

    person: Person | Software | None = None
    institution: Institution | None = None
    role: str = ""
    specialty: Coded | None = None


@dataclass(frozen=True, repr=False)
class PatientNumber:
    """A patient's number (CX): `kind` is NH for an INS, PI for a number given by a structure."""

    value: str
    authority: str
    kind: str = "PI"


@dataclass(frozen=True, repr=False)
class Patient:
    """Whom the documents are about. `number` identifies (INS first), `source_number` is the sender's own.

    `birth_date` is ISO, as precise as known; `birth_place_insee` the commune's (or country's) INSEE code.
    """

    number: PatientNumber | None
    source_number: PatientNumber | None
    birth_name: str
    first_given: str = ""
    birth_given_names: str = ""
    used_name: str = ""
    used_given: str = ""
    birth_date: str = ""
    sex: str = ""
    birth_place_insee: str = ""


@dataclass(frozen=True, repr=False)
class DocumentEntry:
    """Metadata of one document. Times are ISO 8601 with zone, or dates; they are written in UTC.

    `unique_id` is `root` or `root^extension`. `confidentiality` holds N, R or V first, then the visibility codes.
    """

    unique_id: str
    title: str
    created: str
    patient: Patient
    authors: tuple[Author, ...]
    class_code: Coded
    type_code: Coded
    format_code: Coded
    facility_type: Coded
    practice_setting: Coded
    confidentiality: tuple[Coded, ...]
    events: tuple[Coded, ...] = ()
    legal_authenticator: Person | Software | None = None
    service_start: str = ""
    service_stop: str = ""
    language: str = "fr-FR"
    mime_type: str = "text/xml"
    action: Action | None = None


@dataclass(frozen=True, repr=False)
class SubmissionSet:
    """Metadata of the whole submission. `unique_id` is an OID (`2.25.…`), `source_id` the OID of the sending system."""

    unique_id: str
    source_id: str
    submitted: datetime
    title: str
    author: Author
    content_type: Coded
    patient: Patient


@dataclass(frozen=True)
class Presentation:
    """What README.TXT and INDEX.HTM say about the sender: no patient content."""

    institution: str
    contact: str = ""
    product: str = ""


@dataclass(frozen=True, repr=False)
class _StoredFile:
    """One document as it is written in the archive."""

    name: str
    content: bytes


def submission_unique_id(number: int) -> str:
    """An OID made from a 128-bit number (a UUID's integer): ITU-T X.667."""
    return f"2.25.{number}"


def build_archive(
    submission_set: SubmissionSet,
    documents: Sequence[tuple[DocumentEntry, bytes]],
    presentation: Presentation = Presentation(""),
) -> bytes:
    """The whole archive; MetadataError when something required is missing or malformed."""
    if not documents:
        raise MetadataError("xdm.no-document", "an archive holds at least one document")
    files = tuple(_StoredFile(_file_name(n, entry.mime_type), body) for n, (entry, body) in enumerate(documents, start=1))
    metadata = build_metadata(
        submission_set, [(entry, file.name, file.content) for (entry, _), file in zip(documents, files, strict=True)]
    )
    titles = [(file.name, entry.type_code.label or "Document") for (entry, _), file in zip(documents, files, strict=True)]
    parts = [
        ("README.TXT", _readme(presentation, titles)),
        ("INDEX.HTM", _index(presentation, titles)),
        ("IHE_XDM/SUBSET01/METADATA.XML", metadata),
        *((f"IHE_XDM/SUBSET01/{file.name}", file.content) for file in files),
    ]
    return _zip(parts)


def build_metadata(submission_set: SubmissionSet, documents: Sequence[tuple[DocumentEntry, str, bytes]]) -> bytes:
    """METADATA.XML alone: each document with the name and the very bytes of its stored file (hash, size)."""
    try:
        return _metadata(submission_set, documents)
    except ValueError as error:  # lxml refuses control characters; its own text would not say where
        raise MetadataError("xdm.character", "a metadata value holds a character that XML forbids") from error


def utc_time(value: str, where: str) -> str:
    """An ISO 8601 instant as `YYYYMMDDhhmmss` in UTC; a date stays a date. A time without zone is refused, never guessed."""
    match = _ISO.fullmatch(value.strip())
    if match is None:
        raise MetadataError("xdm.time", "not an ISO 8601 date or time", where=where)
    if not match["time"]:
        return match["date"].replace("-", "")
    if not match["zone"]:
        raise MetadataError("xdm.time-zone", "a time needs its zone", where=where)
    return _instant(match, where).astimezone(UTC).strftime("%Y%m%d%H%M%S")


def _instant(match: re.Match[str], where: str) -> datetime:
    clock = (match["time"].split(".")[0] + ":00:00")[:8]
    zone = match["zone"].replace("Z", "+0000").replace(":", "")
    try:
        return datetime.strptime(f"{match['date']}T{clock}{zone}", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError as error:
        raise MetadataError("xdm.time", "no such date or time", where=where) from error


# ── METADATA.XML ────────────────────────────────────────────────────────────────────────────────────────────────────


def _metadata(submission_set: SubmissionSet, documents: Sequence[tuple[DocumentEntry, str, bytes]]) -> bytes:
    ids = count(1)
    objects = _rim("RegistryObjectList", _package(submission_set, ids))
    for number, (entry, name, content) in enumerate(documents, start=1):
        objects.append(_document(entry, f"D{number}", name, content, ids))
    for number in range(1, len(documents) + 1):
        objects.append(_membership(number))
    request = etree.Element(f"{{{LCM}}}SubmitObjectsRequest", nsmap={"lcm": LCM})
    request.append(objects)
    return etree.tostring(request, xml_declaration=True, encoding="UTF-8")


def _package(submission: SubmissionSet, ids: count[int]) -> etree._Element:
    where = "SubmissionSet"
    if submission.submitted.tzinfo is None:
        raise MetadataError("xdm.time-zone", "a time needs its zone", where=f"{where}.submissionTime")
    submitted = submission.submitted.astimezone(UTC).strftime("%Y%m%d%H%M%S")
    package = _rim(
        "RegistryPackage",
        _slot("submissionTime", submitted),
        _name(_required(submission.title, f"{where}.title")),
        _author(submission.author, SET_AUTHOR, "S1", ids, where),
        _coded(submission.content_type, SET_CONTENT_TYPE, "S1", ids, f"{where}.contentTypeCode"),
        _rim("Classification", id=f"c{next(ids)}", classifiedObject="S1", classificationNode=SET_NODE),
        id="S1",
    )
    if submission.patient.number is not None:
        package.append(_external(SET_PATIENT_ID, "XDSSubmissionSet.patientId", _cx(submission.patient.number), "S1", ids))
    source_id = _oid(submission.source_id, f"{where}.sourceId")
    package.append(_external(SET_SOURCE_ID, "XDSSubmissionSet.sourceId", source_id, "S1", ids))
    unique_id = _oid(submission.unique_id, f"{where}.uniqueId")
    package.append(_external(SET_UNIQUE_ID, "XDSSubmissionSet.uniqueId", unique_id, "S1", ids))
    return package


def _document(entry: DocumentEntry, symbol: str, file_name: str, content: bytes, ids: count[int]) -> etree._Element:
    where = "DocumentEntry"
    extrinsic = _rim("ExtrinsicObject", id=symbol, mimeType=entry.mime_type, objectType=DOCUMENT_OBJECT)
    extrinsic.extend(_document_slots(entry, file_name, content))
    extrinsic.append(_name(_required(entry.title, f"{where}.title")))
    if not entry.authors:
        raise MetadataError("xdm.required", "an author is required", where=f"{where}.author")
    extrinsic.extend(_author(author, DOCUMENT_AUTHOR, symbol, ids, where) for author in entry.authors)
    if not entry.confidentiality:
        raise MetadataError("xdm.required", "a confidentiality is required", where=f"{where}.confidentialityCode")
    coded = [
        (DOCUMENT_CLASS, entry.class_code, "classCode"),
        *((DOCUMENT_CONFIDENTIALITY, code, "confidentialityCode") for code in entry.confidentiality),
        *((DOCUMENT_EVENT, code, "eventCodeList") for code in entry.events),
        (DOCUMENT_FORMAT, entry.format_code, "formatCode"),
        (DOCUMENT_FACILITY, entry.facility_type, "healthcareFacilityTypeCode"),
        (DOCUMENT_PRACTICE, entry.practice_setting, "practiceSettingCode"),
        (DOCUMENT_TYPE, entry.type_code, "typeCode"),
    ]
    extrinsic.extend(_coded(code, scheme, symbol, ids, f"{where}.{name}") for scheme, code, name in coded)
    if entry.patient.number is not None:
        extrinsic.append(_external(DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId", _cx(entry.patient.number), symbol, ids))
    extrinsic.append(_external(DOCUMENT_UNIQUE_ID, "XDSDocumentEntry.uniqueId", _document_id(entry.unique_id), symbol, ids))
    return extrinsic


def _document_slots(entry: DocumentEntry, file_name: str, content: bytes) -> list[etree._Element]:
    where = "DocumentEntry"
    # SHA-1 is what ITI TF-3 §4.2.3.2.10 wants: an integrity check of the stored file, not a security measure.
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    slots = [
        _slot("URI", file_name),
        _slot("hash", digest),
        _slot("size", str(len(content))),
        _slot("creationTime", utc_time(entry.created, f"{where}.creationTime")),
        _slot("languageCode", _required(entry.language, f"{where}.languageCode")),
    ]
    if entry.legal_authenticator is not None:
        slots.append(_slot("legalAuthenticator", _xcn(entry.legal_authenticator, f"{where}.legalAuthenticator")))
    if entry.service_start:
        slots.append(_slot("serviceStartTime", utc_time(entry.service_start, f"{where}.serviceStartTime")))
    if entry.service_stop:
        slots.append(_slot("serviceStopTime", utc_time(entry.service_stop, f"{where}.serviceStopTime")))
    source_number = entry.patient.source_number or entry.patient.number
    if source_number is not None:
        slots.append(_slot("sourcePatientId", _cx(source_number)))
    slots.append(_slot("sourcePatientInfo", *_patient_info(entry.patient)))
    if entry.action is not None:
        slots.append(_slot(ACTION_SLOT, entry.action.value))
    return slots


def _patient_info(patient: Patient) -> list[str]:
    birth = [patient.birth_name, patient.first_given, patient.birth_given_names]
    lines = [f"PID-5|{_components(_required(birth[0], 'DocumentEntry.sourcePatientInfo'), *birth[1:])}^^^^L"]
    if patient.used_name or patient.used_given:
        lines.append(f"PID-5|{_components(patient.used_name or patient.birth_name, patient.used_given)}^^^^^D")
    if patient.birth_date:
        lines.append(f"PID-7|{utc_time(patient.birth_date, 'DocumentEntry.sourcePatientInfo')[:8]}")
    if patient.sex:
        # PID-8 speaks HL7 table 0001: the CDA's UN (undifferentiated) is its U.
        lines.append(f"PID-8|{'U' if patient.sex == 'UN' else _hl7(patient.sex)}")
    if patient.birth_place_insee:
        lines.append(f"PID-11|^^^^^^BDL^^{_hl7(patient.birth_place_insee)}")
    return lines


def _membership(number: int) -> etree._Element:
    return _rim(
        "Association",
        _slot("SubmissionSetStatus", "Original"),
        id=f"as{number}",
        associationType=HAS_MEMBER,
        sourceObject="S1",
        targetObject=f"D{number}",
    )


def _author(author: Author, scheme: str, symbol: str, ids: count[int], where: str) -> etree._Element:
    slots = []
    if author.institution is not None:
        slots.append(_slot("authorInstitution", _xon(author.institution)))
    if author.person is not None:
        slots.append(_slot("authorPerson", _xcn(author.person, f"{where}.authorPerson")))
    if author.role:
        slots.append(_slot("authorRole", author.role))
    if author.specialty is not None and author.specialty.code:
        specialty = author.specialty
        slots.append(_slot("authorSpecialty", f"{_hl7(specialty.code)}^{_hl7(specialty.label)}^{_hl7(specialty.scheme)}"))
    if not slots:
        raise MetadataError("xdm.required", "an author has a person or an institution", where=f"{where}.author")
    return _rim(
        "Classification", *slots, id=f"c{next(ids)}", classificationScheme=scheme, classifiedObject=symbol, nodeRepresentation=""
    )


def _coded(value: Coded, scheme: str, symbol: str, ids: count[int], where: str) -> etree._Element:
    return _rim(
        "Classification",
        _slot("codingScheme", _required(value.scheme, where)),
        _name(value.label or value.code),
        id=f"c{next(ids)}",
        classificationScheme=scheme,
        classifiedObject=symbol,
        nodeRepresentation=_required(value.code, where),
    )


def _external(scheme: str, name: str, value: str, symbol: str, ids: count[int]) -> etree._Element:
    return _rim(
        "ExternalIdentifier", _name(name), id=f"e{next(ids)}", registryObject=symbol, identificationScheme=scheme, value=value
    )


def _slot(name: str, *values: str) -> etree._Element:
    return _rim("Slot", _rim("ValueList", *(_text(RIM, "Value", value) for value in values)), name=name)


def _name(label: str) -> etree._Element:
    return _rim("Name", _rim("LocalizedString", value=label))


def _rim(tag: str, *children: etree._Element, **attributes: str) -> etree._Element:
    element = _element(RIM, tag, attributes)
    element.extend(children)
    return element


def _text(namespace: str, tag: str, text: str, **attributes: str) -> etree._Element:
    element = _element(namespace, tag, attributes)
    element.text = text
    return element


def _element(namespace: str, tag: str, attributes: dict[str, str]) -> etree._Element:
    return etree.Element(f"{{{namespace}}}{tag}", attributes, nsmap={None: namespace})  # type: ignore[dict-item]


# ── HL7 v2 data types inside ebRIM values ───────────────────────────────────────────────────────────────────────────


def _cx(number: PatientNumber) -> str:
    authority = _oid_of_uuid(number.authority) or number.authority
    assigning = f"&{authority}&ISO" if re.fullmatch(r"\d+(\.\d+)+", authority) else _hl7(authority)
    return f"{_hl7(_required(number.value, 'patientId'))}^^^{assigning}^{number.kind}"


def _xcn(person: Person | Software, where: str) -> str:
    if isinstance(person, Software):
        identifier = _hl7(_required(person.identifier, where))
        return f"{identifier}^{_hl7(person.software)}^{_hl7(person.model)}^^^^^^&{person.authority}&ISO^U^^^RI"
    if not person.identifier:
        return f"^{_hl7(_required(person.family, where))}^{_hl7(person.given)}"
    identifier = _hl7(person.identifier)
    kind = "EI" if "/" in person.identifier else "IDNPS"
    return f"{identifier}^{_hl7(_required(person.family, where))}^{_hl7(person.given)}^^^^^^&{person.authority}&ISO^D^^^{kind}"


def _xon(institution: Institution) -> str:
    if not institution.identifier:
        return _hl7(_required(institution.name, "authorInstitution"))
    return f"{_hl7(institution.name)}^^^^^&{institution.authority}&ISO^IDNST^^^{_hl7(institution.identifier)}"


def _components(*values: str) -> str:
    return "^".join(_hl7(value) for value in values)


_ESCAPES = str.maketrans({"\\": "\\E\\", "^": "\\S\\", "&": "\\T\\", "|": "\\F\\", "~": "\\R\\"})


def _hl7(value: str) -> str:
    return value.strip().translate(_ESCAPES)


def _required(value: str, where: str) -> str:
    if not value.strip():
        raise MetadataError("xdm.required", "a required metadata is empty", where=where)
    return value


def _oid(value: str, where: str) -> str:
    if not re.fullmatch(r"[0-2](\.(0|[1-9]\d*))+", value) or len(value) > 64:
        raise MetadataError("xdm.oid", "not an OID", where=where)
    return value


def _oid_of_uuid(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", value):
        return ""
    return submission_unique_id(int(value.replace("-", ""), 16))


def _document_id(value: str) -> str:
    # A UUID root is legal in CDA but not in XDS, whose uniqueId is an OID: X.667 gives the one OID of a UUID.
    root, separator, extension = value.partition("^")
    value = f"{_oid_of_uuid(root) or root}{separator}{extension}"
    if not _OID_AND_EXTENSION.fullmatch(value):
        raise MetadataError("xdm.unique-id", "a document id is `OID` or `OID^extension`", where="DocumentEntry.uniqueId")
    return value


# ── the archive ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _file_name(number: int, mime_type: str) -> str:
    extension = _EXTENSIONS.get(mime_type)
    if extension is None or number > 99_999:
        raise MetadataError("xdm.media-type", "this media type has no place in the archive", where="DocumentEntry.mimeType")
    return f"DOC{number:05d}.{extension}"


def _zip(parts: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED, allowZip64=False, compresslevel=6) as archive:
        for path, content in parts:
            if not all(_FILE_NAME.fullmatch(step) for step in path.split("/")):
                raise MetadataError("xdm.file-name", "names are 8.3, upper case", where=path)
            info = zipfile.ZipInfo(path, _ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 0  # the same bytes whatever system writes them
            archive.writestr(info, content)
    return buffer.getvalue()


def _readme(presentation: Presentation, titles: Sequence[tuple[str, str]]) -> bytes:
    lines = [
        "Documents de santé au format IHE XDM",
        "",
        f"Émetteur : {presentation.institution or 'non précisé'}",
        f"Contact : {presentation.contact or 'répondre au message reçu'}",
        f"Logiciel : {presentation.product or 'non précisé'}",
        "",
        "Contenu :",
        "  INDEX.HTM                       liste des documents, à ouvrir dans un navigateur",
        "  IHE_XDM/SUBSET01/METADATA.XML   métadonnées du lot de soumission",
        *(f"  IHE_XDM/SUBSET01/{name}   {title}" for name, title in titles),
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


def _index(presentation: Presentation, titles: Sequence[tuple[str, str]]) -> bytes:
    language = {"{http://www.w3.org/XML/1998/namespace}lang": "fr", "lang": "fr"}
    page = _element(XHTML, "html", language)
    head = etree.SubElement(page, f"{{{XHTML}}}head")
    etree.SubElement(head, f"{{{XHTML}}}meta", {"http-equiv": "Content-Type", "content": "text/html; charset=UTF-8"})
    head.append(_text(XHTML, "title", "Documents de santé"))
    body = etree.SubElement(page, f"{{{XHTML}}}body")
    body.append(_text(XHTML, "h1", "Documents de santé"))
    body.append(_text(XHTML, "p", f"Émetteur : {presentation.institution or 'non précisé'}"))
    links = etree.SubElement(body, f"{{{XHTML}}}ul")
    for path, title in [*((f"IHE_XDM/SUBSET01/{name}", title) for name, title in titles), ("README.TXT", "Notice")]:
        etree.SubElement(links, f"{{{XHTML}}}li").append(_text(XHTML, "a", title, href=path))
    doctype = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
    return etree.tostring(page, xml_declaration=True, encoding="UTF-8", doctype=doctype)
