"""Properties of CDA reading: garbage raises our error only, a file cut out is the one that parsing finds, any narrative is safe,
any date is a date or nothing."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapter.errors import InputError
from adapter.fhir.narrative import div_of_narrative
from adapter.fhir.validate import Level, validate_bundle
from adapter.formats.cda import CdaDocument, embedded_body, open_cda, read_cda
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


# What may stand around, before, in and after the file of a level 1 document: elements of its names and of others, in its
# namespace and out of it, what hides (comments, sections, instructions), what reads as something else (references, other
# attributes), files large enough to be cut out, and pieces that are not well formed at all.
_FILE = base64.b64encode(b"%PDF-1.4 " + bytes(range(256)) * 32)
_OTHER_FILE = base64.b64encode(b"another " * 1100)
_BITS = st.sampled_from(
    [
        *(_FILE, _OTHER_FILE, _FILE[:-2], b"\r\n".join((_FILE[:8000], _FILE[8000:])), b"\t" + _FILE + b" "),
        *(
            b"(file)",
            b"&#40;file)",
            b"(fi<!---->le)",
            b"<![CDATA[(file)]]>",
            b"x",
            b"QUJD",
            b"&#65;",
            b"&amp;",
            b"\xc3\xa9",
            b"\x01",
        ),
        *(
            b"<!-- nonXMLBody -->",
            b"<!-- ",
            b" -->",
            b"<![CDATA[",
            b"]]>",
            b"<?pi ",
            b"?>",
            b'<text representation="B64">',
            b"</text>",
        ),
    ]
)
_TAGS = st.sampled_from(["text", "text", "nonXMLBody", "nonXMLBody", "component", "v:text", "v:nonXMLBody", "x:text", "title"])
_SAID = st.sampled_from(
    [
        *(b' representation="B64"',) * 4,
        *(b" representation='B64' mediaType='text/plain'", b'\n  mediaType="application/pdf"\trepresentation = "B64"', b""),
        *(
            b' representation="TXT"',
            b' x:representation="B64"',
            b" language=' representation=\"B64\"'",
            b' representation="B&#54;4"',
        ),
        *(b' representation="B64" compression="DF"', b' language=">" representation="B64"', b' representation="B64"/'),
    ]
)
_PIECES = st.recursive(
    _BITS,
    lambda inner: st.builds(
        lambda tag, said, held: b"<%s%s>%s</%s>" % (tag.encode(), said, b"".join(held), tag.encode()),
        *(_TAGS, _SAID, st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)
_ROOT = b'<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:v="urn:hl7-org:v3" xmlns:x="urn:x">%s</ClinicalDocument>'
_BODY = b"<component><nonXMLBody>%s<text%s>%s</text>%s</nonXMLBody></component>"
_BODIES = st.builds(
    lambda before, first, said, held, after, last: _ROOT % (before + _BODY % (first, said, held, after) + last),
    *(
        _PIECES | st.just(b""),
        _PIECES | st.just(b""),
        _SAID,
        _BITS | st.just(_FILE),
        _PIECES | st.just(b""),
        _PIECES | st.just(b""),
    ),
)
_ENCODED = st.sampled_from([(b"", "utf-8"), (b"\xef\xbb\xbf", "utf-8"), (b"", "utf-16"), (b"", "utf-16-le")])


def _opened_by(reader: Callable[[bytes], CdaDocument], content: bytes) -> object:
    """All that a reader makes of it: its body, its elements; or why it is refused."""
    try:
        document = reader(content)
        body = embedded_body(document)
    except InputError as error:
        return error.code, error.where
    tree = [(e.tag, dict(e.attrib), e.tail, "" if e.tag.endswith("}text") else e.text) for e in document.root.iter()]
    return tree, body and (body.content, body.media_type, body.declared_media_type, body.repaired)


@settings(max_examples=300, deadline=None)
@given(_BODIES, _ENCODED)
def test_a_file_cut_out_of_the_bytes_is_the_one_that_parsing_the_whole_finds(content: bytes, encoded: tuple[bytes, str]) -> None:
    mark, encoding = encoded
    content = mark + (content if encoding == "utf-8" else content.decode().encode(encoding))
    assert _opened_by(open_cda, content) == _opened_by(read_cda, content)


def test_a_file_in_its_usual_place_is_cut_out() -> None:
    document = open_cda(_ROOT % (_BODY % (b"", b' mediaType="application/pdf" representation="B64"', _FILE, b"")))
    assert base64.b64encode(document.file) == _FILE


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
