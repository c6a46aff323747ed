"""The faces a page is set in: which glyphs exist, how wide they are, what is printed for one that does not exist.

DejaVu Sans Condensed: free to embed (fonts/LICENSE.txt), narrow enough for drug tables, and it covers Latin, Greek, Cyrillic,
arrows and check boxes. A character without a glyph is printed as its code point between brackets: seen, never lost.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont

FAMILY = "DejaVu"
FONT_FILES = {
    "": "DejaVuSansCondensed.ttf",
    "B": "DejaVuSansCondensed-Bold.ttf",
    "I": "DejaVuSansCondensed-Oblique.ttf",
    "BI": "DejaVuSansCondensed-BoldOblique.ttf",
}
POINT_MM = 25.4 / 72

# Characters that only steer a screen, and private codes that word processors leave behind (Symbol, Wingdings).
_INVISIBLE = frozenset("\u00ad\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff")
_SAME_MARK = {
    "\uf0b7": "•",
    "\uf0a7": "▪",
    "\uf0d8": "▸",
    "\uf0fc": "✓",
    "\uf0a8": "☐",
    "\uf0fe": "☒",
    "\u2028": "\n",
    "\u2029": "\n",
    "\t": " ",
    "\r": " ",
    "\x0b": " ",
    "\x0c": " ",
}


@dataclass(frozen=True)
class Face:
    """One font file's metrics, in thousandths of the size."""

    style: str
    path: Path
    widths: dict[str, int]


def font_path(style: str) -> Path:
    """The file of a style: '', B, I or BI."""
    return Path(__file__).parent / "fonts" / FONT_FILES[style]


@lru_cache(maxsize=4)
def face(style: str) -> Face:
    """The face of a style, read once a process."""
    path = font_path(style)
    with TTFont(path, lazy=True) as font:
        scale = 1000 / font["head"].unitsPerEm
        metrics = font["hmtx"].metrics
        widths = {chr(code): round(scale * metrics[glyph][0]) for code, glyph in font.getBestCmap().items()}
    return Face(style, path, widths)


def has_glyph(character: str, style: str = "") -> bool:
    """True when the face of this style can show the character."""
    return character in face(style).widths


def visible(text: str) -> str:
    """The text as it is set: composed, without invisible marks, with unknown characters as `[U+4E2D]`."""
    return "".join(map(_visible_character, unicodedata.normalize("NFC", text)))


def missing_characters(text: str) -> tuple[str, ...]:
    """The characters that no face can show, once each, in order of code."""
    composed = unicodedata.normalize("NFC", text)
    return tuple(sorted({c for c in composed if _visible_character(c).startswith("[U+")}))


@lru_cache(maxsize=8192)
def _visible_character(character: str) -> str:
    if character == "\n" or character == "\u200b":
        return character
    if character in _INVISIBLE:
        return ""
    character = _SAME_MARK.get(character, character)
    if character in "\n " or (has_glyph(character) and ord(character) >= 0x20):
        return character
    return f"[U+{ord(character):04X}]"


def style_for(text: str, style: str) -> str:
    """The wanted style, or the upright one of the same weight where a slanted glyph does not exist, or the regular one."""
    characters = set(text)
    for candidate in (style, style.replace("I", "")):
        if face(candidate).widths.keys() >= characters:
            return candidate
    return ""


def text_width(text: str, style: str, size: float) -> float:
    """Width in millimetres of a text set at a size in points. Not cached: the words are a patient's."""
    widths = face(style).widths
    return sum([widths[c] for c in text]) * size * POINT_MM / 1000
