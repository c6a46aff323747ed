"""What the sender of a form is answered: the alert of its request, by the real judge over the reference directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapter.model.receipt import Principal
from tests.builders.form import build_imaging_request, form_bytes
from tests.builders.instance import Instance

CENTRE = Principal("cms-fictif", "token", "940000003")


def answered(folder: Path, **changes: Any) -> dict[str, Any]:
    content = form_bytes(build_imaging_request(**changes))
    answer = Instance(folder).accept(content, door="http", principal=CENTRE, form="demande-imagerie")
    told: dict[str, Any] = json.loads(answer.body)
    return told


@pytest.mark.parametrize(
    ("treatment", "code", "severity"),
    [
        ("METFORMINE 1000", "safety.metformin", "warning"),
        ("comprimé blanc", "safety.metformin-to-verify", "warning"),
        ("Lantus", "safety.metformin-not-found", "information"),
    ],
)
def test_the_answer_lists_what_the_search_came_to(tmp_path: Path, treatment: str, code: str, severity: str) -> None:
    told = answered(tmp_path, **{"contre-indications.diabete-traitement": treatment})
    (alert,) = told["alerts"]
    assert (alert["code"], alert["severity"]) == (code, severity)
    assert "scanner" in alert["text"] or "Cela ne vaut pas absence de contre-indication" in alert["text"]
    assert [w["code"] for w in told["warnings"]] == ([code] if severity == "warning" else [])


def test_a_request_without_an_injected_ct_has_no_alert(tmp_path: Path) -> None:
    assert answered(tmp_path, examens=[{"modalite": "ECHO", "region": "abdomen"}])["alerts"] == []
