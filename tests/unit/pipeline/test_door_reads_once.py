"""A door reads a source once to answer: the envelope comes out of the inspection, and is that of the translation made later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from adapter.errors import InputError
from adapter.mapping import from_cda, from_form
from adapter.mapping.kinds import ENVELOPES, INSPECTORS, READERS, kind_of
from adapter.model.effects import Translation
from adapter.model.receipt import Arrival, Principal, Verdict
from adapter.pipeline.judge import InstanceRules, Judge
from tests.builders.cda import build_ldl_ses, build_n1, tiny_pdf
from tests.builders.directory import territory
from tests.builders.form import build_imaging_request, form_bytes

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"
FORMS = "source.json"
SOURCES = sorted(path for name in ("source.xml", FORMS, "source.fhir", "source.pdf") for path in CASES.glob(f"*/{name}"))


def _arrival(content: bytes, side_car: bytes = b"", form: str = "") -> Arrival:
    return Arrival(content, "folder:x", Principal("x", "folder", "940999900"), AT, "x", side_car, form)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_the_envelope_told_at_the_door_is_the_one_that_is_prepared(path: Path) -> None:
    side_car = path.parent / "side-car.json"
    arrival = _arrival(path.read_bytes(), side_car.read_bytes() if side_car.is_file() else b"")
    kind = kind_of(arrival)
    inspection = INSPECTORS[kind](arrival)
    if inspection.verdict is not Verdict.ACCEPTED:
        return
    assert inspection.envelope is not None
    try:
        prepared = tuple(e.submission for e in READERS[kind](arrival, "r") if isinstance(e, Translation))
    except InputError:
        prepared = ()  # a PDF of which too little is said: it will park and ask
    assert inspection.envelope("r") == prepared


def _counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    calls: list[int] = []
    original: Callable[..., Any] = getattr(module, name)

    def counting(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return original(*args, **options)

    monkeypatch.setattr(module, name, counting)
    return calls


def _judge(arrival: Arrival) -> Verdict:
    ids = count()
    directory = territory()
    rules = InstanceRules(False, timedelta(days=7))
    judge = Judge(INSPECTORS, ENVELOPES, lambda: directory, rules, clock=lambda: AT, new_id=lambda: f"id-{next(ids)}")
    return judge.judge(arrival).inspection.verdict


def test_a_document_that_is_no_letter_is_not_translated_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _counted(monkeypatch, from_cda, "translate_cda")
    _judge(_arrival(build_n1(pdf=tiny_pdf()).replace(b"11490-0", b"34112-3")))
    assert calls == []


def test_a_letter_is_translated_once_at_the_door_so_that_its_sender_hears_of_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _counted(monkeypatch, from_cda, "translate_cda")
    _judge(_arrival(build_ldl_ses()))
    assert calls == [1]


def test_a_form_is_read_once_at_the_door_and_no_document_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    read, built = _counted(monkeypatch, from_form, "_read"), _counted(monkeypatch, from_form, "builder_named")
    assert _judge(_arrival(form_bytes(build_imaging_request()), form="demande-imagerie")) is Verdict.ACCEPTED
    assert (read, built) == ([1], [])
