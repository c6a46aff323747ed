"""Fills a printed form as PDF readers do: values in fields, states of boxes, with or without drawing them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pikepdf
from pikepdf import Name, String
from pikepdf.form import ExtendedAppearanceStreamGenerator, Form

from adapter.fhir.supporting import questionnaire_response
from adapter.mapping.forms.answers import response_items
from adapter.mapping.forms.questionnaire import load_questionnaire, questionnaire_resource
from adapter.packaging.sheet.pdf_form import print_form

Change = Callable[[pikepdf.Pdf], None]


@lru_cache(maxsize=16)
def blank(slug: str = "demande-imagerie") -> bytes:
    """The printed form."""
    return print_form(questionnaire_resource(slug))


def filled(answers: Mapping[str, Any], slug: str = "demande-imagerie", *, drawn: bool = False) -> bytes:
    """The form filled with plain JSON answers; `drawn` makes the appearances that a reader program would draw."""
    return changed(blank(slug), lambda pdf: _fill(pdf, dict(_leaves(answers, "")), drawn))


def changed(content: bytes, change: Change, **saving: Any) -> bytes:
    """The same PDF after a change."""
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content)) as pdf:
        change(pdf)
        pdf.save(out, **saving)
    return out.getvalue()


def fields(pdf: pikepdf.Pdf) -> dict[str, pikepdf.Object]:
    """Terminal fields by full name."""
    return dict(_terminal(pdf.Root.AcroForm.Fields, ""))


def written(value: Any) -> str:
    """An answer as a person writes it in a field."""
    if isinstance(value, bool):
        return "oui" if value else "non"
    return str(value).replace(".", ",") if isinstance(value, Decimal | float) else str(value)


def as_texts(answers: Any) -> Any:
    """What a reader of the filled PDF finds: every answer a text."""
    if isinstance(answers, Mapping):
        return {key: as_texts(value) for key, value in answers.items()}
    if isinstance(answers, list):
        return [as_texts(value) for value in answers]
    return written(answers)


def response_of(slug: str, values: Mapping[str, Any]) -> bytes:
    """A QuestionnaireResponse of typed answers."""
    form = load_questionnaire(slug)
    nobody = {"display": "—"}
    response = questionnaire_response(
        resource_id="r", canonical=form.canonical, items=response_items(form.items, values, frozenset()), subject=nobody,
        author=nobody, authored="2026-11-21", identifier={"value": ""},
    )  # fmt: skip
    return json.dumps(response, ensure_ascii=False).encode()


def _fill(pdf: pikepdf.Pdf, answers: dict[str, str], drawn: bool) -> None:
    form = Form(pdf, ExtendedAppearanceStreamGenerator) if drawn else None
    known = fields(pdf)
    for name, answer in answers.items():
        field = known[name] if name in known else _box_of(known, name, answer)
        if str(field.FT) == "/Btn":
            state = Name("/" + answer)
            field.V = state
            for widget in field.get("/Kids", [field]):
                widget.AS = state if state in widget.AP.N else Name.Off
        elif form is not None and str(field.FT) == "/Tx":
            form[name].value = answer
        else:
            field.V = String(answer)
    if not drawn:
        pdf.Root.AcroForm.NeedAppearances = True


def _box_of(known: Mapping[str, pikepdf.Object], name: str, answer: str) -> pikepdf.Object:
    """The tick box of one of several answers: its rank is that of the option, whatever the answer's."""
    base = name.rpartition(".")[0]
    return next(
        field for other, field in known.items()
        if other.rpartition(".")[0] == base and "/" + answer in field.get("/Kids", [field])[0].get("/AP", {}).get("/N", {})
    )  # fmt: skip


def _leaves(data: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(data, list):
        for number, value in enumerate(data, start=1):
            yield from _leaves(value, f"{path}.{number}")
    elif data is not None:
        yield path, written(data)


def _terminal(nodes: Any, path: str) -> Iterator[tuple[str, pikepdf.Object]]:
    for node in nodes:
        name = f"{path}.{node.T}" if path else str(node.T)
        if "/FT" in node:
            yield name, node
        else:
            yield from _terminal(node.Kids, name)
