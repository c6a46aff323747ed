"""Software by other people does a whole import: token, sync, fetch, outcome. fhirpy, fhirclient, fhir-kit-client."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from fhirclient.client import FHIRClient
from fhirclient.models.binary import Binary
from fhirclient.models.documentreference import DocumentReference
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome

from tests.builders.import_client import ImportApi
from tests.builders.practices import Town
from tests.servers.foreign_fhir import installed_client, run_client
from tests.servers.ports import free_port
from tests.servers.served_app import served

pytestmark = pytest.mark.contract
INTEGRATED = {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": "integrated"}]}
UNREADABLE = {"resourceType": "Parameters", "parameter": [{"name": "outcome", "valueCode": "unreadable"}]}


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


@pytest.fixture
def api(town: Town, tmp_path: Path) -> Iterator[ImportApi]:
    port = free_port()
    made = ImportApi(town.house, tmp_path, base=f"http://127.0.0.1:{port}/fhir")
    with served(made.app, port):
        yield made


def bearer(api: ImportApi) -> str:
    """A token, asked as any OAuth client asks: discovered, then posted."""
    told = requests.get(f"{api.base}/.well-known/smart-configuration", timeout=20).json()
    answer = requests.post(told["token_endpoint"], data=api.token_form(api.assertion()), timeout=20)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def test_fhirpy_imports_everything_and_says_so(town: Town, api: ImportApi) -> None:
    receipts = [town.write(1, number=number + 1) for number in range(3)]
    client = SyncFHIRClient(api.base, authorization=f"Bearer {bearer(api)}")
    page = client.execute("DocumentReference/$sync", method="get", params={"_count": 2})
    links = {one["relation"]: one["url"] for one in page["link"]}
    onward = dict(parse_qsl(urlsplit(links["next"]).query))
    rest = client.execute("DocumentReference/$sync", method="get", params=onward)
    found = [entry["resource"] for entry in (*page["entry"], *rest["entry"])]
    assert len(found) == 3 and "next" not in {one["relation"] for one in rest["link"]}
    for document in found:
        binary = client.get(*document["content"][0]["attachment"]["url"].split("/"))
        assert b"ClinicalDocument" in base64.b64decode(binary["data"])
        client.execute(f"DocumentReference/{document['id']}/$acknowledge", method="post", data=INTEGRATED)
    assert [town.house.states(one)["inbox"] for one in receipts] == ["integrated"] * 3
    with pytest.raises(OperationOutcome) as error:
        client.execute(f"DocumentReference/{found[0]['id']}/$acknowledge", method="post", data=UNREADABLE)
    assert error.value.resource["issue"][0]["code"] == "conflict"
    assert len(client.resources("DocumentReference").search(status="current", _count=1).fetch_all()) == 3


def test_fhirclient_reads_what_it_finds_into_its_own_models(town: Town, api: ImportApi) -> None:
    receipt = town.write(1)
    smart = FHIRClient(settings={"app_id": "essai", "api_base": api.base})
    server: Any = smart.server
    server.session.headers["Authorization"] = f"Bearer {bearer(api)}"
    (document,) = DocumentReference.where({"status": "current", "_count": "5"}).perform_resources_iter(server)
    binary = Binary.read(document.content[0].attachment.url.rpartition("/")[2], server)
    assert b"ClinicalDocument" in base64.b64decode(binary.data)
    server.post_json(f"DocumentReference/{document.id}/$acknowledge", INTEGRATED)
    assert town.house.states(receipt)["inbox"] == "integrated"


def test_fhir_kit_client_discovers_syncs_fetches_and_acknowledges(town: Town, api: ImportApi, tmp_path: Path) -> None:
    receipts = [town.write(1, number=number + 1) for number in range(2)]
    folder = tmp_path / "client"
    folder.mkdir()
    installed_client(folder)
    told = run_client(folder, api.base, bearer(api), script="import.js")
    assert told["token"] == f"{api.base}/auth/token"
    assert told["relations"] == ["self", "next", "sync"]
    assert b"ClinicalDocument" in base64.b64decode(told["data"])
    assert (told["said"], told["next"], told["refusal"]) == ("import.integrated", 1, "409 conflict")
    assert [town.house.states(one)["inbox"] for one in receipts] == ["integrated", "accepted"]
