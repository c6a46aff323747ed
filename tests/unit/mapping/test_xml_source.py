"""A tracked XML tree: paths whatever the prefixes, nothing unread forgotten, nothing read told."""

from __future__ import annotations

import pytest
from lxml import etree

from adapter.mapping.xml_source import XmlSource

TEXT = (
    '<c:doc xmlns:c="urn:hl7-org:v3" xmlns:s="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" top="1">'
    '<c:id root="1.2" extension="A"/><c:id root="1.3" extension="B"/><c:title>  Lettre </c:title>'
    '<c:person><c:name use="L"><c:family>X</c:family></c:name><s:deceased value="false"/></c:person>'
    '<c:value xsi:type="c:CD" code="K"/><o:odd xmlns:o="urn:other">z</o:odd></c:doc>'
)


@pytest.fixture
def source() -> XmlSource:
    return XmlSource(etree.fromstring(TEXT))


def _unread(source: XmlSource) -> list[str]:
    return [node.path for node in source.unread()]


def test_everything_is_unread_at_first(source: XmlSource) -> None:
    assert _unread(source) == [
        "./@top", "id[1]/@root", "id[1]/@extension", "id[2]/@root", "id[2]/@extension", "title/text()", "person/name/@use",
        "person/name/family/text()", "person/sdtc:deceased/@value", "value/@xsi:type", "value/@code", "{urn:other}odd/text()",
    ]  # fmt: skip


def test_reading_trims_and_marks_what_it_read_only(source: XmlSource) -> None:
    root = source.root
    assert root.value_at("title") == "Lettre"
    assert root.value_at("id[@root=1.3]/@extension") == "B"
    assert root.value_at("person/sdtc:deceased/@value") == "false"
    assert root.value_at("person/name[family=X]/@use") == "L"
    left = _unread(source)
    assert "id[2]/@root" in left
    assert not {"title/text()", "id[2]/@extension", "person/sdtc:deceased/@value", "person/name/@use"} & set(left)


def test_a_predicate_looks_without_reading(source: XmlSource) -> None:
    assert len(source.root.select("id[@extension=A]")) == 1
    assert "id[1]/@extension" in _unread(source)


def test_attributes_with_a_prefix_are_reached_by_their_usual_one(source: XmlSource) -> None:
    value = source.root.first("value")
    assert value is not None
    assert value.get("xsi:type") == "c:CD"
    assert value.get("absent") == ""


def test_paths_that_lead_nowhere_give_nothing(source: XmlSource) -> None:
    root = source.root
    assert root.first("nothing") is None
    assert root.first("nothing/below") is None
    assert root.value_at("nothing/@x") == ""
    assert root.select("person/*/family")[0].read() == "X"
    assert root.select(".")[0].name == "doc"
    assert [n.read() for n in root.select("title/text()")] == ["Lettre"]


def test_what_is_consumed_whole_is_read_to_the_bottom(source: XmlSource) -> None:
    person = source.root.first("person")
    assert person is not None
    person.consume()
    assert not [path for path in _unread(source) if path.startswith("person")]


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("person", {"person/name/@use", "person/name/family/text()", "person/sdtc:deceased/@value"}),
        ("@top", {"./@top"}),
        ("**/@root", {"id[1]/@root", "id[2]/@root"}),
        ("**/name", {"person/name/@use", "person/name/family/text()"}),
        ("**/person/name/@use", {"person/name/@use"}),
        ("**/other/name/@use", set()),
        ("**/name/family", {"person/name/family/text()"}),
    ],
)
def test_a_path_is_ignored_as_written(source: XmlSource, path: str, gone: set[str]) -> None:
    before = set(_unread(source))
    source.ignore(path)
    assert before - set(_unread(source)) == gone


def test_words_between_elements_are_not_forgotten() -> None:
    source = XmlSource(etree.fromstring('<a xmlns="urn:hl7-org:v3"><b/>perdu</a>'))
    assert _unread(source) == ["b/following-text()"]
