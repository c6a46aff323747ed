"""Properties of CDA reading: garbage raises our error only, any narrative is safe, any date is a date or nothing."""

from __future__ import annotations

import contextlib
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter.errors import InputError
from adapter.fhir.narrative import div_of_narrative
from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.cda import read_cda
from adapter.mapping.cda.time import read_time
from adapter.mapping.from_cda import translate_cda
from tests.builders.cda import build_ldl_ses

LETTER = build_ldl_ses()
FHIR_TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?")


@given(st.binary(max_size=400))
def test_garbage_raises_our_error_only(content: bytes) -> None:
    with contextlib.suppress(InputError):
        assert read_cda(content).root is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(LETTER) - 1), st.integers(1, 40), st.binary(max_size=12))
def test_a_damaged_letter_is_refused_or_gives_a_valid_document(start: int, length: int, noise: bytes) -> None:
    try:
        translated = translate_cda(LETTER[:start] + noise + LETTER[start + length :])
    except InputError:
        return
    faults = {f.code for f in validate_bundle(translated.bundle, Level.RULES)}
    # A damaged number stays the source's own fault, and is told.
    assert faults <= {"fhir.bad-rpps", "fhir.bad-finess"}


_NAMES = st.sampled_from(
    ["content", "paragraph", "table", "tr", "td", "list", "item", "linkHtml", "renderMultiMedia", "script", "x"]
)
_ATTRIBUTES = st.dictionaries(
    st.sampled_from(["ID", "styleCode", "href", "referencedObject", "onclick", "border", "colspan"]),
    st.sampled_from(["a", "Bold", "javascript:alert(1)", "https://x.example", "1", '2"><script>']),
    max_size=3,
)
_TREES = st.recursive(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.tuples(_NAMES, _ATTRIBUTES, st.lists(inner, max_size=4)),
    max_leaves=20,
)


def _fill(parent: etree._Element, tree: object) -> None:
    if isinstance(tree, str):
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + tree
        else:
            parent.text = (parent.text or "") + tree
        return
    name, attributes, children = tree  # type: ignore[misc]
    made = etree.SubElement(parent, f"{{urn:hl7-org:v3}}{name}", attributes)
    for child in children:
        _fill(made, child)


@given(st.lists(_TREES, max_size=5))
def test_any_narrative_becomes_safe_and_keeps_its_words(trees: list[object]) -> None:
    block = etree.Element("{urn:hl7-org:v3}text")
    for tree in trees:
        _fill(block, tree)
    div = div_of_narrative(block)
    resource = {"resourceType": "Basic", "text": {"status": "additional", "div": div}}
    assert not validate_bundle(resource, Level.RULES)
    found = etree.fromstring(div)
    told = " ".join([*map(str, found.itertext()), *(str(e.get("alt", "")) for e in found.iter())])
    words = [word for text in block.itertext() for word in str(text).split()]
    assert [word for word in words if word not in told] == []


@given(st.from_regex(r"[0-9]{0,16}([.][0-9]{1,4})?([+-][0-9]{1,4})?", fullmatch=True))
def test_any_literal_is_a_fhir_date_or_nothing(literal: str) -> None:
    value = read_time(literal, "Europe/Paris").value
    assert value == "" or FHIR_TIME.fullmatch(value)
