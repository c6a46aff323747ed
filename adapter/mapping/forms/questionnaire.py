"""A form's Questionnaire (`mappings/forms/<slug>.questionnaire.json`) as typed questions: what is asked, when, in which words.

Source: FHIR R4 Questionnaire. Of `enableWhen` the operators `exists`, `=` and `!=` are understood; a file that uses another
one fails when loaded, never on a patient's request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

from adapter.data import mappings_root
from adapter.errors import InputError, MappingError

_KINDS = frozenset({"group", "string", "text", "boolean", "decimal", "integer", "date", "dateTime", "choice", "attachment"})
_OPERATORS = frozenset({"exists", "=", "!="})
_BOUND = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True)
class Option:
    """One allowed answer of a choice."""

    system: str
    code: str
    display: str


@dataclass(frozen=True)
class Condition:
    """One enableWhen: `question` answered (exists), or answered with (=) or otherwise than (!=) `answer`."""

    question: str
    operator: str
    answer: Any


@dataclass(frozen=True)
class Question:
    """One item. `key` is the last part of its linkId: its name in the plain JSON shape. `most`: repeats allowed, 0 for any."""

    link_id: str
    text: str
    kind: str
    required: bool = False
    repeats: bool = False
    most: int = 0
    read_only: bool = False
    max_length: int = 0
    lowest: Decimal | None = None
    highest: Decimal | None = None
    unit: str = ""
    media_types: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    conditions: tuple[Condition, ...] = ()
    any_condition: bool = False
    items: tuple[Question, ...] = ()

    @cached_property
    def key(self) -> str:
        """The question's key inside its group."""
        return self.link_id.rpartition(".")[2]

    def option(self, code: str) -> Option | None:
        """The option of a code."""
        return next((option for option in self.options if option.code == code), None)


@dataclass(frozen=True)
class Questionnaire:
    """A form: its canonical, its version, its questions in order; `revision` changes with the file."""

    slug: str
    url: str
    version: str
    title: str
    revision: str
    items: tuple[Question, ...]

    @property
    def canonical(self) -> str:
        """`url|version`."""
        return f"{self.url}|{self.version}"

    def walk(self) -> Iterator[Question]:
        """All questions and groups, in order."""
        return _walk(self.items)

    def question(self, link_id: str) -> Question:
        """The question of a linkId; MappingError when the form has none."""
        found = self._by_link_id.get(link_id)
        if found is None:
            raise MappingError("mapping.unknown-question", "no such question", where=f"{self.slug}:{link_id}")
        return found

    @cached_property
    def _by_link_id(self) -> dict[str, Question]:
        return {question.link_id: question for question in self.walk()}


def _walk(items: tuple[Question, ...]) -> Iterator[Question]:
    for question in items:
        yield question
        yield from _walk(question.items)


@lru_cache(maxsize=64)
def load_questionnaire(slug: str) -> Questionnaire:
    """The Questionnaire of a form. Raises MappingError when the file is missing or asks for more than we do."""
    where = f"forms/{slug}.questionnaire.json"
    try:
        raw = (mappings_root() / where).read_bytes()
        data = json.loads(raw, parse_float=Decimal)
        items = tuple(_question(raw) for raw in data["item"] if raw["type"] != "display")
        form = Questionnaire(slug, data["url"], data["version"], data["title"], hashlib.sha256(raw).hexdigest()[:12], items)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MappingError("mapping.questionnaire-unreadable", f"{type(error).__name__} while reading", where=where) from error
    _check(form)
    return form


def questionnaire_resource(slug: str) -> dict[str, Any]:
    """The Questionnaire as it is written, for those who show it. Raises InputError for a form that does not exist."""
    if slug not in form_slugs():
        raise InputError("form.unknown-form", "there is no such form", where=slug, remedy=f"Known: {', '.join(form_slugs())}.")
    data: dict[str, Any] = json.loads((mappings_root() / f"forms/{slug}.questionnaire.json").read_bytes())
    return data


@lru_cache(maxsize=1)
def form_slugs() -> tuple[str, ...]:
    """The forms of this instance, in order."""
    suffix = ".questionnaire.json"
    return tuple(sorted(path.name.removesuffix(suffix) for path in (mappings_root() / "forms").glob(f"*{suffix}")))


def _question(raw: dict[str, Any]) -> Question:
    bounds = {extension["url"]: extension for extension in raw.get("extension", [])}
    return Question(
        link_id=raw["linkId"],
        text=raw["text"],
        kind=raw["type"],
        required=raw.get("required", False),
        repeats=raw.get("repeats", False),
        most=bounds.get(f"{_BOUND}questionnaire-maxOccurs", {}).get("valueInteger", 0),
        read_only=raw.get("readOnly", False),
        max_length=raw.get("maxLength", 0),
        lowest=_bound(bounds, "minValue"),
        highest=_bound(bounds, "maxValue"),
        unit=bounds.get(f"{_BOUND}questionnaire-unit", {}).get("valueCoding", {}).get("code", ""),
        media_types=tuple(e["valueCode"] for e in raw.get("extension", []) if e["url"] == f"{_BOUND}mimeType"),
        options=tuple(Option(**option["valueCoding"]) for option in raw.get("answerOption", [])),
        conditions=tuple(_condition(condition) for condition in raw.get("enableWhen", [])),
        any_condition=raw.get("enableBehavior") == "any",
        items=tuple(_question(item) for item in raw.get("item", []) if item["type"] != "display"),
    )


def _bound(extensions: dict[str, dict[str, Any]], name: str) -> Decimal | None:
    found = extensions.get(_BOUND + name)
    return Decimal(found["valueDecimal"]) if found else None


def _condition(raw: dict[str, Any]) -> Condition:
    answer = next(value for key, value in raw.items() if key.startswith("answer"))
    return Condition(raw["question"], raw["operator"], answer["code"] if isinstance(answer, dict) else answer)


def _check(form: Questionnaire) -> None:
    """The file must hold together: kinds and operators that we know, conditions on questions that exist, keys that nest."""
    known = [question.link_id for question in form.walk()]
    if len(known) != len(set(known)):
        raise MappingError("mapping.duplicate-question", "a linkId is used twice", where=form.slug)
    for question in form.walk():
        where = f"{form.slug}:{question.link_id}"
        if question.kind not in _KINDS:
            raise MappingError("mapping.question-kind", f"kind {question.kind} is not supported", where=where)
        for condition in question.conditions:
            if condition.operator not in _OPERATORS or condition.question not in known:
                raise MappingError("mapping.question-condition", "operator or question not known", where=where)
        for item in question.items:
            if item.link_id.rpartition(".")[0] != question.link_id:
                raise MappingError(
                    "mapping.question-nesting", "a linkId must extend its group's", where=f"{where}/{item.link_id}"
                )
