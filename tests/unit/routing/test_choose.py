"""What leaves, by which channel, from which day, and why not: domain §6 and the seams of routing, one sentence each."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from adapter.model.identity import Ins, PatientIdentity, Reliability
from adapter.model.parties import Recipient, RecipientKind
from adapter.model.plan import ChannelName, RecipientPlan, RoutePlan
from adapter.model.submission import Destinations, Submission, Visibility
from adapter.routing.choose import can_resolve_any, choose_route
from adapter.routing.consent import PatientWishes, Wish
from adapter.routing.directory import Directory
from adapter.routing.policy import PolicyTable, shipped_policy
from tests.builders.directory import (
    EQUIPPED,
    FAX_ONLY,
    IVRY,
    SANDBOX,
    SHARED_TIME,
    SOON_EQUIPPED,
    TO_PATIENT,
    TO_RECORD,
    equipped,
    letter_header,
    production,
    qualified_patient,
    rehearsal,
    small_territory,
    submission,
    territory,
    to_address,
    to_person,
)

TODAY = date(2026, 11, 20)
MAIL, RECORD, FAX = ChannelName.SECURE_MAIL, ChannelName.SHARED_RECORD, ChannelName.FAX
FICTIF = to_person("99900000029")


def plan_for(sent: Submission, on: date = TODAY, directory: Directory | None = None, **more: Any) -> RoutePlan:
    settings = more.pop("settings", None) or rehearsal()
    return choose_route(sent, directory or territory(), on, settings, **more)


def only(plan: RoutePlan) -> RecipientPlan:
    assert len(plan.recipients) == 1
    return plan.recipients[0]


def channels(plan: RecipientPlan) -> list[ChannelName]:
    return [leg.channel for leg in plan.legs]


def why_not(plan: RecipientPlan, channel: ChannelName) -> str:
    return next(rejected.reason for rejected in plan.rejected if rejected.channel is channel)


def small(sent_to: Recipient = FICTIF, on: date = TODAY, **parts: str) -> RecipientPlan:
    """One letter in the small territory of a production instance."""
    sent = submission(sent_to, sender_finess="949990121", legal_entity="759990013")
    return only(plan_for(sent, on, small_territory(**parts), settings=production()))


# ── one channel or another ─────────────────────────────────────────────────────────────────────────────────────────


def test_secure_mail_comes_first_when_both_ends_have_it_and_fax_waits_for_its_refusal() -> None:
    plan = only(plan_for(submission(to_person(EQUIPPED))))
    assert channels(plan) == [MAIL, FAX]
    assert [leg.order for leg in plan.legs] == [1, 2]
    assert "si l'envoi précédent est refusé" in plan.legs[1].reason


def test_fax_is_what_remains_and_the_plan_says_why() -> None:
    plan = only(plan_for(submission(to_person(FAX_ONLY))))
    assert channels(plan) == [FAX]
    assert why_not(plan, MAIL) == "pas d'adresse de messagerie sécurisée"


def test_the_day_of_equipment_changes_the_channel_and_nothing_else() -> None:
    eve, day = (only(plan_for(submission(to_person(SOON_EQUIPPED)), on)) for on in (date(2027, 2, 28), date(2027, 3, 1)))
    assert channels(eve) == [FAX]
    assert why_not(eve, MAIL) == "le destinataire ne sera équipé que le 01/03/2027"
    assert channels(day) == [MAIL, FAX]
    assert eve.role_id == day.role_id


@pytest.mark.parametrize(
    ("site", "centre", "role", "opened"),
    [
        ("2020-01-01", "2021-01-01", "", "2021-01-01"),
        ("2022-01-01", "2021-01-01", "", "2022-01-01"),
        ("2020-01-01", "2021-01-01", "2023-05-01", "2023-05-01"),
        ("2020-01-01", "2021-01-01", "2019-05-01", "2021-01-01"),
    ],
)
def test_a_channel_opens_at_the_later_of_all_dates(site: str, centre: str, role: str, opened: str) -> None:
    parts = {"site": equipped(site), "centre": equipped(centre), "role": equipped(role) if role else ""}
    day = date.fromisoformat(opened)
    assert small(on=day, **parts).legs[0].opened_since == opened
    assert MAIL not in channels(small(on=date.fromordinal(day.toordinal() - 1), **parts))


def test_equipment_given_up_closes_after_its_last_day() -> None:
    gone = 'channels = [{ channel = "mssante", since = 2020-01-01, until = 2026-11-20 }]'
    assert channels(small(site=equipped("2020-01-01"), centre=gone)) == [MAIL, FAX]
    after = small(on=date(2026, 11, 21), site=equipped("2020-01-01"), centre=gone)
    assert why_not(after, MAIL) == "le destinataire n'est plus équipé depuis le 20/11/2026"


def test_an_end_that_says_nothing_of_mail_has_none() -> None:
    assert why_not(small(site=equipped("2020-01-01")), MAIL) == "le destinataire n'est pas équipé"
    assert why_not(small(centre=equipped("2020-01-01")), MAIL) == "l'émetteur n'est pas équipé"


def test_fax_may_be_given_a_last_day() -> None:
    closed = 'channels = [{ channel = "fax", until = 2026-06-30 }]'
    plan = small(centre=closed)
    assert plan.legs == ()
    assert plan.parked_because == "no-channel"
    assert "n'est plus équipé" in why_not(plan, FAX)


def test_a_bare_address_needs_only_our_own_equipment_and_has_no_fallback() -> None:
    plan = small(to_address("someone@elsewhere.mssante.fr"), site=equipped("2020-01-01"))
    assert channels(plan) == [MAIL]
    assert plan.role_id == "address:someone@elsewhere.mssante.fr"


def test_an_unknown_sender_can_fax_but_not_mail() -> None:
    sent = submission(FICTIF, sender_finess="", legal_entity="000000000")
    parts = {"site": equipped("2020-01-01"), "centre": equipped("2020-01-01")}
    plan = only(plan_for(sent, directory=small_territory(**parts), settings=production()))
    assert channels(plan) == [FAX]
    assert why_not(plan, MAIL) == "l'émetteur n'est pas dans l'annuaire"


# ── agreements ─────────────────────────────────────────────────────────────────────────────────────────────────────

AGREEMENT = """
[[agreement]]
key = "a"
framework = "f"
hospital = "hospital"
centre = "centre"
since = 2024-01-01
until = 2026-12-31
{lines}
"""


def test_an_agreement_that_provides_fax_only_keeps_mail_closed() -> None:
    parts = {"site": equipped("2020-01-01"), "centre": equipped("2020-01-01")}
    plan = small(**parts, more=AGREEMENT.format(lines='order = ["fax"]'))
    assert channels(plan) == [FAX]
    assert why_not(plan, MAIL) == "non prévu par l'accord"


def test_the_agreement_in_force_that_day_rules() -> None:
    amended = to_person(SHARED_TIME, finess="929990331")
    assert channels(only(plan_for(submission(amended), date(2025, 6, 30)))) == [FAX]
    assert channels(only(plan_for(submission(amended), date(2025, 7, 1)))) == [MAIL, FAX]


def test_an_agreement_may_wait_for_its_last_centre() -> None:
    other = (
        '[[organisation]]\nkey = "late"\nname = "Tardif"\nlegal_entity = "town"\nfiness = "949990337"\nkind = "health-centre"\n'
        "{}\n" + AGREEMENT.replace('"a"', '"b"').replace('"centre"', '"late"')
    )
    more = AGREEMENT.format(lines="all_centres_first = true") + other
    parts = {"site": equipped("2020-01-01"), "centre": equipped("2020-01-01")}
    waiting = small(**parts, more=more.format("", lines=""))
    assert channels(waiting) == [FAX]
    assert "tous ses centres" in why_not(waiting, MAIL)
    assert "Tardif" in why_not(waiting, MAIL)
    opened = small(**parts, more=more.format(equipped("2025-03-01"), lines=""))
    assert (opened.legs[0].channel, opened.legs[0].opened_since) == (MAIL, "2025-03-01")


# ── the shared record ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_document_for_the_record_has_a_plan_of_its_own() -> None:
    plan = only(plan_for(submission(TO_RECORD, record=True)))
    assert (plan.role_id, channels(plan)) == ("record:terr-esante", [RECORD])
    assert plan.legs[0].opened_since == "2025-01-06"


def test_destdmp_without_a_named_record_still_feeds_it_once() -> None:
    plan = plan_for(submission(to_person(EQUIPPED), TO_RECORD, record=True))
    assert [r.role_id for r in plan.recipients] == ["role:modele-ivry", "record:terr-esante"]
    assert plan_for(submission(to_person(EQUIPPED), record=True)).recipients == plan.recipients


def test_no_record_configured_parks_that_leg_and_the_others_go_on() -> None:
    parts = {"site": equipped("2020-01-01"), "centre": equipped("2020-01-01")}
    sent = submission(FICTIF, sender_finess="949990121", legal_entity="759990013", record=True)
    mail, record = plan_for(sent, directory=small_territory(**parts), settings=production()).recipients
    assert channels(mail) == [MAIL, FAX]
    assert (record.legs, record.parked_because) == ((), "no-record")


def test_a_provisional_identity_never_feeds_the_record() -> None:
    header = letter_header(patient=qualified_patient(reliability=Reliability.PROVISIONAL))
    plan = only(plan_for(submission(TO_RECORD, record=True, header=header)))
    assert (plan.legs, plan.parked_because) == ((), "patient-identity-provisional")


def test_a_patient_who_objects_is_heard_even_when_the_sender_asks() -> None:
    plan = only(plan_for(submission(TO_RECORD, record=True), wishes=PatientWishes(record=Wish.REFUSED)))
    assert (plan.legs, plan.parked_because) == ((), "patient-refuses")


def test_an_agreement_with_the_record_first_needs_the_patients_word() -> None:
    malakoff = submission(to_person("99900000045"))
    assert channels(only(plan_for(malakoff))) == [MAIL, FAX]
    assert why_not(only(plan_for(malakoff)), RECORD) == "l'accord du patient pour le dossier partagé n'est pas connu"
    assert channels(only(plan_for(malakoff, wishes=PatientWishes(record=Wish.AGREED)))) == [RECORD, MAIL, FAX]


def test_a_record_in_the_middle_needs_both_sides_to_take_part() -> None:
    vitry = submission(to_person("99900000078"))
    agreed = PatientWishes(record=Wish.AGREED)
    assert channels(only(plan_for(vitry, wishes=agreed))) == [MAIL, RECORD, FAX]
    before = only(plan_for(vitry, date(2026, 8, 31), wishes=agreed))
    assert channels(before) == [MAIL, FAX]
    assert why_not(before, RECORD) == "le destinataire ne sera équipé que le 01/09/2026"


# ── sensitive content ──────────────────────────────────────────────────────────────────────────────────────────────

HIDDEN = {"hidden_from_professionals": True}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"visibility": Visibility(**HIDDEN)}, "masked"),
        ({"header": letter_header(confidentiality="R")}, "restricted"),
        ({"header": letter_header(confidentiality="V")}, "very-restricted"),
        ({"header": letter_header(confidentiality="?")}, "restricted"),
        ({"unit_codes": (("medical", "341"),)}, "speciality-addictologie"),
    ],
)
def test_sensitive_documents_are_never_faxed_but_parked(changes: dict[str, Any], code: str) -> None:
    faxed = only(plan_for(submission(to_person(FAX_ONLY), **changes)))
    assert (faxed.legs, faxed.parked_because) == ((), code)
    assert faxed.phone_line
    mailed = only(plan_for(submission(to_person(EQUIPPED), **changes)))
    assert channels(mailed) == [MAIL]


def test_a_restricted_document_does_not_feed_the_record() -> None:
    plan = only(plan_for(submission(TO_RECORD, record=True, header=letter_header(confidentiality="R"))))
    assert (plan.legs, plan.parked_because) == ((), "restricted")


def test_what_the_policy_table_forgets_is_not_sent() -> None:
    forgetful = rehearsal(policy=PolicyTable())
    plan = only(plan_for(submission(to_person(EQUIPPED), visibility=Visibility(**HIDDEN)), settings=forgetful))
    assert (plan.legs, plan.parked_because) == ((), "masked")
    assert channels(only(plan_for(submission(to_person(EQUIPPED)), settings=forgetful))) == [MAIL, FAX]


# ── patients ───────────────────────────────────────────────────────────────────────────────────────────────────────


def patient_plan(
    visibility: Visibility | None = None, patient: PatientIdentity | None = None, wishes: PatientWishes | None = None
) -> RecipientPlan:
    header = letter_header(patient=patient or qualified_patient())
    sent = submission(TO_PATIENT, header=header, visibility=visibility, destinations=Destinations(patient=True))
    return only(plan_for(sent, wishes=wishes or PatientWishes()))


def test_a_patient_with_a_qualified_ins_is_mailed_and_never_faxed() -> None:
    plan = patient_plan()
    assert (plan.role_id, channels(plan)) == ("patient", [MAIL])
    assert why_not(plan, FAX) == "jamais de télécopie à un patient"


CHILD = qualified_patient(birth_date="2010-05-01")


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (patient_plan(Visibility(hidden_from_patient=True)), "hidden-from-patient"),
        (patient_plan(Visibility(hidden_from_representatives=True), CHILD), "hidden-from-representatives"),
        (
            patient_plan(Visibility(hidden_from_representatives=True), wishes=PatientWishes(has_guardian=True)),
            "hidden-from-representatives",
        ),
        (patient_plan(patient=qualified_patient(reliability=Reliability.VALIDATED)), "patient-identity-provisional"),
        (patient_plan(patient=qualified_patient(ins=None)), "patient-identity-provisional"),
        (patient_plan(wishes=PatientWishes(mail=Wish.REFUSED)), "patient-refuses"),
        (patient_plan(wishes=PatientWishes(is_deceased=True)), "patient-deceased"),
    ],
)
def test_what_forbids_a_patients_mail_parks_it_with_its_reason(plan: RecipientPlan, code: str) -> None:
    assert (plan.legs, plan.parked_because) == ((), code)


def test_a_child_is_written_to_unless_the_representatives_must_not_see() -> None:
    assert channels(patient_plan(patient=CHILD)) == [MAIL]
    assert channels(patient_plan(Visibility(hidden_from_representatives=True))) == [MAIL]


def test_another_patients_address_is_never_used() -> None:
    other = Recipient(RecipientKind.PATIENT, address="279035121518989@patient.mssante.fr")
    plan = only(plan_for(submission(other, destinations=Destinations(patient=True))))
    assert (plan.legs, plan.parked_because) == ((), "address-conflict")


def test_in_production_the_patients_box_is_that_of_the_documents_ins() -> None:
    ins = Ins("261049404321766", "1.2.250.1.213.1.4.8")
    sent = submission(
        TO_PATIENT,
        header=letter_header(patient=qualified_patient(ins=ins)),
        sender_finess="949990121",
        legal_entity="759990013",
        destinations=Destinations(patient=True),
    )
    directory = small_territory(site=equipped("2020-01-01"))
    plan = only(plan_for(sent, directory=directory, settings=production()))
    assert plan.legs[0].address == "261049404321766@patient.mssante.fr"


# ── production and test ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_test_instance_replaces_every_address_and_says_so() -> None:
    plan = plan_for(submission(to_person(EQUIPPED), TO_PATIENT, record=True))
    legs = [leg for recipient in plan.recipients for leg in recipient.legs]
    assert len(legs) == 4
    assert all(leg.address == SANDBOX[leg.channel] and "bac à sable" in leg.reason for leg in legs)


def test_a_test_instance_without_a_sandbox_for_a_channel_does_not_use_it() -> None:
    settings = rehearsal(sandbox={MAIL: SANDBOX[MAIL]})
    assert channels(only(plan_for(submission(to_person(EQUIPPED)), settings=settings))) == [MAIL]
    faxed = only(plan_for(submission(to_person(FAX_ONLY)), settings=settings))
    assert (faxed.legs, faxed.parked_because) == ((), "no-sandbox")


def test_production_never_writes_to_a_training_domain() -> None:
    plan = only(plan_for(submission(to_person(EQUIPPED)), settings=production()))
    assert channels(plan) == [FAX]
    assert "formation" in why_not(plan, MAIL)


# ── several recipients ─────────────────────────────────────────────────────────────────────────────────────────────


def test_one_role_named_twice_is_served_once() -> None:
    box = "dominique.modele@cms-ivry.formation.mssante.fr"
    plan = plan_for(submission(to_person(EQUIPPED), to_address(box), to_person(EQUIPPED, finess=IVRY)))
    assert [r.role_id for r in plan.recipients] == ["role:modele-ivry"]


def test_one_recipient_in_doubt_parks_alone() -> None:
    plan = plan_for(submission(to_person(SHARED_TIME), to_person(EQUIPPED)))
    assert [r.parked_because for r in plan.recipients] == ["ambiguous-role", ""]


def test_a_recipient_of_a_closed_destination_waits_for_a_person() -> None:
    named = replace(to_person(EQUIPPED), role_hint="RCT")
    plan = only(plan_for(submission(named, destinations=Destinations())))
    assert (plan.legs, plan.parked_because) == ((), "destination-closed")


# ── what a door refuses ────────────────────────────────────────────────────────────────────────────────────────────


def codes_at_the_door(*recipients: Recipient, **changes: Any) -> list[tuple[str, str, str]]:
    found = can_resolve_any(submission(*recipients, **changes), territory(), TODAY)
    return [(f.code, f.hl7_code, f.app_code) for f in found]


def test_a_door_refuses_when_nobody_is_named_or_nobody_is_known() -> None:
    assert codes_at_the_door() == [("route.no-recipient", "101", "")]
    nowhere = (to_person("10003000005"), to_address("x@gmail.example"))
    assert codes_at_the_door(*nowhere) == [("route.no-recipient-resolved", "207", "906")]


@pytest.mark.parametrize(
    "settled_by_a_person",
    [
        to_person(SHARED_TIME),
        Recipient(RecipientKind.ORGANISATION, finess="949990121", unit="242"),
        to_address("dominique.modele@cms-ivry.formation.mssante.fr", rpps="99900000029"),
        to_person(EQUIPPED),
    ],
)
def test_a_door_takes_what_a_person_can_settle(settled_by_a_person: Recipient) -> None:
    assert codes_at_the_door(to_person("10003000005"), settled_by_a_person) == []


def test_a_door_takes_a_document_for_the_record_or_the_patient_alone() -> None:
    assert codes_at_the_door(record=True) == []
    assert codes_at_the_door(destinations=Destinations(patient=True)) == []


def test_the_shipped_policy_never_lets_sensitive_content_be_faxed() -> None:
    kinds = [kind for kind in RecipientKind if kind is not RecipientKind.RECORD]
    facts = ("masked", "restricted", "very-restricted")
    assert all(shipped_policy().objection([fact], kind, FAX) is not None for fact in facts for kind in kinds)


@pytest.mark.parametrize(
    ("centre", "role", "alone"), [("pdf_only = true\n", "", True), ("", "pdf_only = true", True), ("", "", False)]
)
def test_who_wants_the_pdf_alone_is_sent_it_so(centre: str, role: str, alone: bool) -> None:
    since = equipped("2020-01-01")
    directory = small_territory(site=since, centre=centre + since, role=role)
    leg = choose_route(submission(to_person(FAX_ONLY)), directory, TODAY, production()).recipients[0].legs[0]
    assert (leg.channel, leg.pdf_only) == (ChannelName.SECURE_MAIL, alone)
    assert leg.reason.endswith("PDF seul") is alone
