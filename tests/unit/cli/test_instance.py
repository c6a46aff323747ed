"""`tdu init` and `tdu check`: what is made starts; what is broken is named with what to do."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate

from mssante.testing import make_test_pki, write_revocation_list
from tests.unit.cli.conftest import Terminal

MAIL = """
[channels.mssante]
host = "127.0.0.1"
port = 1
[channels.mssante.tls]
certificate = "pki/client.pem"
key = "pki/client.key"
ca = "pki/ca.pem"
"""


def problems(checks: list[dict[str, Any]]) -> dict[str, str]:
    return {check["subject"]: check["detail"] for check in checks if not check["ok"]}


def test_a_new_instance_has_nothing_wrong(instance: Path, told: Callable[..., Any]) -> None:
    assert problems(told("check")) == {}


def test_the_payload_key_is_for_its_owner_only(instance: Path) -> None:
    assert stat.S_IMODE((instance / "payload.key").stat().st_mode) == 0o600


def test_a_second_init_touches_nothing(instance: Path, tdu: Terminal) -> None:
    before = {path: path.read_bytes() for path in instance.rglob("*") if path.is_file()}
    result = tdu("init", instance)
    assert result.exit_code == 2
    assert "payload.key" in result.stderr
    assert {path: path.read_bytes() for path in instance.rglob("*") if path.is_file()} == before


def test_a_key_that_others_may_read_is_wrong_and_stops_every_command(
    instance: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    tdu("check")
    (instance / "payload.key").chmod(0o644)
    assert "chmod 600" in problems(told("check", status=1))["payload key"]
    assert tdu("queue").exit_code == 2


def test_a_lost_key_is_told_and_never_made_anew(instance: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    tdu("check")
    (instance / "payload.key").unlink()
    assert "restore it" in problems(told("check", status=1))["payload key"]
    assert tdu("queue").exit_code == 2
    assert not (instance / "payload.key").exists()


def test_a_certificate_that_is_missing_is_a_setting_that_is_wrong(instance: Path, tdu: Terminal) -> None:
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL)
    result = tdu("check")
    assert result.exit_code == 2
    for setting in ("certificate", "key", "ca"):
        assert f"channels.mssante.tls.{setting}: there is no file" in result.stderr


def test_a_partner_that_does_not_answer_is_named(instance: Path, told: Callable[..., Any]) -> None:
    make_test_pki(instance / "pki")
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL)
    assert set(problems(told("check", status=1))) == {"channel mssante"}


def test_a_mailbox_that_we_send_from_and_nobody_reads_is_told(instance: Path, told: Callable[..., Any]) -> None:
    make_test_pki(instance / "pki")
    address = "traitdunion@aphp.formation.mssante.fr"
    told_of = {check["subject"]: check for check in told("check")}
    assert f"proofs for {address}" not in told_of, "nothing is sent by mail"
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL)
    found = {check["subject"]: check for check in told("check", status=1)}[f"proofs for {address}"]
    assert found["ok"] and "add [[doors.mailboxes]]" in found["detail"]
    reads = MAIL.replace("[channels.mssante]", f'[[doors.mailboxes]]\nname = "boite"\naddress = "{address}"\n')
    with (instance / "tdu.toml").open("a") as config:
        config.write(reads.replace("[channels.mssante.tls]", "[doors.mailboxes.tls]"))
    found = {check["subject"]: check for check in told("check", status=1)}
    assert f"proofs for {address}" not in found
    assert found["mailbox boite"]["ok"] is False


def test_a_certificate_that_ended_is_wrong(instance: Path, told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    make_test_pki(instance / "pki")
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL)
    end = load_pem_x509_certificate((instance / "pki" / "client.pem").read_bytes()).not_valid_after_utc

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return end.astimezone(tz or UTC) + timedelta(days=3)

    monkeypatch.setattr("adapter.cli.running.datetime", Later)
    found = problems(told("check", status=1))
    assert "3 days ago: renew it" in found["channels.mssante.tls: certificate app.test (client.pem)"]


def test_every_certificate_and_list_is_told_with_its_days_left(instance: Path, told: Callable[..., Any]) -> None:
    pki = make_test_pki(instance / "pki")
    write_revocation_list(pki, instance / "pki" / "ca.crl", [])
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL + 'revocation_lists = "pki/ca.crl"\n')
    found = {check["subject"]: check["detail"] for check in told("check", status=1) if check["subject"].startswith("channels.")}
    place = "channels.mssante.tls"
    assert set(found) == {
        f"{place}: certificate app.test (client.pem)",
        f"{place}: certificate Autorité de test (ca.pem)",
        f"{place}: revocation list Autorité de test (ca.crl)",
    }
    assert all(detail.startswith("29 days left, until ") for detail in found.values())
    assert found[f"{place}: certificate app.test (client.pem)"].endswith("renew it soon")


def test_a_list_that_ended_or_of_another_authority_is_wrong(instance: Path, told: Callable[..., Any]) -> None:
    pki = make_test_pki(instance / "pki")
    write_revocation_list(pki, instance / "pki" / "ca.crl", [], datetime.now(UTC) - timedelta(days=40))
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL + 'revocation_lists = "pki/ca.crl"\n')
    found = problems(told("check", status=1))
    assert "renew it" in found["channels.mssante.tls: revocation list Autorité de test (ca.crl)"]
    assert "none of Autorité de test is valid now" in found["channels.mssante.tls: revocation list"]


def test_a_key_that_is_not_the_certificates_is_wrong(instance: Path, told: Callable[..., Any]) -> None:
    pki = make_test_pki(instance / "pki")
    pki.client_key.write_bytes(pki.server_key.read_bytes())
    with (instance / "tdu.toml").open("a") as config:
        config.write(MAIL)
    assert "trust.key-mismatch" in problems(told("check", status=1))["channels.mssante.tls"]


def test_a_partners_file_that_is_no_toml_is_told_alone(instance: Path, told: Callable[..., Any]) -> None:
    with (instance / "reference-territory.toml").open("a") as partners:
        partners.write("oops = [\n")
    wrong = problems(told("check", status=1))["partners file"]
    assert "not readable as TOML" in wrong
    assert "1 problem(s)" in wrong


def test_a_role_in_a_place_nobody_knows_is_told_with_its_key(instance: Path, told: Callable[..., Any]) -> None:
    with (instance / "reference-territory.toml").open("a") as partners:
        partners.write('[[practitioner]]\nrpps = "99900000110"\nfamily = "X"\ngiven = "Y"\n[[practitioner.role]]\n')
        partners.write('key = "x-nowhere"\norganisation = "nowhere"\nvalid_from = 2024-01-01\n')
    assert "role x-nowhere names nowhere" in problems(told("check", status=1))["partners file"]


def test_a_test_instance_turned_into_production_by_one_word_does_not_start(instance: Path, tdu: Terminal) -> None:
    config = instance / "tdu.toml"
    config.write_text(config.read_text().replace('mode = "test"', 'mode = "production"', 1))
    result = tdu("check")
    assert result.exit_code == 2
    assert "instance.sandbox" in result.stderr
