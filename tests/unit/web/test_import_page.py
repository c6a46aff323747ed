"""The reference page of the Import API tells all that the code offers: operations, parameters, outcomes, tags, scopes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapter.model.delivery import DeliveryState
from adapter.model.publication import PublicationKind
from adapter.tracking.import_outcomes import import_outcomes
from adapter.web.import_access import API_VERSION, VERSION_HEADER
from adapter.web.import_surface import OPERATIONS, SEARCHES, capability_statement, openapi_document

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference" / "import-api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("outcome", list(import_outcomes()))
def test_each_outcome_has_its_row(outcome: str) -> None:
    told = import_outcomes()[outcome]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{outcome}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == told.issue_type
    assert cells[2] == told.proves.value + (f" (`{told.cause}`)" if told.proves is DeliveryState.REFUSED else "")
    assert (cells[5] == "yes") is told.may_change
    code = re.search(r"non (\d+)", told.business_ack)
    assert code is None or f"Z03 N {code[1]}" in cells[4]


def test_each_operation_parameter_tag_and_scope_is_told() -> None:
    for one in OPERATIONS:
        assert one.path.removesuffix("/_search").split("/{id}")[0] in PAGE
        assert re.search(rf"system/{one.resource}\.\w*{one.letter}", PAGE), one.name
    for kind, known in SEARCHES.items():
        missing = [name for name in known if f"`{name}`" not in PAGE]
        assert missing == [], kind
    for kind in PublicationKind:
        assert f"| `{kind.value}` |" in PAGE
    assert f"`{VERSION_HEADER}: {API_VERSION}`" in PAGE


def test_both_descriptions_are_made_of_one_table() -> None:
    paths = openapi_document("https://x.example/fhir")["paths"]
    statement = capability_statement("https://x.example/fhir", "https://x.example/fhir/auth/token", "2026-11-22")
    resources = {one["type"]: one for one in statement["rest"][0]["resource"]}
    for one in OPERATIONS:
        assert one.method.lower() in paths[f"/{one.path}"]
        codes = [interaction["code"] for interaction in resources[one.resource]["interaction"]]
        assert not one.interaction or one.interaction in codes
    assert [one["name"] for one in resources["DocumentReference"]["operation"]] == ["sync", "acknowledge"]
