"""Form bytes to answers: both JSON shapes, and every way of being unreadable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.errors import InputError, TduError
from adapter.formats.form import parse_form, read_form
from tests.builders.form import as_response, build_imaging_request, form_bytes


def _code(content: bytes, **limits: int) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        read_form(content, **limits)
    return caught.value.code, caught.value.where


def test_plain_json_comes_back_as_its_own_answers() -> None:
    form = build_imaging_request()
    assert read_form(form_bytes(form)) == form


def test_a_byte_order_mark_is_tolerated() -> None:
    assert read_form(b"\xef\xbb\xbf" + form_bytes({"site": "ABC"})) == {"site": "ABC"}


def test_the_form_may_name_itself() -> None:
    content = parse_form(form_bytes({"formulaire": "demande-imagerie", "site": "ABC"}))
    assert (content.slug, content.answers) == ("demande-imagerie", {"site": "ABC"})


def test_a_questionnaire_response_gives_the_same_answers_as_the_plain_form() -> None:
    form = build_imaging_request(examens=[{"modalite": "TDM", "region": "thorax"}, {"modalite": "IRM", "region": "genou"}])
    assert read_form(form_bytes(as_response(form))) == form


def test_a_response_names_its_form_and_keeps_its_own_elements() -> None:
    response = as_response(build_imaging_request()) | {"authored": "2026-11-20", "subject": {"display": "x"}}
    response["questionnaire"] += "|1.0.0"
    content = parse_form(form_bytes(response))
    assert content.slug == "demande-imagerie"
    assert set(content.envelope) == {"questionnaire", "status", "authored", "subject"}


def test_codings_and_quantities_give_their_code_and_value_and_what_is_beside_is_listed() -> None:
    response = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "item": [
            {"linkId": "site", "answer": [{"valueCoding": {"system": "urn:x", "code": "ABC", "display": "Béclère"}}]},
            {"linkId": "poids", "answer": [{"valueQuantity": {"value": 12.5, "unit": "kg"}}], "extension": [{"url": "urn:e"}]},
        ],
    }
    content = parse_form(form_bytes(response))
    assert content.answers["site"] == "ABC" and str(content.answers["poids"]) == "12.5"
    assert [path for path, _ in content.unused] == ["item[poids].extension[1].url", "item[poids].valueQuantity.unit"]


def test_answers_nested_below_an_answer_are_not_lost() -> None:
    nested = {
        "linkId": "diabete",
        "answer": [{"valueBoolean": True, "item": [{"linkId": "traitement", "answer": [{"valueString": "x"}]}]}],
    }
    response = {"resourceType": "QuestionnaireResponse", "status": "completed", "item": [nested]}
    assert read_form(form_bytes(response)) == {"diabete": True, "traitement": "x"}


def test_two_answers_at_one_place_make_a_list() -> None:
    items = [{"linkId": "a", "answer": [{"valueString": "1"}, {"valueString": "2"}]}]
    assert read_form(form_bytes({"resourceType": "QuestionnaireResponse", "status": "amended", "item": items})) == {
        "a": ["1", "2"]
    }


@pytest.mark.parametrize("status", ["in-progress", "stopped", "entered-in-error", None])
def test_a_response_that_is_not_finished_is_refused(status: str | None) -> None:
    assert _code(form_bytes(as_response(build_imaging_request()) | {"status": status})) == ("form.not-completed", "status")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1',
        b'{"a":"\xe9"}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 200_000,
        b'{"n": 1e9999999999999999999999}',
        b'{"n": 1e9999999}',
        b'{"n": 0.' + b"1" * 101 + b"}",
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_not_json_in_utf8_is_refused_without_a_quote_from_it(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_form(content)
    assert caught.value.code == "form.not-json"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize("content", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_what_is_not_an_object_is_refused(content: bytes) -> None:
    assert _code(content)[0] == "form.not-an-object"


def test_another_fhir_resource_is_refused() -> None:
    assert _code(b'{"resourceType": "Patient"}') == ("form.not-a-response", "resourceType")


def test_a_key_given_twice_is_refused_at_any_depth() -> None:
    assert _code(b'{"patient": {"nom": "A", "nom": "B"}}') == ("form.duplicate-key", "nom")


def test_a_key_that_does_not_look_like_one_is_told_by_its_rank() -> None:
    code, where = _code(json.dumps({"site": "ABC", "DUPONT née MARTIN": "\u0000"}).encode())
    assert (code, where) == ("form.bad-character", "clé n° 2")


@pytest.mark.parametrize("bad", ["\u0000", "\u0007", "\ud800", "\uffff"])
def test_a_character_that_no_page_can_carry_is_refused_with_its_place(bad: str) -> None:
    assert _code(json.dumps({"demande": {"but": f"a{bad}b"}}).encode()) == ("form.bad-character", "demande.but")


def test_the_size_is_bounded_before_anything_is_parsed() -> None:
    assert _code(b"{" * 100, max_bytes=99)[0] == "form.too-large"
    assert read_form(b'{"a":1}', max_bytes=7) == {"a": 1}


def test_depth_is_bounded() -> None:
    assert _code(b'{"a":' * 40 + b"1" + b"}" * 40)[0] == "form.too-deep"


@pytest.mark.parametrize("items", [{}, ["x"], "x"])
def test_items_of_the_wrong_shape_are_refused(items: object) -> None:
    assert (
        _code(form_bytes({"resourceType": "QuestionnaireResponse", "status": "completed", "item": items}))[0]
        == "form.wrong-shape"
    )


def test_an_item_without_link_and_an_answer_of_unknown_kind_are_refused() -> None:
    head = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    assert _code(form_bytes(head | {"item": [{"answer": [{"valueString": "x"}]}]}))[0] == "form.item-without-link"
    attachment = [{"linkId": "a", "answer": [{"valueReference": {"data": "eA=="}}]}]
    assert _code(form_bytes(head | {"item": attachment})) == ("form.answer-kind", "item[a]")


_KEYS = ["item", "linkId", "answer", "valueCoding", "status", "x"]
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.binary(max_size=200) | _json.map(lambda data: json.dumps(data).encode()))
def test_garbage_raises_only_our_error(content: bytes) -> None:
    try:
        assert isinstance(read_form(content), dict)
    except TduError as error:
        code = error.code
        assert code.startswith("form.")


@given(
    st.lists(
        st.fixed_dictionaries({"linkId": st.sampled_from(["a", "a.b", "c"]), "item": st.just([]), "answer": _json}), max_size=4
    )
)
def test_a_garbled_response_raises_only_our_error(items: list[object]) -> None:
    content = json.dumps({"resourceType": "QuestionnaireResponse", "status": "completed", "item": items}).encode()
    try:
        assert isinstance(read_form(content), dict)
    except TduError as error:
        code = error.code
        assert code.startswith("form.")
