"""Every form shipped names a builder that exists, and its rules give what all forms share."""

from __future__ import annotations

import pytest

from adapter.data import mappings_root
from adapter.errors import MappingError
from adapter.mapping.forms.builders import BUILDERS, builder_named
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.rules import load_rules

SLUGS = sorted(path.name.removesuffix(".questionnaire.json") for path in (mappings_root() / "forms").glob("*.questionnaire.json"))


@pytest.mark.parametrize("slug", SLUGS)
def test_a_form_names_a_builder_that_exists(slug: str) -> None:
    assert builder_named(load_rules(f"forms/{slug}").data["document"]["builder"], slug) in BUILDERS.values()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_form_gives_what_every_document_needs(slug: str) -> None:
    groups = load_rules(f"forms/{slug}").groups
    assert {"name", "given", "birth_date"} <= set(groups["patient"].fields)
    assert "family" in groups["author"].fields
    assert {"target", "date"} <= set(groups["request"].fields)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_place_that_a_forms_rules_name_is_one_of_its_questions(slug: str) -> None:
    form, rules = load_questionnaire(slug), load_rules(f"forms/{slug}")
    known = {question.link_id for question in form.walk()}
    known |= {f"{q.link_id}.{part}" for q in form.walk() if q.kind == "attachment" for part in ("type", "titre", "contenu")}
    named = {
        ".".join(part for part in (group.base.replace(".*", ""), path.replace(".*", "")) if part)
        for group in rules.groups.values()
        for field in group.fields.values()
        for path in field.paths
    }
    for table in ("aliases", "computed", "contradictions", "identifiers", "conditions"):
        named |= set(rules.data.get(table, {}))
    assert named <= known


def test_a_builder_that_is_not_there_is_told_with_the_forms_name() -> None:
    with pytest.raises(MappingError) as raised:
        builder_named("sculpture", "demande-x")
    assert (raised.value.code, raised.value.where) == ("mapping.unknown-builder", "forms/demande-x:document.builder")
