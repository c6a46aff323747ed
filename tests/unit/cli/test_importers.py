"""`tdu importers`: who imports what, who is silent, and a file given once more."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.ledger.ledger import Ledger
from adapter.model.folder import Standing
from adapter.model.plan import ChannelName
from adapter.service.practice_folders import folder_keeper
from tests.unit.cli.conftest import Terminal, message

FOLDER = """
[channels.inbox]
[[channels.inbox.practices]]
name = "cabinet"
urgent_hours = 0
semi_urgent_hours = 0
routine_hours = {hours}
[channels.inbox.practices.folder]
path = "cabinet"
format = "hprim"
settle_seconds = 0
vanish_seconds = 0
"""


def with_practice(instance: Path, hours: float) -> None:
    """The new instance's doctor imports, from a folder."""
    config = instance / "tdu.toml"
    text = config.read_text("utf-8").replace("[instance.sandbox]\n", '[instance.sandbox]\ninbox = "cabinet"\n')
    config.write_text(text + FOLDER.format(hours=hours), encoding="utf-8")
    partners = instance / "reference-territory.toml"
    before, number, after = partners.read_text("utf-8").partition('"99900000060"\n')
    mine, next_one, others = after.partition("[[practitioner]]")
    mine = re.sub(r"(key = .*\n)", r'\1channels = [{ channel = "inbox", address = "cabinet" }]\n', mine)
    partners.write_text(before + number + mine + next_one + others, encoding="utf-8")


def publish(instance: Path) -> str:
    """One letter as far as the folder; its number there."""
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
        assert house.pipeline.dispatch_some("test", ChannelName.INBOX)
        inbox = house.config.channels.inbox
        assert inbox is not None and inbox.practices[0].folder is not None
        keeper = folder_keeper(house, inbox.practices[0], inbox.practices[0].folder)
        keeper.keep()
    finally:
        house.ledger.close()
    (text,) = (instance / "cabinet").glob("*.hpr")
    return text.stem


def lose(instance: Path) -> None:
    """The files vanish, and the lane finds out."""
    for path in (instance / "cabinet").glob("TDU-*"):
        path.unlink()
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        inbox = house.config.channels.inbox
        assert inbox is not None and inbox.practices[0].folder is not None
        keeper = folder_keeper(house, inbox.practices[0], inbox.practices[0].folder)
        keeper.keep()
        keeper.keep()
    finally:
        house.ledger.close()


@pytest.fixture
def letter_given(tdu: Terminal, instance: Path, tmp_path: Path) -> Callable[[float], str]:
    def give(hours: float) -> str:
        with_practice(instance, hours)
        path = tmp_path / "lettre.hl7"
        path.write_bytes(message())
        assert tdu("submit", path).exit_code == 0
        return publish(instance)

    return give


def test_an_instance_without_practices_says_so(tdu: Terminal, instance: Path, letter: Path) -> None:
    assert tdu("submit", letter).exit_code == 0
    result = tdu("importers")
    assert result.exit_code == 0 and "Aucun cabinet" in result.stdout


def test_what_waits_is_told_and_nobody_is_silent_within_the_delay(
    told: Callable[..., Any], tdu: Terminal, letter_given: Callable[[float], str]
) -> None:
    letter_given(72)
    (row,) = told("importers")
    assert (row["practice"], row["silent"], row["waiting"][0]["count"]) == ("cabinet", False, 1)
    text = tdu("importers").stdout
    assert "1 document(s) non urgent(s) en attente" in text and "dernier passage : jamais" in text


def test_a_practice_that_lets_documents_lie_is_silent_and_listed_first(
    told: Callable[..., Any], tdu: Terminal, letter_given: Callable[[float], str]
) -> None:
    letter_given(0)
    (row,) = told("importers", status=1)
    assert row["silent"] and row["overdue"] == 1
    result = tdu("importers")
    assert result.exit_code == 1 and result.stdout.startswith("MUET cabinet") and "1 hors délai" in result.stdout


def test_a_file_that_vanished_is_counted_and_given_again(
    told: Callable[..., Any], tdu: Terminal, instance: Path, letter_given: Callable[[float], str]
) -> None:
    stem = letter_given(72)
    assert tdu("importers", "--give-again", stem).exit_code == 1, "it lies there"
    lose(instance)
    (row,) = told("importers", status=1)
    assert row["vanished_files"] == 1
    assert "folder-file-vanished" in tdu("queue").stdout
    result = tdu("importers", "--give-again", stem.lower())
    assert result.exit_code == 0 and stem.lower() in result.stdout
    assert "folder-file-vanished" not in tdu("queue").stdout
    assert _standing(instance) == [Standing.AGAIN]
    lane = assemble(read_config(instance / "tdu.toml"))
    try:
        inbox = lane.config.channels.inbox
        assert inbox is not None and inbox.practices[0].folder is not None
        folder_keeper(lane, inbox.practices[0], inbox.practices[0].folder).keep()
    finally:
        lane.ledger.close()
    assert [path.stem for path in (instance / "cabinet").glob("*.hpr")] == [stem]


def _standing(instance: Path) -> list[Standing]:
    house = assemble(read_config(instance / "tdu.toml"))
    ledger: Ledger = house.ledger
    try:
        entity = house.config.legal_entities[0].finess_ej
        assert not ledger.importer_figures(["cabinet"], ledger.settled_until() - timedelta(days=1), legal_entity=entity)[0].gone
        return [one.standing for one in ledger.folder_sets("cabinet", list(Standing), legal_entity=entity)]
    finally:
        ledger.close()


def test_two_practices_never_share_a_folder(tdu: Terminal, instance: Path) -> None:
    config = instance / "tdu.toml"
    one = FOLDER.format(hours=1)
    more = one + one.partition("[channels.inbox]\n")[2].replace('name = "cabinet"', 'name = "autre"')
    config.write_text(config.read_text("utf-8") + more.replace('path = "cabinet"', 'path = "drop/cabinet"', 1), encoding="utf-8")
    result = tdu("check")
    assert result.exit_code == 2 and "practices[1].folder.path: is that of doors.folders[1].path" in result.stderr
    config.write_text(config.read_text("utf-8").replace('path = "drop/cabinet"', 'path = "cabinet/../cabinet"'), encoding="utf-8")
    assert "practices[2].folder.path: is that of channels.inbox.practices[1].folder.path" in tdu("check").stderr
