"""The fax in the configuration: one way out, real hours, no telephone line for a test instance."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapter.assembly import build_channels, pipeline_settings, sender_profile
from adapter.channels.hylafax import HylaFaxChannel
from adapter.config import Config
from adapter.config.fax import hours_of
from adapter.errors import ConfigurationError
from adapter.model.fax_number import FirstFax
from adapter.model.plan import ChannelName
from tests.builders.config_file import HOSPITAL, load_settings, problem_places

SERVER = '[channels.fax.hylafax]\nhost = "127.0.0.1"\n'


def _load(folder: Path, fax: str, *, mode: str = "test") -> Config:
    return load_settings(folder, fax, mode=mode, entities=(HOSPITAL,))


def _problems(folder: Path, fax: str, *, mode: str = "test") -> set[str]:
    return problem_places(lambda: _load(folder, fax, mode=mode))


def test_a_hylafax_server_becomes_the_fax_channel(tmp_path: Path) -> None:
    config = _load(tmp_path, SERVER + "for_tests = true\n")
    assert isinstance(build_channels(config)[ChannelName.FAX], HylaFaxChannel)


@pytest.mark.parametrize("fax", ["[channels.fax]\n", '[channels.fax]\nspool_directory = "s"\n' + SERVER + "for_tests = true\n"])
def test_none_or_two_ways_out_are_refused(tmp_path: Path, fax: str) -> None:
    assert _problems(tmp_path, fax) == {"channels.fax"}


def test_a_test_instance_needs_a_server_without_a_line_and_production_one_with(tmp_path: Path) -> None:
    assert _problems(tmp_path, SERVER) == {"channels.fax.hylafax"}
    assert _problems(tmp_path, SERVER + "for_tests = true\n", mode="production") == {"channels.fax.hylafax.for_tests"}


@pytest.mark.parametrize(
    "hours", ['open_from = "08:00"', 'open_from = "20:00"\nopen_until = "08:00"', 'open_from = "8h"\nopen_until = "9h"']
)
def test_hours_that_are_none_are_refused(tmp_path: Path, hours: str) -> None:
    assert _problems(tmp_path, f"{SERVER}for_tests = true\n{hours}\n") == {"channels.fax.hylafax.open_from"}


def test_hours_are_read(tmp_path: Path) -> None:
    fax = _load(tmp_path, f'{SERVER}for_tests = true\nopen_from = "08:00"\nopen_until = "20:30"\n').channels.fax
    assert fax is not None and fax.hylafax is not None
    assert hours_of(fax.hylafax) == (time(8), time(20, 30))


def test_the_annex_is_signed_with_the_key_of_its_file_and_a_wrong_one_stops_the_start(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    (tmp_path / "annex.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    text = f'[channels.fax]\nannex_key = "annex.pem"\n{SERVER}for_tests = true\n'
    config = _load(tmp_path, text)
    assert sender_profile(config, config.legal_entities[0]).fax_key is not None
    (tmp_path / "annex.pem").write_text("no key")
    with pytest.raises(ConfigurationError, match="ed25519"):
        sender_profile(config, config.legal_entities[0])
    (tmp_path / "annex.pem").unlink()
    assert _problems(tmp_path, text) == {"channels.fax.annex_key"}


@pytest.mark.parametrize(
    ("mode", "written", "meant"),
    [
        ("production", "", FirstFax.ASK),
        ("test", "", FirstFax.SEND),
        ("production", 'first_fax = "send"', FirstFax.SEND),
        ("test", 'first_fax = "test-page"', FirstFax.TEST_PAGE),
    ],
)
def test_a_production_instance_asks_before_a_first_fax_unless_it_is_told_otherwise(
    tmp_path: Path, mode: str, written: str, meant: FirstFax
) -> None:
    config = _load(tmp_path, f'[channels.fax]\nspool_directory = "s"\n{written}\n', mode=mode)
    assert pipeline_settings(config).first_fax is meant


def test_what_happens_before_a_first_fax_is_one_of_three_words(tmp_path: Path) -> None:
    assert _problems(tmp_path, '[channels.fax]\nspool_directory = "s"\nfirst_fax = "maybe"\n') == {"channels.fax.first_fax"}
