"""XHTML narrative: a line of our own, or a CDA narrative block made into the clean subset that FHIR allows.

Law (FHIR R4 §2.4, txt-1, txt-2): only formatting elements, no script, no event, no form, and never blank. Names of elements and
attributes are ours, and each word of the source goes through one escape. Anything unknown is flattened: its words stay.
Written piece by piece: a tree that is then serialised takes twice the time. The check before sending reads it again as XML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
NOTHING_SAID = "Aucun contenu fourni par la source."

# CDA element → XHTML element; those absent here have a rule of their own or are flattened.
_TAGS = {
    "content": "span",
    "paragraph": "p",
    "item": "li",
    "table": "table",
    "caption": "caption",
    "thead": "thead",
    "tbody": "tbody",
    "tfoot": "tfoot",
    "tr": "tr",
    "th": "th",
    "td": "td",
    "col": "col",
    "colgroup": "colgroup",
    "br": "br",
    "sub": "sub",
    "sup": "sup",
    "footnote": "span",
}
_TABLE_PARTS = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup"})
_VOID = frozenset({"br", "col", "img"})
_KEPT_ATTRIBUTES = {
    "table": ("border", "width"),
    "td": ("colspan", "rowspan", "align", "valign", "width"),
    "th": ("colspan", "rowspan", "align", "valign", "width"),
    "tr": ("align", "valign"),
    "thead": ("align", "valign"),
    "tbody": ("align", "valign"),
    "tfoot": ("align", "valign"),
    "col": ("span", "width", "align"),
    "colgroup": ("span", "width", "align"),
}
_STYLES = {
    "bold": "font-weight: bold",
    "italics": "font-style: italic",
    "emphasis": "font-style: italic",
    "bolditalics": "font-weight: bold; font-style: italic",
    "underline": "text-decoration: underline",
}
_SAFE_LINK = re.compile(r"(https?://|mailto:|tel:|#|urn:)\S*", re.IGNORECASE)
_SAFE_VALUE = re.compile(r"[\w.%-]+")
_INDENTATION = re.compile(r"\s*\n\s*")  # how the source was laid out, not what it says
_IDENTIFIER = re.compile(r"[^\s]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Media:
    """What a `renderMultiMedia` shows: the URL of the embedded file, and whether it is a picture."""

    url: str
    is_picture: bool


FindMedia = Callable[[str], Media | None]


def generated(text: str) -> dict[str, Any]:
    """A Narrative of one paragraph, written by us."""
    return {"status": "generated", "div": div_of(text)}


def div_of(*paragraphs: str) -> str:
    """A div of plain paragraphs."""
    body = "".join(f"<p>{escape(clean_text(text), quote=False)}</p>" for text in paragraphs if text.strip())
    return f'<div xmlns="{XHTML}">{body or f"<p>{NOTHING_SAID}</p>"}</div>'


def clean_text(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return _CONTROL.sub("", text)


def div_of_narrative(block: etree._Element | None, find_media: FindMedia = lambda _: None) -> str:
    """The div of a CDA narrative block (`section/text`). A blank one says so: FHIR allows no blank div."""
    if block is None or not (next(_words(block), "") or _has_media(block)):
        return div_of("")
    pieces: list[str] = []
    _copy_children(block, pieces, "div", find_media)
    start = next((n for n, piece in enumerate(pieces) if piece[0] == "<"), len(pieces))
    if not "".join(pieces[:start]).replace("&#13;", "").strip():
        del pieces[:start]
    return f'<div xmlns="{XHTML}">{"".join(pieces)}</div>'


def _words(block: etree._Element) -> Iterator[str]:
    return (str(text) for text in block.itertext() if text.strip())


def words_of(element: etree._Element) -> str:
    """All the words below an element, as they are laid out."""
    return "".join(map(str, element.itertext()))


def _has_media(block: etree._Element) -> bool:
    return any(_name(e) == "renderMultiMedia" for e in block.iter(etree.Element))


class _LocalNames(dict[str, str]):
    def __missing__(self, tag: str) -> str:
        return str(tag).rpartition("}")[2]


_NAMES = _LocalNames({f"{{urn:hl7-org:v3}}{name}": name for name in (*_TAGS, "list", "renderMultiMedia", "linkHtml")})


def _name(element: etree._Element) -> str:
    return _NAMES[element.tag]


def _copy_children(source: etree._Element, pieces: list[str], scope: str, find_media: FindMedia) -> None:
    """`scope`: the XHTML element that the pieces stand in."""
    _append_text(pieces, source.text, scope)
    for child in source.iterchildren(etree.Element):
        _copy(child, pieces, scope, find_media)
        _append_text(pieces, child.tail, scope)


def _append_text(pieces: list[str], text: str | None, scope: str) -> None:
    """White space between table parts is dropped, it means nothing."""
    if not text or (scope in _TABLE_PARTS and text.isspace()):
        return
    pieces.append(_escaped(_INDENTATION.sub(" ", text) if "\n" in text else text))


def _escaped(text: str) -> str:
    """Words as XML has them: all that a source says goes through here."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _attribute(name: str, value: str) -> str:
    quoted = _escaped(value).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f' {name}="{quoted}"'


def _copy(source: etree._Element, pieces: list[str], scope: str, find_media: FindMedia) -> None:
    name = _name(source)
    if name == "list":
        _copy_list(source, pieces, find_media)
    elif name == "renderMultiMedia":
        _copy_media(source, pieces, find_media)
    elif name == "linkHtml":
        _copy_link(source, pieces, find_media)
    elif name == "caption" and scope != "table":
        _copy_as("span", source, pieces, find_media, _attributes("span", source, _STYLES["bold"]))
    elif name in _TAGS:
        _copy_as(_TAGS[name], source, pieces, find_media, _attributes(_TAGS[name], source))
    else:
        _copy_children(source, pieces, scope, find_media)


def _copy_as(tag: str, source: etree._Element, pieces: list[str], find_media: FindMedia, attributes: str) -> None:
    """`<td/>` is right in XML and breaks a page read as HTML: an empty element that is not void gets both tags."""
    pieces.append(f"<{tag}{attributes}>")
    start = len(pieces)
    _copy_children(source, pieces, tag, find_media)
    if len(pieces) == start and tag in _VOID:
        pieces[-1] = f"<{tag}{attributes}/>"
    else:
        pieces.append(f"</{tag}>")


def _attributes(tag: str, source: etree._Element, style: str = "") -> str:
    given = dict(source.items())
    if not given:
        return _attribute("style", style) if style else ""
    identifier = str(given.get("ID", ""))
    found = _attribute("id", identifier) if _IDENTIFIER.fullmatch(identifier) else ""
    styles = [style] if style else []
    styles += [_STYLES[code] for code in str(given.get("styleCode", "")).lower().split() if code in _STYLES]
    if styles:
        found += _attribute("style", "; ".join(styles))
    for name in _KEPT_ATTRIBUTES.get(tag, ()):
        value = str(given.get(name, ""))
        if _SAFE_VALUE.fullmatch(value):
            found += _attribute(name, value)
    return found


def _copy_list(source: etree._Element, pieces: list[str], find_media: FindMedia) -> None:
    for caption in source.iterchildren("{*}caption"):
        _copy_as("p", caption, pieces, find_media, _attributes("p", caption, _STYLES["bold"]))
    tag = "ol" if source.get("listType") == "ordered" else "ul"
    pieces.append(f"<{tag}{_attributes(tag, source)}>")
    _append_item(pieces, source.text)
    for child in source.iterchildren(etree.Element):
        if _name(child) == "item":
            _copy(child, pieces, tag, find_media)
        elif _name(child) != "caption":
            pieces.append("<li>")
            _copy(child, pieces, "li", find_media)
            pieces.append("</li>")
        _append_item(pieces, child.tail)
    pieces.append(f"</{tag}>")


def _append_item(pieces: list[str], text: str | None) -> None:
    """Words that stand in a list without an item get one: they are not lost."""
    if text and text.strip():
        pieces.append(f"<li>{_escaped(_INDENTATION.sub(' ', text))}</li>")


def _copy_media(source: etree._Element, pieces: list[str], find_media: FindMedia) -> None:
    reference = (source.get("referencedObject") or "").split()
    caption = " ".join(words_of(source).split())
    media = find_media(reference[0]) if reference else None
    if media is None:
        pieces.append(f"<span{_attributes('span', source)}>{_escaped(caption or '[pièce jointe]')}</span>")
    elif media.is_picture:
        seen = _attribute("src", media.url) + _attribute("alt", caption or "image")
        pieces.append(f"<img{_attributes('img', source)}{seen}/>")
    else:
        link = _attributes("a", source) + _attribute("href", media.url)
        pieces.append(f"<a{link}>{_escaped(caption or 'pièce jointe')}</a>")


def _copy_link(source: etree._Element, pieces: list[str], find_media: FindMedia) -> None:
    href = (source.get("href") or "").strip()
    if _SAFE_LINK.fullmatch(href):
        _copy_as("a", source, pieces, find_media, _attributes("a", source) + _attribute("href", href))
    else:
        _copy_as("span", source, pieces, find_media, _attributes("span", source))
