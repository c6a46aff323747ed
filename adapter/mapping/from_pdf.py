"""A bare PDF as a source: checked at the door, then understood by what is said of it; what is missing is asked, never guessed.

Law: the identity is provisional (seam 14). A PDF that cannot be opened is refused at once; one of which too little is said is
accepted and parked with the list of what is missing: it is safe here, and a person can say the rest.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapter import __version__
from adapter.errors import InputError
from adapter.fhir.account import Maker, with_account
from adapter.fhir.document import DocumentExtras, Section, document_bundle_from, document_ids
from adapter.fhir.narrative import div_of
from adapter.formats.pdf import MEDIA_TYPE, PdfFacts, inspect_pdf
from adapter.mapping.account import Account, ignored_patterns
from adapter.mapping.cda.time import as_instant
from adapter.mapping.legal import check_letter
from adapter.mapping.pdf_traits import FROM_NAME, Traits, missing_of, read_traits
from adapter.mapping.recipients import recipients_of
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.side_car import SideCar, read_side_car, side_car_account
from adapter.mapping.sources import JsonSource
from adapter.mapping.terminology import terminology_revision, unknown_code
from adapter.mapping.transforms import mail_address
from adapter.model.confidential import Confidential
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.effects import IgnoredPattern, LegalItem, Translation
from adapter.model.finding import Finding, Severity
from adapter.model.identity import INS_DEMO, INS_NIA, INS_NIR, INS_TEST, Ins, LocalIdentifier, PatientIdentity
from adapter.model.parties import Organisation, Party, Professional, Recipient, RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.submission import Destinations, Submission
from adapter.model.traits import REQUIRED

REVISION = "pdf-1"
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/pdf")
_INS_KINDS = {"": INS_NIR, "NIR": INS_NIR, "NIA": INS_NIA, "TEST": INS_TEST, "DEMO": INS_DEMO}
_FACTS = ("patient", "document", "author")
# Which facts make which element; the empty element stands for the whole resource.
_MADE_OF: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Composition": {
        "type": ("document.type",),
        "title": ("document.title", "document.type_label"),
        "date": ("document.date",),
        "identifier": ("document.id",),
        "author": ("author.family",),
    },
    "Patient": {
        "": ("patient.birth_name", "patient.first_given"),
        "birthDate": ("patient.birth_date",),
        "gender": ("patient.sex",),
        "identifier": ("patient.ins", "patient.local_id"),
        "name": ("patient.birth_name", "patient.first_given", "patient.birth_given_names", "patient.used_name"),
    },
    "Practitioner": {"": ("author.family",), "identifier": ("author.rpps",), "name": ("author.family", "author.given")},
    "PractitionerRole": {"": ("author.family", "author.organisation")},
    "Organization": {"": ("author.organisation", "author.finess"), "identifier": ("author.finess",)},
}
_LOINC = "2.16.840.1.113883.6.1"
_OTHER_TYPES = "1.2.250.1.213.1.1.4.12"
_HOW = (
    "Déposer de nouveau le PDF avec un fichier d’accompagnement <nom du PDF>.json qui donne ces éléments "
    "(docs/reference/side-car.md)."
)


def inspect_pdf_file(arrival: Arrival) -> Inspection:
    """What is known at once of a bare PDF: that it can be opened, what it lacks, whether it is PDF/A."""
    fingerprint = hashlib.sha256(arrival.content).hexdigest()
    control = MessageControl(event="pdf", control_id=arrival.reference)
    try:
        facts = inspect_pdf(arrival.content)
        read_side_car(arrival.side_car)
        traits = read_traits(arrival.content, arrival.side_car)
    except InputError as error:
        refusal = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
        return Inspection(ContentKind.PDF, Verdict.REFUSED, control, fingerprint, (refusal,))
    missing = tuple(missing_of(traits, REQUIRED))
    if missing:
        told: tuple[Finding, ...] = (_warning("pdf.missing", f"À compléter avant l’envoi : {', '.join(missing)}.", _HOW),)
    else:  # the pages are not looked into: what the law wants of such a letter is told from its header alone
        told = check_letter(_header(arrival, traits.values), {})[1]
    return Inspection(
        ContentKind.PDF, Verdict.ACCEPTED, control, fingerprint, (*facts_findings(facts), *told),
        # None when too little is said to know it: the receipt will park and ask.
        envelope=lambda receipt_id: () if missing else (_submission(arrival, receipt_id, traits),),
    )  # fmt: skip


def facts_findings(facts: PdfFacts) -> tuple[Finding, ...]:
    """What is to be said of the file itself: it leaves as it came, whatever it is."""
    found = []
    if not facts.pdf_a.startswith("1"):
        text = "Le PDF n’est pas au format PDF/A-1 : il est transmis tel quel."
        found.append(_warning("pdf.not-pdf-a", text, "L’enregistrer en PDF/A-1."))
    if facts.is_active:
        text = "Le PDF contient une action ou une pièce jointe : il est transmis tel quel, rien n’en est exécuté."
        found.append(_warning("pdf.active-content", text, "L’enregistrer sans script ni pièce jointe."))
    return tuple(found)


def understand_pdf(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    """The one document. Raises InputError pdf.missing with all that must be said first."""
    facts = inspect_pdf(arrival.content)
    traits = read_traits(arrival.content, arrival.side_car)
    missing = tuple(missing_of(traits, REQUIRED))
    if missing:
        raise InputError("pdf.missing", f"Il manque, pour envoyer ce PDF : {', '.join(missing)}.", where="side-car", remedy=_HOW)
    submission = _submission(arrival, receipt_id, traits)
    revision = pdf_revision(traits.model)
    made = translate_pdf(submission.document, arrival.content, facts, arrival.zone, revision)
    account = made.account + traits.account + side_car_account(arrival.side_car, (*_FACTS, FROM_NAME))
    translation = Translation(
        submission=submission,
        bundle=made.bundle,
        source_document=arrival.content,
        source_media_type=MEDIA_TYPE,
        unread=account.unread,
        findings=made.findings,
        mapping_revision=revision,
        read_count=account.read_count,
        ignored=made.ignored,
        legal=made.legal,
        source_map=pdf_places(made.bundle, traits.places),
    )
    return (translation,)


@dataclass(frozen=True, repr=False)
class PdfTranslation(Confidential):
    """A described PDF as a document, and what became of what the file says of itself."""

    bundle: dict[str, object]
    account: Account
    ignored: tuple[IgnoredPattern, ...]
    findings: tuple[Finding, ...]
    legal: tuple[LegalItem, ...]


def translate_pdf(header: DocumentHeader, content: bytes, facts: PdfFacts, zone: str, revision: str) -> PdfTranslation:
    """The document Bundle of a PDF whose header somebody told: one section, whose entry is the file as it came."""
    ids = document_ids(header, content)
    source = ids.mint("Binary", "source")
    title = header.title or header.type.label or "Document"
    section = Section(header.type, title, div_of(title), (f"urn:uuid:{source}",))
    extras = DocumentExtras(timestamp=as_instant(header.created, zone))
    bundle = document_bundle_from(header, (section,), (), content, MEDIA_TYPE, extras=extras)
    account = _account_of(facts)
    bundle = with_account(bundle, source, ids.mint("Provenance"), Maker(__version__, revision), account.unread)
    legal, told = check_letter(header, bundle)
    unknown = unknown_code("document-classes", header.type.code, "Composition.type")
    ignored = ignored_patterns(_rules().ignored, account.ignored)
    return PdfTranslation(bundle, account, ignored, (*facts_findings(facts), *unknown, *told), legal)


def _account_of(facts: PdfFacts) -> Account:
    """The pages count as one value, which the file carries; what its metadata say is listed or left aside by name."""
    source = JsonSource({"metadata": dict(facts.metadata)})
    for path in _rules().ignored:
        source.ignore(path)
    return source.account() + Account(read_count=1)


def _rules() -> RuleFile:
    return load_rules("documents/bare-pdf")


def pdf_revision(model: str = "") -> str:
    """What tells one set of rules for PDF from another: of these rules, of the code tables, of the model that gave the zones."""
    return "+".join(part for part in (REVISION, f"{_rules().revision}.{terminology_revision()}", model) if part)


def pdf_places(bundle: Mapping[str, Any], told: Mapping[str, str]) -> dict[str, str]:
    """For each element that a told fact made, who told it."""
    places: dict[str, str] = {}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        for element, names in _MADE_OF.get(resource["resourceType"], {}).items():
            tellers = dict.fromkeys(told[name] for name in names if name in told)
            if tellers:
                key = "Composition" if resource["resourceType"] == "Composition" else resource["id"]
                places[f"{key}.{element}" if element else key] = ", ".join(tellers)
    return places


def _submission(arrival: Arrival, receipt_id: str, traits: Traits) -> Submission:
    side_car, values = read_side_car(arrival.side_car), traits.values
    header = _header(arrival, values)
    return Submission(
        id=str(uuid.uuid5(_ROOT, f"{receipt_id}:{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=header,
        recipients=_recipients(side_car, header, values),
        sender=header.authors[0],
        destinations=Destinations(professionals=True),
        urgency=side_car.urgency,
        control_id=arrival.reference,
        content_kind="pdf",
    )


def _header(arrival: Arrival, values: Mapping[str, str]) -> DocumentHeader:
    author = _author(values)
    code = values["document.type"]
    label = values.get("document.type_label") or values.get("document.title", "")
    system = _LOINC if code.replace("-", "").isdigit() else _OTHER_TYPES
    # The same file said to be the same thing is the same document, whoever sends it again.
    told = "\x1f".join(f"{name}={values[name]}" for name in sorted(values) if not name.startswith("recipient."))
    number = values.get("document.id") or f"2.25.{uuid.uuid5(_ROOT, hashlib.sha256(arrival.content).hexdigest() + told).int}"
    return DocumentHeader(
        unique_id=number,
        set_id=number,
        type=Code(code, system, label),
        title=values.get("document.title") or label or "Document",
        created=values["document.date"],
        patient=_identity(values),
        authors=(author,),
        custodian=author.organisation or Organisation(),
        body=BodyKind.PDF,
        legal_authenticator=author,
        model="pdf",
    )


def _identity(values: Mapping[str, str]) -> PatientIdentity:
    number, local = values.get("patient.ins", ""), values.get("patient.local_id", "")
    return PatientIdentity(
        birth_name=values["patient.birth_name"],
        first_given=values["patient.first_given"],
        birth_given_names=values.get("patient.birth_given_names", ""),
        used_name=values.get("patient.used_name", ""),
        used_given=values.get("patient.used_given", ""),
        birth_date=values["patient.birth_date"],
        sex=values.get("patient.sex", ""),
        birth_place_insee=values.get("patient.birth_place_insee", ""),
        ins=Ins(number, _INS_KINDS[values.get("patient.ins_kind", "")]) if number else None,
        local_ids=(LocalIdentifier(local, values.get("patient.local_authority", "")),) if local else (),
    )


def _author(values: Mapping[str, str]) -> Party:
    name, finess = values.get("author.organisation", ""), values.get("author.finess", "")
    place = Organisation(name=name, finess=finess) if name or finess else None
    professional = Professional(
        family=values["author.family"],
        given=values.get("author.given", ""),
        title=values.get("author.title", ""),
        rpps=values.get("author.rpps", ""),
    )
    return Party(professional, place, time=values["document.date"])


def _recipients(side_car: SideCar, header: DocumentHeader, values: Mapping[str, str]) -> tuple[Recipient, ...]:
    """The side-car's list, else the one that the name or the text tells; nobody leaves it to a person."""
    listed = recipients_of(side_car, header)
    rpps, finess = values.get("recipient.rpps", ""), values.get("recipient.finess", "")
    address = mail_address(values.get("recipient.address", ""))
    if listed or not (rpps or finess or "@" in address):
        return listed
    kind = RecipientKind.ORGANISATION if finess and not rpps and not address else RecipientKind.PROFESSIONAL
    return (Recipient(kind, address=address, rpps=rpps, finess=finess, role_hint="pdf"),)


def _warning(code: str, text: str, remedy: str) -> Finding:
    return Finding(Severity.WARNING, code, text, "PDF", remedy)
