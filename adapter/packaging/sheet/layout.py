"""A Questionnaire laid out on A4 sheets: where each question stands, where its answer goes. Any Questionnaire, no file format.

Everything is drawn so that the sheet can also be filled by hand and faxed: frames and boxes are printed, fields lie inside them;
corner marks and the page's code (`marks`) let a machine find them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter.model.sheet import page_code
from adapter.packaging.page.faces import POINT_MM, text_width, visible
from adapter.packaging.page.layout import (
    BODY_WIDTH,
    BOTTOM,
    GREY,
    INK,
    LEFT,
    LINE,
    NAVY,
    RIGHT,
    TINT,
    Colour,
    Fill,
    Mark,
    Stroke,
    Words,
    break_lines,
    line_marks,
    moved,
)
from adapter.packaging.page.narrative import Ink, Run
from adapter.packaging.sheet import items as ask
from adapter.packaging.sheet.items import ANSWER_SIZE, Item
from adapter.packaging.sheet.marks import HEAD_WIDTH, code_marks, corner_marks, layout_code
from adapter.packaging.sheet.pieces import (
    ENCLOSE,
    NOTE,
    Block,
    Slot,
    enclosed,
    frame,
    group_title,
    help_lines,
    identity_marks,
    kept,
    lefts,
    shifted,
    sub_title,
    tick_boxes,
)

IDENTITY = ("patient.nom", "patient.prenom", "patient.date-naissance")  # repeated at the head of every further page

_LABEL = 8.0
_FIELD_HEIGHT, _ROW_GAP, _CELL_GAP = 6.2, 2.4, 4.0
_ASIDE = 92.0  # where tick boxes begin when they stand beside their question
_FIRST_TOP, _NEXT_TOP = 15.0, 27.0
_HINTS = {"date": "JJ/MM/AAAA", "dateTime": "JJ/MM/AAAA HH:MM"}
_CHECKLIST = 3  # so many questions with the same choices make a list to go down
_SEPARATOR: Colour = (196, 205, 216)


@dataclass(frozen=True)
class FormPage:
    """One laid-out page."""

    marks: tuple[Mark, ...]
    slots: tuple[Slot, ...]


def lay_out(questionnaire: Mapping[str, Any]) -> tuple[FormPage, ...]:
    """The pages of a form."""
    return _FormSetter(questionnaire).pages()


def form_code(questionnaire: Mapping[str, Any]) -> str:
    """The canonical that a filled form is known by: `url|version`."""
    return f"{questionnaire['url']}|{questionnaire['version']}"


def form_slug(questionnaire: Mapping[str, Any]) -> str:
    """The form's short name."""
    return str(questionnaire["url"]).rpartition("/")[2]


class _FormSetter:
    def __init__(self, form: Mapping[str, Any]) -> None:
        self._form = form
        self._items = {item["linkId"]: item for item in ask.walk(form["item"])}
        self._known = ""

    def pages(self) -> tuple[FormPage, ...]:
        """All pages, their heads and feet included."""
        pages: list[tuple[list[Mark], list[Slot]]] = [([], [])]
        y, fresh = _FIRST_TOP, True
        for group in kept(self._blocks()):
            if y + sum(b.gap + b.height for b in group) > BOTTOM and not fresh:
                pages.append(([], []))
                y, fresh = _NEXT_TOP, True
            for block in group:
                y += 0.0 if fresh else block.gap
                pages[-1][0].extend(moved(mark, LEFT, y) for mark in block.marks)
                pages[-1][1].extend(shifted(slot, LEFT, y) for slot in block.slots)
                y, fresh = y + block.height, False
        placed = [(marks, (*self._identity(number), *slots)) for number, (marks, slots) in enumerate(pages, start=1)]
        layout = layout_code([slots for _, slots in placed])
        return tuple(
            FormPage((*marks, *self._frame(number, len(pages)), *self._machine_marks(number, len(pages), layout)), slots)
            for number, (marks, slots) in enumerate(placed, start=1)
        )

    # What stands on the page

    def _blocks(self) -> Iterator[Block]:
        yield self._title()
        loose = [item for item in self._form["item"] if item["type"] != "group"]
        leading = [item for item in self._form["item"] if item["type"] != "group"][: ask.leading(self._form["item"])]
        yield from self._questions(leading)
        for item in self._form["item"]:
            if item["type"] == "group":
                yield from self._group(item)
            elif item in loose and item not in leading:
                yield from self._questions([item])

    def _title(self) -> Block:
        marks: list[Mark] = []
        y = 3.4
        for text, size, bold, colour in (
            (str(self._form["title"]), 15.0, True, NAVY),
            ("À remplir à l’écran ou à la main, en majuscules. Les questions marquées * sont obligatoires.", 8.5, False, INK),
            ("Une question que sa condition écarte reste vide. Dates : JJ/MM/AAAA.", 8.5, False, INK),
        ):
            for line in break_lines((Run(text, Ink(bold=bold)),), HEAD_WIDTH - 12.0, size):
                marks += line_marks(line, 6.0, y + size * POINT_MM, size, colour)
                y += size * POINT_MM * 1.36
        height = y + 2.4
        band: list[Mark] = [Fill(0, 0, HEAD_WIDTH, height, TINT), Fill(0, 0, 1.8, height, NAVY)]
        return Block(height, (*band, *marks))

    def _group(self, group: Item) -> Iterator[Block]:
        note = self._known = self._condition(group)
        rows = ask.printed_rows(ask.most(group))
        if group.get("repeats") and ask.most(group) != rows:
            note = "; ".join(part for part in (note, "au-delà de ces lignes, remplir un second formulaire") if part)
        yield group_title(group["text"] + ("\u00a0*" if group.get("required") else ""), note)
        if group.get("repeats"):
            yield from self._table(group, rows)
        else:
            yield from self._questions(group.get("item", []), self._condition(group))

    def _questions(self, items: Sequence[Item], known: str = "") -> Iterator[Block]:
        """Small questions side by side, big ones across the sheet, checklists one below the other.

        `known`: the condition that the group's title already tells.
        """
        self._known = known
        row: list[tuple[Item, float]] = []
        for item in items:
            if ask.is_hidden(item):
                continue
            alone = item["type"] in ("display", "group") or self._is_listed(item, items)
            span = 6.0 if alone else ask.span(item)
            if row and sum(s for _, s in row) + span > 6:
                yield self._row(row)
                row = []
            if alone:
                yield from self._alone(item)
                continue
            row.append((item, span))
            below = list(self._below(item, known))
            if below:
                yield self._row(row)
                row = []
            yield from below
        if row:
            yield self._row(row)

    def _alone(self, item: Item) -> Iterator[Block]:
        """Help, a group within the group, or one question of a checklist."""
        if item["type"] == "display":
            yield help_lines(item["text"])
        elif item["type"] == "group":
            yield sub_title(item["text"])
            yield from self._questions(item.get("item", []), self._condition(item))
        else:
            yield self._listed(item)
            yield from self._questions(item.get("item", []), self._known)

    def _below(self, item: Item, known: str) -> Iterator[Block]:
        """What stands under a question: the choices of its list, its help, its own questions."""
        if ask.choices(item) and not ask.is_ticked(item):
            yield help_lines(f"Au choix : {ask.all_words(item)}.")
        yield from self._questions(item.get("item", []), known)

    # One question

    def _row(self, cells: Sequence[tuple[Item, float]]) -> Block:
        total = sum(span for _, span in cells)
        room = BODY_WIDTH - _CELL_GAP * (len(cells) - 1)
        widths = [room * span / total for _, span in cells]
        if total < 4.0:
            widths = [room * span / 6 for _, span in cells]
        heads = [self._head(item, width) for (item, _), width in zip(cells, widths, strict=True)]
        top = max(height for _, height in heads) + 0.8
        marks: list[Mark] = []
        slots: list[Slot] = []
        bottom, x = 0.0, 0.0
        for (item, _), width, (head, height) in zip(cells, widths, heads, strict=True):
            below = top - height - 0.8
            marks += [moved(mark, x, below) for mark in head]
            answer, where, deep = self._answer(item, item["linkId"], width)
            marks += [moved(mark, x, top) for mark in answer]
            slots += [shifted(slot, x, top) for slot in where]
            bottom, x = max(bottom, deep), x + width + _CELL_GAP
        return Block(top + bottom, tuple(marks), tuple(slots), _ROW_GAP)

    def _head(self, item: Item, width: float) -> tuple[list[Mark], float]:
        """The question, its star, its condition and how to write the answer."""
        marks: list[Mark] = []
        y = 0.0
        words = item["text"] + ("\u00a0*" if item.get("required") else "")
        hint = _HINTS.get(item["type"], "")
        runs = [Run(words, Ink(bold=True))] + ([Run(f"  {hint}", Ink())] if hint else [])
        for line in break_lines(runs, width, _LABEL):
            marks += line_marks(line, 0.0, y + _LABEL * POINT_MM, _LABEL, INK)
            y += _LABEL * POINT_MM * 1.28
        note = self._note(item)
        for line in break_lines((Run(note, Ink(italic=True)),), width, NOTE) if note else []:
            marks += line_marks(line, 0.0, y + NOTE * POINT_MM, NOTE, GREY)
            y += NOTE * POINT_MM * 1.28
        return marks, y

    def _answer(self, item: Item, name: str, width: float) -> tuple[list[Mark], list[Slot], float]:
        tip = self._tip(item)
        if item["type"] == "attachment":
            return *enclosed(width), _FIELD_HEIGHT
        if ask.choices(item) and ask.is_ticked(item):
            return tick_boxes(item, name, tip, width)
        height = ask.text_height(item) if item["type"] == "text" else _FIELD_HEIGHT
        unit = ask.unit(item)
        field_width = width - (text_width(visible(unit), "", ANSWER_SIZE) + 2.0 if unit else 0.0)
        slot = Slot(
            "choice" if ask.choices(item) else "text", name, tip, 0.0, 0.0, field_width, height, "", ask.choices(item),
            item.get("maxLength", 0), item["type"] == "text", ask.always(item), item["linkId"], 0, str(item["text"]),
        )  # fmt: skip
        marks: list[Mark] = [*frame(0.0, 0.0, field_width, height)]
        if unit:
            marks.append(Words(field_width + 2.0, height - 1.9, visible(unit), "", ANSWER_SIZE, INK))
        return marks, [slot], height

    @staticmethod
    def _is_listed(item: Item, items: Sequence[Item]) -> bool:
        """A question of a checklist: its tick boxes stand beside it, below those of the others."""
        choices = ask.choices(item)
        if not choices or item.get("repeats") or sum(ask.choices(each) == choices for each in items) < _CHECKLIST:
            return False
        return ask.ticks_width(choices) <= BODY_WIDTH - _ASIDE

    def _listed(self, item: Item) -> Block:
        head, height = self._head(item, _ASIDE - 4.0)
        ticks, slots, deep = tick_boxes(item, item["linkId"], self._tip(item), BODY_WIDTH - _ASIDE)
        tall = max(height, deep)
        marks = [moved(mark, 0.0, (tall - height) / 2 + 0.3) for mark in head]
        marks += [moved(mark, _ASIDE, (tall - deep) / 2) for mark in ticks]
        placed = tuple(shifted(slot, _ASIDE, (tall - deep) / 2) for slot in slots)
        line = Stroke(0, tall + 0.7, BODY_WIDTH, tall + 0.7, 0.1, _SEPARATOR)
        return Block(tall + 0.7, (*marks, line), placed, 1.3)

    # Repeated groups

    def _table(self, group: Item, rows: int) -> Iterator[Block]:
        """Numbered lines, one column a question."""
        items = [
            item for item in group.get("item", []) if not ask.is_hidden(item) and item["type"] not in ("display", "attachment")
        ]
        shares = [1.5 if ask.choices(item) else 2.2 if item["type"] in ("string", "text") else 1.3 for item in items]
        room = BODY_WIDTH - 7.0 - 1.5 * (len(items) - 1)
        widths = [room * share / sum(shares) for share in shares]
        heads = [self._head(item, width) for item, width in zip(items, widths, strict=True)]
        tall = max(height for _, height in heads)
        marks: list[Mark] = []
        for x, (head, height) in zip(lefts(widths), heads, strict=True):
            marks += [moved(mark, x, tall - height) for mark in head]
        yield Block(tall + 0.4, tuple(marks), (), 1.2, keep=True)
        for number in range(1, rows + 1):
            yield self._table_row(group["linkId"], items, widths, number)
        yield from (help_lines(f"{item['text']} : {ask.all_words(item)}.") for item in items if ask.choices(item))
        if any(item["type"] == "attachment" for item in group.get("item", [])):
            yield help_lines(ENCLOSE)

    def _table_row(self, group: str, items: Sequence[Item], widths: Sequence[float], number: int) -> Block:
        marks: list[Mark] = [Words(1.6, 4.4, str(number), "B", ANSWER_SIZE, NAVY)]
        slots: list[Slot] = []
        for x, width, item in zip(lefts(widths), widths, items, strict=True):
            key = item["linkId"].removeprefix(f"{group}.")
            kind = "choice" if ask.choices(item) else "text"
            tip = f"{number}. {self._tip(item)}"
            slots.append(
                Slot(kind, f"{group}.{number}.{key}", tip, x, 0.0, width, _FIELD_HEIGHT, "", ask.choices(item),
                     item.get("maxLength", 0), question=item["linkId"], row=number, asked=str(item["text"]))
            )  # fmt: skip
            marks += frame(x, 0.0, width, _FIELD_HEIGHT)
        return Block(_FIELD_HEIGHT, tuple(marks), tuple(slots), 1.0)

    # Words about conditions

    def _note(self, item: Item) -> str:
        """The condition in words, unless the question says it itself (« Si allergie : … »)."""
        told = self._condition(item)
        return "" if item["text"].startswith("Si ") or told == self._known else told

    def _condition(self, item: Item) -> str:
        word = " ou " if item.get("enableBehavior") == "any" else " et "
        told: dict[str, list[str]] = {}
        for condition in item.get("enableWhen", []):
            asked, answer = self._one_condition(condition)
            told.setdefault(asked, []).append(answer)
        joined = word.join(f"{asked} {word.join(dict.fromkeys(answers))}".strip() for asked, answers in told.items())
        return f"à remplir si {joined}" if joined else ""

    def _one_condition(self, condition: Mapping[str, Any]) -> tuple[str, str]:
        """What is asked, and the answer that counts, in words."""
        asked = self._items[condition["question"]]
        expressions = (extension.get("valueExpression", {}) for extension in asked.get("extension", []))
        computed = next((str(each["description"]) for each in expressions if "description" in each), "")
        answer = next(value for key, value in condition.items() if key.startswith("answer"))
        if computed and answer is True:
            return f"{computed[:1].lower()}{computed[1:]}", ""
        if condition["operator"] == "exists":
            return f"« {asked['text']} »", f"est {'rempli' if answer else 'vide'}"
        code = answer["code"] if isinstance(answer, Mapping) else {True: "oui", False: "non"}.get(answer, str(answer))
        word = dict(ask.choices(asked)).get(code, str(code))
        return f"« {asked['text']} » {'n’est pas' if condition['operator'] == '!=' else 'est'}", f"« {word} »"

    def _tip(self, item: Item) -> str:
        condition = self._condition(item)
        return str(item["text"]) + (f" ({condition})" if condition else "") + (" – obligatoire" if item.get("required") else "")

    # Every page

    def _frame(self, number: int, total: int) -> tuple[Mark, ...]:
        told = f"Formulaire {form_slug(self._form)} – version {self._form['version']}"
        page = f"Page {number}/{total}"
        y = BOTTOM + 6.6
        marks: list[Mark] = [
            Stroke(LEFT, BOTTOM + 2.4, RIGHT, BOTTOM + 2.4, 0.2, LINE),
            Words(LEFT, y, visible(told), "", 7.0, GREY),
            Words(RIGHT - text_width(page, "B", 8.0), y, page, "B", 8.0, INK),
        ]
        if number > 1 and self._identity_items():
            marks.append(Stroke(LEFT, 23.6, LEFT + HEAD_WIDTH, 23.6, 0.3, NAVY))
            marks += [mark for item, x, width in self._identity_items() for mark in identity_marks(item, x, width)]
        return tuple(marks)

    def _identity(self, number: int) -> tuple[Slot, ...]:
        """The same fields again: pages of a fax part, so each says whose it is."""
        if number == 1:
            return ()
        return tuple(
            Slot("text", item["linkId"], self._tip(item), x, 16.0, width, 5.6, "", (), item.get("maxLength", 0),
                 question=item["linkId"], asked=str(item["text"]))
            for item, x, width in self._identity_items()
        )  # fmt: skip

    def _machine_marks(self, number: int, total: int, layout: str) -> tuple[Mark, ...]:
        return (*corner_marks(), *code_marks(page_code(form_slug(self._form), str(self._form["version"]), layout, number, total)))

    def _identity_items(self) -> list[tuple[Item, float, float]]:
        found = [self._items[name] for name in IDENTITY if name in self._items]
        width = (HEAD_WIDTH - _CELL_GAP * (len(found) - 1)) / max(len(found), 1)
        return [(item, LEFT + number * (width + _CELL_GAP), width) for number, item in enumerate(found)]
