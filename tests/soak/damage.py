"""Ways to spoil a document that stay close to it: branches cut, moved or doubled, values swapped for what parsers trip over.

Bytes alone mostly break the syntax at once; what breaks readers is well-formed and wrong.
"""

from __future__ import annotations

import copy
import io
import json
import random
from collections.abc import Callable
from typing import Any

import pikepdf
from lxml import etree

WORDS = (
    "", " ", "\u00a0", "²", "١", "\u2028", "\U0001f600", "é" * 40, "A" * 3000, "-1", "0", "9" * 40, "1e400", "NaN", "null",
    "true", "2026-02-30", "2026", "20261121", "99991231235959-1400", "00010101", "2026-11-21T25:00:00Z", "urn:uuid:",
    "urn:oid:1.2", "http://[::1", "javascript:alert(1)", "%PDF-1.4", "|^~\\&", "<b>&amp;", "]]>", "../../x", "#", "{}", "[]",
    "UNK", "NI", "1.2.",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (*WORDS, None, True, False, 0, -1, 10**30, 1.5, [], {}, [[]], [None], {"a": {}}, "x" * 20_000)
_TOKENS = (
    b"",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"<!DOCTYPE a>",
    b"<!--",
    b"]]>",
    b"&#1;",
    b"9" * 3000,
    b"[" * 200,
    b'"',
    b"endobj",
)


def _how_often(dice: random.Random) -> int:
    """Mostly one wound: several are mostly refused for the first."""
    return dice.choice((1, 1, 1, 2, 3, 6))


def damaged_bytes(content: bytes, dice: random.Random) -> bytes:
    """A few bytes replaced, dropped or doubled."""
    for _ in range(dice.randint(1, 4)):
        at, length = dice.randrange(len(content) + 1), dice.randint(0, 60)
        content = content[:at] + dice.choice((*_TOKENS, content[at : at + length] * 2)) + content[at + length :]
    return content


# ── XML ───────────────────────────────────────────────────────────────────────────────────────────────────────


def damaged_xml(content: bytes, dice: random.Random) -> bytes:
    """A tree with some elements spoilt."""
    root = etree.fromstring(content)
    for _ in range(_how_often(dice)):
        nodes = [node for node in root.iter() if isinstance(node.tag, str) and node is not root]
        if not nodes:
            break
        dice.choice((_drop, _double, _retag, _set_attribute, _set_attribute, _cut_attribute, _set_text, _move))(nodes, dice)
    return etree.tostring(root)


def _drop(nodes: list[Any], dice: random.Random) -> None:
    node = dice.choice(nodes)
    node.getparent().remove(node)


def _double(nodes: list[Any], dice: random.Random) -> None:
    node = dice.choice(nodes)
    node.addnext(copy.deepcopy(node))


def _retag(nodes: list[Any], dice: random.Random) -> None:
    dice.choice(nodes).tag = dice.choice(nodes).tag


def _set_attribute(nodes: list[Any], dice: random.Random) -> None:
    node, like = dice.choice(nodes), dice.choice(nodes)
    names = [*node.attrib, *like.attrib, "nullFlavor", "value", "code", "root", "unit"]
    others = [value for other in nodes[:40] for value in other.attrib.values()]
    node.set(dice.choice(names), dice.choice((*WORDS, *others)))


def _cut_attribute(nodes: list[Any], dice: random.Random) -> None:
    node = dice.choice(nodes)
    if node.attrib:
        del node.attrib[dice.choice(list(node.attrib))]


def _set_text(nodes: list[Any], dice: random.Random) -> None:
    node = dice.choice(nodes)
    setattr(node, dice.choice(("text", "tail")), dice.choice(WORDS))


def _move(nodes: list[Any], dice: random.Random) -> None:
    node, there = dice.choice(nodes), dice.choice(nodes)
    if node is not there and node not in there.iterancestors():
        there.append(node)


# ── JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────


def damaged_json(content: bytes, dice: random.Random) -> bytes:
    """A tree with some members spoilt."""
    tree = json.loads(content)
    for _ in range(_how_often(dice)):
        places = list(_places(tree))
        if not places:
            break
        held, key = dice.choice(places)
        match dice.randrange(10):
            case 0:
                del held[key]
            case 1 | 2:
                held[key] = dice.choice(_VALUES)
            case 3:
                other, name = dice.choice(places)
                held[key] = copy.deepcopy(other[name])
            case 4 if isinstance(held, dict):
                held[dice.choice((f"{key} ", "inconnu", key.upper(), f"_{key}"))] = copy.deepcopy(held[key])
            case 5:
                held[key] = [copy.deepcopy(held[key])] * dice.randint(0, 3)
            case _:
                held[key] = _same_kind(held[key], dice)
    return json.dumps(tree, ensure_ascii=dice.random() < 0.2).encode("utf-8", "surrogatepass")


def _same_kind(value: Any, dice: random.Random) -> Any:
    """Another value of the same JSON kind: what gets through the first checks."""
    match value:
        case bool():
            return not value
        case int() | float():
            return dice.choice((0, -1, 10**9, 1.5, 0.0000001))
        case str():
            return dice.choice((*WORDS, value * 2, value.upper(), value[: len(value) // 2], f"{value}\n{value}"))
        case _:
            return value


def _places(node: Any) -> Any:
    """Every (container, key) below a node; few of long texts, so that all parts are met."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in items:
        yield node, key
        yield from _places(value)


# ── PDF ───────────────────────────────────────────────────────────────────────────────────────────────────────


def damaged_pdf(content: bytes, dice: random.Random) -> bytes:
    """A form with some fields spoilt, as by programs that edit PDF badly."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        fields = list(_fields(pdf.Root.AcroForm.Fields, 0))
        for _ in range(_how_often(dice)):
            dice.choice((_set_value, _set_value, _set_value, _cut_key, _wrong_kind, _nest))(pdf, dice.choice(fields), dice)
        if dice.random() < 0.1:
            del pdf.Root[dice.choice(list(pdf.Root.keys()))]
        pdf.save(out, static_id=True)
    return out.getvalue()


def _fields(found: Any, depth: int) -> Any:
    for field in found:
        yield field
        if depth < 8 and "/Kids" in field:
            yield from _fields(field.Kids, depth + 1)


def _set_value(_pdf: pikepdf.Pdf, field: Any, dice: random.Random) -> None:
    field.V = pikepdf.String(dice.choice(WORDS).replace("\U0001f600", "☺"))


def _cut_key(_pdf: pikepdf.Pdf, field: Any, dice: random.Random) -> None:
    keys = list(field.keys())
    if keys:
        del field[dice.choice(keys)]


def _wrong_kind(_pdf: pikepdf.Pdf, field: Any, dice: random.Random) -> None:
    kinds: tuple[Callable[[], Any], ...] = (
        pikepdf.Array, pikepdf.Dictionary, lambda: pikepdf.Name("/Off"), lambda: pikepdf.Name("/é"), lambda: 12, lambda: True,
        lambda: pikepdf.String(b"\xfe\xff\xd8\x00"), lambda: pikepdf.String("x" * 5000),
    )  # fmt: skip
    field[dice.choice(("/V", "/T", "/FT", "/Ff", "/Opt", "/Kids", "/Parent", "/AS", "/MaxLen"))] = dice.choice(kinds)()


def _nest(pdf: pikepdf.Pdf, field: Any, dice: random.Random) -> None:
    """A field among its own descendants, or twice at the top."""
    if dice.random() < 0.5:
        pdf.Root.AcroForm.Fields.append(field)
    else:
        field.Kids = pikepdf.Array([field])
