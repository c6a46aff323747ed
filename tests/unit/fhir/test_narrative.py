"""CDA narrative as safe XHTML: words are never lost, nothing active ever passes."""

from __future__ import annotations

import pytest
from lxml import etree

from adapter.fhir.narrative import NOTHING_SAID, XHTML, Media, div_of, div_of_narrative, generated


def _div(inner: str, **media: Media) -> str:
    block = etree.fromstring(f'<text xmlns="urn:hl7-org:v3">{inner}</text>')
    div = div_of_narrative(block, media.get)
    etree.fromstring(div)
    start = f'<div xmlns="{XHTML}">'
    assert div.startswith(start)
    return div[len(start) : -len("</div>")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Bonjour", "Bonjour"),
        ("a &lt; b &amp; c", "a &lt; b &amp; c"),
        ("<paragraph>un</paragraph><br/>deux", "<p>un</p><br/>deux"),
        ('<content ID="a1">x</content>', '<span id="a1">x</span>'),
        ('<content styleCode="Bold">x</content>', '<span style="font-weight: bold">x</span>'),
        ('<content styleCode="BoldItalics">x</content>', '<span style="font-weight: bold; font-style: italic">x</span>'),
        ('<content styleCode="bold Emphasis xRule">x</content>', '<span style="font-weight: bold; font-style: italic">x</span>'),
        ("H<sub>2</sub>O<sup>+</sup>", "H<sub>2</sub>O<sup>+</sup>"),
        ("<list><item>a</item><item>b</item></list>", "<ul><li>a</li><li>b</li></ul>"),
        ('<list listType="ordered"><caption>C</caption><item>a</item></list>',
         '<p style="font-weight: bold">C</p><ol><li>a</li></ol>'),
        ("<list>seul<item>a</item><content>b</content></list>", "<ul><li>seul</li><li>a</li><li><span>b</span></li></ul>"),
        ("<footnote ID='f'>note</footnote>", '<span id="f">note</span>'),
        ("<caption>T</caption>x", '<span style="font-weight: bold">T</span>x'),
        ("<unknown>mots <content>gardés</content></unknown>", "mots <span>gardés</span>"),
    ],
)  # fmt: skip
def test_each_element_of_a_narrative_has_its_xhtml(source: str, expected: str) -> None:
    assert _div(source) == expected


def test_a_table_keeps_its_shape_and_no_white_space_between_its_parts() -> None:
    source = """<table border="1" width="100%">
      <thead><tr><th colspan="2" align="center">T</th></tr></thead>
      <tbody align="left"><tr>  <td rowspan="2" onclick="x">a</td><td/></tr></tbody>
    </table>"""
    assert _div(source) == (
        '<table border="1" width="100%"><thead><tr><th colspan="2" align="center">T</th></tr></thead>'
        '<tbody align="left"><tr><td rowspan="2">a</td><td></td></tr></tbody></table>'
    )


@pytest.mark.parametrize("href", ["javascript:alert(1)", " JavaScript:x", "data:text/html,x", "file:///etc/passwd", ""])
def test_a_link_that_could_act_loses_its_target_and_keeps_its_words(href: str) -> None:
    assert _div(f'<linkHtml href="{href}">voir</linkHtml>') == "<span>voir</span>"


def test_a_plain_link_stays_a_link() -> None:
    assert _div('<linkHtml href="https://x.example/a?b=1">voir</linkHtml>') == '<a href="https://x.example/a?b=1">voir</a>'


def test_an_embedded_file_is_shown_when_it_is_known_and_named_when_it_is_not() -> None:
    source = '<renderMultiMedia referencedObject="m1"><caption>Radio</caption></renderMultiMedia>'
    assert _div(source, m1=Media("urn:uuid:1", True)) == '<img src="urn:uuid:1" alt="Radio"/>'
    assert _div(source, m1=Media("urn:uuid:1", False)) == '<a href="urn:uuid:1">Radio</a>'
    assert _div(source) == "<span>Radio</span>"
    assert _div('<renderMultiMedia referencedObject="m2"/>') == "<span>[pièce jointe]</span>"


@pytest.mark.parametrize("inner", ["", "  \n ", "<table><tbody><tr><td/></tr></tbody></table>"])
def test_a_blank_narrative_says_that_nothing_was_said(inner: str) -> None:
    assert NOTHING_SAID in _div(inner)
    assert NOTHING_SAID in div_of_narrative(None)


def test_our_own_words_are_escaped_and_control_characters_dropped() -> None:
    assert div_of("a<b", "", "c\x07d") == f'<div xmlns="{XHTML}"><p>a&lt;b</p><p>cd</p></div>'
    assert generated("x")["status"] == "generated"
