"""Any answers put into the printed form come back as they were; a broken file never breaks the reader."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.errors import InputError
from adapter.formats.form import parse_form
from adapter.formats.pdf_form import parse_pdf_form, read_pdf_form
from adapter.mapping.forms.conditions import shape_answers
from adapter.mapping.forms.questionnaire import Question, form_slugs, load_questionnaire
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.request import no_terms
from adapter.packaging.sheet.items import printed_rows
from tests.builders.pdf_forms import as_texts, blank, filled, response_of

pytestmark = pytest.mark.properties

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
SLUGS = form_slugs()
_BLANK = {slug: blank(slug) for slug in SLUGS}


def _letters(lines: bool) -> st.SearchStrategy[str]:
    allowed = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="\u00ad")
    text = st.text(st.one_of(allowed, st.just("\n")) if lines else allowed, min_size=1, max_size=60)
    return text.map(str.strip).filter(bool)


def _answer(question: Question) -> st.SearchStrategy[Any]:
    match question.kind:
        case "choice":
            one = st.sampled_from([option.code for option in question.options])
            if question.repeats:
                codes = [option.code for option in question.options]
                return st.lists(one, min_size=1, unique=True).map(lambda chosen: sorted(chosen, key=codes.index))
            return one
        case "boolean":
            return st.booleans()
        case "decimal":
            return st.decimals(min_value=0, max_value=999, places=2)
        case "integer":
            return st.integers(0, 999)
        case "date":
            return st.dates().map(lambda day: day.isoformat())
        case "dateTime":
            return st.dates().map(lambda day: day.strftime("%d/%m/%Y"))
        case _:
            return _letters(question.kind == "text").map(lambda text: text[: question.max_length or 60].strip() or "x")


def _answers(questions: tuple[Question, ...]) -> st.SearchStrategy[dict[str, Any]]:
    parts: dict[str, st.SearchStrategy[Any]] = {}
    for question in questions:
        if question.read_only or question.kind == "attachment":
            continue
        if question.kind != "group":
            parts[question.key] = _answer(question)
        elif question.repeats:
            lines = st.lists(_answers(question.items).filter(bool), min_size=1, max_size=printed_rows(question.most))
            parts[question.key] = lines
        else:
            parts[question.key] = _answers(question.items).filter(bool)
    return st.fixed_dictionaries({}, optional=parts)


@pytest.mark.parametrize("slug", SLUGS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_answers_put_into_the_printed_form_come_back(slug: str, data: st.DataObject) -> None:
    answers = data.draw(_answers(load_questionnaire(slug).items))
    assert read_pdf_form(filled(answers, slug)) == as_texts(answers)


def _understood(content: bytes, slug: str) -> tuple[str, Any]:
    arrival = Arrival(content, "http", Principal("cms", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC), form=slug)
    (translation,) = understand_form(arrival, "r")
    sections = next(e["resource"] for e in translation.bundle["entry"] if e["resource"]["resourceType"] == "Composition")
    return translation.submission.document.unique_id, [s["text"]["div"] for s in _all_sections(sections)]


def _all_sections(composition: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for section in composition.get("section", []):
        found += [section, *_all_sections(section)]
    return found


def _accepted_cases() -> list[tuple[str, str]]:
    """Cases that a sheet can hold: one with a file in it travels as JSON only."""
    found = []
    for source in sorted(CASES.glob("*/source.json")):
        content = source.read_bytes()
        if (source.parent / "fhir.json").is_file() and b'"contenu"' not in content and b"valueAttachment" not in content:
            found.append((source.parent.name, parse_form(content).slug or "demande-imagerie"))
    return found


@pytest.mark.parametrize(("case", "slug"), _accepted_cases())
def test_the_same_answers_in_three_shapes_are_the_same_document(case: str, slug: str) -> None:
    source = (CASES / case / "source.json").read_bytes()
    answers = shape_answers(load_questionnaire(slug), parse_form(source).answers)
    arrival = Arrival(source, "http", Principal("cms", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC), form=slug)
    assert inspect_form(arrival).verdict is Verdict.ACCEPTED
    numbered = answers | ({"numero": _number(source)} if _number(source) else {})
    response = response_of(slug, _typed(arrival) | {key: numbered[key] for key in ("numero",) if key in numbered})
    (first, words), *others = [_understood(content, slug) for content in (source, response, filled(numbered, slug))]
    assert [unique_id for unique_id, _ in others] == [first, first]
    if numbered == answers:
        assert [told for _, told in others] == [words, words]


def _typed(arrival: Arrival) -> dict[str, Any]:
    from adapter.mapping.from_form import _read

    return _read(arrival, no_terms).checked.values


def _number(source: bytes) -> str:
    """The number of a response whose identifier holds it."""
    return str(json.loads(source).get("identifier", {}).get("value", ""))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 60_000), byte=st.integers(0, 255), size=st.integers(1, 40))
def test_a_broken_file_is_read_or_refused_never_a_crash(at: int, byte: int, size: int) -> None:
    content = bytearray(_BLANK["demande-imagerie"])
    content[at : at + size] = bytes([byte]) * size
    assert _outcome(bytes(content)).startswith("form.")


def _outcome(content: bytes) -> str:
    """What is said of a file: a refusal's code, or that it was read."""
    try:
        parse_pdf_form(content)
    except InputError as error:
        return error.code
    return "form.read"
