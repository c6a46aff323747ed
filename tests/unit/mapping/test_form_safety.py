"""The alert on metformin and iodine: when it is raised, what it never says, and where it shows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.detectedissue import DetectedIssue

from adapter.fhir.bundle import resources_of
from adapter.mapping.forms import safety as form_safety
from adapter.mapping.forms.conditions import CheckedForm
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.forms.safety import AlertKind, MetforminAlert, metformin_alert
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.mapping.rules import RuleFile, load_rules
from adapter.model.finding import Severity
from adapter.model.receipt import Arrival, Principal
from tests.builders.form import build_imaging_request, form_bytes

SLUG = "demande-imagerie"
CT = {"modalite": "TDM", "region": "thorax"}
ULTRASOUND = {"modalite": "ECHO", "region": "abdomen"}
TREATMENT = "contre-indications.diabete-traitement"
DIABETES = "contre-indications.diabete"


def arrival(**changes: Any) -> Arrival:
    content = form_bytes(build_imaging_request(**changes))
    return Arrival(content, "http", Principal("cms", "token", "940000003"), datetime(2026, 11, 21, 9, 30, tzinfo=UTC), form=SLUG)


def alerts(**changes: Any) -> list[tuple[Severity, str]]:
    return [(f.severity, f.code) for f in inspect_form(arrival(**changes)).findings if f.code.startswith("safety.")]


def issues(**changes: Any) -> list[dict[str, Any]]:
    (translation,) = understand_form(arrival(**changes), "receipt-1")
    return list(resources_of(translation.bundle, "DetectedIssue"))


def words(**changes: Any) -> str:
    (translation,) = understand_form(arrival(**changes), "receipt-1")
    (composition,) = resources_of(translation.bundle, "Composition")
    return json.dumps(composition["section"], ensure_ascii=False)


NAMED = [(Severity.WARNING, "safety.metformin")]
VERIFY = [(Severity.WARNING, "safety.metformin-to-verify")]
NOT_FOUND = [(Severity.INFORMATION, "safety.metformin-not-found")]


@pytest.mark.parametrize("injection", ["avec", "non-precise", None])
def test_any_ct_not_marked_without_injection_is_searched(injection: str | None) -> None:
    assert alerts(examens=[CT | ({"injection": injection} if injection else {})]) == NAMED


@pytest.mark.parametrize("exams", [[CT | {"injection": "sans"}], [ULTRASOUND]])
def test_a_ct_without_injection_or_another_exam_is_not(exams: list[dict[str, str]]) -> None:
    assert alerts(examens=exams) == []
    assert issues(examens=exams) == []


def test_one_ct_that_may_be_injected_among_others_raises_it_for_that_one() -> None:
    exams = [ULTRASOUND, CT | {"injection": "sans"}, CT | {"injection": "avec"}]
    (translation,) = understand_form(arrival(examens=exams), "receipt-1")
    (issue,) = resources_of(translation.bundle, "DetectedIssue")
    orders = [f"urn:uuid:{order['id']}" for order in resources_of(translation.bundle, "ServiceRequest")]
    treatments = [f"urn:uuid:{each['id']}" for each in resources_of(translation.bundle, "MedicationStatement")]
    assert [each["reference"] for each in issue["implicated"]] == [orders[2], *treatments]


@pytest.mark.parametrize("treatment", ["insuline XYZ", "régime seul", "ADO", "selon ordonnance", "1000 mg matin et soir"])
def test_a_diabetes_treatment_that_names_nothing_we_know_is_to_verify(treatment: str) -> None:
    assert alerts(**{TREATMENT: treatment}) == VERIFY


def test_a_diabetes_that_the_prescriber_does_not_know_of_is_to_verify() -> None:
    assert alerts(**{DIABETES: "UNK", TREATMENT: None}) == VERIFY


@pytest.mark.parametrize("treatment", ["Lantus 12 UI le soir", "GLUCAGON 1 mg", "Diamicron 60 mg"])
def test_known_treatments_without_metformin_raise_nothing_and_conclude_nothing(treatment: str) -> None:
    assert alerts(**{TREATMENT: treatment}) == NOT_FOUND
    assert issues(**{TREATMENT: treatment}) == []


def test_no_alert_never_reads_as_no_contraindication() -> None:
    told = words(**{DIABETES: False, TREATMENT: None})
    assert "Cela ne vaut pas absence de contre-indication" in told
    assert "ALERTE" not in told


def test_a_name_written_elsewhere_in_the_request_raises_it_too() -> None:
    quiet = {DIABETES: False, TREATMENT: None}
    assert alerts(**quiet) == NOT_FOUND
    assert alerts(**quiet, **{"demande.but": "Bilan, patient sous Glucophage."}) == NAMED
    assert alerts(**quiet, examens=[CT | {"precision": "prend du stagid"}]) == NAMED


def test_the_alert_stands_in_the_document_on_the_page_and_on_the_order() -> None:
    (translation,) = understand_form(arrival(), "receipt-1")
    (issue,) = resources_of(translation.bundle, "DetectedIssue")
    DetectedIssue.model_validate(issue)
    assert issue["status"] == "preliminary"
    assert "severity" not in issue
    assert "METFORMINE" in issue["detail"]
    told = words()
    for sentence in ("ALERTE – METFORMINE", "3 jours avant", "4 jours après", "notices actuelles", "non encore validé"):
        assert sentence in told
    (order,) = resources_of(translation.bundle, "ServiceRequest")
    assert any(note["text"].startswith("ALERTE – METFORMINE") for note in order["note"])
    assert {"reference": f"urn:uuid:{issue['id']}"} in order["supportingInfo"]


def test_what_the_sender_is_told_names_no_drug_and_no_patient() -> None:
    for change in ({}, {TREATMENT: "SECRETINE"}, {TREATMENT: "Lantus"}):
        for finding in inspect_form(arrival(**change)).findings:
            assert not any(word in finding.text + finding.remedy for word in ("SECRETINE", "Lantus", "METFORMINE", "EXEMPLE"))


def test_a_refused_form_is_not_searched() -> None:
    assert alerts(**{"patient.nom": None}) == []


# -- sign-off ----------------------------------------------------------------------------------------------------------


def _signed(site: dict[str, Any]) -> tuple[CheckedForm, RuleFile]:
    rules = load_rules(f"forms/{SLUG}")
    told = rules.data["safety"]["metformin"] | {"sites": {"BCT": site}}
    values = {"site": "BCT", "examens": [{"modalite": "TDM"}], "contre-indications": {"diabete": "UNK"}}
    checked = CheckedForm(load_questionnaire(SLUG), values, ())
    return checked, replace(rules, data=rules.data | {"safety": {"metformin": told}})


def _alert(site: dict[str, Any]) -> MetforminAlert:
    alert = metformin_alert(*_signed(site))
    assert alert is not None
    return alert


SIGN_OFF = {"enabled": True, "signed_by": "Dr Exemple", "signed_on": "2026-11-01", "signed_version": "1.0.0"}


def test_a_site_that_signed_this_version_is_named_with_its_date() -> None:
    assert _alert(SIGN_OFF).sentences[-1] == "Texte de l’alerte validé pour le site par Dr Exemple, le 2026-11-01."


@pytest.mark.parametrize("lacking", [{"signed_version": "0.9.0"}, {"signed_by": ""}, {"signed_on": ""}])
def test_a_sign_off_of_another_version_or_without_who_or_when_does_not_count(lacking: dict[str, str]) -> None:
    assert _alert(SIGN_OFF | lacking).sentences[-1] == "Texte de l’alerte non encore validé par le site."


def test_a_site_may_switch_it_off_and_the_page_says_that_nothing_was_searched() -> None:
    alert = _alert({"enabled": False})
    assert (alert.kind, alert.is_raised) == (AlertKind.OFF, False)
    assert alert.sentences == ("Recherche automatique de metformine désactivée par le site : aucune recherche n’a été faite.",)
    assert alert.finding().severity is Severity.INFORMATION


def test_a_site_that_the_rules_do_not_name_is_searched() -> None:
    checked, rules = _signed({})
    told = rules.data["safety"]["metformin"] | {"sites": {}}
    alert = form_safety.metformin_alert(checked, replace(rules, data=rules.data | {"safety": {"metformin": told}}))
    assert alert is not None
    assert alert.kind is AlertKind.VERIFY
