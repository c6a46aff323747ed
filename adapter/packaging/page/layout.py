"""Sets blocks into lines and lines into pages: marks at places, in millimetres, from the top left of an A4 sheet.

Nothing here writes PDF: `pdf_paint` does, once the number of pages is known. A line never begins with a French double
punctuation mark, and a dose never parts from its unit; a word too long for its column is cut, never run over the edge.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from PIL import Image

from adapter.model.confidential import Confidential
from adapter.packaging.page.faces import POINT_MM, style_for, text_width, visible
from adapter.packaging.page.narrative import Ink, Paragraph, Picture, Rule, Run

PAGE_WIDTH, PAGE_HEIGHT = 210.0, 297.0
LEFT, RIGHT = 17.0, 193.0
BODY_WIDTH = RIGHT - LEFT
BOTTOM = 279.0
LEADING = 1.36

INK = (20, 26, 34)
NAVY = (22, 52, 92)
GREY = (56, 64, 76)
LINE = (98, 110, 125)
TINT = (238, 242, 247)
ALARM = (160, 12, 24)

_MAX_FRAMES = 200

Colour = tuple[int, int, int]


@dataclass(frozen=True, repr=False, slots=True)
class Words(Confidential):
    """Text on a base line."""

    x: float
    y: float
    text: str
    style: str
    size: float
    colour: Colour = INK


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float
    colour: Colour = LINE


@dataclass(frozen=True, slots=True)
class Fill:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: Colour = TINT


@dataclass(frozen=True, repr=False, slots=True)
class Photo(Confidential):
    """An image, already opaque, at a place."""

    x: float
    y: float
    width: float
    height: float
    data: bytes


Mark = Words | Stroke | Fill | Photo


def moved(mark: Mark, dx: float, dy: float) -> Mark:
    """The same mark elsewhere."""
    match mark:
        case Words():
            return Words(mark.x + dx, mark.y + dy, mark.text, mark.style, mark.size, mark.colour)
        case Stroke():
            return Stroke(mark.x1 + dx, mark.y1 + dy, mark.x2 + dx, mark.y2 + dy, mark.width, mark.colour)
        case Fill():
            return Fill(mark.x + dx, mark.y + dy, mark.width, mark.height, mark.colour)
        case Photo():
            return Photo(mark.x + dx, mark.y + dy, mark.width, mark.height, mark.data)


@dataclass(frozen=True, repr=False)
class Atom(Confidential):
    """What is never cut: a line, an image, a row. `gap` is white space before it, dropped at the top of a page."""

    height: float
    marks: tuple[Mark, ...]
    gap: float = 0.0
    keep: bool = False


@dataclass(repr=False)
class Sheet(Confidential):
    """Pages being filled from top to bottom."""

    first_top: float
    top: float
    pages: list[list[Mark]] = field(default_factory=lambda: [[]])
    y: float = 0.0
    fresh: bool = True

    def __post_init__(self) -> None:
        self.y = self.first_top

    @property
    def room(self) -> float:
        """Height left on this page."""
        return BOTTOM - self.y

    @property
    def whole(self) -> float:
        """Height of an empty page."""
        return BOTTOM - self.top

    def new_page(self) -> None:
        """Go on, on a new page."""
        self.pages.append([])
        self.y = self.top
        self.fresh = True

    def put(self, marks: Sequence[Mark], height: float, x: float = LEFT) -> None:
        """Place marks at the current height and move down."""
        self.pages[-1] += [moved(mark, x, self.y) for mark in marks]
        self.y += height
        self.fresh = False

    def flow(self, atoms: Sequence[Atom], following: float = 0.0) -> None:
        """Place atoms; those kept with the next stay together, the last ones with `following` millimetres to come."""
        for group, last in _kept_together(atoms):
            height = sum(atom.height + atom.gap for atom in group) + (following if last and group[-1].keep else 0.0)
            if height > self.room and not self.fresh and (height <= self.whole or group[0].height > self.room):
                self.new_page()
            for atom in group:
                self._place(atom)

    def _place(self, atom: Atom) -> None:
        if atom.height + atom.gap > self.room and not self.fresh:
            self.new_page()
        if not self.fresh:
            self.y += atom.gap
        self.put(atom.marks, atom.height)


def _kept_together(atoms: Sequence[Atom]) -> Iterator[tuple[list[Atom], bool]]:
    group: list[Atom] = []
    for index, atom in enumerate(atoms):
        group.append(atom)
        if not atom.keep or index == len(atoms) - 1:
            yield group, index == len(atoms) - 1
            group = []


# -- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False, slots=True)
class Piece(Confidential):
    """Words of one look within a line, already made visible."""

    text: str
    ink: Ink


@dataclass(frozen=True, repr=False, slots=True)
class Chunk(Confidential):
    """Pieces without a place to break between them. `space` tells that white space comes before, `forced` a line end."""

    pieces: tuple[Piece, ...]
    width: float
    space: bool = False
    forced: bool = False


Line = tuple[Chunk, ...]

_WORDS = re.compile(r"\n|[ \u200b]+|[^ \n\u200b]+")
_AFTER_HYPHEN = re.compile(r"(?<=[^\W\d_]-)(?=[^\W\d_])")
_SOFT_BREAKS = re.compile(r"(?<=[/;,_@.=&?|])(?!(?<=\d[,.])\d)")
_GLUED = re.compile(
    r"[:;?!»%°]+|(?:mg|g|µg|μg|mcg|kg|ml|mL|cl|dl|L|l|UI|U|h|H|j|J|mm|cm|m|mmol|µmol|cp|cps|gél|gtt|an|ans|mois|j\.)"
    r"(?:/[\w.]{1,6})?[.,;)]?"
)


def chunks_of(runs: Sequence[Run], size: float) -> list[Chunk]:
    """Words with what sticks to them, in order."""
    chunks: list[Chunk] = []
    open_pieces: list[Piece] = []
    space = False

    def close() -> None:
        nonlocal space
        if open_pieces:
            chunks.append(_chunk(open_pieces, size, space))
            open_pieces.clear()
            space = False

    for run in runs:
        for word in _WORDS.findall(visible(run.text)):
            if word == "\n":
                close()
                chunks.append(Chunk((), 0.0, forced=True))
                space = False
            elif word[0] in " \u200b":
                close()
                space = space or " " in word
            else:
                parts = _AFTER_HYPHEN.split(word)
                for index, part in enumerate(parts):
                    if index:
                        close()
                    open_pieces.append(Piece(part, run.ink))
    close()
    return _glue(chunks, size)


def _chunk(pieces: Sequence[Piece], size: float, space: bool) -> Chunk:
    return Chunk(tuple(pieces), sum(piece_width(piece, size) for piece in pieces), space)


def _glue(chunks: list[Chunk], size: float) -> list[Chunk]:
    """French spacing: `:` stays with its word, `mg` with its number."""
    result: list[Chunk] = []
    for chunk in chunks:
        before = result[-1] if result else None
        if before is not None and before.pieces and chunk.space and _sticks(before, chunk):
            glue = Piece("\u00a0", before.pieces[-1].ink)
            result[-1] = _chunk((*before.pieces, glue, *chunk.pieces), size, before.space)
        else:
            result.append(chunk)
    return result


def _sticks(before: Chunk, chunk: Chunk) -> bool:
    if len(chunk.pieces) != 1 or not _GLUED.fullmatch(chunk.pieces[0].text):
        return before.pieces[-1].text == "«"
    return chunk.pieces[0].text[0] in ":;?!»" or before.pieces[-1].text[-1].isdigit()


def _drawn_size(ink: Ink, size: float) -> float:
    return size * 0.72 if ink.script else size


def piece_width(piece: Piece, size: float) -> float:
    """Width of a piece on paper."""
    return text_width(piece.text, style_for(piece.text, piece.ink.style), _drawn_size(piece.ink, size))


def space_after(chunk: Chunk, size: float) -> float:
    """Width of the space behind a chunk: it is drawn in the look before it, and a bold one is wider."""
    return piece_width(Piece(" ", chunk.pieces[-1].ink), size)


def break_lines(runs: Sequence[Run], width: float, size: float) -> list[Line]:
    """Greedy lines no wider than `width`."""
    lines: list[Line] = []
    line: list[Chunk] = []
    used = 0.0
    for chunk in chunks_of(runs, size):
        if chunk.forced:
            lines.append(tuple(line))
            line, used = [], 0.0
            continue
        gap = space_after(line[-1], size) if chunk.space and line else 0.0
        if used + gap + chunk.width <= width + 0.01:
            line.append(chunk)
            used += gap + chunk.width
            continue
        if line:
            lines.append(tuple(line))
        parts = _cut(chunk, width, size) if chunk.width > width else [chunk]
        lines += [(part,) for part in parts[:-1]]
        line, used = [parts[-1]], parts[-1].width
    lines.append(tuple(line))
    return lines


def _cut(chunk: Chunk, width: float, size: float) -> list[Chunk]:
    """A chunk too wide for any line, cut after punctuation where it can be, else within its words."""
    atoms = [part for piece in chunk.pieces for part in soft_parts(piece)]
    atoms = [small for atom in atoms for small in _cut_piece(atom, width, size)]
    parts: list[Chunk] = []
    held: list[Piece] = []
    used = 0.0
    for atom in atoms:
        wide = piece_width(atom, size)
        if held and used + wide > width:
            parts.append(_chunk(held, size, False))
            held, used = [], 0.0
        held.append(atom)
        used += wide
    parts.append(_chunk(held, size, False))
    return parts


def soft_parts(piece: Piece) -> list[Piece]:
    """A piece where it may end a line without harm: after punctuation, never within a number such as 0,5."""
    return [Piece(part, piece.ink) for part in _SOFT_BREAKS.split(piece.text) if part]


def _cut_piece(piece: Piece, width: float, size: float) -> list[Piece]:
    """Parts no wider than `width`; a cut between two letters shows a hyphen, one within a number cannot."""
    if piece_width(piece, size) <= width:
        return [piece]
    hyphen = text_width("-", style_for("-", piece.ink.style), _drawn_size(piece.ink, size))
    parts: list[Piece] = []
    text = piece.text
    while piece_width(Piece(text, piece.ink), size) > width and len(text) > 1:
        count = 1
        while piece_width(Piece(text[: count + 1], piece.ink), size) + hyphen <= width:
            count += 1
        if len(text) - count < 3 <= count - 2:
            count -= 3 - (len(text) - count)
        head, text = text[:count], text[count:]
        parts.append(Piece(head + ("-" if head[-1].isalpha() and text[0].isalpha() else ""), piece.ink))
    return [*parts, Piece(text, piece.ink)]


def line_width(line: Line, size: float) -> float:
    """Width of a line."""
    spaces = sum(space_after(before, size) for before, chunk in pairwise(line) if chunk.space)
    return sum(chunk.width for chunk in line) + spaces


def line_marks(line: Line, x: float, baseline: float, size: float, colour: Colour = INK) -> list[Mark]:
    """The marks of a line; words of one look are one mark, so that a reader's search finds phrases."""
    marks: list[Mark] = []
    for text, ink in _same_look(line):
        style = style_for(text, ink.style)
        drawn = _drawn_size(ink, size)
        wide = text_width(text, style, drawn)
        rise = size * POINT_MM * (0.33 if ink.script > 0 else -0.14 if ink.script < 0 else 0.0)
        marks.append(Words(x, baseline - rise, text, style, drawn, colour))
        if ink.underline:
            marks.append(Stroke(x, baseline + 0.5, x + wide, baseline + 0.5, 0.2, colour))
        if ink.strike:
            marks.append(Stroke(x, baseline - size * 0.1, x + wide, baseline - size * 0.1, 0.2, colour))
        x += wide
    return marks


def _same_look(line: Line) -> list[tuple[str, Ink]]:
    looks: list[tuple[str, Ink]] = []
    for index, chunk in enumerate(line):
        for number, piece in enumerate(chunk.pieces):
            text = (" " if index and chunk.space and not number else "") + piece.text
            if looks and looks[-1][1] == piece.ink:
                looks[-1] = (looks[-1][0] + text, piece.ink)
            elif text[0] == " " and looks:
                # The space belongs to the look before: an underline or a raised size must not begin with it.
                looks[-1] = (looks[-1][0] + " ", looks[-1][1])
                looks.append((text[1:], piece.ink))
            else:
                looks.append((text, piece.ink))
    return looks


# -- paragraphs, images, rules ----------------------------------------------------------------------------------------

INDENT = 5.0
HEADING_SIZES = {1: 11.5, 2: 11.0, 3: 10.5, 4: 10.0, 5: 9.5, 6: 9.5}


def paragraph_atoms(block: Paragraph, width: float, size: float, colour: Colour = INK) -> list[Atom]:
    """One atom a line; two lines at least stay together at each end."""
    if block.heading:
        size = max(size, HEADING_SIZES[block.heading])
    indent = min(block.level * INDENT, width * 0.4)
    height = size * POINT_MM * LEADING
    lines = break_lines(block.runs, width - indent, size)
    gap = 0.6 if block.tight else size * POINT_MM * (0.9 if block.heading else 0.5)
    return [
        Atom(
            height,
            _paragraph_line(block, line, index, indent, width, size, colour),
            gap if index == 0 else 0.0,
            keep=bool(block.heading) or (len(lines) > 1 and index in (0, len(lines) - 2)),
        )
        for index, line in enumerate(lines)
    ]


def _paragraph_line(
    block: Paragraph, line: Line, index: int, indent: float, width: float, size: float, colour: Colour
) -> tuple[Mark, ...]:
    baseline = size * POINT_MM * 1.05
    spare = width - indent - line_width(line, size)
    x = indent + {"right": spare, "center": spare / 2}.get(block.align, 0.0)
    marks = line_marks(line, x, baseline, size, colour)
    if block.marker and index == 0:
        mark_width = text_width(block.marker, "", size)
        marks.insert(0, Words(max(indent - mark_width - 1.3, 0.0), baseline, block.marker, "", size, colour))
    return tuple(marks)


def rule_atom(_block: Rule, width: float) -> Atom:
    """A line across."""
    return Atom(1.0, (Stroke(0, 0.5, width, 0.5, 0.2),), gap=1.5)


def picture_atoms(block: Picture, width: float, size: float, max_height: float) -> list[Atom]:
    """An image (every page of it) at its natural size, at most the column; its name in words when it cannot be shown."""
    frames = opaque_frames(block.data)
    if not frames:
        words = f"[image illisible{' : ' + block.alt if block.alt else ''}]"
        return paragraph_atoms(Paragraph((Run(words, Ink(italic=True)),), block.level), width, size)
    indent = min(block.level * INDENT, width * 0.4)
    atoms = []
    for data, pixels_wide, pixels_high in frames:
        # 96 pixels an inch is what a browser shows.
        scale = min(25.4 / 96, (width - indent) / pixels_wide, max_height / pixels_high)
        wide, high = pixels_wide * scale, pixels_high * scale
        atoms.append(Atom(high + 1.0, (Photo(indent, 0.5, wide, high, data),), gap=2.0, keep=bool(block.alt)))
    if block.alt:
        caption = Paragraph((Run(block.alt, Ink(italic=True)),), block.level, tight=True)
        atoms += paragraph_atoms(caption, width, size - 1.5, GREY)
    return atoms


def opaque_frames(data: bytes) -> list[tuple[bytes, int, int]]:
    """Each page of an image on white, without profile or transparency (PDF/A-1 forbids it), as PNG; none when unreadable."""
    frames = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")) as image:
                for number in range(min(getattr(image, "n_frames", 1), _MAX_FRAMES)):
                    image.seek(number)
                    frames.append((_png(_flattened(image)), *image.size))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return []
    return frames


def _png(image: Image.Image) -> bytes:
    image.thumbnail((2100, 2970))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _flattened(image: Image.Image) -> Image.Image:
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer.getchannel("A"))
        return white
    return image.convert("RGB")
