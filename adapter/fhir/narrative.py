"""XHTML narrative: a line of our own, or a CDA narrative block made into the clean subset that FHIR allows.

Law (FHIR R4 §2.4, txt-1, txt-2): only formatting elements, no script, no event, no form, and never blank. The output is
built as a tree and serialised: text is never pasted into markup. Anything unknown is flattened: its words stay.
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
    div = etree.Element(f"{{{XHTML}}}div", nsmap={None: XHTML})  # type: ignore[dict-item]
    _copy_children(block, div, find_media)
    if div.text is not None and not div.text.strip():
        div.text = None
    return etree.tostring(div, encoding="unicode")


def _words(block: etree._Element) -> Iterator[str]:
    return (str(text) for text in block.itertext() if text.strip())


def words_of(element: etree._Element) -> str:
    """All the words below an element, as they are laid out."""
    return "".join(map(str, element.itertext()))


def _has_media(block: etree._Element) -> bool:
    return any(_name(e) == "renderMultiMedia" for e in block.iter(etree.Element))


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _copy_children(source: etree._Element, target: etree._Element, find_media: FindMedia) -> None:
    _append_text(target, source.text, target)
    for child in source.iterchildren(etree.Element):
        _copy(child, target, find_media)
        _append_text(target, child.tail, target)


def _append_text(target: etree._Element, text: str | None, scope: etree._Element) -> None:
    """Append words at the end of what `target` holds; white space between table parts is dropped, it means nothing."""
    if not text or (_name(scope) in _TABLE_PARTS and not text.strip()):
        return
    text = _INDENTATION.sub(" ", text)
    if len(target):
        target[-1].tail = (target[-1].tail or "") + text
    else:
        target.text = (target.text or "") + text


def _copy(source: etree._Element, target: etree._Element, find_media: FindMedia) -> None:
    name = _name(source)
    if name == "list":
        _copy_list(source, target, find_media)
    elif name == "renderMultiMedia":
        _copy_media(source, target, find_media)
    elif name == "linkHtml":
        _copy_link(source, target, find_media)
    elif name == "caption" and _name(target) != "table":
        _copy_children(source, _start(target, "span", source, "font-weight: bold"), find_media)
    elif name in _TAGS:
        made = _start(target, _TAGS[name], source)
        _copy_children(source, made, find_media)
        _close(made)
    else:
        _copy_children(source, target, find_media)


def _start(target: etree._Element, tag: str, source: etree._Element, style: str = "") -> etree._Element:
    made = etree.SubElement(target, f"{{{XHTML}}}{tag}")
    identifier = source.get("ID") or ""
    if _IDENTIFIER.fullmatch(identifier):
        made.set("id", identifier)
    styles = [style] if style else []
    styles += [_STYLES[code] for code in (source.get("styleCode") or "").lower().split() if code in _STYLES]
    if styles:
        made.set("style", "; ".join(styles))
    for name in _KEPT_ATTRIBUTES.get(tag, ()):
        value = source.get(name) or ""
        if _SAFE_VALUE.fullmatch(value):
            made.set(name, value)
    return made


def _close(made: etree._Element) -> None:
    """`<td/>` is right in XML and breaks a page read as HTML: an empty element that is not void gets both tags."""
    if not len(made) and made.text is None and _name(made) not in _VOID:
        made.text = ""


def _copy_list(source: etree._Element, target: etree._Element, find_media: FindMedia) -> None:
    for caption in source.iterchildren("{*}caption"):
        _copy_children(caption, _start(target, "p", caption, "font-weight: bold"), find_media)
    made = _start(target, "ol" if source.get("listType") == "ordered" else "ul", source)
    _append_item(made, source.text)
    for child in source.iterchildren(etree.Element):
        if _name(child) == "item":
            _copy(child, made, find_media)
        elif _name(child) != "caption":
            _copy(child, etree.SubElement(made, f"{{{XHTML}}}li"), find_media)
        _append_item(made, child.tail)
    _close(made)


def _append_item(target: etree._Element, text: str | None) -> None:
    """Words that stand in a list without an item get one: they are not lost."""
    if text and text.strip():
        etree.SubElement(target, f"{{{XHTML}}}li").text = _INDENTATION.sub(" ", text)


def _copy_media(source: etree._Element, target: etree._Element, find_media: FindMedia) -> None:
    reference = (source.get("referencedObject") or "").split()
    caption = " ".join(words_of(source).split())
    media = find_media(reference[0]) if reference else None
    if media is None:
        made = _start(target, "span", source)
        made.text = caption or "[pièce jointe]"
    elif media.is_picture:
        made = _start(target, "img", source)
        made.set("src", media.url)
        made.set("alt", caption or "image")
    else:
        made = _start(target, "a", source)
        made.set("href", media.url)
        made.text = caption or "pièce jointe"


def _copy_link(source: etree._Element, target: etree._Element, find_media: FindMedia) -> None:
    href = (source.get("href") or "").strip()
    safe = bool(_SAFE_LINK.fullmatch(href))
    made = _start(target, "a" if safe else "span", source)
    if safe:
        made.set("href", href)
    _copy_children(source, made, find_media)
    _close(made)
