"""A letter that says "none" or "not known" leaves structured, with the coded absence; one that says nothing never gets one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapter.mapping.from_cda import translate_cda
from adapter.mapping.from_form import inspect_form, understand_form
from adapter.model.finding import Severity
from adapter.model.receipt import Arrival, Principal
from adapter.offline import Target, render
from adapter.packaging.parcel import SenderProfile
from tests.builders.form import form_bytes
from tests.builders.letter import build_entry_letter

AT = datetime(2026, 11, 21, 9, tzinfo=UTC)
SENDER = SenderProfile("750712184", "Hôpital", "750712184", "a@x.mssante.fr", "Hôpital", "1.2.250.1.999.94.1", "x")
NONE = {"lettre.traitements": "aucun", "traitements": None, "lettre.allergies": "aucune", "allergies": None}
UNKNOWN = {"lettre.traitements": "inconnu", "traitements": None, "lettre.allergies": "inconnu", "allergies": None}


def arrival(**changes: Any) -> Arrival:
    return Arrival(form_bytes(build_entry_letter(**changes)), "http", Principal("x", "token", "940000003"), AT)


def cda(**changes: Any) -> bytes:
    (translation,) = understand_form(arrival(**changes), "receipt")
    return render(translation, Target.CDA, SENDER, AT)[0].content


@pytest.mark.parametrize(
    ("answers", "codes"),
    [
        (NONE, ("no-known-medications", "no-known-allergies")),
        (UNKNOWN, ("no-medication-info", "no-allergy-info")),
    ],
)
def test_an_absence_that_the_doctor_states_is_coded_in_the_letter(answers: dict[str, Any], codes: tuple[str, str]) -> None:
    written = cda(**answers)
    assert b"<structuredBody>" in written
    assert all(f'code="{code}"'.encode() in written for code in codes)


def test_a_list_is_never_an_absence() -> None:
    written = cda()
    assert b"<structuredBody>" in written and b"2.16.840.1.113883.5.1150.1" not in written


@pytest.mark.parametrize(("answers", "state"), [(NONE, "negative"), (UNKNOWN, "missing")])
def test_the_receiver_reads_the_same_of_the_law_as_the_sender(answers: dict[str, Any], state: str) -> None:
    (translation,) = understand_form(arrival(**answers), "receipt")
    sent = {item.code: item.state for item in translation.legal}
    received = {item.code: item.state for item in translate_cda(cda(**answers)).legal}
    assert sent["traitements"] == sent["allergies"] == state
    assert received["traitements"] == received["allergies"] == state


def test_the_sender_of_a_letter_is_told_at_once_what_the_law_misses_and_never_refused() -> None:
    told = {finding.code: finding.severity for finding in inspect_form(arrival(**UNKNOWN)).findings}
    assert told["legal.missing"] is Severity.WARNING and Severity.ERROR not in told.values()
    assert "legal.missing" not in {finding.code for finding in inspect_form(arrival()).findings}
