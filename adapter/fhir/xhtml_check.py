"""Whether a narrative is XHTML that a person may be shown: well formed, formatting only, saying something."""

from __future__ import annotations

import re

from lxml import etree

from adapter.fhir.narrative import XHTML

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)  # lxml locks it for threads
_NAMES = (
    "div p br b i em strong small big tt u span a img ul ol li dl dt dd table thead tbody tfoot tr td th caption colgroup col "
    "h1 h2 h3 h4 h5 h6 hr blockquote pre code q sub sup var samp dfn kbd cite abbr acronym address bdo del ins"
)
_TAGS = frozenset(f"{{{XHTML}}}{name}" for name in _NAMES.split())
_WORTH_A_LOOK = re.compile(r"\s(on[^\s=]*|href|src)\s*=", re.IGNORECASE)
_UNSAFE_URL = re.compile(r"\s*(javascript|vbscript|data:text/html)", re.IGNORECASE)
# What `narrative.generated` writes: most narratives of a document, safe by their shape alone.
_PLAIN = r"[^<>&\x00-\x08\x0b\x0c\x0e-\x1f]*"
_ONE_PARAGRAPH = re.compile(rf'<div xmlns="{XHTML}"><p>{_PLAIN}[^<>&\s\x00-\x1f]{_PLAIN}</p></div>')


def narrative_fault(div: object) -> tuple[str, str] | None:
    """The code and the sentence of what is wrong with a `div`; None when nothing is."""
    if not isinstance(div, str) or not div.strip():
        return "fhir.no-narrative", "A narrative has a div."
    if _ONE_PARAGRAPH.fullmatch(div):
        return None
    if "<!" in div:
        return "fhir.unsafe-narrative", "A narrative holds no declaration."
    try:
        root = etree.fromstring(div, _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        return "fhir.unsafe-narrative", "A narrative is well-formed XHTML."
    if root.tag != f"{{{XHTML}}}div" or not _is_safe(root, div):
        return "fhir.unsafe-narrative", "A narrative holds formatting only: no script, no event, no form."
    if not "".join(map(str, root.itertext())).strip() and root.find(f".//{{{XHTML}}}img") is None:
        return "fhir.blank-narrative", "A narrative says something."
    return None


def _is_safe(root: etree._Element, div: str) -> bool:
    if not {element.tag for element in root.iter()} <= _TAGS:
        return False
    # Attributes are looked at one by one only where the text has any that may be unsafe.
    return _WORTH_A_LOOK.search(div) is None or all(map(_has_safe_attributes, root.iter()))


def _has_safe_attributes(element: etree._Element) -> bool:
    return not any(
        str(key).lower().startswith("on") or (str(key) in ("href", "src") and _UNSAFE_URL.match(str(value)))
        for key, value in element.attrib.items()
    )
