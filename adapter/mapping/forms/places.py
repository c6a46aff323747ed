"""The way back from a resource, and from its elements, to the questions whose answers made it: linkId and French wording.

The extraction rules say which question fills which field; told here is which field fills which element. A resource that the form
itself names (`[conditions]`) bears its question in its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from adapter.fhir.bundle import Ids
from adapter.fhir.locate import question_words
from adapter.mapping.forms.questionnaire import Questionnaire, load_questionnaire
from adapter.mapping.rules import RuleFile, load_rules

# Element → field of the rules, by kind of resource, and by the name under which its id was minted. The empty element stands for
# all that has no line of its own.
_Made = Mapping[str, str]
_KINDS: Mapping[str, _Made] = {
    "Composition": {"date": "request.date", "author": "author.family", "custodian": "author.organisation"},
    "Patient": {
        "": "patient.name",
        "name": "patient.name",
        "birthDate": "patient.birth_date",
        "gender": "patient.sex",
        "identifier": "patient.ins",
        "telecom": "patient.phone",
        "address": "patient.address",
        "contact": "contact.name",
    },
    "Practitioner": {"": "author.family", "name": "author.family", "identifier": "author.rpps", "telecom": "author.phone"},
    "PractitionerRole": {"": "author.family", "telecom": "author.phone", "organization": "author.service"},
    "Organization": {"": "author.organisation", "identifier": "author.finess", "name": "author.organisation"},
    "Encounter": {"": "request.setting", "period": "request.date"},
    "ServiceRequest": {
        "": "request.reason",
        "identifier": "request.number",
        "requisition": "request.number",
        "priority": "request.urgency",
        "authoredOn": "request.date",
        "occurrencePeriod": "request.date",
        "reasonCode": "request.reason",
        "performer": "request.target",
        "code": "request.stay",
        "category": "request.stay",
    },
    "Appointment": {"": "request.answers", "start": "request.start", "end": "request.end"},
    "Flag": {"": "request.isolation", "code": "request.isolation_kind"},
    "DocumentReference": {"": "letter.title"},
    "MedicationStatement": {"": "request.treatment"},
    "AllergyIntolerance": {"": "checklist.allergy"},
}
# The same where a form asks it elsewhere: the first field that its rules have is the one.
_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "request.reason": ("request.reason", "request.aim", "request.question", "request.wanted", "request.summary"),
    "request.stay": ("request.stay", "request.mode", "request.kind"),
    "request.setting": ("request.setting", "request.stay", "request.date"),
    "request.treatment": ("checklist.treatment", "request.treatment"),
    "author.organisation": ("author.organisation", "author.service"),
    "author.service": ("author.service", "author.organisation"),
    "patient.phone": ("patient.phone", "patient.mobile", "patient.home_phone"),
}
_EXAM: _Made = {"code": "exams.region", "category": "exams.modality", "bodySite": "exams.region", "identifier": "request.number"}
_NAMED: Mapping[tuple[str, str], _Made] = {
    ("Observation", "creatinine"): {
        "": "checklist.creatinine",
        "effectiveDateTime": "checklist.creatinine_date",
        "valueQuantity": "checklist.creatinine",
    },
    ("Observation", "creatinine|umol/L"): {
        "": "checklist.creatinine",
        "effectiveDateTime": "checklist.creatinine_date",
    },
    ("Observation", "weight"): {"": "patient.weight"},
    ("Observation", "term"): {"": "patient.term"},
    ("Observation", "informed"): {"": "request.informed"},
    ("DetectedIssue", "metformin"): {"": "checklist.treatment"},
    ("DocumentReference", "letter"): {"": "letter.title"},
}
# What is listed: the resources of a kind are minted by their rank among the answers of a repeated group.
_LISTED = {
    "MedicationStatement": {"": "treatments.name", "dosage": "treatments.dosage", "note": "treatments.note"},
    "AllergyIntolerance": {"": "allergies.product", "reaction": "allergies.reaction"},
    "Condition": {"": "history.name", "onsetDateTime": "history.since"},
    "Procedure": {"": "surgery.name", "performedDateTime": "surgery.date"},
    "DocumentReference": {"": "pieces.title"},
    "ServiceRequest": {"": "exams.region", **_EXAM},
}


def form_places(bundle: Mapping[str, Any], ids: Ids, form: Questionnaire) -> dict[str, str]:
    """For each resource id, and each `id.element` that is known better, the question that it comes from."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    names = _names(Counter(resource["resourceType"] for resource in resources), form, ids)
    places: dict[str, str] = {}
    for resource in resources:
        kind, made = resource["resourceType"], str(resource["id"])
        name = names.get(made, "")
        key = "Composition" if kind == "Composition" else made
        rank, told = (name, "") if name.isdigit() else ("", name)
        for element, words in _questions_of(form.slug, kind, told, is_ranked=bool(rank)):
            places[f"{key}.{element}" if element else key] = words.replace(".*", f"[{rank}]")
    return places


@lru_cache(maxsize=1024)
def _questions_of(slug: str, kind: str, name: str, *, is_ranked: bool) -> tuple[tuple[str, str], ...]:
    """Elements of such a resource and the question of each, `.*` where the rank of a repeated group stands."""
    known = {question.link_id: question.text for question in load_questionnaire(slug).walk()}
    rules = load_rules(f"forms/{slug}")
    found = {}
    for element, field in _fields(kind, name, rules, is_ranked=is_ranked):
        link_id = field if field in known else _link_of(field, rules)
        if link_id.replace(".*", "") not in known:  # a part of an answer: of a file, its title
            link_id = link_id.rpartition(".")[0]
        if link_id.replace(".*", "") in known:
            shown = link_id if is_ranked else link_id.replace(".*", "")
            found[element] = question_words(shown, known[link_id.replace(".*", "")])
    return tuple(found.items())


def _names(kinds: Mapping[str, int], form: Questionnaire, ids: Ids) -> dict[str, str]:
    """Under which name a resource's id was minted: its rank in a list, a name of ours, or a question."""
    found = {ids.mint(kind, str(rank)): str(rank) for kind, count in kinds.items() for rank in range(1, count + 1)}
    found |= {ids.mint(kind, *name.split("|")): name for kind, name in _NAMED if kind in kinds}
    if "Condition" in kinds:
        found |= {ids.mint("Condition", question.link_id): question.link_id for question in form.walk()}
    return found


def _fields(kind: str, name: str, rules: RuleFile, *, is_ranked: bool) -> Iterator[tuple[str, str]]:
    """Element and field, the general ones first: what is said more precisely of a resource comes after, and wins."""
    yield from _KINDS.get(kind, {}).items()
    if is_ranked:
        group = _LISTED.get(kind, {}).get("", "").partition(".")[0]
        yield from _LISTED.get(kind, {}).items() if group in rules.groups else ()
    elif (kind, name) in _NAMED:
        yield from _NAMED[kind, name].items()
    elif name:
        yield "", name


def _link_of(field: str, rules: RuleFile) -> str:
    """The linkId of a field of the rules, `.*` where its group repeats; empty when the form has no such field."""
    for candidate in _ELSEWHERE.get(field, (field,)):
        group_name, _, name = candidate.partition(".")
        group = rules.groups.get(group_name)
        if group is not None and name in group.fields:
            path = group.fields[name].paths[0]
            return f"{group.base}.{path}" if group.base else path
    return ""
