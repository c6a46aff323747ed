"""Ids, references and bytes of a document Bundle: the same source gives the same bytes."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

import pytest

from adapter.fhir import profiles as p
from adapter.fhir.bundle import Ids, document_bundle, entry_of, resources_of, uri_identifier, write_json


def test_ids_are_version_5_uuids_that_depend_on_namespace_and_path_only() -> None:
    ids = Ids("document")
    minted = ids.mint("section", "1")
    assert minted == Ids("document").mint("section", "1")
    assert uuid.UUID(minted).version == 5
    assert uuid.UUID(minted).variant == uuid.RFC_4122
    assert len({minted, ids.mint("section", "2"), ids.mint("section1"), Ids("other").mint("section", "1")}) == 4


def test_minting_is_the_standard_uuid5() -> None:
    root = uuid.uuid5(uuid.NAMESPACE_URL, p.OURS)
    assert Ids("x").mint("a", "b") == str(uuid.uuid5(uuid.uuid5(root, "x"), "a\x1fb"))


@pytest.mark.parametrize(
    ("unique_id", "system", "value"),
    [
        ("1.2.3", "urn:ietf:rfc:3986", "urn:oid:1.2.3"),
        ("0DDBA11A-0000-4000-8000-000000000001", "urn:ietf:rfc:3986", "urn:uuid:0ddba11a-0000-4000-8000-000000000001"),
        ("1.2.3^77", "urn:oid:1.2.3", "77"),
    ],
)
def test_a_unique_id_becomes_an_identifier(unique_id: str, system: str, value: str) -> None:
    assert uri_identifier(unique_id) == {"system": system, "value": value}


def test_a_document_holds_each_resource_once_composition_first() -> None:
    composition, patient = {"resourceType": "Composition", "id": "c"}, {"resourceType": "Patient", "id": "p"}
    bundle = document_bundle(composition, [patient, patient], id="b", identifier={"value": "x"}, timestamp="2026-01-01T00:00:00Z")
    assert [e["fullUrl"] for e in bundle["entry"]] == ["urn:uuid:c", "urn:uuid:p"]
    assert resources_of(bundle, "Patient") == [patient]
    assert entry_of(patient) == bundle["entry"][1]


def test_bytes_are_compact_utf8_in_the_order_built() -> None:
    content = write_json({"b": "é", "a": [1, {"c": None}]})
    assert content == '{"b":"é","a":[1,{"c":null}]}'.encode()
    assert json.loads(content)["b"] == "é"


@pytest.mark.parametrize(
    "bundle",
    [
        {"entry": [{"resource": {"resourceType": "Binary", "data": "QUJD" * 50_000}}, {"resource": {"id": 'é\n"\\'}}]},
        {"entry": [{"resource": {"resourceType": "Binary", "data": '"\\\n' * 50_000}}]},
        {"entry": [{"resource": {"valueQuantity": {"value": 10**30}}}]},
        {"entry": [None, {"resource": None}, {"resource": {"data": 3}}]},
        {"entry": "none", "value": 0.1},
        {"resourceType": "Task"},
    ],
)
def test_what_is_written_is_what_json_would_write(bundle: dict[str, Any]) -> None:
    before = copy.deepcopy(bundle)
    assert write_json(bundle) == json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()
    assert bundle == before
