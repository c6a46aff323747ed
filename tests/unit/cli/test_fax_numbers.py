"""`tdu fax numbers`, `confirm-number`, `wrong-number`, and what `tdu check` tells of numbers and covers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapter.assembly import assemble
from adapter.cli.options import read_config
from adapter.demo.messages import To
from adapter.model.plan import ChannelName
from tests.unit.cli.conftest import Terminal, message

BY_FAX = To("99900000029", "FICTIF", "Sacha")
NUMBER = "+33199004641"


@pytest.fixture
def asked(instance: Path, tmp_path: Path, tdu: Terminal) -> Path:
    """An instance as `tdu init` makes it, where a letter waits for a word on its fax number."""
    (tmp_path / "fax.hl7").write_bytes(message("CLI-FAX", BY_FAX))
    assert tdu("submit", tmp_path / "fax.hl7").exit_code == 0
    run(instance)
    return instance


def run(instance: Path) -> None:
    house = assemble(read_config(instance / "tdu.toml"))
    try:
        house.pipeline.prepare_some("test")
        house.pipeline.dispatch_some("test", ChannelName.FAX)
    finally:
        house.ledger.close()


def number_told(told: Callable[..., Any]) -> dict[str, Any]:
    (row,) = [row for row in told("fax", "numbers") if row["number"] == NUMBER]
    return dict(row)


def test_a_new_instance_asks_before_its_first_fax(asked: Path, told: Callable[..., Any]) -> None:
    (item,) = told("queue")
    assert (item["reason"], item["about_id"]) == ("first-fax-to-number", NUMBER)
    row = number_told(told)
    assert (row["state"], len(row["waiting"]), row["sent"]) == ("asked", 1, [])
    assert any("FICTIF" in name for name in row["held_by"])
    assert list((asked / "data" / "fax").glob("*.json")) == []


def test_a_confirmed_number_lets_the_fax_go(asked: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    result = tdu("fax", "confirm-number", "01 99 00 46 41", "--by", "Mme Martin")
    assert (result.exit_code, result.stdout.strip()) == (0, f"{NUMBER}: confirmed, 1 fax(es) may leave")
    run(asked)
    assert len(list((asked / "data" / "fax").glob("*.json"))) == 1
    row = number_told(told)
    assert (row["state"], row["decided_by"], len(row["sent"]), told("queue")) == ("confirmed", "Mme Martin", 1, [])
    assert "01 99 00 46 41  confirmed by Mme Martin, 0 waiting, 1 sent" in tdu("fax", "numbers").stdout


def test_a_wrong_code_confirms_nothing(asked: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    result = tdu("fax", "confirm-number", NUMBER, "--code", "0000")
    assert result.exit_code == 1 and "fax-number.wrong-code" in result.stderr
    assert number_told(told)["state"] == "asked"


def test_a_wrong_number_is_suspended_with_what_went(asked: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    tdu("fax", "confirm-number", NUMBER)
    run(asked)
    said = told("fax", "wrong-number", NUMBER, "--by", "Mme Martin")
    assert (said["number"], said["waiting"], len(said["sent"])) == (NUMBER, [], 1)
    (item,) = told("queue")
    assert (item["reason"], item["urgent"], said["sent"][0] in item["advice"]) == ("fax-number-wrong", True, True)
    assert "SUSPENDED by Mme Martin" in tdu("fax", "numbers").stdout


def test_a_number_that_nobody_has_is_neither_confirmed_nor_kept(instance: Path, tdu: Terminal, told: Callable[..., Any]) -> None:
    assert instance.is_dir() and tdu("check").exit_code == 0
    for command in ("confirm-number", "wrong-number"):
        assert tdu("fax", command, "pas un numéro").exit_code == 2
        result = tdu("fax", command, "06 99 12 34 56")
        assert result.exit_code == 1 and "fax-number.unknown" in result.stderr
    assert {row["state"] for row in told("fax", "numbers")} == {"unused"}


def test_the_check_counts_numbers_never_confirmed_and_misses_a_call_back_number(
    asked: Path, told: Callable[..., Any], tdu: Terminal
) -> None:
    config = asked / "tdu.toml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if not line.startswith("phone =")))
    checks = {check["subject"]: check["detail"] for check in told("check")}
    (numbers,) = [detail for subject, detail in checks.items() if subject.startswith("fax numbers of ")]
    listed = len(told("fax", "numbers"))
    assert numbers == f"{listed} in the directory, {listed} never confirmed, 1 wait for an answer, 0 said to be wrong"
    (cover,) = [detail for subject, detail in checks.items() if subject.startswith("fax covers of ")]
    assert cover.startswith("no call-back number")
    tdu("fax", "confirm-number", NUMBER)
    assert f"{listed - 1} never confirmed, 0 wait" in next(
        check["detail"] for check in told("check") if check["subject"].startswith("fax numbers of ")
    )


def test_the_trace_tells_the_question_and_names_a_test_page_for_what_it_is(
    instance: Path, tmp_path: Path, tdu: Terminal, told: Callable[..., Any]
) -> None:
    config = instance / "tdu.toml"
    config.write_text(config.read_text().replace('first_fax = "ask"', 'first_fax = "test-page"'))
    (tmp_path / "fax.hl7").write_bytes(message("CLI-FAX", BY_FAX))
    tdu("submit", tmp_path / "fax.hl7")
    run(instance)
    run(instance)
    text = tdu("trace", "CLI-FAX").stdout
    assert "fax → role:fictif-fontenay (test page): accepted" in text
    assert "waits for a person" in text and "first-fax-to-number" in text
    row = number_told(told)
    assert (row["test_page"], len(row["waiting"]), row["sent"]) == ("accepted", 1, [])
    assert len(list((instance / "data" / "fax").glob("*.json"))) == 1
