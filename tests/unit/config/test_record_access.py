"""[channels.shared_record.smart]: one way to a token, a key that is there, endpoints that are https."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.assembly import record_settings
from adapter.config import load_config
from adapter.errors import ConfigurationError
from adapter.secure_line import SecureLines
from adapter.setup import write_instance

SMART = '[channels.shared_record.smart]\nclient_id = "traitdunion"\nkey_file = "smart.key"\nkid = "2026-11"\n'


def written(folder: Path, text: str, *, key: bool = True) -> Path:
    write_instance(folder)
    if key:
        (folder / "smart.key").write_text("key")
    file = folder / "tdu.toml"
    base = 'base_url = "http://127.0.0.1:8090/fhir"'
    file.write_text(f"{file.read_text(encoding='utf-8')}\n[channels.shared_record]\n{base}\n{text}", encoding="utf-8")
    return file


def test_the_channel_is_given_what_the_file_says(tmp_path: Path) -> None:
    config = load_config(written(tmp_path / "i", SMART + 'token_endpoint = "https://auth.example.org/token"\n'), {})
    settings = record_settings(config, SecureLines(config))
    assert settings is not None
    assert settings.smart is not None
    assert (settings.smart.client_id, settings.smart.kid, settings.smart.scope) == ("traitdunion", "2026-11", "system/*.cruds")
    assert (settings.smart.key_file, settings.smart.token_endpoint) == (
        tmp_path / "i" / "smart.key",
        "https://auth.example.org/token",
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('token = { variable = "T" }\n' + SMART, "goes without"),
        (SMART.replace("traitdunion", ""), "client_id"),
        (SMART.replace("2026-11", ""), "kid"),
        (SMART.replace('client_id = "traitdunion"\n', ""), "client_id"),
        (SMART + 'scope = ""\n', "scope"),
        (SMART + 'token_endpoint = "http://auth.example.org/token"\n', "https"),
        (SMART + 'token_endpoint = "auth"\n', "whole address"),
        (SMART + "key = 3\n", "key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"channels\.shared_record.*{word}"):
        load_config(written(tmp_path / "i", text), {"T": "x"})


def test_a_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="key_file"):
        load_config(written(tmp_path / "i", SMART, key=False), {})
