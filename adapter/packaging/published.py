"""What a practice sees of a published document: its DocumentReference, under one id whatever happens to it. Pure.

Law: PDSm 3.1.1 on MHD 4.2.3 (ITI-67 answers); blueprint seams 6, 7, 15. The profile wants a content with its address, size and
hash: what is cancelled (`entered-in-error`) or superseded has nothing left to fetch, and does not claim it. What the last
publication told (new, replaced, cancelled, shown otherwise, identity corrected) is a tag; the document's other forms and its
parts are `context.related`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from adapter.fhir import profiles as p
from adapter.fhir.identity import patient_resource
from adapter.fhir.narrative import generated
from adapter.fhir.standing_alone import patient_reference
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.parties import Party
from adapter.model.publication import Publication, PublicationKind
from adapter.model.submission import Submission
from adapter.packaging.mhd import DOCUMENT_REFERENCE_PROFILE
from adapter.packaging.mhd_actors import ContainedActors
from adapter.packaging.mhd_values import (
    ANY_FORMAT,
    class_concept,
    code_uri,
    concept,
    date_time,
    facility_concept,
    format_concept,
    format_of_source,
    instant,
    master_identifier,
    mhd_identifier,
    security_labels,
    setting_concept,
    type_concept,
)
from adapter.packaging.names import READ_ALONE, transaction_id

Resource = dict[str, Any]
CHANGE_CODES = p.OUR_CODES + "publication-change"
_PARIS = ZoneInfo("Europe/Paris")
_STATUS_CANCELLED, _STATUS_SUPERSEDED, _STATUS_CURRENT = "entered-in-error", "superseded", "current"


@dataclass(frozen=True, repr=False)
class Standing(Confidential):
    """All publications of one document that a reader sees, oldest first: which one stands, and what that means."""

    publications: tuple[Publication, ...]

    @property
    def head(self) -> Publication:
        """The one that tells how the document stands: the last that nothing superseded, else the last."""
        fresh = [one for one in self.publications if not one.is_stale]
        return (fresh or list(self.publications))[-1]

    @property
    def key(self) -> str:
        """The document's id for this practice."""
        return self.head.document_key

    @property
    def status(self) -> str:
        """As FHIR says it."""
        if self.head.kind is PublicationKind.CANCEL:
            return _STATUS_CANCELLED
        return _STATUS_SUPERSEDED if self.head.is_stale else _STATUS_CURRENT

    @property
    def has_content(self) -> bool:
        """Whether its content may be fetched: never that of a version that is not the current one."""
        return self.status == _STATUS_CURRENT

    @property
    def version(self) -> int:
        """Grows with each publication, and when a newer document takes its place."""
        return len(self.publications) + sum(one.is_stale for one in self.publications)

    @property
    def changed(self) -> datetime:
        """When it was published last."""
        return max(one.published_at for one in self.publications)

    def fetchable_ids(self) -> list[str]:
        """Publications that are fetched when the content is: all that stand."""
        return [one.id for one in self.publications if not one.is_stale]


def standings(publications: Sequence[Publication]) -> dict[str, Standing]:
    """Publications by document, in the order of their last change."""
    found: dict[str, list[Publication]] = {}
    for one in publications:
        found.setdefault(one.document_key, []).append(one)
    return {key: Standing(tuple(sorted(ones, key=_order))) for key, ones in found.items()}


def _order(one: Publication) -> tuple[datetime, int, int]:
    return one.published_at, one.version, list(PublicationKind).index(one.kind)


def document_reference(standing: Standing, submission: Submission, bundle: Resource) -> Resource:
    """The DocumentReference of one document; `submission` and `bundle` are those of its head."""
    header, published = submission.document, standing.changed.astimezone(_PARIS)
    patient = {key: value for key, value in patient_resource(header.patient, id="patient").items() if key != "id"}
    contained = ContainedActors()
    source_patient = contained.patient(patient)
    authors = [contained.actor(party) for party in header.authors or (Party(organisation=header.custodian),)]
    authenticator = contained.actor(header.legal_authenticator) if header.legal_authenticator else None
    custodian = contained.organisation(header.custodian)
    created = date_time(header.created)
    resource: Resource = {
        "resourceType": "DocumentReference",
        "id": standing.key,
        "meta": _meta(standing, submission),
        "text": generated(header.title or header.type.label or "Document"),
        "contained": contained.resources,
        "masterIdentifier": mhd_identifier("usual", "uniqueId", master_identifier(header.unique_id)),
        "identifier": [mhd_identifier("official", "entryUUID", f"urn:uuid:{standing.key}")],
        "status": standing.status,
        "type": type_concept(header.type),
        "category": [class_concept(header.type.code)],
        "subject": patient_reference(patient),
        "date": created if "T" in created else instant(published),
        "author": authors,
    }
    if authenticator is not None:
        resource["authenticator"] = authenticator
    resource["custodian"] = custodian
    if header.replaces and header.replaces != header.unique_id:
        replaced = {"system": p.URI_SYSTEM, "value": master_identifier(header.replaces)}
        resource["relatesTo"] = [{"code": "replaces", "target": {"type": "DocumentReference", "identifier": replaced}}]
    resource["securityLabel"] = security_labels(header, submission.visibility)
    resource["content"] = [_content(standing, header, published)]
    resource["context"] = _context(standing, header, source_patient, published, bundle)
    return resource


def _meta(standing: Standing, submission: Submission) -> Resource:
    meta: Resource = {
        "versionId": str(standing.version),
        "lastUpdated": standing.changed.astimezone(_PARIS).isoformat(timespec="milliseconds"),
    }
    if standing.has_content:
        meta["profile"] = [DOCUMENT_REFERENCE_PROFILE]
    return meta | {"tag": [{"system": CHANGE_CODES, "code": change_of(standing.head, submission)}]}


def change_of(head: Publication, submission: Submission) -> str:
    """What the last publication told: its kind, or `identity` when the same document came back under another identity."""
    header = submission.document
    is_correction = head.kind is PublicationKind.REPLACE and header.replaces == header.unique_id
    return "identity" if is_correction else head.kind.value


def _content(standing: Standing, header: DocumentHeader, published: datetime) -> Resource:
    """The CDA, as secure mail carries it. Of what is cancelled or replaced nothing is left to fetch: no address."""
    attachment: Resource = {"contentType": "application/xml", "language": header.language or "fr-FR"}
    cda = next((one for one in standing.head.renditions if one.form == "cda"), None)
    if standing.has_content and cda is not None:
        attachment |= {
            "url": f"Binary/{binary_id(standing.head, 'cda')}",
            "size": cda.size,
            "hash": base64.b64encode(bytes.fromhex(cda.sha1)).decode(),
        }
    attachment["title"] = header.title or header.type.label or "Document"
    attachment["creation"] = date_time(header.created) or instant(published)
    written = format_of_source(header)
    return {"attachment": attachment, "format": format_concept(written if written.code else ANY_FORMAT)}


def binary_id(one: Publication, form: str) -> str:
    """The id of one form's Binary: of this publication, so that what was replaced is not handed out under it."""
    return f"{one.id}.{form}"


def _context(
    standing: Standing, header: DocumentHeader, source_patient: Resource, published: datetime, bundle: Resource
) -> Resource:
    context: Resource = {}
    codes = [concept(code_uri(e.code.system), e.code.code, e.code.label) for e in header.service_events if e.code.code]
    if codes:
        context["event"] = codes
    spans = [span for span in (*header.service_events[:1], header.stay) if span is not None and span.start]
    start, end = (spans[0].start, spans[0].end) if spans else (header.created, "")
    context["period"] = {"start": date_time(start) or instant(published)} | ({"end": date_time(end)} if date_time(end) else {})
    context["facilityType"] = facility_concept(header)
    context["practiceSetting"] = setting_concept(header)
    context["sourcePatientInfo"] = source_patient
    related = _related(standing, bundle)
    if related:
        context["related"] = related
    return context


def _related(standing: Standing, bundle: Resource) -> list[Resource]:
    """The document's other forms, and what of it may be read alone."""
    if not standing.has_content:
        return []
    found = [("Binary", binary_id(standing.head, one.form)) for one in standing.head.renditions if one.form != "cda"]
    if bundle.get("id"):
        found += [("Bundle", str(bundle["id"])), ("Bundle", transaction_id(bundle))]
    parts = [e["resource"] for e in bundle.get("entry", ()) if e["resource"]["resourceType"] in READ_ALONE]
    if parts:
        found += [(str(one["resourceType"]), str(one["id"])) for one in parts]
    return [{"reference": f"{kind}/{name}", "type": kind} for kind, name in found]
