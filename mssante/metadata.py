"""Reads METADATA.XML into the values of `entries`, whatever its prefixes, with a finding for each thing that is not in order.

Nothing of a readable METADATA.XML is dropped: what has no field stands in `Extras`, `Author.further` or `Patient.further`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from lxml import etree

from mssante.entries import (
    ACTION_SLOT,
    DOCUMENT_AUTHOR,
    DOCUMENT_CLASS,
    DOCUMENT_CONFIDENTIALITY,
    DOCUMENT_EVENT,
    DOCUMENT_FACILITY,
    DOCUMENT_FORMAT,
    DOCUMENT_PATIENT_ID,
    DOCUMENT_PRACTICE,
    DOCUMENT_TYPE,
    DOCUMENT_UNIQUE_ID,
    HAS_MEMBER,
    NO_CODE,
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
    Patient,
    PatientNumber,
    Relation,
    Slot,
    SubmissionSet,
)
from mssante.findings import Finding
from mssante.hl7_values import (
    read_cx,
    read_instant,
    read_patient_info,
    read_reference,
    read_specialty,
    read_time,
    read_xcn,
    read_xon,
)
from mssante.safe_xml import local_name

# The digest's name, and what other writers call it: `action`, `urn:…:action`, on the document, its membership or the set.
_ACTION_NAME = re.compile(r"(^|[:._-])action($|[:._-])", re.IGNORECASE)
_FOLDER_NODE = "urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")


@dataclass(frozen=True, repr=False)
class DescribedDocument:
    """A document as METADATA.XML describes it, and the file that it says to be: name, hash (lower case) and size, if said."""

    entry: DocumentEntry
    uri: str
    hash: str
    size: int | None


@dataclass(frozen=True, repr=False)
class Metadata:
    """One METADATA.XML: its set, if it has one, its documents in order, and what was noticed."""

    submission_set: SubmissionSet | None
    documents: tuple[DescribedDocument, ...]
    findings: tuple[Finding, ...]


def read_metadata(root: etree._Element) -> Metadata:
    """METADATA.XML, already parsed. Never raises: what is missing is empty and has a finding."""
    noted: list[Finding] = []
    registry = _Registry.of(root, noted)
    documents = [_document(node, registry, noted, f"document {n}") for n, node in enumerate(registry.documents, start=1)]
    noted.extend(registry.strange_links())
    submission = _submission_set(registry, noted) if registry.package is not None else None
    if submission is None:
        noted.append(Finding("submission-set-missing"))
    else:
        submission = _with_traits(submission, documents)
    return Metadata(submission, tuple(documents), tuple(noted))


def _with_traits(submission: SubmissionSet, documents: list[DescribedDocument]) -> SubmissionSet:
    patients = {document.entry.patient.number: document.entry.patient for document in reversed(documents)}
    if len(patients) > 1 or (patients and submission.patient.number not in patients):
        return submission
    return replace(submission, patient=patients.get(submission.patient.number, submission.patient))


# ── the objects of the registry list ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Registry:
    """The objects of the list, and the classifications and identifiers that stand beside their object instead of in it."""

    package: etree._Element | None
    documents: list[etree._Element]
    associations: list[etree._Element]
    beside: dict[str, list[etree._Element]] = field(default_factory=dict)

    @staticmethod
    def of(root: etree._Element, noted: list[Finding]) -> _Registry:
        objects = next(
            (node for node in root.iter() if local_name(node) in ("RegistryObjectList", "LeafRegistryObjectList")), None
        )
        if objects is None:
            noted.append(Finding("registry-list-missing", local_name(root)))
            return _Registry(None, [], [])
        if etree.QName(objects).namespace != RIM:
            noted.append(Finding("namespace-unexpected", local_name(objects)))
        named: dict[str, list[etree._Element]] = {}
        for node in objects:
            named.setdefault(local_name(node), []).append(node)
        beside: dict[str, list[etree._Element]] = {}
        for node in (*named.pop("Classification", []), *named.pop("ExternalIdentifier", [])):
            beside.setdefault(node.get("classifiedObject") or node.get("registryObject") or "", []).append(node)
        documents, packages = named.pop("ExtrinsicObject", []), named.pop("RegistryPackage", [])
        registry = _Registry(None, documents, named.pop("Association", []), beside)
        sets = [package for package in packages if not registry.is_folder(package)]
        noted.extend(Finding("object-ignored", f"folder {n}") for n in range(1, len(packages) - len(sets) + 1))
        noted.extend(Finding("object-ignored", name) for name in named if name != "ObjectRef")
        if len(sets) > 1:
            noted.append(Finding("several-submission-sets", str(len(sets))))
        return replace(registry, package=next(iter(sets), None))

    def children(self, node: etree._Element, name: str) -> Iterator[etree._Element]:
        """The classifications or identifiers of an object, inside it or beside it."""
        return (child for child in chain(node, self.beside.get(node.get("id", ""), ())) if local_name(child) == name)

    def is_folder(self, package: etree._Element) -> bool:
        nodes = {child.get("classificationNode") for child in self.children(package, "Classification")}
        return _FOLDER_NODE in nodes and SET_NODE not in nodes

    def links(self, node: etree._Element) -> list[etree._Element]:
        return [link for link in self.associations if link.get("sourceObject") == node.get("id")]

    def strange_links(self) -> Iterator[Finding]:
        """Memberships of documents that are not here, and links between objects that are not here."""
        ours = {node.get("id") for node in self.documents}
        package = self.package.get("id") if self.package is not None else None
        for n, link in enumerate(self.associations, start=1):
            source, target = link.get("sourceObject"), link.get("targetObject")
            if (source == package and target not in ours) or (source != package and source not in ours):
                yield Finding("association-unresolved", f"association {n}")

    def membership(self, node: etree._Element) -> etree._Element | None:
        members = (link for link in self.associations if link.get("targetObject") == node.get("id"))
        return next((link for link in members if link.get("associationType", "").endswith("HasMember")), None)


@dataclass(frozen=True)
class _Object:
    """One RegistryPackage or ExtrinsicObject taken apart; what is taken is no extra."""

    where: str
    slots: dict[str, list[str]]
    codes: dict[str, list[etree._Element]]
    identifiers: dict[str, list[str]]
    noted: list[Finding]
    node: etree._Element

    @staticmethod
    def of(node: etree._Element, registry: _Registry, noted: list[Finding], where: str) -> _Object:
        codes: dict[str, list[etree._Element]] = {}
        for child in registry.children(node, "Classification"):
            scheme = _urn(child.get("classificationScheme") or child.get("classificationNode") or "")
            codes.setdefault(scheme, []).append(child)
        identifiers: dict[str, list[str]] = {}
        for child in registry.children(node, "ExternalIdentifier"):
            scheme = _urn(child.get("identificationScheme", ""))
            identifiers.setdefault(scheme, []).append(child.get("value", "").strip())
        return _Object(where, _slots(node, noted, where), codes, identifiers, noted, node)

    def note(self, code: str, name: str, *, grave: bool = False) -> None:
        self.noted.append(Finding(code, f"{self.where}.{name}", grave))

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self.slots.pop(name, ()))

    def one(self, name: str, *, wanted: bool = False) -> str:
        values = [value.strip() for value in self.slots.pop(name, ()) if value.strip()]
        if len(values) > 1:
            # The others stay readable as an extra.
            self.note("several-values", name)
            self.slots[name] = values[1:]
        if wanted and not values:
            self.note("attribute-missing", name)
        return values[0] if values else ""

    def time(self, name: str, *, wanted: bool = False) -> str:
        value = self.one(name, wanted=wanted)
        read = read_time(value) if value else ""
        if read is None:
            self.note("time-malformed", name)
            self.slots[name] = [value]
        return read or ""

    def identifier(self, scheme: str, name: str) -> str:
        values = self.identifiers.pop(scheme, [])
        if len(values) > 1:
            self.note("several-values", name, grave=True)
            self.identifiers[scheme] = values[1:]
        if not values or not values[0]:
            self.note("attribute-missing", name)
        return values[0] if values else ""

    def code(self, scheme: str, name: str) -> Coded:
        nodes = self.codes.pop(scheme, [])
        if len(nodes) > 1:
            self.note("several-values", name)
            self.codes[scheme] = nodes[1:]
        if not nodes:
            self.note("attribute-missing", name)
        return _coded(nodes[0], self.noted, self.where) if nodes else NO_CODE

    def every_code(self, scheme: str) -> tuple[Coded, ...]:
        return tuple(_coded(node, self.noted, self.where) for node in self.codes.pop(scheme, ()))

    def authors(self, scheme: str) -> tuple[Author, ...]:
        authors = tuple(_author(node, self.noted, self.where) for node in self.codes.pop(scheme, ()))
        if not authors:
            self.note("attribute-missing", "author")
        return authors

    def action(self) -> Action | None:
        """The French extra metadata; any slot whose name has `action` as a word carries it."""
        for name in [ACTION_SLOT, *(slot for slot in self.slots if _ACTION_NAME.search(slot))]:
            value = self.one(name).upper()
            if value in ("C", "D"):
                return Action(value)
            if value:
                self.note("action-unknown", name, grave=True)
                self.slots[name] = [value, *self.slots.get(name, ())]
                return None
        return None

    def extras(self) -> Extras:
        codes = ((scheme, node) for scheme, nodes in self.codes.items() for node in nodes if scheme != SET_NODE)
        return Extras(
            slots=tuple(Slot(name, tuple(values)) for name, values in self.slots.items()),
            codes=tuple(ClassifiedAs(scheme, _coded(node, self.noted, self.where)) for scheme, node in codes),
            identifiers=tuple((scheme, value) for scheme, values in self.identifiers.items() for value in values),
            logical_id=self.node.get("lid", ""),
            home=self.node.get("home", ""),
            status=self.node.get("status", ""),
            version=next((child.get("versionName", "") for child in self.node if local_name(child) == "VersionInfo"), ""),
        )


# ── the set and its documents ───────────────────────────────────────────────────────────────────────────────────────


def _submission_set(registry: _Registry, noted: list[Finding]) -> SubmissionSet | None:
    if registry.package is None:
        return None
    found = _Object.of(registry.package, registry, noted, "SubmissionSet")
    number = _number(found.identifier(SET_PATIENT_ID, "patientId"))
    authors = found.authors(SET_AUTHOR) or (Author(),)
    written = found.one("submissionTime", wanted=True)
    submitted = read_instant(written) if written else None
    if written and submitted is None:
        found.note("time-malformed", "submissionTime")
    found.action()  # read for each document, see _action_of
    return SubmissionSet(
        unique_id=found.identifier(SET_UNIQUE_ID, "uniqueId"),
        source_id=found.identifier(SET_SOURCE_ID, "sourceId"),
        submitted=submitted,
        title=_text(registry.package, "Name"),
        author=authors[0],
        content_type=found.code(SET_CONTENT_TYPE, "contentTypeCode"),
        patient=Patient(number, None, ""),
        further_authors=authors[1:],
        intended_recipients=found.all("intendedRecipient"),
        comments=_text(registry.package, "Description"),
        entry_uuid=_entry_uuid(registry.package),
        extras=found.extras(),
    )


def _document(node: etree._Element, registry: _Registry, noted: list[Finding], where: str) -> DescribedDocument:
    found = _Object.of(node, registry, noted, where)
    uri, digest, size = found.one("URI", wanted=True), found.one("hash", wanted=True), found.one("size", wanted=True)
    if digest and not _SHA1.fullmatch(digest):
        found.note("hash-malformed", "hash")
    entry = DocumentEntry(
        unique_id=found.identifier(DOCUMENT_UNIQUE_ID, "uniqueId"),
        title=_text(node, "Name"),
        created=found.time("creationTime", wanted=True),
        patient=_patient(found),
        authors=found.authors(DOCUMENT_AUTHOR),
        class_code=found.code(DOCUMENT_CLASS, "classCode"),
        type_code=found.code(DOCUMENT_TYPE, "typeCode"),
        format_code=found.code(DOCUMENT_FORMAT, "formatCode"),
        facility_type=found.code(DOCUMENT_FACILITY, "healthcareFacilityTypeCode"),
        practice_setting=found.code(DOCUMENT_PRACTICE, "practiceSettingCode"),
        confidentiality=_confidentiality(found),
        events=found.every_code(DOCUMENT_EVENT),
        legal_authenticator=read_xcn(found.one("legalAuthenticator", wanted=True)),
        service_start=found.time("serviceStartTime"),
        service_stop=found.time("serviceStopTime"),
        language=found.one("languageCode", wanted=True),
        mime_type=node.get("mimeType", ""),
        action=_action_of(found, node, registry),
        comments=_text(node, "Description"),
        references=tuple(read_reference(value) for value in found.all(REFERENCES_SLOT)),
        relations=tuple(_relations(node, registry)),
        entry_uuid=_entry_uuid(node),
        extras=found.extras(),
    )
    return DescribedDocument(entry, uri, digest.lower(), int(size) if re.fullmatch(r"[0-9]{1,15}", size) else None)


def _patient(found: _Object) -> Patient:
    number = _number(found.identifier(DOCUMENT_PATIENT_ID, "patientId"))
    source = _number(found.one("sourcePatientId", wanted=True))
    lines = found.all("sourcePatientInfo")
    if not lines:
        found.note("attribute-missing", "sourcePatientInfo")
    return read_patient_info(lines, number, source)


def _confidentiality(found: _Object) -> tuple[Coded, ...]:
    codes = found.every_code(DOCUMENT_CONFIDENTIALITY)
    if not codes:
        found.note("attribute-missing", "confidentialityCode")
    return codes


def _action_of(found: _Object, node: etree._Element, registry: _Registry) -> Action | None:
    action = found.action()
    for carrier in (registry.membership(node), registry.package):
        if action is None and carrier is not None:
            # Another list of findings: what the set carries is told once, by the set.
            slots = _slots(carrier, [], found.where)
            action = replace(found, slots=slots, noted=[]).action()
    return action


def _relations(node: etree._Element, registry: _Registry) -> Iterator[Relation]:
    for link in registry.links(node):
        if link.get("associationType") != HAS_MEMBER:
            yield Relation(link.get("associationType", "").removeprefix(RELATIONSHIP), link.get("targetObject", ""))


def _number(value: str) -> PatientNumber | None:
    return read_cx(value) if value else None


def _author(node: etree._Element, noted: list[Finding], where: str) -> Author:
    slots = _slots(node, noted, f"{where}.author")
    firsts = {name: slots[name].pop(0) for name in _AUTHOR_SLOTS if slots.get(name)}
    return Author(
        person=read_xcn(firsts.get("authorPerson", "")),
        institution=read_xon(firsts.get("authorInstitution", "")),
        role=firsts.get("authorRole", ""),
        specialty=read_specialty(firsts["authorSpecialty"]) if firsts.get("authorSpecialty", "").strip() else None,
        further=tuple(Slot(name, tuple(values)) for name, values in slots.items() if values),
    )


_AUTHOR_SLOTS = ("authorInstitution", "authorPerson", "authorRole", "authorSpecialty")


# ── ebRIM's small parts ─────────────────────────────────────────────────────────────────────────────────────────────


def _slots(node: etree._Element, noted: list[Finding], where: str) -> dict[str, list[str]]:
    slots: dict[str, list[str]] = {}
    for slot in node:
        if local_name(slot) != "Slot":
            continue
        name = slot.get("name", "")
        if name in slots:
            noted.append(Finding("slot-repeated", f"{where}.{name[:80]}"))
        values = (value.text or "" for value in slot.iter() if local_name(value) == "Value")
        slots.setdefault(name, []).extend(_once_escaped(value, noted, f"{where}.{name[:80]}") for value in values)
    return slots


def _once_escaped(value: str, noted: list[Finding], where: str) -> str:
    # A known generator escapes twice: `&amp;amp;1.2.250…` in the file.
    if "&amp;" not in value:
        return value
    noted.append(Finding("escaped-twice", where))
    return value.replace("&amp;", "&")


def _coded(node: etree._Element, noted: list[Finding], where: str) -> Coded:
    scheme = _slots(node, noted, where).get("codingScheme", [""])
    return Coded(node.get("nodeRepresentation", "").strip(), (scheme or [""])[0].strip(), _text(node, "Name"))


def _text(node: etree._Element, name: str) -> str:
    """Name or Description: French first when several languages are given."""
    named = (child for child in node if local_name(child) == name)
    texts = [text for child in named for text in child if local_name(text) == "LocalizedString"]
    french = (text for text in texts if text.get("{http://www.w3.org/XML/1998/namespace}lang", "").lower().startswith("fr"))
    chosen = next(french, texts[0] if texts else None)
    return chosen.get("value", "") if chosen is not None else ""


def _urn(value: str) -> str:
    # Schemes were seen in upper case and broken by a line end.
    return "".join(value.split()).lower()


def _entry_uuid(node: etree._Element) -> str:
    value = node.get("id", "")
    return value if value.startswith("urn:uuid:") else ""
