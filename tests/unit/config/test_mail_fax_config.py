"""A mail-to-fax account in the configuration: the risk acknowledged, templates that can be filled, no real line for a test."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adapter.assembly import build_channels, pipeline_settings, sender_profile
from adapter.channels.mail_fax import MailFaxChannel
from adapter.config import Config, WrongConfigurationError, load_config
from adapter.config.mail_fax import filled
from adapter.config.mail_fax_account import FaxMailbox, FaxProvider, MailFax
from adapter.model.plan import ChannelName
from adapter.packaging.parcel import FaxForm

SANDBOX = '[instance.sandbox]\nmail = "b@x.formation.mssante.fr"\nfax = "+33199000000"\nrecord = "http://127.0.0.1:1/fhir"'
BEGIN = """
[instance]
mode = "{mode}"
name = "essai"
{sandbox}
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
"""
ACCOUNT = {
    "provider": '"ecofax"',
    "accepts_third_party": "true",
    "host": '"smtp.hopital.fr"',
    "sender": '"fax@hopital.fr"',
    "user": '"fax@hopital.fr"',
    "password": '{ variable = "MAIL_PASSWORD" }',
    "fax_password": '{ variable = "FAX_PASSWORD" }',
    "line": '"0987654321"',
}
REST = '[channels.fax.mail.mailbox]\nhost = "imap.hopital.fr"\n[channels.fax.mail.answers]\nsenders = ["ecofax.example"]\n'
ENVIRON = {"MAIL_PASSWORD": "secret-of-the-mailbox", "FAX_PASSWORD": "secret-of-the-line"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def _load(folder: Path, *, mode: str = "production", rest: str = REST, **changes: str) -> Config:
    account = {key: value for key, value in (ACCOUNT | changes).items() if value}
    lines = "\n".join(f"{key} = {value}" for key, value in account.items())
    begin = BEGIN.format(mode=mode, sandbox=SANDBOX if mode == "test" else "")
    (folder / "tdu.toml").write_text(f"{begin}[channels.fax.mail]\n{lines}\n{rest}", encoding="utf-8")
    return load_config(folder / "tdu.toml", ENVIRON)


def _problems(folder: Path, **changes: str) -> set[str]:
    with pytest.raises(WrongConfigurationError) as caught:
        _load(folder, **changes)
    return {problem.place.removeprefix("channels.fax.mail").lstrip(".") for problem in caught.value.problems}


def test_an_ecofax_account_becomes_the_fax_channel_and_asks_for_a_pdf(tmp_path: Path) -> None:
    config = _load(tmp_path)
    assert isinstance(build_channels(config)[ChannelName.FAX], MailFaxChannel)
    assert sender_profile(config, config.legal_entities[0]).fax_form is FaxForm.PDF
    assert pipeline_settings(config).unclear_wait[ChannelName.FAX] == timedelta(minutes=240), "doubt waits for the answers"


def test_without_the_acknowledgement_nothing_starts(tmp_path: Path) -> None:
    assert _problems(tmp_path, accepts_third_party="") == {"accepts_third_party"}


def test_two_ways_out_are_refused(tmp_path: Path) -> None:
    assert _problems(tmp_path, rest=f'{REST}[channels.fax.hylafax]\nhost = "127.0.0.1"\n') == {"channels.fax"}


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"sender": '"nobody"'}, {"sender"}),
        ({"password": ""}, {""}),
        ({"user": ""}, {"user"}),
        ({"line": ""}, {"line"}),
        ({"fax_password": ""}, {"fax_password"}),
        ({"quality": '"superb"'}, {"quality"}),
        ({"address": '"fax@provider.fr"'}, {"address"}),
        ({"address": '"{number}"'}, {"address"}),
        ({"address": '"{password}@{number}.fr"'}, {"address"}),
        ({"subject": '"{patient}"'}, {"subject"}),
        ({"subject": '"a\\nBcc: b@c.fr"'}, {"subject"}),
        ({"body": '"p:{password} {pages}"'}, {"body"}),
        ({"body": '"nothing"'}, {"fax_password"}),
        ({"for_tests": "true"}, {"for_tests"}),
        ({"provider": '"generic"', "line": '""', "fax_password": "", "address": '"{digits}@fax.fr"'}, {"answers.transmitted"}),
    ],
)
def test_what_cannot_work_is_told_where_it_stands(tmp_path: Path, changes: dict[str, str], places: set[str]) -> None:
    assert places <= _problems(tmp_path, **changes)


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("", "answers.senders"),
        ('senders = ["nobody here"]', "answers.senders[1]"),
        ('senders = ["ovh.net"]\nfailed = "("', "answers.failed"),
        ('senders = ["ovh.net"]\nminutes = 10', "answers.urgent_minutes"),
    ],
)
def test_answers_that_nobody_could_believe_or_read_are_told(tmp_path: Path, rest: str, place: str) -> None:
    box = '[channels.fax.mail.mailbox]\nhost = "imap.hopital.fr"\n[channels.fax.mail.answers]\n'
    assert place in _problems(tmp_path, rest=box + rest)


def test_a_test_instance_never_dials(tmp_path: Path) -> None:
    assert _problems(tmp_path, mode="test") == {""}
    assert _problems(tmp_path, mode="test", for_tests="true") == {"address"}, "this provider has real lines"
    config = _load(tmp_path, mode="test", for_tests="true", address='"{national}@fax.test"')
    assert isinstance(build_channels(config)[ChannelName.FAX], MailFaxChannel)


def test_the_preset_fills_what_is_left_out_and_nothing_else() -> None:
    box = FaxMailbox("imap.hopital.fr")
    plain = filled(MailFax("h", "a@b.fr", box, FaxProvider.ECOFAX, line="0987654321"))
    assert (plain.address, plain.subject, plain.body) == ("{national}@ecofax.fr", "{line}", "p:{password}")
    assert filled(MailFax("h", "a@b.fr", box, FaxProvider.ECOFAX, quality="best")).body == "p:{password}\nqualite:{quality}"
    own = filled(MailFax("h", "a@b.fr", box, FaxProvider.ECOFAX, quality="best", body="p:{password}", address="{digits}@x.fr"))
    assert (own.address, own.body) == ("{digits}@x.fr", "p:{password}")
    assert filled(MailFax("h", "a@b.fr", box)).address == ""


def test_no_secret_stands_in_what_is_shown(tmp_path: Path) -> None:
    config = _load(tmp_path)
    shown = repr(config) + repr(vars(build_channels(config)[ChannelName.FAX]))
    assert "smtp.hopital.fr" in shown and "secret-of" not in shown
