"""A plan told to a person and to a program: everything is there, except what identifies a patient."""

from __future__ import annotations

import json
from datetime import date

from adapter.model.identity import INS_NIR, Ins
from adapter.model.submission import Destinations
from adapter.routing.choose import choose_route
from adapter.routing.explain import plan_as_dict, probe_submission, render_plan
from tests.builders.directory import (
    APHP_EJ,
    EQUIPPED,
    FAX_ONLY,
    SHARED_TIME,
    TO_PATIENT,
    equipped,
    letter_header,
    production,
    qualified_patient,
    rehearsal,
    small_territory,
    submission,
    territory,
    to_person,
)

TODAY = date(2026, 11, 20)


def test_a_person_reads_each_recipient_channel_by_channel_with_why_and_why_not() -> None:
    sent = submission(to_person(EQUIPPED), to_person(FAX_ONLY), to_person(SHARED_TIME))
    text = render_plan(choose_route(sent, territory(), TODAY, rehearsal()))
    assert text.startswith("Plan d'envoi pour le 20/11/2026 (annuaire ")
    assert "→ DR Dominique MODELE, CMS Ivry" in text
    assert "1. messagerie sécurisée vers bac-a-sable@" in text
    assert "depuis le 02/03/2020" in text
    assert "✗ messagerie sécurisée : pas d'adresse" in text
    assert "⏸ en attente d'une personne (ambiguous-role)" in text
    assert "☎ +33199004640" in text


def test_a_plan_without_recipient_says_so() -> None:
    assert "Aucun destinataire" in render_plan(choose_route(submission(), territory(), TODAY, rehearsal()))


def test_a_program_reads_the_same_and_nothing_that_json_cannot_hold() -> None:
    plan = choose_route(submission(to_person(EQUIPPED)), territory(), TODAY, rehearsal())
    data = json.loads(json.dumps(plan_as_dict(plan)))
    assert data["directory_revision"] == territory().revision
    recipient = data["recipients"][0]
    assert [leg["channel"] for leg in recipient["legs"]] == ["mssante", "fax"]
    assert recipient["legs"][0]["opened_since"] == "2020-03-02"
    assert recipient["rejected"][0]["channel"] == "shared_record"


def test_the_ins_in_a_patients_address_is_never_shown() -> None:
    ins = Ins("261049404321766", INS_NIR)
    sent = submission(
        TO_PATIENT,
        header=letter_header(patient=qualified_patient(ins=ins)),
        sender_finess="949990121",
        legal_entity="759990013",
        destinations=Destinations(patient=True),
    )
    plan = choose_route(sent, small_territory(site=equipped("2020-01-01")), TODAY, production())
    assert plan.recipients[0].legs[0].address.startswith(ins.value)
    for shown in (render_plan(plan), json.dumps(plan_as_dict(plan)), repr(plan)):
        assert ins.value not in shown
    assert "vers …@patient.mssante.fr" in render_plan(plan)


def test_a_probe_asks_how_one_recipient_would_be_reached() -> None:
    plan = choose_route(probe_submission(to_person(EQUIPPED), APHP_EJ), territory(), TODAY, rehearsal())
    assert plan.recipients[0].role_id == "role:modele-ivry"
