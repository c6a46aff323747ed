"""The imaging request understood: every condition at the door, then the document, the envelope and the step it leaves."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapter.errors import InputError
from adapter.fhir.bundle import resources_of, write_json
from adapter.mapping.forms.delays import latest_moment
from adapter.mapping.forms.imaging import body_sites, read_term
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.forms.values import UnreadableAnswerError, read_date, years_between
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import Finding, Severity
from adapter.model.identity import Reliability
from adapter.model.parties import RecipientKind
from adapter.model.receipt import Arrival, ContentKind, Principal, Verdict
from adapter.model.request import StepKind
from adapter.model.submission import Urgency
from tests.builders.form import as_response, build_imaging_request, form_bytes

RECEIVED = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CT = [{"modalite": "TDM", "region": "abdomen et pelvis", "injection": "avec"}]
ULTRASOUND = [{"modalite": "ECHO", "region": "abdomen"}]


def arrival(answers: dict[str, Any] | bytes, **more: Any) -> Arrival:
    content = answers if isinstance(answers, bytes) else form_bytes(answers)
    principal = Principal("cms-fictif", "token", "940000003")
    return Arrival(content, "http", principal, RECEIVED, **({"reference": "ref-1", "form": "demande-imagerie"} | more))


def findings(severity: Severity = Severity.ERROR, **changes: Any) -> list[tuple[str, str]]:
    inspection = inspect_form(arrival(build_imaging_request(**changes)))
    assert (inspection.verdict is Verdict.REFUSED) == any(f.severity is Severity.ERROR for f in inspection.findings)
    return [(f.code, f.location) for f in beside_the_alert(inspection.findings) if f.severity is severity]


def beside_the_alert(found: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What is said besides the alert on metformin, which test_form_safety proves."""
    return tuple(f for f in found if not f.code.startswith("safety."))


def understood(**changes: Any) -> Translation:
    (translation,) = understand_form(arrival(build_imaging_request(**changes)), "receipt-1")
    return translation


def resources(kind: str, **changes: Any) -> list[dict[str, Any]]:
    return list(resources_of(understood(**changes).bundle, kind))


# -- at the door ------------------------------------------------------------------------------------------------------


def test_a_complete_request_is_accepted_with_nothing_to_say() -> None:
    inspection = inspect_form(arrival(build_imaging_request()))
    assert (inspection.kind, inspection.verdict) == (ContentKind.FORM, Verdict.ACCEPTED)
    assert beside_the_alert(inspection.findings) == ()
    assert (inspection.control.event, inspection.control.control_id) == ("demande-imagerie", "CMS-2026-0417")
    assert (inspection.control.version, inspection.control.sent_at) == ("1.0.0", "2026-11-20")


def test_without_its_own_number_a_form_is_known_by_the_doors_reference() -> None:
    assert inspect_form(arrival(build_imaging_request(numero=None))).control.control_id == "ref-1"


def test_a_response_may_bear_its_number_as_identifier() -> None:
    response = as_response(build_imaging_request(numero=None)) | {"identifier": {"value": "R-9"}}
    assert inspect_form(arrival(form_bytes(response))).control.control_id == "R-9"


REQUIRED = [
    "site", "patient.nom", "patient.prenom", "patient.date-naissance", "prescripteur.nom", "prescripteur.service",
    "prescripteur.telephone", "demande.date", "demande.prise-en-charge", "demande.urgence", "demande.but", "examens",
    "contre-indications.myelome", "contre-indications.allergie", "contre-indications.insuffisance-renale",
    "contre-indications.diabete", "contre-indications.diabete-traitement",
]  # fmt: skip


@pytest.mark.parametrize("link_id", REQUIRED)
@pytest.mark.parametrize("empty", [None, "", "   "])
def test_each_required_answer_that_lacks_is_the_one_error(link_id: str, empty: str | None) -> None:
    removed = {"contre-indications.diabete-traitement": None} if link_id == "contre-indications.diabete" else {}
    assert findings(**{link_id: empty}, **removed) == [("form.answer-required", link_id)]


def test_all_errors_are_told_at_once_in_the_words_of_the_questions() -> None:
    form = build_imaging_request(**{"site": None, "contre-indications.diabete-traitement": None, "demande.urgence": "vite"})
    inspection = inspect_form(arrival(form))
    told = {f.location: f.text for f in inspection.findings}
    assert set(told) == {"site", "contre-indications.diabete-traitement", "demande.urgence"}
    assert "« Si diabète : traitement en cours »" in told["contre-indications.diabete-traitement"]
    assert "« Site demandé »" in told["site"]
    assert "« Degré d’urgence »" in told["demande.urgence"]


def test_an_error_never_repeats_what_was_written() -> None:
    form = build_imaging_request(**{"patient.nom": None, "demande.urgence": "SECRET-1", "patient.date-naissance": "SECRET-2"})
    form["SECRET 3"] = "SECRET-4"
    inspection = inspect_form(arrival(form))
    assert len(inspection.findings) == 4
    assert "SECRET" not in repr(inspection.findings)


def test_without_a_ct_the_iodine_questions_are_not_asked() -> None:
    assert findings(examens=ULTRASOUND, **{"contre-indications": None}) == []


def test_one_ct_among_other_exams_asks_the_four_iodine_questions() -> None:
    found = findings(examens=[*ULTRASOUND, *CT], **{"contre-indications": None})
    assert found == [
        ("form.answer-required", f"contre-indications.{name}")
        for name in ("myelome", "allergie", "insuffisance-renale", "diabete")
    ]


def test_renal_failure_asks_for_the_creatinine() -> None:
    changes = {"contre-indications.insuffisance-renale": True}
    assert findings(**changes) == [("form.answer-required", "contre-indications.creatinine")]
    assert findings(**changes, **{"contre-indications.creatinine": 120}) == []


def test_an_unknown_answer_asks_for_nothing_more_and_is_no_refusal() -> None:
    changes = {"contre-indications.diabete": "inconnu", "contre-indications.diabete-traitement": None}
    assert findings(**changes) == []


def test_a_treatment_beside_a_denied_diabetes_is_refused() -> None:
    changes = {"contre-indications.diabete": "non"}
    assert findings(**changes) == [("form.contradiction", "contre-indications.diabete-traitement")]


def test_an_answer_that_was_not_asked_is_kept_and_told() -> None:
    changes: dict[str, Any] = {"patient.poids": 71.5}
    assert findings(Severity.WARNING, **changes) == [("form.answer-not-expected", "patient.poids")]
    assert [o["valueQuantity"]["value"] for o in resources("Observation", **changes)] == [71.5]


@pytest.mark.parametrize(
    ("birth", "on", "child"),
    [
        ("2008-11-21", "2026-11-20", True),
        ("2008-11-20", "2026-11-20", False),
        ("2008-11-19", "2026-11-20", False),
        ("2026-11-20", "2026-11-20", True),
        ("2008-01-01", "2026-01-01", False),
        ("2008-01-01", "2025-12-31", True),
        ("2008-02-29", "2026-02-28", True),
        ("2008-02-29", "2026-03-01", False),
        ("2008", "2026-11-20", True),
        ("2007", "2026-11-20", False),
        ("2008-11", "2026-11-20", True),
        ("2008-10", "2026-11-20", False),
        ("1961", "2026-11-20", False),
    ],
)
def test_a_child_is_under_eighteen_on_the_day_of_the_request_and_a_doubt_counts_as_child(
    birth: str, on: str, child: bool
) -> None:
    found = findings(**{"patient.date-naissance": birth, "demande.date": on})
    assert found == ([("form.answer-required", "patient.poids")] if child else [])


def test_a_premature_child_has_a_term_of_birth() -> None:
    child = {"patient.date-naissance": "2026-08-01", "patient.poids": 4.2, "patient.premature": True}
    assert findings(**child) == [("form.answer-required", "patient.terme-naissance")]
    assert findings(**child, **{"patient.terme-naissance": "32 SA + 4 j"}) == []


def test_the_computed_answer_may_be_sent_back_but_not_changed() -> None:
    assert findings(**{"patient.mineur": False}) == []
    assert findings(**{"patient.mineur": True}) == [("form.contradiction", "patient.mineur")]


@pytest.mark.parametrize(
    ("link_id", "location"),
    [("urgence", "urgence"), ("demande.urgnce", "demande.urgnce"), ("patient.nom.usage", "patient.nom")],
)
def test_a_key_that_no_question_has_is_refused_where_it_stands(link_id: str, location: str) -> None:
    form = build_imaging_request()
    *groups, key = link_id.split(".")
    target: Any = form
    for group in groups[:1]:
        target = target[group]
    if len(groups) == 2:
        target[groups[1]] = {key: "x"}
    else:
        target[key] = "x"
    inspection = inspect_form(arrival(form))
    assert inspection.verdict is Verdict.REFUSED
    assert [f.location for f in inspection.findings] == [location]


def test_a_hostile_form_buys_no_long_answer() -> None:
    form = build_imaging_request() | {f"cle{n}": n for n in range(20_000)}
    codes = [f.code for f in inspect_form(arrival(form)).findings]
    assert codes == ["form.unknown-key"] * 20 + ["form.too-many-unknown-keys"]


@pytest.mark.parametrize(("birth", "told"), [("1961-01-01", True), ("1961", True), ("1961-04", True), ("1961-01-02", False)])
def test_a_birth_date_of_convention_is_told_for_the_match_of_identities(birth: str, told: bool) -> None:
    found = findings(Severity.INFORMATION, **{"patient.date-naissance": birth})
    assert found == ([("form.conventional-birth-date", "patient.date-naissance")] if told else [])


def test_a_myeloma_with_renal_failure_beside_a_denied_renal_failure_is_kept_and_told() -> None:
    changes = {"contre-indications.myelome": True}
    assert findings(Severity.WARNING, **changes) == [("form.doubtful-answers", "contre-indications.insuffisance-renale")]
    changes["contre-indications.insuffisance-renale"] = "inconnu"
    assert findings(Severity.WARNING, **changes) == []


@pytest.mark.parametrize(("link_id", "value"), [("patient.poids", 0.3), ("patient.poids", 400), ("patient.nom", "X" * 120)])
def test_bounds_belong_to_what_is_allowed(link_id: str, value: object) -> None:
    assert findings(**{link_id: value}) == []


def test_a_key_that_resembles_none_gets_no_suggestion() -> None:
    (finding,) = inspect_form(arrival(build_imaging_request() | {"zzz": 1})).findings
    assert (finding.location, finding.remedy) == ("zzz", "Voir les clés du questionnaire.")


def test_a_misspelt_key_gets_a_suggestion() -> None:
    form = build_imaging_request()
    form["examens"][0]["modalité"] = form["examens"][0].pop("modalite")
    found = {f.code: f for f in inspect_form(arrival(form)).findings}
    assert found["form.unknown-key"].remedy == "Vouliez-vous écrire « examens[1].modalite » ?"
    assert found["form.answer-required"].location == "examens[1].modalite"


@pytest.mark.parametrize(
    ("link_id", "value", "code"),
    [
        ("site", "XYZ", "form.unknown-choice"),
        ("site", 3, "form.unknown-choice"),
        ("site", ["ABC", "BCT"], "form.wrong-type"),
        ("patient.nom", {"family": "X"}, "form.wrong-type"),
        ("patient.nom", True, "form.wrong-type"),
        ("patient.nom", "X" * 121, "form.too-long"),
        ("premedication", "peut-être", "form.wrong-type"),
        ("premedication", 1, "form.wrong-type"),
        ("patient.poids", "lourd", "form.wrong-type"),
        ("patient.poids", True, "form.wrong-type"),
        ("patient.poids", 0, "form.out-of-range"),
        ("patient.poids", 401, "form.out-of-range"),
        ("patient.poids", "1e400", "form.out-of-range"),
        ("patient.poids", "sNaN", "form.wrong-type"),
        ("patient.date-naissance", "1961-02-30", "form.not-a-date"),
        ("patient.date-naissance", "12/13/1961", "form.not-a-date"),
        ("patient.date-naissance", "61", "form.not-a-date"),
        ("patient.date-naissance", "0000", "form.not-a-date"),
        ("patient.date-naissance", "0961-04-12", "form.not-a-date"),
        ("examens", [{"modalite": "IRM", "region": "cou"}] * 21, "form.too-many"),
        ("demande.date", "2026-11", "form.not-a-date"),
        ("demande.date", "2026-11-20T25:00", "form.not-a-date"),
        ("demande.date", "2026-11-20 vers midi", "form.not-a-date"),
        ("demande.date", "2026-11-22", "form.date-in-future"),
        ("patient.date-naissance", "2026-11-21", "form.dates-out-of-order"),
        ("prescripteur.rpps", "123", "form.bad-identifier"),
        ("prescripteur.finess", "ABC", "form.bad-identifier"),
        ("examens", "TDM", "form.wrong-shape"),
        ("patient", "EXEMPLE", "form.wrong-shape"),
        ("contre-indications", True, "form.wrong-shape"),
    ],
)
def test_an_answer_that_cannot_be_read_is_refused_once(link_id: str, value: object, code: str) -> None:
    found = findings(**{link_id: value})
    assert [c for c, place in found if place == link_id] == [code]


def test_the_day_of_today_is_that_of_the_doors_zone() -> None:
    late = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)  # already the 21st in Paris
    form = arrival(build_imaging_request(**{"demande.date": "2026-11-21"}))
    here = Arrival(form.content, form.door, form.principal, late, form="demande-imagerie")
    there = Arrival(form.content, form.door, form.principal, late, form="demande-imagerie", zone="America/Cayenne")
    assert inspect_form(here).verdict is Verdict.ACCEPTED
    assert inspect_form(there).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1979", "1979"),
        ("1979-03", "1979-03"),
        ("1979-03-28", "1979-03-28"),
        ("28/03/1979", "1979-03-28"),
        ("1/1/1979", "1979-01-01"),
        ("01.01.1979", "1979-01-01"),
    ],
)
def test_french_and_iso_dates_keep_their_precision(written: str, read: str) -> None:
    assert read_date(written) == read
    assert findings(**{"patient.date-naissance": written}) == []


@given(st.text(max_size=12))
def test_any_text_is_a_date_or_a_clear_refusal(text: str) -> None:
    try:
        assert 4 <= len(read_date(text)) <= 10
    except UnreadableAnswerError as error:
        found = error.code
        assert found == "form.not-a-date"


@given(st.dates(), st.dates())
def test_years_never_go_down_when_the_precision_does(birth: Any, on: Any) -> None:
    full = years_between(birth.isoformat(), on.isoformat())
    assert years_between(birth.isoformat()[:7], on.isoformat()) <= full
    assert years_between(birth.isoformat()[:4], on.isoformat()) <= full


def test_usual_words_are_understood() -> None:
    changes = {
        "site": "Bicêtre",
        "demande.urgence": "Semi-urgente",
        "examens": [{"modalite": "Scanner", "region": "thorax", "injection": "Avec injection", "cote": "les deux"}],
        "contre-indications.diabete": "OUI",
    }
    assert findings(**changes) == []
    assert resources("ServiceRequest", **changes)[0]["priority"] == "urgent"


def test_an_hour_without_zone_takes_the_doors_zone_and_says_so() -> None:
    changes = {"demande.date": "20/11/2026 à 9h30"}
    assert findings(Severity.INFORMATION, **changes) == [("form.zone-assumed", "demande.date")]
    assert resources("ServiceRequest", **changes)[0]["authoredOn"] == "2026-11-20T09:30:00+01:00"


@pytest.mark.parametrize("slug", ["autre", "../secret", "demande-imagerie/../x", "A", ""])
def test_only_a_form_that_exists_is_read(slug: str) -> None:
    inspection = inspect_form(arrival(build_imaging_request() | {"formulaire": slug}, form=""))
    accepted = slug == ""
    assert (inspection.verdict is Verdict.ACCEPTED) == accepted
    assert [f.code for f in beside_the_alert(inspection.findings)] == ([] if accepted else ["form.unknown-form"])


def test_the_content_and_the_door_must_name_the_same_form() -> None:
    response = as_response(build_imaging_request(), "https://traitdunion.example/fhir/Questionnaire/demande-hospitalisation")
    assert [f.code for f in inspect_form(arrival(form_bytes(response))).findings] == ["form.wrong-form"]


def test_another_version_of_the_form_is_told() -> None:
    response = as_response(build_imaging_request(), "https://traitdunion.example/fhir/Questionnaire/demande-imagerie|0.9")
    inspection = inspect_form(arrival(form_bytes(response)))
    assert [(f.severity, f.code) for f in beside_the_alert(inspection.findings)] == [(Severity.WARNING, "form.other-version")]


def test_unreadable_bytes_are_a_refused_inspection_not_an_exception() -> None:
    inspection = inspect_form(arrival(b"{"))
    assert (inspection.verdict, [f.code for f in inspection.findings]) == (Verdict.REFUSED, ["form.not-json"])
    assert len(inspection.fingerprint) == 64


def test_a_refused_form_is_not_understood() -> None:
    with pytest.raises(InputError) as caught:
        understand_form(arrival(build_imaging_request(site=None)), "receipt-1")
    assert (caught.value.code, caught.value.where) == ("form.answer-required", "site")


# -- the same answers are the same document ---------------------------------------------------------------------------


def test_layout_order_shape_and_door_do_not_change_the_document() -> None:
    form = build_imaging_request(**{"patient.poids": 71, "demande.resultats-anterieurs": None})
    spaced = json.dumps(dict(reversed(form.items())), indent=4, ensure_ascii=True).replace("71", "71.0").encode()
    other = Arrival(spaced, "folder", Principal("autre", "folder", "940000003"), RECEIVED + timedelta(days=1), reference="x.json")
    first, second, third = (
        arrival(form),
        other,
        arrival(
            form_bytes(
                as_response(form | {"premedication": False, "patient": form["patient"] | {"telephone": " 01 99 00 12 34 "}})
            )
        ),
    )
    assert inspect_form(first).fingerprint == inspect_form(second).fingerprint == inspect_form(third).fingerprint
    ids = {understand_form(each, "r")[0].submission.document.unique_id for each in (first, second, third)}
    assert len(ids) == 1 and ids.pop().startswith("2.25.")


@pytest.mark.parametrize(
    "change", [{"numero": "2"}, {"demande.but": "autre"}, {"demande.urgence": "urgent"}, {"premedication": None}]
)
def test_another_answer_is_another_document(change: dict[str, Any]) -> None:
    first, second = understood(), understood(**change)
    assert first.submission.document.unique_id != second.submission.document.unique_id


def test_two_responses_with_other_numbers_are_two_documents() -> None:
    response = as_response(build_imaging_request(numero=None))
    fingerprints = {inspect_form(arrival(form_bytes(response | {"identifier": {"value": n}}))).fingerprint for n in ("1", "2")}
    assert len(fingerprints) == 2


def test_the_same_form_gives_the_same_bytes() -> None:
    assert write_json(understood().bundle) == write_json(understood().bundle)


# -- the orders -------------------------------------------------------------------------------------------------------


def test_each_exam_is_one_order_under_one_requisition() -> None:
    exams = [
        *CT,
        {"modalite": "IRM", "region": "genou", "cote": "gauche", "precision": "ligaments"},
        {"modalite": "DOPPLER", "region": "membres inférieurs"},
    ]
    orders = resources("ServiceRequest", examens=exams)
    assert [o["identifier"][0]["value"] for o in orders] == ["CMS-2026-0417-1", "CMS-2026-0417-2", "CMS-2026-0417-3"]
    assert {o["requisition"]["value"] for o in orders} == {"CMS-2026-0417"}
    assert [o["category"][1]["coding"][0]["code"] for o in orders] == ["CT", "MR", "MED-1128"]
    assert orders[0]["code"]["text"] == "Scanner (TDM) – abdomen et pelvis – avec injection de produit de contraste"
    assert orders[1]["code"]["text"] == "IRM – genou, côté gauche"
    assert orders[1]["bodySite"] == [
        {
            "coding": [{"system": "http://snomed.info/sct", "code": "361291001", "display": "région entière du genou"}],
            "text": "genou, côté gauche",
        }
    ]
    assert orders[1]["note"][-1] == {"text": "ligaments"}
    assert orders[0]["category"][0]["coding"][0]["code"] == "363679005"


@pytest.mark.parametrize(
    ("urgency", "priority", "end"),
    [("urgent", "asap", "2026-11-22"), ("semi-urgent", "urgent", "2026-12-05"), ("non urgent", "routine", None)],
)
def test_urgency_gives_priority_and_the_latest_date_and_keeps_its_word(urgency: str, priority: str, end: str | None) -> None:
    translation = understood(**{"demande.urgence": urgency})
    (order,) = resources_of(translation.bundle, "ServiceRequest")
    assert order["priority"] == priority
    assert order["occurrencePeriod"] == {"start": "2026-11-20"} | ({"end": end} if end else {})
    assert f"Degré d’urgence écrit par le prescripteur : {urgency}." in [n["text"] for n in order["note"]]
    assert f"Degré d’urgence : {urgency.upper()}" in write_json(translation.bundle).decode()
    assert translation.submission.urgency is Urgency(urgency)


@pytest.mark.parametrize(
    ("start", "delay", "end"),
    [
        ("2026-11-20", {"hours": 48}, "2026-11-22"),
        ("2026-11-20", {"hours": 25}, "2026-11-22"),
        ("2026-11-20T09:30:00+01:00", {"hours": 48}, "2026-11-22T09:30:00+01:00"),
        ("2026-11-20T09:30:00+01:00", {"days": 15}, "2026-12-05"),
        ("2026-12-31", {"days": 15}, "2027-01-15"),
        ("2026-11-20", {}, ""),
    ],
)
def test_hours_are_elapsed_from_an_instant_and_days_end_a_day(start: str, delay: dict[str, int], end: str) -> None:
    assert latest_moment(start, delay) == end


@pytest.mark.parametrize(
    ("exam", "code", "words"),
    [
        ({"modalite": "TDM", "region": "tête"}, "CT", "injection non précisée"),
        ({"modalite": "TDM", "region": "tête", "injection": "sans"}, "CT", "sans injection"),
        ({"modalite": "TDM", "region": "tête", "injection": "non-precise"}, "CT", "injection non précisée"),
        ({"modalite": "RADIO", "region": "genou"}, "MED-1126", "Radiologie conventionnelle – genou"),
        ({"modalite": "RADIO", "region": "genou", "injection": "avec"}, "MED-1127", "avec injection"),
        ({"modalite": "ECHO", "region": "foie", "injection": "avec"}, "MED-1129", "Échographie – foie – avec injection"),
        ({"modalite": "DOPPLER", "region": "cou"}, "MED-1128", "Écho-Doppler – cou"),
    ],
)
def test_modality_and_injection_are_coded_and_said(exam: dict[str, str], code: str, words: str) -> None:
    (order,) = resources("ServiceRequest", examens=[exam])
    assert order["category"][1]["coding"][0]["code"] == code
    assert words in order["code"]["text"]


def test_a_region_that_no_table_knows_stays_in_the_prescribers_words() -> None:
    (order,) = resources("ServiceRequest", examens=[{"modalite": "ECHO", "region": "Creux poplité"}])
    assert order["bodySite"] == [{"text": "Creux poplité"}]


def test_a_region_of_several_sites_names_each() -> None:
    assert [site.code for site in body_sites("Thorax-abdomen-pelvis")] == ["302551006", "302553009", "229765004"]


# -- what stands beside the orders ------------------------------------------------------------------------------------


def test_each_yes_is_a_coded_resource_and_no_makes_none() -> None:
    yes = {
        "contre-indications.myelome": True,
        "contre-indications.allergie": True,
        "contre-indications.allergie-precision": "malaise après un scanner en 2019",
        "contre-indications.insuffisance-renale": True,
        "contre-indications.creatinine": 120,
        "contre-indications.creatinine-unite": "µmol/L",
        "contre-indications.creatinine-date": "2026-11-10",
    }
    conditions = resources("Condition", **yes)
    assert [c["code"]["coding"][0]["code"] for c in conditions] == ["C90.0", "N18.9", "E14"]
    (allergy,) = resources("AllergyIntolerance", **yes)
    assert allergy["code"]["coding"][0]["code"] == "MED-1105"
    assert allergy["verificationStatus"]["coding"][0]["code"] == "unconfirmed"
    assert "malaise après un scanner en 2019" in allergy["code"]["text"]
    (order,) = resources("ServiceRequest", **yes)
    assert len(order["supportingInfo"]) == 1 + 3 + 1 + 1 + 1 + 1  # alert, conditions, allergy, treatment, creatinine, form
    assert [c["code"]["coding"][0]["code"] for c in resources("Condition")] == ["E14"]
    assert resources("AllergyIntolerance") == []


def test_no_answer_and_unknown_make_no_disease_and_no_absence() -> None:
    none = {
        "contre-indications": {
            "myelome": "inconnu",
            "allergie": "inconnu",
            "insuffisance-renale": "inconnu",
            "diabete": "inconnu",
        }
    }
    bundle = understood(**none).bundle
    assert not resources_of(bundle, "Condition") and not resources_of(bundle, "AllergyIntolerance")
    text = write_json(bundle).decode()
    assert text.count("Ne sait pas") >= 8  # four answers, in the narrative and in the questionnaire
    assert "aucune contre-indication" not in text.casefold() and "pas de contre-indication" not in text.casefold()
    assert "nilknown" not in text


def test_creatinine_in_micromoles_is_kept_as_written() -> None:
    (observation,) = _creatinine({"creatinine": "92,5", "creatinine-unite": "µmol/l", "creatinine-date": "10/11/2026"})
    assert observation["code"]["coding"][0]["code"] == "14682-9"
    assert observation["valueQuantity"] == {
        "value": 92.5,
        "unit": "µmol/L",
        "system": "http://unitsofmeasure.org",
        "code": "umol/L",
    }
    assert observation["effectiveDateTime"] == "2026-11-10"


def test_creatinine_in_milligrams_is_kept_and_also_converted() -> None:
    written, converted = _creatinine({"creatinine": 13.5, "creatinine-unite": "mg/L"})
    assert (written["code"]["coding"][0]["code"], written["valueQuantity"]["value"], written["valueQuantity"]["code"]) == (
        "2160-0",
        13.5,
        "mg/L",
    )
    assert (converted["code"]["coding"][0]["code"], converted["valueQuantity"]["value"]) == ("14682-9", 119.3)
    assert converted["derivedFrom"] == [{"reference": f"urn:uuid:{written['id']}"}]
    assert "effectiveDateTime" not in written


def test_creatinine_without_a_unit_stays_text() -> None:
    (observation,) = _creatinine({"creatinine": 92})
    assert observation["valueString"] == "92 (unité non précisée)"
    assert "valueQuantity" not in observation and "coding" not in observation["code"]


def _creatinine(answers: dict[str, Any]) -> list[dict[str, Any]]:
    base = {"myelome": False, "allergie": False, "insuffisance-renale": True, "diabete": False}
    return resources("Observation", **{"contre-indications": base | answers})


def test_the_treatment_stays_the_prescribers_words() -> None:
    (statement,) = resources("MedicationStatement")
    assert statement["medicationCodeableConcept"] == {"text": "METFORMINE 1000 mg matin et soir"}


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("32", (32, 0)),
        ("32 SA", (32, 0)),
        ("32SA+4", (32, 4)),
        ("32 SA + 4 j", (32, 4)),
        ("36 semaines d’aménorrhée", (36, 0)),
        ("32 semaines 6 jours", (32, 6)),
        ("très prématuré", (None, 0)),
        ("12", (None, 0)),
        ("46", (None, 0)),
        ("32 SA + 7 j", (None, 0)),
    ],
)
def test_the_term_of_birth_is_read_in_weeks_and_days_or_left_as_text(text: str, term: tuple[int | None, int]) -> None:
    assert read_term(text) == term


def test_a_premature_childs_weight_and_term_are_measures() -> None:
    child = {
        "patient.date-naissance": "2026-08-01",
        "patient.poids": "4,25",
        "patient.premature": True,
        "patient.terme-naissance": "32 SA + 4 j",
    }
    term, weight = resources("Observation", examens=ULTRASOUND, **{"contre-indications": None}, **child)
    assert weight["meta"]["profile"] == ["http://hl7.org/fhir/StructureDefinition/bodyweight"]
    assert (weight["valueQuantity"]["value"], weight["effectiveDateTime"]) == (4.25, "2026-11-20")
    assert (term["valueQuantity"]["value"], term["valueQuantity"]["code"], term["note"]) == (228, "d", [{"text": "32 SA + 4 j"}])


@pytest.mark.parametrize(
    ("answer", "words"),
    [(True, "OUI. Rappel"), (False, "Prémédication demandée : non."), (None, "non précisé sur le formulaire")],
)
def test_premedication_is_a_reminder_and_never_an_order(answer: bool | None, words: str) -> None:
    translation = understood(premedication=answer)
    (order,) = resources_of(translation.bundle, "ServiceRequest")
    assert any(words in note["text"] for note in order["note"])
    assert not resources_of(translation.bundle, "MedicationRequest")


# -- the document -----------------------------------------------------------------------------------------------------


def _sections(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def walk(sections: list[dict[str, Any]]) -> None:
        for section in sections:
            found[section["code"]["coding"][0]["code"] + ("" if section["code"]["coding"][0]["code"] not in found else "+")] = (
                section
            )
            walk(section.get("section", []))

    walk(bundle["entry"][0]["resource"]["section"])
    return found


def test_the_document_mirrors_the_sections_of_the_cda_request() -> None:
    bundle = understood(**{"demande.patient-informe": True}).bundle
    composition = bundle["entry"][0]["resource"]  # type: ignore[index]
    assert composition["type"]["coding"][0]["code"] == "55115-0"
    assert list(_sections(bundle)) == ["55752-0", "55115-0", "11329-0", "34895-3", "18776-5", "30954-2", "55107-7"]
    assert "34895-3" not in _sections(understood().bundle)
    assert "30954-2" not in _sections(understood(**{"demande.resultats-anterieurs": None}).bundle)


def test_every_written_answer_is_readable_in_the_narrative() -> None:
    form = build_imaging_request(
        **{
            "patient.poids": "71,5", "prescripteur.prenom": "Dominique", "premedication": True,
            "contre-indications.insuffisance-renale": True, "contre-indications.creatinine": 13.5,
            "contre-indications.creatinine-unite": "mg/L", "contre-indications.creatinine-date": "2026-11-01",
        }
    )  # fmt: skip
    (translation,) = understand_form(arrival(form), "r")
    told = " ".join(s["text"]["div"] for s in _sections(translation.bundle).values() if "text" in s)
    for expected in (
        "EXEMPLE", "Camille", "12/04/1961", "01 99 00 12 34", "MODELE", "Médecine générale", "01 99 00 56 78", "99700000013",
        "20/11/2026", "Semi-urgent", "SEMI-URGENT", "recherche d’un abcès", "sans particularité", "Avec injection", "13,5 mg/L",
        "le 01/11/2026", "METFORMINE 1000 mg matin et soir", "71,5 kg", "Bicêtre", "Externe", "05/12/2026", "OUI. Rappel",
    ):  # fmt: skip
        assert expected in told, expected


def test_markup_in_an_answer_is_text_and_line_breaks_are_kept() -> None:
    bundle = understood(**{"demande.but": "<script>x</script> & 2 < 3\nseconde ligne"}).bundle
    div = _sections(bundle)["55115-0"]["text"]["div"]
    assert "&lt;script&gt;x&lt;/script&gt; &amp; 2 &lt; 3<br/>seconde ligne" in div


def test_the_full_questionnaire_travels_with_its_noes_and_unknowns() -> None:
    (response,) = resources("QuestionnaireResponse", **{"contre-indications.allergie": "inconnu"})
    assert response["questionnaire"] == "https://traitdunion.example/fhir/Questionnaire/demande-imagerie|1.0.0"
    answers = {i["linkId"]: i.get("answer") for g in response["item"] for i in [g, *g.get("item", [])]}
    assert answers["contre-indications.myelome"][0]["valueCoding"]["code"] == "N"
    assert answers["contre-indications.allergie"][0]["valueCoding"]["code"] == "UNK"
    assert answers["contre-indications.diabete"][0]["valueCoding"]["code"] == "Y"
    assert answers["premedication"] == [{"valueBoolean": False}]
    assert answers["patient.mineur"] == [{"valueBoolean": False}]


def test_a_response_read_back_from_our_own_document_gives_the_same_document() -> None:
    first = understood(**{"patient.poids": 71.5, "examens": [*CT, *ULTRASOUND]})
    (response,) = resources_of(first.bundle, "QuestionnaireResponse")
    (second,) = understand_form(arrival(form_bytes(dict(response))), "r2")
    kept = [
        {k: v for k, v in o.items() if k not in ("id", "subject", "encounter", "requester", "performer", "supportingInfo")}
        for o in resources_of(first.bundle, "ServiceRequest")
    ]
    again = [
        {k: v for k, v in o.items() if k not in ("id", "subject", "encounter", "requester", "performer", "supportingInfo")}
        for o in resources_of(second.bundle, "ServiceRequest")
    ]
    assert kept == again
    assert {node.path.split(".")[0] for node in second.unread} <= {"subject", "author", "authored"}


def test_nothing_of_a_fully_answered_form_is_left_unread() -> None:
    form = build_imaging_request(
        **{
            "patient.nom-naissance": "AUTRE",
            "patient.ins": "2 61 04 99 999 999 96",
            "patient.ins-oid": "TEST",
            "patient.date-naissance": "2020-01-01",
            "patient.poids": 20,
            "patient.premature": "oui",
            "patient.terme-naissance": "33 SA",
            "patient.mineur": True,
            "demande.patient-informe": False,
            "contre-indications.allergie": True,
            "contre-indications.allergie-precision": "x",
            "contre-indications.insuffisance-renale": True,
            "contre-indications.creatinine": 9,
            "contre-indications.creatinine-unite": "mg/L",
            "contre-indications.creatinine-date": "2026",
            "examens": [{"modalite": "TDM", "region": "cou", "cote": "droit", "injection": "sans", "precision": "y"}],
            "prescripteur.prenom": "D",
        }
    )
    (translation,) = understand_form(arrival(form), "r")
    assert translation.unread == ()


def test_what_a_response_holds_besides_answers_is_listed_as_unread() -> None:
    response = as_response(build_imaging_request()) | {"subject": {"display": "quelqu’un"}, "id": "x", "authored": "2026-11-20"}
    (translation,) = understand_form(arrival(form_bytes(response)), "r")
    assert {node.path for node in translation.unread} == {"subject.display", "authored"}
    assert translation.source_media_type == "application/fhir+json"


@pytest.mark.parametrize(
    "form",
    [
        build_imaging_request(),
        build_imaging_request(
            **{
                "demande.date": "2026-11-20T09:30:00+01:00",
                "patient.telephone": None,
                "patient.date-naissance": "1961",
                "prescripteur.etablissement": None,
                "prescripteur.finess": None,
                "prescripteur.rpps": None,
            }
        ),
    ],
)
def test_every_resource_meets_the_r4_models(form: dict[str, Any]) -> None:
    (translation,) = understand_form(arrival(form), "r")
    Bundle.model_validate(json.loads(write_json(translation.bundle)))


# -- identity and envelope --------------------------------------------------------------------------------------------


def test_the_identity_of_a_form_is_provisional_even_with_a_matricule() -> None:
    translation = understood(**{"patient.ins": "261049999999996", "patient.ins-oid": "TEST"})
    identity = translation.submission.document.patient
    assert identity.reliability is Reliability.PROVISIONAL and not identity.is_qualified
    assert identity.ins is not None and identity.ins.oid == "1.2.250.1.213.1.4.10"
    (patient,) = resources_of(translation.bundle, "Patient")
    assert "identifier" not in patient
    (response,) = resources_of(translation.bundle, "QuestionnaireResponse")
    told = json.dumps([response, translation.bundle["entry"][0]])  # type: ignore[index]
    assert "261049999999996" not in told
    assert [f.code for f in beside_the_alert(translation.findings)] == ["form.ins-withheld"]


def test_a_matricule_may_be_written_with_blanks() -> None:
    translation = understood(**{"patient.ins": "2 61 04 99 999 999 96"})
    assert translation.submission.document.patient.ins is not None
    assert translation.submission.document.patient.ins.value == "261049999999996"
    assert [f.code for f in beside_the_alert(translation.findings)] == ["form.ins-withheld"]


def test_a_matricule_with_a_wrong_key_is_told_and_not_used() -> None:
    translation = understood(**{"patient.ins": "261049999999900"})
    assert translation.submission.document.patient.ins is None
    assert [(f.severity, f.code) for f in beside_the_alert(translation.findings)] == [(Severity.WARNING, "ins.wrong-key")]


def test_a_birth_name_takes_its_place_and_the_used_name_stays() -> None:
    identity = understood(**{"patient.nom-naissance": "NAISSANCE"}).submission.document.patient
    assert (identity.birth_name, identity.used_name, identity.first_given) == ("NAISSANCE", "EXEMPLE", "Camille")


def test_the_envelope_names_the_target_and_the_prescriber() -> None:
    submission = understood().submission
    (target,) = submission.recipients
    assert (target.kind, target.name, target.role_hint) == (RecipientKind.ORGANISATION, "BCT", "form-target:demande-imagerie")
    assert submission.sender is not None and submission.sender.professional is not None
    assert submission.sender.professional.rpps == "99700000013"
    assert submission.document.custodian.finess == "940000003"
    assert submission.destinations.professionals and not submission.destinations.patient and not submission.destinations.record
    assert (submission.content_kind, submission.encounter_class, submission.legal_entity) == ("form", "O", "940000003")
    assert submission.control_id == "CMS-2026-0417"


def test_a_request_starts_its_life_with_an_answer_due_in_48_elapsed_hours() -> None:
    (step,) = understood().steps
    assert (step.kind, step.at, step.by) == (StepKind.REQUESTED, RECEIVED, "cms-fictif")
    assert step.answer_due == RECEIVED + timedelta(hours=48)


def test_the_revision_names_the_rules_the_questionnaire_and_the_code_tables() -> None:
    slug, _, revision = understood().mapping_revision.partition("@")
    assert slug == "demande-imagerie" and [len(part) for part in revision.split(".")] == [12, 12, 12]


# -- any form ---------------------------------------------------------------------------------------------------------

_WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=12)
_USUAL = ["oui", "non", "inconnu", "2026-11-20", "1961", "2015-06-01", "12,5"]
_SOME = st.one_of(_WORDS, st.booleans(), st.integers(-5, 500), st.sampled_from(_USUAL))
_EXAM = st.fixed_dictionaries(
    {"modalite": st.sampled_from(["TDM", "ECHO", "DOPPLER", "RADIO", "IRM", "scanner"]), "region": _WORDS},
    optional={"cote": st.sampled_from(["droit", "gauche", "bilateral"]), "injection": _SOME, "precision": _WORDS},
)
_LINKS = [q.link_id for q in load_questionnaire("demande-imagerie").walk() if q.kind != "group" and "examens." not in q.link_id]
_CHANGES = st.dictionaries(st.sampled_from(_LINKS), st.none() | _SOME, max_size=3)


@given(_CHANGES, st.lists(_EXAM, max_size=3))
def test_any_form_is_refused_with_reasons_or_becomes_a_whole_document(
    changes: dict[str, Any], exams: list[dict[str, Any]]
) -> None:
    form = arrival(build_imaging_request(**changes, examens=exams))
    inspection = inspect_form(form)
    if inspection.verdict is Verdict.REFUSED:
        assert any(f.severity is Severity.ERROR and f.location for f in inspection.findings)
        return
    (translation,) = understand_form(form, "r")
    assert translation.unread == ()
    urls = [entry["fullUrl"] for entry in translation.bundle["entry"]]  # type: ignore[attr-defined]
    written = write_json(translation.bundle).decode()
    assert len(urls) == len(set(urls))
    assert set(re.findall(r'"reference":"(urn:uuid:[^"]+)"', written)) <= set(urls)
    assert len(resources_of(translation.bundle, "ServiceRequest")) == len(exams)
    for section in _sections(translation.bundle).values():
        etree.fromstring(section["text"]["div"])
