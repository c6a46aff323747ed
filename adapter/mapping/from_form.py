"""A form that came in: inspected at the door, then understood as one request document with its envelope.

Law: the same answers are the same document, whatever the door, the file's layout or the shape (plain JSON or
QuestionnaireResponse): its unique id derives from the canonical answers alone. A form's identity is provisional (seam 14).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from adapter.data import mappings_root
from adapter.errors import InputError
from adapter.formats.form import FormContent, parse_form
from adapter.mapping.engine import Extraction, Values, extract
from adapter.mapping.form_conditions import CheckedForm, Derived, FormRules, check_form, shape_answers
from adapter.mapping.form_imaging import imaging_document
from adapter.mapping.form_questionnaire import Questionnaire, load_questionnaire
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.sources import JsonSource
from adapter.mapping.transforms import transform_named
from adapter.model.confidential import Confidential
from adapter.model.document import BodyKind, Code, DocumentHeader, ServiceEvent, Stay
from adapter.model.effects import Translation, UnreadNode
from adapter.model.finding import Finding, Severity, errors_of
from adapter.model.identity import INS_DEMO, INS_NIA, INS_NIR, INS_TEST, Ins, PatientIdentity, Telecom, ins_is_valid
from adapter.model.parties import Organisation, Party, Professional, Recipient, RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Inspection, MessageControl, Verdict
from adapter.model.request import RequestStep, StepKind
from adapter.model.submission import Destinations, Submission, Urgency

DEFAULT_FORM = "demande-imagerie"
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://traitdunion.example/fhir/forms")
_INS_KINDS = {"": INS_NIR, "NIR": INS_NIR, "NIA": INS_NIA, "TEST": INS_TEST, "DEMO": INS_DEMO}
_SEXES = {"F": "F", "M": "M", "inconnu": "UN"}
# The care setting: v3-ActCode class, its label, and PV1-2.
_SETTINGS = {"externe": ("AMB", "Externe", "O"), "hospitalise": ("IMP", "Hospitalisé", "I")}
# A header names its systems by OID, as the CDA headers that every rendition derives from.
_LOINC_OID = "2.16.840.1.113883.6.1"
_ACT_CODE_OID = "2.16.840.1.113883.5.4"
_MANY_DIGITS = Context(prec=200)  # more than the reader lets in: two numbers never become one


@dataclass(frozen=True, repr=False)
class _Reading(Confidential):
    """A form read and checked: everything that inspecting and understanding share."""

    slug: str
    content: FormContent
    checked: CheckedForm
    rules: RuleFile
    fingerprint: str
    number: str

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.checked.findings


def inspect_form(arrival: Arrival) -> Inspection:
    """What a door must know at once: the form, its number, and every error in it. Pure and bounded."""
    try:
        reading = _read(arrival)
    except InputError as error:
        finding = Finding(Severity.ERROR, error.code, error.message, error.where, error.remedy)
        fingerprint = hashlib.sha256(arrival.content).hexdigest()
        control = MessageControl(event=arrival.form, control_id=arrival.reference)
        return Inspection(ContentKind.FORM, Verdict.REFUSED, control, fingerprint, (finding,))
    dates = reading.checked.values_of("demande.date")
    control = MessageControl(
        event=reading.slug,
        control_id=reading.number or arrival.reference,
        version=reading.checked.questionnaire.version,
        sent_at=dates[0] if dates else "",
    )
    verdict = Verdict.REFUSED if errors_of(reading.findings) else Verdict.ACCEPTED
    return Inspection(ContentKind.FORM, verdict, control, reading.fingerprint, reading.findings)


def understand_form(arrival: Arrival, receipt_id: str) -> tuple[Translation, ...]:
    """The request document of an accepted form. Raises InputError with the first error of a form that is not."""
    reading = _read(arrival)
    for error in errors_of(reading.findings):
        raise InputError(error.code, error.text, where=error.location, remedy=error.remedy)
    source = JsonSource(reading.checked.values)
    found = extract(reading.rules, source)
    header = _header(reading, found)
    number = reading.number or header.unique_id
    media_type = _media_type(reading.content)
    assembled = arrival.received_at.astimezone(ZoneInfo(arrival.zone)).isoformat(timespec="seconds")
    bundle = imaging_document(reading.checked, found, reading.rules, header, number, arrival.content, media_type, assembled)
    unread = (*source.unread(), *_unread_envelope(reading))
    submission = _submission(arrival, receipt_id, header, found, reading)
    step = RequestStep(
        request_id=header.unique_id,
        kind=StepKind.REQUESTED,
        at=arrival.received_at,
        by=arrival.principal.name,
        answer_due=arrival.received_at + timedelta(hours=reading.rules.data["delays"]["answer_hours"]),
    )
    revision = f"{reading.slug}@{reading.rules.revision}.{reading.checked.questionnaire.revision}"
    return (Translation(submission, bundle, arrival.content, media_type, unread, reading.findings, (step,), revision),)


def _read(arrival: Arrival) -> _Reading:
    content = parse_form(arrival.content)
    slug = _slug_of(arrival, content)
    form, rules = load_questionnaire(slug), load_rules(f"forms/{slug}")
    zone = ZoneInfo(arrival.zone)
    shaped = shape_answers(form, content.answers)
    number = _number_of(shaped, content.envelope)
    checked = check_form(form, _form_rules(rules), shaped, zone, arrival.received_at.astimezone(zone).date())
    found = (
        *checked.findings,
        *_version_finding(form, content),
        *_identifier_findings(checked, rules),
        *_identity_findings(checked),
        *_doubtful_findings(checked, rules),
    )
    return _Reading(slug, content, CheckedForm(form, checked.values, found), rules, _fingerprint(slug, number, shaped), number)


def _slug_of(arrival: Arrival, content: FormContent) -> str:
    """The form: what the door knows, what the content says, else the default; the two must agree."""
    if arrival.form and content.slug and arrival.form != content.slug:
        raise InputError(
            "form.wrong-form", "Le contenu répond à un autre formulaire que celui de cette adresse.", where="questionnaire"
        )
    slug = arrival.form or content.slug or DEFAULT_FORM
    if not _SLUG.fullmatch(slug) or not (mappings_root() / "forms" / f"{slug}.questionnaire.json").is_file():
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
        not_after=[(earlier, later) for earlier, later in data["dates"]["not_after"]],
        not_in_future=data["dates"]["not_in_future"],
    )


def _fingerprint(slug: str, number: str, shaped: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical answers: sorted keys, no layout, numbers without idle zeros."""
    canonical = json.dumps([slug, number, _canonical(shaped)], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def _canonical(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _canonical(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_canonical(value) for value in data]
    if isinstance(data, Decimal | int) and not isinstance(data, bool):
        return str(Decimal(data).normalize(_MANY_DIGITS))
    return data


def _version_finding(form: Questionnaire, content: FormContent) -> tuple[Finding, ...]:
    canonical = content.envelope.get("questionnaire", "")
    version = canonical.partition("|")[2] if isinstance(canonical, str) else ""
    if version in ("", form.version):
        return ()
    text = f"La réponse vise une autre version du formulaire que la version {form.version}."
    return (Finding(Severity.WARNING, "form.other-version", text, "questionnaire"),)


def _identifier_findings(checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """National numbers of the form: a wrong RPPS or FINESS is an error, a wrong matricule only stays unused."""
    found = []
    for link_id, told in rules.data["identifiers"].items():
        read = transform_named(told["with"])
        wrong = [value for value in checked.values_of(link_id) if not read(value)]
        found += [Finding(Severity.ERROR, "form.bad-identifier", told["text"], link_id) for _ in wrong]
    for value in checked.values_of("patient.ins"):
        if not ins_is_valid(_matricule(value)):
            text = "La clé du matricule INS est fausse : il n’est pas utilisé, l’identité reste provisoire."
            found.append(Finding(Severity.WARNING, "ins.wrong-key", text, "patient.ins"))
        else:
            text = "Matricule INS gardé pour le rapprochement d’identité, non transmis tant qu’une personne ne l’a pas confirmé."
            found.append(Finding(Severity.INFORMATION, "form.ins-withheld", text, "patient.ins"))
    return tuple(found)


def _identity_findings(checked: CheckedForm) -> tuple[Finding, ...]:
    """Birth dates that often stand for another: an unknown day is written 1 January, or not written at all."""
    for birth in checked.values_of("patient.date-naissance"):
        if birth.endswith("-01-01") or len(birth) < len("1979-01-01"):
            text = "Date de naissance partielle ou au 1er janvier : à vérifier lors du rapprochement d’identité."
            return (Finding(Severity.INFORMATION, "form.conventional-birth-date", text, "patient.date-naissance"),)
    return ()


def _doubtful_findings(checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """Answers that hardly go together: kept as written, and told."""
    return tuple(
        Finding(Severity.WARNING, "form.doubtful-answers", told["text"], next(iter(told["when"])))
        for told in rules.data.get("doubtful", [])
        if all(answer in checked.values_of(link_id) for link_id, answer in told["when"].items())
    )


def _unread_envelope(reading: _Reading) -> tuple[UnreadNode, ...]:
    """What a QuestionnaireResponse holds besides answers and that no rule names, and item leaves that no answer took."""
    source = JsonSource(reading.content.envelope)
    for name in reading.rules.data["envelope"]:
        source.ignore(name)
    leaves = tuple(UnreadNode(path, excerpt) for path, excerpt in reading.content.unused)
    return (*source.unread(), *leaves)


def _media_type(content: FormContent) -> str:
    return "application/fhir+json" if content.envelope else "application/json"


# The envelope and the header


def _header(reading: _Reading, found: Extraction) -> DocumentHeader:
    unique_id = f"2.25.{uuid.uuid5(_ROOT, reading.fingerprint).int}"
    request, told = found.one("request"), reading.rules.data["document"]
    code = Code(told["type"], _LOINC_OID, told["type_label"])
    author = _author(found.one("prescriber"), request["date"])
    setting, label, _ = _SETTINGS[request["setting"]]
    custodian = _custodian(found.one("prescriber"))
    return DocumentHeader(
        unique_id=unique_id,
        set_id=unique_id,
        type=code,
        title=told["title"],
        created=request["date"],
        patient=_identity(found.one("patient")),
        authors=(author,),
        legal_authenticator=author,
        custodian=custodian,
        body=BodyKind.FORM,
        service_events=(ServiceEvent(code=code, start=request["date"], performer=author),),
        stay=Stay(
            class_code=setting, class_system=_ACT_CODE_OID, class_label=label, start=request["date"], organisation=custodian
        ),
        model=reading.slug,
    )


def _identity(patient: Values) -> PatientIdentity:
    """The traits as written, provisional; the name is a birth name only if the form says so, else it stands for it."""
    matricule = _matricule(patient["ins"])
    phone = patient["phone"]
    return PatientIdentity(
        birth_name=patient["birth_name"] or patient["name"],
        used_name=patient["name"] if patient["birth_name"] else "",
        first_given=patient["given"],
        birth_date=patient["birth_date"],
        sex=_SEXES.get(patient["sex"], ""),
        ins=Ins(matricule, _INS_KINDS[patient["ins_kind"]]) if ins_is_valid(matricule) else None,
        telecoms=(Telecom("phone", phone),) if phone else (),
    )


def _matricule(written: str) -> str:
    return "".join(written.split()).upper()


def _custodian(prescriber: Values) -> Organisation:
    """The structure that keeps the request: the prescriber's own, by its name, else by the department's."""
    return Organisation(name=prescriber["organisation"] or prescriber["service"], finess=prescriber["finess"])


def _author(prescriber: Values, time: str) -> Party:
    """The prescriber in their department, whose phone line the hospital calls back."""
    department = ", ".join(dict.fromkeys(part for part in (prescriber["service"], prescriber["organisation"]) if part))
    professional = Professional(
        family=prescriber["family"],
        given=prescriber["given"],
        rpps=prescriber["rpps"],
        telecoms=(Telecom("phone", prescriber["phone"], "work"),),
    )
    return Party(professional, Organisation(name=department, finess=prescriber["finess"]), time=time)


def _submission(arrival: Arrival, receipt_id: str, header: DocumentHeader, found: Extraction, reading: _Reading) -> Submission:
    request = found.one("request")
    target = Recipient(kind=RecipientKind.ORGANISATION, name=request["site"], role_hint=f"form-target:{reading.slug}")
    return Submission(
        id=str(uuid.uuid5(_ROOT, f"{receipt_id}/{header.unique_id}")),
        receipt_id=receipt_id,
        legal_entity=arrival.principal.legal_entity,
        document=header,
        recipients=(target,),
        sender=header.authors[0],
        destinations=Destinations(professionals=True),
        urgency=Urgency(request["urgency"]),
        encounter_class=_SETTINGS[request["setting"]][2],
        control_id=reading.number or arrival.reference,
        content_kind="form",
    )
