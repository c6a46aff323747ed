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
from adapter.coverage import Coverage, Share, add_up, as_lines, coverage_of, groups_of, worst_first
from adapter.mapping.from_cda import understand_cda
from adapter.mapping.from_fhir import understand_fhir
from adapter.mapping.from_hl7v2 import understand_hl7v2
from adapter.mapping.from_pdf import understand_pdf
from adapter.model.receipt import Arrival, ContentKind, Principal
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf
from tests.builders.cda_models import build_model
from tests.builders.fhir_document import build_discharge_letter, send
from tests.builders.hl7 import build_mdm

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
    lines = list(as_lines("2 files", total, detailed=False))
    assert lines[0].startswith("2 files: ")
    assert [line.split()[0] for line in lines[1:]] == ["header", "narrative", "entries"]
    assert lines[1].split()[1:3] == ["100.0", "%"]
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
        assert "2 files: " in done.stdout
        assert done.stdout.count("  narrative ") == 3


def test_the_command_fails_for_a_file_that_no_door_takes(tmp_path: Any) -> None:
    path = tmp_path / "x.txt"
    path.write_text("hello")
    done = CliRunner().invoke(app, ["coverage", str(path)])
    assert done.exit_code == 1


def _message_covered(extra: bytes = b"") -> Coverage:
    content = build_mdm(build_ldl_ses()) + extra
    return coverage_of(content, ContentKind.HL7V2, understand_hl7v2(_arrival(content), "r"))


def test_a_message_tells_its_envelope_and_the_document_inside() -> None:
    found, inside = _message_covered(), _covered(build_ldl_ses())
    assert set(groups_of(found)) == {"header", "narrative", "entries", "envelope"}
    assert found.of("narrative") == inside.of("narrative")
    assert found.of("envelope: PID").percent > 80  # but for the names of kinds and authorities
    assert found.of("envelope: PRT").percent > 60  # to whom it goes stands in the submission
    assert found.read > inside.read and found.ignored > inside.ignored
    assert (found.files.found, found.files.total) == (1, 1)


def test_what_a_message_loses_is_seen_in_its_envelope() -> None:
    found = _message_covered(b"ZZZ|nulle-part\r")
    assert found.of("envelope: ZZZ").found == 0
    assert any(line.split()[0] == "ZZZ" for line in as_lines("x", found, detailed=True))


def test_a_partner_s_document_and_a_pdf_are_covered_too() -> None:
    content = send(build_discharge_letter())
    fhir = coverage_of(content, ContentKind.FHIR, understand_fhir(_arrival(content), "r"))
    assert fhir.whole.percent == 100 and fhir.of("narrative").total and fhir.of("entries").total
    side_car = json.dumps({
        "patient": {"birth_name": "E", "first_given": "C", "birth_date": "1974-09-18"},
        "document": {"type": "11488-4", "date": "2026-11-20"}, "author": {"family": "M"},
    }).encode()  # fmt: skip
    arrival = replace(_arrival(tiny_pdf("mot " * 300)), side_car=side_car)
    pdf = coverage_of(arrival.content, ContentKind.PDF, understand_pdf(arrival, "r"))
    assert (pdf.files.found, pdf.files.total) == (1, 1)


def test_those_that_lose_most_come_first_and_a_lost_file_before_all() -> None:
    good, bad, lost = Coverage(), Coverage(), Coverage()
    good.parts["header"], bad.parts["header"], lost.parts["header"] = Share(9, 10), Share(5, 10), Share(10, 10)
    lost.files = Share(0, 1)
    assert [name for name, _ in worst_first([("good", good), ("bad", bad), ("lost", lost)])] == ["lost", "bad", "good"]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_the_command_can_tell_the_worst_only(tmp_path: Any, option: list[str]) -> None:
    letters = {"ses.xml": build_ldl_ses(), "vsm.xml": build_model("vsm"), "cr.xml": build_model("img-cr")}
    for name, content in letters.items():
        (tmp_path / name).write_bytes(content)
    expected = min(letters, key=lambda name: _covered(letters[name]).whole.percent)
    done = CliRunner().invoke(app, ["coverage", "--worst", "1", *(str(tmp_path / name) for name in letters), *option])
    assert done.exit_code == 0, done.output
    if option:
        (row,) = json.loads(done.stdout)
        assert row["file"].endswith(expected) and row["percent"] < 100 and "header" in row["groups"]
    else:
        assert {name for name in letters if f"{name}: " in done.stdout} == {expected}
        assert "3 files: " in done.stdout
