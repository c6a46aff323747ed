"""A message as a tracked source: what is read is known, what is not is listed."""

from __future__ import annotations

import time

import pytest

from adapter.errors import MappingError
from adapter.formats.hl7v2 import read_message
from adapter.mapping.hl7.source import Hl7Source

_MESSAGE = (
    "MSH|^~\\&|A|B|||2026||MDM^T02|1|P|2.6\r"
    "PID|||27^^^INS&1.2.3&ISO^INS~90^^^IPP&4.5&ISO^PI||EXEMPLE^ZOE^^^^^L~AUTRE^Z^^^^^D|||F\r"
    "OBX|1|ED|DOC||^text^XML^Base64^QUJD||||||F\r"
    "PRT||UC||SB|1^A\r"
    "PRT||UC||RCT|2^B\r"
    'OBX|2|CWE|DESTMSSANTEPAT^x||Y||""\r'
    "NTE|1|||FIN\r"
    "OBX|3|CWE|OTHER||N\r"
    "NTE|1|||ELSE\r"
)


def _source(text: str = _MESSAGE) -> Hl7Source:
    return Hl7Source(read_message(text.encode()))


def _values(path: str) -> list[str]:
    return [node.read() for node in _source().root.select(path)]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("PID-8", ["F"]),
        ("PID-3.1", ["27", "90"]),
        ("PID-3[5=INS].4.2", ["1.2.3"]),
        ("PID-3[4.2=4.5].1", ["90"]),
        ("PID-3[5!=INS].1", ["90"]),
        ("PID-5[7=L|D].2", ["ZOE", "Z"]),
        ("PRT[4=RCT]-5.2", ["B"]),
        ("OBX[2=CWE]-5", ["Y", "N"]),
        ("OBX[3=DESTMSSANTEPAT]/NTE-4", ["FIN"]),
        ("OBX[3=DOC]/PRT[4=SB]-5.1", ["1"]),
        ("OBX[3=DOC]/NTE-4", []),
        ("ZZZ-1", []),
        ("PID-99.1", []),
        ("PID", [""]),
        ("OBX[3=DESTMSSANTEPAT]-7", [""]),
    ],
)
def test_paths_reach_segments_repetitions_and_parts(path: str, values: list[str]) -> None:
    assert _values(path) == values


def test_below_a_segment_and_below_a_repetition_paths_go_on() -> None:
    pid = _source().root.select("PID")[0]
    assert [node.read() for node in pid.select("5[7=L].1")] == ["EXEMPLE"]
    repetition = pid.select("3")[1]
    assert [node.read() for node in repetition.select("4.2")] == ["4.5"]
    first = _source().root.select("OBX[3=DESTMSSANTEPAT]")[0]
    assert [node.read() for node in first.select("/NTE-4")] == ["FIN"]


@pytest.mark.parametrize("path", ["pid-3", "PID-x", "PID-3[5]", "PID-3[=a]", "3"])
def test_a_path_that_cannot_be_read_is_a_fault_of_the_rules(path: str) -> None:
    with pytest.raises(MappingError):
        _source().root.select(path)


def test_what_nothing_read_is_listed_with_its_place() -> None:
    source = _source()
    for path in ("MSH", "OBX", "PRT", "NTE"):
        source.ignore(path)
    source.root.select("PID-3.1")[0].read()
    assert [(node.path, node.excerpt) for node in source.unread()] == [
        ("PID-3(1).4", "INS"),
        ("PID-3(1).4.2", "1.2.3"),
        ("PID-3(1).4.3", "ISO"),
        ("PID-3(1).5", "INS"),
        ("PID-3(2).1", "90"),
        ("PID-3(2).4", "IPP"),
        ("PID-3(2).4.2", "4.5"),
        ("PID-3(2).4.3", "ISO"),
        ("PID-3(2).5", "PI"),
        ("PID-5(1).1", "EXEMPLE"),
        ("PID-5(1).2", "ZOE"),
        ("PID-5(1).7", "L"),
        ("PID-5(2).1", "AUTRE"),
        ("PID-5(2).2", "Z"),
        ("PID-5(2).7", "D"),
        ("PID-8.1", "F"),
    ]


def test_looking_is_not_reading() -> None:
    source = _source()
    source.root.select("PID-3[5=INS].1")
    assert "PID-3(1).5" in [node.path for node in source.unread()]


def test_ignoring_a_component_leaves_its_neighbours() -> None:
    source = _source()
    source.ignore("PID-3.4.3")
    paths = [node.path for node in source.unread()]
    assert "PID-3(1).4.3" not in paths
    assert "PID-3(2).4.3" not in paths
    assert "PID-3(1).4.2" in paths


def test_a_line_that_is_no_segment_is_listed() -> None:
    assert [node.path for node in _source("MSH|^~\\&\rgarbage\r").unread()] == ["line[2]"]


def test_an_explicit_null_is_no_value() -> None:
    source = _source('MSH|^~\\&\rPID|||""\r')
    assert source.root.select("PID-3")[0].read() == ""
    assert _source('MSH|^~\\&\rPID|||""\r').unread() == ()


def test_an_unread_report_of_a_hostile_message_stays_small_and_quick() -> None:
    source = _source("MSH|^~\\&\r" + "NTE|a|b|c\r" * 50_000)
    start = time.perf_counter()
    unread = source.unread()
    assert time.perf_counter() - start < 20
    assert len(unread) == 2001
    assert unread[-1].excerpt == "148000 more"


def test_the_excerpt_of_a_large_value_is_short_and_never_cut_inside_a_letter() -> None:
    excerpt = _source("MSH|^~\\&|||||||||||||||UNICODE UTF-8\rNTE|1||" + "é" * 100_000 + "\r").unread()[-1].excerpt
    assert excerpt == "é" * 80
