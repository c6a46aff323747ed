"""XHTML back to a CDA narrative block, and the anchors by which entries point at their words.

Law (CI-SIS): what an entry says stands in the narrative, and the entry points at it. Words that are there get an ID; words that
are not are added in a list at the end, so that whoever reads only the page reads everything. Anything that CDA narrative does
not know is flattened: its words stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from adapter.fhir.narrative import XHTML
from adapter.packaging.cda_out.xml import NOT_XML, V3, Element, add

_BLOCKS = {"p": "paragraph", "h1": "paragraph", "h2": "paragraph", "h3": "paragraph", "h4": "paragraph", "h5": "paragraph",
           "h6": "paragraph", "pre": "paragraph", "dt": "paragraph", "dd": "paragraph"}  # fmt: skip
_INLINE = {"span": "content", "b": "content", "strong": "content", "i": "content", "em": "content", "u": "content",
           "cite": "content", "code": "content", "sub": "sub", "sup": "sup"}  # fmt: skip
_TABLE = frozenset({"caption", "thead", "tbody", "tfoot", "tr", "th", "td", "col", "colgroup"})
_STYLE_OF_TAG = {"b": "Bold", "strong": "Bold", "i": "Italics", "em": "Italics", "u": "Underline"} | dict.fromkeys(
    ("h1", "h2", "h3", "h4", "h5", "h6", "dt"), "Bold"
)
_STYLES = (("font-weight: bold", "Bold"), ("font-style: italic", "Italics"), ("text-decoration: underline", "Underline"))
_KEPT = {
    "table": ("border", "width"),
    "td": ("colspan", "rowspan", "align", "valign"), "th": ("colspan", "rowspan", "align", "valign"),
    "tr": ("align", "valign"), "thead": ("align", "valign"), "tbody": ("align", "valign"), "tfoot": ("align", "valign"),
    "col": ("span", "width", "align"), "colgroup": ("span", "width", "align"),
}  # fmt: skip
# Where the XSD lets a block stand; elsewhere its words come inline.
_TAKES_BLOCKS = frozenset({"text", "item", "td"})
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_MOST_DEPTH = 60
NOTHING = "Non renseigné dans le document d'origine."


class Anchors:
    """The IDs of one document: each is given once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._count = 0

    def take(self, wanted: str) -> str:
        """The ID wanted, when it is a name and free; else another."""
        if wanted in self._taken or not _NAME.fullmatch(wanted):
            return self.fresh()
        self._taken.add(wanted)
        return wanted

    def fresh(self) -> str:
        """An ID that nobody has."""
        while True:
            self._count += 1
            name = f"tdu-{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name


class Narrative:
    """The narrative block of one section. `media` names the embedded files that it may show, by the URL of their Binary."""

    def __init__(self, section: Element, div: str, anchors: Anchors, media: dict[str, str]) -> None:
        self.element = add(section, "text")
        self._anchors = anchors
        self._media = media
        self._renamed: dict[str, Element] = {}
        self._added: Element | None = None
        source = _parse(div)
        if source is not None:
            _Copier(self, media).children(source, self.element, 0)
        if not _words(self.element) and self.element.find(f".//{{{V3}}}renderMultiMedia") is None:
            self.element.clear()
            add(self.element, "paragraph").text = NOTHING
        self._by_words = {}
        for element in _anchorable(self.element):
            known = self._by_words.setdefault(_words(element), element)
            if not known.get("ID") and element.get("ID"):
                self._by_words[_words(element)] = element

    _by_words: dict[str, Element]

    def anchor_at(self, name: str) -> str:
        """`#…` of the place that the XHTML called by this name; empty when there is no such place."""
        element = self._renamed.get(name)
        return f"#{element.get('ID')}" if element is not None else ""

    def anchor(self, words: str) -> str:
        """`#…` of these words, added at the end when they are nowhere."""
        clean = " ".join(NOT_XML.sub("", words).split()) or NOTHING
        element = self._by_words.get(clean)
        if element is None:
            element = self._add_words(clean)
        if not element.get("ID"):
            element.set("ID", self._anchors.fresh())
        return f"#{element.get('ID')}"

    def whole(self) -> str:
        """`#…` of the first block, for an entry that says no more than the whole section does."""
        return self.anchor(_words(next(_anchorable(self.element), self.element)))

    def show(self, file_id: str, caption: str) -> None:
        """A file attached at the end of the words."""
        shown = add(add(self.element, "paragraph"), "renderMultiMedia", referencedObject=file_id)
        add(shown, "caption").text = caption

    def named(self, element: Element, identifier: str) -> None:
        """Give a copied element the ID that it had, or another when that one cannot be."""
        if identifier:
            element.set("ID", self._anchors.take(identifier))
            self._renamed.setdefault(identifier, element)

    def _add_words(self, clean: str) -> Element:
        if self._added is None:
            self._added = add(self.element, "list", listType="unordered")
            add(self._added, "caption").text = "Éléments codés"
        item = add(self._added, "item")
        made = add(item, "content")
        made.text = clean
        self._by_words[clean] = made
        return made


def _anchorable(block: Element) -> Iterator[Element]:
    names = {f"{{{V3}}}{name}" for name in ("content", "paragraph", "item", "td", "th", "caption")}
    return (element for element in block.iter(etree.Element) if element.tag in names and _words(element))


def _words(element: Element) -> str:
    return " ".join("".join(map(str, element.itertext())).split())


def _parse(div: str) -> Element | None:
    if not div.strip() or "<!" in div:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(div, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2] if element.tag.startswith(f"{{{XHTML}}}") else ""


class _Copier:
    """Copies XHTML into CDA narrative; `scope` below is the CDA element that receives."""

    def __init__(self, narrative: Narrative, media: dict[str, str]) -> None:
        self._narrative = narrative
        self._media = media

    def children(self, source: Element, target: Element, depth: int) -> None:
        """The words and children of an element."""
        if depth > _MOST_DEPTH:
            _append(target, _words(source))
            return
        _append(target, source.text)
        for child in source.iterchildren(etree.Element):
            self._copy(child, target, depth + 1)
            _append(target, child.tail)

    def _copy(self, source: Element, target: Element, depth: int) -> None:
        name, scope = _name(source), _scope(target)
        if name == "br":
            add(target, "br")
        elif name == "img":
            self._picture(source, target)
        elif name == "a":
            self._link(source, target, depth)
        elif name in ("ul", "ol") and scope in _TAKES_BLOCKS:
            self._list(source, target, name, depth)
        elif name == "table" and scope in ("text", "item"):
            self._table(source, target, depth)
        elif name in _BLOCKS and scope in _TAKES_BLOCKS:
            self._made(source, target, _BLOCKS[name], depth)
        elif name in _INLINE and scope in ("text", "paragraph", "content", "item", "td", "th", "caption", "linkHtml"):
            self._made(source, target, _INLINE[name], depth)
        else:
            self._flattened(source, target, name, depth)

    def _flattened(self, source: Element, target: Element, name: str, depth: int) -> None:
        """A block where none may stand: its words, apart from what precedes them."""
        is_block = name in _BLOCKS or name in ("li", "tr", "div", "ul", "ol", "table", "blockquote")
        if is_block and _scope(target) not in ("linkHtml", "caption", "sub", "sup") and _words(target):
            add(target, "br")
        elif name in ("td", "th"):
            _append(target, " ")
        self.children(source, target, depth)

    def _made(self, source: Element, target: Element, tag: str, depth: int) -> Element:
        made = add(target, tag)
        style = _style_code(source)
        if style and tag not in ("sub", "sup"):
            made.set("styleCode", style)
        if tag not in ("sub", "sup"):
            self._narrative.named(made, source.get("id") or "")
        for key in _KEPT.get(tag, ()):
            if source.get(key):
                made.set(key, str(source.get(key)))
        self.children(source, made, depth)
        return made

    def _list(self, source: Element, target: Element, name: str, depth: int) -> None:
        items = [child for child in source.iterchildren(etree.Element) if _name(child) == "li"]
        if not items or len(items) != len(list(source.iterchildren(etree.Element))):
            self._flattened(source, target, name, depth)
            return
        made = add(target, "list", listType="ordered" if name == "ol" else "unordered")
        self._narrative.named(made, source.get("id") or "")
        for item in items:
            self._made(item, made, "item", depth)

    def _table(self, source: Element, target: Element, depth: int) -> None:
        """A table of rows of cells; one that is no such thing is flattened."""
        if not _is_table(source):
            self._flattened(source, target, "table", depth)
            return
        made = add(target, "table")
        self._narrative.named(made, source.get("id") or "")
        for key in _KEPT["table"]:
            if source.get(key):
                made.set(key, str(source.get(key)))
        parts = sorted(source.iterchildren(etree.Element), key=lambda part: _TABLE_ORDER[_name(part)])
        loose: Element | None = None
        for part in parts:
            name = _name(part)
            if name == "tr":
                loose = loose if loose is not None else add(made, "tbody")
                self._row(part, loose, depth)
            elif name in ("caption", "col", "colgroup"):
                self._made(part, made, name, depth)
            else:
                self._rows(part, made, name, depth)
        if made.find(f"{{{V3}}}tbody") is None:
            add(add(add(made, "tbody"), "tr"), "td")

    def _rows(self, part: Element, made: Element, name: str, depth: int) -> None:
        rows = [row for row in part.iterchildren(etree.Element) if len(row)]
        if rows:
            group = add(made, name)
            for row in rows:
                self._row(row, group, depth)

    def _row(self, source: Element, target: Element, depth: int) -> None:
        made = add(target, "tr")
        style = _style_code(source)
        if style:
            made.set("styleCode", style)
        self._narrative.named(made, source.get("id") or "")
        for cell in source.iterchildren(etree.Element):
            self._made(cell, made, _name(cell), depth)

    def _link(self, source: Element, target: Element, depth: int) -> None:
        href = source.get("href") or ""
        shown = self._media.get(href)
        if shown is not None and _scope(target) in ("text", "paragraph", "item", "td", "content"):
            add(add(target, "renderMultiMedia", referencedObject=shown), "caption").text = _words(source) or "pièce jointe"
            return
        if _scope(target) in ("linkHtml", "sub", "sup", "th", "caption") or not href:
            self.children(source, target, depth)
            return
        self._made(source, target, "linkHtml", depth).set("href", href)

    def _picture(self, source: Element, target: Element) -> None:
        words = (source.get("alt") or "").strip()
        shown = self._media.get(source.get("src") or "")
        if shown is None or _scope(target) not in ("text", "paragraph", "item", "td", "content"):
            _append(target, f"[{words or 'image'}]")
            return
        add(add(target, "renderMultiMedia", referencedObject=shown), "caption").text = words or "image"


_TABLE_ORDER = {"caption": 0, "col": 1, "colgroup": 1, "thead": 2, "tfoot": 3, "tbody": 4, "tr": 4}


def _is_table(source: Element) -> bool:
    parts = list(source.iterchildren(etree.Element))
    if not parts or any(_name(part) not in _TABLE_ORDER for part in parts):
        return False
    rows = [row for part in parts for row in ([part] if _name(part) == "tr" else part.iterchildren(etree.Element))
            if _name(part) not in ("caption", "col", "colgroup")]  # fmt: skip
    cells = [cell for row in rows for cell in row.iterchildren(etree.Element)]
    return bool(cells) and all(_name(row) == "tr" for row in rows) and all(_name(cell) in ("td", "th") for cell in cells)


def _scope(target: Element) -> str:
    return str(target.tag).rpartition("}")[2]


def _style_code(source: Element) -> str:
    style = source.get("style") or ""
    found = [code for words, code in _STYLES if words in style]
    own = _STYLE_OF_TAG.get(_name(source))
    return " ".join(dict.fromkeys([own, *found] if own else found))


def _append(target: Element, words: str | None) -> None:
    """Words at the end of what an element holds."""
    if not words or (_scope(target) in ("table", "list", "tr") and not words.strip()):
        return
    clean = NOT_XML.sub("", words)
    if len(target):
        target[-1].tail = (target[-1].tail or "") + clean
    else:
        target.text = (target.text or "") + clean
