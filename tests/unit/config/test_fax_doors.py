"""Fax lines in the configuration: one place where faxes lie, whose they are, whose signatures count; no real line for a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from adapter.checkup import Check, check_instance
from adapter.config import Config, WrongConfigurationError, load_config
from adapter.errors import ConfigurationError
from adapter.fax_lines import fax_doors, fax_folder_settings, fax_queue_settings
from adapter.formats.detached_jws import key_id_of
from adapter.ledger.vault import create_key_file
from adapter.model.fax_in import PageCompare
from adapter.opening import now
from tests.builders.directory import PARTNERS
from tests.servers.receive_queue import QueueDouble

SANDBOX = '[instance.sandbox]\nmail = "b@x.formation.mssante.fr"\nfax = "+33100000000"\nrecord = "http://127.0.0.1:1/fhir"'
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
LINE = '[[doors.fax]]\nname = "ivry"\n'
QUEUE = '[doors.fax.hylafax]\nhost = "127.0.0.1"\nfor_tests = true\n'
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


def load(folder: Path, doors: str, *, mode: str = "test") -> Config:
    (folder / "tdu.toml").write_text(BEGIN.format(mode=mode, sandbox=SANDBOX if mode == "test" else "") + doors, encoding="utf-8")
    return load_config(folder / "tdu.toml", {})


def problems(folder: Path, doors: str, *, mode: str = "test") -> set[str]:
    with pytest.raises(WrongConfigurationError) as caught:
        load(folder, doors, mode=mode)
    return {problem.place for problem in caught.value.problems}


def write_key(path: Path) -> None:
    path.write_bytes(KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


TRUSTED = '[[doors.fax.trusted]]\nname = "CHU"\nkey = "chu.pem"\nnumbers = ["04 91 00 00 01"]\n'


def test_a_line_that_says_nothing_lets_pass_only_what_came_dot_for_dot(tmp_path: Path) -> None:
    write_key(tmp_path / "chu.pem")
    config = load(tmp_path, f'{LINE}folder = "in"\n{TRUSTED}')
    assert fax_doors(config).of("fax:ivry").compare is PageCompare.STRICT


def test_a_line_becomes_what_its_reader_and_its_door_must_know(tmp_path: Path) -> None:
    write_key(tmp_path / "chu.pem")
    line = f'{LINE}folder = "in"\nnumber = "01 45 21 00 01"\ndeliver_to = "role:org:ivry"\nmasked = "deliver"\n'
    config = load(tmp_path, f'{line}compare = "when-possible"\nname_pattern = "{{fax.from}}.tif"\n{TRUSTED}')
    door = fax_doors(config).of("fax:ivry")
    assert (door.name, door.legal_entity, door.number, door.zone) == ("ivry", "750712184", "+33145210001", "Europe/Paris")
    assert (door.deliver_to, door.compare, door.takes_masked) == ("local-role:org:ivry", PageCompare.WHEN_POSSIBLE, True)
    assert door.takes_test_identities
    sender = door.trusted[key_id_of(KEY)]
    assert (sender.name, sender.numbers) == ("CHU", ("+33491000001",))
    line_read = config.doors.fax[0]
    assert line_read.folder == tmp_path / "in"
    settings = fax_folder_settings(line_read, tmp_path / "in")
    assert (settings.path, settings.name, settings.name_pattern) == (tmp_path / "in", "ivry", "{fax.from}.tif")


def test_a_production_line_takes_no_test_identity_and_an_unknown_door_trusts_nobody(tmp_path: Path) -> None:
    doors = fax_doors(load(tmp_path, f'{LINE}folder = "in"\n', mode="production"))
    assert not doors.of("fax:ivry").takes_test_identities
    assert not doors.of("folder:drop").trusted


def test_the_passwords_of_a_queue_are_read_when_they_are_used(tmp_path: Path) -> None:
    for name in ("p", "a"):
        (tmp_path / name).write_text(f"{name}1\n")
    text = f'{LINE}{QUEUE}password = {{ file = "p" }}\nadministrator_password = {{ file = "a" }}\ndelete_after = true\n'
    line = load(tmp_path, text).doors.fax[0]
    assert line.hylafax is not None
    settings = fax_queue_settings(line, line.hylafax)
    assert (settings.password(), settings.administrator_password(), settings.delete_after) == ("p1", "a1", True)
    (tmp_path / "p").write_text("p2")
    assert settings.password() == "p2"
    assert "p1" not in repr(settings)


@pytest.mark.parametrize(
    ("doors", "places"),
    [
        (LINE, {"doors.fax[1]"}),
        (f'{LINE}folder = "in"\n{QUEUE}', {"doors.fax[1]"}),
        (f'{LINE}name_pattern = "{{fax.from}}.tif"\n{QUEUE}', {"doors.fax[1].name_pattern"}),
        ('[[doors.fax]]\nname = "Ligne 1"\nfolder = "in"\n', {"doors.fax[1].name"}),
        (f'{LINE}folder = "in"\nnumber = "ligne"\n', {"doors.fax[1].number"}),
        (f'{LINE}folder = "in"\nzone = "Paris"\n', {"doors.fax[1].zone"}),
        (f'{LINE}folder = "in"\ndeliver_to = "ivry"\n', {"doors.fax[1].deliver_to"}),
        (f'{LINE}folder = "in"\ndeliver_to = "software:nobody"\n', {"doors.fax[1].deliver_to"}),
        (f'{LINE}folder = "in"\nlegal_entity = "999999999"\n', {"doors.fax[1].legal_entity"}),
        (f'{LINE}folder = "in"\n{TRUSTED}', {"doors.fax[1].trusted[1].key"}),
        (f'{LINE}folder = "in"\n[[doors.fax]]\nname = "ivry"\nfolder = "in"\n', {"doors.fax[2].name", "doors.fax[2].folder"}),
        (f'[[doors.folders]]\npath = "in"\nname = "d"\n{LINE}folder = "in"\n', {"doors.fax[1].folder"}),
        (f'{LINE}{QUEUE}[[doors.fax]]\nname = "b"\n{QUEUE}', {"doors.fax[2].hylafax.host"}),
        (f'{LINE}{QUEUE}password = {{ file = "none" }}\n', {"doors.fax[1].hylafax.password.file"}),
        (
            f'{LINE}{QUEUE}administrator_password = {{ variable = "NONE" }}\n',
            {"doors.fax[1].hylafax.administrator_password.variable"},
        ),
        (f"{LINE}{QUEUE}".replace("true", "false"), {"doors.fax[1].hylafax"}),
    ],
)
def test_what_does_not_go_together_is_told_with_its_place(tmp_path: Path, doors: str, places: set[str]) -> None:
    assert problems(tmp_path, doors) == places


def test_a_production_instance_reads_no_line_for_tests(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{LINE}{QUEUE}", mode="production") == {"doors.fax[1].hylafax.for_tests"}


def test_a_sender_named_twice_or_with_a_number_that_is_none_is_told(tmp_path: Path) -> None:
    write_key(tmp_path / "chu.pem")
    wrong = TRUSTED.replace("04 91 00 00 01", "CHU")
    expected = {"doors.fax[1].trusted[2].name", "doors.fax[1].trusted[2].numbers[1]"}
    assert problems(tmp_path, f'{LINE}folder = "in"\n{TRUSTED}{wrong}') == expected


@pytest.mark.parametrize(
    "content", [b"no key", X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]
)
def test_a_key_that_is_none_stops_the_start_with_its_place(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "chu.pem").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"doors\.fax\[1\]\.trusted\[1\]\.key"):
        fax_doors(load(tmp_path, f'{LINE}folder = "in"\n{TRUSTED}'))


@pytest.mark.parametrize("number", ["+33 1 00", "0000000000"])
def test_a_number_that_does_not_exist_stops_the_start_with_its_place(tmp_path: Path, number: str) -> None:
    with pytest.raises(ConfigurationError, match=r"doors\.fax\[1\]\.number"):
        fax_doors(load(tmp_path, f'{LINE}folder = "in"\nnumber = "{number}"\n'))


# ── tdu check ─────────────────────────────────────────────────────────────────────────────────────────────────


def checked(folder: Path, doors: str) -> Check:
    if not (folder / "payload.key").exists():
        create_key_file(folder / "payload.key")
    found = [one for one in check_instance(load(folder, doors), now()) if one.subject.startswith("fax line")]
    assert len(found) == 1
    return found[0]


def test_the_check_tells_of_a_line_that_works_and_whom_it_trusts(tmp_path: Path) -> None:
    write_key(tmp_path / "chu.pem")
    assert checked(tmp_path, f'{LINE}folder = "in"\n{TRUSTED}').detail == "reachable, senders trusted: 1"
    assert "waits for a person" in checked(tmp_path, f'{LINE}folder = "in"\n').detail
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('name_pattern = "{patient.name}.tif"\n', "unknown fact"),
        (TRUSTED.replace("chu.pem", "tdu.toml"), "Ed25519"),
        ('number = "+33100"\n', "number"),
    ],
)
def test_the_check_tells_what_would_stop_a_line(tmp_path: Path, more: str, said: str) -> None:
    found = checked(tmp_path, f'{LINE}folder = "in"\n{more}')
    assert not found.ok and said in found.detail


@pytest.mark.parametrize(("role", "is_known"), [("org:ivry", True), ("org:cms-ivry", False), ("fictif-fontenay", True)])
def test_the_check_tells_that_a_line_is_read_for_a_role_that_nobody_has(tmp_path: Path, role: str, is_known: bool) -> None:
    create_key_file(tmp_path / "payload.key")
    files = ", ".join(f'"{PARTNERS / name}"' for name in ("reference-territory.toml", "units.csv"))
    line = f'{LINE}folder = "in"\ndeliver_to = "role:{role}"\n[directory]\nfiles = [{files}]\n'
    wrong = [one.subject for one in check_instance(load(tmp_path, line), now()) if one.subject.startswith("deliver_to")]
    assert wrong == ([] if is_known else ["deliver_to of fax line ivry"])


def test_the_check_tells_that_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a file")
    found = checked(tmp_path, f'{LINE}folder = "in"\n')
    assert not found.ok and "no folder" in found.detail


def test_the_check_enters_a_receive_queue_and_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("geheim")
    (tmp_path / "wrong").write_text("anders")
    with QueueDouble() as server:
        text = f'{LINE}{QUEUE}port = {server.port}\nadministrator_password = {{ file = "a" }}\n'
        assert checked(tmp_path, text).ok
        assert not {word.split()[0] for word in server.said} & {"RETR", "DELE"}
        refused = checked(tmp_path, text.replace('"a"', '"wrong"'))
        assert not refused.ok and "fnp.not-administrator" in refused.detail and "anders" not in refused.detail
    away = checked(tmp_path, text)
    assert not away.ok and "fnp.unreachable" in away.detail
