"""What the law wants of a liaison letter: each item present, said not to be, or missing; nothing is ever refused for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.mapping.from_cda import inspect_cda, translate_cda
from adapter.mapping.legal import check_letter, is_letter
from adapter.model.document import BodyKind, Code, DocumentHeader
from adapter.model.finding import Severity, errors_of
from adapter.model.identity import PatientIdentity
from adapter.model.parties import Organisation
from adapter.model.receipt import Arrival, Principal, Verdict
from tests.builders.cda import build_ldl_ses, build_n1

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">{}</div>'


def _header(type_code: str, body: BodyKind = BodyKind.STRUCTURED_CDA) -> DocumentHeader:
    patient = PatientIdentity("EXEMPLE", "Alix", birth_date="1980-01-01")
    return DocumentHeader("1.2.3", Code(type_code), "Lettre", "2026-01-01", patient, (), Organisation(), body)


def _bundle(*sections: dict[str, Any], observations: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    composition = {"resourceType": "Composition", "section": list(sections)}
    told = [{"resourceType": "Observation", **observation} for observation in observations]
    return {"entry": [{"resource": resource} for resource in (composition, *told)]}


def _section(code: str, words: str, **more: Any) -> dict[str, Any]:
    return {"title": "Titre", "code": {"coding": [{"code": code}]}, "text": {"div": DIV.format(words)}, **more}


def _states(header: DocumentHeader, bundle: dict[str, Any]) -> dict[str, str]:
    return {item.code: item.state for item in check_letter(header, bundle)[0]}


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("Asthme depuis 2010", "present"),
        ("Aucune allergie connue", "negative"),
        ("<p>Pas d'allergie</p>", "negative"),
        ("Néant", "negative"),
        ("Titre", "missing"),
        (" ", "missing"),
        ("Aucune allergie connue mais " + "une longue histoire d'asthme et de réactions " * 6, "present"),
        ("Nonante ans, asthme", "present"),
        ("Pas de fièvre. Asthme sévère", "present"),
    ],
)
def test_a_section_says_something_or_says_that_there_is_none(words: str, state: str) -> None:
    assert _states(_header("18761-7"), _bundle(_section("48765-2", words)))["allergies"] == state


def test_a_section_known_to_be_empty_is_negative_and_one_that_was_not_asked_is_missing() -> None:
    known = _section("48765-2", "x", emptyReason={"coding": [{"code": "nilknown"}]})
    unasked = _section("48765-2", "x", emptyReason={"coding": [{"code": "notasked"}]})
    assert _states(_header("18761-7"), _bundle(known))["allergies"] == "negative"
    assert _states(_header("18761-7"), _bundle(unasked))["allergies"] == "missing"


@pytest.mark.parametrize(
    ("value", "state"),
    [
        ({"valueBoolean": True}, "present"),
        ({"valueBoolean": False}, "negative"),
        ({"valueString": "Aucun"}, "negative"),
        ({"valueString": "SARM"}, "present"),
        ({"dataAbsentReason": {"text": "x"}}, "missing"),
    ],
)
def test_an_observation_is_there_denied_or_without_value(value: dict[str, Any], state: str) -> None:
    observation = {"code": {"coding": [{"code": "MED-145"}]}, **value}
    assert _states(_header("11490-0"), _bundle(observations=(observation,)))["produits-sanguins"] == state


def test_present_wins_over_negative() -> None:
    told = (
        {"code": {"coding": [{"code": "MED-309"}]}, "valueBoolean": True},
        {"code": {"coding": [{"code": "MED-144"}]}, "valueString": "Aucun"},
    )
    assert _states(_header("11490-0"), _bundle(observations=told))["bmr"] == "present"


def test_a_sub_section_counts() -> None:
    outer = {"title": "x", "section": [_section("48765-2", "Pénicilline")]}
    assert _states(_header("18761-7"), _bundle(outer))["allergies"] == "present"


def test_what_is_missing_is_a_warning_and_nothing_is_an_error() -> None:
    items, findings = check_letter(_header("18761-7"), _bundle(_section("48765-2", "Aucune")))
    assert {f.code: f.severity for f in findings} == {
        "legal.missing": Severity.WARNING, "legal.negative": Severity.INFORMATION, "legal.present": Severity.INFORMATION
    }  # fmt: skip
    assert errors_of(findings) == ()
    missing = [f for f in findings if f.code == "legal.missing"]
    assert len(missing) == sum(item.state == "missing" for item in items) == 4
    assert all("CSP R. 1112-1-1" in f.text and f.remedy for f in missing)


def test_a_file_is_not_looked_into_and_that_is_said() -> None:
    items, findings = check_letter(_header("11490-0", BodyKind.PDF_IN_CDA), _bundle())
    assert {"patient", "medecin-traitant", "dates"} <= {item.code for item in items}
    assert "synthese" not in {item.code for item in items}
    assert "legal.not-checkable" in {f.code for f in findings}


def test_the_law_says_nothing_of_other_documents() -> None:
    assert check_letter(_header("11502-2"), _bundle()) == ((), ())
    assert not is_letter(_header("11502-2"))


def test_a_letter_is_judged_when_translated_and_at_its_own_door_and_never_refused() -> None:
    content = build_ldl_ses()
    translated = translate_cda(content)
    assert {item.code: item.state for item in translated.legal}["motif"] == "present"
    arrival = Arrival(content, "folder", Principal("x", "folder", "940999900"), datetime(2026, 11, 20, tzinfo=UTC), "x.xml")
    inspection = inspect_cda(arrival)
    assert inspection.verdict is Verdict.ACCEPTED
    assert {f.code for f in inspection.findings} >= {"legal.present"}


def test_another_document_is_not_translated_at_its_door() -> None:
    arrival = Arrival(build_n1(), "folder", Principal("x", "folder", "940999900"), datetime(2026, 11, 20, tzinfo=UTC), "x.xml")
    assert not any(f.code.startswith("legal.") for f in inspect_cda(arrival).findings)
