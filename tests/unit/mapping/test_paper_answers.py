"""A draft as answers to complete: what paper surely says is filled in, the rest is empty and told; nothing is guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapter.mapping.forms.paper import drafts_in_words, may_be_urgent, paper_answers
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.from_form import inspect_form
from adapter.model.paper_draft import BoxReading, BoxState, Doubt, DraftAnswer, FormDraft, SheetPage, Snippet
from adapter.model.receipt import Arrival, Principal
from adapter.model.sheet import Place, PlaceKind

FORM = load_questionnaire("demande-imagerie")


def _place(kind: PlaceKind, link_id: str, value: str = "", row: int = 0) -> Place:
    return Place(kind, link_id, row, 10, 10, 4, 4, FORM.question(link_id).text, value, value)


def _answer(link_id: str, *values: str, row: int = 0, doubts: tuple[Doubt, ...] = ()) -> DraftAnswer:
    return DraftAnswer(link_id, row, FORM.question(link_id).text, values, 1.0, values, doubts)


def _draft(*answers: DraftAnswer, boxes: tuple[BoxReading, ...] = (), written: tuple[tuple[str, int], ...] = ()) -> FormDraft:
    snippets = tuple(Snippet(_place(PlaceKind.WRITING, link_id, row=row), 1, b"") for link_id, row in written)
    page = SheetPage(1, boxes, snippets, (), b"")
    return FormDraft(FORM.slug, FORM.version, FORM.title, 3, (page,), answers, ())


def test_what_is_surely_ticked_is_filled_in_and_the_rest_is_empty() -> None:
    answers = paper_answers(FORM, _draft(_answer("site", "BCT"), _answer("premedication", "oui"))).answers
    assert (answers["formulaire"], answers["site"], answers["premedication"]) == (FORM.slug, "BCT", True)
    assert answers["patient"]["nom"] == "" and answers["contre-indications"]["diabete"] == ""
    assert "mineur" not in answers["patient"], "what the software computes is not asked"


def test_a_doubtful_question_is_empty_and_told_with_the_boxes_that_bear_a_mark() -> None:
    boxes = tuple(
        BoxReading(_place(PlaceKind.ONE, "demande.urgence", value), 1, state, 0.0, 0.1)
        for value, state in (("urgent", BoxState.DOUBTFUL), ("semi-urgent", BoxState.DOUBTFUL), ("non urgent", BoxState.EMPTY))
    )
    doubtful = replace(_answer("demande.urgence", doubts=(Doubt.SEVERAL_MARKS,)), candidates=("urgent", "semi-urgent"))
    paper = paper_answers(FORM, _draft(doubtful, boxes=boxes))
    assert paper.answers["demande"]["urgence"] == ""
    (choice,) = paper.to_choose
    assert (choice.where, [box.place.value for box in choice.boxes]) == ("demande.urgence", ["urgent", "semi-urgent"])


def test_lines_left_empty_on_paper_are_none_and_places_count_those_that_are_there() -> None:
    draft = _draft(_answer("examens.modalite", "TDM", row=1), _answer("examens.modalite", "IRM", row=3),
                   written=(("examens.region", 1), ("examens.region", 3)))  # fmt: skip
    paper = paper_answers(FORM, draft)
    assert [exam["modalite"] for exam in paper.answers["examens"]] == ["TDM", "IRM"]
    assert [field.where for field in paper.to_type] == ["examens[1].region", "examens[2].region"]


def test_a_question_of_several_boxes_keeps_its_sure_ones() -> None:
    form = load_questionnaire("demande-pta")
    asked = DraftAnswer(
        "situation.difficultes", 0, "", ("isolement", "soins"), 1.0, ("isolement", "soins", "autre"), (Doubt.FAINT,)
    )
    draft = FormDraft(form.slug, form.version, form.title, 1, (), (asked,), ())
    assert paper_answers(form, draft).answers["situation"]["difficultes"] == ["isolement", "soins"]


def test_a_field_that_is_on_every_page_is_typed_once_and_shown_from_each() -> None:
    draft = _draft(written=(("patient.nom", 0),))
    again = replace(draft.pages[0], number=2, snippets=tuple(replace(s, page=2) for s in draft.pages[0].snippets))
    (field,) = paper_answers(FORM, replace(draft, pages=(draft.pages[0], again))).to_type
    assert (field.where, [snippet.page for snippet in field.snippets]) == ("patient.nom", [1, 2])


@pytest.mark.parametrize("slug", ["demande-imagerie", "demande-hospitalisation", "demande-pta", "demande-avis"])
def test_an_empty_draft_is_refused_by_the_form_door_for_what_lacks_only(slug: str) -> None:
    form = load_questionnaire(slug)
    answers = paper_answers(form, FormDraft(slug, form.version, form.title, 1, (), (), ())).answers
    arrival = Arrival(json.dumps(answers).encode(), "desk", Principal("p", "operator", "e"), datetime.now(UTC), form=slug)
    assert {finding.code for finding in inspect_form(arrival).findings} == {"form.answer-required"}


def test_the_queue_is_told_how_much_is_ticked_doubtful_and_to_type_and_names_nobody() -> None:
    boxes = tuple(
        BoxReading(_place(PlaceKind.ONE, "site", value), 1, state, 0.0, 0.1)
        for value, state in (("ABC", BoxState.TICKED), ("BCT", BoxState.DOUBTFUL), ("PBR", BoxState.DOUBTFUL))
    )
    words = drafts_in_words([_draft(boxes=boxes, written=(("patient.nom", 0),))])
    counted = "1 case cochée, 2 cases douteuses, 1 champ manuscrit à saisir, pages 2 et 3 non reçues"
    assert words == f"« {FORM.title} », {counted}"


@pytest.mark.parametrize(
    ("slug", "link_id", "urgent", "other"),
    [
        ("demande-imagerie", "demande.urgence", "urgent", "semi-urgent"),
        ("demande-hospitalisation", "sejour.delai", "urgent", "des-que-possible"),
        ("demande-pta", "appui.urgence", "urgent", "non urgent"),
        ("demande-avis", "avis.urgence", "urgent", "non urgent"),
        ("lettre-liaison-entree", "lettre.urgence", "urgent", "non urgent"),
    ],
)
def test_a_mark_in_the_box_for_urgent_makes_a_form_urgent_even_when_it_is_doubtful(
    slug: str, link_id: str, urgent: str, other: str
) -> None:
    form = load_questionnaire(slug)
    assert {urgent, other} <= {option.code for option in form.question(link_id).options}

    def draft(*marked: str, sure: bool) -> FormDraft:
        answer = DraftAnswer(link_id, 0, "", marked if sure else (), 1.0, marked)
        return FormDraft(slug, form.version, form.title, 1, (), (answer,), ())

    assert may_be_urgent([draft(other, sure=True), draft(urgent, sure=True)])
    assert may_be_urgent([draft(urgent, other, sure=False)])
    assert not may_be_urgent([draft(other, sure=True)])


def test_a_form_that_asks_no_urgency_is_not_urgent() -> None:
    form = load_questionnaire("reponse-hospitalisation")
    assert not may_be_urgent([FormDraft(form.slug, form.version, form.title, 1, (), (), ())])
