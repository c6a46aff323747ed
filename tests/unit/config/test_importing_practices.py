"""Practices and clients of the Import API in the configuration: what they become, and what makes no sense."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from adapter.assembly import build_channels, practices_of, route_settings
from adapter.config.load import WrongConfigurationError
from adapter.config.settings import Config
from adapter.model.plan import ChannelName
from adapter.service.doors import import_clients, import_settings
from tests.builders.config_file import SANDBOX, load_settings

BASE = """
[[doors.http.tokens]]
name = "x"
token = {{ variable = "X" }}
legal_entity = "750712184"
[channels.inbox]
public_url = "{url}"
[[channels.inbox.practices]]
name = "{practice}"
legal_entity = "{entity}"
urgent_hours = 2
[[channels.inbox.clients]]
name = "{client}"
practices = {practices}
roles = ["role:a"]
keys = "{keys}"
scopes = {scopes}
legal_entity = "750712184"
calls_per_minute = 60
"""


def load(folder: Path, *, sandbox: str = "", **parts: str) -> Config:
    values = {
        "url": "https://tdu.example/fhir/", "practice": "ivry", "entity": "750712184", "client": "logiciel",
        "practices": '["ivry"]', "keys": "client.jwks.json", "scopes": '["system/DocumentReference.rs", "system/Task.r"]',
    }  # fmt: skip
    (folder / "client.jwks.json").write_text('{"keys": []}', encoding="utf-8")
    environ = {"X": "a-long-enough-token-for-the-door"}
    return load_settings(folder, BASE.format(**{**values, **parts}), sandbox=SANDBOX + sandbox, environ=environ)


def test_practices_and_clients_are_what_the_file_says(tmp_path: Path) -> None:
    config = load(tmp_path)
    (practice,) = practices_of(config)
    assert (practice.name, practice.legal_entity) == ("ivry", "750712184")
    hours = (practice.urgent_within, practice.semi_urgent_within, practice.routine_within)
    assert hours == (timedelta(hours=2), timedelta(hours=24), timedelta(hours=72))
    (client,) = import_clients(config)
    assert client.readers.practices == ("ivry",) and client.readers.roles == frozenset({"role:a"})
    assert client.scopes == {"DocumentReference": "rs", "Task": "r"} and client.calls_per_minute == 60
    assert config.doors.http is not None
    assert import_settings(config, config.doors.http).base_url == "https://tdu.example/fhir"


def test_the_channel_is_open_where_there_is_a_ledger_to_publish_in(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert ChannelName.INBOX in build_channels(config, publish=lambda *_: None)
    assert ChannelName.INBOX not in build_channels(config)


def test_documents_of_a_test_instance_go_to_its_sandbox_practice(tmp_path: Path) -> None:
    routes = route_settings(load(tmp_path, sandbox='inbox = "ivry"'))
    assert routes.may_reach(ChannelName.INBOX, "ivry") and not routes.may_reach(ChannelName.INBOX, "other")
    assert not route_settings(load(tmp_path)).may_reach(ChannelName.INBOX, "ivry")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"sandbox": 'inbox = "nobody"'}, "instance.sandbox.inbox: names no practice"),
        ({"practice": "cms/ivry", "practices": '["cms/ivry"]'}, "channels.inbox.practices[1].name: must be a short name"),
        ({"entity": "123456789"}, "channels.inbox.practices[1].legal_entity: names an entity that is not"),
        ({"entity": "949990220"}, "channels.inbox.clients[1].practices: ivry is of another legal entity"),
        ({"practices": '["nobody"]'}, "channels.inbox.clients[1].practices: names no practice: nobody"),
        ({"practices": "[]"}, "channels.inbox.clients[1].practices: there is none"),
        ({"keys": "no.json"}, "channels.inbox.clients[1].keys: there is no file"),
        ({"scopes": "[]"}, "channels.inbox.clients[1].scopes: there is none"),
        ({"scopes": '["system/*.read"]'}, "channels.inbox.clients[1].scopes: is not a SMART v2 system scope"),
        ({"scopes": '["user/Task.r"]'}, "channels.inbox.clients[1].scopes: is not a SMART v2 system scope"),
        ({"scopes": '["system/Task.sr"]'}, "channels.inbox.clients[1].scopes: is not a SMART v2 system scope"),
        ({"url": ""}, "channels.inbox.public_url: must be the address"),
        ({"url": "https://tdu.example/api"}, "channels.inbox.public_url: must be the address"),
        ({"url": "http://tdu.example/fhir"}, "channels.inbox.public_url: must be https"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, parts: dict[str, str], said: str) -> None:
    with pytest.raises(WrongConfigurationError) as caught:
        load(tmp_path, **parts)
    assert said in str(caught.value)
