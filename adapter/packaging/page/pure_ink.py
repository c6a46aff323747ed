"""A PDF's colours made black or white, as a fax shows them: a tint becomes paper, a coloured word becomes black.

Whoever rasterises a page later would draw a tint as dots, behind the words or instead of them. Shapes and words only: pictures,
patterns and inks of their own (Separation) are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pikepdf

# As on our own fax pages: pale words (grey 0.6) stay, tints go.
_WHITE_FROM = 184 / 255
_DIRECT = {"g": 1, "rg": 3, "k": 4, "G": 1, "RG": 3, "K": 4}
_NAMED = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3, "/DeviceCMYK": 4}
_DEEPEST = 8


def in_black_and_white(pdf: pikepdf.Pdf) -> None:
    """Change every page, and what its pages draw as forms."""
    done: set[tuple[int, int]] = set()
    for page in pdf.pages:
        if "/Contents" in page.obj:
            page.contents_coalesce()
            _change(page.obj.Contents, page.obj.get("/Resources", pikepdf.Dictionary()), done, 0)


def _change(content: pikepdf.Object, resources: pikepdf.Object, done: set[tuple[int, int]], depth: int) -> None:
    if depth > _DEEPEST or (content.is_indirect and content.objgen in done):
        return
    done.add(content.objgen)
    content.write(pikepdf.unparse_content_stream(list(_changed(content, resources))))
    for form in resources.get("/XObject", pikepdf.Dictionary()).values():
        if form.get("/Subtype") == "/Form":
            _change(form, form.get("/Resources", resources), done, depth + 1)


def _changed(content: pikepdf.Object, resources: pikepdf.Object) -> Iterator[Any]:
    """The same drawing orders; each colour is one of two."""
    spaces = {"fill": 1, "stroke": 1}  # how many parts a colour has; 0: one that we do not read
    for order in pikepdf.parse_content_stream(content):
        operator = str(order.operator)
        side = "stroke" if operator.isupper() else "fill"
        match operator:
            case "cs" | "CS":
                spaces[side] = _parts_of(order.operands[0], resources)
                yield order
            case "g" | "rg" | "k" | "G" | "RG" | "K":
                spaces[side] = _DIRECT[operator]
                yield _pure(list(order.operands), side)
            case "sc" | "scn" | "SC" | "SCN" if spaces[side] == len(order.operands):
                yield _pure(list(order.operands), side)
            case _:
                yield order


def _parts_of(name: pikepdf.Object, resources: pikepdf.Object) -> int:
    if str(name) in _NAMED:
        return _NAMED[str(name)]
    space = resources.get("/ColorSpace", pikepdf.Dictionary()).get(str(name))
    if space is None or not isinstance(space, pikepdf.Array) or not len(space):
        return 0
    if str(space[0]) == "/ICCBased":
        return int(space[1].get("/N", 0))
    return _NAMED.get(str(space[0]), 0)


def _pure(operands: Sequence[Any], side: str) -> tuple[list[Any], pikepdf.Operator]:
    tone = _tone([float(one) for one in operands])
    return [1 if tone >= _WHITE_FROM else 0], pikepdf.Operator("G" if side == "stroke" else "g")


def _tone(colour: Sequence[float]) -> float:
    """0 black, 1 white."""
    match colour:
        case [grey]:
            return grey
        case [red, green, blue]:
            return 0.299 * red + 0.587 * green + 0.114 * blue
        case [cyan, magenta, yellow, black]:
            return max(0.0, 1 - 0.299 * cyan - 0.587 * magenta - 0.114 * yellow - black)
        case _:
            return 0.0
