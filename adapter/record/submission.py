"""Reads an ITI-65 transaction or an ITI-105 document whole, before anything is looked for: every fault is told at once. Pure.

Law: MHD 4.2.3 §2:3.65, §2:3.105; PDSm 3.1.1. One submission set names every document; each document has its bytes in the same
transaction; all speak of one patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter.fhir import profiles as p
from adapter.formats.fhir import FhirLimits
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding
from adapter.record import profile_rules as rules
from adapter.record.content import (
    Content,
    attachment_faults,
    binary_content,
    is_ins_system,
    matricules_in,
    matricules_of,
)
from adapter.record.entries import Entry, read_transaction
from adapter.record.references import entries_by_name, names_of, references_in
from adapter.record.refusals import RecordRefusal, finding, refused

Resource = dict[str, Any]

# What a transaction may ask for, by resource type.
_METHODS: Mapping[str, frozenset[str]] = {
    "List": frozenset({"POST"}),
    "DocumentReference": frozenset({"POST"}),
    "Patient": frozenset({"POST"}),
    # A Binary has no identifier to search by: some sources put it under an id of theirs, so that a repeat leaves one copy.
    # A Binary that is a PATCH holds a JSON Patch (R4 §3.1.0.11.1).
    "Binary": frozenset({"POST", "PUT", "PATCH"}),
    "Bundle": frozenset({"POST"}),
    "Parameters": frozenset({"PATCH"}),
}


@dataclass(frozen=True, repr=False)
class Subject(Confidential):
    """Whom it is about: traits that were joined, or the id of a patient held here, or a matricule."""

    place: str
    traits: Resource | None = None
    held_id: str = ""
    matricule: str = ""


@dataclass(frozen=True, repr=False)
class Document(Confidential):
    """One document: its metadata, their place, its bytes, and which entries they came in (-1: within the metadata)."""

    metadata: Resource
    place: str
    content: Content
    rank: int
    content_rank: int
    condition: str = ""


@dataclass(frozen=True, repr=False)
class Submission(Confidential):
    """A transaction that can be taken if the record agrees. `told` are the matricules that its parts name, with their places."""

    entries: tuple[Entry, ...]
    lists: tuple[Entry, ...]
    documents: tuple[Document, ...]
    amendments: tuple[Entry, ...]
    patient_entry: Entry | None
    subject: Subject | None
    told: tuple[tuple[str, str], ...]
    # The transaction of MHD that this is, for the trace.
    transaction: str = "ITI-65"


def read_submission(body: bytes, limits: FhirLimits) -> Submission:
    """An ITI-65 transaction. InputError (no JSON, no resource) or RecordRefusal with all findings."""
    bundle, entries = read_transaction(body, limits)
    declared = rules.profiles_of(bundle)
    # MHD has a profile for what brings documents, and for a change of status; a wider change is plain FHIR.
    is_plain = not declared and all(entry.method == "PATCH" or entry.kind == "List" for entry in entries)
    if not declared & rules.TRANSACTION_PROFILES and not is_plain:
        raise refused("record.profile-missing", "Bundle.meta.profile")
    _raise(_structure_faults(entries))
    documents: list[Document] = []
    _raise([*_metadata_faults(entries, is_pdsm=rules.PDSM_BUNDLE in declared), *_joined(entries, documents)])
    _raise(_reference_faults(entries))
    subject = _one_subject(entries)
    return Submission(
        entries=tuple(entries),
        lists=tuple(entry for entry in entries if entry.kind == "List"),
        documents=tuple(documents),
        amendments=tuple(entry for entry in entries if entry.method == "PATCH"),
        patient_entry=next((entry for entry in entries if entry.kind == "Patient"), None),
        subject=subject,
        told=tuple(_told(subject, documents)),
    )


def read_simple(document: Resource, raw_entry: Entry) -> Submission:
    """An ITI-105 document: one DocumentReference whose bytes are in it. The entry stands for the request."""
    declared = rules.profiles_of(document)
    if not declared & rules.SIMPLIFIED_PROFILES:
        raise refused("record.profile-missing", "DocumentReference.meta.profile")
    _raise(list(rules.shape_faults(document, "DocumentReference")))
    faults = list(
        rules.document_faults(document, "DocumentReference", is_pdsm=rules.PDSM_SIMPLIFIED in declared, is_provided=False)
    )
    attachment = rules.attachment_of(document)
    place = "DocumentReference.content[0].attachment"
    content = binary_content({"contentType": attachment.get("contentType", ""), "data": attachment.get("data")})
    if content is None or "data" not in attachment:
        _raise([*faults, finding("record.attachment-missing", f"{place}.data")])
        raise AssertionError("a fault was told")
    _raise([*faults, *attachment_faults(attachment, content, place)])
    documents = [Document(document, "DocumentReference", content, raw_entry.rank, -1, raw_entry.condition)]
    subject = _subject_of(document, "DocumentReference", [])
    told = tuple(_told(subject, documents))
    return Submission((raw_entry,), (), tuple(documents), (), None, subject, told, "ITI-105")


def _raise(faults: Sequence[Finding]) -> None:
    if faults:
        raise RecordRefusal(faults)


# ── structure ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _structure_faults(entries: Sequence[Entry]) -> list[Finding]:
    faults: list[Finding] = []
    seen: set[str] = set()
    for entry in entries:
        where = f"{entry.place}.resource"
        if entry.kind not in _METHODS:
            faults.append(finding("record.resource-kind", where))
            continue
        if entry.method not in _METHODS[entry.kind] or not _is_addressed(entry):
            faults.append(finding("record.method", f"{entry.place}.request"))
        if entry.full_url and entry.full_url in seen:
            faults.append(finding("record.structure", f"{entry.place}.fullUrl"))
        seen.add(entry.full_url)
        # A document is kept as it is: its own rules are its author's business.
        faults += rules.shape_faults(entry.resource, where) if entry.kind != "Bundle" else _document_bundle_faults(entry)
    if sum(entry.kind == "Patient" for entry in entries) > 1:
        faults.append(finding("record.other-patient", "Bundle.entry"))
    return faults


def _is_addressed(entry: Entry) -> bool:
    """A create names the type, a put its own place, an amendment the document."""
    address = entry.url.partition("?")[0]
    if entry.method == "POST":
        return entry.url == entry.kind
    return address.split("/")[0] == ("DocumentReference" if entry.method == "PATCH" else entry.kind)


def _document_bundle_faults(entry: Entry) -> list[Finding]:
    first = next(iter(entry.resource.get("entry") or ()), None)
    composition = first.get("resource") if isinstance(first, dict) else None
    is_composed = isinstance(composition, dict) and composition.get("resourceType") == "Composition"
    if is_composed and entry.resource.get("type") == "document":
        return []
    return [finding("record.not-a-document", f"{entry.place}.resource.type")]


# ── metadata, and what belongs together ────────────────────────────────────────────────────────────────────────────


def _metadata_faults(entries: Sequence[Entry], *, is_pdsm: bool) -> Iterator[Finding]:
    documents = [entry for entry in entries if entry.kind == "DocumentReference"]
    sets = [entry for entry in entries if rules.list_kind(entry.resource) == "submissionset"]
    for entry in documents:
        yield from rules.document_faults(entry.resource, f"{entry.place}.resource", is_pdsm=is_pdsm, is_provided=True)
    for entry in entries:
        if entry.kind == "List" and not rules.list_kind(entry.resource):
            yield finding("record.value", f"{entry.place}.resource.code")
    for entry in sets:
        yield from rules.set_faults(entry.resource, f"{entry.place}.resource")
    amends_only = not documents and any(entry.method == "PATCH" for entry in entries)
    if (not documents and not amends_only) or (len(sets) != 1 and not amends_only):
        yield finding("record.set", "Bundle.entry")
    elif sets:
        named = {target for _, target in _items(sets[0])}
        for entry in documents:
            if not named & set(names_of(entry)):
                yield finding("record.set", f"{entry.place}.resource")


def _items(listed: Entry) -> Iterator[tuple[int, str]]:
    for rank, item in enumerate(listed.resource.get("entry") or ()):
        yield rank, str(item.get("item", {}).get("reference", ""))


def _joined(entries: Sequence[Entry], documents: list[Document]) -> Iterator[Finding]:
    """Each document with its bytes; every joined content belongs to one."""
    by_name = entries_by_name(entries)
    used: set[int] = set()
    for entry in entries:
        if entry.kind != "DocumentReference":
            continue
        attachment = rules.attachment_of(entry.resource)
        place = f"{entry.place}.resource.content[0].attachment"
        target = by_name.get(str(attachment.get("url", "")))
        content = _content_of(target)
        if target is None or content is None:
            yield finding("record.attachment-missing", f"{place}.url")
            continue
        used.add(target.rank)
        yield from attachment_faults(attachment, content, place)
        documents.append(Document(entry.resource, f"{entry.place}.resource", content, entry.rank, target.rank, entry.condition))
    for entry in entries:
        if entry.kind in ("Binary", "Bundle") and entry.method != "PATCH" and entry.rank not in used:
            yield finding("record.attachment-unused", f"{entry.place}.resource")


def _content_of(entry: Entry | None) -> Content | None:
    if entry is None or entry.kind not in ("Binary", "Bundle"):
        return None
    return binary_content(entry.resource) if entry.kind == "Binary" else Content("Bundle", "application/fhir+json", entry.raw)


def _reference_faults(entries: Sequence[Entry]) -> list[Finding]:
    """References by URN must lead to an entry; others may lead into the record, which is looked at later."""
    known = entries_by_name(entries)
    return [
        finding("record.reference", f"{entry.place}.resource.{place}")
        for entry in entries
        if entry.kind in ("List", "DocumentReference", "Patient")
        for place, target in references_in(entry.resource)
        if target.startswith("urn:") and target not in known
    ]


# ── whom it is about ───────────────────────────────────────────────────────────────────────────────────────────────


def _one_subject(entries: Sequence[Entry]) -> Subject | None:
    """The same for sets, folders and documents; None when nothing but amendments is asked."""
    subjects = [
        _subject_of(entry.resource, f"{entry.place}.resource", entries)
        for entry in entries
        if entry.kind in ("List", "DocumentReference")
    ]
    faults = [
        finding("record.other-patient", f"{one.place}.subject")
        for one in subjects
        if (one.traits, one.held_id, one.matricule) != (subjects[0].traits, subjects[0].held_id, subjects[0].matricule)
    ]
    _raise(faults)
    return subjects[0] if subjects else None


def _subject_of(resource: Resource, place: str, entries: Sequence[Entry]) -> Subject:
    subject = resource.get("subject") or {}
    target = str(subject.get("reference", ""))
    if target.startswith("#"):
        inside: Resource = next((one for one in resource.get("contained") or () if f"#{one.get('id')}" == target), {})
        if inside.get("resourceType") == "Patient":
            return Subject(place, traits={key: value for key, value in inside.items() if key != "id"})
    entry = entries_by_name(entries).get(target)
    if entry is not None and entry.kind == "Patient":
        return Subject(place, traits=entry.resource)
    if target:
        kind, _, held_id = "/".join(target.split("/")[-2:]).partition("/")
        if kind == "Patient" and held_id:
            return Subject(place, held_id=held_id)
    identifier = subject.get("identifier") or {}
    if is_ins_system(str(identifier.get("system", ""))) and identifier.get("value"):
        return Subject(place, matricule=str(identifier["value"]))
    raise refused("record.patient-missing", f"{place}.subject")


def _told(subject: Subject | None, documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Every matricule that a part names, and where."""
    if subject is not None and subject.traits is not None:
        for matricule in matricules_of(subject.traits):
            yield f"{subject.place}.subject", matricule
    for document in documents:
        source = ((document.metadata.get("context") or {}).get("sourcePatientInfo") or {}).get("reference")
        for inside in document.metadata.get("contained") or ():
            if inside.get("resourceType") == "Patient" and f"#{inside.get('id')}" == source:
                for matricule in matricules_of(inside):
                    yield f"{document.place}.context.sourcePatientInfo", matricule
        for matricule in matricules_in(document.content):
            yield f"{document.place}.content[0].attachment", matricule


def unique_id(document: Mapping[str, Any]) -> str:
    """A document's unique id, as it is compared."""
    return str((document.get("masterIdentifier") or {}).get("value", "")).lower()


def official_ins(patient: Mapping[str, Any]) -> tuple[str, str]:
    """System and value of the matricule that counts: the official one, else the only one; empty when there is none."""
    held = [
        one
        for one in patient.get("identifier") or ()
        if isinstance(one, dict) and is_ins_system(str(one.get("system", ""))) and one.get("value")
    ]
    official = [one for one in held if one.get("use") == "official"] or held
    return (str(official[0]["system"]), str(official[0]["value"])) if len(official) == 1 else ("", "")


LITERAL = p.EXT_ORIGINAL_LITERAL
