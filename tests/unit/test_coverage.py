"""Coverage: what of a source stands in the document made of it, told part by part; a lost value is seen."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from adapter.cli.app import app
from adapter.coverage import Coverage, add_up, as_lines, coverage_of
from adapter.mapping.from_cda import understand_cda
from adapter.model.receipt import Arrival, ContentKind, Principal
from tests.builders.cda import build_ldl_ses, build_n1

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 8


def _arrival(content: bytes) -> Arrival:
    return Arrival(content, "cli", Principal("x", "x", ""), datetime(2026, 11, 20, tzinfo=UTC))


def _covered(content: bytes, change: Any = None) -> Coverage:
    (translation,) = understand_cda(_arrival(content), "r")
    bundle = copy.deepcopy(translation.bundle)
    if change is not None:
        change(bundle)
    return coverage_of(content, ContentKind.CDA, (replace(translation, bundle=bundle),))


def _without(kind: str) -> Any:
    def change(bundle: dict[str, Any]) -> None:
        bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]

    return change


def test_a_letter_reaches_fhir_nearly_whole_section_by_section() -> None:
    found = _covered(build_ldl_ses())
    assert found.of("header").percent == 100
    assert found.of("narrative").percent > 99
    assert found.of("entries").percent > 97
    assert any(part.startswith("entries: ") for part in found.parts)


def test_what_is_lost_is_seen_where_it_was() -> None:
    content = build_ldl_ses()
    before, after = _covered(content), _covered(content, _without("Patient"))
    assert after.of("header").found < before.of("header").found
    assert after.of("narrative").found == before.of("narrative").found


def test_a_file_counts_when_its_bytes_are_there_and_only_then() -> None:
    content = build_n1(pdf=PDF)
    assert (_covered(content).files.found, _covered(content).files.total) == (1, 1)

    def spoil(bundle: dict[str, Any]) -> None:
        for entry in bundle["entry"]:
            if entry["resource"].get("contentType") == "application/pdf":
                entry["resource"]["data"] = base64.b64encode(PDF + b"x").decode()

    assert _covered(content, spoil).files.found == 0


def test_a_sum_is_by_group_and_told_on_one_line() -> None:
    total = Coverage()
    for _ in range(2):
        add_up(total, _covered(build_ldl_ses()))
    one = _covered(build_ldl_ses())
    assert total.of("entries").total == 2 * one.of("entries").total
    (line,) = as_lines("2 files", total, detailed=False)
    assert line.startswith("2 files: header 100.0 %")
    assert Coverage().whole.percent == 100


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_the_command_tells_each_file(tmp_path: Any, option: list[str]) -> None:
    paths = [tmp_path / "a.xml", tmp_path / "b.xml"]
    for path in paths:
        path.write_bytes(build_ldl_ses())
    done = CliRunner().invoke(app, ["coverage", *map(str, paths), *option])
    assert done.exit_code == 0, done.output
    if option:
        rows = json.loads(done.stdout)
        assert [row["file"] for row in rows] == list(map(str, paths))
        assert rows[0]["parts"]["header"]["total"] > 50
    else:
        assert "2 files: header" in done.stdout


def test_the_command_fails_for_a_file_that_no_door_takes(tmp_path: Any) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello")
    done = CliRunner().invoke(app, ["coverage", str(path)])
    assert done.exit_code == 1
