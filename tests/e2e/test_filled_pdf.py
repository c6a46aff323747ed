"""A filled PDF at the doors of the real service: the same document as its JSON, sent on, and kept byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapter.demo.stage import CENTRE, Stage
from tests.builders.pdf_forms import filled
from tests.e2e.house import House, open_house

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CASES = Path(__file__).resolve().parents[2] / "fixtures" / "cases"
PDF = {"Content-Type": "application/pdf"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Stage(tmp_path_factory.mktemp("filled-pdf") / "stage") as stage, open_house(stage) as opened:
        yield opened


def _answers(case: str) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((CASES / case / "source.json").read_bytes())
    return answers


def test_pdf_and_json_are_one_document_and_the_pdf_is_kept(house: House) -> None:
    answers = _answers("imagerie-scanner-diabete")
    sheet = filled({key: value for key, value in answers.items() if key != "formulaire"}, drawn=True)
    first = house.http(sheet, **PDF)
    again = house.http(json.dumps(answers).encode())
    assert (first.status_code, again.status_code) == (202, 202)
    assert [d["id"] for d in first.json()["documents"]] == [d["id"] for d in again.json()["documents"]]
    assert sheet in house.kept(first.json()["receipt"], CENTRE)


def test_an_urgent_advice_is_answered_with_the_senior_s_line(house: House) -> None:
    answers = _answers("avis-tele-expertise-urgente")
    slug = answers.pop("formulaire")
    answer = house.http(filled(answers, slug), f"/forms/{slug}", **PDF)
    assert answer.status_code == 202
    assert [w["text"] for w in answer.json()["warnings"] if w["code"] == "route.urgent-line"] == [
        "Demande urgente : appeler aussi la ligne du senior du service, 01 99 00 24 10."
    ]


def test_a_sheet_of_another_form_is_refused_at_this_address(house: House) -> None:
    answers = _answers("pta-information")
    sheet = filled({key: value for key, value in answers.items() if key != "formulaire"}, "demande-pta")
    refused = house.http(sheet, **PDF)
    assert (refused.status_code, refused.json()["issue"][0]["details"]["coding"][0]["code"]) == (422, "form.wrong-form")


def test_a_drop_folder_knows_a_form_by_the_code_in_it(house: House) -> None:
    answers = _answers("pta-appui-urgent")
    slug = answers.pop("formulaire")
    assert house.drop("demande.pdf", filled(answers, slug)).parent.name == "done"
    blank = house.drop("vierge.pdf", filled({}, slug))
    assert {finding["code"] for finding in house.reason(blank)["findings"]} == {"form.answer-required"}
