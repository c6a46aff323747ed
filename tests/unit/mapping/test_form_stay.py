"""The hospitalisation request and the hospital's half: conditions at the door, every answer in the document."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.task import Task

from adapter.errors import InputError
from adapter.fhir.bundle import resources_of, write_json
from adapter.fhir.profiles import EXT_PATHWAY
from adapter.mapping.forms.stay import latest_day
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.effects import Translation
from adapter.model.finding import Severity
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.model.request import Asked, Terms
from adapter.model.submission import Urgency
from adapter.packaging.pdf import render_pdf
from adapter.requests.steps import project_task
from tests.builders.form import form_bytes
from tests.builders.stay import LETTER, build_stay_answer, build_stay_request

Json = dict[str, Any]


def arrival(form: Json) -> Arrival:
    return Arrival(form_bytes(form), "http", Principal("x", "token", "940000003"), datetime(2026, 11, 21, 9, tzinfo=UTC))


def errors(form: Json) -> set[tuple[str, str]]:
    inspection = inspect_form(arrival(form))
    return {(f.code, f.location) for f in inspection.findings if f.severity is Severity.ERROR}


def understood(form: Json) -> Translation:
    (translation,) = understand_form(arrival(form), "receipt-1")
    return translation


def order(**changes: Any) -> Json:
    (found,) = resources_of(understood(build_stay_request(**changes)).bundle, "ServiceRequest")
    return found


REQUIRED = [
    "sejour.type", "sejour.service", "sejour.delai", "patient.nom", "patient.prenom", "patient.date-naissance", "provenance.lieu",
    "demandeur.nom", "demandeur.etablissement", "demandeur.telephone", "demande.date", "demande.motif", "demande.courrier-joint",
    "hopital.connu", "hopital.isolement", "sejour.date", "personne-a-prevenir.relation", "personne-a-prevenir.telephone",
]  # fmt: skip


@pytest.mark.parametrize("link_id", REQUIRED)
def test_each_required_answer_that_lacks_is_the_one_error(link_id: str) -> None:
    also = {"sejour.date": None} if link_id == "sejour.delai" else {}
    also |= {"demande.courrier": None} if link_id == "demande.courrier-joint" else {}
    assert errors(build_stay_request(**{link_id: None}, **also)) == {("form.answer-required", link_id)}


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"sejour.delai": "dans", "sejour.date": None, "sejour.unite-delai": "jours"}, "sejour.nombre"),
        ({"sejour.delai": "dans", "sejour.date": None, "sejour.nombre": 3}, "sejour.unite-delai"),
        ({"provenance.lieu": "autre"}, "provenance.adresse"),
        ({"hopital.isolement": True}, "hopital.isolement-type"),
    ],
)
def test_an_answer_that_calls_for_another_is_enforced_in_the_words_of_the_question(changes: Json, lacking: str) -> None:
    inspection = inspect_form(arrival(build_stay_request(**changes)))
    (finding,) = [f for f in inspection.findings if f.severity is Severity.ERROR]
    assert (finding.code, finding.location) == ("form.answer-required", lacking)
    assert finding.remedy.startswith("Exigée quand « ")


def test_an_address_elsewhere_contradicts_a_patient_who_comes_from_home() -> None:
    found = inspect_form(arrival(build_stay_request(**{"provenance.adresse": "EHPAD"}))).findings
    assert [f.code for f in found] == ["form.answer-not-expected"]


@pytest.mark.parametrize("number", ["1.5", 0, -2, 4000, "trois"])
def test_a_delay_is_a_whole_number_of_days(number: Any) -> None:
    within = {"sejour.delai": "dans", "sejour.date": None, "sejour.unite-delai": "jours"}
    form = build_stay_request(**within, **{"sejour.nombre": number})
    assert {place for _, place in errors(form)} == {"sejour.nombre"}


@pytest.mark.parametrize(
    ("delay", "priority", "urgency"),
    [
        ({"sejour.delai": "urgent"}, "asap", Urgency.URGENT),
        ({"sejour.delai": "dès que possible"}, "urgent", Urgency.AS_SOON_AS_POSSIBLE),
        ({"sejour.delai": "dans", "sejour.nombre": 10, "sejour.unite-delai": "jours"}, "routine", Urgency.NONE),
    ],
)
def test_the_forms_own_word_is_the_urgency_and_the_priority_follows(delay: Json, priority: str, urgency: Urgency) -> None:
    form = build_stay_request(**{"sejour.date": None}, **delay)
    translation = understood(form)
    (found,) = resources_of(translation.bundle, "ServiceRequest")
    assert (found["priority"], translation.submission.urgency) == (priority, urgency)


def test_the_date_wished_is_the_occurrence() -> None:
    assert order()["occurrenceDateTime"] == "2026-12-10"
    within = {"sejour.delai": "dans", "sejour.date": None, "sejour.nombre": 2, "sejour.unite-delai": "semaines"}
    assert order(**within)["occurrencePeriod"] == {"start": "2026-11-20", "end": "2026-12-04"}
    soon = {"sejour.delai": "urgent", "sejour.date": None}
    assert order(**soon)["occurrencePeriod"] == {"start": "2026-11-20"}


@pytest.mark.parametrize(
    ("start", "number", "unit", "last"),
    [
        ("2026-11-20", "", "", ""),
        ("2026-11-20", "1", "jours", "2026-11-21"),
        ("2026-11-20T10:00:00+01:00", "1", "semaines", "2026-11-27"),
        ("2026-01-31", "1", "mois", "2026-02-28"),
        ("2026-11-30", "1", "mois", "2026-12-30"),
        ("2026-10-31", "1", "mois", "2026-11-30"),
        ("2026-11-15", "2", "mois", "2027-01-15"),
        ("2028-01-31", "1", "mois", "2028-02-29"),
        ("2026-12-31", "12", "mois", "2027-12-31"),
    ],
)
def test_within_a_time_ends_at_its_last_day(start: str, number: str, unit: str, last: str) -> None:
    assert latest_day(start, number, unit) == last


def test_every_answer_of_the_paper_is_in_the_document_and_on_the_page() -> None:
    form = build_stay_request(**{"hopital.isolement": True, "hopital.isolement-type": "contact", "provenance.lieu": "autre",
                                 "provenance.adresse": "EHPAD Les Essais", "provenance.telephone": "01 99 00 46 00"})  # fmt: skip
    translation = understood(form)
    assert translation.unread == ()
    (composition,) = resources_of(translation.bundle, "Composition")
    told = json.dumps(composition["section"], ensure_ascii=False)
    written = [
        "Hospitalisation de jour", "Hôpital de jour", "10/12/2026", "3 rue de l’Essai", "06 99 00 45 02",
        "andree@exemple.invalid", "de 10 h à 12 h", "mardi après 14 h", "EHPAD Les Essais", "01 99 00 46 00", "Jean EXEMPLE",
        "fils", "06 99 00 45 03", "1 place du Test", "Chutes à répétition.", "Périndopril 4 mg", "Dr Alix MAQUETTE", "contact",
        "Chambre seule souhaitée",
    ]  # fmt: skip
    assert [word for word in written if word not in told] == []


def test_isolation_contact_room_and_kind_of_stay_are_coded() -> None:
    translation = understood(build_stay_request(**{"hopital.isolement": True, "hopital.isolement-type": "contact"}))
    Bundle.model_validate(json.loads(write_json(translation.bundle)))
    (flag,) = resources_of(translation.bundle, "Flag")
    (patient,) = resources_of(translation.bundle, "Patient")
    (found,) = resources_of(translation.bundle, "ServiceRequest")
    assert flag["code"]["text"] == "Isolement : contact"
    assert {"reference": f"urn:uuid:{flag['id']}"} in found["supportingInfo"]
    assert patient["contact"][0]["name"]["text"] == "Jean EXEMPLE"
    assert [c["code"] for c in found["code"]["coding"]] == ["HDJ", "SS"]
    assert any(e.get("valueBoolean") is True and e["url"].endswith("single-room-wished") for e in found["extension"])
    assert resources_of(understood(build_stay_request()).bundle, "Flag") == []


def test_the_letter_travels_byte_for_byte() -> None:
    translation = understood(build_stay_request())
    (reference,) = resources_of(translation.bundle, "DocumentReference")
    url = reference["content"][0]["attachment"]["url"]
    (binary,) = [e["resource"] for e in translation.bundle["entry"] if e["fullUrl"] == url]  # type: ignore[attr-defined]
    assert base64.b64decode(binary["data"]) == LETTER
    (response,) = resources_of(translation.bundle, "QuestionnaireResponse")
    assert base64.b64encode(LETTER).decode() not in json.dumps(response)


@pytest.mark.parametrize(
    ("letter", "code"),
    [
        ({"type": "application/pdf", "contenu": "###"}, "form.attachment-unreadable"),
        ({"type": "application/pdf", "contenu": base64.b64encode(b"MZ").decode()}, "form.attachment-type"),
        ({"type": "text/html", "contenu": base64.b64encode(LETTER).decode()}, "form.attachment-type"),
        ({"contenu": base64.b64encode(LETTER).decode()}, "form.attachment-type"),
        ({"type": "application/pdf"}, "form.attachment-type"),
        ({"type": "application/pdf", "contenu": base64.b64encode(LETTER).decode(), "x": "y"}, "form.wrong-type"),
        ("courrier.pdf", "form.wrong-type"),
        ([{"type": "application/pdf"}], "form.wrong-type"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(letter: Any, code: str) -> None:
    assert errors(build_stay_request(**{"demande.courrier": letter})) == {(code, "demande.courrier")}


def test_a_letter_announced_and_not_joined_is_told_to_the_sender_and_on_the_page() -> None:
    form = build_stay_request(**{"demande.courrier": None})
    assert [f.code for f in inspect_form(arrival(form)).findings] == ["form.answer-expected"]
    (composition,) = resources_of(understood(form).bundle, "Composition")
    assert "non joint à cette demande" in json.dumps(composition, ensure_ascii=False)


def test_an_unsaid_treatment_is_never_none() -> None:
    (composition,) = resources_of(understood(build_stay_request(**{"demande.traitement": None})).bundle, "Composition")
    (section,) = [s for s in composition["section"] if s["title"] == "Traitement en cours"]
    assert section["emptyReason"]["coding"][0]["code"] == "unavailable"
    assert "non renseigné" in section["text"]["div"]


def told_by_directory(terms: Terms, **changes: Any) -> tuple[Translation, list[Asked]]:
    asked: list[Asked] = []

    def ask(question: Asked) -> Terms:
        asked.append(question)
        return terms

    (translation,) = understand_form(arrival(build_stay_request(**changes)), "receipt-1", ask)
    return translation, asked


def pathway_of(translation: Translation) -> list[str]:
    (found,) = resources_of(translation.bundle, "ServiceRequest")
    said = [e["valueCodeableConcept"]["coding"][0] for e in found["extension"] if e["url"] == EXT_PATHWAY]
    return [f"{coding['code']} {coding['display']}" for coding in said]


def test_without_a_directory_the_task_is_due_in_48_hours_and_tells_no_pathway() -> None:
    translation = understood(build_stay_request())
    task = project_task(translation.steps, translation.bundle)
    assert task["restriction"]["period"]["end"] == "2026-11-23T10:00:00+01:00"
    assert "input" not in task and pathway_of(translation) == []


def test_the_directory_is_asked_for_the_day_of_the_request() -> None:
    _, (asked,) = told_by_directory(Terms(), **{"demande.date": "2026-11-18"})
    assert asked == Asked("demande-hospitalisation", "pbr-geriatrie", "940000003", "940000003", date(2026, 11, 18))


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (Terms("simple"), "Parcours simple : procédure écrite, réservation directe."),
        (Terms("complex"), "Parcours complexe : consultation d’orientation d’abord, sous 7 jours."),
        (Terms("complex", {"orientation_days": 15}), "Parcours complexe : consultation d’orientation d’abord, sous 15 jours."),
    ],
)
def test_the_pathway_stands_in_the_order_on_the_page_and_in_the_task(terms: Terms, words: str) -> None:
    translation, _ = told_by_directory(terms)
    assert pathway_of(translation) == [f"{terms.pathway} {words}"]
    assert words in json.dumps(resources_of(translation.bundle, "Composition"), ensure_ascii=False)
    task = project_task(translation.steps, translation.bundle)
    assert task["input"][0]["valueCodeableConcept"]["coding"][0]["code"] == terms.pathway
    Bundle.model_validate(translation.bundle)
    Task.model_validate(task)


def test_the_agreements_hours_rule_when_an_answer_is_due() -> None:
    translation, _ = told_by_directory(Terms(agreed={"answer_hours": 72}))
    assert project_task(translation.steps, translation.bundle)["restriction"]["period"]["end"] == "2026-11-24T10:00:00+01:00"


def test_the_same_request_gives_the_same_bytes() -> None:
    form = build_stay_request()
    assert write_json(understood(form).bundle) == write_json(understood(form).bundle)
    assert render_pdf(understood(form).bundle) == render_pdf(understood(form).bundle)


# -- the hospital's half ------------------------------------------------------------------------------------------------


def test_an_agreement_with_both_ends_is_a_booked_appointment() -> None:
    translation = understood(build_stay_answer())
    Bundle.model_validate(json.loads(write_json(translation.bundle)))
    (appointment,) = resources_of(translation.bundle, "Appointment")
    assert (appointment["status"], appointment["start"]) == ("booked", "2026-12-10T09:00:00+01:00")
    assert appointment["basedOn"][0]["identifier"]["value"] == "CMS-2026-H100"
    assert translation.steps == ()


@pytest.mark.parametrize("changes", [{"validation.sejour-fin": None}, {"validation.sejour-debut": "2026-12-10"}])
def test_an_appointment_without_both_instants_is_proposed(changes: Json) -> None:
    (appointment,) = resources_of(understood(build_stay_answer(**changes)).bundle, "Appointment")
    assert appointment["status"] == "proposed"
    assert "start" not in appointment
    assert appointment["requestedPeriod"][0]["start"].startswith("2026-12-10")


def test_a_refusal_needs_its_reason_and_gives_no_appointment() -> None:
    refusal = {"validation.avis": "refus", "validation.sejour-debut": None, "validation.sejour-fin": None}
    assert errors(build_stay_answer(**refusal)) == {("form.answer-required", "validation.motif")}
    translation = understood(build_stay_answer(**refusal, **{"validation.motif": "Pas d’indication."}))
    assert resources_of(translation.bundle, "Appointment") == []


def test_an_end_before_the_start_is_refused() -> None:
    assert errors(build_stay_answer(**{"validation.sejour-fin": "2026-12-09"})) == {
        ("form.dates-out-of-order", "validation.sejour-debut")
    }


def test_a_refused_form_is_not_understood() -> None:
    form = build_stay_answer(**{"demande.numero": None})
    assert inspect_form(arrival(form)).verdict is Verdict.REFUSED
    with pytest.raises(InputError):
        understand_form(arrival(form), "receipt-1")
