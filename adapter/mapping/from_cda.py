"""CDA in, understood: the header for the doors, the document Bundle for the rest, the recipients of a bare document.

A bare document (folder, command line) says to whom it goes by its side-car file, else by the médecin traitant that it names
(INF + PCP) and by who referred (REF, REFB), as CSP R.1112-1-2 wants; never by `informationRecipient` (seam 3).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from adapter import __version__
from adapter.data import mappings_root
from adapter.errors import InputError
from adapter.fhir.account import Maker, with_account
from adapter.fhir.document import DocumentExtras, Section, binary_resource, document_bundle_from, document_ids
from adapter.fhir.narrative import div_of
from adapter.fhir.parties import Parties
from adapter.formats.cda import CdaDocument, EmbeddedBody, embedded_body, open_cda
from adapter.mapping.account import ignored_patterns
from adapter.mapping.cda.context import EntryContext, Fhir
from adapter.mapping.cda.entries import entry_rules
from adapter.mapping.cda.extras import read_extras
from adapter.mapping.cda.header import header_rules, read_header
from adapter.mapping.cda.places import source_map
from adapter.mapping.cda.report import add_report
from adapter.mapping.cda.sections import Body, read_body
from adapter.mapping.cda.values import CdaValues
from adapter.mapping.legal import check_letter, is_letter
from adapter.mapping.recipients import recipients_of
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.side_car import SideCar, read_side_car, side_car_account
from adapter.mapping.terminology import terminology_revision
from adapter.mapping.xml_source import XmlSource
from adapter.model.confidential import Confidential
from adapter.model.document import BodyKind, DocumentHeader
from adapter.model.effects import IgnoredPattern, LegalItem, Translation, UnreadNode
from adapter.model.finding import Finding, Severity
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.submission import Destinations, Intent, Submission

CIVIL_ZONE = "Europe/Paris"
MEDIA_TYPE = "text/xml"


@dataclass(frozen=True, repr=False)
class CdaTranslation(Confidential):
    """A document understood."""

    header: DocumentHeader
    bundle: dict[str, object]
    unread: tuple[UnreadNode, ...]
    findings: tuple[Finding, ...]
    read_count: int = 0
    ignored: tuple[IgnoredPattern, ...] = ()
    legal: tuple[LegalItem, ...] = ()
    source_map: Mapping[str, str] = field(default_factory=dict)


def read_cda_header(content: bytes, zone: str = CIVIL_ZONE) -> DocumentHeader:
    """The header, for a door that must answer at once; the embedded file is proved to be whole.

    Raises InputError as `read_cda`, or cda.header-incomplete, cda.bad-body.
    """
    return _read_header(open_cda(content), zone)[0]


def translate_cda(content: bytes, zone: str = CIVIL_ZONE) -> CdaTranslation:
    """The whole document as a FHIR document Bundle. Raises InputError as `read_cda_header`, or cda.bad-body."""
    document = open_cda(content)
    source = XmlSource(document.root)
    values = CdaValues(document.root, zone)
    header = read_header(source, values)
    model = model_of(header)
    header = replace(header, model=str(model.data["model"]["name"]))
    for rules in (header_rules(), entry_rules(), model):  # first: what is ignored is not kept either
        for path in rules.ignored:
            source.ignore(path)
    ids = document_ids(header, content)
    actors = Parties(ids)
    extras = read_extras(source.root, header, values, ids, actors, zone)
    at = EntryContext(values, ids, actors)
    unstructured = embedded_body(document)
    body = _unstructured(header, unstructured, source, at) if unstructured is not None else read_body(source.root, at)
    _check_sections(model, body, values)
    extras = _with_effects(extras, body.resources, values)
    if concluding := model.data["model"].get("report_section"):
        add_report(concluding, header, extras, body, at)
    bundle = document_bundle_from(header, body.sections, body.resources, content, MEDIA_TYPE, extras=extras, parties=actors)
    account = source.account()
    source.close()
    maker = Maker(__version__, mapping_revision())
    bundle = with_account(bundle, ids.mint("Binary", "source"), ids.mint("Provenance"), maker, account.unread)
    legal, told = check_letter(header, bundle)
    return CdaTranslation(
        header=header,
        bundle=bundle,
        unread=account.unread,
        findings=values.findings + told,
        read_count=account.read_count,
        ignored=ignored_patterns(_reasons((header_rules(), entry_rules(), model)), account.ignored),
        legal=legal,
        source_map=source_map(ids, actors, len(body.sections)),
    )


def _reasons(files: Iterable[RuleFile]) -> dict[str, str]:
    """Why each pattern of these files is left aside."""
    return {path: reason for rules in files for path, reason in rules.ignored.items()}


@lru_cache(maxsize=1)
def mapping_revision() -> str:
    """What tells one set of CDA mapping files, and of code tables, from another."""
    revisions = [*(rules.revision for rules in (header_rules(), entry_rules(), *_models())), terminology_revision()]
    return hashlib.sha256("".join(revisions).encode()).hexdigest()[:12]


def _read_header(document: CdaDocument, zone: str) -> tuple[DocumentHeader, tuple[Finding, ...]]:
    embedded_body(document)  # a file that does not decode is refused now, not parked after an acknowledgement
    values = CdaValues(document.root, zone)
    header = read_header(XmlSource(document.root), values)
    return replace(header, model=str(model_of(header).data["model"]["name"])), values.findings


# -- models ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _models() -> tuple[RuleFile, ...]:
    """Every `mappings/documents/*.toml` that describes a model, by name."""
    names = sorted(path.stem for path in (mappings_root() / "documents").glob("*.toml"))
    files = [load_rules(f"documents/{name}") for name in names]
    return tuple(rules for rules in files if "model" in rules.data)


def model_of(header: DocumentHeader) -> RuleFile:
    """The model of a document: level 1 has but one; else by templateId first, by type code second, else the generic one."""
    if header.body is BodyKind.PDF_IN_CDA:
        return load_rules("documents/n1")
    declared = {template.partition("|")[0] for template in header.template_ids}
    for rules in _models():
        if declared & set(rules.data["model"]["templates"]):
            return rules
    for rules in _models():
        if header.type.code in rules.data["model"]["types"]:
            return rules
    return load_rules("documents/generic-n3")


def _check_sections(model: RuleFile, body: Body, values: CdaValues) -> None:
    for section in model.data.get("section", ()):
        if section["template"] not in body.templates:
            values.warn("cda.section-missing", f"The mandatory section « {section['title']} » is missing.", section["template"])


# -- body ----------------------------------------------------------------------------------------------------


def _unstructured(header: DocumentHeader, unstructured: EmbeddedBody, source: XmlSource, at: EntryContext) -> Body:
    """Level 1: one section, whose entry is the file as it came."""
    text = source.root.first("component/nonXMLBody/text")
    if text is not None:
        text.consume()
    if unstructured.repaired:
        at.values.warn("cda.base64-repaired", "The padding of the embedded file was missing: it was added.", "nonXMLBody/text")
    if unstructured.declared_media_type and unstructured.declared_media_type != unstructured.media_type:
        at.values.warn("cda.other-media-type", "The embedded file is not of the type that it declares.", "nonXMLBody/text")
    binary = binary_resource(unstructured.content, unstructured.media_type, at.mint("Binary", "body"))
    title = header.title or header.type.label
    section = Section(header.type, title, div_of(title), (f"urn:uuid:{binary['id']}",))
    return Body(sections=[section], resources=[binary])


def _with_effects(extras: DocumentExtras, resources: list[Fhir], values: CdaValues) -> DocumentExtras:
    """Observations that also tell of the document (its status) or of the stay (how it began and ended)."""
    table: dict[str, str] = entry_rules().data["effects"]
    for resource in resources:
        effect = table.get(_code(resource.get("code", {}))) if resource["resourceType"] == "Observation" else None
        value: Fhir = resource.get("valueCodeableConcept", {})
        if effect is None or not value:
            continue
        match effect:
            case "composition-status":
                status = values.translated("document-status", _code(value), None)
                extras = replace(extras, status=status or extras.status)
            case "admit-source":
                extras = replace(extras, encounter=replace(extras.encounter, admit_source=value))
            case "discharge-disposition" if not extras.encounter.discharge_disposition:
                extras = replace(extras, encounter=replace(extras.encounter, discharge_disposition=value))
    return extras


def _code(concept: Fhir) -> str:
    return str((concept.get("coding") or [{}])[0].get("code", ""))


# -- bare documents ----------------------------------------------------------------------------------------------------


def inspect_cda(arrival: Arrival) -> Inspection:
    """What is known at once of a bare CDA. A wrong INS key does not refuse here: the identity is provisional (seam 14)."""
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    try:
        header, findings = _read_header(open_cda(arrival.content), arrival.zone)
        side_car = read_side_car(arrival.side_car)
    except InputError as error:
        refusal = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
        return Inspection(ContentKind.CDA, Verdict.REFUSED, fingerprint=fingerprint, findings=(refusal,))
    if is_letter(header):  # the law wants something of it: its sender is told at once
        findings = tuple(dict.fromkeys((*findings, *translate_cda(arrival.content, arrival.zone).findings)))
    control = MessageControl(event="cda", control_id=header.unique_id)
    return Inspection(
        ContentKind.CDA, Verdict.ACCEPTED, control, fingerprint, findings,
        envelope=lambda receipt_id: (_submission(arrival, receipt_id, header, side_car),),
    )  # fmt: skip


def understand_cda(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    """The one document of a bare CDA, with its recipients. Pure: the same receipt gives the same values."""
    translated = translate_cda(arrival.content, arrival.zone)
    beside = side_car_account(arrival.side_car)
    return (
        Translation(
            submission=_submission(arrival, receipt_id, translated.header, read_side_car(arrival.side_car)),
            bundle=translated.bundle,
            source_document=arrival.content,
            source_media_type=MEDIA_TYPE,
            unread=translated.unread + beside.unread,
            findings=translated.findings,
            mapping_revision=mapping_revision(),
            read_count=translated.read_count + beside.read_count,
            ignored=translated.ignored,
            legal=translated.legal,
            source_map=translated.source_map,
        ),
    )


def _submission(arrival: Arrival, receipt_id: str, header: DocumentHeader, side_car: SideCar) -> Submission:
    """The envelope needs the header and the recipients only."""
    return Submission(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:traitdunion:submission:{receipt_id}:{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=header,
        intent=Intent.REPLACE if header.replaces else Intent.NEW,
        recipients=recipients_of(side_car, header),
        sender=header.authors[0] if header.authors else None,
        destinations=Destinations(professionals=True),
        urgency=side_car.urgency,
        control_id=header.unique_id,
        content_kind="cda",
    )
