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
from itertools import count

from lxml import etree

from mssante.entries import (
    ACTION_SLOT,
    DOCUMENT_AUTHOR,
    DOCUMENT_CLASS,
    DOCUMENT_CONFIDENTIALITY,
    DOCUMENT_EVENT,
    DOCUMENT_FACILITY,
    DOCUMENT_FORMAT,
    DOCUMENT_OBJECT,
    DOCUMENT_PATIENT_ID,
    DOCUMENT_PRACTICE,
    DOCUMENT_TYPE,
    DOCUMENT_UNIQUE_ID,
    HAS_MEMBER,
    LCM,
    REFERENCES_SLOT,
    RELATIONSHIP,
    RIM,
    SET_AUTHOR,
    SET_CONTENT_TYPE,
    SET_NODE,
    SET_PATIENT_ID,
    SET_SOURCE_ID,
    SET_UNIQUE_ID,
    Action,
    Author,
    ClassifiedAs,
    Coded,
    DocumentEntry,
    Extras,
    Institution,
    Patient,
    PatientNumber,
    Person,
    Reference,
    Relation,
    Slot,
    Software,
    SubmissionSet,
    submission_unique_id,
)
from mssante.errors import MetadataError
from mssante.hl7_values import (
    compact_utc,
    document_id,
    oid,
    required,
    utc_time,
    write_cx,
    write_patient_info,
    write_reference,
    write_specialty,
    write_xcn,
    write_xon,
)

# The values that this writer takes are its users' to make: they find them here.
__all__ = [
    "RIM",
    "Action",
    "Author",
    "ClassifiedAs",
    "Coded",
    "DocumentEntry",
    "Extras",
    "Institution",
    "Patient",
    "PatientNumber",
    "Person",
    "Presentation",
    "Reference",
    "Relation",
    "Slot",
    "Software",
    "SubmissionSet",
    "build_archive",
    "build_metadata",
    "submission_unique_id",
    "utc_time",
]

XHTML = "http://www.w3.org/1999/xhtml"

# The zip format starts in 1980: no entry carries the time at which it was made.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_FILE_NAME = re.compile(r"[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?")
_EXTENSIONS = {"text/xml": "XML", "application/xml": "XML", "application/xslt+xml": "XML", "application/pdf": "PDF"}
# rim.xsd 3.0: LongName and FreeFormText. A longer value would make METADATA.XML invalid, and registries refuse it.
_LONGEST_VALUE = 256
_LONGEST_TEXT = 1024
_ENTRY_UUID = re.compile(r"urn:uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


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


# ── METADATA.XML ────────────────────────────────────────────────────────────────────────────────────────────────────


def _metadata(submission_set: SubmissionSet, documents: Sequence[tuple[DocumentEntry, str, bytes]]) -> bytes:
    ids = count(1)
    set_symbol = _symbol(submission_set.entry_uuid, "S1", "SubmissionSet.entryUUID")
    symbols = [
        _symbol(entry.entry_uuid, f"D{n}", "DocumentEntry.entryUUID") for n, (entry, _, _) in enumerate(documents, start=1)
    ]
    if len({set_symbol, *symbols}) <= len(symbols):
        raise MetadataError("xdm.entry-uuid", "each object has its own entryUUID", where="DocumentEntry.entryUUID")
    objects = _rim("RegistryObjectList", _package(submission_set, set_symbol, ids))
    for symbol, (entry, name, content) in zip(symbols, documents, strict=True):
        objects.append(_document(entry, symbol, name, content, ids))
    links = count(1)
    for symbol in symbols:
        objects.append(_association(HAS_MEMBER, set_symbol, symbol, links, _slot("SubmissionSetStatus", "Original")))
    for symbol, (entry, _, _) in zip(symbols, documents, strict=True):
        for relation in entry.relations:
            kind = relation.kind if ":" in relation.kind else RELATIONSHIP + relation.kind
            target = required(relation.target, "DocumentEntry.relations")
            objects.append(_association(kind, symbol, target, links))
    request = etree.Element(f"{{{LCM}}}SubmitObjectsRequest", nsmap={"lcm": LCM})
    request.append(objects)
    return etree.tostring(request, xml_declaration=True, encoding="UTF-8")


def _symbol(entry_uuid: str, symbol: str, where: str) -> str:
    if entry_uuid and not _ENTRY_UUID.fullmatch(entry_uuid):
        raise MetadataError("xdm.entry-uuid", "an entryUUID is `urn:uuid:…`", where=where)
    return entry_uuid or symbol


def _package(submission: SubmissionSet, symbol: str, ids: count[int]) -> etree._Element:
    where = "SubmissionSet"
    authors = (submission.author, *submission.further_authors)
    identifiers = [
        (SET_SOURCE_ID, "XDSSubmissionSet.sourceId", oid(submission.source_id, f"{where}.sourceId")),
        (SET_UNIQUE_ID, "XDSSubmissionSet.uniqueId", oid(submission.unique_id, f"{where}.uniqueId")),
    ]
    if submission.patient.number is not None:
        identifiers.insert(0, (SET_PATIENT_ID, "XDSSubmissionSet.patientId", write_cx(submission.patient.number)))
    slots = [_slot("submissionTime", _submission_time(submission))]
    if submission.intended_recipients:
        slots.append(_slot("intendedRecipient", *submission.intended_recipients))
    return _rim(
        "RegistryPackage",
        *slots,
        *_extra_slots(submission.extras),
        _name(required(submission.title, f"{where}.title")),
        *_description_and_version(submission.comments, submission.extras),
        *(_author(author, SET_AUTHOR, symbol, ids, where) for author in authors),
        _coded(submission.content_type, SET_CONTENT_TYPE, symbol, ids, f"{where}.contentTypeCode"),
        _rim("Classification", id=f"c{next(ids)}", classifiedObject=symbol, classificationNode=SET_NODE),
        *(_coded(extra.code, extra.scheme, symbol, ids, where) for extra in submission.extras.codes),
        *(_external(scheme, name, value, symbol, ids) for scheme, name, value in identifiers),
        *(_external(scheme, "", value, symbol, ids) for scheme, value in submission.extras.identifiers),
        id=symbol,
        **_own_attributes(submission.extras),
    )


def _submission_time(submission: SubmissionSet) -> str:
    where = "SubmissionSet.submissionTime"
    if submission.submitted is None:
        raise MetadataError("xdm.required", "a required metadata is empty", where=where)
    if submission.submitted.tzinfo is None:
        raise MetadataError("xdm.time-zone", "a time needs its zone", where=where)
    return compact_utc(submission.submitted, where)


def _document(entry: DocumentEntry, symbol: str, file_name: str, content: bytes, ids: count[int]) -> etree._Element:
    where = "DocumentEntry"
    if not entry.authors:
        raise MetadataError("xdm.required", "an author is required", where=f"{where}.author")
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
        *((extra.scheme, extra.code, "classification") for extra in entry.extras.codes),
    ]
    identifiers = [(DOCUMENT_UNIQUE_ID, "XDSDocumentEntry.uniqueId", document_id(entry.unique_id))]
    if entry.patient.number is not None:
        identifiers.insert(0, (DOCUMENT_PATIENT_ID, "XDSDocumentEntry.patientId", write_cx(entry.patient.number)))
    return _rim(
        "ExtrinsicObject",
        *_document_slots(entry, file_name, content),
        *_extra_slots(entry.extras),
        _name(required(entry.title, f"{where}.title")),
        *_description_and_version(entry.comments, entry.extras),
        *(_author(author, DOCUMENT_AUTHOR, symbol, ids, where) for author in entry.authors),
        *(_coded(code, scheme, symbol, ids, f"{where}.{name}") for scheme, code, name in coded),
        *(_external(scheme, name, value, symbol, ids) for scheme, name, value in identifiers),
        *(_external(scheme, "", value, symbol, ids) for scheme, value in entry.extras.identifiers),
        id=symbol,
        mimeType=entry.mime_type,
        objectType=DOCUMENT_OBJECT,
        **_own_attributes(entry.extras),
    )


def _document_slots(entry: DocumentEntry, file_name: str, content: bytes) -> list[etree._Element]:
    where = "DocumentEntry"
    # SHA-1 is what ITI TF-3 §4.2.3.2.10 wants: an integrity check of the stored file, not a security measure.
    digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    slots = [
        _slot("URI", file_name),
        _slot("hash", digest),
        _slot("size", str(len(content))),
        _slot("creationTime", utc_time(entry.created, f"{where}.creationTime")),
        _slot("languageCode", required(entry.language, f"{where}.languageCode")),
    ]
    if entry.legal_authenticator is not None:
        slots.append(_slot("legalAuthenticator", write_xcn(entry.legal_authenticator, f"{where}.legalAuthenticator")))
    if entry.service_start:
        slots.append(_slot("serviceStartTime", utc_time(entry.service_start, f"{where}.serviceStartTime")))
    if entry.service_stop:
        slots.append(_slot("serviceStopTime", utc_time(entry.service_stop, f"{where}.serviceStopTime")))
    source_number = entry.patient.source_number or entry.patient.number
    if source_number is not None:
        slots.append(_slot("sourcePatientId", write_cx(source_number)))
    slots.append(_slot("sourcePatientInfo", *write_patient_info(entry.patient)))
    if entry.references:
        slots.append(_slot(REFERENCES_SLOT, *(write_reference(reference) for reference in entry.references)))
    if entry.action is not None:
        slots.append(_slot(ACTION_SLOT, entry.action.value))
    return slots


def _extra_slots(extras: Extras) -> list[etree._Element]:
    return [_slot(required(slot.name, "extras"), *slot.values) for slot in extras.slots]


def _description_and_version(comments: str, extras: Extras) -> list[etree._Element]:
    parts = [_rim("Description", _localized(comments))] if comments else []
    return [*parts, _rim("VersionInfo", versionName=extras.version)] if extras.version else parts


def _own_attributes(extras: Extras) -> dict[str, str]:
    known = {"lid": extras.logical_id, "home": extras.home, "status": extras.status}
    return {name: value for name, value in known.items() if value}


def _association(kind: str, source: str, target: str, links: count[int], *slots: etree._Element) -> etree._Element:
    return _rim("Association", *slots, id=f"as{next(links)}", associationType=kind, sourceObject=source, targetObject=target)


def _author(author: Author, scheme: str, symbol: str, ids: count[int], where: str) -> etree._Element:
    values: dict[str, list[str]] = {}
    if author.institution is not None:
        values["authorInstitution"] = [write_xon(author.institution)]
    if author.person is not None:
        values["authorPerson"] = [write_xcn(author.person, f"{where}.authorPerson")]
    if author.role:
        values["authorRole"] = [author.role]
    if author.specialty is not None and author.specialty.code:
        values["authorSpecialty"] = [write_specialty(author.specialty)]
    for slot in author.further:
        values.setdefault(slot.name, []).extend(slot.values)
    if not values:
        raise MetadataError("xdm.required", "an author has a person or an institution", where=f"{where}.author")
    slots = [_slot(name, *found) for name, found in values.items()]
    return _rim(
        "Classification", *slots, id=f"c{next(ids)}", classificationScheme=scheme, classifiedObject=symbol, nodeRepresentation=""
    )


def _coded(value: Coded, scheme: str, symbol: str, ids: count[int], where: str) -> etree._Element:
    return _rim(
        "Classification",
        _slot("codingScheme", required(value.scheme, where)),
        _name(value.label or value.code),
        id=f"c{next(ids)}",
        classificationScheme=scheme,
        classifiedObject=symbol,
        nodeRepresentation=_short(required(value.code, where), where),
    )


def _external(scheme: str, name: str, value: str, symbol: str, ids: count[int]) -> etree._Element:
    return _rim(
        "ExternalIdentifier",
        *([_name(name)] if name else []),
        id=f"e{next(ids)}",
        registryObject=symbol,
        identificationScheme=scheme,
        value=_short(value, name or "identifier"),
    )


def _slot(name: str, *values: str) -> etree._Element:
    return _rim("Slot", _rim("ValueList", *(_text(RIM, "Value", _short(value, name)) for value in values)), name=name)


def _name(label: str) -> etree._Element:
    return _rim("Name", _localized(label))


def _localized(text: str) -> etree._Element:
    if len(text) > _LONGEST_TEXT:
        raise MetadataError("xdm.too-long", f"a text has at most {_LONGEST_TEXT} characters", where="LocalizedString")
    return _rim("LocalizedString", value=text)


def _short(value: str, where: str) -> str:
    if len(value) > _LONGEST_VALUE:
        raise MetadataError("xdm.too-long", f"a value has at most {_LONGEST_VALUE} characters", where=where)
    return value


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
