"""How words are put on a fax sheet: black on white, thick enough for 204 × 98 dots an inch, never out of the sheet.

No stroke under two rows, no letter under 25 dots: at standard resolution half of the rows are left. White on black is kept for
what must be seen from across a room.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from adapter.packaging.page.faces import font_path, visible

EDGE = 110
_LABELLED = 430
_BLOCK_SIZES = (52, 46, 40, 34)
_LEADING, _GAP = 1.3, 0.84
URGENT = "URGENT"

# A label, then lines with their style ("B" for bold).
Block = tuple[str, Sequence[tuple[str, str]]]


@lru_cache(maxsize=32)
def font(size: int, style: str = "") -> ImageFont.FreeTypeFont:
    """Our face at a size in dots; `style`: "B" for bold."""
    return ImageFont.truetype(str(font_path(style)), size, layout_engine=ImageFont.Layout.BASIC)


def shortened(text: str, room: float, face: ImageFont.FreeTypeFont) -> str:
    """As much of a line as there is room for."""
    while text and face.getlength(text) > room:
        text = text[:-2].rstrip() + "…"
    return text


def wrapped(text: str, room: float, face: ImageFont.FreeTypeFont) -> list[str]:
    """The lines of a text; a word too long for one is cut. A no-break space is none."""
    lines: list[str] = []
    for word in re.findall(r"[^ \t\n]+", text):
        if lines and face.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] = f"{lines[-1]} {word}"
            continue
        while face.getlength(word) > room:
            cut = max(1, int(len(word) * room / face.getlength(word)) - 1)
            lines.append(word[:cut])
            word = word[cut:]
        lines.append(word)
    return lines


def draw_title(sheet: Image.Image, title: str, page: str, under: Sequence[str]) -> int:
    """The head of a sheet that lies open: its title, on the right what it is one of; returns the row below."""
    draw, right = ImageDraw.Draw(sheet), sheet.width - EDGE
    draw.text((EDGE, 150), title, fill=0, font=font(110, "B"))
    draw.text((right, 150), page, fill=0, font=font(38, "B"), anchor="rs")
    sizes = ((52, "B"), (34, ""))
    for row, words, (size, style) in zip((216, 270), under, sizes, strict=False):
        draw.text((right, row), words, fill=0, font=font(size, style), anchor="rs")
    draw.line((EDGE, 300, right, 300), fill=0, width=6)
    return 350


def draw_blocks(sheet: Image.Image, blocks: Iterable[Block], top: int, bottom: int) -> None:
    """Labels and their lines between two rows, as large as they fit; what does not fit at the smallest size is left out."""
    shown = [(label, [(visible(words), style) for words, style in lines if words]) for label, lines in blocks]
    shown = [(label, lines) for label, lines in shown if lines]
    room = sheet.width - _LABELLED - EDGE
    size = next((one for one in _BLOCK_SIZES if top + _height(shown, one, room) <= bottom), _BLOCK_SIZES[-1])
    draw, y = ImageDraw.Draw(sheet), float(top)
    for label, lines in shown:
        if y + size * _LEADING > bottom:
            return
        draw.text((EDGE, y + size * 0.27), label, fill=0, font=font(34, "B"))
        for words, style in lines:
            for line in wrapped(words, room, font(size, style)):
                if y + size * _LEADING <= bottom:
                    draw.text((_LABELLED, y), line, fill=0, font=font(size, style))
                y += size * _LEADING
        y += size * _GAP


def _height(blocks: Sequence[Block], size: int, room: float) -> float:
    lines = sum(len(wrapped(words, room, font(size, style))) for _, written in blocks for words, style in written)
    return size * (lines * _LEADING + (len(blocks) - 1) * _GAP)


def draw_band(sheet: Image.Image, word: str, y: int) -> int:
    """One word across the sheet: white on black for an urgent matter, framed for any other. Returns the row below."""
    draw = ImageDraw.Draw(sheet)
    urgent = word == URGENT
    draw.rectangle((EDGE, y, sheet.width - EDGE, y + 170), fill=0 if urgent else 255, outline=0, width=8)
    draw.text((sheet.width // 2, y + 85), word, fill=255 if urgent else 0, font=font(120, "B"), anchor="mm")
    return y + 250


def draw_warning(sheet: Image.Image, title: str, words: str, y: int) -> int:
    """What must be done, in a thick frame under a black title. Returns the row below."""
    draw, face = ImageDraw.Draw(sheet), font(50, "B")
    lines = wrapped(visible(words), sheet.width - 2 * (EDGE + 44), face)
    bottom = y + 110 + 34 + len(lines) * 66 + 22
    draw.rectangle((EDGE, y, sheet.width - EDGE, bottom), outline=0, width=8)
    draw.rectangle((EDGE, y, sheet.width - EDGE, y + 110), fill=0)
    draw.text((sheet.width // 2, y + 55), title, fill=255, font=font(76, "B"), anchor="mm")
    for index, line in enumerate(lines):
        draw.text((EDGE + 44, y + 110 + 30 + index * 66), line, fill=0, font=face)
    return bottom + 56


def draw_notice(sheet: Image.Image, words: str) -> int:
    """Framed words at the foot; returns the row above."""
    draw, face = ImageDraw.Draw(sheet), font(38)
    lines = wrapped(words, sheet.width - 2 * 150, face)
    top = sheet.height - 130 - len(lines) * 52
    draw.rectangle((EDGE, top - 40, sheet.width - EDGE, top + len(lines) * 52 + 34), outline=0, width=4)
    for index, line in enumerate(lines):
        draw.text((150, top + index * 52), line, fill=0, font=face)
    return top - 70


def draw_strip(sheet: Image.Image, left: str, urgency: str, reference: str, page: str) -> None:
    """The line above a page: who sent it, how urgent it is, which fax, which page. If the sheets part, they are found again."""
    draw = ImageDraw.Draw(sheet)
    draw.text((22, 10), shortened(visible(left), 760, font(27)), fill=0, font=font(27))
    word, middle = visible(urgency.upper()), sheet.width // 2 + 140
    if word == URGENT:
        draw.rectangle((middle - 120, 2, middle + 120, 44), fill=0)
        draw.text((middle, 23), word, fill=255, font=font(36, "B"), anchor="mm")
    else:
        draw.text((middle, 10), word, fill=0, font=font(27, "B"), anchor="ma")
    draw.text((sheet.width - 22, 10), page, fill=0, font=font(29, "B"), anchor="ra")
    if reference:
        draw.text((sheet.width - 180, 11), shortened(visible(reference), 330, font(25)), fill=0, font=font(25), anchor="ra")
    draw.line((22, 47, sheet.width - 22, 47), fill=0, width=3)


def draw_stamp(sheet: Image.Image, stamp: str) -> None:
    """Hollow letters across, which leave what they cross readable, and a full line at the foot."""
    size = 190
    while font(size, "B").getlength(stamp) > 2350:
        size -= 10
    face = font(size, "B")
    box = face.getbbox(stamp)
    letters = Image.new("L", (int(box[2]) + 40, int(box[3]) + 40), 0)
    ImageDraw.Draw(letters).text((20, 20), stamp, fill=0, font=face, stroke_width=2, stroke_fill=255)
    turned = letters.rotate(52, expand=True, resample=Image.Resampling.BICUBIC)
    mask = turned.point(lambda tone: 255 if tone > 127 else 0, mode="1")
    sheet.paste(0, ((sheet.width - turned.width) // 2, (sheet.height - turned.height) // 2), mask)
    draw = ImageDraw.Draw(sheet)
    draw.text((sheet.width // 2, sheet.height - 14), stamp, fill=0, font=font(34, "B"), anchor="ms")
