"""Pathway and delays of a request: the agreement in force on its day, amended per centre; nothing where nothing is said."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.errors import ConfigurationError
from adapter.model.request import Asked, Terms
from adapter.routing.directory import load_directory
from adapter.routing.terms import terms_of
from tests.builders.directory import APHP_EJ, BAGNEUX, IVRY, small_text, territory, territory_files

ON = date(2026, 11, 20)


def entity_of(key: str) -> str:
    return next(e.finess for e in territory().entries.legal_entities if e.key == key)


def terms(form: str, target: str, finess: str, entity: str, on: date = ON) -> Terms:
    return terms_of(territory(), Asked(form, target, finess, entity_of(entity), on))


def test_a_stay_request_takes_its_pathway_from_the_service_and_its_delays_from_the_agreement() -> None:
    simple = terms("demande-hospitalisation", "pbr-geriatrie", IVRY, "commune-ivry")
    assert (simple.pathway, simple.agreed["orientation_days"], simple.agreed["answer_hours"]) == ("simple", 7, 48)
    assert terms("demande-hospitalisation", "bct-neurologie", IVRY, "commune-ivry").pathway == "complex"


def test_an_amended_agreement_rules_for_its_centre() -> None:
    assert terms("demande-imagerie", "BCT", "929990323", "commune-fontenay").agreed["semi_urgent_imaging_days"] == 21
    assert terms("demande-imagerie", "BCT", IVRY, "commune-ivry").agreed["semi_urgent_imaging_days"] == 15


@pytest.mark.parametrize(("on", "hours"), [(date(2025, 6, 30), 48), (date(2025, 7, 1), 72)])
def test_the_version_in_force_on_the_day_of_the_request_rules(on: date, hours: int) -> None:
    assert terms("demande-imagerie", "BCT", BAGNEUX, "commune-bagneux", on).agreed["answer_hours"] == hours


def test_without_an_agreement_that_day_nothing_is_told_of_delays() -> None:
    assert terms("demande-imagerie", "BCT", IVRY, "commune-ivry", date(2029, 1, 1)) == Terms()


def test_an_unknown_target_has_no_terms() -> None:
    assert terms_of(territory(), Asked("demande-imagerie", "ailleurs", IVRY, APHP_EJ, ON)) == Terms()


@pytest.mark.parametrize(("setting", "hours"), [("", 24), ('urgent_imaging = "date"', 0)])
def test_an_agreement_says_whether_urgent_hours_promise_the_exam_or_its_date(setting: str, hours: int) -> None:
    more = f"""
[[agreement]]
key = "a"
framework = "f"
hospital = "hospital"
centre = "centre"
urgent_imaging_hours = 24
{setting}
[[department]]
key = "imaging"
name = "Imagerie"
organisation = "site"
[[form_target]]
form = "demande-imagerie"
site = "site"
department = "imaging"
"""
    directory = load_directory({"small.toml": small_text(more=more).encode()})
    found = terms_of(directory, Asked("demande-imagerie", "site", "949990311", "949990212", ON))
    assert found.agreed["urgent_imaging_hours"] == hours


def test_a_site_switches_an_alert_of_a_form_off_in_the_partners_file() -> None:
    files = territory_files()
    name = "reference-territory.toml"
    target = b'form = "demande-imagerie"\nsite = "abc"\n'
    assert target in files[name]
    directory = load_directory(files | {name: files[name].replace(target, target + b'switched_off = ["metformin"]\n')})
    off, on = (terms_of(directory, Asked("demande-imagerie", site, IVRY, APHP_EJ, ON)) for site in ("ABC", "BCT"))
    assert (off.switched_off, on.switched_off) == (frozenset({"metformin"}), frozenset())


def test_an_alert_that_no_form_has_cannot_be_switched_off() -> None:
    files = territory_files()
    name = "reference-territory.toml"
    target = b'form = "demande-imagerie"\nsite = "abc"\n'
    with pytest.raises(ConfigurationError, match="must list alerts among: metformin"):
        load_directory(files | {name: files[name].replace(target, target + b'switched_off = ["iodine"]\n')})
