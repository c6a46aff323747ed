"""`tdu directory …`: the national directory asked as an operator asks it, addresses suspended and released."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.ledger.records import Settlement
from adapter.model.delivery import DeliveryState
from adapter.model.plan import ChannelName
from tests.builders.directory import EQUIPPED, IVRY
from tests.servers.annuaire import KEY, Annuaire, Fault, mailbox, organisation, practitioner, role
from tests.unit.cli.conftest import Terminal


@pytest.fixture
def annuaire() -> Iterator[Annuaire]:
    people = [
        practitioner("p1", EQUIPPED),
        role("r1", "p1", "o1", mailbox("nouvelle@cms-ivry.formation.mssante.fr")),
    ]
    with Annuaire(*people, organisation("o1", IVRY, mailbox("logiciel@cms-ivry.formation.mssante.fr", "APP"))) as server:
        yield server


@pytest.fixture
def configured(instance: Path, annuaire: Annuaire) -> Path:
    key = instance / "annuaire.key"
    key.write_text(KEY, encoding="utf-8")
    key.chmod(0o600)
    with (instance / "tdu.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[directory.annuaire]\nkey_file = "annuaire.key"\nbase_url = "{annuaire.url}"\n')
    return instance


def test_lookup_prints_who_holds_what(configured: Path, told: Callable[..., Any], tdu: Terminal) -> None:
    found = told("directory", "lookup", "--rpps", EQUIPPED)
    assert [box["address"] for box in found["mailboxes"]] == ["nouvelle@cms-ivry.formation.mssante.fr"]
    assert found["mailboxes"][0]["at_structure"] == IVRY and found["complete"]
    by_place = tdu("directory", "lookup", "--finess", IVRY)
    assert by_place.exit_code == 0 and "logiciel@cms-ivry.formation.mssante.fr  APP" in by_place.stdout


def test_lookup_of_nobody_exits_1_and_of_nonsense_says_what_is_wrong(configured: Path, tdu: Terminal) -> None:
    nobody = tdu("directory", "lookup", "--address", "personne@cms-ivry.formation.mssante.fr")
    assert nobody.exit_code == 1 and "nothing is listed" in nobody.stdout
    assert tdu("directory", "lookup", "--rpps", "12").exit_code == 1
    assert tdu("directory", "lookup").exit_code == 2
    assert tdu("directory", "lookup", "--rpps", EQUIPPED, "--finess", IVRY).exit_code == 2


def test_without_a_national_directory_the_command_says_which_table_to_add(instance: Path, tdu: Terminal) -> None:
    result = tdu("directory", "refresh")
    assert result.exit_code == 2 and "directory.annuaire" in result.stderr and "key_file" in result.stderr


def test_a_wrong_key_is_the_operator_s_to_correct(configured: Path, tdu: Terminal) -> None:
    (configured / "annuaire.key").write_text("perimee", encoding="utf-8")
    result = tdu("directory", "refresh")
    assert result.exit_code == 2 and "key-refused" in result.stderr and "perimee" not in result.output


def test_refresh_keeps_a_copy_that_the_running_service_reads(
    configured: Path, told: Callable[..., Any], annuaire: Annuaire
) -> None:
    house = assemble(read_config(configured / "tdu.toml"))
    try:
        before = house.directory().revision
        done = told("directory", "refresh")
        assert done["unanswered"] == [] and done["fresh"] == 0
        assert house.directory().revision != before
    finally:
        house.ledger.close()
    asked = len(annuaire.asked)
    again = told("directory", "refresh")
    assert again["asked"] == 0 and len(annuaire.asked) == asked


def test_a_dry_run_asks_and_keeps_nothing(configured: Path, tdu: Terminal) -> None:
    result = tdu("directory", "refresh", "--dry-run")
    assert result.exit_code == 0 and "+ rpps" in result.stdout
    assert not (configured / "annuaire.json").exists()


def test_a_directory_that_is_down_exits_1_and_names_what_to_ask_again(
    configured: Path, tdu: Terminal, annuaire: Annuaire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    annuaire.faults = [Fault(404)] * 1000
    result = tdu("directory", "refresh")
    assert result.exit_code == 1 and "ask again" in result.stdout


def test_what_a_test_instance_s_sandbox_answers_suspends_nobody(
    instance: Path, letter: Path, told: Callable[..., Any], tdu: Terminal
) -> None:
    tdu("submit", letter)
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
        (claim,) = house.ledger.claim_deliveries("test", ChannelName.SECURE_MAIL, 1, timedelta(seconds=60))
        house.ledger.mark_on_wire(claim.delivery.id, claim.delivery.fence, datetime.now(UTC))
        told_so = Settlement(DeliveryState.REFUSED, cause="mailbox-unknown", open_next_leg=True, suspends_address=True)
        house.ledger.settle_send(claim.delivery.id, claim.delivery.fence, told_so)
    finally:
        house.ledger.close()
    # A test instance's answers come from its sandbox: they say nothing of whom the letter was meant for.
    assert told("directory", "suspended") == []
    assert tdu("directory", "suspended").stdout == "No address is suspended.\n"
    assert tdu("directory", "release", "personne@cms.mssante.fr").exit_code == 1


def test_the_copy_survives_a_round_that_is_killed_while_it_writes(
    configured: Path, tdu: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tdu("directory", "refresh").exit_code == 0
    before = (configured / "annuaire.json").read_bytes()

    def die(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", die)
    assert tdu("directory", "refresh", "--all").exit_code != 0
    assert (configured / "annuaire.json").read_bytes() == before


def test_equip_writes_a_partner_s_day_and_a_dry_run_does_not(instance: Path, tdu: Terminal) -> None:
    partners = instance / "reference-territory.toml"
    before = partners.read_bytes()
    said = tdu("directory", "equip", "gentilly", "--since", "2027-01-15", "--dry-run")
    assert said.exit_code == 0 and "before since 2027-03-01" in said.stdout and partners.read_bytes() == before
    assert tdu("directory", "equip", "gentilly", "--since", "2027-01-15").exit_code == 0
    assert b"since = 2027-01-15" in partners.read_bytes()
    assert tdu("directory", "equip", "nowhere", "--since", "2027-01-15").exit_code == 1
    assert tdu("directory", "equip", "gentilly", "--since", "demain").exit_code == 2
