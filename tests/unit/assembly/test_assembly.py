"""The wiring: what a test instance can reach, and a directory that changes under the running service."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from adapter.assembly import build_channels, record_settings, route_settings
from adapter.channels.fax import FaxSpoolChannel
from adapter.channels.shared_record import SharedRecordChannel, SharedRecordSettings
from adapter.config import load_config
from adapter.config.settings import DirectoryFiles
from adapter.errors import ConfigurationError
from adapter.model.plan import ChannelName
from adapter.opening import LiveDirectory
from adapter.secure_line import SecureLines
from tests.builders.directory import small_text

CONFIG = """
[instance]
mode = "{mode}"
name = "essai"
{sandbox}
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
[channels.fax]
spool_directory = "fax"
[channels.shared_record]
base_url = "{record}"
token = {{ file = "token" }}
"""
SANDBOX = """
[instance.sandbox]
mail = "bac@aphp.formation.mssante.fr"
fax = "+33199000000"
record = "https://sandbox.invalid/fhir"
"""
REAL, SANDBOX_RECORD = "https://record.sante.fr/fhir", "https://sandbox.invalid/fhir"


def _record(tmp_path: Path, *, mode: str = "test", sandbox: str = SANDBOX, record: str = REAL) -> SharedRecordSettings:
    (tmp_path / "token").write_text("secret-token")
    file = tmp_path / "tdu.toml"
    file.write_text(CONFIG.format(mode=mode, sandbox=sandbox, record=record))
    config = load_config(file, {})
    assert isinstance(build_channels(config)[ChannelName.SHARED_RECORD], SharedRecordChannel)
    settings = record_settings(config, SecureLines(config))
    assert settings is not None
    return settings


def _fax(tmp_path: Path, mode: str, sandbox: str) -> FaxSpoolChannel:
    _record(tmp_path, mode=mode, sandbox=sandbox)
    channel = build_channels(load_config(tmp_path / "tdu.toml", {}))[ChannelName.FAX]
    assert isinstance(channel, FaxSpoolChannel)
    return channel


def test_a_sandbox_elsewhere_never_sees_the_record_s_token(tmp_path: Path) -> None:
    settings = _record(tmp_path)
    assert (settings.base_url, settings.token, settings.token_file) == (SANDBOX_RECORD, "", None)


def test_the_record_itself_sees_its_token(tmp_path: Path) -> None:
    settings = _record(tmp_path, mode="production", sandbox="")
    assert (settings.base_url, settings.token_file) == (REAL, tmp_path / "token")


def test_a_sandbox_that_is_the_configured_record_keeps_its_token(tmp_path: Path) -> None:
    assert _record(tmp_path, record=SANDBOX_RECORD).token_file == tmp_path / "token"


@pytest.mark.parametrize(("mode", "sandbox", "dials"), [("test", SANDBOX, False), ("production", "", True)])
def test_a_test_instance_never_dials(tmp_path: Path, mode: str, sandbox: str, dials: bool) -> None:
    assert _fax(tmp_path, mode, sandbox)._settings.dials is dials


def test_a_test_instance_reaches_its_sandbox_and_nothing_else(tmp_path: Path) -> None:
    _record(tmp_path)
    routes = route_settings(load_config(tmp_path / "tdu.toml", {}))
    assert routes.may_reach(ChannelName.FAX, "+33199000000")
    assert not routes.may_reach(ChannelName.FAX, "+33145000000")
    assert not routes.may_reach(ChannelName.SECURE_MAIL, "")


# ── the live directory ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def partners(tmp_path: Path) -> Path:
    path = tmp_path / "partners.toml"
    _write(path, small_text())
    return path


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(path.stat().st_mtime_ns + 1_000_000,) * 2)


def test_a_corrected_partners_file_is_in_force_at_once(partners: Path) -> None:
    live = LiveDirectory(DirectoryFiles((partners,)))
    before = live().revision
    _write(partners, small_text(more="# a new line\n"))
    assert live().revision != before
    assert live.problem == ""


@pytest.mark.parametrize("wrong", ["this is no TOML", small_text(more="[[organisation]]\nkey = 3\n")])
def test_a_wrong_new_version_leaves_the_old_one_in_force_and_says_so_once(partners: Path, wrong: str) -> None:
    live = LiveDirectory(DirectoryFiles((partners,)))
    before = live().revision
    with structlog.testing.capture_logs() as logs:
        _write(partners, wrong)
        assert [live().revision for _ in range(3)] == [before] * 3
    assert [entry["event"] for entry in logs] == ["directory.not-reloaded"]
    assert live.problem


def test_a_mended_file_ends_the_alarm(partners: Path) -> None:
    live = LiveDirectory(DirectoryFiles((partners,)))
    live()
    _write(partners, "this is no TOML")
    live()
    _write(partners, small_text(more="# mended\n"))
    live()
    assert live.problem == ""


def test_a_file_that_goes_away_leaves_the_last_good_directory(partners: Path) -> None:
    live = LiveDirectory(DirectoryFiles((partners,)))
    before = live().revision
    partners.unlink()
    assert (live().revision, live.problem) == (before, "FileNotFoundError")


def test_there_is_no_start_without_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "partners.toml"
    path.write_text("this is no TOML")
    with pytest.raises(ConfigurationError):
        LiveDirectory(DirectoryFiles((path,)))()
