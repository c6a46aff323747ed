"""The configuration file: what is read, and what an operator is told when it is wrong."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from adapter.config import Config, Mode, WrongConfigurationError, example_text, load_config
from adapter.config.settings import Secret
from adapter.errors import ConfigurationError

MINIMAL = """
[instance]
mode = "test"
name = "essai"
[instance.sandbox]
mail = "sandbox@aphp.formation.mssante.fr"
fax = "+33100000000"
record = "http://127.0.0.1:8090/fhir"
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
"""

PRODUCTION = """
[instance]
mode = "production"
name = "vrai"
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
"""


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = tmp_path / "tdu.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environ or {})


def problems_of(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(WrongConfigurationError) as caught:
        load(tmp_path, text)
    return {problem.place: f"{problem.text} {problem.remedy}" for problem in caught.value.problems}


def test_the_example_starts_as_it_stands(tmp_path: Path) -> None:
    config = load(tmp_path, example_text())
    assert config.instance.mode is Mode.TEST
    assert config.doors.mllp is not None
    assert config.doors.mllp.host == "127.0.0.1"
    assert config.ledger.url == f"sqlite:///{tmp_path}/data/ledger.sqlite"


def _documented_keys(text: str) -> set[str]:
    """Every dotted key of the example, those left out (`#:`) and other ways (`#|`) included."""
    whole = re.sub(r"^#[:|] ?", "", text, flags=re.MULTILINE)

    def walk(table: dict[str, Any], prefix: str) -> set[str]:
        keys: set[str] = set()
        for key, value in table.items():
            entries = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
            keys.add(f"{prefix}{key}")
            for entry in entries:
                if isinstance(entry, dict) and set(entry) not in ({"file"}, {"variable"}):
                    keys |= walk(entry, f"{prefix}{key}.")
        return keys

    return walk(tomllib.loads(whole), "")


def _settings_keys(kind: type, prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for name, hint in get_type_hints(kind).items():
        keys.add(f"{prefix}{name}")
        for part in (hint, *get_args(hint)):
            if dataclasses.is_dataclass(part) and part is not Secret:
                keys |= _settings_keys(part, f"{prefix}{name}.")  # type: ignore[arg-type]
    return keys


def test_the_example_documents_every_key_and_no_other() -> None:
    assert _documented_keys(example_text()) == _settings_keys(Config)


def test_the_example_with_every_setting_in_use_is_read_without_an_unknown_key(tmp_path: Path) -> None:
    everything = re.sub(r"^#: ?", "", example_text(), flags=re.MULTILINE)
    for file in re.findall(r'"((?:tls|secrets|clients)/[^"]+|[^"/]+\.csv)"', everything):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("x")
    everything = everything.replace('url = "" ', 'url = "postgresql://tdu:{password}@db/tdu" ')
    config = load(tmp_path, everything, {"TDU_RECORD_TOKEN": "jeton"})
    assert config.ledger.url == "postgresql+psycopg://tdu:{password}@db/tdu"
    assert config.channels.shared_record is not None
    assert config.channels.shared_record.token == Secret(variable="TDU_RECORD_TOKEN")
    assert config.doors.mllp is not None
    assert config.doors.mllp.tls is not None
    assert config.doors.mllp.tls.client_ca == tmp_path / "tls/partners-ca.pem"


def test_the_other_ways_of_the_example_are_read_too_and_told_not_to_go_together(tmp_path: Path) -> None:
    places = problems_of(tmp_path, re.sub(r"^#[:|] ?", "", example_text(), flags=re.MULTILINE))
    assert not [text for text in places.values() if "unknown key" in text]
    assert {"channels.mssante.token", "doors.mailboxes[1].token", "channels.mssante.tls.key"} <= set(places)


def test_every_error_is_told_at_once_with_its_place_and_remedy(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        """
[instance]
mode = "production"
nane = "x"
workers = -1
time_zone = "Paris"
[[legal_entities]]
finess_ej = "123"
name = "AP-HP"
source_oid = "abc"
[doors.http]
port = "8080"
[[doors.folders]]
path = "in"
name = "a"
legal_entity = "999999999"
""",
    )
    assert set(problems) == {
        "instance.nane",
        "instance.name",
        "instance.workers",
        "instance.time_zone",
        "legal_entities[1].finess_ej",
        "legal_entities[1].source_oid",
        "doors.http.port",
        "doors.folders[1].legal_entity",
    }
    assert "'name'" in problems["instance.nane"]


def test_an_unknown_key_names_the_near_one(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, MINIMAL + "[ledger]\nlease_second = 5\n")
    assert "Did you mean 'lease_seconds'?" in problems["ledger.lease_second"]


def test_a_secret_written_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = MINIMAL + '[channels.shared_record]\nbase_url = "http://127.0.0.1/fhir"\ntoken = "hunter2-in-clear"\n'
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert "channels.shared_record.token" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_password_in_the_ledger_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, MINIMAL + '[ledger]\nurl = "postgresql://tdu:hunter2@db/tdu"\n')
    assert "ledger.url" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_place_for_the_password_without_its_secret_is_refused(tmp_path: Path) -> None:
    assert "ledger.password" in problems_of(tmp_path, MINIMAL + '[ledger]\nurl = "postgresql://tdu:{password}@db/tdu"\n')


def test_a_secret_is_read_from_its_file_or_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "jeton").write_text("abc\n")
    assert Secret(file=tmp_path / "jeton").read({}) == "abc"
    assert Secret(variable="JETON").read({"JETON": "def"}) == "def"
    with pytest.raises(ConfigurationError):
        Secret(file=tmp_path / "absent").read({})
    with pytest.raises(ConfigurationError):
        Secret(variable="JETON").read({})


def test_a_missing_secret_is_told_when_the_file_is_loaded(tmp_path: Path) -> None:
    text = MINIMAL + '[channels.shared_record]\nbase_url = "http://127.0.0.1/fhir"\ntoken = { variable = "ABSENT" }\n'
    assert "channels.shared_record.token.variable" in problems_of(tmp_path, text)


def test_a_test_instance_without_sandbox_does_not_start(tmp_path: Path) -> None:
    text = PRODUCTION.replace("production", "test")
    assert "instance.sandbox" in problems_of(tmp_path, text)


def test_a_test_instance_with_an_empty_sandbox_address_does_not_start(tmp_path: Path) -> None:
    assert "instance.sandbox.fax" in problems_of(tmp_path, MINIMAL.replace('fax = "+33100000000"', 'fax = ""'))


def test_a_production_instance_with_a_sandbox_does_not_start(tmp_path: Path) -> None:
    assert "instance.sandbox" in problems_of(tmp_path, MINIMAL.replace('"test"', '"production"'))


@pytest.mark.parametrize(
    ("addition", "place"),
    [
        ('[legal_entities.sender]\nmailbox = "a@aphp.formation.mssante.fr"\n', "legal_entities[1].sender.mailbox"),
        ('[channels.mssante]\nhost = "smtp.example.org"\n', "channels.mssante.host"),
        ('[channels.mssante]\nhost = "localhost"\n', "channels.mssante.host"),
        ('[channels.shared_record]\nbase_url = "https://record.test/fhir"\n', "channels.shared_record.base_url"),
        ('[channels.shared_record]\nbase_url = "http://record.sante-idf.fr/fhir"\n', "channels.shared_record.base_url"),
    ],
)
def test_a_production_instance_with_a_test_name_does_not_start(tmp_path: Path, addition: str, place: str) -> None:
    assert place in problems_of(tmp_path, PRODUCTION + addition)


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("sandbox@aphp.formation.mssante.fr", "dr.x@aphp.mssante.fr", "instance.sandbox.mail"),
        (
            'source_oid = "1.2.250.1.71.4.2.1"\n',
            'source_oid = "1.2.3"\nsender = { mailbox = "a@aphp.mssante.fr" }\n',
            "legal_entities[1].sender.mailbox",
        ),
    ],
)
def test_a_test_instance_with_a_production_mailbox_does_not_start(tmp_path: Path, before: str, after: str, place: str) -> None:
    assert place in problems_of(tmp_path, MINIMAL.replace(before, after))


def test_http_off_loopback_needs_a_token(tmp_path: Path) -> None:
    assert "doors.http.tokens" in problems_of(tmp_path, MINIMAL + '[doors.http]\nhost = "0.0.0.0"\n')
    assert load(tmp_path, MINIMAL + '[doors.http]\nhost = "::1"\n').doors.http is not None


def test_the_only_legal_entity_need_not_be_repeated(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL + '[[doors.folders]]\npath = "in"\nname = "a"\n')
    assert config.doors.folders[0].legal_entity == "750712184"
    assert config.doors.folders[0].zone == "Europe/Paris"
    assert config.doors.folders[0].path == tmp_path / "in"


def test_with_two_legal_entities_each_door_names_its_own(tmp_path: Path) -> None:
    second = '[[legal_entities]]\nfiness_ej = "940000573"\nname = "Ivry"\nsource_oid = "1.2.250.1.71.4.2.2"\n'
    problems = problems_of(tmp_path, MINIMAL + second + '[[doors.folders]]\npath = "in"\nname = "a"\n')
    assert list(problems) == ["doors.folders[1].legal_entity"]


def test_a_peer_that_could_never_be_recognised_is_refused(tmp_path: Path) -> None:
    assert "doors.mllp.peers[1]" in problems_of(tmp_path, MINIMAL + '[[doors.mllp.peers]]\nname = "a"\n')
    text = MINIMAL + '[[doors.mllp.peers]]\nname = "a"\ncertificate_cn = "a.fr"\n'
    assert "doors.mllp.peers[1].certificate_cn" in problems_of(tmp_path, text)


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    text = MINIMAL + '[[doors.folders]]\npath = "a"\nname = "x"\n[[doors.folders]]\npath = "b"\nname = "x"\n'
    assert list(problems_of(tmp_path, text)) == ["doors.folders[2].name"]


def test_a_file_that_is_not_toml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 2"):
        load(tmp_path, "[instance]\nmode = \n")


def test_an_absent_file_tells_which_command_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tdu init"):
        load_config(tmp_path / "absent.toml", {})
