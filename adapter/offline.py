"""Translation without a ledger: one file in, its documents and any rendition out. What `tdu translate` and `tdu explain` call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapter.errors import InputError
from adapter.fhir.bundle import write_json
from adapter.fhir.locate import located
from adapter.fhir.validate import Level, validate_bundle
from adapter.mapping.account import ignored_patterns
from adapter.mapping.from_adt import AdtTranslation, translate_adt
from adapter.mapping.from_mail import understand_mail
from adapter.mapping.hl7.adt_profile import adt_rules
from adapter.mapping.kinds import INSPECTORS, READERS, kind_of
from adapter.mapping.terminology import terminology_versions
from adapter.model.confidential import Confidential
from adapter.model.delivery import Delivery, DeliveryState
from adapter.model.effects import Effect, Parked, Translation
from adapter.model.finding import Finding, errors_of
from adapter.model.inbox import Inbox, Inboxes
from adapter.model.plan import ChannelName
from adapter.model.receipt import Arrival, ContentKind, Principal
from adapter.packaging.build import Document, readable_pdf, travelling_cda, written_templates
from adapter.packaging.fax_page import FaxCover, build_fax
from adapter.packaging.hl7.er7 import Header
from adapter.packaging.hl7.mdm import LocalDocument, build_mdm
from adapter.packaging.parcel import SenderProfile
from adapter.packaging.xdm import Entered, build_xdm_zip
from adapter.pipeline.plan import control_id_of, stable_id
from adapter.requests.steps import project_task

_AT_THE_KEYBOARD = Inboxes(otherwise=Inbox("", "", "", takes_unqualified=True, takes_masked=True, takes_test_identities=True))
_RECEIPT = "Ce courriel ne porte aucun document : avis, réponse ou message."


class Target(StrEnum):
    """The renditions that can be asked for."""

    FHIR = "fhir"
    CDA = "cda"
    XDM = "xdm"
    PDF = "pdf"
    FAX = "fax"
    MDM = "mdm"


@dataclass(frozen=True, repr=False)
class Output(Confidential):
    """One file to write: its name suffix (`.fhir.json`) and its bytes."""

    suffix: str
    content: bytes


def arrival_of(content: bytes, side_car: bytes, at: datetime, form: str, zone: str) -> Arrival:
    """A file as if it had come by a door, from the operator at the keyboard."""
    return Arrival(content, "cli", Principal("operator", "operator", ""), at, side_car=side_car, form=form, zone=zone)


def inspect(arrival: Arrival) -> tuple[ContentKind, tuple[Finding, ...]]:
    """What a door would say of it."""
    kind = kind_of(arrival)
    inspector = INSPECTORS.get(kind)
    if inspector is None:
        raise InputError(
            "content.unknown",
            "This is neither HL7 v2, nor CDA, nor FHIR, nor a form, nor a PDF, nor fax pages.",
            remedy="Give one of these formats.",
        )
    return kind, inspector(arrival).findings


def translate(arrival: Arrival) -> tuple[Translation, ...]:
    """Understand an arrival; InputError with the first refusal when a door would refuse it."""
    kind, findings = inspect(arrival)
    errors = errors_of(findings)
    if errors:
        first, more = errors[0], len(errors) - 1
        remedy = f"{first.remedy} {more} more: `tdu validate` tells them all.".strip() if more else first.remedy
        raise InputError(first.code, first.text, where=first.location, remedy=remedy)
    effects = effects_of(arrival, kind)
    translations = tuple(effect for effect in effects if isinstance(effect, Translation))
    if kind is ContentKind.MAIL and not translations:
        why = next((effect for effect in effects if isinstance(effect, Parked)), Parked("mail.no-document", _RECEIPT))
        raise InputError(why.reason, why.advice, where="courriel")
    return translations


def effects_of(arrival: Arrival, kind: ContentKind) -> tuple[Effect, ...]:
    """All that its reader makes of an arrival. A mail read at the keyboard is let through: nothing leaves."""
    receipt_id = stable_id("offline", arrival.form, str(len(arrival.content)))
    if kind is ContentKind.MAIL:
        return understand_mail(arrival, receipt_id, inboxes=_AT_THE_KEYBOARD)
    if kind is ContentKind.FAX:
        remedy = "`tdu fax read` tells what pages carry."
        raise InputError("fax.is-pages", "A fax is pages: what it carries may need other calls.", remedy=remedy)
    return READERS[kind](arrival, receipt_id)


def translate_identity(arrival: Arrival) -> AdtTranslation:
    """An ADT message as a FHIR collection; InputError with the first refusal when a door would refuse it."""
    errors = errors_of(inspect(arrival)[1])
    if errors:
        raise InputError(errors[0].code, errors[0].text, where=errors[0].location, remedy=errors[0].remedy)
    return translate_adt(arrival)


def render_identity(made: AdtTranslation, target: Target) -> tuple[Output, ...]:
    """The files of an ADT message: FHIR is the only form that it has."""
    if target is not Target.FHIR:
        raise InputError("adt.only-fhir", "An ADT message holds no document.", where="MSH-9", remedy="Ask for --to fhir.")
    return (Output(".fhir.json", write_json(made.bundle)),)


def report_of_identity(name: str, made: AdtTranslation, version: str) -> Mapping[str, object]:
    """What was read of an ADT message, left unread and said: for `--report`. Paths only, no content."""
    wrong = validate_bundle(made.bundle, Level.FULL)
    ignored = ignored_patterns(adt_rules().ignored, made.account.ignored)
    return {
        "file": name,
        "version": version,
        "mapping_revision": made.mapping_revision,
        "event": made.event,
        "read": made.account.read_count,
        "unread": [{"path": node.path, "kind": node.kind, "why": node.reason} for node in made.unread],
        "ignored": [{"pattern": i.pattern, "count": i.count, "why": i.reason} for i in ignored],
        "warnings": [_said(finding) for finding in (*made.findings, *wrong)],
    }


def render(translation: Translation, target: Target, sender: SenderProfile, at: datetime) -> tuple[Output, ...]:
    """The files of one rendition."""
    document = Document(translation.submission, translation.bundle, translation.source_document, translation.source_media_type)
    match target:
        case Target.FHIR:
            return _fhir(translation)
        case Target.CDA:
            return (Output(".cda.xml", travelling_cda(document, readable_pdf(document, sender.stamp))),)
        case Target.PDF:
            return (Output(".pdf", readable_pdf(document, sender.stamp)),)
        case Target.XDM:
            pdf = readable_pdf(document, sender.stamp)
            cda, templates = travelling_cda(document, pdf), written_templates(document)
            zipped = build_xdm_zip([Entered(_unsent(translation), translation.submission, cda, templates)], sender, at)
            return (Output(".IHE_XDM.zip", zipped),)
        case Target.FAX:
            cover = FaxCover(
                sender=sender.name,
                recipient="",
                fax_number="",
                callback_number=sender.phone,
                urgency=translation.submission.urgency.value,
                date=f"{at:%d/%m/%Y}",
            )
            return (Output(".tiff", build_fax(readable_pdf(document, ""), cover, sender.stamp).tiff),)
        case Target.MDM:
            cda = travelling_cda(document, readable_pdf(document, sender.stamp))
            carried = LocalDocument(translation.submission, cda, sender.mailbox)
            return (Output(".mdm.hl7", build_mdm(carried, _header(translation, sender, at))),)


def _fhir(translation: Translation) -> tuple[Output, ...]:
    bundle = Output(".fhir.json", write_json(translation.bundle))
    if not translation.steps:
        return (bundle,)
    task = project_task(translation.steps, translation.bundle)
    return (bundle, Output(".task.json", write_json(task)))


def _header(translation: Translation, sender: SenderProfile, at: datetime) -> Header:
    """An MSH to nobody in particular, always a test."""
    control_id = control_id_of(stable_id("offline", translation.submission.document.unique_id))
    return Header(sender.hl7.application, sender.finess, "", "", at, control_id, "T")


def _unsent(translation: Translation) -> Delivery:
    """A delivery that is not one: XDM needs ids that travel."""
    submission = translation.submission
    return Delivery(
        stable_id("offline", submission.document.unique_id), submission.id, "", submission.document.unique_id,
        submission.document.version, submission.intent.value, "", ChannelName.SECURE_MAIL, 1, DeliveryState.QUEUED, "",
    )  # fmt: skip


def report_of(name: str, translation: Translation, version: str) -> Mapping[str, object]:
    """What was read, left unread and said: for `--report`. Paths only, no content."""
    wrong = located(validate_bundle(translation.bundle, Level.FULL), translation.bundle, translation.source_map)
    findings = (*translation.findings, *wrong)
    return {
        "file": name,
        "version": version,
        "mapping_revision": translation.mapping_revision,
        "terminology": {table.name: table.version for table in terminology_versions()},
        "document": translation.submission.document.unique_id,
        "read": translation.read_count,
        "unread": [{"path": node.path, "kind": node.kind, "why": node.reason} for node in translation.unread],
        "ignored": [{"pattern": i.pattern, "count": i.count, "why": i.reason} for i in translation.ignored],
        "legal": [{"item": i.code, "label": i.label, "state": i.state, "law": i.law} for i in translation.legal],
        "warnings": [_said(finding) for finding in findings],
    }


def _said(finding: Finding) -> dict[str, str]:
    told = {"code": finding.code, "severity": finding.severity.value, "where": finding.location, "text": finding.text}
    return told | ({"source": finding.source} if finding.source else {})


def refusal_of(name: str, error: InputError, version: str) -> Mapping[str, object]:
    """What `--report` says of a file that a door would refuse."""
    return {"file": name, "version": version, "refused": {"code": error.code, "where": error.where, "text": error.message}}


def write_report(reports: list[Mapping[str, object]]) -> bytes:
    """The report file."""
    return (json.dumps(reports, ensure_ascii=False, indent=2) + "\n").encode()
