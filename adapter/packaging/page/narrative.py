"""Narrative XHTML to blocks that can be set on paper. Law: no word of a narrative is dropped.

Source: FHIR R4 Narrative (a small XHTML without scripts, forms or outside content). What cannot be parsed is printed as plain
text; tags that are not known are transparent; a link prints its address; an image that cannot be shown prints its name.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from dataclasses import dataclass, field, replace
from html.entities import html5
from typing import Any
from urllib.parse import unquote_to_bytes

from lxml import etree

from adapter.model.confidential import Confidential


@dataclass(frozen=True)
class Ink:
    """How words look. `script` is 1 above, −1 below the line."""

    bold: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    script: int = 0

    @property
    def style(self) -> str:
        """The face's style: '', B, I or BI."""
        return ("B" if self.bold else "") + ("I" if self.italic else "")


PLAIN = Ink()


@dataclass(frozen=True, repr=False)
class Run(Confidential):
    """Words of one look. A line feed inside is a forced end of line."""

    text: str
    ink: Ink = PLAIN


@dataclass(frozen=True, repr=False)
class Paragraph(Confidential):
    """Flowing text. `level` is the indent, `marker` what stands in front, `heading` 1–6 or 0, `tight` without space before."""

    runs: tuple[Run, ...]
    level: int = 0
    marker: str = ""
    align: str = "left"
    heading: int = 0
    tight: bool = False


@dataclass(frozen=True, repr=False)
class Picture(Confidential):
    """An image's bytes, its alternative text, and its indent."""

    data: bytes
    alt: str = ""
    level: int = 0


@dataclass(frozen=True)
class Rule:
    """A line across."""


@dataclass(frozen=True, repr=False)
class Cell(Confidential):
    """One table cell."""

    blocks: tuple[Block, ...]
    colspan: int = 1
    rowspan: int = 1
    header: bool = False
    width_percent: float = 0.0


@dataclass(frozen=True, repr=False)
class Table(Confidential):
    """Rows of cells; the first `header_rows` are repeated after a page break."""

    rows: tuple[tuple[Cell, ...], ...]
    header_rows: int = 0
    level: int = 0


Block = Paragraph | Picture | Rule | Table

_MAX_SPAN = 64
_MAX_LEVEL = 8
_BULLETS = ("•", "–", "▪")
_BLOCK_TAGS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "html", "li"),
        *("main", "nav", "p", "section", "summary", "tbody", "td", "tfoot", "th", "thead", "tr"),
    }
)
_UNSEEN_TAGS = frozenset({"script", "style", "head", "title", "template"})
_INKS: dict[str, dict[str, Any]] = {
    "b": {"bold": True},
    "strong": {"bold": True},
    "th": {"bold": True},
    "dt": {"bold": True},
    "caption": {"bold": True},
    "i": {"italic": True},
    "em": {"italic": True},
    "cite": {"italic": True},
    "dfn": {"italic": True},
    "var": {"italic": True},
    "u": {"underline": True},
    "ins": {"underline": True},
    "s": {"strike": True},
    "strike": {"strike": True},
    "del": {"strike": True},
    "sup": {"script": 1},
    "sub": {"script": -1},
    **{f"h{n}": {"bold": True} for n in range(1, 7)},
}


def read_narrative(div: str) -> tuple[Block, ...]:
    """The blocks of a narrative `<div>`; plain paragraphs when it is not well-formed."""
    root = _parse(div)
    if root is None:
        return plain_paragraphs(_without_tags(div))
    try:
        walker = _Walker()
        walker.element(root, _Context())
        return walker.finished()
    except RecursionError:
        return plain_paragraphs("\n".join(_texts(root)))


def plain_paragraphs(text: str) -> tuple[Paragraph, ...]:
    """Plain text as paragraphs: an empty line separates, a line end is kept."""
    parts = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    return tuple(Paragraph((Run(part.strip("\n")),)) for part in parts if part.strip())


def blocks_text(blocks: tuple[Block, ...]) -> str:
    """All words of the blocks, for checks of glyphs and of completeness."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Paragraph():
                parts.append(block.marker + " " + "".join(run.text for run in block.runs))
            case Picture():
                parts.append(block.alt)
            case Table():
                parts += [blocks_text(cell.blocks) for row in block.rows for cell in row]
            case Rule():
                continue
    return "\n".join(parts)


def _parse(div: str) -> etree._Element | None:
    for candidate in (div, _with_entities(div)):
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
        )
        try:
            root = etree.fromstring(candidate.encode("utf-8"), parser)
        except (etree.XMLSyntaxError, ValueError):
            continue
        if root.getroottree().docinfo.internalDTD is None:
            return root
    return None


def _with_entities(div: str) -> str:
    """HTML's named entities as characters; XML's own five stay as they are."""
    kept = {"amp", "lt", "gt", "quot", "apos"}
    return re.sub(r"&(\w+);", lambda m: m[0] if m[1] in kept else html5.get(m[1] + ";", m[0]), div)


def _without_tags(div: str) -> str:
    """Every word of a broken narrative: block ends become line ends, other tags vanish."""
    text = re.sub(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>\[]*(\[.*?\])?\s*>", " ", div, flags=re.S)
    text = re.sub(r"</?(p|div|li|tr|h[1-6]|table|ul|ol|br|dd|dt)\b[^<>]*>", "\n", text, flags=re.I)
    text = re.sub(r"<sup\b[^<>]*>", "^", text, flags=re.I)  # 10<sup>9</sup> must not read 109
    text = re.sub(r"</?(td|th)\b[^<>]*>", "  ", text, flags=re.I)
    return html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", " ", text))


def _is_element(node: etree._Element) -> bool:
    """False for an entity that was left unresolved: its tag is a function, whatever the stubs say."""
    return isinstance(node.tag, str)


def _texts(root: etree._Element) -> list[str]:
    return [text.strip() for text in map(str, root.itertext()) if text.strip()]


@dataclass(frozen=True)
class _Context:
    """What an element inherits."""

    ink: Ink = PLAIN
    level: int = 0
    align: str = "left"
    list_depth: int = 0
    preformatted: bool = False


@dataclass
class _Walker:
    """Turns an element tree into blocks; `runs` is the paragraph being filled."""

    blocks: list[Block] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    pending: Paragraph = field(default_factory=lambda: Paragraph(()))

    def finished(self) -> tuple[Block, ...]:
        """Everything, the open paragraph closed."""
        self.close()
        return tuple(self.blocks)

    def close(self) -> None:
        """End the open paragraph; white space alone makes none."""
        runs = _tidy(self.runs)
        self.runs = []
        if runs or self.pending.marker:
            self.blocks.append(replace(self.pending, runs=runs))
            self.pending = replace(self.pending, marker="")

    def open(self, context: _Context, **changes: Any) -> None:
        """Start a paragraph in this context. A list marker not yet printed stays for the first words of its item."""
        self.close_if_filled()
        marker = self.pending.marker
        self.pending = Paragraph((), level=context.level, align=context.align, marker=marker)
        if changes:
            self.pending = replace(self.pending, **changes)

    def close_if_filled(self) -> None:
        """End the open paragraph, but keep a marker that waits for its words."""
        if _tidy(self.runs):
            self.close()
        self.runs = []

    def text(self, text: str | None, context: _Context) -> None:
        """Words, with white space collapsed unless preformatted."""
        if not text:
            return
        if not context.preformatted:
            text = re.sub(r"[ \t\r\n\f]+", " ", text)
        self.runs.append(Run(text, context.ink))

    def children(self, element: etree._Element, context: _Context) -> None:
        """The element's words and those below, in order."""
        self.text(element.text, context)
        for child in element:
            self.child(child, context)
            self.text(child.tail, context)

    def child(self, child: etree._Element, context: _Context) -> None:
        """One child: an element, or an entity that was not resolved (its name is printed)."""
        if _is_element(child):
            self.element(child, context)
        else:
            self.text(child.text, context)

    def element(self, element: etree._Element, context: _Context) -> None:
        """One element by its kind."""
        name = etree.QName(element).localname.lower()
        context = _styled(element, name, context)
        if name in _UNSEEN_TAGS:
            return
        special = getattr(self, f"_{name}", None)
        if special is not None:
            special(element, context)
        elif name in ("ul", "ol"):
            self.items(element, context, ordered=name == "ol")
        elif name in _BLOCK_TAGS:
            self.block(element, name, context)
        else:
            self.children(element, context)

    def block(self, element: etree._Element, name: str, context: _Context) -> None:
        """A block of flowing text."""
        if name in ("dd", "blockquote"):
            context = replace(context, level=min(context.level + 1, _MAX_LEVEL))
        heading = int(name[1]) if re.fullmatch(r"h[1-6]", name) else 0
        self.open(context, heading=heading)
        self.children(element, context)
        self.close_if_filled()
        self.open(context)

    def items(self, element: etree._Element, context: _Context, *, ordered: bool) -> None:
        """A list: each item's first paragraph bears the marker."""
        self.close_if_filled()
        inner = replace(context, level=min(context.level + 1, _MAX_LEVEL), list_depth=context.list_depth + 1)
        number = _integer(element.get("start"), 1)
        bullet = _BULLETS[min(context.list_depth, len(_BULLETS) - 1)]
        self.open(inner)
        self.text(element.text, inner)
        for child in element:
            if not _is_element(child) or etree.QName(child).localname.lower() != "li":
                self.open(inner)
                self.child(child, inner)
                self.text(child.tail, inner)
                continue
            own = _styled(child, "li", inner)
            self.open(own, marker=_ordinal(number, element.get("type", "1")) if ordered else bullet, tight=True)
            self.children(child, own)
            self.close()
            self.open(inner)
            self.text(child.tail, inner)
            number += 1
        self.close_if_filled()
        self.open(context)

    def _br(self, element: etree._Element, context: _Context) -> None:
        self.runs.append(Run("\n", context.ink))
        self.children(element, context)

    def _hr(self, element: etree._Element, context: _Context) -> None:
        self.close_if_filled()
        self.blocks.append(Rule())
        self.children(element, context)

    def _pre(self, element: etree._Element, context: _Context) -> None:
        self.open(context)
        self.children(element, replace(context, preformatted=True))
        self.close_if_filled()
        self.open(context)

    def _q(self, element: etree._Element, context: _Context) -> None:
        self.text("« ", context)
        self.children(element, context)
        self.text(" »", context)

    def _a(self, element: etree._Element, context: _Context) -> None:
        self.children(element, context)
        address = (element.get("href") or "").strip()
        shown = address.removeprefix("mailto:").removeprefix("tel:")
        if shown and not shown.startswith("#") and shown not in "".join(map(str, element.itertext())):
            self.text(f" ({shown})", context)

    def _img(self, element: etree._Element, context: _Context) -> None:
        alt = (element.get("alt") or element.get("title") or "").strip()
        data = data_uri_bytes(element.get("src") or "")
        if not data:
            self.text(f" [image : {alt or element.get('src') or 'sans nom'}] ", context)
            return
        self.close_if_filled()
        self.blocks.append(Picture(data, alt, context.level))
        self.open(context)

    def _table(self, element: etree._Element, context: _Context) -> None:
        self.close_if_filled()
        rows, header_rows, stray = _rows(element, context)
        self.blocks += stray
        if rows:
            self.blocks.append(Table(tuple(rows), header_rows, context.level))
        self.open(context)


def data_uri_bytes(uri: str) -> bytes:
    """The bytes of a `data:` address; empty for any other address or damaged data."""
    if not uri.startswith("data:") or "," not in uri:
        return b""
    head, body = uri[5:].split(",", 1)
    if not head.endswith("base64"):
        return unquote_to_bytes(body)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _rows(table: etree._Element, context: _Context) -> tuple[list[tuple[Cell, ...]], int, list[Block]]:
    """The rows (heads first, feet last), how many are heads, and what stands in the table outside its rows."""
    heads: list[tuple[Cell, ...]] = []
    bodies: list[tuple[Cell, ...]] = []
    feet: list[tuple[Cell, ...]] = []
    stray = _Walker()
    inner = replace(context, level=0)
    for text in _loose_texts(table):
        stray.open(context)
        stray.text(text, context)
    for part, row in _row_elements(table):
        if row is None:
            stray.open(context)
            stray.element(part, context)
            continue
        section = etree.QName(part).localname.lower()
        target = {"thead": heads, "tfoot": feet}.get(section, bodies)
        cells = _cells(row, _styled(part, "", _styled(row, "", inner)))
        if cells:
            target.append(cells)
    if not heads and len(bodies) > 1 and all(cell.header and cell.rowspan == 1 for cell in bodies[0]):
        heads = [bodies.pop(0)]
    return heads + bodies + feet, len(heads), list(stray.finished())


def _loose_texts(table: etree._Element) -> list[str]:
    """Words written between rows and cells, where XHTML forbids them: printed before the table all the same."""
    groups = [g for g in table.iterchildren(etree.Element) if etree.QName(g).localname.lower() in ("thead", "tbody", "tfoot")]
    rows = [r for g in (table, *groups) for r in g.iterchildren(etree.Element) if etree.QName(r).localname.lower() == "tr"]
    texts = [node.text for node in (table, *groups, *rows)]
    texts += [child.tail for node in (table, *groups) for child in node]
    texts += [child.text for node in (table, *groups, *rows) for child in node if not _is_element(child)]
    return [text for text in texts if text and text.strip()]


def _row_elements(table: etree._Element) -> list[tuple[etree._Element, etree._Element | None]]:
    """Pairs (group, row); what is not a row comes as (element, None) and is printed before the table."""
    pairs: list[tuple[etree._Element, etree._Element | None]] = []
    for child in table.iterchildren(etree.Element):
        name = etree.QName(child).localname.lower()
        if name == "tr":
            pairs.append((table, child))
        elif name in ("thead", "tbody", "tfoot"):
            pairs += [
                (child, row) if etree.QName(row).localname.lower() == "tr" else (row, None)
                for row in child.iterchildren(etree.Element)
            ]
        elif name not in ("colgroup", "col"):
            pairs.append((child, None))
    return pairs


def _cells(row: etree._Element, context: _Context) -> tuple[Cell, ...]:
    cells = []
    for element in row.iterchildren(etree.Element):
        name = etree.QName(element).localname.lower()
        walker = _Walker()
        own = _styled(element, name, context)
        walker.open(own)
        walker.children(element, own)
        walker.text(element.tail if (element.tail or "").strip() else None, own)
        cells.append(
            Cell(
                walker.finished(),
                max(1, min(_integer(element.get("colspan"), 1), _MAX_SPAN)),
                max(1, _integer(element.get("rowspan"), 1)),
                name == "th",
                _percent(element),
            )
        )
    return tuple(cells)


def _percent(element: etree._Element) -> float:
    declared = f"width:{element.get('width') or ''};{element.get('style') or ''}"
    match = re.search(r"(?<![-\w])width\s*:\s*([\d.]{1,6})\s*%", declared)
    return min(float(match[1]), 100.0) if match and match[1].count(".") < 2 and match[1] != "." else 0.0


def _styled(element: etree._Element, name: str, context: _Context) -> _Context:
    """The context inside an element: its tag's look, then its `style` and `align`."""
    ink = replace(context.ink, **_INKS[name]) if name in _INKS else context.ink
    style = (element.get("style") or "").lower().replace(" ", "")
    if "font-weight:bold" in style or "font-weight:7" in style:
        ink = replace(ink, bold=True)
    if "font-style:italic" in style or "font-style:oblique" in style:
        ink = replace(ink, italic=True)
    if "underline" in style:
        ink = replace(ink, underline=True)
    if "line-through" in style:
        ink = replace(ink, strike=True)
    aligned = re.search(r"text-align:(left|right|center)", style)
    align = aligned[1] if aligned else (element.get("align") or "").lower()
    if ink is context.ink and align not in ("left", "right", "center"):
        return context
    return replace(context, ink=ink, align=align if align in ("left", "right", "center") else context.align)


def _tidy(runs: list[Run]) -> tuple[Run, ...]:
    """Runs without white space at the ends or doubled at the seams; empty when there is no word."""
    if not any(run.text.strip(" \n") for run in runs):
        return ()
    kept: list[Run] = []
    before = "\n"
    for run in runs:
        text = run.text.lstrip(" ") if before.endswith(("\n", " ")) and "\n" not in run.text.strip("\n") else run.text
        if text:
            kept.append(replace(run, text=text))
            before = text
    while kept and not kept[-1].text.strip(" \n"):
        kept.pop()
    kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip(" \n"))
    return tuple(kept)


def _integer(text: str | None, default: int) -> int:
    try:
        return int(text or default)
    except ValueError:
        return default


def _ordinal(number: int, kind: str) -> str:
    """The mark of an ordered item: 1. a. A. i. I."""
    if kind in ("a", "A") and 1 <= number <= 26:
        letter = chr(ord("a") + number - 1)
        return f"{letter if kind == 'a' else letter.upper()}."
    if kind in ("i", "I") and 1 <= number <= 39:
        roman = "x" * (number // 10) + ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")[number % 10]
        return f"{roman if kind == 'i' else roman.upper()}."
    return f"{number}."
