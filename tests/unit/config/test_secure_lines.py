"""TLS tables and mail operators: what does not go together is told with its place, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.config import WrongConfigurationError, load_config

BASE = """
[instance]
mode = "test"
name = "essai"
[instance.sandbox]
mail = "bac@aphp.formation.mssante.fr"
fax = "+33199000000"
record = "https://sandbox.invalid/fhir"
[[legal_entities]]
finess_ej = "750712184"
name = "AP-HP"
source_oid = "1.2.250.1.71.4.2.1"
[legal_entities.sender]
mailbox = "{mailbox}"
{rest}
"""
MAIL = "[channels.mssante]\n"
TOKEN = 'host = "h"\nuser = "u"\n[channels.mssante.token]\n'
MLLP = '[doors.mllp]\n[[doors.mllp.peers]]\nname = "a"\napplication = "A"\n[doors.mllp.tls]\ncertificate = "f"\n'
OIDC = 'refresh_token_file = "f"\nendpoint = "https://psc.example/token"\nclient_id = "tdu"\n'


def problems(folder: Path, rest: str, mailbox: str = "tdu@aphp.formation.mssante.fr") -> dict[str, str]:
    for name in ("f", "g", "c.p12"):
        (folder / name).write_text("x")
    (folder / "tdu.toml").write_text(BASE.format(rest=rest, mailbox=mailbox))
    try:
        load_config(folder / "tdu.toml", {})
    except WrongConfigurationError as error:
        return {problem.place: problem.text for problem in error.problems}
    return {}


@pytest.mark.parametrize(
    "rest",
    [
        MAIL,
        MAIL + TOKEN + 'file = "run/comes-later.token"',
        MAIL + TOKEN + 'command = ["psc", "token"]',
        MAIL + TOKEN + OIDC,
        MAIL + TOKEN + OIDC.replace("https://psc.example", "http://127.0.0.1:8080"),
        MAIL + '[channels.mssante.tls]\ncertificate = "c.p12"\nkey_password_file = "f"\nrevocation_lists = "."',
        MLLP + 'key = "g"\nclient_ca = "f"\nrevocation_lists = "g"',
    ],
)
def test_what_goes_together_is_taken(tmp_path: Path, rest: str) -> None:
    assert problems(tmp_path, rest) == {}


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        (MLLP, "doors.mllp.tls"),
        (MLLP + 'key = "g"\nrevocation_lists = "f"', "doors.mllp.tls.revocation_lists"),
        (MLLP + 'key = "g"\nclient_ca = "f"\nrevocation_lists = "absent"', "doors.mllp.tls.revocation_lists"),
        (MLLP + 'key = "g"\nkey_password_file = "absent"', "doors.mllp.tls.key_password_file"),
        (MAIL + '[channels.mssante.tls]\ncertificate = "c.p12"\nkey = "f"', "channels.mssante.tls.key"),
        (MAIL + '[channels.mssante.tls]\nkey = "f"', "channels.mssante.tls"),
        (MAIL + TOKEN, "channels.mssante.token"),
        (MAIL + TOKEN + 'file = "f"\ncommand = ["psc"]', "channels.mssante.token"),
        (MAIL + '[channels.mssante.token]\nfile = "f"', "channels.mssante.user"),
        (MAIL + TOKEN + OIDC.replace("https:", "http:"), "channels.mssante.token.endpoint"),
        (MAIL + TOKEN + OIDC.replace('client_id = "tdu"', ""), "channels.mssante.token.client_id"),
        (MAIL + TOKEN + OIDC.replace('"f"', '"absent"'), "channels.mssante.token.refresh_token_file"),
        (MAIL + TOKEN + OIDC + 'ca = "absent"', "channels.mssante.token.ca"),
        (
            MAIL + TOKEN + 'file = "f"\n[channels.mssante.tls]\ncertificate = "f"\nkey = "g"',
            "channels.mssante.tls.certificate",
        ),
    ],
)
def test_what_does_not_is_told_where_it_stands(tmp_path: Path, rest: str, place: str) -> None:
    assert list(problems(tmp_path, rest)) == [place]


def test_an_operator_that_nobody_names_and_no_mail_domain_could_tell_is_wrong(tmp_path: Path) -> None:
    assert list(problems(tmp_path, MAIL, mailbox="")) == ["channels.mssante.host"]
