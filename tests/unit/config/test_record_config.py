"""The built-in record's settings: all that is wrong is told at once; nothing while it is off."""

from __future__ import annotations

from pathlib import Path

from adapter.config import load_config
from adapter.config.load import WrongConfigurationError, example_text

_RECORD = """
[record]
enabled = {enabled}
public_url = "{url}"

[[record.clients]]
name = "dpi"
kind = "feeder"
token = {{ variable = "T" }}
organisation = "{organisation}"

[[record.clients]]
name = "dpi"
kind = "patient"
token = {{ variable = "T" }}
legal_entity = "{entity}"
"""


def problems(tmp_path: Path, **said: str) -> list[str]:
    text = example_text()
    start, end = text.index("[record]"), text.index("# The nightly round")
    values = {"enabled": "true", "url": "", "organisation": "750100001", "entity": "750712184", **said}
    path = tmp_path / "tdu.toml"
    path.write_text(text[:start] + _RECORD.format(**values) + text[end:], encoding="utf-8")
    try:
        load_config(path, {"T": "secret"})
    except WrongConfigurationError as error:
        return [problem.place for problem in error.problems]
    return []


def test_what_is_wrong_is_told_by_its_place(tmp_path: Path) -> None:
    wrong = problems(tmp_path, url="http://elsewhere.example/fhir", organisation="12", entity="000000000")
    assert {
        "record.public_url",
        "record.clients[1].organisation",
        "record.clients[2].name",
        "record.clients[2].legal_entity",
    } <= set(wrong)
    assert "record.clients[1].organisation" in problems(tmp_path, organisation="")
    assert "record.public_url" in problems(tmp_path, url="http://tdu.example.fr/record/fhir")


def test_a_record_that_is_off_is_not_judged(tmp_path: Path) -> None:
    assert problems(tmp_path, enabled="false", organisation="12") == []
