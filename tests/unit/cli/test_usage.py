"""Every command explains itself, and says by its exit status who must act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapter.cli.app import ROOMS, command_named
from tests.unit.cli.conftest import Terminal


def typed(group: Any, *above: str) -> list[tuple[str, ...]]:
    """Every command with its words: ("queue",), ("form", "print")."""
    if not hasattr(group, "commands"):
        return [above]
    return [words for name, command in sorted(group.commands.items()) for words in typed(command, *above, name)]


COMMANDS = [words for name in ROOMS for words in typed(command_named(name), name)]
PRINT_DATA = ("check", "explain", "queue", "resolve", "submit", "trace", "validate")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example(words: tuple[str, ...], tdu: Terminal) -> None:
    result = tdu(*words, "--help")
    assert result.exit_code == 0
    assert f"Example: tdu {' '.join(words)}" in result.stdout


@pytest.mark.parametrize("command", PRINT_DATA)
def test_what_prints_data_prints_json_too(command: str, tdu: Terminal) -> None:
    assert "--json" in tdu(command, "--help").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["translate"],
        ["translate", "no-such-file.hl7"],
        ["translate", "."],
        ["validate", "."],
        ["explain", "no-such-file.hl7"],
        ["explain", "."],
        ["submit", "no-such-file.hl7"],
        ["resolve", "some-id", "fly"],
        ["queue", "--overdue-by-far"],
    ],
)
def test_a_wrong_command_line_is_told_with_status_two(words: list[str], tdu: Terminal) -> None:
    result = tdu(*words)
    assert result.exit_code == 2
    assert "Usage: tdu" in result.stderr


@pytest.mark.parametrize("words", [["queue"], ["trace", "X"], ["check"], ["serve"], ["explain", "--to", "99900000037"]])
def test_a_missing_configuration_is_told_with_its_place_and_what_to_do(words: list[str], tdu: Terminal, tmp_path: Path) -> None:
    result = tdu(*words, "--config", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"tdu: config.no-file [{tmp_path / 'none.toml'}]")
    assert "tdu init" in result.stderr


def test_a_folder_that_cannot_be_written_is_a_sentence_not_a_trace(letter: Path, tdu: Terminal) -> None:
    result = tdu("translate", letter, "--out", letter)
    assert result.exit_code == 1
    assert result.stderr == f"tdu: {letter}: File exists\n"


def test_the_version_is_that_of_the_package(tdu: Terminal) -> None:
    assert tdu("--version").stdout.startswith("tdu 0.")
