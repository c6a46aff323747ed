"""Every shipped table tells its version and source; a code that a table does not hold is kept, told, and never guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from adapter.data import mappings_root, parse_table, read_table
from adapter.errors import MappingError
from adapter.fhir.bundle import write_json
from adapter.mapping import terminology
from adapter.mapping.cda.values import CdaValues
from adapter.mapping.engine import extract
from adapter.mapping.forms.questionnaire import load_questionnaire
from adapter.mapping.from_cda import mapping_revision, translate_cda, understand_cda
from adapter.mapping.rules import FieldRule, GroupRule, RuleFile, load_rules
from adapter.mapping.sources import JsonSource
from adapter.mapping.terminology import load_table, terminology_revision, terminology_versions, translate_code, unknown_code
from adapter.model.receipt import Arrival, Principal
from adapter.offline import report_of
from tests.builders.cda import build_ldl_ses
from tests.builders.cda_models import build_model

TABLES = sorted(mappings_root().rglob("*.csv"))
CONCEPT_MAPS = sorted(mappings_root().rglob("*.conceptmap.json"))
UNKNOWN = "terminology.unknown-code"
LETTERS = (build_ldl_ses(), *map(build_model, ("ldl-ees", "img-da", "img-cr", "tlm-da", "vsm", "ips-fr")))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_shipped_table_tells_its_version_and_source(path: Path) -> None:
    table = read_table(path)
    assert re.search(r"\d", table.version)  # a date, a number, a standard with its own
    assert len(table.source) > 10
    assert table.rows


def test_tables_of_both_kinds_are_shipped() -> None:
    assert len(TABLES) >= 15 and len(CONCEPT_MAPS) >= 2
    assert {path.name.partition(".")[0] for path in CONCEPT_MAPS} <= {table.name for table in terminology_versions()}


@pytest.mark.parametrize("head", ["", "# version = 1\n", "# source = x\n", "# version =\n# source = x\n"])
def test_a_table_that_does_not_tell_is_not_read(tmp_path: Path, head: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{head}code,target\na,b\n")
    with pytest.raises(ValueError, match="version"):
        read_table(path)


def test_a_row_without_its_columns_is_not_read() -> None:
    with pytest.raises(ValueError, match="zip"):
        parse_table("code,target\na\n")


def test_a_hash_below_the_head_is_data() -> None:
    table = parse_table("# note\ncode,target\n#1,x\n")
    assert (table.rows, table.head_lines) == (({"code": "#1", "target": "x"},), 1)


@pytest.mark.parametrize(
    "broken",
    [
        '{"version": "1", "copyright": "x", "group": [{"element": [{"code": "a"}, {"code": "a"}]}]}',
        '{"version": "", "copyright": "x", "group": []}',
        '{"version": "1", "copyright": "x", "group": [{"element": [{"code": "a", "target": [{"code": "b"}, {"code": "c"}]}]}]}',
        '{"version": "1", "copyright": "x", "group": {}}',
        "{",
    ],
)
def test_a_concept_map_that_leaves_a_choice_or_tells_no_source_is_refused(
    tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "terminology").mkdir()
    (tmp_path / "terminology" / "x.conceptmap.json").write_text(broken)
    monkeypatch.setattr(terminology, "mappings_root", lambda: tmp_path)
    with pytest.raises(MappingError):
        load_table.__wrapped__("x")


def test_a_table_and_a_concept_map_are_asked_alike() -> None:
    assert translate_code("severity", "255604002") == "mild"
    assert translate_code("certainty", "410592001") == "unconfirmed"
    assert translate_code("certainty", "banana") == ""


def test_the_revision_of_mappings_changes_with_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "terminology").mkdir()
    path = tmp_path / "terminology" / "x.csv"
    monkeypatch.setattr(terminology, "mappings_root", lambda: tmp_path)
    seen = set()
    for row in ("a,b", "a,c"):
        path.write_text(f"# version = 1\n# source = x\ncode,target\n{row}\n")
        seen.add(terminology_revision.__wrapped__())
    assert len(seen) == 2
    monkeypatch.undo()
    before = mapping_revision.__wrapped__()
    monkeypatch.setattr("adapter.mapping.from_cda.terminology_revision", lambda: "other")
    assert mapping_revision.__wrapped__() != before


def test_a_report_names_the_versions_of_its_tables() -> None:
    arrival = Arrival(build_ldl_ses(), "cli", Principal("x", "x", ""), datetime(2026, 11, 20, tzinfo=UTC))
    (translation,) = understand_cda(arrival, "r")
    told: Any = report_of("x", translation, "1")
    assert told["terminology"]["document-classes"] == read_table(mappings_root() / "terminology/document-classes.csv").version
    assert "forms/metformine" in told["terminology"]


# -- codes that no table holds -------------------------------------------------------------------------------------------------


def test_nothing_is_said_of_a_code_that_is_known_or_absent() -> None:
    assert unknown_code("severity", "L", "x") == unknown_code("severity", "", "x") == ()
    (said,) = unknown_code("severity", "banana", "x")
    assert (said.code, said.location) == (UNKNOWN, "x")
    assert "banana" not in said.text


@pytest.mark.parametrize(
    ("table", "code", "anchor"),
    [
        ("document-classes", "11490-0", 'code code="11490-0"'),
        ("allergy-type", "416098002", 'code="416098002"'),
        ("certainty", "410605003", 'code="410605003"'),
        ("severity", "M", 'code="M" displayName="modérée"'),
        ("clinical-status", "55561003", 'code="55561003"'),
        ("timing-event", "ACM", 'event code="ACM"'),
        ("act-priority", "R", 'priorityCode code="R"'),
        ("document-status", "398166005", 'code="398166005"'),
    ],
)
def test_an_unknown_code_of_a_letter_passes_through_with_a_warning_and_no_other_display(
    table: str, code: str, anchor: str
) -> None:
    content = next(made for made in LETTERS if anchor.encode() in made)
    changed = anchor.replace(f'"{code}"', '"9-TEST"')
    found = translate_cda(content.replace(anchor.encode(), changed.encode()))
    said = [finding for finding in found.findings if finding.code == UNKNOWN]
    assert any(f"« {table} »" in finding.text for finding in said)
    kept = [coding for coding in _codings(found.bundle) if coding["code"] == "9-TEST"]
    before = {coding.get("display") for coding in _codings(translate_cda(content).bundle) if coding["code"] == code}
    assert b"9-TEST" in write_json(found.bundle)
    assert {coding.get("display") for coding in kept} <= before | {None}


def test_no_letter_of_ours_holds_an_unknown_code() -> None:
    assert [finding for letter in LETTERS for finding in translate_cda(letter).findings if finding.code == UNKNOWN] == []


def _codings(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, dict):
        own = [data] if isinstance(data.get("code"), str) and "resourceType" not in data else []
        return own + [found for value in data.values() for found in _codings(value)]
    return [found for value in data for found in _codings(value)] if isinstance(data, list) else []


def test_an_unknown_system_keeps_its_oid() -> None:
    assert terminology.uri_of("1.2.3") == "urn:oid:1.2.3"


def test_a_rule_with_a_table_keeps_a_code_that_the_table_does_not_hold_and_says_so() -> None:
    fields = {"a": FieldRule(("a",), table="severity", default="mild"), "b": FieldRule(("b",), table="severity", default="mild")}
    rules = RuleFile("x", "r", {"g": GroupRule("g", "", fields=fields)}, {}, {})
    found = extract(rules, JsonSource({"a": "banana"}))
    assert found.one("g") == {"a": "banana", "b": "mild"}
    assert [(finding.code, finding.location) for finding in found.findings] == [(UNKNOWN, "a")]


def test_every_choice_of_the_imaging_form_is_in_the_table_that_translates_it() -> None:
    form = load_questionnaire("demande-imagerie")
    assert load_rules("forms/demande-imagerie")
    for question, table in (("examens.modalite", "imaging-modality"), ("demande.urgence", "imaging-urgency")):
        assert {option.code for option in form.question(question).options} <= set(load_table(table))


def test_a_warning_names_the_place_once() -> None:
    values = CdaValues.__new__(CdaValues)
    values._findings = {}
    assert values.translated("severity", "banana", None) == values.translated("severity", "banana", None) == ""
    assert [finding.location for finding in values.findings] == ["severity"]
