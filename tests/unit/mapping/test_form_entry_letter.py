"""The entry liaison letter written by hand: the sections of LDL-EES, and silence that is never read as none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from adapter.fhir.bundle import resources_of, write_json
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import Severity
from adapter.model.receipt import Arrival, Principal
from adapter.packaging.pdf import render_pdf
from tests.builders.form import form_bytes
from tests.builders.letter import build_entry_letter

Json = dict[str, Any]


def arrival(form: Json) -> Arrival:
    return Arrival(form_bytes(form), "http", Principal("x", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC))


def errors(form: Json) -> set[tuple[str, str]]:
    return {(f.code, f.location) for f in inspect_form(arrival(form)).findings if f.severity is Severity.ERROR}


def understood(form: Json) -> Translation:
    (translation,) = understand_form(arrival(form), "receipt-1")
    return translation


def sections(form: Json) -> dict[str, Json]:
    (composition,) = resources_of(understood(form).bundle, "Composition")
    return {section["code"]["coding"][0]["code"]: section for section in composition["section"]}


REQUIRED = [
    "destinataire.service", "destinataire.entree", "patient.nom", "patient.prenom", "patient.date-naissance", "medecin.nom",
    "medecin.etablissement", "medecin.telephone", "lettre.date", "lettre.motif", "lettre.commentaire", "traitements", "allergies",
]  # fmt: skip


@pytest.mark.parametrize("link_id", REQUIRED)
def test_each_required_answer_that_lacks_is_the_one_error(link_id: str) -> None:
    assert errors(build_entry_letter(**{link_id: None})) == {("form.answer-required", link_id)}


@pytest.mark.parametrize("name", ["traitements", "allergies"])
def test_silence_on_treatments_or_allergies_is_refused(name: str) -> None:
    form = build_entry_letter(**{f"lettre.{name}": None, name: None})
    assert errors(form) == {("form.answer-required", f"lettre.{name}")}


def test_the_sections_are_those_of_the_volet_in_its_order() -> None:
    form = build_entry_letter()
    assert list(sections(form)) == ["42349-1", "42346-7", "48765-2", "11348-0", "47519-4", "55112-7", "55107-7"]
    translation = understood(form)
    assert (translation.unread, translation.steps) == ((), ())
    assert translation.submission.document.type.code == "18761-7"
    Bundle.model_validate(json.loads(write_json(translation.bundle)))


def test_optional_sections_without_content_are_left_out() -> None:
    form = build_entry_letter(antecedents=None, chirurgie=None)
    assert not {"11348-0", "47519-4"} & set(sections(form))


@pytest.mark.parametrize(
    ("name", "answer", "code", "reason"),
    [
        ("traitements", "aucun", "42346-7", "nilknown"),
        ("traitements", "inconnu", "42346-7", "unavailable"),
        ("allergies", "aucune", "48765-2", "nilknown"),
        ("allergies", "inconnu", "48765-2", "notasked"),
    ],
)
def test_an_empty_section_has_the_doctors_own_reason(name: str, answer: str, code: str, reason: str) -> None:
    section = sections(build_entry_letter(**{f"lettre.{name}": answer, name: None}))[code]
    assert section["emptyReason"]["coding"][0]["code"] == reason
    assert "entry" not in section


@pytest.mark.parametrize(
    ("name", "answer", "place"),
    [("traitements", "aucun", "traitements[1].nom"), ("allergies", "inconnu", "allergies[1].produit")],
)
def test_a_list_beside_none_is_a_contradiction(name: str, answer: str, place: str) -> None:
    assert ("form.contradiction", place) in errors(build_entry_letter(**{f"lettre.{name}": answer}))


def test_each_line_is_a_resource_in_the_doctors_words() -> None:
    bundle = understood(build_entry_letter()).bundle
    first, second = resources_of(bundle, "MedicationStatement")
    assert (first["medicationCodeableConcept"], first["dosage"]) == ({"text": "Périndopril 4 mg"}, [{"text": "1 le matin"}])
    assert "dosage" not in second
    (allergy,) = resources_of(bundle, "AllergyIntolerance")
    assert allergy["reaction"][0]["severity"] == "severe"
    (illness,) = resources_of(bundle, "Condition")
    assert (illness["code"]["coding"][0]["code"], illness["onsetDateTime"]) == ("I48", "2019")
    (operation,) = resources_of(bundle, "Procedure")
    assert operation["performedDateTime"] == "2015-06"


def test_a_status_or_a_code_that_was_not_said_is_not_written() -> None:
    form = build_entry_letter(antecedents=[{"libelle": "Asthme"}], chirurgie=[{"acte": "Appendicectomie"}])
    bundle = understood(form).bundle
    (illness,) = resources_of(bundle, "Condition")
    (operation,) = resources_of(bundle, "Procedure")
    assert (illness["code"], operation["code"]) == ({"text": "Asthme"}, {"text": "Appendicectomie"})
    assert not {"clinicalStatus", "onsetDateTime"} & set(illness)
    assert "performedDateTime" not in operation


def test_the_header_is_that_of_the_volet() -> None:
    document = understood(build_entry_letter()).submission.document
    (act,) = document.service_events
    assert (act.code.code, act.start) == ("IMP", "2026-11-21")
    assert [(r.type_code, r.function_code) for r in document.participants] == [("INF", "PCP")]
    assert understood(build_entry_letter(**{"medecin.traitant": False})).submission.document.participants == ()


def test_the_same_letter_gives_the_same_bytes() -> None:
    form = build_entry_letter()
    assert write_json(understood(form).bundle) == write_json(understood(form).bundle)
    assert render_pdf(understood(form).bundle) == render_pdf(understood(form).bundle)
