"""Checked answers as they are carried and shown: QuestionnaireResponse items, and tables of French words. Any form."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from adapter.fhir import request_narrative as say
from adapter.fhir import supporting
from adapter.fhir.supporting import ResponseItem, decimal_text
from adapter.mapping.forms.questionnaire import Question


def response_items(
    questions: tuple[Question, ...], values: Mapping[str, Any], withheld: frozenset[str]
) -> tuple[ResponseItem, ...]:
    """The answers as QuestionnaireResponse items, in the Questionnaire's order, unanswered questions left out."""
    items: list[ResponseItem] = []
    for question in questions:
        value = values.get(question.key)
        if value is None or question.link_id in withheld:
            continue
        if question.kind == "group":
            for entry in value if isinstance(value, list) else [value]:
                below = response_items(question.items, entry, withheld)
                if below:
                    items.append(ResponseItem(question.link_id, question.text, (), below))
        else:
            entries = value if isinstance(value, list) else [value]
            items.append(ResponseItem(question.link_id, question.text, tuple(_fhir_value(question, v) for v in entries)))
    return tuple(items)


def _fhir_value(question: Question, value: Any) -> tuple[str, Any]:
    match question.kind:
        case "choice":
            option = question.option(value)
            assert option is not None  # noqa: S101 - the reader only gives codes of this question
            return "valueCoding", {"system": option.system, "code": option.code, "display": option.display}
        case "boolean":
            return "valueBoolean", value
        case "decimal" | "integer":
            return "valueDecimal", supporting.json_number(value)
        case "date":
            return "valueDate", value
        case "dateTime":
            return "valueDateTime", value
        case "attachment":
            size = len(base64.b64decode(value["contenu"]))
            return "valueAttachment", {"contentType": value["type"], "size": size, "title": value["titre"] or question.text}
        case _:
            return "valueString", value


def answer_tables(
    questions: tuple[Question, ...], values: Mapping[str, Any], withheld: frozenset[str]
) -> list[tuple[str, list[say.Row]]]:
    """All answers as (caption, rows): one table for each group and each repeat, the loose questions first."""
    tables = [("Formulaire", answer_rows(tuple(q for q in questions if q.kind != "group"), values, withheld))]
    for group in (question for question in questions if question.kind == "group"):
        entries = values.get(group.key) or []
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries], start=1):
            caption = f"{group.text} – {number}" if group.repeats else group.text
            tables.append((caption, answer_rows(group.items, entry, withheld)))
    return [(caption, rows) for caption, rows in tables if rows]


def answer_rows(questions: tuple[Question, ...], values: Mapping[str, Any], withheld: frozenset[str]) -> list[say.Row]:
    """One table's rows: the answers of these questions, groups and computed answers left out."""
    return [
        (question.text, _shown(question, values[question.key]))
        for question in questions
        if question.key in values and question.link_id not in withheld and question.kind != "group" and not question.read_only
    ]


def choices_shown(question: Question, values: list[Any]) -> str:
    """All answers of a question of several choices, in French, in the form's order."""
    return ", ".join(option.display for option in question.options if option.code in values)


def _shown(question: Question, value: Any) -> str:
    """An answer in French."""
    if isinstance(value, list):
        return ", ".join(_shown(question, each) for each in value)
    match question.kind:
        case "choice":
            option = question.option(value)
            return option.display if option else str(value)
        case "boolean":
            return "Oui" if value else "Non"
        case "decimal" | "integer":
            return f"{decimal_text(value)} {question.unit}".strip()
        case "date" | "dateTime":
            return say.french_date(value)
        case "attachment":
            return f"{value['titre'] or 'sans titre'} ({value['type']}), joint au document"
        case _:
            return str(value)
