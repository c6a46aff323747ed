"""A draft read from paper as the answers that a person completes: sure ones filled in, the rest empty and told. Nothing guessed.

The answers have the very shape that the form door takes (`formats/form.py`), so what a person completes is checked as any form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapter.mapping.forms.questionnaire import Question, Questionnaire
from adapter.mapping.rules import load_rules
from adapter.model.confidential import Confidential
from adapter.model.paper_draft import BoxReading, BoxState, Doubt, DraftAnswer, FormDraft, Snippet
from adapter.model.submission import Urgency

_YES_NO = {"oui": True, "non": False}
EMPTY = ""


@dataclass(frozen=True, repr=False)
class ToChoose(Confidential):
    """A question whose boxes are doubtful. `where`: its place in the answers (`examens[2].cote`); `boxes`: those with a mark."""

    where: str
    asked: str
    page: int
    boxes: tuple[BoxReading, ...]
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True, repr=False)
class ToType(Confidential):
    """A field that something is written in. `where`: its place in the answers; a picture for each page that has the field."""

    where: str
    asked: str
    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, repr=False)
class PaperAnswers(Confidential):
    """`answers`: nested, with an empty text for every question of the form that paper did not surely answer."""

    answers: dict[str, Any]
    to_choose: tuple[ToChoose, ...]
    to_type: tuple[ToType, ...]


def paper_answers(form: Questionnaire, draft: FormDraft) -> PaperAnswers:
    """The answers of a draft of this form."""
    rows = _rows(draft)
    sure = {(answer.link_id, answer.row): answer for answer in draft.answers}
    answers = {"formulaire": form.slug} | _level(form.items, 0, rows, sure)
    return PaperAnswers(answers, tuple(_to_choose(draft, rows)), tuple(_to_type(draft, rows)))


def drafts_in_words(drafts: Sequence[FormDraft]) -> str:
    """What the queue says of forms filled by hand: counts, in French. No patient content."""
    return " ; ".join(map(_summary, drafts))


def _summary(draft: FormDraft) -> str:
    boxes = [box for page in draft.pages for box in page.boxes]
    ticked = sum(box.state is BoxState.TICKED for box in boxes)
    doubtful = sum(box.state is BoxState.DOUBTFUL for box in boxes)
    written = len({(one.place.link_id, one.place.row) for page in draft.pages for one in page.snippets})
    told = (
        _count(ticked, "case", "cochée"),
        _count(doubtful, "case", "douteuse"),
        f"{_count(written, 'champ', 'manuscrit')} à saisir",
    )
    s = "s" if len(draft.missing) > 1 else ""
    missing = f", page{s} {' et '.join(map(str, draft.missing))} non reçue{s}" if draft.missing else ""
    return f"« {draft.title} », {', '.join(told)}{missing}"


def _count(number: int, *words: str) -> str:
    return " ".join((str(number), *(f"{word}s" if number > 1 else word for word in words)))


def may_be_urgent(drafts: Sequence[FormDraft]) -> bool:
    """Whether the box for « urgent » of one of these forms bears a mark, sure or not: a doubt is not worth a day's wait."""
    return any(_urgent_is_marked(draft) for draft in drafts)


def _urgent_is_marked(draft: FormDraft) -> bool:
    rules = load_rules(f"forms/{draft.slug}")
    request = rules.groups.get("request")
    rule = request.fields.get("urgency") if request is not None else None
    words = rules.data.get("urgency", {})
    marked = [word for one in draft.answers if rule is not None and one.link_id in rule.paths for word in one.candidates]
    return any(words.get(word, word) == Urgency.URGENT for word in marked)


# -- the answers --------------------------------------------------------------------------------------------------------


Sure = Mapping[tuple[str, int], DraftAnswer]
Rows = Mapping[str, Sequence[int]]


def _level(questions: Sequence[Question], row: int, rows: Rows, sure: Sure) -> dict[str, Any]:
    """One group's object: every question that a person may answer in words."""
    level: dict[str, Any] = {}
    for question in questions:
        if question.kind == "attachment" or question.read_only:
            continue  # a file is no writing; what the software computes is not asked
        if question.kind != "group":
            level[question.key] = _value(question, sure.get((question.link_id, row)))
        elif question.repeats:
            level[question.key] = [_level(question.items, each, rows, sure) for each in rows.get(question.link_id, (1,))]
        else:
            level[question.key] = _level(question.items, row, rows, sure)
    return level


def _value(question: Question, answer: DraftAnswer | None) -> Any:
    values = answer.values if answer is not None else ()
    read = [_YES_NO.get(value, value) if question.kind == "boolean" else value for value in values]
    if question.repeats:
        return read
    return read[0] if len(read) == 1 else EMPTY


def _rows(draft: FormDraft) -> dict[str, list[int]]:
    """Which lines of each repeated group bear anything."""
    marked = {(answer.link_id, answer.row) for answer in draft.answers}
    marked |= {(snippet.place.link_id, snippet.place.row) for page in draft.pages for snippet in page.snippets}
    rows: dict[str, set[int]] = {}
    for link_id, row in marked:
        if row:
            rows.setdefault(link_id.rpartition(".")[0], set()).add(row)
    return {group: sorted(found) for group, found in rows.items()}


def _where(link_id: str, row: int, rows: Rows) -> str:
    """The place in the answers: lines left empty on paper are none there."""
    group, _, key = link_id.rpartition(".")
    return f"{group}[{rows[group].index(row) + 1}].{key}" if row else link_id


def _to_choose(draft: FormDraft, rows: Rows) -> list[ToChoose]:
    found = []
    for page in draft.pages:
        for answer in draft.answers:
            mine = (answer.link_id, answer.row)
            marked = [box for box in page.boxes if (box.place.link_id, box.place.row) == mine and box.state is not BoxState.EMPTY]
            if answer.doubts and marked:
                found.append(ToChoose(_where(*mine, rows), answer.asked, page.number, tuple(marked), answer.doubts))
    return found


def _to_type(draft: FormDraft, rows: Rows) -> list[ToType]:
    fields: dict[tuple[str, int], list[Snippet]] = {}
    for page in draft.pages:
        for snippet in page.snippets:
            fields.setdefault((snippet.place.link_id, snippet.place.row), []).append(snippet)
    return [ToType(_where(*key, rows), snippets[0].place.asked, tuple(snippets)) for key, snippets in fields.items()]
