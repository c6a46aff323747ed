"""What ends, at night: certificates at 60, 30 and 7 days, API keys and clients' keys whose end is known, and nothing guessed."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from adapter.config import load_config
from adapter.config.load import WrongConfigurationError
from adapter.config.settings import Config, ImportClient, Inbox
from adapter.secure_line import SecureLines
from adapter.service.key_watch import KeyEnd, KeyFileUnreadable, key_ends
from adapter.service.night_trust import WatchTrust
from adapter.service.trust_watch import Speaker
from adapter.setup import write_instance
from mssante.testing import make_test_pki
from tests.builders.directory import APHP_EJ
from tests.builders.instance import Instance
from tests.builders.night import PARIS, shift

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_instance(tmp_path / "instance")
    return tmp_path / "instance"


def config_of(folder: Path, more: str = "") -> Config:
    with (folder / "tdu.toml").open("a", encoding="utf-8") as file:
        file.write(more)
    return load_config(folder / "tdu.toml", {})


def annuaire(folder: Path, key_expires: str) -> Config:
    (folder / "key").write_text("k", encoding="utf-8")
    return config_of(folder, f'\n[directory.annuaire]\nkey_file = "key"\nkey_expires = "{key_expires}"\n')


def with_client(config: Config, keys: Path) -> Config:
    client = ImportClient("logiciel", ("ivry",), keys, ("system/Binary.r",), legal_entity=APHP_EJ)
    return replace(config, channels=replace(config.channels, inbox=Inbox(clients=(client,))))


def watch(config: Config, house: Instance) -> WatchTrust:
    speaker = Speaker(house.ledger.open_work_item, house.ledger.close_work_items, lambda: "item", "Europe/Paris")
    return WatchTrust(config, SecureLines(config), speaker)


@pytest.fixture
def house(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.clock.now = NOW
    return made


@pytest.mark.parametrize(
    ("days", "told", "asked"), [(61, False, False), (60, True, False), (8, True, False), (7, True, True), (-1, True, True)]
)
def test_an_api_key_is_told_of_sixty_days_before_and_asked_about_at_seven(
    days: int, told: bool, asked: bool, folder: Path, house: Instance
) -> None:
    last = (NOW.astimezone(PARIS).date() + timedelta(days=days)).isoformat()
    report = watch(annuaire(folder, last), house).run(shift(house))
    assert any("directory.annuaire.key_file" in one for one in report.to_do) is told
    assert ("trust-ends" in house.reasons()) is asked


def test_a_renewed_key_closes_its_question(folder: Path, house: Instance) -> None:
    config = annuaire(folder, "2026-11-25")
    watch(config, house).run(shift(house))
    assert house.reasons() == ["trust-ends"]
    national = config.directory.annuaire
    assert national is not None
    renewed = replace(config, directory=replace(config.directory, annuaire=replace(national, key_expires="2027-11-25")))
    assert watch(renewed, house).run(shift(house)).to_do == ()
    assert house.reasons() == []


def test_a_dry_run_asks_nobody(folder: Path, house: Instance) -> None:
    assert watch(annuaire(folder, "2026-11-25"), house).run(shift(house, dry_run=True)).to_do
    assert house.reasons() == []


def test_a_day_that_is_none_is_a_wrong_setting(folder: Path) -> None:
    with pytest.raises(WrongConfigurationError, match="key_expires"):
        annuaire(folder, "2026-02-30")


def test_of_a_client_s_keys_the_last_to_end_counts(folder: Path) -> None:
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"kid": "old", "exp": 1_800_000_000}, {"kid": "new", "exp": 1_900_000_000}]}), "utf-8")
    (found,) = key_ends(with_client(config_of(folder), keys))
    assert isinstance(found, KeyEnd) and (found.name, found.entities) == ("new", (APHP_EJ,))
    assert found.ends_at == datetime.fromtimestamp(1_900_000_000, UTC)


def test_a_key_that_tells_no_end_is_not_guessed_at(folder: Path) -> None:
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"kid": "old", "exp": 1_800_000_000}, {"kid": "for-ever"}]}), "utf-8")
    assert list(key_ends(with_client(config_of(folder), keys))) == []


def test_a_key_under_a_certificate_ends_with_it(folder: Path) -> None:
    pki = make_test_pki(folder / "pki", days=10)
    certificate = x509.load_pem_x509_certificate(pki.client_certificate.read_bytes())
    chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [{"kid": "x", "x5c": chain}]}), "utf-8")
    (found,) = key_ends(with_client(config_of(folder), keys))
    assert isinstance(found, KeyEnd) and found.ends_at == certificate.not_valid_after_utc


@pytest.mark.parametrize("content", ["", "[]", '{"keys": 3}', '{"keys": [{"x5c": ["no"]}]}'])
def test_keys_that_cannot_be_read_are_a_question(content: str, folder: Path, house: Instance) -> None:
    keys = folder / "keys.json"
    keys.write_text(content, "utf-8")
    config = with_client(config_of(folder), keys)
    assert list(key_ends(config)) == [KeyFileUnreadable("channels.inbox.clients[1].keys", (APHP_EJ,))]
    report = watch(config, house).run(shift(house))
    assert "ne peuvent pas être lues" in report.to_do[0] and house.reasons() == ["trust-ends"]


def test_a_certificate_that_ends_is_told_with_its_place(folder: Path, house: Instance) -> None:
    house.clock.now = datetime.now(UTC)
    pki = make_test_pki(folder / "pki", days=20)
    more = f"""
[channels.mssante]
host = "127.0.0.1"
[channels.mssante.tls]
certificate = "{pki.client_certificate}"
key = "{pki.client_key}"
ca = "{pki.authority}"
"""
    report = watch(config_of(folder, more), house).run(shift(house))
    assert any("channels.mssante.tls" in one and "expire dans" in one for one in report.to_do)
    assert house.reasons() == [], "a person is asked at seven days"
