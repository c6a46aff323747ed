"""enableWhen and required over small questionnaires of our own, and questionnaires that must not load."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapter.errors import MappingError
from adapter.mapping.forms import questionnaire as form_questionnaire
from adapter.mapping.forms.conditions import FormRules, check_form, shape_answers
from adapter.mapping.forms.questionnaire import Condition, Question, Questionnaire, load_questionnaire
from adapter.model.finding import Severity

NOWHERE = Questionnaire("essai", "urn:q", "1", "Essai", "r", ())
WARN, ERROR = Severity.WARNING, Severity.ERROR


def told(items: tuple[Question, ...], answers: dict[str, Any], rules: FormRules | None = None) -> list[tuple[str, str]]:
    form = Questionnaire("essai", "urn:q", "1", "Essai", "r", items)
    checked = check_form(form, rules or FormRules(), shape_answers(form, answers), ZoneInfo("Europe/Paris"), date(2026, 1, 1))
    return [(f.code, f.location) for f in checked.findings]


def asked_when(*conditions: Condition, either: bool = False) -> tuple[Question, ...]:
    return (
        Question("a", "A", "string"),
        Question("b", "B", "boolean"),
        Question("c", "C", "string", required=True, conditions=conditions, any_condition=either),
    )


A_IS_X, B_IS_TRUE = Condition("a", "=", "x"), Condition("b", "=", True)
MISSING = [("form.answer-required", "c")]


def test_all_conditions_must_hold_unless_any_is_enough() -> None:
    assert told(asked_when(A_IS_X, B_IS_TRUE), {"a": "x"}) == []
    assert told(asked_when(A_IS_X, B_IS_TRUE), {"a": "x", "b": True}) == MISSING
    assert told(asked_when(A_IS_X, B_IS_TRUE, either=True), {"a": "x"}) == MISSING
    assert told(asked_when(A_IS_X, B_IS_TRUE, either=True), {"a": "y", "b": False}) == []


def test_exists_asks_for_an_answer_or_for_none() -> None:
    assert told(asked_when(Condition("a", "exists", True)), {}) == []
    assert told(asked_when(Condition("a", "exists", True)), {"a": "y"}) == MISSING
    assert told(asked_when(Condition("a", "exists", False)), {}) == MISSING
    assert told(asked_when(Condition("a", "exists", False)), {"a": "y"}) == []


def test_other_than_needs_an_answer_that_differs() -> None:
    other = Condition("a", "!=", "x")
    assert told(asked_when(other), {"a": "y"}) == MISSING
    assert told(asked_when(other), {"a": "x"}) == []
    assert told(asked_when(other), {}) == []


def test_a_question_below_one_that_is_not_asked_is_not_asked_either() -> None:
    group = Question("g", "G", "group", conditions=(A_IS_X,), items=(Question("g.d", "D", "string", required=True),))
    items = (Question("a", "A", "string"), group)
    assert told(items, {"a": "x"}) == [("form.answer-required", "g.d")]
    assert told(items, {"a": "y"}) == []
    assert told(items, {"a": "y", "g": {"d": "1"}}) == [("form.answer-not-expected", "g.d")]


def test_a_required_repeat_that_is_not_asked_may_stay_empty() -> None:
    lines = Question(
        "g", "G", "group", required=True, repeats=True, conditions=(A_IS_X,), items=(Question("g.d", "D", "string"),)
    )
    items = (Question("a", "A", "string"), lines)
    assert told(items, {"a": "x"}) == [("form.answer-required", "g")]
    assert told(items, {"a": "y"}) == []


def test_inside_a_repeat_a_condition_looks_at_its_own_line() -> None:
    detail = Question("g.e", "E", "string", required=True, conditions=(Condition("g.d", "=", "x"),))
    items = (Question("g", "G", "group", repeats=True, items=(Question("g.d", "D", "string"), detail)),)
    assert told(items, {"g": [{"d": "x", "e": "1"}, {"d": "y"}, {"d": "x"}]}) == [("form.answer-required", "g[3].e")]


def test_a_repeated_question_takes_one_answer_or_a_list() -> None:
    items = (Question("d", "D", "integer", repeats=True),)
    assert told(items, {"d": 1}) == [] and told(items, {"d": [1, 2]}) == []
    assert told(items, {"d": [1, "x"]}) == [("form.wrong-type", "d[2]")]


def test_only_a_denied_question_makes_a_contradiction() -> None:
    rules = FormRules(contradictions={"c": "Non, mais."})
    yes = (Question("b", "B", "boolean"), Question("c", "C", "string", conditions=(B_IS_TRUE,)))
    assert told(yes, {"b": False, "c": "1"}, rules) == [("form.contradiction", "c")]
    assert told(yes, {"c": "1"}, rules) == [("form.answer-not-expected", "c")]
    assert told(yes, {"b": True, "c": "1"}, rules) == []


def test_an_unreadable_answer_is_not_missing_as_well() -> None:
    items = (
        Question("d", "D", "date", required=True),
        Question("g", "G", "group", items=(Question("g.e", "E", "date", required=True),)),
    )
    assert told(items, {"d": "x", "g": {"e": "x"}}) == [("form.not-a-date", "d"), ("form.not-a-date", "g.e")]


def test_nothing_empty_counts_as_an_answer_at_any_depth() -> None:
    items = (Question("g", "G", "group", items=(Question("g.d", "D", "string", required=True),)),)
    for empty in ({}, {"g": {}}, {"g": {"d": None}}, {"g": {"d": " "}}, {"g": {"d": []}}, {"g": {"d": {}}}):
        assert told(items, empty) == [("form.answer-required", "g.d")]


def test_the_findings_never_show_an_answer() -> None:
    form = Questionnaire("essai", "urn:q", "1", "Essai", "r", asked_when(A_IS_X))
    checked = check_form(form, FormRules(), {"a": "x", "b": "SECRET", "SECRET z": 1}, ZoneInfo("UTC"), date(2026, 1, 1))
    assert len(checked.findings) == 3
    assert "SECRET" not in repr(checked.findings) and "SECRET" not in repr(checked)


# -- files that must not load -----------------------------------------------------------------------------------------


def _load(item: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Questionnaire:
    (tmp_path / "forms").mkdir(exist_ok=True)
    data = {"resourceType": "Questionnaire", "url": "urn:q", "version": "1", "title": "Essai", "item": item}
    (tmp_path / "forms" / "essai.questionnaire.json").write_text(json.dumps(data))
    monkeypatch.setattr(form_questionnaire, "mappings_root", lambda: tmp_path)
    load_questionnaire.cache_clear()
    try:
        return load_questionnaire("essai")
    finally:
        load_questionnaire.cache_clear()


_A: dict[str, Any] = {"linkId": "a", "text": "A", "type": "string"}


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ([_A, _A], "mapping.duplicate-question"),
        ([{**_A, "type": "reference"}], "mapping.question-kind"),
        ([{**_A, "enableWhen": [{"question": "z", "operator": "exists", "answerBoolean": True}]}], "mapping.question-condition"),
        (
            [_A, {**_A, "linkId": "b", "enableWhen": [{"question": "a", "operator": ">", "answerInteger": 1}]}],
            "mapping.question-condition",
        ),
        ([{**_A, "type": "group", "item": [{**_A, "linkId": "b"}]}], "mapping.question-nesting"),
        ([{"linkId": "a"}], "mapping.questionnaire-unreadable"),
    ],
)
def test_a_questionnaire_that_we_would_misread_does_not_load(
    item: list[dict[str, Any]], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MappingError) as caught:
        _load(item, tmp_path, monkeypatch)
    assert caught.value.code == code


def test_a_questionnaire_that_does_not_exist_says_so() -> None:
    with pytest.raises(MappingError):
        load_questionnaire("aucun")


def test_display_items_are_words_and_no_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = _load([{**_A, "item": [{"linkId": "x", "text": "aide", "type": "display"}]}], tmp_path, monkeypatch)
    assert [question.link_id for question in form.walk()] == ["a"]


def test_every_question_of_the_shipped_form_that_hangs_on_another_is_in_its_data() -> None:
    form = load_questionnaire("demande-imagerie")
    conditional = {q.link_id: [(c.question, c.answer) for c in q.conditions] for q in form.walk() if q.required and q.conditions}
    assert conditional == {
        "patient.poids": [("patient.mineur", True)],
        "patient.terme-naissance": [("patient.premature", True)],
        "contre-indications.myelome": [("examens.modalite", "TDM")],
        "contre-indications.allergie": [("examens.modalite", "TDM")],
        "contre-indications.insuffisance-renale": [("examens.modalite", "TDM")],
        "contre-indications.creatinine": [("contre-indications.insuffisance-renale", "Y")],
        "contre-indications.diabete": [("examens.modalite", "TDM")],
        "contre-indications.diabete-traitement": [("contre-indications.diabete", "Y")],
    }
