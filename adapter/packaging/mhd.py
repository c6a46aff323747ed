"""Makes the ITI-65 transaction that feeds a shared record: one submission set, one document in the forms that the partner wants,
one patient, once whatever happens.

Law: PDSm 3.1.1 (`pdsm-comprehensive-provide-document-bundle`) on IHE MHD 4.2.3. One DocumentReference has one content, so each
further form is a DocumentReference of its own that *transforms* the first; on a replacement each form replaces its own former one
(PDSm: exactly one `relatesTo` then). A FHIR document travels as a Binary: in an entry of its own a server would write it anew,
and size and SHA-1 would be untrue. Everything minted comes from the delivery: a resend is byte-identical, and conditional
creates (`ifNoneExist`) with a PUT of the Binary under its own id leave one copy on the server.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapter.errors import RenditionError
from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, write_json
from adapter.fhir.identity import carries_ins, patient_resource
from adapter.fhir.narrative import generated
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.parties import Organisation, Party
from adapter.model.submission import Intent, Submission
from adapter.packaging.code_tables import activity_of
from adapter.packaging.mhd_actors import ContainedActors
from adapter.packaging.mhd_values import (
    ANY_FORMAT,
    MHD,
    NOS,
    base64_text,
    class_concept,
    code_uri,
    concept,
    date_time,
    facility_concept,
    format_concept,
    format_of_source,
    instant,
    instant_of,
    master_identifier,
    mhd_identifier,
    rendition_identifier,
    security_labels,
    setting_concept,
    type_concept,
)
from adapter.packaging.parcel import RecordContent, SenderProfile

__all__ = ["Rendition", "build_iti65", "master_identifier", "submission_set"]

Resource = dict[str, Any]

_PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
BUNDLE_PROFILE = _PDSM + "pdsm-comprehensive-provide-document-bundle"
SUBMISSION_SET_PROFILE = _PDSM + "pdsm-submissionset-comprehensive"
DOCUMENT_REFERENCE_PROFILE = _PDSM + "pdsm-comprehensive-document-reference"
SUBMISSION_TAGS = p.OUR_CODES + "submission-set"
_LIST_TYPES = MHD + "CodeSystem/MHDlistTypes"
_ACTIVITIES = NOS + "TRE_R209-TypeActivite/FHIR/TRE-R209-TypeActivite"


@dataclass(frozen=True, repr=False)
class Rendition(Confidential):
    """One form of the document: its bytes, media type and format code. `kind` is `cda`, `fhir` or `pdf`; empty: as it came."""

    kind: str
    content: bytes
    media_type: str
    format: Code


def build_iti65(
    delivery: Delivery,
    submission: Submission,
    bundle: Resource,
    source: bytes,
    media_type: str,
    sender: SenderProfile,
    sent_at: datetime,
    renditions: tuple[Rendition, ...] = (),
) -> RecordContent:
    """The transaction and the master identifier to search for; RenditionError when the norm cannot be met.

    `renditions` are the forms that the partner wants, first the main one; without any, the document goes as it came.
    """
    header = submission.document
    if submission.intent in (Intent.CANCEL, Intent.METADATA):
        raise RenditionError("mhd.no-document", "a cancellation or a change of metadata brings no document", where=delivery.id)
    if not carries_ins(header.patient):
        raise RenditionError(
            "mhd.identity-not-qualified",
            "a shared record is fed with a qualified INS and all its traits only",
            where=delivery.id,
            remedy="Qualify the identity, then send again.",
        )
    ids = Ids(f"iti65:{delivery.id}")
    patient = {k: v for k, v in patient_resource(header.patient, id="patient").items() if k != "id"}
    forms = _forms(renditions or (_as_it_came(header, bundle, source, media_type),), header, ids)
    entries = [_created(submission_set(submission, sender, sent_at, ids, [form.own_reference() for form in forms]), ids)]
    entries += [_document_entry(submission, patient, form, forms[0], sent_at, ids) for form in forms]
    entries += [_put_entry(form.binary) for form in forms]
    entries.append(_created(patient, ids))
    transaction = {"resourceType": "Bundle", "meta": {"profile": [BUNDLE_PROFILE]}, "type": "transaction", "entry": entries}
    return RecordContent(write_json(transaction), forms[0].master)


@dataclass(frozen=True, repr=False)
class _Form(Confidential):
    """A rendition with its place in the transaction. `replaced` is the master identifier of its former version, if any."""

    rendition: Rendition
    master: str
    replaced: str
    document_id: str
    binary: Resource

    def own_reference(self) -> Resource:
        """How other entries of the transaction name its DocumentReference."""
        return {"reference": f"urn:uuid:{self.document_id}"}


def _forms(renditions: tuple[Rendition, ...], header: DocumentHeader, ids: Ids) -> tuple[_Form, ...]:
    """The first bears the document's own number, the others numbers that derive from it."""
    made = []
    for number, one in enumerate(renditions):
        path = () if number == 0 else (one.kind,)
        name = master_identifier if number == 0 else (lambda unique_id, kind=one.kind: rendition_identifier(unique_id, kind))
        binary = {
            "resourceType": "Binary",
            "id": ids.mint("Binary", *path),
            "contentType": one.media_type,
            "data": base64_text(one.content),
        }
        replaced = name(header.replaces) if header.replaces else ""
        made.append(_Form(one, name(header.unique_id), replaced, ids.mint("DocumentReference", *path), binary))
    return tuple(made)


def _as_it_came(header: DocumentHeader, bundle: Resource, source: bytes, media_type: str) -> Rendition:
    """The source as it came; but a form's answers mean nothing outside our door: its FHIR document is deposited instead."""
    if header.body is BodyKind.FORM:
        return Rendition("", write_json(bundle), "application/fhir+json", ANY_FORMAT)
    return Rendition("", source, media_type, format_of_source(header))


# ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _created(resource: Resource, ids: Ids) -> Resource:
    """A conditional create: by the INS of a patient, by our tag for the set.

    A set is searched by `_tag` because some servers index no identifier of List.
    """
    kind = resource["resourceType"]
    if "tag" in resource["meta"]:
        tag = resource["meta"]["tag"][0]
        search = f"_tag={tag['system']}|{tag['code']}"
    else:
        identifier = resource["identifier"][0]
        search = f"identifier={identifier['system']}|{identifier['value']}"
    request = {"method": "POST", "url": kind, "ifNoneExist": search}
    return {"fullUrl": f"urn:uuid:{ids.mint(kind)}", "resource": resource, "request": request}


def _document_entry(submission: Submission, patient: Resource, form: _Form, main: _Form, sent_at: datetime, ids: Ids) -> Resource:
    """A conditional create by the master identifier: a resend after an unclear answer cannot double."""
    search = f"identifier={p.URI_SYSTEM}|{form.master}"
    return {
        "fullUrl": f"urn:uuid:{form.document_id}",
        "resource": _document_reference(submission, patient, form, main, sent_at, ids),
        "request": {"method": "POST", "url": "DocumentReference", "ifNoneExist": search},
    }


def _put_entry(binary: Resource) -> Resource:
    """A Binary has no identifier to search by, so it is put under its own id; MHD leaves the method of documents free."""
    return {
        "fullUrl": f"urn:uuid:{binary['id']}",
        "resource": binary,
        "request": {"method": "PUT", "url": f"Binary/{binary['id']}"},
    }


def submission_set(submission: Submission, sender: SenderProfile, sent_at: datetime, ids: Ids, items: list[Resource]) -> Resource:
    """The List that says who submits what; `items` are the references of what it holds."""
    header = submission.document
    party = submission.sender or Party(organisation=Organisation(name=sender.name, finess=sender.finess))
    contained = ContainedActors()
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
                "url": f"{MHD}StructureDefinition/ihe-designationType",
                "valueCodeableConcept": concept(_ACTIVITIES, activity.code, activity.label),
            },
            {
                "url": f"{MHD}StructureDefinition/ihe-sourceId",
                "valueIdentifier": {"system": p.URI_SYSTEM, "value": f"urn:oid:{sender.source_oid}"},
            },
        ],
        "identifier": [
            mhd_identifier("usual", "uniqueId", f"urn:oid:2.25.{uuid.UUID(ids.mint('submission-set')).int}"),
            mhd_identifier("official", "entryUUID", f"urn:uuid:{ids.mint('List')}"),
        ],
        "status": "current",
        "mode": "working",
        "title": header.type.label or header.title,
        "code": {"coding": [{"system": _LIST_TYPES, "code": "submissionset"}]},
        "subject": {"reference": f"urn:uuid:{ids.mint('Patient')}"},
        "date": instant(sent_at),
        "source": source,
        "entry": [{"item": item} for item in items],
    }


def _document_reference(
    submission: Submission, patient: Resource, form: _Form, main: _Form, sent_at: datetime, ids: Ids
) -> Resource:
    header = submission.document
    contained = ContainedActors()
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
        "masterIdentifier": mhd_identifier("usual", "uniqueId", form.master),
        "identifier": [
            mhd_identifier("official", "entryUUID", f"urn:uuid:{form.document_id}"),
            # A copy of the master identifier: some servers search in `identifier` alone, and would double the document.
            {"use": "secondary", "system": p.URI_SYSTEM, "value": form.master},
        ],
        "status": "current",
        "type": type_concept(header.type),
        "category": [class_concept(header.type.code)],
        "subject": {"reference": f"urn:uuid:{ids.mint('Patient')}"},
        "date": instant_of(header.created, sent_at),
        "author": authors,
    }
    if authenticator is not None:
        resource["authenticator"] = authenticator
    resource["custodian"] = custodian
    if relation := _relation(form, main):
        resource["relatesTo"] = [relation]
    resource["securityLabel"] = security_labels(header, submission.visibility)
    attachment = _attachment(header, form, sent_at)
    resource["content"] = [{"attachment": attachment, "format": format_concept(form.rendition.format)}]
    resource["context"] = _context(header, source_patient, sent_at)
    return resource


def _relation(form: _Form, main: _Form) -> Resource:
    """What it replaces, by identifier (the record may not hold the original, and an unknown original is sent all the same);
    else, for a further form, what it is a form of.
    """
    if form.replaced:
        return {"code": "replaces", "target": {"identifier": {"system": p.URI_SYSTEM, "value": form.replaced}}}
    return {} if form is main else {"code": "transforms", "target": main.own_reference()}


def _attachment(header: DocumentHeader, form: _Form, sent_at: datetime) -> Resource:
    content = form.rendition.content
    return {
        "contentType": form.rendition.media_type,
        "language": header.language or "fr-FR",
        "url": f"urn:uuid:{form.binary['id']}",
        "size": len(content),
        # The norm asks for SHA-1: it finds accidents, it is no seal.
        "hash": base64_text(hashlib.sha1(content, usedforsecurity=False).digest()),
        "title": header.title or header.type.label or "Document",
        "creation": date_time(header.created) or instant(sent_at),
    }


def _context(header: DocumentHeader, source_patient: Resource, sent_at: datetime) -> Resource:
    start, end = _span(header)
    context: Resource = {}
    codes = [concept(code_uri(e.code.system), e.code.code, e.code.label) for e in header.service_events if e.code.code]
    if codes:
        context["event"] = codes
    context["period"] = {"start": date_time(start) or instant(sent_at)}
    if date_time(end):
        context["period"]["end"] = date_time(end)
    context["facilityType"] = facility_concept(header)
    context["practiceSetting"] = setting_concept(header)
    context["sourcePatientInfo"] = source_patient
    return context


def _span(header: DocumentHeader) -> tuple[str, str]:
    """When the act took place: the principal act, else the stay, else the day of the document."""
    for span in (*header.service_events[:1], header.stay):
        if span is not None and span.start:
            return span.start, span.end
    return header.created, ""
