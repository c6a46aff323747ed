"""`tdu validate`: says which and what is wrong with a file, whatever it is: HL7 v2, CDA, FHIR, form, IHE_XDM.zip. Pure."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from datetime import datetime

from lxml import etree

from adapter.errors import InputError
from adapter.fhir.locate import located
from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.detect import detect_content
from adapter.formats.hl7v2 import read_message
from adapter.formats.hl7v2_structure import check_structure
from adapter.mapping.from_adt import is_adt
from adapter.model.effects import Parked, Translation
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.receipt import Arrival, ContentKind
from adapter.offline import arrival_of, effects_of, inspect, translate, translate_identity

_RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"
LARGEST_ARCHIVE_BYTES = 100_000_000
# What the door itself did not look into is not looked into here either.
_NOT_LOOKED_INTO = frozenset({"hl7.not-hl7", "hl7.too-many-parts"})
_UNREADABLE = (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def validate_file(content: bytes, form: str, zone: str, now: datetime) -> tuple[Finding, ...]:
    """Every finding on one file; InputError when nobody can say what it is."""
    if content[:4] == b"PK\x03\x04":
        return check_archive(content)
    resource = _fhir_resource(content)
    if resource is not None and resource.get("resourceType") != "QuestionnaireResponse":
        return validate_bundle(resource, Level.FULL)
    arrival = arrival_of(content, b"", now, form, zone)
    kind, findings = inspect(arrival)
    if kind is ContentKind.HL7V2 and not any(f.code in _NOT_LOOKED_INTO for f in findings):
        findings += check_structure(read_message(content))
    if is_adt(content) and not errors_of(findings):
        return tuple(dict.fromkeys((*findings, *_identity_findings(arrival))))
    if kind is ContentKind.MAIL and not errors_of(findings):
        return tuple(dict.fromkeys((*findings, *_mail_findings(arrival))))
    if not errors_of(findings):
        for translation in translate(arrival):
            findings += _document_findings(translation)
    return tuple(dict.fromkeys(findings))


def _document_findings(translation: Translation) -> tuple[Finding, ...]:
    wrong = validate_bundle(translation.bundle, Level.FULL)
    return translation.findings + located(wrong, translation.bundle, translation.source_map)


def _mail_findings(arrival: Arrival) -> tuple[Finding, ...]:
    """What is wrong with a mail's documents, why something of it would wait for a person, or that it holds no document."""
    found: tuple[Finding, ...] = ()
    effects = effects_of(arrival, ContentKind.MAIL)
    for effect in effects:
        if isinstance(effect, Translation):
            found += _document_findings(effect)
        elif isinstance(effect, Parked):
            found += (_error(effect.reason, effect.advice, "courriel"),)
        else:
            text = f"A mail without document ({type(effect).__name__})."
            found += (Finding(Severity.INFORMATION, "mail.no-document", text, "courriel"),)
    return found


def _identity_findings(arrival: Arrival) -> tuple[Finding, ...]:
    """What is wrong with the FHIR of an ADT message; an event that is about no patient makes none."""
    try:
        made = translate_identity(arrival)
    except InputError:
        return ()
    return (*made.findings, *validate_bundle(made.bundle, Level.FULL))


def kind_in_words(content: bytes, form: str) -> str:
    """Which kind of file it was taken for."""
    if content[:4] == b"PK\x03\x04":
        return "IHE_XDM.zip"
    resource = _fhir_resource(content)
    if resource is not None:
        return f"FHIR {resource['resourceType']}"
    kind = ContentKind.FORM if form else detect_content(content)
    return {ContentKind.HL7V2: "HL7 v2", ContentKind.CDA: "CDA", ContentKind.FORM: "form", ContentKind.MAIL: "mail"}.get(
        kind, "unknown"
    )


def _fhir_resource(content: bytes) -> dict[str, object] | None:
    if not content.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        return None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and isinstance(data.get("resourceType"), str) else None


def check_archive(content: bytes) -> tuple[Finding, ...]:
    """An IHE_XDM.zip: its METADATA.XML is there, and each document is there with the hash and size that it announces."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_ARCHIVE_BYTES:
                return (_error("xdm.too-large", "The archive unpacks to too much.", "IHE_XDM.zip"),)
            files = {name.replace("\\", "/").upper(): archive.read(name) for name in archive.namelist()}
    except _UNREADABLE as error:
        return (_error("xdm.not-a-zip", f"The archive cannot be read ({type(error).__name__}).", "IHE_XDM.zip"),)
    found = [
        _error("xdm.no-file", "The archive lacks a file that ITI-32 wants.", name)
        for name in ("README.TXT", "INDEX.HTM")
        if name not in files
    ]
    sets = [name for name in files if name.endswith("/METADATA.XML")]
    if not sets:
        found.append(_error("xdm.no-metadata", "The archive holds no METADATA.XML.", "IHE_XDM/SUBSET01/METADATA.XML"))
    for name in sets:
        found.extend(_check_set(name, files))
    return tuple(found)


def _check_set(name: str, files: dict[str, bytes]) -> list[Finding]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(files[name], parser)
    except etree.XMLSyntaxError:
        return [_error("xdm.metadata-not-xml", "METADATA.XML is not well-formed.", name)]
    if root.getroottree().docinfo.internalDTD is not None:
        return [_error("xdm.doctype", "METADATA.XML has a DOCTYPE.", name)]
    folder = name.rpartition("/")[0]
    found: list[Finding] = []
    for entry in root.iter(f"{_RIM}ExtrinsicObject"):
        slots = {slot.get("name"): slot.findtext(f".//{_RIM}Value") or "" for slot in entry.iter(f"{_RIM}Slot")}
        document = files.get(f"{folder}/{slots.get('URI', '')}".upper())
        place = f"{folder}/{slots.get('URI', '?')}"
        if document is None:
            found.append(_error("xdm.no-document", "A document announced by METADATA.XML is absent.", place))
            continue
        if slots.get("hash", "").lower() != hashlib.sha1(document, usedforsecurity=False).hexdigest():
            found.append(_error("xdm.wrong-hash", "A document is not the one that METADATA.XML announces.", place))
        if slots.get("size") != str(len(document)):
            found.append(_error("xdm.wrong-size", "A document has not the announced size.", place))
    return found


def _error(code: str, text: str, location: str) -> Finding:
    return Finding(Severity.ERROR, code, text, location)
