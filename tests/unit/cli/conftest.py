"""An operator's terminal: runs `tdu` as typed, in an instance that `tdu init` made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from typer.testing import CliRunner, Result

from adapter.cli.app import app
from adapter.demo.messages import Sender, To, mdm_t02
from tests.builders.cda import build_n1

HOSPITAL_IS = Sender("DPI", "BICETRE", "99900000086", "MAQUETTE", "Alix", "949990121", "Hôpital Bicêtre", "221")
WITH_MAIL = To("99900000060", "ARCHETYPE", "Camille")
WITHOUT_ADDRESS = To("99900000110", "INCONNU", "Sacha", "sacha.inconnu@ailleurs.example")


class Terminal(Protocol):
    """`tdu("queue", "--json")`: a Result with exit_code, stdout and stderr."""

    def __call__(self, *words: str | Path) -> Result: ...


@pytest.fixture
def tdu() -> Terminal:
    runner = CliRunner(env={"TDU_CONFIG": "", "COLUMNS": "200", "TERM": "dumb"})

    def run(*words: str | Path) -> Result:
        result = runner.invoke(app, [str(word) for word in words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def told(tdu: Terminal) -> Callable[..., Any]:
    """What a command prints with --json, read."""

    def run(*words: str | Path, status: int = 0) -> Any:
        result = tdu(*words, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def instance(tdu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new instance, the current folder."""
    folder = tmp_path / "instance"
    assert tdu("init", folder).exit_code == 0
    monkeypatch.chdir(folder)
    return folder


def message(control_id: str = "CLI-1", *recipients: To, ins: str = "") -> bytes:
    return mdm_t02(build_n1(), control_id, HOSPITAL_IS, recipients or (WITH_MAIL,), open_flags=("DESTMSSANTEPS",), ins=ins)


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """An HL7 message that is right, in a file."""
    path = tmp_path / "lettre.hl7"
    path.write_bytes(message())
    return path


@pytest.fixture
def wrong_letter(tmp_path: Path) -> Path:
    """The same, its INS with a wrong key."""
    path = tmp_path / "fausse.hl7"
    path.write_bytes(message(ins="274099404321700"))
    return path
