"""HL7 partners in the configuration: who is written to, who receives whose acknowledgements, and what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.assembly import build_channels, hl7_sender, pipeline_settings, route_settings
from adapter.checkup import check_instance
from adapter.config.load import WrongConfigurationError
from adapter.config.settings import Config
from adapter.ledger.vault import create_key_file
from adapter.model.plan import ChannelName
from tests.builders.config_file import SANDBOX, load_settings
from tests.builders.instance import NOON
from tests.servers.mllp_peer import MllpPeer

BASE = """
[[doors.mllp.peers]]
name = "dpi"
application = "DPI"
legal_entity = "750712184"
{peer}
[channels.hl7_push]
application = "TDU"
[[channels.hl7_push.partners]]
name = "{name}"
host = "{host}"
port = {port}
application = "DPI"
facility = "BICETRE"
legal_entity = "{entity}"
{partner}
"""


def load(folder: Path, *, mode: str = "test", sandbox: str = SANDBOX, **parts: object) -> Config:
    values = {"peer": 'acks_to = "dpi"', "name": "dpi", "host": "127.0.0.1", "port": 2576, "entity": "750712184", "partner": ""}
    return load_settings(folder, BASE.format(**{**values, **parts}), mode=mode, sandbox=sandbox)


def test_a_partner_gets_what_its_entity_sends_and_no_other(tmp_path: Path) -> None:
    config = load(tmp_path)
    hospital, town = (hl7_sender(config, entity) for entity in config.legal_entities)
    assert [one.name for one in hospital.partners] == ["dpi"] and dict(hospital.acks_to) == {"dpi": "dpi"}
    assert (town.partners, town.acks_to) == ((), ())
    assert (hospital.application, hospital.processing) == ("TDU", "T")


def test_the_channel_is_open_when_there_is_a_partner(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert ChannelName.HL7_PUSH in build_channels(config)
    assert pipeline_settings(config).unclear_wait[ChannelName.HL7_PUSH].total_seconds() == 30


def test_documents_of_a_test_instance_go_to_its_sandbox_partner(tmp_path: Path) -> None:
    routes = route_settings(load(tmp_path, sandbox=SANDBOX + 'hl7 = "dpi"\n'))
    assert routes.may_reach(ChannelName.HL7_PUSH, "dpi") and not routes.may_reach(ChannelName.HL7_PUSH, "other")
    assert not route_settings(load(tmp_path)).may_reach(ChannelName.HL7_PUSH, "dpi")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"peer": 'acks_to = "nobody"'}, "doors.mllp.peers[1].acks_to: names no HL7 partner"),
        ({"entity": "949990220"}, "doors.mllp.peers[1].acks_to: names a partner of another legal entity"),
        ({"entity": "123456789"}, "channels.hl7_push.partners[1].legal_entity: names an entity that is not"),
        ({"sandbox": SANDBOX + 'hl7 = "nobody"\n'}, "instance.sandbox.hl7: names no HL7 partner"),
        ({"name": "dpi/1", "peer": ""}, "channels.hl7_push.partners[1].name: must be a short name"),
        ({"partner": 'charset = "LATIN"'}, "channels.hl7_push.partners[1].charset: must be one of"),
        (
            {"partner": '[channels.hl7_push.partners.tls]\nca = "no.pem"'},
            "channels.hl7_push.partners[1].tls.ca: there is no file",
        ),
        ({"partner": '[channels.hl7_push.partners.tls]\nrevocation_lists = "no.crl"'}, "partners[1].tls.revocation_lists: "),
        ({"host": "10.1.2.3"}, "doors.mllp.peers[1].acks_to: may be a production partner in a test instance"),
        ({"mode": "production", "sandbox": "", "host": "ris.test"}, "channels.hl7_push.partners[1].host: is a test or training"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, parts: dict[str, object], said: str) -> None:
    with pytest.raises(WrongConfigurationError) as caught:
        load(tmp_path, **parts)
    assert said in str(caught.value)


@pytest.mark.parametrize("parts", [{"host": "10.1.2.3", "sandbox": SANDBOX + 'hl7 = "dpi"\n'}, {"host": "eai.hopital.test"}])
def test_a_partner_known_to_be_for_tests_gets_acknowledgements_from_a_test_instance(
    tmp_path: Path, parts: dict[str, object]
) -> None:
    assert load(tmp_path, **parts)


def checked(config: Config, subject: str) -> tuple[bool, str]:
    check = next(one for one in check_instance(config, NOON) if one.subject == subject)
    return check.ok, check.detail


def test_the_check_reaches_for_each_partner_without_sending(tmp_path: Path) -> None:
    create_key_file(tmp_path / "payload.key")
    with MllpPeer() as peer:
        config = load(tmp_path, port=peer.port)
        assert checked(config, "channel hl7_push") == (True, "reachable")
    ok, detail = checked(config, "channel hl7_push")
    assert not ok and "dpi (127.0.0.1" in detail and peer.received == []


def test_the_check_tells_where_each_senders_acknowledgements_go(tmp_path: Path) -> None:
    create_key_file(tmp_path / "payload.key")
    assert checked(load(tmp_path), "acknowledgements of dpi") == (True, "go to dpi")
    assert "go nowhere" in checked(load(tmp_path, peer=""), "acknowledgements of dpi")[1]
