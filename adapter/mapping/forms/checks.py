"""What is said of a form beyond its Questionnaire: national numbers, doubtful identities and answers, another version."""

from __future__ import annotations

from collections.abc import Iterator

from adapter.formats.form import FormContent
from adapter.mapping.forms.conditions import CheckedForm
from adapter.mapping.forms.header import matricule
from adapter.mapping.forms.questionnaire import Questionnaire
from adapter.mapping.rules import RuleFile
from adapter.mapping.transforms import transform_named
from adapter.model.finding import Finding, Severity
from adapter.model.identity import ins_is_valid


def findings_of(form: Questionnaire, content: FormContent, checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """All of them, in the order in which they are told."""
    return (
        *_version_finding(form, content),
        *_missing_places(form, content),
        *_identifier_findings(checked, rules),
        *_identity_findings(checked),
        *_doubtful_findings(checked, rules),
        *_forbidden_answers(checked, rules),
        *_expected_findings(checked, rules),
    )


def _version_finding(form: Questionnaire, content: FormContent) -> tuple[Finding, ...]:
    canonical = content.envelope.get("questionnaire", "")
    version = canonical.partition("|")[2] if isinstance(canonical, str) else ""
    if version in ("", form.version):
        return ()
    text = f"La réponse vise une autre version du formulaire que la version {form.version}."
    return (Finding(Severity.WARNING, "form.other-version", text, "questionnaire"),)


def _missing_places(form: Questionnaire, content: FormContent) -> tuple[Finding, ...]:
    """A sheet from which fields were taken out: its questions could not be answered."""
    if not content.places:
        return ()
    placeless = ("group", "attachment")
    asked = (q for q in form.walk() if q.kind not in placeless and not q.read_only and q.link_id not in content.places)
    return tuple(
        Finding(Severity.WARNING, "form.pdf-field-missing", f"« {q.text} » : ce champ manque dans le PDF.", q.link_id)
        for q in asked
    )


def _identifier_findings(checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """National numbers of the form: a wrong RPPS or FINESS is an error, a wrong matricule only stays unused."""
    found = []
    for link_id, told in rules.data.get("identifiers", {}).items():
        read = transform_named(told["with"])
        wrong = [value for value in checked.values_of(link_id) if not read(value)]
        found += [Finding(Severity.ERROR, "form.bad-identifier", told["text"], link_id) for _ in wrong]
    for value in checked.values_of("patient.ins"):
        if not ins_is_valid(matricule(value)):
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


def _expected_findings(checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """Answers that are expected and not required: their lack is told, and stops nothing."""
    return tuple(
        Finding(Severity.WARNING, "form.answer-expected", told["text"], told["question"])
        for told in rules.data.get("expected", [])
        if all(answer in checked.values_of(link_id) for link_id, answer in told["when"].items())
        and not checked.values_of(told["question"])
        and all(finding.location != told["question"] for finding in checked.findings)
    )


def _forbidden_answers(checked: CheckedForm, rules: RuleFile) -> Iterator[Finding]:
    """Answers with which the form is not sent: a refusal where an agreement is needed, a choice that was not asked."""
    for told in rules.data.get("must_be", []):
        spared = any(answer in checked.values_of(link_id) for link_id, answer in told.get("unless", {}).items())
        given = checked.values_of(told["question"])
        if given and told["answer"] not in given and not spared:
            yield Finding(Severity.ERROR, "form.not-allowed", told["text"], told["question"])
    unasked = {finding.location for finding in checked.findings if finding.code == "form.answer-not-expected"}
    for link_id, text in rules.data.get("unasked", {}).items():
        if link_id in unasked:
            yield Finding(Severity.ERROR, "form.contradiction", text, link_id)


def _doubtful_findings(checked: CheckedForm, rules: RuleFile) -> tuple[Finding, ...]:
    """Answers that hardly go together: kept as written, and told."""
    return tuple(
        Finding(Severity.WARNING, "form.doubtful-answers", told["text"], next(iter(told["when"])))
        for told in rules.data.get("doubtful", [])
        if all(answer in checked.values_of(link_id) for link_id, answer in told["when"].items())
    )
