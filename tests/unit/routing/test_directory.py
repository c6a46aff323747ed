"""Who a recipient is: one role, or a reason to park; never both, never a guess."""

from __future__ import annotations

from datetime import date

import pytest

from adapter.model.parties import Recipient, RecipientKind
from adapter.model.submission import Urgency
from adapter.routing.directory import Directory, Resolution, check_units
from tests.builders.directory import (
    ABC,
    APHP_EJ,
    BAGNEUX,
    BCT,
    IVRY,
    SHARED_TIME,
    TO_RECORD,
    small_territory,
    submission,
    territory,
    to_address,
    to_person,
)

TODAY = date(2026, 11, 20)


def resolve(recipient: Recipient, on: date = TODAY, sender: str = BCT, directory: Directory | None = None) -> Resolution:
    return (directory or territory()).resolve(recipient, sender_finess=sender, on=on, legal_entity=APHP_EJ)


def role_of(recipient: Recipient, **more: object) -> str:
    found = resolve(recipient, **more)  # type: ignore[arg-type]
    assert found.role is not None, found.reason
    return found.role.id


def reason_of(recipient: Recipient, **more: object) -> str:
    found = resolve(recipient, **more)  # type: ignore[arg-type]
    assert found.role is None
    assert found.explanation
    return found.reason


def structure(finess: str = "", unit: str = "") -> Recipient:
    return Recipient(RecipientKind.ORGANISATION, finess=finess, unit=unit)


def form(site: str, slug: str = "demande-imagerie") -> Recipient:
    return Recipient(RecipientKind.ORGANISATION, name=site, role_hint=f"form-target:{slug}")


# ── the shared-time doctor ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["bicetre", "ivry", "bagneux"])
def test_an_address_gives_the_role_that_holds_it_and_no_other(place: str) -> None:
    boxes = {"bicetre": "aphp", "ivry": "cms-ivry", "bagneux": "cms-bagneux"}
    address = f"Claude.Partage@{boxes[place]}.formation.mssante.fr"
    assert role_of(to_address(address, rpps=SHARED_TIME)) == f"role:partage-{place}"


@pytest.mark.parametrize(("finess", "role"), [(BCT, "bicetre"), (IVRY, "ivry"), (BAGNEUX, "bagneux"), (APHP_EJ, "bicetre")])
def test_the_structure_named_tells_which_role_of_a_person(finess: str, role: str) -> None:
    assert role_of(to_person(SHARED_TIME, finess=finess)) == f"role:partage-{role}"


def test_several_roles_outside_the_sender_are_a_question_for_a_person() -> None:
    assert reason_of(to_person(SHARED_TIME)) == "ambiguous-role"


def test_the_only_role_outside_the_sender_is_taken() -> None:
    before_bagneux = date(2024, 1, 15)
    assert role_of(to_person(SHARED_TIME), on=before_bagneux) == "role:partage-ivry"
    assert role_of(to_person(SHARED_TIME), on=before_bagneux, sender=IVRY) == "role:partage-bicetre"


def test_two_roles_outside_another_site_stay_ambiguous_even_within_one_legal_entity() -> None:
    assert reason_of(to_person(SHARED_TIME), on=date(2024, 1, 15), sender=ABC) == "ambiguous-role"


def test_a_role_inside_the_sender_alone_is_not_chosen_by_rpps() -> None:
    assert reason_of(to_person("99900000086")) == "internal-role"


# ── dates ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_role_is_valid_on_its_first_and_last_day_and_not_after() -> None:
    bagneux = to_person(SHARED_TIME, finess=BAGNEUX)
    assert reason_of(bagneux, on=date(2024, 9, 1)) == "no-role-there"
    assert role_of(bagneux, on=date(2024, 9, 2)) == "role:partage-bagneux"
    assert role_of(bagneux, on=date(2027, 8, 31)) == "role:partage-bagneux"
    assert reason_of(bagneux, on=date(2027, 9, 1)) == "no-role-there"


def test_the_former_mailbox_of_one_who_moved_is_closed() -> None:
    assert reason_of(to_address("camille.archetype@cms-arcueil.formation.mssante.fr")) == "closed-role"
    assert role_of(to_person("99900000060")) == "role:archetype-villejuif"
    assert reason_of(to_person("99900000060"), on=date(2026, 1, 3)) == "closed-role"


# ── addresses ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trusted_address_in_no_directory_is_a_recipient_of_its_own() -> None:
    found = resolve(to_address("Adam.Hoda@test-ci-sis.mssante.fr", rpps="01234567897"))
    assert found.role is not None
    assert (found.role.id, found.role.is_bare_address) == ("address:adam.hoda@test-ci-sis.mssante.fr", True)


@pytest.mark.parametrize("address", ["x@gmail.example", "x@mssante.fr.example", "x@notmssante.fr", "x@patient.mssante.fr"])
def test_an_address_outside_the_professionals_trust_space_is_refused(address: str) -> None:
    assert reason_of(to_address(address)) == "untrusted-domain"


@pytest.mark.parametrize("address", ["nobody", "@mssante.fr", "a b@mssante.fr", "a@b@mssante.fr"])
def test_what_is_not_an_address_is_said_so(address: str) -> None:
    assert reason_of(to_address(address)) == "bad-address"


def test_trust_is_dated() -> None:
    directory = small_territory(more='[[domain]]\ndomain = "old.example"\nsince = 2020-01-01\nuntil = 2020-12-31\n')
    assert role_of(to_address("x@old.example"), on=date(2020, 12, 31), directory=directory) == "address:x@old.example"
    assert reason_of(to_address("x@old.example"), on=date(2021, 1, 1), directory=directory) == "untrusted-domain"


@pytest.mark.parametrize(
    "recipient",
    [
        to_address("dominique.modele@cms-ivry.formation.mssante.fr", rpps="99900000029"),
        to_address("dominique.modele@cms-ivry.formation.mssante.fr", finess=BAGNEUX),
        to_address("dominique.modele@cms-ivry.formation.mssante.fr", rpps="10003000005"),
        to_address("claude.partage@elsewhere.mssante.fr", rpps=SHARED_TIME),
        to_address("imagerie.bct@aphp.formation.mssante.fr", rpps="99700000013"),
    ],
)
def test_an_address_that_contradicts_the_directory_waits_for_a_person(recipient: Recipient) -> None:
    assert reason_of(recipient) == "address-conflict"


def test_a_services_box_serves_those_who_work_there_and_those_we_do_not_know() -> None:
    box = "neurologie.bct@aphp.formation.mssante.fr"
    assert role_of(to_address(box, rpps="99900000086")) == "role:dep:bct-neurologie"
    assert role_of(to_address(box, rpps="10003000005")) == "role:dep:bct-neurologie"


# ── structures, units, forms, record ───────────────────────────────────────────────────────────────────────────────


def test_structures_and_units_resolve_to_their_own_boxes() -> None:
    assert role_of(structure(IVRY)) == "role:org:ivry"
    assert role_of(structure(BCT, "222")) == "role:uf:aphp:222"
    assert role_of(structure(APHP_EJ, "222")) == "role:uf:aphp:222"
    assert role_of(structure(unit="222")) == "role:uf:aphp:222"


def test_a_unit_without_a_box_is_its_department() -> None:
    assert role_of(structure(BCT, "211")) == "role:dep:bct-imagerie"


def test_a_unit_that_moved_follows_the_table_of_the_day() -> None:
    old, new = resolve(structure(BCT, "241"), date(2021, 6, 1)).role, resolve(structure(BCT, "241"), TODAY).role
    assert old is not None
    assert new is not None
    assert (old.department, new.department) == ("bct-neurologie-2019", "bct-neurologie")


@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        (structure("920000007"), "unknown-recipient"),
        (structure(APHP_EJ), "ambiguous-role"),
        (structure(BCT, "999"), "unknown-unit"),
        (structure(ABC, "222"), "unknown-unit"),
        (structure(BCT, "242"), "closed-unit"),
        (to_person("10003000005"), "unknown-recipient"),
        (to_person(SHARED_TIME, finess=ABC), "no-role-there"),
        (Recipient(RecipientKind.PROFESSIONAL, name="Dr Personne"), "unknown-recipient"),
        (form("Lariboisière"), "unknown-target"),
        (form("BCT", "autre-formulaire"), "unknown-target"),
        (form(""), "unknown-target"),
    ],
)
def test_what_cannot_be_found_has_a_stable_reason(recipient: Recipient, reason: str) -> None:
    assert reason_of(recipient) == reason


@pytest.mark.parametrize("site", ["BCT", "bct", "Bicêtre", "le kremlin bicetre", "Hôpital Bicêtre", BCT])
def test_a_form_finds_its_service_whatever_name_the_site_is_given(site: str) -> None:
    assert role_of(form(site), sender=IVRY) == "role:dep:bct-imagerie"


def test_the_record_is_the_territorys_and_none_is_a_reason() -> None:
    assert role_of(TO_RECORD) == "record:terr-esante"
    assert reason_of(TO_RECORD, on=date(2025, 1, 5)) == "no-record"
    assert reason_of(TO_RECORD, directory=small_territory()) == "no-record"


# ── units named by the source ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("codes", "reason", "place"),
    [
        ((("location", "NOPE"),), "unknown-unit", "PV1-3"),
        ((("location", "211"), ("medical", "242")), "closed-unit", "ZBE-7"),
        ((("care", "242"),), "closed-unit", "ZBE-8"),
        ((("recipient", "NOPE"),), "unknown-unit", "PRT-8"),
    ],
)
def test_an_unknown_or_closed_unit_parks_the_document_and_says_where(
    codes: tuple[tuple[str, str], ...], reason: str, place: str
) -> None:
    parked = check_units(submission(unit_codes=codes), territory(), TODAY)
    assert parked is not None
    assert parked.reason == reason
    assert place in parked.advice
    assert codes[-1][1] not in parked.advice


def test_open_units_let_the_document_go() -> None:
    sent = submission(unit_codes=(("location", "UFNEPH"), ("medical", "241")))
    assert check_units(sent, territory(), TODAY) is None
    assert check_units(submission(), territory(), TODAY) is None


def test_a_closed_unit_gives_the_departments_line_and_urgency_is_kept() -> None:
    sent = submission(unit_codes=(("location", "242"),), urgency=Urgency.URGENT)
    parked = check_units(sent, territory(), TODAY)
    assert parked is not None
    assert (parked.urgent, parked.phone_line) == (True, "+33199002410")


def test_an_entity_without_a_unit_table_checks_nothing() -> None:
    sent = submission(unit_codes=(("location", "NOPE"),), legal_entity="949990220")
    assert check_units(sent, territory(), TODAY) is None
    assert check_units(submission(unit_codes=(("location", "NOPE"),), legal_entity="000000000"), territory(), TODAY) is None


def test_a_units_entity_tells_two_tables_apart() -> None:
    assert territory().unit("222", TODAY, legal_entity="aphp") is not None
    assert territory().unit("222", TODAY) is not None
    assert territory().unit("222", TODAY, legal_entity="commune-ivry") is None
