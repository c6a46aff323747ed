"""The request's narrative as a doctor reads it: tables of questions and answers, French dates. Text is always escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from adapter.fhir.narrative import XHTML, clean_text

Row = tuple[str, str]


def request_div(*blocks: str) -> str:
    """A div of ready blocks (`paragraph`, `strong_paragraph`, `answers_table`)."""
    return f'<div xmlns="{XHTML}">{"".join(block for block in blocks if block) or "<p>—</p>"}</div>'


def paragraph(text: str) -> str:
    """A paragraph; the writer's line breaks are kept."""
    return f"<p>{_lines(text)}</p>" if text.strip() else ""


def strong_paragraph(text: str) -> str:
    """A paragraph that must not be missed."""
    return f"<p><b>{_lines(text)}</b></p>" if text.strip() else ""


def answers_table(rows: Iterable[Row], caption: str = "", strong: frozenset[str] = frozenset()) -> str:
    """Two columns: what was asked, what was answered; the answers of `strong` stand out."""
    body = "".join(f"<tr><th>{_lines(asked)}</th><td>{_cell(answered, strong)}</td></tr>" for asked, answered in rows)
    if not body:
        return ""
    head = f"<caption>{_lines(caption)}</caption>" if caption else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"


def framed(title: str, sentences: Iterable[str]) -> str:
    """A frame that must not be missed: a bold title, a first sentence in bold, the others below."""
    first, *others = sentences
    cell = "".join((strong_paragraph(title), strong_paragraph(first), *(paragraph(text) for text in others)))
    return f'<table border="1"><tbody><tr><td>{cell}</td></tr></tbody></table>'


def columns_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a heading line."""
    head = "".join(f"<th>{_lines(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{_lines(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(answered: str, strong: frozenset[str]) -> str:
    return f"<b>{_lines(answered)}</b>" if answered in strong else _lines(answered)


def _lines(text: str) -> str:
    return "<br/>".join(escape(line.strip(), quote=False) for line in clean_text(text).strip().splitlines()) or "—"


def french_date(value: str) -> str:
    """`2026-11-20` → `20/11/2026`, `1979-03` → `03/1979`, an instant with its hour; empty stays empty."""
    day, _, clock = value.partition("T")
    written = "/".join(reversed(day.split("-")))
    return f"{written} à {clock[:5]}" if clock else written
