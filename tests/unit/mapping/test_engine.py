"""Rules are data: what they extract, what they ask for, and how they fail when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.errors import MappingError
from adapter.formats.hl7v2 import read_message
from adapter.mapping import rules as rules_module
from adapter.mapping import terminology
from adapter.mapping.engine import extract, extract_group
from adapter.mapping.hl7.source import Hl7Source
from adapter.mapping.rules import RuleFile, load_rules
from adapter.mapping.sources import JsonSource
from adapter.model.finding import Severity

_RULES = """
revision_note = "typed code reads this"

[ignore]
"NTE" = "notes are not needed here"

[extract.patient]
base = "PID"
[extract.patient.fields]
name = "5.1"
ins = { first_of = ["3[5=INS].1", "3[5=PI].1"] }
sex = { from = "8", table = "sex" }
phones = { from = "13.1", each = true }
rpps = { from = "4", with = "rpps", default = "none" }
wanted = { from = "30", required = true, missing = "PID-30 is needed.", code = "test.needed", hl7_code = "101" }

[extract.notes]
base = "NTE"
each = true
[extract.notes.fields]
text = "3"
"""


@pytest.fixture
def mappings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "terminology").mkdir()
    (tmp_path / "terminology" / "sex.csv").write_text("# version = 1\n# source = x\nsource,target\nF,female\n", encoding="utf-8")
    monkeypatch.setattr(rules_module, "mappings_root", lambda: tmp_path)
    monkeypatch.setattr(terminology, "mappings_root", lambda: tmp_path)
    load_rules.cache_clear()
    terminology.load_table.cache_clear()
    yield tmp_path
    load_rules.cache_clear()
    terminology.load_table.cache_clear()


def _rules(folder: Path, text: str = _RULES) -> RuleFile:
    (folder / "rules.toml").write_text(text, encoding="utf-8")
    return load_rules("rules")


def _source(text: str) -> Hl7Source:
    return Hl7Source(read_message(("MSH|^~\\&\r" + text).encode()))


def test_a_group_gives_its_fields_by_path_table_transform_and_default(mappings: Path) -> None:
    source = _source("PID|||7^^^^PI||EXEMPLE|||F|||||01~02\r")
    found = extract(_rules(mappings), source)
    patient = found.one("patient")
    assert patient["name"] == "EXEMPLE"
    assert patient["ins"] == "7"
    assert patient["sex"] == "female"
    assert patient["phones"] == ("01", "02")
    assert patient["rpps"] == "none"


def test_a_required_field_that_is_absent_is_a_finding_with_its_place(mappings: Path) -> None:
    (finding,) = extract(_rules(mappings), _source("PID|||7\r")).findings
    assert (finding.severity, finding.code, finding.location, finding.hl7_code) == (
        Severity.ERROR,
        "test.needed",
        "PID-30",
        "101",
    )


def test_a_group_whose_node_is_absent_is_empty_not_missing(mappings: Path) -> None:
    found = extract(_rules(mappings), _source(""))
    assert found.one("patient")["name"] == ""
    assert found.many("notes") == []


def test_a_repeated_group_gives_one_row_a_node_in_order(mappings: Path) -> None:
    found = extract(_rules(mappings), _source("NTE|1||a\rNTE|2||b\r"))
    assert [row["text"] for row in found.many("notes")] == ["a", "b"]


def test_ignored_paths_are_not_unread_unless_only_some_groups_run(mappings: Path) -> None:
    source = _source("NTE|1||a\r")
    extract(_rules(mappings), source, only=("patient",))
    assert [node.path for node in source.unread()] == ["NTE-1.1", "NTE-3.1"]
    extract(_rules(mappings), source)
    assert source.unread() == ()


def test_one_group_runs_below_any_node(mappings: Path) -> None:
    group = _rules(mappings).groups["patient"]
    values, findings = extract_group(group, _source("PID|||7^^^^INS||EXEMPLE\r").root)
    assert values["ins"] == "7"
    assert len(findings) == 1


def test_other_tables_of_a_rule_file_are_left_to_typed_code(mappings: Path) -> None:
    assert _rules(mappings).data == {"revision_note": "typed code reads this"}


def test_the_revision_changes_with_the_file(mappings: Path) -> None:
    before = _rules(mappings).revision
    load_rules.cache_clear()
    assert _rules(mappings, _RULES + "\n# changed\n").revision != before


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "[extract.a]\nsurprise = 1",
        "[extract.a.fields]\nx = {}",
        '[extract.a.fields]\nx = { from = "1", first_of = ["2"] }',
        '[extract.a.fields]\nx = { from = "1", when = "y" }',
    ],
)
def test_a_wrong_rule_file_fails_when_loaded(mappings: Path, text: str) -> None:
    with pytest.raises(MappingError):
        _rules(mappings, text)


def test_a_missing_rule_file_and_an_unknown_transform_are_told_by_name(mappings: Path) -> None:
    with pytest.raises(MappingError, match=r"mapping\.unreadable"):
        load_rules("nowhere")
    broken = _rules(mappings, '[extract.a.fields]\nx = { from = "PID-3", with = "no-such" }')
    with pytest.raises(MappingError, match="no-such"):
        extract(broken, _source("PID|||7\r"))


def test_a_form_is_extracted_by_the_same_engine(mappings: Path) -> None:
    text = '[ignore]\n"meta" = "noise"\n[extract.rows]\nbase = "rows.*"\neach = true\n[extract.rows.fields]\nname = "name"'
    source = JsonSource({"rows": [{"name": "a", "extra": 1}, {"name": True}], "meta": {"x": "y"}, "empty": None})
    found = extract(_rules(mappings, text), source)
    assert [row["name"] for row in found.many("rows")] == ["a", "true"]
    assert [(node.path, node.excerpt) for node in source.unread()] == [("rows[0].extra", "1")]
