"""`tdu form`: what is listed can be printed, and what is printed comes back as an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adapter.mapping.forms.questionnaire import form_slugs
from tests.builders.pdf_forms import blank, filled

CASES = Path(__file__).resolve().parents[3] / "fixtures" / "cases"


def test_every_form_is_listed_with_its_version(tdu: Any) -> None:
    lines = tdu("form", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(form_slugs())
    assert all(line.split()[1] == "1.0.0" for line in lines)


def test_a_form_is_printed_where_it_is_asked_for(tdu: Any, tmp_path: Path) -> None:
    sheet = tmp_path / "new" / "avis.pdf"
    assert tdu("form", "print", "demande-avis", "--out", sheet).exit_code == 0
    assert sheet.read_bytes() == blank("demande-avis")


def test_an_unknown_form_is_a_sentence_that_names_those_there_are(tdu: Any) -> None:
    refused = tdu("form", "print", "demande-inconnue")
    assert refused.exit_code == 1
    assert "demande-imagerie" in refused.stderr


def test_a_filled_sheet_is_translated_like_the_json_it_stands_for(tdu: Any, tmp_path: Path) -> None:
    answers = json.loads((CASES / "pta-information" / "source.json").read_bytes())
    (tmp_path / "a.json").write_text(json.dumps(answers))
    slug = answers.pop("formulaire")
    (tmp_path / "b.pdf").write_bytes(filled(answers, slug, drawn=True))
    found = []
    for name in ("a.json", "b.pdf"):
        assert tdu("translate", tmp_path / name, "--out", tmp_path).exit_code == 0
        bundle = json.loads((tmp_path / name).with_suffix(".fhir.json").read_bytes())
        found.append((bundle["identifier"], [s["text"] for s in bundle["entry"][0]["resource"]["section"]]))
    assert found[0] == found[1]
