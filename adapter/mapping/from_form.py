"""A form that came in: inspected at the door, then understood as one request document with its envelope.

Law: the same answers are the same document, whatever the door, the file's layout or the shape (plain JSON,
QuestionnaireResponse or PDF): its unique id derives from the answers as understood. A form's identity is provisional (seam 14).
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from adapter import __version__
from adapter.errors import InputError
from adapter.fhir.account import Maker, with_account
from adapter.fhir.document import document_ids
from adapter.formats.form import FormContent, parse_form
from adapter.formats.pdf_form import is_pdf, parse_pdf_form
from adapter.mapping.account import Account, ignored_patterns
from adapter.mapping.engine import Extraction, extract
from adapter.mapping.forms.builders import builder_named
from adapter.mapping.forms.checks import findings_of
from adapter.mapping.forms.conditions import CheckedForm, Derived, FormRules, check_form, shape_answers
from adapter.mapping.forms.delays import answer_hours
from adapter.mapping.forms.facts import FormFacts
from adapter.mapping.forms.header import form_header, patient_class
from adapter.mapping.forms.paper_origin import origin_of
from adapter.mapping.forms.places import form_places
from adapter.mapping.forms.questionnaire import form_slugs, load_questionnaire
from adapter.mapping.forms.safety import MetforminAlert, metformin_alert
from adapter.mapping.legal import check_letter, is_letter_type
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.sources import JsonSource
from adapter.mapping.terminology import terminology_revision
from adapter.model.confidential import Confidential
from adapter.model.document import DocumentHeader
from adapter.model.effects import Translation, UnreadNode
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.request import Asked, RequestAnswer, RequestStep, StepKind, Terms, TermsOf, no_terms
from adapter.model.submission import Destinations, Submission, Urgency

DEFAULT_FORM = "demande-imagerie"
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/fhir/forms")
_MANY_DIGITS = Context(prec=200)  # more than the reader lets in: two numbers never become one


@dataclass(frozen=True, repr=False)
class _Extracted(Confidential):
    """What the rules found in the answers, what they read of them, and the directory's word on it: worked out once."""

    source: JsonSource
    found: Extraction
    terms: Terms


@dataclass(frozen=True, repr=False)
class _Reading(Confidential):
    """A form read and checked: everything that inspecting and understanding share.

    `extracted` is there where the form's own search needed it.
    """

    slug: str
    content: FormContent
    checked: CheckedForm
    rules: RuleFile
    fingerprint: str
    number: str
    alert: MetforminAlert | None
    extracted: _Extracted | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.checked.findings


def _target_words(reading: _Reading, found: Extraction) -> str:
    """The target's name as the form shows it, else as it is written."""
    written = str(found.one("request")["target"])
    question = reading.rules.groups["request"].fields["target"].paths[0]
    option = reading.checked.questionnaire.question(question).option(written)
    return option.display if option else written


def _key_of(arrival: Arrival) -> str:
    """The key that an HTTP client chose; a file's name is none, and may name the patient."""
    return arrival.reference if arrival.door == "http" else ""


def inspect_form(arrival: Arrival, terms_of: TermsOf = no_terms) -> Inspection:
    """What a door must know at once: the form, its number, and every error in it. Pure and bounded."""
    try:
        reading = _read(arrival, terms_of)
    except InputError as error:
        finding = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
        fingerprint = hashlib.sha256(arrival.content).hexdigest()
        control = MessageControl(event=arrival.form, control_id=_key_of(arrival))
        return Inspection(ContentKind.FORM, Verdict.REFUSED, control, fingerprint, (finding,))
    dates = reading.checked.values_of("demande.date")
    control = MessageControl(
        event=reading.slug,
        control_id=reading.number or _key_of(arrival),
        version=reading.checked.questionnaire.version,
        sent_at=dates[0] if dates else "",
    )
    verdict = Verdict.REFUSED if errors_of(reading.findings) else Verdict.ACCEPTED
    findings = reading.findings
    if verdict is Verdict.ACCEPTED and is_letter_type(reading.rules.data["document"]["type"]):
        # Its sender is told what the law misses in it: that is read in the document, which this one form has made at once.
        findings = understand_form(arrival, "")[0].findings
    return Inspection(
        ContentKind.FORM, verdict, control, reading.fingerprint, findings,
        envelope=lambda receipt_id: (_submission(arrival, receipt_id, *_header_and_values(reading), reading),),
    )  # fmt: skip


def understand_form(arrival: Arrival, receipt_id: str, terms_of: TermsOf = no_terms) -> tuple[Translation, ...]:
    """The request document of an accepted form. Raises InputError with the first error of a form that is not.

    `terms_of` is the directory's word on pathway and delays; without one, the form's own hold.
    """
    reading = _read(arrival, terms_of)
    for error in errors_of(reading.findings):
        raise InputError(error.code, error.text, where=error.location, remedy=error.remedy)
    extracted = reading.extracted or _extracted(arrival, reading.slug, reading.rules, reading.checked, terms_of)
    found, terms = extracted.found, extracted.terms
    header = _header(reading, found)
    media_type = reading.content.media_type
    facts = FormFacts(
        checked=reading.checked,
        found=found,
        rules=reading.rules,
        header=header,
        number=reading.number or header.unique_id,
        source=arrival.content,
        media_type=media_type,
        assembled=arrival.received_at.astimezone(ZoneInfo(arrival.zone)).isoformat(timespec="seconds"),
        terms=terms,
        alert=reading.alert,
        paper=origin_of(arrival),
    )
    bundle = builder_named(reading.rules.data["document"]["builder"], reading.slug)(facts)
    account = extracted.source.account() + _envelope_account(reading)
    submission = _submission(arrival, receipt_id, header, found, reading)
    revision = f"{reading.slug}@{reading.rules.revision}.{reading.checked.questionnaire.revision}.{terminology_revision()}"
    ids = document_ids(header, arrival.content)
    # Nothing is listed as left: the filled form inside holds every answer, whatever the rules made of it.
    maker = Maker(__version__, revision)
    bundle = with_account(bundle, ids.mint("Binary", "source"), ids.mint("Provenance"), maker, ())
    legal, told = check_letter(header, bundle)
    translation = Translation(
        submission=submission,
        bundle=bundle,
        source_document=arrival.content,
        source_media_type=media_type,
        unread=account.unread,
        findings=reading.findings + told,
        steps=_steps(arrival, header, reading.rules, terms),
        answer=_answer(arrival, header, facts),
        mapping_revision=revision,
        read_count=account.read_count,
        ignored=ignored_patterns(reading.rules.data.get("envelope", {}), account.ignored),
        legal=legal,
        source_map=form_places(bundle, ids, reading.checked.questionnaire),
    )
    return (translation,)


def _header_and_values(reading: _Reading) -> tuple[DocumentHeader, Extraction]:
    """What the envelope is made of."""
    found = reading.extracted.found if reading.extracted else extract(reading.rules, JsonSource(reading.checked.values))
    return _header(reading, found), found


def _header(reading: _Reading, found: Extraction) -> DocumentHeader:
    number = f"2.25.{uuid.uuid5(_ROOT, reading.fingerprint).int}"
    return form_header(reading.slug, number, found, reading.rules, _target_words(reading, found))


def _read(arrival: Arrival, terms_of: TermsOf) -> _Reading:
    content = parse_pdf_form(arrival.content) if is_pdf(arrival.content) else parse_form(arrival.content)
    slug = _slug_of(arrival, content)
    form, rules = load_questionnaire(slug), load_rules(f"forms/{slug}")
    zone = ZoneInfo(arrival.zone)
    shaped = shape_answers(form, content.answers)
    number = _number_of(shaped, content.envelope)
    checked = check_form(form, _form_rules(rules), shaped, zone, arrival.received_at.astimezone(zone).date())
    found = (*content.findings, *checked.findings, *findings_of(form, content, checked, rules))
    # A form that is refused is no request: nothing is searched in it.
    is_searched = "safety" in rules.data and not errors_of(found)
    extracted = _extracted(arrival, slug, rules, checked, terms_of) if is_searched else None
    alert = metformin_alert(checked, rules, switched_off=_is_switched_off(extracted.terms)) if extracted else None
    found += (alert.finding(),) if alert else ()
    # Answers that cannot all be read are told apart as they were written.
    fingerprint = _fingerprint(slug, number, shaped if errors_of(found) else checked.values)
    return _Reading(slug, content, CheckedForm(form, checked.values, found), rules, fingerprint, number, alert, extracted)


def _extracted(arrival: Arrival, slug: str, rules: RuleFile, checked: CheckedForm, terms_of: TermsOf) -> _Extracted:
    source = JsonSource(checked.values)
    found = extract(rules, source)
    return _Extracted(source, found, terms_of(_asked(arrival, slug, found)))


def _is_switched_off(terms: Terms) -> bool:
    """The site that receives the form does not want its search."""
    return "metformin" in terms.switched_off


def _slug_of(arrival: Arrival, content: FormContent) -> str:
    """The form: what the door knows, what the content says, else the default; the two must agree."""
    if arrival.form and content.slug and arrival.form != content.slug:
        raise InputError(
            "form.wrong-form", "Le contenu répond à un autre formulaire que celui de cette adresse.", where="questionnaire"
        )
    slug = arrival.form or content.slug or DEFAULT_FORM
    if slug not in form_slugs():
        raise InputError("form.unknown-form", "Ce formulaire n’existe pas.", where="formulaire")
    return slug


def _number_of(shaped: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
    """The form's own number: its answer, else the response's identifier."""
    written = shaped.get("numero")
    if isinstance(written, str | int | Decimal) and not isinstance(written, bool):
        return str(written)
    identifier = envelope.get("identifier")
    value = identifier.get("value") if isinstance(identifier, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _form_rules(rules: RuleFile) -> FormRules:
    data = rules.data
    return FormRules(
        aliases=data.get("aliases", {}),
        derived={key: Derived(**value) for key, value in data.get("computed", {}).items()},
        contradictions=data.get("contradictions", {}),
        denials=("N", False, *data.get("denials", ())),
        not_after=[(earlier, later) for earlier, later in data.get("dates", {}).get("not_after", ())],
        not_in_future=data.get("dates", {}).get("not_in_future", ()),
    )


def _fingerprint(slug: str, number: str, answers: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical answers: sorted keys, no layout, numbers without idle zeros, the form's number said once."""
    others = {key: value for key, value in answers.items() if key != "numero"}
    canonical = json.dumps([slug, number, _canonical(others)], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _canonical(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _canonical(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_canonical(value) for value in data]
    if isinstance(data, Decimal | int) and not isinstance(data, bool):
        return str(Decimal(data).normalize(_MANY_DIGITS))
    return data


def _envelope_account(reading: _Reading) -> Account:
    """What a QuestionnaireResponse holds besides answers, named by the rules or not, and item leaves that no answer took."""
    source = JsonSource(reading.content.envelope)
    for name in reading.rules.data.get("envelope", {}):
        source.ignore(name)
    return source.account() + Account(tuple(UnreadNode(path, excerpt) for path, excerpt in reading.content.unused))


def _asked(arrival: Arrival, slug: str, found: Extraction) -> Asked:
    """What the directory is asked: the agreement in force on the day of the request rules (domain §3)."""
    request = found.one("request")
    finess = found.one("author").get("finess", "")
    written = request["date"][:10]
    received = arrival.received_at.astimezone(ZoneInfo(arrival.zone)).date()
    on = date.fromisoformat(written) if len(written) == 10 else received
    return Asked(slug, request["target"], finess, arrival.principal.legal_entity, on)


def _answer(arrival: Arrival, header: DocumentHeader, facts: FormFacts) -> RequestAnswer | None:
    """What an answer (a form with `[answer.steps]`) makes of the request whose number it gives."""
    told = facts.rules.data.get("answer")
    if told is None:
        return None
    request = facts.request
    step = RequestStep(
        request_id="",
        kind=StepKind(told["steps"][request["decision"]]),
        at=arrival.received_at,
        by=arrival.principal.name,
        note=request["why"],
        planned_start=request["start"],
        planned_end=request["end"],
        answer_document=header.unique_id,
    )
    return RequestAnswer(request["answers"], step)


def _steps(arrival: Arrival, header: DocumentHeader, rules: RuleFile, terms: Terms) -> tuple[RequestStep, ...]:
    """The first step of a request, and when its answer is owed; a form without `[delays]` only informs and has none."""
    if "delays" not in rules.data:
        return ()
    hours = answer_hours(rules, terms)
    paper = origin_of(arrival)
    received_at = paper.received_at if paper is not None else arrival.received_at
    step = RequestStep(
        request_id=header.unique_id,
        kind=StepKind.REQUESTED,
        at=received_at,
        by=arrival.principal.name,
        answer_due=received_at + timedelta(hours=hours) if hours is not None else None,
    )
    return (step,)


def _submission(arrival: Arrival, receipt_id: str, header: DocumentHeader, found: Extraction, reading: _Reading) -> Submission:
    """The envelope; the form names its target, which the directory resolves, and its urgency in its own word."""
    request = found.one("request")
    target = Recipient(kind=RecipientKind.ORGANISATION, name=request["target"], role_hint=f"form-target:{reading.slug}")
    written = request.get("urgency", "")
    return Submission(
        id=str(uuid.uuid5(_ROOT, f"{receipt_id}/{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=header,
        recipients=(target,),
        sender=header.authors[0],
        destinations=Destinations(professionals=True),
        urgency=Urgency(reading.rules.data.get("urgency", {}).get(written, written)),
        encounter_class=patient_class(request, reading.rules),
        control_id=reading.number or _key_of(arrival),
        content_kind="form",
    )
