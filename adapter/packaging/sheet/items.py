"""What one item of a Questionnaire asks for on paper: choices, room, lines. Any Questionnaire, no layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from adapter.packaging.page.faces import text_width, visible

FEW_ROWS, MANY_ROWS = 4, 8  # of a repeated group that may repeat up to twenty times, or more often
MOST_TICKS = 8  # a question of more choices becomes a list to choose from
ANSWER_SIZE = 8.5
BOX, BOX_GAP, TICK_GAP = 3.8, 1.6, 5.0
_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition/"

Item = Mapping[str, Any]


def printed_rows(most: int) -> int:
    """How many lines a repeated group gets on paper; `most` is how often the form lets it repeat, 0 for any number."""
    rows = FEW_ROWS if most <= 20 else MANY_ROWS
    return min(most, rows) if most else rows


def walk(items: Sequence[Item]) -> Iterator[Item]:
    """All items, groups before what they hold."""
    for item in items:
        yield item
        yield from walk(item.get("item", []))


def leading(items: Sequence[Item]) -> int:
    """How many questions stand before the first group: they share lines."""
    return next((number for number, item in enumerate(items) if item["type"] == "group"), len(items))


def choices(item: Item) -> tuple[tuple[str, str], ...]:
    """Codes and words of a question that is answered by choosing."""
    if item["type"] == "boolean":
        return (("oui", "Oui"), ("non", "Non"))
    return tuple((option["valueCoding"]["code"], option["valueCoding"]["display"]) for option in item.get("answerOption", []))


def is_ticked(item: Item) -> bool:
    """True when its choices are boxes to tick, not a list."""
    return bool(item.get("repeats")) or len(choices(item)) <= MOST_TICKS


def is_hidden(item: Item) -> bool:
    """True for what the software computes: nobody is asked."""
    return bool(item.get("readOnly")) or any(
        extension["url"] == f"{_EXTENSIONS}questionnaire-hidden" and extension.get("valueBoolean")
        for extension in item.get("extension", [])
    )


def most(item: Item) -> int:
    """How often a group may repeat, 0 when the form does not say."""
    return next((e["valueInteger"] for e in item.get("extension", []) if e["url"] == f"{_EXTENSIONS}questionnaire-maxOccurs"), 0)


def unit(item: Item) -> str:
    """The unit printed after the field."""
    return next(
        (
            str(e["valueCoding"].get("display", ""))
            for e in item.get("extension", [])
            if e["url"] == f"{_EXTENSIONS}questionnaire-unit"
        ),
        "",
    )


def always(item: Item) -> bool:
    """True when no condition spares the answer."""
    return bool(item.get("required")) and not item.get("enableWhen")


def span(item: Item) -> float:
    """Sixths of the sheet's width."""
    if item["type"] in ("date", "decimal", "integer"):
        return 2
    if item["type"] == "dateTime":
        return 3
    if choices(item):
        wide = ticks_width(choices(item)) if is_ticked(item) else 60.0
        wide = max(wide, 60.0 if len(item["text"]) > 50 else 0.0)
        return next((span for span in (2, 3, 4) if wide <= span * 27.0), 6)
    longest = item.get("maxLength", 0)
    if item["type"] in ("text", "attachment") or longest > 200:
        return 6
    return 2 if 0 < longest <= 40 else 3


def text_height(item: Item) -> float:
    """Millimetres for a text of its greatest length."""
    longest = item.get("maxLength", 0)
    return 12.0 if 0 < longest <= 1000 else 16.0 if 0 < longest <= 2000 else 22.0


def all_words(item: Item) -> str:
    """The choices of a list, for whoever fills it by hand."""
    return ", ".join(word for _, word in choices(item))


def ticks_width(choices: Sequence[tuple[str, str]]) -> float:
    """Room that tick boxes take in one line."""
    wide = sum(BOX + BOX_GAP + text_width(visible(word), "", ANSWER_SIZE) + TICK_GAP for _, word in choices)
    return wide - TICK_GAP
