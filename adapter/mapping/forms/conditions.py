"""A form's answers against its Questionnaire: unknown keys, types, conditions, what is required. All errors at once.

Law: an answer is never dropped in silence. A key that no question has is an error (a typo must not lose an answer); an answer
whose question was not to be asked is kept and told; one that contradicts another (`[contradictions]`) is an error.
Each finding speaks the question's own French wording; its location is the linkId (`examens[2].region` in a repeated group).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo

from adapter.formats.form import safe_key
from adapter.mapping.forms.questionnaire import Condition, Question, Questionnaire
from adapter.mapping.forms.values import UnreadableAnswerError, plain, read_answer, years_between
from adapter.model.confidential import Confidential
from adapter.model.finding import Finding, Severity

MAX_UNKNOWN_KEYS = 20  # of one group: a hostile form must not buy a long answer
_YES_NO: dict[Any, str] = {True: "Oui", False: "Non"}


@dataclass(frozen=True)
class Derived:
    """A read-only answer that the software computes: under `years` at the day of `on`, from the birth date `birth`."""

    birth: str
    on: str
    years: int


@dataclass(frozen=True)
class FormRules:
    """What a form's TOML adds to its Questionnaire: usual words, computed answers, contradictions, order of dates.

    `denials` are the answers that deny what hangs on them (`[contradictions]`), beside no.
    """

    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    derived: Mapping[str, Derived] = field(default_factory=dict)
    contradictions: Mapping[str, str] = field(default_factory=dict)
    denials: Sequence[Any] = ("N", False)
    not_after: Sequence[tuple[str, str]] = ()
    not_in_future: Sequence[str] = ()


@dataclass(frozen=True, repr=False)
class CheckedForm(Confidential):
    """Typed answers nested as the Questionnaire, and all that is to be said on them."""

    questionnaire: Questionnaire
    values: dict[str, Any]
    findings: tuple[Finding, ...]

    def values_of(self, link_id: str) -> list[Any]:
        """All values of a question, over the repeats of its group."""
        return _values_at(self.values, link_id.split("."))


def shape_answers(form: Questionnaire, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Answers in their one canonical shape: texts trimmed, nothing empty, a repeated group always a list."""
    shaped: dict[str, Any] = _without_empty(answers) or {}
    for question in form.items:
        if question.kind == "group" and question.repeats and isinstance(shaped.get(question.key), dict):
            shaped[question.key] = [shaped[question.key]]
    return shaped


def _without_empty(data: Any) -> Any:
    if isinstance(data, Mapping):
        kept = {key: _without_empty(value) for key, value in data.items()}
        return {key: value for key, value in kept.items() if value not in (None, "", [], {})}
    if isinstance(data, list):
        return [value for value in map(_without_empty, data) if value not in (None, "", [], {})]
    return data.strip() if isinstance(data, str) else data


def check_form(form: Questionnaire, rules: FormRules, shaped: Mapping[str, Any], zone: ZoneInfo, today: date) -> CheckedForm:
    """Read and check shaped answers; `today` is the civil day at which they came."""
    reader = _Reader(rules, zone)
    values = reader.group(form.items, shaped, "")
    _derive(form, rules, values, reader)
    _Conditions(form, rules, values, reader).check()
    _check_dates(form, rules, values, today, reader)
    return CheckedForm(form, values, tuple(reader.findings))


class _Reader:
    """Reads written answers to typed values, noting what is unknown or unreadable."""

    def __init__(self, rules: FormRules, zone: ZoneInfo) -> None:
        self._rules = rules
        self._zone = zone
        self.findings: list[Finding] = []
        self.faulty: set[str] = set()

    def tell(self, severity: Severity, code: str, text: str, location: str, remedy: str = "") -> None:
        """Note a finding; an error also marks its place, so that one fault is told once."""
        if severity is Severity.ERROR:
            self.faulty.add(location)
        self.findings.append(Finding(severity, code, text, location, remedy))

    def group(self, questions: Sequence[Question], raw: Any, path: str) -> dict[str, Any]:
        """The values of one group (or of the form) from the object that answers it."""
        if not isinstance(raw, Mapping):
            self.tell(Severity.ERROR, "form.wrong-shape", "Un groupe de réponses (objet JSON) est attendu.", path)
            return {}
        known = {question.key: question for question in questions}
        values: dict[str, Any] = {}
        for question in questions:
            if question.key in raw:
                self._answer(question, raw[question.key], _join(path, question.key), values)
        unknown = [(position, key) for position, key in enumerate(raw, start=1) if key not in known]
        for position, key in unknown[:MAX_UNKNOWN_KEYS]:
            self._unknown_key(key, position, path, list(known))
        if len(unknown) > MAX_UNKNOWN_KEYS:
            text = f"{len(unknown)} clés ne sont pas des questions du formulaire ; les premières sont citées."
            self.tell(Severity.ERROR, "form.too-many-unknown-keys", text, path)
        return values

    def _unknown_key(self, key: str, position: int, path: str, known: list[str]) -> None:
        close = _closest(plain(key).replace(" ", "-"), known)
        remedy = f"Vouliez-vous écrire « {_join(path, close)} » ?" if close else "Voir les clés du questionnaire."
        text = "Cette clé n’est pas une question du formulaire : sa réponse serait perdue."
        self.tell(Severity.ERROR, "form.unknown-key", text, _join(path, safe_key(key, position)), remedy)

    def _answer(self, question: Question, raw: Any, path: str, values: dict[str, Any]) -> None:
        if question.kind == "group" and question.repeats:
            self._repeated_group(question, raw, path, values)
        elif question.kind == "group":
            values[question.key] = self.group(question.items, raw, path)
        elif question.repeats:
            entries = raw if isinstance(raw, list) else [raw]
            read = [self._value(question, entry, f"{path}[{n}]") for n, entry in enumerate(entries, start=1)]
            values[question.key] = [value for value in read if value is not None]
        elif (value := self._value(question, raw, path)) is not None:
            values[question.key] = value

    def _repeated_group(self, question: Question, raw: Any, path: str, values: dict[str, Any]) -> None:
        if not isinstance(raw, list):
            self.tell(Severity.ERROR, "form.wrong-shape", f"« {question.text} » : une liste est attendue.", path)
            return
        if question.most and len(raw) > question.most:
            self.tell(Severity.ERROR, "form.too-many", f"« {question.text} » : {question.most} au plus.", path)
            return
        values[question.key] = [self.group(question.items, entry, f"{path}[{n}]") for n, entry in enumerate(raw, start=1)]

    def _value(self, question: Question, raw: Any, path: str) -> Any:
        if isinstance(raw, list) or (isinstance(raw, Mapping) and question.kind != "attachment"):
            self.tell(Severity.ERROR, "form.wrong-type", f"« {question.text} » : une seule réponse est attendue.", path)
            return None
        try:
            reading = read_answer(question, raw, self._rules.aliases.get(question.link_id, {}), self._zone)
        except UnreadableAnswerError as unreadable:
            text = f"La réponse à « {question.text} » ne peut pas être lue."
            self.tell(Severity.ERROR, unreadable.code, text, path, unreadable.remedy)
            return None
        if reading.assumed:
            text = f"« {question.text} » : heure sans fuseau, lue à l’heure de {self._zone.key}."
            self.tell(Severity.INFORMATION, reading.assumed, text, path)
        return reading.value


def _closest(key: str, known: list[str]) -> str:
    """The known key that a typing slip may have meant: a shortened one, else the nearest; empty when none is near."""
    shortened = [candidate for candidate in known if len(key) > 2 and candidate.startswith(key)]
    return next(iter([*shortened, *get_close_matches(key, known, n=1, cutoff=0.75)]), "")


def _derive(form: Questionnaire, rules: FormRules, values: dict[str, Any], reader: _Reader) -> None:
    """Put the computed answers in their place; one that the sender wrote must agree."""
    for link_id, rule in rules.derived.items():
        birth = _values_at(values, rule.birth.split("."))
        on = _values_at(values, rule.on.split("."))
        if not birth or not on:
            continue
        computed = years_between(birth[0], on[0]) < rule.years
        parent, _, key = link_id.rpartition(".")
        group = values.setdefault(parent, {}) if parent else values
        if group.get(key, computed) is not computed:
            text = f"« {form.question(link_id).text} » : cette réponse est calculée et ne s’accorde pas avec les dates."
            reader.tell(Severity.ERROR, "form.contradiction", text, link_id)
        group[key] = computed


class _Conditions:
    """Applies enableWhen and required over typed values."""

    def __init__(self, form: Questionnaire, rules: FormRules, values: dict[str, Any], reader: _Reader) -> None:
        self._form = form
        self._rules = rules
        self._values = values
        self._reader = reader

    def check(self) -> None:
        """Note each required answer that lacks and each answer that was not asked."""
        self._level(self._form.items, self._values, "", True)

    def _level(self, questions: Sequence[Question], values: Mapping[str, Any], path: str, asked: bool) -> None:
        for question in questions:
            place = _join(path, question.key)
            enabled = asked and self._is_asked(question, values, path)
            value = values.get(question.key)
            if question.kind == "group":
                self._group(question, value, place, enabled)
            elif value is None and enabled and question.required:
                self._missing(question, place)
            elif value is not None and not enabled:
                self._not_asked(question, place)

    def _group(self, question: Question, value: Any, place: str, enabled: bool) -> None:
        if not question.repeats:
            self._level(question.items, value or {}, place, enabled)
        elif not value and question.required and enabled:
            self._missing(question, place)
        for number, entry in enumerate(value or [] if question.repeats else [], start=1):
            self._level(question.items, entry, f"{place}[{number}]", enabled)

    def _is_asked(self, question: Question, values: Mapping[str, Any], path: str) -> bool:
        if not question.conditions:
            return True
        held = [self._holds(condition, values, path) for condition in question.conditions]
        return any(held) if question.any_condition else all(held)

    def _holds(self, condition: Condition, values: Mapping[str, Any], path: str) -> bool:
        found = self._answers_to(condition.question, values, path)
        match condition.operator:
            case "exists":
                return bool(found) is condition.answer
            case "=":
                return condition.answer in found
            case _:
                return any(answer != condition.answer for answer in found)

    def _answers_to(self, link_id: str, values: Mapping[str, Any], path: str) -> list[Any]:
        """Inside a repeated group a condition looks at its own repeat first; elsewhere any repeat's answer counts."""
        group, _, key = link_id.rpartition(".")
        if path.endswith("]") and path.rpartition("[")[0] == group:
            return [values[key]] if key in values else []
        return _values_at(self._values, link_id.split("."))

    def _missing(self, question: Question, place: str) -> None:
        if place in self._reader.faulty or any(fault.startswith((f"{place}.", f"{place}[")) for fault in self._reader.faulty):
            return
        text = f"Réponse obligatoire : « {question.text} »."
        self._reader.tell(Severity.ERROR, "form.answer-required", text, place, self._why(question))

    def _why(self, question: Question) -> str:
        """The rule in words, never the answer given: `Exigée quand « Diabète » vaut « Oui ».`"""
        told = []
        for condition in question.conditions:
            asked = self._form.question(condition.question)
            option = asked.option(str(condition.answer))
            word = option.display if option else _YES_NO.get(condition.answer, "")
            if condition.operator == "=" and word:
                told.append(f"« {asked.text} » vaut « {word} »")
            elif condition.operator == "exists" and condition.answer is True:
                told.append(f"« {asked.text} » est renseigné")
        return f"Exigée quand {(' ou ' if question.any_condition else ' et ').join(told)}." if told else ""

    def _not_asked(self, question: Question, place: str) -> None:
        contradiction = self._rules.contradictions.get(question.link_id)
        if contradiction and self._is_denied(question):
            self._reader.tell(Severity.ERROR, "form.contradiction", contradiction, place, "Corriger l’une des deux réponses.")
            return
        text = f"« {question.text} » : réponse gardée, bien que la question ne se pose pas ici."
        self._reader.tell(Severity.WARNING, "form.answer-not-expected", text, place)

    def _is_denied(self, question: Question) -> bool:
        """True when the question it hangs on was answered, and answered no."""
        return any(
            answer in self._rules.denials
            for condition in question.conditions
            for answer in _values_at(self._values, condition.question.split("."))
        )


def _check_dates(form: Questionnaire, rules: FormRules, values: dict[str, Any], today: date, reader: _Reader) -> None:
    for earlier, later in rules.not_after:
        first, second = _values_at(values, earlier.split(".")), _values_at(values, later.split("."))
        if first and second and first[0][:10] > second[0][: len(first[0][:10])]:
            text = f"« {form.question(earlier).text} » est après « {form.question(later).text} »."
            reader.tell(Severity.ERROR, "form.dates-out-of-order", text, earlier)
    for link_id in rules.not_in_future:
        for value in _values_at(values, link_id.split(".")):
            if value[:10] > today.isoformat()[: len(value)]:
                text = f"« {form.question(link_id).text} » est dans le futur."
                reader.tell(Severity.ERROR, "form.date-in-future", text, link_id)


def _values_at(data: Any, keys: Sequence[str]) -> list[Any]:
    """All values at a path of keys, through lists."""
    return list(_walk(data, keys))


def _walk(data: Any, keys: Sequence[str]) -> Iterator[Any]:
    if isinstance(data, list):
        for entry in data:
            yield from _walk(entry, keys)
    elif not keys:
        yield data
    elif isinstance(data, Mapping) and keys[0] in data:
        yield from _walk(data[keys[0]], keys[1:])


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
