"""Makes an IHE_XDM.zip, of one delivery or of those that leave together: metadata from envelopes and headers.

Sources: CI-SIS volet 2.1 §mapping XDS; Référentiel socle MSSanté #2; the library `mssante` writes the formats, this file decides
what they say. Instants and ids come from the stored delivery: the same delivery gives the same bytes, whenever it is sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from adapter.errors import RenditionError
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.identity import INS_OIDS, PatientIdentity
from adapter.model.parties import Organisation, Party
from adapter.model.submission import Intent, Submission, Visibility
from adapter.packaging.cda_out.header import patient_number
from adapter.packaging.code_tables import PDF_FORMAT, activity_of, class_of, format_of, load_codes, oid_of, type_scheme
from adapter.packaging.follow_up import replaces_earlier
from adapter.packaging.parcel import SenderProfile
from mssante.errors import MssanteError
from mssante.xdm import (
    Action,
    Author,
    Coded,
    DocumentEntry,
    Institution,
    Patient,
    PatientNumber,
    Person,
    Presentation,
    Software,
    SubmissionSet,
    build_archive,
    submission_unique_id,
)

_CONFIDENTIALITY = "2.16.840.1.113883.5.25"
_VISIBILITY = "1.2.250.1.213.1.1.4.13"
_PARIS = ZoneInfo("Europe/Paris")
_CONFIDENTIALITY_LABELS = {"N": "Normal", "R": "Restreint", "V": "Très restreint"}


@dataclass(frozen=True, repr=False)
class Entered(Confidential):
    """One document of an archive. `templates`: those of a structured CDA that we wrote; else the header tells them."""

    delivery: Delivery
    submission: Submission
    cda: bytes
    templates: tuple[str, ...] = ()


def build_xdm_zip(documents: Sequence[Entered], sender: SenderProfile, sent_at: datetime) -> bytes:
    """IHE_XDM.zip alone: one submission set of the documents that leave together, nearly always one."""
    entries = [document_entry(one.delivery, one.submission, templates=one.templates) for one in documents]
    first, submission = entries[0], documents[0].submission
    submission_set = SubmissionSet(
        unique_id=submission_unique_id(_set_number(documents)),
        source_id=sender.source_oid,
        submitted=sent_at,
        title=first.title if len(entries) == 1 else f"{len(entries)} documents",
        author=_submission_author(submission, sender),
        content_type=_coded(
            activity_of(submission.encounter_class, _encounter_code(submission.document), first.practice_setting.code)
        ),
        patient=first.patient,
    )
    contact = " · ".join(part for part in (sender.reply_to or sender.mailbox, sender.phone) if part)
    presentation = Presentation(sender.name, contact, f"Trait d'union ({sender.product_reference})")
    contents = [(entry, one.cda) for entry, one in zip(entries, documents, strict=True)]
    try:
        return build_archive(submission_set, contents, presentation)
    except MssanteError as error:
        raise rendition_error(error) from error


def _set_number(documents: Sequence[Entered]) -> int:
    """Derived, not equal to an id of ours: the archive and our row are two things that must never be taken for another. Other
    documents together are another set.
    """
    named = " ".join(sorted(one.delivery.id for one in documents))
    return uuid.uuid5(uuid.NAMESPACE_OID, f"submission-set:{named}").int


def document_entry(delivery: Delivery, submission: Submission, *, templates: tuple[str, ...] = ()) -> DocumentEntry:
    """XDS metadata of the document, as its header and the sender's wishes give them."""
    header = submission.document
    is_structured = bool(templates) or header.body is BodyKind.STRUCTURED_CDA
    event = header.service_events[0] if header.service_events else None
    start = (event.start if event else "") or (header.stay.start if header.stay else "") or header.created
    return DocumentEntry(
        unique_id=header.unique_id,
        title=header.title or header.type.label,
        created=_zoned(header.created),
        patient=_patient(submission),
        authors=tuple(_author(party) for party in header.authors),
        class_code=_coded(class_of(header.type.code)),
        type_code=Coded(header.type.code, type_scheme(header.type), header.type.label or header.title),
        format_code=_coded(format_of(templates or header.template_ids) if is_structured else PDF_FORMAT),
        facility_type=_facility(header),
        practice_setting=_practice_setting(header),
        confidentiality=_confidentiality(header, submission.visibility),
        events=tuple(_events(header)),
        legal_authenticator=_legal_authenticator(header),
        service_start=_zoned(start),
        service_stop=_zoned(event.end if event else ""),
        language=header.language,
        action=_action(delivery, submission),
    )


def _action(delivery: Delivery, submission: Submission) -> Action | None:
    if submission.intent is Intent.CANCEL:
        return Action.DELETE
    return Action.REPLACE if replaces_earlier(delivery, submission) else None


# ── people and places ───────────────────────────────────────────────────────────────────────────────────────────────


def _patient(submission: Submission) -> Patient:
    identity = submission.document.patient
    local = next((n for n in identity.local_ids if n.kind == "PI"), None)
    source = PatientNumber(local.value, local.authority, "PI") if local else None
    number = _number_in_wrapper(submission) if submission.content_kind != "cda" else _number_in_source(identity) or source
    return Patient(
        # Neither INS nor IPP: the number is left out rather than invented; the receiver matches by the traits.
        number=number,
        source_number=source or number,
        birth_name=identity.birth_name,
        first_given=identity.first_given,
        birth_given_names=identity.birth_given_names,
        used_name=identity.used_name,
        used_given=identity.used_given,
        birth_date=identity.birth_date,
        sex=identity.sex,
        birth_place_insee=identity.birth_place_insee,
    )


def _number_in_source(identity: PatientIdentity) -> PatientNumber | None:
    """The INS of a qualified identity only: as patientId it would claim what nobody proved, and file the letter under it."""
    return PatientNumber(identity.ins.value, identity.ins.oid, "NH") if identity.ins and identity.is_qualified else None


def _number_in_wrapper(submission: Submission) -> PatientNumber:
    # The receiver compares patientId with the CDA's recordTarget: both must bear the same number.
    root, extension = patient_number(submission)
    return PatientNumber(extension, root, "NH" if root in INS_OIDS else "PI")


def _submission_author(submission: Submission, sender: SenderProfile) -> Author:
    ours = Institution(sender.name, f"1{sender.finess}" if sender.finess else "")
    if submission.sender is None:
        return Author(institution=ours)
    named = _author(submission.sender)
    return Author(named.person, named.institution or ours, named.role, named.specialty)


def _author(party: Party) -> Author:
    role = party.function_label or party.function_words.text
    return Author(_person(party), _institution(party.organisation), role, _specialty(party))


def _person(party: Party) -> Person | Software | None:
    pro, device = party.professional, party.device
    if pro is not None and (pro.family or pro.rpps or pro.national_id):
        return Person(f"8{pro.rpps}" if pro.rpps else pro.national_id, pro.family, pro.given)
    if device is None:
        return None
    root, _, extension = device.identifier.partition("^")
    if extension:
        return Software(extension, device.software, device.model, root)
    return Software(device.identifier or device.software, device.software, device.model)


def _specialty(party: Party) -> Coded | None:
    pro = party.professional
    if pro is None or not pro.specialty_code:
        return None
    return Coded(pro.specialty_code, oid_of(pro.specialty_system), pro.specialty_label)


def _institution(organisation: Organisation | None) -> Institution | None:
    if organisation is None:
        return None
    identifier = f"1{organisation.finess}" if organisation.finess else organisation.national_id
    return Institution(organisation.name, identifier) if organisation.name or identifier else None


def _legal_authenticator(header: DocumentHeader) -> Person | Software | None:
    named = _person(header.legal_authenticator) if header.legal_authenticator else None
    return named or next((person for person in map(_person, header.authors) if person is not None), None)


# ── codes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _facility(header: DocumentHeader) -> Coded:
    code = header.stay.facility_type.code if header.stay else ""
    # A form has no encounter: forms come from health centres (SA05), all else from hospitals (SA01).
    code = code or ("SA05" if header.body is BodyKind.FORM else "SA01")
    label = header.stay.facility_type.label if header.stay else ""
    return _labelled("facility-types", code, label, "1.2.250.1.71.4.2.4")


def _practice_setting(header: DocumentHeader) -> Coded:
    performers = (event.performer.organisation for event in header.service_events if event.performer)
    places = [*performers, header.stay.organisation if header.stay else None, header.custodian]
    named = next((place for place in places if place is not None and place.setting_code), None)
    code = named.setting_code if named else ("AMBULATOIRE" if header.body is BodyKind.FORM else "ETABLISSEMENT")
    return _labelled("practice-settings", code, named.setting_label if named else "", "1.2.250.1.213.1.1.4.9")


def _labelled(table: str, code: str, label: str, oid: str) -> Coded:
    known = load_codes(table).get(code)
    return Coded(code, oid, label or (known.label if known else code))


def _confidentiality(header: DocumentHeader, visibility: Visibility) -> tuple[Coded, ...]:
    code = header.confidentiality or "N"
    level = Coded(code, _CONFIDENTIALITY, header.confidentiality_label or _CONFIDENTIALITY_LABELS.get(code, code))
    wishes = (
        (visibility.hidden_from_professionals, "MASQUE_PS", "Masqué aux professionnels de santé"),
        (visibility.hidden_from_patient, "INVISIBLE_PATIENT", "Non visible par le patient"),
        (visibility.hidden_from_representatives, "INVISIBLE_REPRESENTANTS_LEGAUX", "Non visible par les représentants légaux"),
    )
    return (level, *(Coded(wish, _VISIBILITY, label) for wanted, wish, label in wishes if wanted))


def _events(header: DocumentHeader) -> list[Coded]:
    found = []
    for event in header.service_events:
        scheme = oid_of(event.code.system)
        # A system known only by a URI has no place in ebRIM: the act stays in the CDA.
        if event.code.code and scheme:
            found.append(Coded(event.code.code, scheme, event.code.label))
    return found


def _encounter_code(header: DocumentHeader) -> str:
    return header.stay.class_code if header.stay else ""


def _coded(code: Code) -> Coded:
    return Coded(code.code, code.system, code.label)


def _zoned(value: str) -> str:
    """A time without zone is French civil time (the reader of the source has said so in a finding)."""
    if "T" not in value:
        return value
    clock = value.partition("T")[2]
    if clock.endswith("Z") or "+" in clock or "-" in clock:
        return value
    try:
        return datetime.fromisoformat(value).replace(tzinfo=_PARIS).isoformat()
    except ValueError:
        return value  # the metadata writer refuses it and says where


def rendition_error(error: MssanteError) -> RenditionError:
    """What the mail library refuses to write, as the parcel's own error."""
    return RenditionError(error.code, error.message, where=error.where, remedy="Compléter la source ou la configuration.")
