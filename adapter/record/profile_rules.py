"""What the profiles want of a document's metadata and of a submission set, beside R4's own shape.

Law: PDSm 3.1.1 (`pdsm-comprehensive-*`, `pdsm-simplified-publish`) on MHD 4.2.3 comprehensive metadata. Actors are contained
resources. Identifiers: the unique id is the one of use `usual` (4.2.3) or of type `uniqueId` (4.2.4 draft). Every fault is
told at once. Codes of French value sets are extensible or preferred: they are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapter.fhir import profiles as p
from adapter.fhir.reading import extension
from adapter.fhir.validate import Level, validate_bundle
from adapter.model.finding import Finding
from adapter.record.refusals import finding

Resource = Mapping[str, Any]

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
MHD = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
PDSM_BUNDLE = PDSM + "pdsm-comprehensive-provide-document-bundle"
MHD_BUNDLE = MHD + "IHE.MHD.Comprehensive.ProvideBundle"
PDSM_DOCUMENT = PDSM + "pdsm-comprehensive-document-reference"
PDSM_SIMPLIFIED = PDSM + "pdsm-simplified-publish"
MHD_SIMPLIFIED = MHD + "IHE.MHD.SimplifiedPublish.DocumentReference"
TRANSACTION_PROFILES = frozenset({PDSM_BUNDLE, MHD_BUNDLE})
SIMPLIFIED_PROFILES = frozenset({PDSM_SIMPLIFIED, MHD_SIMPLIFIED})
IS_ARCHIVED = PDSM + "pdsm-ext-is-archived"
DESIGNATION_TYPE = MHD + "ihe-designationType"
SOURCE_ID = MHD + "ihe-sourceId"
AUTHOR_ORG = MHD + "ihe-authorOrg"

_DOCUMENT_WANTS = (
    "masterIdentifier.value", "type", "category", "subject", "date", "author", "securityLabel", "content.format",
    "content.attachment.contentType", "content.attachment.language", "content.attachment.title", "content.attachment.creation",
    "context.period.start", "context.facilityType", "context.practiceSetting", "context.sourcePatientInfo",
)  # fmt: skip
# MHD alone knows no custodian, and leaves size and hash to the server when it is published simply.
_PDSM_WANTS = ("custodian",)
_PROVIDED_WANTS = ("content.attachment.url", "content.attachment.size", "content.attachment.hash")
_SET_WANTS = ("identifier", "subject", "date", "source")
_URI = re.compile(r"urn:(oid:[0-2](\.(0|[1-9][0-9]*))+|uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_OID_URI = re.compile(r"urn:oid:[0-2](\.(0|[1-9][0-9]*))+")


def profiles_of(resource: Resource) -> frozenset[str]:
    """The profiles that a resource declares, without their versions."""
    meta = resource.get("meta")
    declared = meta.get("profile") if isinstance(meta, dict) else ()
    return frozenset(str(one).partition("|")[0] for one in declared or ())


def shape_faults(resource: dict[str, Any], place: str) -> Iterator[Finding]:
    """Where a resource is not R4."""
    for fault in validate_bundle(resource, Level.SHAPE):
        code = "record.ins-key" if fault.code == "ins.wrong-key" else "record.shape"
        yield finding(code, f"{place}.{fault.location}" if fault.location else place)


def document_faults(document: Resource, place: str, *, is_pdsm: bool, is_provided: bool) -> Iterator[Finding]:
    """What is wrong with a DocumentReference whose shape is right."""
    wants = (*_DOCUMENT_WANTS, *(_PDSM_WANTS if is_pdsm else ()), *(_PROVIDED_WANTS if is_provided else ()))
    yield from _missing(document, wants, place)
    if len(document.get("content") or ()) != 1:
        yield finding("record.value", f"{place}.content")
    if document.get("status") != "current":
        yield finding("record.value", f"{place}.status")
    unique = document.get("masterIdentifier") or {}
    if unique and (unique.get("system") not in (p.URI_SYSTEM, None) or not _URI.fullmatch(str(unique.get("value", "")))):
        yield finding("record.value", f"{place}.masterIdentifier")
    if is_provided and "data" in attachment_of(document):
        yield finding("record.value", f"{place}.content[0].attachment.data")
    if sum(one.get("code") == "replaces" for one in document.get("relatesTo") or ()) > 1:
        yield finding("record.value", f"{place}.relatesTo")
    yield from _not_contained(document, place)


def _not_contained(document: Resource, place: str) -> Iterator[Finding]:
    """Actors travel inside (MHD comprehensive: aggregation contained)."""
    contained = {f"#{one.get('id')}" for one in document.get("contained") or ()}
    context = document.get("context") or {}
    actors = [(f"author[{n}]", one) for n, one in enumerate(document.get("author") or ())]
    actors += [("authenticator", document.get("authenticator")), ("context.sourcePatientInfo", context.get("sourcePatientInfo"))]
    for where, reference in actors:
        if reference is not None and reference.get("reference") not in contained:
            yield finding("record.reference", f"{place}.{where}")


def set_faults(submission_set: Resource, place: str) -> Iterator[Finding]:
    """What is wrong with a submission set whose shape is right."""
    yield from _missing(submission_set, _SET_WANTS, place)
    for url, key in ((DESIGNATION_TYPE, "valueCodeableConcept"), (SOURCE_ID, "valueIdentifier")):
        if key not in extension(submission_set, url):
            yield finding("record.required", f"{place}.extension")
    for key, value in (("status", "current"), ("mode", "working")):
        if submission_set.get(key) != value:
            yield finding("record.value", f"{place}.{key}")
    if not _OID_URI.fullmatch(unique_id_of(submission_set)):
        yield finding("record.value", f"{place}.identifier")


def unique_id_of(submission_set: Resource) -> str:
    """A set's or folder's unique id, by `use` or by `type`; empty without."""
    for identifier in submission_set.get("identifier") or ():
        typed = {coding.get("code") for coding in (identifier.get("type") or {}).get("coding") or ()}
        if "uniqueId" in typed or (not typed and identifier.get("use") == "usual"):
            return str(identifier.get("value", ""))
    return ""


def list_kind(resource: Resource) -> str:
    """`submissionset`, `folder`, or empty."""
    codes = {coding.get("code") for coding in (resource.get("code") or {}).get("coding") or ()}
    return next((kind for kind in ("submissionset", "folder") if kind in codes), "")


def attachment_of(document: Resource) -> Mapping[str, Any]:
    """The attachment of the only content; empty without."""
    contents = document.get("content") or [{}]
    found: Mapping[str, Any] = contents[0].get("attachment") or {}
    return found


def _missing(resource: Resource, paths: tuple[str, ...], place: str) -> Iterator[Finding]:
    for path in paths:
        if not _holds(resource, path.split(".")):
            yield finding("record.required", f"{place}.{path}")


def _holds(node: Any, steps: list[str]) -> bool:
    if isinstance(node, list):
        return bool(node) and _holds(node[0], steps)
    if not steps:
        return node not in (None, "", {}, [])
    return isinstance(node, dict) and _holds(node.get(steps[0]), steps[1:])
