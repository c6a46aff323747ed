"""The pieces that a sheet is made of: titles, help, frames, tick boxes, and the place that each leaves for an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from adapter.packaging.page.faces import POINT_MM, text_width, visible
from adapter.packaging.page.layout import (
    BODY_WIDTH,
    GREY,
    INK,
    LINE,
    NAVY,
    TINT,
    Colour,
    Fill,
    Mark,
    Stroke,
    Words,
    break_lines,
    line_marks,
)
from adapter.packaging.page.narrative import Ink, Run
from adapter.packaging.sheet import items as ask
from adapter.packaging.sheet.items import ANSWER_SIZE, BOX, BOX_GAP, TICK_GAP, Item

NOTE = 7.0
TICK_HEIGHT = 5.6
ENCLOSE = "Les fichiers s’envoient avec le formulaire (JSON), ou à part avec le numéro de la demande."


@dataclass(frozen=True)
class Slot:
    """Where an answer goes, in millimetres from the top left of its page. `state` names one tick of a question.

    `question`: the linkId that it answers, on line `row` of its group (0: the group has no lines); `asked` and `words`: the
    question and the choice as printed.
    """

    kind: str
    name: str
    tip: str
    x: float
    y: float
    width: float
    height: float
    state: str = ""
    options: tuple[tuple[str, str], ...] = ()
    most: int = 0
    lines: bool = False
    required: bool = False
    question: str = ""
    row: int = 0
    asked: str = ""
    words: str = ""


@dataclass(frozen=True)
class Block:
    """Marks and slots that are never cut; `keep`: stays with the next one."""

    height: float
    marks: tuple[Mark, ...] = ()
    slots: tuple[Slot, ...] = ()
    gap: float = 0.0
    keep: bool = False


def group_title(title: str, note: str) -> Block:
    """A group's title on its tint, with the condition of the whole group."""
    height = 6.4
    marks: list[Mark] = [Fill(0, 0, BODY_WIDTH, height, TINT), Words(2.2, 4.5, visible(title), "B", 10.0, NAVY)]
    if not note:
        return Block(height, tuple(marks), (), 4.2, keep=True)
    free = BODY_WIDTH - text_width(visible(title), "B", 10.0) - 8.0
    lines = break_lines((Run(note, Ink(italic=True)),), free, NOTE)
    if len(lines) == 1:
        wide = text_width(visible(note), "I", NOTE)
        return Block(height, (*marks, *line_marks(lines[0], BODY_WIDTH - wide - 2.0, 4.3, NOTE, GREY)), (), 4.2, keep=True)
    y = height + 0.6
    for line in break_lines((Run(note, Ink(italic=True)),), BODY_WIDTH - 4.4, NOTE):
        marks += line_marks(line, 2.2, y + NOTE * POINT_MM, NOTE, GREY)
        y += NOTE * POINT_MM * 1.28
    return Block(y, tuple(marks), (), 4.2, keep=True)


def sub_title(title: str) -> Block:
    """The title of a group within a group."""
    return Block(4.4, (Words(0.0, 3.4, visible(title), "B", 9.0, NAVY),), (), 2.6, keep=True)


def help_lines(text: str) -> Block:
    """Small words beside a bar: help, or the choices of a list."""
    marks: list[Mark] = []
    y = 0.0
    for line in break_lines((Run(text, Ink(italic=True)),), BODY_WIDTH - 4.0, 7.5):
        marks += line_marks(line, 2.0, y + 7.5 * POINT_MM, 7.5, GREY)
        y += 7.5 * POINT_MM * 1.3
    return Block(y, (*marks, Fill(0, 0, 0.6, y, LINE)), (), 1.4)


def tick_boxes(item: Item, name: str, tip: str, width: float) -> tuple[list[Mark], list[Slot], float]:
    """Boxes to tick, in line, on as many lines as needed."""
    marks: list[Mark] = []
    slots: list[Slot] = []
    x, y = 0.0, 0.0
    for number, (code, word) in enumerate(ask.choices(item), start=1):
        words = visible(word)
        wide = BOX + BOX_GAP + text_width(words, "", ANSWER_SIZE)
        if x and x + wide > width:
            x, y = 0.0, y + TICK_HEIGHT
        top = y + (TICK_HEIGHT - BOX) / 2
        marks += frame(x, top, BOX, BOX, 0.35, INK)  # black: a grey line between two rows of a fax is lost
        marks.append(Words(x + BOX + BOX_GAP, y + 3.9, words, "", ANSWER_SIZE, INK))
        field = f"{name}.{number}" if item.get("repeats") else name
        kind = "box" if item.get("repeats") else "tick"
        told = {"question": item["linkId"], "asked": str(item["text"]), "words": word}
        slots.append(Slot(kind, field, f"{tip} : {word}", x, top, BOX, BOX, code, **told))
        x += wide + TICK_GAP
    return marks, slots, y + TICK_HEIGHT


def enclosed(width: float) -> tuple[list[Mark], list[Slot]]:
    """A sheet holds no file: what to do instead."""
    marks: list[Mark] = []
    for number, line in enumerate(break_lines((Run(ENCLOSE, Ink(italic=True)),), width, NOTE)):
        marks += line_marks(line, 0.0, (number + 1) * NOTE * POINT_MM * 1.28, NOTE, GREY)
    return marks, []


def identity_marks(item: Item, x: float, width: float) -> list[Mark]:
    """One field of the strip that says whose a further page is."""
    return [Words(x, 15.0, visible(item["text"]), "", 7.0, GREY), *frame(x, 16.0, width, 5.6)]


def frame(x: float, y: float, width: float, height: float, thick: float = 0.25, colour: Colour = LINE) -> tuple[Mark, ...]:
    """A frame to write in. White inside, so that it is found at once."""
    right, bottom = x + width, y + height
    return (
        Stroke(x, y, right, y, thick, colour),
        Stroke(right, y, right, bottom, thick, colour),
        Stroke(right, bottom, x, bottom, thick, colour),
        Stroke(x, bottom, x, y, thick, colour),
    )


def lefts(widths: Sequence[float]) -> Iterator[float]:
    """Where each column of a table begins."""
    x = 7.0
    for width in widths:
        yield x
        x += width + 1.5


def shifted(slot: Slot, dx: float, dy: float) -> Slot:
    """The same place, further right and down."""
    return replace(slot, x=slot.x + dx, y=slot.y + dy)


def kept(blocks: Iterator[Block]) -> Iterator[list[Block]]:
    """Blocks that stay together."""
    group: list[Block] = []
    for block in blocks:
        group.append(block)
        if not block.keep:
            yield group
            group = []
    if group:
        yield group
